//! [`Store`]: the state that outlives a request, namely a record of keys that can be used only once
//! and a list that replicas share.
//!
//! A store knows nothing about tokens. Claims are atomic: if replicas that share a store claim the
//! same key, exactly one of these claims is the first. If the store isn't sure it returns an error,
//! and the request is rejected.

#![cfg_attr(
    not(feature = "service"),
    allow(dead_code, reason = "the service uses the rest")
)]

mod claim;
mod lines;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod stats;

#[cfg(feature = "redis")]
use std::time::Instant;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

#[cfg(feature = "service")]
pub(crate) use self::redis::probe::{ProbeError, Probed};
#[cfg(feature = "redis")]
pub use self::redis::{InvalidStoreUrl, RedisOptions};
pub(crate) use self::{
    claim::{Claim, Claimed, Unavailable},
    lines::{Line, Subscriber, Subscription},
    memory::DEFAULT_BYTES,
    stats::Stats,
};

use self::{lines::Subscribers, memory::Memory};

/// A store for used proofs, used logout tokens and revocations. Cheap to clone, and clones share
/// their state.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    backend: Backend,
    stats: Stats,
}

enum Backend {
    Memory(Memory, Subscribers),
    #[cfg(feature = "redis")]
    Redis(redis::Redis),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Health {
    /// False while disconnected. Always true for a store in memory.
    pub(crate) ok: bool,
    /// True once the whole shared list has been read
    pub(crate) is_synchronized: bool,
    /// True if new lines may have been missed after that, because the connection was lost or for
    /// another reason, until the whole list is read again. Also true if lines were received a second
    /// ago, and the subscribers don't have them yet.
    pub(crate) lacks_lines: bool,
    /// The number of connections opened so far.
    pub(crate) connects: u64,
    /// The number of keys that this process keeps in memory
    pub(crate) keys: usize,
}

impl Store {
    /// Creates a store of at most `bytes` in the memory of this process. You should only use this
    /// if your service has just one replica. When the store is full, requests that need it will be
    /// rejected with 503 until entries expire, because entries are never dropped early. Proofs
    /// older than the store are rejected with 503 too.
    pub fn memory(bytes: usize) -> Self {
        Self::of(Backend::Memory(Memory::new(bytes), Subscribers::default()))
    }

    /// Creates a store in memory that also accepts proofs from before its creation. Only for an
    /// `Auth` that answers no requests! A service with this store would accept a proof again after
    /// a restart.
    #[cfg(feature = "service")]
    pub(crate) fn memory_without_start() -> Self {
        let store = Self::default();
        // only the first call has an effect, so the store stays older than every proof
        store.begin(SystemTime::UNIX_EPOCH);
        store
    }

