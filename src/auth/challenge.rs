//! [`Refusal`]: an [`AuthError`] with the [`Challenge`] of its response (RFC 6750 §3).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use http::{HeaderValue, header::InvalidHeaderValue};

use crate::auth::error::{AuthError, BearerError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `Bearer` (RFC 6750 §2.1).
    Bearer,
    /// `DPoP`: a token that comes with a proof (RFC 9449 §7.1).
    Dpop,
}

/// The parameters of a challenge other than the error (RFC 6750 §3, RFC 9449 §7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// The protection space, printable ASCII without `"` and `\`.
    pub realm: Arc<str>,
    /// The scopes to request, separated by spaces. `None` if no scope would help.
    pub scope: Option<Arc<str>>,
    /// The URL of the metadata of the protected resource (RFC 9728 §5.1).
    pub resource_metadata: Option<Arc<str>>,
    /// The accepted authentication context classes, separated by spaces (RFC 9470 §3).
    pub acr_values: Option<Arc<str>>,
    /// The maximum time since the user authenticated, in seconds (RFC 9470 §3).
    pub max_age: Option<u64>,
    /// True if the response offers a `Bearer` challenge.
    pub bearer: bool,
    /// The algorithms for DPoP proofs, separated by spaces. `None` if the response offers no `DPoP`
    /// challenge.
    pub dpop: Option<Arc<str>>,
    pub(crate) cache: ChallengeCache,
}

impl Default for Challenge {
    fn default() -> Self {
        Self {
            realm: Arc::default(),
            scope: None,
            resource_metadata: None,
            bearer: true,
            dpop: None,
            acr_values: None,
            max_age: None,
            cache: ChallengeCache::default(),
        }
    }
}

impl Challenge {
    #[must_use]
    pub(crate) fn only(mut self, scheme: Scheme) -> Self {
        self.bearer = scheme == Scheme::Bearer;
        if self.bearer {
            self.dpop = None;
        }
        self
    }
}

/// A rejected request, with the error and the challenge for the response.
///
/// In warp, a refusal is a rejection, which `rejection.find::<Refusal>()` returns. If you create
/// the response yourself, call [`response`](Self::response) or
/// [`www_authenticate`](Self::www_authenticate). If a refusal of a filter is dropped before either
/// is called, an error is logged: the route was not closed with
/// [`route()`](crate::auth::BearerFilterExt::route), and another route has responded to the
/// rejected request.
///
#[cfg_attr(feature = "warp", doc = "```")]
#[cfg_attr(not(feature = "warp"), doc = "```ignore")]
/// use std::convert::Infallible;
/// use warp::{Filter, Rejection, Reply, http::{HeaderValue, StatusCode}, reply::Response};
/// use warp_bearer::auth::{Auth, AuthError, Claims, Refusal, with_auth};
///
/// /// Answers in plain text, with the challenge.
/// async fn as_text(rejection: Rejection) -> Result<Response, Infallible> {
///     let Some(refusal) = rejection.find::<Refusal>() else {
///         return Ok(StatusCode::NOT_FOUND.into_response());
///     };
///     let text = warp::reply::with_status(refusal.error.detail(), refusal.error.status());
///     let mut answer = text.into_response();
///     if let Some(Ok(challenge)) = refusal.www_authenticate().map(HeaderValue::try_from) {
///         answer.headers_mut().insert("www-authenticate", challenge);
///     }
///     Ok(answer)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let me = warp::path!("me").and(with_auth(&auth)).map(|_: Claims| "you").recover(as_text);
/// let answer = warp::test::request().path("/me").reply(&me).await;
/// assert_eq!(answer.status(), 401);
/// assert_eq!(answer.body(), AuthError::MissingToken.detail());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// The reason for the rejection.
    pub error: AuthError,
    /// The parameters of the challenge.
    pub challenge: Challenge,
    nonce: Option<Arc<str>>,
    /// True if tokens are read from a header other than `Authorization`.
    is_in_own_field: bool,
    pending: Pending,
}

impl Refusal {
    pub(crate) fn new(error: AuthError, challenge: Challenge) -> Self {
        Self {
            error,
            challenge,
            nonce: None,
            is_in_own_field: false,
            pending: Pending::default(),
        }
    }

