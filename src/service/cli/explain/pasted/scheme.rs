//! Recognizes a line that is a value of `Authorization`: a scheme, and a token or parameters.

use crate::service::cli::explain::pasted::{
    jwt,
    strings::{after, unquoted},
};

/// The schemes that people use with tokens, besides `Bearer`
const SCHEMES: [&str; 16] = [
    "token",
    "jwt",
    "dpop",
    "basic",
    "digest",
    "oauth",
    "mac",
    "negotiate",
    "ntlm",
    "hawk",
    "apikey",
    "signature",
    "googlelogin",
    "sharedaccesssignature",
    "privatetoken",
    "hmac",
];

/// In upper or lower case
pub(super) fn is_bearer(text: &str) -> bool {
    after(text, "bearer").is_some_and(|rest| !rest.starts_with(is_tchar))
}

/// The word `Bearer`, or the word `DPoP` and a space.
pub(super) fn is_credential(text: &str) -> bool {
    let is_dpop = || after(text, "dpop").is_some_and(|rest| rest.starts_with(' '));
    is_bearer(text) || is_dpop()
}

fn is_tchar(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

fn is_scheme(word: &str) -> bool {
    let is_known = |scheme: &str| word.eq_ignore_ascii_case(scheme);
    is_known("bearer") || SCHEMES.iter().any(|scheme| is_known(scheme))
}

/// Returns `true` if a line may be a header value: a token, or a scheme and a token or parameters,
/// with or without quotes. Note that `token: …` is a name and a value, but `Token …` is a scheme.
pub(super) fn is_field_value(text: &str) -> bool {
    let text = unquoted(text).unwrap_or(text);
    if has_parameters(text) {
        return true;
    }
    let token = jwt::find_all(text).into_iter().next().unwrap_or_default();
    let before = &text[..token.start];
    let is_last = text[token.end..].trim().is_empty();
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
    // any single word before a token may be meant as a scheme, in any script
    let is_word = before
        .trim()
        .chars()
        .all(|c| c.is_alphanumeric() || "-_".contains(c));
    match words[..] {
        [word] if before.contains([':', '=']) => word.eq_ignore_ascii_case("bearer"),
        [word] => is_word && (is_last || is_scheme(word)),
        // two credentials: `Basic YTpi, Bearer …`
        [first, .., last] => is_scheme(first) && last.eq_ignore_ascii_case("bearer"),
        [] => true,
    }
}

/// Looks for a scheme and its parameters (RFC 9110 §11.4): `Token token="…"`,
/// `SharedAccessSignature sr=…&sig=…`. But `export TOKEN=…` is a command.
fn has_parameters(text: &str) -> bool {
    /// Words that are not schemes, but come before an assignment in a shell, in source code or in a
    /// sentence
    const WORDS: [&str; 34] = [
        "export", "set", "setx", "let", "const", "var", "val", "local", "declare", "readonly",
        "static", "final", "string", "auto", "char", "def", "public", "private", "env", "make",
        "curl", "wget", "fetch", "http", "https", "xh", "new", "return", "my", "the", "your",
        "with", "use", "is",
    ];
    let Some((word, rest)) = text.split_once(' ') else {
        return false;
    };
    let Some((name, value)) = rest.trim_start_matches(' ').split_once('=') else {
        return false;
    };
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_tchar)
    };
    if is_scheme(word) {
        return is_name(name.trim_end()) && !value.starts_with('=');
    }
    // Other words may be schemes too. But `NAME=…` sets a variable, and a program may have a blank
    // before or after the equals sign.
    let is_variable = name.len() > 1 && !name.contains(|c: char| c.is_ascii_lowercase());
    let is_keyword = WORDS.contains(&word.to_ascii_lowercase().as_str());
    // in a value, blanks are only in quotes or between parameters
    let mut is_quoted = false;
    let mut last = ' ';
    let is_list = value.chars().all(|c| {
        let fits = is_quoted || c != ' ' || matches!(last, ',' | ';');
        is_quoted ^= c == '"';
        last = c;
        fits
    });
    is_name(word)
        && is_name(name)
        && !is_keyword
        && !is_variable
        && !value.starts_with(['=', ' '])
        && is_list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_parameters_of_a_scheme() {
        for value in [
            "Token token=\"a\"",
            "Token token=a",
            "token token=\"a\", nonce=\"b\"",
            "GoogleLogin auth=a",
            "OAuth oauth_token=\"a\", realm=\"b c\"",
            "Digest username = \"a\", realm=\"x\"",
            "ApiKey key=a",
            "MAC id=\"a\"",
            "Hawk id=\"a\", ts=\"1\"",
            "Signature keyId=\"x\",signature=\"a\"",
            "SharedAccessSignature sr=x&sig=a",
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-date, Signature=c",
            "Custom  access_token=a",
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
