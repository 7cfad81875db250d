//! Finds JWTs in text by their first part, which is base64url of a JSON object.

use std::ops::Range;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};

/// Returns the ranges of everything that looks like a JWT, even if it is damaged.
///
/// The time is linear, however many tokens the text seems to contain.
pub(super) fn find_all(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(begin) = text[at..].find(is_word_character).map(|begin| at + begin) {
        let length = text[begin..].find(|c| !is_word_character(c));
        let end = length.map_or(text.len(), |length| begin + length);
        find_in_word(text, begin..end, &mut found);
        at = end;
    }
    found
}

/// Finds the JWT at the end of a word. It begins with `ey`, at the start of the word or after `=`.
fn find_in_word(text: &str, word: Range<usize>, found: &mut Vec<Range<usize>>) {
    let after_dots = text[word.clone()].trim_end_matches('.').len();
    let dots_at_the_end = word.len() - after_dots;
    let mut dots = text[word.clone()].matches('.').count();
    let mut counted = word.start;
    for (at, _) in text[word.clone()].match_indices("ey") {
        let begin = word.start + at;
        let before = &text[..begin];
        // the last characters of an escape such as `%22` could be part of a token
        if before.ends_with(is_token_character) && !ends_in_escape(before) {
            continue;
        }
        dots -= text[counted..begin].matches('.').count();
        counted = begin;
        // The last dot may be the full stop of a sentence. A token without a signature also ends in
        // a dot, but it only has two. Three dots stand for the rest of a shortened token.
        let kept = if dots == dots_at_the_end { 3 } else { 2 };
        let dropped = dots_at_the_end.min(dots.saturating_sub(kept));
        let end = word.end - dropped;
        let has_three_dots = dots - dropped == 3;
        if (has_three_dots || has_the_dots_of_a_jwt(dots - dropped))
            && has_header(&text[begin..end])
        {
            found.push(begin..end);
            return;
        }
    }
}

fn ends_in_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [.., b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

pub(in crate::service) fn is_jwt(text: &str) -> bool {
    has_the_dots_of_a_jwt(text.matches('.').count()) && has_header(text)
}

pub(super) fn has_the_dots_of_a_jwt(dots: usize) -> bool {
    dots == 2 || dots == 4
}

/// A JWT that was base64-encoded again, as in a Kubernetes Secret.
pub(in crate::service) fn is_encoded_twice(text: &str) -> bool {
    let engines = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    let mut decoded = engines
        .into_iter()
        .filter_map(|engine| engine.decode(text).ok());
    decoded.any(|bytes| std::str::from_utf8(&bytes).is_ok_and(|text| is_jwt(text.trim())))
}

/// Whether `text` begins with the base64url of a JSON object, complete or not.
pub(super) fn has_header(text: &str) -> bool {
    let end = text.find(|c: char| c == '.' || !is_token_character(c));
    let first = &text[..end.unwrap_or(text.len())];
    // four characters encode three bytes
    let decoded = URL_SAFE_NO_PAD.decode(&first[..first.len() / 4 * 4]);
    decoded.is_ok_and(|bytes| matches!(bytes[..], [b'{', b'"' | b' ' | b'\t' | b'\r' | b'\n', ..]))
}

/// A damaged token may have padding
fn is_word_character(c: char) -> bool {
    is_token_character(c) || c == '='
}

pub(super) fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// Shortens every JWT, and every long word that begins like one, to its first characters. An error
/// message must never contain a whole token.
pub(in crate::service) fn shorten_all(text: &str) -> String {
    /// Shorter than the header of any token
    const SHOWN: usize = 10;
    let mut shortened = String::new();
    let mut at = 0;
    for found in find_all(text) {
        shortened += &text[at..found.start + SHOWN.min(found.len())];
        shortened.push('…');
        at = found.end;
    }
    shortened + &text[at..]
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.e30.AA";

    /// Anyone can write this text, so a place where a token could begin must not make us scan the
    /// rest again.
    #[test]
    fn reads_a_long_text_once() {
        const LENGTH: usize = 40_000;
        for (part, expected) in [
            ("ey", 1),
            ("eyJh=", 1),
            ("eyJh.", 1),
            ("eyJh=.", 1),
            // all but three of the dots end the sentence
            (".", 2),
        ] {
            let text = format!("eyJh{} {JWT}", part.repeat(LENGTH / part.len()));
            let begin = Instant::now();
            assert_eq!(find_all(&text).len(), expected, "{part}");
            let took = begin.elapsed();
            assert!(took < Duration::from_millis(500), "{part}: {took:?}");
        }
    }

    #[test]
    fn recognizes_a_token_that_was_encoded_again() {
        assert!(is_encoded_twice(&STANDARD.encode(JWT)));
        assert!(is_encoded_twice(
            &URL_SAFE_NO_PAD.encode(format!("{JWT}\n"))
        ));
        assert!(!is_encoded_twice(JWT));
        assert!(!is_encoded_twice("YTpi"));
    }

    #[test]
    fn finds_every_token() {
        #[rustfmt::skip]
        let rows = [
            ("alone", JWT.to_owned(), 1),
            ("two", format!("{JWT} {JWT}"), 2),
            ("a sentence", format!("It is {JWT}."), 1),
            ("without a signature", "eyJhbGciOiJub25lIn0.e30.".to_owned(), 1),
            ("after an equals sign", format!("a={JWT}&b=1"), 1),
            ("padded", "eyJhIjoxfQ==.eyJhIjoxfQ==.AA==".to_owned(), 1),
            ("shortened", "eyJhbGciOi...".to_owned(), 1),
            ("shortened in the middle", "eyJhbGciOi..e30.AA".to_owned(), 1),
            ("one part", "eyJhbGciOiJSUzI1NiJ9".to_owned(), 0),
            ("a word with ey", "they.keyed.honey".to_owned(), 0),
            ("in a word", format!("a{JWT}"), 0),
            ("in a URL", format!("%7B%22access_token%22%3A%22{JWT}%22%7D"), 1),
        ];
        for (case, text, expected) in rows {
            assert_eq!(find_all(&text).len(), expected, "{case}");
        }
        assert_eq!(
            &format!("It is {JWT}.")[find_all(&format!("It is {JWT}."))[0].clone()],
            JWT
        );
        assert_eq!(find_all("a=eyJhbGciOi....").first(), Some(&(2..15)));
        assert_eq!(shorten_all(&format!("a '{JWT}' b")), "a 'eyJhbGciOi…' b");
    }
}
