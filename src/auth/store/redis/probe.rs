//! [`probe`]: tests a server for `check`.
//!
//! It connects the way the service does and sends the same commands. The only thing it writes is a
//! key that expires within a second.

use std::{
    io,
    time::{Duration, Instant, SystemTime},
};

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value, aio::MultiplexedConnection};

use crate::auth::{
    display::ShownText,
    store::redis::{
        birth::{member_of, run_id},
        connect::{Connection, Lookup, OpenError, Tls, shown},
        options::RedisOptions,
        shared::{Names, millis},
        url::{Address, InvalidStoreUrl},
    },
};

/// The timeout of each command. The service uses a shorter one.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The difference between the clocks that we tolerate, in milliseconds. A larger one is reported.
/// Claims are kept for this much longer.
pub(super) const MAX_SKEW: u64 = 5000;

#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) address: String,
    pub(crate) is_tls: bool,
    pub(crate) took: Duration,
    /// The product and its version, if the server reports them.
    pub(crate) version: Option<Version>,
    /// The eviction policy when memory is full. `None` if the user may not read it.
    pub(crate) eviction: Option<String>,
    /// The milliseconds by which the server's clock is ahead of this machine's
    ahead: Option<i64>,
}

impl Probed {
    /// How far the server's clock is ahead in milliseconds, if that is worth reporting.
    pub(crate) fn skew(&self) -> Option<i64> {
        self.ahead.filter(|ahead| ahead.unsigned_abs() > MAX_SKEW)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) product: &'static str,
    pub(crate) number: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("{0}")]
    Url(InvalidStoreUrl),
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, ShownText),
    #[error("TLS handshake with {0} failed: {1}")]
    Tls(String, ShownText),
    #[error("{0} rejected the login: {1}")]
    Login(String, ShownText),
    #[error("{0} refuses {1}: {2}")]
    Refused(String, &'static str, ShownText),
}

impl Version {
    /// Parses the reply to `INFO`. Note that Valkey also reports the version of Redis that it is
    /// compatible with.
    fn read(info: &str) -> Option<Self> {
        let of = |member, product| {
            let number = member_of(info, member)?.to_owned();
            Some(Self { product, number })
        };
        of("valkey_version", "Valkey").or_else(|| of("redis_version", "Redis"))
    }

    /// Checks whether the server supports every command that we need.
    pub(crate) fn is_supported(&self) -> bool {
        let mut parts = self.number.split('.').map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        version >= (6, 2)
    }
}

pub(super) async fn probe(url: &str, options: &RedisOptions) -> Result<Probed, ProbeError> {
    let address = Address::parse(url).map_err(ProbeError::Url)?;
    let name = address.to_string();
    let connection = Connection::open(
        &address,
        &Tls::default(),
        &Lookup::default(),
        TIMEOUT,
        |_| {},
    )
    .await;
    let connection = connection.map_err(|error| {
        let of = name.clone();
        match error {
            OpenError::Tcp(error) => ProbeError::Unreachable(of, ShownText::message(error)),
            OpenError::TimedOut => {
                let error = io::Error::from(io::ErrorKind::TimedOut);
                ProbeError::Unreachable(of, ShownText::message(error))
            }
            OpenError::Tls(error) => ProbeError::Tls(of, ShownText::message(error)),
            OpenError::Login(error) => ProbeError::Login(of, shown(&address, &error)),
        }
    })?;
    let mut commands = connection.commands.clone();
    let begin = Instant::now();
    run::<Value>(&name, &mut commands, "PING", &[]).await?;
    let took = begin.elapsed();
    let names = Names::new(&options.prefix, address.login.db());
    let (key, list) = (format!("{}check", options.prefix), names.list.as_str());
    // These don't change the list: `XX` doesn't add lines, and no line expired before 1970.
    run::<Value>(&name, &mut commands, "SET", &[&key, "1", "NX", "PX", "500"]).await?;
    run::<Value>(&name, &mut commands, "GET", &[&names.birth]).await?;
    run::<Value>(&name, &mut commands, "ZSCAN", &[list, "0"]).await?;
    run::<Value>(&name, &mut commands, "ZADD", &[list, "XX", "0", "check"]).await?;
    run::<Value>(
        &name,
        &mut commands,
        "ZREMRANGEBYSCORE",
        &[list, "-inf", "0"],
    )
    .await?;
    // subscribers ignore messages without a space
    run::<Value>(&name, &mut commands, "PUBLISH", &[&names.channel, "check"]).await?;
    let subscribed = commands.subscribe(&names.channel).await;
    subscribed.map_err(|error| refused(&name, "SUBSCRIBE", &error))?;
    let info: String = run(&name, &mut commands, "INFO", &[]).await?;
    let identified = run_id(&mut commands).await;
    identified.map_err(|error| refused(&name, "INFO", &error))?;
    Ok(Probed {
        is_tls: address.tls,
        took,
        version: Version::read(&info),
        eviction: member_of(&info, "maxmemory_policy").map(str::to_owned),
        ahead: ahead(&mut commands).await,
        address: name,
    })
}

/// A lower bound for how far the server's clock is ahead, in milliseconds. There is no way to know
/// the exact value, because the reply takes time to arrive. `None` if the server does not respond.
pub(super) async fn ahead_of(
    commands: &mut MultiplexedConnection,
    now: impl Fn() -> SystemTime,
) -> Option<i64> {
    let answer: RedisResult<(u64, u64)> = redis::cmd("TIME").query_async(commands).await;
    let (seconds, micros) = answer.ok()?;
    Some(server_millis(seconds, micros).saturating_sub_unsigned(millis(now())))
}

/// The time of a server in milliseconds, at most `i64::MAX`. (The server may send any numbers.)
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
    fn converts_any_server_time_without_overflow() {
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
