//! The form of a row in the route table: the filter chain, and what it says as data.
//!
//! A row names its path, method and policy once. The chain answers requests; the data answers
//! everybody else: `Allow` of a 405, route names in logs, scopes in descriptions.

use std::{cell::Cell, convert::Infallible, future::Future, slice, sync::Arc};

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply,
    filters::BoxedFilter,
    http::{HeaderMap, Method},
    path::FullPath,
    reply::Response,
};

use crate::auth::{Auth, Claims, Policy, Problem, Require, closed, with_auth};

/// Begins a row: a method, and a path as [`warp::path!`] takes it.
macro_rules! route {
    ($method:ident, $first:literal $(/ $rest:literal)*) => {
        $crate::service::table::open(
            warp::http::Method::$method,
            concat!("/", $first $(, "/", $rest)*),
            warp::path!($first $(/ $rest)*),
        )
    };
    // A segment that is the caller's: the handler gets it, and the request's header fields.
    ($method:ident, $first:literal / {$name:ident}) => {
        $crate::service::table::open_with(
            warp::http::Method::$method,
            concat!("/", $first, "/{", stringify!($name), "}"),
            warp::path!($first / String),
        )
    };
}
pub(crate) use route;

tokio::task_local! {
    static ARRIVED: Cell<Option<&'static str>>;
}

/// Answers a request so that [`arrived`] can tell which row it has come to, within and until the end
/// of it.
pub(crate) fn tracked<F: Future>(answer: F) -> impl Future<Output = F::Output> {
    ARRIVED.scope(Cell::new(None), answer)
}

/// Says which row a request has come to, by its template, or by the name of what answers in a row's
/// place.
pub(crate) fn arrive(template: &'static str) {
    // Outside of `tracked` nobody asks.
    let _ = ARRIVED.try_with(|arrived| arrived.set(Some(template)));
}

/// The template of the row that a request has come to, whatever becomes of it there; none where no
/// row has its path and method, and outside of [`tracked`].
pub(crate) fn arrived() -> Option<&'static str> {
    ARRIVED.try_with(Cell::get).ok().flatten()
}

/// What every protected row asks for.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whose tokens are taken.
    pub auth: Auth,
    /// What each of them has to grant, beside what its row requires. Defaults to nothing.
    pub required: Option<Policy>,
}

impl From<&Auth> for Access {
    fn from(auth: &Auth) -> Self {
        Self {
            auth: auth.clone(),
            required: None,
        }
    }
}

/// A route: what answers, and what is known about it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The method; `GET` answers `HEAD` as well (RFC 9110 §9.3.2).
    pub method: Method,
    /// The path.
    pub template: &'static str,
    /// A second path, which is known no sooner than at the start.
    pub also: Option<Arc<str>>,
    /// What it requires beyond a valid token; none where it requires no token at all.
    pub requires: Option<Requires>,
    filter: BoxedFilter<(Response,)>,
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
    method: Method,
    template: &'static str,
    also: Option<Arc<str>>,
    path_and_method: F,
}

pub(crate) fn open<F: Path>(method: Method, template: &'static str, path: F) -> Open<impl Path> {
    Open {
        path_and_method: path.and(only(method.clone(), template)),
        method,
        template,
        also: None,
    }
}

/// A row with a segment that is the caller's.
#[derive(Debug)]
pub(crate) struct OpenWith<F> {
    method: Method,
    template: &'static str,
    path_and_method: F,
}

