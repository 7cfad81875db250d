//! Splits a JSON text into its members or items without parsing their values.
//!
//! An invalid entry of a key set must not make the other entries unusable, so each entry is parsed
//! separately. The `RawValue` of `serde_json` could do this too, but enabling its feature changes
//! how every `serde_json::Value` in the build is parsed.

use std::borrow::Cow;

use serde::{
    de::IgnoredAny,
    ser::{SerializeMap, SerializeSeq, Serializer},
};

use crate::auth::token::json::{Malformed, Names, Text, document::accepted, is_private};

/// The name and the value, as text, of each member of the object in `text`.
pub(crate) fn object(text: &str) -> Result<Vec<(Cow<'_, str>, &str)>, Malformed> {
    let mut rest = opened(text, '{')?;
    let (mut members, mut names) = (Vec::new(), Names::default());
    let mut last = '{';
    while let Some((name, after)) = item(rest, last, '}')? {
        let name = string(name)?;
        if is_private(&name) {
            return Err(Malformed);
        }
        names
            .insert::<serde_json::Error>(name.clone())
            .map_err(|_| Malformed)?;
        let value = after.trim_start_matches(BLANKS).strip_prefix(':');
        let (value, after) = split(value.ok_or(Malformed)?)?;
        members.push((name, value));
        (rest, last) = next(after, '}')?;
    }
    Ok(members)
}

/// The first `most` items of the array in `text`, and the number of items after them.
pub(crate) fn array(text: &str, most: usize) -> Result<(Vec<&str>, usize), Malformed> {
    let mut rest = opened(text, '[')?;
    let (mut items, mut more) = (Vec::new(), 0);
    let mut last = '[';
    while let Some((value, after)) = item(rest, last, ']')? {
        if items.len() < most {
            items.push(value);
        } else {
            more += 1;
        }
        (rest, last) = next(after, ']')?;
    }
    Ok((items, more))
}

/// The value of the member `name` of the object in `text`, if there is one.
pub(crate) fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let members = object(text).ok()?;
    let found = members.into_iter().find(|(found, _)| found == name);
    found.map(|(_, value)| value)
}

/// Serializes an accepted text, and keeps the order of members. A number outside the range of `f64`
/// becomes null.
pub(crate) fn transcode<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    let unread = |_| serde::ser::Error::custom("not JSON");
    match text.trim_start_matches(BLANKS).bytes().next() {
        Some(b'{') => {
            let members = object(text).map_err(unread)?;
            let mut map = to.serialize_map(Some(members.len()))?;
            for (name, value) in members {
                map.serialize_entry(&name, &Piece(value))?;
            }
            map.end()
        }
        Some(b'[') => {
            let (items, _) = array(text, usize::MAX).map_err(unread)?;
            let mut list = to.serialize_seq(Some(items.len()))?;
            for item in items {
                list.serialize_element(&Piece(item))?;
            }
            list.end()
        }
        _ => serde::Serialize::serialize(
            &accepted::<serde_json::Value>(text).unwrap_or_default(),
            to,
        ),
    }
}

struct Piece<'a>(&'a str);

impl serde::Serialize for Piece<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        transcode(self.0, to)
    }
}

/// The whitespace of JSON (RFC 8259 §2).
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// The text after the opening bracket, without surrounding whitespace.
fn opened(text: &str, bracket: char) -> Result<&str, Malformed> {
    text.trim_matches(BLANKS)
        .strip_prefix(bracket)
        .ok_or(Malformed)
}

/// The next value and the text after it, or `None` at the end. `last` is the comma or bracket
/// before the value.
fn item(rest: &str, last: char, end: char) -> Result<Option<(&str, &str)>, Malformed> {
    let here = rest.trim_start_matches(BLANKS);
    if last == end {
        // nothing may follow the closing bracket
        return if here.is_empty() {
            Ok(None)
        } else {
            Err(Malformed)
        };
    }
    match here.strip_prefix(end) {
        Some("") if last != ',' => Ok(None),
        _ => split(here).map(Some),
    }
}

/// The text after the next comma or closing bracket, and that character
fn next(after: &str, end: char) -> Result<(&str, char), Malformed> {
    let here = after.trim_start_matches(BLANKS);
    let mark = here
        .chars()
        .next()
        .filter(|mark| *mark == ',' || *mark == end);
    let mark = mark.ok_or(Malformed)?;
    Ok((&here[1..], mark))
}

#[expect(
    clippy::disallowed_methods,
    reason = "it only finds the end of a value"
)]
fn split(text: &str) -> Result<(&str, &str), Malformed> {
    let text = text.trim_start_matches(BLANKS);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(IgnoredAny)) => text.split_at_checked(values.byte_offset()).ok_or(Malformed),
        _ => Err(Malformed),
    }
}

/// Reads a string, borrowed if it has no escapes.
fn string(text: &str) -> Result<Cow<'_, str>, Malformed> {
    accepted::<Text<'_>>(text)
        .map(|text| text.0)
        .map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn finds_members_and_items() {
        let text = " {\"a\" : [1, {\"b\":2}] ,\n\"\\u0063\":1e400,\"d\":\"}\"}\t";
        let members = object(text).unwrap();
        let expected = [("a", "[1, {\"b\":2}]"), ("c", "1e400"), ("d", "\"}\"")];
        assert!(
            members
                .iter()
                .map(|(name, value)| (&**name, *value))
                .eq(expected)
        );
        let (items, more) = array(members[0].1, 8).unwrap();
        assert_eq!((items, more), (vec!["1", "{\"b\":2}"], 0));
        assert_eq!(array("[1,2,\"\\ud800\"]", 1), Ok((vec!["1"], 2)));
        assert_eq!(member(text, "c"), Some("1e400"));
        assert_eq!(member(text, "e"), None);
        assert_eq!(object(" { } "), Ok(vec![]));
        assert_eq!(array("[\n]", 1), Ok((vec![], 0)));
    }

    /// The grammar is that of `serde_json`, minus duplicate and reserved names.
    #[test]
    fn rejects_texts_that_are_not_objects_or_arrays() {
        for text in [
            "",
            "1",
            "\"{}\"",
            "{",
            "}",
            "{}}",
            "{}{}",
            "{,}",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1]]",
            "[1][",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1 \"b\":2}",
            "{1:1}",
            "{a:1}",
            "{\"a\":1}1",
            "[01]",
            "[1}",
            "{\"a\":1]",
            "[1,,2]",
            "[\u{a0}1]",
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":1}",
            "{\"$serde_json::private::RawValue\":1}",
            "{\"\\u0024serde_json::private::Number\":1}",
            "[tru]",
            "[-]",
            "[\"]",
        ] {
            assert_eq!(object(text), Err(Malformed), "{text}");
            assert_eq!(array(text, 9), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn transcoding_keeps_values_and_order() {
        let text =
            " {\"b\" : [1, -1.5, \"\\u00e9\\n\", null, true, {}], \"a\":{\"z\":0,\"y\":[]}} ";
        let mut out = Vec::new();
        transcode(text, &mut serde_json::Serializer::new(&mut out)).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(
            out,
            r#"{"b":[1,-1.5,"é\n",null,true,{}],"a":{"z":0,"y":[]}}"#
        );
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&out), read(text));
    }
}
