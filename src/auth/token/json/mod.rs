//! The strict JSON reader. Every JSON text from outside is read through it.
//!
//! RFC 7515 §4 and RFC 7519 §4 let a reader choose between rejecting duplicate members and using
//! the last one. Two readers that choose differently see two tokens in one text, so this reader
//! rejects duplicates, at any depth. It also rejects text after the value, more than 128 levels of
//! nesting, counted over the whole document, and the member names that `serde_json` reserves.
//!
//! Because of those names, no other code may parse foreign text. With its feature `raw_value`,
//! `serde_json` replaces the object `{"$serde_json::private::RawValue": "…"}` by the value in the
//! string. It parses the string again with a fresh depth limit, so other readers see a different
//! document. The feature `arbitrary_precision` gives a meaning to `$serde_json::private::Number` in
//! the same way. Cargo unifies features, so any crate in a build can turn them on. This reader
//! rejects the names either way.
//!
//! **Invariant**: foreign text reaches `serde_json` through this module only, as `clippy.toml`
//! enforces.
//!
//! - This file reads an object member by member. Every token is read this way.
//! - `plain.rs` does the same faster for most objects that issuers write.
//! - `value.rs` is what both return, and `shape.rs` measures a text before it is parsed.
//! - `document.rs` creates a [`serde_json::Value`] or a type, and has limits for whole documents.
//! - `parts.rs` finds the pieces of a text without parsing them.

mod document;
mod parts;
mod plain;
mod shape;
mod value;

use std::{borrow::Cow, collections::HashSet, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[cfg(feature = "service")]
pub(crate) use self::document::value;
pub(crate) use self::document::{accepted, check_below, is_json, object_as, value_below};
pub(crate) use self::parts::{array, member, object, transcode};
pub(crate) use self::value::Value;
use self::{shape::is_within_depth, value::mark};

/// The prefix of the member names that `serde_json` reserves.
const PRIVATE: &str = "$serde_json::private::";

/// The name under which `serde_json` passes on a number with its feature `arbitrary_precision`.
const NUMBER: &str = "$serde_json::private::Number";

/// The error for a text that is not strict JSON, or not of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads the whole of `text` as one object and passes each of its members to `member`.
///
/// The first members may be passed twice if `text` is not plain.
pub(crate) fn members<'a>(
    text: &'a str,
    mut member: impl FnMut(&str, Value<'a>),
) -> Result<(), Malformed> {
    no_private_name(text)?;
    if plain::members(text, &mut member) {
        return Ok(());
    }
    match read(text, &mut member) {
        Err(error) if is_out_of_range(&error) => {
            // Not null, because some claims treat null as absent.
            let finite = replace_infinite(text, "false");
            read(&finite, |name, value| member(name, value.into_owned()))
        }
        read => read,
    }
    .map_err(|_| Malformed)
}

/// Reads `text` as one object.
///
/// `serde_json` fails at the last level that is allowed here. Only then is the depth measured and the
/// text read again, so that other texts are read once.
#[expect(clippy::disallowed_methods, reason = "this is the strict reader")]
fn read<'a>(text: &'a str, mut member: impl FnMut(&str, Value<'a>)) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_str(text);
    match reader.deserialize_map(Members(&mut member, PhantomData)) {
        Err(error) if is_too_deep(&error) && is_within_depth(text) => {
            reader = serde_json::Deserializer::from_str(text);
            reader.disable_recursion_limit();
            reader.deserialize_map(Members(member, PhantomData))?;
        }
        read => read?,
    }
    reader.end()
}

/// Rejects a text that contains a reserved name of `serde_json` without escapes.
///
/// The visitors reject names written with escapes. Names without escapes must be searched for in
/// the text: with `arbitrary_precision`, a visitor cannot distinguish
/// `{"$serde_json::private::Number": "1"}` from `1`. The search for `$` costs some fifty
/// instructions, and few tokens contain a `$`.
fn no_private_name(text: &str) -> Result<(), Malformed> {
    let bytes = text.as_bytes();
    let is_name = |at: usize| at > 0 && bytes[at - 1] == b'"' && is_private(&text[at..]);
    if memchr::memchr_iter(b'$', bytes).any(is_name) {
        return Err(Malformed);
    }
    Ok(())
}

fn is_private(name: &str) -> bool {
    name.starts_with(PRIVATE)
}

/// Returns whether the text has more than the 127 levels that `serde_json` reads. Compares the
/// message, as [`is_out_of_range`] does.
fn is_too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

/// Returns whether the error is a number outside the range of `f64`. `serde_json` has no category
/// for it, so its message is compared. A test checks that the message is still the same.
fn is_out_of_range(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

/// Returns the text with each number outside the range of `f64` replaced by `instead`.
fn replace_infinite(text: &str, instead: &str) -> String {
    let mut finite = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (token, after) = rest.split_at(token_length(rest, first));
        finite.push_str(if is_infinite(token) { instead } else { token });
        rest = after;
    }
    finite
}

/// Returns the length of the string, number or single character that `text` begins with.
fn token_length(text: &str, first: char) -> usize {
    let mut bytes = text.bytes();
    let end = match first {
        '"' => {
            let mut escaped = true;
            bytes.position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            })
        }
        '-' | '0'..='9' => {
            let end = bytes.position(|byte| !b"+-.0123456789Ee".contains(&byte));
            end.map(|end| end - 1)
        }
        _ => Some(first.len_utf8() - 1),
    };
    end.map_or(text.len(), |last| last + 1)
}

