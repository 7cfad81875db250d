//! Failures → JSON (RFC 9457), the only place that knows status codes.
//!
//! Every text comes from a catalogue: nothing that the caller sent and no library's message is
//! echoed into a body or a challenge.

use std::{convert::Infallible, time::Duration};

use once_cell::sync::Lazy;
use serde::Serialize;
use warp::{
    Rejection, Reply,
    body::BodyDeserializeError,
    http::{
        HeaderName, HeaderValue, Response as HttpResponse, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    reject::{
        InvalidHeader, InvalidQuery, LengthRequired, MethodNotAllowed, MissingCookie,
        MissingHeader, PayloadTooLarge, UnsupportedMediaType,
    },
    reply::Response,
};

use crate::auth::error::{AuthError, Refusal};

/// The last word of a warp service: every rejection as JSON, ours, warp's own and any other.
///
/// ```no_run
/// # use warp::Filter;
/// # let routes = warp::path!("a").map(|| "a");
/// routes.recover(warp_bearer::auth::handle_rejection);
/// ```
///
/// A rejection that is neither ours nor warp's is a fault of the service, 500: `recover` your own
/// before this one.
///
/// With warp's CORS filter it stands on both sides: inside, so that errors carry the filter's fields
/// and a page can read them; outside, so that what the filter itself refuses is JSON. Caches need
/// the `Vary`, which the filter leaves out, and pages the challenge, which browsers hide:
///
/// ```no_run
/// # use warp::{Filter, http::header};
/// # use warp_bearer::auth::handle_rejection;
/// # let routes = warp::path!("a").map(|| "a");
/// let cors = warp::cors()
///     .allow_origin("https://app.example.com")
///     .allow_methods(["GET", "POST"])
///     .allow_header(header::AUTHORIZATION)
///     .expose_header(header::WWW_AUTHENTICATE);
/// routes
///     .recover(handle_rejection)
///     .with(cors)
///     .recover(handle_rejection)
///     .with(warp::reply::with::header("vary", "origin"));
/// ```
///
/// # Errors
/// None.
pub async fn handle_rejection(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(match find(&rejection) {
        Some(answer) => answer,
        None if rejection.is_not_found() => Problem::NotFound.response(),
        None => {
            tracing::error!("a rejection that nothing handles; recover it before ours");
            Problem::Internal.response()
        }
    })
}

/// Ours alone: a [`Refusal`] as JSON. Every other rejection goes on to the `recover` after this one,
/// so that a service that has its own last word keeps it.
///
/// ```
/// use std::convert::Infallible;
/// use warp::{Filter, Rejection, http::StatusCode};
/// use warp_bearer::auth::{Auth, Claims, handle_refusal, with_auth};
///
/// async fn last_word(_: Rejection) -> Result<StatusCode, Infallible> {
///     Ok(StatusCode::IM_A_TEAPOT)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let me = warp::path!("me").and(with_auth(&auth)).map(|_: Claims| "you");
/// let routes = me.recover(handle_refusal).recover(last_word);
///
/// let ours = warp::test::request().path("/me").reply(&routes).await;
/// assert_eq!(ours.status(), 401);
/// let theirs = warp::test::request().path("/elsewhere").reply(&routes).await;
/// assert_eq!(theirs.status(), 418);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The rejection, where it is none of ours.
pub async fn handle_refusal(rejection: Rejection) -> Result<Response, Rejection> {
    let answer = rejection.find::<Refusal>().map(refused);
    answer.ok_or(rejection)
}

/// The answer to a rejection that ends its route; a path or method that does not fit, and whatever
/// is not ours or warp's, goes on.
pub(crate) fn refusal(rejection: Rejection) -> Result<Response, Rejection> {
    if rejection.find::<MethodNotAllowed>().is_some() {
        return Err(rejection);
    }
    find(&rejection).ok_or(rejection)
}

fn find(rejection: &Rejection) -> Option<Response> {
    if let Some(refusal) = rejection.find::<Refusal>() {
        return Some(refused(refusal));
    }
    Problem::of(rejection).map(Problem::response)
}

/// What goes wrong beside authorization: warp's own rejections, and the server's.
///
/// ```
/// use warp::{Filter, Reply};
/// use warp_bearer::auth::{Auth, Claims, Problem, Route, with_auth};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// // Somebody else's note is not found. Compare the issuer too if there are several: a subject is
/// // unique only within its issuer.
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
    /// 404: no route has this path.
    NotFound,
    /// 405: a route has this path, and not this method. Which it has, warp does not tell, so that
    /// `Allow` is left to who knows the routes: see [`method_not_allowed`](Self::method_not_allowed).
    MethodNotAllowed,
    /// 400: a query, header field or cookie that cannot be read.
    BadRequest,
    /// 411: a body without its length.
    LengthRequired,
    /// 413: a body over its limit.
    PayloadTooLarge,
    /// 415: a body of a type that the route does not take.
    UnsupportedMediaType,
    /// 400: a body that cannot be read as its type.
    InvalidBody,
    /// 403: a cross-origin request that is not allowed.
    CorsForbidden,
    /// 400: `Host` is absent or doubled (RFC 9112 §3.2).
    BadHost,
    /// 414: a request target over its limit.
    UriTooLong,
    /// 431: header fields over their limit (RFC 6585 §5).
    HeadersTooLarge,
    /// 503: a request over its time.
    RequestTimeout,
    /// 500: a fault of our own, of which the body says nothing.
    Internal,
}

