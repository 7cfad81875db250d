//! The scheme that each kind of token needs in each DPoP mode.

use serde_json::json;
use warp_bearer::{
    auth::{
        Algorithm, TrustedIssuer,
        dpop::{Dpop, DpopMode},
    },
    issuer::SigningKey,
};

use crate::{Bound, PUBLIC_URL, assert_refused};

/// Each kind of token under each scheme. The last column is the code of a 401, or empty for a 200.
#[tokio::test]
#[rustfmt::skip]
async fn accepts_each_token_only_under_its_scheme() {
    use DpopMode::{Allowed, Off, Required};
    let rows = [
        // mode, token, scheme, with a proof, code
        (Off, "plain", "Bearer", false, ""),
        (Off, "plain", "Bearer", true, ""),
        (Off, "plain", "DPoP", true, "missing_token"),
        (Off, "bound", "Bearer", false, "token_bound"),
        (Off, "bound", "Bearer", true, "token_bound"),
        (Off, "bound", "DPoP", true, "missing_token"),
        (Allowed, "plain", "Bearer", false, ""),
        (Allowed, "plain", "Bearer", true, ""),
        (Allowed, "plain", "bearer", false, ""),
        (Allowed, "plain", "DPoP", true, "token_not_bound"),
        (Allowed, "plain", "DPoP", false, "token_not_bound"),
        (Allowed, "bound", "Bearer", false, "token_bound"),
        (Allowed, "bound", "Bearer", true, "token_bound"),
        (Allowed, "bound", "DPoP", false, "invalid_proof"),
        (Allowed, "bound", "DPoP", true, ""),
        (Allowed, "bound", "dpop", true, ""),
        (Allowed, "bound", "DPOP", true, ""),
        (Allowed, "bound", "Basic", true, "missing_token"),
        (Required, "plain", "Bearer", false, "token_not_bound"),
        (Required, "plain", "DPoP", true, "token_not_bound"),
        (Required, "bound", "Bearer", true, "token_bound"),
        (Required, "bound", "DPoP", false, "invalid_proof"),
        (Required, "bound", "DPoP", true, ""),
    ];
    for mode in [Off, Allowed, Required] {
        let mut bound = Bound::start(mode).await;
        for (of, kind, scheme, has_proof, code) in rows {
            if of != mode {
                continue;
            }
            let case = format!("{mode:?}: {kind} under {scheme}, proof: {has_proof}");
            let token = match kind {
                "plain" => bound.issuer.token().sign(),
                _ => bound.token().sign(),
            };
            let proof = format!("DPoP: {}\r\n", bound.proof(&token).sign());
            let proof = if has_proof { &*proof } else { "" };
            let lines = format!("Authorization: {scheme} {token}\r\n{proof}");
            let answer = bound.client.with_lines(lines.as_bytes()).await;
            if code.is_empty() {
                assert_eq!(answer.status, 200, "{case}: {answer:?}");
                continue;
            }
            assert_eq!(answer.code(), code, "{case}");
            if code == "missing_token" {
                continue;
            }
            let error = if code == "invalid_proof" { "invalid_dpop_proof" } else { "invalid_token" };
            let scheme = if scheme.eq_ignore_ascii_case("DPoP") { "DPoP" } else { "Bearer" };
            assert_refused(&answer, &case, scheme, code, error);
        }
    }
}

