//! Trials with key sets as issuers publish them, and with keys that must not be used.

use std::{sync::OnceLock, thread, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    RsaPrivateKey,
    pkcs1v15::SigningKey as WeakKey,
    rand_core::OsRng,
    sha2::Sha256,
    signature::{SignatureEncoding, Signer},
    traits::PublicKeyParts,
};
use serde_json::{Value, json};
use warp_bearer::issuer::{Issuer, SigningKey};

use super::{
    Trial,
    subject::Subject,
    table::{Cell, Group, Question},
};

macro_rules! trial {
    ($group:ident, $text:literal, $says:literal, |$subject:ident| $cell:expr) => {
        Trial {
            questions: &[Question {
                group: Group::$group,
                text: $text,
                says: $says,
            }],
            run: |$subject| vec![$cell],
        }
    };
}

#[rustfmt::skip]
pub const TRIALS: &[Trial] = &[
    trial!(May, "signed by a key of the set with `use: enc`", "RFC 7517 §4.2", |subject| not_for_this(subject, "use", "enc")),
    trial!(Must, "`RS256` by a key of the set with `alg: RS512`", "RFC 8725 §3.1", |subject| not_for_this(subject, "alg", "RS512")),
    trial!(Must, "signed by a 1,024-bit key of the set", "RFC 7518 §3.3", |subject| weak(subject)),
    trial!(Good, "a key without `alg`", "RFC 7517 §4.4", |subject| still_taken(subject, |set| without(set, "alg"))),
    trial!(Good, "a key without `use`", "RFC 7517 §4.2", |subject| still_taken(subject, |set| without(set, "use"))),
    trial!(Good, "a key of an unknown `kty` in the set", "RFC 7517 §5", |subject| still_taken(subject, |set| beside(set, json!({"kty": "AKP", "kid": "odd", "alg": "ML-DSA-44", "pub": "AAAA"})))),
    trial!(Good, "a key of an unknown curve in the set", "RFC 7517 §5", |subject| still_taken(subject, |set| beside(set, json!({"kty": "EC", "kid": "odd", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"})))),
    trial!(Good, "a key with `alg: 5` in the set", "RFC 7517 §5", |subject| still_taken(subject, |set| beside(set, json!({"kty": "RSA", "kid": "odd", "alg": 5, "n": "AAAA", "e": "AQAB"})))),
    trial!(Good, "a `null` in the set", "RFC 7517 §5", |subject| still_taken(subject, |set| beside(set, json!(null)))),
];

/// Publishes a second key that isn't for signatures, and tests that a token signed with it is
/// rejected.
fn not_for_this(subject: &Subject<'_>, member: &str, value: &str) -> Cell {
    let key = SigningKey::generate(warp_bearer::auth::Algorithm::RS256);
    let mut jwk = key.public_jwk();
    jwk[member] = json!(value);
    let publish = |issuer: &Issuer| issuer.publish(set(issuer, &jwk));
    let stage = subject.stage_with(publish, None);
    stage.await_taken();
    Cell::refused(stage.status(&stage.issuer.token().key(&key).sign()))
}

fn weak(subject: &Subject<'_>) -> Cell {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    let key = KEY.get_or_init(|| RsaPrivateKey::new(&mut OsRng, 1024).unwrap());
    let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "RSA", "kid": "weak", "use": "sig", "alg": "RS256",
        "n": part(key.n().to_bytes_be()), "e": part(key.e().to_bytes_be()),
    });
    let stage = subject.stage_with(|issuer| issuer.publish(set(issuer, &jwk)), None);
    stage.await_taken();
    let token = stage.issuer.token().kid("weak").sign();
    let (signed, _) = token.rsplit_once('.').unwrap();
    let signature = WeakKey::<Sha256>::new(key.clone()).sign(signed.as_bytes());
    Cell::refused(stage.status(&format!("{signed}.{}", part(signature.to_vec()))))
}

fn set(issuer: &Issuer, jwk: &Value) -> Value {
    json!({ "keys": [issuer.key().public_jwk(), jwk] })
}

/// Tests whether the server still finds the issuer's key after `change`.
fn still_taken(subject: &Subject<'_>, change: fn(&mut Vec<Value>)) -> Cell {
    let publish = |issuer: &Issuer| {
        let mut keys = vec![issuer.key().public_jwk()];
        change(&mut keys);
        issuer.publish(json!({ "keys": keys }));
    };
    let Some(stage) = subject.try_stage_with(publish) else {
        return Cell::seen("no start");
    };
    let mut status = None;
    // The server may still be fetching the keys
    for _ in 0..10 {
        status = stage.status(&stage.issuer.token().sign());
        if status == Some(200) {
            break;
        }
        thread::sleep(Duration::from_millis(300));
    }
    Cell::taken(status)
}

fn without(keys: &mut [Value], member: &str) {
    for key in keys {
        key.as_object_mut().unwrap().remove(member);
    }
}

fn beside(keys: &mut Vec<Value>, odd: Value) {
    keys.insert(0, odd);
}
