//! A row of the route table, and the builder that creates it.
//!
//! A row defines its path, method and policy in one place. Its filter answers requests. Everything
//! else uses its data: `Allow` in a 405, route names in logs, and scopes in the documentation.
//!
//! The steps of the builder are in the order in which a request is checked: path, method, token,
//! policy, body. Each step that extracts a value adds an argument to the handler.

use std::{convert::Infallible, fmt, future::Future, sync::Arc};

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, HeaderName, HeaderValue},
    path::FullPath,
    reply::Response,
};

use crate::{
    auth::{
        Auth, BearerFilterExt, Claims, MAX_TOKEN, Problem, closed,
        context::{self, Original},
        display::ShownText,
        policy::Policy,
        with_auth, with_headers_only,
    },
    service::api::{
        docs::Docs,
        form,
        forwarded_target::ForwardedTarget,
        matcher::{Matcher, Methods, at_path, unrouted},
        queries::{Queries, ReadPolicy},
    },
};

/// Starts a row with a method and a path: `route!(GET, "api" / "public")`.
///
/// `ANY` means every method. A last segment in braces is extracted as a `String`:
/// `route!(GET, "errors" / { code })`.
#[doc(hidden)]
#[macro_export]
macro_rules! __service_route {
    (ANY, $path:literal) => {
        $crate::service::api::route::at(
            $crate::service::api::matcher::Methods::Any,
            concat!("/", $path),
            warp::path!($path),
        )
    };
    ($method:ident, $first:literal $(/ $rest:literal)*) => {
        $crate::service::api::route::at(
            $crate::service::api::matcher::Methods::Only(warp::http::Method::$method),
            concat!("/", $first $(, "/", $rest)*),
            warp::path!($first $(/ $rest)*),
        )
    };
    ($method:ident, $first:literal / {$name:ident}) => {
        $crate::service::api::route::at_segment(
            $crate::service::api::matcher::Methods::Only(warp::http::Method::$method),
            concat!("/", $first, "/{", stringify!($name), "}"),
            warp::path!($first / String),
        )
    };
}
pub use crate::__service_route as route;

/// The verifier and the options for the route table.
#[derive(Debug, Clone)]
pub struct Access {
    /// Verifies the tokens.
    pub auth: Auth,
    /// The policy that every protected row requires in addition to its own. Defaults to none.
    pub required: Option<Policy>,
    /// The scopes in the metadata of the resource. Defaults to those that the rows require.
    pub resource_scopes: Option<Vec<String>>,
    /// The settings of `/docs`. `None` turns the documentation off. Defaults to on.
    pub docs: Option<Docs>,
    /// Answers every path below `/auth` like `/auth` without a query. Defaults to `false`.
    pub forward_auth_paths: bool,
    /// Serves the three demo routes below `/api`. Defaults to `true`.
    pub demo_routes: bool,
    /// The maximum length of a token in bytes, which bounds the body of `/backchannel-logout`.
    /// Defaults to 16 KiB.
    pub max_token_bytes: usize,
}

impl From<&Auth> for Access {
    fn from(auth: &Auth) -> Self {
        Self {
            auth: auth.clone(),
            required: None,
            resource_scopes: None,
            docs: Some(Docs::default()),
            forward_auth_paths: false,
            demo_routes: true,
            max_token_bytes: MAX_TOKEN,
        }
    }
}

/// A row: a filter that answers requests, and data that describes it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The methods.
    pub methods: Methods,
    /// The path.
    pub template: &'static str,
    /// The requirement of the row. `None` if it requires no token.
    pub requires: Option<Requires>,
    /// The request body that the row reads.
    pub reads: RequestBody,
    /// The codes of the problems that only this row has, beyond those of its token, path and body.
    pub problems: Vec<&'static str>,
    /// The purpose of the row, in a few words.
    pub summary: &'static str,
    /// The kind of a successful response.
    pub form: Form,
    matcher: Matcher,
    before: Prepend,
}

impl Row {
    /// The current additional paths.
    #[cfg(feature = "docs")]
    pub(crate) fn also(&self) -> Arc<[String]> {
        self.matcher.also()
    }

