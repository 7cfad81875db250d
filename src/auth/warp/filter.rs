//! The filters: [`with_auth`], [`with_optional_auth`], [`Require::require`] and [`Route::route`].
//!
//! They carry a request to `verifier.rs` and its verdict back; they decide nothing themselves.
//! Inside a route the order is path, method, auth, policy, body.

use std::{convert::Infallible, future::ready, sync::Arc};

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply, filters::BoxedFilter, http::HeaderMap, reject, reply::Response,
};

use crate::auth::{
    credential::bearer,
    error::{AuthError, Challenge, Refusal},
    policy::Requirement,
    problem,
    token::claims::Claims,
    verifier::Auth,
    warp::outcome::Watch,
};

/// Requires a valid bearer token and extracts its [`Claims`].
///
/// Rejects with a [`Refusal`]; [`Route::route`] or [`handle_rejection`](crate::auth::handle_rejection)
/// make it the JSON answer.
///
/// ```
/// use warp::Filter;
/// use warp_bearer::auth::{Auth, Claims, Route, handle_rejection, with_auth};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let me = warp::path!("me")
///     .and(warp::get())
///     .and(with_auth(&auth))
///     .map(|claims: Claims| warp::reply::json(&claims))
///     .route();
///
/// let answer = warp::test::request().path("/me").reply(&me.recover(handle_rejection)).await;
/// assert_eq!(answer.status(), 401);
/// assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="api""#);
/// # Ok(())
/// # }
/// ```
pub fn with_auth<X>(
    auth: &Auth,
) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static + use<X>
where
    X: DeserializeOwned + Send + 'static,
{
    verified(auth, bearer::token)
}

/// The claims of the token that `token` takes out of a request's header fields.
pub(crate) fn verified<X>(
    auth: &Auth,
    token: fn(&HeaderMap) -> Result<&[u8], AuthError>,
) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static + use<X>
where
    X: DeserializeOwned + Send + 'static,
{
    let auth = auth.clone();
    warp::header::headers_cloned().and_then(move |headers: HeaderMap| {
        let auth = auth.clone();
        async move { judged(&auth, token(&headers)).await.map_err(reject::custom) }
    })
}

async fn judged<X>(auth: &Auth, token: Result<&[u8], AuthError>) -> Result<Claims<X>, Refusal>
where
    X: DeserializeOwned,
{
    let token = token.map_err(|error| refuse(auth, error))?;
    let watch = Watch::begin();
    let verdict = auth.verify_presented(token).await;
    watch.end(&verdict);
    verdict.map_err(|error| refuse(auth, bearer::blame(token, error)))
}

/// What [`with_auth`] and [`Require::require`] say of a request's header fields, where the policy is
/// known no sooner than with the request.
#[cfg(feature = "service")]
pub(crate) async fn authorize(
    auth: &Auth,
    headers: &HeaderMap,
    policy: Option<crate::auth::policy::Policy>,
) -> Result<Claims, Refusal> {
    let verdict = judged(auth, bearer::token(headers)).await;
    let Some(policy) = policy else {
        return verdict;
    };
    let policy = Requirement::from(policy);
    match verdict {
        Ok(claims) => granted(&policy, claims),
        Err(mut refusal) => {
            refusal.challenge.scope = policy.scopes().map(Into::into);
            Err(refusal)
        }
    }
}

/// As [`with_auth`], for routes that answer the unauthenticated too: no credential extracts `None`.
/// A credential that is bad is refused all the same.
///
/// ```
/// use warp::Filter;
/// use warp_bearer::auth::{Auth, Claims, Route, with_optional_auth};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let hello = warp::path!("hello")
///     .and(with_optional_auth(&auth))
///     .map(|claims: Option<Claims>| match claims {
///         Some(claims) => format!("hello, {}", claims.subject().unwrap_or("you")),
///         None => "hello, stranger".to_owned(),
///     })
///     .route();
///
/// let hello_to = |field: &'static str| {
///     warp::test::request().path("/hello").header("authorization", field)
/// };
/// assert_eq!(hello_to("Basic YTpi").reply(&hello).await.body(), "hello, stranger");
/// assert_eq!(hello_to("Bearer a.b.c").reply(&hello).await.status(), 401);
/// # Ok(())
/// # }
/// ```
pub fn with_optional_auth<X>(
    auth: &Auth,
) -> impl Filter<Extract = (Option<Claims<X>>,), Error = Rejection>
+ Clone
+ Send
+ Sync
+ 'static
+ use<X>
where
    X: DeserializeOwned + Send + 'static,
{
    with_auth(auth)
        .map(Some)
        .or_else(|rejection: Rejection| ready(absent(rejection)))
}

fn absent<X>(rejection: Rejection) -> Result<(Option<Claims<X>>,), Rejection> {
    match rejection.find::<Refusal>() {
        Some(refusal) if refusal.error == AuthError::MissingToken => Ok((None,)),
        _ => Err(rejection),
    }
}

