//! The tokens that the issuer signs, valid and invalid.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::{
    fixtures::{bytes_of, claims_of, decode, elliptic, header_of, jwk, published, verify},
    support::ASYMMETRIC,
};

#[tokio::test]
async fn tokens_of_every_algorithm_verify_with_the_published_key() {
    // `jsonwebtoken` doesn't support ES512, but the vectors of RFC 7515 and Wycheproof cover it.
    let known = ASYMMETRIC.into_iter().filter(|a| *a != Algorithm::ES512);
    for algorithm in known {
        let issuer = Issuer::with_algorithm(algorithm).await;
        let keys = published(&issuer).await;
        assert_eq!(keys.len(), 1, "{algorithm:?}");
        assert_eq!(keys[0]["alg"], json!(algorithm));
        assert_eq!(keys[0]["kid"], issuer.key().kid());

        let claims = verify(&issuer.token().sign(), algorithm, &keys[0]).expect("a good token");
        assert_eq!(claims["iss"], issuer.url());
        assert_eq!(claims["aud"], issuer.audience());
    }
}

#[tokio::test]
async fn rsa_key_signs_with_every_rsa_algorithm() {
    let issuer = Issuer::start().await;
    let jwk = issuer.key().public_jwk();
    for algorithm in &ASYMMETRIC[..6] {
        let token = issuer.token().algorithm(*algorithm).sign();
        assert!(verify(&token, *algorithm, &jwk).is_some(), "{algorithm:?}");
    }

    let lie = issuer.token().algorithm(Algorithm::ES256).sign();
    assert_eq!(header_of(&lie)["alg"], "ES256");
    let (input, signature) = lie.rsplit_once('.').expect("three parts");
    assert_eq!(
        signature,
        URL_SAFE_NO_PAD.encode(issuer.sign_input(input)),
        "signed by RS256 all the same"
    );
}

#[tokio::test]
async fn signs_with_a_shared_secret_and_never_shows_it() {
    let key = SigningKey::from_secret("0123456789abcdef0123456789abcdef");
    let token = elliptic().await.token().key(&key).sign();

    let secret = DecodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
    assert!(decode(&token, Algorithm::HS256, &secret).is_some());
    assert_eq!(
        key.public_jwk(),
        json!({"kty": "oct", "kid": "secret", "use": "sig", "alg": "HS256"})
    );
}

#[tokio::test]
async fn the_builder_changes_each_claim_and_header_parameter() {
    let issuer = elliptic().await;
    let now = claims_of(&issuer.token().sign())["iat"]
        .as_i64()
        .expect("a date");
    let other = SigningKey::generate(Algorithm::ES384);
    let token = || issuer.token();

    for (case, token, claim, expected) in [
        ("subject", token().subject("bob"), "sub", json!("bob")),
        ("audience", token().audience("x"), "aud", json!("x")),
        (
            "audiences",
            token().audiences(["x", "y"]),
            "aud",
            json!(["x", "y"]),
        ),
        ("no audience", token().without("aud"), "aud", Value::Null),
        ("scope", token().scope("a b"), "scope", json!("a b")),
        (
            "permissions",
            token().permissions(["p"]),
            "permissions",
            json!(["p"]),
        ),
        ("any claim", token().claim("iss", 5), "iss", json!(5)),
        (
            "the last call wins",
            token().without("sub").subject("c"),
            "sub",
            json!("c"),
        ),
    ] {
        assert_eq!(claims_of(&token.sign())[claim], expected, "{case}");
    }

    for (case, token, claim, offset) in [
        ("expires in an hour", token(), "exp", 3600),
        (
            "expires in",
            token().expires_in(Duration::from_secs(60)),
            "exp",
            60,
        ),
        ("expired", token().expired(), "exp", -3600),
        ("issued before that", token().expired(), "iat", -7200),
        (
            "expired since",
            token().expired_since(Duration::from_secs(31)),
            "exp",
            -31,
        ),
        ("not before", token().not_before(90), "nbf", 90),
        ("issued at", token().issued_at(-90), "iat", -90),
    ] {
        let date = claims_of(&token.sign())[claim].as_i64().expect("a date");
        assert!((0..5).contains(&(date - now - offset)), "{case}: {date}");
    }

    for (case, token, parameter, expected) in [
        ("type", token(), "typ", json!("JWT")),
        (
            "access token",
            token().typ("at+jwt"),
            "typ",
            json!("at+jwt"),
        ),
        ("no type", token().without_header("typ"), "typ", Value::Null),
        ("key's name", token(), "kid", json!(issuer.key().kid())),
        (
            "another key's",
            token().kid("k").key(&other),
            "kid",
            json!("k"),
        ),
        ("its algorithm", token().key(&other), "alg", json!("ES384")),
        (
            "any parameter",
            token().header("crit", ["b64"]),
            "crit",
            json!(["b64"]),
        ),
        ("none", token().header("alg", "none"), "alg", json!("none")),
    ] {
        assert_eq!(header_of(&token.sign())[parameter], expected, "{case}");
    }
}

#[tokio::test]
async fn signs_raw_bytes_unchanged() {
    let issuer = elliptic().await;
    let token = issuer.sign_raw(br#"{"alg":"ES256","alg":"none"}"#, b"\xff not JSON");

    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(bytes_of(parts[0]), br#"{"alg":"ES256","alg":"none"}"#);
    assert_eq!(bytes_of(parts[1]), b"\xff not JSON");
    let key = DecodingKey::from_jwk(&jwk(&issuer.key().public_jwk())).expect("a key");
    let input = format!("{}.{}", parts[0], parts[1]);
    let good = jsonwebtoken::crypto::verify(
        parts[2],
        input.as_bytes(),
        &key,
        jsonwebtoken::Algorithm::ES256,
    );
    assert!(good.expect("a signature"));
}

#[tokio::test]
async fn debug_output_shows_no_claim_and_no_secret() {
    let issuer = elliptic().await;
    let printed = format!(
        "{issuer:?} {:?} {:?}",
        issuer.key(),
        issuer.token().subject("eve")
    );
    assert!(printed.contains(issuer.url()) && printed.contains(issuer.key().kid()));
    assert!(!printed.contains("eve") && !printed.contains(issuer.client_secret()));
}
