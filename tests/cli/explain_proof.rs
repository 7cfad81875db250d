//! `explain --proof` names the failed step of a DPoP proof and its fix.

use warp_bearer::{
    auth::Algorithm,
    issuer::{ProofBuilder, SigningKey},
    service::api::errors::{Cause, causes},
};

use crate::support::world::World;

const URL: &str = "https://api.example.com/v1/api/private";

#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn explains_each_broken_proof() {
    type Change = fn(ProofBuilder) -> ProofBuilder;
    let world = World::start().await.set("PUBLIC_URL", "https://api.example.com/v1");
    let key = SigningKey::generate(Algorithm::ES256);
    let token = world.issuer.token().bound_to(&key).sign();
    let explain = |token: &str, proof: &str, request: [&str; 2]| {
        world.run(&["explain", "--json", "--proof", proof, "--request", request[0], request[1]], token)
    };
    let good = key.proof("GET", URL).token(&token).sign();
    for request in [["GET", URL], ["GET", "/api/private"], ["GET", "https://API.example.com:443/v1/api/private?a"]] {
        let output = explain(&token, &good, request);
        assert_eq!(output.code, Some(0), "{}", output.stdout);
        assert_eq!(output.json()["accepted"], true);
    }
    let earlier = key.proof("GET", URL).token(&token).issued_at(-5).sign();
    let output = explain(&token, &earlier, ["GET", URL]);
    assert_eq!(output.code, Some(0), "{}", output.stdout);

    let rows: &[(&str, Change, &str, &str, Cause)] = &[
        ("another path", |p| p.claim("htu", "https://api.example.com/api/private"), "invalid_proof", "proof htu", causes::PROOF_FOR_OTHER_URL),
        ("another method", |p| p.claim("htm", "POST"), "invalid_proof", "proof htm", causes::PROOF_FOR_OTHER_URL),
        ("old", |p| p.issued_at(-900), "invalid_proof", "proof iat", causes::PROOF_TIME),
        ("another token", |p| p.token("a.b.c"), "invalid_proof", "proof ath", causes::PROOF_FOR_OTHER_TOKEN),
        ("no jti", |p| p.without("jti"), "invalid_proof", "proof jti", causes::PROOF_WITHOUT_ID),
        ("no iat", |p| p.without("iat"), "invalid_proof", "proof iat", causes::PROOF_WITHOUT_TIME),
        ("iat as text", |p| p.claim("iat", "1795000000"), "invalid_proof", "proof iat", causes::PROOF_WITHOUT_TIME),
        ("iat in milliseconds", |p| p.claim("iat", 1_795_000_000_000_u64), "invalid_proof", "proof iat", causes::PROOF_TIME),
        ("an algorithm", |p| p.header("alg", "RS512"), "invalid_proof", "proof alg", causes::PROOF_MALFORMED),
    ];
    for (case, change, code, step, cause) in rows {
        let proof = change(key.proof("GET", URL).token(&token)).sign();
        let output = explain(&token, &proof, ["GET", URL]);
        assert_eq!(output.code, Some(1), "{case}: {}", output.stdout);
        let json = output.json();
        assert_eq!(json["code"], *code, "{case}: {json:#}");
        assert!(json["cause"].as_str().unwrap().starts_with(cause.what), "{case}: {json:#}");
        let failed = json["steps"].as_array().unwrap().iter().find(|step| step["holds"] == false);
        assert_eq!(failed.unwrap()["step"], *step, "{case}: {json:#}");
    }

    let thief = SigningKey::generate(Algorithm::ES256);
    let stolen = thief.proof("GET", URL).token(&token).sign();
    let json = explain(&token, &stolen, ["GET", URL]).json();
    assert_eq!((&json["code"], &json["cause"]), (&"token_bound".into(), &causes::OTHER_PROOF_KEY.what.into()));

    let plain = world.issuer.token().sign();
    let json = explain(&plain, &good, ["GET", URL]).json();
    assert_eq!((&json["code"], &json["cause"]), (&"token_not_bound".into(), &causes::NOT_BOUND.what.into()));

    let alone = world.run(&["explain", "--json"], &token).json();
    assert_eq!((&alone["code"], &alone["cause"]), (&"token_bound".into(), &causes::DPOP_AS_BEARER.what.into()));
}

