//! [`IssuerSettings`]: what one table of the issuers file says.

use std::{path::PathBuf, time::Duration};

use crate::{
    algorithm::Algorithm,
    auth::{AudienceClaim, TrustedIssuer, dpop::DpopMode},
    service::config::{
        presets::Preset,
        types::{Secret, TokenProfile},
    },
};

/// One issuer of the issuers file. An option that is not set is that of the variables.
#[derive(Debug, Clone, Default)]
pub struct IssuerSettings {
    /// The name, compared exactly with `iss`.
    pub url: String,
    /// The file and the line of the table, such as `issuers.toml:14`.
    pub place: String,
    /// The preset that has filled in options.
    pub preset: Option<&'static Preset>,
    /// The accepted audiences.
    pub audiences: Vec<String>,
    /// The claim that is compared with the audiences.
    pub audience_claim: Option<AudienceClaim>,
    /// The accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The URL of the key set.
    pub jwks_uri: Option<String>,
    /// A key set on disk.
    pub jwks_file: Option<PathBuf>,
    /// The secret for HS256.
    pub signing_secret: Option<Secret>,
    /// The certificate authorities for fetches.
    pub ca_file: Option<PathBuf>,
    /// The token for fetches.
    pub fetch_token_file: Option<PathBuf>,
    /// The tolerated difference of clocks.
    pub leeway: Option<Duration>,
    /// The maximum age of a token.
    pub token_max_age: Option<Duration>,
    /// The profile that tokens must follow.
    pub token_profile: Option<TokenProfile>,
    /// The scopes that every token must grant.
    pub required_scope: Option<String>,
    /// The claim that holds roles.
    pub roles_at: Option<String>,
    /// The claim that holds groups.
    pub groups_at: Option<String>,
    /// Which tokens come with a DPoP proof.
    pub dpop: Option<DpopMode>,
    /// The tenants that stand for `{tenantid}` in the name. Empty once the table is expanded.
    pub tenants: Vec<String>,
}

impl IssuerSettings {
    /// Returns whether an algorithm is accepted that needs a public key, given the algorithms of
    /// the variables.
    pub(super) fn needs_key_set(&self, default: &[Algorithm]) -> bool {
        self.algorithms_or(default)
            .iter()
            .any(|alg| *alg != Algorithm::HS256)
    }

    /// Returns the issuer's own algorithms, or else those of the variables.
    pub(super) fn algorithms_or<'a>(&'a self, default: &'a [Algorithm]) -> &'a [Algorithm] {
        if self.algorithms.is_empty() {
            default
        } else {
            &self.algorithms
        }
    }
}

impl From<&IssuerSettings> for TrustedIssuer {
    fn from(settings: &IssuerSettings) -> Self {
        let mut issuer = Self::new(&settings.url).place(&settings.place);
        for audience in &settings.audiences {
            issuer = issuer.audience(audience);
        }
        if !settings.algorithms.is_empty() {
            issuer = issuer.algorithms(settings.algorithms.iter().copied());
        }
        if let Some(claim) = settings.audience_claim {
            issuer = issuer.audience_claim(claim);
        }
        if let Some(url) = &settings.jwks_uri {
            issuer = issuer.jwks_uri(url);
        }
        if let Some(path) = &settings.jwks_file {
            issuer = issuer.jwks_file(path);
        }
        if let Some(secret) = &settings.signing_secret {
            issuer = issuer.signing_secret(secret.as_bytes());
        }
        if let Some(path) = &settings.ca_file {
            issuer = issuer.ca_file(path);
        }
        if let Some(path) = &settings.fetch_token_file {
            issuer = issuer.fetch_token_file(path);
        }
        if let Some(leeway) = settings.leeway {
            issuer = issuer.leeway(leeway);
        }
        if let Some(age) = settings.token_max_age {
            issuer = issuer.max_age(age);
        }
        if let Some(profile) = settings.token_profile {
            issuer = issuer.rfc9068(profile == TokenProfile::Rfc9068);
        }
        if let Some(scope) = &settings.required_scope {
            issuer = issuer.required_scope(scope);
        }
        if let Some(claim) = &settings.roles_at {
            issuer = issuer.roles_at(claim);
        }
        if let Some(mode) = settings.dpop {
            issuer = issuer.dpop(mode);
        }
        if let Some(claim) = &settings.groups_at {
            issuer = issuer.groups_at(claim);
        }
        issuer
    }
}
