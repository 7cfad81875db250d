//! The middleware around all routes.
//!
//! Rejects malformed requests, answers CORS preflights, limits the time and the body of a request,
//! catches panics of handlers, and sets the headers of every response. It doesn't look at tokens,
//! and it doesn't look at `Forwarded` or `X-Forwarded-*` either, since clients can forge them.

use std::{
    convert::Infallible, future::poll_fn, net::Ipv6Addr, panic::AssertUnwindSafe, pin::Pin,
    sync::Arc, task::Poll,
};

use futures_util::{FutureExt, future::CatchUnwind};
use hyper::{
    Method, Request, Version,
    body::{Body, Incoming},
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    http::{request::Parts, uri::Authority},
    service::Service,
};
use tokio::time::{Instant, timeout_at};
use warp::reply::Response;

use crate::{
    auth::Problem,
    service::{
        http::{
            body_limit::{LimitedBody, Overflow},
            cors::{Cors, CorsRequest},
            limits::Limits,
            shutdown::Shutdown,
        },
        observe::request_log::RequestLog,
    },
};

#[derive(Debug)]
pub(in crate::service) struct Middleware<R> {
    pub(in crate::service) routes: R,
    pub(in crate::service) limits: Limits,
    pub(in crate::service) cors: Option<Cors>,
    pub(in crate::service) request_log: RequestLog,
    pub(in crate::service) shutdown: Shutdown,
}

impl<R> Middleware<R>
where
    R: Service<Request<LimitedBody>, Response = Response, Error = Infallible>,
{
    /// Responds to a request. Calls the routes, unless the request is rejected here.
    ///
    /// Everything that does not wait runs before the future is created. Inside the future, each
    /// step would need its own space for the request, and we'd end up with a future of 3 KB that
    /// hyper moves several times per request.
    pub(in crate::service) fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        since: Instant,
    ) -> impl Future<Output = Response> + use<R> {
        let (middleware, deadline) = (Arc::clone(self), since + self.limits.request);
        let (head, body) = request.into_parts();
        let (is_head, version) = (head.method == Method::HEAD, head.version);
        let is_chunked = body.size_hint().exact().is_none();
        let cors = Cors::evaluate(self.cors.as_ref(), &head);
        let course = match problem_with(&head, &self.limits) {
            Some(problem) => Err(problem),
            None => Ok(self.route(head, body)),
        };
        async move {
            let outcome = match course {
                Err(problem) => Err(problem),
                Ok(routed) => match cors.as_ref().and_then(CorsRequest::preflight) {
                    Some(answer) => Ok(answer),
                    None => middleware.outcome(routed, deadline).await,
                },
            };
            // We close the connection after this response in three cases. After a rejection, the
            // rest of the request may still arrive; after a chunked body, `strict_heads` doesn't
            // know where the next head begins; and during a shutdown, the client must not send
            // another request on a connection that's about to close.
            let is_last = outcome.is_err() || is_chunked || middleware.shutdown.is_requested();

            let mut answer = outcome.unwrap_or_else(Problem::response);
            set_headers(&mut answer, version, is_last);
            if let Some(cors) = cors {
                cors.set_headers(answer.headers_mut());
            }
            if is_head {
                answer = without_body(answer);
            }
            answer
        }
    }

    fn route(&self, head: Parts, body: Incoming) -> Routed<R::Future> {
        let (body, overflow) = LimitedBody::new(body, self.limits.body);
        let answer = self.routes.call(Request::from_parts(head, body));
        Routed {
            answer: Box::pin(AssertUnwindSafe(answer).catch_unwind()),
            overflow,
        }
    }

    async fn outcome(
        &self,
        routed: Routed<R::Future>,
        deadline: Instant,
    ) -> Result<Response, Problem> {
        match before(deadline, routed.answer).await {
            // the route only saw a broken body, but the caller should learn the reason
            Some(Ok(_)) if routed.overflow.happened() => Err(Problem::PayloadTooLarge),
            Some(Ok(Ok(answer))) => Ok(answer),
            // The panic message may contain a token, so we leave it to the panic hook
            Some(Err(_panic)) => {
                self.request_log.panicked();
                Err(Problem::Internal)
            }
            None => Err(Problem::RequestTimeout),
        }
    }
}

/// A request passed to the routes. Even its first poll can panic, so that runs under `catch_unwind`
/// too.
struct Routed<A> {
    answer: Pin<Box<CatchUnwind<AssertUnwindSafe<A>>>>,
    overflow: Overflow,
}

