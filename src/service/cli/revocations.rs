//! `warp-bearer revocations`: lists the revocations in force.

use std::time::{Duration, SystemTime};

use clap::Args;
use jiff::Timestamp;

use crate::{
    auth::{
        revocation::{
            Revocation,
            file::{self, FileError},
            sync,
        },
        store::{RedisOptions, Store},
    },
    service::{
        cli::{
            env_file::EnvFile,
            failure::Failure,
            terminal::{self, Terminal},
        },
        config::{RevocationSettings, StateStore},
    },
};

/// The error of a command that needs a revocation list
pub(in crate::service) const NO_SOURCE: &str = "AUTH0_REVOCATION_FILE: not set, and STATE_STORE is not set either; set one of them to the same value as for \
     the service";

const EXAMPLES: &str = "\
Examples:
  warp-bearer revocations
  warp-bearer revocations --env-file /etc/warp-bearer/env
  warp-bearer revocations --json | jq -r 'select(.sub).sub'";

/// The options of the command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// Print lines of JSON, as in the file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    env_file: EnvFile,
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let environment = options.env_file.read()?;
    let settings = RevocationSettings::without_issuers(&environment).map_err(Failure::Config)?;
    let store = store(&settings.state_store);
    if settings.file.is_none() && store.is_none() {
        return Err(Failure::NoSource(NO_SOURCE.to_owned()));
    }
    let mut entries = Vec::new();
    if let Some(path) = &settings.file {
        let read = file::read(path);
        entries.extend(read.map_err(|error| file_failure(&error))?);
    }
    if let Some(store) = &store {
        let shared = shared(store).await?.into_iter();
        let shared: Vec<_> = shared.filter(|entry| !entries.contains(entry)).collect();
        entries.extend(shared);
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let is_in_force = |entry: &&Revocation| {
        let until = entry.until_seconds();
        until.is_none_or(|until| until > now.as_secs_f64())
    };
    let entries: Vec<_> = entries.iter().filter(is_in_force).collect();
    for entry in &entries {
        let line = if options.json {
            entry.to_json()
        } else {
            described(entry)
        };
        terminal::print_line(line)?;
    }
    if entries.is_empty() && !options.json {
        terminal::print_line("none")?;
    }
    if settings.file.is_some() {
        terminal::note(
            "note: a running service keeps entries that were removed from the file until it restarts",
        );
    }
    Ok(())
}

/// The failure to read the file, with what to do if it does not exist.
pub(in crate::service) fn file_failure(error: &FileError) -> Failure {
    let hint = error.hint().map(|hint| format!("; {hint}"));
    let hint = hint.unwrap_or_default();
    Failure::Source(format!("AUTH0_REVOCATION_FILE: {error}{hint}"))
}

/// The store that replicas share. `None` if it is not configured.
pub(in crate::service) fn store(settings: &StateStore) -> Option<Store> {
    let url = settings.url.as_ref()?;
    let options = RedisOptions {
        timeout: settings.timeout,
        ..RedisOptions::default()
    };
    let store = Store::redis(url.as_str(), &options);
    Some(store.expect("the configuration has checked the URL"))
}

pub(in crate::service) async fn shared(store: &Store) -> Result<Vec<Revocation>, Failure> {
    connect(store).await?;
    let lines = store.lines().await.map_err(|_| unreachable())?;
    Ok(lines.iter().filter_map(sync::entry).collect())
}

pub(in crate::service) async fn connect(store: &Store) -> Result<(), Failure> {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let connected = tokio::time::timeout(TIMEOUT, store.connected()).await;
    connected.map_err(|_| unreachable())
}

fn unreachable() -> Failure {
    let text = "STATE_STORE: cannot be reached; `warp-bearer check` says why";
    Failure::Source(text.to_owned())
}

pub(in crate::service) fn described(entry: &Revocation) -> String {
    let target = match entry.target().claim() {
        Some((name, value)) => format!("{name} {value} of {}", entry.issuer()),
        None => format!("every token of {}", entry.issuer()),
    };
    let before = match entry.before_seconds() {
        Some(before) => format!(", issued before {}", shown(before)),
        None => String::new(),
    };
    let until = match entry.until_seconds() {
        Some(until) => format!("until {}", shown(until)),
        None => "forever".to_owned(),
    };
    format!("{}{before}, {until}", Terminal::clean(&target))
}

#[allow(clippy::cast_possible_truncation)] // saturates, and jiff rejects times out of its range
fn shown(seconds: f64) -> String {
    let time = Timestamp::from_second(seconds as i64);
    time.map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
