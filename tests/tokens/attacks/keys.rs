//! Key sets with a key that must not be used beside a valid one that must keep working.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use warp_bearer::{
    auth::{Algorithm, Auth, SetupError},
    issuer::SigningKey,
};

use crate::support::{
    ASYMMETRIC, Answer,
    raw::{Client, Service},
    text::{base64url, bytes_of, signed_by, with_signature},
};

pub(crate) const ISSUER: &str = "https://issuer.example/";
pub(crate) const AUDIENCE: &str = "https://api.example.com";

pub(crate) fn auth(keys: &[Value]) -> Result<Auth, SetupError> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    Auth::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms(ASYMMETRIC)
        .clock(move || now)
        .jwks(json!({"keys": keys}).to_string())
        .build()
}

fn fixed(document: String) -> Result<Auth, SetupError> {
    Auth::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms([Algorithm::EdDSA])
        .jwks(document)
        .build()
}

async fn serve(keys: &[Value]) -> (Service, Client) {
    let service = Service::start(&auth(keys).unwrap()).await;
    let client = service.client().await;
    (service, client)
}

/// A valid token that `key` signed, with this `kid` or without one.
pub(crate) fn token(key: &SigningKey, kid: Option<&str>) -> String {
    let mut header = json!({"alg": key.algorithm()});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": 4_102_444_800_u64});
    signed_by(key, header.to_string(), claims.to_string())
}

fn assert_ok(case: &str, answer: &Answer) {
    assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
}

/// The key's JWK with these members replaced. `None` removes a member.
fn with(key: &SigningKey, members: &[(&str, Option<Value>)]) -> Value {
    let mut jwk = key.public_jwk();
    for (name, value) in members {
        match value {
            Some(value) => jwk[*name] = value.clone(),
            None => drop(jwk.as_object_mut().unwrap().remove(*name)),
        }
    }
    jwk
}

/// Checks that the odd key is skipped, in either order of the set: a token signed with it is
/// refused, with or without its `kid`. The valid key beside it must still work.
async fn is_left_out(case: &str, odd: &Value, by_odd: &str, without_kid: &str, code: &str) {
    let good = SigningKey::generate(Algorithm::ES384);
    let jwk = good.public_jwk();
    for keys in [[odd.clone(), jwk.clone()], [jwk.clone(), odd.clone()]] {
        let (_service, mut client) = serve(&keys).await;
        let answer = client.with_token(by_odd).await;
        answer.assert_is_problem(case, 401, code);
        let answer = client.with_token(without_kid).await;
        answer.assert_is_problem(case, 401, "unknown_key");
        let token = token(&good, Some(good.kid()));
        assert_ok(case, &client.with_token(&token).await);
    }
    let alone = auth(std::slice::from_ref(odd));
    assert!(matches!(alone, Err(SetupError::KeySet(_))), "{case}");
}

