//! [`RedisOptions`]: the options of a store in Redis.

use std::time::Duration;

use crate::auth::store::memory::DEFAULT_BYTES;

/// The options of a store in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// The timeout of a claim. Defaults to 100 ms.
    ///
    /// After the store was emptied, restarted or failed over, it rejects values that were issued
    /// before its recovery or shortly after: within 500 ms, or within this timeout if it is longer.
    pub timeout: Duration,
    /// The prefix of all key names in Redis. Services with the same prefix share their state.
    /// Defaults to `warp-bearer:`.
    pub prefix: String,
    /// The maximum memory in bytes for the keys that this process has accepted. Defaults to 64 MiB.
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
