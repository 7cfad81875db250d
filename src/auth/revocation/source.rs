//! [`RevocationSource`]: reads revocations from a database or another service at intervals.
//!
//! [`Watch`] tracks when a source was last read, and whether the list is too old to use.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    select,
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

use crate::auth::{
    clock::Clock,
    revocation::{entry::Revocation, list::RevocationList},
};

/// A source of revocations that is read at intervals, e.g. a database table. Set it with
/// [`Builder::revocation_source`](crate::auth::Builder::revocation_source).
///
/// ```
/// use std::{error::Error, time::{Duration, SystemTime}};
/// use warp_bearer::auth::revocation::{Revocation, RevocationSource};
///
/// struct Leavers; // holds a connection pool
///
/// impl RevocationSource for Leavers {
///     async fn revocations(&self) -> Result<Vec<Revocation>, Box<dyn Error + Send + Sync>> {
///         // SELECT sub, left_at FROM leavers WHERE left_at > now() - interval '1 day'
///         let left_at = SystemTime::now();
///         let day = Duration::from_secs(86400);
///         let leaver = Revocation::subject("https://tenant.eu.auth0.com/", "auth0|alice");
///         Ok(vec![leaver.before(left_at).until(left_at + day)])
///     }
/// }
/// ```
pub trait RevocationSource: Send + Sync + 'static {
    /// Returns the revocations in force.
    ///
    /// An entry stays in the list until it [ends](Revocation::until), even if a later call does not
    /// return it. The future must not block its thread, because the thread also serves requests.
    ///
    /// # Errors
    /// If this returns an error, it will be logged, and the current list stays in use for
    /// [`revocation_stale`](crate::auth::Builder::revocation_stale). A panic counts as an error,
    /// and so does a future that is not ready within that time. If that time is shorter than one
    /// second, one second applies.
    fn revocations(
        &self,
    ) -> impl Future<Output = Result<Vec<Revocation>, Box<dyn Error + Send + Sync>>> + Send;

    /// Returns the name of the source in the log, in the metrics and in
    /// [`Auth::revocation_status`](crate::auth::Auth::revocation_status). You should give each
    /// source a different name, and none of them `file` or `store`, because if two have the same
    /// name, the metrics will only show the one in the worse state. Defaults to `source`.
    fn name(&self) -> &'static str {
        "source"
    }
}

/// The behaviour while a source of revocations has been unreachable for too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationOutage {
    /// Requests with a valid token are rejected with 503 `state_unavailable`.
    #[default]
    Refuse,
    /// The current list stays in use.
    Local,
}

/// How long the list is used while its source is unreachable, and what happens after that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Staleness {
    pub(crate) limit: Duration,
    pub(crate) outage: RevocationOutage,
}

/// The shortest limit for the age of a list that is read at intervals. Any shorter, and we'd reject
/// requests between two reads.
const MIN_LIMIT: Duration = Duration::from_secs(1);

/// The minimum number of times that we read a source before its list is too old. Neither a slow
/// read nor a single failure should be enough for that.
const READS_IN_LIMIT: u32 = 3;

type Answer = Result<Vec<Revocation>, Box<dyn Error + Send + Sync>>;
type Load = dyn Fn() -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync;

/// A source, and the interval at which it is read.
#[derive(Clone)]
pub(crate) struct Polled {
    name: &'static str,
    load: Arc<Load>,
    every: Duration,
}

impl Polled {
    pub(crate) fn new(source: impl RevocationSource, every: Duration) -> Self {
        let name = source.name();
        let source = Arc::new(source);
        let load = move || -> Pin<Box<dyn Future<Output = Answer> + Send>> {
            let source = Arc::clone(&source);
            Box::pin(async move { source.revocations().await })
        };
        Self {
            name,
            load: Arc::new(load),
            every,
        }
    }

    /// Starts reading the source. Needs a tokio runtime.
    pub(crate) fn start(
        self,
        list: Arc<RevocationList>,
        clock: Clock,
        staleness: Staleness,
    ) -> (Arc<Watch>, Task) {
        let limit = staleness.limit.max(MIN_LIMIT);
        let staleness = Staleness { limit, ..staleness };
        let watch = Watch::new(self.name, &list, Some(staleness));
        let watched = Arc::clone(&watch);
        let task = Task(tokio::spawn(async move {
            select! {
                () = self.keep_reading(&list, &clock, &watched, limit) => {}
                // Without this, we'd notice too late that a source hangs or is rarely read.
                () = watched.keep_deciding(limit) => {}
            }
        }));
        (watch, task)
    }

