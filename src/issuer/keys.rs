//! [`SigningKey`]: a key pair that signs, and publishes its public half.
//!
//! No function returns the private half.

use std::{fmt, io, sync::Arc};

#[cfg(feature = "pq")]
use aws_lc_rs::signature::{ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair};
use aws_lc_rs::{
    digest,
    error::Unspecified,
    hmac,
    rand::{self, SystemRandom},
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::algorithm::Algorithm;

/// A private key and its `kid`.
///
/// [`Issuer`](crate::issuer::Issuer) generates its own keys. Generate another key to sign a token
/// with a key that the issuer has not published, or to publish a key that signs nothing. Clones
/// share the key.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    private: Arc<Private>,
}

impl SigningKey {
    /// Generates a key: RSA of 2048 bits for `RS*` and `PS*`, P-256, P-384, P-521, Ed25519 or, with
    /// the feature `pq`, ML-DSA.
    ///
    /// Blocks for a moment to generate an RSA key.
    ///
    /// # Panics
    /// Panics if `algorithm` is an HMAC, or if the system's random number generator fails. For an
    /// HMAC, use [`SigningKey::from_secret`].
    pub fn generate(algorithm: Algorithm) -> Self {
        match Self::try_generate(algorithm) {
            Ok(key) => key,
            Err(fault) => panic!("no key for {algorithm:?}: {fault}"),
        }
    }

    /// Creates a shared secret that signs with `HS256`, for verifiers with the same secret. Any
    /// bytes are accepted, including those of a published key, to test key confusion (RFC 8725
    /// §2.1).
    pub fn from_secret(secret: impl AsRef<[u8]>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref());
        Self {
            kid: "secret".to_owned(),
            algorithm: Algorithm::HS256,
            private: Arc::new(Private::Secret(Box::new(key))),
        }
    }

    /// Creates the Ed25519 key for this seed. Anyone who knows the seed has the key.
    ///
    /// # Panics
    /// Never panics: every seed is valid.
    #[cfg(feature = "service")]
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        match Ed25519KeyPair::from_seed_unchecked(seed) {
            Ok(pair) => Self::new(Algorithm::EdDSA, Private::Ed(pair)),
            Err(fault) => panic!("no key for this seed: {fault}"),
        }
    }

    /// Returns the same key with a different `kid`.
    #[must_use]
    pub fn with_kid(self, kid: impl Into<String>) -> Self {
        let kid = kid.into();
        Self { kid, ..self }
    }

    /// Returns the key's `kid` in key sets and token headers. Defaults to its SHA-256 thumbprint
    /// (RFC 7638), and to `secret` for a secret.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the algorithm of the key, which is also the `alg` of its JWK.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the public half as a JWK (RFC 7517 §4) with `kid`, `use` and `alg`. A secret has no
    /// public half, so the only other member of its JWK is `kty`.
    pub fn public_jwk(&self) -> Value {
        let mut jwk = self.private.public();
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm.as_str());
        jwk
    }

    /// Signs `message` with the key's algorithm, in the format of JWS (RFC 7518 §3). For ECDSA,
    /// this is `r` and `s` concatenated.
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_as(self.algorithm, message)
    }

    /// Signs with `algorithm` if the key supports it, and otherwise with the key's own algorithm.
    /// (An RSA key supports `RS*` and `PS*`.)
    pub(super) fn sign_as(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        match self.private.sign(algorithm, message) {
            Ok(signature) => signature,
            Err(Unspecified) => panic!("no {algorithm:?} signature: the system has no randomness"),
        }
    }

    /// [`generate`](Self::generate), but with the error instead of a panic.
    pub(super) fn try_generate(algorithm: Algorithm) -> io::Result<Self> {
        Ok(Self::new(algorithm, Private::generate(algorithm)?))
    }

    fn new(algorithm: Algorithm, private: Private) -> Self {
        let thumbprint = digest::digest(&digest::SHA256, private.public().to_string().as_bytes());
        Self {
            kid: base64url(thumbprint),
            algorithm,
            private: Arc::new(private),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// A private key, parsed once so that a test can sign thousands of tokens.
enum Private {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Secret(Box<hmac::Key>),
    #[cfg(feature = "pq")]
    MlDsa(Box<PqdsaKeyPair>),
}

impl Private {
    fn generate(algorithm: Algorithm) -> io::Result<Self> {
        use Algorithm::{
            ES256, ES384, ES512, EdDSA, HS256, PS256, PS384, PS512, RS256, RS384, RS512,
        };
        match algorithm {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => {
                RsaKeyPair::generate(KeySize::Rsa2048).map(Self::Rsa)
            }
            ES256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Self::Ec),
            ES384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Self::Ec),
            ES512 => EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).map(Self::Ec),
            EdDSA => Ed25519KeyPair::generate().map(Self::Ed),
            #[cfg(feature = "pq")]
            Algorithm::MlDsa44 => PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).map(Self::ml_dsa),
            #[cfg(feature = "pq")]
            Algorithm::MlDsa65 => PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).map(Self::ml_dsa),
            #[cfg(feature = "pq")]
            Algorithm::MlDsa87 => PqdsaKeyPair::generate(&ML_DSA_87_SIGNING).map(Self::ml_dsa),
            HS256 => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "an HMAC has no public key to publish",
                ));
            }
        }
        .map_err(io::Error::other)
    }

    #[cfg(feature = "pq")]
    fn ml_dsa(pair: PqdsaKeyPair) -> Self {
        Self::MlDsa(Box::new(pair))
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        Ok(match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(algorithm), &random, message, &mut signature)?;
                signature
            }
            Self::Ec(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Self::Ed(pair) => pair.try_sign(message)?.as_ref().to_vec(),
            Self::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            #[cfg(feature = "pq")]
            Self::MlDsa(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                pair.sign(message, &mut signature)?;
                signature
            }
        })
    }

    /// The members that define the key, in the order of a thumbprint (RFC 7638 §3.2).
    fn public(&self) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"e": base64url(public.e), "kty": "RSA", "n": base64url(public.n)})
            }
            Self::Ec(pair) => {
                // an uncompressed point: 0x04, then x and y of equal length (SEC 1 §2.3.3)
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = match x.len() {
                    48 => "P-384",
                    66 => "P-521",
                    _ => "P-256",
                };
                json!({"crv": crv, "kty": "EC", "x": base64url(x), "y": base64url(y)})
            }
            Self::Ed(pair) => {
                json!({"crv": "Ed25519", "kty": "OKP", "x": base64url(pair.public_key())})
            }
            Self::Secret(_) => json!({"kty": "oct"}),
            #[cfg(feature = "pq")]
            Self::MlDsa(pair) => {
                let public = pair.public_key().as_ref();
                let alg = match public.len() {
                    1312 => "ML-DSA-44",
                    1952 => "ML-DSA-65",
                    _ => "ML-DSA-87",
                };
                json!({"alg": alg, "kty": "AKP", "pub": base64url(public)})
            }
        }
    }
}

fn rsa_encoding(algorithm: Algorithm) -> &'static dyn RsaEncoding {
    match algorithm {
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        Algorithm::PS512 => &RSA_PSS_SHA512,
        _ => &RSA_PKCS1_SHA256,
    }
}

/// An unguessable name from `bytes` random bytes.
pub(super) fn random_name(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    rand::fill(&mut random).map_err(io::Error::other)?;
    Ok(base64url(random))
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
