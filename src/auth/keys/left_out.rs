//! [`Reason`]: why a key was left out of a set. `key_set.rs` decides what happens to a token with
//! the `kid` of such a key.
//!
//! The log, `check`, `explain` and the metrics show the reason and the `kid` to operators. The
//! reason quotes at most 80 characters of the issuer's document.

use std::fmt;

use crate::algorithm::Algorithm;
use crate::auth::{display::ShownText, token::json::Fault};

/// Why a key was left out. Displayed as a phrase, e.g. "`n` ends in `=`".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("not a valid object")]
    NotAnObject,
    /// Not strict JSON. Contains what is wrong with it.
    #[error("not a valid object: {0}")]
    Malformed(Fault),
    /// A valid key that no token can use. We do not list it as left out.
    #[error("it is for {0}, which is not an allowed algorithm")]
    NotAllowed(Algorithm),
    #[error("entries after the first 512 are not read")]
    TooMany,
    #[error("the private member `{0}` is present")]
    Private(&'static str),
    #[error("`kid` is not a string")]
    KidNotText,
    #[error("`kid` is longer than 1024 bytes")]
    KidTooLong,
    #[error("`use` is {0}, not `sig`")]
    Use(Quoted),
    #[error("`key_ops` lacks `verify`")]
    KeyOps,
    #[error("`alg` is not a string")]
    AlgNotText,
    #[error("`alg` is {0}, which is not supported")]
    Alg(Quoted),
    #[error("`alg` is {alg}, which does not fit a key whose {member} is {value}")]
    AlgMismatch {
        alg: Quoted,
        member: &'static str,
        value: &'static str,
    },
    #[cfg(feature = "pq")]
    #[error("`alg` is missing")]
    NoAlg,
    #[error("`kty` is missing")]
    NoKty,
    #[error("`kty` is {0}, which is not supported")]
    Kty(Quoted),
    #[error("`crv` is missing")]
    NoCrv,
    #[error("`crv` is {0}, which is not supported")]
    Crv(Quoted),
    #[error("`x5c` without `n` and `e`")]
    CertificateOnly,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` is not a string")]
    NotText(&'static str),
    #[error("`{0}` ends in `=`")]
    Padded(&'static str),
    #[error("`{0}` has `+` or `/`, which are standard base64 and not base64url")]
    StandardAlphabet(&'static str),
    #[error("`{0}` is not base64url")]
    NotBase64(&'static str),
    #[error("`n` has {0} bits, not 2048 to 8192")]
    Bits(usize),
    #[error("`n` is even")]
    EvenModulus,
    #[error("`e` is not an odd number from 3 to 2^33 - 1")]
    Exponent,
    #[error("`{member}` has {bytes} bytes, not {wanted}")]
    Length {
        member: &'static str,
        bytes: usize,
        wanted: usize,
    },
    #[error("`x` is a point of small order")]
    SmallOrder,
    #[error("the key parameters are not a valid public key")]
    NoPublicKey,
    #[error("PEM that is not a public key")]
    Pem,
    #[error("a public key in PEM of an algorithm that is not supported")]
    PemAlgorithm,
    #[error("a compressed point (openssl ec -pubin -conv_form uncompressed converts it)")]
    CompressedPoint,
    #[error("a certificate, not a public key (openssl x509 -pubkey -noout prints its key)")]
    Certificate,
    #[error("a private key, which must not be in this file")]
    PrivatePem,
}

/// A part of an untrusted JSON document that is safe to display
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quoted(ShownText);

impl Quoted {
    /// Quotes a value. A string is shown without its JSON quotes, any other value as JSON.
    pub(crate) fn new(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::String(text) => Self(ShownText::new(text)),
            other => Self(ShownText::new(&other.to_string())),
        }
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl Reason {
    /// The key is invalid, so its issuer may correct it under the same `kid`. The other reasons are
    /// an unsupported use, algorithm or type of key, which includes a missing `kty` or `crv`.
    pub(crate) fn is_invalid(&self) -> bool {
        !matches!(
            self,
            Self::Use(_)
                | Self::KeyOps
                | Self::Alg(_)
                | Self::NotAllowed(_)
                | Self::NoKty
                | Self::Kty(_)
                | Self::NoCrv
                | Self::Crv(_)
        )
    }
}

impl Reason {
    /// The entry may have a `kid` that we cannot use, although a token may have it
    pub(in crate::auth::keys) fn hides_kid(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::KidNotText | Self::KidTooLong
        )
    }
}

/// A key that was left out of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The key's `kid` as the issuer wrote it. `None` if it is absent or longer than 1024 bytes.
    pub kid: Option<String>,
    /// The reason as a phrase, e.g. "`n` ends in `=`". Control characters are escaped.
    pub reason: String,
}

impl LeftOut {
    pub(crate) fn new(kid: Option<&str>, reason: &Reason) -> Self {
        Self {
            kid: kid.map(str::to_owned),
            reason: reason.to_string(),
        }
    }
}

/// The key and the reason on one line, e.g. "abc: `n` ends in `=`".
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kid) = &self.kid {
            write!(f, "{}: ", ShownText::new(kid))?;
        }
        f.write_str(&self.reason)
    }
}
