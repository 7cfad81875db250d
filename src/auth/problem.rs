//! Failures → JSON answers (RFC 9457), for any framework that builds on the `http` crate.
//!
//! Every text comes from a catalogue: nothing that the caller sent and no library's message is
//! echoed into a body or a challenge. Statuses stand in the catalogues too: those of refusals in
//! `error.rs`, all others here.

use std::time::Duration;

use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use once_cell::sync::Lazy;
use serde::Serialize;

pub use crate::auth::challenge::Challenge;

use crate::auth::{
    challenge::Refusal,
    error::{AuthError, BearerError},
};

impl Refusal {
    /// Returns the answer: the status, the problem as JSON, and the challenge.
    ///
    /// `B` is the body type of the framework; the bodies of hyper (`Full<Bytes>`), warp and axum fit.
    ///
    /// ```
    /// use http_body_util::Full;
    /// use hyper::{Response, body::Bytes};
    /// use warp_bearer::auth::{Auth, AuthError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
    /// let refusal = auth.refusal(AuthError::TokenExpired);
    /// let answer: Response<Full<Bytes>> = refusal.response();
    /// assert_eq!(answer.status(), 401);
    /// assert!(answer.headers().contains_key("www-authenticate"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn response<B: From<&'static str>>(&self) -> Response<B> {
        let error = self.error;
        let mut response = answer(error.status(), error.code());
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        if let Some(challenge) = self.www_authenticate() {
            set(&mut response, WWW_AUTHENTICATE, challenge);
        }
        if let AuthError::KeysUnavailable { retry_after } = error {
            set(&mut response, RETRY_AFTER, whole_seconds(retry_after));
        }
        response
    }
}

/// At least one: `Retry-After: 0` would invite clients to retry in a loop.
fn whole_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    seconds.max(1).to_string()
}

macro_rules! problems {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident => $status:ident, $code:literal, $detail:literal;
    )+) => {
        /// A failure that is not about authorization: one of warp's own rejections, or the server's.
        ///
        #[cfg_attr(feature = "warp", doc = "```")]
        #[cfg_attr(not(feature = "warp"), doc = "```ignore")]
        /// use warp::{Filter, Reply};
        /// use warp_bearer::auth::{Auth, BearerFilterExt, Claims, Problem, with_auth};
        ///
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
        /// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
        /// // Answers 404 for notes that belong to somebody else. With several issuers, compare the
        /// // issuer too: a subject is unique only within its issuer.
        /// let note = warp::path!("notes" / String)
        ///     .and(with_auth(&auth))
        ///     .map(|owner: String, claims: Claims| match claims.subject() {
        ///         Some(subject) if subject == owner => "a note".into_response(),
        ///         _ => Problem::NotFound.response(),
        ///     })
        ///     .route();
        /// # Ok(())
        /// # }
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Problem {
            $( $(#[doc = $doc])+ $name, )+
        }

        impl Problem {
            /// One of each.
            pub const ALL: &'static [Self] = &[$( Self::$name ),+];

            const fn entry(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $( Self::$name => (StatusCode::$status, $code, $detail), )+
                }
            }
        }
    };
}

// One row for each problem: its meaning, status, code, and the sentence that callers read.
#[rustfmt::skip]
problems! {
    /// 404: no route has this path.
    NotFound => NOT_FOUND, "not_found", "There is nothing at this path.";
    /// 405: a route has this path but not this method. warp does not say which methods it has, so
    /// only [`method_not_allowed`](Self::method_not_allowed) sets `Allow`.
    MethodNotAllowed => METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method.";
    /// 400: a query, header field or cookie that cannot be read.
    BadRequest => BAD_REQUEST, "bad_request", "The query, a header field or a cookie cannot be read.";
    /// 411: a body without its length.
    LengthRequired => LENGTH_REQUIRED, "length_required", "The body needs a Content-Length.";
    /// 413: a body over its limit.
    PayloadTooLarge => PAYLOAD_TOO_LARGE, "payload_too_large", "The body is larger than this path takes.";
    /// 415: a body of a type that the route does not take.
    UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "This path does not take a body of this Content-Type.";
    /// 400: a body that cannot be read as its type.
    InvalidBody => BAD_REQUEST, "invalid_body", "The body cannot be read as its Content-Type.";
    /// 403: a cross-origin request that is not allowed.
    CorsForbidden => FORBIDDEN, "cors_forbidden", "This cross-origin request is not allowed.";
    /// 400: `Host` is absent or doubled (RFC 9112 §3.2).
    BadHost => BAD_REQUEST, "bad_host", "A request carries exactly one Host field.";
    /// 414: a request target over its limit.
    UriTooLong => URI_TOO_LONG, "uri_too_long", "The request target is too long.";
    /// 431: header fields over their limit (RFC 6585 §5).
    HeadersTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The header fields are too large or too many.";
    /// 503: a request over its time.
    RequestTimeout => SERVICE_UNAVAILABLE, "request_timeout", "The request took too long.";
    /// 500: an internal fault, about which the body says nothing.
    Internal => INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side.";
}

