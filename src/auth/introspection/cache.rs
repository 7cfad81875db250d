//! [`Answers`]: a cache of introspection responses from one issuer.
//!
//! The key of an entry is the SHA-256 of the token (we don't store the token itself). The budget
//! limits how many entries an attacker can add, and therefore evict. Active entries are kept even
//! after they expire. They tell us that a token is real, and a new request about a token like this
//! needs no budget.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use quick_cache::{Weighter, sync};
use tokio::time::Instant;

use crate::auth::{error::AuthError, token::payload::Verified};

/// The maximum number of entries, at the average size.
const ENTRIES: usize = 10_000;

const MEMORY: u64 = 16 * 1024 * 1024;

pub(super) const REJECTION_TTL: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(token: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, token);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

pub(super) type Verdict = Result<Arc<Verified>, AuthError>;

#[derive(Debug)]
pub(super) struct Answers(sync::Cache<TokenHash, Entry, Bytes>);

#[derive(Debug, Clone)]
struct Entry {
    verdict: Verdict,
    until: Instant,
}

pub(super) enum Cached {
    Fresh(Verdict),
    /// The token was active at the last introspection.
    WasActive,
    Unknown,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self(sync::Cache::with_weighter(ENTRIES, MEMORY, Bytes))
    }

    pub(super) fn get(&self, token: TokenHash, now: Instant) -> Cached {
        match self.0.get(&token) {
            Some(entry) if now < entry.until => Cached::Fresh(entry.verdict),
            Some(Entry { verdict: Ok(_), .. }) => Cached::WasActive,
            _ => Cached::Unknown,
        }
    }

    pub(super) fn insert(&self, token: TokenHash, verdict: Verdict, until: Instant) {
        self.0.insert(token, Entry { verdict, until });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<TokenHash, Entry> for Bytes {
    fn weight(&self, _: &TokenHash, entry: &Entry) -> u64 {
        const OWN: usize = 256;
        let verified = entry.verdict.as_ref().map_or(0, |verified| verified.size());
        (OWN + verified) as u64
    }
}
