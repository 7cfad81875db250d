//! [`Context`]: the data that the checks of all issuers share.

use crate::service::config::Config;

/// The configuration to check an issuer against, and the current time.
pub(in crate::service) struct Context<'a> {
    pub(in crate::service) config: &'a Config,
    /// True if https requests go through a proxy, which resolves their host names.
    pub(in crate::service) has_proxy: bool,
    /// `SSL_CERT_FILE` in a form that may be displayed, if it is set.
    pub(in crate::service) authorities: Option<String>,
    /// The current time, in seconds since the epoch.
    pub(in crate::service) now: f64,
}
