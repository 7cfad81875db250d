//! [`Redis`]: a store in Redis or Valkey 6.2 or later, which replicas can share.
//!
//! A claim takes one round trip. `SET … NX` decides which of all replicas claims a key first. The
//! store's birth time shows how far back the store remembers keys: if the store is restarted
//! without its data, it has a new birth time, and everything issued before is rejected. In
//! addition, each process remembers the keys that it has accepted itself. Commands are never
//! repeated, so a lost reply is an error.
//!
//! There is one known gap. After a failover to a Redis replica that has not received the last
//! writes, a proof can be used a second time, at another process.

mod connect;
mod link;
mod options;
#[cfg_attr(not(feature = "service"), allow(dead_code, reason = "`check` uses it"))]
pub(super) mod probe;
mod shared;
#[cfg(test)]
mod tests;
mod url;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use redis::{Pipeline, RedisError, Value};
use tokio::{runtime::Handle, task::JoinHandle};

pub use self::{options::RedisOptions, url::InvalidStoreUrl};

use self::{
    shared::{Shared, score},
    url::Address,
};

use crate::auth::store::{
    claim::{Claim, Claimed, Unavailable},
    lines::{Line, Subscriber},
};

/// A store in Redis, and the task that maintains its connection.
pub(super) struct Redis {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Redis {
    /// Starts connecting in the background.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    pub(super) fn start(url: &str, options: &RedisOptions) -> Result<Self, InvalidStoreUrl> {
        Self::start_with_clock(url, options, SystemTime::now)
    }

    pub(super) fn start_with_clock(
        url: &str,
        options: &RedisOptions,
        clock: fn() -> SystemTime,
    ) -> Result<Self, InvalidStoreUrl> {
        let address = Address::parse(url)?;
        let shared = Arc::new(Shared::new(address, options, clock));
        let task = Handle::current().spawn(link::run(Arc::clone(&shared)));
        Ok(Self { shared, task })
    }

    /// Checks a URL without connecting.
    #[cfg(feature = "service")]
    pub(super) fn check_url(url: &str) -> Result<(), InvalidStoreUrl> {
        Address::parse(url).map(drop)
    }

    /// Connects once, and tries every command that the service needs.
    #[cfg(feature = "service")]
    pub(super) async fn probe(
        url: &str,
        options: &RedisOptions,
    ) -> Result<probe::Probed, probe::ProbeError> {
        probe::probe(url, options).await
    }

    pub(super) async fn claim(&self, claim: &Claim) -> Result<Claimed, Unavailable> {
        let shared = &self.shared;
        if shared.accepted.holds(claim) {
            return Ok(Claimed::Used);
        }
        let mut pipeline = redis::pipe();
        // Claims the key before reading the birth time. If the store is emptied in between, the
        // birth time is then later than the value, and the claim is rejected.
        let remaining = claim.until.duration_since(claim.now).unwrap_or_default();
        pipeline
            .cmd("SET")
            .arg(shared.names.claim(&claim.key))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(remaining.as_millis() + 1);
        shared.birth(&mut pipeline, claim.now);
        let replies = self.send(&pipeline, 3).await?;
        let is_first = match &replies[0] {
            Value::Okay => true,
            Value::Nil => false,
            _ => return Err(self.unusable()),
        };
        if !is_first {
            return Ok(Claimed::Used);
        }
        let birth = birth(&replies[2]).ok_or_else(|| self.unusable())?;
        if claim.issued_at <= UNIX_EPOCH + birth {
            return Err(Unavailable::TooOld);
        }
        // If the store is emptied between two claims, it accepts both. The local record rejects the
        // second one.
        shared.accepted.claim(claim)
    }

    pub(super) async fn publish(&self, line: Line) -> Result<(), Unavailable> {
        let list = &self.shared.names.list;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZADD")
            .arg(list)
            .arg(score(&line))
            .arg(&line.text);
        pipeline.cmd("PUBLISH").arg(list).arg(link::push_of(&line));
        let replies = self.send(&pipeline, 2).await?;
        if !replies.iter().all(|reply| matches!(reply, Value::Int(_))) {
            return Err(self.unusable());
        }
        self.shared.subscribers.add(&[line]);
        Ok(())
    }

    pub(super) async fn lines(&self) -> Result<Vec<Line>, Unavailable> {
        let mut commands = self.shared.connection().ok_or(Unavailable::Connection)?;
        let mut lines = Vec::new();
        let read = link::read_list(&self.shared, &mut commands, |more| lines.extend(more));
        read.await.map_err(|error| self.failed(&error))?;
        Ok(lines)
    }

    pub(super) fn watch(&self, subscriber: Subscriber) {
        self.shared.subscribers.push(subscriber);
        self.shared.resync.notify_one();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.shared.connection.borrow().is_some()
    }

    /// Waits until the store is connected.
    pub(super) async fn connected(&self) {
        let mut connection = self.shared.connection.subscribe();
        // Cannot fail: `self` owns the sender.
        let _ = connection.wait_for(Option::is_some).await;
    }

    pub(super) fn last_synchronized(&self) -> Option<Instant> {
        self.shared.last_synchronized()
    }

    /// Returns the number of connections opened so far.
    pub(super) fn connects(&self) -> u64 {
        self.shared.connects.load(Ordering::Relaxed)
    }

    /// Returns the number of keys that this process has accepted.
    pub(super) fn keys(&self) -> usize {
        self.shared.accepted.len()
    }

    /// Sends commands without retries, and returns their replies.
    async fn send(&self, pipeline: &Pipeline, replies: usize) -> Result<Vec<Value>, Unavailable> {
        let connection = self.shared.connection();
        let mut commands = connection.ok_or(Unavailable::Connection)?;
        let sent = commands.send_packed_commands(pipeline, 0, replies).await;
        let received = sent.map_err(|error| self.failed(&error))?;
        if received.len() == replies {
            Ok(received)
        } else {
            Err(self.unusable())
        }
    }

    fn failed(&self, error: &RedisError) -> Unavailable {
        if error.is_timeout() {
            return Unavailable::Timeout;
        }
        self.unusable()
    }

    /// Makes the task check the connection, after an error or an unexpected reply.
    fn unusable(&self) -> Unavailable {
        self.shared.check_requested.notify_one();
        Unavailable::Connection
    }
}

/// Returns the store's birth time, as the time since the Unix epoch.
fn birth(reply: &Value) -> Option<Duration> {
    let Value::BulkString(text) = reply else {
        return None;
    };
    let millis = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.shared.address.to_string())
            .finish_non_exhaustive()
    }
}