#[tokio::test]
async fn ignores_keys_that_are_not_for_signatures() {
    let key = SigningKey::generate(Algorithm::RS256).with_kid("odd");
    #[rustfmt::skip]
    let rows = [
        ("use: enc",                   "use",     Some(json!("enc"))),
        ("use: SIG",                   "use",     Some(json!("SIG"))),
        ("use: sig and a space",       "use",     Some(json!("sig "))),
        ("use: empty",                 "use",     Some(json!(""))),
        ("use: an array",              "use",     Some(json!(["sig"]))),
        ("key_ops: sign",              "key_ops", Some(json!(["sign"]))),
        ("key_ops: encrypt",           "key_ops", Some(json!(["encrypt", "wrapKey"]))),
        ("key_ops: empty",             "key_ops", Some(json!([]))),
        ("key_ops: a string",          "key_ops", Some(json!("verify"))),
        ("key_ops: in upper case",     "key_ops", Some(json!(["VERIFY"]))),
        ("key_ops: an object",         "key_ops", Some(json!({"verify": true}))),
        ("alg: of encryption",         "alg",     Some(json!("RSA-OAEP-256"))),
        ("alg: none",                  "alg",     Some(json!("none"))),
        ("alg: an HMAC",               "alg",     Some(json!("HS256"))),
        ("alg: of a curve",            "alg",     Some(json!("ES256"))),
        ("alg: of an Edwards curve",   "alg",     Some(json!("EdDSA"))),
        ("alg: lower case",            "alg",     Some(json!("rs256"))),
        ("alg: empty",                 "alg",     Some(json!(""))),
        ("alg: a number",              "alg",     Some(json!(5))),
        ("alg: an array",              "alg",     Some(json!(["RS256"]))),
        ("kty: oct",                   "kty",     Some(json!("oct"))),
        ("kty: EC",                    "kty",     Some(json!("EC"))),
        ("kty: OKP",                   "kty",     Some(json!("OKP"))),
        ("kty: AKP",                   "kty",     Some(json!("AKP"))),
        ("kty: lower case",            "kty",     Some(json!("rsa"))),
        ("kty: null",                  "kty",     Some(json!(null))),
        ("kty: absent",                "kty",     None),
        ("d: its private half",        "d",       Some(json!("AQAB"))),
        ("d: empty",                   "d",       Some(json!(""))),
        ("p: a prime",                 "p",       Some(json!("AQAB"))),
        ("q: a prime",                 "q",       Some(json!("AQAB"))),
        ("dp",                         "dp",      Some(json!("AQAB"))),
        ("dq",                         "dq",      Some(json!("AQAB"))),
        ("qi",                         "qi",      Some(json!("AQAB"))),
        ("oth: more primes",           "oth",     Some(json!([{"r": "AQAB", "d": "AQAB", "t": "AQAB"}]))),
        ("k: a secret",                "k",       Some(json!("AQAB"))),
    ];
    let (named, unnamed) = (token(&key, Some("odd")), token(&key, None));
    for (case, name, value) in rows {
        let odd = with(&key, &[(name, value)]);
        is_left_out(case, &odd, &named, &unnamed, "algorithm_not_allowed").await;
    }
    // A `kid` must be a string. Note that null counts as absent.
    let odd = with(&key, &[("kid", Some(json!(1)))]);
    is_left_out("kid: a number", &odd, &named, &unnamed, "unknown_key").await;
}

#[tokio::test]
async fn uses_a_key_only_for_its_own_algorithm() {
    let rsa = SigningKey::generate(Algorithm::RS256).with_kid("odd");
    for own in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let odd = with(&rsa, &[("alg", Some(json!(own)))]);
        let (_service, mut client) = serve(&[odd]).await;
        let answer = client.with_token(&token(&rsa, Some("odd"))).await;
        answer.assert_is_problem(own, 401, "algorithm_not_allowed");
        let answer = client.with_token(&token(&rsa, None)).await;
        answer.assert_is_problem(own, 401, "unknown_key");
    }
    // The header has the `kid` of one key and the algorithm of another
    let ec = SigningKey::generate(Algorithm::ES256).with_kid("ec");
    let (_service, mut client) = serve(&[rsa.public_jwk(), ec.public_jwk()]).await;
    for (case, token) in [
        ("ES256 under an RSA key's kid", token(&ec, Some("odd"))),
        ("RS256 under a curve's kid", token(&rsa, Some("ec"))),
    ] {
        let answer = client.with_token(&token).await;
        answer.assert_is_problem(case, 401, "algorithm_not_allowed");
    }
}

