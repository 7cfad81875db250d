//! [`RedisOptions`]: the options of a store in Redis.

use std::time::Duration;

use crate::auth::store::memory::DEFAULT_BYTES;

/// The options of a store in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// The timeout of a claim. After the store was emptied, restarted or failed over, values issued
    /// before it came back are rejected, and also those issued within this time afterwards, or
    /// within 500 ms if it is shorter. Defaults to 100 ms.
    pub timeout: Duration,
    /// The prefix of all key names. Services with the same prefix share their state. Defaults to
    /// `warp-bearer:`.
    pub prefix: String,
    /// The maximum memory, in bytes, for keys that this process has accepted. Defaults to 64 MiB.
    pub memory: usize,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(100),
            prefix: "warp-bearer:".to_owned(),
            memory: DEFAULT_BYTES,
        }
    }
}
