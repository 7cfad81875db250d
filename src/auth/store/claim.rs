//! [`Claim`]: a key that can be used only once, and the possible results of claiming it.

use std::time::SystemTime;

/// A key that can be used only once, and how long the store must remember it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    /// The SHA-256 of the value
    pub(crate) key: [u8; 32],
    /// The current time of the caller's clock.
    pub(crate) now: SystemTime,
    /// The creation time in the value itself. If the store has lost its data since then, it can't
    /// know whether the value was used.
    pub(crate) issued_at: SystemTime,
    pub(crate) until: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claimed {
    First,
    Used,
}

/// Why a store can't tell whether a key was used. The request must be rejected with 503, because
/// another request may have used the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unavailable {
    /// The memory is full of keys that have not expired.
    Full,
    /// The store did not respond in time. It may have recorded the key.
    Timeout,
    /// The store is not connected, the connection was lost, or the store returned an error.
    Connection,
    /// The key was created before the store began to record keys.
    TooOld,
}

impl Unavailable {
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Timeout, Self::Connection, Self::TooOld];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::TooOld => "too_old",
        }
    }
}