    /// Creates a store in Redis or Valkey 6.2 or later, which replicas can share. The URL is
    /// `redis://[user][:password@]host[:port][/database]`, or `rediss://` for TLS.
    ///
    /// Connects in the background, and retries forever. While disconnected, requests that need the
    /// store are rejected with 503.
    ///
    /// # Errors
    /// Returns [`InvalidStoreUrl`] if `url` has a different form. The error will not quote it.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    ///
    /// # Examples
    /// ```
    /// use warp_bearer::auth::{Auth, store::{RedisOptions, Store}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = Store::redis("redis://:password@127.0.0.1/0", &RedisOptions::default())?;
    /// let auth = Auth::builder()
    ///     .issuer("https://tenant.eu.auth0.com/")
    ///     .audience("https://api.example.com")
    ///     .state_store(store)
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "redis")]
    pub fn redis(url: &str, options: &RedisOptions) -> Result<Self, InvalidStoreUrl> {
        Ok(Self::of(Backend::Redis(redis::Redis::start(url, options)?)))
    }

    /// [`redis`](Self::redis) with this clock for the process.
    #[cfg(all(test, feature = "redis"))]
    fn redis_with_clock(
        url: &str,
        options: &RedisOptions,
        clock: fn() -> SystemTime,
    ) -> Result<Self, InvalidStoreUrl> {
        let redis = redis::Redis::start_with_clock(url, options, clock)?;
        Ok(Self::of(Backend::Redis(redis)))
    }

    /// Connects to a store once, and tries every command that the service needs
    #[cfg(feature = "service")]
    pub(crate) async fn probe(url: &str, options: &RedisOptions) -> Result<Probed, ProbeError> {
        redis::Redis::probe(url, options).await
    }

    /// Checks the URL of a store without connecting to it
    #[cfg(feature = "service")]
    pub(crate) fn check_url(url: &str) -> Result<(), InvalidStoreUrl> {
        redis::Redis::check_url(url)
    }

    fn of(backend: Backend) -> Self {
        let stats = Stats::default();
        Self(Arc::new(Inner { backend, stats }))
    }

    /// Records the time at which this process began to record claims. Only the first call has an
    /// effect. A shared store outlives this process and records its own time.
    pub(crate) fn begin(&self, now: SystemTime) {
        match &self.0.backend {
            Backend::Memory(memory, _) => memory.begin(now),
            #[cfg(feature = "redis")]
            Backend::Redis(_) => {}
        }
    }

    /// Claims a key. Exactly one claim of each key returns [`Claimed::First`].
    ///
    /// # Errors
    /// Returns [`Unavailable`] if the store can't tell whether the key was used. Note that it may
    /// have recorded the key all the same, so a retry may return [`Claimed::Used`].
    #[cfg_attr(not(feature = "redis"), allow(clippy::unused_async))] // only Redis awaits
    pub(crate) async fn claim(&self, claim: Claim) -> Result<Claimed, Unavailable> {
        let claimed = match &self.0.backend {
            Backend::Memory(memory, _) => memory.claim(&claim),
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => {
                let begin = Instant::now();
                let claimed = redis.claim(&claim).await;
                self.0.stats.observe(begin.elapsed());
                claimed
            }
        };
        self.0.stats.count(claimed);
        claimed
    }

    /// True if this process claimed the key in a shared store. Needs no round trip, so a store in
    /// memory, where a claim needs none either, returns false.
    #[cfg_attr(not(feature = "redis"), allow(unused_variables))]
    pub(crate) fn has_claimed(&self, claim: &Claim) -> bool {
        match &self.0.backend {
            Backend::Memory(..) => false,
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.has_claimed(claim),
        }
    }

    /// Adds a line to the shared list, and notifies the subscribers of all replicas.
    ///
    /// # Errors
    /// Returns [`Unavailable`] if the store didn't confirm the line. It may still have added the
    /// line and notified subscribers. A connected store then reads the whole list again, and writes
    /// back the lines that it lacks.
    #[cfg_attr(not(feature = "redis"), allow(clippy::unused_async))] // only Redis awaits
    pub(crate) async fn publish(&self, line: Line) -> Result<(), Unavailable> {
        match &self.0.backend {
            Backend::Memory(_, subscribers) => {
                subscribers.add(&[line]);
                Ok(())
            }
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.publish(line).await,
        }
    }

    /// Makes a shared store read the whole list soon, and write back the lines that it lacks. Doesn't
    /// wait for that, and needs no runtime.
    pub(crate) fn resync(&self) {
        match &self.0.backend {
            Backend::Memory(..) => {}
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.resync(),
        }
    }

    /// Reads the list once. (A store in memory only has the lines of its subscribers.)
    ///
    /// # Errors
    /// Returns [`Unavailable`] if the list couldn't be read completely.
    #[cfg_attr(not(feature = "redis"), allow(clippy::unused_async))] // only Redis awaits
    pub(crate) async fn lines(&self) -> Result<Vec<Line>, Unavailable> {
        match &self.0.backend {
            Backend::Memory(_, subscribers) => Ok(subscribers.held(|_| true)),
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.lines().await,
        }
    }

    /// Adds a subscriber to the shared list, until the returned value is dropped. From a shared
    /// store it gets the whole list, then every new line, and the whole list again every 30 s and
    /// after each reconnection. From a store in memory it only gets new lines.
    pub(crate) fn watch(&self, subscriber: Subscriber) -> Subscription {
        match &self.0.backend {
            Backend::Memory(_, subscribers) => subscribers.push(subscriber),
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.watch(subscriber),
        }
    }

    /// Waits until the store is connected. There's no timeout, so this should usually be wrapped in
    /// one.
    #[cfg_attr(not(feature = "redis"), allow(clippy::unused_async))] // only Redis awaits
    pub(crate) async fn connected(&self) {
        match &self.0.backend {
            Backend::Memory(..) => {}
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.connected().await,
        }
    }

    /// True if other processes use the same store
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self.0.backend, Backend::Memory(..))
    }

    pub(crate) fn health(&self) -> Health {
        match &self.0.backend {
            Backend::Memory(memory, _) => Health {
                ok: true,
                is_synchronized: true,
                lacks_lines: false,
                connects: 0,
                keys: memory.len(),
            },
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => Health {
                ok: redis.is_connected(),
                is_synchronized: redis.last_synchronized().is_some(),
                lacks_lines: redis.lacks_lines(),
                connects: redis.connects(),
                keys: redis.keys(),
            },
        }
    }

    /// The time since all subscribers received the whole list. `None` if they haven't received it
    /// yet.
    #[cfg_attr(not(feature = "redis"), allow(clippy::unnecessary_wraps))] // only for Redis
    pub(crate) fn list_age(&self) -> Option<Duration> {
        match &self.0.backend {
            Backend::Memory(..) => Some(Duration::ZERO),
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.last_synchronized().map(|at| at.elapsed()),
        }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.0.stats
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::memory(DEFAULT_BYTES)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.backend {
            Backend::Memory(memory, _) => f.debug_tuple("Memory").field(&memory.len()).finish(),
            #[cfg(feature = "redis")]
            Backend::Redis(redis) => redis.fmt(f),
        }
    }
}
