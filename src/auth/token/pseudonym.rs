//! [`Pseudonym`]: identifies a subject in a log without revealing the subject.

use std::{fmt, sync::LazyLock};

use aws_lc_rs::{hmac, rand::SystemRandom};

/// A pseudonym for a subject, for use in logs. It stays the same until the process ends, and cannot
/// be traced back to the subject. `Display` writes 16 hexadecimal digits.
///
/// The same `sub` from two issuers has different pseudonyms, because it is only unique within its
/// issuer (RFC 7519 §4.1.2). The digits are the first 8 bytes of an HMAC-SHA256, whose random key
/// never leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pseudonym([u8; 16]);

impl Pseudonym {
    /// `None` if the system's random number generator fails
    pub(crate) fn of(issuer: &str, subject: &str) -> Option<Self> {
        static KEY: LazyLock<Option<hmac::Key>> =
            LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok());
        let mut context = hmac::Context::with_key(KEY.as_ref()?);
        // Prefix the issuer with its length, so that no two pairs produce the same bytes. A
        // separator won't do because it might also occur in a subject.
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer.as_bytes());
        context.update(subject.as_bytes());
        let tag = context.sign();
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(tag.as_ref()) {
            let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
            pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
        }
        Some(Self(digits))
    }

    /// Returns the 16 digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differs_by_subject_and_by_issuer() {
        let of = |issuer, subject| Pseudonym::of(issuer, subject).unwrap();
        #[rustfmt::skip]
        let rows = [
            ("another subject", ("https://a/", "auth0|1"), ("https://a/", "auth0|2")),
            ("another issuer", ("https://a/", "1"), ("https://b/", "1")),
            ("the boundary one byte later", ("https://a/", "1"), ("https://a/1", "")),
            ("the boundary one byte earlier", ("https://a/", "1"), ("https://a", "/1")),
            ("a separator in the subject", ("https://a/", "\0x"), ("https://a/\0", "x")),
            ("swapped", ("a", "b"), ("b", "a")),
        ];
        for (case, one, other) in rows {
            assert_eq!(of(one.0, one.1), of(one.0, one.1), "{case}");
            assert_ne!(of(one.0, one.1), of(other.0, other.1), "{case}");
        }
        let digits = of("", "");
        assert_eq!(digits.as_str().len(), 16);
        assert!(
            digits
                .as_str()
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
    }
}
