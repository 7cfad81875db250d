//! [`Client`]: the only application registered at the test issuer.

use std::io;

use crate::issuer::keys::random_name;

pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: String,
}

impl Client {
    /// A client with a random id and secret. Form encoding doesn't change their characters, so they
    /// don't have to be encoded for HTTP Basic (RFC 6749 §2.3.1).
    pub(super) fn register() -> io::Result<Self> {
        Ok(Self {
            id: random_name(24)?,
            secret: random_name(48)?,
        })
    }
}