    pub(crate) fn fails_with(self, problems: impl Into<Vec<&'static str>>) -> Self {
        Self {
            problems: problems.into(),
            ..self
        }
    }

    /// Sets the row's documentation: its purpose, and the kind of a successful response.
    #[must_use]
    pub fn says(self, summary: &'static str, form: Form) -> Self {
        Self {
            summary,
            form,
            ..self
        }
    }
}

/// The requirements of a protected row beyond a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requires {
    /// The policy. `None` if a valid token is enough.
    pub policy: Option<Policy>,
}

/// The request body that a row reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequestBody {
    /// None.
    #[default]
    Nothing,
    /// JSON.
    Json,
    /// A form with this field.
    Form(&'static str),
}

/// The kind of a successful response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// An object without a documented schema.
    #[default]
    Object,
    /// An empty body.
    Empty,
    /// The metadata of a resource (RFC 9728). The query may name its audience.
    Metadata,
    /// `status` and `msg`.
    Message,
    /// The claims of the token.
    Claims,
    /// Headers for the application behind a proxy, and no body. The query contains the policy.
    Forwarded,
    /// The state of the keys, with 200 or 503.
    Readiness,
    /// A list of codes, as JSON or as a page.
    Codes,
    /// One code, as JSON or as a page.
    Code,
    /// A page.
    Page,
    /// One of the files that the page loads.
    File,
}

/// Chains a row's filter before the filters of the rows below it.
///
/// It's a function because the filters have different types. To put them into a list, we'd have to
/// box each filter, and then box it again together with those below it, and each of these boxes
/// would allocate for every request that passes through it.
#[derive(Clone)]
struct Prepend(Arc<dyn Fn(Answers) -> Answers + Send + Sync>);

type Answers = BoxedFilter<(Response,)>;

impl Prepend {
    fn new(
        filter: impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |below| {
            filter.clone().or(below).unify().boxed()
        }))
    }
}

impl fmt::Debug for Prepend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepend").finish_non_exhaustive()
    }
}

/// Combines the rows into one filter that answers every request. A request that no row matches gets
/// a 404, or a 405 with the allowed methods of its path.
pub fn table(
    rows: Vec<Row>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let matchers: Arc<[Matcher]> = rows.iter().map(|row| row.matcher.clone()).collect();
    let unrouted = warp::path::full().map(move |path: FullPath| unrouted(&matchers, path.as_str()));
    let nothing = warp::any()
        .and_then(|| async { Err::<Response, _>(warp::reject::not_found()) })
        .boxed();
    // We start with the last row, so that a request only passes through the rows above its own
    rows.into_iter()
        .rfold(nothing, |below, row| (row.before.0)(below))
        .or(unrouted)
        .unify()
}

/// The scopes in the policies of the rows.
pub(crate) fn named_scopes<'r>(rows: impl Iterator<Item = &'r Row>) -> Vec<String> {
    rows.filter_map(|row| row.requires.as_ref()?.policy.as_ref())
        .flat_map(Policy::named_scopes)
        .map(str::to_owned)
        .collect()
}

/// A filter that extracts the handler's arguments as one tuple `T`.
pub trait Extracts<T>:
    Filter<Extract = (T,), Error = Rejection> + Clone + Send + Sync + 'static
{
}

impl<F, T> Extracts<T> for F where
    F: Filter<Extract = (T,), Error = Rejection> + Clone + Send + Sync + 'static
{
}

/// A tuple of handler arguments, to which another argument can be appended.
pub trait Append<V>: Send + 'static {
    /// The tuple with the appended argument.
    type Output: Send + 'static;

    /// Appends a value.
    fn append(self, value: V) -> Self::Output;
}

/// An async function that takes the arguments in the tuple `T` and returns a response.
pub trait Handler<T>: Clone + Send + Sync + 'static {
    /// The future that returns the response.
    type Answer: Future<Output: Reply> + Send + 'static;

    /// Calls the function.
    fn call(&self, arguments: T) -> Self::Answer;
}