#[tokio::test]
async fn rejects_keys_with_malformed_numbers() {
    let rsa = SigningKey::generate(Algorithm::RS256).with_kid("odd");
    let n = rsa.public_jwk()["n"].as_str().unwrap().to_owned();
    let short = base64url(&bytes_of(&n)[..128]);
    #[rustfmt::skip]
    let rows = [
        ("n: absent",                  "n", None),
        ("n: null",                    "n", Some(json!(null))),
        ("n: a number",                "n", Some(json!(3))),
        ("n: an array",                "n", Some(json!([n]))),
        ("n: empty",                   "n", Some(json!(""))),
        ("n: padded",                  "n", Some(json!(format!("{n}==")))),
        ("n: with a space",            "n", Some(json!(format!("{n} ")))),
        ("n: with a line feed",        "n", Some(json!(format!("{}\n{}", &n[..64], &n[64..])))),
        ("n: in hexadecimal",          "n", Some(json!("0xc0ffee"))),
        ("n: its first half",          "n", Some(json!(short))),
        ("n: zero",                    "n", Some(json!(base64url([0; 256])))),
        ("e: absent",                  "e", None),
        ("e: null",                    "e", Some(json!(null))),
        ("e: a number",                "e", Some(json!(65537))),
        ("e: empty",                   "e", Some(json!(""))),
        ("e: zero",                    "e", Some(json!("AA"))),
        ("e: 1",                       "e", Some(json!("AQ"))),
        ("e: 2",                       "e", Some(json!("Ag"))),
        ("e: 65536",                   "e", Some(json!("AQAA"))),
        ("e: 2^33 + 1",                "e", Some(json!("AgAAAAE"))),
        ("e: of 64 bits",              "e", Some(json!("_________8"))),
        ("e: padded",                  "e", Some(json!("AQAB="))),
    ];
    let (named, unnamed) = (token(&rsa, Some("odd")), token(&rsa, None));
    for (case, name, value) in rows {
        let odd = with(&rsa, &[(name, value)]);
        is_left_out(case, &odd, &named, &unnamed, "algorithm_not_allowed").await;
    }
}

#[tokio::test]
async fn rejects_points_off_the_curve() {
    let ec = SigningKey::generate(Algorithm::ES256).with_kid("odd");
    let (x, y) = coordinates(&ec);
    let mut off = y.clone();
    off[31] ^= 1;
    // The prime of the field (FIPS 186-4 §D.1.2.3). A coordinate must be less than that.
    let p = bytes_of("_____wAAAAEAAAAAAAAAAAAAAAD_______________8");
    let longer = |bytes: &[u8]| base64url([&[0], bytes].concat());
    let of_p384 = SigningKey::generate(Algorithm::ES384);
    let (x384, y384) = coordinates(&of_p384);
    let some = |bytes: &[u8]| Some(json!(base64url(bytes)));
    #[rustfmt::skip]
    let rows = [
        ("crv: P-384",                 vec![("crv", Some(json!("P-384")))]),
        ("crv: P-521",                 vec![("crv", Some(json!("P-521")))]),
        ("crv: Bitcoin's",             vec![("crv", Some(json!("secp256k1")))]),
        ("crv: by its other name",     vec![("crv", Some(json!("secp256r1")))]),
        ("crv: lower case",            vec![("crv", Some(json!("p-256")))]),
        ("crv: an Edwards curve",      vec![("crv", Some(json!("Ed25519")))]),
        ("crv: null",                  vec![("crv", Some(json!(null)))]),
        ("crv: absent",                vec![("crv", None)]),
        ("alg: of another curve",      vec![("alg", Some(json!("ES384")))]),
        ("alg: of RSA",                vec![("alg", Some(json!("RS256")))]),
        ("kty: RSA",                   vec![("kty", Some(json!("RSA")))]),
        ("kty: OKP",                   vec![("kty", Some(json!("OKP")))]),
        ("d: its private half",        vec![("d", Some(json!("AQAB")))]),
        ("x: absent",                  vec![("x", None)]),
        ("y: absent",                  vec![("y", None)]),
        ("y: empty",                   vec![("y", Some(json!("")))]),
        ("y: another",                 vec![("y", some(&off))]),
        ("x and y: swapped",           vec![("x", some(&y)), ("y", some(&x))]),
        ("x and y: zero",              vec![("x", some(&[0; 32])), ("y", some(&[0; 32]))]),
        ("x: the field's prime",       vec![("x", some(&p))]),
        ("x and y: all ones",          vec![("x", some(&[0xff; 32])), ("y", some(&[0xff; 32]))]),
        ("x: shorter",                 vec![("x", some(&x[1..]))]),
        ("x: longer",                  vec![("x", Some(json!(longer(&x))))]),
        ("x and y: longer",            vec![("x", Some(json!(longer(&x)))), ("y", Some(json!(longer(&y))))]),
        ("x shorter, y longer",        vec![("x", some(&x[..31])), ("y", some(&[&x[31..], &y[..]].concat()))]),
        ("x: both, y: empty",          vec![("x", some(&[&x[..], &y].concat())), ("y", Some(json!("")))]),
        ("x: with its prefix",         vec![("x", some(&[&[4], &x[..]].concat()))]),
        ("x: compressed",              vec![("x", some(&[&[2], &x[..]].concat())), ("y", None)]),
        ("a point of P-384",           vec![("x", some(&x384)), ("y", some(&y384))]),
        ("x: padded",                  vec![("x", Some(json!(base64url(&x) + "=")))]),
    ];
    let (named, unnamed) = (token(&ec, Some("odd")), token(&ec, None));
    for (case, members) in rows {
        let odd = with(&ec, &members);
        is_left_out(case, &odd, &named, &unnamed, "algorithm_not_allowed").await;
    }
}

