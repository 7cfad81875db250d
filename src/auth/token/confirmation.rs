//! [`Binding`]: the key or certificate in `cnf` that a token is bound to (RFC 7800 §3).
//!
//! We only read the claim here. `credential/` checks the proof of possession.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::auth::{error::AuthError, token::json};

/// A SHA-256 thumbprint. `Display` writes base64url without padding, as in `cnf`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint(pub(crate) [u8; 32]);

impl Thumbprint {
    /// Returns the 32 bytes of the thumbprint.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses the JSON string in `text`, which should be base64url of 32 bytes.
    fn read(text: &str) -> Option<Self> {
        let text: String = json::accepted(text).ok()?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// The key and the certificate that a token is bound to. One of them may be absent. The request has
/// proved possession of each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// `jkt`: the thumbprint of the key that signs DPoP proofs (RFC 9449 §6.1).
    pub key: Option<Thumbprint>,
    /// `x5t#S256`: the hash of the client's certificate (RFC 8705 §3.1).
    pub certificate: Option<Thumbprint>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Methods {
    pub(crate) key: bool,
    pub(crate) certificate: bool,
}

impl Binding {
    /// Combines two bindings of the same token.
    ///
    /// # Errors
    /// Returns [`AuthError::TokenBound`] if the keys or the certificates differ.
    pub(crate) fn of_both(
        one: Option<&Self>,
        other: Option<&Self>,
    ) -> Result<Option<Self>, AuthError> {
        let (Some(one), Some(other)) = (one, other) else {
            return Ok(one.or(other).copied());
        };
        let same = |one: Option<Thumbprint>, other: Option<Thumbprint>| match (one, other) {
            (Some(one), Some(other)) if one != other => Err(AuthError::TokenBound),
            (one, other) => Ok(one.or(other)),
        };
        Ok(Some(Self {
            key: same(one.key, other.key)?,
            certificate: same(one.certificate, other.certificate)?,
        }))
    }

    /// Parses the JSON text of `cnf`.
    ///
    /// If there is a supported member, we ignore unsupported ones. If there is none, the token is
    /// bound by a method that we cannot check, and it will be rejected. It must not be accepted as
    /// a plain bearer token.
    ///
    /// # Errors
    /// Returns [`AuthError::TokenBound`] if there is no supported member, or one that is not
    /// enabled.
    pub(crate) fn read(cnf: &str, enabled: Methods) -> Result<Self, AuthError> {
        let members = json::object(cnf).map_err(|_| AuthError::TokenBound)?;
        let member = |wanted: &str, is_enabled: bool| {
            let Some((_, value)) = members.iter().find(|(name, _)| name == wanted) else {
                return Ok(None);
            };
            let thumbprint = Thumbprint::read(value).filter(|_| is_enabled);
            thumbprint.map(Some).ok_or(AuthError::TokenBound)
        };
        let binding = Self {
            key: member("jkt", enabled.key)?,
            certificate: member("x5t#S256", enabled.certificate)?,
        };
        let Self { key, certificate } = &binding;
        if key.is_none() && certificate.is_none() {
            return Err(AuthError::TokenBound);
        }
        Ok(binding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    const B: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";

    #[test]
    fn accepts_only_enabled_confirmation_methods() {
        let both = Methods {
            key: true,
            certificate: true,
        };
        let key = Methods {
            certificate: false,
            ..both
        };
        let certificate = Methods { key: false, ..both };
        let (jkt, x5t) = (format!(r#""jkt":"{A}""#), format!(r#""x5t#S256":"{A}""#));
        #[rustfmt::skip]
        let rows = [
            ("a key", format!("{{{jkt}}}"), both, Ok((true, false))),
            ("a certificate", format!("{{{x5t}}}"), both, Ok((false, true))),
            ("both", format!("{{{jkt},{x5t}}}"), both, Ok((true, true))),
            ("with another member", format!(r#"{{{jkt},"kid":"a"}}"#), both, Ok((true, false))),
            ("with an object", format!(r#"{{"jwk":{{"kty":"EC"}},{jkt}}}"#), key, Ok((true, false))),
            ("a certificate and a key, off", format!("{{{jkt},{x5t}}}"), key, Err(())),
            ("a key and a certificate, off", format!("{{{jkt},{x5t}}}"), certificate, Err(())),
            ("a key, off", format!("{{{jkt}}}"), certificate, Err(())),
            ("another member only", r#"{"kid":"a"}"#.to_owned(), both, Err(())),
            ("x5t#S256 in capitals", format!(r#"{{"X5T#S256":"{A}"}}"#), both, Err(())),
            ("empty", "{}".to_owned(), both, Err(())),
            ("null", "null".to_owned(), both, Err(())),
            ("a string", format!(r#""{A}""#), both, Err(())),
            ("an array", format!("[{{{jkt}}}]"), both, Err(())),
            ("a null key", r#"{"jkt":null}"#.to_owned(), both, Err(())),
            ("a null key and a certificate", format!(r#"{{"jkt":null,{x5t}}}"#), both, Err(())),
            ("a key of another type", r#"{"jkt":1}"#.to_owned(), both, Err(())),
            ("an empty key", r#"{"jkt":""}"#.to_owned(), both, Err(())),
            ("a short key", r#"{"jkt":"AAAA"}"#.to_owned(), both, Err(())),
            ("a padded key", format!(r#"{{"jkt":"{A}="}}"#), both, Err(())),
            ("stray bits at the end", format!(r#"{{"jkt":"{B}"}}"#), both, Err(())),
            ("an escaped key", r#"{"jkt":"\u0030ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#.to_owned(), both, Ok((true, false))),
        ];
        for (case, cnf, enabled, expected) in rows {
            let read = Binding::read(&cnf, enabled);
            let read = read.map(|binding| {
                let found = [binding.key, binding.certificate];
                assert!(found.iter().flatten().all(|t| t.to_string() == A), "{case}");
                (binding.key.is_some(), binding.certificate.is_some())
            });
            let expected = expected.map_err(|()| AuthError::TokenBound);
            assert_eq!(read, expected, "{case}");
        }
    }
}
