//! `warp-bearer revoke`: adds an entry to the revocation list.

use std::{
    fs::OpenOptions,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    time::{Duration, SystemTime},
};

use clap::Args;
use jiff::Timestamp;

use crate::{
    auth::{
        revocation::{Revocation, file, sync},
        store::Store,
    },
    service::{
        cli::{
            env_file::EnvFile,
            explain::pasted::jwt::is_jwt,
            failure::Failure,
            revocations::{self, NO_SOURCE, described},
            terminal,
        },
        config::{self, RevocationSettings},
    },
};

const EXAMPLES: &str = "\
Examples:
  warp-bearer revoke --sub 'auth0|alice'               her tokens that were issued until now
  warp-bearer revoke --jti 3kd82hs --for 8h            one token, until it has expired anyway
  warp-bearer revoke --client-id app --before 2026-11-28T08:00:00Z
  warp-bearer revoke --issuer https://tenant.eu.auth0.com/ --all
  warp-bearer revoke --env-file /etc/warp-bearer/env --sub 'auth0|alice'";

/// The options of the command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// The issuer of the tokens; the default is the configured issuer, if there is only one
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Revoke tokens issued before this time, in seconds since 1970 or as RFC 3339, at most a year
    /// ago; the default is now
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<u64>,
    /// End the revocation after this time, in which the last of the tokens must expire; add the
    /// leeway, for which the service accepts expired tokens
    #[arg(long = "for", value_name = "DURATION", default_value = "24h", value_parser = config::duration)]
    lasts: Duration,
    #[command(flatten)]
    env_file: EnvFile,
}

/// Selects the tokens to revoke.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// The token with this `jti`
    #[arg(long, value_name = "VALUE", value_parser = named)]
    jti: Option<String>,
    /// The tokens of this subject
    #[arg(long, value_name = "VALUE", value_parser = named)]
    sub: Option<String>,
    /// The tokens of this client
    #[arg(long, value_name = "VALUE", value_parser = named)]
    client_id: Option<String>,
    /// The tokens of this session
    #[arg(long, value_name = "VALUE", value_parser = named)]
    sid: Option<String>,
    /// Every token of the issuer
    #[arg(long, requires = "issuer")]
    all: bool,
}

fn named(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("give a value");
    }
    Ok(text.to_owned())
}

/// Rejects times with which the entry would revoke nothing, or tokens that are issued later.
fn time(text: &str) -> Result<u64, String> {
    /// For clocks that differ from ours, and for the default, which is just after now
    const AHEAD: u64 = 60;
    const YEAR: u64 = 365 * 24 * 60 * 60;
    let now = now();
    let usual = now.saturating_sub(YEAR)..=now + AHEAD;
    let example = Timestamp::UNIX_EPOCH + Duration::from_secs(now);
    let give = format!("give seconds since 1970, such as {now}, or a time such as {example}");
    let seconds = text.parse().ok().or_else(|| {
        let time: Timestamp = text.parse().ok()?;
        // Rounded up, so that a token issued in this second is revoked
        let seconds = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
        u64::try_from(seconds).ok()
    });
    let Some(seconds) = seconds else {
        return Err(give);
    };
    if usual.contains(&seconds) {
        return Ok(seconds);
    }
    if seconds < *usual.start() {
        return Err(format!("the time is more than a year ago; {give}"));
    }
    let from_milliseconds = seconds / 1000;
    Err(if usual.contains(&from_milliseconds) {
        format!("the time is in the future; did you mean {from_milliseconds}, in seconds?")
    } else {
        format!("the time is in the future; {give}")
    })
}

/// The current time in seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed();
    now.unwrap_or_default().as_secs()
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let environment = options.env_file.read()?;
    let settings = RevocationSettings::from_environment(&environment).map_err(Failure::Config)?;
    let entry = options.entry(&settings.issuers)?;
    if let Some(store) = revocations::store(&settings.state_store) {
        publish(&store, &entry).await?;
    } else if let Some(path) = &settings.file {
        file::read(path).map_err(|error| revocations::file_failure(&error))?;
        append(path, &entry).map_err(|error| {
            let path = path.display();
            Failure::Source(format!("AUTH0_REVOCATION_FILE: {path}: {error}"))
        })?;
    } else {
        return Err(Failure::NoSource(NO_SOURCE.to_owned()));
    }
    terminal::print_line(format_args!("revoked: {}", described(&entry)))
}

impl Options {
    fn entry(&self, known: &[String]) -> Result<Revocation, Failure> {
        let issuer = match (&self.issuer, known) {
            (Some(issuer), known) if known.contains(issuer) => issuer,
            (None, [only]) => only,
            (None, _) => {
                let text = "--issuer: needed, because several issuers are configured\n";
                return Err(Failure::Usage(text.to_owned()));
            }
            (Some(_), known) => {
                let known = known.join(", ");
                let text = format!("--issuer: not a configured issuer; these are: {known}\n");
                return Err(Failure::Usage(text));
            }
        };
        let target = &self.target;
        let named = [&target.jti, &target.sub, &target.client_id, &target.sid];
        // An entry never matches a whole token, and the list shouldn't hold one. It isn't checked while
        // clap parses the value, because clap would print it.
        let mut words = named
            .into_iter()
            .flatten()
            .flat_map(|value| value.split_whitespace());
        if words.any(is_jwt) {
            let text = "found a whole token, which revokes nothing; give its jti, which \
                        `warp-bearer explain` prints\n";
            return Err(Failure::Usage(text.to_owned()));
        }
        let mut entry = match target {
            Target { jti: Some(jti), .. } => Revocation::token(issuer, jti),
            Target { sub: Some(sub), .. } => Revocation::subject(issuer, sub),
            Target {
                client_id: Some(id),
                ..
            } => Revocation::client(issuer, id),
            Target { sid: Some(sid), .. } => Revocation::session(issuer, sid),
            _ => Revocation::issuer_wide(issuer),
        };
        if let Some(seconds) = self.before {
            entry = entry.before(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        }
        let until = Duration::from_secs(now()) + self.lasts;
        Ok(entry.until(SystemTime::UNIX_EPOCH + until))
    }
}

async fn publish(store: &Store, entry: &Revocation) -> Result<(), Failure> {
    revocations::connect(store).await?;
    let published = store.publish(sync::line(entry)).await;
    published.map_err(|_| {
        Failure::Source("STATE_STORE: did not confirm the entry; try again".to_owned())
    })
}

/// Appends a line with a single write, so that concurrent commands don't mix up their lines. We
/// don't create the file: with a misspelt path, nothing would be revoked.
fn append(path: &Path, entry: &Revocation) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let mut line = format!("{}\n", entry.to_json());
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            line.insert(0, '\n');
        }
    }
    file.write_all(line.as_bytes())?;
    file.sync_all()
}
