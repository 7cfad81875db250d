//! Recognizes a mistake around a whole token: a sign after it, a name before it, or URL-encoding.
//!
//! This only changes the explanation of a rejected value, and never the verdict.

use crate::{
    auth::percent_decoded,
    service::{
        api::errors::causes,
        cli::explain::{
            advice::Advice,
            pasted::{is_jwt, without_scheme},
        },
    },
};

/// Returns the advice for a value of `Authorization` that the service rejects with this code. `None`
/// if the value has none of these mistakes.
pub(super) fn advice(value: &str, code: &str) -> Option<Advice> {
    let token = without_scheme(value);
    match code {
        "token_not_jwt" | "multiple_credentials" => ending(token),
        "malformed_authorization" => escaped_break(token)
            .or_else(|| ending(token))
            .or_else(|| named(token))
            .or_else(|| url_encoded(token)),
        _ => None,
    }
}

/// Returns the advice for an opaque token that is too short to be recognized as one. `advice` is
/// that for the token alone. `None` if it fits.
pub(super) fn for_issued_token(advice: &Advice) -> Option<Advice> {
    (advice.what == causes::NO_TOKEN_TEXT.what).then(|| causes::OPAQUE.into())
}

fn ending(token: &str) -> Option<Advice> {
    // Several signs are the rest of something else, and three dots mean that the token is shortened
    let signs = [('.', "dot"), (',', "comma"), (';', "semicolon")];
    let (bare, name) = signs
        .into_iter()
        .find_map(|(sign, name)| Some((token.strip_suffix(sign)?, name)))?;
    if bare.ends_with(['.', ',', ';']) {
        return None;
    }
    is_jwt(bare).then(|| Advice {
        what: format!("The value ends in a {name} that is not part of the token.").into(),
        fix: format!("Remove the {name}. It was probably copied with the token, from a sentence, a list or source code.").into(),
        settings: Vec::new(),
    })
}

/// The line break of a dump or of source code. The characters are sent if quotes keep them.
fn escaped_break(token: &str) -> Option<Advice> {
    let breaks = ["\\r\\n", "\\n", "\\r"];
    let found = breaks.iter().find(|end| token.ends_with(**end))?;
    let bare = token.strip_suffix(found)?;
    is_jwt(bare).then(|| Advice {
        what: format!("The value ends in the characters {found}, which stand for a line break in source code and in dumps. The token before them is whole.").into(),
        fix: format!("Remove {found}. In single quotes, PHP and shells send these characters as they are.").into(),
        settings: Vec::new(),
    })
}

fn named(token: &str) -> Option<Advice> {
    let (name, rest) = token.split_once('=')?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let fits = !name.is_empty() && name.len() <= 32 && name.chars().all(is_name);
    let rest = rest.trim_matches(['"', '\'']);
    (fits && is_jwt(rest)).then(|| Advice {
        what: format!("The value has `{name}=` between the scheme and the token.").into(),
        fix: format!("Remove `{name}=` and any quotes around the token. The token directly follows the scheme and a space.").into(),
        settings: Vec::new(),
    })
}

fn url_encoded(token: &str) -> Option<Advice> {
    let decoded = percent_decoded(token)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let first = token.find('%')?;
    let sign = token.get(first..first + 3)?;
    decoded.chars().all(fits).then(|| Advice {
        what: format!("The token is URL-encoded: it has {sign} instead of a {}.", match sign.to_ascii_uppercase().as_str() {
            "%2E" => "dot",
            "%2D" => "hyphen",
            "%5F" => "low line",
            "%2B" => "plus sign",
            "%2F" => "slash",
            "%3D" => "equals sign",
            _ => "plain character",
        }).into(),
        fix: "Send the token as the issuer wrote it. Only a URL or a form needs URL-encoding, a header field does not.".into(),
        settings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_around_a_whole_token() {
        #[rustfmt::skip]
        let rows = [
            ("a dot", "Bearer <T>.", "token_not_jwt", Some("ends in a dot")),
            ("a dot without a scheme", "<T>.", "token_not_jwt", Some("ends in a dot")),
            ("a comma", "Bearer <T>,", "multiple_credentials", Some("ends in a comma")),
            ("a semicolon", "bearer <T>;", "malformed_authorization", Some("ends in a semicolon")),
            ("an escaped line break", "Bearer <T>\\r\\n", "malformed_authorization", Some("the characters \\r\\n")),
            ("two tokens", "Bearer <T>, Bearer <T>", "multiple_credentials", None),
            ("a part is missing", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.", "token_not_jwt", None),
            ("shortened", "Bearer eyJhbGciOi...", "token_not_jwt", None),
            ("a name", "Bearer token=<T>", "malformed_authorization", Some("`token=`")),
            ("a name and quotes", "Bearer access_token=\"<T>\"", "malformed_authorization", Some("`access_token=`")),
            ("padding", "Bearer eyJhbGciOiJSUzI1NiJ9==.e30.AA", "malformed_authorization", None),
            ("encoded dots", "Bearer a%2Eb%2Ec", "malformed_authorization", Some("%2E instead of a dot")),
            ("an encoded plus sign", "Bearer a%2bb", "malformed_authorization", Some("%2b instead of a plus sign")),
            ("a variable of Windows' shell", "Bearer %TOKEN%", "malformed_authorization", None),
            ("a variable with hexadecimal digits", "Bearer %DEAD%", "malformed_authorization", None),
            ("an encoded letter outside of ASCII", "Bearer a%C3%A9", "malformed_authorization", None),
        ];
        for (case, value, code, expected) in rows {
            let value = value.replace("<T>", "eyJhbGciOiJSUzI1NiJ9.e30.AA");
            let advice = advice(&value, code);
            let what = advice.as_ref().map(|advice| &*advice.what);
            match expected {
                Some(words) => assert!(
                    what.is_some_and(|what| what.contains(words)),
                    "{case}: {what:?}"
                ),
                None => assert_eq!(what, None, "{case}"),
            }
        }
    }
}
