//! JSON that is nested in a key of a set, in ordinary wrappers and in wrappers that only
//! `serde_json` understands.
//!
//! Each byte before the first line feed selects a wrapper, from the inside out. The depth counts
//! from the root of the document with any wrapper. A key with a name that `serde_json` reserves is
//! left out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use warp_bearer_fuzz::{builder, vectors, wait};

/// Key sets are fetched up to this size.
const LARGEST: usize = 512 * 1024;

/// The levels above a member of a key: the document, `keys`, and the key.
const ABOVE: usize = 3;

fuzz_target!(|input: &str| {
    let Some((wrappers, core)) = input.split_once('\n') else {
        return;
    };
    let Ok(core) = serde_json::from_str::<Value>(core) else {
        return;
    };
    let (mut text, mut is_private) = (core.to_string(), false);
    for wrapper in wrappers.bytes() {
        text = match wrapper % 8 {
            0..=2 => format!("[{text}]"),
            3..=4 => format!(r#"{{"x":{text}}}"#),
            kind => {
                is_private = true;
                let name = match kind {
                    5 => "$serde_json::private::RawValue",
                    6 => "$serde_json::private::Number",
                    _ => r"\u0024serde_json::private::RawValue",
                };
                // Escapes of a fixed length, so that nesting does not double their number.
                let quoted = text.replace('\\', r"\u005c").replace('"', r"\u0022");
                format!(r#"{{"{name}":"{quoted}"}}"#)
            }
        };
        if text.len() > LARGEST {
            return;
        }
    }
    let [good, nested] = [&vectors()[0], &vectors()[1]];
    let mut jwk = nested["jwk"].to_string();
    jwk.truncate(jwk.len() - 1);
    let document = format!(r#"{{"keys":[{jwk},"nested":{text}}},{}]}}"#, good["jwk"]);
    let auth = builder().jwks(document).build().unwrap();
    let verifies =
        |vector: &Value| wait(auth.verify::<Value>(vector["token"].as_str().unwrap())).is_ok();
    assert!(verifies(good));
    if is_private || depth(&text) + ABOVE > 128 {
        assert!(!verifies(nested), "{text}");
    } else if core == json!(1) {
        assert!(verifies(nested), "{text}");
    }
});

fn depth(text: &str) -> usize {
    // Brackets within strings do not nest.
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    deepest
}
