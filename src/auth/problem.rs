//! JSON responses for failures (RFC 9457), for any framework built on the `http` crate.
//!
//! Responses only contain fixed messages, and never part of the request or an error message of
//! another library. The messages and statuses of [`AuthError`] are in `error.rs`, all others are in
//! this file.

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

/// The header with a nonce for the next proof (RFC 9449 §8.1)
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

impl Refusal {
    /// Returns the response, with the status, the problem as JSON, and the challenge.
    ///
    /// `B` is the body type of the framework, such as hyper's (`Full<Bytes>`), warp's or axum's.
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
        let body = if self.detail() == error.detail() {
            body(error.code())
        } else {
            found(&OWN_FIELD_BODIES, error.code())
        };
        let mut response = answer(error.status(), error.code(), body);
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        for challenge in self.fields() {
            match challenge {
                Ok(challenge) => {
                    response.headers_mut().append(WWW_AUTHENTICATE, challenge);
                }
                Err(_) => left_out(&WWW_AUTHENTICATE),
            }
        }
        if let Some(retry_after) = error.retry_after() {
            add(&mut response, RETRY_AFTER, whole_seconds(retry_after));
        }
        if let Some(nonce) = self.dpop_nonce() {
            add(&mut response, DPOP_NONCE, nonce.to_owned());
        }
        response
    }
}

/// Rounds up to at least one second: `Retry-After: 0` would make clients retry in a loop.
fn whole_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    seconds.max(1).to_string()
}

macro_rules! problems {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident => $status:ident, $code:literal, $detail:literal;
    )+) => {
        /// A failure that is not an [`AuthError`]: one of warp's own rejections, or an error of the
        /// server.
        ///
        #[cfg_attr(feature = "warp", doc = "```")]
        #[cfg_attr(not(feature = "warp"), doc = "```ignore")]
        /// use warp::{Filter, Reply};
        /// use warp_bearer::auth::{Auth, BearerFilterExt, Claims, Problem, with_auth};
        ///
        /// # #[tokio::main(flavor = "current_thread")]
        /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
        /// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
        /// // Answers 404 for notes of other users. With several issuers, compare the
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
            /// Every problem.
            pub const ALL: &'static [Self] = &[$( Self::$name ),+];

            const fn entry(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $( Self::$name => (StatusCode::$status, $code, $detail), )+
                }
            }
        }
    };
}

// each row: the meaning, the status, the code, and a sentence for the caller
#[rustfmt::skip]
problems! {
    /// 404: no route has this path.
    NotFound => NOT_FOUND, "not_found", "There is nothing at this path.";
    /// 405: the path does not support this method. To set `Allow`, use
    /// [`method_not_allowed`](Self::method_not_allowed), because warp does not report the allowed
    /// methods.
    MethodNotAllowed => METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not support this method.";
    /// 400: the query, a header or a cookie cannot be parsed.
    BadRequest => BAD_REQUEST, "bad_request", "The query, a header field or a cookie cannot be read.";
    /// 411: the body has no `Content-Length`.
    LengthRequired => LENGTH_REQUIRED, "length_required", "The body needs a Content-Length.";
    /// 413: the body is larger than its limit.
    PayloadTooLarge => PAYLOAD_TOO_LARGE, "payload_too_large", "The body is larger than this path accepts.";
    /// 415: the route does not accept a body of this type.
    UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "This path does not accept a body of this Content-Type.";
    /// 400: the body cannot be parsed as its type.
    InvalidBody => BAD_REQUEST, "invalid_body", "The body is not valid for its Content-Type, or is not what the route expects.";
    /// 400: the body does not contain exactly one valid logout token (`OpenID` Connect Back-Channel
    /// Logout 1.0 §2.8).
    InvalidLogoutToken => BAD_REQUEST, "invalid_logout_token", "The body must have exactly one logout_token that is valid and was not used before.";
    /// 403: the cross-origin request is not allowed.
    CorsForbidden => FORBIDDEN, "cors_forbidden", "This cross-origin request is not allowed.";
    /// 400: the request has no `Host`, or more than one (RFC 9112 §3.2).
    BadHost => BAD_REQUEST, "bad_host", "A request needs exactly one valid Host field.";
    /// 414: the request target is longer than its limit.
    UriTooLong => URI_TOO_LONG, "uri_too_long", "The request target is too long.";
    /// 431: the headers are larger than their limit (RFC 6585 §5).
    HeadersTooLarge => REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The header fields are too large or too many.";
    /// 503: the request took longer than its time limit.
    RequestTimeout => SERVICE_UNAVAILABLE, "request_timeout", "The request took too long.";
    /// 500: an internal error. The body does not reveal the cause.
    Internal => INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side.";
}

