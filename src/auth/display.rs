//! Makes untrusted URLs and strings safe to display in the log, in `check` and in `explain`.
//!
//! A URL may contain a password in its user information or a key in its query. A string may move a
//! terminal's cursor, reverse the direction of writing, or be half a megabyte long. [`ShownUrl`]
//! and [`ShownText`] drop everything that must not be shown when they are created, so code that
//! prints them cannot leak it. `FetchError` stores untrusted strings only as these types.
//!
//! `/readyz` does not need this, it only shows a word from a fixed list (`FetchError::word`).

use std::fmt;
#[cfg(feature = "service")]
use std::{borrow::Cow, fmt::Write as _};

use reqwest::Url;

/// The maximum number of characters to show of a URL or a string
const MAX_CHARS: usize = 80;

/// The maximum number of characters to show of a library's error message. Such a message has a
/// fixed part (e.g. rustls writes 100 characters before the first certificate name), so this is
/// larger than `MAX_CHARS`.
const MAX_MESSAGE_CHARS: usize = 240;

/// An untrusted string that is safe to display.
///
/// It has at most 80 characters (240 for a library's error message), and each URL in it is reduced
/// as in [`ShownUrl`]. `Display` escapes control and bidi characters, and `Debug` also adds quotes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ShownText(String);

/// `url`, if we can recommend it as the value of a setting. `None` if it must not be shown in full:
/// it has user information, a query, a fragment, a character that a reader would not see, or more
/// than 2048 bytes. A shortened or changed URL would be a wrong value.
pub(crate) fn settable(url: &str) -> Option<&str> {
    const MAX_BYTES: usize = 2048;
    let is_plain = url.len() <= MAX_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic());
    let is_public = !url.contains(['@', '?', '#', '"', '\'', '`', '\\', '<', '>', '{', '}']);
    (is_plain && is_public && url.contains("://")).then_some(url)
}

/// A URL without user information, query and fragment.
///
/// It has at most 80 characters. An ellipsis marks each removed part.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ShownUrl(ShownText);

impl ShownText {
    pub(crate) fn new(text: &str) -> Self {
        Self(cut(&without_secrets_in_words(text), MAX_CHARS))
    }

    /// Creates a string from a library's error message, which may quote untrusted input.
    pub(crate) fn message(message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self(cut(&without_secrets_in_words(&message), MAX_MESSAGE_CHARS))
    }
}

impl ShownUrl {
    pub(crate) fn new(text: &str) -> Self {
        Self(ShownText(cut(&without_secrets(text), MAX_CHARS)))
    }

    /// The reduced URL for a public error. Note that its control characters are not escaped yet.
    /// Passing it to [`new`](Self::new) again changes nothing.
    pub(crate) fn into_text(self) -> String {
        self.0.0
    }
}

impl From<&Url> for ShownUrl {
    fn from(url: &Url) -> Self {
        let mut bare = url.clone();
        // only fails for a URL that can't have user information
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        bare.set_query(None);
        bare.set_fragment(None);
        let query = if url.query().is_some() { "?…" } else { "" };
        Self(ShownText(cut(&format!("{bare}{query}"), MAX_CHARS)))
    }
}

impl From<&str> for ShownUrl {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for ShownText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.0))
    }
}

impl fmt::Debug for ShownText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "\"{}\"", escaped(&quoted))
    }
}

impl fmt::Display for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ShownUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Like [`ShownText`], for a log that escapes its values. Every request logs one, so a short string
/// without a URL is just borrowed.
#[cfg(feature = "service")]
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    // No colon, no URL. (And a string has at least as many bytes as characters.)
    if text.len() <= MAX_CHARS && memchr::memchr(b':', text.as_bytes()).is_none() {
        return text.into();
    }
    ShownText::new(text).0.into()
}

/// Escapes every character that a reader would not see: control characters, bidi overrides, and
/// zero-width, blank and unassigned characters. Spaces, quotes and backslashes stay as they are.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_visible(c) {
            escaped.push(c);
        } else if is_blank(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.extend(c.escape_debug());
        }
    }
    escaped
}

