//! Advice for an operator when an issuer's document cannot be fetched.
//!
//! The advice only mentions settings that exist, and only suggests removing a setting that is set.
//! For an issuer in the issuers file, it mentions the options of the file.

use reqwest::StatusCode;

use crate::{
    auth::{
        display::ShownUrl,
        keys::fetch::{FetchError, Layer},
    },
    service::{cli::context::Context, config::IssuerSettings},
};

/// The document that cannot be fetched.
#[derive(Debug, Clone, Copy)]
pub(in crate::service) enum Wanted<'a> {
    /// The metadata of the issuer, and the URL of the keys in them, if any.
    Metadata { jwks_uri: Option<&'a str> },
    /// The key set.
    KeySet,
}

/// Returns the advice for `error`, as a sentence without a full stop.
pub(in crate::service) fn fetch_advice(
    error: &FetchError,
    wanted: Wanted<'_>,
    context: &Context<'_>,
) -> String {
    let text = for_variables(error, wanted, context);
    context.config.in_its_words(&text).into_owned()
}

/// Returns the advice in terms of variables.
fn for_variables(error: &FetchError, wanted: Wanted<'_>, context: &Context<'_>) -> String {
    let is_table = !context.config.tables.is_empty();
    // The variables for keys are for one issuer only.
    let is_among_several = context.config.issuers.len() > 1 && !is_table;
    let from_file = match &context.config.jwks_uri {
        _ if is_among_several => {
            "or list the issuers in ISSUERS_FILE instead of AUTH0_ISSUER, with jwks_file for this one"
        }
        Some(_) if !is_table => {
            "or remove AUTH0_JWKS_URI and set AUTH0_JWKS_FILE to a file with its keys"
        }
        _ => "or set AUTH0_JWKS_FILE to a file with its keys",
    };
    if context.config.jwks_file.is_some() {
        return "write the issuer's key set to the file of AUTH0_JWKS_FILE".to_owned();
    }
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
        ) => login(context, is_among_several),
        (FetchError::Status { status, .. }, _)
            if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS =>
        {
            format!("the issuer fails at the moment, so wait until it answers; {from_file}")
        }
        (FetchError::Coding(..) | FetchError::NotGzip(_), _) => format!(
            "have the issuer, or the proxy before it, answer without a content coding; {from_file}"
        ),
        (FetchError::File(..), _) => {
            "correct the file, or the path that the issuer's table has in ca_file or \
             fetch_token_file, and give the service permission to read it"
                .to_owned()
        }
        (FetchError::WrongIssuer { found, .. }, _) if is_among_several => {
            format!("configure the name that tokens have in iss, which may be {found}")
        }
        _ if is_among_several => {
            "list the issuers in ISSUERS_FILE instead of AUTH0_ISSUER, with jwks_uri or jwks_file for this one"
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

/// Returns the advice for a host whose name does not resolve.
pub(in crate::service) fn name_advice(context: &Context<'_>) -> String {
    let text = "check the spelling of the issuer; set HTTPS_PROXY if this network needs a proxy; or set AUTH0_JWKS_FILE to a file with its keys";
    context.config.in_its_words(text).into_owned()
}

fn untrusted(context: &Context<'_>) -> String {
    let table = context.config.tables.first();
    match (table.and_then(own_authorities), &context.authorities) {
        (Some(path), _) => {
            format!("add the authority that signed the certificate to ca_file, {path:?}")
        }
        (None, Some(path)) => format!(
            "add the authority that signed the certificate to {path}, to which SSL_CERT_FILE is set"
        ),
        (None, None) if table.is_some() => {
            "set ca_file in the issuer's table, or SSL_CERT_FILE, to the certificate of that \
             authority, in PEM"
                .to_owned()
        }
        (None, None) => "set SSL_CERT_FILE to the certificate of that authority, in PEM".to_owned(),
    }
}

fn own_authorities(table: &IssuerSettings) -> Option<String> {
    let path = table.ca_file.as_ref()?;
    Some(path.to_string_lossy().into_owned())
}

/// Returns the advice for documents that require credentials, as on Kubernetes.
fn login(context: &Context<'_>, is_among_several: bool) -> String {
    if is_among_several {
        return "it requires a login; list the issuers in ISSUERS_FILE instead of AUTH0_ISSUER, with \
                fetch_token_file or jwks_file for this one"
            .to_owned();
    }
    let file = "AUTH0_JWKS_FILE to a file with its keys (from Kubernetes: kubectl get --raw /openid/v1/jwks)";
    match context.config.tables.first() {
        Some(table) if table.fetch_token_file.is_some() => format!(
            "it does not accept the token in fetch_token_file; give it one that it accepts, or set {file}"
        ),
        Some(_) => format!(
            "it requires a login; set fetch_token_file in the issuer's table to the file of a token that \
             it accepts, or set {file}"
        ),
        None => format!(
            "it requires a login; set {file}, or list the issuer in ISSUERS_FILE instead of AUTH0_ISSUER, with \
             fetch_token_file for a token that it accepts"
        ),
    }
}
