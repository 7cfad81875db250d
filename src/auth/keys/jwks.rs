//! The key set of one issuer: finds the key for a token.
//!
//! A request never waits for a known key: it reads the set without a lock, and one task, the
//! refresher, replaces the set. A request whose key is unknown asks the refresher for a fetch.
//! These fetches run one at a time and are paid from a small budget, so that a flood of made-up
//! `kid`s costs the issuer a handful of requests. A request that finds no set at all does the same.
//! A failed fetch replaces nothing: the last good set is used for as long as `schedule.rs` allows.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::algorithm::Algorithm;
#[cfg(feature = "service")]
use crate::auth::keys::fetch::FetchError;
use crate::auth::{
    context,
    error::AuthError,
    keys::{
        key_set::{Key, Miss},
        refresher::Refresher,
        schedule::{Decision, Discovery},
        shared::{Seed, Settings, Shared},
        status::KeyStatus,
    },
};

/// How long a request waits for a fetch.
const PATIENCE: Duration = Duration::from_secs(3);

/// A key set and the task that refreshes it. The task ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Jwks {
    shared: Arc<Shared>,
    refresher: JoinHandle<()>,
}

impl Drop for Jwks {
    fn drop(&mut self) {
        self.refresher.abort();
    }
}

impl Jwks {
    /// Starts the refresher, and the first fetch with it. Needs a tokio runtime.
    pub(crate) fn start(settings: Settings) -> Self {
        let shared = Arc::new(Shared::new(settings));
        let refresher = Refresher::new(Arc::clone(&shared)).with_seed();
        let refresher = tokio::spawn(refresher.run());
        Self { shared, refresher }
    }

    /// Returns the key for a header's `alg` and `kid`, if it is held. Else starts a fetch, if the
    /// budget allows one.
    pub(crate) fn look_up(&self, alg: Algorithm, kid: Option<&str>) -> KeyLookup {
        match self.find(alg, kid) {
            Lookup::Found(key) => KeyLookup::Done(Ok(key)),
            Lookup::Refused(error) => KeyLookup::Done(Err(error)),
            Lookup::InvalidKey => {
                self.refetch_in_background("a token names an invalid key");
                KeyLookup::Done(Err(AuthError::AlgorithmNotAllowed))
            }
            Lookup::Missing => self.fetch_for(alg, kid, None),
        }
    }

    /// Waits for the fetch that [`look_up`](Self::look_up) has started or joined.
    pub(crate) async fn fetched_key(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
        waiter: Waiter,
    ) -> Result<Arc<Key>, AuthError> {
        let began = std::time::Instant::now();
        let verdict = self.key_after_fetch(alg, kid, waiter).await;
        context::waited_for_keys(began);
        verdict
    }

    /// Starts a fetch in the background if the budget allows one: the issuer may have replaced a
    /// key under its old name, or fixed an invalid one. No request waits for this fetch, so it
    /// repeats discovery at once instead of in a follow-up.
    pub(crate) fn refetch_in_background(&self, why: &'static str) {
        let decision = {
            let mut schedule = self.shared.schedule();
            schedule.request(Discovery::First, Instant::now())
        };
        match decision {
            Decision::Wait { started: true, .. } => self.shared.wake_refresher(why),
            Decision::Wait { .. } | Decision::Settled => {}
            Decision::Refused => self.shared.count_over_budget(),
        }
    }

    /// Fetches now, whatever the schedule says. The fetch begins after this call, even if another
    /// one is in flight, and repeats discovery.
    pub(crate) fn refresh(&self) {
        self.shared.schedule().refresh();
        self.shared.wake.notify_one();
    }

    /// Waits until a set is held.
    pub(crate) async fn ready(&self) {
        self.fetched_until(|shared| shared.held.load().is_some())
            .await;
    }

    /// Waits until the first fetch has ended, successfully or not.
    #[cfg(feature = "service")]
    pub(crate) async fn settled(&self) {
        self.fetched_until(|shared| {
            shared.held.load().is_some() || shared.record().error.is_some()
        })
        .await;
    }