/// Boxes a filter in debug builds, and returns it unchanged in release builds.
///
/// For each function of each layer, the compiler visits every layer of the filter's type, so its
/// time grows with the square of the depth. A box hides the layers inside it: without boxes, a
/// debug build takes 2.5 times as long. In release builds we cannot afford them, as each would cost
/// an allocation per request.
fn shallow<T: Send + 'static>(filter: impl Extracts<T>) -> impl Extracts<T> {
    #[cfg(debug_assertions)]
    let filter = filter.boxed();
    filter
}

macro_rules! arguments {
    ($($argument:ident),*) => {
        impl<H, A, $($argument),*> Handler<($($argument,)*)> for H
        where
            H: Fn($($argument),*) -> A + Clone + Send + Sync + 'static,
            A: Future<Output: Reply> + Send + 'static,
        {
            type Answer = A;

            #[allow(non_snake_case)] // the variables have the names of their types
            fn call(&self, ($($argument,)*): ($($argument,)*)) -> A {
                self($($argument),*)
            }
        }

        impl<V, $($argument),*> Append<V> for ($($argument,)*)
        where
            V: Send + 'static,
            $($argument: Send + 'static,)*
        {
            type Output = ($($argument,)* V,);

            #[allow(non_snake_case)] // as above
            fn append(self, value: V) -> Self::Output {
                let ($($argument,)*) = self;
                ($($argument,)* value,)
            }
        }
    };
}

arguments!();
arguments!(One);
arguments!(One, Two);
arguments!(One, Two, Three);
arguments!(One, Two, Three, Four);

/// A row without a handler.
#[derive(Debug)]
pub struct Route<F> {
    matcher: Matcher,
    requires: Option<Requires>,
    reads: RequestBody,
    filter: F,
}

/// Starts a row. Use [`route!`] instead, which creates the path from the template.
pub fn at<F>(methods: Methods, template: &'static str, path: F) -> Route<impl Extracts<()>>
where
    F: Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static,
{
    let matcher = Matcher::new(methods, template);
    Route {
        filter: shallow(path.and(matcher.method())),
        matcher,
        requires: None,
        reads: RequestBody::Nothing,
    }
}

/// For all paths that begin with this path and a slash. The template ends in `/*`.
pub(crate) fn at_below(
    methods: Methods,
    template: &'static str,
    path: &'static str,
) -> Route<impl Extracts<()>> {
    let is_below = move |full: &str| {
        let rest = full.strip_prefix(path);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    at(methods, template, at_path(is_below))
}

/// For exactly this path. Other rows also accept a slash at the end.
pub(crate) fn at_exactly(methods: Methods, path: &'static str) -> Route<impl Extracts<()>> {
    at(methods, path, at_path(move |full: &str| full == path))
}

/// Starts a row whose path has a segment passed to the handler. Use [`route!`] instead.
pub fn at_segment<F, S>(
    methods: Methods,
    template: &'static str,
    path: F,
) -> Route<impl Extracts<(S,)>>
where
    F: Extracts<S>,
    S: Send + 'static,
{
    let matcher = Matcher::new(methods, template);
    Route {
        filter: shallow(path.and(matcher.method()).map(|segment: S, ()| (segment,))),
        matcher,
        requires: None,
        reads: RequestBody::Nothing,
    }
}

impl<F: Extracts<()>> Route<F> {
    /// Also answers the paths that `also` returns, under the same route name. They may change at
    /// any time, so we ask for them on each request to a path below the row's own.
    pub(crate) fn also_at(
        self,
        also: impl Fn() -> Arc<[String]> + Send + Sync + 'static,
    ) -> Route<impl Extracts<()>> {
        let matcher = self.matcher.also_at(also);
        let other = matcher.other_paths().and(matcher.method());
        Route {
            filter: shallow(self.filter.or(other).unify()),
            matcher,
            requires: self.requires,
            reads: self.reads,
        }
    }
}

impl<F> Route<F> {
    /// Extracts the headers.
    pub fn headers<T>(self) -> Route<impl Extracts<T::Output>>
    where
        F: Extracts<T>,
        T: Append<HeaderMap>,
    {
        // this filter never rejects, so there's no need for `and`
        Route {
            filter: shallow(
                self.filter
                    .and(warp::header::headers_cloned())
                    .map(|arguments: T, headers| arguments.append(headers)),
            ),
            matcher: self.matcher,
            requires: self.requires,
            reads: self.reads,
        }
    }

    /// Extracts the path and the query (empty if the request has none).
    pub(crate) fn target<T>(self) -> Route<impl Extracts<T::Output>>
    where
        F: Extracts<T>,
        T: Append<Target>,
    {
        let target = warp::path::full().and(query());
        let target = target.map(|path, query| Target { path, query });
        Route {
            filter: shallow(
                self.filter
                    .and(target)
                    .map(|arguments: T, target| arguments.append(target)),
            ),
            matcher: self.matcher,
            requires: self.requires,
            reads: self.reads,
        }
    }

    /// Requires a valid token and extracts its claims.
    pub fn with_auth(self, access: &Access) -> ProtectedRoute<'_, F> {
        ProtectedRoute {
            route: self,
            auth: &access.auth,
            policy: access.required.clone(),
        }
    }

    /// Extracts the body as JSON. Answers 415, 413 or 400 if that fails.
    pub fn json<T, B>(self) -> Route<impl Extracts<T::Output>>
    where
        F: Extracts<T>,
        T: Append<B>,
        B: DeserializeOwned + Send + 'static,
    {
        Route {
            reads: RequestBody::Json,
            ..self.and(warp::body::json::<B>())
        }
    }

    /// Extracts a field of a form of at most `limit` bytes, or the problem with the body: 415, 413
    /// or 400. The field is `None` if it is absent or repeated.
    ///
    /// This is for a route that needs no token, so anyone can make us buffer a body. With
    /// `MAX_BODY_BYTES` as the limit (1 MiB by default), unfinished bodies would take about twenty
    /// times as much memory. The body is dropped before the handler runs: a handler that waits for
    /// keys must hold no more than the field.
    pub(crate) fn form<T>(
        self,
        field: &'static str,
        limit: usize,
    ) -> Route<impl Extracts<T::Output>>
    where
        F: Extracts<T>,
        T: Append<Result<Option<String>, Problem>>,
    {
        let content_type = warp::header::headers_cloned();
        let form = content_type.and(warp::body::stream()).then(
            move |headers: HeaderMap, body| async move {
                if !form::is_form(&headers) {
                    return Err(Problem::UnsupportedMediaType);
                }
                let form = form::read(body, limit).await?;
                Ok(form::only_value(&form, field))
            },
        );
        Route {
            reads: RequestBody::Form(field),
            ..self.and(form)
        }
    }

    /// Answers with `handler`.
    pub fn then<T, H>(self, handler: H) -> Row
    where
        F: Extracts<T>,
        T: Send + 'static,
        H: Handler<T>,
    {
        let answer = move |arguments| handler.call(arguments);
        let answered = Route {
            filter: shallow(self.filter.then(answer)),
            matcher: self.matcher,
            requires: self.requires,
            reads: self.reads,
        };
        answered.row()
    }

    fn row<A>(self) -> Row
    where
        F: Extracts<A>,
        A: Reply + 'static,
    {
        Row {
            methods: self.matcher.methods.clone(),
            template: self.matcher.template,
            matcher: self.matcher,
            requires: self.requires,
            reads: self.reads,
            problems: Vec::new(),
            summary: "",
            form: Form::default(),
            before: Prepend::new(closed(self.filter)),
        }
    }

    fn and<T, V>(
        self,
        value: impl Filter<Extract = (V,), Error = Rejection> + Clone + Send + Sync + 'static,
    ) -> Route<impl Extracts<T::Output>>
    where
        F: Extracts<T>,
        T: Append<V>,
        V: Send + 'static,
    {
        Route {
            filter: shallow(
                self.filter
                    .and(value)
                    .map(|arguments: T, value| arguments.append(value)),
            ),
            matcher: self.matcher,
            requires: self.requires,
            reads: self.reads,
        }
    }
}

/// A row that requires a token, without a handler.
#[derive(Debug)]
pub struct ProtectedRoute<'a, F> {
    route: Route<F>,
    auth: &'a Auth,
    policy: Option<Policy>,
}

impl<'a, F> ProtectedRoute<'a, F> {
    /// Also requires that the token meets `policy`.
    #[must_use]
    pub fn require(self, policy: Policy) -> Self {
        Self {
            policy: both(self.policy, Some(policy)),
            ..self
        }
    }

    /// Also requires that the token meets the policy that `read` returns for the query. If `read`
    /// fails, we respond with its problem, even if the token is invalid.
    pub(crate) fn require_by_query(self, read: ReadPolicy) -> QueryPolicyRoute<'a, F> {
        QueryPolicyRoute {
            protected: self,
            read,
        }
    }

    /// Extracts the body as JSON, after the token has met the policy.
    pub fn json(self) -> ProtectedJsonRoute<'a, F> {
        ProtectedJsonRoute(self)
    }

    /// Answers with `handler`.
    pub fn then<T, X, H>(self, handler: H) -> Row
    where
        F: Extracts<T>,
        T: Append<Claims<X>>,
        X: DeserializeOwned + Send + 'static,
        H: Handler<T::Output>,
    {
        if self.auth.reads_target() {
            let (auth, with_target) = (self.auth.clone(), self.with_target());
            let answer = move |arguments: T, claims: Claims<X>| {
                let nonce = next_nonce(&auth, &claims);
                with_nonce(nonce, handler.call(arguments.append(claims)))
            };
            let filter = self.route.filter.clone().and(with_target).then(answer);
            return self.answered(filter).row();
        }
        // The two filters have different types, so each gets its own branch
        let auth = with_headers_only(self.auth);
        match self.policy.clone() {
            None => self.authenticated(auth).then(handler),
            Some(policy) => self.authenticated(auth.require(policy)).then(handler),
        }
    }

    fn answered<G>(self, filter: G) -> Route<impl Extracts<Response>>
    where
        G: Extracts<Response>,
    {
        Route {
            filter: shallow(filter),
            matcher: self.route.matcher,
            requires: Some(Requires {
                policy: self.policy,
            }),
            reads: self.route.reads,
        }
    }

    /// The filter for a row whose tokens come with proofs. Boxed, so that it has the same type with
    /// and without a policy.
    fn with_target<X>(&self) -> BoxedFilter<(Claims<X>,)>
    where
        X: DeserializeOwned + Send + 'static,
    {
        let auth = with_auth(self.auth);
        match self.policy.clone() {
            None => auth.boxed(),
            Some(policy) => auth.require(policy).boxed(),
        }
    }

    fn authenticated<T, X>(
        self,
        auth: impl Filter<Extract = (Claims<X>,), Error = Rejection> + Clone + Send + Sync + 'static,
    ) -> Route<impl Extracts<T::Output>>
    where
        F: Extracts<T>,
        T: Append<Claims<X>>,
        X: Send + 'static,
    {
        Route {
            requires: Some(Requires {
                policy: self.policy,
            }),
            ..self.route.and(auth)
        }
    }
}