    async fn keep_reading(
        &self,
        list: &Arc<RevocationList>,
        clock: &Clock,
        watch: &Watch,
        limit: Duration,
    ) {
        let every = self.every.min(limit / READS_IN_LIMIT);
        loop {
            // A source that hangs or panics counts as failed. It needs a task of its own -- in this
            // one it could end or block everything, and the list would never become too old.
            let load = Arc::clone(&self.load);
            let mut reading = JoinSet::new();
            reading.spawn(async move { load().await.map_err(|error| error.to_string()) });
            while let Some(read) = timeout(limit, reading.join_next()).await.transpose() {
                match read {
                    Err(_elapsed) => {
                        watch.failed("no response in time");
                        // wait until the call has ended before calling the source again
                        reading.abort_all();
                    }
                    Ok(Ok(Ok(entries))) => {
                        let (list, clock) = (Arc::clone(list), clock.clone());
                        // blocking thread: 100,000 entries take about 0.1 s
                        let adding = spawn_blocking(move || {
                            let now = clock.now();
                            list.add(entries, now);
                            list.sweep(now);
                        });
                        match adding.await {
                            Ok(()) => watch.succeeded(),
                            Err(_panic) => watch.failed("adding its entries panicked"),
                        }
                    }
                    Ok(Ok(Err(error))) => watch.failed(&error),
                    Ok(Err(error)) if error.is_panic() => watch.failed("the source panicked"),
                    Ok(Err(_cancelled)) => {}
                }
            }
            sleep(every).await;
        }
    }
}

/// A task that is aborted when this value is dropped
#[derive(Debug)]
pub(crate) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const LIST_KEPT: &str = "the current list stays in use";

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) name: &'static str,
    list: Arc<RevocationList>,
    /// `None` if the last list stays in use indefinitely.
    staleness: Option<Staleness>,
    state: Mutex<WatchState>,
}

#[derive(Debug, Default)]
struct WatchState {
    synchronized: Option<Instant>,
    error: Option<String>,
    is_unknown: bool,
}

impl Watch {
    pub(crate) fn new(
        name: &'static str,
        list: &Arc<RevocationList>,
        staleness: Option<Staleness>,
    ) -> Arc<Self> {
        let watch = Arc::new(Self {
            name,
            list: Arc::clone(list),
            staleness,
            state: Mutex::default(),
        });
        // until we have read the source once, the list is too old
        watch.decide(None);
        watch
    }

    pub(crate) fn succeeded(&self) {
        let now = Instant::now();
        let error = {
            let mut state = self.state();
            state.synchronized = Some(now);
            state.error.take()
        };
        if error.is_some() {
            tracing::info!(source = self.name, "reading revocations works again");
        }
        self.decide(Some(Duration::ZERO));
    }

    /// Records a failure. If the reason equals the last one, we do not log it again.
    pub(crate) fn failed(&self, why: &str) {
        let (age, is_new) = {
            let mut state = self.state();
            let before = state.error.replace(why.to_owned());
            let age = state.synchronized.map(|at| at.elapsed());
            (age, before.as_deref() != Some(why))
        };
        let source = self.name;
        match self.staleness {
            _ if !is_new => {}
            // An error, because nothing else shows that new entries have no effect.
            None => tracing::error!(source, error = why, "revocations not read; {LIST_KEPT}"),
            Some(_) => tracing::warn!(source, error = why, "revocations not read; {LIST_KEPT}"),
        }
        self.decide(age);
    }

    /// Records the age of a list that another task reads, and whether its source responds. After a
    /// failure, the source works again once the list is current, that is, once its age is zero.
    pub(crate) fn observe(&self, age: Option<Duration>, is_ok: bool) {
        let synchronized = age.and_then(|age| Instant::now().checked_sub(age));
        self.state().synchronized = synchronized;
        if !is_ok {
            self.failed("the store cannot be reached");
        } else if age == Some(Duration::ZERO) && self.state().error.take().is_some() {
            tracing::info!(source = self.name, "reading revocations works again");
        }
        self.decide(age);
    }

    /// Decides again each time that the list may have reached `limit`. Runs until it is dropped.
    async fn keep_deciding(&self, limit: Duration) {
        loop {
            let age = self.age();
            self.decide(age);
            // If there was a read in the meantime the list is younger, and we check the age again.
            let remaining = age.and_then(|age| limit.checked_sub(age));
            sleep(remaining.filter(|time| !time.is_zero()).unwrap_or(limit)).await;
        }
    }

