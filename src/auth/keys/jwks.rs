//! The key set of one issuer, kept fresh.
//!
//! A request never waits for a known key: it reads the set without a lock, and one task, the keeper,
//! replaces the set. A request whose key is unknown asks the keeper for a fetch. Such fetches run one
//! at a time and are paid from a small budget, so that a flood of made-up `kid`s costs the issuer a
//! handful of requests. A request that finds no set at all asks in the same way. A failed fetch
//! replaces nothing: the last good set is used for as long as `schedule.rs` allows.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use reqwest::Url;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::algorithm::Algorithm;
use crate::auth::{
    error::AuthError,
    keys::{
        fetch::{FetchError, Fetcher},
        key_set::{Key, KeySet, Miss},
        refresher::Keeper,
        schedule::{Asked, Discovery, Policy, Schedule},
    },
};

/// How long a request waits for a fetch.
const PATIENCE: Duration = Duration::from_secs(3);

/// The origin of a key set.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The address that the issuer's metadata name.
    Discovery,
    /// A known address.
    Address(Url),
    /// A file, read again where it has changed.
    File(PathBuf),
}

/// A key set and the task that keeps it; the task ends with the last of its owners.
#[derive(Debug)]
pub(crate) struct Jwks {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

impl Drop for Jwks {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Jwks {
    /// Starts the keeper, within a tokio runtime, and the first fetch with it.
    pub(crate) fn keep(settings: Settings) -> Self {
        let discovers = matches!(settings.source, Source::Discovery);
        let mut schedule = Schedule::new(settings.policy, discovers, Instant::now(), settings.seed);
        // A request that arrives before the keeper first runs waits for this fetch.
        schedule.fetch();
        let shared = Arc::new(Shared {
            settings,
            held: ArcSwapOption::empty(),
            schedule: Mutex::new(schedule),
            asked: Notify::new(),
            landed: watch::Sender::new(()),
            record: Mutex::default(),
            unpaid: AtomicU64::new(0),
        });
        let keeper = tokio::spawn(Keeper::new(Arc::clone(&shared)).keep());
        Self { shared, keeper }
    }

    /// The key for a header's `alg` and `kid`: at once where it is known, after a fetch where one
    /// can be had.
    pub(crate) async fn key(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
    ) -> Result<Arc<Key>, AuthError> {
        match self.shared.look(alg, kid) {
            Look::Found(key) => Ok(key),
            Look::Refused(error) => Err(error),
            Look::Broken => {
                self.doubt("a broken key was named");
                Err(AuthError::AlgorithmNotAllowed)
            }
            Look::Missing => match self.shared.fetch_for(alg, kid, None) {
                Fetch::Needless(verdict) => verdict,
                // Boxed because it is rare: otherwise every request's future would have room for it.
                Fetch::Waited(flight) => {
                    Box::pin(self.shared.key_after_fetch(alg, kid, flight)).await
                }
            },
        }
    }

    /// Asks for a fetch in the background, if the budget has a unit left: the issuer may have replaced
    /// a key under its old name, or fixed a broken one. Nobody waits for this fetch, so it repeats
    /// discovery at once instead of in a follow-up.
    pub(crate) fn doubt(&self, why: &'static str) {
        let asked = {
            let mut schedule = self.shared.schedule();
            schedule.ask(Discovery::First, Instant::now())
        };
        match asked {
            Asked::Wait { started: true, .. } => self.shared.wake_keeper(why),
            Asked::Wait { .. } | Asked::Settled => {}
            Asked::Refused => self.shared.unpaid(),
        }
    }

    /// Fetches now, whatever the schedule says. The fetch begins after this call, even if another one
    /// is in flight, and repeats discovery.
    pub(crate) fn refresh(&self) {
        self.shared.schedule().refresh();
        self.shared.asked.notify_one();
    }