impl Problem {
    /// One of each.
    pub const ALL: [Self; 13] = [
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BadRequest,
        Self::LengthRequired,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidBody,
        Self::CorsForbidden,
        Self::BadHost,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::RequestTimeout,
        Self::Internal,
    ];

    /// The status, the stable code and one sentence.
    #[rustfmt::skip]
    pub const fn entry(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is nothing at this path."),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method."),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request", "The query, a header field or a cookie cannot be read."),
            Self::LengthRequired => (StatusCode::LENGTH_REQUIRED, "length_required", "The body needs a Content-Length."),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "The body is larger than this path takes."),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "This path does not take a body of this Content-Type."),
            Self::InvalidBody => (StatusCode::BAD_REQUEST, "invalid_body", "The body cannot be read as its Content-Type."),
            Self::CorsForbidden => (StatusCode::FORBIDDEN, "cors_forbidden", "This cross-origin request is not allowed."),
            Self::BadHost => (StatusCode::BAD_REQUEST, "bad_host", "A request carries exactly one Host field."),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri_too_long", "The request target is too long."),
            Self::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "The header fields are too large or too many."),
            Self::RequestTimeout => (StatusCode::SERVICE_UNAVAILABLE, "request_timeout", "The request took too long."),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side."),
        }
    }

    /// The answer as JSON.
    pub fn response(self) -> Response {
        let (status, code, _) = self.entry();
        answer(status, code)
    }

    /// A 405 with the methods that the path takes (RFC 9110 §15.5.6).
    pub fn method_not_allowed(allow: &str) -> Response {
        let mut response = Self::MethodNotAllowed.response();
        set(&mut response, ALLOW, allow.to_owned());
        response
    }

    /// What warp itself rejected, if it is that. A body that a route could not take says more than
    /// a method that another route did not.
    fn of(rejection: &Rejection) -> Option<Self> {
        let has = |found: bool, problem| found.then_some(problem);
        has(
            rejection.find::<PayloadTooLarge>().is_some(),
            Self::PayloadTooLarge,
        )
        .or(has(
            rejection.find::<UnsupportedMediaType>().is_some(),
            Self::UnsupportedMediaType,
        ))
        .or(has(
            rejection.find::<LengthRequired>().is_some(),
            Self::LengthRequired,
        ))
        .or(has(
            rejection.find::<BodyDeserializeError>().is_some(),
            Self::InvalidBody,
        ))
        .or(has(
            rejection.find::<warp::cors::CorsForbidden>().is_some(),
            Self::CorsForbidden,
        ))
        .or(has(is_bad_request(rejection), Self::BadRequest))
        .or(has(
            rejection.find::<MethodNotAllowed>().is_some(),
            Self::MethodNotAllowed,
        ))
    }
}

