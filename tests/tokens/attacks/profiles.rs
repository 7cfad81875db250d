//! Tokens that optional rules reject: the profile of RFC 9068, a maximum age, and the rules of an
//! issuer.

use std::time::{Duration, SystemTime};

use warp_bearer::{
    auth::{Algorithm, Auth, TrustedIssuer},
    issuer::{Issuer, SigningKey},
};

use crate::{
    attacks::Target,
    support::text::{Object, quoted, signed_by},
};

#[tokio::test]
async fn strict_profile_rejects_incomplete_tokens() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let mut target = Target::with(issuer, |auth| {
        auth.algorithms([Algorithm::ES256]).rfc9068(true)
    })
    .await;
    let header = target.header().with("typ", quoted("at+jwt"));
    let claims = target
        .claims()
        .with("client_id", quoted("kJ3nT0aP8rQ2"))
        .with("jti", quoted("Fq3zVh7yJtJ5"));

    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        let token = target.sign(&header.clone().with("typ", quoted(typ)), &claims);
        target.accepts(typ, &token).await;
    }
    #[rustfmt::skip]
    let headers = [
        ("typ: JWT",                   header.clone().with("typ", quoted("JWT"))),
        ("typ: absent",                header.clone().without("typ")),
        ("typ: null",                  header.clone().with("typ", "null")),
        ("typ: a logout token's",      header.clone().with("typ", quoted("logout+jwt"))),
        ("typ: in a longer word",      header.clone().with("typ", quoted("at+jwt+x"))),
    ];
    for (case, header) in headers {
        let token = target.sign(&header, &claims);
        target.refuses(case, &token, "wrong_token_type").await;
    }
    #[rustfmt::skip]
    let rows = [
        ("sub: absent",                claims.clone().without("sub"),                     "missing_claim"),
        ("client_id: absent",          claims.clone().without("client_id"),               "missing_claim"),
        ("iat: absent",                claims.clone().without("iat"),                     "missing_claim"),
        ("jti: absent",                claims.clone().without("jti"),                     "missing_claim"),
        ("exp: absent",                claims.clone().without("exp"),                     "missing_claim"),
        ("azp for client_id",          claims.clone().without("client_id").with("azp", quoted("a")), "missing_claim"),
        ("Client_Id for client_id",    claims.clone().without("client_id").with("Client_Id", quoted("a")), "missing_claim"),
        ("client_id: null",            claims.clone().with("client_id", "null"),          "missing_claim"),
        ("client_id: a number",        claims.clone().with("client_id", "1"),             "invalid_claim"),
        ("client_id: an array",        claims.clone().with("client_id", r#"["a"]"#),      "invalid_claim"),
        ("sub: null",                  claims.clone().with("sub", "null"),                "invalid_claim"),
        ("jti: a number",              claims.clone().with("jti", "1"),                   "invalid_claim"),
        ("iat: a string",              claims.clone().with("iat", quoted("1")),           "invalid_claim"),
        ("client_id: twice",           claims.clone().at(0, "client_id", quoted("a")),    "token_malformed"),
    ];
    for (case, claims, code) in rows {
        let token = target.sign(&header, &claims);
        target.refuses(case, &token, code).await;
    }
}

#[tokio::test]
async fn maximum_age_ends_a_token_before_its_exp() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let mut target = Target::with(issuer, |auth| {
        auth.algorithms([Algorithm::ES256])
            .clock(move || now)
            .max_age(Duration::from_secs(600))
    })
    .await;
    let claims = target.claims();
    #[rustfmt::skip]
    let refused = [
        ("at the maximum age",         claims.clone().with("iat", "1999999370"),          "token_expired"),
        ("past the maximum age",       claims.clone().with("iat", "1999999000"),          "token_expired"),
        ("long past the maximum age",  claims.clone().with("iat", "0"),                   "token_expired"),
        ("no iat",                     claims.clone().without("iat"),                     "missing_claim"),
        ("iat as text",                claims.clone().with("iat", quoted("1999999999")),  "invalid_claim"),
        ("iat in the future",          claims.clone().with("iat", "2000000031"),          "token_not_yet_valid"),
        ("young, and expired",         claims.clone().with("iat", "1999999900").with("exp", "1999999950"), "token_expired"),
    ];
    for (case, claims, code) in refused {
        let token = target.sign(&target.header(), &claims);
        target.refuses(case, &token, code).await;
    }
    for (case, iat) in [("new", "2000000000"), ("just within", "1999999370.001")] {
        let token = target.sign(&target.header(), &claims.clone().with("iat", iat));
        target.accepts(case, &token).await;
    }
}

/// An issuer's rules must apply to its own tokens only.
#[tokio::test]
async fn rules_of_one_issuer_do_not_apply_to_others() {
    let ours = Issuer::with_algorithm(Algorithm::ES256).await;
    let theirs = Issuer::with_algorithm(Algorithm::EdDSA).await;
    let (our_secret, their_secret) = ([7; 32], [9; 32]);
    let first = TrustedIssuer::new(ours.url())
        .audience("urn:ours")
        .algorithms([Algorithm::ES256, Algorithm::HS256])
        .signing_secret(our_secret);
    let second = TrustedIssuer::new(theirs.url())
        .audience("urn:theirs")
        .algorithms([Algorithm::EdDSA]);
    let auth = Auth::builder().issuer(first).issuer(second);
    let mut target = Target::over(ours.clone(), auth).await;

    let named = |issuer: &Issuer, key: &SigningKey, audience: &str| {
        let header = format!(r#"{{"alg":"{:?}","kid":"{}"}}"#, key.algorithm(), key.kid());
        let claims = Object::claims(issuer).with("aud", quoted(audience));
        signed_by(key, header, claims.text())
    };
    let (ours_key, theirs_key) = (ours.key(), theirs.key());
    let hmac = |secret: [u8; 32]| SigningKey::from_secret(secret);
    #[rustfmt::skip]
    let rows = [
        ("our audience, in their name",    named(&theirs, &theirs_key, "urn:ours"),         "wrong_audience"),
        ("their audience, in our name",    named(&ours, &ours_key, "urn:theirs"),           "wrong_audience"),
        ("the issuer's own audience",      named(&ours, &ours_key, ours.audience()),        "wrong_audience"),
        ("our algorithm, in their name",   named(&theirs, &ours_key, "urn:theirs"),         "algorithm_not_allowed"),
        ("their algorithm, in our name",   named(&ours, &theirs_key, "urn:ours"),           "algorithm_not_allowed"),
        ("our secret, in their name",      named(&theirs, &hmac(our_secret), "urn:theirs"), "algorithm_not_allowed"),
        ("their secret, in our name",      named(&ours, &hmac(their_secret), "urn:ours"),   "bad_signature"),
    ];
    for (case, token, code) in rows {
        target.refuses(case, &token, code).await;
    }
    for (case, token) in [
        ("ours", named(&ours, &ours_key, "urn:ours")),
        (
            "ours, by the secret",
            named(&ours, &hmac(our_secret), "urn:ours"),
        ),
    ] {
        target.accepts(case, &token).await;
    }
    let token = named(&theirs, &theirs_key, "urn:theirs");
    let answer = target.client.with_token(&token).await;
    assert_eq!(answer.status.as_u16(), 200, "theirs: {answer:?}");
}