    /// Returns when a set is held.
    pub(crate) async fn ready(&self) {
        let mut landed = self.shared.landed.subscribe();
        while self.shared.held.load().is_none() {
            // The sender lives as long as we do.
            if landed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns when the first fetch has ended, well or not.
    #[cfg(feature = "service")]
    pub(crate) async fn settled(&self) {
        let mut landed = self.shared.landed.subscribe();
        while self.shared.held.load().is_none() && self.shared.record().error.is_none() {
            // The sender lives as long as we do.
            if landed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Why the last fetch failed, if it did.
    #[cfg(feature = "service")]
    pub(crate) fn last_error(&self) -> Option<FetchError> {
        self.shared.record().error.clone()
    }

    /// The names of the usable keys that are held.
    #[cfg(feature = "service")]
    pub(crate) fn kids(&self) -> Vec<String> {
        let held = self.shared.held.load();
        held.as_ref().map_or_else(Vec::new, |held| held.kids())
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.shared.settings.issuer
    }

    /// Of the set that is held, if one is.
    pub(crate) fn generation(&self) -> Option<u64> {
        let held = self.shared.held.load();
        held.as_ref().map(|held| held.generation())
    }

    pub(crate) fn status(&self) -> KeyStatus {
        let now = Instant::now();
        let held = self.shared.held.load();
        // Before the record and not with it: the keeper takes the two in that order.
        let next_fetch = self.shared.schedule().until_next(now);
        let record = self.shared.record();
        KeyStatus {
            issuer: self.issuer().to_owned(),
            keys: held.as_ref().map_or(0, |held| held.usable()),
            age: record
                .confirmed
                .filter(|_| held.is_some())
                .map(|confirmed| now.saturating_duration_since(confirmed)),
            next_fetch: Some(next_fetch),
            last_error: record.error.as_ref().map(ToString::to_string),
            last_error_code: record.error.as_ref().map(FetchError::word),
            fetches: Fetches {
                refused: self.shared.unpaid.load(Relaxed),
                ..record.fetches
            },
        }
    }
}

/// The state of one issuer's keys, as returned by `Auth::status`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The issuer.
    pub issuer: String,
    /// How many usable keys are held; 0: not ready.
    pub keys: usize,
    /// Time since the fetch began that last confirmed the keys. `None` if no keys are held, or if they
    /// are fixed.
    pub age: Option<Duration>,
    /// Time until the next fetch is due. `None` if the keys are fixed.
    pub next_fetch: Option<Duration>,
    /// Why the last fetch failed, if it did: a sentence for operators. It names addresses, without
    /// user information and query, and quotes at most 80 characters of what the issuer sent.
    pub last_error: Option<String>,
    /// Why the last fetch failed, if it did, as one word of a fixed list (`timeout`, `status`,
    /// `wrong_issuer`, …) that anybody may read.
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
    pub(crate) fn fixed(issuer: &str, keys: usize) -> Self {
        Self {
            issuer: issuer.to_owned(),
            keys,
            age: None,
            next_fetch: None,
            last_error: None,
            last_error_code: None,
            fetches: Fetches::default(),
        }
    }
}

/// The settings of one issuer's key set.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) issuer: Arc<str>,
    pub(crate) source: Source,
    pub(crate) algorithms: Arc<[Algorithm]>,
    pub(crate) policy: Policy,
    /// One whole fetch, discovery included.
    pub(crate) timeout: Duration,
    /// For the schedule's jitter.
    pub(crate) seed: u64,
    pub(crate) fetcher: Arc<Fetcher>,
}

/// The part that requests and the keeper share.
#[derive(Debug)]
pub(in crate::auth) struct Shared {
    pub(in crate::auth) settings: Settings,
    pub(in crate::auth) held: ArcSwapOption<KeySet>,
    pub(in crate::auth) schedule: Mutex<Schedule>,
    /// Wakes the keeper.
    pub(in crate::auth) asked: Notify,
    /// Tells waiting requests that a fetch has ended.
    pub(in crate::auth) landed: watch::Sender<()>,
    pub(in crate::auth) record: Mutex<Record>,
    /// Fetches that the budget had nothing left for.
    pub(in crate::auth) unpaid: AtomicU64,
}

/// For `status` alone.
#[derive(Debug, Default)]
pub(in crate::auth) struct Record {
    /// When the fetch began that last confirmed the set.
    pub(in crate::auth) confirmed: Option<Instant>,
    pub(in crate::auth) error: Option<FetchError>,
    pub(in crate::auth) fetches: Fetches,
}

enum Look {
    Found(Arc<Key>),
    Refused(AuthError),
    /// The key with this `kid` is broken.
    Broken,
    /// No set, or one that does not know this `kid`.
    Missing,
}

impl Shared {
    fn look(&self, alg: Algorithm, kid: Option<&str>) -> Look {
        let held = self.held.load();
        let Some(held) = held.as_ref() else {
            return Look::Missing;
        };
        match held.find(alg, kid) {
            Ok(key) => Look::Found(Arc::clone(key)),
            Err(Miss::UnknownKid) => Look::Missing,
            Err(Miss::NotForIt) => Look::Refused(AuthError::AlgorithmNotAllowed),
            Err(Miss::Broken) => Look::Broken,
            Err(Miss::Ambiguous) => Look::Refused(AuthError::UnknownKey),
        }
    }

    async fn key_after_fetch(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
        mut flight: Flight,
    ) -> Result<Arc<Key>, AuthError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if timeout_at(deadline, flight.landed.changed()).await.is_err() {
                return Err(self.missing());
            }
            match self.look(alg, kid) {
                Look::Found(key) => return Ok(key),
                Look::Refused(error) => return Err(error),
                // Not asked about again: this set was fetched a moment ago.
                Look::Broken => return Err(AuthError::AlgorithmNotAllowed),
                Look::Missing => {}
            }
            flight = match self.fetch_for(alg, kid, Some(flight.fresh)) {
                Fetch::Waited(flight) => flight,
                Fetch::Needless(verdict) => return verdict,
            };
        }
    }

