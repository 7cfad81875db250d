//! [`AuthLayer`] and [`RequireLayer`], and the service that they create.
//!
//! We store verified claims in the extensions of the request. An inner layer or an extractor reuses
//! them if it has the same [`Auth`]. Note that a request must not be verified twice, because a DPoP
//! proof can only be used once.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use serde::de::DeserializeOwned;
use tower_layer::Layer;
use tower_service::Service;

use crate::auth::{
    challenge::Refusal,
    credential::{RequestHead, certificate::ClientCertificate},
    error::AuthError,
    policy::{Policy, Requirement},
    token::claims::{Claims, NoPrivate},
    verifier::Auth,
};

/// Layer that requires a valid token for every request, and stores its [`Claims`] in the request's
/// extensions.
///
/// Rejected requests get a JSON response. Note that CORS preflights have no token, so if you need
/// CORS, its layer should be outside of this one.
///
/// ```
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
/// use warp_bearer::auth::{Auth, Claims, tower::AuthLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// async fn me(request: Request<()>) -> Result<Response<String>, std::convert::Infallible> {
///     let claims = request.extensions().get::<Claims>();
///     let subject = claims.and_then(Claims::subject).unwrap_or("you");
///     Ok(Response::new(subject.to_owned()))
/// }
///
/// let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let service = ServiceBuilder::new().layer(AuthLayer::new(&auth)).service_fn(me);
/// let answer = service.oneshot(Request::new(())).await?;
/// assert_eq!(answer.status(), 401);
/// assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="api""#);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AuthLayer<A = ProblemJson> {
    gate: Gate<A>,
}

impl AuthLayer {
    /// Creates a layer that rejects requests with a JSON response.
    pub fn new(auth: &Auth) -> Self {
        let gate = Gate {
            auth: auth.clone(),
            requirement: None,
            is_optional: false,
            answer: ProblemJson,
        };
        Self { gate }
    }
}

impl<A> AuthLayer<A> {
    /// Also accepts requests without a credential, and stores no claims for them. An invalid
    /// credential is still rejected.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.gate.is_optional = true;
        self
    }

    /// Sets how to respond to rejected requests.
    #[must_use]
    pub fn answer_with<B>(self, answer: B) -> AuthLayer<B> {
        let gate = self.gate.answer_with(answer);
        AuthLayer { gate }
    }
}

/// Layer that requires a valid token whose claims meet a [`Requirement`].
///
/// This layer works alone, and inside an [`AuthLayer`] with the same [`Auth`]. If it is used alone,
/// the 401 for a request without a token also lists the required scopes. In axum, you'll usually
/// want to add it to the methods of a route: `get(messages).route_layer(..)`.
///
/// ```
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
/// use warp_bearer::auth::{Auth, policy::scope, tower::RequireLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn messages(_: Request<()>) -> Result<Response<String>, std::convert::Infallible> {
/// #     Ok(Response::new("none".to_owned()))
/// # }
/// let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let reader = RequireLayer::new(&auth, scope("read:messages"));
/// let service = ServiceBuilder::new().layer(reader).service_fn(messages);
/// let answer = service.oneshot(Request::new(())).await?;
/// let challenge = r#"Bearer realm="api", scope="read:messages""#;
/// assert_eq!(answer.headers()["www-authenticate"], challenge);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RequireLayer<A = ProblemJson> {
    gate: Gate<A>,
}

impl RequireLayer {
    /// Creates a layer that rejects requests with a JSON response.
    pub fn new(auth: &Auth, requirement: impl IntoRequirement) -> Self {
        let AuthLayer { mut gate } = AuthLayer::new(auth);
        gate.requirement = Some(Arc::new(requirement.into_requirement()));
        Self { gate }
    }
}

impl<A> RequireLayer<A> {
    /// Sets how to respond to rejected requests.
    #[must_use]
    pub fn answer_with<B>(self, answer: B) -> RequireLayer<B> {
        let gate = self.gate.answer_with(answer);
        RequireLayer { gate }
    }
}

/// A [`Requirement`] or a [`Policy`].
///
/// This trait exists because `Into<Requirement<X>>` would be ambiguous: a policy can become a
/// requirement for any `X`.
pub trait IntoRequirement {
    /// The private claims that the requirement reads.
    type Private: DeserializeOwned + Send + 'static;

    /// Returns the requirement.
    fn into_requirement(self) -> Requirement<Self::Private>;
}

impl IntoRequirement for Policy {
    type Private = NoPrivate;

    fn into_requirement(self) -> Requirement<NoPrivate> {
        self.into()
    }
}

impl<X: DeserializeOwned + Send + 'static> IntoRequirement for Requirement<X> {
    type Private = X;

    fn into_requirement(self) -> Self {
        self
    }
}

/// Turns a refusal into a response with a body of type `B`. Implemented by [`ProblemJson`] and
/// [`GrpcStatus`](super::grpc::GrpcStatus).
///
/// ```
/// use http::Response;
/// use warp_bearer::auth::{Auth, Refusal, tower::{AuthLayer, RefusalResponse}};
///
/// /// Answers without a body.
/// #[derive(Clone)]
/// struct Bare;
///
/// impl<B: Default> RefusalResponse<B> for Bare {
///     fn response(&self, refusal: &Refusal) -> Response<B> {
///         refusal.response::<&str>().map(|_| B::default())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let layer = AuthLayer::new(&auth).answer_with(Bare);
/// # Ok(())
/// # }
/// ```
pub trait RefusalResponse<B> {
    /// Returns the response to a rejected request.
    fn response(&self, refusal: &Refusal) -> Response<B>;
}

/// Turns refusals into responses with [`Refusal::response`]: a status, a challenge, and the problem
/// in JSON.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ProblemJson;

