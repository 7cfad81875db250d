//! [`Revocation`]: an entry of the revocation list, and its JSON form.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::auth::token::json;

/// Revokes a single token, or the tokens of a subject, a client, a session or an issuer.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use warp_bearer::auth::{Auth, revocation::Revocation};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// // For a day, rejects all tokens that this user has been issued so far.
/// let leaver = Revocation::subject("https://tenant.eu.auth0.com/", "auth0|alice");
/// auth.revoke(leaver.until(SystemTime::now() + Duration::from_secs(86400)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct Revocation {
    issuer: String,
    target: Target,
    /// In seconds since the epoch, rounded up to whole milliseconds.
    before: Option<f64>,
    until: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    All,
    Jti(String),
    Sub(String),
    Client(String),
    Sid(String),
}

/// A line of the revocation file and of the shared list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    iss: String,
    #[serde(default, deserialize_with = "not_null")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    client_id: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    sid: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    before: Option<f64>,
    #[serde(default, deserialize_with = "not_null")]
    until: Option<f64>,
}

/// Rejects null. If a null target counted as absent, the entry would revoke every token of the
/// issuer!
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Revocation {
    fn new(issuer: impl Into<String>, target: Target) -> Self {
        Self {
            issuer: issuer.into(),
            target,
            // `iat` has whole seconds, so this includes tokens issued in the current second.
            before: Some(next_second(SystemTime::now())),
            until: None,
        }
    }

    /// Revokes the token with this `jti`, regardless of its `iat`.
    pub fn token(issuer: impl Into<String>, jti: impl Into<String>) -> Self {
        Self {
            before: None,
            ..Self::new(issuer, Target::Jti(jti.into()))
        }
    }

    /// Revokes the tokens of the subject `sub` that were issued before now.
    pub fn subject(issuer: impl Into<String>, sub: impl Into<String>) -> Self {
        Self::new(issuer, Target::Sub(sub.into()))
    }

    /// Revokes the tokens of a client that were issued before now. The id is compared with
    /// `client_id`, `azp` and `cid`.
    pub fn client(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self::new(issuer, Target::Client(client_id.into()))
    }

    /// Revokes the tokens of the session `sid` that were issued before now.
    pub fn session(issuer: impl Into<String>, sid: impl Into<String>) -> Self {
        Self::new(issuer, Target::Sid(sid.into()))
    }

    /// Revokes every token of the issuer that was issued before now.
    pub fn issuer_wide(issuer: impl Into<String>) -> Self {
        Self::new(issuer, Target::All)
    }

    /// Limits the revocation to tokens that were issued before `time`. Tokens without `iat` are
    /// always revoked.
    #[must_use]
    pub fn before(mut self, time: SystemTime) -> Self {
        self.before = Some(seconds(time));
        self
    }

    /// Ends the revocation at `time`. This should be a time at which the last of these tokens has
    /// expired. Defaults to never.
    #[must_use]
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(seconds(time));
        self
    }

    /// Returns the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn before_seconds(&self) -> Option<f64> {
        self.before
    }

    pub(crate) fn until_seconds(&self) -> Option<f64> {
        self.until
    }

    pub(crate) fn from_parts(
        issuer: &str,
        target: Target,
        before: Option<f64>,
        until: Option<f64>,
    ) -> Self {
        Self {
            issuer: issuer.to_owned(),
            target,
            before,
            until,
        }
    }

    /// Parses a JSON line such as `{"iss":"…","sub":"…","before":1790000000}`.
    ///
    /// # Errors
    /// Returns a description of the problem that does not quote the line.
    pub fn from_json(line: &str) -> Result<Self, &'static str> {
        let Ok(line) = json::object_as::<Line>(line) else {
            return Err(
                "not one JSON object with iss, at most one of jti, sub, client_id and sid, and \
                 before and until in seconds",
            );
        };
        let targets = [
            line.jti.map(Target::Jti),
            line.sub.map(Target::Sub),
            line.client_id.map(Target::Client),
            line.sid.map(Target::Sid),
        ];
        let mut targets = targets.into_iter().flatten();
        let target = targets.next().unwrap_or(Target::All);
        if targets.next().is_some() {
            return Err("more than one of jti, sub, client_id and sid");
        }
        if line.iss.is_empty() {
            return Err("iss is empty");
        }
        if target.claim().is_some_and(|(_, name)| name.is_empty()) {
            return Err("one of jti, sub, client_id and sid is empty");
        }
        if line.before.is_none() && !matches!(target, Target::Jti(_)) {
            return Err("before is missing, which is only allowed with jti");
        }
        let [before, until] = [line.before, line.until].map(|time| time.map(whole_millis));
        Ok(Self::from_parts(&line.iss, target, before, until))
    }

    /// Formats the entry as a JSON line, without a line break.
    pub fn to_json(&self) -> String {
        let mut line = Map::new();
        line.insert("iss".to_owned(), json!(self.issuer));
        if let Some((name, value)) = self.target.claim() {
            line.insert(name.to_owned(), json!(value));
        }
        for (name, time) in [("before", self.before), ("until", self.until)] {
            if let Some(time) = time {
                line.insert(name.to_owned(), number(time));
            }
        }
        Value::Object(line).to_string()
    }
}