    /// Joins the fetch in flight, or starts one if the budget allows. `fresh` is from the fetch that
    /// the request has waited for, if it has.
    fn fetch_for(&self, alg: Algorithm, kid: Option<&str>, fresh: Option<u64>) -> Fetch {
        let mut schedule = self.schedule();
        // Under the lock: a fetch that has ended since we looked is neither paid for again nor missed.
        if let Look::Found(key) = self.look(alg, kid) {
            return Fetch::Needless(Ok(key));
        }
        let now = Instant::now();
        let asked = match fresh {
            None => schedule.ask(Discovery::Skip, now),
            Some(fresh) => schedule.ask_again(fresh, now),
        };
        match asked {
            Asked::Wait { fresh, started } => {
                if started {
                    self.wake_keeper("a request lacks its key");
                }
                // Still under the lock, without which no fetch ends.
                let landed = self.landed.subscribe();
                return Fetch::Waited(Flight { fresh, landed });
            }
            // Without a set, no `kid` is unknown: `Fetches::refused` is about unknown ones.
            Asked::Refused if self.held.load().is_some() => self.unpaid(),
            Asked::Refused | Asked::Settled => {}
        }
        // `missing` locks the schedule itself.
        drop(schedule);
        Fetch::Needless(Err(self.missing()))
    }

    /// Returns the error for a request that found no key. Without a set it is not the caller's fault.
    fn missing(&self) -> AuthError {
        if self.held.load().is_some() {
            return AuthError::UnknownKey;
        }
        AuthError::KeysUnavailable {
            retry_after: self.schedule().retry_after(Instant::now()),
        }
    }

    fn wake_keeper(&self, why: &'static str) {
        tracing::debug!(
            issuer = &*self.settings.issuer,
            why,
            "refreshing the key set"
        );
        self.asked.notify_one();
    }

    fn unpaid(&self) {
        self.unpaid.fetch_add(1, Relaxed);
    }

    pub(in crate::auth) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::auth) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Fetch {
    Waited(Flight),
    /// There is nothing to wait for.
    Needless(Result<Arc<Key>, AuthError>),
}

/// A fetch in flight that a request waits for.
struct Flight {
    /// The number of the first fetch that begins after the request's question.
    fresh: u64,
    landed: watch::Receiver<()>,
}
