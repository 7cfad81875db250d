//! Checks of what the configuration refers to: key files, certificate authorities and proxies.
//!
//! These run at the start if every value is valid, and call the same functions that later read the
//! files. We don't keep the results, as the files may change.

use std::{env, fs, io, path::Path};

use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use warp::http::Uri;

use crate::{
    algorithm::Algorithm,
    auth::{
        Auth, SetupError, files,
        introspection::credentials::is_client_key,
        keys::key_set::NoKeys,
        revocation::{self, file::FileError},
    },
    service::config::{
        env::{Environment, PROXIES},
        fault::{Fault, Warning, quoted},
        introspection::ClientProof,
        invalid::{InvalidValue, Parsed},
        issuer_settings::IssuerSettings,
        origin::Origin,
        value::is_quoted,
        variable::Variable,
        variables::{AUTH0_INTROSPECTION_KEY_FILE, AUTH0_JWKS_FILE, AUTH0_REVOCATION_FILE},
    },
};

/// Checks that the file contains a key for one of these algorithms. A missing file is a fault even
/// if it may be created later: no private route works without keys.
pub(super) fn key_set_file(path: &Path, algorithms: &[Algorithm]) -> Option<Fault> {
    let invalid = parse_key_set_file(path, algorithms).err()?;
    let variable = &AUTH0_JWKS_FILE.variable;
    Some(Fault::invalid(variable, &path.to_string_lossy(), &invalid))
}

pub(super) fn files_of(issuer: &IssuerSettings, algorithms: &[Algorithm]) -> Vec<Fault> {
    let algorithms = issuer.algorithms_or(algorithms);
    let keys = issuer.jwks_file.as_deref();
    let keys = keys.filter(|_| issuer.needs_key_set(algorithms));
    let faults = [
        (
            "jwks_file",
            keys,
            keys.map(|path| parse_key_set_file(path, algorithms).map_err(with_option)),
        ),
        (
            "ca_file",
            issuer.ca_file.as_deref(),
            issuer
                .ca_file
                .as_ref()
                .map(|path| authority_file(&path.to_string_lossy())),
        ),
        (
            "introspection_client_secret_file",
            issuer.introspection_client_secret_file.as_deref(),
            issuer
                .introspection_client_secret_file
                .as_ref()
                .map(|path| client_secret(path)),
        ),
        (
            "introspection_key_file",
            issuer.introspection_key_file.as_deref(),
            issuer.introspection_key_file.as_deref().map(client_key),
        ),
        (
            "fetch_token_file",
            issuer.fetch_token_file.as_deref(),
            issuer.fetch_token_file.as_deref().map(fetch_token),
        ),
    ];
    let faults = faults.into_iter().filter_map(|(name, path, outcome)| {
        let (path, invalid) = (path?, outcome?.err()?);
        let subject = format!(
            "{}: in [[issuer]] {}, {name}",
            issuer.place,
            quoted(&issuer.url)
        );
        let found = quoted(&path.to_string_lossy());
        Some(Fault::found(
            &subject,
            &found,
            &invalid,
            "the path of such a file",
        ))
    });
    faults.collect()
}

/// Names the option of a table in the hint, instead of the variable.
fn with_option(invalid: InvalidValue) -> InvalidValue {
    let hint = invalid.hint.as_deref().unwrap_or_default();
    let rest = hint.strip_prefix("set AUTH0_ALGORITHMS=");
    match rest.and_then(|rest| rest.split_once(' ')) {
        Some((algorithm, rest)) => {
            let hint = format!("set algorithms = [\"{algorithm}\"] {rest}");
            invalid.hint(hint)
        }
        None => invalid,
    }
}

