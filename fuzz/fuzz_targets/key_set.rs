//! Any input is either accepted or rejected as a key set. An accepted set must not verify a token
//! that it should not verify.
#![no_main]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use warp_bearer::auth::Algorithm;
use warp_bearer_fuzz::{builder, vectors, wait};

fuzz_target!(|document: &str| {
    use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let every = [
        RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA,
    ];
    let Ok(auth) = builder().algorithms(every).jwks(document).build() else {
        return;
    };
    assert!(auth.is_ready());
    let vector = &vectors()[0];
    let verified = wait(auth.verify::<Value>(vector["token"].as_str().unwrap())).is_ok();
    if !verified {
        return;
    }
    // If a token is accepted, the set contains its key: the same number, ignoring leading zeros.
    let Ok(document) = serde_json::from_str::<Value>(document) else {
        return;
    };
    let keys = document["keys"].as_array().unwrap();
    let n = number(&vector["jwk"]);
    assert!(
        keys.iter()
            .any(|key| key["kty"] == "RSA" && number(key) == n)
    );
});

fn number(jwk: &Value) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(jwk["n"].as_str()?).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}
