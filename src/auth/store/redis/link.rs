//! The task that maintains the connection. It connects, checks the connection, reconnects, and
//! synchronizes the list.
//!
//! Requests use a connection as soon as the server has responded once. Twice a second, the task
//! records the store's birth if there is none. That way we detect a server that is gone,
//! unresponsive or read-only, and an emptied store gets a new birth.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    mem::replace,
    sync::Arc,
    time::{Duration, SystemTime},
};

use redis::{
    ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep},
};

use crate::auth::store::{
    lines::Line,
    redis::{
        birth::{self, Recorded},
        connect::{Connection, shown},
        probe::{MAX_SKEW, ahead_of},
        shared::{Link, Names, Shared, line, millis, score},
    },
};

const RETRY_DELAY: Duration = Duration::from_millis(200);

const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// How often the whole list is read, in addition to receiving new lines
const RESYNC_INTERVAL: Duration = Duration::from_secs(30);

const CHUNK: usize = 1000;

/// How long we keep an expired line in Redis. Without this, a replica whose clock is ahead could
/// delete a line that others still need.
const EXPIRED_RETENTION: Duration = Duration::from_secs(600);

/// Maintains the connection, and passes new lines to the subscribers, until the task is aborted,
/// which `Redis::drop` does.
pub(super) async fn run(shared: Arc<Shared>) {
    select! {
        () = keep_connected(&shared) => {}
        () = keep_adding(&shared) => {}
    }
}

/// Passes pushed lines to the subscribers. Lines that arrive during one call go into the next.
async fn keep_adding(shared: &Shared) {
    loop {
        let lines = shared.pushed.take().await;
        if shared.add_lines(lines).await.is_err() {
            // a subscriber panicked, so some subscribers might lack the lines
            shared.missed_lines();
        }
    }
}

async fn keep_connected(shared: &Arc<Shared>) {
    let mut last_fault = None;
    loop {
        let fault = match open(shared).await {
            Ok(Opened {
                mut connection,
                run_id,
                birth,
            }) => {
                tracing::info!(address = %shared.address, "state store connected");
                last_fault = None;
                let fault = serve(shared, &mut connection, &run_id, birth).await;
                shared.disconnected(run_id);
                fault
            }
            Err(fault) => fault,
        };
        let kind = fault.kind();
        if last_fault.replace(kind) == Some(kind) {
            tracing::debug!(address = %shared.address, error = %shown(&shared.address, &fault), "state store unavailable again");
        } else {
            tracing::warn!(address = %shared.address, error = %shown(&shared.address, &fault), "state store unavailable");
        }
        sleep(RETRY_DELAY).await;
    }
}

struct Opened {
    connection: Connection,
    run_id: Arc<str>,
    /// The time since which that process has recorded all keys, in milliseconds since the Unix
    /// epoch.
    birth: u64,
}

/// Connects, subscribes to new lines, and finds out the store's birth
async fn open(shared: &Arc<Shared>) -> RedisResult<Opened> {
    let for_push = Arc::downgrade(shared);
    let on_push = move |push: PushInfo| {
        if let Some(shared) = for_push.upgrade()
            && push.kind == PushKind::Message
            && let Some(line) = pushed_line(push.data)
            && !shared.pushed.push(line)
        {
            shared.missed_lines();
        }
    };
    let connection = Connection::open(
        &shared.address,
        &shared.tls,
        &shared.lookup,
        shared.timeout,
        on_push,
    )
    .await?;
    let mut commands = connection.commands.clone();
    commands.set_response_timeout(shared.check_timeout());
    // subscribe before reading the list, so that we don't miss a line in between
    commands.subscribe(&shared.names.channel).await?;
    compare_clocks(shared, &mut commands).await;
    let run_id: Arc<str> = birth::run_id(&mut commands).await?.into();
    let recorded = read_birth(shared, &mut commands, &run_id, Recorded::Keep).await?;
    let birth = match recorded {
        Some(birth) if !shared.was_connected_elsewhere_after(birth, &run_id) => birth,
        _ => {
            tracing::info!(address = %shared.address, "state store was restarted or failed over; older proofs get 503");
            let replaced = read_birth(shared, &mut commands, &run_id, Recorded::Replace).await?;
            replaced.ok_or_else(another_process)?
        }
    };
    Ok(Opened {
        connection,
        run_id,
        birth,
    })
}

