//! Advice for an operator when an issuer's document cannot be fetched.
//!
//! We should only mention settings that exist, and only suggest removing a setting that is set. For
//! an issuer in the issuers file, that means the options of the file.

use reqwest::{StatusCode, Url};

use crate::{
    auth::keys::{
        fetch::{FetchError, Layer, endpoint, is_loopback},
        key_set::NoKeys,
        probe,
    },
    service::{
        cli::{check::entra, context::Context},
        config::IssuerSettings,
    },
};

#[derive(Debug, Clone, Copy)]
pub(in crate::service) enum Wanted {
    /// The issuer's metadata
    Metadata,
    KeySet,
}

/// A sentence without a full stop.
pub(in crate::service) fn fetch_advice(
    error: &FetchError,
    wanted: Wanted,
    context: &Context<'_>,
) -> String {
    let text = for_variables(error, wanted, context);
    context.config.in_its_words(&text).into_owned()
}

/// The advice in terms of variables.
fn for_variables(error: &FetchError, wanted: Wanted, context: &Context<'_>) -> String {
    let config = context.config;
    // With several issuers, these variables can't be set
    let is_among_several = config.issuers.len() > 1 && config.tables.is_empty();
    let from_file = format!("or {}", with_file(context));
    if config.jwks_file.is_some() {
        return "write the issuer's key set to the file of AUTH0_JWKS_FILE".to_owned();
    }
    match (error, wanted) {
        (FetchError::Unreachable(_, _, Layer::Untrusted), _) => untrusted(context),
        (FetchError::Unreachable(_, _, Layer::Tls), _) => {
            format!("correct the certificate or the port, {from_file}")
        }
        (FetchError::Unreachable(..) | FetchError::TimedOut(_), _) => {
            let ways = [
                slow(error),
                other_address(error, wanted, context),
                Some(network(error, context).to_owned()),
                Some(from_file),
            ];
            let ways: Vec<_> = ways.into_iter().flatten().collect();
            ways.join("; ")
        }
        (
            FetchError::Status {
                status: StatusCode::FORBIDDEN,
                is_page: true,
                ..
            },
            _,
        ) => format!("have the firewall before the issuer let this machine through, {from_file}"),
        (
            FetchError::Status {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                ..
            },
            _,
        ) => login(context),
        (FetchError::Status { .. }, Wanted::Metadata) if probe::is_missing(error) => {
            no_metadata(is_among_several, context)
        }
        (FetchError::Status { status, .. }, _)
            if *status == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
        {
            format!("{PROXY_LOGIN}; {from_file}")
        }
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
        (FetchError::WrongIssuer { .. }, _)
            if config
                .issuers
                .iter()
                .any(|name| entra::is_of_no_tenant(name)) =>
        {
            "write the tenant's ID into the issuer; to accept several tenants, list their issuers \
             in AUTH0_ISSUER with commas between them"
                .to_owned()
        }
        (FetchError::WrongIssuer { name, .. }, _) if is_among_several => format!(
            "configure the name that tokens have in iss, which may be {}",
            name.as_deref()
                .unwrap_or("the issuer in its discovery document")
        ),
        _ if is_among_several => format!(
            "list the issuers in ISSUERS_FILE instead of {}, with jwks_uri or jwks_file for this one",
            and(&context.replaced)
        ),
        (FetchError::WrongIssuer { name, jwks_uri, .. }, Wanted::Metadata) => {
            renamed(name.as_deref(), jwks_uri.as_deref())
        }
        (FetchError::Local { .. } | FetchError::JwksUri(..), _) => {
            format!("set AUTH0_JWKS_URI to the address of its keys, {from_file}")
        }
        (_, Wanted::Metadata) => format!(
            "set AUTH0_JWKS_URI to the address of its keys, from its documentation, {from_file}"
        ),
        (_, Wanted::KeySet) if config.jwks_uri.is_some() => wrong_uri(error, context),
        (_, Wanted::KeySet) => format!("set AUTH0_JWKS_URI if its keys are elsewhere, {from_file}"),
    }
}

/// How to use a file with the issuer's keys. The service doesn't start with two sources of keys, so
/// a configured URL must be removed.
fn with_file(context: &Context<'_>) -> String {
    let config = context.config;
    let is_table = !config.tables.is_empty();
    if config.issuers.len() > 1 && !is_table {
        let variables = and(&context.replaced);
        return format!(
            "list the issuers in ISSUERS_FILE instead of {variables}, with jwks_file for this one"
        );
    }
    match (&config.jwks_uri, is_table) {
        (None, _) => "set AUTH0_JWKS_FILE to a file with its keys".to_owned(),
        (Some(_), true) => {
            "replace the option jwks_uri by jwks_file, with the path of a file with its keys"
                .to_owned()
        }
        (Some(_), false) => {
            "remove AUTH0_JWKS_URI and set AUTH0_JWKS_FILE to a file with its keys".to_owned()
        }
    }
}

