//! [`Context`]: the configuration and the environment that messages about an issuer depend on.

use hyper_util::client::proxy::matcher::Matcher;
use warp::http::Uri;

use crate::service::config::{Config, Environment, Origin, quoted};

pub(in crate::service) struct Context<'a> {
    pub(in crate::service) config: &'a Config,
    proxies: Matcher,
    /// The value of `SSL_CERT_FILE` in displayable form, and whether it has an effect, i.e. whether
    /// it comes from the process's environment
    pub(in crate::service) authorities: Option<(String, bool)>,
    /// The set variables that an issuers file would replace
    pub(in crate::service) replaced: Vec<&'static str>,
    /// In seconds since the epoch
    pub(in crate::service) now: f64,
}

impl<'a> Context<'a> {
    pub(in crate::service) fn new(config: &'a Config, environment: &Environment, now: f64) -> Self {
        Self {
            config,
            proxies: environment.proxies(),
            authorities: environment
                .network_variables()
                .find(|(name, ..)| *name == "SSL_CERT_FILE")
                .map(|(_, path, origin)| (quoted(path), origin == Origin::Environment)),
            replaced: config.variables_of_issuers(environment),
            now,
        }
    }

    /// Whether requests to this URL go through a proxy, which then resolves the host name. Plain
    /// http never does.
    pub(in crate::service) fn is_proxied(&self, url: &str) -> bool {
        let url: Option<Uri> = url.parse().ok();
        let url = url.filter(|url| url.scheme_str() == Some("https"));
        url.is_some_and(|url| self.proxies.intercept(&url).is_some())
    }
}
