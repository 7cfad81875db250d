//! [`Answers`]: the cached answers about one issuer's tokens.
//!
//! Entries are found by the SHA-256 of the token, so that no token is kept. Only the budget and the
//! issuer's own active tokens decide how fast entries are added, so strangers cannot evict much. An
//! active entry stays after its time: its token is known, and asking about it again needs no
//! budget.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use quick_cache::{Weighter, sync};
use tokio::time::Instant;

use crate::auth::{error::AuthError, token::payload::Verified};

/// The number of entries of average size.
const ENTRIES: usize = 10_000;

/// The memory of all entries.
const MEMORY: u64 = 16 * 1024 * 1024;

/// How long a refusal is cached.
pub(super) const REFUSED: Duration = Duration::from_secs(5);

/// The SHA-256 of a token.
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

/// What verification returns for a token: its claims, or the error.
pub(super) type Verdict = Result<Arc<Verified>, AuthError>;

/// The cached answers.
#[derive(Debug)]
pub(super) struct Answers(sync::Cache<TokenHash, Entry, Bytes>);

#[derive(Debug, Clone)]
struct Entry {
    verdict: Verdict,
    until: Instant,
}

/// What is known about a token.
pub(super) enum Known {
    /// An answer that is still fresh.
    Fresh(Verdict),
    /// The token was active when the endpoint was last asked.
    Before,
    Nothing,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self(sync::Cache::with_weighter(ENTRIES, MEMORY, Bytes))
    }

    pub(super) fn get(&self, token: TokenHash, now: Instant) -> Known {
        match self.0.get(&token) {
            Some(entry) if now < entry.until => Known::Fresh(entry.verdict),
            Some(Entry { verdict: Ok(_), .. }) => Known::Before,
            _ => Known::Nothing,
        }
    }

    pub(super) fn insert(&self, token: TokenHash, verdict: Verdict, until: Instant) {
        self.0.insert(token, Entry { verdict, until });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Weighs an entry by its memory.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<TokenHash, Entry> for Bytes {
    fn weight(&self, _: &TokenHash, entry: &Entry) -> u64 {
        const OWN: usize = 256;
        let verified = entry.verdict.as_ref().map_or(0, |verified| verified.size());
        (OWN + verified) as u64
    }
}
