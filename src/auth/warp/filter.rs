//! The filters: [`with_auth`], [`with_optional_auth`] and [`BearerFilterExt`].
//!
//! The filters only call `Auth::authenticate_by` and check the policy of the route. The order
//! inside a route is path, method, auth, policy, body.

use std::{convert::Infallible, future::ready, sync::Arc};

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, Method},
    path::FullPath,
    reply::Response,
};

use crate::auth::{
    challenge::Refusal,
    credential::{Credential, RequestHead, certificate::ClientCertificate},
    error::AuthError,
    policy::Requirement,
    token::claims::Claims,
    verifier::Auth,
    warp::rejection::{final_answer, reject},
};

/// Requires a valid bearer token and extracts its [`Claims`].
///
/// **Close the route with [`.route()`](BearerFilterExt::route).** After a rejection, warp tries the
/// next route. Without `.route()`, `catch_all` in `protected.or(catch_all)` responds to requests
/// that `protected` has rejected. This is logged as an error.
///
/// Rejects with a [`Refusal`]. `.route()` or [`handle_rejection`](crate::auth::handle_rejection)
/// turns it into the JSON response.
///
/// ```
/// use warp::Filter;
/// use warp_bearer::auth::{Auth, BearerFilterExt, Claims, handle_rejection, with_auth};
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
    filter(auth, Auth::presented)
}

/// Like [`with_auth`], for tokens outside of `Authorization`.
///
/// `token` extracts the token from the headers, without a scheme name. If the request has no token,
/// it returns [`AuthError::MissingToken`]. Everything else, including the challenge, works as in
/// [`with_auth`].
///
/// ```
/// use warp::{Filter, http::HeaderMap};
/// use warp_bearer::auth::{Auth, AuthError, BearerFilterExt, Claims, with_auth_from};
///
/// fn token(headers: &HeaderMap) -> Result<&[u8], AuthError> {
///     let mut fields = headers.get_all("x-forwarded-access-token").iter();
///     match (fields.next(), fields.next()) {
///         (Some(token), None) => Ok(token.as_bytes()),
///         (None, _) => Err(AuthError::MissingToken),
///         _ => Err(AuthError::MultipleCredentials),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let me = warp::path!("me").and(with_auth_from(&auth, token)).map(|_: Claims| "you").route();
/// let answer = warp::test::request().path("/me").reply(&me).await;
/// assert_eq!(answer.status(), 401);
/// # Ok(())
/// # }
/// ```
pub fn with_auth_from<X, T>(
    auth: &Auth,
    token: T,
) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static + use<X, T>
where
    X: DeserializeOwned + Send + 'static,
    T: Fn(&HeaderMap) -> Result<&[u8], AuthError> + Clone + Send + Sync + 'static,
{
    filter(auth, move |_: &Auth, headers: &HeaderMap, _: bool| {
        token(headers).map(Credential::bare)
    })
}

pub(super) fn filter<X, C>(
    auth: &Auth,
    credential: C,
) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static + use<X, C>
where
    X: DeserializeOwned + Send + 'static,
    C: for<'h> Fn(&Auth, &'h HeaderMap, bool) -> Result<Credential<'h>, AuthError>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let auth = auth.clone();
    let head = head(auth.reads_target());
    let filter = head.and_then(move |target: Option<Target>, headers: HeaderMap| {
        let (auth, credential) = (auth.clone(), credential.clone());
        async move {
            let request = match &target {
                Some((method, path, certificate)) => {
                    let request = RequestHead::new(method, path.as_str(), &headers);
                    match certificate {
                        Some(certificate) => request.with_certificate(certificate.as_der()),
                        None => request,
                    }
                }
                None => RequestHead::of_fields(&headers),
            };
            let verdict = auth.authenticate_by(&request, credential).await;
            verdict.map_err(reject)
        }
    });
    // Boxed, because the time to compile a filter grows with the square of its depth. The price is
    // an allocation for each request.
    filter.boxed()
}

/// [`with_auth`] for an [`Auth`] that does not need the method and the path. Saves the 260
/// instructions of the filter that checks whether to copy them.
#[cfg(feature = "service")]
pub(crate) fn with_headers_only<X>(
    auth: &Auth,
) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static + use<X>
where
    X: DeserializeOwned + Send + 'static,
{
    let auth = auth.clone();
    warp::header::headers_cloned().and_then(move |headers: HeaderMap| {
        let auth = auth.clone();
        async move {
            let request = RequestHead::of_fields(&headers);
            let verdict = auth.authenticate_by(&request, Auth::presented).await;
            verdict.map_err(reject)
        }
    })
}

/// The method and path of a request, and the client certificate of its connection
type Target = (Method, FullPath, Option<ClientCertificate>);

