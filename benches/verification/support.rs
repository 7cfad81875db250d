//! A verifier with a fixed key set, a matching issuer, and `jsonwebtoken` with the same settings.

use std::sync::LazyLock;

use futures_util::FutureExt;
use jsonwebtoken::{DecodingKey, TokenData, Validation, decode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use warp_bearer::{
    auth::{Algorithm, Auth, AuthError, Claims},
    issuer::{Issuer, SigningKey, TokenBuilder},
};

#[rustfmt::skip]
pub(crate) const ALGORITHMS: [Algorithm; 10] = [
    Algorithm::RS256, Algorithm::RS384, Algorithm::RS512,
    Algorithm::PS256, Algorithm::PS384, Algorithm::PS512,
    Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA, Algorithm::HS256,
];

const SECRET: &[u8; 32] = b"a secret of thirty-two bytes, so";

/// An issuer that only creates tokens. Its keys are never requested.
static ISSUER: LazyLock<(Runtime, Issuer)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let issuer = runtime.block_on(Issuer::with_algorithm(Algorithm::EdDSA));
    (runtime, issuer)
});

pub(crate) struct Subject {
    auth: Auth,
    key: SigningKey,
}

impl Subject {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self::with_cache(algorithm, 20_000)
    }

    /// Creates a verifier without a cache, so that every token is verified each time.
    pub(crate) fn without_cache(algorithm: Algorithm) -> Self {
        Self::with_cache(algorithm, 0)
    }

    fn with_cache(algorithm: Algorithm, tokens: usize) -> Self {
        let issuer = &ISSUER.1;
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([algorithm])
            .token_cache(tokens);
        let (auth, key) = if algorithm == Algorithm::HS256 {
            let key = SigningKey::from_secret(SECRET);
            (auth.signing_secret(SECRET), key)
        } else {
            let key = SigningKey::generate(algorithm);
            let set = json!({ "keys": [key.public_jwk()] });
            (auth.jwks(set.to_string()), key)
        };
        let auth = auth.build().unwrap();
        Self { auth, key }
    }

    /// A token like Auth0's: 788 bytes with RS256.
    pub(crate) fn token(&self) -> TokenBuilder {
        ISSUER
            .1
            .token()
            .key(&self.key)
            .subject(format!("auth0|{:024}", 0))
            .scope("openid profile email read:messages write:messages")
            .claim("azp", "9h4-dtB1yMithMd1Z0tLrMe-IoKqsyDZ")
    }

    pub(crate) fn kid(&self) -> &str {
        self.key.kid()
    }

    pub(crate) fn accept(&self, token: &str) -> Claims {
        self.verify(token).unwrap()
    }

    pub(crate) fn refusal(&self, token: &str) -> &'static str {
        self.verify(token).unwrap_err().code()
    }

    /// With a fixed key set, nothing is ever pending, so we don't need a runtime.
    fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        self.auth.verify(token).now_or_never().unwrap()
    }
}

/// `jsonwebtoken::decode` for the same tokens, with its default checks.
pub(crate) struct Beside {
    key: DecodingKey,
    validation: Validation,
}

impl Beside {
    pub(crate) fn new(subject: &Subject) -> Self {
        let issuer = &ISSUER.1;
        let algorithm = subject.key.algorithm();
        let key = if algorithm == Algorithm::HS256 {
            DecodingKey::from_secret(SECRET)
        } else {
            let jwk = serde_json::from_value(subject.key.public_jwk()).unwrap();
            DecodingKey::from_jwk(&jwk).unwrap()
        };
        let mut validation = Validation::new(algorithm.as_str().parse().unwrap());
        validation.set_issuer(&[issuer.url()]);
        validation.set_audience(&[issuer.audience()]);
        Self { key, validation }
    }

    pub(crate) fn accept(&self, token: &str) -> TokenData<Value> {
        decode(token, &self.key, &self.validation).unwrap()
    }
}

/// Exactly this header and payload, with an invalid signature.
pub(crate) fn raw(header: &[u8], payload: &[u8]) -> String {
    ISSUER.1.sign_raw(header, payload)
}

/// A valid token of exactly this size, or of the next size that base64url allows.
pub(crate) fn sized(subject: &Subject, bytes: usize) -> String {
    // The smallest token that is accepted. At 512 bytes, most of a token is its signature.
    let least = || {
        let token = ISSUER.1.token().key(&subject.key);
        token.without_header("kid").without("iat").without("sub")
    };
    let room = bytes.saturating_sub(least().claim("p", "").sign().len()) * 3 / 4;
    let token = least().claim("p", "x".repeat(room)).sign();
    assert!(token.len().abs_diff(bytes) < 32, "{} bytes", token.len());
    token
}