    /// Waits for the ends of fetches until `is_enough` holds.
    async fn fetched_until(&self, is_enough: impl Fn(&Shared) -> bool) {
        let mut fetch_ended = self.shared.fetch_ended.subscribe();
        while !is_enough(&self.shared) {
            // The sender lives as long as we do.
            if fetch_ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Returns why the last fetch failed, if it did.
    #[cfg(feature = "service")]
    pub(crate) fn last_error(&self) -> Option<FetchError> {
        self.shared.record().error.clone()
    }

    /// Returns the names of the usable keys that are held.
    #[cfg(feature = "service")]
    pub(crate) fn kids(&self) -> Vec<String> {
        let held = self.shared.held.load();
        held.as_ref().map_or_else(Vec::new, |held| held.kids())
    }

    /// Returns the document that is held, for a refresher that replaces this one.
    pub(crate) fn seed(&self) -> Option<Seed> {
        let generation = self.generation()?;
        let document = self.shared.record().document.clone()?;
        Some(Seed {
            document,
            generation,
        })
    }

    /// Returns why the key of this name is left out of the set that is held, if it is.
    #[cfg(feature = "service")]
    pub(crate) fn why_left_out(&self, kid: &str) -> Option<String> {
        let held = self.shared.held.load();
        held.as_ref()?.why_left_out(kid).map(str::to_owned)
    }

    /// Returns the generation of the set that is held.
    pub(crate) fn generation(&self) -> Option<u64> {
        let held = self.shared.held.load();
        held.as_ref().map(|held| held.generation())
    }

    pub(crate) fn status(&self) -> KeyStatus {
        self.shared.status()
    }

    fn find(&self, alg: Algorithm, kid: Option<&str>) -> Lookup {
        let held = self.shared.held.load();
        let Some(held) = held.as_ref() else {
            return Lookup::Missing;
        };
        match held.find(alg, kid) {
            Ok(key) => Lookup::Found(Arc::clone(key)),
            Err(Miss::UnknownKid) => Lookup::Missing,
            Err(Miss::AlgorithmMismatch) => Lookup::Refused(AuthError::AlgorithmNotAllowed),
            Err(Miss::InvalidKey) => Lookup::InvalidKey,
            Err(Miss::Ambiguous) => Lookup::Refused(AuthError::UnknownKey),
        }
    }

    async fn key_after_fetch(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
        mut waiter: Waiter,
    ) -> Result<Arc<Key>, AuthError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let fetch_ended = timeout_at(deadline, waiter.fetch_ended.changed()).await;
            if fetch_ended.is_err() {
                return Err(self.not_fetched_in_time());
            }
            match self.find(alg, kid) {
                Lookup::Found(key) => return Ok(key),
                Lookup::Refused(error) => return Err(error),
                // Starts no fetch: this set was fetched a moment ago.
                Lookup::InvalidKey => return Err(AuthError::AlgorithmNotAllowed),
                Lookup::Missing => {}
            }
            waiter = match self.fetch_for(alg, kid, Some(waiter.fresh)) {
                KeyLookup::Waits(waiter) => waiter,
                KeyLookup::Done(verdict) => return verdict,
            };
        }
    }

    /// Joins the fetch in flight, or starts one if the budget allows. `fresh` is from the fetch
    /// that the request has waited for, if it has.
    fn fetch_for(&self, alg: Algorithm, kid: Option<&str>, fresh: Option<u64>) -> KeyLookup {
        let shared = &self.shared;
        let mut schedule = shared.schedule();
        // Looks up again under the lock: a fetch may have ended since the first lookup. It must be
        // neither paid for again nor missed.
        if let Lookup::Found(key) = self.find(alg, kid) {
            return KeyLookup::Done(Ok(key));
        }
        let now = Instant::now();
        let decision = match fresh {
            None => schedule.request(Discovery::Skip, now),
            Some(fresh) => schedule.request_again(fresh, now),
        };
        if let Decision::Wait { fresh, started } = decision {
            // Subscribes while the lock is held, because no fetch can end before it is released.
            let fetch_ended = shared.fetch_ended.subscribe();
            drop(schedule);
            if started {
                shared.set_cause(context::traceparent());
                shared.wake_refresher("a request lacks its key");
            }
            return KeyLookup::Waits(Waiter { fresh, fetch_ended });
        }
        drop(schedule);
        // Counts only if a set is held: without one, no `kid` is known to be unknown.
        if decision == Decision::Refused && shared.held.load().is_some() {
            shared.count_over_budget();
        }
        KeyLookup::Done(Err(self.missing()))
    }

    /// Returns the error for a request whose fetch is still in flight at the deadline. The fetch
    /// may still bring the key, so the token is not refused for good.
    fn not_fetched_in_time(&self) -> AuthError {
        match self.missing() {
            AuthError::UnknownKey => AuthError::KeysUnavailable {
                retry_after: Duration::from_secs(1),
            },
            unavailable => unavailable,
        }
    }

    /// Returns the error for a request that found no key. Without a set it is not the caller's
    /// fault.
    fn missing(&self) -> AuthError {
        if self.shared.held.load().is_some() {
            return AuthError::UnknownKey;
        }
        AuthError::KeysUnavailable {
            retry_after: self.shared.schedule().retry_after(Instant::now()),
        }
    }
}

/// The outcome of a lookup in the set that is held.
enum Lookup {
    Found(Arc<Key>),
    Refused(AuthError),
    /// The key with this `kid` is invalid.
    InvalidKey,
    /// No set is held, or the set has no key with this `kid`.
    Missing,
}

/// The outcome of [`Jwks::look_up`].
pub(crate) enum KeyLookup {
    Done(Result<Arc<Key>, AuthError>),
    Waits(Waiter),
}

/// A request that waits for a fetch.
pub(crate) struct Waiter {
    /// The number of the first fetch that begins after the request asked for one.
    fresh: u64,
    fetch_ended: watch::Receiver<()>,
}
