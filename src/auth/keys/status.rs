//! [`KeyStatus`]: the state of an issuer's keys, for operators and metrics.

use std::{sync::Arc, time::Duration};

use crate::auth::keys::left_out::LeftOut;

/// The state of an issuer's keys, as returned by [`Auth::status`](crate::auth::Auth::status).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The issuer.
    pub issuer: String,
    /// The number of usable keys. If it is 0, every JWT of this issuer gets a 503.
    pub keys: usize,
    /// False if the issuer has introspection of opaque tokens only, and its metadata have no
    /// `jwks_uri` (RFC 8414 §2). It then needs no keys, because its tokens are opaque.
    pub required: bool,
    /// The keys that were left out of the current set, and why. Valid keys for algorithms that are
    /// not allowed are not included here, nor counted in `keys`.
    pub left_out: Arc<[LeftOut]>,
    /// Time since the start of the fetch that last confirmed the keys. `None` if there are no keys,
    /// or if they are fixed.
    pub age: Option<Duration>,
    /// Time until the next fetch is due. `None` if the keys are fixed.
    pub next_fetch: Option<Duration>,
    /// Why the last fetch failed, as a sentence for operators. If the keys were fetched from the
    /// known address because discovery failed, the error of discovery. `None` if both succeeded.
    /// URLs in it have no user information and no query, and at most 80 characters of the issuer's
    /// response are quoted.
    pub last_error: Option<String>,
    /// [`last_error`](Self::last_error) as a word from a fixed list (`timeout`, `status`,
    /// `wrong_issuer`, …) that is safe to publish.
    pub last_error_code: Option<&'static str>,
    /// The results of the fetches so far.
    pub fetches: Fetches,
}

/// Counts the key fetches of an issuer since the start, by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetches {
    /// Fetches that returned a new set.
    pub replaced: u64,
    /// Fetches that found the set unchanged.
    pub confirmed: u64,
    /// Fetches that returned no usable set.
    pub failed: u64,
    /// Unknown `kid`s, wrong signatures and other tokens without a fitting key that did not cause a
    /// fetch, because the budget was spent or the issuer's `Retry-After` had not passed.
    pub refused: u64,
}

impl KeyStatus {
    pub(crate) fn fixed(issuer: &str, keys: usize, left_out: Arc<[LeftOut]>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            keys,
            required: true,
            left_out,
            age: None,
            next_fetch: None,
            last_error: None,
            last_error_code: None,
            fetches: Fetches::default(),
        }
    }
}
