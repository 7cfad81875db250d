//! The text of a document that was fetched, or read from a file.

/// Returns the document as text, without one byte order mark at its beginning. `None` if the
/// document is not UTF-8.
///
/// RFC 8259 §8.1 lets a reader ignore the mark, which some editors and servers add. The parts of a
/// token are not documents: a mark there makes the token malformed.
pub(in crate::auth) fn text(document: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(document).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}
