//! Properties that must hold for every input, tested with thousands of random inputs and with every
//! single bit flipped.

use std::{cell::RefCell, fmt::Write};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use warp_bearer::{
    auth::{Algorithm, Auth, Claims},
    issuer::{Issuer, SigningKey},
};

use crate::support::{
    raw::{Client, Service},
    text::{base64url, signed_by},
};

const ISSUER: &str = "https://issuer.example/";
const AUDIENCE: &str = "https://api.example.com";

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

/// The service, a client, and a token that the service has accepted.
struct Wire {
    runtime: Runtime,
    client: RefCell<Client>,
    good: String,
    _service: Service,
}

impl Wire {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (service, client, good) = runtime.block_on(async {
            let issuer = Issuer::start().await;
            let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
            auth.ready().await;
            let service = Service::start(&auth).await;
            let (mut client, good) = (service.client().await, issuer.token().sign());
            assert_eq!(client.with_token(&good).await.status.as_u16(), 200);
            (service, client, good)
        });
        Self {
            runtime,
            client: RefCell::new(client),
            good,
            _service: service,
        }
    }

    /// An invalid token should get 401 if its syntax is valid, and 400 if it isn't.
    fn assert_refused(&self, credential: &[u8]) {
        let line = [b"Authorization: Bearer ", credential, b"\r\n"].concat();
        let mut client = self.client.borrow_mut();
        let answer = self.runtime.block_on(client.with_lines(&line));
        let status = answer.status.as_u16();
        let expected = if is_b64token(credential) { 401 } else { 400 };
        assert_eq!(status, expected, "{credential:?}");
        if !answer.body.is_empty() {
            answer.assert_is_problem("any", status, &answer.code());
        }
    }
}

/// Matches `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1) after one
/// space or more. White space at the end of a field does not belong to the value (RFC 9110 §5.5).
fn is_b64token(credential: &[u8]) -> bool {
    let blanks = credential.iter().take_while(|byte| **byte == b' ').count();
    let token = credential[blanks..].trim_ascii_end();
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &token[..token.len() - padding];
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    !body.is_empty() && body.iter().all(fits)
}

#[test]
fn rejects_any_bytes_after_bearer() {
    let wire = Wire::start();
    let credential = prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(base64url_text().boxed(), 1..6).prop_map(|parts| parts.join(".").into_bytes()),
        vec(prop_oneof![an_object(), base64url_text()], 3).prop_map(|parts| parts.join(".").into()),
        spliced(wire.good.clone().into_bytes()),
    ];
    let outcome = runner(2000).run(&credential, |mut bytes| {
        bytes.retain(|byte| !b"\r\n".contains(byte));
        prop_assume!(bytes.trim_ascii() != wire.good.as_bytes());
        wire.assert_refused(&bytes);
        Ok(())
    });
    outcome.unwrap();
}

fn base64url_text() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_-]{0,60}"
}

/// An object with some of the expected names, to be used as a part of a token.
fn an_object() -> impl Strategy<Value = String> {
    const NAMES: [&str; 9] = ["alg", "typ", "kid", "crit", "iss", "aud", "exp", "sub", ""];
    let values = prop_oneof![
        any::<f64>().prop_map(|n| json!(n)),
        "\\PC{0,8}".prop_map(|s| json!(s))
    ];
    vec((select(&NAMES[..]), values), 0..6).prop_map(|members| {
        let members = members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        base64url(Value::Object(members.collect()).to_string())
    })
}

/// The beginning and the end of a valid token, with random bytes between them.
fn spliced(good: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    (any::<Index>(), vec(any::<u8>(), 0..8), any::<Index>()).prop_map(move |(to, new, from)| {
        let (to, from) = (to.index(good.len()), from.index(good.len()));
        [&good[..to], &new, &good[from..]].concat()
    })
}

/// Over HTTP, and while the valid token is cached. We skip line breaks, as they'd just end the
/// field.
#[test]
fn rejects_a_token_with_any_bit_flipped() {
    let wire = Wire::start();
    for turned in turned(wire.good.as_bytes()) {
        if !turned.iter().any(|byte| b"\r\n".contains(byte)) {
            wire.assert_refused(&turned);
        }
    }
}

fn turned(token: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..token.len() * 8).map(move |bit| {
        let mut turned = token.to_vec();
        turned[bit / 8] ^= 1 << (bit % 8);
        turned
    })
}

