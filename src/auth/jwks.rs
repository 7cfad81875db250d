//! The key set of one issuer, kept fresh.
//!
//! A known key is never waited for: the set is read without a lock, and one task, the keeper,
//! replaces it. An unknown `kid` asks the keeper for a fetch, one at a time and paid from a small
//! budget, so a flood of made-up ones costs the issuer a handful of requests. A fetch that fails
//! takes nothing away: the last good set stays for as long as `schedule.rs` says.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use reqwest::{Url, header::HeaderValue};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::{
    AuthError, discovery,
    fetch::{Answer, FetchError, Fetcher},
    keys::{Key, KeySet, Miss},
    schedule::{Asked, Due, Policy, Schedule},
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
        let schedule = Schedule::new(settings.policy, Instant::now(), settings.seed);
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
            Look::Missing => self.shared.key_after_fetch(alg, kid).await,
        }
    }

    /// A signature under a known `kid` was wrong. Issuers do replace a key under its old name, so
    /// the set is looked at again in the background, if the budget has something left.
    pub(crate) fn doubt(&self) {
        let asked = self.shared.schedule().ask(Instant::now());
        match asked {
            Asked::Joined(_) => {}
            Asked::Refused => self.shared.unpaid(),
            Asked::Started => {
                tracing::debug!(
                    issuer = self.issuer(),
                    "wrong signature; refreshing the key set"
                );
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
    /// Why the last fetch failed, if it did. A sentence about the issuer, for operators.
    pub last_error: Option<String>,
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
struct Shared {
    settings: Settings,
    held: ArcSwapOption<KeySet>,
    schedule: Mutex<Schedule>,
    /// Wakes the keeper.
    asked: Notify,
    /// Tells those who wait that a fetch has ended.
    landed: watch::Sender<Landing>,
    record: Mutex<Record>,
    /// Fetches that the budget had nothing left for.
    unpaid: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Landing {
    succeeded: bool,
}

/// For `status` alone.
#[derive(Debug, Default)]
struct Record {
    confirmed: Option<Instant>,
    error: Option<FetchError>,
    fetches: Fetches,
}

enum Look {
    Found(Arc<Key>),
    Refused(AuthError),
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
            Err(Miss::Ambiguous) => Look::Refused(AuthError::UnknownKey),
        }
    }

    async fn key_after_fetch(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
    ) -> Result<Arc<Key>, AuthError> {
        let arrived = Instant::now();
        let deadline = arrived + PATIENCE;
        loop {
            let (began, mut landed) = match self.fetch_for(alg, kid) {
                Fetch::Waited { began, landed } => (began, landed),
                Fetch::Needless(key) => return Ok(key),
                Fetch::None => return Err(self.missing()),
            };
            if timeout_at(deadline, landed.changed()).await.is_err() {
                return Err(self.missing());
            }
            let succeeded = landed.borrow().succeeded;
            match self.look(alg, kid) {
                Look::Found(key) => return Ok(key),
                Look::Refused(error) => return Err(error),
                // A fetch that began before we came may have missed a key that was added since.
                Look::Missing if succeeded && began < arrived => {}
                Look::Missing => return Err(self.missing()),
            }
        }
    }

    /// Joins the fetch under way, or starts one if the budget allows.
    fn fetch_for(&self, alg: Algorithm, kid: Option<&str>) -> Fetch {
        let now = Instant::now();
        let mut schedule = self.schedule();
        // Under the lock: a fetch that landed since we looked is neither paid for again nor missed.
        if let Look::Found(key) = self.look(alg, kid) {
            return Fetch::Needless(key);
        }
        let landed = self.landed.subscribe();
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
                    tracing::debug!(
                        issuer = &*self.settings.issuer,
                        "unknown kid; refreshing the key set"
                    );
                    self.asked.notify_one();
                    Some(now)
                }
            }
        };
        began.map_or(Fetch::None, |began| Fetch::Waited { began, landed })
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

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Fetch {
    Waited {
        began: Instant,
        landed: watch::Receiver<Landing>,
    },
    Needless(Arc<Key>),
    None,
}

/// The one task that fetches.
struct Keeper {
    shared: Arc<Shared>,
    /// The address that discovery found; asked for again after a failure.
    address: Option<Url>,
    etag: Option<HeaderValue>,
    /// What the set that is held was made of.
    document: Vec<u8>,
    generation: u64,
}

impl Keeper {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            address: None,
            etag: None,
            document: Vec::new(),
            generation: 0,
        }
    }

    async fn keep(mut self) {
        loop {
            let due = {
                let schedule = self.shared.schedule();
                schedule.under_way().is_none().then(|| schedule.due())
            };
            match due {
                None => self.fly().await,
                Some(Due::Fetch(at)) => {
                    if self.nobody_asks_until(at).await {
                        self.shared.schedule().begin(Instant::now());
                    }
                }
                Some(Due::Drop(at)) => {
                    if self.nobody_asks_until(at).await {
                        self.drop_held();
                    }
                }
            }
        }
    }

    async fn nobody_asks_until(&self, at: Instant) -> bool {
        // A timer rounds up to its next tick; what is due is due.
        if at <= Instant::now() {
            return true;
        }
        tokio::select! {
            () = self.shared.asked.notified() => false,
            () = sleep_until(at) => true,
        }
    }

    async fn fly(&mut self) {
        let limit = self.shared.settings.timeout;
        let outcome = match timeout(limit, self.fetch()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::TimedOut(limit)),
        };
        let succeeded = outcome.is_ok();
        match outcome {
            Ok(fetched) => self.land(fetched),
            Err(error) => self.fail(error),
        }
        self.shared.landed.send_replace(Landing { succeeded });
    }

    async fn fetch(&mut self) -> Result<Fetched, FetchError> {
        let fetcher = Arc::clone(&self.shared.settings.fetcher);
        let address = match &self.shared.settings.source {
            Source::File(path) => return self.read(&path.clone()).await,
            Source::Address(address) => address.clone(),
            Source::Discovery => match &self.address {
                Some(address) => address.clone(),
                None => discovery::jwks_uri(&fetcher, &self.shared.settings.issuer).await?,
            },
        };
        let answer = fetcher.get(&address, self.etag.as_ref()).await?;
        let outcome = match answer {
            Answer::NotModified { max_age } => Fetched { set: None, max_age },
            Answer::Document {
                body,
                etag,
                max_age,
            } => {
                let set = self.parse(body, address.as_str())?;
                self.etag = etag;
                Fetched { set, max_age }
            }
        };
        self.address = Some(address);
        Ok(outcome)
    }

    async fn read(&mut self, path: &Path) -> Result<Fetched, FetchError> {
        let name = path.display().to_string();
        let document = tokio::fs::read(path)
            .await
            .map_err(|error| FetchError::File(name.clone(), error.kind()))?;
        let set = self.parse(document, &name)?;
        Ok(Fetched { set, max_age: None })
    }

    /// A set, unless it is the one that is held: then what was verified with it stays verified.
    fn parse(&mut self, document: Vec<u8>, from: &str) -> Result<Option<KeySet>, FetchError> {
        if document == self.document {
            return Ok(None);
        }
        let algorithms = &self.shared.settings.algorithms;
        let set = KeySet::parse(&document, algorithms, self.generation + 1)
            .map_err(|fault| FetchError::NoKeys(from.to_owned(), fault))?;
        self.generation += 1;
        self.document = document;
        Ok(Some(set))
    }

    fn land(&mut self, fetched: Fetched) {
        let now = Instant::now();
        let mut schedule = self.shared.schedule();
        let mut record = self.shared.record();
        if let Some(set) = fetched.set {
            self.tell(&set);
            self.shared.held.store(Some(Arc::new(set)));
            record.fetches.replaced += 1;
        } else {
            record.fetches.confirmed += 1;
        }
        schedule.succeeded(now, fetched.max_age);
        record.confirmed = Some(now);
        record.error = None;
    }

    fn tell(&self, set: &KeySet) {
        let issuer = &*self.shared.settings.issuer;
        for skipped in set.skipped() {
            let kid = skipped.kid.as_deref().unwrap_or_default();
            tracing::warn!(
                issuer,
                kid,
                reason = skipped.reason,
                "a key of the set is left out"
            );
        }
        let (keys, skipped) = (set.usable(), set.skipped().len());
        tracing::info!(issuer, keys, skipped, "key set fetched");
    }

    fn fail(&mut self, error: FetchError) {
        let now = Instant::now();
        // The keys may have moved.
        self.address = None;
        self.etag = None;
        let mut schedule = self.shared.schedule();
        schedule.failed(now, error.retry_after());
        tracing::warn!(
            issuer = &*self.shared.settings.issuer,
            error = %error,
            held = self.shared.held.load().is_some(),
            retry_in = ?schedule.retry_after(now),
            "key set not fetched"
        );
        let mut record = self.shared.record();
        record.fetches.failed += 1;
        record.error = Some(error);
    }

    fn drop_held(&mut self) {
        let mut schedule = self.shared.schedule();
        schedule.dropped();
        self.shared.held.store(None);
        self.etag = None;
        self.document.clear();
        tracing::error!(
            issuer = &*self.shared.settings.issuer,
            "the key set has been stale for too long and is dropped"
        );
    }
}

/// A set, or word that the one that is held is current.
struct Fetched {
    set: Option<KeySet>,
    max_age: Option<Duration>,
}
