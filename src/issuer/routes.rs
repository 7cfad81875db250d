//! The issuer's routes: its discovery document, its keys, its token, introspection and
//! revocation endpoints, and its errors.

use std::{convert::Infallible, sync::Arc};

use aws_lc_rs::digest;
use serde_json::{Value, json};
use warp::{
    Filter, Reply,
    http::{
        HeaderMap, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    path::FullPath,
    reply::{self, Response},
};

use crate::issuer::{
    faults::Fault,
    grant, hosts, introspection,
    keys::base64url,
    origins,
    state::{INTROSPECT, JWKS, REVOKE, State, TOKEN},
};

pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Requests that match no route get a JSON error.
pub(super) fn routes(
    state: Arc<State>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    let foreign = hosts::foreign(state.addr).map(misdirected);
    let with_state = warp::any().map(move || state.clone());

    let discovery = warp::path!(".well-known" / "openid-configuration")
        .and(warp::get())
        .and(with_state.clone())
        .then(discovery);

    let jwks = warp::path!(".well-known" / "jwks.json")
        .and(warp::get())
        .and(with_state.clone())
        .and(warp::header::headers_cloned())
        .then(jwks);

    let token = warp::path!("oauth" / "token")
        .and(warp::post())
        .and(with_state.clone())
        .and(warp::header::headers_cloned())
        .and(grant::parameters())
        .map(|state: Arc<State>, headers: HeaderMap, parameters| {
            origins::allow_origin(&state, &headers, grant::token(&state, &headers, parameters))
        });

    let introspect = warp::path!("oauth" / "introspect")
        .and(warp::post())
        .and(with_state.clone())
        .and(warp::header::headers_cloned())
        .and(introspection::parameters())
        .then(introspection::introspect);

    let revoke = warp::path!("oauth" / "revoke")
        .and(warp::post())
        .and(with_state.clone())
        .and(warp::header::headers_cloned())
        .and(introspection::parameters())
        .map(
            |state: Arc<State>, headers: HeaderMap, parameters: Vec<_>| {
                introspection::revoke(&state, &headers, &parameters)
            },
        );

    let preflight = warp::path!("oauth" / "token")
        .and(warp::options())
        .and(with_state)
        .and(warp::header::headers_cloned())
        .map(|state: Arc<State>, headers: HeaderMap| {
            origins::preflight(&state, &headers).unwrap_or_else(|| refuse(TOKEN))
        });

    // Boxed, because the time to compile a filter grows with the square of its depth
    let known = [
        discovery.boxed(),
        jwks.boxed(),
        token.boxed(),
        introspect.boxed(),
        revoke.boxed(),
        preflight.boxed(),
    ];
    known
        .into_iter()
        .fold(foreign.boxed(), |above, route| {
            above.or(route).unify().boxed()
        })
        .or(warp::path::full().map(|path: FullPath| refuse(path.as_str())))
        .unify()
}

/// The metadata of the issuer (`OpenID` Connect Discovery 1.0 §3, RFC 8414 §2).
async fn discovery(state: Arc<State>) -> Response {
    state.count(|requests| requests.discovery += 1);
    let fault = state.fault(|faults| &faults.discovery).await;
    let methods: &[&str] = if state.settings().form_only {
        &["client_secret_post"]
    } else {
        &["client_secret_basic", "client_secret_post"]
    };
    let document = json!({
        "issuer": state.url,
        "jwks_uri": state.jwks_uri,
        "token_endpoint": state.token_endpoint,
        "grant_types_supported": ["client_credentials"],
        // required by RFC 8414; empty, since no user can sign in
        "response_types_supported": [],
        "subject_types_supported": ["public"],
        "scopes_supported": grant::SCOPES,
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "introspection_endpoint": format!("http://{}{INTROSPECT}", state.addr),
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": format!("http://{}{REVOKE}", state.addr),
        "id_token_signing_alg_values_supported": [state.settings().keys.current().algorithm()],
    });
    match fault {
        Some(fault) => fault.answer(document).await,
        None => reply::json(&document).into_response(),
    }
}

/// The key set. Supports conditional requests (RFC 9110 §13.1.2) if entity tags are enabled.
async fn jwks(state: Arc<State>, headers: HeaderMap) -> Response {
    state.count(|requests| requests.jwks += 1);
    let fault = state.fault(|faults| &faults.jwks).await;
    let (document, max_age, tagged) = {
        let settings = state.settings();
        (settings.keys.document(), settings.max_age, settings.etag)
    };
    match fault {
        None | Some(Fault::WrongIssuer(_) | Fault::JwksUri(_)) => {}
        Some(fault) => return fault.answer(document).await,
    }

    let body = document.to_string();
    let tag = tagged.then(|| entity_tag(&body));
    let unchanged = tag.as_ref().is_some_and(|tag| is_named(&headers, tag));
    let mut response = if unchanged {
        state.count(|requests| requests.not_modified += 1);
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        reply::with_header(body, CONTENT_TYPE, "application/json").into_response()
    };
    if let Some(tag) = tag {
        response = reply::with_header(response, ETAG, tag).into_response();
    }
    if let Some(seconds) = max_age {
        let value = format!("public, max-age={seconds}");
        response = reply::with_header(response, CACHE_CONTROL, value).into_response();
    }
    response
}

/// A strong entity tag (RFC 9110 §8.8.3). Equal bytes have equal tags.
fn entity_tag(body: &str) -> String {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    format!("\"{}\"", base64url(digest))
}

/// Returns true if `If-None-Match` contains `tag`, using weak comparison (RFC 9110 §13.1.2).
fn is_named(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

fn misdirected() -> Response {
    error(StatusCode::MISDIRECTED_REQUEST, "misdirected_request").into_response()
}

fn refuse(path: &str) -> Response {
    match path {
        DISCOVERY | JWKS => wrong_method("GET"),
        TOKEN | INTROSPECT | REVOKE => wrong_method("POST"),
        _ => error(StatusCode::NOT_FOUND, "not_found").into_response(),
    }
}

fn wrong_method(allowed: &'static str) -> Response {
    let refusal = error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
    reply::with_header(refusal, ALLOW, allowed).into_response()
}

fn error(status: StatusCode, error: &str) -> impl Reply + use<> {
    let body: Value = json!({"error": error});
    reply::with_status(reply::json(&body), status)
}