const PROXY_LOGIN: &str = "the proxy requires a login; write its user and password into HTTPS_PROXY, as http://USER:PASSWORD@HOST:PORT";

/// The issuer can't be reached. Note that connections to this machine, and those without TLS, never
/// go through a proxy.
fn network(error: &FetchError, context: &Context<'_>) -> &'static str {
    let config = context.config;
    let url = match error {
        FetchError::Unreachable(url, ..) => Some(url.to_string()),
        _ => config.jwks_uri.clone().or(config.issuers.first().cloned()),
    };
    let url = url.and_then(|url| Url::parse(&url).ok());
    let is_here = url.as_ref().is_some_and(is_loopback);
    let is_proxied = url.is_some_and(|url| context.is_proxied(url.as_str()));
    let is_denied = match error {
        // hyper-util has these words for a 407
        FetchError::Unreachable(_, message, _) => {
            message.to_string().contains("proxy authorization required")
        }
        _ => false,
    };
    if is_denied {
        PROXY_LOGIN
    } else if is_proxied {
        "check the proxy in HTTPS_PROXY, or add the host to NO_PROXY"
    } else if is_here {
        "check that the issuer is running on this machine, and its port"
    } else {
        "set HTTPS_PROXY if this network needs a proxy"
    }
}

/// The metadata has another issuer name, `name`. `jwks_uri` is the URL of that issuer's keys, if we
/// can recommend it.
fn renamed(name: Option<&str>, jwks_uri: Option<&str>) -> String {
    let usable = |url: &&str| endpoint(url).is_ok();
    let keys = jwks_uri.filter(usable);
    let keys =
        keys.unwrap_or("the address of the keys, which is the jwks_uri of a discovery document");
    match name {
        Some(name) if usable(&name) => format!(
            "configure the name that tokens have in iss; if that is {name}, set AUTH0_ISSUER to \
             it, and if it has no discovery document, set AUTH0_JWKS_URI to {keys}"
        ),
        // An issuer needs https, unless the URL of its keys is configured
        Some(name) => format!(
            "configure the name that tokens have in iss; if that is {name}, set AUTH0_ISSUER to it \
             and AUTH0_JWKS_URI to {keys}"
        ),
        None => format!(
            "configure the name that tokens have in iss, which may be the issuer in its discovery \
             document; if it has no discovery document of its own, set AUTH0_JWKS_URI to {keys}"
        ),
    }
}

/// There is no document at the URL of the issuer's metadata.
fn no_metadata(is_among_several: bool, context: &Context<'_>) -> String {
    let file = with_file(context);
    let keys = if is_among_several {
        file
    } else {
        format!("set AUTH0_JWKS_URI to the address of its keys, from its documentation, or {file}")
    };
    format!(
        "check the path of the issuer first: it needs the right realm or tenant, and at some \
         issuers /auth, /v2.0, /oauth2/default or /auth/v1; if it is right, {keys}"
    )
}

/// There is no key set at the configured URL. Without this URL, the service finds the keys from the
/// issuer's name.
fn wrong_uri(error: &FetchError, context: &Context<'_>) -> String {
    let file = with_file(context);
    let mut issuers = context.config.issuers.iter();
    let is_discoverable = issuers.all(|name| endpoint(name).is_ok());
    let is_metadata = matches!(
        error,
        FetchError::NoKeys(_, NoKeys::NotAKeySet(form)) if form.starts_with("a discovery document")
    );
    match (is_discoverable, is_metadata) {
        (true, true) => {
            "remove AUTH0_JWKS_URI, because the service finds the discovery document by itself"
                .to_owned()
        }
        (true, false) => format!(
            "correct AUTH0_JWKS_URI; or remove it, if the issuer has a discovery document, which \
             names the keys; or {file}"
        ),
        (false, _) => format!("correct AUTH0_JWKS_URI, or {file}"),
    }
}

/// A slow issuer may only need a longer timeout.
fn slow(error: &FetchError) -> Option<String> {
    let FetchError::TimedOut(limit) = error else {
        return None;
    };
    Some(format!(
        "raise AUTH0_JWKS_TIMEOUT, which is {limit:?}, if the issuer is only slow"
    ))
}

/// The name of a host doesn't resolve, or the key set is at a host that cannot be reached.
fn other_address(error: &FetchError, wanted: Wanted, context: &Context<'_>) -> Option<String> {
    let FetchError::Unreachable(url, message, _) = error else {
        return None;
    };
    let config = context.config;
    let is_proxied = context.is_proxied(&url.to_string());
    let is_name = message.to_string().contains("lookup address") && !is_proxied;
    let is_only = config.issuers.len() < 2 || !config.tables.is_empty();
    Some(match (wanted, &config.jwks_uri) {
        (Wanted::Metadata, _) if is_name => "check the spelling of the issuer".to_owned(),
        (Wanted::KeySet, Some(_)) if is_name => "check the spelling of AUTH0_JWKS_URI".to_owned(),
        (Wanted::KeySet, None) if is_only => {
            "set AUTH0_JWKS_URI to an address of its keys that this machine can reach, if the one in \
             its discovery document is for another network"
                .to_owned()
        }
        _ => return None,
    })
}

/// `A`, `A and B`, `A, B and C`
fn and(names: &[&str]) -> String {
    match names {
        [] => "AUTH0_ISSUER".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Advice for a host whose name doesn't resolve.
pub(in crate::service) fn name_advice(context: &Context<'_>) -> String {
    let text = format!(
        "check the spelling of the issuer; set HTTPS_PROXY if this network needs a proxy; or {}",
        with_file(context)
    );
    context.config.in_its_words(&text).into_owned()
}

fn untrusted(context: &Context<'_>) -> String {
    let table = context.config.tables.first();
    match (table.and_then(own_authorities), &context.authorities) {
        (Some(path), _) => {
            format!("add the authority that signed the certificate to ca_file, {path:?}")
        }
        (None, Some((path, true))) => format!(
            "add the authority that signed the certificate to {path}, to which SSL_CERT_FILE is set"
        ),
        (None, _) if table.is_some() => {
            "set ca_file in the issuer's table, or SSL_CERT_FILE, to the \
             certificate of that authority, in PEM"
                .to_owned()
        }
        // A file can't set the variable for this command
        (None, Some(_)) => "set SSL_CERT_FILE in the environment of this command to the \
             certificate of that authority, in PEM"
            .to_owned(),
        (None, None) => "set SSL_CERT_FILE to the certificate of that authority, in PEM".to_owned(),
    }
}

fn own_authorities(table: &IssuerSettings) -> Option<String> {
    let path = table.ca_file.as_ref()?;
    Some(path.to_string_lossy().into_owned())
}

/// Some documents require credentials, e.g. on Kubernetes.
fn login(context: &Context<'_>) -> String {
    let variables = and(&context.replaced);
    let file = with_file(context);
    let kubernetes = "(from Kubernetes: kubectl get --raw /openid/v1/jwks)";
    match context.config.tables.first() {
        Some(table) if table.fetch_token_file.is_some() => format!(
            "it does not accept the token in fetch_token_file; give it one that it accepts, or \
             {file} {kubernetes}"
        ),
        Some(_) => format!(
            "it requires a login; set fetch_token_file in the issuer's table to the file of a token \
             that it accepts, or {file} {kubernetes}"
        ),
        None if context.config.issuers.len() > 1 => format!(
            "it requires a login; list the issuers in ISSUERS_FILE instead of {variables}, with \
             fetch_token_file or jwks_file for this one"
        ),
        None => format!(
            "it requires a login; {file} {kubernetes}, or list the issuer in ISSUERS_FILE instead \
             of {variables}, with fetch_token_file for a token that it accepts"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::display::{ShownText, ShownUrl},
        service::config::{Config, Environment},
    };

    const TENANT: &str = "https://tenant.example/";

    /// A name, the variables that are set, the error, the document, the words that the advice must
    /// have, and words that it must not have
    type Row<'a> = (
        &'a str,
        &'a [(&'a str, &'a str)],
        FetchError,
        Wanted,
        &'a [&'a str],
        &'a str,
    );

    fn advice(variables: &[(&str, &str)], error: &FetchError, wanted: Wanted) -> String {
        let pairs = [
            ("AUTH0_ISSUER", TENANT),
            ("AUTH0_API_AUDIENCE", "https://api.example.com"),
        ];
        let pairs = pairs.into_iter().chain(variables.iter().copied());
        let environment = Environment::of(pairs);
        let (config, _) = Config::from_environment(&environment).unwrap();
        fetch_advice(error, wanted, &Context::new(&config, &environment, 0.0))
    }

    #[test]
    fn only_suggests_what_the_service_accepts() {
        let status = |status| FetchError::Status {
            url: TENANT.into(),
            status,
            retry_after: None,
            is_page: false,
        };
        let unreachable = |url: &str, words: &str| {
            let message = ShownText::new(words);
            FetchError::Unreachable(ShownUrl::new(url), message, Layer::Connect)
        };
        let long = format!("https://other.example/{}/", "b".repeat(100));
        let keys = format!("{long}keys");
        let named = |found: &str| FetchError::wrong_issuer(TENANT, found);
        let uri = [("AUTH0_JWKS_URI", "https://tenant.example/keys")];
        let common = [(
            "AUTH0_ISSUER",
            "https://login.microsoftonline.com/common/v2.0",
        )];
        let several = [("AUTH0_ISSUER", "https://a.example/,https://b.example/")];
        let here = [("AUTH0_ISSUER", "http://127.0.0.1:9/")];
        let proxy = [("HTTPS_PROXY", "http://127.0.0.1:9")];
        let exempt = [proxy[0], ("NO_PROXY", ".tenant.example, tenant.example")];
        let entra = named("https://login.microsoftonline.com/{tenantid}/v2.0");
        let set = Wanted::KeySet;
        let metadata = Wanted::Metadata;
        let with_keys = |found: &str, url: &str| named(found).with_jwks_uri(Some(url));
        let name_and_keys = format!(
            "if that is {long}, set AUTH0_ISSUER to it, and if it has no discovery document, set \
             AUTH0_JWKS_URI to {keys}"
        );
        #[rustfmt::skip]
        let rows: [Row<'_>; 16] = [
            ("a login", &[], status(StatusCode::UNAUTHORIZED), metadata, &["; set AUTH0_JWKS_FILE to", "instead of AUTH0_ISSUER, with"], "remove"),
            ("a login at a configured address", &uri, status(StatusCode::FORBIDDEN), set, &["; remove AUTH0_JWKS_URI and set AUTH0_JWKS_FILE", "instead of AUTH0_ISSUER and AUTH0_JWKS_URI, with"], "; set AUTH0_JWKS_FILE"),
            ("a login, one of several", &several, status(StatusCode::FORBIDDEN), metadata, &["ISSUERS_FILE instead of AUTH0_ISSUER"], "set AUTH0_JWKS_FILE"),
            ("no answer from a configured address", &uri, FetchError::TimedOut(std::time::Duration::ZERO), set, &["or remove AUTH0_JWKS_URI and set"], "or set AUTH0_JWKS_FILE"),
            ("Entra's common", &common, entra.clone(), metadata, &["write the tenant's ID"], "{tenantid}"),
            ("a name that is no issuer's", &[], entra, metadata, &["the issuer in its discovery document"], "{tenantid}"),
            ("a long name", &[], with_keys(&long, &keys), metadata, &[&name_and_keys], "…"),
            ("a name with a password", &[], with_keys("https://me:hunter2@b.example/", "https://b.example/k?hunter2"), metadata, &["the issuer in its discovery document", "to the address of the keys, which is the jwks_uri"], "hunter2"),
            ("a name without https", &[], with_keys("http://keycloak:8080/realms/a", "https://b.example/keys"), metadata, &["set AUTH0_ISSUER to it and AUTH0_JWKS_URI to https://b.example/keys"], "if it has no"),
            ("on this machine", &here, unreachable("http://127.0.0.1:9/", "refused"), metadata, &["running on this machine"], "HTTPS_PROXY"),
            ("late, on this machine", &here, FetchError::TimedOut(std::time::Duration::from_secs(5)), metadata, &["raise AUTH0_JWKS_TIMEOUT, which is 5s, if", "running on this machine"], "HTTPS_PROXY"),
            ("elsewhere", &[], unreachable(TENANT, "no route"), metadata, &["set HTTPS_PROXY if"], "this machine"),
            ("a proxy that requires a login", &proxy, unreachable(TENANT, "tunnel error: proxy authorization required"), metadata, &["http://USER:PASSWORD@HOST:PORT"], "NO_PROXY"),
            ("a host without a proxy", &exempt, unreachable(TENANT, "no route"), metadata, &["set HTTPS_PROXY if"], "check the proxy"),
            ("a host with a proxy", &proxy, unreachable(TENANT, "no route"), metadata, &["check the proxy in HTTPS_PROXY, or add the host to NO_PROXY"], "set HTTPS_PROXY"),
            ("a 407", &proxy, status(StatusCode::PROXY_AUTHENTICATION_REQUIRED), metadata, &["http://USER:PASSWORD@HOST:PORT"], "discovery"),
        ];
        for (case, variables, error, wanted, words, other) in rows {
            let told = advice(variables, &error, wanted);
            for words in words {
                assert!(told.contains(words), "{case}: {told}");
            }
            assert!(!told.contains(other), "{case}: {told}");
        }
    }
}
