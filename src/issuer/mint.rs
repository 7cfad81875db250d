//! [`TokenBuilder`]: builds valid and invalid tokens for tests.
//!
//! The builder does not check anything. Tests need tokens that a verifier must reject.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::algorithm::Algorithm;
use crate::issuer::keys::{SigningKey, base64url, random_name};

const HOUR: Duration = Duration::from_secs(3600);

/// Builds an access token. Created by [`Issuer::token`](crate::issuer::Issuer::token).
///
/// By default, the token is valid: `iss` and `aud` are the issuer's, `sub` is `auth0|alice`, `iat`
/// is now, and `exp` is an hour from now. The header has `alg`, `kid` and `typ: JWT`. Each method
/// changes one part of the token, and the last call wins. [`sign`](Self::sign) returns the token.
#[derive(Clone)]
#[must_use = "call `sign` to get the token"]
pub struct TokenBuilder {
    key: SigningKey,
    algorithm: Option<Algorithm>,
    /// The header parameters to set, or to omit if `None`.
    header: BTreeMap<String, Option<Value>>,
    claims: Map<String, Value>,
    now: u64,
}

/// The profiles of Auth0's access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Auth0's own profile, which is the default of an API. `typ` is `JWT`, the client is in `azp`,
    /// and tokens for machines have `gty`.
    #[default]
    Auth0,
    /// The profile of RFC 9068. `typ` is `at+jwt`, the client is in `client_id`, and there is a
    /// `jti`.
    Rfc9068,
}

