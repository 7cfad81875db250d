//! [`Client`]: the single application that is registered at the test issuer.

use std::io;

use crate::issuer::keys::random_name;

/// The registered client.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) secret: String,
}

impl Client {
    /// Creates a client with a random id and secret. Their characters are unaffected by form
    /// encoding, so clients need not encode them in HTTP Basic credentials (RFC 6749 §2.3.1).
    pub(super) fn register() -> io::Result<Self> {
        Ok(Self {
            id: random_name(24)?,
            secret: random_name(48)?,
        })
    }
}
