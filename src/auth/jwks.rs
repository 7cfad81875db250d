//! The key set of one issuer, kept fresh.
//!
//! A known key is never waited for: the set is read without a lock, and one task, the keeper,
//! replaces it. An unknown `kid` asks the keeper for a fetch, one at a time and paid from a small
//! budget, so a flood of made-up ones costs the issuer a handful of requests. A fetch that fails
//! takes nothing away: the last good set stays for as long as `schedule.rs` says.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use reqwest::Url;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{
    AuthError,
    fetch::{FetchError, Fetcher},
    keeper::Keeper,
    keys::{Key, KeySet, Miss},
    schedule::{Asked, Policy, Schedule},
};

/// How long a request waits for a fetch.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a key set comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The issuer's metadata tells.
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
        let now = Instant::now();
        let mut schedule = Schedule::new(settings.policy, now, settings.seed);
        // Under way from here on, so that a request that comes before the keeper does waits for it.
        schedule.begin(now);
        let shared = Arc::new(Shared {
            settings,
            held: ArcSwapOption::empty(),
            schedule: Mutex::new(schedule),
            asked: Notify::new(),
            landed: watch::Sender::new(Landing::default()),
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
            Look::Missing => {
                let arrived = Instant::now();
                match self.shared.fetch_for(alg, kid, arrived) {
                    Fetch::Needless(verdict) => verdict,
                    // Boxed, since it is the exception: every request's future would have room for it.
                    Fetch::Waited(flight) => {
                        Box::pin(self.shared.key_after_fetch(alg, kid, arrived, flight)).await
                    }
                }
            }
        }
    }

    /// The set may not be what the issuer has by now: a signature under a known `kid` was wrong,
    /// and issuers do replace a key under its old name; or what has the name is broken, and issuers
    /// do mend. It is looked at again in the background, if the budget has something left.
    pub(crate) fn doubt(&self, why: &'static str) {
        let asked = self.shared.schedule().ask(Instant::now());
        match asked {
            Asked::Joined(_) => {}
            Asked::Refused => self.shared.unpaid(),
            Asked::Started => {
                tracing::debug!(issuer = self.issuer(), why, "refreshing the key set");
                self.shared.asked.notify_one();
            }
        }
    }

    /// Fetches now, whatever the schedule says.
    pub(crate) fn refresh(&self) {
        self.shared.schedule().begin(Instant::now());
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
        let next_fetch = self.shared.schedule().retry_after(now);
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

/// What `Auth::status` tells of one issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The issuer.
    pub issuer: String,
    /// How many usable keys are held; 0: not ready.
    pub keys: usize,
    /// Since when the issuer has not confirmed them; none where none are held, or where they are
    /// fixed.
    pub age: Option<Duration>,
    /// In how long the next fetch is due; none where the keys are fixed.
    pub next_fetch: Option<Duration>,
    /// Why the last fetch failed, if it did: a sentence for operators. It names addresses, without
    /// user information and query, and quotes at most 80 characters of what the issuer sent.
    pub last_error: Option<String>,
    /// Why the last fetch failed, if it did, as one word of a fixed list (`timeout`, `status`,
    /// `wrong_issuer`, …) that anybody may read.
    pub last_error_code: Option<&'static str>,
    /// What came of the fetches so far.
    pub fetches: Fetches,
}

/// What came of the fetches of one issuer's keys since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetches {
    /// A set was fetched and took the place of the one before: the generation of the set.
    pub replaced: u64,
    /// The set that is held was found to be current.
    pub confirmed: u64,
    /// No usable set came of it.
    pub failed: u64,
    /// Unknown `kid`s and wrong signatures that the budget had no fetch for.
    pub refused: u64,
}

impl KeyStatus {
    /// Of keys that nobody fetches.
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

/// What a key set needs to be kept.
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
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) held: ArcSwapOption<KeySet>,
    pub(super) schedule: Mutex<Schedule>,
    /// Wakes the keeper.
    pub(super) asked: Notify,
    /// Tells those who wait that a fetch has ended.
    pub(super) landed: watch::Sender<Landing>,
    pub(super) record: Mutex<Record>,
    /// Fetches that the budget had nothing left for.
    pub(super) unpaid: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Landing {
    pub(super) succeeded: bool,
}

/// For `status` alone.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) confirmed: Option<Instant>,
    pub(super) error: Option<FetchError>,
    pub(super) fetches: Fetches,
}

enum Look {
    Found(Arc<Key>),
    Refused(AuthError),
    /// What has this `kid` is broken.
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
        arrived: Instant,
        mut flight: Flight,
    ) -> Result<Arc<Key>, AuthError> {
        let deadline = arrived + PATIENCE;
        loop {
            if timeout_at(deadline, flight.landed.changed()).await.is_err() {
                return Err(self.missing());
            }
            let succeeded = flight.landed.borrow().succeeded;
            match self.look(alg, kid) {
                Look::Found(key) => return Ok(key),
                Look::Refused(error) => return Err(error),
                // The set is as new as it gets.
                Look::Broken => return Err(AuthError::AlgorithmNotAllowed),
                // A fetch that began before we came may have missed a key that was added since.
                Look::Missing if succeeded && flight.began < arrived => {}
                Look::Missing => return Err(self.missing()),
            }
            flight = match self.fetch_for(alg, kid, Instant::now()) {
                Fetch::Waited(flight) => flight,
                Fetch::Needless(verdict) => return verdict,
            };
        }
    }

    /// Joins the fetch under way, or starts one if the budget allows.
    fn fetch_for(&self, alg: Algorithm, kid: Option<&str>, now: Instant) -> Fetch {
        let mut schedule = self.schedule();
        // Under the lock: a fetch that landed since we looked is neither paid for again nor missed.
        if let Look::Found(key) = self.look(alg, kid) {
            return Fetch::Needless(Ok(key));
        }
        let began = if self.held.load().is_none() {
            // Without a set, time alone starts fetches: requests would only hurry a failing issuer.
            schedule.under_way()
        } else {
            match schedule.ask(now) {
                Asked::Joined(began) => Some(began),
                Asked::Refused => {
                    self.unpaid();
                    None
                }
                Asked::Started => {
                    let (issuer, why) = (&*self.settings.issuer, "an unknown kid was named");
                    tracing::debug!(issuer, why, "refreshing the key set");
                    self.asked.notify_one();
                    Some(now)
                }
            }
        };
        if let Some(began) = began {
            // Still under the lock, without which no fetch lands.
            let landed = self.landed.subscribe();
            return Fetch::Waited(Flight { began, landed });
        }
        // `missing` asks the schedule itself.
        drop(schedule);
        Fetch::Needless(Err(self.missing()))
    }

    /// What a request is told that found no key: without a set it is not the caller's fault.
    fn missing(&self) -> AuthError {
        if self.held.load().is_some() {
            return AuthError::UnknownKey;
        }
        AuthError::KeysUnavailable {
            retry_after: self.schedule().retry_after(Instant::now()),
        }
    }

    fn unpaid(&self) {
        self.unpaid.fetch_add(1, Relaxed);
    }

    pub(super) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Fetch {
    Waited(Flight),
    /// There is nothing to wait for.
    Needless(Result<Arc<Key>, AuthError>),
}

/// A fetch that is under way.
struct Flight {
    began: Instant,
    landed: watch::Receiver<Landing>,
}