fn parse_key_set_file(path: &Path, algorithms: &[Algorithm]) -> Parsed<()> {
    let text = files::read_to_string(path).map_err(|error| cannot_read(&error))?;
    let algorithms = algorithms.iter().copied();
    let built = Auth::builder()
        .issuer("https://issuer.example/")
        .audience("anybody")
        .algorithms(algorithms.filter(|alg| *alg != Algorithm::HS256))
        .jwks(text)
        .build();
    match built {
        Err(SetupError::KeySet(error @ NoKeys::NotAllowed { algorithm, .. })) => {
            let hint = format!("set AUTH0_ALGORITHMS={algorithm} if the issuer signs with it");
            Err(InvalidValue::new("has no usable key")
                .because(error)
                .hint(hint))
        }
        Err(SetupError::KeySet(error)) => {
            Err(InvalidValue::new("has no usable key").because(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn revocations_and_client_key(
    file: Option<&Path>,
    proof: Option<&ClientProof>,
) -> Vec<Fault> {
    let check = |variable: &Variable, path: &Path, check: fn(&Path) -> Parsed<()>| {
        let invalid = check(path).err()?;
        Some(Fault::invalid(variable, &path.to_string_lossy(), &invalid))
    };
    let file = file.and_then(|path| check(&AUTH0_REVOCATION_FILE.variable, path, revocations));
    let key = match proof {
        Some(ClientProof::KeyFile(path)) => {
            check(&AUTH0_INTROSPECTION_KEY_FILE.variable, path, client_key)
        }
        Some(ClientProof::Secret(_) | ClientProof::SecretFile(_)) | None => None,
    };
    file.into_iter().chain(key).collect()
}

fn revocations(path: &Path) -> Parsed<()> {
    match revocation::file::each(path, drop) {
        Ok(()) => Ok(()),
        Err(error @ FileError::Unreadable(_, kind)) => {
            let invalid = InvalidValue::new(files::describe(kind));
            Err(match error.hint() {
                Some(hint) => invalid.hint(hint),
                None => invalid,
            })
        }
        Err(FileError::Line(_, line, why)) => {
            Err(InvalidValue::new("is not a list of revocations")
                .because(format_args!("line {line}: {why}")))
        }
        Err(error) => Err(InvalidValue::new("cannot be used").because(error)),
    }
}

/// Line breaks and spaces after the secret are removed later, but nothing else is.
fn client_secret(path: &Path) -> Parsed<()> {
    let text = files::read_to_string(path).map_err(|error| cannot_read(&error))?;
    let secret = text.trim_end();
    if secret.is_empty() {
        return Err(InvalidValue::new("is empty").hint("write the secret of the client into it"));
    }
    if secret.starts_with('\u{feff}') {
        let hint = "save the file as UTF-8 without one";
        return Err(InvalidValue::new("begins with a byte order mark").hint(hint));
    }
    if secret.starts_with(char::is_whitespace) {
        let hint = "remove it, because it would be part of the secret";
        return Err(InvalidValue::new("begins with a space or a line break").hint(hint));
    }
    if is_quoted(secret) {
        let hint = "remove them, because they would be part of the secret";
        return Err(InvalidValue::new("has quotes around the secret").hint(hint));
    }
    Ok(())
}

/// An empty token would be sent, and rejected, at each fetch.
fn fetch_token(path: &Path) -> Parsed<()> {
    let token = files::read(path).map_err(|error| cannot_read(&error))?;
    if token.trim_ascii().is_empty() {
        return Err(InvalidValue::new("is empty").hint("write the token into it"));
    }
    Ok(())
}

fn client_key(path: &Path) -> Parsed<()> {
    let pem = files::read_to_string(path).map_err(|error| cannot_read(&error))?;
    if !is_client_key(&pem) {
        return Err(InvalidValue::new(
            "has no RSA, P-256, P-384 or Ed25519 private key in PEM",
        ));
    }
    Ok(())
}

/// The certificate authorities that reqwest and the state store trust.
pub(super) fn authorities(environment: &Environment) -> Vec<Fault> {
    let has_file = environment.get_from_process("SSL_CERT_FILE").is_some();
    let file = in_process(
        environment,
        "SSL_CERT_FILE",
        "the path of certificates in PEM",
        authority_file,
    );
    let directories = in_process(
        environment,
        "SSL_CERT_DIR",
        "directories of certificates in PEM",
        |value| authority_directories(value, has_file),
    );
    file.into_iter().chain(directories).collect()
}

/// The proxies that reqwest uses for https.
pub(super) fn proxies(environment: &Environment) -> Vec<Fault> {
    let expects = "the URL of a proxy, such as http://proxy.example.com:3128";
    let faults = PROXIES.map(|name| in_process(environment, name, expects, proxy));
    faults.into_iter().flatten().collect()
}

fn in_process(
    environment: &Environment,
    name: &str,
    expects: &str,
    check: impl Fn(&str) -> Parsed<()>,
) -> Option<Fault> {
    let value = environment.get_from_process(name)?;
    let invalid = check(value).err()?;
    Some(Fault::found(name, &quoted(value), &invalid, expects))
}

/// Warns about the variables of reqwest and OpenTelemetry in a file. Both only read them from the
/// environment, so there they'd do nothing.
pub(super) fn misplaced(environment: &Environment) -> Vec<Warning> {
    let misplaced = environment.misplaced().map(|(name, origin)| {
        let text = match origin {
            Origin::Environment | Origin::DotEnv(_) => {
                "not read from there; set it in the environment"
            }
            Origin::EnvFile(_) | Origin::File(..) => {
                "not applied by this command; to test it, also set it in this command's environment"
            }
        };
        Warning::new(name, text)
    });
    misplaced.collect()
}

fn authority_file(path: &str) -> Parsed<()> {
    let document = files::read(Path::new(path)).map_err(|error| cannot_read(&error))?;
    if !has_authority(&document) {
        return Err(no_authority());
    }
    Ok(())
}

/// Every directory must be readable. If no file with certificates is set, one of the directories
/// must contain a certificate.
fn authority_directories(paths: &str, has_file: bool) -> Parsed<()> {
    let mut found = has_file;
    for directory in env::split_paths(paths) {
        for entry in fs::read_dir(directory).map_err(|error| cannot_read(&error))? {
            let document = entry.and_then(|entry| files::read(&entry.path()));
            found = found || document.is_ok_and(|document| has_authority(&document));
        }
    }
    if !found {
        return Err(no_authority());
    }
    Ok(())
}

fn has_authority(document: &[u8]) -> bool {
    let certificates = CertificateDer::pem_slice_iter(document).flatten();
    let (trusted, _) = RootCertStore::empty().add_parsable_certificates(certificates);
    trusted > 0
}

fn no_authority() -> InvalidValue {
    InvalidValue::new("has no certificate of a certificate authority")
}

/// Checks a proxy by reqwest's rules. Note that an empty value means no proxy.
fn proxy(value: &str) -> Parsed<()> {
    if value.is_empty() {
        return Ok(());
    }
    let uri: Option<Uri> = value.parse().ok();
    let Some(uri) = uri.filter(|uri| uri.authority().is_some()) else {
        return Err(InvalidValue::new("is not a URL"));
    };
    match uri.scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(InvalidValue::new("is neither http nor https")),
    }
}

fn cannot_read(error: &io::Error) -> InvalidValue {
    InvalidValue::new(files::describe(error.kind()))
}