/// Checks whether a terminal shows a glyph for `c` and does nothing else
pub(crate) fn is_visible(c: char) -> bool {
    matches!(c, ' '..='~') || !is_blank(c) && c.escape_debug().len() == 1
}

/// Appends `c` as an escape of a JSON string (RFC 8259 §7)
#[cfg(feature = "service")]
pub(crate) fn push_json_escape(json: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // writing to a string can't fail
        let _ = write!(json, "\\u{unit:04x}");
    }
}

/// Blank characters that `char::escape_debug` does not escape: a Hangul filler (which Unicode
/// classifies as an ignorable letter), or a blank of Braille, Egyptian hieroglyphs or musical
/// notation.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{115f}'..='\u{1160}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{ffa0}'
            | '\u{13441}'..='\u{13442}'
            | '\u{1d159}'
    )
}

pub(crate) fn cut(text: &str, enough: usize) -> String {
    match text.char_indices().nth(enough) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn without_secrets_in_words(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace);
    words
        .map(|word| {
            if !word.contains("://") {
                return word.to_owned();
            }
            let shown = without_secrets(word.trim_end());
            shown + &word[word.trim_end().len()..]
        })
        .collect()
}

/// Removes user information, query and fragment from a URL, without parsing it. If we cannot tell
/// where a password ends, everything after the scheme goes.
fn without_secrets(address: &str) -> String {
    let (scheme, rest) = match address.find("://") {
        Some(at) => address.split_at(at + 3),
        None => ("", address),
    };
    let (user, query) = (rest.rfind('@'), rest.find(['?', '#']));
    match (user, query) {
        (None, None) => address.to_owned(),
        (Some(at), None) => format!("{scheme}…{}", &rest[at..]),
        (None, Some(query)) => format!("{scheme}{}…", &rest[..=query]),
        (Some(at), Some(query)) if at < query => format!("{scheme}…{}…", &rest[at..=query]),
        (Some(_), Some(_)) => format!("{scheme}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recommends_only_whole_urls() {
        let long = |bytes: usize| format!("https://a.example/{}", "b".repeat(bytes - 18));
        #[rustfmt::skip]
        let rows = [
            ("plain", "https://a.example/b".to_owned(), true),
            ("longer than what is shown elsewhere", long(200), true),
            ("2048 bytes", long(2048), true),
            ("more", long(2049), false),
            ("user information", "https://me:hunter2@a.example/".to_owned(), false),
            ("a query", "https://a.example/keys?p=hunter2".to_owned(), false),
            ("a fragment", "https://a.example/#b".to_owned(), false),
            ("an escape", "https://a.example/\u{1b}[2J".to_owned(), false),
            ("a bidi character", "https://a.example/\u{202e}".to_owned(), false),
            ("a space", "https://a.example/ b".to_owned(), false),
            ("not a URL", "a.example".to_owned(), false),
        ];
        for (case, url, expected) in rows {
            assert_eq!(settable(&url).is_some(), expected, "{case}");
        }
    }

    #[test]
    fn hides_secrets_in_addresses() {
        #[rustfmt::skip]
        let rows = [
            ("plain", "https://a.example/b", "https://a.example/b"),
            ("a query", "https://a.example/b?code=hunter2", "https://a.example/b?…"),
            ("a fragment", "https://a.example/#hunter2", "https://a.example/#…"),
            ("both", "https://a.example/?hunter2#hunter2", "https://a.example/?…"),
            ("a password", "https://me:hunter2@a.example/", "https://…@a.example/"),
            ("a password and a query", "https://me:hunter2@a.example/?hunter2", "https://…@a.example/?…"),
            ("a slash in a password", "https://me:hun/ter2@a.example/", "https://…@a.example/"),
            ("a ? in a password", "https://me:hun?ter2@a.example/", "https://…"),
            ("an @ in a query", "https://a.example/?q=a@hunter2", "https://…"),
            ("no scheme", "me:hunter2@a.example?hunter2", "…@a.example?…"),
            ("a space in a query", "https://a.example/?q=a hunter2", "https://a.example/?…"),
            ("a right-to-left override", "https://a.example/\u{202e}b", "https://a.example/\\u{202e}b"),
        ];
        for (case, address, shown) in rows {
            assert_eq!(ShownUrl::new(address).to_string(), shown, "{case}");
        }
    }

    #[test]
    fn shows_the_safe_parts_of_a_url() {
        #[rustfmt::skip]
        let rows = [
            ("plain", "https://a.example/b", "https://a.example/b"),
            ("everything", "https://me:hunter2@a.example:1/b@c?q=a@hunter2#hunter2", "https://a.example:1/b@c?…"),
        ];
        for (case, url, shown) in rows {
            let url = Url::parse(url).unwrap();
            assert_eq!(ShownUrl::from(&url).to_string(), shown, "{case}");
        }
    }

    #[test]
    fn cuts_and_escapes_texts() {
        let long = "x".repeat(1000);
        #[rustfmt::skip]
        let rows = [
            ("plain", r#""a\b" 'c' é 日"#, r#""a\b" 'c' é 日"#.to_owned()),
            ("an escape sequence", "\x1b]0;x\x07", r"\u{1b}]0;x\u{7}".to_owned()),
            ("C1", "\u{9b}2J", r"\u{9b}2J".to_owned()),
            ("a line break", "a\r\nb", r"a\r\nb".to_owned()),
            ("bidi", "\u{202e}\u{2066}\u{61c}a", r"\u{202e}\u{2066}\u{61c}a".to_owned()),
            ("zero width", "a\u{200b}\u{feff}b", r"a\u{200b}\u{feff}b".to_owned()),
            ("Hangul fillers", "\u{3164}\u{115f}\u{1160}\u{ffa0}", r"\u{3164}\u{115f}\u{1160}\u{ffa0}".to_owned()),
            ("a Braille blank", "a\u{2800}b", r"a\u{2800}b".to_owned()),
            ("whitespace", "a \u{a0}\u{3000}b", r"a \u{a0}\u{3000}b".to_owned()),
            ("a URL inside", "see (https://a/?code=hunter2) or b", "see (https://a/?… or b".to_owned()),
            ("long", &*long, format!("{}…", "x".repeat(80))),
        ];
        for (case, text, shown) in rows {
            assert_eq!(ShownText::new(text).to_string(), shown, "{case}");
        }
        let message = ShownText::message(long).to_string();
        assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS + 1);
        assert_eq!(format!("{:?}", ShownText::new("a\"\n")), r#""a\"\n""#);
    }

    /// `Default_Ignorable_Code_Point` of Unicode 16 (`DerivedCoreProperties.txt`), and blank
    /// characters that are neither ignorable nor white space.
    #[test]
    fn escapes_invisible_characters() {
        let ranges = [
            ('\u{00ad}', '\u{00ad}'),
            ('\u{034f}', '\u{034f}'),
            ('\u{061c}', '\u{061c}'),
            ('\u{115f}', '\u{1160}'),
            ('\u{17b4}', '\u{17b5}'),
            ('\u{180b}', '\u{180f}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{202a}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{2800}', '\u{2800}'),
            ('\u{3164}', '\u{3164}'),
            ('\u{fe00}', '\u{fe0f}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{ffa0}', '\u{ffa0}'),
            ('\u{fff0}', '\u{fff8}'),
            ('\u{13441}', '\u{13442}'),
            ('\u{1bca0}', '\u{1bca3}'),
            ('\u{1d159}', '\u{1d159}'),
            ('\u{1d173}', '\u{1d17a}'),
            ('\u{e0000}', '\u{e0fff}'),
        ];
        let shown = ranges.iter().flat_map(|(first, last)| *first..=*last);
        let shown: Vec<_> = shown
            .filter(|c| ShownText::new(&format!("a{c}")).to_string().contains(*c))
            .collect();
        assert!(shown.is_empty(), "{shown:?}");
        let debug = format!("{:?}", ShownText::new("a\u{3164}\u{2800}"));
        assert_eq!(debug, r#""a\u{3164}\u{2800}""#);
        for c in ['é', '日', '한', 'ก', '⠁', '🙂', '￼'] {
            assert_eq!(escaped(&c.to_string()), c.to_string());
        }
    }
}
