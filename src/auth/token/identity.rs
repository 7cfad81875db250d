//! [`Identity`]: the part of a verified token that is safe to log.

use std::{fmt, sync::Arc};

use crate::auth::token::{payload::Verified, pseudonym::Pseudonym};

/// The part of a verified token's identity that is safe to log. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Verified>);

impl Identity {
    pub(crate) fn new(verified: Arc<Verified>) -> Self {
        Self(verified)
    }

    /// The name of the issuer.
    pub fn issuer(&self) -> &str {
        &self.0.context.issuer
    }

    /// The `kid` of the key that verified the token.
    pub fn kid(&self) -> Option<&str> {
        self.0.source.kid()
    }

    /// Returns a pseudonym for the subject. `None` if the token has no `sub`, or if the
    /// system's random number generator fails.
    pub fn subject(&self) -> Option<Pseudonym> {
        self.0.pseudonym()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer())
            .field("kid", &self.kid())
            .field("subject", &self.subject())
            .finish()
    }
}
