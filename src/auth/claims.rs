//! What a verified token says.
//!
//! [`Claims`] come out of a verified signature and of nothing else: there is no way to make one
//! by hand, so that a handler that takes them need not ask.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{
    AuthError, Identity, Pseudonym,
    json::{self, Fault, Value},
    keys::Key,
};

/// The claims of a verified access token: the registered ones (RFC 7519 §4.1, RFC 9068 §2.2), and
/// your own as `X`.
///
/// `X` is any type that serde can read from the token's payload. Where the payload does not fit it,
/// the request is refused as 401 `invalid_claim` before the handler runs.
///
/// Serializes as the payload that the issuer signed: every member, nothing renamed, added or lost.
/// `Debug` shows no claim's value.
#[derive(Clone)]
pub struct Claims<X = NoPrivate> {
    verified: Arc<Verified>,
    private: X,
}

impl<X> Claims<X> {
    /// `iss`: who issued the token, one of the configured issuers to the letter.
    pub fn issuer(&self) -> &str {
        &self.verified.issuer
    }

    /// `sub`: whom the token is about. Auth0 writes `{client_id}@clients` for a machine.
    pub fn subject(&self) -> Option<&str> {
        self.verified.subject.as_deref()
    }

    /// `aud`: whom the token is for, one of the configured audiences among them.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.verified.audience.iter().map(String::as_str)
    }

    /// `exp`: when the token ends, leeway not counted. Saturates after some 10,000 years.
    pub fn expires_at(&self) -> SystemTime {
        const FAR: Duration = Duration::from_secs(300_000_000_000);
        let since_epoch = Duration::try_from_secs_f64(self.verified.expires).unwrap_or(FAR);
        SystemTime::UNIX_EPOCH + since_epoch.min(FAR)
    }

    /// The scopes that the token grants: the words of `scope`, separated by single spaces alone
    /// (RFC 6749 §3.3).
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let scopes = self.verified.scope.as_deref().unwrap_or_default();
        scopes.split(' ').filter(|scope| !scope.is_empty())
    }

    /// The permissions that the token grants: Auth0's `permissions`, an array of strings, there
    /// where RBAC is on and "Add Permissions in the Access Token" is too.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        self.verified.permissions.iter().map(String::as_str)
    }

    /// The payload as the issuer signed it, JSON.
    pub fn json(&self) -> &str {
        &self.verified.payload
    }

    /// Whom the token is of, as far as a log may know.
    pub fn identity(&self) -> Identity {
        Identity::new(Arc::clone(&self.verified))
    }

    /// The realm that the token was presented to, for the challenge of a policy's refusal.
    pub(crate) fn realm(&self) -> Arc<str> {
        Arc::clone(&self.verified.realm)
    }

    /// Your own claims.
    pub fn private(&self) -> &X {
        &self.private
    }

    /// Your own claims, owned.
    pub fn into_private(self) -> X {
        self.private
    }
}

impl<X: DeserializeOwned> Claims<X> {
    pub(crate) fn new(verified: Arc<Verified>) -> Result<Self, AuthError> {
        let mut payload = serde_json::Deserializer::from_str(&verified.payload);
        let private = X::deserialize(&mut payload).map_err(|_| AuthError::InvalidClaim)?;
        Ok(Self { verified, private })
    }
}

impl<X> Serialize for Claims<X> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let payload: &RawValue =
            serde_json::from_str(self.json()).map_err(serde::ser::Error::custom)?;
        payload.serialize(serializer)
    }
}

impl<X> fmt::Debug for Claims<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

/// No claims beside the registered ones: the `X` of a plain [`Claims`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoPrivate;

impl<'de> Deserialize<'de> for NoPrivate {
    // Reads nothing: the payload was checked when it was verified, and most routes want no more.
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

/// A payload whose token was verified, with the claims that every request asks for.
pub(crate) struct Verified {
    payload: String,
    issuer: Arc<str>,
    realm: Arc<str>,
    key: Arc<Key>,
    subject: Option<String>,
    /// Made when a log first asks for it.
    pseudonym: OnceLock<Option<Pseudonym>>,
    audience: Vec<String>,
    expires: f64,
    scope: Option<String>,
    permissions: Vec<String>,
}

impl Verified {
    /// Called once in `verifier.rs`, after the signature.
    pub(crate) fn new(
        issuer: Arc<str>,
        realm: Arc<str>,
        key: Arc<Key>,
        payload: String,
    ) -> Result<Self, AuthError> {
        let registered = Registered::parse(&payload)?;
        let verified = Self {
            issuer,
            realm,
            key,
            subject: registered.sub.and_then(text),
            pseudonym: OnceLock::new(),
            audience: registered.aud.map(texts).unwrap_or_default(),
            expires: registered.exp.as_ref().and_then(number).unwrap_or_default(),
            scope: registered.scope.and_then(text),
            permissions: registered.permissions.map(texts).unwrap_or_default(),
            payload: String::new(),
        };
        Ok(Self {
            payload,
            ..verified
        })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.key.kid()
    }

    pub(crate) fn pseudonym(&self) -> Option<Pseudonym> {
        let of = || self.subject.as_deref().and_then(Pseudonym::of);
        *self.pseudonym.get_or_init(of)
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// The claims that we act on as the payload has them, of whatever type.
#[derive(Debug, Default)]
pub(crate) struct Registered<'a> {
    pub(crate) iss: Option<Value<'a>>,
    pub(crate) sub: Option<Value<'a>>,
    pub(crate) aud: Option<Value<'a>>,
    pub(crate) exp: Option<Value<'a>>,
    pub(crate) nbf: Option<Value<'a>>,
    pub(crate) iat: Option<Value<'a>>,
    pub(crate) jti: Option<Value<'a>>,
    pub(crate) scope: Option<Value<'a>>,
    pub(crate) permissions: Option<Value<'a>>,
    /// `cnf` is there, whatever its value.
    pub(crate) bound: bool,
}

impl<'a> Registered<'a> {
    pub(crate) fn parse(payload: &'a str) -> Result<Self, AuthError> {
        let mut claims = Self::default();
        json::members(payload, |name, value| match name {
            "iss" => claims.iss = Some(value),
            "sub" => claims.sub = Some(value),
            "aud" => claims.aud = Some(value),
            "exp" => claims.exp = Some(value),
            "nbf" => claims.nbf = Some(value),
            "iat" => claims.iat = Some(value),
            "jti" => claims.jti = Some(value),
            "scope" => claims.scope = Some(value),
            "permissions" => claims.permissions = Some(value),
            "cnf" => claims.bound = true,
            _ => {}
        })
        .map_err(|fault| match fault {
            Fault::Malformed => AuthError::TokenMalformed,
            Fault::NotFinite => AuthError::InvalidClaim,
        })?;
        Ok(claims)
    }
}

fn text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.into_owned()),
        _ => None,
    }
}

fn texts(value: Value<'_>) -> Vec<String> {
    match value {
        Value::Text(text) => vec![text.into_owned()],
        Value::Texts(texts) => texts.into_iter().map(Cow::into_owned).collect(),
        _ => Vec::new(),
    }
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}
