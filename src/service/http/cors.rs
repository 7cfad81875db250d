//! Which pages of other origins may read an answer: CORS, as the Fetch standard has it.
//!
//! It keeps nobody out, since browsers alone ask, and it never allows credentials: whoever has a
//! token sends it, and there are no cookies here. It stands around everything, the server's own
//! refusals included, so that a page can read a 401, a 413 or a 503 like any other answer. warp's
//! filter and tower-http's layer stand around routes alone; the first refuses whatever comes from
//! an origin that is not listed, be it a page of the service's own, and sends no `Vary`, the second
//! takes every `OPTIONS` for a preflight.

use hyper::{
    Method,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
        HeaderMap, HeaderValue, ORIGIN, VARY,
    },
    http::request::Parts,
};
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{
    auth::{Problem, context},
    service::observe::request_id::only,
};

/// The path that has no preflight. It is a gate: a proxy lets through whatever it answers with 2xx, and
/// some proxies ask it with the client's own method and fields. So `OPTIONS` needs a token there.
pub(in crate::service) const GATE: &str = "/auth";

/// Returns whether the path is the gate or below it, where some proxies append the client's own path.
fn is_gate(path: &str) -> bool {
    let rest = path.strip_prefix(GATE);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Which route a preflight has come to, in logs and metrics.
const PREFLIGHT: &str = "preflight";

// What may be sent, whatever the path: a path that does not take it says so itself, legibly.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What the service reads, beside what needs no permission.
const HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, Traceparent, X-Request-Id");
/// What a page cannot do without that meets a refusal.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, Retry-After, X-Request-Id");
/// How long a browser need not ask again, in seconds; an origin that is taken out of the list may
/// send for as long, and reads nothing.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may read what the service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Every origin there is. For what the internet may read anyway: with it, the pages that
    /// somebody within a private network happens to visit can read the open routes in there.
    Any,
    /// These, compared to the letter as browsers send them: `https://app.example.com`.
    Only(Vec<HeaderValue>),
}

impl Cors {
    /// What there is to say about a request.
    pub(in crate::service) fn of(&self, head: &Parts) -> CorsRequest {
        let origin = only(&head.headers, &ORIGIN);
        CorsRequest {
            allowed: origin.and_then(|origin| self.allowed(origin)),
            is_preflight: origin.is_some()
                && head.method == Method::OPTIONS
                && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
                && !is_gate(head.uri.path()),
        }
    }

    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            // The star, and not the origin: for it browsers send no credentials, come what may.
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Only(origins) => origins.iter().find(|known| *known == origin).cloned(),
        }
    }
}

/// One request, as CORS sees it.
#[derive(Debug)]
pub(in crate::service) struct CorsRequest {
    allowed: Option<HeaderValue>,
    is_preflight: bool,
}

impl CorsRequest {
    /// Returns the answer to a preflight, or `None` if the request is an ordinary one. A preflight needs
    /// no token, since browsers send none with it, and its path need not exist.
    ///
    /// An origin that is not listed gets a 403 with a reason. A browser needs no more than silence, but
    /// whoever forgot to list the origin does.
    pub(in crate::service) fn preflight(&self) -> Option<Response> {
        if !self.is_preflight {
            return None;
        }
        context::set_route(PREFLIGHT);
        if self.allowed.is_none() {
            return Some(Problem::CorsForbidden.response());
        }
        let mut answer = StatusCode::NO_CONTENT.into_response();
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(answer)
    }

    /// Lets the page read the answer where its origin may. `Vary` says to caches that this depends
    /// on the origin, be it absent.
    pub(in crate::service) fn mark(self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if !self.is_preflight {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
    }
}
