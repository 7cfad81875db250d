//! Any text as a token: refused, but for the few that are known to be good.
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