    /// Adds scopes that the client must request. The refusal may already have some, either from the
    /// token's issuer or from another policy of the route.
    #[must_use]
    pub(crate) fn with_scope(mut self, more: Option<Arc<str>>) -> Self {
        self.challenge.scope = match (self.challenge.scope.take(), more) {
            (Some(scope), Some(more)) => {
                let is_new = |name: &&str| scope.split(' ').all(|named| named != *name);
                let added: String = more
                    .split(' ')
                    .filter(is_new)
                    .flat_map(|n| [" ", n])
                    .collect();
                Some(format!("{scope}{added}").into())
            }
            (scope, more) => scope.or(more),
        };
        self
    }

    /// Adds the authentication that is required of the user (RFC 9470 §3)
    #[must_use]
    pub(crate) fn with_step_up(mut self, acr_values: Option<String>, max_age: Option<u64>) -> Self {
        self.challenge.acr_values = acr_values.map(Into::into);
        self.challenge.max_age = max_age;
        self
    }

    #[must_use]
    pub(crate) fn in_own_field(mut self, is_in_own_field: bool) -> Self {
        self.is_in_own_field = is_in_own_field;
        self
    }

    pub(crate) fn detail(&self) -> &'static str {
        if self.is_in_own_field {
            return self.error.detail_for_own_field();
        }
        self.error.detail()
    }

    #[must_use]
    pub(crate) fn with_nonce(mut self, nonce: Option<Arc<str>>) -> Self {
        self.nonce = nonce;
        self
    }

    /// Returns the value of `DPoP-Nonce`, if the next proof needs a nonce (RFC 9449 §9).
    pub fn dpop_nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// From here on, the refusal logs an error if it is dropped before it is turned into a
    /// response.
    #[cfg(feature = "warp")]
    pub(crate) fn expect_answer(&mut self) {
        self.pending.0.store(true, Relaxed);
    }

    /// The refusal has become a response, so dropping it is fine
    pub(crate) fn answered(&self) {
        self.pending.0.store(false, Relaxed);
    }

    /// Returns the value of `WWW-Authenticate`. `None` for a 503: another token would not help.
    ///
    /// Two challenges are separated by a comma (RFC 9110 §11.6.1). [`response`](Self::response)
    /// sends them as two headers.
    pub fn www_authenticate(&self) -> Option<String> {
        let challenges: Vec<_> = self.schemes().map(|scheme| self.text(scheme)).collect();
        (!challenges.is_empty()).then(|| challenges.join(", "))
    }

    /// The value of each `WWW-Authenticate` header. Empty for a 503, where another token would not
    /// help.
    ///
    /// Formatted challenges are cached, except those that ask the user to authenticate again.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Result<HeaderValue, InvalidHeaderValue>> {
        self.schemes().map(|scheme| {
            let challenge = &self.challenge;
            if challenge.acr_values.is_some() || challenge.max_age.is_some() {
                return self.text(scheme).try_into();
            }
            let wanted = Parameters {
                code: self.error.code(),
                scheme,
                realm: &*challenge.realm,
                scope: self.scope(),
                resource_metadata: challenge.resource_metadata.as_deref(),
                algorithms: self.algorithms(scheme),
            };
            if let Some(field) = challenge.cache.find(&wanted) {
                return Ok(field);
            }
            let field = HeaderValue::try_from(self.text(scheme))?;
            challenge.cache.add(&wanted, &field);
            Ok(field)
        })
    }

    /// The scheme of each challenge; empty for a 503. Also marks the refusal as answered.
    fn schemes(&self) -> impl Iterator<Item = Scheme> {
        self.answered();
        let helps = !self.error.status().is_server_error();
        let bearer = (helps && self.challenge.bearer).then_some(Scheme::Bearer);
        let dpop = (helps && self.challenge.dpop.is_some()).then_some(Scheme::Dpop);
        bearer.into_iter().chain(dpop)
    }

    fn text(&self, scheme: Scheme) -> String {
        let Challenge {
            realm,
            resource_metadata,
            ..
        } = &self.challenge;
        let opening = match scheme {
            Scheme::Bearer => "Bearer realm=\"",
            Scheme::Dpop => "DPoP realm=\"",
        };
        let error = self.error.error();
        let max_age = self.challenge.max_age.map(|seconds| seconds.to_string());
        let parameters = [
            parameter(opening, Some(realm)),
            parameter(", error=\"", error.map(BearerError::as_str)),
            parameter(", error_description=\"", error.map(|_| self.detail())),
            parameter(", acr_values=\"", self.challenge.acr_values.as_deref()),
            parameter(", max_age=\"", max_age.as_deref()),
            parameter(", scope=\"", self.scope()),
            parameter(", resource_metadata=\"", resource_metadata.as_deref()),
            parameter(", algs=\"", self.algorithms(scheme)),
        ];
        parameters.as_flattened().concat()
    }

    fn algorithms(&self, scheme: Scheme) -> Option<&str> {
        let algorithms = self.challenge.dpop.as_deref();
        algorithms.filter(|_| scheme == Scheme::Dpop)
    }

    /// The scope for the challenge. A client needs it if it has no token, or if its token grants
    /// too few scopes. It would only mislead a client that lacks a permission or a role.
    fn scope(&self) -> Option<&str> {
        match self.error {
            AuthError::MissingToken
            | AuthError::InsufficientScope
            | AuthError::InsufficientAuthentication => self.challenge.scope.as_deref(),
            _ => None,
        }
    }
}