/// Calls the library, without HTTP. Skips a flip after which the token is not UTF-8.
#[tokio::test]
async fn rejects_any_flipped_bit_for_every_algorithm() {
    use Algorithm::{ES256, ES384, ES512, EdDSA, HS256, PS256, PS384, PS512, RS256, RS384, RS512};
    let secret = SigningKey::from_secret([7; 32]);
    for algorithm in [
        HS256, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA,
    ] {
        let key = match algorithm {
            HS256 => secret.clone(),
            _ => SigningKey::generate(algorithm),
        };
        let auth = auth(&key);
        let good = token(&key, &json!({}));
        auth.verify::<Value>(&good).await.unwrap();
        for turned in turned(good.as_bytes()) {
            if let Ok(turned) = str::from_utf8(&turned) {
                let verdict = auth.verify::<Value>(turned).await;
                assert!(verdict.is_err(), "{algorithm:?}: {turned}");
            }
        }
    }
}

fn auth(key: &SigningKey) -> Auth {
    let auth = Auth::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms([key.algorithm()]);
    let auth = match key.algorithm() {
        Algorithm::HS256 => auth.signing_secret([7; 32]),
        _ => auth.jwks(json!({"keys": [key.public_jwk()]}).to_string()),
    };
    auth.build().unwrap()
}

fn token(key: &SigningKey, claims: &Value) -> String {
    let mut payload = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": 4_102_444_800_u64});
    for (name, value) in claims.as_object().unwrap() {
        payload[name] = value.clone();
    }
    signed(key, &payload.to_string())
}

fn signed(key: &SigningKey, payload: &str) -> String {
    let header = json!({"alg": key.algorithm(), "typ": "at+jwt"});
    signed_by(key, header.to_string(), payload)
}

/// The claims of a valid token should be the values that `serde_json` reads from its payload,
/// escapes included.
#[test]
fn claims_equal_the_payload() {
    let runtime = Runtime::new().unwrap();
    let key = SigningKey::generate(Algorithm::EdDSA);
    let auth = auth(&key);
    let claims = (
        any::<String>(),
        vec("[!#-~]{1,6}", 0..5),
        vec(any::<String>(), 0..4),
        vec(any::<String>(), 0..4),
        vec((any::<String>(), any_json()), 0..5),
        any::<bool>(),
    );
    let outcome = runner(500).run(
        &claims,
        |(subject, scopes, audience, permissions, own, escape)| {
            let mut payload = Map::from_iter(own);
            for name in ["nbf", "iat", "jti", "cnf"] {
                payload.remove(name);
            }
            let audience = [&audience[..], &[AUDIENCE.to_owned()]].concat();
            payload.insert("iss".into(), json!(ISSUER));
            payload.insert("exp".into(), json!(4_102_444_800.5));
            payload.insert("sub".into(), json!(subject));
            payload.insert("aud".into(), json!(audience));
            payload.insert("scope".into(), json!(scopes.join(" ")));
            payload.insert("permissions".into(), json!(permissions));
            let text = Value::Object(payload.clone()).to_string();
            let text = if escape { escaped(&text) } else { text };

            let claims: Claims<Value> =
                runtime.block_on(auth.verify(&signed(&key, &text))).unwrap();
            prop_assert_eq!(claims.subject(), Some(&*subject));
            prop_assert_eq!(claims.audience().collect::<Vec<_>>(), audience);
            prop_assert_eq!(claims.scopes().collect::<Vec<_>>(), scopes);
            prop_assert_eq!(claims.permissions().collect::<Vec<_>>(), permissions);
            let payload = Value::Object(payload);
            prop_assert_eq!(claims.private(), &payload);
            prop_assert_eq!(claims.json(), &*text);
            let serialized = serde_json::to_string(&claims).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&serialized).unwrap(), payload);
            Ok(())
        },
    );
    outcome.unwrap();
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Escapes every letter of every string, except those that belong to an escape.
fn escaped(json: &str) -> String {
    let mut out = String::new();
    let (mut within, mut skip) = (false, 0);
    for (at, c) in json.char_indices() {
        match c {
            _ if skip > 0 => skip -= 1,
            '\\' if json[at + 1..].starts_with('u') => skip = 5,
            '\\' => skip = 1,
            '"' => within = !within,
            'a'..='z' if within => {
                write!(out, "\\u{:04x}", u32::from(c)).unwrap();
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}
