//! [`probe`]: examines a server for `check` before the service depends on it.
//!
//! Runs the service's own commands over the service's own connection. It writes only a key that
//! expires within a second.

use std::{
    io,
    time::{Duration, Instant, SystemTime},
};

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, aio::MultiplexedConnection};

use crate::auth::{
    display::ShownText,
    store::redis::{
        connect::{Connection, OpenError},
        options::RedisOptions,
        shared::{Names, millis},
        url::{Address, InvalidStoreUrl},
    },
};

/// The time limit of each command. The service has a shorter one, for a server under load.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The difference between the clocks that is worth reporting, in milliseconds.
pub(super) const MAX_SKEW: u64 = 5000;

/// A server that the service can use.
#[derive(Debug)]
pub(crate) struct Probed {
    /// The host and the port.
    pub(crate) address: String,
    pub(crate) is_tls: bool,
    /// How long one command took.
    pub(crate) took: Duration,
    /// The product and its version. `None` if the user may not ask for them.
    pub(crate) version: Option<Version>,
    /// The eviction policy when memory is full. `None` if the user may not read it.
    pub(crate) eviction: Option<String>,
    /// The lead of the server's clock over this machine's, in milliseconds.
    ahead: Option<i64>,
}

impl Probed {
    /// Returns the lead of the server's clock in milliseconds, if it is worth reporting.
    pub(crate) fn skew(&self) -> Option<i64> {
        self.ahead.filter(|ahead| ahead.unsigned_abs() > MAX_SKEW)
    }
}

/// The product and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) product: &'static str,
    pub(crate) number: String,
}

/// The reason why the service cannot use a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("{0}")]
    Url(InvalidStoreUrl),
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, ShownText),
    #[error("no TLS with {0}: {1}")]
    Tls(String, ShownText),
    #[error("{0} does not let us in: {1}")]
    Login(String, ShownText),
    #[error("{0} refuses {1}: {2}")]
    Refused(String, &'static str, ShownText),
}

impl Version {
    /// Parses the answer of `INFO`. Valkey also states the version of Redis that it is compatible
    /// with.
    fn read(info: &str) -> Option<Self> {
        let of = |member, product| {
            let number = member_of(info, member)?.to_owned();
            Some(Self { product, number })
        };
        of("valkey_version", "Valkey").or_else(|| of("redis_version", "Redis"))
    }

    /// Returns whether the server has every command of the service.
    pub(crate) fn is_supported(&self) -> bool {
        let mut parts = self.number.split('.').map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        version >= (6, 2)
    }
}

/// Returns the value of a line `name:value` of `INFO`.
fn member_of<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    let mut lines = info.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

pub(super) async fn probe(url: &str, options: &RedisOptions) -> Result<Probed, ProbeError> {
    let address = Address::parse(url).map_err(ProbeError::Url)?;
    let shown = address.to_string();
    let connection = Connection::open(&address, TIMEOUT, |_| {}).await;
    let connection = connection.map_err(|error| {
        let of = shown.clone();
        match error {
            OpenError::Tcp(error) => ProbeError::Unreachable(of, ShownText::message(error)),
            OpenError::TimedOut => {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                ProbeError::Unreachable(of, ShownText::message(error))
            }
            OpenError::Tls(error) => ProbeError::Tls(of, ShownText::message(error)),
            OpenError::Login(error) => ProbeError::Login(of, ShownText::message(error)),
        }
    })?;
    let mut commands = connection.commands.clone();
    let begin = Instant::now();
    run::<Value>(&shown, &mut commands, "PING", &[]).await?;
    let took = begin.elapsed();
    let names = Names::new(&options.prefix);
    let (key, list) = (format!("{}check", options.prefix), names.list.as_str());
    // No command changes the list: `XX` adds nothing, and no line expired before 1970.
    run::<Value>(
        &shown,
        &mut commands,
        "SET",
        &[&key, "1", "NX", "PX", "500"],
    )
    .await?;
    run::<Value>(&shown, &mut commands, "GET", &[&names.birth]).await?;
    run::<Value>(&shown, &mut commands, "ZSCAN", &[list, "0"]).await?;
    run::<Value>(&shown, &mut commands, "ZADD", &[list, "XX", "0", "check"]).await?;
    run::<Value>(
        &shown,
        &mut commands,
        "ZREMRANGEBYSCORE",
        &[list, "-inf", "0"],
    )
    .await?;
    let subscribed = commands.subscribe(list).await;
    subscribed.map_err(|error| refused(&shown, "SUBSCRIBE", &error))?;
    let info: RedisResult<String> = redis::cmd("INFO").query_async(&mut commands).await;
    let info = info.unwrap_or_default();
    Ok(Probed {
        is_tls: address.tls,
        took,
        version: Version::read(&info),
        eviction: member_of(&info, "maxmemory_policy").map(str::to_owned),
        ahead: ahead(&mut commands).await,
        address: shown,
    })
}

