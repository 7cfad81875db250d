//! What an `Auth` has counted, for whoever watches it. Plain numbers: the library knows no metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the cache of verified tokens has done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Tokens that were found in the cache.
    pub cache_hits: u64,
    /// Tokens that were looked for and had to be verified.
    pub cache_misses: u64,
}

/// The numbers as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    hits: AtomicU64,
    misses: AtomicU64,
}

#[expect(dead_code, reason = "the cache counts")]
impl Tally {
    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    pub(crate) fn miss(&self) {
        self.misses.fetch_add(1, Relaxed);
    }
}

impl Tally {
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            cache_hits: self.hits.load(Relaxed),
            cache_misses: self.misses.load(Relaxed),
        }
    }
}
