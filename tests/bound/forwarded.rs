//! At `/auth`, the proof must match the client's request, as the proxy reports it.

use warp::http::HeaderName;
use warp_bearer::auth::dpop::{Dpop, DpopMode};

use crate::{Bound, PUBLIC_URL, assert_refused};

const SHOP: &str = "https://api.example.com/shop/cart";

/// `/auth`, and `/auth` with the client's path appended, as some proxies do.
const GATES: [&str; 2] = ["GET /auth", "GET /auth/shop/cart?a=b"];

#[tokio::test]
#[rustfmt::skip]
async fn reads_method_and_path_from_the_proxy() {
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
    for (gate, (case, lines, status, code)) in GATES.iter().flat_map(|gate| rows.map(|row| (gate, row))) {
        let case = &*format!("{gate}: {case}");
        let proof = bound.key.proof("POST", SHOP).token(&token).sign();
        let lines = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n{lines}");
        let answer = bound.ask(gate, &lines).await;
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
async fn rejects_a_proof_for_the_url_of_auth() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    for path in ["/auth", "/auth/shop/cart"] {
        for origin in ["https://api.example.com", "https://api.example.com/v1"] {
            let gate = format!("{origin}{path}");
            let proof = bound.key.proof("GET", &gate).token(&token).sign();
            let lines = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
            let answer = bound.ask(&format!("GET {path}"), &lines).await;
            assert_refused(
                &answer,
                &gate,
                "DPoP",
                "invalid_proof",
                "invalid_dpop_proof",
            );
        }
    }
}

#[tokio::test]
async fn bearer_tokens_need_no_forwarded_fields() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let plain = bound.issuer.token().sign();
    for gate in GATES {
        for lines in [
            "",
            "X-Forwarded-Uri: x\r\n",
            "X-Forwarded-Method: GET\r\nX-Forwarded-Method: GET\r\n",
            "DPoP: x\r\nX-Forwarded-Uri: x\r\n",
        ] {
            let lines = format!("Authorization: Bearer {plain}\r\n{lines}");
            let answer = bound.ask(gate, &lines).await;
            assert_eq!(answer.status, 200, "{gate}: {lines}");
        }
    }
}

/// We check the fields together with the proof, so every earlier check answers first.
#[tokio::test]
async fn forwarded_fields_are_read_only_for_proofs() {
    const UNREADABLE: &str = "X-Forwarded-Uri: /a\r\nX-Forwarded-Uri: /a\r\n";
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let expired = bound.token().expired().sign();
    let plain = bound.issuer.token().sign();
    let dpop = |token: &str| format!("Authorization: DPoP {token}\r\n");
    for (case, credential, status, code) in [
        ("no token", String::new(), 401, "missing_token"),
        (
            "another scheme",
            "Authorization: Basic YTpi\r\n".to_owned(),
            401,
            "missing_token",
        ),
        (
            "no token after DPoP",
            dpop(""),
            400,
            "malformed_authorization",
        ),
        ("expired", dpop(&expired), 401, "token_expired"),
        ("not bound", dpop(&plain), 401, "token_not_bound"),
        ("bound", dpop(&token), 400, "bad_request"),
    ] {
        let answer = bound
            .ask("GET /auth", &format!("{credential}{UNREADABLE}"))
            .await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        assert_eq!(answer.code(), code, "{case}");
    }
}

#[tokio::test]
async fn checks_the_forwarded_request_for_a_token_in_another_field() {
    let mut bound = Bound::with(|builder| {
        builder
            .dpop(Dpop::new(DpopMode::Allowed, PUBLIC_URL))
            .token_field(HeaderName::from_static("x-token"))
    })
    .await;
    let token = bound.token().sign();
    // `Authorization` is ignored
    for authorization in ["", "Authorization: Bearer a.b.c\r\n"] {
        let proof = bound.key.proof("GET", SHOP).token(&token).sign();
        let lines = format!(
            "X-Token: {token}\r\nDPoP: {proof}\r\n{authorization}X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /shop/cart\r\n"
        );
        let answer = bound.ask("GET /auth", &lines).await;
        assert_eq!(answer.status, 200, "{authorization}: {answer:?}");
    }
}

#[tokio::test]
async fn paths_below_auth_check_the_forwarded_request() {
    let mut bound = Bound::with_access(
        |builder| builder.dpop(Dpop::new(DpopMode::Allowed, PUBLIC_URL)),
        |access| access.forward_auth_paths = true,
    )
    .await;
    let token = bound.token().sign();
    for (case, htu, status) in [
        ("the client's URL", SHOP, 200),
        (
            "the gate's own",
            "https://api.example.com/v1/auth/shop/cart",
            401,
        ),
    ] {
        let proof = bound.key.proof("GET", htu).token(&token).sign();
        let lines = format!(
            "Authorization: DPoP {token}\r\nDPoP: {proof}\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /shop/cart\r\n"
        );
        let answer = bound.ask("GET /auth/shop/cart?a=b", &lines).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
    }
}