impl Problem {
    /// Returns the status of the answer.
    pub const fn status(self) -> StatusCode {
        self.entry().0
    }

    /// Returns the stable code, the `code` member of the body.
    pub const fn code(self) -> &'static str {
        self.entry().1
    }

    /// Returns one sentence of printable ASCII for the caller.
    pub const fn detail(self) -> &'static str {
        self.entry().2
    }

    /// Returns the answer as JSON.
    pub fn response<B: From<&'static str>>(self) -> Response<B> {
        answer(self.status(), self.code())
    }

    /// Returns a 405 with the methods that the path takes (RFC 9110 §15.5.6).
    pub fn method_not_allowed<B: From<&'static str>>(allow: &str) -> Response<B> {
        let mut response = Self::MethodNotAllowed.response();
        set(&mut response, ALLOW, allow.to_owned());
        response
    }
}

/// The code of a problem, in the extensions of its answer: for logs and metrics.
///
/// Only the catalogue makes codes, so their number is bounded.
///
#[cfg_attr(feature = "warp", doc = "```")]
#[cfg_attr(not(feature = "warp"), doc = "```ignore")]
/// use warp::Filter;
/// use warp_bearer::auth::{Auth, BearerFilterExt, Claims, problem::Code, with_auth};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let me = warp::path!("me").and(with_auth(&auth)).map(|_: Claims| "you").route();
/// let answer = warp::test::request().path("/me").filter(&me).await.unwrap();
/// let code = answer.extensions().get::<Code>().map(|code| code.as_str());
/// assert_eq!(code, Some("missing_token"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(&'static str);

impl Code {
    /// Returns the code as the body has it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The body of every failure (RFC 9457 §3), with `detail` where FastAPI's clients look for it and
/// `error` as RFC 6750 has it. The service reads its `OpenAPI` schema off two of these bodies.
#[derive(Serialize)]
struct ProblemBody {
    title: &'static str,
    status: u16,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    code: &'static str,
}

fn answer<B: From<&'static str>>(status: StatusCode, code: &'static str) -> Response<B> {
    let mut response = Response::new(B::from(body(code)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response.extensions_mut().insert(Code(code));
    response
}

/// The bodies by their codes. Each is written once: there are only so many, and they never change.
static BODIES: Lazy<Vec<(&'static str, String)>> = Lazy::new(|| {
    let refusals = AuthError::ALL.iter().map(|error| {
        let name = error.error().map(BearerError::as_str);
        let body = write(error.status(), name, error.code(), error.detail());
        (error.code(), body)
    });
    let problems = Problem::ALL.iter().map(|problem| {
        let body = write(problem.status(), None, problem.code(), problem.detail());
        (problem.code(), body)
    });
    refusals.chain(problems).collect()
});

/// Returns the body of every answer with this code.
pub(crate) fn body(code: &'static str) -> &'static str {
    let written = BODIES.iter().find(|(written, _)| *written == code);
    written.map_or("", |(_, body)| body)
}

fn write(
    status: StatusCode,
    error: Option<&'static str>,
    code: &'static str,
    detail: &'static str,
) -> String {
    let body = ProblemBody {
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
        error,
        code,
    };
    // Strings and a number: there is nothing that serde_json could refuse.
    serde_json::to_string(&body).unwrap_or_default()
}

/// Sets a header field. The values are ours and ASCII; one that is not is a fault of the catalogue,
/// and is left out rather than a reason to panic.
fn set<B>(response: &mut Response<B>, name: HeaderName, value: String) {
    let Ok(value) = HeaderValue::try_from(value) else {
        tracing::error!(%name, "header value is not ASCII and was left out");
        return;
    };
    response.headers_mut().insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_body_of_its_own() {
        let codes = AuthError::ALL.iter().map(|error| error.code());
        let codes = codes.chain(Problem::ALL.iter().map(|problem| problem.code()));
        let mut seen = std::collections::HashSet::new();
        for code in codes {
            assert!(
                body(code).contains(&format!(r#""code":"{code}""#)),
                "{code}"
            );
            assert!(seen.insert(code), "{code} twice");
        }
    }
}
