//! [`Redis`]: a store in Redis or Valkey 6.2 or later, which replicas can share.
//!
//! A claim takes one round trip. `SET … NX` decides which of all replicas claims a key first. The
//! store's [birth] shows how far back the store remembers keys: a server that was emptied,
//! restarted or failed over has a new birth, and we reject everything issued before. In addition,
//! each process remembers the keys that it has accepted itself. Commands are never repeated, i.e. a
//! lost reply is an error.
//!
//! There is one known gap: two servers that are in use at the same time, e.g. an old primary that
//! some processes still reach after a failover.

mod birth;
mod connect;
mod link;
mod options;
#[cfg_attr(not(feature = "service"), allow(dead_code, reason = "`check` uses it"))]
pub(super) mod probe;
mod pushed;
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
    birth::Recorded,
    link::ListReader,
    probe::MAX_SKEW,
    shared::{Link, Shared, score},
    url::Address,
};

use crate::auth::store::{
    claim::{Claim, Claimed, Unavailable},
    lines::{Line, Subscriber, Subscription},
};

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

    #[cfg(feature = "service")]
    pub(super) fn check_url(url: &str) -> Result<(), InvalidStoreUrl> {
        Address::parse(url).map(drop)
    }

    #[cfg(feature = "service")]
    pub(super) async fn probe(
        url: &str,
        options: &RedisOptions,
    ) -> Result<probe::Probed, probe::ProbeError> {
        probe::probe(url, options).await
    }

    pub(super) async fn claim(&self, claim: &Claim) -> Result<Claimed, Unavailable> {
        let shared = &self.shared;
        if self.has_claimed(claim) {
            return Ok(Claimed::Used);
        }
        let link = shared.connection().ok_or(Unavailable::Connection)?;
        let run_id = Arc::clone(&link.run_id);
        let mut pipeline = redis::pipe();
        // Claim the key before reading the birth. If the store is emptied in between, the birth is
        // later than the value, and we reject the claim.
        let remaining = claim.until.duration_since(claim.now).unwrap_or_default();
        // A replica whose clock is behind may accept the value for longer than we do.
        let ttl = remaining + Duration::from_millis(MAX_SKEW);
        pipeline
            .cmd("SET")
            .arg(shared.names.claim(&claim.key))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(ttl.as_millis() + 1);
        shared.birth(&mut pipeline, claim.now, &run_id, Recorded::Keep);
        let replies = self.send(link, &pipeline, 3).await?;
        let is_first = match &replies[0] {
            Value::Okay => true,
            Value::Nil => false,
            _ => return Err(self.unusable()),
        };
        if !is_first {
            return Ok(Claimed::Used);
        }
        let birth = match &replies[2] {
            Value::BulkString(record) => birth::parse(record, &run_id),
            _ => None,
        };
        // the task replaces a record of another process when it connects again
        let birth = birth.ok_or_else(|| self.unusable())?;
        if claim.issued_at <= UNIX_EPOCH + Duration::from_millis(birth) {
            return Err(Unavailable::TooOld);
        }
        // If the store is emptied between two claims, it accepts both. We still have the local
        // record, which rejects the second one.
        shared.accepted.claim(claim)
    }

    /// True if this process has claimed the key itself.
    pub(super) fn has_claimed(&self, claim: &Claim) -> bool {
        self.shared.accepted.holds(claim)
    }

    pub(super) async fn publish(&self, line: Line) -> Result<(), Unavailable> {
        let connection = self.shared.connection();
        let connection = connection.ok_or(Unavailable::Connection)?;
        let names = &self.shared.names;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZADD")
            .arg(&names.list)
            .arg(score(&line))
            .arg(&line.text);
        let publish = pipeline.cmd("PUBLISH");
        publish.arg(&names.channel).arg(link::push_of(&line));
        let sent = self.send(connection, &pipeline, 2).await;
        let is_added =
            |replies: &[Value]| replies.iter().all(|reply| matches!(reply, Value::Int(_)));
        if !sent.as_ref().is_ok_and(|replies| is_added(replies)) {
            // Make the task write the line back if the store lacks it, along with the lines that
            // the caller no longer sends because of this error
            self.shared.resync.notify_one();
            return Err(sent.err().unwrap_or_else(|| self.unusable()));
        }
        let added = self.shared.add_lines(vec![line]).await;
        added.map_err(|_| self.unusable())
    }

    pub(super) fn resync(&self) {
        self.shared.resync.notify_one();
    }

    pub(super) async fn lines(&self) -> Result<Vec<Line>, Unavailable> {
        let mut link = self.shared.connection().ok_or(Unavailable::Connection)?;
        let mut lines = Vec::new();
        let mut reader = ListReader::new(&self.shared.names.list);
        loop {
            let read = reader.read(&mut link.commands).await;
            match read.map_err(|error| self.failed(&error))? {
                Some(more) => lines.extend(more),
                None => return Ok(lines),
            }
        }
    }

    pub(super) fn watch(&self, subscriber: Subscriber) -> Subscription {
        let subscription = self.shared.subscribers.push(subscriber);
        self.shared.resync.notify_one();
        subscription
    }

    pub(super) fn is_connected(&self) -> bool {
        self.shared.connection.borrow().is_some()
    }

    pub(super) async fn connected(&self) {
        let mut connection = self.shared.connection.subscribe();
        // can't fail: `self` owns the sender
        let _ = connection.wait_for(Option::is_some).await;
    }

    pub(super) fn last_synchronized(&self) -> Option<Instant> {
        self.shared.last_synchronized()
    }

    pub(super) fn lacks_lines(&self) -> bool {
        self.shared.lacks_lines()
    }

    pub(super) fn connects(&self) -> u64 {
        self.shared.connects.load(Ordering::Relaxed)
    }

    pub(super) fn keys(&self) -> usize {
        self.shared.accepted.len()
    }

    /// Sends commands and returns their replies. No retries.
    async fn send(
        &self,
        mut link: Link,
        pipeline: &Pipeline,
        replies: usize,
    ) -> Result<Vec<Value>, Unavailable> {
        let sending = link.commands.send_packed_commands(pipeline, 0, replies);
        let sent = sending.await;
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

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.shared.address.to_string())
            .finish_non_exhaustive()
    }
}
