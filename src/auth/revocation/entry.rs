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
    /// In seconds since the epoch.
    before: Option<f64>,
    until: Option<f64>,
}

/// Selects the tokens to revoke.
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
/// issuer.
fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Revocation {
    fn new(issuer: impl Into<String>, target: Target) -> Self {
        // `iat` has whole seconds, so this also includes tokens issued in the current second.
        let now = SystemTime::now() + Duration::from_secs(1);
        Self {
            issuer: issuer.into(),
            target,
            before: Some(seconds(now).floor()),
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

    /// Ends the revocation at `time`. Choose a time at which the last of these tokens has expired.
    /// Defaults to never.
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
        if line.before.is_none() && !matches!(target, Target::Jti(_)) {
            return Err("before is missing, which is only allowed with jti");
        }
        Ok(Self::from_parts(&line.iss, target, line.before, line.until))
    }

    /// Returns the JSON line, without a line break.
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
    /// Returns the name and value of the claim that selects the tokens. `None` for a whole issuer.
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

/// Shows no claim values.
impl fmt::Debug for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocation")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

fn seconds(time: SystemTime) -> f64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs_f64()
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
