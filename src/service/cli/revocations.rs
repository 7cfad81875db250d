//! `warp-bearer revocations`: lists the revocations that are in force.

use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;

use crate::{
    auth::revocation::{Revocation, file},
    service::{
        cli::{failure::Failure, terminal::Terminal},
        config::Config,
    },
};

const EXAMPLES: &str = "\
Examples:
  warp-bearer revocations
  warp-bearer revocations --json | jq -r 'select(.sub).sub'";

/// The options of the command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// Print lines of JSON, as the file has them
    #[arg(long)]
    json: bool,
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let (config, _) = Config::load().map_err(Failure::Config)?;
    let Some(path) = &config.revocation_file else {
        return Err(Failure::NoSource(
            "AUTH0_REVOCATION_FILE: not set, so that there is no list".to_owned(),
        ));
    };
    let entries = file::read(path).map_err(|error| Failure::Input(error.to_string()))?;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let is_in_force = |entry: &&Revocation| {
        let until = entry.until_seconds();
        until.is_none_or(|until| until > now.as_secs_f64())
    };
    let entries: Vec<_> = entries.iter().filter(is_in_force).collect();
    for entry in &entries {
        if options.json {
            println!("{}", entry.to_json());
        } else {
            println!("{}", described(entry));
        }
    }
    if entries.is_empty() && !options.json {
        println!("none");
    }
    Ok(())
}

/// Describes an entry in one line.
pub(in crate::service) fn described(entry: &Revocation) -> String {
    let target = match entry.target().claim() {
        Some((name, value)) => format!("{name} {value} of {}", entry.issuer()),
        None => format!("every token of {}", entry.issuer()),
    };
    let mut line = Terminal::clean(&target);
    if let Some(before) = entry.before_seconds() {
        line += &format!(", issued before {}", shown(before));
    }
    match entry.until_seconds() {
        Some(until) => line += &format!(", until {}", shown(until)),
        None => line += ", for good",
    }
    line
}

#[allow(clippy::cast_possible_truncation)] // saturates, and jiff rejects what it cannot show
fn shown(seconds: f64) -> String {
    let time = Timestamp::from_second(seconds as i64);
    time.map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