fn coordinates(key: &SigningKey) -> (Vec<u8>, Vec<u8>) {
    let jwk = key.public_jwk();
    let of = |name: &str| bytes_of(jwk[name].as_str().unwrap());
    (of("x"), of("y"))
}

#[tokio::test]
async fn rejects_invalid_ed25519_points() {
    let key = SigningKey::generate(Algorithm::EdDSA).with_kid("odd");
    let x = bytes_of(key.public_jwk()["x"].as_str().unwrap());
    let some = |bytes: &[u8]| Some(json!(base64url(bytes)));
    #[rustfmt::skip]
    let rows = [
        ("crv: Ed448",                 "crv", Some(json!("Ed448"))),
        ("crv: X25519",                "crv", Some(json!("X25519"))),
        ("crv: lower case",            "crv", Some(json!("ed25519"))),
        ("crv: P-256",                 "crv", Some(json!("P-256"))),
        ("crv: absent",                "crv", None),
        ("alg: of a curve",            "alg", Some(json!("ES256"))),
        ("kty: EC",                    "kty", Some(json!("EC"))),
        ("d: its private half",        "d",   Some(json!("AQAB"))),
        ("x: absent",                  "x",   None),
        ("x: empty",                   "x",   Some(json!(""))),
        ("x: shorter",                 "x",   some(&x[1..])),
        ("x: longer",                  "x",   some(&[&x[..], &[0]].concat())),
        ("x: of Ed448's length",       "x",   some(&[1; 57])),
        ("x: padded",                  "x",   Some(json!(base64url(&x) + "="))),
    ];
    let (named, unnamed) = (token(&key, Some("odd")), token(&key, None));
    for (case, name, value) in rows {
        let odd = with(&key, &[(name, value)]);
        is_left_out(case, &odd, &named, &unnamed, "algorithm_not_allowed").await;
    }
}

/// `aws-lc-rs` notices this only when it verifies, not when it parses the key. So we hold the key,
/// but it verifies nothing.
#[tokio::test]
async fn ed25519_point_off_the_curve_verifies_nothing() {
    let (key, good) = (
        SigningKey::generate(Algorithm::EdDSA).with_kid("odd"),
        SigningKey::generate(Algorithm::EdDSA),
    );
    #[rustfmt::skip]
    let rows = [
        ("not on the curve",           [&[2][..], &[0; 31]].concat()),
        ("not on the curve, sign set", [&[2][..], &[0; 30], &[0x80]].concat()),
        ("not reduced",                [&[0xf0][..], &[0xff; 30], &[0x7f]].concat()),
    ];
    let token_without_signature = with_signature(&token(&key, Some("odd")), [0; 64]);
    for (case, x) in rows {
        let odd = with(&key, &[("x", Some(json!(base64url(x))))]);
        let (_service, mut client) = serve(&[odd, good.public_jwk()]).await;
        for token in [&token(&key, Some("odd")), &token_without_signature] {
            let answer = client.with_token(token).await;
            answer.assert_is_problem(case, 401, "bad_signature");
        }
        let token = token(&good, Some(good.kid()));
        assert_ok(case, &client.with_token(&token).await);
    }
}

