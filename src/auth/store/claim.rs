//! [`Claim`]: a key that may be used once, and the answers of a store to it.

use std::time::SystemTime;

/// A key to use once, and how long the store has to remember it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    /// The SHA-256 of what must be used once.
    pub(crate) key: [u8; 32],
    /// The current time, by the caller's clock.
    pub(crate) now: SystemTime,
    /// When the thing was made, by its own account. A store that was empty at that time cannot know
    /// whether it has been used since.
    pub(crate) issued_at: SystemTime,
    /// The store may forget the key after this time.
    pub(crate) until: SystemTime,
}

/// The store's answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// No claim of this key came before.
    First,
    /// The key was claimed before.
    Used,
}

/// The reason why a store cannot tell whether a key was used. The request has to be refused with
/// 503: the key may have been used, here or by another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The memory for keys that have not expired is full.
    Full,
    /// The store did not answer in time. It may have recorded the key all the same.
    Timeout,
    /// The connection is down, was lost before the answer, or the answer was an error.
    Connection,
    /// The key was made before the store began to remember.
    TooOld,
}

impl Unavailable {
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Timeout, Self::Connection, Self::TooOld];

    /// Returns the word for logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::TooOld => "too_old",
        }
    }
}