/// A pasted request has everything that a proof needs: the token, the method and the URL.
#[tokio::test(flavor = "multi_thread")]
async fn reads_the_proof_in_a_pasted_request() {
    let world = World::start()
        .await
        .set("PUBLIC_URL", "https://api.example.com/v1");
    let key = SigningKey::generate(Algorithm::ES256);
    let token = world.issuer.token().bound_to(&key).sign();
    let proof = key.proof("POST", URL).token(&token).sign();
    let fields = format!("Authorization: DPoP {token}\nDPoP: {proof}\n");
    let [curl, with_get] = ["-X POST ", ""].map(|method| {
        format!("curl {method}-H 'Authorization: DPoP {token}' -H 'DPoP: {proof}' {URL}")
    });
    #[rustfmt::skip]
    let rows = [
        ("a request", format!("POST /api/private HTTP/1.1\nHost: a\n{fields}"), 0, "its request: POST /api/private"),
        ("curl -v", format!("> POST /api/private HTTP/1.1\n> Host: a\n> {}\n", fields.trim_end().replace('\n', "\n> ")), 0, "its request: POST /api/private"),
        ("curl", curl, 0, "its request: POST /api/private"),
        ("another method", with_get, 1, "its request: GET /api/private"),
        ("another path", format!("POST /api/other HTTP/1.1\nHost: a\n{fields}"), 1, "its request: POST /api/other"),
        ("no request", fields.clone(), 1, "--proof PROOF --request METHOD URL"),
    ];
    for (case, text, status, note) in rows {
        let output = world.run(&["explain", "--json"], &text);
        assert_eq!(output.code, Some(status), "{case}: {}", output.stdout);
        let json = output.json();
        assert!(json["notes"].to_string().contains(note), "{case}: {json:#}");
        let code = (status == 1).then_some("invalid_proof");
        assert_eq!(json["code"].as_str(), code, "{case}: {json:#}");
    }
}

/// If DPoP is required, no text may recommend the scheme `Bearer`.
#[tokio::test(flavor = "multi_thread")]
async fn names_the_required_scheme() {
    let world = World::start()
        .await
        .set("PUBLIC_URL", "https://api.example.com")
        .set("AUTH0_DPOP", "required");
    for (input, cause, fix) in [
        (
            "Authorization:",
            "no Authorization field",
            "the word DPoP, a space",
        ),
        ("Authorization: DPoP", "after the word DPoP", "access_token"),
        (
            "GET / HTTP/1.1\nCookie: s=eyJhbGciOiJSUzI1NiJ9.e30.AA\n",
            "no Authorization field",
            "the word DPoP, a space",
        ),
    ] {
        let json = world.run(&["explain", "--json"], input).json();
        assert!(json["cause"].as_str().unwrap().contains(cause), "{json:#}");
        assert!(json["fix"].as_str().unwrap().contains(fix), "{json:#}");
        for text in ["cause", "fix", "steps"] {
            assert!(!json[text].to_string().contains("Bearer"), "{json:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_a_proof_for_an_unknown_request() {
    let world = World::start()
        .await
        .set("PUBLIC_URL", "https://api.example.com");
    let token = world.issuer.token().sign();
    for arguments in [
        &["--proof", "a.b.c"][..],
        &["--request", "GET", "/"],
        &[
            "--proof",
            "a.b.c",
            "--request",
            "GET",
            "https://other.example/",
        ],
        &["--proof", "a.b.c", "--request", "G ET", "/"],
    ] {
        let output = world.run(&[&["explain"], arguments].concat(), &token);
        assert_eq!(output.code, Some(64), "{arguments:?}: {}", output.stderr);
    }
}
