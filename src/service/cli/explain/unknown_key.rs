//! Finds out why no key of the issuer fits the header of a token.

use crate::{
    auth::{display::ShownText, keys::key_set::NoMatch},
    service::{
        api::errors::causes,
        cli::explain::{advice::Advice, facts::Facts},
    },
};

pub(super) fn advice(facts: &Facts<'_>) -> Advice {
    let issuer = facts.text("iss").unwrap_or_default();
    let algorithm = facts.header("alg").and_then(|name| name.parse().ok());
    let kid = facts.header("kid");
    if kid == Some("") {
        return causes::KID_EMPTY.into();
    }
    let unnamed = algorithm.and_then(|alg| facts.auth.why_no_match(issuer, alg, kid));
    match unnamed {
        Some(NoMatch::SameKid) => return causes::KID_TWICE.into(),
        Some(NoMatch::WithoutKid) => return causes::KEYS_WITHOUT_KID.into(),
        Some(NoMatch::NotRead) => return causes::KEYS_NOT_READ.into(),
        Some(NoMatch::Hidden(reason)) => {
            return Advice::from(causes::KID_NOT_READ).and(&format!("The reason: {reason}."));
        }
        None => {}
    }
    let Some(kid) = kid else {
        return match facts.auth.first_left_out(issuer) {
            Some(left_out) => {
                let sentence = format!("The first one: {left_out}.");
                Advice::from(causes::NO_KID_LEFT_OUT).and(&sentence)
            }
            None => causes::NO_KID.into(),
        };
    };
    let kids = facts.auth.kids(issuer);
    if let Some(other) = kids.iter().find(|other| loose(other) == loose(kid)) {
        let (kid, other) = (ShownText::new(kid), ShownText::new(other));
        let sentence = format!("The key has {other:?}, and the token {kid:?}.");
        return Advice::from(causes::KID_SPELLING).and(&sentence);
    }
    let is_file = facts.config.jwks_file.is_some() || facts.auth.has_fixed_keys(issuer);
    if is_file {
        return causes::OLD_KEY_FILE.into();
    }
    causes::ROTATED.into()
}

/// Drops differences that come from a program: case, white space, padding, and the URL of a key
/// before its name.
fn loose(kid: &str) -> String {
    let kid = kid.trim();
    let name = if kid.contains("://") {
        kid.rsplit(['/', '#']).next().unwrap_or(kid)
    } else {
        kid
    };
    name.trim_end_matches('=').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_kids_loosely() {
        for (other, expected) in [
            ("key-1", true),
            ("KEY-1", true),
            ("key-1 ", true),
            ("key-1=", true),
            ("https://issuer.example/keys/key-1", true),
            ("did:web:a#key-1", false),
            ("key-2", false),
            ("ey-1", false),
        ] {
            assert_eq!(loose(other) == loose("key-1"), expected, "{other}");
        }
    }
}
