//! [`Credentials`]: authenticates us to an introspection endpoint (RFC 6749 §2.3, RFC 7523 §2.2).

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    rand::{self, SystemRandom},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::json;

use crate::auth::{
    error::SetupError,
    introspection::options::{ClientCredential, Introspection},
};

const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

pub(super) struct Credentials {
    id: String,
    secret: Secret,
}

enum Secret {
    Text(String),
    Key(Box<ClientKey>),
}

/// The part of a request that contains the secret
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretPlacement {
    /// HTTP Basic, in `Authorization`.
    Basic,
    /// The form in the request body.
    Form,
}

impl Credentials {
    pub(super) fn new(options: &Introspection) -> Result<Self, SetupError> {
        let id = options.client_id.clone();
        let secret = match &options.credential {
            Some(ClientCredential::Secret(secret)) if !secret.is_empty() => {
                Secret::Text(secret.clone())
            }
            Some(ClientCredential::Key(pem)) => {
                let key = ClientKey::from_pem(pem).ok_or(SetupError::ClientKey)?;
                Secret::Key(Box::new(key))
            }
            _ => return Err(SetupError::NoIntrospectionCredentials),
        };
        if id.is_empty() {
            return Err(SetupError::NoIntrospectionCredentials);
        }
        Ok(Self { id, secret })
    }

    /// The value of `Authorization`, if that is where the secret goes. The ID and the secret are
    /// form-encoded first (RFC 6749 §2.3.1), so neither contains a colon. We mark the value as
    /// sensitive, so `Debug` does not show it and HTTP/2 does not index it.
    pub(super) fn authorization(&self, placement: SecretPlacement) -> Option<HeaderValue> {
        let (Secret::Text(secret), SecretPlacement::Basic) = (&self.secret, placement) else {
            return None;
        };
        let pair = format!("{}:{}", encoded(&self.id), encoded(secret));
        let field = format!("Basic {}", BASE64_STANDARD.encode(pair));
        // base64 is always a valid header value
        let mut field = HeaderValue::try_from(field).ok()?;
        field.set_sensitive(true);
        Some(field)
    }

    /// The form parameters that authenticate the client to this issuer. `None` if the system's
    /// random number generator fails.
    pub(super) fn parameters(
        &self,
        placement: SecretPlacement,
        issuer: &str,
    ) -> Option<Vec<(&'static str, String)>> {
        const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let id = ("client_id", self.id.clone());
        Some(match (&self.secret, placement) {
            (Secret::Text(_), SecretPlacement::Basic) => Vec::new(),
            (Secret::Text(secret), SecretPlacement::Form) => {
                vec![id, ("client_secret", secret.clone())]
            }
            (Secret::Key(key), _) => vec![
                id,
                ("client_assertion_type", JWT_BEARER.to_owned()),
                ("client_assertion", key.assertion(&self.id, issuer)?),
            ],
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Serializes parameters as a form (`application/x-www-form-urlencoded`)
pub(super) fn form<'p>(parameters: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let pairs = parameters.into_iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            other => {
                let digit = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half & 15)]);
                encoded.extend(['%', digit(other >> 4), digit(other)]);
            }
        }
    }
    encoded
}

/// Checks whether `pem` is a private key that can sign client assertions
#[cfg(feature = "service")]
pub(crate) fn is_client_key(pem: &str) -> bool {
    ClientKey::from_pem(pem).is_some()
}

enum ClientKey {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl ClientKey {
    /// Parses a key from PEM: PKCS#8, or OpenSSL's `RSA PRIVATE KEY` and `EC PRIVATE KEY`.
    fn from_pem(pem: &str) -> Option<Self> {
        let (label, der) = private_key(pem)?;
        let der = der.as_slice();
        if label == "RSA PRIVATE KEY" {
            return RsaKeyPair::from_der(der).ok().map(Self::Rsa);
        }
        if label == "EC PRIVATE KEY" {
            let p256 = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
            let p384 = EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der);
            return p256.map(Self::P256).or(p384.map(Self::P384)).ok();
        }
        let rsa = RsaKeyPair::from_pkcs8(der).map(Self::Rsa);
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Self::P256);
        let p384 = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map(Self::P384);
        let ed25519 = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self::Ed25519);
        rsa.or(p256).or(p384).or(ed25519).ok()
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::P384(_) => "ES384",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// A client assertion (RFC 7523 §3). We use the issuer's name as the audience, as every
    /// endpoint of the issuer accepts it.
    fn assertion(&self, client_id: &str, issuer: &str) -> Option<String> {
        let mut id = [0; 16];
        rand::fill(&mut id).ok()?;
        let now = SystemTime::UNIX_EPOCH.elapsed().ok()?;
        let header = json!({"alg": self.algorithm(), "typ": "JWT"}).to_string();
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "jti": BASE64_URL_SAFE_NO_PAD.encode(id),
            "iat": now.as_secs(),
            "exp": (now + ASSERTION_LIFETIME).as_secs(),
        });
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let input = format!("{}.{}", part(&header), part(&claims.to_string()));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.sign(input.as_bytes())?);
        Some(format!("{input}.{signature}"))
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
                signed.ok().map(|()| signature)
            }
            Self::P256(key) | Self::P384(key) => {
                let signature = key.sign(&random, message).ok()?;
                Some(signature.as_ref().to_vec())
            }
            Self::Ed25519(key) => Some(key.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }
}