impl Target {
    /// The name and value of the claim that selects the tokens. `None` for a whole issuer.
    pub(crate) fn claim(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::All => None,
            Self::Jti(name) => Some(("jti", name)),
            Self::Sub(name) => Some(("sub", name)),
            Self::Client(name) => Some(("client_id", name)),
            Self::Sid(name) => Some(("sid", name)),
        }
    }
}

/// Does not show claim values.
impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Returns the start of the next whole second, in seconds since the epoch.
#[allow(clippy::cast_precision_loss)] // within the exact range of `f64`
fn next_second(now: SystemTime) -> f64 {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
    (since_epoch.unwrap_or_default().as_secs() + 1) as f64
}

/// Returns the time in seconds since the epoch, rounded up to whole milliseconds.
#[allow(clippy::cast_precision_loss)] // within the exact range of `f64` for 285,000 years
fn seconds(time: SystemTime) -> f64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    let up = since_epoch.unwrap_or_default() + Duration::from_nanos(999_999);
    whole_millis(up.as_millis() as f64 / 1000.0)
}

/// Rounds up to whole milliseconds, so that an entry still revokes what was issued before its time.
/// A JSON number with more digits may change its last digit each time that we read and write it,
/// and it would then be a different line in the shared store.
fn whole_millis(seconds: f64) -> f64 {
    // About 30,000 years. `f64` cannot represent the milliseconds of much later times.
    const MAX: f64 = 1e12;
    if seconds.abs() >= MAX {
        return seconds.ceil();
    }
    // The product may be inexact, so `ceil` could add a millisecond to a time that is whole.
    let millis = (seconds * 1000.0).round();
    let nearest = millis / 1000.0;
    if nearest >= seconds {
        nearest
    } else {
        (millis + 1.0) / 1000.0
    }
}

/// Formats a whole number without a fraction.
#[allow(clippy::cast_possible_truncation)] // within the exact range of `f64`
fn number(seconds: f64) -> Value {
    const EXACT: f64 = 9e15;
    if seconds.fract() == 0.0 && seconds.abs() < EXACT {
        json!(seconds as i64)
    } else {
        json!(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas write back every line that the store lacks. If a line changed each time we read it,
    /// we'd write it back as another line.
    #[test]
    fn a_line_that_was_read_is_written_as_the_same_line() {
        for number in 0..10_000_u32 {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
            let time = time + number * Duration::from_nanos(123_456_789);
            let entry = Revocation::subject("https://a/", "b");
            let line = entry.before(time).until(time).to_json();
            let read = Revocation::from_json(&line).unwrap();
            assert_eq!(read.to_json(), line);
        }
    }

    #[test]
    fn times_have_whole_milliseconds() {
        let read = |before: &str| {
            let line = format!(r#"{{"iss":"https://a/","sub":"b","before":{before}}}"#);
            Revocation::from_json(&line).unwrap().before_seconds()
        };
        for (text, expected) in [
            ("1790000000", 1_790_000_000.0),
            ("1790000000.0004", 1_790_000_000.001),
            ("1790000000.9996", 1_790_000_001.0),
            ("1790000000.1230000001", 1_790_000_000.123),
            ("1790000000.00004", 1_790_000_000.001),
            ("1790000000.000001", 1_790_000_000.001),
            ("-0.25", -0.25),
            ("-0.2501", -0.25),
            ("10000000000.123", 10_000_000_000.123),
            ("10000000000.1231", 10_000_000_000.124),
            ("1000000000000.5", 1_000_000_000_001.0),
            ("1e300", 1e300),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        // rounded up, so that the entry revokes what was issued before the time
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_000_000_001);
        let entry = Revocation::subject("https://a/", "b").before(time);
        assert_eq!(entry.before_seconds(), Some(1.001));
    }

    #[test]
    fn whole_milliseconds_are_not_rounded_up() {
        for millis in (1_790_000_000_000_u64..).take(10_000) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let entry = Revocation::subject("https://a/", "b").before(time);
            let before = entry.before_seconds().unwrap();
            let text = format!("{}.{:03}", millis / 1000, millis % 1000);
            assert_eq!(
                before.to_bits(),
                text.parse::<f64>().unwrap().to_bits(),
                "{text}"
            );
        }
    }

    #[test]
    fn by_default_revokes_tokens_of_the_current_second() {
        for (case, nanos) in [("begin", 0), ("middle", 500_000_000), ("end", 999_999_999)] {
            let now = SystemTime::UNIX_EPOCH + Duration::new(1_790_000_000, nanos);
            assert_eq!(Some(next_second(now)), Some(1_790_000_001.0), "{case}");
        }
    }
}