/// Each token in `edge_keys.json` is mathematically valid under its key. Only the check of the key
/// stands between it and a 200.
#[tokio::test]
async fn weak_keys_verify_nothing() {
    let vectors = include_str!("../../vectors/edge_keys.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    for vector in vectors["refused"].as_array().unwrap() {
        let (case, token) = (
            vector["name"].as_str().unwrap(),
            vector["token"].as_str().unwrap(),
        );
        let key = SigningKey::generate(Algorithm::ES384);
        let (_service, mut client) = serve(&[vector["jwk"].clone(), key.public_jwk()]).await;
        let answer = client.with_token(token).await;
        answer.assert_is_problem(case, 401, "algorithm_not_allowed");
        let good = self::token(&key, Some(key.kid()));
        assert_ok(case, &client.with_token(&good).await);
        let alone = auth(std::slice::from_ref(&vector["jwk"]));
        assert!(matches!(alone, Err(SetupError::KeySet(_))), "{case}");
    }
}

/// Everyone can read a secret in a public key set (RFC 8725 §3.2).
#[tokio::test]
async fn secrets_in_the_key_set_verify_nothing() {
    let good = SigningKey::generate(Algorithm::ES256);
    let oct = json!({"kty": "oct", "kid": "secret", "k": base64url([7; 32]), "alg": "HS256"});
    let mut hs256 = token(&SigningKey::from_secret([7; 32]), Some("secret"));
    let own = [9; 32];
    let auth = Auth::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms([Algorithm::ES256, Algorithm::HS256])
        .signing_secret(own)
        .jwks(json!({"keys": [oct, good.public_jwk()]}).to_string())
        .build()
        .unwrap();
    let service = Service::start(&auth).await;
    let mut client = service.client().await;
    let answer = client.with_token(&hs256).await;
    answer.assert_is_problem("its secret", 401, "bad_signature");
    hs256 = token(&SigningKey::from_secret(own), Some("secret"));
    assert_ok("ours", &client.with_token(&hs256).await);
    let es256 = token(&good, Some(good.kid()));
    assert_ok("next to it", &client.with_token(&es256).await);
}

/// If two different keys fit, we can't know which one the issuer means.
#[tokio::test]
async fn uses_neither_of_two_keys_that_fit() {
    let (one, other) = (
        SigningKey::generate(Algorithm::ES256).with_kid("a"),
        SigningKey::generate(Algorithm::ES256).with_kid("b"),
    );
    let same = |key: &SigningKey| with(key, &[("kid", Some(json!("a")))]);
    let unnamed = |key: &SigningKey| with(key, &[("kid", None)]);
    #[rustfmt::skip]
    let rows = [
        ("one kid, by the first",      [same(&one), same(&other)],       token(&one, Some("a"))),
        ("one kid, by the second",     [same(&one), same(&other)],       token(&other, Some("a"))),
        ("no kid in the token",        [one.public_jwk(), other.public_jwk()], token(&one, None)),
        ("no kid anywhere",            [unnamed(&one), unnamed(&other)], token(&one, None)),
        ("no kid in the set",          [unnamed(&one), unnamed(&other)], token(&one, Some("a"))),
        ("an unknown kid",             [one.public_jwk(), other.public_jwk()], token(&one, Some("c"))),
    ];
    for (case, keys, token) in rows {
        let (_service, mut client) = serve(&keys).await;
        let answer = client.with_token(&token).await;
        answer.assert_is_problem(case, 401, "unknown_key");
    }
    let (_service, mut client) = serve(&[one.public_jwk(), other.public_jwk()]).await;
    let answer = client.with_token(&token(&one, Some("b"))).await;
    answer.assert_is_problem("the other's kid", 401, "bad_signature");
}

