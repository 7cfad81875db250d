//! [`Context`]: the configuration and the environment that messages about an issuer depend on.

use crate::service::config::{Config, Environment, quoted};

pub(in crate::service) struct Context<'a> {
    pub(in crate::service) config: &'a Config,
    /// If https requests go through a proxy, the proxy resolves host names
    pub(in crate::service) has_proxy: bool,
    /// The value of `SSL_CERT_FILE`, in displayable form
    pub(in crate::service) authorities: Option<String>,
    /// The set variables that an issuers file would replace
    pub(in crate::service) replaced: Vec<&'static str>,
    /// In seconds since the epoch
    pub(in crate::service) now: f64,
}

impl<'a> Context<'a> {
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
