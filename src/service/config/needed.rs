//! Advice for a required variable that has no value.

use crate::service::config::variables::{AUTH0_API_AUDIENCE, AUTH0_DOMAIN, AUTH0_ISSUER};

pub(super) const NO_ISSUER: &str = "set it to the host of your tenant, such as tenant.eu.auth0.com, or set AUTH0_ISSUER to the URL of your issuer; to try the service without either, run `warp-bearer dev`";

pub(super) const NO_AUDIENCE: &str =
    "set it to the identifier of your API, such as https://api.example.com";

/// The advice for a variable with an empty value, if the service requires the variable.
pub(super) fn remedy(name: &str, is_set: impl Fn(&str) -> bool) -> Option<&'static str> {
    let (domain, issuer) = (AUTH0_DOMAIN.name(), AUTH0_ISSUER.name());
    match name {
        _ if name == domain && !is_set(issuer) => Some(NO_ISSUER),
        _ if name == AUTH0_API_AUDIENCE.name() => Some(NO_AUDIENCE),
        _ => None,
    }
}
