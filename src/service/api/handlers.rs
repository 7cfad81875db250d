//! The handlers of the routes: plain async functions without filters.
#![allow(clippy::unused_async)] // a handler is async whether it waits or not

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Value, json};
use warp::{
    Reply,
    http::{
        Response as HttpResponse, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    },
    reply::Response,
};

use crate::{
    auth::{Auth, Claims, Problem, context, keys::KeyStatus},
    service::api::shared_document::SharedDocument,
};

/// Answers `GET /api/public`.
pub async fn public() -> Response {
    json_text(
        r#"{"status":"success","msg":"Hello from a public endpoint! You don't need to be authenticated to see this."}"#,
    )
}

/// Answers `GET /api/private` with the claims.
pub async fn private(claims: Claims) -> Response {
    // Claims are personal data, and caches must not store them
    let mut response = json_text(claims.json().to_owned());
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// Answers `GET /api/private-scoped`.
pub async fn private_scoped(_: Claims) -> Response {
    json_text(
        r#"{"status":"success","msg":"Hello from a private endpoint! Your token grants read:messages."}"#,
    )
}

/// Answers `GET /livez` while the process runs.
pub async fn livez() -> Response {
    context::set_probe();
    json_text(r#"{"status":"alive"}"#)
}

/// Answers `GET /readyz` with 200 if an issuer has keys, a shared store has been read, and the
/// service isn't stopping. Otherwise, it is a 503.
///
/// The response is public, so it gives only a word from a fixed list as the reason for a failed
/// fetch. The log has the details.
pub(super) async fn readyz(readiness: Arc<Readiness>, is_stopping: bool) -> Response {
    context::set_probe();
    let auth = &readiness.auth;
    let store = auth.store().health();
    let ready = auth.is_ready() && store.is_synchronized && !is_stopping;
    let variant = (ready, is_stopping, store.ok);
    let body = readiness.documents.get(variant, || {
        let issuers: Vec<_> = auth.status().iter().map(issuer).collect();
        let body = json!({
            "ready": ready,
            "stopping": is_stopping,
            "issuers": issuers,
            "state_store": {"ok": store.ok},
        });
        Some(body.to_string().into())
    });
    let mut response = json_text(body.unwrap_or_default());
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    no_store(response)
}

pub(super) struct Readiness {
    auth: Auth,
    /// One document for each combination of: the service is ready, it is stopping, the store
    /// responds
    documents: SharedDocument<(bool, bool, bool)>,
}

impl Readiness {
    pub(super) fn new(auth: Auth) -> Arc<Self> {
        let documents = SharedDocument::new();
        Arc::new(Self { auth, documents })
    }
}

/// Answers `POST /backchannel-logout`: revokes the session of a logout token.
pub async fn logout(auth: Auth, token: Result<Option<String>, Problem>) -> Response {
    let token = match token {
        Ok(Some(token)) => token,
        Ok(None) => return no_store(Problem::InvalidLogoutToken.response()),
        Err(problem) => return no_store(problem.response()),
    };
    let verdict = auth.log_out(&token).await;
    match verdict {
        Ok(_) => no_store(warp::reply().into_response()),
        Err(error) if error.status().is_server_error() => auth.refusal(error).response(),
        Err(error) => {
            tracing::warn!(code = error.code(), "logout token rejected");
            no_store(Problem::InvalidLogoutToken.response())
        }
    }
}

fn no_store(response: Response) -> Response {
    warp::reply::with_header(response, CACHE_CONTROL, "no-store").into_response()
}

/// Answers with a JSON document that is the same for every caller.
pub async fn document(document: Bytes, caching: &'static str) -> Response {
    warp::reply::with_header(json_text(document), CACHE_CONTROL, caching).into_response()
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
