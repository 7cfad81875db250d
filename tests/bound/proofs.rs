//! Proofs over HTTP: a row for each check, and the cases that need a real request. The unit
//! tests in `auth/credential/` cover many more.

use serde_json::json;
use warp_bearer::{
    auth::{Algorithm, dpop::DpopMode},
    issuer::{ProofBuilder, SigningKey},
};

use crate::{Bound, PRIVATE, assert_refused};

type Change = fn(ProofBuilder) -> ProofBuilder;

#[tokio::test]
#[rustfmt::skip]
async fn checks_each_step() {
    const INVALID: (&str, &str) = ("invalid_proof", "invalid_dpop_proof");
    let rows: &[(&str, Change, (&str, &str))] = &[
        ("another typ", |p| p.header("typ", "JWT"), INVALID),
        ("crit", |p| p.header("crit", json!(["jti"])), INVALID),
        ("alg none", |p| p.header("alg", "none"), INVALID),
        ("HS256", |p| p.header("alg", "HS256"), INVALID),
        ("no jwk", |p| p.without_header("jwk"), INVALID),
        ("oct", |p| p.header("jwk", json!({"kty": "oct", "k": "AAAA"})), INVALID),
        ("another key in jwk", |p| p.header("jwk", SigningKey::generate(Algorithm::ES256).public_jwk()), INVALID),
        ("a forged signature", |p| p.signed_by(&SigningKey::generate(Algorithm::ES256)), INVALID),
        ("another method", |p| p.claim("htm", "POST"), INVALID),
        ("a method in lower case", |p| p.claim("htm", "get"), INVALID),
        ("the URL of the Host field", |p| p.claim("htu", "http://localhost/api/private"), INVALID),
        ("without the path of the public URL", |p| p.claim("htu", "https://api.example.com/api/private"), INVALID),
        ("another host", |p| p.claim("htu", "https://evil.example/v1/api/private"), INVALID),
        ("another route", |p| p.claim("htu", format!("{PRIVATE}-scoped")), INVALID),
        ("old", |p| p.issued_at(-400), INVALID),
        ("ahead", |p| p.issued_at(60), INVALID),
        ("no ath", |p| p.without("ath"), INVALID),
        ("the hash of another token", |p| p.token("a.b.c"), INVALID),
        ("no jti", |p| p.without("jti"), INVALID),
        ("a huge jti", |p| p.claim("jti", "a".repeat(257)), INVALID),
    ];
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    for (case, change, (code, error)) in rows {
        let proof = change(bound.proof(&token)).sign();
        let answer = bound.send(&token, &proof).await;
        assert_refused(&answer, case, "DPoP", code, error);
    }
    let good = bound.proof(&token).sign();
    assert_eq!(bound.send(&token, &good).await.status, 200);
}

#[tokio::test]
async fn rejects_a_proof_by_another_key() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let thief = SigningKey::generate(Algorithm::ES256);
    let proof = thief.proof("GET", PRIVATE).token(&token).sign();
    let answer = bound.send(&token, &proof).await;
    assert_refused(&answer, "stolen", "DPoP", "token_bound", "invalid_token");
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_several_proofs() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let proof = bound.proof(&token).sign();
    let other = bound.proof(&token).sign();
    let large = "a".repeat(8 * 1024 + 1);
    for (case, lines) in [
        ("none", String::new()),
        ("empty", "DPoP:\r\n".to_owned()),
        ("two fields", format!("DPoP: {proof}\r\nDPoP: {other}\r\n")),
        ("the same twice", format!("DPoP: {proof}\r\ndpop: {proof}\r\n")),
        ("two in one field", format!("DPoP: {proof}, {other}\r\n")),
        ("a comma after the proof", format!("DPoP: {proof},\r\n")),
        ("too large", format!("DPoP: {large}\r\n")),
        ("the token", format!("DPoP: {token}\r\n")),
        ("with a scheme", format!("DPoP: DPoP {proof}\r\n")),
        ("in another field", format!("X-DPoP: {proof}\r\n")),
    ] {
        let lines = format!("Authorization: DPoP {token}\r\n{lines}");
        let answer = bound.client.with_lines(lines.as_bytes()).await;
        assert_refused(&answer, case, "DPoP", "invalid_proof", "invalid_dpop_proof");
    }
    assert_eq!(bound.send(&token, &proof).await.status, 200, "a rejected request does not use up the proof");
}

#[tokio::test]
#[rustfmt::skip]
async fn compares_htu_with_the_request_line() {
    let mut bound = Bound::start(DpopMode::Required).await;
    let token = bound.token().sign();
    for (case, start, method, url, status) in [
        ("plain", "GET /api/private", "GET", PRIVATE.to_owned(), 200),
        ("a query", "GET /api/private?a=b", "GET", PRIVATE.to_owned(), 200),
        ("the same query in both", "GET /api/private?a=b", "GET", format!("{PRIVATE}?a=b"), 200),
        ("another query", "GET /api/private?a=b", "GET", format!("{PRIVATE}?c"), 200),
        ("a HEAD request", "HEAD /api/private", "HEAD", PRIVATE.to_owned(), 200),
        ("a HEAD request with a proof for GET", "HEAD /api/private", "GET", PRIVATE.to_owned(), 401),
        ("a trailing slash", "GET /api/private/", "GET", format!("{PRIVATE}/"), 200),
        ("a trailing slash in the proof only", "GET /api/private", "GET", format!("{PRIVATE}/"), 401),
        ("an absolute target", "GET http://evil.example/api/private", "GET", PRIVATE.to_owned(), 200),
        ("an absolute target in both", "GET http://evil.example/api/private", "GET", "http://evil.example/api/private".to_owned(), 401),
    ] {
        let proof = bound.key.proof(method, &url).token(&token).sign();
        let lines = format!("Host: x\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n");
        let request = format!("{start} HTTP/1.1\r\n{lines}\r\n");
        let answer = if start.starts_with("HEAD") {
            bound.client.head(request.as_bytes()).await
        } else {
            bound.client.ask(request.as_bytes()).await
        };
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
    }
}

/// A cached token needs a new proof for each request.
#[tokio::test]
async fn a_cached_token_needs_a_proof_each_time() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    for _ in 0..3 {
        let proof = bound.proof(&token).sign();
        assert_eq!(bound.send(&token, &proof).await.status, 200);
        let bad = bound.proof(&token).without("ath").sign();
        assert_eq!(bound.send(&token, &bad).await.code(), "invalid_proof");
        let lines = format!("Authorization: Bearer {token}\r\n");
        let answer = bound.client.with_lines(lines.as_bytes()).await;
        assert_eq!(answer.code(), "token_bound");
    }
}
