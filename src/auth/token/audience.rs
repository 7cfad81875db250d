//! [`AudienceClaim`]: the claim that contains the audience of a token.

use std::{fmt, str::FromStr};

/// The claim to compare with the configured audiences.
///
/// Some issuers sign access tokens without `aud`, which only contain the client that they were
/// issued to. With such an issuer, configure the client IDs as audiences. Note that every token of
/// these clients then grants access to the API, even if it was requested for another API.
///
/// `FromStr` and `Display` use the name of the claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AudienceClaim {
    /// `aud` (RFC 7519 §4.1.3), a string or an array of strings.
    #[default]
    Aud,
    /// `client_id` (RFC 9068 §2.2), which Amazon Cognito and `WorkOS` write.
    ClientId,
    /// `azp`, the authorized party, which Clerk writes.
    Azp,
    /// `cid`, which Okta writes.
    Cid,
}

impl AudienceClaim {
    /// All supported claims.
    pub const ALL: &'static [Self] = &[Self::Aud, Self::ClientId, Self::Azp, Self::Cid];

    /// Returns the name of the claim.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aud => "aud",
            Self::ClientId => "client_id",
            Self::Azp => "azp",
            Self::Cid => "cid",
        }
    }
}

impl fmt::Display for AudienceClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error returned when parsing an unknown name as an [`AudienceClaim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a supported audience claim")]
#[non_exhaustive]
pub struct UnknownClaim;

impl FromStr for AudienceClaim {
    type Err = UnknownClaim;

    fn from_str(name: &str) -> Result<Self, UnknownClaim> {
        let mut all = Self::ALL.iter();
        let found = all.find(|claim| claim.as_str() == name);
        found.copied().ok_or(UnknownClaim)
    }
}