/// A row that requires a token and a JSON body, without a handler.
#[derive(Debug)]
pub struct ProtectedJsonRoute<'a, F>(ProtectedRoute<'a, F>);

impl<F> ProtectedJsonRoute<'_, F> {
    /// Answers with `handler`.
    pub fn then<T, X, B, H>(self, handler: H) -> Row
    where
        F: Extracts<T>,
        T: Append<Claims<X>, Output: Append<B>>,
        X: DeserializeOwned + Send + 'static,
        B: DeserializeOwned + Send + 'static,
        H: Handler<<T::Output as Append<B>>::Output>,
    {
        if self.0.auth.reads_target() {
            let (auth, with_target) = (self.0.auth.clone(), self.0.with_target());
            let answer = move |arguments: T, claims: Claims<X>, body: B| {
                let nonce = next_nonce(&auth, &claims);
                let arguments = arguments.append(claims).append(body);
                with_nonce(nonce, handler.call(arguments))
            };
            let filter = self.0.route.filter.clone().and(with_target);
            let filter = filter.and(warp::body::json::<B>()).then(answer);
            let row = self.0.answered(filter).row();
            return Row {
                reads: RequestBody::Json,
                ..row
            };
        }
        let auth = with_headers_only(self.0.auth);
        match self.0.policy.clone() {
            None => self.0.authenticated(auth).json().then(handler),
            Some(policy) => {
                let auth = auth.require(policy);
                self.0.authenticated(auth).json().then(handler)
            }
        }
    }
}

