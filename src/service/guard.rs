//! What is done around every request, whatever the route: refuse what no route should see, answer a
//! preflight, bound its time and its body, survive its panic, and mark its answer. It knows no path and no token, and it
//! looks at no `Forwarded` or `X-Forwarded-*`: nothing here depends on who the peer says it is.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::service::Service;
use hyper::{Method, Request, Version};
use tokio::time::timeout;
use warp::reply::Response;

use super::body::Bounded;
use super::cors::{Cors, Crossing};
use super::{Limits, Shutdown, Sight};
use crate::auth::Problem;

/// Answers a request from the routes, or without them.
pub(super) async fn answer<R>(
    request: Request<Incoming>,
    routes: &R,
    limits: &Limits,
    cors: Option<&Cors>,
    sight: &Sight,
    shutdown: &Shutdown,
) -> Response
where
    R: Service<Request<Bounded>, Response = Response, Error = Infallible>,
{
    let (head, body) = request.into_parts();
    let (method, version) = (head.method.clone(), head.version);
    let is_chunked = body.size_hint().exact().is_none();

    let crossing = cors.map(|cors| cors.of(&head));

    let outcome = match refuse(&head, limits) {
        Some(problem) => Err(problem),
        None => match crossing.as_ref().and_then(Crossing::preflight) {
            Some(answer) => Ok(answer),
            None => route(Request::from_parts(head, body), routes, limits, sight).await,
        },
    };
    // After a refusal of ours the rest of the request may still be under way; where chunks end only
    // hyper knows, so what follows them could not be checked as a head; and once asked to stop, a
    // client that is told does not send its next request into a connection about to close.
    let is_last = outcome.is_err() || is_chunked || shutdown.is_asked();

    let mut answer = outcome.unwrap_or_else(Problem::response);
    mark(&mut answer, version, is_last);
    if let Some(crossing) = crossing {
        crossing.mark(answer.headers_mut());
    }
    if method == Method::HEAD {
        answer = without_body(answer);
    }
    answer
}

fn refuse(head: &Parts, limits: &Limits) -> Option<Problem> {
    if target_length(head) > limits.uri {
        return Some(Problem::UriTooLong);
    }
    // HTTP/1.1 cannot come here with more (hyper counts), HTTP/2 can.
    if head.headers.len() > limits.fields {
        return Some(Problem::HeadersTooLarge);
    }
    if !has_one_host(head) {
        return Some(Problem::BadHost);
    }
    // `CONNECT a:443` has no path, which warp takes for a fault of its own and panics.
    head.uri
        .path_and_query()
        .is_none()
        .then_some(Problem::NotFound)
}

fn target_length(head: &Parts) -> usize {
    let path = head
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let authority = head.uri.authority().map_or(0, |host| host.as_str().len());
    path + authority
}

/// One host, and a valid one (RFC 9112 §3.2, RFC 9113 §8.3.1).
///
/// HTTP/1.0 may name none. Beside an absolute target HTTP/1.1's `Host` is ignored, though it must be
/// there (RFC 9112 §3.2.2); beside HTTP/2's `:authority` it must agree.
fn has_one_host(head: &Parts) -> bool {
    let mut fields = head.headers.get_all(HOST).iter();
    let (field, doubled) = (fields.next(), fields.next().is_some());
    let target = head.uri.authority();

    if doubled || !target.is_none_or(is_host) {
        return false;
    }
    match (field.map(parse_host), target) {
        (None, None) => head.version == Version::HTTP_10,
        (None, Some(_)) => head.version != Version::HTTP_11,
        (Some(None), _) => false,
        (Some(Some(field)), Some(target)) => head.version < Version::HTTP_2 || field == *target,
        (Some(Some(_)), None) => true,
    }
}

fn parse_host(value: &HeaderValue) -> Option<Authority> {
    let host = Authority::try_from(value.as_bytes()).ok()?;
    is_host(&host).then_some(host)
}

/// `user@host` is an authority, but not one that HTTP sends (RFC 9110 §4.2.4), and `host:99999` is
/// none that can be reached. Behind its colon a port may be empty (RFC 3986 §3.2.3).
fn is_host(authority: &Authority) -> bool {
    let (host, text) = (authority.host(), authority.as_str());
    let port = text[host.len()..].trim_start_matches(':');
    let is_port = port.is_empty() || authority.port_u16().is_some() && !port.starts_with('+');
    !host.is_empty() && !text.contains('@') && is_port
}

async fn route<R>(
    request: Request<Incoming>,
    routes: &R,
    limits: &Limits,
    sight: &Sight,
) -> Result<Response, Problem>
where
    R: Service<Request<Bounded>, Response = Response, Error = Infallible>,
{
    let (head, body) = request.into_parts();
    let (body, overflow) = Bounded::new(body, limits.body);
    let request = Request::from_parts(head, body);

    // The routes run inside the future, so that a panic on their first step is caught as well.
    let answer = AssertUnwindSafe(async { routes.call(request).await }).catch_unwind();
    match timeout(limits.request, answer).await {
        // Whatever the route made of its broken body, the caller should learn the reason.
        Ok(Ok(_)) if overflow.happened() => Err(Problem::PayloadTooLarge),
        Ok(Ok(Ok(answer))) => Ok(answer),
        // What it says stays with the panic hook: it may quote anything.
        Ok(Err(_panic)) => {
            sight.panicked();
            Err(Problem::Internal)
        }
        Err(_elapsed) => Err(Problem::RequestTimeout),
    }
}

fn mark(answer: &mut Response, version: Version, is_last: bool) {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_last && version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// hyper keeps the body of an answer to HEAD from the wire in HTTP/1.1, not in HTTP/2.
fn without_body(mut answer: Response) -> Response {
    if let Some(length) = answer.body().size_hint().exact() {
        answer
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(length.into());
    }
    answer.map(|_| warp::reply::Response::default().into_body())
}
