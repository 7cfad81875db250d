//! [`Shared`]: the state of a Redis store that requests share with the connection's task.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::{Pipeline, aio::MultiplexedConnection};
use tokio::sync::{Notify, watch};

use crate::auth::{
    store::{
        lines::{Line, Subscribers},
        memory::Memory,
        redis::{
            birth::{self, Recorded},
            connect::{Lookup, Tls},
            options::RedisOptions,
            pushed::Pushed,
            url::Address,
        },
    },
    worker::Worker,
};

/// How long adding a received line may take before the line counts as missing.
const MAX_ADDING: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    pub(super) address: Address,
    pub(super) tls: Tls,
    pub(super) lookup: Lookup,
    pub(super) timeout: Duration,
    pub(super) names: Names,
    /// The open connection. `None` while disconnected.
    pub(super) connection: watch::Sender<Option<Link>>,
    /// The keys that this process has accepted. We keep them even if the store loses its data.
    pub(super) accepted: Memory,
    pub(super) subscribers: Subscribers,
    /// New lines that the subscribers don't have yet.
    pub(super) pushed: Pushed,
    /// Calls the subscribers' `add`.
    adder: Worker,
    /// Calls the subscribers' `held`. New lines don't wait for that.
    collector: Worker,
    pub(super) resync: Notify,
    pub(super) check_requested: Notify,
    pub(super) connects: AtomicU64,
    now: fn() -> SystemTime,
    /// The milliseconds by which the server's clock is ahead of `now`. 0 if it is behind.
    server_ahead: AtomicU64,
    /// How often pushed lines were missed, or may have been, so far.
    missed: AtomicU64,
    synchronized: Mutex<Option<Synchronized>>,
    /// When we read the lines of the whole list that are being added. `None` if there are none.
    adding_since: Mutex<Option<Instant>>,
    last_disconnect: Mutex<Option<LastDisconnect>>,
}

/// An open connection, and the `run_id` of the server process at the other end.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) commands: MultiplexedConnection,
    pub(super) run_id: Arc<str>,
}

/// The end of the last connection, and the `run_id` of the server process at its other end.
#[derive(Debug)]
struct LastDisconnect {
    run_id: Arc<str>,
    /// In milliseconds since the Unix epoch.
    at: u64,
}

#[derive(Debug, Clone, Copy)]
struct Synchronized {
    at: Instant,
    includes: Progress,
}

/// What a read of the whole list includes, counted when the read begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// The number of subscribers so far. All of them receive the list, unless they are removed.
    subscribers: u64,
    /// The value of [`Shared::missed`]. The list includes the lines that were missed until then.
    missed: u64,
}

pub(super) struct Names {
    prefix: String,
    /// The key of the birth record. The record contains the time since which the store has recorded
    /// all claims, in milliseconds since the Unix epoch, and the `run_id` of the server process
    /// that recorded them.
    pub(super) birth: String,
    /// The shared list.
    pub(super) list: String,
    /// The channel on which new lines are published. The name contains the database, because all
    /// databases of a server share their channels.
    pub(super) channel: String,
}

impl Names {
    pub(super) fn new(prefix: &str, database: i64) -> Self {
        Self {
            prefix: prefix.to_owned(),
            birth: format!("{prefix}birth"),
            list: format!("{prefix}list"),
            channel: format!("{prefix}list@{database}"),
        }
    }

    pub(super) fn claim(&self, key: &[u8; 32]) -> String {
        let mut name = format!("{}once:", self.prefix);
        URL_SAFE_NO_PAD.encode_string(key, &mut name);
        name
    }
}

impl Shared {
    pub(super) fn new(address: Address, options: &RedisOptions, now: fn() -> SystemTime) -> Self {
        Self {
            tls: Tls::default(),
            lookup: Lookup::default(),
            timeout: options.timeout,
            names: Names::new(&options.prefix, address.login.db()),
            address,
            connection: watch::Sender::default(),
            accepted: Memory::new(options.memory),
            now,
            server_ahead: AtomicU64::new(0),
            subscribers: Subscribers::default(),
            pushed: Pushed::default(),
            adder: Worker::new("store-add"),
            collector: Worker::new("store-held"),
            resync: Notify::new(),
            check_requested: Notify::new(),
            connects: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            synchronized: Mutex::default(),
            adding_since: Mutex::default(),
            last_disconnect: Mutex::default(),
        }
    }

    pub(super) fn connection(&self) -> Option<Link> {
        self.connection.borrow().clone()
    }

    pub(super) fn connected(&self, link: Link) {
        self.connects.fetch_add(1, Ordering::Relaxed);
        self.connection.send_replace(Some(link));
    }

    /// Records the end of a connection to the process `run_id` of the server.
    pub(super) fn disconnected(&self, run_id: Arc<str>) {
        // Others may publish lines before we're connected again. The whole list is read then, so
        // there is nothing to request here.
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.connection.send_replace(None);
        let at = self.later_clock(self.now());
        *lock(&self.last_disconnect) = Some(LastDisconnect { run_id, at });
    }

    /// Checks whether this process was connected to a server process other than `run_id` at or
    /// after `time`, in milliseconds since the Unix epoch. `run_id` doesn't know the keys that were
    /// claimed there.
    pub(super) fn was_connected_elsewhere_after(&self, time: u64, run_id: &str) -> bool {
        let last_disconnect = lock(&self.last_disconnect);
        last_disconnect
            .as_ref()
            .is_some_and(|last| *last.run_id != *run_id && last.at >= time)
    }

