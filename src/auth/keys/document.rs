//! The text of a document that was fetched or read from a file.

use crate::auth::token::json;

/// Returns the document as text, without a leading byte order mark. `None` if the document is not
/// UTF-8.
///
/// Some editors and servers add the mark, and RFC 8259 §8.1 allows parsers to ignore it. In a part
/// of a token it is not ignored, and makes the token malformed.
pub(in crate::auth) fn text(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Describes an unexpected document for an error message. Returns `lacking` if the document is a
/// valid JSON object.
pub(in crate::auth) fn form(document: &[u8], lacking: &'static str) -> &'static str {
    let Some(text) = text(document) else {
        return "not UTF-8";
    };
    let text = text.trim();
    match text.bytes().next() {
        None => "empty",
        Some(b'<') => "HTML or XML",
        Some(b'{') if json::check_below(0, text).is_ok() => lacking,
        Some(b'{') if !text.ends_with('}') => "a JSON object that is cut off",
        Some(b'{') => "a JSON object with a syntax error or a duplicate member",
        Some(b'[') => "a JSON array",
        Some(_) => "not JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_form_of_a_document() {
        let rows: [(&[u8], &str); 10] = [
            (b" \r\n", "empty"),
            (b"\xff\xfe{\0}\0", "not UTF-8"),
            (b"\xef\xbb\xbf<!DOCTYPE html>", "HTML or XML"),
            (br#"{"keys":[{"kty""#, "a JSON object that is cut off"),
            (
                br#"{"keys":[],"keys":[]}"#,
                "a JSON object with a syntax error or a duplicate member",
            ),
            (
                b"{'keys': []}",
                "a JSON object with a syntax error or a duplicate member",
            ),
            (
                br#"{"a":{"b":1,"b":2}}"#,
                "a JSON object with a syntax error or a duplicate member",
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
