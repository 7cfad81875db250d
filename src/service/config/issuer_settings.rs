//! [`IssuerSettings`]: the options in a table of the issuers file. [`Preset`]: their defaults for a
//! product.

use std::{path::PathBuf, time::Duration};

use crate::{
    algorithm::Algorithm,
    auth::{AudienceClaim, TrustedIssuer, dpop::DpopMode},
    service::config::{
        introspection::{ClientProof, IntrospectionConfig},
        types::{IntrospectionMode, Secret, TokenProfile},
        url,
    },
};

/// The options that the tokens of a product need.
#[derive(Debug)]
pub struct Preset {
    /// The value of `kind`.
    pub name: &'static str,
    /// The URL of the documentation that the values come from.
    pub source: &'static str,
    /// The product's only issuer, if it has one.
    pub(super) url: Option<&'static str>,
    /// The form of the product's issuer names, for a warning.
    pub(super) form: &'static str,
    pub(super) fits: fn(&str) -> bool,
    /// The header with its tokens, if it is not `Authorization`.
    pub(super) field: Option<&'static str>,
    /// A note for operators who use the preset.
    pub note: Option<&'static str>,
    /// Fills in the options that a table does not set.
    pub(super) fill: fn(&mut IssuerSettings),
}

impl PartialEq for Preset {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// An issuer in the issuers file. Options that are not set come from the variables.
#[derive(Debug, Clone, Default)]
pub struct IssuerSettings {
    /// The name, compared exactly with `iss`.
    pub url: String,
    /// The file and the line of the table, such as `issuers.toml:14`.
    pub place: String,
    /// The preset that filled in options.
    pub preset: Option<&'static Preset>,
    /// The accepted audiences.
    pub audiences: Vec<String>,
    /// The claim that is compared with the audiences.
    pub audience_claim: Option<AudienceClaim>,
    /// The accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The URL of the key set.
    pub jwks_uri: Option<String>,
    /// A file with the key set.
    pub jwks_file: Option<PathBuf>,
    /// The secret for HS256.
    pub signing_secret: Option<Secret>,
    /// The certificate authorities for fetches.
    pub ca_file: Option<PathBuf>,
    /// The token for fetches.
    pub fetch_token_file: Option<PathBuf>,
    /// The allowed clock skew.
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
    /// Selects the tokens to introspect.
    pub introspection: Option<IntrospectionMode>,
    /// The introspection endpoint.
    pub introspection_uri: Option<String>,
    /// The client ID for introspection.
    pub introspection_client_id: Option<String>,
    /// The client secret for introspection.
    pub introspection_client_secret: Option<Secret>,
    /// A file that contains the client secret.
    pub introspection_client_secret_file: Option<PathBuf>,
    /// A file that contains the private key of the client.
    pub introspection_key_file: Option<PathBuf>,
    /// How long an active response is cached.
    pub introspection_ttl: Option<Duration>,
    /// Selects the tokens that need a DPoP proof.
    pub dpop: Option<DpopMode>,
    /// The tenants to insert for `{tenantid}` in the name. Empty after the table is expanded.
    pub tenants: Vec<String>,
}

impl IssuerSettings {
    pub(super) fn asks_about_opaque(&self) -> bool {
        self.introspection == Some(IntrospectionMode::Opaque)
    }

    /// The settings for introspection.
    ///
    /// # Errors
    /// Returns the setting that is missing or unused.
    pub(super) fn introspection(&self) -> Result<Option<IntrospectionConfig>, &'static str> {
        let (secret, file, key) = (
            self.introspection_client_secret.clone(),
            self.introspection_client_secret_file.clone(),
            self.introspection_key_file.clone(),
        );
        let id = self.introspection_client_id.clone();
        let always = match self.introspection {
            // Turning introspection off may only be temporary, so we allow the other options
            Some(IntrospectionMode::Off) => return Ok(None),
            None => {
                let is_unused = id.is_some()
                    || secret.is_some()
                    || file.is_some()
                    || key.is_some()
                    || self.introspection_uri.is_some()
                    || self.introspection_ttl.is_some();
                return if is_unused {
                    Err("introspection: not set, but its other options are; set opaque or always")
                } else {
                    Ok(None)
                };
            }
            Some(mode) => mode == IntrospectionMode::Always,
        };
        let proof = match (secret, file, key) {
            (Some(secret), None, None) => ClientProof::Secret(secret),
            (None, Some(path), None) => ClientProof::SecretFile(path),
            (None, None, Some(path)) => ClientProof::KeyFile(path),
            _ => {
                return Err("introspection: set one of introspection_client_secret, \
                     introspection_client_secret_file and introspection_key_file");
            }
        };
        let client_id = id.ok_or("introspection_client_id: not set, but introspection needs it")?;
        Ok(Some(IntrospectionConfig {
            always,
            uri: self.introspection_uri.clone(),
            client_id,
            proof,
            ttl: self.introspection_ttl.unwrap_or(Duration::from_secs(30)),
        }))
    }

    /// Whether the issuer needs fetches over https, for keys or introspection. `default` holds the
    /// algorithms from the variables.
    pub(super) fn fetches_over_https(&self, default: &[Algorithm]) -> bool {
        let is_fetched = |uri: Option<&String>| url::is_https(uri.unwrap_or(&self.url));
        let keys = self.needs_key_set(default) && self.jwks_file.is_none();
        keys && is_fetched(self.jwks_uri.as_ref())
            || matches!(self.introspection(), Ok(Some(asked)) if is_fetched(asked.uri.as_ref()))
    }

    pub(super) fn forget_introspection(&mut self) {
        self.introspection = None;
        self.introspection_uri = None;
        self.introspection_client_id = None;
        self.introspection_client_secret = None;
        self.introspection_client_secret_file = None;
        self.introspection_key_file = None;
        self.introspection_ttl = None;
    }

    /// Whether an accepted algorithm needs a public key. `default` holds the algorithms from the
    /// variables.
    pub(super) fn needs_key_set(&self, default: &[Algorithm]) -> bool {
        self.algorithms_or(default)
            .iter()
            .any(|alg| *alg != Algorithm::HS256)
    }

    /// Whether the issuer's tokens may be bound to a key. `default` is the mode from the variables.
    pub(super) fn uses_dpop(&self, default: DpopMode) -> bool {
        self.dpop.unwrap_or(default) != DpopMode::Off
    }

    pub(super) fn audiences_or<'a>(&'a self, default: &'a [String]) -> &'a [String] {
        if self.audiences.is_empty() {
            default
        } else {
            &self.audiences
        }
    }

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
        if settings.introspection == Some(IntrospectionMode::Off) {
            issuer = issuer.without_introspection();
        }
        if let Ok(Some(introspection)) = settings.introspection() {
            issuer = issuer.introspection((&introspection).into());
        }
        issuer
    }
}
