//! [`RedisOptions`]: the options of a store in Redis.

use std::time::Duration;

use crate::auth::store::memory::DEFAULT_BYTES;

/// The options of a store in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisOptions {
    /// How long a command may take. A store that comes back empty refuses what was issued for that
    /// much longer. Defaults to 100 ms.
    pub timeout: Duration,
    /// The beginning of the names of all keys. Services with the same prefix share their state.
    /// Defaults to `warp-bearer:`.
    pub prefix: String,
    /// Bytes of memory for the keys that this process has accepted itself. Defaults to 64 MiB.
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
