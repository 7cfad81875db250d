//! Requests to the issuer, and tokens that `jsonwebtoken` has decoded and verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation, jwk::Jwk};
use reqwest::{Client, Response, header, redirect::Policy};
use serde_json::Value;
use warp_bearer::{auth::Algorithm, issuer::Issuer};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Starts an issuer with an ES256 key. Generating an RSA key takes long, and most tests don't need
/// one.
pub(crate) async fn elliptic() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

pub(crate) fn client() -> Client {
    let client = Client::builder().no_proxy().redirect(Policy::none());
    client.build().expect("a client")
}

pub(crate) async fn get(url: &str) -> Response {
    client().get(url).send().await.expect("an answer")
}

pub(crate) async fn conditional(issuer: &Issuer, tag: &str) -> Response {
    let request = client().get(issuer.jwks_uri());
    let response = request.header(header::IF_NONE_MATCH, tag).send().await;
    response.expect("an answer")
}

pub(crate) async fn post(
    issuer: &Issuer,
    content_type: &str,
    body: String,
    authorization: Option<&str>,
) -> Response {
    let mut request = client()
        .post(issuer.token_endpoint())
        .header(header::CONTENT_TYPE, content_type)
        .body(body);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.send().await.expect("an answer")
}

pub(crate) fn good_form(issuer: &Issuer) -> String {
    let (id, secret) = (issuer.client_id(), issuer.client_secret());
    format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
}

pub(crate) async fn json_of(response: Response) -> Value {
    let text = response.text().await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) async fn published(issuer: &Issuer) -> Vec<Value> {
    let set = json_of(get(issuer.jwks_uri()).await).await;
    set["keys"].as_array().expect("a key set").clone()
}

pub(crate) async fn kids(issuer: &Issuer) -> Vec<String> {
    let keys = published(issuer).await;
    let kids = keys.iter().map(|key| key["kid"].as_str().expect("a kid"));
    kids.map(str::to_owned).collect()
}

pub(crate) fn jwk(value: &Value) -> Jwk {
    serde_json::from_value(value.clone()).expect("a JWK")
}

pub(crate) fn verify(token: &str, algorithm: Algorithm, key: &Value) -> Option<Value> {
    let key = DecodingKey::from_jwk(&jwk(key)).expect("a key");
    decode(token, algorithm, &key)
}

pub(crate) fn decode(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Option<Value> {
    let mut validation = Validation::new(algorithm.as_str().parse().unwrap());
    validation.validate_aud = false;
    let data = jsonwebtoken::decode::<Value>(token, key, &validation);
    data.ok().map(|data| data.claims)
}

pub(crate) fn bytes_of(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

pub(crate) fn header_of(token: &str) -> Value {
    let part = token.split('.').next().expect("a header");
    serde_json::from_slice(&bytes_of(part)).expect("JSON")
}

pub(crate) fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&bytes_of(part)).expect("JSON")
}
