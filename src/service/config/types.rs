//! Types of parsed values that no other module of the service defines.

use std::fmt;

/// The required profile of access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenProfile {
    /// No specific profile. `typ` may be `JWT` or absent.
    Any,
    /// The strict profile of RFC 9068.
    Rfc9068,
}

/// Selects the tokens to introspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntrospectionMode {
    /// None.
    Off,
    /// Tokens that are not JWTs.
    Opaque,
    /// Every token.
    Always,
}

/// The behaviour while the state store has been unreachable for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutage {
    /// Protected routes return 503.
    Refuse,
    /// The service continues with the current list.
    Local,
}

/// A secret. `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The bytes of the secret, exactly as configured.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The text of the secret, exactly as configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn has_outer_blanks(&self) -> bool {
        self.0.trim() != self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}
