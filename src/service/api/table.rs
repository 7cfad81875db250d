//! The form of a row in the route table: the filter chain, and what it says as data.
//!
//! A row names its path, method and policy once. The chain answers requests; the data answers
//! everybody else: `Allow` of a 405, route names in logs, scopes in descriptions.

use std::{convert::Infallible, fmt, future::Future, slice, sync::Arc};

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, Method},
    path::FullPath,
    reply::Response,
};

use crate::{
    auth::{
        Auth, BearerFilterExt, Claims, Problem, RequestHead, closed, context,
        policy::{Policy, Requirement},
        with_auth,
    },
    service::api::docs::Docs,
};

/// Begins a row: a method, and a path as [`warp::path!`] takes it.
macro_rules! route {
    // Whatever the method, one that somebody made up included.
    (ANY, $path:literal) => {
        $crate::service::api::table::open(
            $crate::service::api::table::Methods::Any,
            concat!("/", $path),
            warp::path!($path),
        )
    };
    ($method:ident, $first:literal $(/ $rest:literal)*) => {
        $crate::service::api::table::open(
            $crate::service::api::table::Methods::Only(warp::http::Method::$method),
            concat!("/", $first $(, "/", $rest)*),
            warp::path!($first $(/ $rest)*),
        )
    };
    // A segment that is the caller's: the handler gets it, and the request's header fields.
    ($method:ident, $first:literal / {$name:ident}) => {
        $crate::service::api::table::open_with(
            $crate::service::api::table::Methods::Only(warp::http::Method::$method),
            concat!("/", $first, "/{", stringify!($name), "}"),
            warp::path!($first / String),
        )
    };
}
pub(crate) use route;

/// What every protected row asks for.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whose tokens are taken.
    pub auth: Auth,
    /// What each of them has to grant, beside what its row requires. Defaults to nothing.
    pub required: Option<Policy>,
    /// With what the rows are shown to whoever asks; none where they are not. Defaults to the plain
    /// pages.
    pub docs: Option<Docs>,
}

impl From<&Auth> for Access {
    fn from(auth: &Auth) -> Self {
        Self {
            auth: auth.clone(),
            required: None,
            docs: Some(Docs::default()),
        }
    }
}

/// Which methods a row answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// This one; `GET` answers `HEAD` as well (RFC 9110 §9.3.2).
    Only(Method),
    /// Each there is.
    Any,
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only(method) => method.as_str(),
            Self::Any => "any",
        })
    }
}

/// A route: what answers, and what is known about it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The methods.
    pub methods: Methods,
    /// The path.
    pub template: &'static str,
    /// A second path, which is known no sooner than at the start.
    pub also: Option<Arc<str>>,
    /// What it requires beyond a valid token; none where it requires no token at all.
    pub requires: Option<Requires>,
    /// What it is for, in a few words.
    pub summary: &'static str,
    /// What it answers with.
    pub form: Form,
    before: Before,
}

/// Puts a row's filter before those below it.
///
/// Not the filter itself, which would have to be boxed to stand in a list, and again with those below:
/// each box is memory for every request that passes.
#[derive(Clone)]
struct Before(Arc<dyn Fn(Answers) -> Answers + Send + Sync>);

type Answers = BoxedFilter<(Response,)>;

impl Before {
    fn new(
        filter: impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |below| {
            filter.clone().or(below).unify().boxed()
        }))
    }
}

impl fmt::Debug for Before {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Before").finish_non_exhaustive()
    }
}

impl Row {
    /// What the row is for, and what it answers with where nothing goes wrong.
    pub(crate) fn says(self, summary: &'static str, form: Form) -> Self {
        Self {
            summary,
            form,
            ..self
        }
    }
}

/// What a row answers with where nothing goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// An object, of which no more is said.
    #[default]
    Object,
    /// `status` and `msg`.
    Message,
    /// The claims of the token.
    Claims,
    /// Fields for the application behind a proxy, and no body; what is asked stands in the query.
    Forwarded,
    /// How the keys are, with 200 or 503.
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

/// What a protected row requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requires {
    /// The policy beyond a valid token, if there is one.
    pub policy: Option<Policy>,
}

/// What `F` has to be: a filter that extracts nothing, such as a path.
pub(crate) trait Path:
    Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static
{
}

impl<F> Path for F where F: Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static {}

/// A row that has its path and method, and no handler yet.
#[derive(Debug)]
pub(crate) struct Open<F> {
    place: Place,
    path_and_method: F,
}

pub(crate) fn open<F: Path>(methods: Methods, template: &'static str, path: F) -> Open<impl Path> {
    Open {
        path_and_method: path.and(only(methods.clone(), template)),
        place: Place::new(methods, template),
    }
}

/// A row with a segment that is the caller's.
#[derive(Debug)]
pub(crate) struct OpenWith<F> {
    place: Place,
    path_and_method: F,
}

