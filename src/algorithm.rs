//! [`Algorithm`]: the names of the signature algorithms. They're all that the verifier and the test
//! issuer share.
//!
//! Verification and signing have no other code in common, so a bug in one cannot hide a bug in the
//! other.

use std::{fmt, str::FromStr};

use serde::Serialize;

/// A supported JOSE signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
///
/// `FromStr` and `Display` use the registered name, which is case-sensitive. The names of RFC 9864
/// (`Ed25519`, `ESP256`, `ESP384`, `ESP512`) parse as the same algorithms, because `EdDSA` always
/// means Ed25519 here and each `ES` algorithm has only one curve.
///
/// ```
/// use warp_bearer::auth::Algorithm;
///
/// assert_eq!("ES256".parse(), Ok(Algorithm::ES256));
/// assert!("es256".parse::<Algorithm>().is_err());
/// assert_eq!(Algorithm::EdDSA.to_string(), "EdDSA");
/// assert_eq!("Ed25519".parse(), Ok(Algorithm::EdDSA));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256, and a secret shared with the issuer.
    HS256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA over P-256 with SHA-256.
    ES256,
    /// ECDSA over P-384 with SHA-384.
    ES384,
    /// ECDSA over P-521 with SHA-512.
    ES512,
    /// `EdDSA` over Ed25519.
    EdDSA,
    /// ML-DSA-44 (RFC 9964).
    #[cfg(feature = "pq")]
    #[serde(rename = "ML-DSA-44")]
    MlDsa44,
    /// ML-DSA-65 (RFC 9964).
    #[cfg(feature = "pq")]
    #[serde(rename = "ML-DSA-65")]
    MlDsa65,
    /// ML-DSA-87 (RFC 9964).
    #[cfg(feature = "pq")]
    #[serde(rename = "ML-DSA-87")]
    MlDsa87,
}

impl Algorithm {
    /// Every supported algorithm.
    pub const ALL: &'static [Self] = &[
        Self::HS256,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::ES512,
        Self::EdDSA,
        #[cfg(feature = "pq")]
        Self::MlDsa44,
        #[cfg(feature = "pq")]
        Self::MlDsa65,
        #[cfg(feature = "pq")]
        Self::MlDsa87,
    ];

    /// Returns the registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::ES512 => "ES512",
            Self::EdDSA => "EdDSA",
            #[cfg(feature = "pq")]
            Self::MlDsa44 => "ML-DSA-44",
            #[cfg(feature = "pq")]
            Self::MlDsa65 => "ML-DSA-65",
            #[cfg(feature = "pq")]
            Self::MlDsa87 => "ML-DSA-87",
        }
    }

    /// Returns `true` if the algorithm uses a secret shared with the issuer.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256)
    }

    /// The `crv` of the algorithm's keys, if they have one.
    #[cfg(feature = "service")]
    pub(crate) const fn curve(self) -> Option<&'static str> {
        Some(match self {
            Self::ES256 => "P-256",
            Self::ES384 => "P-384",
            Self::ES512 => "P-521",
            Self::EdDSA => "Ed25519",
            _ => return None,
        })
    }

    /// The minimum length of a signature in bytes.
    #[cfg(feature = "service")]
    pub(crate) const fn min_signature_len(self) -> usize {
        match self {
            Self::HS256 => 32,
            Self::ES256 | Self::EdDSA => 64,
            Self::ES384 => 96,
            Self::ES512 => 132,
            // 2048 bits or more
            Self::RS256 | Self::RS384 | Self::RS512 => 256,
            Self::PS256 | Self::PS384 | Self::PS512 => 256,
            // FIPS 204, table 2
            #[cfg(feature = "pq")]
            Self::MlDsa44 => 2420,
            #[cfg(feature = "pq")]
            Self::MlDsa65 => 3309,
            #[cfg(feature = "pq")]
            Self::MlDsa87 => 4627,
        }
    }
}

/// The names of the asymmetric algorithms, without those of the feature `pq`. A macro, since
/// `concat!` does not take constants.
#[cfg(any(test, feature = "service"))]
macro_rules! public_key_algorithms {
    () => {
        "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"
    };
}
#[cfg(feature = "service")]
pub(crate) use public_key_algorithms;

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "ESP256" => return Ok(Self::ES256),
            "ESP384" => return Ok(Self::ES384),
            "ESP512" => return Ok(Self::ES512),
            "Ed25519" => return Ok(Self::EdDSA),
            _ => {}
        }
        let mut all = Self::ALL.iter();
        let found = all.find(|algorithm| algorithm.as_str() == name);
        found.copied().ok_or(UnknownAlgorithm)
    }
}

/// The error returned when parsing an unknown name as an [`Algorithm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a supported algorithm")]
#[non_exhaustive]
pub struct UnknownAlgorithm;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_key_algorithms_lists_every_asymmetric_algorithm() {
        let named: Vec<Algorithm> = public_key_algorithms!()
            .split(", ")
            .map(|name| name.parse().unwrap())
            .collect();
        let all = Algorithm::ALL.iter().copied();
        let expected: Vec<_> = all
            .filter(|algorithm| !algorithm.is_symmetric())
            .filter(|algorithm| !algorithm.as_str().starts_with("ML-DSA"))
            .collect();
        assert_eq!(named, expected);
    }
}