/// The output of the future, or `None` after the deadline. Most responses are ready immediately, so
/// we poll once before paying for a timer.
async fn before<F: Future + Unpin>(deadline: Instant, mut future: F) -> Option<F::Output> {
    match poll_fn(|cx| Poll::Ready(future.poll_unpin(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => Box::pin(timeout_at(deadline, future)).await.ok(),
    }
}

fn problem_with(head: &Parts, limits: &Limits) -> Option<Problem> {
    if target_length(head) > limits.uri {
        return Some(Problem::UriTooLong);
    }
    // hyper only enforces this limit for HTTP/1.1
    if head.headers.len() > limits.fields {
        return Some(Problem::HeadersTooLarge);
    }
    if !has_one_host(head) {
        return Some(Problem::BadHost);
    }
    // `CONNECT a:443` has no path, and warp would panic
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

/// Checks that there's exactly one valid host (RFC 9112 §3.2, RFC 9113 §8.3.1).
///
/// In HTTP/1.0, the host is optional. An empty `Host` is valid, and means that the target has no
/// authority (RFC 9110 §7.2). If the target is absolute in HTTP/1.1, `Host` is ignored but must be
/// present (RFC 9112 §3.2.2). In HTTP/2, `Host` must equal `:authority`.
fn has_one_host(head: &Parts) -> bool {
    let mut fields = head.headers.get_all(HOST).iter();
    let (field, doubled) = (fields.next(), fields.next().is_some());
    let target = head.uri.authority();

    if doubled || !target.is_none_or(is_host) {
        return false;
    }
    match (field, target) {
        (None, None) => head.version == Version::HTTP_10,
        (None, Some(_)) => head.version != Version::HTTP_11,
        (Some(field), None) => is_plain_or_empty(field.as_bytes()) || parse_host(field).is_some(),
        (Some(field), Some(_)) if field.is_empty() => head.version < Version::HTTP_2,
        (Some(field), Some(target)) => {
            parse_host(field).is_some_and(|host| head.version < Version::HTTP_2 || host == *target)
        }
    }
}

/// Fast path for a name or an IPv4 address with an optional port, or an empty value. Avoids
/// `Authority::try_from`, which copies.
fn is_plain_or_empty(host: &[u8]) -> bool {
    let mut bytes = host.iter();
    // A lookup table takes a third of the time of comparing ranges
    let Some(colon) = bytes.position(|c| !IN_NAME[usize::from(*c)]) else {
        return true;
    };
    let port = bytes.as_slice();
    // more than five digits: leave it to the full check
    let is_port = port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    let number = |port: &[u8]| port.iter().fold(0_u32, |n, c| n * 10 + u32::from(c - b'0'));
    host[colon] == b':' && colon > 0 && is_port && u16::try_from(number(port)).is_ok()
}

/// The bytes that occur in names and IPv4 addresses
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut c = 0_u8;
    while c.is_ascii() {
        table[c as usize] = c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
        c += 1;
    }
    table
};

fn parse_host(value: &HeaderValue) -> Option<Authority> {
    let host = Authority::try_from(value.as_bytes()).ok()?;
    is_host(&host).then_some(host)
}

/// The full check: a valid host with an optional port.
///
/// HTTP does not allow `user@host` (RFC 9110 §4.2.4). Brackets must contain an IPv6 address (RFC
/// 3986 §3.2.2). A port must fit 16 bits, and may be empty after its colon (§3.2.3).
fn is_host(authority: &Authority) -> bool {
    let (host, text) = (authority.host(), authority.as_str());
    if text.contains('@') {
        return false;
    }
    let port = &text[host.len()..];
    let is_port = match port.strip_prefix(':') {
        Some(port) => {
            let digits = port.bytes().all(|c| c.is_ascii_digit());
            port.is_empty() || digits && port.parse::<u16>().is_ok()
        }
        None => port.is_empty(),
    };
    let within = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_name_or_address = match within {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(['[', ']']),
    };
    is_port && is_name_or_address
}

fn set_headers(answer: &mut Response, version: Version, is_last: bool) {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_last && version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Removes the body of a response to HEAD, but keeps its length (hyper only does this for
/// HTTP/1.1).
fn without_body(mut answer: Response) -> Response {
    if let Some(length) = answer.body().size_hint().exact() {
        answer
            .headers_mut()
            .entry(CONTENT_LENGTH)
            .or_insert(length.into());
    }
    answer.map(|_| warp::reply::Response::default().into_body())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The fast check may leave a value to the full check, but it mustn't accept an invalid
        /// one.
        #[test]
        fn fast_host_check_accepts_only_valid_hosts(host in "[a-zA-Z0-9.:@_%-]{0,6}(:[0-9]{0,6})?") {
            let value = HeaderValue::from_str(&host).unwrap();
            if is_plain_or_empty(host.as_bytes()) {
                prop_assert!(host.is_empty() || parse_host(&value).is_some(), "{host:?}");
            }
        }
    }

    #[test]
    fn fast_host_check_accepts_common_hosts() {
        for (host, expected) in [
            ("", true),
            ("api.example.com", true),
            ("127.0.0.1:8000", true),
            ("localhost:65535", true),
            ("localhost:", true),
            ("localhost:65536", false),
            (":80", false),
            ("[::1]:80", false),
            ("user@host", false),
            ("a:b:c", false),
        ] {
            assert_eq!(is_plain_or_empty(host.as_bytes()), expected, "{host:?}");
        }
    }
}
