//! Parses a whole document as a [`serde_json::Value`] or as one of our types, after the strict
//! check.
//!
//! Tokens are small, but a document may have half a megabyte, and the parsed values can take 100
//! times as much memory as the text. This is why the number of values in a document is limited too.

use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::auth::token::json::{
    Malformed, Value, is_out_of_range, no_private_name, replace_infinite,
    shape::{MAX_DEPTH, Shape},
};

/// The maximum number of values in a document: 32,768, which is more than the largest token can
/// contain.
const MAX_VALUES: usize = 1 << 15;

/// Parses `text` as a value. A number outside the range of `f64` becomes null.
#[cfg(any(test, feature = "service"))]
pub(crate) fn value(text: &str) -> Result<serde_json::Value, Malformed> {
    value_below(0, text)
}

/// Parses `text` as a value that is `depth` levels below the root of its document.
pub(crate) fn value_below(depth: usize, text: &str) -> Result<serde_json::Value, Malformed> {
    check_below(depth, text)?;
    match accepted(text) {
        Err(error) if is_out_of_range(&error) => accepted(&replace_infinite(text, "null")),
        read => read,
    }
    .map_err(|_| Malformed)
}

/// Parses `text` as an object of type `T`.
///
/// The text must begin with a brace. Without that check, a derived struct could also be
/// deserialized from an array.
pub(crate) fn object_as<T: DeserializeOwned>(text: &str) -> Result<T, Malformed> {
    if !text.trim_start().starts_with('{') {
        return Err(Malformed);
    }
    check_below(0, text)?;
    accepted(text).map_err(|_| Malformed)
}

/// Parses JSON that this module has already accepted.
///
/// This is how we read private claims from a verified payload, for each request. The caller must
/// ensure that [`members`](super::members) has accepted the text, which is the case for every
/// verified payload.
#[expect(
    clippy::disallowed_methods,
    reason = "the text passed the strict check"
)]
pub(crate) fn accepted<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    T::deserialize(&mut reader)
}

/// Would a lenient parser accept `text`?
#[expect(clippy::disallowed_methods, reason = "it only checks the syntax")]
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Checks that `text`, `depth` levels below the root of its document, is strict JSON and within the
/// limits.
pub(crate) fn check_below(depth: usize, text: &str) -> Result<(), Malformed> {
    let shape = Shape::of(text);
    if depth + shape.depth > MAX_DEPTH || shape.values > MAX_VALUES {
        return Err(Malformed);
    }
    no_private_name(text)?;
    match read(text) {
        Err(error) if is_out_of_range(&error) => read(&replace_infinite(text, "null")),
        read => read,
    }
    .map_err(|_| Malformed)
}

/// Checks a text whose depth we have already checked
#[expect(clippy::disallowed_methods, reason = "this is the strict reader")]
fn read(text: &str) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader)?;
    reader.end()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Metadata {
        issuer: String,
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    /// Tests the private names of `serde_json`: plain, escaped, at any depth, and with values that
    /// they would hide.
    #[test]
    fn rejects_private_names_of_serde_json() {
        let raw = r#""$serde_json::private::RawValue""#;
        let number = r#""$serde_json::private::Number""#;
        let escaped = r#""\u0024serde_json::private::RawValue""#;
        let escaped_number = r#""$serde_json::private::Numbe\u0072""#;
        for (case, text) in [
            ("a document in a string", format!(r#"{{{raw}:"{{}}"}}"#)),
            ("with spaces", format!(r#"{{ {raw} : "1" }}"#)),
            ("escaped", format!(r#"{{{escaped}:"{{}}"}}"#)),
            ("below", format!(r#"{{"a":[{{{raw}:"[1]"}}]}}"#)),
            ("a number", format!(r#"{{{number}:"1"}}"#)),
            ("a number below", format!(r#"{{"a":{{{number}:"1"}}}}"#)),
            (
                "an escaped number",
                format!(r#"{{"a":{{{escaped_number}:"1"}}}}"#),
            ),
            ("second", format!(r#"{{"a":{{"b":1,{raw}:"1"}}}}"#)),
            (
                "another of them",
                r#"{"$serde_json::private::New":1}"#.to_owned(),
            ),
        ] {
            assert_eq!(value(&text), Err(Malformed), "{case}");
            assert_eq!(
                crate::auth::token::json::members(&text, |_, _| {}),
                Err(Malformed),
                "{case}"
            );
            let below = format!(r#"{{"x":{text}}}"#);
            assert_eq!(
                crate::auth::token::json::members(&below, |_, _| {}),
                Err(Malformed),
                "{case}"
            );
        }
        let other = r#"{"$schema":"$serde_json","x":"$"}"#;
        assert_eq!(
            value(other),
            Ok(json!({"$schema": "$serde_json", "x": "$"}))
        );
    }

    #[test]
    fn counts_depth_over_the_whole_document() {
        for (depth, above, is_fine) in [
            (128, 0, true),
            (127, 1, true),
            (129, 0, false),
            (127, 2, false),
            (100, 28, true),
            (100, 29, false),
        ] {
            let read = value_below(above, &nested(depth));
            assert_eq!(read.is_ok(), is_fine, "{depth} below {above}");
        }
    }

    #[test]
    fn limits_the_number_of_values() {
        let list = |items: usize| format!("[{}1]", "1,".repeat(items - 1));
        assert!(value(&list(MAX_VALUES - 2)).is_ok());
        assert_eq!(value(&list(MAX_VALUES)), Err(Malformed));
        let quoted = format!(r#"["\"{}"]"#, "[,".repeat(MAX_VALUES));
        assert!(value(&quoted).is_ok(), "brackets in a string do not count");
    }

    #[test]
    fn reads_standard_json() {
        for (case, text, expected) in [
            (
                "an object",
                r#" {"a":[1,"b",null,true,-1.5]} "#,
                Ok(json!({"a": [1, "b", null, true, -1.5]})),
            ),
            ("a string", r#""a\u00e9""#, Ok(json!("a\u{e9}"))),
            ("twice below", r#"[{"a":1,"a":1}]"#, Err(Malformed)),
            ("two values", "1 2", Err(Malformed)),
            ("empty", "", Err(Malformed)),
            ("a lone surrogate", r#"["\ud800"]"#, Err(Malformed)),
        ] {
            assert_eq!(value(text), expected, "{case}");
        }
        // with `arbitrary_precision`, this is a number instead of null
        let beyond = value(r#"{"a":1e400,"b":1}"#).unwrap();
        assert!(beyond["a"].is_null() || beyond["a"].is_number());
        assert_eq!(beyond["b"], 1);
    }

    #[test]
    fn reads_a_type_only_from_an_object() {
        let issuer = |issuer: &str| {
            Ok(Metadata {
                issuer: issuer.to_owned(),
            })
        };
        for (case, text, expected) in [
            ("an object", r#"{"issuer":"a","x":{"y":1}}"#, issuer("a")),
            ("an array of its fields", r#"["a"]"#, Err(Malformed)),
            (
                "another member twice",
                r#"{"issuer":"a","x":1,"x":1}"#,
                Err(Malformed),
            ),
            (
                "a member of another type",
                r#"{"issuer":1}"#,
                Err(Malformed),
            ),
        ] {
            assert_eq!(object_as(text), expected, "{case}");
        }
    }
}