impl Problem {
    /// Returns the status of the response.
    pub const fn status(self) -> StatusCode {
        self.entry().0
    }

    /// Returns the stable code, which is the `code` member of the response body.
    pub const fn code(self) -> &'static str {
        self.entry().1
    }

    /// Returns one sentence of printable ASCII for the caller.
    pub const fn detail(self) -> &'static str {
        self.entry().2
    }

    /// Returns the JSON response.
    pub fn response<B: From<&'static str>>(self) -> Response<B> {
        let mut response = answer(self.status(), self.code(), body(self.code()));
        // depends on the caller, like every 403
        if self.status() == StatusCode::FORBIDDEN {
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(CACHE_CONTROL, no_store);
        }
        response
    }

    /// Returns the JSON response with another sentence for the caller.
    #[cfg(feature = "service")]
    pub(crate) fn response_with<B: From<String>>(self, detail: &'static str) -> Response<B> {
        let body = write(self.status(), None, self.code(), detail);
        answer(self.status(), self.code(), body)
    }

    /// Returns a 405 that lists the allowed methods (RFC 9110 §15.5.6).
    pub fn method_not_allowed<B: From<&'static str>>(allow: &str) -> Response<B> {
        let mut response = Self::MethodNotAllowed.response();
        add(&mut response, ALLOW, allow.to_owned());
        response
    }
}

/// The code of a problem, for logs and metrics. Stored in the extensions of the response.
///
/// The set of codes is fixed, so they can be used as labels of metrics.
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
    /// Returns the code as in the response body.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The body of every failure (RFC 9457 §3). FastAPI's clients expect the message in `detail`.
/// `error` is the error code of RFC 6750. Note that the service derives its `OpenAPI` schema from
/// two of these bodies.
#[derive(Serialize)]
struct ProblemBody {
    title: &'static str,
    status: u16,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    code: &'static str,
}

fn answer<B: From<T>, T>(status: StatusCode, code: &'static str, body: T) -> Response<B> {
    let mut response = Response::new(B::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response.extensions_mut().insert(Code(code));
    response
}

type Bodies = Vec<(&'static str, String)>;

static BODIES: Lazy<Bodies> = Lazy::new(|| {
    let refusals = AuthError::ALL
        .iter()
        .map(|error| refused(*error, error.detail()));
    let problems = Problem::ALL.iter().map(|problem| {
        let body = write(problem.status(), None, problem.code(), problem.detail());
        (problem.code(), body)
    });
    refusals.chain(problems).collect()
});

/// The bodies that differ if tokens are read from a header other than `Authorization`.
static OWN_FIELD_BODIES: Lazy<Bodies> = Lazy::new(|| {
    let errors = AuthError::ALL.iter().copied();
    let differing = errors.filter(|error| error.detail_for_own_field() != error.detail());
    differing
        .map(|error| refused(error, error.detail_for_own_field()))
        .collect()
});

fn refused(error: AuthError, detail: &'static str) -> (&'static str, String) {
    let name = error.error().map(BearerError::as_str);
    let body = write(error.status(), name, error.code(), detail);
    (error.code(), body)
}

/// The body of responses with this code, for tokens in `Authorization`
pub(crate) fn body(code: &'static str) -> &'static str {
    found(&BODIES, code)
}

fn found(bodies: &'static Bodies, code: &'static str) -> &'static str {
    // Comparing addresses is usually enough, but the linker may have kept two copies of the string.
    let at = bodies.iter().find(|(at, _)| std::ptr::eq(*at, code));
    let found = at.or_else(|| bodies.iter().find(|(written, _)| *written == code));
    found.map_or("", |(_, body)| body)
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
    // serde_json can't fail on strings and a number
    serde_json::to_string(&body).unwrap_or_default()
}

/// Adds a header. The values come from the code and the configuration, so they should be valid. If
/// one isn't, this is a bug, and we log it instead of panicking.
fn add<B>(response: &mut Response<B>, name: HeaderName, value: String) {
    match HeaderValue::try_from(value) {
        Ok(value) => {
            response.headers_mut().append(name, value);
        }
        Err(_) => left_out(&name),
    }
}

fn left_out(name: &HeaderName) {
    tracing::error!(%name, "header dropped: invalid value");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_for_another_field_do_not_ask_for_authorization() {
        for error in AuthError::ALL.iter().copied() {
            let own = OWN_FIELD_BODIES
                .iter()
                .find(|(code, _)| *code == error.code());
            let names_field = error.detail().contains("Authorization");
            assert_eq!(own.is_some(), names_field, "{error:?}");
            let named_instead =
                own.is_none_or(|(_, body)| body.contains("instead of Authorization"));
            assert!(named_instead, "{own:?}");
        }
    }

    #[test]
    fn every_code_has_its_own_body() {
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