/// The label and the bytes of the first private key in `pem` (RFC 7468)
fn private_key(pem: &str) -> Option<(&str, Vec<u8>)> {
    const BEGIN: &str = "-----BEGIN ";
    let mut rest = pem;
    loop {
        let start = rest.find(BEGIN)? + BEGIN.len();
        let (label, after) = rest[start..].split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        if label.ends_with("PRIVATE KEY") {
            let body: String = body.split_whitespace().collect();
            return Some((label, BASE64_STANDARD.decode(body).ok()?));
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_encodes_id_and_secret_for_basic() {
        let options = Introspection::opaque("my api").client_secret("a:b+c/ü");
        let credentials = Credentials::new(&options).unwrap();
        let field = credentials.authorization(SecretPlacement::Basic).unwrap();
        assert!(field.is_sensitive());
        let field = field.to_str().unwrap();
        let pair = BASE64_STANDARD.decode(field.strip_prefix("Basic ").unwrap());
        assert_eq!(pair.unwrap(), b"my+api:a%3Ab%2Bc%2F%C3%BC");
        assert!(
            credentials
                .parameters(SecretPlacement::Basic, "")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn sends_the_secret_in_the_form_if_required() {
        let options = Introspection::opaque("api").client_secret("s&t");
        let credentials = Credentials::new(&options).unwrap();
        assert_eq!(credentials.authorization(SecretPlacement::Form), None);
        let parameters = credentials.parameters(SecretPlacement::Form, "").unwrap();
        let body = form(parameters.iter().map(|(name, value)| (*name, &**value)));
        assert_eq!(body, "client_id=api&client_secret=s%26t");
    }

    #[test]
    fn rejects_missing_credentials() {
        let missing = SetupError::NoIntrospectionCredentials;
        for (case, options, expected) in [
            ("none", Introspection::opaque("api"), &missing),
            (
                "an empty secret",
                Introspection::opaque("api").client_secret(""),
                &missing,
            ),
            (
                "no id",
                Introspection::opaque("").client_secret("s"),
                &missing,
            ),
            (
                "no key",
                Introspection::opaque("api").client_key("?"),
                &SetupError::ClientKey,
            ),
        ] {
            let fault = Credentials::new(&options).unwrap_err();
            assert_eq!(fault, *expected, "{case}");
        }
    }

    #[test]
    fn shows_no_secret() {
        let options = Introspection::opaque("api").client_secret("hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
        let credentials = Credentials::new(&options).unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn signs_assertions_with_each_kind_of_key() {
        use aws_lc_rs::signature::{
            ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, KeyPair,
            RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
        };
        let keys: [(_, rcgen::KeyPair, &'static dyn VerificationAlgorithm); 4] = [
            (
                "RS256",
                rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap(),
                &RSA_PKCS1_2048_8192_SHA256,
            ),
            (
                "ES256",
                rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
                &ECDSA_P256_SHA256_FIXED,
            ),
            (
                "ES384",
                rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
                &ECDSA_P384_SHA384_FIXED,
            ),
            (
                "EdDSA",
                rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
                &ED25519,
            ),
        ];
        for (algorithm, generated, verifier) in keys {
            let key = ClientKey::from_pem(&generated.serialize_pem()).expect(algorithm);
            assert_eq!(key.algorithm(), algorithm);
            let public = match &key {
                ClientKey::Rsa(key) => key.public_key().as_ref().to_vec(),
                ClientKey::P256(key) | ClientKey::P384(key) => key.public_key().as_ref().to_vec(),
                ClientKey::Ed25519(key) => key.public_key().as_ref().to_vec(),
            };
            let assertion = key.assertion("api", "https://issuer.example/").unwrap();
            let (input, signature) = assertion.rsplit_once('.').unwrap();
            let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
            let public = UnparsedPublicKey::new(verifier, public);
            assert!(
                public.verify(input.as_bytes(), &signature).is_ok(),
                "{algorithm}"
            );
            let claims = input.split_once('.').unwrap().1;
            let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
            let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
            assert_eq!(claims["aud"], "https://issuer.example/");
            assert_eq!(
                (&claims["iss"], &claims["sub"]),
                (&json!("api"), &json!("api"))
            );
        }
    }
}