/// Returns a lower bound of the lead of the server's clock in milliseconds, because the answer took
/// time to arrive. `None` if the server does not answer.
pub(super) async fn ahead_of(
    commands: &mut MultiplexedConnection,
    now: impl Fn() -> SystemTime,
) -> Option<i64> {
    let answer: RedisResult<(u64, u64)> = redis::cmd("TIME").query_async(commands).await;
    let (seconds, micros) = answer.ok()?;
    Some(server_millis(seconds, micros).saturating_sub_unsigned(millis(now())))
}

/// Returns the time of a server in milliseconds, at most `i64::MAX`. The server may send any numbers.
fn server_millis(seconds: u64, micros: u64) -> i64 {
    let server = Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros));
    i64::try_from(server.as_millis()).unwrap_or(i64::MAX)
}

async fn ahead(commands: &mut MultiplexedConnection) -> Option<i64> {
    ahead_of(commands, SystemTime::now).await
}

async fn run<T: FromRedisValue>(
    address: &str,
    commands: &mut MultiplexedConnection,
    name: &'static str,
    arguments: &[&str],
) -> Result<T, ProbeError> {
    let mut command = Cmd::new();
    command.arg(name).arg(arguments);
    let answer = command.query_async(commands).await;
    answer.map_err(|error| refused(address, name, &error))
}

fn refused(address: &str, command: &'static str, error: &RedisError) -> ProbeError {
    ProbeError::Refused(address.to_owned(), command, ShownText::message(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_of_either_product() {
        for (info, expected) in [
            (
                "# Server\r\nredis_version:7.0.15\r\n",
                Some(("Redis 7.0.15", true)),
            ),
            ("redis_version:6.2.0\r\n", Some(("Redis 6.2.0", true))),
            ("redis_version:6.0.16\r\n", Some(("Redis 6.0.16", false))),
            ("redis_version:10.0\r\n", Some(("Redis 10.0", true))),
            ("redis_version:?\r\n", Some(("Redis ?", false))),
            (
                "server_name:valkey\r\nredis_version:7.2.4\r\nvalkey_version:8.0.1\r\n",
                Some(("Valkey 8.0.1", true)),
            ),
            ("# Server\r\n", None),
            ("", None),
        ] {
            let version = Version::read(info);
            let found = version.map(|version| {
                let supported = version.is_supported();
                (format!("{} {}", version.product, version.number), supported)
            });
            let expected = expected.map(|(name, supported)| (name.to_owned(), supported));
            assert_eq!(found, expected, "{info}");
        }
    }

    #[test]
    fn any_time_of_a_server_is_a_number() {
        for (seconds, micros, expected) in [
            (0, 0, 0),
            (1_700_000_000, 999_999, 1_700_000_000_999),
            (0, u64::MAX, 18_446_744_073_709_551),
            (u64::MAX, 0, i64::MAX),
            (u64::MAX, u64::MAX, i64::MAX),
        ] {
            assert_eq!(server_millis(seconds, micros), expected);
        }
    }
}
