//! [`Value`]: a JSON value, for verification.

use std::borrow::Cow;

/// A JSON value, with the details that a token's header and registered claims need
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    Texts(Vec<Cow<'a, str>>),
    Null,
    /// Everything else: booleans, objects, other arrays, and numbers outside the range of `f64`,
    /// e.g. `1e400`.
    Other,
}

impl Value<'_> {
    pub(super) fn into_owned(self) -> Value<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Text(text) => Value::Text(owned(text)),
            Self::Number(number) => Value::Number(number),
            Self::Texts(texts) => Value::Texts(texts.into_iter().map(owned).collect()),
            Self::Null => Value::Null,
            Self::Other => Value::Other,
        }
    }
}

/// A mask with one of 64 bits set, chosen by the first byte, the last byte and the length of a
/// name.
pub(super) fn mark(name: &str) -> u64 {
    let name = name.as_bytes();
    let end = |byte: Option<&u8>| byte.map_or(0, |byte| usize::from(*byte));
    let mixed = (end(name.first()) ^ (end(name.last()) << 2)) + name.len();
    1 << (mixed % 64)
}