    pub(crate) fn decide(&self, age: Option<Duration>) {
        let Some(staleness) = self.staleness else {
            return;
        };
        let is_stale = age.is_none_or(|age| age >= staleness.limit);
        let is_unknown = is_stale && staleness.outage == RevocationOutage::Refuse;
        let was_unknown = std::mem::replace(&mut self.state().is_unknown, is_unknown);
        if is_unknown == was_unknown {
            return;
        }
        self.list.source_became(is_unknown);
        if is_unknown && age.is_some() {
            tracing::error!(
                source = self.name,
                "list of revoked tokens is too old; requests with a token get 503"
            );
        }
    }

    /// The time since the source was last read, or `None` if it never was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.state().synchronized.map(|at| at.elapsed())
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.state().error.is_some()
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Polled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::SystemTime,
    };

    use tokio::sync::mpsc;

    use super::*;
    use crate::auth::revocation::list::State;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMIT: Duration = Duration::from_secs(100);

    /// The behaviour of a source after its first answer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Then {
        Fails,
        Hangs,
        TakesLong,
    }

    struct Source {
        has_answered: AtomicBool,
        then: Then,
    }

    impl RevocationSource for Source {
        async fn revocations(&self) -> Answer {
            if self.has_answered.swap(true, Ordering::Relaxed) {
                match self.then {
                    Then::Fails => return Err("down".into()),
                    Then::Hangs => std::future::pending().await,
                    Then::TakesLong => sleep(LIMIT / 4).await,
                }
            }
            Ok(Vec::new())
        }
    }

    fn start(then: Then, every: Duration, clock: Clock) -> (Arc<RevocationList>, Arc<Watch>, Task) {
        let source = Source {
            has_answered: AtomicBool::new(false),
            then,
        };
        let list = Arc::new(RevocationList::new());
        let staleness = Staleness {
            limit: LIMIT,
            outage: RevocationOutage::Refuse,
        };
        let (watch, task) = Polled::new(source, every).start(Arc::clone(&list), clock, staleness);
        (list, watch, task)
    }

    /// Intervals at which a source is read, compared with the limit.
    const INTERVALS: [Duration; 4] = [
        Duration::from_secs(10),
        Duration::from_secs(80),
        LIMIT,
        Duration::from_secs(1000),
    ];

    #[tokio::test(start_paused = true)]
    async fn list_is_too_old_as_soon_as_its_age_reaches_the_limit() {
        for then in [Then::Fails, Then::Hangs] {
            for every in INTERVALS {
                let (list, watch, _task) = start(then, every, Clock::default());
                while list.state() == State::Unknown {
                    sleep(SECOND).await;
                }
                while list.state() != State::Unknown {
                    sleep(SECOND).await;
                }
                let age = watch.age().unwrap();
                assert!(
                    age >= LIMIT && age <= LIMIT + SECOND,
                    "{then:?} {every:?} {age:?}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn list_of_a_slow_source_does_not_become_too_old() {
        for every in INTERVALS {
            let (list, _watch, _task) = start(Then::TakesLong, every, Clock::default());
            while list.state() == State::Unknown {
                sleep(SECOND).await;
            }
            let end = Instant::now() + 20 * LIMIT;
            while Instant::now() < end {
                assert_ne!(list.state(), State::Unknown, "{every:?}");
                sleep(SECOND).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn store_is_failing_until_its_list_was_read_after_a_reconnect() {
        let staleness = Staleness {
            limit: LIMIT,
            outage: RevocationOutage::Refuse,
        };
        let watch = Watch::new("store", &Arc::new(RevocationList::new()), Some(staleness));
        for (case, age, is_ok, is_failing) in [
            ("not read yet", None, true, false),
            ("read", Some(Duration::ZERO), true, false),
            ("lost", Some(SECOND), false, true),
            ("connected again, not read", Some(2 * SECOND), true, true),
            ("read again", Some(Duration::ZERO), true, false),
        ] {
            watch.observe(age, is_ok);
            assert_eq!(watch.is_failing(), is_failing, "{case}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_the_list_on_a_thread_for_blocking_work() {
        let (called, mut calls) = mpsc::unbounded_channel();
        let clock = Clock::new(move || {
            let _ = called.send(thread::current().id());
            SystemTime::now()
        });
        let (_list, _watch, _task) = start(Then::Fails, SECOND, clock);
        assert_ne!(calls.recv().await.unwrap(), thread::current().id());
    }
}