/// A row for a proxy that forwards the head of a client's request. The policy is in the query. The
/// client's method, path and certificate are in headers from the proxy (the connection's own
/// certificate would be the proxy's).
#[derive(Debug)]
pub(crate) struct QueryPolicyRoute<'a, F> {
    protected: ProtectedRoute<'a, F>,
    read: ReadPolicy,
}

impl<F> QueryPolicyRoute<'_, F> {
    pub(crate) fn then<T, H>(self, handler: H) -> Row
    where
        F: Extracts<T>,
        T: Append<Claims>,
        H: Handler<T::Output>,
    {
        let ProtectedRoute {
            route,
            auth,
            policy,
        } = self.protected;
        let auth = auth.clone();
        let queries = Arc::new(Queries::new(self.read, policy.clone()));
        let answer = move |arguments: T, query: String, headers: HeaderMap| {
            let (auth, queries, handler) = (auth.clone(), Arc::clone(&queries), handler.clone());
            async move {
                let asked = match queries.required_by(&query) {
                    Ok(asked) => asked,
                    Err(problem) => return problem.response(),
                };
                context::set_original_with(|| original(&headers));
                // only needed if tokens come with proofs
                let forwarded = if auth.accepts_proofs() {
                    ForwardedTarget::read(&headers)
                } else {
                    ForwardedTarget::default()
                };
                // not the certificate of the connection, which is the proxy's
                let request = forwarded.head(&headers);
                let verdict = match (&asked.audience, &asked.requirement) {
                    (Some(audience), requirement) => {
                        let Some(auth) = auth.for_audience(audience) else {
                            tracing::warn!(
                                "/auth query names an audience that is not configured; request rejected"
                            );
                            return Problem::BadRequest.response();
                        };
                        auth.authorize(&request, requirement.as_ref()).await
                    }
                    (None, Some(requirement)) => auth.authorize(&request, requirement).await,
                    (None, None) => auth.authenticate(&request).await,
                };
                match verdict {
                    Ok(claims) => {
                        let nonce = next_nonce(&auth, &claims);
                        with_nonce(nonce, handler.call(arguments.append(claims))).await
                    }
                    Err(refusal) if forwarded.explains(refusal.error) => {
                        Problem::BadRequest.response()
                    }
                    Err(refusal) => refusal.response(),
                }
            }
        };
        let filter = route
            .filter
            .and(query())
            .and(warp::header::headers_cloned())
            .then(answer);
        let answered = Route {
            filter: shallow(filter),
            matcher: route.matcher,
            requires: Some(Requires { policy }),
            reads: RequestBody::Nothing,
        };
        answered.row()
    }
}

