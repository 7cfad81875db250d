//! Finds JWTs that are encoded in base64: in a Kubernetes Secret, and in the cookies of Supabase.

use std::ops::Range;

use base64::{
    Engine,
    alphabet::{Alphabet, STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::service::cli::explain::pasted::jwt;

/// A JWT and the place of its encoded form
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) range: Range<usize>,
    pub(super) token: String,
}

/// Added to the description of the place
pub(super) const DECODED: &str =
    ", encoded in base64, and is explained decoded, as a client has to send it";

/// Returns every JWT that is encoded in base64. The text itself may be one, which a client may
/// send, so that is not returned. `token_in` finds the only token to explain in JSON.
pub(super) fn find_all(text: &str, token_in: fn(&str) -> Option<String>) -> Vec<Encoded> {
    /// The base64 of `ey`, with the bits of the next character
    const BEGINS: [&str; 2] = ["ZXk", "ZXl"];
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = text[at..].find(is_base64).map(|begin| at + begin) {
        let mut end = end_of_word(text, begin);
        let word = &text[begin..end];
        let supabase = word.find(PREFIX).map(|prefix| begin + prefix);
        if let Some(start) = supabase {
            let (joined, last) = joined(text, start, end);
            end = last;
            let token = decoded(&joined).and_then(|json| token_in(&json));
            found.extend(token.map(|token| Encoded {
                range: start..end,
                token,
            }));
        } else if BEGINS.iter().any(|begin| word.starts_with(begin)) {
            let token = decoded(word).map(|token| token.trim().to_owned());
            let token = token.filter(|token| jwt::is_jwt(token));
            found.extend(token.map(|token| Encoded {
                range: begin..end,
                token,
            }));
        }
        at = end;
    }
    found.retain(|one| one.range != (0..text.len()));
    found
}

/// Supabase writes this before base64url in a cookie
const PREFIX: &str = "base64-";

/// Longer than the name of any cookie of Supabase
const MAX_NAME: usize = 128;

/// Joins the chunks of a cookie: `name.0=base64-…; name.1=…`. Also returns the end of the last one.
fn joined(text: &str, start: usize, end: usize) -> (String, usize) {
    let mut joined = text[start + PREFIX.len()..end].to_owned();
    let mut last = end;
    for number in 1..10 {
        let rest = text[last..].trim_start_matches([';', ' ', '\t', '\r', '\n', '"', '\'', ',']);
        // Reads only the start, because the text may have many cookies
        let mut start = rest.bytes().take(MAX_NAME);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let Some(length) = start.position(|byte| !is_name(byte)) else {
            break;
        };
        let (name, value) = rest.split_at(length);
        let is_next = name.ends_with(&format!("auth-token.{number}"));
        let Some(value) = value.strip_prefix('=').filter(|_| is_next) else {
            break;
        };
        let begin = text.len() - value.len();
        last = end_of_word(text, begin);
        joined += &text[begin..last];
    }
    (joined, last)
}

/// Decodes base64 of either alphabet, with or without padding.
fn decoded(text: &str) -> Option<String> {
    const fn engine(alphabet: &Alphabet) -> GeneralPurpose {
        let padding = DecodePaddingMode::Indifferent;
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding);
        GeneralPurpose::new(alphabet, config)
    }
    let engines = [const { engine(&STANDARD) }, const { engine(&URL_SAFE) }];
    let bytes = engines.iter().find_map(|engine| engine.decode(text).ok())?;
    String::from_utf8(bytes).ok()
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/-_".contains(c)
}

/// The end of a word of base64 that begins here, with its padding
fn end_of_word(text: &str, begin: usize) -> usize {
    let rest = &text[begin..];
    let end = rest.find(|c| !is_base64(c)).unwrap_or(rest.len());
    let padding = rest[end..].bytes().take_while(|byte| *byte == b'=').count();
    begin + end + padding.min(2)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::*;
    use crate::service::cli::explain::pasted::document::token_in;

    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.e30.AA";

    #[test]
    fn finds_every_encoded_token() {
        let json = format!(r#"{{"access_token":"{JWT}","refresh_token":"a","user":{{"é":1}}}}"#);
        let cookie = URL_SAFE_NO_PAD.encode(&json);
        #[rustfmt::skip]
        let rows = [
            ("a Secret", format!("data:\n  token: {}\n", STANDARD.encode(JWT)), 1),
            ("without padding", format!("token={}", STANDARD_NO_PAD.encode(format!("{JWT}\n"))), 1),
            ("in quotes", format!("\"token\": \"{}\"", STANDARD.encode(JWT)), 1),
            ("alone", STANDARD.encode(JWT), 0),
            ("a certificate", "ca.crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t".to_owned(), 0),
            ("a cookie", format!("sb-a-auth-token=base64-{cookie}; theme=dark"), 1),
            ("chunks", format!("sb-a-auth-token.0=base64-{}; sb-a-auth-token.1={}", &cookie[..30], &cookie[30..]), 1),
            ("a chunk is missing", format!("sb-a-auth-token.0=base64-{}; sb-a-auth-token.2={}", &cookie[..30], &cookie[30..]), 0),
            ("another value", "a=base64-YTpi".to_owned(), 0),
        ];
        for (case, text, expected) in rows {
            let found = find_all(&text, token_in);
            assert_eq!(found.len(), expected, "{case}: {found:?}");
            assert!(
                found.iter().all(|one| one.token == JWT),
                "{case}: {found:?}"
            );
        }
    }
}
