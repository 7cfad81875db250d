//! [`Fault`]: what is wrong with a text that is not strict JSON, for messages to operators.
//!
//! The parsers only say that a text is malformed. To find the reason, we read the text again here.
//! Note that nothing in this module decides whether a text is accepted.

use std::{borrow::Cow, cell::RefCell, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::auth::{
    display::ShownText,
    token::json::{
        is_private, no_private_name,
        shape::{MAX_DEPTH, Shape},
    },
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    NotUtf8,
    /// The bytes would be JSON if each were one character.
    Latin1,
    ByteOrderMark,
    Empty,
    NotAnObject,
    /// A member with this name occurs twice.
    Twice(String),
    Private,
    TooDeep,
    Comma,
    SingleQuotes,
    NotANumber,
    Cut,
    Other,
}

impl Fault {
    /// Finds the reason. `Other` if the text has no fault, or one that we do not know.
    pub(crate) fn of(document: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(document) else {
            let text: String = document.iter().map(|byte| char::from(*byte)).collect();
            return if super::is_json(&text) {
                Self::Latin1
            } else {
                Self::NotUtf8
            };
        };
        if text.starts_with('\u{feff}') {
            return Self::ByteOrderMark;
        }
        let start = text.trim_start();
        if start.is_empty() {
            return Self::Empty;
        }
        if Shape::of(text).depth > MAX_DEPTH {
            return Self::TooDeep;
        }
        if no_private_name(text).is_err() {
            return Self::Private;
        }
        match Finder::search(text) {
            Ok(()) if start.starts_with('{') => Self::Other,
            Ok(()) => Self::NotAnObject,
            Err(fault) => fault,
        }
    }

    /// Returns true if the text was written with this fault. Any other fault may be damage that
    /// happened later.
    #[cfg(feature = "service")]
    pub(crate) fn is_of_the_writer(&self) -> bool {
        !matches!(self, Self::NotUtf8 | Self::Empty | Self::Cut | Self::Other)
    }
}

/// A sentence without a full stop, e.g. "it is empty".
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Twice(name) => {
                return write!(f, "it has the member {:?} twice", ShownText::new(name));
            }
            Self::NotUtf8 => "it is not UTF-8",
            Self::Latin1 => "it is not UTF-8, but Latin-1 or a similar encoding",
            Self::ByteOrderMark => "it begins with a byte order mark",
            Self::Empty => "it is empty",
            Self::NotAnObject => "it is JSON, but not an object",
            Self::Private => {
                "it has a member whose name begins with $serde_json::private::, which is reserved"
            }
            Self::TooDeep => "it has more than 128 levels of nesting",
            Self::Comma => "it has a comma before a closing bracket",
            Self::SingleQuotes => "it has single quotes instead of double quotes",
            Self::NotANumber => "it has NaN or Infinity, which are not JSON",
            Self::Cut => "its end is missing",
            Self::Other => "it is not JSON",
        })
    }
}

/// Reads JSON of a limited depth, and remembers the first name that occurs twice in an object.
struct Finder<'s> {
    found: &'s RefCell<Option<Fault>>,
}

impl Finder<'_> {
    #[expect(clippy::disallowed_methods, reason = "it makes no value")]
    fn search(text: &str) -> Result<(), Fault> {
        let found = RefCell::new(None);
        let mut reader = serde_json::Deserializer::from_str(text);
        // the depth was checked before
        reader.disable_recursion_limit();
        let finder = Finder { found: &found };
        let read = finder.deserialize(&mut reader).and_then(|()| reader.end());
        match (found.take(), read) {
            (Some(fault), _) => Err(fault),
            (None, Ok(())) => Ok(()),
            (None, Err(error)) => Err(of_error(text, &error)),
        }
    }
}

/// Interprets an error of `serde_json`, which only gives the reason in its message
fn of_error(text: &str, error: &serde_json::Error) -> Fault {
    if error.is_eof() {
        return Fault::Cut;
    }
    if error.to_string().starts_with("trailing comma") {
        return Fault::Comma;
    }
    let line = text.lines().nth(error.line().saturating_sub(1));
    let line = line.unwrap_or_default().as_bytes();
    let from = error.column().saturating_sub(1);
    let here = line.get(from).or(line.get(from.saturating_sub(1)));
    match here {
        Some(b'\'') => Fault::SingleQuotes,
        Some(b'N' | b'I' | b'-') if has_infinite_word(line) => Fault::NotANumber,
        _ => Fault::Other,
    }
}

fn has_infinite_word(line: &[u8]) -> bool {
    let has = |word: &[u8]| memchr::memmem::find(line, word).is_some();
    has(b"NaN") || has(b"Infinity")
}

impl<'de> DeserializeSeed<'de> for &Finder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for Finder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(&self)
    }
}

impl<'de> Visitor<'de> for &Finder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let fault = if is_private(&name) {
                Some(Fault::Private)
            } else if names.contains(&name) {
                Some(Fault::Twice(name.to_string()))
            } else {
                None
            };
            if let Some(fault) = fault {
                self.found.replace(Some(fault));
                return Err(A::Error::custom("found"));
            }
            names.insert(name);
            map.next_value_seed(self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_reason() {
        let twice = |name: &str| Fault::Twice(name.to_owned());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        #[rustfmt::skip]
        let rows: [(&str, &[u8], Fault); 22] = [
            ("a mark", b"\xef\xbb\xbf{}", Fault::ByteOrderMark),
            ("empty", b" \n", Fault::Empty),
            ("an array", b"[]", Fault::NotAnObject),
            ("a string", b"\"a\"", Fault::NotAnObject),
            ("twice", br#"{"a":1,"b":{},"a":2}"#, twice("a")),
            ("twice, once escaped", br#"{"a":1,"\u0061":2}"#, twice("a")),
            ("twice below", br#"{"x":[{"b":1,"b":2}]}"#, twice("b")),
            ("twice, then cut", br#"{"b":1,"b":2"#, twice("b")),
            ("a comma", br#"{"a":1,}"#, Fault::Comma),
            ("a comma in an array", br#"{"a":[1,]}"#, Fault::Comma),
            ("single quotes", b"{'a': 1}", Fault::SingleQuotes),
            ("a value in single quotes", br#"{"a": 'b'}"#, Fault::SingleQuotes),
            ("NaN", br#"{"a":NaN}"#, Fault::NotANumber),
            ("infinite", br#"{"a":Infinity}"#, Fault::NotANumber),
            ("less than infinite", b"{\n\"a\":-Infinity}", Fault::NotANumber),
            ("Latin-1", b"{\"a\":\"\xe9\"}", Fault::Latin1),
            ("bytes", b"{\"a\xff\xfe", Fault::NotUtf8),
            ("cut", br#"{"a":"b"#, Fault::Cut),
            ("deep", deep.as_bytes(), Fault::TooDeep),
            ("a reserved name", br#"{"$serde_json::private::RawValue":"1"}"#, Fault::Private),
            ("an escaped reserved name", br#"{"\u0024serde_json::private::RawValue":"1"}"#, Fault::Private),
            ("text", b"Not found", Fault::Other),
        ];
        for (case, text, expected) in rows {
            assert_eq!(Fault::of(text), expected, "{case}");
        }
        assert_eq!(
            twice("a\u{202e}").to_string(),
            "it has the member \"a\\u{202e}\" twice"
        );
    }
}
