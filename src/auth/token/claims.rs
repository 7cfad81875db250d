//! [`Claims`]: the claims of a verified token.
//!
//! [`Claims`] has no public constructor. Only verification creates it, so a handler that takes
//! claims does not have to check that they are verified.

use std::{
    fmt,
    num::NonZeroU64,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

#[cfg(feature = "service")]
use http::HeaderValue;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::auth::{
    challenge::{Challenge, Scheme},
    error::AuthError,
    token::{confirmation::Binding, ended::ended, identity::Identity, json, payload::Verified},
};

/// The claims of a verified access token: the registered ones (RFC 7519 §4.1, RFC 9068 §2.2), and
/// your own claims as `X`.
///
/// `X` is any type that serde can deserialize from the token's payload. If deserialization fails,
/// the request will be rejected with 401 `invalid_claim` before your handler runs.
///
/// Serializes as the payload that the issuer signed, with the same members in the same order,
/// unless introspection has [limited](Self::json) the token. Integers beyond 64 bits become
/// floating-point numbers, and `1e400` becomes null. [`json`](Self::json) returns the exact text.
/// The `Debug` output contains no claim values.
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
    nonce: Option<Arc<str>>,
}

impl<X> Claims<X> {
    /// `iss`, the issuer of the token. It is exactly the name of a trusted issuer.
    pub fn issuer(&self) -> &str {
        &self.verified.context.issuer
    }

    /// `sub`, the user or machine that the token was issued to. Note that a subject is only unique
    /// within its issuer, so you should identify a user by [`issuer`](Self::issuer) and subject
    /// together. For a machine, Auth0 writes `{client_id}@clients`.
    pub fn subject(&self) -> Option<&str> {
        self.verified.subject()
    }

