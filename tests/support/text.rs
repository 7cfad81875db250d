//! JSON objects as text: members in order, twice if need be, and values that are no JSON at all.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use warp_bearer::issuer::{Issuer, SigningKey};

/// An object in the making. Names and values stand in it as they are given.
#[derive(Clone)]
pub struct Object(Vec<(String, String)>);

impl Object {
    /// What an issuer's header says; a token of it is accepted.
    pub fn header(issuer: &Issuer) -> Self {
        let key = issuer.key();
        let (alg, kid) = (format!("{:?}", key.algorithm()), key.kid().to_owned());
        Self(Vec::new())
            .with("alg", quoted(alg))
            .with("kid", quoted(kid))
            .with("typ", quoted("JWT"))
    }

    /// What an issuer's payload says; a token of it is accepted until the year 2100.
    pub fn claims(issuer: &Issuer) -> Self {
        Self(Vec::new())
            .with("iss", quoted(issuer.url()))
            .with("aud", quoted(issuer.audience()))
            .with("sub", quoted("auth0|alice"))
            .with("iat", "1700000000")
            .with("exp", "4102444800")
    }

    /// Sets a member where it stands, or at the end.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = value.into(),
            None => self.0.push((name.to_owned(), value.into())),
        }
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// Puts a member at `position`, whatever its name is.
    pub fn at(mut self, position: usize, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(position, (name.to_owned(), value.into()));
        self
    }

    pub fn members(&self) -> usize {
        self.0.len()
    }

    pub fn text(&self) -> String {
        let members: Vec<_> = self.0.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A string without anything to escape.
pub fn quoted(text: impl AsRef<str>) -> String {
    format!("\"{}\"", text.as_ref())
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes that a test wrote as base64url itself.
pub fn bytes_of(base64url: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(base64url).unwrap()
}

/// The part of a token after its last dot, decoded.
pub fn signature_of(token: &str) -> Vec<u8> {
    bytes_of(token.rsplit_once('.').unwrap().1)
}

/// A token of this header and payload, whatever they are, by `key`.
pub fn signed_by(key: &SigningKey, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    format!("{input}.{}", base64url(key.sign(input.as_bytes())))
}

/// The token with other bytes for its signature.
pub fn with_signature(token: &str, signature: impl AsRef<[u8]>) -> String {
    let (input, _) = token.rsplit_once('.').unwrap();
    format!("{input}.{}", base64url(signature))
}
