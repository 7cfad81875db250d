//! [`ProofBuilder`]: builds valid and invalid DPoP proofs for tests (RFC 9449 §4.2).
//!
//! Like the token builder, this one checks nothing, since tests need proofs that a verifier must
//! reject.

use std::{fmt, time::SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::issuer::{
    keys::{SigningKey, base64url, random_name},
    mint::{compact, to_json},
};

/// Builds a proof for one request. Created by [`SigningKey::proof`].
///
/// By default, the proof is valid for a request without a token. It has `typ`, `alg` and the public
/// `jwk` in the header, and the claims `htm`, `htu`, `iat` and a random `jti`. Each method changes
/// one part of the proof, and the last call wins. [`sign`](Self::sign) returns the proof.
#[derive(Clone)]
#[must_use = "call `sign` to get the proof"]
pub struct ProofBuilder {
    key: SigningKey,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    now: u64,
}

impl SigningKey {
    /// Returns a builder for the proof of a request with this method and URL.
    ///
    /// ```
    /// use warp_bearer::{auth::Algorithm, issuer::{Issuer, SigningKey}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    /// let key = SigningKey::generate(Algorithm::ES256);
    /// let token = issuer.token().bound_to(&key).sign();
    /// let proof = key.proof("GET", "https://api.example.com/me").token(&token).sign();
    /// // Authorization: DPoP {token}
    /// // DPoP: {proof}
    /// # let _ = proof;
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the system's random number generator fails for `jti`.
    pub fn proof(&self, method: &str, url: &str) -> ProofBuilder {
        let id = match random_name(16) {
            Ok(id) => id,
            Err(fault) => panic!("no randomness: {fault}"),
        };
        let builder = ProofBuilder {
            key: self.clone(),
            header: Map::new(),
            claims: Map::new(),
            now: SystemTime::UNIX_EPOCH
                .elapsed()
                .map_or(0, |since| since.as_secs()),
        };
        builder
            .header("typ", "dpop+jwt")
            .header("alg", self.algorithm())
            .header("jwk", self.public())
            .claim("jti", id)
            .claim("htm", method)
            .claim("htu", url)
            .issued_at(0)
    }

    /// Returns the SHA-256 thumbprint of the public half in base64url (RFC 7638), for `cnf.jkt`.
    pub fn thumbprint(&self) -> String {
        base64url(digest(&SHA256, self.public().to_string().as_bytes()))
    }
}

impl ProofBuilder {
    /// Sets `ath`, the hash of the token that is sent with the proof. Absent by default, as in
    /// proofs for the token endpoint.
    pub fn token(self, token: &str) -> Self {
        self.claim("ath", base64url(digest(&SHA256, token.as_bytes())))
    }

    /// Sets `nonce`, the value of `DPoP-Nonce` from an earlier response. Absent by default.
    pub fn nonce(self, nonce: &str) -> Self {
        self.claim("nonce", nonce)
    }

    /// Sets `iat`, in seconds from now; negative values are in the past. Defaults to now.
    pub fn issued_at(self, offset: i64) -> Self {
        let iat = self.now.saturating_add_signed(offset);
        self.claim("iat", iat)
    }

    /// Sets any claim to any JSON value.
    ///
    /// # Panics
    /// Panics if `value` cannot be serialized as JSON.
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        self.claims.insert(name.to_owned(), to_json(name, value));
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets any header parameter to any JSON value. `header("alg", ..)` only changes the header,
    /// and not the algorithm that signs.
    ///
    /// # Panics
    /// Panics if `value` cannot be serialized as JSON.
    pub fn header(mut self, name: &str, value: impl Serialize) -> Self {
        self.header.insert(name.to_owned(), to_json(name, value));
        self
    }

    /// Removes a header parameter.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Signs with another key. `jwk` stays the same, so the proof is forged.
    pub fn signed_by(mut self, key: &SigningKey) -> Self {
        self.key = key.clone();
        self
    }

    /// Returns the signed proof, in compact form.
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn sign(self) -> String {
        let header = Value::Object(self.header).to_string();
        let claims = Value::Object(self.claims).to_string();
        self.key.sign_proof(header.as_bytes(), claims.as_bytes())
    }
}

impl SigningKey {
    /// Returns a proof with exactly these texts as header and claims. They need not be JSON.
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn sign_proof(&self, header: &[u8], claims: &[u8]) -> String {
        compact(self, self.algorithm(), header, claims)
    }

    /// The members that define the public half.
    fn public(&self) -> Value {
        let mut jwk = self.public_jwk();
        if let Some(members) = jwk.as_object_mut() {
            members.retain(|name, _| !matches!(&**name, "kid" | "use" | "alg"));
        }
        jwk
    }
}

impl fmt::Debug for ProofBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofBuilder")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