    /// `aud`, the audiences of the token. At least one of them is a configured audience, unless the
    /// issuer has another [audience claim](crate::auth::TrustedIssuer::audience_claim).
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.verified.audience()
    }

    /// `exp`, the time at which the token expires, without leeway. Saturates after about 10,000
    /// years.
    pub fn expires_at(&self) -> SystemTime {
        const FAR: Duration = Duration::from_secs(300_000_000_000);
        let since_epoch = Duration::try_from_secs_f64(self.verified.times.expires).unwrap_or(FAR);
        SystemTime::UNIX_EPOCH + since_epoch.min(FAR)
    }

    /// Waits until the token expires or is revoked, and returns [`AuthError::TokenExpired`] or
    /// [`AuthError::TokenRevoked`]. This is mostly useful to end a stream together with its token.
    ///
    /// The future does not borrow the claims. It completes at `exp`, or when the token reaches the
    /// [maximum age](crate::auth::Builder::max_age), whichever is earlier. No leeway is added.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{
    ///     auth::{Auth, AuthError, Claims, revocation::Revocation},
    ///     issuer::Issuer,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let claims: Claims = auth.verify(&issuer.token().sign()).await?;
    /// let ended = claims.ended(); // in a stream, wait for this too, with tokio::select!
    /// auth.revoke(Revocation::subject(issuer.url(), "auth0|alice"));
    /// assert_eq!(ended.await, AuthError::TokenRevoked);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ended(&self) -> impl Future<Output = AuthError> + Send + Sync + 'static + use<X> {
        ended(Arc::clone(&self.verified))
    }

    /// Seconds since the user authenticated, from `auth_time`, minus the leeway. `None` if
    /// `auth_time` is missing or in the future.
    pub(crate) fn authentication_age(&self) -> Option<f64> {
        let at: f64 = json::accepted(json::member(self.json(), "auth_time")?).ok()?;
        let age = self.verified.context.clock.now() - at;
        let leeway = self.verified.context.rules.leeway.as_secs_f64();
        (age >= -leeway).then_some(age - leeway)
    }

    pub(crate) fn acr(&self) -> Option<String> {
        json::accepted(json::member(self.json(), "acr")?).ok()
    }

    /// The scopes that the token grants, from the claims `scope` and `scp`. Each claim is either a
    /// string of scopes separated by spaces (RFC 6749 §3.3) or an array of scopes. An array item
    /// that contains a space is skipped.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let words = self.verified.scopes().flat_map(|string| string.split(' '));
        let words = words.filter(|scope| !scope.is_empty());
        words.chain(self.verified.scopes_one_by_one())
    }

    /// The permissions that the token grants, from the claim `permissions`, an array of strings.
    /// Auth0 adds this claim if RBAC and "Add Permissions in the Access Token" are enabled.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        self.verified.permissions()
    }

    /// The roles that the token grants, from the claim set with
    /// [`Builder::roles_at`](crate::auth::Builder::roles_at): an array of strings, or a single
    /// string.
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
        self.texts(&self.verified.context.roles_at)
    }

    /// The groups of the subject, from the claim set with
    /// [`Builder::groups_at`](crate::auth::Builder::groups_at): an array of strings, or a single
    /// string.
    ///
    /// Entra ID omits the groups if there are more than 200. The result is then empty.
    pub fn groups(&self) -> Vec<String> {
        self.texts(&self.verified.context.groups_at)
    }

    fn texts(&self, claim: &str) -> Vec<String> {
        match self.claim(claim) {
            Some(serde_json::Value::String(text)) => vec![text],
            Some(serde_json::Value::Array(texts)) => texts
                .iter()
                .filter_map(|text| text.as_str().map(str::to_owned))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Checks whether the token has the scope `wanted`, or a scope that
    /// [includes](crate::auth::Builder::scope_includes) it.
    pub(crate) fn grants_scope(&self, wanted: &str) -> bool {
        let implied = &self.verified.context.implied;
        self.scopes()
            .any(|granted| implied.satisfies(granted, wanted))
    }

    /// Does the token meet the policy with this number? We only call `is_met` if this policy is not
    /// the last one that the token met.
    pub(crate) fn meet(&self, policy: NonZeroU64, is_met: impl FnOnce() -> bool) -> bool {
        let last = &self.verified.met_last;
        if last.load(Relaxed) == policy.get() {
            return true;
        }
        let is_met = is_met();
        if is_met {
            last.store(policy.get(), Relaxed);
        }
        is_met
    }

    /// The scopes that are required of all tokens of this issuer, if this token lacks any.
    pub(crate) fn lacks_required_scope(&self) -> Option<Arc<str>> {
        let required = self.verified.context.required_scope.as_ref()?;
        let mut each = required.split(' ');
        let lacks = !each.all(|scope| self.grants_scope(scope));
        lacks.then(|| Arc::clone(required))
    }

    /// Returns the claim with this full name (`https://my.app/tier`) or at this path of member
    /// names separated by dots (`realm_access.roles`). Note that this parses the payload on each
    /// call.
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

    /// Returns the payload as JSON, exactly as the issuer signed it. There are two exceptions. If
    /// the token was also [introspected](crate::auth::introspection::Introspection::always) and the
    /// response grants less, `scope`, `scp` and `exp` are limited to what both grant. For an opaque
    /// token, the payload is the introspection response.
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

    /// Returns the part of the token's identity that is safe to log.
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

    /// The header fields that `build` creates from the claims. If there are cached fields of the
    /// same token, we do not call `build`. `None` if `build` fails.
    #[cfg(feature = "service")]
    pub(crate) fn identity_fields(
        &self,
        build: impl Fn() -> Option<[HeaderValue; 4]>,
    ) -> Option<[HeaderValue; 4]> {
        self.verified.fields.get_or_build(build)
    }

    /// Returns the DPoP key and the client certificate that the token is bound to. One of them may
    /// be absent. The request has proved possession of each of them. `None` for a plain bearer
    /// token.
    pub fn binding(&self) -> Option<&Binding> {
        self.verified.binding.as_deref()
    }

    /// Returns the `DPoP-Nonce` to add to the response (RFC 9449 §8.2). `None` if nonces are not
    /// required, if the request has no proof, or if the nonce of its proof stays good for some
    /// minutes.
    ///
    /// The layers for tower add it to successful responses. In other frameworks, you should add it
    /// yourself. A client that always uses the last nonce, and sends a request at least every four
    /// minutes, will then never be rejected because of an expired nonce.
    ///
    /// ```
    /// use http::{HeaderValue, Response};
    /// use warp_bearer::auth::Claims;
    ///
    /// fn renew_nonce<B>(claims: &Claims, response: &mut Response<B>) {
    ///     if let Some(Ok(nonce)) = claims.dpop_nonce().map(HeaderValue::try_from) {
    ///         response.headers_mut().insert("dpop-nonce", nonce);
    ///     }
    /// }
    /// ```
    pub fn dpop_nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The challenge for a token that does not meet a policy. It has the scheme of the request,
    /// which was `DPoP` if the token is bound to a key.
    pub(crate) fn challenge(&self) -> Challenge {
        let is_bound_to_key = self.binding().is_some_and(|binding| binding.key.is_some());
        let scheme = if is_bound_to_key {
            Scheme::Dpop
        } else {
            Scheme::Bearer
        };
        self.verified.context.challenge.clone().only(scheme)
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

    /// Your own claims by value.
    pub fn into_private(self) -> X {
        self.private
    }
}

impl<X> Claims<X> {
    /// Returns the same claims, with your own claims deserialized as another type.
    ///
    /// The tower layers store [`Claims`] without private claims in the extensions of a request. You
    /// can use this method to read your own claims from them.
    ///
    /// # Errors
    /// Returns [`AuthError::InvalidClaim`] if the payload cannot be deserialized as `Y`.
    pub fn typed<Y: DeserializeOwned>(&self) -> Result<Claims<Y>, AuthError> {
        Claims::new(Arc::clone(&self.verified), self.nonce.clone())
    }
}

impl<X: DeserializeOwned> Claims<X> {
    pub(crate) fn new(verified: Arc<Verified>, nonce: Option<Arc<str>>) -> Result<Self, AuthError> {
        // `Registered::parse` has accepted the payload, so it's strict JSON
        let payload = verified.payload();
        let private = json::accepted(payload).map_err(|error| {
            json::log_mismatch(payload, &error);
            AuthError::InvalidClaim
        })?;
        Ok(Self {
            verified,
            private,
            nonce,
        })
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

/// No private claims. The default `X` of [`Claims`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoPrivate;

impl<'de> Deserialize<'de> for NoPrivate {
    // Skip the payload, which verification has already checked. Routes usually need no private
    // claims.
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}
