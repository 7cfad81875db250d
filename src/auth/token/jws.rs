//! Splits a token into header, payload and signature, and decodes them (RFC 7515 §3.1 and §4).
//!
//! No keys here, and the decoded parts aren't trusted.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::NO_PAD};
use once_cell::sync::Lazy;

use crate::auth::{
    error::AuthError,
    token::json::{self, Malformed, Value},
};

/// The three parts of a compact serialization, still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'t> {
    pub(crate) header: &'t [u8],
    pub(crate) payload: &'t [u8],
    pub(crate) signature: &'t [u8],
    /// The signed bytes: the first two parts and the dot between them.
    pub(crate) signing_input: &'t [u8],
}

impl<'t> Parts<'t> {
    pub(crate) fn split(token: &'t [u8]) -> Result<Self, AuthError> {
        let mut dots = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(AuthError::TokenNotJwt);
        };
        Ok(Self {
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
            signing_input: &token[..second],
        })
    }
}

impl Parts<'_> {
    /// True if the header begins with `{`, or is empty. Some tokens that aren't JWTs have three
    /// parts too, such as PASETOs (`v2.local.…`). A damaged JWT usually still has a header like
    /// this. White space and byte order marks before the `{` must not matter, nor damage after it:
    /// otherwise, the client could choose whether our rules for JSON apply, or those of the
    /// introspection endpoint.
    pub(crate) fn is_jwt_like(&self) -> bool {
        self.header.is_empty() || begins_object(self.header)
    }
}

/// Whether the first byte that is neither white space nor part of a byte order mark is `{`. Accepts
/// both alphabets of base64, and does not read any further.
fn begins_object(part: &[u8]) -> bool {
    const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
    let (mut bits, mut count) = (0_u32, 0);
    for character in part {
        let digit = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count < 8 {
            continue;
        }
        count -= 8;
        let [.., byte] = (bits >> count).to_be_bytes();
        if !byte.is_ascii_whitespace() && !MARK.contains(&byte) {
            return byte == b'{';
        }
    }
    false
}

/// Decodes base64url, and rejects padding and stray trailing bits (RFC 7515 §2, RFC 4648 §3.5).
/// That way each byte sequence has only one encoding, and a token can't be written in two ways.
pub(crate) fn base64url(part: &[u8]) -> Result<Vec<u8>, AuthError> {
    let mut bytes = Vec::with_capacity(base64::decoded_len_estimate(part.len()));
    BASE64URL
        .decode_vec(part, &mut bytes)
        .map_err(|_| AuthError::TokenMalformed)?;
    Ok(bytes)
}

/// Uses vector instructions. They decode a token in a fifth of the time.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64URL: Lazy<base64::engine::Simd> = Lazy::new(|| base64::engine::Simd::url_safe(NO_PAD));

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static BASE64URL: Lazy<base64::engine::GeneralPurpose> =
    Lazy::new(|| base64::engine::GeneralPurpose::new(&base64::alphabet::URL_SAFE, NO_PAD));

pub(crate) fn text(part: Vec<u8>) -> Result<String, AuthError> {
    String::from_utf8(part).map_err(|_| AuthError::TokenMalformed)
}

