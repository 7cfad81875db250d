//! The text of a document that was fetched or read from a file.

/// Returns the document as text, without a leading byte order mark. `None` if the document is not
/// UTF-8.
///
/// Some editors and servers add the mark, and RFC 8259 §8.1 allows parsers to ignore it. In a part
/// of a token it is not ignored, and makes the token malformed.
pub(in crate::auth) fn text(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}
