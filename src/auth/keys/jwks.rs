//! The key set of one issuer: finds the key for a token.
//!
//! Requests read the set without a lock, and never wait for a known key. Only one task, the
//! refresher, replaces the set. If a request has an unknown key, or there is no set, it asks the
//! refresher for a fetch. Fetches like this run one at a time and use up a small budget. A flood of
//! made-up `kid`s will only cause a few requests to the issuer. If a fetch fails, we keep the last
//! good set for as long as `schedule.rs` allows.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::algorithm::Algorithm;
#[cfg(feature = "service")]
use crate::auth::keys::{fetch::FetchError, key_set::NoMatch, left_out::LeftOut};
use crate::auth::{
    context,
    error::AuthError,
    keys::{
        key_set::{Key, Miss},
        refresher::Refresher,
        schedule::{Decision, Discovery},
        shared::{KnownAddress, Seed, Settings, Shared},
        status::KeyStatus,
    },
};

const FETCH_WAIT: Duration = Duration::from_secs(3);

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
    /// Starts the refresher, which begins with a fetch. Needs a tokio runtime!
    pub(crate) fn start(settings: Settings) -> Self {
        let shared = Arc::new(Shared::new(settings));
        let refresher = Refresher::new(Arc::clone(&shared)).with_seed();
        let refresher = tokio::spawn(refresher.run());
        Self { shared, refresher }
    }

    /// Looks up the key for a header's `alg` and `kid`. If there is none and the budget allows it,
    /// this starts a fetch.
    pub(crate) fn look_up(&self, alg: Algorithm, kid: Option<&str>) -> KeyLookup {
        match self.find(alg, kid) {
            Lookup::Found(key) => KeyLookup::Done(Ok(key)),
            Lookup::OtherUse => KeyLookup::Done(Err(AuthError::AlgorithmNotAllowed)),
            Lookup::Mismatch => {
                self.refetch_in_background("the key of a token does not fit its algorithm");
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
        context::waited(context::WaitReason::Keys, began);
        verdict
    }

    /// Starts a fetch in the background, if the budget allows it. The issuer might have replaced a
    /// key under the same `kid` (perhaps by one of another type), or corrected an invalid key. No
    /// request will wait for this fetch, so it might as well include discovery instead of leaving
    /// it to a follow-up.
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

    /// Fetches the keys now, regardless of the schedule, and repeats discovery. If a fetch is in
    /// flight, another one follows.
    pub(crate) fn refresh(&self) {
        self.shared.schedule().refresh();
        self.shared.wake.notify_one();
    }

    /// Waits until a set is held. If `is_optional`, this also returns once we know that the issuer
    /// has no key set.
    pub(crate) async fn ready(&self, is_optional: bool) {
        self.fetched_until(|shared| {
            shared.held.load().is_some() || (is_optional && shared.has_no_key_set())
        })
        .await;
    }

    pub(crate) fn has_no_key_set(&self) -> bool {
        self.shared.has_no_key_set()
    }

    #[cfg(feature = "service")]
    pub(crate) async fn first_fetch_ended(&self) {
        self.fetched_until(|shared| {
            shared.held.load().is_some() || shared.record().error.is_some()
        })
        .await;
    }

    /// Waits until `is_enough` returns true. We ask it again after each fetch.
    async fn fetched_until(&self, is_enough: impl Fn(&Shared) -> bool) {
        let mut fetch_ended = self.shared.fetch_ended.subscribe();
        while !is_enough(&self.shared) {
            // can't fail, `self` owns the sender
            if fetch_ended.changed().await.is_err() {
                return;
            }
        }
    }

    #[cfg(feature = "service")]
    pub(crate) fn last_error(&self) -> Option<FetchError> {
        self.shared.record().error.clone()
    }

    #[cfg(feature = "service")]
    pub(crate) fn left_out(&self) -> Option<Arc<[LeftOut]>> {
        let held = self.shared.held.load();
        held.as_ref().map(|held| Arc::clone(held.left_out()))
    }

    /// The URL of the set, if the issuer's metadata named it
    #[cfg(feature = "service")]
    pub(crate) fn discovered_url(&self) -> Option<String> {
        self.shared.record().address.clone().map(Into::into)
    }

    /// The `kid`s of the usable keys in the set
    #[cfg(feature = "service")]
    pub(crate) fn kids(&self) -> Vec<String> {
        let held = self.shared.held.load();
        held.as_ref().map_or_else(Vec::new, |held| held.kids())
    }

    /// For the refresher that replaces this one.
    pub(crate) fn seed(&self) -> Option<Seed> {
        let generation = self.generation()?;
        let fresh_until = self.shared.schedule().fresh_until()?;
        let record = self.shared.record();
        Some(Seed {
            document: record.document.clone()?,
            generation,
            confirmed: record.confirmed?,
            fresh_until,
        })
    }

    /// The discovered URL, for the refresher that replaces this one.
    pub(crate) fn known_address(&self) -> Option<KnownAddress> {
        let discovered = self.shared.schedule().discovered_at()?;
        let url = self.shared.record().address.clone()?;
        Some(KnownAddress { url, discovered })
    }

    /// `None` if the key was not left out of the current set.
    #[cfg(feature = "service")]
    pub(crate) fn why_left_out(&self, kid: &str) -> Option<String> {
        let held = self.shared.held.load();
        held.as_ref()?.why_left_out(kid).map(str::to_owned)
    }

    /// Why the current set has no key for a header, although it may have the key that signed the
    /// token.
    #[cfg(feature = "service")]
    pub(crate) fn why_no_match(&self, alg: Algorithm, kid: Option<&str>) -> Option<NoMatch> {
        let held = self.shared.held.load();
        held.as_ref()?.why_no_match(alg, kid)
    }

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
            Err(Miss::UnknownKid | Miss::Ambiguous) => Lookup::Missing,
            Err(Miss::AlgorithmMismatch) => Lookup::Mismatch,
            Err(Miss::OtherUse) => Lookup::OtherUse,
        }
    }

    async fn key_after_fetch(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
        mut waiter: Waiter,
    ) -> Result<Arc<Key>, AuthError> {
        let deadline = Instant::now() + FETCH_WAIT;
        loop {
            let fetch_ended = timeout_at(deadline, waiter.fetch_ended.changed()).await;
            if fetch_ended.is_err() {
                return Err(self.not_fetched_in_time());
            }
            match self.find(alg, kid) {
                Lookup::Found(key) => return Ok(key),
                // Don't start a fetch, we've just fetched this set.
                Lookup::Mismatch | Lookup::OtherUse => return Err(AuthError::AlgorithmNotAllowed),
                Lookup::Missing => {}
            }
            waiter = match self.fetch_for(alg, kid, Some(waiter.fetch_number)) {
                KeyLookup::Waits(waiter) => waiter,
                KeyLookup::Done(verdict) => return verdict,
            };
        }
    }

    /// Joins the fetch in flight, or starts one if the budget allows it. `fetch_number` comes from
    /// the request's [`Waiter`] if it has already waited for a fetch.
    fn fetch_for(&self, alg: Algorithm, kid: Option<&str>, fetch_number: Option<u64>) -> KeyLookup {
        let shared = &self.shared;
        let mut schedule = shared.schedule();
        // Look again under the lock. If a fetch has ended since the first lookup, the request must
        // use its result instead of spending the budget on another one.
        if let Lookup::Found(key) = self.find(alg, kid) {
            return KeyLookup::Done(Ok(key));
        }
        let now = Instant::now();
        let decision = match fetch_number {
            None => schedule.request(Discovery::Skip, now),
            Some(fetch_number) => schedule.request_again(fetch_number, now),
        };
        if let Decision::Wait {
            fetch_number,
            started,
        } = decision
        {
            // subscribe while we hold the schedule, so that the fetch can't end in between
            let fetch_ended = shared.fetch_ended.subscribe();
            drop(schedule);
            if started {
                shared.set_traceparent(context::traceparent());
                shared.wake_refresher("no key for a request");
            }
            return KeyLookup::Waits(Waiter {
                fetch_number,
                fetch_ended,
            });
        }
        drop(schedule);
        // Without a set we can't say that the `kid` is unknown, so don't count the refusal
        if decision == Decision::Refused && shared.held.load().is_some() {
            shared.count_over_budget();
        }
        KeyLookup::Done(Err(self.missing()))
    }

    /// The error for a request whose fetch did not end in time. The fetch might still return the
    /// key, which is why this is a 503 -- the client should retry instead of discarding the token.
    fn not_fetched_in_time(&self) -> AuthError {
        match self.missing() {
            AuthError::UnknownKey => AuthError::KeysUnavailable {
                retry_after: Duration::from_secs(1),
            },
            unavailable => unavailable,
        }
    }

    /// The error for a request without a key. If we have no set the token might well be valid, so
    /// this is a 503.
    fn missing(&self) -> AuthError {
        if self.shared.held.load().is_some() {
            return AuthError::UnknownKey;
        }
        AuthError::KeysUnavailable {
            retry_after: self.shared.schedule().retry_after(Instant::now()),
        }
    }
}

enum Lookup {
    Found(Arc<Key>),
    /// The key is invalid or for another algorithm, but may have been replaced.
    Mismatch,
    OtherUse,
    /// There is no set, or the set has no key with this `kid`, or we cannot tell which key to use.
    Missing,
}

pub(crate) enum KeyLookup {
    Done(Result<Arc<Key>, AuthError>),
    Waits(Waiter),
}

pub(crate) struct Waiter {
    /// The number of the first fetch that begins after the request
    fetch_number: u64,
    fetch_ended: watch::Receiver<()>,
}
