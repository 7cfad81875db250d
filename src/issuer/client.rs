//! [`Client`]: the only application registered at the test issuer.

use std::io;

use crate::issuer::keys::random_name;

pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: String,
}

impl Client {
    /// Creates a client with a random id and secret. Form encoding does not change their
    /// characters, so they need not be encoded for HTTP Basic (RFC 6749 §2.3.1).
    pub(super) fn register() -> io::Result<Self> {
        Ok(Self {
            id: random_name(24)?,
            secret: random_name(48)?,
        })
    }
}
