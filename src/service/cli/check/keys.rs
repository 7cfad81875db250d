//! Checks each key of a set: its type, its age, and whether the service can use it.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

use crate::{
    auth::{
        Algorithm,
        display::{ShownText, ShownUrl},
        keys::{
            fetch::FetchError,
            key_set::{Examined, NoKeys, shared_kids},
        },
    },
    service::cli::{
        check::{certificate, report::Section},
        context::Context,
        fetch_advice::{Wanted, fetch_advice},
        terminal::Mark,
        time_format::{length, local},
    },
};

/// Checks keys, which were imported by the same function as in the service. `offered` are the
/// algorithms in the issuer's metadata.
pub(in crate::service) fn check(
    section: &mut Section,
    examined: Result<Vec<Examined>, NoKeys>,
    from: &str,
    offered: &[Algorithm],
    context: &Context<'_>,
) {
    let algorithms = &context.config.algorithms;
    let examined = examined.and_then(|keys| {
        if keys.is_empty() {
            Err(NoKeys::Empty)
        } else {
            Ok(keys)
        }
    });
    let keys = match examined {
        Ok(keys) => keys,
        Err(error) if context.config.jwks_file.is_some() => {
            let text = format!("{}: {error}", ShownUrl::new(from));
            return section.add(Mark::Bad, "keys", text);
        }
        Err(error) => {
            let error = FetchError::NoKeys(ShownUrl::new(from), error);
            let hint = fetch_advice(&error, Wanted::KeySet, context);
            return section.add_failure("keys", &error, &hint);
        }
    };
    for examined in &keys {
        key(section, examined, context);
    }
    for kid in shared_kids(&keys) {
        shared(section, kid.as_deref());
    }
    let is_allowable = not_allowed(section, &keys, offered, context);
    let usable = keys
        .iter()
        .filter(|(_, good_for)| is_used(good_for))
        .count();
    let text = format!("{usable} of {} for {}", keys.len(), names(algorithms, ", "));
    if usable > 0 {
        return section.add(Mark::Good, "keys", text);
    }
    let advice = if is_allowable {
        String::new()
    } else {
        let skipped = None;
        let error = NoKeys::NoneUsable {
            keys: keys.len(),
            skipped,
        };
        let error = FetchError::NoKeys(ShownUrl::new(from), error);
        fetch_advice(&error, Wanted::KeySet, context)
    };
    section.add_more(Mark::Bad, "keys", text, advice);
}

/// Reports that several keys share a `kid` or have none, so a token can't say which of them it
/// means.
fn shared(section: &mut Section, kid: Option<&str>) {
    let (mark, text, more) = match kid {
        Some(kid) => (
            Mark::Note,
            format!("two different keys have the kid {:?}", ShownText::new(kid)),
            "it is unclear which one a token names, so such tokens are rejected; have the issuer \
             give each key a kid of its own",
        ),
        None => (
            Mark::Bad,
            "several keys of one kind, and none has a kid".to_owned(),
            "it is unclear which one signed a token, so all their tokens are rejected; use a JWK \
             set in which each key has the kid of its tokens, or leave one key",
        ),
    };
    section.add_more(mark, "kid", text, more);
}

fn is_used<E>(good_for: &Result<Vec<Algorithm>, E>) -> bool {
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
            let more = "not for an algorithm in AUTH0_ALGORITHMS";
            section.add_more(Mark::Plain, "key", named, more);
        }
        Ok(_) => section.add_more(Mark::Good, "key", named, age(jwk, context.now)),
        Err(reason) => {
            section.add_more(
                Mark::Note,
                "key",
                named,
                format!("cannot be used: {reason}"),
            );
        }
    }
}

/// Lists the algorithms of keys that no allowed algorithm can use, with a line of configuration
/// that allows them. Returns `true` if there is such a key.
///
/// The line keeps every algorithm of `AUTH0_ALGORITHMS` for which there is a key. It drops those
/// that the issuer does not offer either, unless other issuers share the variable. It adds none
/// only because of the metadata: `offered` are the algorithms of ID tokens.
fn not_allowed(
    section: &mut Section,
    keys: &[Examined],
    offered: &[Algorithm],
    context: &Context<'_>,
) -> bool {
    let allowed = &context.config.algorithms;
    let usable = keys
        .iter()
        .filter_map(|(jwk, good_for)| Some((jwk, good_for.as_ref().ok()?)));
    let (unused, used): (Vec<_>, Vec<_>) = usable.partition(|(_, good_for)| good_for.is_empty());
    let missing: Vec<_> = unused
        .iter()
        .filter_map(|(jwk, _)| algorithm_of(jwk))
        .collect();
    let supported = Algorithm::ALL.iter().copied();
    let more: Vec<_> = supported
        .filter(|algorithm| missing.contains(algorithm) && !algorithm.is_symmetric())
        .collect();
    if more.is_empty() {
        return false;
    }
    let is_shared = context.config.issuers.len() > 1;
    let has_key = |algorithm: &Algorithm| {
        used.iter()
            .any(|(_, good_for)| good_for.contains(algorithm))
    };
    let is_kept = |algorithm: &&Algorithm| {
        is_shared || has_key(algorithm) || offered.contains(algorithm) || algorithm.is_symmetric()
    };
    let kept = allowed.iter().filter(is_kept).copied();
    let line: Vec<_> = kept.chain(more.iter().copied()).collect();
    let text = format!(
        "offered by the issuer, but not configured: {}",
        names(&more, ", ")
    );
    let more = if context.config.issuers_file.is_some() {
        format!("to accept: algorithms = [\"{}\"]", names(&line, "\", \""))
    } else {
        format!("to accept: AUTH0_ALGORITHMS={}", names(&line, ","))
    };
    section.add_more(Mark::Note, "algorithms", text, more);
    true
}

fn names(algorithms: &[Algorithm], separator: &str) -> String {
    let names: Vec<_> = algorithms.iter().map(|alg| alg.as_str()).collect();
    names.join(separator)
}

/// The key's `alg` or, without one, the most common algorithm for its type.
fn algorithm_of(jwk: &Value) -> Option<Algorithm> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if let Some(name) = text("alg") {
        return name.parse().ok();
    }
    if text("kty") == Some("RSA") {
        return Some(Algorithm::RS256);
    }
    let curve = text("crv")?;
    let mut all = Algorithm::ALL.iter().copied();
    all.find(|algorithm| algorithm.curve() == Some(curve))
}

/// Only for RSA keys: for others, the curve determines the size.
fn bits(jwk: &Value) -> Option<String> {
    let modulus = URL_SAFE_NO_PAD.decode(jwk.get("n")?.as_str()?).ok()?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let bits = (modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize;
    Some(format!("{bits} bits"))
}

/// The age of a key's certificate. Empty if the key has none.
fn age(jwk: &Value, now: f64) -> String {
    let certificate = jwk.get("x5c").and_then(|chain| chain.get(0)?.as_str());
    let certificate = certificate.and_then(|text| STANDARD.decode(text).ok());
    let since = certificate.and_then(|certificate| certificate::validity(&certificate));
    since.map_or_else(String::new, |(since, _)| {
        format!("since {}, {}", local(since), length(now - since))
    })
}
