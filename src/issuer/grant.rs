//! The client credentials grant (RFC 6749 §4.4), with Auth0's parameters and claims. There is only
//! one client.

use std::{convert::Infallible, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use warp::{
    Filter, Rejection, Reply,
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA, WWW_AUTHENTICATE},
    },
    reply::{self, Response},
};

use crate::issuer::{client::Client, mint::Profile, proof_check, state::State};

/// The scopes listed in the metadata. Other scopes are granted too.
pub(super) const SCOPES: [&str; 2] = ["read:messages", "write:messages"];

/// The lifetime of a token: one day, which is Auth0's default for an API.
const LIFETIME: Duration = Duration::from_secs(86400);

/// The maximum size of a request body in bytes, more than any valid form needs.
const MAX_BODY: u64 = 16 * 1024;

#[derive(Deserialize)]
pub(super) struct Parameters {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    audience: Option<String>,
    scope: Option<String>,
}

/// An error response of the token endpoint (RFC 6749 §5.2)
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl Refusal {
    const fn new(status: StatusCode, error: &'static str, description: &'static str) -> Self {
        Self {
            status,
            error,
            description,
        }
    }

    const fn invalid_request(description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }
}

/// Extracts the parameters of a form or of JSON. A repeated parameter is rejected (RFC 6749 §3.2).
pub(super) fn parameters()
-> impl Filter<Extract = (Result<Parameters, Refusal>,), Error = Infallible> + Clone {
    warp::body::content_length_limit(MAX_BODY)
        .and(warp::body::form().or(warp::body::json()).unify())
        .map(Ok)
        .recover(|_: Rejection| async {
            let refusal = Refusal::invalid_request("The body is neither a form nor JSON.");
            Ok::<_, Infallible>(Err(refusal))
        })
        .unify()
}

pub(super) fn token(
    state: &State,
    headers: &HeaderMap,
    parameters: Result<Parameters, Refusal>,
) -> Response {
    state.count(|requests| requests.token += 1);
    let response = match parameters.and_then(|parameters| grant(state, headers, &parameters)) {
        Ok(token) => reply::json(&token).into_response(),
        Err(refusal) => refuse(&refusal),
    };
    let response = reply::with_header(response, CACHE_CONTROL, "no-store");
    reply::with_header(response, PRAGMA, "no-cache").into_response()
}

fn grant(state: &State, headers: &HeaderMap, requested: &Parameters) -> Result<Value, Refusal> {
    match given(requested.grant_type.as_deref()) {
        Some("client_credentials") => {}
        Some(_) => {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "The grant type is not client_credentials.",
            ));
        }
        None => return Err(Refusal::invalid_request("The grant type is missing.")),
    }
    authenticate(&state.client, headers, requested)?;
    if given(requested.audience.as_deref()).is_some_and(|audience| audience != state.audience) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "access_denied",
            "The client is not authorized to access this audience.",
        ));
    }

    let bound_to = bound_to(state, headers)?;
    let id = &state.client.id;
    let profile = state.settings().profile;
    let mut token = state
        .token()
        .subject(format!("{id}@clients"))
        .expires_in(LIFETIME)
        .profile(profile, id);
    if profile == Profile::Auth0 {
        token = token.claim("gty", "client-credentials");
    }
    let mut answer = json!({"token_type": "Bearer", "expires_in": LIFETIME.as_secs()});
    if let Some(thumbprint) = bound_to {
        token = token.claim("cnf", json!({"jkt": thumbprint}));
        answer["token_type"] = json!("DPoP");
    }
    let scope = granted(requested);
    if !scope.is_empty() {
        token = token.scope(&scope);
        answer["scope"] = json!(scope);
    }
    answer["access_token"] = json!(state.granted(token));
    Ok(answer)
}

/// The thumbprint of the key to bind the token to. `None` if the request has no DPoP proof (RFC
/// 9449 §5).
fn bound_to(state: &State, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut proofs = headers.get_all("dpop").iter();
    let Some(proof) = proofs.next() else {
        return Ok(None);
    };
    let proof = proof.to_str().ok().filter(|_| proofs.next().is_none());
    let thumbprint = proof.and_then(|proof| proof_check::thumbprint(proof, &state.token_endpoint));
    thumbprint.map(Some).ok_or(Refusal::new(
        StatusCode::BAD_REQUEST,
        "invalid_dpop_proof",
        "The DPoP proof is not valid for this endpoint.",
    ))
}

/// Checks the client's id and secret, in the header or in the body, but not in both (RFC 6749
/// §2.3).
fn authenticate(
    client: &Client,
    headers: &HeaderMap,
    requested: &Parameters,
) -> Result<(), Refusal> {
    let in_body = (
        given(requested.client_id.as_deref()),
        given(requested.client_secret.as_deref()),
    );
    if headers.contains_key(AUTHORIZATION) && in_body.1.is_some() {
        return Err(Refusal::invalid_request("The client authenticates twice."));
    }
    if is_client(client, headers, in_body.0, in_body.1) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNAUTHORIZED,
        "invalid_client",
        "The client is unknown, or its secret is wrong.",
    ))
}

pub(super) fn is_client(
    client: &Client,
    headers: &HeaderMap,
    id: Option<&str>,
    secret: Option<&str>,
) -> bool {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return (id, secret) == (Some(&client.id), Some(&client.secret));
    };
    let expected = STANDARD.encode(format!("{}:{}", client.id, client.secret));
    let value = value.to_str().ok().and_then(|value| value.split_once(' '));
    value.is_some_and(|(scheme, credentials)| {
        scheme.eq_ignore_ascii_case("basic") && credentials.trim() == expected
    })
}

/// The scopes to grant: the requested ones, without duplicates and invalid scope tokens (RFC 6749
/// §3.3). Auth0 has a list of scopes for each API, but here we grant everything, so that you can
/// try any route.
fn granted(requested: &Parameters) -> String {
    let mut granted = Vec::new();
    for scope in given(requested.scope.as_deref())
        .unwrap_or_default()
        .split(' ')
    {
        if is_scope(scope) && !granted.contains(&scope) {
            granted.push(scope);
        }
    }
    granted.join(" ")
}

fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(fits)
}

/// Empty parameters count as omitted (RFC 6749 §3.2).
fn given(parameter: Option<&str>) -> Option<&str> {
    parameter.filter(|value| !value.is_empty())
}

fn refuse(refusal: &Refusal) -> Response {
    let body = json!({"error": refusal.error, "error_description": refusal.description});
    let response = reply::with_status(reply::json(&body), refusal.status);
    if refusal.status == StatusCode::UNAUTHORIZED {
        let challenge = r#"Basic realm="issuer", charset="UTF-8""#;
        return reply::with_header(response, WWW_AUTHENTICATE, challenge).into_response();
    }
    response.into_response()
}
