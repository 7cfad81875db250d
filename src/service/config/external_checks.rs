//! What a configuration points to and relies on: a key set on disk, certificate authorities, a proxy.
//!
//! Each is judged at the start, once every value is right in itself, by what it is read with later.
//! Nothing is kept: whoever needs it reads it again, and a file may well change by then.

use std::{
    env, fs,
    io::{self, ErrorKind},
    path::Path,
};

use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use warp::http::Uri;

use crate::algorithm::Algorithm;
use crate::{
    auth::{Auth, SetupError},
    service::config::{
        Config,
        env::{Origin, Vars},
        fault::{Fault, Warning, Wrong, shown},
        variables::Variable,
    },
};

/// What reqwest looks for in the environment of the process, and nowhere else.
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// All of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    AUTHORITIES.into_iter().chain(PROXIES).chain(EXCEPTIONS)
}

pub(super) fn is_proxied(vars: &Vars) -> bool {
    let set = PROXIES.iter().filter_map(|name| in_environment(vars, name));
    set.into_iter().any(|value| !value.is_empty())
}

/// Nobody reads them in `.env`.
fn in_environment<'v>(vars: &'v Vars, name: &str) -> Option<&'v str> {
    let (value, origin) = vars.get(name)?;
    (origin == Origin::Environment).then_some(value)
}

/// What is wrong with them, for a configuration that is right otherwise.
pub(super) fn faults(config: &Config, vars: &Vars) -> Vec<Fault> {
    let of_https = if fetches_by_https(config) {
        of_https(vars)
    } else {
        Vec::new()
    };
    key_set(config).into_iter().chain(of_https).collect()
}

fn of_https(vars: &Vars) -> Vec<Fault> {
    let judge = |name: &str, right: &str, judge: &dyn Fn(&str) -> Result<(), Wrong>| {
        let value = in_environment(vars, name)?;
        let wrong = judge(value).err()?;
        Some(Fault::wrong_value(name, &shown(value), &wrong, right))
    };
    let file = in_environment(vars, "SSL_CERT_FILE").is_some();
    let authorities = [
        judge(
            "SSL_CERT_FILE",
            "the path of certificates in PEM",
            &authority_file,
        ),
        judge(
            "SSL_CERT_DIR",
            "directories of certificates in PEM",
            &|value| authority_directories(value, file),
        ),
    ];
    let right = "the URL of a proxy, such as http://proxy.example.com:3128";
    let proxies = PROXIES.map(|name| judge(name, right, &proxy));
    authorities.into_iter().chain(proxies).flatten().collect()
}

/// In `.env` they would be overlooked.
pub(super) fn warnings(vars: &Vars) -> Vec<Warning> {
    let misplaced = names().filter(|name| {
        let origin = vars.get(name).map(|(_, origin)| origin);
        matches!(origin, Some(Origin::DotEnv(_)))
    });
    let elsewhere = "nobody reads it there; set it in the environment";
    misplaced
        .map(|name| Warning::new(name, elsewhere))
        .collect()
}

fn fetches_by_https(config: &Config) -> bool {
    let is_https = |url: &String| {
        url.get(..6)
            .is_some_and(|s| s.eq_ignore_ascii_case("https:"))
    };
    has_public_keys(config)
        && config.jwks_file.is_none()
        && match &config.jwks_uri {
            Some(address) => is_https(address),
            None => config.issuers.iter().any(is_https),
        }
}

fn has_public_keys(config: &Config) -> bool {
    config.algorithms.iter().any(|alg| *alg != Algorithm::HS256)
}

/// A key set that is not there is no more use than one without a key; were it to come later, so
/// would whoever starts the service again.
fn key_set(config: &Config) -> Option<Fault> {
    let path = config
        .jwks_file
        .as_deref()
        .filter(|_| has_public_keys(config))?;
    let wrong = holds_keys(path, config).err()?;
    let variable = Variable::named("AUTH0_JWKS_FILE");
    Some(Fault::wrong(variable, &path.to_string_lossy(), &wrong))
}

fn holds_keys(path: &Path, config: &Config) -> Result<(), Wrong> {
    let text = fs::read_to_string(path).map_err(|error| Wrong::new(why(&error)))?;
    let algorithms = config.algorithms.iter().copied();
    let judged = Auth::builder()
        .issuer("https://issuer.example/")
        .audience("anybody")
        .algorithms(algorithms.filter(|alg| *alg != Algorithm::HS256))
        .jwks(text)
        .build();
    match judged {
        Err(SetupError::KeySet(why)) => Err(Wrong::new("holds no key to verify with").because(why)),
        _ => Ok(()),
    }
}

fn authority_file(path: &str) -> Result<(), Wrong> {
    let document = fs::read(path).map_err(|error| Wrong::new(why(&error)))?;
    if !holds_authorities(&document) {
        return Err(Wrong::new("holds no certificate of an authority"));
    }
    Ok(())
}

/// Each is there; and one has a certificate, unless a file beside them has.
fn authority_directories(paths: &str, beside_a_file: bool) -> Result<(), Wrong> {
    let mut found = beside_a_file;
    for directory in env::split_paths(paths) {
        for entry in fs::read_dir(directory).map_err(|error| Wrong::new(why(&error)))? {
            let document = entry.and_then(|entry| fs::read(entry.path()));
            found = found || document.is_ok_and(|document| holds_authorities(&document));
        }
    }
    if !found {
        return Err(Wrong::new("holds no certificate of an authority"));
    }
    Ok(())
}

fn holds_authorities(document: &[u8]) -> bool {
    let certificates = CertificateDer::pem_slice_iter(document).flatten();
    let (trusted, _) = RootCertStore::empty().add_parsable_certificates(certificates);
    trusted > 0
}

/// As reqwest takes it; set to nothing is what many write for no proxy.
fn proxy(value: &str) -> Result<(), Wrong> {
    if value.is_empty() {
        return Ok(());
    }
    let uri: Option<Uri> = value.parse().ok();
    let Some(uri) = uri.filter(|uri| uri.authority().is_some()) else {
        return Err(Wrong::new("is no URL"));
    };
    match uri.scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(Wrong::new("is neither http nor https")),
    }
}

fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "is not there",
        ErrorKind::PermissionDenied => "may not be read by this user",
        ErrorKind::IsADirectory => "is a directory",
        ErrorKind::NotADirectory => "is no directory",
        ErrorKind::InvalidData => "is not UTF-8",
        _ => "cannot be read",
    }
}
