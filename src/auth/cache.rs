//! A cache of verified tokens. It changes the speed of verification and nothing else.
//!
//! A hit is the whole token, compared byte for byte under a randomly keyed hash. What time decides
//! is decided on every hit as on the first; an entry whose key set is no longer the current one is
//! verified again. Refused tokens are not remembered, so strangers fill nothing here. Looking one up
//! hashes 16 bytes of it, however many keys and headers are live.
//!
//! Apart from the tokens there are the headers of verified tokens, which spare a new token the reading
//! of its own. Both have a bound in memory.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::{Equivalent, Weighter, sync};

use crate::algorithm::Algorithm;
use crate::auth::token::payload::Verified;

/// The bytes that a token of average size takes in memory: 1 KiB of token, and its payload.
const AVERAGE: u64 = 1536;

/// How many headers are remembered. All tokens under one key usually have the same.
const HEADERS: usize = 512;

/// How many bytes a header segment may have to be remembered: 256 KiB for all of them.
const LONGEST_HEADER: usize = 512;

#[derive(Debug)]
pub(crate) struct Cache {
    headers: sync::Cache<Box<[u8]>, KnownHeader>,
    /// `None` if the cache is turned off.
    tokens: Option<sync::Cache<Token, Arc<Verified>, Bytes>>,
    hits: AtomicU64,
}

impl Cache {
    /// Creates a cache for `tokens` tokens of average size, or as many as weigh the same.
    pub(crate) fn new(tokens: usize) -> Self {
        let bytes = (tokens as u64).saturating_mul(AVERAGE);
        Self {
            headers: sync::Cache::new(HEADERS),
            tokens: (tokens > 0).then(|| sync::Cache::with_weighter(tokens, bytes, Bytes)),
            hits: AtomicU64::new(0),
        }
    }

    /// Returns what this header segment says, if a verified token has had it.
    pub(crate) fn header(&self, segment: &[u8]) -> Option<KnownHeader> {
        self.headers.get(segment)
    }

    pub(crate) fn token(&self, token: &[u8]) -> Option<Arc<Verified>> {
        self.tokens.as_ref()?.get(&Asked(token))
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.as_ref().map_or(0, sync::Cache::len)
    }

    /// How many tokens were found and still good.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(crate) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Called once in `verifier.rs`, after the signature.
    pub(crate) fn remember(
        &self,
        token: &[u8],
        segment: &[u8],
        header: &KnownHeader,
        verified: &Arc<Verified>,
    ) {
        self.remember_header(segment, header);
        if let Some(tokens) = &self.tokens {
            tokens.insert(Token(token.into()), Arc::clone(verified));
        }
    }

    fn remember_header(&self, segment: &[u8], header: &KnownHeader) {
        if segment.len() <= LONGEST_HEADER && !self.headers.contains_key(segment) {
            self.headers.insert(segment.into(), header.clone());
        }
    }

    /// Removes an entry that no longer counts.
    pub(crate) fn forget(&self, token: &[u8]) {
        if let Some(tokens) = &self.tokens {
            tokens.remove(&Asked(token));
        }
    }
}

/// A verified token, whole.
#[derive(Debug, PartialEq, Eq)]
struct Token(Box<[u8]>);

/// A token that is looked up.
struct Asked<'t>(&'t [u8]);

impl Hash for Token {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        Asked(&self.0).hash(hasher);
    }
}

/// Hashes only the last 16 bytes, which belong to the signature and differ between verified tokens.
/// Hashing the whole token would cost more than comparing it, which a hit does anyway.
impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        const END: usize = 16;
        hasher.write(&self.0[self.0.len().saturating_sub(END)..]);
    }
}

impl Equivalent<Token> for Asked<'_> {
    fn equivalent(&self, token: &Token) -> bool {
        *self.0 == *token.0
    }
}

/// Weighs an entry by the memory it takes. Small entries weigh 1 KiB, which limits their number too.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Token, Arc<Verified>> for Bytes {
    fn weight(&self, token: &Token, verified: &Arc<Verified>) -> u64 {
        const LEAST: usize = 1024;
        (token.0.len() + verified.size()).max(LEAST) as u64
    }
}

/// A header that passed its checks, as the segment it came in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KnownHeader {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Arc<str>>,
}

impl fmt::Debug for KnownHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownHeader")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: KnownHeader = KnownHeader {
        algorithm: Algorithm::RS256,
        kid: None,
    };

    #[test]
    fn remembers_more_headers_than_an_issuer_has_and_not_any_number() {
        let cache = Cache::new(0);
        for segment in 0..100 {
            cache.remember_header(segment.to_string().as_bytes(), &HEADER);
        }
        for segment in 0..100 {
            let known = cache.header(segment.to_string().as_bytes());
            assert_eq!(known, Some(HEADER), "{segment}");
        }
        for segment in 0..10_000 {
            cache.remember_header(segment.to_string().as_bytes(), &HEADER);
        }
        assert!(cache.headers.len() <= HEADERS);
    }

    #[test]
    fn does_not_remember_a_long_header() {
        let cache = Cache::new(0);
        cache.remember_header(&[b'a'; LONGEST_HEADER], &HEADER);
        cache.remember_header(&[b'a'; LONGEST_HEADER + 1], &HEADER);
        assert_eq!(cache.headers.len(), 1);
    }
}