pub(crate) fn open_with<F>(
    methods: Methods,
    template: &'static str,
    path: F,
) -> OpenWith<impl Filter<Extract = (String,), Error = Rejection> + Clone + Send + Sync + 'static>
where
    F: Filter<Extract = (String,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    OpenWith {
        path_and_method: path.and(only(methods.clone(), template)),
        place: Place::new(methods, template),
    }
}

impl<F> OpenWith<F>
where
    F: Filter<Extract = (String,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    /// Answers with `handler`, to whom the segment and the header fields are handed.
    pub(crate) fn then<H, A>(self, handler: H) -> Row
    where
        H: Fn(String, HeaderMap) -> A + Clone + Send + Sync + 'static,
        A: Future<Output: Reply> + Send + 'static,
    {
        let asked = self.path_and_method.and(warp::header::headers_cloned());
        self.place.row(None, closed(asked.then(handler)))
    }
}

impl<F: Path> Open<F> {
    /// Answers with `handler`, to whom the header fields are handed.
    pub(crate) fn then_for<H, A>(self, handler: H) -> Row
    where
        H: Fn(HeaderMap) -> A + Clone + Send + Sync + 'static,
        A: Future<Output: Reply> + Send + 'static,
    {
        let asked = self.path_and_method.and(warp::header::headers_cloned());
        self.place.row(None, closed(asked.then(handler)))
    }

    /// Answers at this path as well, under the same name.
    pub(crate) fn also_at(self, path: &str) -> Open<impl Path> {
        let path: Arc<str> = path.into();
        let mut place = self.place;
        place.also = Some(Arc::clone(&path));
        let other = warp::path::full()
            .and_then(move |full: FullPath| {
                let fits = is_at(&path, full.as_str());
                async move { fits.then_some(()).ok_or_else(warp::reject::not_found) }
            })
            .untuple_one()
            .and(only(place.methods.clone(), place.template));
        Open {
            path_and_method: self.path_and_method.or(other).unify(),
            place,
        }
    }

    /// From here on a valid token is needed, and the handler gets its claims.
    pub(crate) fn with_auth(self, access: &Access) -> Protected<'_, F> {
        Protected {
            row: self,
            auth: &access.auth,
            policy: access.required.clone(),
        }
    }

    /// Answers with `handler`.
    pub(crate) fn then<H, A>(self, handler: H) -> Row
    where
        H: Fn() -> A + Clone + Send + Sync + 'static,
        A: Future<Output: Reply> + Send + 'static,
    {
        let answered = self.path_and_method.then(handler);
        self.place.row(None, closed(answered))
    }
}

/// A row that needs a token, and has no handler yet.
#[derive(Debug)]
pub(crate) struct Protected<'a, F> {
    row: Open<F>,
    auth: &'a Auth,
    policy: Option<Policy>,
}

impl<'a, F: Path> Protected<'a, F> {
    /// The token has to grant `policy`, too.
    pub(crate) fn require(self, policy: Policy) -> Self {
        Self {
            policy: both(self.policy, Some(policy)),
            ..self
        }
    }

    /// The token has to grant what `read` finds in the request's query, too; where that is a problem,
    /// it is the answer, whatever the token.
    pub(crate) fn require_by_query(self, read: ReadPolicy) -> Asked<'a, F> {
        Asked { row: self, read }
    }

    /// Answers with `handler`, to whom the claims are handed.
    pub(crate) fn then<X, H, A>(self, handler: H) -> Row
    where
        X: DeserializeOwned + Send + 'static,
        H: Fn(Claims<X>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output: Reply> + Send + 'static,
    {
        let (row, auth) = (self.row, with_auth(self.auth));
        let requires = Requires {
            policy: self.policy,
        };
        let (place, at) = (row.place, row.path_and_method);
        match requires.policy.clone() {
            None => place.row(Some(requires), closed(at.and(auth).then(handler))),
            Some(policy) => {
                let auth = auth.require(policy);
                place.row(Some(requires), closed(at.and(auth).then(handler)))
            }
        }
    }
}

/// What a query asks of the token.
pub(crate) type ReadPolicy = fn(&str) -> Result<Option<Policy>, Problem>;

/// A row whose policy each request brings along, and that has no handler yet.
#[derive(Debug)]
pub(crate) struct Asked<'a, F> {
    row: Protected<'a, F>,
    read: ReadPolicy,
}

