//! Introspection (RFC 7662) and revocation (RFC 7009) of tokens.
//!
//! Active tokens are the opaque tokens of this issuer, JWTs from its token endpoint, and JWTs that
//! a test has registered.

use std::{convert::Infallible, sync::Arc};

use serde_json::json;
use warp::{
    Filter, Rejection, Reply,
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE},
    },
    reply::{self, Response},
};

use crate::issuer::{faults::Fault, grant, state::State};

const MAX_BODY: u64 = 128 * 1024;

/// Extracts the parameters of a form. Empty if we can't parse it.
pub(super) fn parameters()
-> impl Filter<Extract = (Vec<(String, String)>,), Error = Infallible> + Clone {
    warp::body::content_length_limit(MAX_BODY)
        .and(warp::body::form())
        .recover(|_: Rejection| async { Ok::<_, Infallible>(Vec::new()) })
        .unify()
}

pub(super) async fn introspect(
    state: Arc<State>,
    headers: HeaderMap,
    parameters: Vec<(String, String)>,
) -> Response {
    state.count(|requests| requests.introspection += 1);
    let fault = state.fault(|faults| &faults.introspection).await;
    if let Some(Fault::Status(status @ (401 | 403))) = fault {
        return denied(status);
    }
    if !is_authenticated(&state, &headers, &parameters) {
        return denied(401);
    }
    let mut token = parameter(&parameters, "token").unwrap_or_default();
    if let Some(Fault::OtherToken(other)) = &fault {
        token.clone_from(other);
    }
    let answer = state.tokens().answer(&token);
    let response = match fault {
        None | Some(Fault::OtherToken(_)) => reply::json(&answer).into_response(),
        Some(fault) => fault.answer(answer).await,
    };
    reply::with_header(response, CACHE_CONTROL, "no-store").into_response()
}

/// Answers `POST /oauth/revoke`. An unknown token is not an error (RFC 7009 §2.2).
pub(super) fn revoke(
    state: &State,
    headers: &HeaderMap,
    parameters: &[(String, String)],
) -> Response {
    if !is_authenticated(state, headers, parameters) {
        return denied(401);
    }
    if let Some(token) = parameter(parameters, "token") {
        state.tokens().remove(&token);
    }
    StatusCode::OK.into_response()
}

/// Checks the client's credentials, which must be sent by a method in the metadata
fn is_authenticated(state: &State, headers: &HeaderMap, parameters: &[(String, String)]) -> bool {
    let form_only = state.settings().form_only;
    if form_only && headers.contains_key(AUTHORIZATION) {
        return false;
    }
    let id = parameter(parameters, "client_id");
    let secret = parameter(parameters, "client_secret");
    grant::is_client(&state.client, headers, id.as_deref(), secret.as_deref())
}

fn parameter(parameters: &[(String, String)], name: &str) -> Option<String> {
    let mut found = parameters.iter().filter(|(found, _)| found == name);
    found.next().map(|(_, value)| value.clone())
}

fn denied(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED);
    let body = reply::json(&json!({"error": "invalid_client"}));
    let response = reply::with_status(body, status);
    reply::with_header(response, WWW_AUTHENTICATE, r#"Basic realm="issuer""#).into_response()
}
