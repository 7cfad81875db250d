//! What the routes answer. Plain async functions that have never heard of filters.
#![allow(clippy::unused_async)] // a handler is async whether it waits or not

use hyper::body::Bytes;
use serde_json::{Value, json};
use warp::{
    Reply,
    http::{
        HeaderMap, Response as HttpResponse, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    },
    reply::Response,
};

#[cfg(feature = "docs")]
use crate::service::api::docs::Pages;
use crate::{
    auth::{Auth, Claims, context, keys::KeyStatus},
    service::api::{errors::show, forward_auth},
};

/// `GET /api/public`
pub async fn public() -> Response {
    json_text(
        r#"{"status":"success","msg":"Hello from a public endpoint! You don't need to be authenticated to see this."}"#,
    )
}

/// `GET /api/private`: the claims, as the issuer signed them.
pub async fn private(claims: Claims) -> Response {
    // They are about somebody: no cache keeps them.
    let mut response = json_text(claims.json().to_owned());
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// `GET /api/private-scoped`
pub async fn private_scoped(_: Claims) -> Response {
    json_text(
        r#"{"status":"success","msg":"Hello from a private endpoint! Your token grants read:messages."}"#,
    )
}

/// `/auth`: yes, and whose token it is, for the application behind the proxy that asks.
pub async fn forwarded(claims: Claims) -> Response {
    forward_auth::told(&claims)
}

/// `GET /livez`: the process runs.
pub async fn livez() -> Response {
    context::set_probe();
    json_text(r#"{"status":"alive"}"#)
}

/// `GET /readyz`: keys are held and the service is not about to stop.
///
/// Anybody may ask. Of a failed fetch it shows a word of a fixed list; the details go to the log.
pub async fn readyz(auth: Auth, is_stopping: bool) -> Response {
    context::set_probe();
    let ready = auth.is_ready() && !is_stopping;
    let issuers: Vec<_> = auth.status().iter().map(issuer).collect();
    let body = json!({
        "ready": ready,
        "stopping": is_stopping,
        "issuers": issuers,
    });
    let mut response = json_text(body.to_string());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    warp::reply::with_header(response, CACHE_CONTROL, "no-store").into_response()
}

/// `GET /.well-known/oauth-protected-resource`: the same for everybody, until the next start.
pub async fn metadata(document: Bytes) -> Response {
    let document = json_text(document);
    warp::reply::with_header(document, CACHE_CONTROL, "public, max-age=3600").into_response()
}

/// `GET /errors`: every code that an answer can have.
pub async fn errors(headers: HeaderMap) -> Response {
    show::index(&headers)
}

/// `GET /errors/{code}`: what it means, and how what causes it is mended.
pub async fn error(code: String, headers: HeaderMap) -> Response {
    show::page(&code, &headers)
}

/// `GET /openapi.json`
#[cfg(feature = "docs")]
pub async fn openapi(document: Bytes) -> Response {
    let response = json_text(document);
    warp::reply::with_header(response, CACHE_CONTROL, "no-cache").into_response()
}

/// `GET /docs`
#[cfg(feature = "docs")]
pub(in crate::service) async fn docs(pages: Pages) -> Response {
    pages.page()
}

/// `GET /docs/{file}`
#[cfg(feature = "docs")]
pub(in crate::service) async fn docs_file(pages: Pages, file: String) -> Response {
    pages.file(&file)
}

fn issuer(status: &KeyStatus) -> Value {
    json!({
        "issuer": status.issuer,
        "keys": status.keys,
        "age_seconds": status.age.map(|age| age.as_secs()),
        "next_fetch_seconds": status.next_fetch.map(|next| next.as_secs()),
        "last_error": status.last_error_code,
    })
}

fn json_text<T>(body: T) -> Response
where
    HttpResponse<T>: Reply,
{
    let mut response = HttpResponse::new(body).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
