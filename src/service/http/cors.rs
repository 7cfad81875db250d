//! CORS (Fetch standard): decides which pages of other origins can read a response.
//!
//! CORS does not protect routes, as only browsers obey it. Credentials are never allowed: clients
//! send tokens, and the service has no cookies. The headers are set on all responses, including the
//! server's own errors, so that pages can read a 401, a 413 or a 503 too.
//!
//! Why not warp's filter or tower-http's layer? Neither covers the server's own errors. In
//! addition, warp's filter rejects all requests from origins that are not listed, even from the
//! service's own pages, and doesn't send `Vary`. tower-http's layer treats every `OPTIONS` as a
//! preflight.
//!
//! **Invariant**: a preflight to [`GATE`] without a token never gets a 2xx, with any spelling of
//! the path.

use hyper::{
    Method,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
    },
    http::request::Parts,
};
use warp::{Reply, http::StatusCode, reply::Response};

use crate::{
    auth::{Problem, context},
    service::observe::request_id::only,
};

/// The path on which preflights are not answered.
///
/// A proxy asks this path whether to forward a client's request, and forwards it on a 2xx. Some
/// proxies ask with the client's own method and headers, so if we answered a preflight here, the
/// client's `OPTIONS` would get through without a token.
pub(in crate::service) const GATE: &str = "/auth";

/// Whether a path could be the gate or, since some proxies append the client's own path, a path
/// below it.
///
/// A proxy may interpret a path differently from this service, so we err on the side of caution:
/// escapes are decoded repeatedly, case is ignored, and empty segments are skipped. A segment that
/// begins with two dots could lead back to the gate, so such paths get no preflights either.
/// (Browsers resolve `..` before they send a request, so few pages should notice.)
fn is_gate(path: &str) -> bool {
    let path = decoded(path);
    let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
    let first = segments.clone().map(name).find(|name| !name.is_empty());
    first.is_some_and(|name| name.eq_ignore_ascii_case(&GATE.as_bytes()[1..]))
        || segments.any(|segment| segment.starts_with(b".."))
}

/// The leading letters, digits, `-` and `_` of a segment: `auth` for `auth;x`, `auth.` and ` auth`.
fn name(segment: &[u8]) -> &[u8] {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let without_parameters = segment
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let mut names = without_parameters.split(|byte| !belongs(byte));
    names.find(|name| !name.is_empty()).unwrap_or_default()
}

/// Decodes escapes, including those that appear by decoding (`%2561` is `a`). Malformed escapes are
/// kept.
fn decoded(path: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        decoded.push(byte);
        while let [.., b'%', high, low] = decoded[..]
            && let Some(byte) = hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low)
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(byte);
        }
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

const PREFLIGHT: &str = "preflight";

/// On every path. If a path does not support the method, the page gets to read the 405.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// The maximum number of header names to allow in a preflight. The others are dropped.
const MAX_NAMES: usize = 64;
/// The response headers that a page needs to handle errors.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("WWW-Authenticate, DPoP-Nonce, Retry-After, X-Request-Id");
/// In seconds. When an origin is removed from the list, its pages can still send requests for this
/// long, but can no longer read the responses.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origins whose pages may read the service's responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Every origin. Only use this for a service that is public on the internet. In a private
    /// network, any page that a user visits could read the public routes.
    Any,
    /// These origins, compared byte for byte with what browsers send, such as
    /// `https://app.example.com`.
    Only(Vec<HeaderValue>),
}

/// The path of the resource's metadata (RFC 9728 §3), or its prefix if the resource has a path.
/// Clients need the metadata before they can get a token, so pages of any origin may read it.
const METADATA: &str = "/.well-known/oauth-protected-resource";

fn is_metadata(path: &str) -> bool {
    let rest = path.strip_prefix(METADATA);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Cors {
    /// `None` if no page of another origin may read the response.
    pub(in crate::service) fn evaluate(cors: Option<&Self>, head: &Parts) -> Option<CorsRequest> {
        let target = head.uri.path_and_query();
        let may_be_metadata = target.is_some_and(|target| target.as_str().starts_with(METADATA));
        let cors = match cors {
            _ if may_be_metadata && is_metadata(head.uri.path()) => &Self::Any,
            Some(cors) => cors,
            None => return None,
        };
        let origin = only(&head.headers, &ORIGIN);
        let is_preflight = origin.is_some()
            && head.method == Method::OPTIONS
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && !is_gate(head.uri.path());
        Some(CorsRequest {
            allowed: origin.and_then(|origin| cors.allowed(origin)),
            preflight: is_preflight.then(|| Preflight {
                names: requested(&head.headers),
            }),
        })
    }

    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            // With `*`, browsers hide the response to a request with credentials from the page, so
            // this is safer than echoing the origin.
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Only(origins) => origins.iter().find(|known| *known == origin).cloned(),
        }
    }
}

/// The valid header names that a preflight asks for.
///
/// We allow all of them. A fixed list would not protect anything as long as credentials are never
/// allowed, and it would block headers that clients add themselves, e.g. `mcp-protocol-version` and
/// `baggage`.
fn requested(headers: &HeaderMap) -> Option<HeaderValue> {
    let fields = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(str::trim)
        .filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok())
        .take(MAX_NAMES);
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return None;
    }
    HeaderValue::from_str(&names.join(", ")).ok()
}

#[derive(Debug)]
struct Preflight {
    names: Option<HeaderValue>,
}

#[derive(Debug)]
pub(in crate::service) struct CorsRequest {
    allowed: Option<HeaderValue>,
    preflight: Option<Preflight>,
}

impl CorsRequest {
    /// The response to a preflight, or `None` if the request isn't one. Browsers send preflights
    /// without a token, so we don't require one, and the path need not exist either.
    ///
    /// An origin that is not listed gets a 403 with a reason. Browsers ignore the reason, but it
    /// helps a developer who forgot to list the origin.
    pub(in crate::service) fn preflight(&self) -> Option<Response> {
        let preflight = self.preflight.as_ref()?;
        context::set_route(PREFLIGHT);
        if self.allowed.is_none() {
            return Some(Problem::CorsForbidden.response());
        }
        let mut answer = StatusCode::NO_CONTENT.into_response();
        let headers = answer.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        if let Some(names) = &preflight.names {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(answer)
    }

    /// Sets the headers that let the page read the response, if its origin is allowed. `Vary` is
    /// set either way: caches must know that the response depends on `Origin`.
    pub(in crate::service) fn set_headers(self, headers: &mut HeaderMap) {
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = self.allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if self.preflight.is_none() {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            }
        }
    }
}