pub(crate) fn open_with<F>(
    method: Method,
    template: &'static str,
    path: F,
) -> OpenWith<impl Filter<Extract = (String,), Error = Rejection> + Clone + Send + Sync + 'static>
where
    F: Filter<Extract = (String,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    OpenWith {
        path_and_method: path.and(only(method.clone(), template)),
        method,
        template,
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
        Row {
            method: self.method,
            template: self.template,
            also: None,
            requires: None,
            filter: closed(asked.then(handler)).boxed(),
        }
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
        Row {
            method: self.method,
            template: self.template,
            also: self.also,
            requires: None,
            filter: closed(asked.then(handler)).boxed(),
        }
    }

    /// Answers at this path as well, under the same name.
    pub(crate) fn also_at(self, path: &str) -> Open<impl Path> {
        let path: Arc<str> = path.into();
        let (method, template, also) = (self.method, self.template, Arc::clone(&path));
        let other = warp::path::full()
            .and_then(move |full: FullPath| {
                let fits = is_at(&path, full.as_str());
                async move { fits.then_some(()).ok_or_else(warp::reject::not_found) }
            })
            .untuple_one()
            .and(only(method.clone(), template));
        Open {
            path_and_method: self.path_and_method.or(other).unify(),
            method,
            template,
            also: Some(also),
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
        Row {
            method: self.method,
            template: self.template,
            also: self.also,
            requires: None,
            filter: closed(self.path_and_method.then(handler)).boxed(),
        }
    }
}

/// A row that needs a token, and has no handler yet.
#[derive(Debug)]
pub(crate) struct Protected<'a, F> {
    row: Open<F>,
    auth: &'a Auth,
    policy: Option<Policy>,
}

impl<F: Path> Protected<'_, F> {
    /// The token has to grant `policy`, too.
    pub(crate) fn require(self, policy: Policy) -> Self {
        let policy = match self.policy {
            Some(required) => required & policy,
            None => policy,
        };
        Self {
            policy: Some(policy),
            ..self
        }
    }

    /// Answers with `handler`, to whom the claims are handed.
    pub(crate) fn then<X, H, A>(self, handler: H) -> Row
    where
        X: DeserializeOwned + Send + 'static,
        H: Fn(Claims<X>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output: Reply> + Send + 'static,
    {
        let (row, auth) = (self.row, with_auth(self.auth));
        let filter = match self.policy.clone() {
            None => closed(row.path_and_method.and(auth).then(handler)).boxed(),
            Some(policy) => {
                let auth = auth.require(policy);
                closed(row.path_and_method.and(auth).then(handler)).boxed()
            }
        };
        Row {
            method: row.method,
            template: row.template,
            also: row.also,
            requires: Some(Requires {
                policy: self.policy,
            }),
            filter,
        }
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
    let known: Arc<[Known]> = rows.iter().map(Known::of).collect();
    let unrouted = warp::path::full().map(move |path: FullPath| unrouted(&known, path.as_str()));
    let nothing = warp::any()
        .and_then(|| async { Err::<Response, _>(warp::reject::not_found()) })
        .boxed();
    // From the last to the first, so that a request passes those alone that stand above its own.
    rows.into_iter()
        .map(|row| row.filter)
        .rfold(nothing, |below, row| row.or(below).unify().boxed())
        .or(unrouted)
        .unify()
}

/// Where a row is, and for which method.
struct Known {
    method: Method,
    template: &'static str,
    also: Option<Arc<str>>,
}

impl Known {
    fn of(row: &Row) -> Self {
        Self {
            method: row.method.clone(),
            template: row.template,
            also: row.also.clone(),
        }
    }

    fn is_at(&self, path: &str) -> bool {
        is_at(self.template, path) || self.also.as_deref().is_some_and(|also| is_at(also, path))
    }
}

/// As warp reads a path, one slash at its end is nothing. A segment in braces is any but an empty one.
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

fn unrouted(known: &[Known], path: &str) -> Response {
    let methods: Vec<&str> = known
        .iter()
        .filter(|row| row.is_at(path))
        .flat_map(|row| answered(&row.method))
        .map(Method::as_str)
        .collect();
    if methods.is_empty() {
        return Problem::NotFound.response();
    }
    Problem::method_not_allowed(&methods.join(", "))
}

fn answered(method: &Method) -> &[Method] {
    const GET_AND_HEAD: &[Method] = &[Method::GET, Method::HEAD];
    match *method {
        Method::GET => GET_AND_HEAD,
        _ => slice::from_ref(method),
    }
}

fn only(
    wanted: Method,
    template: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::method()
        .and_then(move |method: Method| {
            let fits = answered(&wanted).contains(&method);
            if fits {
                arrive(template);
            }
            async move { fits.then_some(()).ok_or_else(warp::reject::not_found) }
        })
        .untuple_one()
}
