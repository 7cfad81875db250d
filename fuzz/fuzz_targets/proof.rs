//! Any header and any claims of a DPoP proof, separated by a line feed, with a valid signature. `@`
//! in the header is replaced by the key. An accepted proof must be valid according to a second
//! implementation of the rules, which shares no code with the verifier, and is accepted only once.
#![no_main]

use std::{
    collections::HashSet,
    sync::{Mutex, OnceLock},
};

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use warp::http::{HeaderValue, Request};
use warp_bearer::{
    auth::{Algorithm, Auth, AuthError, RequestHead, claims::NoPrivate, dpop::Dpop},
    issuer::SigningKey,
};
use warp_bearer_fuzz::{AUDIENCE, ISSUER, NOW, SECRET, builder, sign, wait};

/// The hash of the token changes with the key, so `#` in the claims is replaced by the hash.
struct World {
    auth: Auth,
    key: SigningKey,
    token: String,
    hash: String,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let key = SigningKey::generate(Algorithm::ES256);
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "cnf": {"jkt": key.thumbprint()},
        });
        let token = sign(br#"{"alg":"HS256"}"#, claims.to_string().as_bytes());
        let proof = key.proof("GET", "x").token(&token).sign();
        let claims = proof.split('.').nth(1).unwrap();
        let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims);
        let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
        let auth = builder()
            .algorithms([Algorithm::HS256])
            .signing_secret(SECRET)
            .dpop(Dpop::required("https://api.example.com/v1"));
        World {
            auth: auth.build().unwrap(),
            key,
            token,
            hash: claims["ath"].as_str().unwrap().to_owned(),
        }
    })
}

fuzz_target!(|input: &[u8]| {
    let Some(middle) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let World {
        auth,
        key,
        token,
        hash,
    } = world();
    let header = filled(&input[..middle], b'@', &key.public_jwk().to_string());
    let claims = filled(&input[middle + 1..], b'#', hash);
    let proof = key.sign_proof(&header, &claims);
    let Ok(field) = HeaderValue::from_str(&proof) else {
        return;
    };
    let mut request = Request::get("/a%7Eb").body(()).unwrap();
    let bound = HeaderValue::from_str(&format!("DPoP {token}")).unwrap();
    request.headers_mut().insert("authorization", bound);
    request.headers_mut().insert("dpop", field);
    let head = RequestHead::new(request.method(), request.uri().path(), request.headers());
    let verdict = wait(auth.authenticate::<NoPrivate>(&head));
    let again = wait(auth.authenticate::<NoPrivate>(&head));
    if let Err(refused) = verdict {
        assert_ne!(again.map(|_| ()).unwrap_err().error.status(), 200);
        assert_ne!(refused.error, AuthError::TokenNotBound);
        return;
    }
    let again = again.unwrap_err().error;
    assert!(matches!(again, AuthError::ProofReplayed | AuthError::StateUnavailable { .. }));

    let header: Map<String, Value> = serde_json::from_slice(&header).unwrap();
    assert_eq!((&header["typ"], &header["alg"]), (&json!("dpop+jwt"), &json!("ES256")));
    assert!(!header.contains_key("crit") && !header.contains_key("b64"));
    let said: Map<String, Value> = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&said["htm"], &said["ath"]), (&json!("GET"), &json!(hash)));
    assert!(is_the_url(said["htu"].as_str().unwrap()), "{}", said["htu"]);
    let issued = said["iat"].as_f64().unwrap();
    assert!(issued >= (NOW - 330) as f64 && issued <= (NOW + 30) as f64);
    let id = said["jti"].as_str().unwrap();
    assert!((1..=256).contains(&id.len()));

    static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap();
    let is_new = seen.get_or_insert_default().insert(id.to_owned());
    assert!(is_new, "{id} twice");
});

fn filled(text: &[u8], mark: u8, value: &str) -> Vec<u8> {
    let pieces: Vec<_> = text.split(|byte| *byte == mark).collect();
    pieces.join(value.as_bytes())
}

/// Decodes every escape except reserved ones such as `%2F`, which no accepted spelling contains.
fn is_the_url(htu: &str) -> bool {
    let htu = htu.split(['?', '#']).next().unwrap().replace("%7E", "~").replace("%7e", "~");
    let mut decoded = String::new();
    let mut rest = &*htu;
    while let Some((before, after)) = rest.split_once('%') {
        decoded += before;
        let Some(byte) = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            return false;
        };
        decoded.push(char::from(byte));
        rest = &after[2..];
    }
    decoded += rest;
    let Some((scheme, rest)) = decoded.split_once("://") else {
        return false;
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.to_ascii_lowercase();
    scheme.eq_ignore_ascii_case("https")
        && matches!(&*host, "api.example.com" | "api.example.com:" | "api.example.com:443")
        && path == "/v1/a~b"
}
