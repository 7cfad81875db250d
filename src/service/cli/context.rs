//! [`Context`]: what messages about an issuer depend on, apart from the issuer itself.

use crate::service::config::{Config, Environment, quoted};

/// The configuration of an issuer, and the current time.
pub(in crate::service) struct Context<'a> {
    pub(in crate::service) config: &'a Config,
    /// True if https requests go through a proxy, which resolves their host names.
    pub(in crate::service) has_proxy: bool,
    /// The displayable value of `SSL_CERT_FILE`, if it is set.
    pub(in crate::service) authorities: Option<String>,
    /// The variables that are set and that an issuers file replaces.
    pub(in crate::service) replaced: Vec<&'static str>,
    /// The current time, in seconds since the epoch.
    pub(in crate::service) now: f64,
}

impl<'a> Context<'a> {
    /// Creates the context of an issuer from its configuration.
    pub(in crate::service) fn new(config: &'a Config, environment: &Environment, now: f64) -> Self {
        Self {
            config,
            has_proxy: environment.has_proxy(),
            authorities: environment
                .network_variables()
                .find(|(name, ..)| *name == "SSL_CERT_FILE")
                .map(|(_, path, _)| quoted(path)),
            replaced: config.variables_of_issuers(environment),
            now,
        }
    }
}
