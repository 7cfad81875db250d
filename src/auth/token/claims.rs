//! What a verified token says.
//!
//! [`Claims`] come out of a verified signature and of nothing else: there is no way to make one
//! by hand, so that a handler that takes them need not ask.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::auth::{
    challenge::Challenge,
    error::AuthError,
    token::{identity::Identity, json, payload::Verified},
};

/// The claims of a verified access token: the registered ones (RFC 7519 §4.1, RFC 9068 §2.2), and
/// your own as `X`.
///
/// `X` is any type that serde can read from the token's payload. Where the payload does not fit it,
/// the request is refused as 401 `invalid_claim` before the handler runs.
///
/// Serializes as the payload that the issuer signed: the same members with the same values, in the same
/// order. Integers beyond 64 bits become doubles and `1e400` becomes null; [`json`](Self::json) has the
/// exact text.
/// `Debug` shows no claim's value.
///
#[cfg_attr(feature = "testing", doc = "```")]
#[cfg_attr(not(feature = "testing"), doc = "```ignore")]
/// use warp_bearer::{
///     auth::{Auth, Claims},
///     issuer::Issuer,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let issuer = Issuer::start().await;
/// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
/// # let token = issuer.token().scope("read:messages").permissions(["messages:read"]).sign();
/// let claims: Claims = auth.verify(&token).await?;
/// assert_eq!(claims.issuer(), issuer.url());
/// assert_eq!(claims.subject(), Some("auth0|alice"));
/// assert!(claims.audience().eq(["https://api.example.com"]));
/// assert!(claims.scopes().eq(["read:messages"]));
/// assert!(claims.permissions().eq(["messages:read"]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Claims<X = NoPrivate> {
    verified: Arc<Verified>,
    private: X,
}

impl<X> Claims<X> {
    /// `iss`: who issued the token, one of the configured issuers to the letter.
    pub fn issuer(&self) -> &str {
        &self.verified.context.issuer
    }

    /// Returns `sub`: the user or machine that the token is about. Unique only within its issuer, so
    /// identify a user by [`issuer`](Self::issuer) and subject together. Auth0 writes
    /// `{client_id}@clients` for a machine.
    pub fn subject(&self) -> Option<&str> {
        self.verified.subject()
    }

    /// `aud`: whom the token is for, one of the configured audiences among them.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.verified.audience()
    }

    /// `exp`: when the token ends, leeway not counted. Saturates after some 10,000 years.
    pub fn expires_at(&self) -> SystemTime {
        const FAR: Duration = Duration::from_secs(300_000_000_000);
        let since_epoch = Duration::try_from_secs_f64(self.verified.times.expires).unwrap_or(FAR);
        SystemTime::UNIX_EPOCH + since_epoch.min(FAR)
    }

    /// The scopes that the token grants: the words of `scope`, separated by single spaces alone
    /// (RFC 6749 §3.3), and those of `scp`, a string of words as well or an array of scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let words = self.verified.scopes().flat_map(|string| string.split(' '));
        let words = words.filter(|scope| !scope.is_empty());
        words.chain(self.verified.scopes_one_by_one())
    }

    /// The permissions that the token grants: Auth0's `permissions`, an array of strings, there
    /// where RBAC is on and "Add Permissions in the Access Token" is too.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        self.verified.permissions()
    }

    /// The roles that the token grants, read from the payload where the
    /// [`Builder`](crate::auth::Builder::roles_at) says that they are: an array of strings, or one.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, Claims}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .roles_at("https://my.app/roles")
    ///     .build()?;
    /// let token = issuer.token().claim("https://my.app/roles", ["clerk"]).sign();
    /// let claims: Claims = auth.verify(&token).await?;
    /// assert_eq!(claims.roles(), ["clerk"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn roles(&self) -> Vec<String> {
        match self.claim(&self.verified.context.roles_at) {
            Some(serde_json::Value::String(role)) => vec![role],
            Some(serde_json::Value::Array(roles)) => roles
                .iter()
                .filter_map(|role| role.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// A member of the payload: by its whole name (`https://my.app/tier`), or by a path of members
    /// with dots between them (`realm_access.roles`). Reads the payload each time.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use serde_json::json;
    /// use warp_bearer::{auth::{Auth, Claims}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let token = issuer.token().claim("plan", json!({"name": "gold", "seats": 5})).sign();
    /// let claims: Claims = auth.verify(&token).await?;
    /// assert_eq!(claims.claim("plan.seats"), Some(json!(5)));
    /// assert_eq!(claims.claim("plan.until"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn claim(&self, name: &str) -> Option<serde_json::Value> {
        let path = || name.split('.').try_fold(self.json(), json::member);
        let claim = json::member(self.json(), name).or_else(path)?;
        json::accepted(claim).ok()
    }

    /// The payload as the issuer signed it, JSON.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, Claims}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let claims: Claims = auth.verify(&issuer.token().sign()).await?;
    /// let payload: serde_json::Value = serde_json::from_str(claims.json())?;
    /// assert_eq!(payload["sub"], "auth0|alice");
    /// assert_eq!(serde_json::to_value(&claims)?, payload);
    /// # Ok(())
    /// # }
    /// ```
    pub fn json(&self) -> &str {
        self.verified.payload()
    }

    /// Whom the token is of, as far as a log may know.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, Claims}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let claims: Claims = auth.verify(&issuer.token().sign()).await?;
    /// let who = claims.identity();
    /// assert_eq!(who.issuer(), issuer.url());
    /// assert_eq!(who.kid(), Some(issuer.key().kid()));
    /// let subject = who.subject().map(|subject| subject.to_string());
    /// assert_ne!(subject.as_deref(), claims.subject(), "a pseudonym");
    /// # Ok(())
    /// # }
    /// ```
    pub fn identity(&self) -> Identity {
        Identity::new(Arc::clone(&self.verified))
    }

    /// What a challenge says where the token was presented, for a policy's refusal.
    pub(crate) fn challenge(&self) -> Challenge {
        self.verified.context.challenge.clone()
    }

    /// Your own claims.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use serde::Deserialize;
    /// use warp_bearer::{auth::{Auth, AuthError, Claims}, issuer::Issuer};
    ///
    /// #[derive(Deserialize)]
    /// struct Customer {
    ///     tier: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let token = issuer.token().claim("tier", "gold").sign();
    /// let claims: Claims<Customer> = auth.verify(&token).await?;
    /// assert_eq!(claims.private().tier, "gold");
    ///
    /// let without = auth.verify::<Customer>(&issuer.token().sign()).await;
    /// assert_eq!(without.unwrap_err(), AuthError::InvalidClaim);
    /// # Ok(())
    /// # }
    /// ```
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
        // `Registered::parse` has accepted the payload.
        let private = json::accepted(verified.payload()).map_err(|_| AuthError::InvalidClaim)?;
        Ok(Self { verified, private })
    }
}

impl<X> Serialize for Claims<X> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json::transcode(self.json(), serializer)
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
