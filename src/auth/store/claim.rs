//! [`Claim`]: a key that may be used only once, and the store's answers to it.

use std::time::SystemTime;

/// A key to use once, and how long the store must remember it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    /// The SHA-256 of the value that must be used only once.
    pub(crate) key: [u8; 32],
    /// The current time, by the caller's clock.
    pub(crate) now: SystemTime,
    /// The time at which the value was created, according to itself. A store that was empty at that
    /// time cannot know whether the value has been used since.
    pub(crate) issued_at: SystemTime,
    /// The store may forget the key after this time.
    pub(crate) until: SystemTime,
}

/// The store's answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// The key was not claimed before.
    First,
    /// The key was claimed before.
    Used,
}

/// The reason why a store cannot tell whether a key was used. The request must be rejected with
/// 503, because the key may have been used, here or at another replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The memory for keys that have not expired is full.
    Full,
    /// The store did not answer in time. It may still have recorded the key.
    Timeout,
    /// The connection is down or was lost before the answer, or the answer was an error.
    Connection,
    /// The key was created before the store began to remember.
    TooOld,
}

impl Unavailable {
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Timeout, Self::Connection, Self::TooOld];

    /// Returns the word used in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::TooOld => "too_old",
        }
    }
}
