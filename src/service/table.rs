//! The form of a row in the route table: the filter chain, and what it says as data.
//!
//! A row names its path, method and policy once. The chain answers requests; the data answers
//! everybody else: `Allow` of a 405, route names in logs, scopes in descriptions.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, OnceLock},
};

use serde::de::DeserializeOwned;
use warp::{
    Filter, Rejection, Reply, filters::BoxedFilter, http::Method, path::FullPath, reply::Response,
};

use crate::auth::{Auth, Claims, Policy, Problem, Require, Route, with_auth};

/// Begins a row: a method, and a path as [`warp::path!`] takes it.
macro_rules! route {
    ($method:ident, $first:literal $(/ $rest:literal)*) => {
        $crate::service::table::Open::new(
            warp::http::Method::$method,
            concat!("/", $first $(, "/", $rest)*),
            warp::Filter::boxed(warp::path!($first $(/ $rest)*)),
        )
    };
}
pub(crate) use route;

/// Which row a request has come to. Put into the request's extensions, it learns the row's template
/// before anything else happens there: a request that never ends, or panics, has come to it too.
#[derive(Debug, Clone, Default)]
pub struct Arrival(Arc<OnceLock<&'static str>>);

impl Arrival {
    /// The template of the row; none where no row has the path and the method.
    pub fn template(&self) -> Option<&'static str> {
        self.0.get().copied()
    }
}

/// A route: what answers, and what is known about it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The method; `GET` answers `HEAD` as well (RFC 9110 §9.3.2).
    pub method: Method,
    /// The path.
    pub template: &'static str,
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

/// A row that has its path and method, and no handler yet.
#[derive(Debug)]
pub(crate) struct Open {
    method: Method,
    template: &'static str,
    filter: BoxedFilter<()>,
}

impl Open {
    pub(crate) fn new(method: Method, template: &'static str, path: BoxedFilter<()>) -> Self {
        let filter = path.and(only(method.clone(), template)).boxed();
        Self {
            method,
            template,
            filter,
        }
    }

    /// From here on a valid token is needed, and the handler gets its claims.
    pub(crate) fn with_auth(self, auth: &Auth) -> Protected<'_> {
        Protected {
            row: self,
            auth,
            policy: None,
        }
    }

    /// Answers with `handler`.
    pub(crate) fn then<H, F>(self, handler: H) -> Row
    where
        H: Fn() -> F + Clone + Send + Sync + 'static,
        F: Future<Output: Reply> + Send + 'static,
    {
        let filter = self.filter.clone().then(handler).route();
        self.close(None, filter)
    }

    fn close(self, requires: Option<Requires>, filter: BoxedFilter<(Response,)>) -> Row {
        Row {
            method: self.method,
            template: self.template,
            requires,
            filter,
        }
    }
}

/// A row that needs a token, and has no handler yet.
#[derive(Debug)]
pub(crate) struct Protected<'a> {
    row: Open,
    auth: &'a Auth,
    policy: Option<Policy>,
}

impl Protected<'_> {
    /// The token has to grant `policy`, too.
    pub(crate) fn require(self, policy: Policy) -> Self {
        Self {
            policy: Some(policy),
            ..self
        }
    }

    /// Answers with `handler`, to whom the claims are handed.
    pub(crate) fn then<X, H, F>(self, handler: H) -> Row
    where
        X: DeserializeOwned + Send + 'static,
        H: Fn(Claims<X>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output: Reply> + Send + 'static,
    {
        let path_and_method = self.row.filter.clone();
        let filter = match self.policy.clone() {
            None => path_and_method
                .and(with_auth(self.auth))
                .then(handler)
                .route(),
            Some(policy) => path_and_method
                .and(with_auth(self.auth).require(policy))
                .then(handler)
                .route(),
        };
        let requires = Requires {
            policy: self.policy,
        };
        self.row.close(Some(requires), filter)
    }
}

/// The rows as one filter that answers everything: whatever no row has is a 404, or a 405 that says
/// which methods the path takes.
pub fn table(
    rows: Vec<Row>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let known: Vec<(Method, &'static str)> = rows
        .iter()
        .map(|row| (row.method.clone(), row.template))
        .collect();
    let unrouted = warp::path::full().map(move |path: FullPath| unrouted(&known, path.as_str()));
    let nothing = warp::any()
        .and_then(|| async { Err::<Response, _>(warp::reject::not_found()) })
        .boxed();
    rows.into_iter()
        .map(|row| row.filter)
        .fold(nothing, |table, row| table.or(row).unify().boxed())
        .or(unrouted)
        .unify()
}

fn unrouted(known: &[(Method, &'static str)], path: &str) -> Response {
    // As warp reads a path, one slash at its end is nothing.
    let path = path.strip_suffix('/').unwrap_or(path);
    let methods: Vec<&str> = known
        .iter()
        .filter(|(_, template)| *template == path)
        .flat_map(|(method, _)| answered(method))
        .collect();
    if methods.is_empty() {
        return Problem::NotFound.response();
    }
    Problem::method_not_allowed(&methods.join(", "))
}

fn answered(method: &Method) -> Vec<&str> {
    match *method {
        Method::GET => vec!["GET", "HEAD"],
        _ => vec![method.as_str()],
    }
}

fn only(
    wanted: Method,
    template: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::method()
        .and(warp::ext::optional())
        .and_then(move |method: Method, arrival: Option<Arrival>| {
            let fits = answered(&wanted).contains(&method.as_str());
            if let Some(arrival) = arrival.filter(|_| fits) {
                let _ = arrival.0.set(template);
            }
            async move { fits.then_some(()).ok_or_else(warp::reject::not_found) }
        })
        .untuple_one()
}
