//! A cache of verified tokens, which only makes verification faster.
//!
//! A lookup hashes 16 bytes of the token under a random key, then compares the whole token byte for
//! byte. On a hit we check the times of the token again, and if the key set has changed, we verify
//! the whole token again. Rejected tokens aren't cached, or else an attacker could fill the cache
//! with them.
//!
//! A second cache holds the headers of verified tokens. Tokens often share a header, and this will
//! save parsing it every time. Both caches have bounded memory.

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

/// The memory of an average token in bytes: 1 KiB for the token, plus its payload.
const AVERAGE: u64 = 1536;

/// Maximum number of cached headers. Tokens signed with the same key usually share one header.
const HEADERS: usize = 512;

/// Maximum length of a cached header segment in bytes. Limits the header cache to 256 KiB.
const MAX_HEADER_LEN: usize = 512;

#[derive(Debug)]
pub(crate) struct Cache {
    headers: sync::Cache<Box<[u8]>, KnownHeader>,
    /// `None` if the cache is turned off.
    tokens: Option<sync::Cache<Token, Arc<Verified>, Bytes>>,
    hits: AtomicU64,
}

impl Cache {
    /// `tokens` counts tokens of average size. A larger token counts as several.
    pub(crate) fn new(tokens: usize) -> Self {
        let bytes = (tokens as u64).saturating_mul(AVERAGE);
        Self {
            headers: sync::Cache::new(HEADERS),
            tokens: (tokens > 0).then(|| sync::Cache::with_weighter(tokens, bytes, Bytes)),
            hits: AtomicU64::new(0),
        }
    }

    /// The parsed header of this segment, if a verified token had the same one.
    pub(crate) fn header(&self, segment: &[u8]) -> Option<KnownHeader> {
        self.headers.get(segment)
    }

    pub(crate) fn token(&self, token: &[u8]) -> Option<Arc<Verified>> {
        self.tokens.as_ref()?.get(&Lookup(token))
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.as_ref().map_or(0, sync::Cache::len)
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    pub(crate) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// The caller must have verified the token's signature.
    pub(crate) fn remember(&self, token: &[u8], verified: &Arc<Verified>) {
        if let Some(tokens) = &self.tokens {
            tokens.insert(Token(token.into()), Arc::clone(verified));
        }
    }

    /// As above, only for tokens with a verified signature
    pub(crate) fn remember_header(&self, segment: &[u8], header: &KnownHeader) {
        if segment.len() <= MAX_HEADER_LEN {
            self.headers.insert(segment.into(), header.clone());
        }
    }

    pub(crate) fn forget(&self, token: &[u8]) {
        if let Some(tokens) = &self.tokens {
            tokens.remove(&Lookup(token));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Token(Box<[u8]>);

struct Lookup<'t>(&'t [u8]);

impl Hash for Token {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        Lookup(&self.0).hash(hasher);
    }
}

/// Hashes only the last 16 bytes, which belong to the signature and differ between verified tokens.
/// Hashing the whole token would cost more than comparing it, and a hit has to do that anyway.
impl Hash for Lookup<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        const END: usize = 16;
        hasher.write(&self.0[self.0.len().saturating_sub(END)..]);
    }
}

impl Equivalent<Token> for Lookup<'_> {
    fn equivalent(&self, token: &Token) -> bool {
        *self.0 == *token.0
    }
}

/// Weighs an entry by its memory, but never below 1 KiB, which also limits the number of entries.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Token, Arc<Verified>> for Bytes {
    fn weight(&self, token: &Token, verified: &Arc<Verified>) -> u64 {
        const MIN_WEIGHT: usize = 1024;
        (token.0.len() + verified.size()).max(MIN_WEIGHT) as u64
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KnownHeader {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Arc<str>>,
    /// True if `typ` is `at+jwt` (RFC 9068).
    pub(crate) is_at_jwt: bool,
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
        is_at_jwt: false,
    };

    #[test]
    fn caches_many_headers_up_to_a_limit() {
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
    fn does_not_cache_a_long_header() {
        let cache = Cache::new(0);
        cache.remember_header(&[b'a'; MAX_HEADER_LEN], &HEADER);
        cache.remember_header(&[b'a'; MAX_HEADER_LEN + 1], &HEADER);
        assert_eq!(cache.headers.len(), 1);
    }
}
