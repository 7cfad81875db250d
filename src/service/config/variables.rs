//! Every variable that the service knows, one row each.
//!
//! A row is the only place that names a variable, its default, its meaning and its parser. Parsing,
//! `warp-bearer check`, `.env.example` and the table in the README follow from it; after a change,
//! `UPDATE=1 cargo test --test pages` writes the last two.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;
use warp::http::HeaderValue;

use crate::{
    algorithm::Algorithm,
    auth::policy::Policy,
    service::{
        config::{
            types::{Secret, TokenProfile},
            url,
            value::{self, KIB, MIB},
            variable::{Optional, Unread, Variable, WithDefault},
        },
        observe::logging::LogFormat,
    },
};

/// Makes a constant of each row, and [`VARIABLES`] of all of them.
///
/// The name of the constant is the name of the variable, so that a misspelt name does not compile.
/// The type of a list is that of its items.
macro_rules! variables {
    ($(
        $name:ident: $kind:ident $(<$type:ty>)? {
            default: $default:literal,
            meaning: $meaning:literal,
            example: $example:literal,
            expects: $expects:literal,
            $(parse: $parse:expr,)?
            $(is_secret: $is_secret:literal,)?
        }
    )*) => {
        $(
            pub(super) const $name: $kind $(<$type>)? = $kind {
                variable: Variable {
                    name: stringify!($name),
                    unset: $kind $(::<$type>)? ::unset($default),
                    meaning: $meaning,
                    example: $example,
                    expects: $expects,
                    is_secret: false $(|| $is_secret)?,
                },
                $(parse: $parse,)?
            };
        )*

        /// Every variable that the service knows. The first four are the ones of Auth0's tutorial.
        pub const VARIABLES: &[Variable] = &[$($name.variable),*];
    };
}