/// Serves requests until the connection fails, and returns the reason
async fn serve(
    shared: &Shared,
    connection: &mut Connection,
    run_id: &Arc<str>,
    birth: u64,
) -> RedisError {
    let commands = connection.commands.clone();
    shared.connected(Link {
        commands: commands.clone(),
        run_id: Arc::clone(run_id),
    });
    let kept = async {
        select! {
            Err(fault) = keep_alive(shared, commands.clone(), run_id, birth) => fault,
            Err(fault) = keep_synchronized(shared, commands.clone()) => fault,
            else => lost(),
        }
    };
    select! {
        fault = kept => fault,
        () = connection.closed() => lost(),
    }
}

fn lost() -> RedisError {
    (ErrorKind::Io, "the connection was closed").into()
}

fn another_process() -> RedisError {
    let error = "the birth record belongs to another server process";
    (ErrorKind::UnexpectedReturnType, error).into()
}

/// Checks the connection at intervals, and whenever a command has failed
async fn keep_alive(
    shared: &Shared,
    mut commands: MultiplexedConnection,
    run_id: &str,
    mut born: u64,
) -> RedisResult<()> {
    commands.set_response_timeout(shared.check_timeout());
    let mut checks = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            _ = checks.tick() => {}
            () = shared.check_requested.notified() => {}
        }
        let birth = read_birth(shared, &mut commands, run_id, Recorded::Keep).await?;
        let birth = birth.ok_or_else(another_process)?;
        if replace(&mut born, birth) != birth {
            tracing::warn!(address = %shared.address, "state store has lost its data");
            shared.resync.notify_one();
        }
    }
}

/// The time since which the server process `run_id` has recorded all claims. If the store has no
/// record, or we replace it, this is a new birth, dated ahead by the timeout of a check. `None` if
/// the record belongs to another process. Fails if the server doesn't respond or is read-only.
async fn read_birth(
    shared: &Shared,
    commands: &mut MultiplexedConnection,
    run_id: &str,
    recorded: Recorded,
) -> RedisResult<Option<u64>> {
    let mut pipeline = redis::pipe();
    shared.birth(&mut pipeline, shared.now(), run_id, recorded);
    let (_, record): (Value, Vec<u8>) = pipeline.query_async(commands).await?;
    Ok(birth::parse(&record, run_id))
}

/// Compares the server's clock with that of this process. If the user isn't allowed to read the
/// server's clock, or the response is lost, we treat the clocks as equal.
async fn compare_clocks(shared: &Shared, commands: &mut MultiplexedConnection) {
    let ahead_ms = ahead_of(commands, || shared.now()).await;
    let ahead_ms = ahead_ms.unwrap_or_default();
    if ahead_ms.unsigned_abs() > MAX_SKEW {
        tracing::warn!(address = %shared.address, ahead_ms, "the state store's clock differs from this process's");
    }
    shared.set_server_ahead(ahead_ms);
}

/// Reads the whole list at intervals, and whenever there is a new subscriber.
async fn keep_synchronized(
    shared: &Shared,
    mut commands: MultiplexedConnection,
) -> RedisResult<()> {
    // Reading a list of 100,000 lines takes longer than the timeout of a claim.
    commands.set_response_timeout(shared.check_timeout());
    let mut resyncs = interval(RESYNC_INTERVAL);
    resyncs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            _ = resyncs.tick() => {}
            () = shared.resync.notified() => {}
        }
        resync(shared, &mut commands).await?;
    }
}