/// Entries that aren't keys, or that not every JSON parser can read. The valid key should still
/// work.
#[tokio::test]
async fn skips_entries_that_are_not_keys() {
    let good = SigningKey::generate(Algorithm::EdDSA);
    let jwk = good.public_jwk().to_string();
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    #[rustfmt::skip]
    let entries = [
        ("null",                       "null".to_owned()),
        ("true",                       "true".to_owned()),
        ("a number",                   "1".to_owned()),
        ("too large for an f64",       "1e400".to_owned()),
        ("a string",                   r#""RSA""#.to_owned()),
        ("a lone surrogate",           r#""\ud800""#.to_owned()),
        ("an array",                   "[]".to_owned()),
        ("a key in an array",          format!("[{jwk}]")),
        ("an empty object",            "{}".to_owned()),
        ("a certificate",              r#"{"x5c":["MIIB"]}"#.to_owned()),
        ("an address",                 r#"{"jku":"http://127.0.0.1:1/"}"#.to_owned()),
        ("a set",                      format!(r#"{{"keys":[{jwk}]}}"#)),
        ("a deeply nested one",        deep.clone()),
        ("a key with a deep member",   jwk.replacen('{', &format!(r#"{{"x5c":{deep},"#), 1)),
        ("a key with that number",     jwk.replacen('{', r#"{"exp":1e400,"#, 1)),
        ("a key with that string",     jwk.replacen('{', r#"{"x5t":"\udc00","#, 1)),
    ];
    for (case, entry) in entries {
        let document = format!(r#"{{"x":1e400,"keys":[{entry},{jwk}]}}"#);
        let auth = Auth::builder()
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .algorithms([Algorithm::EdDSA])
            .jwks(document)
            .build();
        let service = Service::start(&auth.expect(case)).await;
        let token = token(&good, Some(good.kid()));
        assert_ok(case, &service.client().await.with_token(&token).await);
    }
}

/// With the feature `raw_value`, `serde_json` reads this as the value in the string.
fn hidden(json: &str) -> String {
    json!({"$serde_json::private::RawValue": json}).to_string()
}

/// `raw_value` parses such a string with a fresh depth limit, so sixty nested documents overflow
/// the stack, and besides, a parser with the feature sees another key than one without it.
#[tokio::test]
async fn does_not_parse_documents_in_strings() {
    let good = SigningKey::generate(Algorithm::EdDSA);
    let other = SigningKey::generate(Algorithm::EdDSA);
    let jwk = other.public_jwk().to_string();
    let deep = (0..10).fold("1".to_owned(), |inner, _| {
        hidden(&format!("{}{inner}{}", "[".repeat(120), "]".repeat(120)))
    });
    let within = format!(r#"{{"kty":{},"x":{deep}}}"#, hidden("\"OKP\""));
    for (case, entry) in [
        ("a key", hidden(&jwk)),
        ("a key in a key", hidden(&hidden(&jwk))),
        ("many", deep),
        ("within a key", within),
        ("a member", jwk.replace("\"OKP\"", &hidden("\"OKP\""))),
    ] {
        let document = format!(r#"{{"keys":[{entry},{}]}}"#, good.public_jwk());
        let auth = fixed(document).expect(case);
        let service = Service::start(&auth).await;
        let mut client = service.client().await;
        let answer = client.with_token(&token(&other, Some(other.kid()))).await;
        answer.assert_is_problem(case, 401, "unknown_key");
        assert_ok(
            case,
            &client.with_token(&token(&good, Some(good.kid()))).await,
        );
    }
    let whole = hidden(&json!({"keys": [good.public_jwk()]}).to_string());
    assert!(fixed(whole).is_err(), "a whole set");
}

/// Documents that are refused, and valid ones with unknown members beside `keys`.
#[test]
fn requires_key_sets_to_be_strict_json() {
    let key = SigningKey::generate(Algorithm::EdDSA).public_jwk();
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    #[rustfmt::skip]
    let rows = [
        ("plain",                      format!(r#"{{"keys":[{key}]}}"#), true),
        ("something else",             format!(r#"{{"x":{{"keys":1}},"keys":[{key}]}}"#), true),
        ("keys twice",                 format!(r#"{{"keys":[],"keys":[{key}]}}"#), false),
        ("twice, escaped",             format!(r#"{{"key\u0073":[],"keys":[{key}]}}"#), false),
        ("another member twice",       format!(r#"{{"x":1,"keys":[{key}],"x":1}}"#), false),
        ("twice, nested",              format!(r#"{{"x":[{{"a":1,"a":1}}],"keys":[{key}]}}"#), false),
        ("deep, next to the keys",     format!(r#"{{"x":{},"keys":[{key}]}}"#, deep(127)), true),
        ("too deep",                   format!(r#"{{"x":{},"keys":[{key}]}}"#, deep(128)), false),
        ("a private name",             format!(r#"{{"x":{},"keys":[{key}]}}"#, hidden("1")), false),
        ("too many values",            format!(r#"{{"x":[0{}],"keys":[{key}]}}"#, ",0".repeat(40_000)), false),
        ("an array of sets",           format!(r#"[{{"keys":[{key}]}}]"#), false),
        ("text after the set",         format!(r#"{{"keys":[{key}]}} 1"#), false),
    ];
    for (case, document, is_set) in rows {
        assert_eq!(fixed(document).is_ok(), is_set, "{case}");
    }
}

/// A fault in an entry costs only that entry. Depth is counted from the root of the document.
#[tokio::test]
async fn skips_entries_that_are_not_strict_json() {
    let good = SigningKey::generate(Algorithm::EdDSA);
    let other = SigningKey::generate(Algorithm::EdDSA);
    let jwk = other.public_jwk().to_string();
    let with = |member: String| jwk.replacen('{', &format!("{{{member},"), 1);
    let deep = |depth: usize| format!(r#""deep":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    #[rustfmt::skip]
    let rows = [
        ("unchanged",                  jwk.clone(), true),
        ("125 levels below the key",   with(deep(125)), true),
        ("126 levels",                 with(deep(126)), false),
        ("a member twice",             with(r#""kty":"OKP""#.to_owned()), false),
        ("twice, nested",              with(r#""x5c":[{"a":1,"a":1}]"#.to_owned()), false),
        ("too many values",            with(format!(r#""x5c":[0{}]"#, ",0".repeat(40_000))), false),
        ("a kid of two thousand",      jwk.replace(other.kid(), &"a".repeat(2000)), false),
    ];
    for (case, entry, is_read) in rows {
        let auth = fixed(format!(r#"{{"keys":[{entry},{}]}}"#, good.public_jwk())).expect(case);
        let status = auth.status();
        assert_eq!(status[0].keys, 1 + usize::from(is_read), "{case}");
    }
}

/// We only read the first 512 entries, which should work whatever comes after them.
#[tokio::test]
async fn limits_the_entries_of_a_set() {
    let first = SigningKey::generate(Algorithm::EdDSA);
    let last = SigningKey::generate(Algorithm::EdDSA);
    for (case, between, is_read) in [("512 entries", 510, true), ("513", 511, false)] {
        let between = "1,".repeat(between);
        let (first, last) = (first.public_jwk(), last.public_jwk());
        let auth = fixed(format!(r#"{{"keys":[{first},{between}{last}]}}"#)).unwrap();
        assert_eq!(auth.status()[0].keys, 1 + usize::from(is_read), "{case}");
    }
    assert!(fixed(format!(r#"{{"keys":[{}1]}}"#, "1,".repeat(200_000))).is_err());
}

/// Put together, `n` and `e` of both keys are the same bytes, but the second key splits them one
/// byte later, so they're different keys and a token without a `kid` names neither.
#[tokio::test]
async fn compares_keys_number_by_number() {
    let key = SigningKey::generate(Algorithm::RS256);
    let n = bytes_of(key.public_jwk()["n"].as_str().unwrap());
    let rsa = |n: &[u8], e: &[u8]| json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)});
    let longer = [&n[..], &[1]].concat();
    let keys = [rsa(&n, &[1, 1, 1]), rsa(&longer, &[1, 1])];
    let (_service, mut client) = serve(&keys).await;
    let answer = client.with_token(&token(&key, None)).await;
    answer.assert_is_problem("two keys", 401, "unknown_key");
    let (_service, mut client) = serve(&[keys[0].clone(), keys[0].clone()]).await;
    let answer = client.with_token(&token(&key, None)).await;
    answer.assert_is_problem("one key twice", 401, "bad_signature");
}
