//! [`Dpop`]: the variables for tokens bound to a key.

use std::time::Duration;

use reqwest::Url;

use crate::{
    algorithm::Algorithm,
    auth::{display::ShownUrl, dpop::DpopMode},
    service::config::{
        fault::Warning,
        reader::Reader,
        types::Secret,
        variables::{
            AUTH0_DPOP, AUTH0_DPOP_ALGORITHMS, AUTH0_DPOP_NONCE, AUTH0_DPOP_NONCE_SECRET,
            AUTH0_DPOP_STORE, AUTH0_DPOP_WINDOW, AUTH0_RESOURCE, PUBLIC_URL,
        },
    },
};

/// The settings for tokens bound to a key (RFC 9449).
#[derive(Debug, Clone)]
pub struct Dpop {
    /// Selects the tokens that need a proof. Defaults to allowed if `public_url` is known, and
    /// otherwise to off.
    pub mode: DpopMode,
    /// The URL that clients use for the service. Always set unless `mode` is off. Defaults to the
    /// origin of the resource.
    pub public_url: Option<String>,
    /// The accepted algorithms for proofs. There is at least one, and all are asymmetric.
    pub algorithms: Vec<Algorithm>,
    /// How long a proof is accepted after its `iat`. Defaults to 5 min.
    pub window: Duration,
    /// Requires a nonce in each proof. Defaults to `false`.
    pub nonce: bool,
    /// The secret for creating nonces. Defaults to a random one.
    pub nonce_secret: Option<Secret>,
    /// The maximum memory for used proofs, in bytes. Defaults to 64 MiB.
    pub store: usize,
}

pub(super) fn read(reader: &mut Reader, resource: Option<&str>) -> Dpop {
    let public_url = reader.optional(&PUBLIC_URL);
    let public_url = public_url.or_else(|| resource.map(origin));
    let by_default = match public_url {
        Some(_) => DpopMode::Allowed,
        None => DpopMode::Off,
    };
    Dpop {
        mode: reader.optional(&AUTH0_DPOP).unwrap_or(by_default),
        public_url,
        algorithms: reader.list(&AUTH0_DPOP_ALGORITHMS),
        window: reader.value(&AUTH0_DPOP_WINDOW),
        nonce: reader.value(&AUTH0_DPOP_NONCE),
        nonce_secret: reader.optional(&AUTH0_DPOP_NONCE_SECRET),
        store: reader.value(&AUTH0_DPOP_STORE),
    }
}

fn origin(url: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    url[..end].to_owned()
}

/// DPoP needs a public URL.
pub(super) fn check(reader: &mut Reader, dpop: &Dpop) {
    let is_on = dpop.mode != DpopMode::Off;
    let url_has_fault =
        reader.has_fault(PUBLIC_URL.name()) || reader.has_fault(AUTH0_RESOURCE.name());
    // An invalid `AUTH0_DPOP` may have been meant to turn DPoP on
    let may_be_on = is_on || reader.has_fault(AUTH0_DPOP.name());
    if may_be_on && dpop.public_url.is_none() && !url_has_fault {
        reader.missing(
            &[PUBLIC_URL.name(), AUTH0_RESOURCE.name()],
            "AUTH0_DPOP needs it to check proofs; set it to the URL that clients use, such as https://api.example.com, or set AUTH0_DPOP to off",
        );
    }
}

/// Warns about settings that are unused or not shared. DPoP is on if any issuer has it on, so this
/// needs the tables of the issuers file. `set` has the names of the variables that are set.
pub(super) fn warnings(dpop: &Dpop, is_on: bool, set: &[String]) -> Vec<Warning> {
    let secret = AUTH0_DPOP_NONCE_SECRET.name();
    let has_secret = set.iter().any(|name| name == secret);
    let mut warnings = Vec::new();
    if is_on && dpop.nonce && !has_secret {
        warnings.push(Warning::new(
            secret,
            "not set, so each process makes its own nonces and rejects those of other processes",
        ));
    }
    if has_secret && !dpop.nonce {
        let text = "not used, because AUTH0_DPOP_NONCE is off";
        warnings.push(Warning::new(secret, text));
    }
    if !is_on {
        let unused = set.iter().filter(|name| name.starts_with("AUTH0_DPOP_"));
        let text = "not used, because DPoP is off";
        warnings.extend(unused.map(|name| Warning::new(name, text)));
    }
    warnings
}

/// Returns a warning about each audience that is a URL of another origin than `public_url`, if
/// another audience is a URL of this origin. Proofs for requests to the other origin are rejected.
///
/// If no audience has this origin, the audiences are probably only names, as in most setups of Auth0:
/// `https://my-api` need not be an address.
pub(super) fn foreign_origins(audiences: &[String], public_url: &str) -> Vec<String> {
    let origin = |text: &str| {
        let url = Url::parse(text).ok()?;
        let is_address = ["http", "https"].contains(&url.scheme());
        is_address.then(|| url.origin())
    };
    let own = origin(public_url);
    let (own, foreign): (Vec<_>, Vec<_>) = audiences
        .iter()
        .map(|audience| (audience, origin(audience)))
        .filter(|(_, origin)| origin.is_some())
        .partition(|(_, origin)| *origin == own);
    if own.is_empty() {
        return Vec::new();
    }
    let warning = |(audience, _): (&String, _)| {
        let (audience, public_url) = (ShownUrl::new(audience), ShownUrl::new(public_url));
        format!(
            "{audience} has another origin than PUBLIC_URL, {public_url}; DPoP proofs for requests to that origin are rejected, because their URL is compared with PUBLIC_URL; if clients send such requests, give that API a service with its own PUBLIC_URL"
        )
    };
    foreign.into_iter().map(warning).collect()
}
