//! Checks each key of a set: its type, its age, and whether the service would use it.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

use crate::{
    auth::{
        display::{ShownText, ShownUrl},
        keys::key_set::{Examined, examine},
    },
    service::cli::{
        check::{certificate, context::Context, report::Section},
        terminal::Mark,
        time_format::{length, local},
    },
};

/// Checks a key set with the function that the service uses.
pub(in crate::service) fn check(
    section: &mut Section,
    document: &[u8],
    from: &str,
    context: &Context<'_>,
) {
    let algorithms = &context.config.algorithms;
    let Some(keys) = examine(document, algorithms) else {
        let text = format!(
            "{}: not a JSON object with an array \"keys\"",
            ShownUrl::new(from)
        );
        section.add(Mark::Bad, "keys", text);
        return;
    };
    for examined in &keys {
        key(section, examined, context);
    }
    let usable = keys
        .iter()
        .filter(|(_, good_for)| is_used(good_for))
        .count();
    let allowed: Vec<_> = algorithms.iter().map(|alg| format!("{alg:?}")).collect();
    let text = format!("{usable} of {} for {}", keys.len(), allowed.join(", "));
    let mark = if usable == 0 { Mark::Bad } else { Mark::Good };
    section.add(mark, "keys", text);
}

fn is_used<E>(good_for: &Result<Vec<crate::auth::Algorithm>, E>) -> bool {
    good_for
        .as_ref()
        .is_ok_and(|algorithms| !algorithms.is_empty())
}

fn key(section: &mut Section, (jwk, good_for): &Examined, context: &Context<'_>) {
    let text = |name: &str| {
        let text = jwk.get(name).and_then(Value::as_str);
        text.map(|text| ShownText::new(text).to_string())
    };
    let parts = [text("kty"), text("crv"), bits(jwk), text("alg")];
    let kind = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let name = text("kid").unwrap_or_else(|| "without a kid".to_owned());
    let named = format!("{name}: {kind}");
    match good_for {
        Ok(algorithms) if algorithms.is_empty() => {
            let more = "not for an algorithm of AUTH0_ALGORITHMS";
            section.add_more(Mark::Plain, "key", named, more);
        }
        Ok(_) => section.add_more(Mark::Good, "key", named, age(jwk, context.now)),
        Err(reason) => {
            section.add_more(Mark::Note, "key", named, format!("left out: {reason}"));
        }
    }
}

/// Returns the size of an RSA key. For other keys, the name of the curve implies it.
fn bits(jwk: &Value) -> Option<String> {
    let modulus = URL_SAFE_NO_PAD.decode(jwk.get("n")?.as_str()?).ok()?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let bits = (modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize;
    Some(format!("{bits} bits"))
}

/// Formats the age of a key, which is that of its certificate. Empty if the key has none.
fn age(jwk: &Value, now: f64) -> String {
    let certificate = jwk.get("x5c").and_then(|chain| chain.get(0)?.as_str());
    let certificate = certificate.and_then(|text| STANDARD.decode(text).ok());
    let since = certificate.and_then(|certificate| certificate::validity(&certificate));
    since.map_or_else(String::new, |(since, _)| {
        format!("since {}, {}", local(since), length(now - since))
    })
}
