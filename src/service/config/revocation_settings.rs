//! [`RevocationSettings`]: the settings that the commands for revocations need.

use std::path::PathBuf;

use crate::service::config::{
    cross_checks,
    env::Environment,
    fault::Faults,
    issuers_file,
    needed::NO_ISSUER,
    reader::Reader,
    state_store::{self, StateStore},
    variables::{AUTH0_DOMAIN, AUTH0_ISSUER, AUTH0_REVOCATION_FILE, ISSUERS_FILE},
};

/// The settings for the list of revoked tokens.
///
/// They can be read even if the rest of the configuration is invalid: during an incident, a mistake
/// in an unrelated variable must not keep anyone from revoking a token.
#[derive(Debug, Clone)]
pub struct RevocationSettings {
    /// The names of the trusted issuers. Empty from [`without_issuers`](Self::without_issuers).
    pub issuers: Vec<String>,
    /// The file with revocations. Defaults to none.
    pub file: Option<PathBuf>,
    /// The store that replicas share.
    pub state_store: StateStore,
}

impl RevocationSettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Returns the faults of these variables, or those of the names in the issuers file.
    pub fn from_environment(environment: &Environment) -> Result<Self, Faults> {
        let mut reader = Reader::of(environment);
        let domain = reader.optional(&AUTH0_DOMAIN);
        let issuers = reader.optional_list(&AUTH0_ISSUER);
        let issuers_file = reader.optional(&ISSUERS_FILE);
        let names = [AUTH0_DOMAIN.name(), AUTH0_ISSUER.name()];
        if reader.is_set(ISSUERS_FILE.name()) {
            cross_checks::beside_issuers_file(&mut reader, &names);
        } else if !names.iter().any(|name| reader.is_set(name)) {
            reader.missing(&names, NO_ISSUER);
        }
        let mut settings = Self::read(reader, environment)?;
        settings.issuers = if let Some(path) = issuers_file {
            let names = issuers_file::names(&path);
            names.map_err(|faults| environment.locate(faults))?
        } else {
            let issuer = domain.map(|domain| format!("https://{domain}/"));
            issuers.unwrap_or_else(|| issuer.into_iter().collect())
        };
        Ok(settings)
    }

    /// Reads the settings for a command that needs no names of issuers.
    ///
    /// # Errors
    /// Returns the faults of these variables.
    pub fn without_issuers(environment: &Environment) -> Result<Self, Faults> {
        Self::read(Reader::of(environment), environment)
    }

    fn read(mut reader: Reader, environment: &Environment) -> Result<Self, Faults> {
        let settings = Self {
            issuers: Vec::new(),
            file: reader.optional(&AUTH0_REVOCATION_FILE),
            state_store: state_store::read(&mut reader),
        };
        let read = reader.finish(settings);
        let (settings, _) = read.map_err(|faults| environment.locate(faults))?;
        Ok(settings)
    }
}
