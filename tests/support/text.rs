//! JSON as text. With `serde_json`, a test could not reorder, repeat or damage members.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use warp_bearer::issuer::{Issuer, SigningKey};

/// A JSON object under construction. Names and values are written as they are, without escaping.
#[derive(Clone)]
pub struct Object(Vec<(String, String)>);

impl Object {
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// The header that the issuer would write. A token with it is accepted.
    pub fn header(issuer: &Issuer) -> Self {
        let key = issuer.key();
        let (alg, kid) = (format!("{:?}", key.algorithm()), key.kid().to_owned());
        Self(Vec::new())
            .with("alg", quoted(alg))
            .with("kid", quoted(kid))
            .with("typ", quoted("JWT"))
    }

    /// The payload that the issuer would write. A token with it is accepted until 2100.
    pub fn claims(issuer: &Issuer) -> Self {
        Self(Vec::new())
            .with("iss", quoted(issuer.url()))
            .with("aud", quoted(issuer.audience()))
            .with("sub", quoted("auth0|alice"))
            .with("iat", "1700000000")
            .with("exp", "4102444800")
    }

    /// Replaces the value of a member, or appends the member.
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

    /// Inserts a member at `position`, even if its name exists already.
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

/// Puts quotes around a string that needs no escapes.
pub fn quoted(text: impl AsRef<str>) -> String {
    format!("\"{}\"", text.as_ref())
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn bytes_of(base64url: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(base64url).unwrap()
}

pub fn signature_of(token: &str) -> Vec<u8> {
    bytes_of(token.rsplit_once('.').unwrap().1)
}

/// Signs this header and payload with `key`, whatever they contain.
pub fn signed_by(key: &SigningKey, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let input = format!("{}.{}", base64url(header), base64url(payload));
    format!("{input}.{}", base64url(key.sign(input.as_bytes())))
}

pub fn with_signature(token: &str, signature: impl AsRef<[u8]>) -> String {
    let (input, _) = token.rsplit_once('.').unwrap();
    format!("{input}.{}", base64url(signature))
}
