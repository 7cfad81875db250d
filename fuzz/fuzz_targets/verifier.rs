//! Any header and any payload, separated by a line feed, with a valid signature. An accepted token
//! must be valid according to a second implementation of the rules, which shares no code with the
//! verifier.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use warp_bearer::auth::Claims;
use warp_bearer_fuzz::{AUDIENCE, ISSUER, NOW, auth, sign, wait};

fuzz_target!(|input: &[u8]| {
    let Some(middle) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (header, payload) = (&input[..middle], &input[middle + 1..]);
    let token = sign(header, payload);
    let Ok(claims) = wait(auth().verify::<Value>(&token)) else {
        return;
    };

    let header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    assert_eq!(header["alg"], "HS256");
    assert!(!header.contains_key("crit") && !header.contains_key("b64"));
    if let Some(typ) = header.get("typ") {
        let typ = typ.as_str().unwrap().to_ascii_lowercase();
        assert!(
            matches!(&*typ, "jwt" | "at+jwt" | "application/at+jwt"),
            "{typ}"
        );
    }

    let said: Map<String, Value> = serde_json::from_slice(payload).unwrap();
    assert_eq!(said["iss"], ISSUER);
    let audience = match &said["aud"] {
        Value::String(one) => vec![one.clone()],
        many => serde_json::from_value(many.clone()).unwrap(),
    };
    assert!(audience.iter().any(|audience| audience == AUDIENCE));
    let date = |name: &str| said.get(name).map(|date| date.as_f64().unwrap());
    let now = NOW as f64;
    assert!(date("exp").unwrap() + 30.0 > now);
    assert!(
        [date("nbf"), date("iat")]
            .into_iter()
            .flatten()
            .all(|date| date - 30.0 <= now)
    );
    assert!(!said.contains_key("cnf"));
    for name in ["typ", "token_use"] {
        let kind = said.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_suffix("_token").unwrap_or(&kind);
        assert!(
            !matches!(kind, "id" | "refresh" | "offline" | "logout"),
            "{kind}"
        );
    }

    assert_same(&claims, &said, &audience);
    assert_eq!(claims.json().as_bytes(), payload);
});

/// The accessors return the values that `serde_json` reads.
fn assert_same(claims: &Claims<Value>, said: &Map<String, Value>, audience: &[String]) {
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    assert_eq!(claims.subject(), text("sub"));
    assert_eq!(claims.issuer(), ISSUER);
    assert_eq!(claims.audience().collect::<Vec<_>>(), audience);
    let words = |name: &str| {
        let words = text(name).unwrap_or_default().split(' ');
        words.filter(|word| !word.is_empty()).map(str::to_owned)
    };
    let array: Vec<String> = match said.get("scp") {
        Some(array) => serde_json::from_value(array.clone()).unwrap_or_default(),
        None => Vec::new(),
    };
    let scopes = words("scope").chain(words("scp")).chain(array);
    assert!(claims.scopes().eq(scopes));
    assert_eq!(claims.private(), &Value::Object(said.clone()));
}