/// The members of a JOSE header that verification uses. We ignore `jku`, `jwk`, `x5u` and `x5c`,
/// because a token must not choose the key that verifies it (RFC 8725 §3.10).
#[derive(Debug, Default)]
pub(crate) struct Header<'a> {
    pub(crate) alg: Option<Value<'a>>,
    pub(crate) typ: Option<Value<'a>>,
    pub(crate) kid: Option<Cow<'a, str>>,
    /// True if `crit` or `b64` is present, with any value.
    pub(crate) extended: bool,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, AuthError> {
        let mut header = Self::default();
        let mut kid = None;
        json::members(text, |name, value| match name {
            "alg" => header.alg = Some(value),
            "typ" => header.typ = Some(value),
            "kid" => kid = Some(value),
            "crit" | "b64" => header.extended = true,
            _ => {}
        })
        .map_err(|Malformed| AuthError::TokenMalformed)?;
        header.kid = match kid {
            None => None,
            Some(Value::Text(kid)) => Some(kid),
            Some(_) => return Err(AuthError::TokenMalformed),
        };
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::{prelude::*, sample::Index};

    use super::*;

    #[test]
    fn requires_three_strict_parts() {
        use AuthError::{TokenMalformed, TokenNotJwt};
        for (case, token, expected) in [
            ("three parts", "e30.e30.AA", Ok(())),
            ("no signature", "e30.e30.", Ok(())),
            ("opaque", "sDf4", Err(TokenNotJwt)),
            ("two parts", "e30.e30", Err(TokenNotJwt)),
            ("four parts", "e30.e30.AA.AA", Err(TokenNotJwt)),
            ("a JWE", "e30..AA.AA.AA", Err(TokenNotJwt)),
            ("padding", "e30=.e30.AA", Err(TokenMalformed)),
            ("trailing bits", "e30.e30.AB", Err(TokenMalformed)),
            ("a length of one", "e30.e30.A", Err(TokenMalformed)),
            ("base64, not base64url", "e30.e30.+/+/", Err(TokenMalformed)),
            ("not UTF-8", "_w.e30.AA", Err(TokenMalformed)),
        ] {
            let verdict = Parts::split(token.as_bytes()).and_then(|parts| {
                text(base64url(parts.header)?)?;
                text(base64url(parts.payload)?)?;
                base64url(parts.signature)
            });
            assert_eq!(verdict.map(|_| ()), expected, "{case}");
        }
    }

    #[test]
    fn recognizes_a_header_that_begins_an_object() {
        for (case, header, expected) in [
            ("an object", "e30", true),
            ("nothing", "", true),
            ("damage after the brace", "ey~", true),
            ("blanks", "ICB7fQ", true),
            ("blanks and stray bits", "ICB7fR", true),
            ("blanks and padding", "ICB7fQ==", true),
            ("the standard alphabet", "IHsiYSI6Ij8/", true),
            ("a byte order mark", "77u_e30", true),
            (
                "a byte order mark in the standard alphabet",
                "77u/e30",
                true,
            ),
            ("a mark and blanks", "77u_ICB7fQ", true),
            ("an array", "W10", false),
            ("only blanks", "ICAg", false),
            ("one character", "e", false),
            ("a PASETO", "v2", false),
            ("text", "YWJj", false),
            ("another character", "~e30", false),
        ] {
            let token = format!("{header}.e30.AA");
            let parts = Parts::split(token.as_bytes()).unwrap();
            assert_eq!(parts.is_jwt_like(), expected, "{case}");
        }
    }

    #[test]
    fn signing_input_is_the_received_text() {
        let parts = Parts::split(b"e30.e30.AA").unwrap();
        assert_eq!(parts.signing_input, b"e30.e30");
    }

    #[test]
    fn requires_kid_to_be_a_string() {
        for (case, header, expected) in [
            ("absent", "{}", Ok(None)),
            ("a string", r#"{"kid":"a"}"#, Ok(Some("a"))),
            ("escaped", r#"{"kid":"\u0061"}"#, Ok(Some("a"))),
            ("null", r#"{"kid":null}"#, Err(AuthError::TokenMalformed)),
            ("a number", r#"{"kid":1}"#, Err(AuthError::TokenMalformed)),
        ] {
            let kid = Header::parse(header).map(|header| header.kid.map(Cow::into_owned));
            assert_eq!(kid, expected.map(|kid| kid.map(str::to_owned)), "{case}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_byte_sequence_has_one_encoding(part in "[A-Za-z0-9_=+/-]{0,12}") {
            if let Ok(bytes) = base64url(part.as_bytes()) {
                prop_assert_eq!(URL_SAFE_NO_PAD.encode(bytes), part);
            }
        }

        /// The parts are long enough for vector instructions. One arbitrary character may be
        /// inserted at any position.
        #[test]
        fn simd_decodes_as_the_scalar_decoder(
            part in "[A-Za-z0-9_-]{0,300}", at in any::<Index>(), odd in proptest::option::of(any::<char>()),
        ) {
            let mut part: Vec<char> = part.chars().collect();
            if let Some(odd) = odd {
                part.insert(at.index(part.len() + 1), odd);
            }
            let part: String = part.into_iter().collect();
            prop_assert_eq!(base64url(part.as_bytes()).ok(), URL_SAFE_NO_PAD.decode(&part).ok());
        }
    }
}
