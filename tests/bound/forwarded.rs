//! `/auth`: the proof must match the request that the proxy names.

use warp_bearer::auth::dpop::DpopMode;

use crate::{Bound, assert_refused};

const SHOP: &str = "https://api.example.com/shop/cart";

#[tokio::test]
#[rustfmt::skip]
async fn the_proxy_names_method_and_path() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let rows = [
        ("both", "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /shop/cart\r\n", 200, ""),
        ("a query", "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /shop/cart?a=b\r\n", 200, ""),
        ("an escape", "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /sh%6Fp/cart\r\n", 200, ""),
        ("another method", "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /shop/cart\r\n", 401, "invalid_proof"),
        ("another path", "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /shop\r\n", 401, "invalid_proof"),
        ("below the public URL", "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /cart\r\n", 401, "invalid_proof"),
        ("no method", "X-Forwarded-Uri: /shop/cart\r\n", 401, "invalid_proof"),
        ("no path", "X-Forwarded-Method: POST\r\n", 401, "invalid_proof"),
        ("neither", "", 401, "invalid_proof"),
        ("a path of another proxy", "X-Forwarded-Method: POST\r\nX-Original-URI: /shop/cart\r\n", 401, "invalid_proof"),
        ("two methods", "X-Forwarded-Method: POST\r\nX-Forwarded-Method: POST\r\nX-Forwarded-Uri: /shop/cart\r\n", 400, "bad_request"),
        ("two paths", "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: /shop/cart\r\nX-Forwarded-Uri: /shop/cart\r\n", 400, "bad_request"),
        ("a URL", "X-Forwarded-Method: POST\r\nX-Forwarded-Uri: https://api.example.com/shop/cart\r\n", 400, "bad_request"),
    ];
    for (case, lines, status, code) in rows {
        let proof = bound.key.proof("POST", SHOP).token(&token).sign();
        let lines = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n{lines}");
        let answer = bound.ask("GET /auth", &lines).await;
        if status == 401 {
            assert_refused(&answer, case, "DPoP", code, "invalid_dpop_proof");
        } else {
            assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        }
        if status == 400 {
            assert_eq!(answer.code(), code, "{case}");
        }
    }
}

#[tokio::test]
async fn a_proof_for_the_gate_itself_is_for_nothing() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let gate = "https://api.example.com/v1/auth";
    let proof = bound.key.proof("GET", gate).token(&token).sign();
    let lines = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
    let answer = bound.ask("GET /auth", &lines).await;
    assert_refused(
        &answer,
        "its own",
        "DPoP",
        "invalid_proof",
        "invalid_dpop_proof",
    );
}

#[tokio::test]
async fn a_bearer_token_needs_neither_field() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let plain = bound.issuer.token().sign();
    for lines in [
        "",
        "X-Forwarded-Uri: x\r\n",
        "X-Forwarded-Method: GET\r\nX-Forwarded-Method: GET\r\n",
        "DPoP: x\r\nX-Forwarded-Uri: x\r\n",
    ] {
        let lines = format!("Authorization: Bearer {plain}\r\n{lines}");
        let answer = bound.ask("GET /auth", &lines).await;
        assert_eq!(answer.status, 200, "{lines}");
    }
}
