//! Recognizes a line that is a value of `Authorization`: a scheme, and a token or parameters.
//!
//! This module does not know what the service answers to the value. The service's own parser says
//! so.

use std::ops::Range;

use crate::service::cli::explain::pasted::{
    jwt,
    strings::{after, unquoted},
};

/// The schemes that the service may accept.
const ACCEPTED: [&str; 2] = ["bearer", "dpop"];

/// Other schemes that people use with tokens.
const OTHERS: [&str; 7] = [
    "basic",
    "digest",
    "negotiate",
    "ntlm",
    "hawk",
    "googlelogin",
    "sharedaccesssignature",
];

/// Schemes whose names also stand before a value: `token: …` and `token = …` are no schemes.
const NAMES: [&str; 8] = [
    "token",
    "jwt",
    "oauth",
    "mac",
    "apikey",
    "signature",
    "privatetoken",
    "hmac",
];

/// Words before a token or an assignment in shells and programming languages, and in sentences.
const WORDS: [&str; 37] = [
    "export", "set", "setx", "let", "const", "var", "val", "local", "declare", "readonly",
    "static", "final", "string", "auto", "char", "def", "public", "private", "env", "make", "curl",
    "wget", "fetch", "http", "https", "xh", "echo", "print", "printf", "new", "return", "my",
    "the", "your", "with", "use", "is",
];

/// Returns the text without the quote at its start. A quote that is not closed is sent as well.
pub(super) fn without_quote(text: &str) -> &str {
    text.strip_prefix(['"', '\'', '`']).unwrap_or(text)
}

/// Returns the text after a scheme that the service may accept, in any case. `None` if the text
/// does not begin with one.
pub(super) fn after_accepted(text: &str) -> Option<&str> {
    ACCEPTED.iter().find_map(|scheme| after(text, scheme))
}

/// Returns `true` if a line begins with a scheme, with or without a quote before it. Whatever
/// follows, the line is a header value, and the service refuses one with a quote before the scheme.
pub(super) fn begins_with_scheme(text: &str) -> bool {
    let text = without_quote(text);
    let (word, rest) = text.split_at(text.find(|c| !is_tchar(c)).unwrap_or(text.len()));
    let is_assignment = || {
        let signs = ["=", ":", "->", "\u{2192}"];
        let rest = rest.trim_start();
        signs.iter().any(|sign| rest.starts_with(sign))
    };
    is_one_of(&ACCEPTED, word)
        || is_one_of(&OTHERS, word)
        || is_one_of(&NAMES, word) && rest.starts_with([' ', '\t', ',']) && !is_assignment()
}

/// The word `Bearer`, or the word `DPoP` and a space.
pub(super) fn is_credential(text: &str) -> bool {
    let is_bearer = after(text, "bearer").is_some_and(|rest| !rest.starts_with(is_tchar));
    let is_dpop = || after(text, "dpop").is_some_and(|rest| rest.starts_with(' '));
    is_bearer || is_dpop()
}