#[tokio::test]
#[rustfmt::skip]
async fn token_must_satisfy_every_binding() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let jkt = bound.key.thumbprint();
    let x5t = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";
    let rows = [
        ("a key", json!({"jkt": jkt}), ""),
        ("another member beside jkt", json!({"jkt": jkt, "kid": "a"}), ""),
        ("a jwk beside jkt", json!({"jkt": jkt, "jwk": bound.key.public_jwk()}), ""),
        ("a certificate beside jkt", json!({"jkt": jkt, "x5t#S256": x5t}), "token_bound"),
        ("a certificate", json!({"x5t#S256": x5t}), "token_bound"),
        ("only a jwk", json!({"jwk": bound.key.public_jwk()}), "token_bound"),
        ("jkt in capitals", json!({"JKT": jkt}), "token_bound"),
        ("padded", json!({"jkt": format!("{jkt}=")}), "token_bound"),
        ("cut", json!({"jkt": jkt[1..]}), "token_bound"),
        ("empty", json!({"jkt": ""}), "token_bound"),
        ("null", json!({"jkt": null}), "token_bound"),
        ("an array", json!({"jkt": [jkt]}), "token_bound"),
        ("an empty object", json!({}), "token_bound"),
        ("not an object", json!(jkt), "token_bound"),
        ("cnf of null", json!(null), "token_bound"),
    ];
    for (case, cnf, code) in rows {
        let token = bound.issuer.token().claim("cnf", cnf).sign();
        let proof = bound.proof(&token).sign();
        let answer = bound.send(&token, &proof).await;
        if code.is_empty() {
            assert_eq!(answer.status, 200, "{case}: {answer:?}");
        } else {
            assert_refused(&answer, case, "DPoP", code, "invalid_token");
        }
    }
}

#[tokio::test]
async fn verifies_the_token_before_its_proof() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let expired = bound.token().expired().sign();
    let proof = bound.proof(&expired).claim("htm", "PUT").sign();
    let answer = bound.send(&expired, &proof).await;
    assert_refused(&answer, "expired", "DPoP", "token_expired", "invalid_token");
    let answer = bound.send("a.b", &proof).await;
    assert_refused(&answer, "opaque", "DPoP", "token_not_jwt", "invalid_token");
}

#[tokio::test]
#[rustfmt::skip]
async fn refusal_of_a_malformed_field_uses_its_scheme() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let proof = bound.proof(&token).sign();
    for (case, field, code, scheme) in [
        ("no token", "DPoP".to_owned(), "malformed_authorization", "DPoP "),
        ("a tab", format!("DPoP\t{token}"), "malformed_authorization", "DPoP "),
        ("a comma", format!("DPoP {token}, Bearer {token}"), "multiple_credentials", "DPoP "),
        ("a comma after Bearer", format!("Bearer {token}, DPoP {token}"), "multiple_credentials", "Bearer "),
    ] {
        let lines = format!("Authorization: {field}\r\nDPoP: {proof}\r\n");
        let answer = bound.client.with_lines(lines.as_bytes()).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, code), "{case}");
        let challenges = crate::challenges(&answer);
        assert!(challenges.len() == 1 && challenges[0].starts_with(scheme), "{case}: {challenges:?}");
    }
    let two = format!("Authorization: DPoP {token}\r\nAuthorization: Bearer {token}\r\nDPoP: {proof}\r\n");
    let answer = bound.client.with_lines(two.as_bytes()).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "multiple_credentials"));
}

#[tokio::test]
async fn issuers_can_have_different_modes() {
    let keys = json!({"keys": [SigningKey::generate(Algorithm::ES256).public_jwk()]});
    let mut bound = Bound::with(|builder| {
        let other = TrustedIssuer::new("https://other.example/").dpop(DpopMode::Required);
        builder
            .issuer(other.jwks(keys.to_string()))
            .dpop(Dpop::new(DpopMode::Off, PUBLIC_URL))
    })
    .await;
    let plain = bound.issuer.token().sign();
    assert_eq!(bound.client.with_token(&plain).await.status, 200);
    let token = bound.token().sign();
    let proof = bound.proof(&token).sign();
    let answer = bound.send(&token, &proof).await;
    assert_refused(&answer, "off", "DPoP", "token_bound", "invalid_token");
    let anonymous = bound.client.with_lines(b"").await;
    assert_eq!(
        crate::challenges(&anonymous).len(),
        2,
        "both schemes are offered"
    );
}
