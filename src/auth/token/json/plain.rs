//! A fast parser for plain objects. It typically takes a third of the time of the strict parser.
//!
//! An object is plain if its strings have no escapes, its numbers are integers with at most 15
//! digits, and it has at most [`MAX_MEMBERS`] members at each level and at most [`MAX_DEPTH`]
//! levels. All other texts are left to the strict parser in `mod.rs`.
//!
//! Invariant: **the strict parser accepts every text that this parser accepts, and returns the same
//! members.** A text that is not JSON, or has a duplicate member, is not plain. The strict parser
//! then rejects it.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::auth::token::json::value::{Value, mark};

const MAX_MEMBERS: usize = 24;

/// The maximum number of levels of a plain object, including the object itself
const MAX_DEPTH: usize = 8;

/// Parses `text` as a plain object, and calls `member` for each member. If the text turns out not
/// to be plain we get false, but by then `member` may have been called for some members.
///
/// `text` must not contain a member name that `serde_json` reserves.
pub(super) fn members<'a>(text: &'a str, member: impl FnMut(&str, Value<'a>)) -> bool {
    let mut reader = Reader { text, at: 0 };
    let is_object = reader.next() == Some(b'{') && reader.object(MAX_DEPTH, member).is_some();
    is_object && reader.peek().is_none()
}

/// A text, and the current position in it. Every method returns `None` if the text isn't plain.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Parses the rest of an object, after its opening brace
    fn object(&mut self, levels: usize, mut member: impl FnMut(&str, Value<'a>)) -> Option<()> {
        let levels = levels.checked_sub(1)?;
        let mut names = Names::default();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            if self.next()? != b'"' {
                return None;
            }
            let name = self.string()?;
            names.insert(name)?;
            if self.next()? != b':' {
                return None;
            }
            member(name, self.value(levels)?);
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn value(&mut self, levels: usize) -> Option<Value<'a>> {
        match self.next()? {
            b'"' => self.string().map(|text| Value::Text(Cow::Borrowed(text))),
            digit @ b'0'..=b'9' => self.number(digit),
            b'[' => self.array(levels),
            b'{' => self.object(levels, |_, _| {}).map(|()| Value::Other),
            b't' => self.word("rue", Value::Other),
            b'f' => self.word("alse", Value::Other),
            b'n' => self.word("ull", Value::Null),
            _ => None,
        }
    }

    /// Parses the rest of an array, after its opening bracket
    fn array(&mut self, levels: usize) -> Option<Value<'a>> {
        let levels = levels.checked_sub(1)?;
        let mut texts = Some(Vec::new());
        if self.peek()? == b']' {
            self.at += 1;
            return texts.map(Value::Texts);
        }
        loop {
            match (self.value(levels)?, &mut texts) {
                (Value::Text(text), Some(texts)) => texts.push(text),
                _ => texts = None,
            }
            match self.next()? {
                b',' => {}
                b']' => return Some(texts.map_or(Value::Other, Value::Texts)),
                _ => return None,
            }
        }
    }

    /// Parses the rest of a string, after its opening quote.
    fn string(&mut self) -> Option<&'a str> {
        let (from, bytes) = (self.at, self.text.as_bytes());
        let mut at = from;
        let end = loop {
            let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
                let rest = bytes.get(at..)?;
                break at + rest.iter().position(|byte| ends_or_escapes(*byte))?;
            };
            let found = ends_or_escapes_of_eight(u64::from_le_bytes(*eight));
            if found != 0 {
                break at + (found.trailing_zeros() / u8::BITS) as usize;
            }
            at += 8;
        };
        if bytes[end] != b'"' {
            return None;
        }
        self.at = end + 1;
        self.text.get(from..end)
    }

    /// Parses the rest of an integer, after its first digit. Stops before a fraction or an
    /// exponent. The caller expects a comma or a bracket there, and rejects the text.
    fn number(&mut self, first: u8) -> Option<Value<'a>> {
        /// An `f64` represents every integer with this number of digits exactly
        const DIGITS: usize = 15;
        let value = |digit: u8| u64::from(digit - b'0');
        let (from, mut number) = (self.at, value(first));
        while let Some(digit @ b'0'..=b'9') = self.text.as_bytes().get(self.at) {
            self.at += 1;
            if first == b'0' || self.at - from == DIGITS {
                return None;
            }
            number = number * 10 + value(*digit);
        }
        #[expect(clippy::cast_precision_loss, reason = "it is below 10^15")]
        let number = number as f64;
        Some(Value::Number(number))
    }

    /// Parses the rest of a word, after its first letter
    fn word(&mut self, rest: &str, value: Value<'a>) -> Option<Value<'a>> {
        let after = self.text.as_bytes().get(self.at..)?;
        self.at += rest.len();
        after.starts_with(rest.as_bytes()).then_some(value)
    }

    /// Skips whitespace (RFC 8259 §2) and returns the byte after it, which is consumed
    fn next(&mut self) -> Option<u8> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    /// [`next`](Self::next) without consuming the byte.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let next = *self.text.as_bytes().get(self.at)?;
            if !matches!(next, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(next);
            }
            self.at += 1;
        }
    }
}

