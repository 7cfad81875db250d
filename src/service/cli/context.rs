//! [`Context`]: what the checks of issuers have in common.

use crate::service::config::Config;

/// The configuration to check an issuer against, and when.
pub(in crate::service) struct Context<'a> {
    pub(in crate::service) config: &'a Config,
    /// Https requests go through a proxy, which resolves their host names.
    pub(in crate::service) has_proxy: bool,
    /// `SSL_CERT_FILE` as it is shown, if it is set.
    pub(in crate::service) authorities: Option<String>,
    /// In seconds since the epoch.
    pub(in crate::service) now: f64,
}
