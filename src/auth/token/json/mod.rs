//! The strict JSON parser. All untrusted JSON goes through this module.
//!
//! RFC 7515 §4 and RFC 7519 §4 let a parser choose between rejecting duplicate members and using
//! the last one. If two parsers choose differently, they see different tokens in the same bytes. So
//! we reject duplicates at any depth. We also reject trailing text, more than 128 levels of nesting
//! in the whole document, and member names that `serde_json` reserves.
//!
//! Those names are the reason why no other code may parse untrusted JSON. With its feature
//! `raw_value`, `serde_json` replaces the object `{"$serde_json::private::RawValue": "…"}` with the
//! value in the string. It parses that string with a new depth limit, and sees a different document
//! than other parsers. With the feature `arbitrary_precision`, `$serde_json::private::Number` has a
//! similar effect. Cargo unifies features, so any crate in a build can enable them, and we cannot
//! rely on their being off. This parser always rejects the names.
//!
//! **Invariant**: only this module passes untrusted JSON to `serde_json`. `clippy.toml` enforces
//! this.
//!
//! - This file parses an object member by member. All tokens are parsed this way.
//! - `plain.rs` is a faster version for most objects that issuers write.
//! - `value.rs` is the type that both return, and `shape.rs` measures a text before it is parsed.
//! - `document.rs` creates a [`serde_json::Value`] or a type, and has limits for whole documents.
//! - `parts.rs` splits a text into pieces without parsing them.
//! - `fault.rs` finds the reason why a text was rejected, for messages.
//! - `mismatch.rs` says why a text does not fit a type, for the log.

mod document;
mod fault;
mod mismatch;
mod parts;
mod plain;
mod shape;
mod value;

use std::{borrow::Cow, collections::HashSet, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[cfg(feature = "service")]
pub(crate) use self::document::value;
pub(crate) use self::document::{accepted, check_below, is_json, object_as, value_below};
pub(crate) use self::fault::Fault;
pub(crate) use self::mismatch::log_mismatch;
#[cfg(feature = "warp")]
pub(crate) use self::mismatch::reason;
pub(crate) use self::parts::{array, member, object, transcode};
pub(crate) use self::value::Value;
use self::{shape::is_within_depth, value::mark};

/// The prefix of the names that `serde_json` reserves
const PRIVATE: &str = "$serde_json::private::";

/// The member name for a number, if the feature `arbitrary_precision` of `serde_json` is enabled.
const NUMBER: &str = "$serde_json::private::Number";

/// The error for a text that is not strict JSON, or not of the expected type
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Parses `text` as an object, and calls `member` for each of its members.
///
/// `member` may be called twice for the first members, if the fast parser fails after them.
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
            // `false` rather than null, which would count as absent for some claims
            let finite = replace_infinite(text, "false");
            read(&finite, |name, value| member(name, value.into_owned()))
        }
        read => read,
    }
    .map_err(|_| Malformed)
}

/// Parses `text` as an object with `serde_json`.
///
/// `serde_json` allows one level less than we do. If it fails because of the depth, we measure the
/// depth and parse the text again. All other texts are parsed only once.
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
/// Names with escapes are rejected by the visitors below. Names without escapes have to be found in
/// the text, because with `arbitrary_precision`, a visitor cannot tell
/// `{"$serde_json::private::Number": "1"}` from `1`. Searching for `$` takes about 50 instructions,
/// and tokens usually do not contain one.
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

/// The error means that the text has more than 127 levels. We compare the message, as in
/// [`is_out_of_range`].
fn is_too_deep(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("recursion limit exceeded")
}

/// The error means that a number is outside the range of `f64`. `serde_json` currently has no
/// category for this, which leaves us with comparing the message. A test will tell us if the
/// message ever changes.
fn is_out_of_range(error: &serde_json::Error) -> bool {
    error.to_string().starts_with("number out of range")
}

/// The text with each number outside the range of `f64` replaced by `instead`
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

/// The length of the string, number or single character that `text` begins with
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

/// True if a number is valid JSON and outside the range of `f64`. Rust accepts numbers that JSON
/// does not allow, so we check the syntax of JSON as well.
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

/// The member names seen so far in an object. We compare a few names directly. If there are more we
/// hash them, otherwise an object with thousands of members would take quadratic time.
#[derive(Default)]
struct Names<'a> {
    /// The union of the marks of all names. A name with a new mark need not be compared.
    marks: u64,
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    const MAX_LINEAR: usize = 24;

    fn insert<E: Error>(&mut self, name: Cow<'a, str>) -> Result<(), E> {
        let mark = mark(&name);
        let is_marked = self.marks & mark != 0;
        if is_marked && (self.few.contains(&name) || self.many.contains(&name)) {
            return Err(E::custom("a member twice"));
        }
        self.marks |= mark;
        if self.few.len() < Self::MAX_LINEAR {
            // allocate once; a token typically has no more members than this
            if self.few.is_empty() {
                self.few.reserve(Self::MAX_LINEAR / 2);
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

    // Dates beyond 2^53 seconds (about 285 million years from now) lose precision.
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
        // With `arbitrary_precision`, `serde_json` passes a number as a map with this name. In any
        // other case the name isn't borrowed: `no_private_name` has rejected it in the input, and
        // an escaped name is owned.
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

/// A string that is borrowed if it has no escapes (serde always copies into a `Cow`)
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
            // the fast parser has already passed this member
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

    /// Generates an object, then a few times inserts or removes a character, or repeats the rest.
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

        /// The fast parser may reject a text that the strict one accepts, but must not see another
        /// document.
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

        /// A map of `serde_json` keeps the last of two members with the same name, so an equal
        /// number of members means that there are no duplicates.
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
                // `serde_json` can't read a number outside the range of `f64`
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