/// The pieces of a challenge parameter, all empty if there is no value
fn parameter<'v>(opening: &'static str, value: Option<&'v str>) -> [&'v str; 3] {
    value.map_or([""; 3], |value| [opening, value, "\""])
}

/// A cache of formatted challenges, shared by all clones of a [`Challenge`] and read without a
/// lock.
#[derive(Clone, Default)]
pub(crate) struct ChallengeCache(Arc<ArcSwap<Vec<CachedChallenge>>>);

#[derive(Clone)]
struct CachedChallenge {
    parameters: Parameters<Box<str>>,
    field: HeaderValue,
}

#[derive(Clone)]
struct Parameters<S> {
    code: &'static str,
    scheme: Scheme,
    realm: S,
    scope: Option<S>,
    resource_metadata: Option<S>,
    algorithms: Option<S>,
}

impl ChallengeCache {
    /// The maximum number of cached challenges. A service usually has just a few, but the queries
    /// of `/auth` could contain any number of different scopes.
    const MAX_ENTRIES: usize = 64;

    fn find(&self, wanted: &Parameters<&str>) -> Option<HeaderValue> {
        let cached = self.0.load();
        let found = cached.iter().find(|one| one.parameters.matches(wanted));
        found.map(|one| one.field.clone())
    }

    fn add(&self, parameters: &Parameters<&str>, field: &HeaderValue) {
        if self.0.load().len() >= Self::MAX_ENTRIES {
            return;
        }
        self.0.rcu(|cached| {
            let mut cached = Vec::clone(cached);
            cached.push(CachedChallenge {
                parameters: parameters.to_owned(),
                field: field.clone(),
            });
            cached
        });
    }
}

impl Parameters<Box<str>> {
    fn matches(&self, wanted: &Parameters<&str>) -> bool {
        // codes first: they differ for most challenges, and equal ones usually have the same
        // address
        (std::ptr::eq(self.code, wanted.code) || self.code == wanted.code)
            && self.scheme == wanted.scheme
            && *self.realm == *wanted.realm
            && self.scope.as_deref() == wanted.scope
            && self.resource_metadata.as_deref() == wanted.resource_metadata
            && self.algorithms.as_deref() == wanted.algorithms
    }
}

impl Parameters<&str> {
    fn to_owned(&self) -> Parameters<Box<str>> {
        Parameters {
            code: self.code,
            scheme: self.scheme,
            realm: self.realm.into(),
            scope: self.scope.map(Into::into),
            resource_metadata: self.resource_metadata.map(Into::into),
            algorithms: self.algorithms.map(Into::into),
        }
    }
}

impl PartialEq for ChallengeCache {
    /// We leave out the cache, which is not part of a challenge's value
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ChallengeCache {}

impl fmt::Debug for ChallengeCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeCache").finish_non_exhaustive()
    }
}

/// A flag that `Refusal::expect_answer` sets and a response clears. If it is still set on drop, we
/// log an error.
///
/// A clone takes over the flag. This way only the last clone will log.
#[derive(Debug, Default)]
struct Pending(AtomicBool);