fn is_tchar(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn is_one_of(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Returns `true` if a line with a token may be a header value that begins with an unknown scheme:
/// one word, and a token or parameters. For known schemes, see [`begins_with_scheme`]. `encoded` is
/// the place of the token if it is encoded in base64.
pub(super) fn is_field_value(text: &str, encoded: Option<Range<usize>>) -> bool {
    let bare = unquoted(text).unwrap_or(text);
    let quote = (text.len() - bare.len()) / 2;
    let text = bare;
    if has_parameters(text) {
        return true;
    }
    let token = match encoded {
        // Without a word before it, it is decoded
        Some(place) if place.start == quote => return false,
        Some(place) => place.start - quote..place.end - quote,
        None => jwt::find_all(text).into_iter().next().unwrap_or_default(),
    };
    let (before, after) = (&text[..token.start], &text[token.end..]);
    let words = before.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
    let words: Vec<_> = words
        .filter(|word| !word.trim_matches('-').is_empty())
        .collect();
    // before the token, there's a marker of a list, a quotation or a link
    if words.is_empty()
        && before
            .trim_end()
            .ends_with(['>', '-', '*', '(', '<', '|', '+'])
    {
        return false;
    }
    match words[..] {
        [word] if before.contains([':', '=']) => is_one_of(&ACCEPTED, word),
        [_] => is_scheme_before(before) && has_no_words(after),
        // a table, such as that of `az account get-access-token -o tsv`
        [] => !after.starts_with('\t'),
        _ => false,
    }
}

/// Looks if the text before a token is one word that may be meant as a scheme, in any
/// script. Quotes or a bracket around the token are sent with it.
fn is_scheme_before(before: &str) -> bool {
    let bare = before.trim_end_matches(['"', '\'', '`', '<', '$']);
    let word = bare.trim();
    (bare == before || bare.ends_with(char::is_whitespace))
        && word
            .chars()
            .all(|c| c.is_alphanumeric() || "-_".contains(c))
        && !is_one_of(&WORDS, word)
}

/// Returns `true` if only punctuation and parameters follow a token.
fn has_no_words(after: &str) -> bool {
    let mut words = after.split_whitespace();
    words.all(|word| word.contains('=') || !word.contains(char::is_alphanumeric))
}

/// Returns `true` for a scheme and its parameters (RFC 9110 §11.4): `Custom token="…"`,
/// `SharedAccessSignature sr=…&sig=…`. But `export TOKEN=…` is a command.
fn has_parameters(text: &str) -> bool {
    let Some((word, rest)) = text.split_once(' ') else {
        return false;
    };
    let Some((name, value)) = rest.trim_start_matches(' ').split_once('=') else {
        return false;
    };
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_tchar)
    };
    // `NAME=…` is a variable, and a blank before or after the equals sign is part of a program.
    let is_variable = name.len() > 1 && !name.contains(|c: char| c.is_ascii_lowercase());
    is_name(word)
        && is_name(name)
        && !is_one_of(&WORDS, word)
        && !is_variable
        && !value.starts_with(['=', ' '])
        && is_list(value)
}

/// Returns `true` if blanks are only in quotes or between parameters.
fn is_list(value: &str) -> bool {
    let mut is_quoted = false;
    let mut words = value.split(|c| {
        is_quoted ^= c == '"';
        c == ' ' && !is_quoted
    });
    let mut last = words.next().unwrap_or_default();
    words.all(|word| {
        let fits = last.ends_with([',', ';']) || word.contains('=') || word.is_empty();
        last = word;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_a_scheme_from_a_name() {
        for value in [
            "Bearer",
            "bearer: a",
            "DPoP=a",
            "\"DPoP: a\"",
            "'Bearer a",
            "Token a",
            "Basic, Bearer a",
            "Basic: a",
            "Negotiate=a",
            "Digest username = \"a\", realm=\"x\"",
            "JWT token: a",
        ] {
            assert!(begins_with_scheme(value), "{value}");
        }
        for other in [
            "Bearers a",
            "dpopa",
            "token: a",
            "token = a",
            "token -> a",
            "token",
            "JWT/a",
            "\"token\": \"a\"",
            "a Bearer a",
            "",
        ] {
            assert!(!begins_with_scheme(other), "{other}");
        }
    }

    #[test]
    fn recognizes_parameters_of_a_scheme() {
        for value in [
            "Token token=\"a\"",
            "Token token=a",
            "token token=\"a\", nonce=\"b\"",
            "GoogleLogin auth=a",
            "OAuth oauth_token=\"a\", realm=\"b c\"",
            "ApiKey key=a",
            "MAC id=\"a\"",
            "Hawk id=\"a\", ts=\"1\"",
            "Signature keyId=\"x\",signature=\"a\"",
            "SharedAccessSignature sr=x&sig=a",
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-date, Signature=c",
            "Custom  access_token=a",
            "Custom tok=a x=y",
        ] {
            assert!(has_parameters(value), "{value}");
        }
        for other in [
            "export token=a",
            "ENV TOKEN=a",
            "ARG TOKEN=a",
            "string token = \"a\";",
            "let token=a",
            "a token==b",
            "deploy --token=a",
            "deploy token=a --now",
            "token = a",
            "TOKEN=a",
            "Bearer",
        ] {
            assert!(!has_parameters(other), "{other}");
        }
    }
}
