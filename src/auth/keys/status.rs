//! [`KeyStatus`]: the state of one issuer's keys, for operators and metrics.

use std::{sync::Arc, time::Duration};

use crate::auth::keys::left_out::LeftOut;

/// The state of one issuer's keys, as returned by `Auth::status`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The issuer.
    pub issuer: String,
    /// The number of usable keys that are held. The issuer is ready unless it is 0.
    pub keys: usize,
    /// The keys of the held set that are left out, with the reasons. Keys that are valid and for an
    /// algorithm that is not allowed are neither here nor in `keys`.
    pub left_out: Arc<[LeftOut]>,
    /// Time since the fetch began that last confirmed the keys. `None` if no keys are held, or if
    /// they are fixed.
    pub age: Option<Duration>,
    /// Time until the next fetch is due. `None` if the keys are fixed.
    pub next_fetch: Option<Duration>,
    /// Why the last fetch failed, if it did: a sentence for operators. It names addresses, without
    /// user information and query, and quotes at most 80 characters of what the issuer sent.
    pub last_error: Option<String>,
    /// Why the last fetch failed, if it did, as one word of a fixed list (`timeout`, `status`,
    /// `wrong_issuer`, …) that is safe to publish.
    pub last_error_code: Option<&'static str>,
    /// The outcomes of the fetches so far.
    pub fetches: Fetches,
}

/// The outcomes of the fetches of one issuer's keys since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetches {
    /// Fetches that brought a new set. Equals the generation of the set.
    pub replaced: u64,
    /// Fetches that found the held set unchanged.
    pub confirmed: u64,
    /// Fetches that brought no usable set.
    pub failed: u64,
    /// Unknown `kid`s and wrong signatures that the budget had no fetch for.
    pub refused: u64,
}

impl KeyStatus {
    /// Returns the status of fixed keys, which are never fetched.
    pub(crate) fn fixed(issuer: &str, keys: usize, left_out: Arc<[LeftOut]>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            keys,
            left_out,
            age: None,
            next_fetch: None,
            last_error: None,
            last_error_code: None,
            fetches: Fetches::default(),
        }
    }
}