fn refuse(auth: &Auth, error: AuthError) -> Refusal {
    Refusal {
        error,
        challenge: auth.challenge(),
    }
}

fn granted<X>(policy: &Requirement<X>, claims: Claims<X>) -> Result<Claims<X>, Refusal> {
    match policy.check(&claims) {
        Ok(()) => Ok(claims),
        Err((error, scope)) => Err(Refusal {
            error,
            challenge: Challenge {
                scope: scope.map(Into::into),
                ..claims.challenge()
            },
        }),
    }
}

/// `.require(..)` on a filter that extracts [`Claims`].
pub trait Require<X>:
    Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + Sized + 'static
where
    X: Send + 'static,
{
    /// Requires that the claims grant `policy`; what it knows of scopes stands in the challenge of
    /// the 403, and in that of the 401 to a request without a token.
    ///
    /// Takes what `with_auth` gives: `with_auth(&auth).require(scope("read:messages"))`.
    ///
    /// ```
    /// use warp::Filter;
    /// use warp_bearer::auth::{
    ///     Auth, Claims, Require, Route, handle_rejection, permission, scope, with_auth,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
    /// let messages = warp::path!("messages")
    ///     .and(warp::get())
    ///     .and(with_auth(&auth).require(scope("read:messages") | permission("messages:read")))
    ///     .map(|_: Claims| "none")
    ///     .route();
    ///
    /// let answer = warp::test::request().path("/messages");
    /// let answer = answer.reply(&messages.recover(handle_rejection)).await;
    /// let challenge = &answer.headers()["www-authenticate"];
    /// assert_eq!(challenge, r#"Bearer realm="api", scope="read:messages""#);
    /// # Ok(())
    /// # }
    /// ```
    fn require(
        self,
        policy: impl Into<Requirement<X>>,
    ) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static
    {
        let policy = policy.into();
        let scope: Option<Arc<str>> = policy.scopes().map(Into::into);
        let policy = Arc::new(policy);
        self.or_else(move |rejection| ready(Err(with_scope(rejection, scope.clone()))))
            .and_then(move |claims: Claims<X>| {
                ready(granted(&policy, claims).map_err(reject::custom))
            })
    }
}

impl<X, F> Require<X> for F
where
    X: Send + 'static,
    F: Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static,
{
}

fn with_scope(rejection: Rejection, scope: Option<Arc<str>>) -> Rejection {
    match rejection.find::<Refusal>() {
        Some(refusal) => {
            let mut refusal = refusal.clone();
            refusal.challenge.scope = scope;
            reject::custom(refusal)
        }
        None => rejection,
    }
}

/// `.route()` on a filter that extracts a reply.
pub trait Route<R, E>:
    Filter<Extract = (R,), Error = E> + Clone + Send + Sync + Sized + 'static
where
    R: Reply + Send + 'static,
{
    /// Closes the route: its refusals become answers here and are final.
    ///
    /// In warp a rejection is an invitation to try the next route, so that
    /// `protected.or(catch_all)` would answer the anonymous. A path or a method that does not fit
    /// still goes on to the next route, and so do rejections that are neither ours nor warp's.
    ///
    /// Boxed, which keeps a table of many routes quick to compile.
    ///
    /// ```
    /// use warp::Filter;
    /// use warp_bearer::auth::{Auth, Claims, Route, with_auth};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
    /// let secret = warp::path!("secret").and(with_auth(&auth)).map(|_: Claims| "a secret");
    /// let catch_all = warp::any().map(|| "a page");
    ///
    /// let open = secret.clone().or(catch_all);
    /// let closed = secret.route().or(catch_all);
    /// let request = || warp::test::request().path("/secret");
    /// assert_eq!(request().reply(&open).await.status(), 200, "the wrong page for the anonymous");
    /// assert_eq!(request().reply(&closed).await.status(), 401);
    /// # Ok(())
    /// # }
    /// ```
    fn route(self) -> BoxedFilter<(Response,)>;
}

impl<R, F> Route<R, Rejection> for F
where
    R: Reply + Send + 'static,
    F: Filter<Extract = (R,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    fn route(self) -> BoxedFilter<(Response,)> {
        closed(self).boxed()
    }
}

impl<R, F> Route<R, Infallible> for F
where
    R: Reply + Send + 'static,
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    fn route(self) -> BoxedFilter<(Response,)> {
        self.map(Reply::into_response).boxed()
    }
}

/// A route that is closed, and not boxed yet.
pub(crate) fn closed<R, F>(
    route: F,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static
where
    R: Reply + Send + 'static,
    F: Filter<Extract = (R,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    route
        .map(Reply::into_response)
        .or_else(|rejection| ready(problem::refusal(rejection).map(|reply| (reply,))))
}
