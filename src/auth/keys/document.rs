//! The text of a document that was fetched or read from a file.

use std::borrow::Cow;

use crate::auth::token::json::{self, Fault};

/// The document as text, without a leading byte order mark. `None` if it is not UTF-8.
///
/// Some editors and servers add the mark, and RFC 8259 §8.1 allows parsers to ignore it. Note that
/// this should only be used for documents: in a part of a token, the mark is not ignored and makes
/// the token malformed.
pub(in crate::auth) fn text(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Describes an unexpected document for an error message, which is `lacking` if the document is a
/// valid JSON object.
pub(in crate::auth) fn form(document: &[u8], lacking: &'static str) -> &'static str {
    match document {
        [0x1f, 0x8b, ..] => return "gzip, but has no field Content-Encoding",
        // ASCII in UTF-16 is valid UTF-8, too
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            return "UTF-16, not UTF-8";
        }
        _ => {}
    }
    let Some(text) = text(document) else {
        return "not UTF-8";
    };
    let text = text.trim();
    match text.bytes().next() {
        None => "empty",
        Some(b'<') => "HTML or XML",
        Some(b'{') if json::check_below(0, text).is_ok() => lacking,
        Some(b'{') if !text.ends_with('}') => "a JSON object that is cut off",
        Some(b'{') => match Fault::of(text.as_bytes()) {
            Fault::Twice(_) => "a JSON object with a member twice",
            Fault::Comma => "a JSON object with a comma before a closing bracket",
            Fault::SingleQuotes => "a JSON object with single quotes",
            Fault::TooDeep => "a JSON object with more than 128 levels",
            _ => "a JSON object with an error",
        },
        Some(b'[') => "a JSON array",
        Some(b'"') => "a JSON string, so it was encoded as JSON twice",
        Some(b'-') if text.starts_with("-----BEGIN ") => "PEM, not JSON",
        Some(_) => "not JSON",
    }
}

/// What is wrong with a document that should be a JSON object with the `required` members, each a
/// string, e.g. "it lacks the member issuer".
pub(in crate::auth) fn fault(document: &[u8], required: &[&str]) -> Cow<'static, str> {
    let text = text(document).unwrap_or_default().trim();
    if !text.starts_with('{') {
        return format!("it is {}", form(document, "a JSON object")).into();
    }
    let Ok(members) = json::value_below(0, text) else {
        return Fault::of(text.as_bytes()).to_string().into();
    };
    let lacking = required.iter().find(|name| members.get(name).is_none());
    let wrong = required.iter().find(|name| !members[**name].is_string());
    match (lacking, wrong) {
        (Some(name), _) => format!("it lacks the member {name}").into(),
        (None, Some(name)) => format!("its member {name} is not a string").into(),
        (None, None) => "a member has the wrong type".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_a_document_lacks() {
        let required = &["issuer", "jwks_uri"];
        #[rustfmt::skip]
        let rows: [(&[u8], &str); 8] = [
            (b"", "it is empty"),
            (b"<html>", "it is HTML or XML"),
            (b"[{}]", "it is a JSON array"),
            (br#"{"issuer":"a"}"#, "it lacks the member jwks_uri"),
            (br#"{"issuer":null,"jwks_uri":"a"}"#, "its member issuer is not a string"),
            (br#"{"issuer":"a","jwks_uri":"b","x":{"y":1,"y":2}}"#, "it has the member \"y\" twice"),
            (br#"{"issuer":"a","jwks_uri":"b",}"#, "it has a comma before a closing bracket"),
            (b"\xef\xbb\xbf{\"issuer\":\"a\"}", "it lacks the member jwks_uri"),
        ];
        for (document, expected) in rows {
            assert_eq!(fault(document, required), expected);
        }
        let latin1 = b"{\"issuer\":\"\xe9\"}";
        assert_eq!(fault(latin1, required), "it is not UTF-8");
    }

    #[test]
    fn names_the_form_of_a_document() {
        let rows: [(&[u8], &str); 15] = [
            (b" \r\n", "empty"),
            (b"\xff\xfe{\0}\0", "UTF-16, not UTF-8"),
            (b"{\0}\0", "UTF-16, not UTF-8"),
            (b"{\"a\":\"\xe9\"}", "not UTF-8"),
            (b"\x1f\x8b\x08\0", "gzip, but has no field Content-Encoding"),
            (
                br#""{\"keys\":[]}""#,
                "a JSON string, so it was encoded as JSON twice",
            ),
            (b"-----BEGIN PUBLIC KEY-----\nAA", "PEM, not JSON"),
            (b"\xef\xbb\xbf<!DOCTYPE html>", "HTML or XML"),
            (br#"{"keys":[{"kty""#, "a JSON object that is cut off"),
            (
                br#"{"keys":[],"keys":[]}"#,
                "a JSON object with a member twice",
            ),
            (b"{'keys': []}", "a JSON object with single quotes"),
            (
                br#"{"a":{"b":1,"b":2}}"#,
                "a JSON object with a member twice",
            ),
            (b"[]", "a JSON array"),
            (b"Not found", "not JSON"),
            (b"{}", "a JSON object"),
        ];
        for (document, expected) in rows {
            let shown = String::from_utf8_lossy(document);
            assert_eq!(form(document, "a JSON object"), expected, "{shown}");
        }
    }
}
