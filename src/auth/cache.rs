//! Tokens already verified, invisible but for speed.
//!
//! A hit is the whole token, compared byte for byte under a randomly keyed hash. What time decides
//! is decided on every hit as on the first; an entry whose key set is no longer the current one is
//! verified again. Refused tokens are not remembered, and a token whose header no verified token
//! ever had is not even hashed, so that strangers fill nothing and cost nothing here.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use quick_cache::{Equivalent, Weighter, sync};

use super::verified::Verified;

/// What the tokens of an issuer are worth in memory, on the average: 1 KiB of token, its payload.
const AVERAGE: u64 = 1536;

#[derive(Debug)]
pub(crate) struct Cache {
    headers: Headers,
    /// None where it is turned off.
    tokens: Option<sync::Cache<Token, Arc<Verified>, Bytes>>,
    hits: AtomicU64,
}

impl Cache {
    /// Remembers some `tokens` of average size, or as many as weigh the same.
    pub(crate) fn new(tokens: usize) -> Self {
        let bytes = (tokens as u64).saturating_mul(AVERAGE);
        Self {
            headers: Headers::default(),
            tokens: (tokens > 0).then(|| sync::Cache::with_weighter(tokens, bytes, Bytes)),
            hits: AtomicU64::new(0),
        }
    }

    /// What the header segment of a verified token said.
    pub(crate) fn header(&self, segment: &[u8]) -> Option<KnownHeader> {
        self.headers.find(segment)
    }

    /// Whether a verified token has had this header.
    pub(crate) fn may_know(&self, segment: &[u8]) -> bool {
        self.headers.has(segment)
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
        self.headers.add(segment, header);
        if let Some(tokens) = &self.tokens {
            tokens.insert(Token(token.into()), Arc::clone(verified));
        }
    }

    /// An entry that is of no use any more gives its room back.
    pub(crate) fn forget(&self, token: &[u8]) {
        if let Some(tokens) = &self.tokens {
            tokens.remove(&Asked(token));
        }
    }
}

/// A verified token, whole.
#[derive(Debug, PartialEq, Eq)]
struct Token(Box<[u8]>);

/// One that is looked for.
struct Asked<'t>(&'t [u8]);

impl Hash for Token {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        Asked(&self.0).hash(hasher);
    }
}

/// By its end, which is of its signature: no two verified tokens have that in common, whoever chose
/// what they say, and hashing all of it takes longer than to compare it. Looking for one that ends as
/// another does finds another, once compared.
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

/// Weighs an entry by what it holds in memory. Small ones weigh a kibibyte, so that their number
/// has a bound as well.
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

/// The header segments of the tokens verified last: all tokens under one key have the same, so a
/// handful is all there is. Read without a lock.
#[derive(Debug, Default)]
struct Headers(ArcSwap<Vec<(Box<[u8]>, KnownHeader)>>);

impl Headers {
    const MOST: usize = 16;

    fn find(&self, segment: &[u8]) -> Option<KnownHeader> {
        let known = self.0.load();
        let mut known = known.iter();
        let (_, header) = known.find(|(known, _)| **known == *segment)?;
        Some(header.clone())
    }

    fn has(&self, segment: &[u8]) -> bool {
        let known = self.0.load();
        known.iter().any(|(known, _)| **known == *segment)
    }

    fn add(&self, segment: &[u8], header: &KnownHeader) {
        if self.has(segment) {
            return;
        }
        self.0.rcu(|known| {
            let newest = [(Box::from(segment), header.clone())].into_iter();
            newest
                .chain(known.iter().cloned())
                .take(Self::MOST)
                .collect::<Vec<_>>()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_few_and_the_newest() {
        let headers = Headers::default();
        let header = KnownHeader {
            algorithm: Algorithm::RS256,
            kid: None,
        };
        for segment in 0..100 {
            headers.add(segment.to_string().as_bytes(), &header);
        }
        assert_eq!(headers.find(b"99"), Some(header));
        assert_eq!(headers.find(b"83"), None);
        assert_eq!(headers.0.load().len(), Headers::MOST);
    }
}
