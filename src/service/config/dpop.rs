//! [`Dpop`]: the variables for tokens bound to a key.

use std::time::Duration;

use crate::{
    algorithm::Algorithm,
    auth::dpop::DpopMode,
    service::config::{
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

/// DPoP needs a public URL. Also warns about settings that are unused or not shared.
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
    let secret = AUTH0_DPOP_NONCE_SECRET.name();
    if is_on && dpop.nonce && !reader.is_set(secret) {
        reader.warn(
            secret,
            "not set, so each process makes its own nonces and rejects those of other processes",
        );
    }
    if reader.is_set(secret) && !dpop.nonce {
        reader.warn(secret, "not used, because AUTH0_DPOP_NONCE is off");
    }
    if !is_on {
        for name in reader.names("AUTH0_DPOP_") {
            reader.warn(&name, "not used, because DPoP is off");
        }
    }
}
