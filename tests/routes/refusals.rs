//! The answer to each failure: a row for each line of the table in `docs/errors.md`.

#![allow(clippy::too_many_lines)] // tables

use std::time::Duration;

use serde_json::json;
use warp_bearer::{
    auth::{Algorithm, Auth},
    issuer::{Fault, Issuer, SigningKey},
};

use crate::support::Tenant;

#[tokio::test]
async fn every_failure_of_a_token_has_its_status_error_and_code() {
    let tenant = Tenant::start().await;
    let issuer = &tenant.issuer;
    let token = || issuer.token();
    let stranger = SigningKey::generate(Algorithm::RS256);
    let good = token().sign();
    let encrypted = format!("{good}.AA.AA");

    let padded = format!("{good}=");
    let duplicated = issuer.sign_raw(br#"{"alg":"RS256","alg":"RS256"}"#, b"{}");
    let forged = format!("{}AAAA", &good[..good.len() - 4]);

    #[rustfmt::skip]
    let rows = [
        ("opaque", "sDf4kLm".to_owned(), 401, "invalid_token", "token_not_jwt"),
        ("a JWE", encrypted, 401, "invalid_token", "token_not_jwt"),
        ("padded", padded, 401, "invalid_token", "token_malformed"),
        ("a member twice", duplicated, 401, "invalid_token", "token_malformed"),
        ("crit", token().header("crit", ["exp"]).sign(), 401, "invalid_token", "unsupported_critical_header"),
        ("b64", token().header("b64", false).sign(), 401, "invalid_token", "unsupported_critical_header"),
        ("a logout token", token().typ("logout+jwt").sign(), 401, "invalid_token", "wrong_token_type"),
        ("none", token().header("alg", "none").sign(), 401, "invalid_token", "algorithm_not_allowed"),
        ("not allowed", token().header("alg", "RS512").sign(), 401, "invalid_token", "algorithm_not_allowed"),
        ("another issuer", token().claim("iss", "https://evil.example/").sign(), 401, "invalid_token", "unknown_issuer"),
        ("an unknown key", token().key(&stranger).sign(), 401, "invalid_token", "unknown_key"),
        ("a wrong signature", forged, 401, "invalid_token", "bad_signature"),
        ("a foreign key", token().key(&stranger).kid(issuer.key().kid()).sign(), 401, "invalid_token", "bad_signature"),
        ("expired", token().expired().sign(), 401, "invalid_token", "token_expired"),
        ("not yet valid", token().not_before(300).sign(), 401, "invalid_token", "token_not_yet_valid"),
        ("issued in the future", token().issued_at(300).sign(), 401, "invalid_token", "token_not_yet_valid"),
        ("another audience", token().audience("https://other.example").sign(), 401, "invalid_token", "wrong_audience"),
        ("no audience", token().without("aud").sign(), 401, "invalid_token", "missing_claim"),
        ("no expiry", token().without("exp").sign(), 401, "invalid_token", "missing_claim"),
        ("no issuer", token().without("iss").sign(), 401, "invalid_token", "missing_claim"),
        ("exp as text", token().claim("exp", "tomorrow").sign(), 401, "invalid_token", "invalid_claim"),
        ("a subject that is a number", token().claim("sub", 1).sign(), 401, "invalid_token", "invalid_claim"),
        ("bound", token().claim("cnf", json!({"jkt": "x"})).sign(), 401, "invalid_token", "token_bound"),
    ];
    for (case, token, status, error, code) in rows {
        let answer = tenant.get("/api/private", Some(&token)).await;
        answer.assert_is_problem(case, status, code);
        assert_eq!(answer.json()["error"], error, "{case}");
    }
}

#[tokio::test]
async fn every_failure_of_the_field_has_its_status_error_and_code() {
    let tenant = Tenant::start().await;
    let good = tenant.issuer.token().sign();
    let large = format!("Bearer {}", "a".repeat(16 * 1024 + 1));
    let doubled = format!("Bearer {good}, Bearer {good}");
    #[rustfmt::skip]
    let rows = [
        ("another scheme", "Basic YTpi", 401, None, "missing_token"),
        ("nothing", "Bearer", 400, Some("invalid_request"), "malformed_authorization"),
        ("quotes", "Bearer \"a\"", 400, Some("invalid_request"), "malformed_authorization"),
        ("two in one", &doubled, 400, Some("invalid_request"), "multiple_credentials"),
        ("too large", &large, 400, Some("invalid_request"), "token_too_large"),
    ];
    for (case, field, status, error, code) in rows {
        let reply = warp::test::request()
            .path("/api/private")
            .header("authorization", field)
            .reply(&tenant.routes())
            .await;
        let answer = crate::support::answer(&reply);
        answer.assert_is_problem(case, status, code);
        assert_eq!(answer.json()["error"].as_str(), error, "{case}");
    }
}

#[tokio::test]
async fn challenge_without_a_token_names_the_required_scope() {
    let tenant = Tenant::start().await;
    #[rustfmt::skip]
    let rows = [
        ("/api/private", r#"Bearer realm="api""#),
        ("/api/private-scoped", r#"Bearer realm="api", scope="read:messages""#),
    ];
    for (path, challenge) in rows {
        let answer = tenant.get(path, None).await;
        answer.assert_is_problem(path, 401, "missing_token");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn missing_scope_is_403_and_named() {
    let tenant = Tenant::start().await;
    #[rustfmt::skip]
    let rows = [
        ("granted", tenant.issuer.token().scope("read:messages"), 200),
        ("granted among others", tenant.issuer.token().scope("a read:messages b"), 200),
        ("another", tenant.issuer.token().scope("write:messages"), 403),
        ("a longer one", tenant.issuer.token().scope("read:messages2"), 403),
        ("separated by a tab", tenant.issuer.token().scope("read:messages\ta"), 403),
        ("an array", tenant.issuer.token().claim("scope", ["read:messages"]), 200),
        ("none", tenant.issuer.token(), 403),
    ];
    for (case, token, status) in rows {
        let answer = tenant.get("/api/private-scoped", Some(&token.sign())).await;
        assert_eq!(answer.status.as_u16(), status, "{case}");
        if status == 403 {
            answer.assert_is_problem(case, 403, "insufficient_scope");
            let challenge = answer.header("www-authenticate");
            assert!(
                challenge.ends_with(r#"scope="read:messages""#),
                "{challenge}"
            );
        }
    }
}

#[tokio::test]
async fn unavailable_keys_are_503() {
    for (case, fault) in [
        ("down", None),
        ("an error", Some(Fault::Status(500))),
        ("not JSON", Some(Fault::Html)),
        ("an empty set", Some(Fault::EmptySet)),
    ] {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        match fault {
            None => issuer.go_down().await,
            Some(fault) => issuer.fail(fault),
        }
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256])
            .build()
            .unwrap();
        let tenant = Tenant { issuer, auth };
        let token = tenant.issuer.token().sign();

        let answer = tenant.get("/api/private", Some(&token)).await;
        answer.assert_is_problem(case, 503, "keys_unavailable");
        assert_eq!(answer.header("www-authenticate"), "", "{case}");
        assert!(answer.json().get("error").is_none(), "{case}");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{case}: {wait}");

        let ready = tenant.get("/readyz", None).await;
        assert_eq!(ready.status.as_u16(), 503, "{case}");
        assert_eq!(
            tenant.get("/api/public", None).await.status.as_u16(),
            200,
            "{case}"
        );
        let expired = tenant.issuer.token().expired().sign();
        let answer = tenant.get("/api/private", Some(&expired)).await;
        answer.assert_is_problem("rejected before a key is needed", 401, "token_expired");
    }
}

#[tokio::test]
async fn warps_own_rejections_are_json() {
    let tenant = Tenant::start().await;
    #[rustfmt::skip]
    let rows = [
        ("unknown path", "GET", "/nowhere", 404, "not_found", ""),
        ("below a route", "GET", "/api/public/x", 404, "not_found", ""),
        ("below the root", "GET", "/x", 404, "not_found", ""),
        ("two slashes", "GET", "//", 404, "not_found", ""),
        ("method of the root", "POST", "/", 405, "method_not_allowed", "GET, HEAD"),
        ("unknown method", "POST", "/api/public", 405, "method_not_allowed", "GET, HEAD"),
        ("method before auth", "POST", "/api/private", 405, "method_not_allowed", "GET, HEAD"),
        ("OPTIONS is ordinary", "OPTIONS", "/api/public", 405, "method_not_allowed", "GET, HEAD"),
        ("an invented method", "BREW", "/livez", 405, "method_not_allowed", "GET, HEAD"),
    ];
    for (case, method, path, status, code, allow) in rows {
        let answer = tenant.send(method, path, None).await;
        answer.assert_is_problem(case, status, code);
        assert_eq!(answer.header("allow"), allow, "{case}");
    }
}

#[tokio::test]
async fn bodies_do_not_echo_the_request() {
    let tenant = Tenant::start().await;
    let marked = tenant
        .issuer
        .token()
        .kid("marker")
        .claim("iss", "marker")
        .sign();
    for token in ["marker", "marker.marker.marker", &marked] {
        let answer = tenant.get("/api/private", Some(token)).await;
        let text = format!("{:?} {}", answer.headers, answer.body);
        assert!(!text.contains("marker"), "{text}");
    }
}

#[tokio::test]
async fn applies_leeway_to_times() {
    let tenant = Tenant::start().await;
    let token = || tenant.issuer.token();
    #[rustfmt::skip]
    let rows = [
        ("expired within the leeway", token().expired_since(Duration::from_secs(10)), 200),
        ("expired for longer than the leeway", token().expired_since(Duration::from_secs(45)), 401),
        ("valid in a moment", token().not_before(15), 200),
        ("issued in a moment", token().issued_at(15), 200),
    ];
    for (case, token, status) in rows {
        let answer = tenant.get("/api/private", Some(&token.sign())).await;
        assert_eq!(answer.status.as_u16(), status, "{case}");
    }
}
