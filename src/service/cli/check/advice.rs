//! Advice for an operator when an issuer's document cannot be fetched.
//!
//! Every setting named here exists, and removing a setting is only suggested if it is set.

use reqwest::StatusCode;

use crate::{
    auth::{
        display::ShownUrl,
        keys::fetch::{FetchError, Layer},
    },
    service::cli::check::context::Context,
};

/// The document that cannot be fetched.
#[derive(Debug, Clone, Copy)]
pub(in crate::service) enum Wanted<'a> {
    /// The metadata of the issuer, and the address of the keys, if the metadata contain one.
    Metadata { jwks_uri: Option<&'a str> },
    /// The key set.
    KeySet,
}

/// Returns the advice for `error`, as one sentence.
pub(in crate::service) fn advice(
    error: &FetchError,
    wanted: Wanted<'_>,
    context: &Context<'_>,
) -> String {
    let from_file = "or set AUTH0_JWKS_FILE to a file with its keys";
    match (error, wanted) {
        (FetchError::Unreachable(_, _, Layer::Untrusted), _) => untrusted(context),
        (FetchError::Unreachable(_, _, Layer::Tls), _) => {
            "correct the certificate or the port, ".to_owned() + from_file
        }
        (FetchError::Unreachable(..) | FetchError::TimedOut(_), _) => {
            let network = if context.has_proxy {
                "check the proxy in HTTPS_PROXY, or add the host to NO_PROXY"
            } else {
                "set HTTPS_PROXY if this network needs a proxy"
            };
            format!("{network}; {from_file}")
        }
        (
            FetchError::Status {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                ..
            },
            _,
        ) => {
            "it requires a login, which the service cannot do; set AUTH0_JWKS_FILE to a file with \
              its keys (from Kubernetes: kubectl get --raw /openid/v1/jwks)"
                .to_owned()
        }
        (FetchError::WrongIssuer { found, .. }, Wanted::Metadata { jwks_uri }) => {
            let keys = jwks_uri.map_or_else(
                || "the address of its keys".to_owned(),
                |address| ShownUrl::new(address).to_string(),
            );
            format!(
                "configure the name that tokens have in iss; if that is {found}, set AUTH0_ISSUER to \
                 it, and if it has no discovery document, set AUTH0_JWKS_URI to {keys}"
            )
        }
        (FetchError::Local { .. } | FetchError::JwksUri(..), _) => {
            format!("set AUTH0_JWKS_URI to the address of its keys, {from_file}")
        }
        (_, Wanted::Metadata { .. }) => format!(
            "set AUTH0_JWKS_URI to the address of its keys, from its documentation, {from_file}"
        ),
        (_, Wanted::KeySet) if context.config.jwks_uri.is_some() => {
            format!("correct AUTH0_JWKS_URI, {from_file}")
        }
        (_, Wanted::KeySet) => format!("set AUTH0_JWKS_URI if its keys are elsewhere, {from_file}"),
    }
}

fn untrusted(context: &Context<'_>) -> String {
    match &context.authorities {
        Some(path) => format!(
            "SSL_CERT_FILE is set to {path}, which lacks the authority that signed the certificate"
        ),
        None => "set SSL_CERT_FILE to the certificate of that authority, in PEM".to_owned(),
    }
}