variables! {
    AUTH0_DOMAIN: Optional<String> {
        default: "none; this or AUTH0_ISSUER is needed",
        meaning: "The host of your tenant, with or without a port. AUTH0_ISSUER takes precedence.",
        example: "your.domain.auth0.com",
        expects: "a host, such as tenant.eu.auth0.com",
        parse: url::domain,
    }

    AUTH0_API_AUDIENCE: Optional<String> {
        default: "none; it is needed",
        meaning: "The identifier of your API, which every token must name as its audience. Separate several with commas.",
        example: "https://your.api.audience",
        expects: "the identifier of your API, such as https://api.example.com",
        parse: value::audience,
    }

    AUTH0_ISSUER: Optional<String> {
        default: "https://{AUTH0_DOMAIN}/",
        meaning: "The issuer, exactly as its tokens name it; Auth0's ends with a slash. Separate several with commas.",
        example: "https://your.domain.auth0.com/",
        expects: "the URL of an issuer, such as https://tenant.eu.auth0.com/",
        parse: url::issuer,
    }

    AUTH0_ALGORITHMS: WithDefault<Algorithm> {
        default: "RS256",
        meaning: "The accepted signature algorithms, separated by commas: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, and HS256 with AUTH0_SIGNING_SECRET.",
        example: "RS256",
        expects: "some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256",
        parse: value::algorithm,
    }

    AUTH0_JWKS_URI: Optional<String> {
        default: "what the issuer's discovery document says",
        meaning: "The URL of the key set, for a single issuer.",
        example: "https://your.domain.auth0.com/.well-known/jwks.json",
        expects: "the URL of a key set, such as https://tenant.eu.auth0.com/.well-known/jwks.json",
        parse: url::key_set,
    }

    AUTH0_JWKS_FILE: Optional<PathBuf> {
        default: "none; keys are fetched",
        meaning: "A key set on disk, used instead of a fetched one and reread when it changes.",
        example: "/etc/warp-bearer/jwks.json",
        expects: "the path of a key set, such as /etc/warp-bearer/jwks.json",
        parse: value::file,
    }

    AUTH0_SIGNING_SECRET: Optional<Secret> {
        default: "none; HS256 needs it",
        meaning: "The secret that the issuer signs with, for HS256 only: 32 bytes or more, in single quotes.",
        example: "'<signing-secret>'",
        expects: "a secret of 32 bytes or more",
        parse: value::secret,
        is_secret: true,
    }

    AUTH0_JWKS_TTL: Optional<Duration> {
        default: "the answer's max-age, 5m at least and 24h at most; 10m without one",
        meaning: "How long a fetched key set is fresh. If set, it overrides the issuer's max-age.",
        example: "1h",
        expects: "a duration, such as 10m",
        parse: value::positive_duration,
    }

    AUTH0_JWKS_COOLDOWN: WithDefault<Duration> {
        default: "15s",
        meaning: "How long until tokens with unknown keys may cause one more fetch.",
        example: "30s",
        expects: "a duration, such as 15s",
        parse: value::positive_duration,
    }

    AUTH0_JWKS_STALE: WithDefault<Duration> {
        default: "1h",
        meaning: "How long an expired key set is still used while the issuer fails; 0s: not at all.",
        example: "6h",
        expects: "a duration, such as 1h",
        parse: value::duration,
    }

    AUTH0_JWKS_TIMEOUT: WithDefault<Duration> {
        default: "5s",
        meaning: "The timeout of one whole fetch.",
        example: "2s",
        expects: "a duration, such as 5s",
        parse: value::positive_duration,
    }

    AUTH0_LEEWAY: WithDefault<Duration> {
        default: "30s",
        meaning: "The tolerated difference between the clocks of issuer and service, 0s to 5m.",
        example: "1m",
        expects: "a duration from 0s to 5m, such as 30s",
        parse: |text| value::duration_within(text, Duration::ZERO..=Duration::from_secs(5 * 60)),
    }

    AUTH0_TOKEN_PROFILE: WithDefault<TokenProfile> {
        default: "any",
        meaning: "The profile that tokens must follow: any accepts what issuers sign by default, rfc9068 only typ at+jwt with sub, client_id, iat and jti.",
        example: "rfc9068",
        expects: "any or rfc9068",
        parse: value::token_profile,
    }

    AUTH0_TOKEN_MAX_AGE: Optional<Duration> {
        default: "none; the token's exp decides",
        meaning: "The maximum age of a token since it was issued, whatever its exp. Tokens without iat are then refused.",
        example: "24h",
        expects: "a duration, such as 24h",
        parse: value::positive_duration,
    }

    AUTH0_TOKEN_CACHE: WithDefault<usize> {
        default: "10000",
        meaning: "The number of verified tokens that are cached; 0 disables the cache.",
        example: "50000",
        expects: "a number from 0 to 10000000, such as 10000",
        parse: |text| value::number(text, 0..=10_000_000),
    }

    AUTH0_REALM: WithDefault<String> {
        default: "api",
        meaning: "The realm in challenges.",
        example: "messages",
        expects: "a short name in ASCII without quotes and backslashes, such as api",
        parse: value::realm,
    }

    AUTH0_REQUIRED_SCOPE: Optional<Policy> {
        default: "none; the route decides",
        meaning: "The scopes that every private route requires in addition to its own, separated by spaces.",
        example: "use:messages",
        expects: "scopes with single spaces between them, such as use:messages",
        parse: value::scopes,
    }

    AUTH0_RESOURCE: Optional<String> {
        default: "none; there is no metadata",
        meaning: "The URL by which clients know this service. If set, the service serves its metadata (RFC 9728) and names them in every challenge, as MCP clients require.",
        example: "https://api.example.com",
        expects: "the URL of this service, such as https://api.example.com",
        parse: url::resource,
    }

    AUTH0_RESOURCE_SCOPES: Optional<Vec<String>> {
        default: "those of AUTH0_REQUIRED_SCOPE",
        meaning: "The scopes that the metadata of AUTH0_RESOURCE list, separated by spaces. MCP clients ask the issuer for them.",
        example: "read:messages write:messages",
        expects: "scopes with single spaces between them, such as read:messages write:messages",
        parse: value::scope_names,
    }

    AUTH0_CLIENT_ID: Unread {
        default: "none",
        meaning: "The application for which `just token` fetches a token. The service never reads it.",
        example: "'<client-id>'",
        expects: "the client ID of an application",
    }

    AUTH0_CLIENT_SECRET: Unread {
        default: "none",
        meaning: "The secret of that application, in single quotes, for `just token` only. The service never reads it.",
        example: "'<client-secret>'",
        expects: "the client secret of an application",
        is_secret: true,
    }

    LISTEN: WithDefault<SocketAddr> {
        default: "127.0.0.1:8000",
        meaning: "The address and port on which the service listens.",
        example: "0.0.0.0:8000",
        expects: "an IP address and a port, such as 127.0.0.1:8000",
        parse: value::socket_address,
    }

    TLS_CERT_FILE: Optional<PathBuf> {
        default: "none; the service speaks plain HTTP",
        meaning: "The certificate for TLS, followed by its chain, as PEM. Reread when it changes.",
        example: "/etc/warp-bearer/tls.crt",
        expects: "the path of a certificate as PEM",
        parse: value::file,
    }

    TLS_KEY_FILE: Optional<PathBuf> {
        default: "none; TLS_CERT_FILE needs it",
        meaning: "The private key of the certificate, as PEM. Reread when it changes.",
        example: "/etc/warp-bearer/tls.key",
        expects: "the path of a private key as PEM",
        parse: value::file,
    }

    METRICS_LISTEN: Optional<SocketAddr> {
        default: "none; there are no metrics",
        meaning: "The address and port on which metrics are served, at /metrics. They need no token.",
        example: "127.0.0.1:9090",
        expects: "an IP address and a port, such as 127.0.0.1:9090",
        parse: value::socket_address,
    }

    CORS_ORIGINS: Optional<Option<HeaderValue>> {
        default: "none; no page of another origin reads answers",
        meaning: "The origins whose pages may read responses in a browser, separated by commas and compared exactly. * alone allows every origin.",
        example: "https://app.example.com,http://localhost:3000",
        expects: "origins, such as https://app.example.com",
        parse: url::origin_or_any,
    }

    DOCS: WithDefault<bool> {
        default: "on",
        meaning: "Serves /docs, where people can try the routes, and /openapi.json: on or off. Both show only what challenges and metadata reveal anyway.",
        example: "off",
        expects: "on or off",
        parse: value::switch,
    }

    IDLE_TIMEOUT: WithDefault<Duration> {
        default: "30s",
        meaning: "How long a connection may stay open without a request in progress, and how long a response is held that the client does not read.",
        example: "1m",
        expects: "a duration, such as 30s",
        parse: value::positive_duration,
    }

    REQUEST_TIMEOUT: WithDefault<Duration> {
        default: "30s",
        meaning: "How long a request may take, including its body; beyond: 503.",
        example: "10s",
        expects: "a duration, such as 30s",
        parse: value::positive_duration,
    }

    MAX_CONNECTIONS: WithDefault<usize> {
        default: "10000",
        meaning: "The number of connections served at once. Further ones wait.",
        example: "2000",
        expects: "a number from 1 to 1000000, such as 10000",
        parse: |text| value::number(text, 1..=1_000_000),
    }

    MAX_HEADER_BYTES: WithDefault<u32> {
        default: "32KiB",
        meaning: "The maximum size of a request's head, 8KiB to 1MiB; beyond: 431.",
        example: "64KiB",
        expects: "a size from 8KiB to 1MiB, such as 32KiB",
        parse: |text| value::size(text, 8 * KIB..=MIB),
    }

    MAX_HEADER_FIELDS: WithDefault<usize> {
        default: "100",
        meaning: "The maximum number of fields in a request's head; beyond: 431.",
        example: "50",
        expects: "a number from 1 to 10000, such as 100",
        parse: |text| value::number(text, 1..=10_000),
    }

    MAX_URI_BYTES: WithDefault<usize> {
        default: "8KiB",
        meaning: "The maximum size of a request's target; beyond: 414.",
        example: "4KiB",
        expects: "a size from 1 to 1MiB, such as 8KiB",
        parse: |text| value::size(text, 1..=MIB),
    }

    MAX_BODY_BYTES: WithDefault<u64> {
        default: "1MiB",
        meaning: "The maximum size of a request's body; beyond: 413.",
        example: "64KiB",
        expects: "a size from 0 to 1GiB, such as 1MiB",
        parse: |text| value::size(text, 0..=1024 * MIB),
    }

    MAX_STREAMS: WithDefault<u32> {
        default: "128",
        meaning: "The maximum number of concurrent HTTP/2 requests on one connection.",
        example: "32",
        expects: "a number from 1 to 10000, such as 128",
        parse: |text| value::number(text, 1..=10_000),
    }

    MAX_RESETS: WithDefault<usize> {
        default: "128",
        meaning: "The number of HTTP/2 requests that a client may cancel before they are read; beyond, the connection is closed.",
        example: "32",
        expects: "a number from 1 to 10000, such as 128",
        parse: |text| value::number(text, 1..=10_000),
    }

    SHUTDOWN_GRACE: WithDefault<Duration> {
        default: "500ms",
        meaning: "How long new connections are still accepted once a stop was requested. Every response then closes its connection.",
        example: "5s",
        expects: "a duration, such as 500ms",
        parse: value::duration,
    }

    SHUTDOWN_TIMEOUT: WithDefault<Duration> {
        default: "25s",
        meaning: "How long requests in progress may take after that.",
        example: "10s",
        expects: "a duration, such as 25s",
        parse: value::duration,
    }

    RUST_LOG: WithDefault<EnvFilter> {
        default: "info",
        meaning: "The log filter: a level, and levels for single targets.",
        example: "info,warp_bearer=debug",
        expects: "a level or target=level, such as info,warp_bearer=debug",
        parse: value::log_filter,
    }

    LOG_FORMAT: WithDefault<LogFormat> {
        default: "text",
        meaning: "The log format: text for people, json for machines.",
        example: "json",
        expects: "text or json",
        parse: value::log_format,
    }
}

/// Returns the variable of this name.
pub(super) fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// Returns whether a name starts with `AUTH0_`, in any case, and so is meant for this service even
/// if it is misspelt.
pub(super) fn is_auth0(name: &str) -> bool {
    const PREFIX: &str = "AUTH0_";
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Returns the known name that is most similar to a misspelt one, which starts with `AUTH0_`.
///
/// Compares the pairs of letters that names share, which finds `AUTH0_API_AUDIENCE` for
/// `AUTH0_AUDIENCE`. By edit distance, half of the table would be nearer.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let misspelt = name["AUTH0_".len()..].to_ascii_uppercase();
    VARIABLES
        .iter()
        .filter_map(|variable| {
            let known = variable.name.strip_prefix("AUTH0_")?;
            Some((strsim::sorensen_dice(&misspelt, known), variable.name))
        })
        .filter(|(similarity, _)| *similarity > 0.0)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