#[derive(Default)]
struct Names<'a> {
    /// The union of the marks of all names. A name with a new mark need not be compared.
    marks: u64,
    names: SmallVec<[&'a str; MAX_MEMBERS]>,
}

impl<'a> Names<'a> {
    fn insert(&mut self, name: &'a str) -> Option<()> {
        let mark = mark(name);
        let is_twice = self.marks & mark != 0 && self.names.contains(&name);
        if is_twice || self.names.len() == MAX_MEMBERS {
            return None;
        }
        self.marks |= mark;
        self.names.push(name);
        Some(())
    }
}

/// The byte ends a plain string: a quote, or a byte that plain strings don't contain.
fn ends_or_escapes(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// [`ends_or_escapes`] for eight bytes at once. The lowest set bit is in the first such byte.
fn ends_or_escapes_of_eight(bytes: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // A borrow starts in a byte that is below the limit, and only affects later bytes, i.e. the
    // lowest set bit is always right
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(each(limit)) & !bytes & each(0x80);
    below(bytes, 0x20) | below(bytes ^ each(b'"'), 1) | below(bytes ^ each(b'\\'), 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_plain(text: &str) -> bool {
        members(text, |_, _| {})
    }

    #[test]
    fn reads_what_issuers_write() {
        for (case, text) in [
            ("nothing in it", "{}"),
            (
                "strings and numbers",
                r#"{"iss":"https://a/","exp":1790000000,"n":0}"#,
            ),
            ("lists", r#"{"aud":["a","b"],"permissions":[]}"#),
            ("words", r#"{"a":true,"b":false,"c":null}"#),
            ("blanks", "{ \"a\" : [ \"x\" , 1 ] ,\r\n\t\"b\" : { } } "),
            (
                "levels",
                r#"{"realm_access":{"roles":["a"]},"a":[{"b":[1]}]}"#,
            ),
            ("letters of other scripts", r#"{"name":"Zoë 日本"}"#),
            ("fifteen digits", r#"{"n":123456789012345}"#),
        ] {
            assert!(is_plain(text), "{case}");
        }
    }

    #[test]
    fn leaves_everything_else_to_the_strict_reader() {
        let nest = |levels| format!("{}{}", r#"{"a":"#.repeat(levels), "1") + &"}".repeat(levels);
        let wide = |members| {
            let members: Vec<_> = (0..members).map(|i| format!(r#""{i}":0"#)).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(is_plain(&nest(MAX_DEPTH)) && is_plain(&wide(MAX_MEMBERS)));
        for (case, text) in [
            ("one level more", &*nest(MAX_DEPTH + 1)),
            ("one member more", &wide(MAX_MEMBERS + 1)),
            ("an escape", r#"{"a":"\n"}"#),
            ("an escape in a name", r#"{"\u0061":1}"#),
            ("a control character", "{\"a\":\"\u{1}\"}"),
            ("a fraction", r#"{"a":1.5}"#),
            ("an exponent", r#"{"a":1e3}"#),
            ("a negative number", r#"{"a":-1}"#),
            ("sixteen digits", r#"{"a":1234567890123456}"#),
            ("a leading zero", r#"{"a":01}"#),
            ("a member twice", r#"{"a":1,"b":2,"a":1}"#),
            ("a member twice in depth", r#"{"a":[{"b":1,"b":1}]}"#),
            ("a trailing comma", r#"{"a":1,}"#),
            ("a trailing comma in a list", r#"{"a":[1,]}"#),
            ("no comma", r#"{"a":1 "b":2}"#),
            ("no colon", r#"{"a"1}"#),
            ("no value", r#"{"a":}"#),
            ("no name", "{1:1}"),
            ("no quote at the end", r#"{"a":"b"#),
            ("no end", r#"{"a":1"#),
            ("half a word", r#"{"a":tru}"#),
            ("a longer word", r#"{"a":nulll}"#),
            ("text after it", "{} {}"),
            ("an array", "[]"),
            ("nothing", ""),
        ] {
            assert!(!is_plain(text), "{case}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn finds_the_first_of_eight_bytes(bytes in any::<[u8; 8]>()) {
            let found = ends_or_escapes_of_eight(u64::from_le_bytes(bytes));
            let found = (found != 0).then_some((found.trailing_zeros() / 8) as usize);
            prop_assert_eq!(found, bytes.iter().position(|byte| ends_or_escapes(*byte)));
        }

        /// uses bytes whose values are next to those that we search for
        #[test]
        fn finds_the_byte_among_neighbouring_values(
            bytes in proptest::array::uniform8(proptest::sample::select(b"\0\x1f !\"#[\\]\x7f\x80\xff".as_slice())),
        ) {
            let found = ends_or_escapes_of_eight(u64::from_le_bytes(bytes));
            let found = (found != 0).then_some((found.trailing_zeros() / 8) as usize);
            prop_assert_eq!(found, bytes.iter().position(|byte| ends_or_escapes(*byte)));
        }
    }
}
