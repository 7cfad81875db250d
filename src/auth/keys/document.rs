//! The text of a document that was fetched or read from a file.

/// Returns the document as text, without a leading byte order mark. `None` if the document is not
/// UTF-8.
///
/// RFC 8259 §8.1 allows a reader to ignore the mark, which some editors and servers add. The parts
/// of a token are not documents: there, a mark makes the token malformed.
pub(in crate::auth) fn text(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}
