//! Matches requests to rows by path and method, and answers 404 or 405 if no row matches.

use std::{fmt, slice, sync::Arc};

use warp::{Filter, Rejection, http::Method, path::FullPath, reply::Response};

use crate::auth::{Problem, context};

/// The methods that a row accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Methods {
    /// One method. `GET` includes `HEAD` (RFC 9110 §9.3.2).
    Only(Method),
    /// Every method, including non-standard ones.
    Any,
}

impl Methods {
    /// For `Allow`. Empty for [`Any`](Self::Any).
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

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Only(method) => method.as_str(),
            Self::Any => "any",
        })
    }
}

/// The paths and methods of one row.
#[derive(Clone)]
pub(crate) struct Matcher {
    pub(crate) methods: Methods,
    pub(crate) template: &'static str,
    /// Additional paths below the template, which may change while the service runs
    also: Option<Arc<dyn Fn() -> Arc<[String]> + Send + Sync>>,
}

impl Matcher {
    pub(crate) fn new(methods: Methods, template: &'static str) -> Self {
        Self {
            methods,
            template,
            also: None,
        }
    }

    /// Also accepts the paths that `also` returns, if they're below the template.
    pub(crate) fn also_at(self, also: impl Fn() -> Arc<[String]> + Send + Sync + 'static) -> Self {
        let also: Arc<dyn Fn() -> Arc<[String]> + Send + Sync> = Arc::new(also);
        Self {
            also: Some(also),
            ..self
        }
    }

    pub(crate) fn also(&self) -> Arc<[String]> {
        self.also.as_ref().map(|also| also()).unwrap_or_default()
    }

    /// Accepts the row's methods, and records the template as the name of the route. Extracts an
    /// empty tuple; later steps append the handler's arguments to it.
    pub(crate) fn method(
        &self,
    ) -> impl Filter<Extract = ((),), Error = Rejection> + Clone + Send + Sync + 'static + use<>
    {
        let (wanted, template) = (self.methods.clone(), self.template);
        warp::method().and_then(move |method: Method| {
            let fits = wanted.have(&method);
            if fits {
                context::set_route(template);
            }
            async move { fits.then_some(()).ok_or_else(warp::reject::not_found) }
        })
    }

    pub(crate) fn other_paths(
        &self,
    ) -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static + use<> {
        let matcher = self.clone();
        at_path(move |path: &str| matcher.is_at_other(path))
    }

    fn is_at(&self, path: &str) -> bool {
        is_at(self.template, path) || self.is_at_other(path)
    }

    fn is_at_other(&self, path: &str) -> bool {
        // Cheap, and checked first, since every request that no row above has answered comes
        // through here.
        let is_below = path.starts_with(self.template);
        is_below && self.also().iter().any(|also| is_at(also, path))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("methods", &self.methods)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

pub(crate) fn at_path(
    fits: impl Fn(&str) -> bool + Clone + Send + Sync + 'static,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static {
    warp::path::full()
        .and_then(move |full: FullPath| {
            let fits = fits(full.as_str());
            async move { fits.then_some(()).ok_or_else(warp::reject::not_found) }
        })
        .untuple_one()
}

/// No row matches: 405 with the allowed methods if the path exists, 404 otherwise.
pub(crate) fn unrouted(matchers: &[Matcher], path: &str) -> Response {
    let methods: Vec<&str> = matchers
        .iter()
        .filter(|matcher| matcher.is_at(path))
        .flat_map(|matcher| matcher.methods.named())
        .map(Method::as_str)
        .collect();
    if methods.is_empty() {
        return Problem::NotFound.response();
    }
    Problem::method_not_allowed(&methods.join(", "))
}

/// Whether a path matches a template. A segment in braces matches any non-empty segment, and a
/// final `*` matches any path below. As in warp, one trailing slash is ignored.
pub(crate) fn is_at(template: &str, path: &str) -> bool {
    let template = template.strip_suffix('/').unwrap_or(template);
    let path = path.strip_suffix('/').unwrap_or(path);
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(found)) => return !found.is_empty() || path.next().is_some(),
            (Some(known), Some(found)) if known == found => {}
            (Some(known), Some(found)) if known.starts_with('{') && !found.is_empty() => {}
            _ => return false,
        }
    }
}
