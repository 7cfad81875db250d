//! The refresher: the only task that fetches an issuer's key set.
//!
//! The task sleeps until `schedule.rs` starts a fetch or a request asks for one. Then it fetches
//! the set and makes it available to requests (`jwks.rs`). If the fetch fails, we keep the current
//! set.
//!
//! Invariants:
//!
//! - **After a successful fetch, there is a set.** A [`Fetched`] always contains a [`Held`] set,
//!   which is new or the previous one. A response can only mean "unchanged" if there is a `Held`
//!   set to compare with. Without one, our requests are not conditional, and an empty body or a 304
//!   is an error.
//! - **A document with the same keys does not replace the set.** The set keeps its generation, so
//!   tokens stay cached even if the order of entries or the whitespace has changed. If other keys
//!   are left out, or for other reasons, only this list is replaced.
//! - **Discovery never prevents a fetch that could succeed.** If discovery fails, we use the known
//!   URL. If it is slow, we fetch the known URL at the same time.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use reqwest::{Url, header::HeaderValue};
use tokio::time::{Instant, sleep_until, timeout};

use crate::algorithm::Algorithm;
use crate::auth::{
    display::ShownText,
    files::{self, FileReader},
    keys::{
        discovery,
        fetch::{Answer, Document, FetchError, FetchUrl, in_trace},
        key_set::{KeySet, NoKeys},
        schedule::{Discovery, Due},
        shared::{Seed, Shared, Source},
    },
};

/// How long discovery may take before we fetch the known URL in parallel. Requests only wait 3 s
/// for a fetch.
const HEAD_START: Duration = Duration::from_secs(1);

pub(in crate::auth) struct Refresher {
    shared: Arc<Shared>,
    /// The last discovered URL that returned a usable set
    address: Option<FetchUrl>,
    held: Option<Held>,
    generation: u64,
    files: FileReader,
}

/// The current set, and the data that later responses are compared with
#[derive(Clone)]
struct Held {
    set: Arc<KeySet>,
    /// The bytes that the set was parsed from
    document: Arc<[u8]>,
    /// The entity tag of the document, and its URL.
    tag: Option<(Url, HeaderValue)>,
}

type Parse = fn(&[u8], &[Algorithm], u64) -> Result<KeySet, NoKeys>;

struct Fetched {
    /// The set to use from now on. This is the previous set if the keys have not changed.
    held: Held,
    max_age: Option<Duration>,
    address: Option<FetchUrl>,
    discovered: bool,
}

enum Outcome {
    Fetched(Box<Fetched>),
    /// A follow-up found that the URL has not changed, or could not discover it.
    Unmoved {
        discovered: bool,
    },
}