    /// Adds the commands that record the birth, if it is absent or to be replaced, and return it.
    /// They have two replies.
    ///
    /// The birth is dated ahead by the timeout of a check, because another replica might still get
    /// a value accepted while the command is on its way. We take the time from this process's clock
    /// or the server's, whichever is ahead. Otherwise, a replica whose clock is behind would accept
    /// values that other replicas have accepted.
    pub(super) fn birth(
        &self,
        pipeline: &mut Pipeline,
        now: SystemTime,
        run_id: &str,
        recorded: Recorded,
    ) {
        let at = self.later_clock(now + self.check_timeout()) + 1;
        birth::record(pipeline, &self.names.birth, at, run_id, recorded);
    }

    /// Converts a time of this process's clock to the later of this clock and the server's clock,
    /// in milliseconds since the Unix epoch.
    fn later_clock(&self, time: SystemTime) -> u64 {
        millis(time) + self.server_ahead.load(Ordering::Relaxed)
    }

    /// The timeout of the commands that check the connection. This may be longer than that of
    /// claims, because a single slow response must not close the connection.
    pub(super) fn check_timeout(&self) -> Duration {
        const MIN: Duration = Duration::from_millis(500);
        self.timeout.max(MIN)
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.now)()
    }

    pub(super) fn set_server_ahead(&self, millis: i64) {
        let ahead = u64::try_from(millis).unwrap_or_default();
        self.server_ahead.store(ahead, Ordering::Relaxed);
    }

    /// Passes lines to the subscribers, on a thread of this store. This takes time in proportion to
    /// the list: 100,000 lines would stop everything else on the caller's thread for 0.1 s.
    ///
    /// # Errors
    /// Fails if a subscriber panics. Some subscribers might lack the lines then.
    pub(super) async fn add_lines(&self, lines: Vec<Line>) -> io::Result<()> {
        let subscribers = self.subscribers.clone();
        let add = move || {
            if !lines.is_empty() {
                subscribers.add(&lines);
            }
        };
        self.adder.run(add).await
    }

    /// [`add_lines`](Self::add_lines) for a part of the whole list. From [`MAX_ADDING`] on, these
    /// lines count as missing until they are added.
    pub(super) async fn add_read_lines(&self, lines: Vec<Line>) -> io::Result<()> {
        lock(&self.adding_since).get_or_insert_with(Instant::now);
        // If this fails, or the connection ends meanwhile, the lines still count until the next
        // read of the list. Even if that read finds no lines, it ends after the lines were added.
        self.add_lines(lines).await?;
        *lock(&self.adding_since) = None;
        Ok(())
    }

    /// Collects the subscribers' lines for which `is_wanted` returns true. This takes as long as
    /// [`add_lines`](Self::add_lines).
    ///
    /// # Errors
    /// Fails if a subscriber panics.
    pub(super) async fn held_lines(
        &self,
        is_wanted: impl FnMut(&Line) -> bool + Send + 'static,
    ) -> io::Result<Vec<Line>> {
        let subscribers = self.subscribers.clone();
        self.collector
            .run(move || subscribers.held(is_wanted))
            .await
    }

    /// Call this before the whole list is read, and [`synchronized`](Self::synchronized) after it.
    pub(super) fn begin_synchronizing(&self) -> Progress {
        Progress {
            subscribers: self.subscribers.count(),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }

    /// Records that the subscribers received the whole list.
    pub(super) fn synchronized(&self, includes: Progress) {
        let at = Instant::now();
        *lock(&self.synchronized) = Some(Synchronized { at, includes });
    }

    /// When every subscriber last received the whole list.
    pub(super) fn last_synchronized(&self) -> Option<Instant> {
        let last = (*lock(&self.synchronized))?;
        (last.includes.subscribers >= self.subscribers.count()).then_some(last.at)
    }

    /// Records that pushed lines did not reach every subscriber, and makes the task read the whole
    /// list again. Only the first time since the list was read is logged.
    pub(super) fn missed_lines(&self) {
        let before = self.missed.fetch_add(1, Ordering::Relaxed);
        let last = *lock(&self.synchronized);
        if last.is_some_and(|last| last.includes.missed == before) {
            tracing::warn!(address = %self.address, "new entries in the state store were missed; reading the whole list again");
        }
        self.resync.notify_one();
    }

    /// Returns `true` if lines were missed since the whole list was read, or if the subscribers don't
    /// have lines that we received [`MAX_ADDING`] ago.
    pub(super) fn lacks_lines(&self) -> bool {
        let last = *lock(&self.synchronized);
        let missed = self.missed.load(Ordering::Relaxed);
        let has_missed = last.is_some_and(|last| last.includes.missed < missed);
        let adding = [self.pushed.since(), *lock(&self.adding_since)];
        let is_late = |since: Instant| since.elapsed() >= MAX_ADDING;
        has_missed || adding.into_iter().flatten().any(is_late)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since the Unix epoch.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// From this score on, a line doesn't expire. Redis formats such numbers with an exponent.
const FOREVER: u64 = 10_000_000_000_000_000;

/// The score of a line in the sorted set: its expiry in milliseconds, or `inf`.
pub(super) fn score(line: &Line) -> String {
    match line.until.map(millis) {
        Some(until) if until < FOREVER => until.to_string(),
        _ => "inf".to_owned(),
    }
}

/// Converts a member of the sorted set to a line. `None` if the score isn't a valid time.
pub(super) fn line(text: Vec<u8>, score: &str) -> Option<Line> {
    let until = match score {
        "inf" => None,
        score => {
            let until = score.parse().ok().filter(|until| *until < FOREVER)?;
            Some(UNIX_EPOCH + Duration::from_millis(until))
        }
    };
    Some(Line { text, until })
}