/// Returns whether a number is valid JSON and outside the range of `f64`. Rust parses more
/// spellings than JSON allows, so JSON's syntax is checked too.
fn is_infinite(number: &str) -> bool {
    number.parse().is_ok_and(f64::is_infinite) && is_json(number)
}

struct Members<'a, F>(F, PhantomData<&'a ()>);

impl<'a, F: FnMut(&str, Value<'a>)> Visitor<'a> for Members<'a, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let first = map.next_key()?;
        self.read(first, map)
    }
}

impl<'a, F: FnMut(&str, Value<'a>)> Members<'a, F> {
    fn read<A: MapAccess<'a>>(
        mut self,
        first: Option<Text<'a>>,
        mut map: A,
    ) -> Result<(), A::Error> {
        let mut names = Names::default();
        let mut next = first;
        while let Some(Text(name)) = next {
            if is_private(&name) {
                return Err(A::Error::custom("a private name of serde_json"));
            }
            let value = map.next_value()?;
            (self.0)(&name, value);
            names.insert(name)?;
            next = map.next_key()?;
        }
        Ok(())
    }
}

/// The member names seen so far in one object. A few names are compared one by one. More are
/// hashed, so that an object with thousands of members does not take quadratic time.
#[derive(Default)]
struct Names<'a> {
    /// The union of the marks of all names. A name with a new mark is new and needs no comparison.
    marks: u64,
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 24;

    fn insert<E: Error>(&mut self, name: Cow<'a, str>) -> Result<(), E> {
        let mark = mark(&name);
        let is_marked = self.marks & mark != 0;
        if is_marked && (self.few.contains(&name) || self.many.contains(&name)) {
            return Err(E::custom("a member twice"));
        }
        self.marks |= mark;
        if self.few.len() < Self::FEW {
            // Allocates once, with room for the members of most tokens.
            if self.few.is_empty() {
                self.few.reserve(Self::FEW / 2);
            }
            self.few.push(name);
        } else {
            self.many.insert(name);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Number(number))
    }

    // Dates beyond 2^53 seconds, some 285 million years from now, lose precision.
    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(number as f64))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut texts = Some(Vec::new());
        while let Some(item) = items.next_element()? {
            match (item, &mut texts) {
                (Value::Text(text), Some(texts)) => texts.push(text),
                _ => texts = None,
            }
        }
        Ok(texts.map_or(Value::Other, Value::Texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let first = map.next_key()?;
        // With `arbitrary_precision`, this is a number: the name is borrowed, and `no_private_name`
        // has already rejected every text that contains it.
        if let Some(Text(Cow::Borrowed(NUMBER))) = first {
            let Text(digits) = map.next_value()?;
            let number: f64 = digits.parse().map_err(A::Error::custom)?;
            let number = Some(number).filter(|number| number.is_finite());
            return Ok(number.map_or(Value::Other, Value::Number));
        }
        Members(|_: &str, _: Value<'de>| {}, PhantomData).read(first, map)?;
        Ok(Value::Other)
    }
}

/// A string, borrowed if it has no escapes. serde's own `Cow` never borrows.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::{collection::vec, prelude::*, sample::Index};
    use serde_json::value::RawValue;

    use super::*;

    fn seen(text: &str) -> Result<Vec<(String, Value<'_>)>, Malformed> {
        let mut seen: Vec<(String, Value<'_>)> = Vec::new();
        members(text, |name, value| {
            // Passed before, by the reader of plain objects.
            seen.retain(|(known, _)| known != name);
            seen.push((name.to_owned(), value));
        })?;
        Ok(seen)
    }

    #[test]
    fn reads_an_object_member_by_member() {
        let seen = seen(r#"{"a":"x","b":[ "y" ],"c":-1.5,"d":null,"e":{"f":1},"g":[1]}"#).unwrap();
        let values: Vec<_> = seen.into_iter().map(|(_, value)| value).collect();
        let expected = [
            Value::Text("x".into()),
            Value::Texts(vec!["y".into()]),
            Value::Number(-1.5),
            Value::Null,
            Value::Other,
            Value::Other,
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn rejects_everything_except_strict_objects() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(1000), "]".repeat(1000));
        let many: Vec<_> = (0..100).map(|i| format!(r#""{i}":0"#)).collect();
        let twice_among_many = format!(r#"{{{},"99":0}}"#, many.join(","));
        for (case, text) in [
            ("empty", ""),
            ("a string", r#""a""#),
            ("an array", "[]"),
            ("null", "null"),
            ("a member twice", r#"{"a":1,"b":2,"a":1}"#),
            ("twice by escape", r#"{"a":1,"\u0061":1}"#),
            ("twice in depth", r#"{"a":[{"b":{"c":1,"c":1}}]}"#),
            ("twice among many", &twice_among_many),
            ("text after the object", "{} {}"),
            ("a trailing comma", r#"{"a":1,}"#),
            ("a byte order mark", "\u{feff}{}"),
            ("a NUL", "{\"a\":\"\0\"}"),
            ("a lone surrogate", r#"{"a":"\ud800"}"#),
            ("a lone surrogate as name", r#"{"\udc00":1}"#),
            ("nested a thousand deep", &deep),
            ("a leading zero", r#"{"a":01}"#),
            ("NaN", r#"{"a":NaN}"#),
        ] {
            assert_eq!(seen(text), Err(Malformed), "{case}");
        }
    }

    #[test]
    fn out_of_range_number_leaves_other_members_intact() {
        for (case, text, expected) in [
            ("a member", r#"{"a":1e400}"#, Ok(Value::Other)),
            ("negative", r#"{"a":-1.5E+999}"#, Ok(Value::Other)),
            ("in depth", r#"{"a":[{"b":[1e400]}]}"#, Ok(Value::Other)),
            ("among strings", r#"{"a":["x",1e400]}"#, Ok(Value::Other)),
            (
                "before a string",
                r#"{"b":1e400,"a":"x"}"#,
                Ok(Value::Text("x".into())),
            ),
            (
                "in a string",
                r#"{"b":1e400,"a":"1e400"}"#,
                Ok(Value::Text("1e400".into())),
            ),
            (
                "after a quote",
                r#"{"b":9e999,"a":"\\\"1e400"}"#,
                Ok(Value::Text("\\\"1e400".into())),
            ),
            (
                "after letters",
                r#"{"é":1e400,"a":["é"]}"#,
                Ok(Value::Texts(vec!["é".into()])),
            ),
            ("tiny", r#"{"a":1e-400}"#, Ok(Value::Number(0.0))),
            ("a leading zero", r#"{"a":01e400}"#, Err(Malformed)),
            (
                "no digit before the dot",
                r#"{"a":-.5e999}"#,
                Err(Malformed),
            ),
            ("no digit after it", r#"{"a":1.e400}"#, Err(Malformed)),
            ("two numbers in one", r#"{"a":1e400-1}"#, Err(Malformed)),
            ("a member twice", r#"{"a":1e400,"a":1}"#, Err(Malformed)),
            (
                "twice in depth",
                r#"{"a":{"b":1e400,"c":1,"c":1}}"#,
                Err(Malformed),
            ),
            (
                "a string without end",
                r#"{"a":1e400,"b":"1"#,
                Err(Malformed),
            ),
            ("a number as a name", r"{1e400:1}", Err(Malformed)),
        ] {
            let of_a = seen(text).map(|seen| {
                let mut of_a = seen.into_iter().filter(|(name, _)| name == "a");
                of_a.next_back().unwrap().1
            });
            assert_eq!(of_a, expected, "{case}");
        }
    }

    /// Generates an object, then inserts or removes a character or repeats the rest, a few times.
    fn almost_an_object() -> impl Strategy<Value = String> {
        let object = r#"\{("[a-c]{0,2}":(-?[0-9]{1,3}(\.[0-9]|e[0-9]{1,3})?|null|true|"[é\\n]?"|\[("a",?){0,2}\]|\{"a":1\}),){0,3}"z":\[\{\}\]\}"#;
        let change = (any::<Index>(), 0..3_u8, r#"[{}\[\]",:\\ue0-9.\x00-\x20 ]"#);
        (object, vec(change, 0..3)).prop_map(|(mut text, changes)| {
            for (at, kind, new) in changes {
                let at = text
                    .char_indices()
                    .nth(at.index(text.chars().count()))
                    .unwrap()
                    .0;
                match kind {
                    0 => text.insert_str(at, &new),
                    1 if text.len() > 2 => drop(text.remove(at)),
                    _ => {
                        let rest = text[at..].to_owned();
                        text.insert_str(at, &rest);
                    }
                }
            }
            text
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

        /// The quick reader may leave a text to the strict one, but must not read another document.
        #[test]
        fn plain_objects_are_the_same_to_the_strict_reader(text in almost_an_object()) {
            let mut quick = Vec::new();
            if !plain::members(&text, |name, value| quick.push((name.to_owned(), value))) {
                return Ok(());
            }
            let mut strict = Vec::new();
            read(&text, |name, value| strict.push((name.to_owned(), value))).unwrap();
            prop_assert_eq!(quick, strict);
        }

        /// `serde_json`'s maps keep the last of two members with one name, so equal numbers of
        /// members mean that there were no duplicates.
        #[test]
        fn serde_json_agrees_on_accepted_objects(text in almost_an_object()) {
            if seen(&text).is_err() {
                return Ok(());
            }
            let finite = replace_infinite(&text, "false");
            let members = seen(&finite).unwrap();
            let object: HashMap<String, Box<RawValue>> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(members.len(), object.len());
            for (name, value) in members {
                // `serde_json` cannot read a number outside the range of `f64`.
                let other = serde_json::from_str(object[&name].get());
                let other = other.unwrap_or(serde_json::Value::Bool(false));
                let other = match &other {
                    serde_json::Value::String(text) => Value::Text(text.into()),
                    serde_json::Value::Number(number) => {
                        number.as_f64().map_or(Value::Other, Value::Number)
                    }
                    serde_json::Value::Array(items) if items.iter().all(serde_json::Value::is_string) => {
                        Value::Texts(items.iter().map(|item| item.as_str().unwrap().into()).collect())
                    }
                    serde_json::Value::Null => Value::Null,
                    _ => Value::Other,
                };
                prop_assert_eq!(value, other);
            }
        }
    }
}