impl TokenBuilder {
    pub(super) fn new(key: SigningKey, issuer: &str, audience: &str) -> Self {
        let builder = Self {
            key,
            algorithm: None,
            header: BTreeMap::new(),
            claims: Map::new(),
            now: SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0, |since| since.as_secs()),
        };
        builder
            .claim("iss", issuer)
            .audience(audience)
            .subject("auth0|alice")
            .issued_at(0)
            .expires_in(HOUR)
    }

    /// Sets `sub`, the subject of the token (RFC 7519 §4.1.2).
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject.into())
    }

    /// Sets `aud` to a string (RFC 7519 §4.1.3).
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// Sets `aud` to an array, which may be empty.
    pub fn audiences<S: Into<String>>(self, audiences: impl IntoIterator<Item = S>) -> Self {
        self.claim("aud", strings(audiences))
    }

    /// Sets `scope`, the granted scopes separated by spaces (RFC 8693 §4.2).
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.claim("scope", scope.into())
    }

    /// Sets `permissions`, which Auth0 adds to tokens if RBAC is enabled for the API.
    pub fn permissions<S: Into<String>>(self, permissions: impl IntoIterator<Item = S>) -> Self {
        self.claim("permissions", strings(permissions))
    }

    /// Changes the token to this profile, issued to the client `client_id`.
    ///
    /// # Panics
    /// Panics if the system's random number generator fails for `jti`.
    pub fn profile(self, profile: Profile, client_id: &str) -> Self {
        match profile {
            Profile::Auth0 => self.typ("JWT").claim("azp", client_id),
            Profile::Rfc9068 => match random_name(16) {
                Ok(id) => self
                    .typ("at+jwt")
                    .claim("client_id", client_id)
                    .claim("jti", id),
                Err(fault) => panic!("no randomness: {fault}"),
            },
        }
    }

    /// Binds the token to a key: sets `cnf.jkt` to its thumbprint (RFC 9449 §6.1).
    pub fn bound_to(self, key: &SigningKey) -> Self {
        self.confirmation("jkt", key.thumbprint())
    }

    /// Binds the token to a client certificate in DER: sets `cnf.x5t#S256` to its hash (RFC 8705
    /// §3.1).
    pub fn bound_to_certificate(self, der: &[u8]) -> Self {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        self.confirmation("x5t#S256", base64url(hash))
    }

    /// Adds a member to `cnf`. A token may be bound in several ways.
    fn confirmation(mut self, method: &str, thumbprint: impl Into<Value>) -> Self {
        let confirmation = self.claims.entry("cnf").or_insert_with(|| json!({}));
        if let Some(members) = confirmation.as_object_mut() {
            members.insert(method.to_owned(), thumbprint.into());
        }
        self
    }

    /// Sets a claim to any JSON value. You should only need this for values that the other methods
    /// can't set, e.g. `claim("exp", 0)`.
    ///
    /// # Panics
    /// Panics if `value` cannot be serialized as JSON.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        self.claims.insert(name.to_owned(), to_json(name, value));
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets `exp` to one hour ago, and `iat` to two hours ago.
    pub fn expired(self) -> Self {
        self.expired_since(HOUR)
    }

    /// Sets `exp` to `ago` before now, in whole seconds, and `iat` to an hour before that.
    pub fn expired_since(self, ago: Duration) -> Self {
        let exp = self.now.saturating_sub(ago.as_secs());
        self.claim("exp", exp)
            .claim("iat", exp.saturating_sub(HOUR.as_secs()))
    }

    /// Sets `exp` to `lifetime` from now, in whole seconds. Defaults to one hour.
    pub fn expires_in(self, lifetime: Duration) -> Self {
        let exp = self.now.saturating_add(lifetime.as_secs());
        self.claim("exp", exp)
    }

    /// Sets `nbf`, in seconds from now; negative values are in the past. Absent by default.
    pub fn not_before(self, offset: i64) -> Self {
        let nbf = self.now.saturating_add_signed(offset);
        self.claim("nbf", nbf)
    }

    /// Sets `iat`, in seconds from now; negative values are in the past. Defaults to now.
    pub fn issued_at(self, offset: i64) -> Self {
        let iat = self.now.saturating_add_signed(offset);
        self.claim("iat", iat)
    }

    /// Sets a header parameter to any JSON value. Note that `header("alg", ..)` only changes the
    /// header. To sign with another algorithm, use [`algorithm`](Self::algorithm).
    ///
    /// # Panics
    /// Panics if `value` cannot be serialized as JSON.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.header
            .insert(name.to_owned(), Some(to_json(name, value)));
        self
    }

    /// Removes a header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.insert(name.to_owned(), None);
        self
    }

    /// Sets `typ` (RFC 7515 §4.1.9). Defaults to `JWT`.
    pub fn typ(self, typ: &str) -> Self {
        self.header("typ", typ)
    }

    /// Sets `kid` (RFC 7515 §4.1.4), without changing the key that signs. Defaults to the `kid` of
    /// that key.
    pub fn kid(self, kid: &str) -> Self {
        self.header("kid", kid)
    }

    /// Sets `alg`, and signs with it if the key supports it. An RSA key supports `RS*` and `PS*`.
    /// Any other key signs with its own algorithm, which then differs from the header. Defaults to
    /// the key's own algorithm.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// Signs with `key`, which also determines the defaults of `kid` and `alg`. Defaults to the key
    /// that was current when [`Issuer::token`](crate::issuer::Issuer::token) was called.
    ///
    /// ```
    /// use warp_bearer::{
    ///     auth::{Algorithm, Auth, AuthError, claims::NoPrivate}, issuer::{Issuer, SigningKey},
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// // A forger knows the `kid` of the issuer's key, but has another key.
    /// let forger = SigningKey::generate(Algorithm::RS256).with_kid(issuer.key().kid());
    /// let forged = auth.verify::<NoPrivate>(&issuer.token().key(&forger).sign()).await;
    /// assert_eq!(forged.unwrap_err(), AuthError::BadSignature);
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, key: &SigningKey) -> Self {
        self.key = key.clone();
        self
    }

    /// Signs the token and returns it in compact form (RFC 7515 §7.1).
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn sign(self) -> String {
        let algorithm = self.algorithm.unwrap_or(self.key.algorithm());
        let mut header = Map::from_iter([
            ("alg".to_owned(), json!(algorithm)),
            ("kid".to_owned(), json!(self.key.kid())),
            ("typ".to_owned(), json!("JWT")),
        ]);
        for (name, value) in self.header {
            match value {
                Some(value) => header.insert(name, value),
                None => header.remove(&name),
            };
        }
        let header = Value::Object(header).to_string();
        let claims = Value::Object(self.claims).to_string();
        compact(&self.key, algorithm, header.as_bytes(), claims.as_bytes())
    }

    pub(super) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBuilder")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Signs the header and the payload exactly as given
pub(super) fn compact(
    key: &SigningKey,
    algorithm: Algorithm,
    header: &[u8],
    payload: &[u8],
) -> String {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    let signature = base64url(key.sign_as(algorithm, input.as_bytes()));
    format!("{input}.{signature}")
}

fn strings<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Vec<String> {
    items.into_iter().map(Into::into).collect()
}

pub(super) fn to_json(name: &str, value: impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(value) => value,
        Err(fault) => panic!("the value of {name} is not JSON: {fault}"),
    }
}