/// The client's original request, as reported by the proxy. It's for the log only: the client
/// controls these strings, so we truncate and escape them.
fn original(headers: &HeaderMap) -> Original {
    let shown = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let bare = text.split(['?', '#']).next().unwrap_or_default();
        Some(ShownText::new(bare).to_string())
    };
    Original {
        method: shown("x-forwarded-method"),
        host: shown("x-forwarded-host"),
        path: shown("x-forwarded-uri"),
    }
}

pub(crate) struct Target {
    pub(crate) path: FullPath,
    pub(crate) query: String,
}

/// A nonce for the client's next proof, if it may need one.
fn next_nonce<X>(auth: &Auth, claims: &Claims<X>) -> Option<HeaderValue> {
    if let Some(nonce) = claims.dpop_nonce() {
        return HeaderValue::try_from(nonce).ok();
    }
    HeaderValue::try_from(auth.dpop_nonce()?).ok()
}

async fn with_nonce(nonce: Option<HeaderValue>, answer: impl Future<Output: Reply>) -> Response {
    const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
    let mut answer = answer.await.into_response();
    if let Some(nonce) = nonce.filter(|_| answer.status().is_success()) {
        answer.headers_mut().insert(DPOP_NONCE, nonce);
    }
    answer
}

/// The query, empty if the request has none
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

fn both(one: Option<Policy>, other: Option<Policy>) -> Option<Policy> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one & other),
        (one, other) => one.or(other),
    }
}
