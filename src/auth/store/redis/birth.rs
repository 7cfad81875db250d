//! The birth of a store: the time since which one server process has recorded all keys.
//!
//! The store holds one such record, which identifies the server process by its `run_id`. That
//! changes at every start. A server that starts from a snapshot and a replica that is promoted have
//! the record of another process, and may lack keys. Their `run_id` differs from the one in the
//! record, and a new birth will be recorded.
//!
//! A connection never changes to another server process, so `INFO` is only sent once for each
//! connection, and each claim compares the record that it reads with that `run_id`.

use redis::{ErrorKind, Pipeline, RedisError, RedisResult, aio::MultiplexedConnection};

/// What to do if the store already has a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recorded {
    Keep,
    Replace,
}

/// The value of a line `name:value` of `INFO`.
pub(super) fn member_of<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

pub(super) async fn run_id(commands: &mut MultiplexedConnection) -> RedisResult<String> {
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(commands)
        .await?;
    let run_id = member_of(&info, "run_id").filter(|id| !id.is_empty());
    let run_id = run_id.ok_or_else(|| {
        let error = "the server's INFO has no run_id, which is needed to detect a restart";
        RedisError::from((ErrorKind::UnexpectedReturnType, error))
    })?;
    Ok(run_id.to_owned())
}

/// Adds the commands that record a birth of the process `run_id` at `at`, in milliseconds since the
/// Unix epoch, and return the record. They have two replies.
pub(super) fn record(
    pipeline: &mut Pipeline,
    name: &str,
    at: u64,
    run_id: &str,
    recorded: Recorded,
) {
    let set = pipeline.cmd("SET").arg(name).arg(format!("{at} {run_id}"));
    if recorded == Recorded::Keep {
        set.arg("NX");
    }
    pipeline.cmd("GET").arg(name);
}

/// `None` if this is not a record, or belongs to a process other than `run_id`.
pub(super) fn parse(record: &[u8], run_id: &str) -> Option<u64> {
    let (at, of) = std::str::from_utf8(record).ok()?.split_once(' ')?;
    at.parse().ok().filter(|_| of == run_id)
}