impl<B: From<&'static str>> RefusalResponse<B> for ProblemJson {
    fn response(&self, refusal: &Refusal) -> Response<B> {
        refusal.response()
    }
}

/// Middleware created by [`AuthLayer`] and [`RequireLayer`].
#[derive(Debug, Clone)]
pub struct AuthService<S, A = ProblemJson> {
    inner: S,
    gate: Gate<A>,
}

impl<S, A: Clone> Layer<S> for AuthLayer<A> {
    type Service = AuthService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let gate = self.gate.clone();
        AuthService { inner, gate }
    }
}

impl<S, A: Clone> Layer<S> for RequireLayer<A> {
    type Service = AuthService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let gate = self.gate.clone();
        AuthService { inner, gate }
    }
}

impl<S, A, B, C> Service<Request<B>> for AuthService<S, A>
where
    S: Service<Request<B>, Response = Response<C>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    A: RefusalResponse<C> + Clone + Send + Sync + 'static,
    B: Send + 'static,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<C>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // `self.inner` is ready but its clone may not be, so let the original handle the request
        // and put the clone in its place.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        let (mut head, body) = request.into_parts();
        Box::pin(async move {
            match gate.admit(&mut head).await {
                Ok(nonce) => {
                    let mut answer = inner.call(Request::from_parts(head, body)).await?;
                    gate.renew_nonce(nonce, &mut answer);
                    Ok(answer)
                }
                Err(refusal) => Ok(gate.answer.response(&refusal)),
            }
        })
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A type-erased [`Requirement`], so that the layers need no type parameter
trait Grant: fmt::Debug + Send + Sync {
    fn scopes(&self) -> Option<String>;
    fn grant<'a>(&'a self, claims: &'a Claims) -> BoxFuture<'a, Result<(), Refusal>>;
}

impl<X: DeserializeOwned + Send + 'static> Grant for Requirement<X> {
    fn scopes(&self) -> Option<String> {
        self.scopes()
    }

    fn grant<'a>(&'a self, claims: &'a Claims) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async { self.grant(typed(claims)?).await.map(drop) })
    }
}

#[derive(Debug, Clone)]
struct Gate<A> {
    auth: Auth,
    requirement: Option<Arc<dyn Grant>>,
    is_optional: bool,
    answer: A,
}

impl<A> Gate<A> {
    fn answer_with<B>(self, answer: B) -> Gate<B> {
        Gate {
            auth: self.auth,
            requirement: self.requirement,
            is_optional: self.is_optional,
            answer,
        }
    }

    /// Verifies a request and checks the requirement. Gives us the nonce for the client's next
    /// proof, if it needs a new one.
    async fn admit(&self, head: &mut Parts) -> Result<Option<HeaderValue>, Refusal> {
        let claims = match verified(&self.auth, head).await {
            Ok(claims) => claims,
            Err(refusal) if self.is_optional && refusal.error == AuthError::MissingToken => {
                return Ok(None);
            }
            Err(refusal) => {
                let scopes = self.requirement.as_ref().and_then(|it| it.scopes());
                return Err(refusal.with_scope(scopes.map(Into::into)));
            }
        };
        if let Some(requirement) = &self.requirement {
            requirement.grant(&claims).await?;
        }
        let nonce = claims.dpop_nonce().map(HeaderValue::try_from);
        Ok(nonce.and_then(Result::ok))
    }

    /// Adds `nonce` to a successful response (RFC 9449 §8.2), or else the nonce that every
    /// successful response contains at this time.
    fn renew_nonce<C>(&self, nonce: Option<HeaderValue>, answer: &mut Response<C>) {
        const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
        if !answer.status().is_success() {
            return;
        }
        let for_all = || self.auth.dpop_nonce()?.try_into().ok();
        if let Some(nonce) = nonce.or_else(for_all) {
            answer.headers_mut().insert(DPOP_NONCE, nonce);
        }
    }
}

/// The claims in the extensions, and the [`Auth`] that verified them
#[derive(Clone)]
struct Admitted {
    auth: Auth,
    claims: Claims,
}

/// The claims of a request, which are also stored in the extensions. Verifies the request, unless
/// `auth` has already done so.
pub(super) async fn verified(auth: &Auth, head: &mut Parts) -> Result<Claims, Refusal> {
    // don't reuse claims from another `Auth`, its audience might differ
    let known = head.extensions.get::<Admitted>();
    if let Some(admitted) = known.filter(|admitted| admitted.auth.is(auth)) {
        return Ok(admitted.claims.clone());
    }
    let mut request = RequestHead::new(&head.method, path(head), &head.headers);
    if let Some(certificate) = head.extensions.get::<ClientCertificate>() {
        request = request.with_certificate(certificate.as_der());
    }
    let claims: Claims = auth.authenticate(&request).await?;
    head.extensions.insert(claims.clone());
    head.extensions.insert(Admitted {
        auth: auth.clone(),
        claims: claims.clone(),
    });
    Ok(claims)
}

/// The path as the client sent it, for comparing it with the proof. Inside axum's `nest`, the
/// request's own path lacks the prefix.
fn path(head: &Parts) -> &str {
    #[cfg(feature = "axum")]
    if let Some(original) = head.extensions.get::<axum::extract::OriginalUri>() {
        return original.path();
    }
    head.uri.path()
}

#[allow(clippy::result_large_err)] // a refusal is moved only once
pub(super) fn typed<X: DeserializeOwned>(claims: &Claims) -> Result<Claims<X>, Refusal> {
    let refused = |error: AuthError| Refusal::new(error.logged(), claims.challenge());
    claims.typed().map_err(refused)
}
