//! What can be wrong with an issuer that still answers its port.
//!
//! Each fault is one that issuers, or the proxies before them, have shown in earnest.

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

/// How the discovery document or the key set fails; see [`Issuer::fail`](crate::issuer::Issuer::fail).
///
/// The token endpoint is spared. A fault comes before conditional requests: there is no 304 then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An error of this status, in JSON. 500 if there can be no such status.
    Status(u16),
    /// An error of this status with `Retry-After`, in seconds (RFC 9110 §10.2.3).
    StatusRetryAfter(u16, u64),
    /// A 200 with a page for people: a login form, or a proxy's apology.
    Html,
    /// A 200 that calls itself JSON and is not.
    NotJson,
    /// A key set without keys. Discovery answers as ever.
    EmptySet,
    /// A 200 without a body.
    EmptyBody,
    /// A 304, whether or not the request was conditional.
    NotModified,
    /// The right document, up to the middle, where the connection ends.
    HalfBody,
    /// The right document and 600 KiB more, in a member that nobody reads.
    TooLarge,
    /// A 302 to this address.
    Redirect(String),
    /// The right document, a byte a second.
    Drip,
    /// No answer, ever; the connection stays open.
    Hang,
    /// No answer until the fault changes, then whatever is right by then. For a test that wants
    /// several requests to be waiting at once.
    Hold,
    /// A discovery document of another issuer (RFC 8414 §3.3). The key set is not affected.
    WrongIssuer(String),
    /// A discovery document with this `jwks_uri`, as of an issuer that has moved its key set. The key
    /// set at the old address is not affected.
    JwksUri(String),
}

impl FromStr for Fault {
    type Err = UnknownFault;

    /// The names that `warp-bearer dev --fail` takes.
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

/// A name that no [`Fault`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFault;

impl fmt::Display for UnknownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "one of hang, drip, html, not-json, empty-set, empty-body, not-modified, half-body, \
             too-large, redirect, wrong-issuer, or a status from 400 to 599",
        )
    }
}

impl Error for UnknownFault {}

/// The faults in force, by endpoint.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) discovery: Option<Fault>,
    pub(super) jwks: Option<Fault>,
}

impl Fault {
    /// What is answered in place of `document`.
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

/// Changes a member that the document has; the other kind of document does not have it.
fn set(document: &mut Value, name: &str, value: Value) {
    if let Some(member) = document.get_mut(name) {
        *member = value;
    }
}

fn half(body: &[u8]) -> Response {
    let first = Ok(body[..body.len() / 2].to_vec());
    let end = stream::once(async {
        // Lets the server flush what it has; otherwise not even the head would go out.
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

/// A JSON answer of a stated length, whatever `body` then makes of it.
fn streamed<S>(length: usize, body: S) -> Response
where
    S: stream::Stream<Item = io::Result<Vec<u8>>> + Send + Sync + 'static,
{
    let body = reply::with_header(reply::stream(body), CONTENT_LENGTH, length);
    reply::with_header(body, CONTENT_TYPE, "application/json").into_response()
}
