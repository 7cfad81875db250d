//! [`Fault`]: the ways in which an issuer can fail while it still accepts connections.
//!
//! Each fault has occurred at a real issuer, or at a proxy in front of one.

use std::{error::Error, fmt, future, io, str::FromStr, time::Duration};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use warp::{
    Reply,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER},
    },
    reply::{self, Response},
};

/// A fault of the discovery document, the key set or introspection. See
/// [`Issuer::fail`](crate::issuer::Issuer::fail) and
/// [`Issuer::fail_introspection`](crate::issuer::Issuer::fail_introspection).
///
/// The token endpoint is not affected. `If-None-Match` is ignored, so conditional requests get the
/// fault too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An error with this status, in JSON. 500 if the status is not valid.
    Status(u16),
    /// An error with this status and with `Retry-After`, in seconds (RFC 9110 §10.2.3).
    StatusRetryAfter(u16, u64),
    /// A 200 with an HTML page, such as a login form or a proxy's error page.
    Html,
    /// A 200 with the content type of JSON, but a body that is not JSON.
    NotJson,
    /// A key set without keys. Discovery is not affected.
    EmptySet,
    /// A 200 without a body.
    EmptyBody,
    /// A 304, even if the request was not conditional.
    NotModified,
    /// The first half of the correct document, then the connection is closed.
    HalfBody,
    /// The correct document with an additional member of 600 KiB.
    TooLarge,
    /// A 302 to this URL.
    Redirect(String),
    /// The correct document, at one byte per second.
    Drip,
    /// No response, ever. The connection stays open.
    Hang,
    /// No response until the fault is replaced or removed, and then the response of the new state.
    /// Use it in a test with several requests that must wait at the same time.
    Hold,
    /// A discovery document with this issuer (RFC 8414 §3.3). The key set is not affected.
    WrongIssuer(String),
    /// A discovery document with this `jwks_uri`, as if the issuer had moved its key set. The key
    /// set at the old URL is not affected.
    JwksUri(String),
    /// A 200 with this body, which need not be JSON.
    Body(String),
    /// An introspection response about this other token. Other documents are not affected.
    OtherToken(String),
}

impl FromStr for Fault {
    type Err = UnknownFault;

    /// Parses the names that `warp-bearer dev --fail` accepts.
    fn from_str(name: &str) -> Result<Self, UnknownFault> {
        Ok(match name {
            "hang" => Self::Hang,
            "drip" => Self::Drip,
            "html" => Self::Html,
            "not-json" => Self::NotJson,
            "empty-set" => Self::EmptySet,
            "empty-body" => Self::EmptyBody,
            "not-modified" => Self::NotModified,
            "half-body" => Self::HalfBody,
            "too-large" => Self::TooLarge,
            "redirect" => Self::Redirect("https://elsewhere.example/".to_owned()),
            "wrong-issuer" => Self::WrongIssuer("https://elsewhere.example/".to_owned()),
            status => {
                let status = status.parse().map_err(|_| UnknownFault)?;
                if !(400..600).contains(&status) {
                    return Err(UnknownFault);
                }
                Self::Status(status)
            }
        })
    }
}

/// The error returned when parsing an unknown name as a [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFault;

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected one of hang, drip, html, not-json, empty-set, empty-body, not-modified, half-body, \
             too-large, redirect, wrong-issuer, or a status from 400 to 599",
        )
    }
}

impl Error for UnknownFault {}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) discovery: Option<Fault>,
    pub(super) jwks: Option<Fault>,
    pub(super) introspection: Option<Fault>,
}

impl Fault {
    pub(super) async fn answer(self, mut document: Value) -> Response {
        match self {
            Self::Status(status) => error(status).into_response(),
            Self::StatusRetryAfter(status, seconds) => {
                reply::with_header(error(status), RETRY_AFTER, seconds).into_response()
            }
            Self::Html => {
                reply::html("<!doctype html><title>Please sign in</title>").into_response()
            }
            Self::NotJson => ok(r#"{"keys":[{"kty":"#.to_owned()),
            Self::HalfBody => half(document.to_string().as_bytes()),
            Self::Drip => drip(document.to_string().into_bytes()),
            Self::Redirect(to) => {
                reply::with_header(StatusCode::FOUND, LOCATION, to).into_response()
            }
            Self::Hang | Self::Hold => future::pending().await,
            Self::TooLarge => {
                if let Some(members) = document.as_object_mut() {
                    members.insert("padding".to_owned(), json!(" ".repeat(600 * 1024)));
                }
                ok(document.to_string())
            }
            Self::EmptySet => {
                set(&mut document, "keys", json!([]));
                ok(document.to_string())
            }
            Self::EmptyBody => ok(String::new()),
            Self::NotModified => StatusCode::NOT_MODIFIED.into_response(),
            Self::WrongIssuer(issuer) => {
                set(&mut document, "issuer", json!(issuer));
                ok(document.to_string())
            }
            Self::Body(body) => ok(body),
            Self::OtherToken(_) => ok(document.to_string()),
            Self::JwksUri(uri) => {
                set(&mut document, "jwks_uri", json!(uri));
                ok(document.to_string())
            }
        }
    }
}

fn error(status: u16) -> impl Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = reply::json(&json!({"error": "server_error"}));
    reply::with_status(body, status)
}

fn ok(body: String) -> Response {
    reply::with_header(body, CONTENT_TYPE, "application/json").into_response()
}

/// Changes a member if the document has it. (Discovery documents and key sets have different
/// members.)
fn set(document: &mut Value, name: &str, value: Value) {
    if let Some(member) = document.get_mut(name) {
        *member = value;
    }
}

fn half(body: &[u8]) -> Response {
    let first = Ok(body[..body.len() / 2].to_vec());
    let end = stream::once(async {
        // Let the server flush the first half. Otherwise, it wouldn't even send the head.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    streamed(body.len(), stream::iter([first]).chain(end))
}

fn drip(body: Vec<u8>) -> Response {
    let length = body.len();
    let bytes = stream::iter(body).then(|byte| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(vec![byte])
    });
    streamed(length, bytes)
}

/// A JSON response with this `Content-Length`, even if `body` has another length.
fn streamed<S>(length: usize, body: S) -> Response
where
    S: stream::Stream<Item = io::Result<Vec<u8>>> + Send + Sync + 'static,
{
    let body = reply::with_header(reply::stream(body), CONTENT_LENGTH, length);
    reply::with_header(body, CONTENT_TYPE, "application/json").into_response()
}
