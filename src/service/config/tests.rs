use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, KeyPair, PublicKeyData, RsaKeySize};
use warp::http::HeaderValue;

use crate::{
    auth::{CertificateSource, dpop::DpopMode, policy::scope},
    service::{config::*, http::tls::ClientAuth, observe::logging::LogFormat},
};

const TENANT: &[(&str, &str)] = &[
    ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
    ("AUTH0_API_AUDIENCE", "https://api.example.com"),
];
const SECRET: &str = "a secret that nobody may ever read";

fn owned(vars: &[(&str, &str)]) -> Vec<(String, String)> {
    vars.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn from(vars: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), Faults> {
    Config::from_variables(owned(vars))
}

fn dotenv(text: &str) -> Vec<(String, String)> {
    let read = dotenv::parse(text.as_bytes(), ".env", |_| false).unwrap();
    let pairs = read
        .entries
        .into_iter()
        .map(|entry| (entry.name, entry.value));
    pairs.collect()
}

/// Reads a valid configuration with these variables added or replaced.
fn with(vars: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), Faults> {
    from(&[TENANT, vars].concat())
}

fn config(vars: &[(&str, &str)]) -> Config {
    match with(vars) {
        Ok((config, _)) => config,
        Err(faults) => panic!("{vars:?}: {faults}"),
    }
}

fn faults(result: Result<(Config, Vec<Warning>), Faults>) -> Vec<String> {
    match result {
        Ok((config, _)) => panic!("no fault in {config:?}"),
        Err(faults) => faults.as_slice().iter().map(ToString::to_string).collect(),
    }
}

fn warnings(vars: &[(&str, &str)]) -> Vec<String> {
    match with(vars) {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(faults) => panic!("{vars:?}: {faults}"),
    }
}

#[test]
fn requires_two_variables_and_defaults_the_rest() {
    let (config, warnings) = from(TENANT).unwrap();

    assert_eq!(config.issuers, ["https://tenant.eu.auth0.com/"]);
    assert_eq!(config.audiences, ["https://api.example.com"]);
    assert_eq!(config.algorithms, [Algorithm::RS256]);
    assert_eq!(config.jwks_uri, None);
    assert_eq!(config.jwks_file, None);
    assert!(config.signing_secret.is_none());
    assert_eq!(config.jwks_ttl, None);
    assert_eq!(config.jwks_cooldown, Duration::from_secs(15));
    assert_eq!(config.jwks_stale, Duration::from_secs(3600));
    assert_eq!(config.jwks_timeout, Duration::from_secs(5));
    assert_eq!(config.leeway, Duration::from_secs(30));
    assert_eq!(config.token_profile, TokenProfile::Any);
    assert_eq!(config.token_max_age, None);
    assert_eq!(config.token_cache, 10_000);
    assert_eq!(config.realm, "api");
    assert_eq!(config.required_scope, None);
    assert_eq!(config.resource, None);
    assert_eq!(config.dpop.mode, DpopMode::Off);
    assert_eq!(config.dpop.public_url, None);
    assert_eq!(config.dpop.algorithms.len(), 5);
    assert_eq!(config.dpop.window, Duration::from_secs(300));
    assert!(!config.dpop.nonce && config.dpop.nonce_secret.is_none());
    assert_eq!(config.dpop.store, 64 << 20);
    assert_eq!(config.listen, SocketAddr::from(([127, 0, 0, 1], 8000)));
    assert_eq!(config.tls, None);
    assert_eq!(config.metrics_listen, None);
    assert_eq!(config.cors, None);
    assert_eq!(config.limits, Limits::default());
    let filter = config.log.filter.to_string();
    assert_eq!(filter, "rustls_platform_verifier=off,info");
    assert!(config.docs);
    assert_eq!(config.log.format, LogFormat::Text);
    assert!(config.log.color);
    assert_eq!(warnings, []);
}

#[test]
fn keeps_the_issuer_unchanged() {
    #[rustfmt::skip]
    let rows = [
        ("domain only", Some("tenant.auth0.com"), None, &["https://tenant.auth0.com/"][..]),
        ("domain in capitals", Some("Tenant.Auth0.com"), None, &["https://tenant.auth0.com/"]),
        ("domain with a port", Some("localhost:8443"), None, &["https://localhost:8443/"]),
        ("domain in IPv6", Some("[::1]:8443"), None, &["https://[::1]:8443/"]),
        ("issuer only", None, Some("https://tenant.auth0.com/"), &["https://tenant.auth0.com/"]),
        ("issuer decides", Some("login.example.com"), Some("https://a/"), &["https://a/"]),
        ("no slash", None, Some("https://id.example.com"), &["https://id.example.com"]),
        ("default port", None, Some("https://id.example.com:443/"), &["https://id.example.com:443/"]),
        ("capitals", None, Some("https://ID.example.com/Realms/A"), &["https://ID.example.com/Realms/A"]),
        ("loopback", None, Some("http://127.0.0.1:9000/"), &["http://127.0.0.1:9000/"]),
        ("all of 127/8", None, Some("http://127.1.2.3/"), &["http://127.1.2.3/"]),
        ("loopback by name", None, Some("http://localhost:9000"), &["http://localhost:9000"]),
        ("loopback in IPv6", None, Some("http://[::1]:9000/"), &["http://[::1]:9000/"]),
        ("several", None, Some("https://a/ , https://b/"), &["https://a/", "https://b/"]),
        ("twice the same", None, Some("https://a/,https://a/"), &["https://a/"]),
    ];
    for (case, domain, issuer, issuers) in rows {
        let mut vars = vec![("AUTH0_API_AUDIENCE", "https://api.example.com")];
        vars.extend(domain.map(|domain| ("AUTH0_DOMAIN", domain)));
        vars.extend(issuer.map(|issuer| ("AUTH0_ISSUER", issuer)));
        match from(&vars) {
            Ok((config, _)) => assert_eq!(config.issuers, issuers, "{case}"),
            Err(faults) => panic!("{case}: {faults}"),
        }
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a line or two for each variable
fn reads_every_variable_into_its_field() {
    let config = config(&[
        (
            "AUTH0_API_AUDIENCE",
            " https://a.example , urn:b,plain name ",
        ),
        ("AUTH0_ALGORITHMS", "ES256, EdDSA,HS256,ES256"),
        ("AUTH0_JWKS_URI", "https://id.example.com/keys?app=1"),
        ("AUTH0_SIGNING_SECRET", SECRET),
        ("AUTH0_JWKS_TTL", "90m"),
        ("AUTH0_JWKS_COOLDOWN", "500ms"),
        ("AUTH0_JWKS_STALE", "0s"),
        ("AUTH0_JWKS_TIMEOUT", " 2s "),
        ("AUTH0_LEEWAY", "5m"),
        ("AUTH0_TOKEN_PROFILE", "rfc9068"),
        ("AUTH0_TOKEN_MAX_AGE", "12h"),
        ("AUTH0_TOKEN_CACHE", "0"),
        ("AUTH0_REALM", "the api"),
        ("AUTH0_REQUIRED_SCOPE", "use:a use:b"),
        ("AUTH0_RESOURCE", "https://a.example"),
        ("AUTH0_RESOURCE_SCOPES", "read:a write:a"),
        ("STATE_STORE", "rediss://:p@store.example:1/2"),
        ("STATE_STORE_TIMEOUT", "1s"),
        ("STATE_STORE_STALE", "0s"),
        ("STATE_STORE_OUTAGE", "local"),
        ("TLS_CLIENT_CERT", "request"),
        ("TLS_CLIENT_CA_FILE", "clients.crt"),
        ("LISTEN", "[::]:0"),
        ("TLS_CERT_FILE", "a.crt"),
        ("TLS_KEY_FILE", "a.key"),
        ("METRICS_LISTEN", "[::1]:9090"),
        ("CORS_ORIGINS", "https://a.example, http://localhost:3000"),
        ("IDLE_TIMEOUT", "1s"),
        ("REQUEST_TIMEOUT", "2s"),
        ("MAX_CONNECTIONS", "3"),
        ("MAX_HEADER_BYTES", "16KiB"),
        ("MAX_HEADER_FIELDS", "40"),
        ("MAX_URI_BYTES", "5000"),
        ("MAX_BODY_BYTES", "6MiB"),
        ("MAX_STREAMS", "7"),
        ("MAX_RESETS", "8"),
        ("SHUTDOWN_GRACE", "0s"),
        ("SHUTDOWN_TIMEOUT", "9s"),
        ("RUST_LOG", "warn, warp_bearer=debug"),
        ("DOCS", "off"),
        ("LOG_FORMAT", "json"),
        ("NO_COLOR", "1"),
    ]);

    assert_eq!(
        config.audiences,
        ["https://a.example", "urn:b", "plain name"]
    );
    let algorithms = [Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256];
    assert_eq!(config.algorithms, algorithms);
    let uri = config.jwks_uri.as_deref();
    assert_eq!(uri, Some("https://id.example.com/keys?app=1"));
    let secret = config.signing_secret.as_ref().map(Secret::as_bytes);
    assert_eq!(secret, Some(SECRET.as_bytes()));
    assert_eq!(config.jwks_ttl, Some(Duration::from_secs(90 * 60)));
    assert_eq!(config.jwks_cooldown, Duration::from_millis(500));
    assert_eq!(config.jwks_stale, Duration::ZERO);
    assert_eq!(config.jwks_timeout, Duration::from_secs(2));
    assert_eq!(config.leeway, Duration::from_secs(300));
    assert_eq!(config.token_profile, TokenProfile::Rfc9068);
    assert_eq!(config.token_max_age, Some(Duration::from_secs(12 * 3600)));
    assert_eq!(config.token_cache, 0);
    assert_eq!(config.realm, "the api");
    let both = scope("use:a") & scope("use:b");
    assert_eq!(config.required_scope, Some(both));
    assert_eq!(config.resource.as_deref(), Some("https://a.example"));
    assert_eq!(config.resource_scopes.unwrap(), ["read:a", "write:a"]);
    assert_eq!(config.listen.to_string(), "[::]:0");
    let store = &config.state_store;
    let url = store.url.as_ref().map(Secret::as_str);
    assert_eq!(url, Some("rediss://:p@store.example:1/2"));
    assert_eq!(store.timeout, Duration::from_secs(1));
    assert_eq!(store.stale, Duration::ZERO);
    assert_eq!(store.outage, StoreOutage::Local);
    assert_eq!(config.certificates, Some(CertificateSource::Connection));
    let tls = Files {
        clients: ClientAuth::Request {
            authorities: Some("clients.crt".into()),
        },
        certificate: "a.crt".into(),
        key: "a.key".into(),
    };
    assert_eq!(config.tls, Some(tls));
    let metrics = config.metrics_listen.map(|address| address.to_string());
    assert_eq!(metrics.as_deref(), Some("[::1]:9090"));
    let origins = ["https://a.example", "http://localhost:3000"].map(HeaderValue::from_static);
    assert_eq!(config.cors, Some(Cors::Only(origins.to_vec())));
    let limits = Limits {
        idle: Duration::from_secs(1),
        request: Duration::from_secs(2),
        connections: 3,
        head: 16 * 1024,
        fields: 40,
        uri: 5000,
        body: 6 * 1024 * 1024,
        streams: 7,
        resets: 8,
        grace: Duration::ZERO,
        drain: Duration::from_secs(9),
    };
    assert_eq!(config.limits, limits);
    let filter = config.log.filter.to_string();
    assert_eq!(
        filter,
        "rustls_platform_verifier=off,warp_bearer=debug,warn"
    );
    assert!(!config.docs);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(!config.log.color);
}

#[test]
fn reads_the_variables_of_dpop_into_their_fields() {
    let config = config(&[
        ("PUBLIC_URL", "https://a.example/v1"),
        ("AUTH0_DPOP", "required"),
        ("AUTH0_DPOP_ALGORITHMS", "ES256, EdDSA"),
        ("AUTH0_DPOP_WINDOW", "1m"),
        ("AUTH0_DPOP_NONCE", "required"),
        ("AUTH0_DPOP_NONCE_SECRET", SECRET),
        ("AUTH0_DPOP_STORE", "1MiB"),
    ]);
    assert_eq!(config.dpop.mode, DpopMode::Required);
    let url = config.dpop.public_url.as_deref();
    assert_eq!(url, Some("https://a.example/v1"));
    let algorithms = [Algorithm::ES256, Algorithm::EdDSA];
    assert_eq!(config.dpop.algorithms, algorithms);
    assert_eq!(config.dpop.window, Duration::from_secs(60));
    assert!(config.dpop.nonce);
    let secret = config.dpop.nonce_secret.as_ref().map(Secret::as_bytes);
    assert_eq!(secret, Some(SECRET.as_bytes()));
    assert_eq!(config.dpop.store, 1 << 20);
}

#[test]
fn accepts_every_asymmetric_algorithm() {
    let all = "RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,ES512,EdDSA";
    assert_eq!(config(&[("AUTH0_ALGORITHMS", all)]).algorithms.len(), 10);
    let again = format!("{all},ESP256,ESP384,ESP512,Ed25519");
    assert_eq!(config(&[("AUTH0_ALGORITHMS", &again)]).algorithms.len(), 10);
}

/// Each value must be rejected for the given reason. If a row has no hint, the message must end
/// with the variable's general description.
fn assert_refused(rows: &[(&str, &str, &str, &str)]) {
    for (case, name, value, why) in rows {
        let expects = variables::find(name).unwrap().expects;
        let hint = if why.contains(';') {
            String::new()
        } else {
            format!("; give {expects}")
        };
        let found = faults(with(&[(name, value)]));
        assert_eq!(
            found,
            [format!("{name}: found {value:?}, which {why}{hint}")],
            "{case}"
        );
        // A list has the other values too, and a suggestion replaces only one of them
        let meant = why.split_once("did you mean ");
        if let Some(meant) = meant.and_then(|(_, meant)| meant.strip_suffix('?')) {
            let found = match with(&[(name, meant)]) {
                Ok(_) => Vec::new(),
                rejected => faults(rejected),
            };
            let refused = format!("{name}: found {meant:?}");
            let refused = found.iter().find(|fault| fault.starts_with(&refused));
            assert_eq!(refused, None, "{case}");
        }
    }
}

#[test]
fn rejects_domains_that_are_not_hosts() {
    #[rustfmt::skip]
    assert_refused(&[
        ("a placeholder", "AUTH0_DOMAIN", "your.domain.auth0.com", "is a placeholder"),
        ("another placeholder", "AUTH0_DOMAIN", "YOUR_DOMAIN", "is a placeholder"),
        ("a URL", "AUTH0_DOMAIN", "https://tenant.auth0.com/", "is more than a host; did you mean tenant.auth0.com?"),
        ("a slash", "AUTH0_DOMAIN", "tenant.auth0.com/", "is more than a host; did you mean tenant.auth0.com?"),
        ("a URL of this machine", "AUTH0_DOMAIN", "http://127.0.0.1:8002/", "is a URL with http; set AUTH0_ISSUER=http://127.0.0.1:8002/ instead"),
        ("a URL of this machine without a slash", "AUTH0_DOMAIN", "http://localhost:8002", "is a URL with http; set AUTH0_ISSUER=http://localhost:8002/ instead"),
        ("an example of Auth0", "AUTH0_DOMAIN", "dev-xxxxxxxx.us.auth0.com", "is a placeholder"),
        ("a missing value", "AUTH0_DOMAIN", "undefined", "is a placeholder"),
        ("two hosts", "AUTH0_DOMAIN", "a.auth0.com,b.auth0.com", "is more than one host; for several issuers, set AUTH0_ISSUER"),
        ("a space", "AUTH0_DOMAIN", "tenant auth0", "is not a host"),
        ("no such port", "AUTH0_DOMAIN", "tenant.auth0.com:70000", "is not a host"),
        ("an empty label", "AUTH0_DOMAIN", "tenant..auth0.com", "is not a host"),
    ]);
}

#[test]
fn rejects_placeholders_and_empty_items_as_audiences() {
    #[rustfmt::skip]
    assert_refused(&[
        ("a placeholder", "AUTH0_API_AUDIENCE", "https://your.api.audience", "is a placeholder"),
        ("null", "AUTH0_API_AUDIENCE", "null", "is a placeholder"),
        ("to be changed", "AUTH0_API_AUDIENCE", "changeme", "is a placeholder"),
        ("to be done", "AUTH0_API_AUDIENCE", "TODO", "is a placeholder"),
        ("an empty item", "AUTH0_API_AUDIENCE", "https://a,,https://b", "has an empty item; remove the comma"),
        ("a comma at the end", "AUTH0_API_AUDIENCE", "https://a,", "has an empty item; remove the comma"),
        ("spaces instead of commas", "AUTH0_API_AUDIENCE", "https://a https://b", "is a URI with a space in it; separate several audiences with commas"),
    ]);
}

#[test]
fn rejects_issuers_that_are_not_https_urls() {
    #[rustfmt::skip]
    assert_refused(&[
        ("a placeholder", "AUTH0_ISSUER", "https://your.domain.auth0.com/", "is a placeholder"),
        ("an angle bracket", "AUTH0_ISSUER", "https://<tenant>.auth0.com/", "is a placeholder"),
        ("an example of Cognito", "AUTH0_ISSUER", "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_XXXXXXXXX", "is a placeholder"),
        ("a tenant of zeros", "AUTH0_ISSUER", "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0", "is a placeholder"),
        ("this machine without a scheme", "AUTH0_ISSUER", "127.0.0.1:8002", "is not a URL; did you mean http://127.0.0.1:8002/? Or if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("localhost without a scheme", "AUTH0_ISSUER", "localhost:8002", "is not a URL; did you mean http://localhost:8002/? Or if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a brace", "AUTH0_ISSUER", "https://{yourDomain}/", "is a placeholder"),
        ("no scheme", "AUTH0_ISSUER", "tenant.auth0.com", "is not a URL; did you mean https://tenant.auth0.com/?"),
        ("no URL", "AUTH0_ISSUER", "https://not a url", "contains a space or a control character"),
        ("two URLs", "AUTH0_ISSUER", "https://a.example/;https://b.example/", "is more than one URL; separate several issuers by commas"),
        ("a name with a space", "AUTH0_ISSUER", "My Issuer", "contains a character that is not allowed in URLs; if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a domain alone", "AUTH0_ISSUER", "accounts.google.com", "is not a URL; did you mean https://accounts.google.com/? Or if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a name with a path", "AUTH0_ISSUER", "stytch.com/project-1", "is not a URL; did you mean https://stytch.com/project-1? Or if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a name alone", "AUTH0_ISSUER", "my-auth-server", "is not a URL; if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a URN", "AUTH0_ISSUER", "urn:issuer:a", "is not a URL; if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a DID", "AUTH0_ISSUER", "did:web:example.com", "is not a URL; if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a SPIFFE ID", "AUTH0_ISSUER", "spiffe://td/x", "is not https; if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("a host name of a private network", "AUTH0_ISSUER", "http://keycloak:8080/realms/r", "is not https; if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("not https", "AUTH0_ISSUER", "http://tenant.auth0.com/", "is not https; did you mean https://tenant.auth0.com/?"),
        ("almost loopback", "AUTH0_ISSUER", "http://127.0.0.1.example.com/", "is not https; did you mean https://127.0.0.1.example.com/? Or if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("another scheme", "AUTH0_ISSUER", "ftp://tenant.auth0.com/", "is not https; if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them"),
        ("no host", "AUTH0_ISSUER", "https:///path", "has no host"),
        ("a document", "AUTH0_ISSUER", "https://a/.well-known/openid-configuration", "is the address of a document; set the issuer that this document names"),
        ("two lines", "AUTH0_ISSUER", "https://a/\nb", "contains a space or a control character"),
    ]);
}

#[test]
fn names_the_way_out_for_an_issuer_that_is_an_account() {
    let account = ("AUTH0_ISSUER", "robot@shop.iam.gserviceaccount.com");
    let found = faults(with(&[account]));
    assert!(
        found[0].contains("if iss is exactly this, set AUTH0_JWKS_URI"),
        "{found:?}"
    );
    let other = faults(with(&[("AUTH0_ISSUER", "me:pass@a")]));
    assert!(!other[0].contains("if iss is exactly this"), "{other:?}");
}

#[test]
fn rejects_unsupported_algorithms() {
    #[rustfmt::skip]
    assert_refused(&[
        ("a slip", "AUTH0_ALGORITHMS", "RS265", "is not a known algorithm; did you mean RS256?"),
        ("small letters", "AUTH0_ALGORITHMS", "rs256", "is not a known algorithm; did you mean RS256?"),
        ("capitals", "AUTH0_ALGORITHMS", "EDDSA", "is not a known algorithm; did you mean EdDSA?"),
        ("a curve", "AUTH0_ALGORITHMS", "ed25519", "is not a known algorithm; did you mean Ed25519?"),
        ("far off", "AUTH0_ALGORITHMS", "Blowfish", "is not a known algorithm"),
        ("none", "AUTH0_ALGORITHMS", "none", "would accept unsigned tokens, and is never allowed (RFC 8725 §3.2)"),
        ("spaces instead of commas", "AUTH0_ALGORITHMS", "RS256 ES256", "is more than one algorithm; did you mean RS256,ES256?"),
        ("a hash", "AUTH0_ALGORITHMS", "SHA256", "is not a known algorithm"),
        ("HMAC", "AUTH0_ALGORITHMS", "HS512", "is not supported; HS256 is the only supported algorithm with a secret"),
        ("another curve", "AUTH0_ALGORITHMS", "ES256K", "is for a curve that is not supported"),
    ]);
}

#[test]
fn rejects_invalid_key_sources() {
    #[rustfmt::skip]
    assert_refused(&[
        ("two addresses", "AUTH0_JWKS_URI", "https://a/keys,https://b/keys", "is more than one URL; keep one"),
        ("not https", "AUTH0_JWKS_URI", "http://a/keys", "is not https; did you mean https://a/keys? Or, if it has no TLS, remove AUTH0_JWKS_URI, and set AUTH0_JWKS_FILE to a file with its keys, fetched over a network that you trust"),
        ("a URL", "AUTH0_JWKS_FILE", "https://a/keys", "is a URL; set AUTH0_JWKS_URI to it instead"),
        ("the content of a file", "AUTH0_JWKS_FILE", "{\"keys\":[]}", "is the content of a key set; set the path of a file with it instead"),
        ("a path", "AUTH0_JWKS_URI", "/etc/keys.json", "is a path; set AUTH0_JWKS_FILE to it instead"),
        ("the name of a file", "AUTH0_JWKS_URI", "jwks.json", "is a path; set AUTH0_JWKS_FILE to it instead"),
        ("no scheme, with a path", "AUTH0_JWKS_URI", "a.example/keys", "is not a URL; did you mean https://a.example/keys?"),
    ]);
}

#[test]
fn rejects_durations_without_a_unit_or_out_of_range() {
    #[rustfmt::skip]
    assert_refused(&[
        ("no unit", "AUTH0_JWKS_TTL", "30", "has no unit; did you mean 30s?"),
        ("none at all", "AUTH0_JWKS_TTL", "0s", "is out of range; give 1s to 8760h"),
        ("a request each moment", "AUTH0_JWKS_TTL", "1ms", "is out of range; give 1s to 8760h"),
        ("no pause", "AUTH0_JWKS_COOLDOWN", "1ms", "is out of range; give 500ms to 8760h"),
        ("too short for a fetch", "AUTH0_JWKS_TIMEOUT", "1ms", "is out of range; give 100ms to 8760h"),
        ("too short for a token", "AUTH0_TOKEN_MAX_AGE", "1ms", "is out of range; give 1s to 8760h"),
        ("a word", "AUTH0_JWKS_TTL", "never", "is not a duration"),
        ("a long unit", "AUTH0_JWKS_COOLDOWN", "5min", "is not a duration; did you mean 5m?"),
        ("a space", "AUTH0_JWKS_STALE", "5 s", "is not a duration; did you mean 5s?"),
        ("days", "AUTH0_JWKS_STALE", "1d", "is not a duration; did you mean 24h?"),
        ("two units", "AUTH0_JWKS_STALE", "1h30m", "is not a duration"),
        ("a fraction", "AUTH0_JWKS_TIMEOUT", "1.5s", "is not a duration"),
        ("negative", "AUTH0_LEEWAY", "-5s", "is not a duration"),
        ("too much", "AUTH0_LEEWAY", "301s", "is out of range; give 0s to 5m"),
        ("far too much", "AUTH0_JWKS_TTL", "18446744073709551615h", "is out of range; give 1s to 8760h"),
        ("too much, no unit", "AUTH0_LEEWAY", "3000", "has no unit"),
    ]);
}

#[test]
fn rejects_invalid_numbers_realms_addresses_and_log_settings() {
    #[rustfmt::skip]
    assert_refused(&[
        ("digits in groups", "AUTH0_TOKEN_CACHE", "10_000", "is not a whole number; did you mean 10000?"),
        ("too many", "AUTH0_TOKEN_CACHE", "99999999999999999999", "is out of range"),
        ("negative", "AUTH0_TOKEN_CACHE", "-1", "is not a whole number"),
        ("a quote", "AUTH0_REALM", "a\"b", "contains a character that is not allowed in a challenge"),
        ("a line break", "AUTH0_REALM", "a\r\nb", "contains a character that is not allowed in a challenge"),
        ("a name", "LISTEN", "localhost:8080", "is not an address with a port; did you mean 127.0.0.1:8080?"),
        ("a port", "LISTEN", "8080", "is not an address with a port; did you mean 127.0.0.1:8080?"),
        ("a colon and a port", "LISTEN", ":8080", "is not an address with a port; did you mean 127.0.0.1:8080?"),
        ("an address", "LISTEN", "0.0.0.0", "is not an address with a port; did you mean 0.0.0.0:8000?"),
        ("a URL", "LISTEN", "http://127.0.0.1:8000/", "is not an address with a port; did you mean 127.0.0.1:8000?"),
        ("a star", "LISTEN", "*:80", "is not an address with a port; did you mean 0.0.0.0:80?"),
        ("no such port", "LISTEN", "127.0.0.1:99999", "is not an address with a port"),
        ("a slip", "RUST_LOG", "inof", "has no level; did you mean info?"),
        ("a long word", "RUST_LOG", "warp=debug,warning", "has no level; did you mean warn?"),
        ("no such level", "RUST_LOG", "warp=loud", "is not a log filter"),
        ("a word that is not a level", "RUST_LOG", "verbose", "has no level; give error, warn, info, debug, trace or off, alone or after a target, such as info,warp_bearer=debug"),
        ("a target without a level", "RUST_LOG", "info,warp_bearer", "has no level; did you mean warp_bearer=debug?"),
        ("the name of the package", "RUST_LOG", "info,warp-bearer=debug", "names a target with a hyphen; did you mean warp_bearer=debug?"),
        ("JSON", "RUST_LOG", r#"{"a":1}"#, "has no level; give error, warn, info, debug, trace or off, alone or after a target, such as info,warp_bearer=debug"),
        ("a URL", "RUST_LOG", "redis://h:1/0", "has no level; give error, warn, info, debug, trace or off, alone or after a target, such as info,warp_bearer=debug"),
        ("a URL with a level", "RUST_LOG", "https://a-b/=debug", "names a target with a hyphen"),
        ("not ASCII", "RUST_LOG", "info, é=info", "is not a log filter"),
        ("the False of Python", "DOCS", "False", "is neither on nor off; did you mean off?"),
        ("neither", "DOCS", "maybe", "is neither on nor off"),
        ("capitals", "LOG_FORMAT", "JSON", "is not a log format; did you mean json?"),
        ("far off", "LOG_FORMAT", "xml", "is not a log format"),
    ]);
}

#[test]
fn rejects_limits_out_of_range() {
    #[rustfmt::skip]
    assert_refused(&[
        ("none at all", "MAX_CONNECTIONS", "0", "is out of range"),
        ("digits in groups", "MAX_CONNECTIONS", "10,000", "is not a whole number; did you mean 10000?"),
        ("too small a head", "MAX_HEADER_BYTES", "4KiB", "is out of range"),
        ("a small unit", "MAX_HEADER_BYTES", "32kb", "is not a size; did you mean 32KiB?"),
        ("a space", "MAX_BODY_BYTES", "1 MiB", "is not a size; did you mean 1MiB?"),
        ("an unknown unit", "MAX_BODY_BYTES", "1GiB", "is not a size"),
        ("a fraction", "MAX_BODY_BYTES", "1.5MiB", "is not a size"),
        ("negative", "MAX_BODY_BYTES", "-1", "is not a size"),
        ("a unit only", "MAX_URI_BYTES", "KiB", "is not a size"),
        ("too much", "MAX_BODY_BYTES", "18446744073709551615MiB", "is out of range"),
        ("no end", "REQUEST_TIMEOUT", "0s", "is out of range; give 1s to 8760h"),
        ("too short for a handshake", "IDLE_TIMEOUT", "1ms", "is out of range; give 1s to 8760h"),
        ("too short for a path", "MAX_URI_BYTES", "1", "is out of range"),
        ("too few for a browser", "MAX_HEADER_FIELDS", "1", "is out of range"),
        ("no unit", "SHUTDOWN_GRACE", "5", "has no unit; did you mean 5s?"),
        ("no port", "METRICS_LISTEN", "127.0.0.1", "is not an address with a port; did you mean 127.0.0.1:9090?"),
        ("IPv6 without brackets", "LISTEN", "::1:8000", "is not an address with a port; did you mean [::1]:8000?"),
        ("IPv6 without a port", "LISTEN", "fe80::1", "is not an address with a port; did you mean [fe80::1]:8000?"),
        ("a name", "METRICS_LISTEN", "localhost:9090", "is not an address with a port; did you mean 127.0.0.1:9090?"),
    ]);
}

#[test]
fn rejects_invalid_profiles_scopes_and_resources() {
    #[rustfmt::skip]
    assert_refused(&[
        ("capitals", "AUTH0_TOKEN_PROFILE", "RFC9068", "is not a known profile; did you mean rfc9068?"),
        ("far off", "AUTH0_TOKEN_PROFILE", "strict", "is not a known profile"),
        ("no time at all", "AUTH0_TOKEN_MAX_AGE", "0s", "is out of range; give 1s to 8760h"),
        ("a comma", "AUTH0_REQUIRED_SCOPE", "a,b", "has a comma in it; separate several scopes by single spaces (RFC 6749 §3.3)"),
        ("two spaces", "AUTH0_REQUIRED_SCOPE", "a  b", "is not a list of scopes"),
        ("a quote", "AUTH0_REQUIRED_SCOPE", "a\"b", "is not a list of scopes"),
        ("scopes with a comma", "AUTH0_RESOURCE_SCOPES", "a,b", "has a comma in it; separate several scopes by single spaces (RFC 6749 §3.3)"),
        ("two spaces", "AUTH0_RESOURCE_SCOPES", "a  b", "is not a list of scopes"),
        ("offline_access", "AUTH0_RESOURCE_SCOPES", "a offline_access", "names offline_access; remove it: it asks the issuer for a refresh token and is not a scope of an API"),
        ("no scheme", "AUTH0_RESOURCE", "api.example.com", "is not a URL; did you mean https://api.example.com/?"),
        ("not https", "AUTH0_RESOURCE", "http://api.example.com", "is not https; did you mean https://api.example.com?"),
        ("two URLs", "AUTH0_RESOURCE", "https://a.example,https://b.example", "has a comma in it; set one URL, the one that clients use"),
        ("a comma in the path", "AUTH0_RESOURCE", "https://a.example/b,c", "has a comma in it; set one URL, the one that clients use"),
        ("a document", "AUTH0_RESOURCE", "https://a.example/.well-known/oauth-protected-resource", "is the address of a document; set the resource that this document describes"),
    ]);
}

#[test]
fn dpop_is_allowed_once_the_public_url_is_known() {
    const URL: (&str, &str) = ("PUBLIC_URL", "https://api.example.com/v1");
    #[rustfmt::skip]
    let rows = [
        ("no variables", &[][..], DpopMode::Off, None),
        ("a public URL", &[URL], DpopMode::Allowed, Some("https://api.example.com/v1")),
        ("a resource", &[("AUTH0_RESOURCE", "https://api.example.com/mcp")], DpopMode::Allowed, Some("https://api.example.com")),
        ("a resource without a path", &[("AUTH0_RESOURCE", "https://api.example.com:8443")], DpopMode::Allowed, Some("https://api.example.com:8443")),
        ("both", &[URL, ("AUTH0_RESOURCE", "https://other.example")], DpopMode::Allowed, Some("https://api.example.com/v1")),
        ("off", &[URL, ("AUTH0_DPOP", "off")], DpopMode::Off, Some("https://api.example.com/v1")),
        ("required", &[URL, ("AUTH0_DPOP", "required")], DpopMode::Required, Some("https://api.example.com/v1")),
        ("on loopback", &[("PUBLIC_URL", "http://127.0.0.1:8000")], DpopMode::Allowed, Some("http://127.0.0.1:8000")),
    ];
    for (case, vars, mode, url) in rows {
        let dpop = config(vars).dpop;
        assert_eq!(
            (dpop.mode, dpop.public_url.as_deref()),
            (mode, url),
            "{case}"
        );
    }
}

#[test]
fn rejects_invalid_settings_of_dpop() {
    #[rustfmt::skip]
    assert_refused(&[
        ("no URL", "PUBLIC_URL", "api.example.com", "is not a URL; did you mean https://api.example.com/?"),
        ("no https", "PUBLIC_URL", "http://api.example.com", "is not https; did you mean https://api.example.com?"),
        ("two URLs", "PUBLIC_URL", "https://a.example,https://b.example", "has a comma in it; set one URL, the one that clients use"),
        ("an invalid escape", "PUBLIC_URL", "https://a.example/%zz", "has a % without two hexadecimal digits after it"),
        ("half an escape", "PUBLIC_URL", "https://a.example/%2", "has a % without two hexadecimal digits after it"),
        ("an escape in the host", "PUBLIC_URL", "https://%61.example/", "has a % in its host"),
        ("the same in the resource", "AUTH0_RESOURCE", "https://%61.example/mcp", "has a % in its host"),
        ("a symmetric algorithm", "AUTH0_DPOP_ALGORITHMS", "HS256", "uses a shared secret, but a proof contains the key that verifies it (RFC 9449 §4.2)"),
        ("a misspelt one", "AUTH0_DPOP_ALGORITHMS", "HS-256", "uses a shared secret, but a proof contains the key that verifies it (RFC 9449 §4.2)"),
        ("another one", "AUTH0_DPOP_ALGORITHMS", "hs512", "uses a shared secret, but a proof contains the key that verifies it (RFC 9449 §4.2)"),
        ("almost a symmetric one", "AUTH0_DPOP_ALGORITHMS", "H256", "is not a known algorithm; did you mean RS256?"),
        ("several without a comma", "AUTH0_DPOP_ALGORITHMS", "ES256 EdDSA", "is more than one algorithm; did you mean ES256,EdDSA?"),
        ("a symmetric one among them", "AUTH0_DPOP_ALGORITHMS", "ES256 HS256", "is not a known algorithm"),
        ("no algorithm", "AUTH0_DPOP_ALGORITHMS", "none", "would accept unsigned tokens, and is never allowed (RFC 8725 §3.2)"),
        ("no time", "AUTH0_DPOP_WINDOW", "0s", "is out of range; give 1s to 1h"),
        ("too long a time", "AUTH0_DPOP_WINDOW", "2h", "is out of range; give 1s to 1h"),
        ("a switch for nonces", "AUTH0_DPOP_NONCE", "on", "is neither off nor required; did you mean required?"),
        ("another word", "AUTH0_DPOP_NONCE", "allowed", "is neither off nor required"),
        ("too small a store", "AUTH0_DPOP_STORE", "1KiB", "is out of range"),
    ]);
    // The suggested values need the URL too, so both faults are reported at once
    for (mode, why) in [
        ("on", "did you mean allowed?"),
        ("require", "did you mean required?"),
        ("strict", "give off, allowed or required"),
    ] {
        let found = faults(with(&[("AUTH0_DPOP", mode)]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with(why), "{found:?}");
        assert!(found[1].starts_with("PUBLIC_URL: not set"), "{found:?}");
    }
    for mode in ["allowed", "required"] {
        let found = faults(with(&[("AUTH0_DPOP", mode)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("PUBLIC_URL: not set"), "{found:?}");
    }
    let short = faults(with(&[("AUTH0_DPOP_NONCE_SECRET", "hunter2")]));
    assert_eq!(
        short,
        [
            "AUTH0_DPOP_NONCE_SECRET: found 7 bytes (not shown), which is too short; use 32 bytes or more, for example from: openssl rand -base64 48"
        ]
    );
}

#[test]
fn warns_about_unshared_and_unused_nonce_secrets() {
    const URL: (&str, &str) = ("PUBLIC_URL", "https://api.example.com");
    #[rustfmt::skip]
    let rows = [
        ("no secret", &[URL, ("AUTH0_DPOP_NONCE", "required")][..], "AUTH0_DPOP_NONCE_SECRET: not set, so each process makes its own nonces and rejects those of other processes"),
        ("no nonces", &[URL, ("AUTH0_DPOP_NONCE_SECRET", SECRET)], "AUTH0_DPOP_NONCE_SECRET: not used, because AUTH0_DPOP_NONCE is off"),
        ("no DPoP", &[("AUTH0_DPOP_WINDOW", "1m")], "AUTH0_DPOP_WINDOW: not used, because DPoP is off"),
    ];
    for (case, vars, warning) in rows {
        assert_eq!(warnings(vars), [warning], "{case}");
    }
}

/// The warnings with an issuers file with these tables. Each gets a name.
fn warnings_with_tables(tables: &[&str], vars: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("issuers.toml");
    let tables = tables.iter().enumerate().map(|(at, options)| {
        let url = format!("url = \"https://issuer-{at}.example/\"");
        let url = Some(url).filter(|_| !options.contains("url = "));
        format!("[[issuer]]\n{}\n{options}\n", url.unwrap_or_default())
    });
    std::fs::write(&path, tables.collect::<String>()).unwrap();
    let file = [("ISSUERS_FILE", path.to_str().unwrap())];
    let environment = Environment::of(file.into_iter().chain(vars.iter().copied()));
    let (_, warnings) = Config::from_environment(&environment).unwrap();
    let texts = warnings.iter().map(ToString::to_string);
    texts
        .map(|text| text.replace("in the environment, ", ""))
        .collect()
}

#[test]
fn warnings_about_unused_variables_count_the_tables() {
    const URL: (&str, &str) = ("PUBLIC_URL", "https://api.example.com");
    const OFF: (&str, &str) = ("AUTH0_DPOP", "off");
    const LEEWAY: (&str, &str) = ("AUTH0_LEEWAY", "5s");
    const NONCE: (&str, &str) = ("AUTH0_DPOP_NONCE", "required");
    const ALGORITHMS: (&str, &str) = ("AUTH0_ALGORITHMS", "RS256");
    const HS256: (&str, &str) = ("AUTH0_ALGORITHMS", "HS256");
    const TTL: (&str, &str) = ("AUTH0_JWKS_TTL", "1h");
    let hs256 = format!("signing_secret = {SECRET:?}");
    let only_hs256 = format!("{hs256}\nalgorithms = [\"HS256\"]");
    let unshared = "AUTH0_DPOP_NONCE_SECRET: not set, so each process makes its own nonces and rejects those of other processes";
    let unused = |name: &str| format!("{name}: not used, because DPoP is off");
    let own = |name: &str, option: &str| {
        format!("{name}: not used: every table of issuers.toml has its own {option}")
    };
    let by_kind = "AUTH0_ALGORITHMS: not used: every table of issuers.toml sets algorithms, itself or by its kind";
    #[rustfmt::skip]
    let rows = [
        ("a leeway", &["leeway = \"1s\""][..], &[LEEWAY][..], vec![own("AUTH0_LEEWAY", "leeway")]),
        ("a leeway of proofs", &["leeway = \"1s\""], &[LEEWAY, URL], vec![]),
        ("a leeway of proofs of one table", &["leeway = \"1s\"", "leeway = \"1s\"\ndpop = \"allowed\""], &[LEEWAY, URL, OFF], vec![]),
        ("a leeway without DPoP", &["leeway = \"1s\"\ndpop = \"off\""], &[LEEWAY, URL], vec![own("AUTH0_LEEWAY", "leeway")]),
        ("DPoP of the tables", &["dpop = \"required\""], &[URL, OFF], vec![own("AUTH0_DPOP", "dpop")]),
        ("DPoP of one table", &["dpop = \"required\"", ""], &[URL, OFF], vec![]),
        ("nonces of a table", &["dpop = \"required\"", ""], &[URL, OFF, NONCE], vec![unshared.to_owned()]),
        ("nonces of no table", &["dpop = \"off\""], &[URL, NONCE], vec![unused("AUTH0_DPOP_NONCE")]),
        ("nonces of the variables", &[""], &[URL, NONCE], vec![unshared.to_owned()]),
        ("algorithms", &["algorithms = [\"RS256\"]"], &[ALGORITHMS], vec![own("AUTH0_ALGORITHMS", "algorithms")]),
        ("keys of a table", &["algorithms = [\"RS256\"]", &hs256], &[TTL, HS256], vec![]),
        ("keys of no table", &[&only_hs256], &[TTL], vec!["AUTH0_JWKS_TTL: not used, because every issuer has only HS256".to_owned()]),
        ("algorithms of a preset", &["kind = \"okta\"\nurl = \"https://a.okta.com/oauth2/b\""], &[ALGORITHMS], vec![by_kind.to_owned()]),
    ];
    for (case, tables, vars, expected) in rows {
        let vars = [vars, &[("AUTH0_API_AUDIENCE", "https://api.example.com")]].concat();
        assert_eq!(warnings_with_tables(tables, &vars), expected, "{case}");
    }
}

#[test]
fn warns_about_resources_and_audiences_that_do_not_fit() {
    const API: (&str, &str) = ("AUTH0_API_AUDIENCE", "https://api.example.com");
    const RESOURCE: (&str, &str) = ("AUTH0_RESOURCE", "https://api.example.com/mcp");
    const OFF: (&str, &str) = ("AUTH0_DPOP", "off");
    let absent = "AUTH0_RESOURCE: not an audience of any table of issuers.toml, so a token that a client requests for this resource (RFC 8707) is rejected here";
    let elsewhere = |place: &str| {
        format!(
            "{place}: https://other.example.com/x has another origin than PUBLIC_URL, https://api.example.com; DPoP proofs for requests to that origin are rejected, because their URL is compared with PUBLIC_URL; if clients send such requests, give that API a service with its own PUBLIC_URL"
        )
    };
    let table = "issuers.toml:1: in [[issuer]] \"https://issuer-0.example/\", audiences";
    #[rustfmt::skip]
    let rows = [
        ("of no table", &["audiences = [\"urn:a\"]", ""][..], &[API, RESOURCE][..], vec![absent.to_owned()]),
        ("of a table", &["audiences = [\"https://api.example.com/mcp\"]", ""], &[API, RESOURCE], vec![]),
        ("of the variable", &["audiences = [\"urn:a\"]", ""], &[("AUTH0_API_AUDIENCE", "https://api.example.com/mcp"), RESOURCE], vec![]),
        ("another origin", &["audiences = [\"https://api.example.com/mcp\", \"https://other.example.com/x\"]"], &[RESOURCE], vec![elsewhere(table)]),
        ("only names", &["audiences = [\"https://my-api\", \"https://other.example.com/x\"]"], &[RESOURCE], vec![absent.to_owned()]),
        ("a name that is no URL", &["audiences = [\"https://api.example.com/mcp\", \"urn:a\"]"], &[RESOURCE], vec![]),
        ("another origin without DPoP", &["audiences = [\"https://api.example.com/mcp\", \"https://other.example.com/x\"]\ndpop = \"off\""], &[RESOURCE], vec![]),
        ("DPoP of the table", &["audiences = [\"https://api.example.com/mcp\", \"https://other.example.com/x\"]\ndpop = \"allowed\""], &[RESOURCE, OFF], vec![elsewhere(table)]),
    ];
    for (case, tables, vars, expected) in rows {
        let found = warnings_with_tables(tables, vars);
        let found: Vec<_> = found
            .into_iter()
            .filter(|text| !text.contains("not used"))
            .collect();
        assert_eq!(found, expected, "{case}");
    }
    let url = ("PUBLIC_URL", "https://api.example.com");
    let both = "https://api.example.com,https://other.example.com/x,urn:a";
    let audiences = ("AUTH0_API_AUDIENCE", both);
    let expected = [elsewhere("AUTH0_API_AUDIENCE")];
    assert_eq!(warnings(&[url, audiences]), expected);
    assert_eq!(warnings(&[url, audiences, OFF]), [""; 0]);
    assert_eq!(warnings(&[audiences]), [""; 0]);
}

/// docker, systemd, editors and templates leave quotes, comments and references in values
#[test]
fn rejects_quotes_comments_and_references_left_in_a_value() {
    const VARIABLE: &str =
        "has a variable in it; set the value itself, because no variable is replaced here";
    const QUOTE: &str = "begins or ends with a quote; remove the quotes";
    const COMMENT: &str = "has a comment in it; remove it: docker --env-file and systemd read it as a part of the value";
    let list = |right: &str| {
        format!("is a JSON list; separate the items by commas, without brackets or quotes: {right}")
    };
    let invisible = |code: &str| {
        format!("has a character in it that is not visible; type the value again without {code}")
    };
    #[rustfmt::skip]
    assert_refused(&[
        ("a quote at the start", "AUTH0_ISSUER", "\"https://a.example/", QUOTE),
        ("a quote at the end", "AUTH0_API_AUDIENCE", "urn:a'", QUOTE),
        ("typographic quotes", "AUTH0_API_AUDIENCE", "“urn:a”", QUOTE),
        ("backticks", "AUTH0_API_AUDIENCE", "`urn:a`", QUOTE),
        ("a list in JSON", "AUTH0_ALGORITHMS", "[\"RS256\"]", &list("RS256")),
        ("a list of audiences in JSON", "AUTH0_API_AUDIENCE", "['urn:a']", &list("urn:a")),
        ("a list of several", "AUTH0_API_AUDIENCE", "[\"https://a\", \"https://b\"]", &list("https://a,https://b")),
        ("a list without its quotes, as from .env", "AUTH0_API_AUDIENCE", "[https://a,https://b]", &list("https://a,https://b")),
        ("a semicolon at the end", "AUTH0_ISSUER", "https://a.example/;", "ends in a semicolon; remove it"),
        ("a variable of compose", "AUTH0_API_AUDIENCE", "${API_AUDIENCE}", VARIABLE),
        ("a variable of a shell", "AUTH0_API_AUDIENCE", "$API_AUDIENCE", VARIABLE),
        ("a variable of Kubernetes", "AUTH0_API_AUDIENCE", "https://$(HOST)/", VARIABLE),
        ("a variable of Windows", "AUTH0_API_AUDIENCE", "%API_AUDIENCE%", VARIABLE),
        ("a template", "AUTH0_API_AUDIENCE", "{{ audience }}", VARIABLE),
    ]);
    for (value, code) in [("\u{200b}urn:a", "U+200B"), ("urn:\u{a0}a", "U+00A0")] {
        assert_refused(&[(code, "AUTH0_API_AUDIENCE", value, &invisible(code))]);
    }
    // The text after the `#` isn't shown, because in a URL it may be a secret
    for (name, value) in [
        ("AUTH0_REQUIRED_SCOPE", "use:it # mine"),
        ("LISTEN", "127.0.0.1:80 # mine"),
    ] {
        let found = faults(with(&[(name, value)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(COMMENT), "{found:?}");
    }
}

/// Free text may begin or end with a quote, and the name of a file may contain ` #`
#[test]
fn accepts_quotes_and_number_signs_where_they_belong() {
    for realm in ["shop # 1", "Shop of the Joneses'", "'Tis the shop"] {
        assert_eq!(config(&[("AUTH0_REALM", realm)]).realm, realm);
    }
    for path in ["/etc/keys #1.json", "/etc/#1/keys.json"] {
        let file = config(&[("AUTH0_REVOCATION_FILE", path)]).revocation_file;
        assert_eq!(file, Some(path.into()));
    }
    #[rustfmt::skip]
    assert_refused(&[
        ("a quote that a challenge cannot have", "AUTH0_REALM", "The \"Shop\"", "contains a character that is not allowed in a challenge"),
        ("quotes around it all", "AUTH0_REALM", "\"shop\"", "is still in quotes; remove them"),
        ("backticks around it all", "AUTH0_REALM", "`shop`", "begins or ends with a quote; remove the quotes"),
        ("typographic quotes around it all", "AUTH0_REALM", "“shop”", "begins or ends with a quote; remove the quotes"),
        ("a path with a quote at its end", "AUTH0_REVOCATION_FILE", "/etc/keys.json\"", "begins or ends with a quote; remove the quotes"),
    ]);
}

#[test]
fn rejects_paths_with_an_empty_name() {
    const EMPTY: &str = "has an empty name between its dots; give the name of a claim, or a path such as realm_access.roles";
    assert_refused(&[
        ("in the middle", "AUTH0_ROLES_AT", "a..b", EMPTY),
        ("at the start", "AUTH0_GROUPS_AT", ".a", EMPTY),
        ("at the end", "AUTH0_ROLES_AT", "a.", EMPTY),
        (
            "JSONPath",
            "AUTH0_ROLES_AT",
            "$.realm_access.roles",
            "begins with `$.`, which paths do not; did you mean realm_access.roles?",
        ),
    ]);
}

#[test]
fn rejects_origins_that_browsers_do_not_send() {
    #[rustfmt::skip]
    assert_refused(&[
        ("a slash", "CORS_ORIGINS", "https://a.example/", "is not in the form that browsers send; did you mean https://a.example?"),
        ("a path", "CORS_ORIGINS", "https://a.example/app", "is not in the form that browsers send; did you mean https://a.example?"),
        ("capitals", "CORS_ORIGINS", "https://A.example", "is not in the form that browsers send; did you mean https://a.example?"),
        ("the scheme's port", "CORS_ORIGINS", "https://a.example:443", "is not in the form that browsers send; did you mean https://a.example?"),
        ("no scheme", "CORS_ORIGINS", "a.example", "has no scheme; did you mean https://a.example?"),
        ("not https", "CORS_ORIGINS", "http://a.example", "is not https; did you mean https://a.example?"),
        ("not https, and a slash", "CORS_ORIGINS", "http://a.example/", "is not https; did you mean https://a.example?"),
        ("not https, and a path", "CORS_ORIGINS", "http://a.example/b", "is not https; did you mean https://a.example?"),
        ("another scheme", "CORS_ORIGINS", "ftp://a.example", "is not https"),
        ("a pattern", "CORS_ORIGINS", "https://*.example", "is a pattern; origins are compared exactly; list each, or set * alone to allow all"),
        ("null", "CORS_ORIGINS", "null", "is the origin of every sandboxed page; serve the page from its own origin"),
        ("spaces instead of commas", "CORS_ORIGINS", "https://a.example https://b.example", "has a space in it; separate several origins by commas"),
        ("semicolons instead of commas", "CORS_ORIGINS", "https://a.example;https://b.example", "is more than one origin; separate several origins by commas"),
        ("this machine without a scheme", "CORS_ORIGINS", "localhost:3000", "has no scheme; did you mean http://localhost:3000?"),
        ("a switch", "CORS_ORIGINS", "true", "has no scheme"),
        ("an empty item", "CORS_ORIGINS", "https://a.example,", "has an empty item; remove the comma"),
    ]);
    assert_eq!(config(&[("CORS_ORIGINS", "*")]).cors, Some(Cors::Any));
    let found = faults(with(&[("CORS_ORIGINS", "*,https://a.example")]));
    let fault = "CORS_ORIGINS: has * beside other origins; keep * alone, which allows every origin, or remove it";
    assert_eq!(found, [fault]);
}

#[test]
fn shows_the_invalid_value_without_its_secret_parts() {
    #[rustfmt::skip]
    let rows = [
        ("empty", "AUTH0_API_AUDIENCE", "", "empty; set it to the identifier of your API, such as https://api.example.com"),
        ("whitespace", "AUTH0_API_AUDIENCE", "  ", "empty; set it to the identifier of your API, such as https://api.example.com"),
        ("whitespace in an option", "AUTH0_JWKS_FILE", "  ", "empty; give the path of a file of public keys, such as /etc/warp-bearer/jwks.json, or remove it"),
        ("a query", "AUTH0_ISSUER", "https://a/?b=c", r#"found "https://a/?…", which has a query, which an issuer must not have (RFC 8414 §2); give the URL of an issuer, such as https://tenant.eu.auth0.com/"#),
        ("a query after no scheme", "AUTH0_DOMAIN", "a.example?code=hunter2", r#"found "a.example?…", which is not a host; give a host, such as tenant.eu.auth0.com"#),
        ("a query in a guess", "AUTH0_JWKS_URI", "http://a/keys?code=hunter2", r#"found "http://a/keys?…", which is not https; give the URL of a key set, such as https://tenant.eu.auth0.com/.well-known/jwks.json"#),
        ("an @ in a query", "AUTH0_ISSUER", "https://a/?code=a@hunter2", r#"found "https://…", which has a query, which an issuer must not have (RFC 8414 §2); give the URL of an issuer, such as https://tenant.eu.auth0.com/"#),
        ("a fragment", "AUTH0_RESOURCE", "https://a/#access_token=hunter2", r#"found "https://a/#…", which has a fragment; give the URL of this service, such as https://api.example.com"#),
        ("bidi", "AUTH0_ISSUER", "https://a/\u{202e}b", r#"found "https://a/\u{202e}b", which contains a character that is not allowed in URLs; give the URL of an issuer, such as https://tenant.eu.auth0.com/"#),
        ("a password", "AUTH0_ISSUER", "https://me:pass@a/", r#"found "https://…@a/", which contains a user or a password; give the URL of an issuer, such as https://tenant.eu.auth0.com/"#),
        ("a password, no scheme", "AUTH0_ISSUER", "me:pass@a", r#"found "…@a", which is not a URL; give the URL of an issuer, such as https://tenant.eu.auth0.com/"#),
        ("the second of two", "AUTH0_ISSUER", "https://a/,b", r#"found "b", which is not a URL; if iss is exactly this, list the issuers in a file, ISSUERS_FILE, with the source of its keys"#),
        ("none", "AUTH0_ALGORITHMS", "RS256,None", r#"found "None", which would accept unsigned tokens, and is never allowed (RFC 8725 §3.2); give some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256"#),
        ("a key in the place of its path", "AUTH0_JWKS_FILE", "-----BEGIN PRIVATE KEY-----\nhunter2", r#"found "-----BEGIN…", which is the content of a PEM file; set the path of the file instead"#),
        ("not UTF-8", "LISTEN", "\u{fffd}", "found bytes that are not UTF-8; give an IP address and a port, such as 127.0.0.1:8000"),
    ];
    for (case, name, value, fault) in rows {
        let found = faults(with(&[(name, value)]));
        assert_eq!(found, [format!("{name}: {fault}")], "{case}");
    }
}

#[test]
fn rejects_values_that_contradict_each_other() {
    let two = ("AUTH0_ISSUER", "https://a/,https://b/");
    #[rustfmt::skip]
    let rows = [
        ("HS256 without a secret", &[("AUTH0_ALGORITHMS", "RS256,HS256")][..], "AUTH0_SIGNING_SECRET: not set, but AUTH0_ALGORITHMS has HS256"),
        ("two places for keys", &[("AUTH0_JWKS_URI", "https://a/keys"), ("AUTH0_JWKS_FILE", "keys")], "AUTH0_JWKS_FILE: set together with AUTH0_JWKS_URI"),
        ("a certificate only", &[("TLS_CERT_FILE", "a")], "TLS_KEY_FILE: not set, but TLS_CERT_FILE is; set both for TLS, or neither"),
        ("a key only", &[("TLS_KEY_FILE", "a")], "TLS_CERT_FILE: not set, but TLS_KEY_FILE is"),
        ("one address for two", &[("METRICS_LISTEN", "127.0.0.1:8000")], "METRICS_LISTEN: found \"127.0.0.1:8000\", but LISTEN is \"127.0.0.1:8000\", and each needs its own port; set another, such as 127.0.0.1:9090"),
        ("one address among all", &[("LISTEN", "0.0.0.0:80"), ("METRICS_LISTEN", "127.0.0.1:80")], "METRICS_LISTEN: found"),
        ("all, and one of them", &[("LISTEN", "[::1]:80"), ("METRICS_LISTEN", "[::]:80")], "METRICS_LISTEN: found"),
        ("a key set URL for two issuers", &[two, ("AUTH0_JWKS_URI", "https://a/keys")], "AUTH0_JWKS_URI: set, but AUTH0_ISSUER has several"),
        ("a key file for two issuers", &[two, ("AUTH0_JWKS_FILE", "keys")], "AUTH0_JWKS_FILE: set, but AUTH0_ISSUER has several"),
        ("a secret for two issuers", &[two, ("AUTH0_ALGORITHMS", "HS256"), ("AUTH0_SIGNING_SECRET", SECRET)], "AUTH0_SIGNING_SECRET: set, but AUTH0_ISSUER has several"),
    ];
    for (case, vars, fault) in rows {
        let found = faults(with(vars));
        assert_eq!(found.len(), 1, "{case}: {found:?}");
        assert!(found[0].starts_with(fault), "{case}: {found:?}");
    }
}

#[test]
fn accepts_listeners_on_different_addresses_or_ports() {
    for (listen, metrics) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("0.0.0.0:80", "[::1]:80"),
        ("[::]:80", "[::]:81"),
    ] {
        config(&[("LISTEN", listen), ("METRICS_LISTEN", metrics)]);
    }
}

/// The suggested address must not be that of LISTEN.
#[test]
fn suggests_metrics_addresses_that_are_free() {
    #[rustfmt::skip]
    let rows = [
        ("the default of LISTEN", None, "8000", "LISTEN has that port, so give another, such as 127.0.0.1:9090"),
        ("LISTEN", Some("0.0.0.0:9090"), "9090", "LISTEN has that port, so give another, such as 127.0.0.1:9091"),
        ("without a port", Some("127.0.0.1:9090"), "127.0.0.1", "LISTEN has that port, so give another, such as 127.0.0.1:9091"),
        ("another port", Some("127.0.0.1:9000"), "8000", "did you mean 127.0.0.1:8000?"),
        ("another address", Some("10.0.0.7:9090"), "9090", "did you mean 127.0.0.1:9090?"),
    ];
    for (case, listen, metrics, hint) in rows {
        let mut vars = vec![("METRICS_LISTEN", metrics)];
        vars.extend(listen.map(|listen| ("LISTEN", listen)));
        let fault = format!(
            "METRICS_LISTEN: found \"{metrics}\", which is not an address with a port; {hint}"
        );
        assert_eq!(faults(with(&vars)), [fault], "{case}");
    }
    let both = [
        ("LISTEN", "127.0.0.1:9090"),
        ("METRICS_LISTEN", "127.0.0.1:9090"),
    ];
    let found = faults(with(&both));
    assert!(found[0].ends_with("such as 127.0.0.1:9091"), "{found:?}");
}

/// An invalid LISTEN falls back to its default, which is the same address
#[test]
fn does_not_compare_listeners_with_substituted_defaults() {
    let vars = [("LISTEN", "nowhere"), ("METRICS_LISTEN", "127.0.0.1:8000")];
    let found = faults(with(&vars));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("LISTEN: "), "{found:?}");
}

#[test]
fn names_the_missing_variables() {
    let domain = "AUTH0_DOMAIN: not set; set it to the host of your tenant, such as tenant.eu.auth0.com, or set AUTH0_ISSUER to the URL of your issuer; to try the service without either, run `warp-bearer dev`";
    let audience = "AUTH0_API_AUDIENCE: not set; set it to the identifier of your API, such as https://api.example.com";
    let misspelt = format!("{audience}; AUTH0_AUDIENCE is set, did you mean AUTH0_API_AUDIENCE?");
    #[rustfmt::skip]
    let rows = [
        ("no variables", &[][..], &[domain, audience][..]),
        ("no audience", &TENANT[..1], &[audience]),
        ("no domain", &TENANT[1..], &[domain]),
        ("a misspelt audience", &[TENANT[0], ("AUTH0_AUDIENCE", "urn:a")], &[&misspelt]),
    ];
    for (case, vars, expected) in rows {
        assert_eq!(faults(from(vars)), expected, "{case}");
    }
}

#[test]
fn reports_every_fault_at_once() {
    let found = faults(from(&[
        ("AUTH0_DOMAIN", "your.domain.auth0.com"),
        ("AUTH0_API_AUDIENCE", ""),
        ("AUTH0_ISSUER", "http://a/,https://b/?c"),
        ("AUTH0_ALGORITHMS", "RS265,none"),
        ("AUTH0_LEEWAY", "1h"),
        ("LISTEN", "nowhere"),
    ]));
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn rejects_empty_values() {
    // not read by the service
    let unread = ["AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET"];
    for variable in VARIABLES.iter().filter(|v| !unread.contains(&v.name)) {
        let found = faults(with(&[(variable.name, "")]));
        let start = format!("{}: empty; ", variable.name);
        assert!(
            found.iter().any(|fault| fault.starts_with(&start)),
            "{found:?}"
        );
    }
    assert!(with(&unread.map(|name| (name, ""))).is_ok());
}

/// `docker run --env-file` keeps the quotes of a `.env`. (systemd removes them.)
#[test]
fn rejects_values_that_are_still_in_quotes() {
    for variable in VARIABLES {
        let example = variable.example.trim_matches('\'');
        let examples = [format!("'{example}'"), format!("\"{example}\"")];
        let others = ["'a'", "\"a\"", " 'a' ", "'a','b'", "''"];
        for value in examples.iter().map(String::as_str).chain(others) {
            let found = faults(with(&[(variable.name, value)]));
            let names_quotes = |fault: &String| {
                fault.starts_with(&format!("{}: found ", variable.name))
                    && fault.ends_with("which is still in quotes; remove them")
            };
            assert!(
                found.iter().any(names_quotes),
                "{}={value}: {found:?}",
                variable.name
            );
        }
    }
    let each = faults(with(&[("AUTH0_API_AUDIENCE", "urn:a,'urn:b'")]));
    let fault = r#"AUTH0_API_AUDIENCE: found "'urn:b'", which is still in quotes; remove them"#;
    assert_eq!(each, [fault]);
}

#[test]
fn accepts_any_issuer_name_if_its_keys_are_configured() {
    for issuer in [
        "stytch.com/project-1",
        "http://keycloak:8080/realms/r",
        "urn:issuer",
        "accounts",
    ] {
        for keys in [
            ("AUTH0_JWKS_FILE", "keys.pem"),
            ("AUTH0_JWKS_URI", "https://a.example/keys"),
        ] {
            let config = config(&[("AUTH0_ISSUER", issuer), keys]);
            assert_eq!(config.issuers, [issuer], "{keys:?}");
        }
        let secret = ("AUTH0_SIGNING_SECRET", SECRET);
        let config = config(&[
            ("AUTH0_ISSUER", issuer),
            ("AUTH0_ALGORITHMS", "HS256"),
            secret,
        ]);
        assert_eq!(config.issuers, [issuer]);
        let found = faults(with(&[("AUTH0_ISSUER", issuer)]));
        assert_eq!(found.len(), 1, "{issuer}: {found:?}");
    }
}

#[test]
fn warns_about_audiences_that_tokens_for_other_apis_have() {
    let keycloak = ("AUTH0_ISSUER", "https://id.example.com/realms/r");
    let example = ("AUTH0_ISSUER", "https://example.com/");
    #[rustfmt::skip]
    let rows = [
        ("account", Some(keycloak), Some("account is the audience of Keycloak's own account API")),
        ("account", None, None),
        ("*", None, Some("* is compared with aud like any other name")),
        ("https://api.example.com/api/v2/", None, None),
        ("https://tenant.eu.auth0.com/userinfo", None, Some("https://tenant.eu.auth0.com/userinfo is the audience of the issuer's own /userinfo")),
        ("https://tenant.eu.auth0.com/api/v2/", None, Some("https://tenant.eu.auth0.com/api/v2/ is the audience of Auth0's Management API")),
        ("https://api.example.com/api/v2/", Some(example), None),
        ("https://example.com/api/v2/", Some(example), None),
        ("https://api.example.com/.auth0.com/api/v2/", None, None),
        ("https://api.example.com/.auth0.com/userinfo", None, None),
        ("https://example.com/userinfo", Some(example), Some("https://example.com/userinfo is the audience of the issuer's own /userinfo")),
        ("00000003-0000-0000-c000-000000000000", None, Some("00000003-0000-0000-c000-000000000000 is the audience of Microsoft Graph")),
        ("https://api.example.com", Some(keycloak), None),
    ];
    for (audience, issuer, expected) in rows {
        let vars = [Some(("AUTH0_API_AUDIENCE", audience)), issuer];
        let mut found = warnings(&vars.into_iter().flatten().collect::<Vec<_>>());
        found.retain(|warning| warning.starts_with("AUTH0_API_AUDIENCE: "));
        assert_eq!(
            found.len(),
            usize::from(expected.is_some()),
            "{audience}: {found:?}"
        );
        let is_as_expected = found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.starts_with(&format!("AUTH0_API_AUDIENCE: {expected}")));
        assert!(is_as_expected, "{audience}: {found:?}");
    }
}

#[test]
fn points_to_listen_if_only_port_is_set() {
    let warned = |vars: &[(&str, &str)]| {
        let (_, warnings) = with(vars).unwrap();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let both =
        "PORT: not read; set LISTEN=0.0.0.0:8080, or LISTEN=127.0.0.1:8080 for this machine only";
    assert_eq!(warned(&[("PORT", "8080")]), [both]);
    assert_eq!(
        warned(&[("PORT", "tcp://x")]),
        ["PORT: not read; set LISTEN to an address and a port"]
    );
    assert!(warned(&[("PORT", "8080"), ("LISTEN", "0.0.0.0:8080")]).is_empty());
}

#[test]
fn never_shows_a_secret() {
    let hs256 = ("AUTH0_ALGORITHMS", "HS256");
    let short = "hunter2-hunter2";
    #[rustfmt::skip]
    let rows = [
        ("too short", short, "found 15 bytes (not shown), which is too short for HS256 (RFC 7518 §3.2); use 32 bytes or more, for example from: openssl rand -base64 48"),
        ("a public key", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----", "found 72 bytes (not shown), which is a key for another algorithm; a public key is not secret, so anyone could sign tokens with it; allow the algorithm of the key instead of HS256, such as RS256, and set AUTH0_JWKS_FILE to a file with the public key"),
        ("a placeholder", "YOUR_SIGNING_SECRET_OF_THIRTY_TWO_BYTES", "found 39 bytes (not shown), which is a placeholder; give a secret of 32 bytes or more"),
    ];
    for (case, secret, fault) in rows {
        let found = faults(with(&[hs256, ("AUTH0_SIGNING_SECRET", secret)]));
        assert_eq!(found, [format!("AUTH0_SIGNING_SECRET: {fault}")], "{case}");
    }
    let shown = format!("{:?}", config(&[hs256, ("AUTH0_SIGNING_SECRET", SECRET)]));
    assert!(shown.contains("Secret(not shown)") && !shown.contains(SECRET));
}

/// Anyone can sign tokens with such a secret.
#[test]
fn rejects_secrets_that_others_know_or_can_guess() {
    let placeholder = "is a placeholder; give a secret of 32 bytes or more";
    let published = "is published, so it is not secret; use 32 bytes or more, for example from: openssl rand -base64 48";
    let repeats = |length: usize| {
        format!(
            "repeats {length} bytes, so it is too short for HS256 (RFC 7518 §3.2); use 32 bytes or more, for example from: openssl rand -base64 48"
        )
    };
    #[rustfmt::skip]
    let rows = [
        ("jwt.io", "a-string-secret-at-least-256-bits-long", placeholder.to_owned()),
        ("jwt.io for HS384", "a-valid-string-secret-that-is-at-least-384-bits-long", placeholder.to_owned()),
        ("jwt.io for HS512", "a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long", placeholder.to_owned()),
        ("jwt.io with underscores", "a_string_secret_at_least_256_bits_long", placeholder.to_owned()),
        ("jwt.io before, padded", "your-256-bit-secret0000000000000", placeholder.to_owned()),
        ("jwt.io before, repeated", "your-384-bit-secretyour-384-bit-secret", placeholder.to_owned()),
        ("jwt.io before, with spaces", "  Your 512 bit secret            ", placeholder.to_owned()),
        ("a word", "my-super-secret-key-of-your-256-bit-secret", placeholder.to_owned()),
        ("FastAPI's tutorial", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", published.to_owned()),
        ("a tutorial of Spring", "404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970\n", published.to_owned()),
        ("RFC 7515", "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow", published.to_owned()),
        ("RFC 7520", "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg", published.to_owned()),
        ("one byte", "00000000000000000000000000000000", repeats(1)),
        ("a repeated word", "secretsecretsecretsecretsecretse", repeats(6)),
        ("a repeated half", "0123456789abcdef0123456789abcdef", repeats(16)),
    ];
    for (case, secret, fault) in rows {
        let vars = [
            ("AUTH0_ALGORITHMS", "HS256"),
            ("AUTH0_SIGNING_SECRET", secret),
        ];
        let length = secret.len();
        let fault =
            format!("AUTH0_SIGNING_SECRET: found {length} bytes (not shown), which {fault}");
        match with(&vars) {
            Ok(_) => panic!("{case}"),
            Err(found) => assert_eq!(found.to_string(), fault, "{case}"),
        }
    }
    for secret in [
        "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV",
        "a secret of our own, with 32 bytes",
    ] {
        let vars = [
            ("AUTH0_ALGORITHMS", "HS256"),
            ("AUTH0_SIGNING_SECRET", secret),
        ];
        assert_eq!(with(&vars).is_ok(), secret.len() >= 32, "{secret}");
    }
}

/// The public key of the issuer is a common mistake for the secret of HS256.
#[test]
fn rejects_public_keys_as_secrets_in_every_format() {
    let base64 = |der: &[u8]| STANDARD.encode(der);
    let generated = |algorithm| KeyPair::generate_for(algorithm).unwrap();
    let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
    let spki = |key: &KeyPair| base64(&key.subject_public_key_info());
    let rsa_2048 = rsa(RsaKeySize::_2048);
    let p256 = generated(&rcgen::PKCS_ECDSA_P256_SHA256);
    let certificate = CertificateParams::default().self_signed(&p256).unwrap();
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let url_safe = spki(&p256).replace('+', "-").replace('/', "_");
    let lines = spki(&rsa_2048)
        .as_bytes()
        .chunks(64)
        .fold(String::new(), |lines, line| {
            lines + str::from_utf8(line).unwrap() + "\n"
        });
    #[rustfmt::skip]
    let rows = [
        ("RSA-2048", spki(&rsa_2048)),
        ("RSA-3072", spki(&rsa(RsaKeySize::_3072))),
        ("RSA-4096", spki(&rsa(RsaKeySize::_4096))),
        ("P-256", spki(&p256)),
        ("P-384", spki(&generated(&rcgen::PKCS_ECDSA_P384_SHA384))),
        ("P-521", spki(&generated(&rcgen::PKCS_ECDSA_P521_SHA512))),
        ("Ed25519", spki(&generated(&rcgen::PKCS_ED25519))),
        ("an RSAPublicKey", base64(rsa_2048.der_bytes())),
        ("a certificate", base64(certificate.der())),
        ("lines of base64", lines),
        ("base64url without padding", url_safe.trim_end_matches('=').to_owned()),
        ("PEM", p256.public_key_pem()),
        ("PEM in base64", base64(p256.public_key_pem().as_bytes())),
        ("a JWK", jwk.to_owned()),
        ("a JWK in base64", base64(jwk.as_bytes())),
        ("a key set", format!(r#"{{"keys":[{jwk}]}}"#)),
        ("an array of JWKs", format!("[{jwk}]")),
        ("SSH", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJjK me@here".to_owned()),
        ("SSH with ECDSA", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY me@here".to_owned()),
    ];
    for (case, key) in rows {
        let vars = [
            ("AUTH0_ALGORITHMS", "HS256"),
            ("AUTH0_SIGNING_SECRET", &key),
        ];
        match with(&vars) {
            Ok(_) => panic!("{case}"),
            Err(found) => {
                let found = found.to_string();
                assert!(
                    found.contains("a public key is not secret"),
                    "{case}: {found}"
                );
            }
        }
    }
    let random = base64(p256.der_bytes());
    config(&[
        ("AUTH0_ALGORITHMS", "HS256"),
        ("AUTH0_SIGNING_SECRET", &random),
    ]);
}

#[test]
fn reads_the_store_that_replicas_share() {
    let defaults = config(&[]).state_store;
    assert!(defaults.url.is_none());
    assert_eq!(defaults.timeout, Duration::from_millis(100));
    assert_eq!(defaults.stale, Duration::from_secs(300));
    assert_eq!(defaults.outage, StoreOutage::Refuse);
    let warning = "STATE_STORE_OUTAGE: not used, because STATE_STORE is not set";
    assert_eq!(warnings(&[("STATE_STORE_OUTAGE", "local")]), [warning]);
    let logout = ("AUTH0_LOGOUT_CLIENT_ID", "app");
    let warned = warnings(&[logout]);
    let lost = "AUTH0_LOGOUT_CLIENT_ID: set, but STATE_STORE is not";
    assert!(
        warned.len() == 1 && warned[0].starts_with(lost),
        "{warned:?}"
    );
    let shared = ("STATE_STORE", "redis://store.example");
    assert_eq!(warnings(&[logout, shared]), [""; 0]);
    #[rustfmt::skip]
    let rows = [
        ("http", "http://:hunter2@a", "which does not begin with redis:// or rediss://"),
        ("no scheme", "a.example:6379", "which does not begin with redis:// or rediss://"),
        ("an option", "rediss://:hunter2@a#insecure", "which has a query or a fragment"),
        ("a password with a slash", "redis://:hun/ter2@a", "which is not a URL with a host"),
        ("a database", "redis://:hunter2@a/b", "which has a path that is not the number of a database"),
    ];
    for (case, url, why) in rows {
        let found = faults(with(&[("STATE_STORE", url)]));
        assert_eq!(found.len(), 1, "{case}");
        let start = format!("STATE_STORE: found {} bytes (not shown), {why}", url.len());
        assert!(found[0].starts_with(&start), "{case}: {found:?}");
        assert!(!found[0].contains("ter2"), "{case}: {found:?}");
    }
    let url = ("STATE_STORE", "redis://:hunter2@store.example");
    let shown = format!("{:?}", config(&[url]));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn reads_the_source_of_client_certificates() {
    let tls = [("TLS_CERT_FILE", "a"), ("TLS_KEY_FILE", "b")];
    let request = ("TLS_CLIENT_CERT", "request");
    let authorities = ("TLS_CLIENT_CA_FILE", "c");
    let field = ("CLIENT_CERT_FIELD", "Client-Cert");
    assert_eq!(config(&[]).certificates, None);
    assert_eq!(config(&tls).certificates, None);
    let off = config(&[tls[0], tls[1], ("TLS_CLIENT_CERT", "off")]);
    assert_eq!(off.certificates, None);
    assert_eq!(off.tls.unwrap().clients, ClientAuth::Off);
    let asked = config(&[tls[0], tls[1], request]);
    assert_eq!(asked.certificates, Some(CertificateSource::Connection));
    let authorities_of_any = ClientAuth::Request { authorities: None };
    assert_eq!(asked.tls.unwrap().clients, authorities_of_any);
    for (name, source) in [
        ("client-cert", CertificateSource::ClientCert),
        (
            "X-Forwarded-Client-Cert",
            CertificateSource::XForwardedClientCert,
        ),
        ("x-ssl-client-cert", CertificateSource::XSslClientCert),
    ] {
        let config = config(&[("CLIENT_CERT_FIELD", name)]);
        assert_eq!(config.certificates, Some(source), "{name}");
    }
    #[rustfmt::skip]
    let rows = [
        ("no TLS", &[request][..], "TLS_CERT_FILE: not set, but TLS_CLIENT_CERT is; a client shows its certificate in a TLS handshake with this service"),
        ("two sources", &[tls[0], tls[1], request, field], "CLIENT_CERT_FIELD: set together with TLS_CLIENT_CERT; keep TLS_CLIENT_CERT if clients connect to this service over TLS, or CLIENT_CERT_FIELD if a proxy passes their certificate on"),
        ("not asked", &[tls[0], tls[1], authorities], "TLS_CLIENT_CA_FILE: set, but TLS_CLIENT_CERT is off; set TLS_CLIENT_CERT=request, or remove it"),
        ("not asked, with a field", &[authorities, field], "TLS_CLIENT_CA_FILE: set, but TLS_CLIENT_CERT is off; set TLS_CLIENT_CERT=request, or remove it"),
        ("required", &[tls[0], tls[1], ("TLS_CLIENT_CERT", "required")], "TLS_CLIENT_CERT: found \"required\", which is neither off nor request; did you mean request?"),
        ("another field", &[("CLIENT_CERT_FIELD", "client-certificate")], "CLIENT_CERT_FIELD: found \"client-certificate\", which is not a supported field; give client-cert, x-forwarded-client-cert or x-ssl-client-cert"),
    ];
    for (case, vars, fault) in rows {
        assert_eq!(faults(with(vars)), [fault], "{case}");
    }
}

#[test]
fn warns_about_unused_and_unknown_variables() {
    let hs256 = [
        ("AUTH0_ALGORITHMS", "HS256"),
        ("AUTH0_SIGNING_SECRET", SECRET),
    ];
    #[rustfmt::skip]
    let rows = [
        ("near", &[("AUTH0_AUDIENCE", "x")][..], "AUTH0_AUDIENCE: not a known variable; did you mean AUTH0_API_AUDIENCE?"),
        ("a slip", &[("AUTH0_DOMIAN", "x")], "AUTH0_DOMIAN: not a known variable; did you mean AUTH0_DOMAIN?"),
        ("small letters", &[("auth0_issuer", "x")], "auth0_issuer: not a known variable; did you mean AUTH0_ISSUER?"),
        ("mixed letters", &[("AUTH0_Issuer", "x")], "AUTH0_Issuer: not a known variable; did you mean AUTH0_ISSUER?"),
        ("a clock", &[("AUTH0_CLOCK_SKEW", "x")], "AUTH0_CLOCK_SKEW: not a known variable; did you mean AUTH0_LEEWAY?"),
        ("express-openid-connect", &[("AUTH0_ISSUER_BASE_URL", "x")], "AUTH0_ISSUER_BASE_URL: not a known variable; did you mean AUTH0_ISSUER?"),
        ("a tenant", &[("AUTH0_TENANT", "x")], "AUTH0_TENANT: not a known variable; did you mean AUTH0_DOMAIN?"),
        ("DPoP", &[("AUTH0_DPOP_REQUIRED", "x")], "AUTH0_DPOP_REQUIRED: not a known variable; did you mean AUTH0_DPOP=required?"),
        ("a public key", &[("AUTH0_PUBLIC_KEY", "x")], "AUTH0_PUBLIC_KEY: not a known variable; did you mean AUTH0_JWKS_FILE?"),
        ("a secret of a session", &[("AUTH0_SECRET", "x")], "AUTH0_SECRET: not a known variable; see .env.example for the variables that exist"),
        ("an address of an application", &[("AUTH0_BASE_URL", "x")], "AUTH0_BASE_URL: not a known variable; see .env.example for the variables that exist"),
        ("an address after the login", &[("AUTH0_CALLBACK_URL", "x")], "AUTH0_CALLBACK_URL: not a known variable; see .env.example for the variables that exist"),
        ("twice the prefix", &[("AUTH0_AUTH0_DOMAIN", "x")], "AUTH0_AUTH0_DOMAIN: not a known variable; did you mean AUTH0_DOMAIN?"),
        ("far", &[("AUTH0_X", "x")], "AUTH0_X: not a known variable; see .env.example for the variables that exist"),
        ("two lines", &[("AUTH0_X\ny", "x")], r"AUTH0_X\ny: not a known variable; see .env.example for the variables that exist"),
        ("a secret", &[hs256[1]], "AUTH0_SIGNING_SECRET: not used, because AUTH0_ALGORITHMS does not have HS256"),
        ("keys", &[hs256[0], hs256[1], ("AUTH0_JWKS_TTL", "1h")], "AUTH0_JWKS_TTL: not used, because AUTH0_ALGORITHMS has only HS256"),
        ("whitespace in the secret of a client", &[("AUTH0_INTROSPECTION", "opaque"), ("AUTH0_INTROSPECTION_CLIENT_ID", "a"), ("AUTH0_INTROSPECTION_CLIENT_SECRET", "s ")], "AUTH0_INTROSPECTION_CLIENT_SECRET: begins or ends with a space or a line break, which is part of the secret"),
        ("whitespace in a secret", &[hs256[0], ("AUTH0_SIGNING_SECRET", "a secret that nobody may ever read\n")], "AUTH0_SIGNING_SECRET: begins or ends with a space or a line break, which is part of the secret"),
        ("scopes of no resource", &[("AUTH0_RESOURCE_SCOPES", "a")], "AUTH0_RESOURCE_SCOPES: not used, because AUTH0_RESOURCE is not set"),
        ("a resource that is not an audience", &[("AUTH0_RESOURCE", "https://api.example.com/mcp")], "AUTH0_RESOURCE: not in AUTH0_API_AUDIENCE, so a token that a client requests for this resource (RFC 8707) is rejected here"),
        ("no slash", &[("AUTH0_ISSUER", "https://tenant.eu.auth0.com")], "AUTH0_ISSUER: Auth0's issuers end with a slash; did you mean https://tenant.eu.auth0.com/?"),
        ("another tenant", &[("AUTH0_ISSUER", "https://other.eu.auth0.com/")], "AUTH0_DOMAIN: not used, because AUTH0_ISSUER is set, and is not https://tenant.eu.auth0.com/; remove AUTH0_DOMAIN, or correct one of them, unless the issuer is the custom domain of this tenant"),
        ("the same host", &[("AUTH0_ISSUER", "https://tenant.eu.auth0.com/realms/r")], "AUTH0_DOMAIN: not used, because AUTH0_ISSUER is set, and is not https://tenant.eu.auth0.com/; remove AUTH0_DOMAIN, or correct one of them, unless the issuer is the custom domain of this tenant"),
    ];
    for (case, vars, warning) in rows {
        assert_eq!(warnings(vars), [warning], "{case}");
    }
    let silent = [
        ("AUTH0_CLIENT_ID", "x"),
        ("AUTH0_CLIENT_SECRET", "y"),
        ("PATH", "z"),
    ];
    assert_eq!(warnings(&silent), [""; 0]);
    let two = "https://tenant.eu.auth0.com/,https://b.example/";
    assert_eq!(warnings(&[("AUTH0_ISSUER", two)]), [""; 0]);
}

#[test]
fn accepts_names_that_contain_your() {
    for audience in [
        "https://your-energy.com",
        "https://yourself.org/api",
        "https://youre.api",
        "urn:hours:api",
    ] {
        assert_eq!(
            config(&[("AUTH0_API_AUDIENCE", audience)]).audiences,
            [audience]
        );
    }
}

const TUTORIAL: &str = "\
AUTH0_DOMAIN = your.domain.auth0.com
AUTH0_API_AUDIENCE = https://your.api.audience
AUTH0_ISSUER = https://your.domain.auth0.com/
AUTH0_ALGORITHMS = RS256
";

#[test]
fn accepts_the_completed_tutorial_file() {
    let example = include_str!("../../../.env.example");
    assert!(TUTORIAL.lines().all(|line| example.contains(line)));
    let vars = dotenv(TUTORIAL);
    assert_eq!(faults(Config::from_variables(vars)).len(), 3);

    let filled = TUTORIAL
        .replace("your.domain.auth0.com", "tenant.eu.auth0.com")
        .replace("your.api.audience", "api.example.com");
    let (config, warnings) = Config::from_variables(dotenv(&filled)).unwrap();
    assert_eq!(config.issuers, ["https://tenant.eu.auth0.com/"]);
    assert_eq!(config.audiences, ["https://api.example.com"]);
    assert_eq!(warnings, []);
}

#[test]
fn examples_are_valid_or_placeholders() {
    let mut placeholders = BTreeSet::new();
    for variable in VARIABLES {
        let line = format!("{}={}", variable.name, variable.example);
        let mut vars = dotenv(&line);
        if variable.name == "AUTH0_INTROSPECTION" {
            let [id, secret] = ["CLIENT_ID", "CLIENT_SECRET"];
            let name = |rest: &str| format!("AUTH0_INTROSPECTION_{rest}");
            vars.extend(owned(&[(&*name(id), "api"), (&*name(secret), "s")]));
        }
        if variable.name.starts_with("TLS_") {
            vars.extend(owned(&[("TLS_CERT_FILE", "a"), ("TLS_KEY_FILE", "b")]));
        }
        if variable.name == "TLS_CLIENT_CA_FILE" {
            vars.extend(owned(&[("TLS_CLIENT_CERT", "request")]));
        }
        let tenant = match variable.name {
            "ISSUERS_FILE" => &TENANT[1..],
            _ => TENANT,
        };
        if variable.name == "AUTH0_DPOP" {
            vars.extend(owned(&[("PUBLIC_URL", "https://api.example.com")]));
        }
        if let Err(faults) = Config::from_variables(owned(tenant).into_iter().chain(vars)) {
            assert!(
                faults.to_string().contains("which is a placeholder"),
                "{faults}"
            );
            placeholders.insert(variable.name);
        }
    }
    let expected = [
        "AUTH0_API_AUDIENCE",
        "AUTH0_DOMAIN",
        "AUTH0_DPOP_NONCE_SECRET",
        "AUTH0_INTROSPECTION_CLIENT_ID",
        "AUTH0_INTROSPECTION_CLIENT_SECRET",
        "AUTH0_INTROSPECTION_URI",
        "AUTH0_ISSUER",
        "AUTH0_JWKS_URI",
        "AUTH0_LOGOUT_CLIENT_ID",
        "AUTH0_SIGNING_SECRET",
        "STATE_STORE",
    ];
    assert!(placeholders.iter().eq(&expected), "{placeholders:?}");
}

#[test]
fn knows_every_variable_in_the_deployment_files() {
    let manifest = include_str!("../../../deploy/kubernetes/base/warp-bearer.yaml");
    let dockerfile = include_str!("../../../deploy/Dockerfile");
    let unit = include_str!("../../../deploy/warp-bearer.service");
    let (_, data) = manifest.split_once("\ndata:\n").unwrap();
    let (data, _) = data.split_once("---").unwrap();
    let data = data.lines().filter_map(|line| line.trim().split_once(": "));
    let (_, env) = dockerfile.split_once("\nENV ").unwrap();
    let (env, _) = env.split_once("\nEXPOSE").unwrap();
    let env = env
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='));
    let unit = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Environment="));
    let unit = unit.filter_map(|pair| pair.split_once('='));

    let set: Vec<_> = data
        .chain(env)
        .chain(unit)
        .filter(|(name, _)| !name.starts_with('#'))
        .collect();
    assert!(set.len() > 8, "{set:?}");
    for (name, value) in set {
        let value = value.trim_matches('"');
        let found = with(&[(name, value)]);
        assert!(variables::find(name).is_some(), "{name}");
        if let Err(faults) = found {
            assert!(
                faults.to_string().contains("which is a placeholder"),
                "{faults}"
            );
        }
    }
}

#[test]
fn issuers_file_replaces_the_issuer_variables() {
    let file = ("ISSUERS_FILE", "/etc/warp-bearer/issuers.toml");
    let (config, _) = from(&[file]).unwrap();
    assert!(config.issuers.is_empty());
    for (name, value) in [
        ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
        ("AUTH0_ISSUER", "https://a.example/"),
        ("AUTH0_AUDIENCE_CLAIM", "azp"),
        ("AUTH0_JWKS_URI", "https://a.example/keys"),
        ("AUTH0_JWKS_FILE", "keys.json"),
        ("AUTH0_SIGNING_SECRET", SECRET),
        ("AUTH0_INTROSPECTION", "opaque"),
        ("AUTH0_INTROSPECTION_URI", "https://a.example/introspect"),
        ("AUTH0_INTROSPECTION_CLIENT_ID", "api"),
        ("AUTH0_INTROSPECTION_CLIENT_SECRET", SECRET),
        ("AUTH0_INTROSPECTION_KEY_FILE", "api.key"),
        ("AUTH0_INTROSPECTION_TTL", "10s"),
    ] {
        let found = faults(from(&[file, (name, value)]));
        let expected = format!(
            "{name}: set together with ISSUERS_FILE, which sets it for each issuer; remove one of them"
        );
        assert_eq!(found, [expected]);
    }
}

#[test]
fn reports_a_missing_issuers_file() {
    let (config, _) = from(&[("ISSUERS_FILE", "/nowhere/issuers.toml")]).unwrap();
    let fault = config.read_issuers_file().unwrap_err().to_string();
    assert_eq!(
        fault,
        "ISSUERS_FILE: found \"/nowhere/issuers.toml\", which does not exist; give the path of a TOML file, such as /etc/warp-bearer/issuers.toml"
    );
}

#[test]
fn raises_the_head_limit_for_large_tokens() {
    assert_eq!(config(&[]).limits.head, 32 * 1024);
    let large = config(&[("AUTH0_MAX_TOKEN_BYTES", "64KiB")]);
    assert_eq!(large.max_token_bytes, 64 * 1024);
    assert_eq!(large.limits.head, 72 * 1024);
    let set = config(&[
        ("AUTH0_MAX_TOKEN_BYTES", "48KiB"),
        ("MAX_HEADER_BYTES", "52KiB"),
    ]);
    assert_eq!(set.limits.head, 52 * 1024);
    let found = faults(with(&[
        ("AUTH0_MAX_TOKEN_BYTES", "64KiB"),
        ("MAX_HEADER_BYTES", "64KiB"),
    ]));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("MAX_HEADER_BYTES: 65536 bytes, but"),
        "{found:?}"
    );
}

/// A token may then be too large for the head, which gets a 431 without an explanation.
#[test]
fn warns_about_a_head_limit_below_the_largest_token() {
    let found = warnings(&[("MAX_HEADER_BYTES", "8KiB")]);
    assert_eq!(
        found,
        [
            "MAX_HEADER_BYTES: 8192 bytes, but a request head with the largest token (16384 bytes) may have 20480, and then gets 431; set at least that, or AUTH0_MAX_TOKEN_BYTES to at most 4096"
        ]
    );
    let advised = [
        ("MAX_HEADER_BYTES", "8KiB"),
        ("AUTH0_MAX_TOKEN_BYTES", "4096"),
    ];
    assert!(warnings(&advised).is_empty());
    for pairs in [
        &[][..],
        &[("MAX_HEADER_BYTES", "20KiB")],
        &[("AUTH0_MAX_TOKEN_BYTES", "64KiB")],
        &[
            ("AUTH0_MAX_TOKEN_BYTES", "4KiB"),
            ("MAX_HEADER_BYTES", "8KiB"),
        ],
    ] {
        assert!(warnings(pairs).is_empty(), "{pairs:?}");
    }
}

#[test]
fn reads_scope_inclusions() {
    let found = config(&[(
        "AUTH0_SCOPE_INCLUDES",
        "admin > read:messages write:messages, editor > read:messages",
    )]);
    let read = "read:messages".to_owned();
    assert_eq!(
        found.scope_includes,
        [
            (
                "admin".to_owned(),
                vec![read.clone(), "write:messages".to_owned()]
            ),
            ("editor".to_owned(), vec![read]),
        ]
    );
    let hint = "does not say what the scope includes; write a scope, a > and the scopes that it includes: admin > read:messages";
    assert_refused(&[
        ("no scope after >", "AUTH0_SCOPE_INCLUDES", "admin >", hint),
        (
            "no sign",
            "AUTH0_SCOPE_INCLUDES",
            "admin read:messages",
            hint,
        ),
        ("two signs", "AUTH0_SCOPE_INCLUDES", "a > b > c", hint),
    ]);
}

#[test]
fn rejects_unsuitable_token_fields_and_claims() {
    assert_refused(&[
        (
            "the default field",
            "AUTH0_TOKEN_FIELD",
            "Authorization",
            "is the default; remove it: by default, the token is in Authorization: Bearer",
        ),
        (
            "another purpose",
            "AUTH0_TOKEN_FIELD",
            "Host",
            "has another purpose",
        ),
        (
            "a field that is logged and repeated in the answer",
            "AUTH0_TOKEN_FIELD",
            "X-Request-Id",
            "has another purpose",
        ),
        (
            "a space",
            "AUTH0_TOKEN_FIELD",
            "my token",
            "is not the name of a header",
        ),
        (
            "misspelt",
            "AUTH0_AUDIENCE_CLAIM",
            "clientid",
            "is not a supported claim; did you mean client_id?",
        ),
        (
            "too large",
            "AUTH0_MAX_TOKEN_BYTES",
            "65KiB",
            "is out of range",
        ),
        ("too small", "AUTH0_MAX_TOKEN_BYTES", "1", "is out of range"),
    ]);
    let several = faults(with(&[
        ("AUTH0_ISSUER", "https://a.example/,https://b.example/"),
        ("AUTH0_AUDIENCE_CLAIM", "azp"),
    ]));
    assert!(
        several[0].starts_with("AUTH0_AUDIENCE_CLAIM: set, but AUTH0_ISSUER has several"),
        "{several:?}"
    );
}

/// Auth0's audiences are often names that look like URLs.
#[test]
fn warns_about_foreign_origins_only_beside_the_own_one() {
    let url = ("PUBLIC_URL", "https://api.example.com");
    #[rustfmt::skip]
    let rows = [
        ("a name", "https://my-api", 0),
        ("two names", "https://my-api,https://other", 0),
        ("its own", "https://api.example.com/v1", 0),
        ("its own and a name", "https://api.example.com,urn:api", 0),
        ("its own and others", "https://api.example.com,https://a.example,http://b.example", 2),
    ];
    for (case, audiences, expected) in rows {
        let found = warnings(&[url, ("AUTH0_API_AUDIENCE", audiences)]);
        assert_eq!(found.len(), expected, "{case}: {found:?}");
        let other = found.iter().find(|text| !text.contains("another origin"));
        assert_eq!(other, None, "{case}");
    }
}

/// The log omits warnings after the first twenty, so the lines of other programs must not come
/// first.
#[test]
fn warnings_about_variables_precede_those_about_lines_of_env() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".env");
    let odd = "not a line of variables\n".repeat(25);
    let text = format!(
        "{odd}AUTH0_ISSUER=https://a.example/\nAUTH0_API_AUDIENCE=urn:api\nSTATE_STORE_STALE=1m\n"
    );
    std::fs::write(&file, text).unwrap();
    let environment = Environment::read_file(&file).unwrap();
    let (_, warnings) = Config::from_environment(&environment).unwrap();
    assert_eq!(warnings.len(), 26);
    let first = warnings[0].to_string();
    assert!(first.starts_with("STATE_STORE_STALE: "), "{first}");
}
