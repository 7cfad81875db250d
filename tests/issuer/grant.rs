//! The token endpoint: client credentials (RFC 6749 §4.4), with Auth0's parameters.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Response, header};
use serde_json::json;
use warp_bearer::{auth::Algorithm, issuer::Issuer};

use crate::fixtures::{FORM, claims_of, client, elliptic, good_form, json_of, post, verify};

#[tokio::test]
async fn page_of_an_allowed_origin_can_fetch_a_token() {
    const PAGE: &str = "http://127.0.0.1:8000";
    let issuer = Issuer::start().await;
    let ask = async |method: &str, origin: &str| {
        let method = method.parse().unwrap();
        let asked = client().request(method, issuer.token_endpoint());
        asked.header(header::ORIGIN, origin).send().await.unwrap()
    };
    let allowed = |answer: &Response| {
        let origin = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        origin.map(|origin| origin.to_str().unwrap().to_owned())
    };
    let before = ask("OPTIONS", PAGE).await;
    assert_eq!(before.status(), 405);
    assert_eq!(allowed(&before), None);

    issuer.allow_origins([PAGE]);
    for (case, method, origin, status, readable) in [
        ("a preflight", "OPTIONS", PAGE, 204, true),
        ("a request", "POST", PAGE, 400, true),
        (
            "another's preflight",
            "OPTIONS",
            "http://a.example",
            405,
            false,
        ),
        ("another's request", "POST", "http://a.example", 400, false),
    ] {
        let answer = ask(method, origin).await;
        assert_eq!(answer.status().as_u16(), status, "{case}");
        assert_eq!(
            allowed(&answer),
            readable.then(|| PAGE.to_owned()),
            "{case}"
        );
    }
}

#[tokio::test]
async fn grants_a_token_for_form_json_and_basic() {
    let issuer = elliptic().await;
    let (id, secret) = (issuer.client_id(), issuer.client_secret());
    let scope = "write:messages admin read:messages write:messages \"x\"";
    let form = format!(
        "grant_type=client_credentials&scope={}",
        scope.replace(' ', "+").replace('"', "%22")
    );
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));

    for (case, content_type, body, authorization) in [
        (
            "form",
            "application/x-www-form-urlencoded",
            format!(
                "{form}&client_id={id}&client_secret={secret}&audience=https%3A%2F%2Fapi.example.com"
            ),
            None,
        ),
        (
            "json",
            "application/json",
            json!({
                "grant_type": "client_credentials", "client_id": id, "client_secret": secret,
                "audience": issuer.audience(), "scope": scope,
            })
            .to_string(),
            None,
        ),
        (
            "basic",
            "application/x-www-form-urlencoded; charset=utf-8",
            form,
            Some(basic),
        ),
    ] {
        let response = post(&issuer, content_type, body, authorization.as_deref()).await;
        assert_eq!(response.status(), 200, "{case}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let answer = json_of(response).await;
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 86400);
        assert_eq!(
            answer["scope"], "write:messages admin read:messages",
            "{case}"
        );

        let token = answer["access_token"].as_str().expect("a token");
        let claims = verify(token, Algorithm::ES256, &issuer.key().public_jwk()).expect(case);
        let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64());
        assert_eq!(lifetime.map(|(exp, iat)| exp - iat), Some(86400));
        assert_eq!(claims["iss"], issuer.url());
        assert_eq!(claims["sub"], format!("{id}@clients"));
        assert_eq!(claims["aud"], issuer.audience());
        assert_eq!(claims["azp"], id);
        assert_eq!(claims["gty"], "client-credentials");
        assert_eq!(claims["scope"], "write:messages admin read:messages");
    }
    assert_eq!(issuer.requests().token, 3);
}

#[tokio::test]
async fn grants_no_scope_when_none_is_requested() {
    let issuer = elliptic().await;
    let response = post(&issuer, FORM, good_form(&issuer), None).await;
    let answer = json_of(response).await;
    assert_eq!(answer.get("scope"), None);
    let token = answer["access_token"].as_str().expect("a token");
    assert_eq!(claims_of(token).get("scope"), None);
}

#[tokio::test]
async fn unreadable_body_is_an_invalid_request() {
    let issuer = elliptic().await;
    let good = good_form(&issuer);
    for (case, content_type, body) in [
        ("repeated", FORM, format!("{good}&scope=a&scope=b")),
        (
            "too long",
            FORM,
            format!("{good}&scope={}", "a".repeat(17_000)),
        ),
        ("not JSON", "application/json", "{".to_owned()),
        ("neither", "text/plain", good),
    ] {
        let response = post(&issuer, content_type, body, None).await;
        refused(case, response, 400, "invalid_request").await;
    }
}

#[tokio::test]
async fn refuses_with_the_error_codes_of_rfc_6749() {
    let issuer = elliptic().await;
    let good = good_form(&issuer);
    let elsewhere = format!("{good}&audience=https://other.example.com");
    let wrong = format!("{good}x");
    let nobody = "grant_type=client_credentials";
    let basic = STANDARD.encode(format!("{}:x", issuer.client_id()));
    let basic = format!("Basic {basic}");
    let basic = Some(&*basic);
    let other = Some("Bearer x");

    for (case, body, authorization, status, error) in [
        ("no grant type", "scope=x", None, 400, "invalid_request"),
        ("an empty one", "grant_type=", None, 400, "invalid_request"),
        (
            "another",
            "grant_type=password",
            None,
            400,
            "unsupported_grant_type",
        ),
        ("wrong secret", &wrong, None, 401, "invalid_client"),
        ("no client", nobody, None, 401, "invalid_client"),
        ("wrong in basic", nobody, basic, 401, "invalid_client"),
        ("another scheme", nobody, other, 401, "invalid_client"),
        ("two methods", &good, basic, 400, "invalid_request"),
        ("other audience", &elsewhere, None, 403, "access_denied"),
    ] {
        let response = post(&issuer, FORM, body.to_owned(), authorization).await;
        refused(case, response, status, error).await;
    }
}

async fn refused(case: &str, response: Response, status: u16, error: &str) {
    assert_eq!(response.status(), status, "{case}");
    let headers = response.headers();
    assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{case}");
    let challenged = headers.contains_key(header::WWW_AUTHENTICATE);
    assert_eq!(challenged, status == 401, "{case}");
    let answer = json_of(response).await;
    assert_eq!(answer["error"], error, "{case}");
    assert!(answer["error_description"].is_string(), "{case}");
}