/// Passes the whole list to the subscribers, and writes back those of their lines that are missing
/// in the store. We never remove a line from a subscriber.
async fn resync(shared: &Shared, commands: &mut MultiplexedConnection) -> RedisResult<()> {
    let list = &shared.names.list;
    let expired = millis(SystemTime::now() - EXPIRED_RETENTION);
    let () = redis::cmd("ZREMRANGEBYSCORE")
        .arg(list)
        .arg("-inf")
        .arg(expired)
        .query_async(commands)
        .await?;

    let progress = shared.begin_synchronizing();
    let hasher = RandomState::new();
    let mut present = HashSet::new();
    let mut reader = ListReader::new(list);
    while let Some(lines) = reader.read(commands).await? {
        present.extend(lines.iter().map(|line| hasher.hash_one(&line.text)));
        shared.add_read_lines(lines).await?;
    }

    let now = SystemTime::now();
    let is_missing = move |line: &Line| {
        line.until.is_none_or(|until| until > now)
            && !present.contains(&hasher.hash_one(&line.text))
    };
    let held = shared.held_lines(is_missing).await?;
    for lines in held.chunks(CHUNK) {
        write_back(&shared.names, lines, commands).await?;
    }
    if !held.is_empty() {
        tracing::info!(
            lines = held.len(),
            "entries written back to the state store"
        );
    }
    shared.synchronized(progress);
    Ok(())
}

/// Reads the list in pieces. Together they contain every line that is in the list during the whole
/// read.
pub(super) struct ListReader<'n> {
    name: &'n str,
    /// `None` at the end
    cursor: Option<String>,
}

impl<'n> ListReader<'n> {
    pub(super) fn new(name: &'n str) -> Self {
        Self {
            name,
            cursor: Some("0".to_owned()),
        }
    }

    /// The next lines, of which there may be none. `None` at the end.
    pub(super) async fn read(
        &mut self,
        commands: &mut MultiplexedConnection,
    ) -> RedisResult<Option<Vec<Line>>> {
        let Some(cursor) = &self.cursor else {
            return Ok(None);
        };
        let (next, members): (String, Vec<(Vec<u8>, String)>) = redis::cmd("ZSCAN")
            .arg(self.name)
            .arg(cursor)
            .arg("COUNT")
            .arg(CHUNK)
            .query_async(commands)
            .await?;
        self.cursor = (next != "0").then_some(next);
        let lines = members.into_iter();
        let lines = lines.filter_map(|(text, score)| line(text, &score));
        Ok(Some(lines.collect()))
    }
}

/// Adds lines to the store, and publishes those that no other replica has added in the meantime.
async fn write_back(
    names: &Names,
    lines: &[Line],
    commands: &mut MultiplexedConnection,
) -> RedisResult<()> {
    let mut adding = redis::pipe();
    for line in lines {
        adding
            .cmd("ZADD")
            .arg(&names.list)
            .arg("NX")
            .arg(score(line))
            .arg(&line.text);
    }
    let added: Vec<u64> = adding.query_async(commands).await?;
    let mut pushing = redis::pipe();
    for (line, _) in lines.iter().zip(added).filter(|(_, added)| *added == 1) {
        let publish = pushing.cmd("PUBLISH");
        publish.arg(&names.channel).arg(push_of(line));
    }
    if pushing.is_empty() {
        return Ok(());
    }
    let _: Vec<u64> = pushing.query_async(commands).await?;
    Ok(())
}

/// The message that publishes a line: its score, a space and its text.
pub(super) fn push_of(line: &Line) -> Vec<u8> {
    let mut message = score(line).into_bytes();
    message.push(b' ');
    message.extend_from_slice(&line.text);
    message
}

/// Parses the line in a message, whose data are the channel and the text
fn pushed_line(data: Vec<Value>) -> Option<Line> {
    let Some(Value::BulkString(message)) = data.into_iter().nth(1) else {
        return None;
    };
    let blank = message.iter().position(|byte| *byte == b' ')?;
    let score = std::str::from_utf8(&message[..blank]).ok()?;
    line(message[blank + 1..].to_vec(), score)
}