/// Extracts the headers and, if `with_target` is set, the target. Copying method and path takes 480
/// instructions, which is 1/40 of the cost of a request with a cached token.
fn head(
    with_target: bool,
) -> impl Filter<Extract = (Option<Target>, HeaderMap), Error = Infallible> + Clone + Send + Sync + 'static
{
    let fields_alone = warp::any().and_then(move || {
        ready(if with_target {
            Err(warp::reject())
        } else {
            Ok(None)
        })
    });
    let target = warp::method()
        .and(warp::path::full())
        .and(warp::ext::optional())
        .map(|method, path, certificate| Some((method, path, certificate)));
    fields_alone
        .or(target)
        .unify()
        .and(warp::header::headers_cloned())
}

/// Like [`with_auth`], for routes that also accept requests without a credential. Extracts `None`
/// for such a request. An invalid credential is still rejected.
///
/// ```
/// use warp::Filter;
/// use warp_bearer::auth::{Auth, BearerFilterExt, Claims, with_optional_auth};
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
        Some(refusal) if refusal.error == AuthError::MissingToken => {
            refusal.answered();
            Ok((None,))
        }
        _ => Err(rejection),
    }
}

/// Adds `.require(..)` and `.route()` to filters that include [`with_auth`].
pub trait BearerFilterExt: Filter + Clone + Send + Sync + Sized + 'static {
    /// Requires that the claims grant `requirement`: a [`Policy`](crate::auth::policy::Policy), a
    /// [`check`](crate::auth::policy::check), a [`check_async`](crate::auth::policy::check_async),
    /// or a combination of them.
    ///
    /// The challenges of the 403, and of the 401 for a request without a token, list the scopes to
    /// request.
    ///
    /// Call this method on the result of `with_auth`:
    /// `with_auth(&auth).require(scope("read:messages"))`. It isn't available on a filter that
    /// extracts more than the claims, e.g. one with a path parameter.
    ///
    /// ```
    /// use warp::Filter;
    /// use warp_bearer::auth::{
    ///     Auth, BearerFilterExt, Claims, handle_rejection,
    ///     policy::{permission, scope},
    ///     with_auth,
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
    fn require<X>(
        self,
        requirement: impl Into<Requirement<X>>,
    ) -> impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static
    where
        Self: Filter<Extract = (Claims<X>,), Error = Rejection>,
        X: Send + 'static,
    {
        let requirement = requirement.into();
        let scope: Option<Arc<str>> = requirement.scopes().map(Into::into);
        let requirement = Arc::new(requirement);
        self.or_else(move |rejection| ready(Err(with_scope(rejection, scope.clone()))))
            .and_then(move |claims: Claims<X>| {
                let requirement = Arc::clone(&requirement);
                async move { requirement.grant(claims).await.map_err(reject) }
            })
    }

    /// Closes the route, so that a refusal becomes the final response.
    ///
    /// After a rejection, warp tries the next route, so in `protected.or(catch_all)`, `catch_all`
    /// would respond to a rejected request. A closed route still passes on rejections because of
    /// the path or the method, and your own custom rejections. All other rejections of warp's
    /// filters become responses too, such as those of body filters. If you want to handle them
    /// yourself, put a `recover` before `.route()`. You can also close a group of routes at once,
    /// if no two of its routes match the same path and method: within the group, warp still tries
    /// the next route after a rejection.
    ///
    /// The filter is boxed, so that a large number of routes compiles quickly.
    ///
    /// ```
    /// use warp::Filter;
    /// use warp_bearer::auth::{Auth, BearerFilterExt, Claims, with_auth};
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
    /// assert_eq!(request().reply(&open).await.status(), 200, "the catch-all answers a request without a token");
    /// assert_eq!(request().reply(&closed).await.status(), 401);
    /// # Ok(())
    /// # }
    /// ```
    fn route<R, E>(self) -> BoxedFilter<(Response,)>
    where
        Self: Close<R, E>,
    {
        self.close()
    }
}

impl<F: Filter + Clone + Send + Sync + 'static> BearerFilterExt for F {}

/// A filter that extracts a reply, which [`BearerFilterExt::route`] can close.
pub trait Close<R, E>: Sized {
    #[doc(hidden)]
    fn close(self) -> BoxedFilter<(Response,)>;
}

impl<R, F> Close<R, Rejection> for F
where
    R: Reply + Send + 'static,
    F: Filter<Extract = (R,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    fn close(self) -> BoxedFilter<(Response,)> {
        closed(self).boxed()
    }
}

impl<R, F> Close<R, Infallible> for F
where
    R: Reply + Send + 'static,
    F: Filter<Extract = (R,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    fn close(self) -> BoxedFilter<(Response,)> {
        self.map(Reply::into_response).boxed()
    }
}

fn with_scope(rejection: Rejection, scope: Option<Arc<str>>) -> Rejection {
    match rejection.find::<Refusal>() {
        Some(refusal) => reject(refusal.clone().with_scope(scope)),
        None => rejection,
    }
}

/// Closes a route without boxing it
pub(crate) fn closed<R, F>(
    route: F,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static
where
    R: Reply + Send + 'static,
    F: Filter<Extract = (R,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    route
        .map(Reply::into_response)
        .or_else(|rejection| ready(final_answer(rejection).map(|reply| (reply,))))
}
