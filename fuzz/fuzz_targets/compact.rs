//! Any input is rejected as a token, except for a few known valid tokens.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use warp_bearer_fuzz::{auth, vectors, wait};

fuzz_target!(|token: &str| {
    if let Ok(claims) = wait(auth().verify::<Value>(token)) {
        assert!(
            vectors().iter().any(|vector| vector["token"] == token),
            "{claims:?}"
        );
    }
});