fn is_bad_request(rejection: &Rejection) -> bool {
    rejection.find::<InvalidQuery>().is_some()
        || rejection.find::<InvalidHeader>().is_some()
        || rejection.find::<MissingHeader>().is_some()
        || rejection.find::<MissingCookie>().is_some()
}

/// The code of a problem, in the extensions of its answer: for logs and for counting.
///
/// There are as many as the catalogue has, and nobody else makes one.
///
/// ```
/// use warp::Filter;
/// use warp_bearer::auth::{Auth, Claims, Code, Route, with_auth};
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
    /// As the body has it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The status of an answer that says whether the service is ready: 200, or 503 until it is.
///
/// ```
/// use warp::Filter;
/// use warp_bearer::auth::{Auth, readiness};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let ready = warp::path!("readyz").map(move || readiness(auth.is_ready()));
///
/// let answer = warp::test::request().path("/readyz").reply(&ready).await;
/// assert_eq!(answer.status(), 503, "no keys yet");
/// # Ok(())
/// # }
/// ```
pub const fn readiness(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// The status of a refusal: RFC 6750 §3.1, and 503 where the caller's token is not at fault.
///
/// ```
/// use warp_bearer::auth::{AuthError, status};
///
/// assert_eq!(status(AuthError::TokenExpired), 401);
/// assert_eq!(status(AuthError::InsufficientScope), 403);
/// assert_eq!(status(AuthError::TokenTooLarge), 400);
/// ```
pub fn status(error: AuthError) -> StatusCode {
    use crate::auth::error::BearerError::{InsufficientScope, InvalidRequest, InvalidToken};
    match (error, error.error()) {
        (AuthError::KeysUnavailable { .. }, _) => StatusCode::SERVICE_UNAVAILABLE,
        (_, None | Some(InvalidToken)) => StatusCode::UNAUTHORIZED,
        (_, Some(InvalidRequest)) => StatusCode::BAD_REQUEST,
        (_, Some(InsufficientScope)) => StatusCode::FORBIDDEN,
    }
}

/// The answer to a refusal.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let error = refusal.error;
    let mut response = answer(status(error), error.code());
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    if let Some(challenge) = refusal.www_authenticate() {
        set(&mut response, WWW_AUTHENTICATE, challenge);
    }
    if let AuthError::KeysUnavailable { retry_after } = error {
        set(&mut response, RETRY_AFTER, whole_seconds(retry_after));
    }
    response
}

/// At least one: "ask again in 0 seconds" is an invitation to a loop.
fn whole_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    seconds.max(1).to_string()
}

/// RFC 9457, with `detail` where FastAPI's clients look and `error` as RFC 6750 has it.
#[derive(Serialize)]
struct Body {
    title: &'static str,
    status: u16,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    code: &'static str,
}

fn answer(status: StatusCode, code: &'static str) -> Response {
    let mut response = HttpResponse::new(body(code)).into_response();
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response.extensions_mut().insert(Code(code));
    response
}

/// The bodies by their codes: there are only so many, and they never change.
static BODIES: Lazy<Vec<(&'static str, String)>> = Lazy::new(|| {
    let refusals = AuthError::ALL.map(|error| {
        let name = error.error().map(crate::auth::error::BearerError::as_str);
        let body = write(status(error), name, error.code(), error.detail());
        (error.code(), body)
    });
    let problems = Problem::ALL.map(|problem| {
        let (status, code, detail) = problem.entry();
        (code, write(status, None, code, detail))
    });
    refusals.into_iter().chain(problems).collect()
});

/// The body of every answer with this code.
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
    let body = Body {
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
        error,
        code,
    };
    // Strings and a number: there is nothing that serde_json could refuse.
    serde_json::to_string(&body).unwrap_or_default()
}

/// The values are ours and ASCII; one that is not would be a fault of the catalogue, and is left
/// out rather than taken for a reason to panic.
fn set(response: &mut Response, name: HeaderName, value: String) {
    let Ok(value) = HeaderValue::try_from(value) else {
        tracing::error!(%name, "a header value that is not ASCII is left out");
        return;
    };
    response.headers_mut().insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_body_of_its_own() {
        let codes = AuthError::ALL.map(AuthError::code).into_iter();
        let codes = codes.chain(Problem::ALL.map(|problem| problem.entry().1));
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
