//! The state that requests share with the refresher of an issuer.
//!
//! Requests read the set without a lock. Code that needs both mutexes must lock the schedule before
//! the record. Nothing should be logged while either of them is locked, because if the log output
//! is slow (e.g. a full pipe), this will delay requests.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use reqwest::Url;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::algorithm::Algorithm;
use crate::auth::keys::{
    fetch::{Access, FetchError, Fetcher},
    key_set::KeySet,
    schedule::{RefreshPolicy, Schedule},
    status::{Fetches, KeyStatus},
};

#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The URL in the issuer's metadata.
    Discovery,
    Address(Url),
    /// A file, which is read at every refresh.
    File(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) issuer: Arc<str>,
    pub(crate) source: Source,
    pub(crate) algorithms: Arc<[Algorithm]>,
    pub(crate) policy: RefreshPolicy,
    /// The timeout of a whole fetch, including discovery.
    pub(crate) timeout: Duration,
    pub(crate) seed: u64,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) access: Access,
    pub(crate) held: Option<Seed>,
    /// The URL that discovery found before a reload
    pub(crate) known: Option<KnownAddress>,
}

/// A document that is kept when the settings of an issuer change.
#[derive(Debug, Clone)]
pub(crate) struct Seed {
    pub(crate) document: Arc<[u8]>,
    /// The generation of the set parsed from it.
    pub(crate) generation: u64,
    /// The start of the fetch that last confirmed it.
    pub(crate) confirmed: Instant,
    /// The end of its time to live.
    pub(crate) fresh_until: Instant,
}

/// A discovered URL of a key set
#[derive(Debug, Clone)]
pub(crate) struct KnownAddress {
    pub(crate) url: Url,
    pub(crate) discovered: Instant,
}

#[derive(Debug)]
pub(in crate::auth) struct Shared {
    pub(in crate::auth) settings: Settings,
    pub(in crate::auth) held: ArcSwapOption<KeySet>,
    schedule: Mutex<Schedule>,
    pub(in crate::auth) wake: Notify,
    pub(in crate::auth) fetch_ended: watch::Sender<()>,
    record: Mutex<Record>,
    /// The `traceparent` of the request that started the next fetch.
    traceparent: Mutex<Option<HeaderValue>>,
    /// The number of fetches that the budget or the issuer's `Retry-After` did not allow.
    over_budget: AtomicU64,
}

/// The history of fetches, for [`KeyStatus`], [`Seed`] and `explain`.
#[derive(Debug, Default)]
pub(in crate::auth) struct Record {
    /// The start of the fetch that last confirmed the set.
    pub(in crate::auth) confirmed: Option<Instant>,
    pub(in crate::auth) document: Option<Arc<[u8]>>,
    pub(in crate::auth) error: Option<FetchError>,
    /// The last discovered URL that returned a usable set
    pub(in crate::auth) address: Option<Url>,
    /// The last error of discovery while we used the known URL instead. `None` once discovery
    /// succeeds. If we get the same error again we do not log it.
    pub(in crate::auth) discovery_error: Option<FetchError>,
    /// Set if the issuer's metadata had no `jwks_uri` after the last successful fetch. Other errors
    /// since then do not clear it.
    pub(in crate::auth) has_no_jwks_uri: bool,
    pub(in crate::auth) fetches: Fetches,
}

impl Shared {
    pub(in crate::auth) fn new(settings: Settings) -> Self {
        let discovers = matches!(settings.source, Source::Discovery);
        let mut schedule = Schedule::new(settings.policy, discovers, Instant::now(), settings.seed);
        // a request that arrives before the refresher first runs waits for this fetch
        schedule.fetch();
        Self {
            settings,
            held: ArcSwapOption::empty(),
            schedule: Mutex::new(schedule),
            wake: Notify::new(),
            fetch_ended: watch::Sender::new(()),
            record: Mutex::default(),
            traceparent: Mutex::default(),
            over_budget: AtomicU64::new(0),
        }
    }

    pub(in crate::auth) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::auth) fn set_traceparent(&self, traceparent: Option<HeaderValue>) {
        *self.traceparent() = traceparent;
    }

    pub(in crate::auth) fn take_traceparent(&self) -> Option<HeaderValue> {
        self.traceparent().take()
    }

    fn traceparent(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        self.traceparent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::auth) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::auth) fn wake_refresher(&self, why: &'static str) {
        let issuer = &*self.settings.issuer;
        tracing::debug!(issuer, why, "refreshing the key set");
        self.wake.notify_one();
    }

    pub(in crate::auth) fn count_over_budget(&self) {
        self.over_budget.fetch_add(1, Relaxed);
    }

    /// The issuer has no key set, and no keys of an earlier one are held.
    pub(in crate::auth) fn has_no_key_set(&self) -> bool {
        self.record().has_no_jwks_uri && self.held.load().is_none()
    }

    pub(in crate::auth) fn status(&self) -> KeyStatus {
        let now = Instant::now();
        let held = self.held.load();
        let next_fetch = self.schedule().until_next(now);
        let record = self.record();
        let last_error = record.error.as_ref().or(record.discovery_error.as_ref());
        KeyStatus {
            issuer: self.settings.issuer.to_string(),
            keys: held.as_ref().map_or(0, |held| held.usable()),
            required: true,
            left_out: held
                .as_ref()
                .map(|held| Arc::clone(held.left_out()))
                .unwrap_or_default(),
            age: record
                .confirmed
                .filter(|_| held.is_some())
                .map(|confirmed| now.saturating_duration_since(confirmed)),
            next_fetch: Some(next_fetch),
            last_error: last_error.map(ToString::to_string),
            last_error_code: last_error.map(FetchError::word),
            fetches: Fetches {
                refused: self.over_budget.load(Relaxed),
                ..record.fetches
            },
        }
    }
}
