//! A verifier with a fixed key set, an issuer that it trusts, and `jsonwebtoken` set up to match.

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

/// It makes tokens; nobody asks it for its keys.
static ISSUER: LazyLock<(Runtime, Issuer)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let issuer = runtime.block_on(Issuer::with_algorithm(Algorithm::EdDSA));
    (runtime, issuer)
});

/// What is measured.
pub(crate) struct Subject {
    auth: Auth,
    key: SigningKey,
}

impl Subject {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self::with_cache(algorithm, 20_000)
    }

    /// So that every token is verified, each time.
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

    /// As Auth0 makes them: with RS256, 788 bytes.
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

    /// With a fixed key set there is nothing to wait for, and so no runtime to pay for.
    fn verify(&self, token: &str) -> Result<Claims, AuthError> {
        self.auth.verify(token).now_or_never().unwrap()
    }
}

/// `jsonwebtoken::decode` of the same tokens, with what it checks by itself.
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

/// A token of this header and this payload, as they are; its signature is not for any subject.
pub(crate) fn raw(header: &[u8], payload: &[u8]) -> String {
    ISSUER.1.sign_raw(header, payload)
}

/// A good token of exactly this size, or of the next that base64url has.
pub(crate) fn sized(subject: &Subject, bytes: usize) -> String {
    // The least that is accepted: half a kilobyte is hardly more than the signature.
    let least = || {
        let token = ISSUER.1.token().key(&subject.key);
        token.without_header("kid").without("iat").without("sub")
    };
    let room = bytes.saturating_sub(least().claim("p", "").sign().len()) * 3 / 4;
    let token = least().claim("p", "x".repeat(room)).sign();
    assert!(token.len().abs_diff(bytes) < 32, "{} bytes", token.len());
    token
}