impl Refresher {
    pub(in crate::auth) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            address: None,
            held: None,
            generation: 0,
            files: FileReader::default(),
        }
    }

    /// Starts with the URL and the document of the previous refresher, if the document has a usable
    /// key. The first fetch is a refresh for an operator: the reload may be due to a SIGHUP, whose
    /// own refresh ended with the previous refresher.
    pub(in crate::auth) fn with_seed(mut self) -> Self {
        let shared = Arc::clone(&self.shared);
        let settings = &shared.settings;
        if let Some(known) = &settings.known {
            self.address = discovery::known(&known.url, &settings.issuer, &settings.access);
            let mut schedule = shared.schedule();
            schedule.know_address_since(known.discovered);
            shared.record().address = Some(known.url.clone());
        }
        if let Some(seed) = &settings.held {
            self.hold(seed);
        }
        if self.address.is_some() || self.held.is_some() {
            shared.schedule().refresh();
        }
        self
    }

    /// Holds the document of the previous refresher, which is not a fetch: it makes the set no
    /// newer.
    fn hold(&mut self, seed: &Seed) {
        let shared = Arc::clone(&self.shared);
        self.generation = seed.generation;
        let parse = match shared.settings.source {
            Source::File(_) => KeySet::parse_file,
            Source::Address(_) | Source::Discovery => KeySet::parse,
        };
        let issuer = &shared.settings.issuer;
        let Ok(held) = self.parse(seed.document.to_vec(), None, issuer, parse) else {
            return;
        };
        let mut schedule = shared.schedule();
        let mut record = shared.record();
        schedule.hold(seed.fresh_until, Instant::now());
        shared.held.store(Some(Arc::clone(&held.set)));
        record.document = Some(Arc::clone(&held.document));
        record.confirmed = Some(seed.confirmed);
        self.generation = held.set.generation();
        self.held = Some(held);
    }

    /// Runs until the task is aborted, which `Jwks::drop` does.
    pub(in crate::auth) async fn run(mut self) {
        loop {
            let now = Instant::now();
            let (fetch, due) = {
                let mut schedule = self.shared.schedule();
                (schedule.begin(now), schedule.due())
            };
            match (fetch, due) {
                (Some(discovery), _) => self.run_fetch(discovery, now).await,
                (None, Due::Fetch(at)) => {
                    if self.sleeps_until(at).await {
                        self.shared.schedule().fetch();
                    }
                }
                (None, Due::Drop(at)) => {
                    if self.sleeps_until(at).await {
                        self.drop_held();
                    }
                }
            }
        }
    }

    async fn sleeps_until(&self, at: Instant) -> bool {
        // No timer for a fetch that's already due, it would round up to the next tick.
        if at <= Instant::now() {
            return true;
        }
        tokio::select! {
            () = self.shared.wake.notified() => false,
            () = sleep_until(at) => true,
        }
    }

    /// Runs one fetch, then wakes the requests that wait for it
    async fn run_fetch(&mut self, discovery: Discovery, began: Instant) {
        let limit = self.shared.settings.timeout;
        let traceparent = self.shared.take_traceparent();
        let outcome = timeout(limit, in_trace(traceparent, self.fetch(discovery))).await;
        match outcome.unwrap_or(Err(FetchError::TimedOut(limit))) {
            Ok(Outcome::Fetched(fetched)) => self.succeed(*fetched, began),
            Ok(Outcome::Unmoved { discovered }) => {
                let mut schedule = self.shared.schedule();
                if discovered {
                    schedule.discovered(Instant::now());
                }
                schedule.unmoved();
            }
            Err(error) => self.fail(&error),
        }
        self.shared.fetch_ended.send_replace(());
    }

    /// This future may be dropped at any await, so only [`succeed`](Self::succeed) changes the
    /// current set.
    async fn fetch(&self, discovery: Discovery) -> Result<Outcome, FetchError> {
        let shared = Arc::clone(&self.shared);
        let (held, max_age) = match &shared.settings.source {
            Source::File(path) => (self.read(path).await?, None),
            Source::Address(url) => {
                let address = FetchUrl::configured(url.clone());
                let access = shared.settings.access.clone();
                self.get(&address.with_access(access)).await?
            }
            Source::Discovery => return self.fetch_discovered(discovery).await,
        };
        Ok(Outcome::Fetched(Box::new(Fetched {
            held,
            max_age,
            address: None,
            discovered: false,
        })))
    }

    async fn fetch_discovered(&self, discovery: Discovery) -> Result<Outcome, FetchError> {
        let fetched = match (discovery, self.address.clone()) {
            (_, None) => {
                let address = self.discover().await?;
                self.fetch_from(address, true).await?
            }
            (Discovery::Skip, Some(known)) => self.fetch_from(known, false).await?,
            (Discovery::First, Some(known)) => self.discover_and_fetch(known).await?,
            (Discovery::IfMoved, Some(known)) => match self.discover_again(&known).await {
                Ok(address) if address == known => {
                    return Ok(Outcome::Unmoved { discovered: true });
                }
                Ok(address) => self.fetch_from(address, true).await?,
                Err(error) => {
                    self.discovery_failed(&error);
                    return Ok(Outcome::Unmoved { discovered: false });
                }
            },
        };
        Ok(Outcome::Fetched(Box::new(fetched)))
    }

    /// Repeats discovery and fetches the discovered URL, or the known URL if discovery fails. If
    /// both fail, we return the error of the fetch and log the error of discovery.
    async fn discover_and_fetch(&self, known: FetchUrl) -> Result<Fetched, FetchError> {
        let (found, fetched) = self.discover_beside_fetching(&known).await;
        let (address, discovered) = match found {
            Ok(address) => (address, true),
            Err(error) => {
                self.discovery_failed(&error);
                (known.clone(), false)
            }
        };
        match fetched {
            Some(fetched) if address == known => fetched.map(|fetched| Fetched {
                discovered,
                ..fetched
            }),
            _ => self.fetch_from(address, discovered).await,
        }
    }

    /// Repeats discovery. If it is slow, fetches the known URL in parallel.
    async fn discover_beside_fetching(
        &self,
        known: &FetchUrl,
    ) -> (
        Result<FetchUrl, FetchError>,
        Option<Result<Fetched, FetchError>>,
    ) {
        let mut discovery = pin!(self.discover_again(known));
        if let Ok(found) = timeout(HEAD_START, &mut discovery).await {
            return (found, None);
        }
        let (found, fetched) = tokio::join!(discovery, self.fetch_from(known.clone(), false));
        (found, Some(fetched))
    }

    async fn fetch_from(&self, address: FetchUrl, discovered: bool) -> Result<Fetched, FetchError> {
        let (held, max_age) = self.get(&address).await?;
        Ok(Fetched {
            held,
            max_age,
            address: Some(address),
            discovered,
        })
    }

    async fn discover(&self) -> Result<FetchUrl, FetchError> {
        let settings = &self.shared.settings;
        discovery::jwks_uri(&settings.fetcher, &settings.issuer, &settings.access).await
    }

    /// Repeats discovery. The timeout is half of the total, which leaves the other half for the
    /// fetch.
    async fn discover_again(&self, known: &FetchUrl) -> Result<FetchUrl, FetchError> {
        let limit = self.shared.settings.timeout / 2;
        let found = timeout(limit, self.discover()).await;
        let found = found.unwrap_or(Err(FetchError::TimedOut(limit)))?;
        self.shared.record().discovery_error = None;
        // If the URL hasn't changed, keep the known one (it owns the HTTP client)
        Ok(if found == *known {
            known.clone()
        } else {
            found
        })
    }

    async fn get(&self, address: &FetchUrl) -> Result<(Held, Option<Duration>), FetchError> {
        let fetcher = &self.shared.settings.fetcher;
        let tagged = self.held.as_ref().and_then(|held| {
            let (url, etag) = held.tag.as_ref()?;
            (url == address.url()).then_some((held, etag))
        });
        let document = match tagged {
            None => fetcher.get(address).await?,
            Some((held, etag)) => match fetcher.get_unless(address, etag).await? {
                Answer::NotModified { max_age } => return Ok((held.clone(), max_age)),
                Answer::Document(document) => document,
            },
        };
        let Document {
            body,
            etag,
            max_age,
        } = document;
        let tag = etag.map(|etag| (address.url().clone(), etag));
        let held = self.parse(body, tag, address.url().as_str(), KeySet::parse)?;
        Ok((held, max_age))
    }

    async fn read(&self, path: &Path) -> Result<Held, FetchError> {
        let name = path.display().to_string();
        let document = self.files.read(path).await;
        let document = document
            .map_err(|error| FetchError::File(name.clone(), files::describe(error.kind())))?;
        self.parse(document, None, &name, KeySet::parse_file)
    }

    /// Parses a set that has a usable key. If the keys have not changed we get the current set, so
    /// cached tokens stay valid.
    fn parse(
        &self,
        document: Vec<u8>,
        tag: Option<(Url, HeaderValue)>,
        from: &str,
        parse: Parse,
    ) -> Result<Held, FetchError> {
        if let Some(held) = &self.held
            && *held.document == *document
        {
            return Ok(Held {
                tag,
                ..held.clone()
            });
        }
        let algorithms = &self.shared.settings.algorithms;
        let set = parse(&document, algorithms, self.generation + 1)
            .map_err(|fault| FetchError::NoKeys(from.into(), fault))?;
        let equivalent = self.held.as_ref().map(|held| &held.set);
        let set = match equivalent.filter(|held| held.is_equivalent(&set)) {
            None => Arc::new(set),
            Some(held) if held.leaves_out_the_same(&set) => Arc::clone(held),
            Some(held) => Arc::new(held.with_left_out_of(&set)),
        };
        Ok(Held {
            set,
            document: document.into(),
            tag,
        })
    }

    fn succeed(&mut self, fetched: Fetched, began: Instant) {
        let now = Instant::now();
        let held = fetched.held;
        let before = self.held.as_ref().map(|before| &before.set);
        let is_same = before.is_some_and(|before| Arc::ptr_eq(before, &held.set));
        // the same keys, although other entries may be left out
        let is_confirmed =
            before.is_some_and(|before| before.generation() == held.set.generation());
        let failed_before = {
            let mut schedule = self.shared.schedule();
            let mut record = self.shared.record();
            if !is_same {
                self.shared.held.store(Some(Arc::clone(&held.set)));
            }
            if is_confirmed {
                record.fetches.confirmed += 1;
            } else {
                record.fetches.replaced += 1;
            }
            if fetched.discovered {
                schedule.discovered(now);
            }
            schedule.succeeded(now, fetched.max_age);
            record.document = Some(Arc::clone(&held.document));
            record.address = fetched
                .address
                .as_ref()
                .map(|address| address.url().clone());
            // the response may be as old as the start of the fetch
            record.confirmed = Some(began);
            record.has_no_jwks_uri = false;
            record.error.take().is_some()
        };
        if !is_same {
            self.log_set(&held.set);
        } else if failed_before {
            let issuer = &*self.shared.settings.issuer;
            tracing::info!(issuer, "key set confirmed");
        }
        self.generation = held.set.generation();
        self.held = Some(held);
        self.address = fetched.address;
    }

    fn log_set(&self, set: &KeySet) {
        let issuer = &*self.shared.settings.issuer;
        // The last element of `left_out` stands for the entries that we didn't read. Log it on its
        // own: as one more "key skipped" it would likely get lost, because the rate limit of the
        // log drops all but the first of many equal warnings.
        let skipped = set.left_out().len() - usize::from(set.has_unread());
        if set.has_unread() {
            tracing::warn!(
                issuer,
                "entries after the first 512 of the key set are not read"
            );
        }
        for key in &set.left_out()[..skipped] {
            let kid = ShownText::new(key.kid.as_deref().unwrap_or_default());
            let reason = &key.reason;
            tracing::warn!(issuer, %kid, reason, "key skipped");
        }
        let (keys, left_out) = (set.usable(), set.left_out().len());
        tracing::info!(issuer, keys, left_out, "key set fetched");
    }

    fn fail(&self, error: &FetchError) {
        let now = Instant::now();
        let (next, error_before) = {
            let mut schedule = self.shared.schedule();
            let mut record = self.shared.record();
            schedule.failed(now, error.retry_after());
            record.fetches.failed += 1;
            record.has_no_jwks_uri |= matches!(error, FetchError::NoJwksUri(_));
            (
                schedule.until_next(now),
                record.error.replace(error.clone()),
            )
        };
        if error_before.as_ref() == Some(error) {
            let issuer = &*self.shared.settings.issuer;
            tracing::debug!(issuer, "key set fetch failed again");
        } else {
            self.log_failure(error, next);
        }
    }

    /// Logs a failure only if it differs from the last one, so an outage of an hour is usually one
    /// line. (`/readyz` and the metrics show every attempt.)
    fn log_failure(&self, error: &FetchError, next: Duration) {
        let issuer = &*self.shared.settings.issuer;
        let reason = error.word();
        let next_attempt_ms = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
        if self.held.is_some() {
            tracing::warn!(issuer, %error, reason, next_attempt_ms, "key set fetch failed; the held set stays in use");
        } else {
            tracing::warn!(issuer, %error, reason, next_attempt_ms, "key set fetch failed; no keys held, so JWTs get 503");
        }
    }

    /// Records that discovery failed although we know the URL of the key set. If the error equals
    /// the last one, we do not log it again.
    fn discovery_failed(&self, error: &FetchError) {
        let mut schedule = self.shared.schedule();
        schedule.discovery_failed(Instant::now(), error.retry_after());
        let error_before = self.shared.record().discovery_error.replace(error.clone());
        drop(schedule);
        if error_before.as_ref() != Some(error) {
            let issuer = &*self.shared.settings.issuer;
            let reason = error.word();
            tracing::warn!(issuer, %error, reason, "discovery failed; using the known key set address");
        }
    }

    fn drop_held(&mut self) {
        let mut schedule = self.shared.schedule();
        schedule.dropped();
        self.shared.held.store(None);
        self.shared.record().document = None;
        drop(schedule);
        self.held = None;
        tracing::error!(
            issuer = &*self.shared.settings.issuer,
            "key set dropped: stale for too long"
        );
    }
}