impl Clone for Pending {
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.0.swap(false, Relaxed)))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if !*self.0.get_mut() {
            return;
        }
        // Once per process, or an attacker could flood the log.
        if !REPORTED.swap(true, Relaxed) {
            tracing::error!(
                "rejected request was answered by another route; close the route that rejected it \
                 with .route()"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_scope_only_if_it_helps() {
        for error in AuthError::ALL {
            let challenge = Challenge {
                realm: "api".into(),
                scope: Some("a b".into()),
                ..Challenge::default()
            };
            let refusal = Refusal::new(*error, challenge);
            let header = refusal.www_authenticate().unwrap_or_default();
            let helps = matches!(
                error,
                AuthError::MissingToken
                    | AuthError::InsufficientScope
                    | AuthError::InsufficientAuthentication
            );
            assert_eq!(header.contains(r#"scope="a b""#), helps, "{error:?}");
        }
    }

    #[test]
    fn names_every_missing_scope_once() {
        for (case, first, second, expected) in [
            ("none", None, None, None),
            ("the first", Some("a b"), None, Some("a b")),
            ("the second", None, Some("a b"), Some("a b")),
            ("both", Some("a b"), Some("c"), Some("a b c")),
            ("some twice", Some("a b"), Some("b c a"), Some("a b c")),
            ("all twice", Some("a"), Some("a"), Some("a")),
            ("a part of a name", Some("ab"), Some("a b"), Some("ab a b")),
        ] {
            let refusal = Refusal::new(AuthError::InsufficientScope, Challenge::default());
            let refusal = refusal.with_scope(first.map(Into::into));
            let refusal = refusal.with_scope(second.map(Into::into));
            assert_eq!(refusal.challenge.scope.as_deref(), expected, "{case}");
        }
    }

    #[test]
    fn offers_each_scheme_in_a_separate_challenge() {
        let challenge = Challenge {
            realm: "api".into(),
            dpop: Some("ES256 EdDSA".into()),
            ..Challenge::default()
        };
        let header =
            |challenge| Refusal::new(AuthError::MissingToken, challenge).www_authenticate();
        let (bearer, dpop) = (
            r#"Bearer realm="api""#,
            r#"DPoP realm="api", algs="ES256 EdDSA""#,
        );
        assert_eq!(header(challenge.clone()), Some(format!("{bearer}, {dpop}")));
        let of = |scheme| header(challenge.clone().only(scheme));
        assert_eq!(of(Scheme::Bearer).as_deref(), Some(bearer));
        assert_eq!(of(Scheme::Dpop).as_deref(), Some(dpop));
    }

    #[test]
    fn cached_challenge_equals_a_formatted_one() {
        let challenge = Challenge {
            realm: "api".into(),
            dpop: Some("ES256".into()),
            ..Challenge::default()
        };
        let fields = |refusal: &Refusal| {
            let fields: Result<Vec<_>, _> = refusal.fields().collect();
            let fields = fields.unwrap();
            let texts = fields.iter().map(|field| field.to_str().unwrap());
            texts.collect::<Vec<_>>().join(", ")
        };
        let variants: [fn(&mut Challenge); 7] = [
            |_| {},
            |challenge| challenge.realm = "other".into(),
            |challenge| challenge.scope = Some("a b".into()),
            |challenge| challenge.scope = Some("a c".into()),
            |challenge| challenge.resource_metadata = Some("https://a.example/".into()),
            |challenge| challenge.dpop = Some("EdDSA".into()),
            |challenge| challenge.acr_values = Some("gold".into()),
        ];
        // The second time, every challenge comes from the cache and must not be confused with
        // another
        for _ in 0..2 {
            for (variant, change) in variants.iter().enumerate() {
                for error in AuthError::ALL {
                    let mut challenge = challenge.clone();
                    change(&mut challenge);
                    for challenge in [challenge.clone(), challenge.only(Scheme::Dpop)] {
                        let refusal = Refusal::new(*error, challenge);
                        let expected = refusal.www_authenticate().unwrap_or_default();
                        assert_eq!(fields(&refusal), expected, "{variant}, {error:?}");
                    }
                }
            }
        }
        assert!(challenge.cache.0.load().len() <= ChallengeCache::MAX_ENTRIES);
    }

    #[test]
    fn formats_a_repeated_challenge_once() {
        let challenge = Challenge::default();
        let field = || {
            let refusal = Refusal::new(AuthError::TokenExpired, challenge.clone());
            refusal.fields().next().unwrap().unwrap()
        };
        let (first, second) = (field(), field());
        assert_eq!(first.as_bytes().as_ptr(), second.as_bytes().as_ptr());
    }
}