impl<F: Path> Asked<'_, F> {
    /// Answers with `handler`, to whom the claims are handed.
    pub(crate) fn then<H, A>(self, handler: H) -> Row
    where
        H: Fn(Claims) -> A + Clone + Send + Sync + 'static,
        A: Future<Output: Reply> + Send + 'static,
    {
        let Protected { row, auth, policy } = self.row;
        let (auth, required, read) = (auth.clone(), policy.clone(), self.read);
        let answer = move |method: Method, path: FullPath, query: String, headers: HeaderMap| {
            let (auth, required, handler) = (auth.clone(), required.clone(), handler.clone());
            async move {
                let request = RequestHead::new(&method, path.as_str(), &headers);
                let policy = match read(&query) {
                    Ok(asked) => both(required, asked),
                    Err(problem) => return problem.response(),
                };
                let verdict = match policy {
                    Some(policy) => auth.authorize(&request, &Requirement::from(policy)).await,
                    None => auth.authenticate(&request).await,
                };
                match verdict {
                    Ok(claims) => handler(claims).await.into_response(),
                    Err(refusal) => refusal.response(),
                }
            }
        };
        let asked = row
            .path_and_method
            .and(warp::method())
            .and(warp::path::full())
            .and(query())
            .and(warp::header::headers_cloned());
        row.place
            .row(Some(Requires { policy }), closed(asked.then(answer)))
    }
}

/// Empty where there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

fn both(one: Option<Policy>, other: Option<Policy>) -> Option<Policy> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one & other),
        (one, other) => one.or(other),
    }
}

/// The scopes that the rows name.
pub(crate) fn named_scopes(rows: &[Row]) -> Vec<&str> {
    rows.iter()
        .filter_map(|row| row.requires.as_ref()?.policy.as_ref())
        .flat_map(Policy::named_scopes)
        .collect()
}

/// The rows as one filter that answers everything: whatever no row has is a 404, or a 405 that says
/// which methods the path takes.
pub fn table(
    rows: Vec<Row>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let places: Arc<[Place]> = rows.iter().map(Place::of).collect();
    let unrouted = warp::path::full().map(move |path: FullPath| unrouted(&places, path.as_str()));
    let nothing = warp::any()
        .and_then(|| async { Err::<Response, _>(warp::reject::not_found()) })
        .boxed();
    // From the last to the first, so that a request passes those alone that stand above its own.
    rows.into_iter()
        .rfold(nothing, |below, row| (row.before.0)(below))
        .or(unrouted)
        .unify()
}

/// Where a row is, and for which methods.
#[derive(Debug)]
struct Place {
    methods: Methods,
    template: &'static str,
    also: Option<Arc<str>>,
}

impl Place {
    fn new(methods: Methods, template: &'static str) -> Self {
        Self {
            methods,
            template,
            also: None,
        }
    }

    fn of(row: &Row) -> Self {
        Self {
            methods: row.methods.clone(),
            template: row.template,
            also: row.also.clone(),
        }
    }

    /// The row that is there, of which nothing has been said yet.
    fn row<F>(self, requires: Option<Requires>, filter: F) -> Row
    where
        F: Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync + 'static,
    {
        Row {
            methods: self.methods,
            template: self.template,
            also: self.also,
            requires,
            summary: "",
            form: Form::default(),
            before: Before::new(filter),
        }
    }

    fn is_at(&self, path: &str) -> bool {
        is_at(self.template, path) || self.also.as_deref().is_some_and(|also| is_at(also, path))
    }
}

/// Returns whether a path is the known one. As in warp, one slash at its end is ignored; a segment in
/// braces matches any but an empty one.
fn is_at(known: &str, path: &str) -> bool {
    let known = known.strip_suffix('/').unwrap_or(known);
    let path = path.strip_suffix('/').unwrap_or(path);
    let (mut known, mut path) = (known.split('/'), path.split('/'));
    loop {
        match (known.next(), path.next()) {
            (None, None) => return true,
            (Some(known), Some(found)) if known == found => {}
            (Some(known), Some(found)) if known.starts_with('{') && !found.is_empty() => {}
            _ => return false,
        }
    }
}

fn unrouted(places: &[Place], path: &str) -> Response {
    let methods: Vec<&str> = places
        .iter()
        .filter(|place| place.is_at(path))
        .flat_map(|place| place.methods.named())
        .map(Method::as_str)
        .collect();
    if methods.is_empty() {
        return Problem::NotFound.response();
    }
    Problem::method_not_allowed(&methods.join(", "))
}

impl Methods {
    /// By their names, where they have any.
    fn named(&self) -> &[Method] {
        const GET_AND_HEAD: &[Method] = &[Method::GET, Method::HEAD];
        match self {
            Self::Only(Method::GET) => GET_AND_HEAD,
            Self::Only(method) => slice::from_ref(method),
            Self::Any => &[],
        }
    }

    fn have(&self, method: &Method) -> bool {
        *self == Self::Any || self.named().contains(method)
    }
}

fn only(
    wanted: Methods,
    template: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::method()
        .and_then(move |method: Method| {
            let fits = wanted.have(&method);
            if fits {
                context::set_route(template);
            }
            async move { fits.then_some(()).ok_or_else(warp::reject::not_found) }
        })
        .untuple_one()
}
