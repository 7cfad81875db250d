//! The keeper: the one task that fetches an issuer's key set.
//!
//! It sleeps until `schedule.rs` has something for it or a request asks, fetches, and replaces the
//! set that requests read in `jwks.rs`. Nothing that goes wrong in a fetch takes the set away.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Url, header::HeaderValue};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    discovery,
    display::ShownText,
    fetch::{Answer, FetchError},
    jwks::{Landing, Shared, Source},
    keys::KeySet,
    schedule::Due,
};

/// What the task has of its own.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// The address that discovery found; asked for again after a failure.
    address: Option<Url>,
    etag: Option<HeaderValue>,
    /// What the set that is held was made of.
    document: Vec<u8>,
    generation: u64,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            address: None,
            etag: None,
            document: Vec::new(),
            generation: 0,
        }
    }

    /// Does not end; whoever owns the task ends it.
    pub(super) async fn keep(mut self) {
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
            .map_err(|fault| FetchError::NoKeys(from.into(), fault))?;
        self.generation += 1;
        self.document = document;
        Ok(Some(set))
    }

    fn land(&mut self, fetched: Fetched) {
        let now = Instant::now();
        let mut schedule = self.shared.schedule();
        let mut record = self.shared.record();
        let failed_before = record.error.take().is_some();
        if let Some(set) = fetched.set {
            self.tell(&set);
            self.shared.held.store(Some(Arc::new(set)));
            record.fetches.replaced += 1;
        } else {
            record.fetches.confirmed += 1;
            if failed_before {
                let issuer = &*self.shared.settings.issuer;
                tracing::info!(issuer, "key set fetched again; it is the one that is held");
            }
        }
        schedule.succeeded(now, fetched.max_age);
        record.confirmed = Some(now);
    }

    fn tell(&self, set: &KeySet) {
        let issuer = &*self.shared.settings.issuer;
        for skipped in set.skipped() {
            let kid = ShownText::new(skipped.kid.as_deref().unwrap_or_default());
            tracing::warn!(
                issuer,
                %kid,
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
        let mut record = self.shared.record();
        schedule.failed(now, error.retry_after());
        let next = schedule.retry_after(now);
        if record.error.as_ref() == Some(&error) {
            tracing::debug!(issuer = &*self.shared.settings.issuer, "the same again");
        } else {
            self.tell_failure(&error, next);
        }
        record.fetches.failed += 1;
        record.error = Some(error);
    }

    /// Once for each reason: an issuer that is down for an hour is one line, and `/readyz` and the
    /// metrics tell of every attempt.
    fn tell_failure(&self, error: &FetchError, next: Duration) {
        let issuer = &*self.shared.settings.issuer;
        let next_attempt_ms = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
        if self.shared.held.load().is_some() {
            tracing::warn!(issuer, %error, next_attempt_ms, "key set not fetched; the one that is held goes on");
        } else {
            tracing::warn!(issuer, %error, next_attempt_ms, "key set not fetched; until it is, tokens that need a key are answered with 503");
        }
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
