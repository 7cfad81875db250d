//! Every variable that the service knows, one row each.
//!
//! A row defines the name, the default, the meaning and the parser of a variable. The command
//! `check`, the file `.env.example` and the table in `docs/configuration.md` are derived from it.
//! After a change, run `UPDATE=1 cargo test --test pages` to write the file and the table.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;
use warp::http::{HeaderName, HeaderValue};

use crate::{
    algorithm::{Algorithm, public_key_algorithms},
    auth::{AudienceClaim, CertificateSource, dpop::DpopMode, policy::Policy},
    service::{
        config::{
            types::{IntrospectionMode, Secret, StoreOutage, TokenProfile},
            url,
            value::{self, KIB, MIB},
            variable::{Form, Optional, Unread, Variable, WithDefault},
        },
        observe::logging::LogFormat,
    },
};

/// Many platforms set it. We don't read it.
pub(super) const PORT: &str = "PORT";

/// The form of a row, [`Form::Strict`] unless the row says otherwise
macro_rules! form {
    () => {
        Form::Strict
    };
    ($form:ident) => {
        Form::$form
    };
}

/// Creates a constant for each row, and [`VARIABLES`] with all of them.
///
/// The constant has the name of the variable, so a misspelt name does not compile. A list has the
/// type of its items.
macro_rules! variables {
    ($(
        $name:ident: $kind:ident $(<$type:ty>)? {
            default: $default:literal,
            meaning: $meaning:expr,
            example: $example:literal,
            expects: $expects:expr,
            $(parse: $parse:expr,)?
            $(is_secret: $is_secret:literal,)?
            $(form: $form:ident,)?
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
                    form: form!($($form)?),
                },
                $(parse: $parse,)?
            };
        )*

        /// Every variable that the service knows. The first four are those of Auth0's tutorial.
        pub const VARIABLES: &[Variable] = &[$($name.variable),*];
    };
}

variables! {
    AUTH0_DOMAIN: Optional<String> {
        default: "none; needed without AUTH0_ISSUER or ISSUERS_FILE",
        meaning: "The host of your tenant, with or without a port. AUTH0_ISSUER takes precedence.",
        example: "your.domain.auth0.com",
        expects: "a host, such as tenant.eu.auth0.com",
        parse: url::domain,
    }

    AUTH0_API_AUDIENCE: Optional<String> {
        default: "none; needed without ISSUERS_FILE",
        meaning: "The identifier of your API. Every token must have it as its audience. Separate several with commas.",
        example: "https://your.api.audience",
        expects: "the identifier of your API, such as https://api.example.com",
        parse: value::audience,
    }

    AUTH0_ISSUER: Optional<String> {
        default: "https://{AUTH0_DOMAIN}/",
        meaning: "The issuer, exactly as it appears in the iss of tokens; Auth0's ends with a slash. Separate several with commas. Must be an https URL, or http on this machine, unless AUTH0_JWKS_URI or AUTH0_JWKS_FILE is set.",
        example: "https://your.domain.auth0.com/",
        expects: "the URL of an issuer, such as https://tenant.eu.auth0.com/",
        parse: url::issuer_name,
    }

    AUTH0_ALGORITHMS: WithDefault<Algorithm> {
        default: "RS256",
        meaning: concat!("The accepted signature algorithms, separated by commas: ", public_key_algorithms!(), ", and HS256 with AUTH0_SIGNING_SECRET. The names of RFC 9864 (Ed25519, ESP256, …) mean the same."),
        example: "RS256",
        expects: concat!("some of ", public_key_algorithms!(), ", HS256"),
        parse: value::algorithm,
    }

    AUTH0_AUDIENCE_CLAIM: WithDefault<AudienceClaim> {
        default: "aud",
        meaning: "The claim that is compared with AUTH0_API_AUDIENCE: aud, client_id, azp or cid. Change it only if the issuer's access tokens have no aud: every token of the listed clients is then accepted.",
        example: "client_id",
        expects: "aud, client_id, azp or cid",
        parse: value::audience_claim,
    }

    ISSUERS_FILE: Optional<PathBuf> {
        default: "none; AUTH0_DOMAIN or AUTH0_ISSUER",
        meaning: "A TOML file with a table of options for each issuer, instead of AUTH0_DOMAIN and AUTH0_ISSUER. Read again on SIGHUP.",
        example: "/etc/warp-bearer/issuers.toml",
        expects: "the path of a TOML file, such as /etc/warp-bearer/issuers.toml",
        parse: value::file,
        form: Path,
    }

    AUTH0_JWKS_URI: Optional<String> {
        default: "from the issuer's discovery document",
        meaning: "The URL of the key set, if there is only one issuer.",
        example: "https://your.domain.auth0.com/.well-known/jwks.json",
        expects: "the URL of a key set, such as https://tenant.eu.auth0.com/.well-known/jwks.json",
        parse: url::key_set,
    }

    AUTH0_JWKS_FILE: Optional<PathBuf> {
        default: "none; keys are fetched",
        meaning: "A file with the public keys, instead of a fetched key set: a JWK set, one JWK, an array of JWKs, or PEM. Read again when it changes.",
        example: "/etc/warp-bearer/jwks.json",
        expects: "the path of a file of public keys, such as /etc/warp-bearer/jwks.json",
        parse: value::key_file,
        form: Path,
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
        default: "the response's max-age, limited to 5m to 24h; 10m without one",
        meaning: "The time to live of a fetched key set, at least 1s. If set, it overrides the issuer's max-age.",
        example: "1h",
        expects: "a duration of at least 1s, such as 10m",
        parse: |text| value::duration_from(text, Duration::from_secs(1)),
    }

    AUTH0_JWKS_COOLDOWN: WithDefault<Duration> {
        default: "15s",
        meaning: "The time after which tokens with unknown keys may cause one more fetch, at least 500ms.",
        example: "30s",
        expects: "a duration of at least 500ms, such as 15s",
        parse: |text| value::duration_from(text, Duration::from_millis(500)),
    }

    AUTH0_JWKS_STALE: WithDefault<Duration> {
        default: "1h",
        meaning: "How long the last key set stays in use after its time to live while the issuer fails. 0s turns this off.",
        example: "6h",
        expects: "a duration, such as 1h",
        parse: value::duration,
    }

    AUTH0_JWKS_TIMEOUT: WithDefault<Duration> {
        default: "5s",
        meaning: "The timeout of a key fetch, discovery included, at least 100ms.",
        example: "2s",
        expects: "a duration of at least 100ms, such as 5s",
        parse: |text| value::duration_from(text, Duration::from_millis(100)),
    }

    AUTH0_LEEWAY: WithDefault<Duration> {
        default: "30s",
        meaning: "The tolerated difference between the clocks of the issuer and the service, 0s to 5m.",
        example: "1m",
        expects: "a duration from 0s to 5m, such as 30s",
        parse: |text| value::duration_within(text, Duration::ZERO..=Duration::from_secs(5 * 60)),
    }

    AUTH0_TOKEN_PROFILE: WithDefault<TokenProfile> {
        default: "any",
        meaning: "The profile of accepted tokens: any, or rfc9068, which requires typ at+jwt and the claims sub, client_id, iat and jti.",
        example: "rfc9068",
        expects: "any or rfc9068",
        parse: value::token_profile,
    }

    AUTH0_TOKEN_MAX_AGE: Optional<Duration> {
        default: "none; the token's exp decides",
        meaning: "The maximum age of a token, counted from iat, even if its exp is later. Tokens without iat are then rejected.",
        example: "24h",
        expects: "a duration of at least 1s, such as 24h",
        parse: |text| value::duration_from(text, Duration::from_secs(1)),
    }

    AUTH0_TOKEN_FIELD: Optional<HeaderName> {
        default: "none; tokens are in Authorization",
        meaning: "The header that carries the token, without a scheme, instead of Authorization. Examples: Cf-Access-Jwt-Assertion, X-Goog-Iap-Jwt-Assertion, X-Forwarded-Access-Token.",
        example: "Cf-Access-Jwt-Assertion",
        expects: "the name of a header, such as Cf-Access-Jwt-Assertion",
        parse: value::token_field,
    }

    AUTH0_MAX_TOKEN_BYTES: WithDefault<usize> {
        default: "16KiB",
        meaning: "The maximum size of a token, 1KiB to 64KiB. MAX_HEADER_BYTES grows with it unless it is set.",
        example: "48KiB",
        expects: "a size from 1KiB to 64KiB, such as 16KiB",
        parse: |text| value::size(text, KIB..=64 * KIB),
    }

    AUTH0_ROLES_AT: WithDefault<String> {
        default: "roles",
        meaning: "The claim that holds a token's roles, which /auth?role=… checks: a name, or a path such as realm_access.roles.",
        example: "realm_access.roles",
        expects: "the name of a claim, or a path such as realm_access.roles",
        parse: value::claim_path,
    }

    AUTH0_GROUPS_AT: WithDefault<String> {
        default: "groups",
        meaning: "The claim that holds a token's groups, which /auth?group=… checks: a name or a path.",
        example: "cognito:groups",
        expects: "the name of a claim, or a path such as org.groups",
        parse: value::claim_path,
    }

    AUTH0_SCOPE_INCLUDES: Optional<(String, Vec<String>)> {
        default: "none; no scope includes others",
        meaning: "Scopes that include others, such as admin > read:messages write:messages, separated by commas. A token with the scope before > also grants the scopes after it.",
        example: "'admin > read:messages write:messages, editor > read:messages'",
        expects: "entries such as admin > read:messages write:messages",
        parse: value::scope_inclusion,
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
        expects: "a short name in ASCII without quotes or backslashes, such as api",
        parse: value::realm,
        form: FreeText,
    }

    AUTH0_REQUIRED_SCOPE: Optional<Policy> {
        default: "none; only what the route requires",
        meaning: "The scopes that every private route requires in addition to its own, separated by spaces.",
        example: "use:messages",
        expects: "scopes with single spaces between them, such as use:messages",
        parse: value::scopes,
    }

    AUTH0_RESOURCE: Optional<String> {
        default: "none; no metadata",
        meaning: "The URL that clients use for this service. If set, the service publishes resource metadata (RFC 9728) and names its address in every challenge, as MCP clients require.",
        example: "https://api.example.com",
        expects: "the URL of this service, such as https://api.example.com",
        parse: url::resource,
    }

    AUTH0_RESOURCE_SCOPES: Optional<Vec<String>> {
        default: "those of AUTH0_REQUIRED_SCOPE",
        meaning: "The scopes in the metadata of AUTH0_RESOURCE, separated by spaces. MCP clients request them from the issuer.",
        example: "read:messages write:messages",
        expects: "scopes with single spaces between them, such as read:messages write:messages",
        parse: value::scope_names,
    }

    AUTH0_INTROSPECTION: WithDefault<IntrospectionMode> {
        default: "off",
        meaning: "Asks the issuer whether a token is active (RFC 7662): off, opaque for tokens that are not JWTs, or always for JWTs as well.",
        example: "opaque",
        expects: "off, opaque or always",
        parse: value::introspection,
    }

    AUTH0_INTROSPECTION_URI: Optional<String> {
        default: "from the issuer's discovery document",
        meaning: "The URL of the issuer's introspection endpoint.",
        example: "https://your.issuer/oauth2/introspect",
        expects: "the URL of an introspection endpoint",
        parse: url::web_address,
    }

    AUTH0_INTROSPECTION_CLIENT_ID: Optional<String> {
        default: "none; introspection needs it",
        meaning: "The ID of the client that the service uses for introspection: a client for this API, not the one that fetches tokens.",
        example: "'<introspection-client-id>'",
        expects: "the ID of a client at the issuer",
        parse: value::text,
    }

    AUTH0_INTROSPECTION_CLIENT_SECRET: Optional<Secret> {
        default: "none; introspection needs it or AUTH0_INTROSPECTION_KEY_FILE",
        meaning: "The secret of that client, in single quotes.",
        example: "'<introspection-client-secret>'",
        expects: "the secret of that client",
        parse: value::client_secret,
        is_secret: true,
    }

    AUTH0_INTROSPECTION_KEY_FILE: Optional<PathBuf> {
        default: "none; the secret is used",
        meaning: "The private key of that client as PEM, to authenticate by private_key_jwt (RFC 7523).",
        example: "/etc/warp-bearer/introspection.key",
        expects: "the path of a private key as PEM",
        parse: value::file,
        form: Path,
    }

    AUTH0_INTROSPECTION_TTL: WithDefault<Duration> {
        default: "30s",
        meaning: "How long an active response is cached, which is also how long a token may still be accepted after the issuer has revoked it. With 0s, the issuer is asked each time.",
        example: "10s",
        expects: "a duration, such as 30s",
        parse: value::duration,
    }

    AUTH0_REVOCATION_FILE: Optional<PathBuf> {
        default: "none",
        meaning: "A file of revoked tokens, one line of JSON each, such as {\"iss\":\"https://…/\",\"sub\":\"auth0|alice\",\"before\":1790000000}. Checked for changes every second.",
        example: "/etc/warp-bearer/revoked.jsonl",
        expects: "the path of a file of revocations",
        parse: value::file,
        form: Path,
    }

    AUTH0_LOGOUT_CLIENT_ID: Optional<String> {
        default: "none; /backchannel-logout is off",
        meaning: "The client whose logout tokens are accepted at /backchannel-logout (OpenID Connect Back-Channel Logout 1.0), which revokes the tokens of the session. Separate several with commas.",
        example: "'<logout-client-id>'",
        expects: "the ID of a client at the issuer",
        parse: value::text,
    }

    PUBLIC_URL: Optional<String> {
        default: "the origin of AUTH0_RESOURCE",
        meaning: "The URL that clients use for this service. The URL in a DPoP proof is compared with it, never with the Host that a caller sends.",
        example: "https://api.example.com",
        expects: "the URL that clients use for this service, such as https://api.example.com",
        parse: url::public,
    }

    AUTH0_DPOP: Optional<DpopMode> {
        default: "allowed if PUBLIC_URL or AUTH0_RESOURCE is set, otherwise off",
        meaning: "Accepts tokens that are bound to a key, with a DPoP proof (RFC 9449): off, allowed beside plain bearer tokens, or required.",
        example: "required",
        expects: "off, allowed or required",
        parse: value::dpop_mode,
    }

    AUTH0_DPOP_ALGORITHMS: WithDefault<Algorithm> {
        default: "ES256,ES384,EdDSA,PS256,RS256",
        meaning: "The accepted signature algorithms of DPoP proofs, separated by commas.",
        example: "ES256,EdDSA",
        expects: concat!("some of ", public_key_algorithms!()),
        parse: value::proof_algorithm,
    }

    AUTH0_DPOP_WINDOW: WithDefault<Duration> {
        default: "5m",
        meaning: "The maximum age of a DPoP proof, 1s to 1h, in addition to AUTH0_LEEWAY.",
        example: "1m",
        expects: "a duration from 1s to 1h, such as 5m",
        parse: |text| value::duration_within(text, Duration::from_secs(1)..=Duration::from_secs(60 * 60)),
    }

    AUTH0_DPOP_NONCE: WithDefault<bool> {
        default: "off",
        meaning: "Requires a nonce of this service in DPoP proofs, so that they cannot be made in advance: off or required.",
        example: "required",
        expects: "off or required",
        parse: value::nonce,
    }

    AUTH0_DPOP_NONCE_SECRET: Optional<Secret> {
        default: "random; each replica then accepts only its own nonces",
        meaning: "The secret for making nonces: 32 bytes or more, in single quotes, the same for all replicas.",
        example: "'<nonce-secret>'",
        expects: "a secret of 32 bytes or more",
        parse: value::nonce_secret,
        is_secret: true,
    }

    AUTH0_DPOP_STORE: WithDefault<usize> {
        default: "64MiB",
        meaning: "The memory for used DPoP proofs, 64KiB to 16384MiB. A million proofs take about 40MiB. When it is full, requests with a proof get 503.",
        example: "256MiB",
        expects: "a size from 64KiB to 16384MiB, such as 64MiB",
        parse: |text| value::size(text, 64 * KIB..=16384 * MIB),
    }

    STATE_STORE: Optional<Secret> {
        default: "none; each process has its own state",
        meaning: "The URL of the Redis or Valkey server, 6.2 or later, that replicas share: redis://[user][:password@]host[:port][/database], or rediss:// for TLS. Put the URL in single quotes if it has a password.",
        example: "'<redis://:password@redis.internal:6379/0>'",
        expects: "a URL, such as redis://:password@redis.internal:6379/0",
        parse: value::state_store,
        is_secret: true,
    }

    STATE_STORE_TIMEOUT: WithDefault<Duration> {
        default: "100ms",
        meaning: "The timeout of a state store command, 1ms to 1s. After that, the request gets 503.",
        example: "250ms",
        expects: "a duration from 1ms to 1s, such as 100ms",
        parse: |text| value::duration_within(text, Duration::from_millis(1)..=Duration::from_secs(1)),
    }

    STATE_STORE_STALE: WithDefault<Duration> {
        default: "5m",
        meaning: "How long the last list of revocations is used while the state store is unreachable. With 0s, it is not used at all.",
        example: "1h",
        expects: "a duration, such as 5m",
        parse: value::duration,
    }

    STATE_STORE_OUTAGE: WithDefault<StoreOutage> {
        default: "refuse",
        meaning: "What happens after STATE_STORE_STALE: refuse answers 503 on protected routes, local continues to use the last list.",
        example: "local",
        expects: "refuse or local",
        parse: value::store_outage,
    }

    AUTH0_CLIENT_ID: Unread {
        default: "none",
        meaning: "The ID of the application for which `just token` fetches a token. The service never reads it.",
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
        meaning: "The certificate for TLS, followed by its chain, as PEM. Read again when it changes.",
        example: "/etc/warp-bearer/tls.crt",
        expects: "the path of a certificate as PEM",
        parse: value::file,
        form: Path,
    }

    TLS_KEY_FILE: Optional<PathBuf> {
        default: "none; TLS_CERT_FILE needs it",
        meaning: "The private key of the certificate, as PEM. Read again when it changes.",
        example: "/etc/warp-bearer/tls.key",
        expects: "the path of a private key as PEM",
        parse: value::file,
        form: Path,
    }

    TLS_CLIENT_CERT: WithDefault<bool> {
        default: "off",
        meaning: "Asks clients for a certificate, and accepts tokens that are bound to it (RFC 8705): off or request. Any certificate is accepted, self-signed ones included, if the client has its key.",
        example: "request",
        expects: "off or request",
        parse: value::client_certificates,
    }

    TLS_CLIENT_CA_FILE: Optional<PathBuf> {
        default: "none; any client certificate is accepted",
        meaning: "The certificate authorities of clients, as PEM. A client certificate from another authority counts as absent. Read again when it changes.",
        example: "/etc/warp-bearer/clients.crt",
        expects: "the path of certificates as PEM",
        parse: value::file,
        form: Path,
    }

    CLIENT_CERT_FIELD: Optional<CertificateSource> {
        default: "none",
        meaning: "The field in which the proxy sends the client's certificate: client-cert (RFC 9440), x-forwarded-client-cert (Envoy) or x-ssl-client-cert (nginx). The proxy must overwrite this field if a client sends it.",
        example: "client-cert",
        expects: "client-cert, x-forwarded-client-cert or x-ssl-client-cert",
        parse: value::certificate_field,
    }

    METRICS_LISTEN: Optional<SocketAddr> {
        default: "none; no metrics",
        meaning: "The address and port of a second listener, which serves /metrics, and /livez for health checks. Neither needs a token.",
        example: "127.0.0.1:9090",
        expects: "an IP address and a port, such as 127.0.0.1:9090",
        parse: value::metrics_address,
    }

    CORS_ORIGINS: Optional<Option<HeaderValue>> {
        default: "none; pages of other origins cannot read responses",
        meaning: "The origins whose pages may read responses in a browser, separated by commas and compared exactly. * alone allows every origin.",
        example: "https://app.example.com,http://localhost:3000",
        expects: "origins, such as https://app.example.com",
        parse: url::origin_or_any,
    }

    DOCS: WithDefault<bool> {
        default: "on",
        meaning: "Serves /docs, where people can try the routes, /openapi.json, and the list of routes at /: on or off. They show only what challenges and metadata reveal anyway.",
        example: "off",
        expects: "on or off",
        parse: value::switch,
    }

    FORWARD_AUTH_PATHS: WithDefault<bool> {
        default: "off",
        meaning: "Answers every path below /auth like /auth without a query, for proxies that append the client's path, as Envoy does: on or off. The query of such a path is the client's and is not read.",
        example: "on",
        expects: "on or off",
        parse: value::switch,
    }

    DEMO_ROUTES: WithDefault<bool> {
        default: "on",
        meaning: "Serves /api/public, /api/private and /api/private-scoped, which are for trying the service out: on or off.",
        example: "off",
        expects: "on or off",
        parse: value::switch,
    }

    IDLE_TIMEOUT: WithDefault<Duration> {
        default: "30s",
        meaning: "How long a connection may stay open without a request in flight, and how long the service waits for a client to read a response. At least 1s.",
        example: "1m",
        expects: "a duration of at least 1s, such as 30s",
        parse: |text| value::duration_from(text, Duration::from_secs(1)),
    }

    REQUEST_TIMEOUT: WithDefault<Duration> {
        default: "30s",
        meaning: "The timeout of a request, including its body, at least 1s. After that, the response is 503.",
        example: "10s",
        expects: "a duration of at least 1s, such as 30s",
        parse: |text| value::duration_from(text, Duration::from_secs(1)),
    }

    MAX_CONNECTIONS: WithDefault<usize> {
        default: "10000",
        meaning: "The maximum number of concurrent connections. Further ones wait.",
        example: "2000",
        expects: "a number from 1 to 1000000, such as 10000",
        parse: |text| value::number(text, 1..=1_000_000),
    }

    MAX_HEADER_BYTES: WithDefault<u32> {
        default: "32KiB",
        meaning: "The maximum size of a request's head, 8KiB to 1MiB. A larger head gets 431.",
        example: "64KiB",
        expects: "a size from 8KiB to 1MiB, such as 32KiB",
        parse: |text| value::size(text, 8 * KIB..=MIB),
    }

    MAX_HEADER_FIELDS: WithDefault<usize> {
        default: "100",
        meaning: "The maximum number of headers in a request, 16 to 10000. A request with more gets 431.",
        example: "50",
        expects: "a number from 16 to 10000, such as 100",
        parse: |text| value::number(text, 16..=10_000),
    }

    MAX_URI_BYTES: WithDefault<usize> {
        default: "8KiB",
        meaning: "The maximum size of a request's target (path and query), 1KiB to 1MiB. A longer target gets 414.",
        example: "4KiB",
        expects: "a size from 1KiB to 1MiB, such as 8KiB",
        parse: |text| value::size(text, KIB..=MIB),
    }

    MAX_BODY_BYTES: WithDefault<u64> {
        default: "1MiB",
        meaning: "The maximum size of a request's body. A larger body gets 413.",
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
        meaning: "The number of HTTP/2 requests that a client may cancel before the service has read them. If a client cancels more, the connection is closed.",
        example: "32",
        expects: "a number from 1 to 10000, such as 128",
        parse: |text| value::number(text, 1..=10_000),
    }

    SHUTDOWN_GRACE: WithDefault<Duration> {
        default: "500ms",
        meaning: "How long new connections are still accepted after a shutdown request. Every response then closes its connection.",
        example: "5s",
        expects: "a duration, such as 500ms",
        parse: value::duration,
    }

    SHUTDOWN_TIMEOUT: WithDefault<Duration> {
        default: "25s",
        meaning: "How long requests in flight may take after SHUTDOWN_GRACE.",
        example: "10s",
        expects: "a duration, such as 25s",
        parse: value::duration,
    }

    RUST_LOG: WithDefault<EnvFilter> {
        default: "info",
        meaning: "The log filter: a level, and levels for individual targets.",
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

pub(super) fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// We assume that any name with `AUTH0_`, in upper or lower case, is meant for this service, even
/// if it is misspelt.
pub(super) fn is_auth0(name: &str) -> bool {
    const PREFIX: &str = "AUTH0_";
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The variable that a name in `.env` most likely means: one that differs by one edit, one that
/// many other programs call by this name, or one without its `AUTH0_`.
///
/// Bare names that often mean something else, e.g. `DOMAIN`, match nothing.
pub(super) fn near_miss(name: &str) -> Option<&'static str> {
    const COMMON: [&str; 5] = ["DOMAIN", "ISSUER", "RESOURCE", "REALM", "ALGORITHMS"];
    /// Other programs use these names for the same settings
    const OTHERS: [(&str, &str); 16] = [
        ("LOG_LEVEL", "RUST_LOG"),
        ("LOGLEVEL", "RUST_LOG"),
        ("LOG_FILTER", "RUST_LOG"),
        ("AUDIENCE", "AUTH0_API_AUDIENCE"),
        ("JWKS_URL", "AUTH0_JWKS_URI"),
        ("TLS_CERT", "TLS_CERT_FILE"),
        ("TLS_KEY", "TLS_KEY_FILE"),
        ("STATE_STORE_URL", "STATE_STORE"),
        ("LISTEN_ADDR", "LISTEN"),
        ("LISTEN_ADDRESS", "LISTEN"),
        ("METRICS_ADDR", "METRICS_LISTEN"),
        ("METRICS_ADDRESS", "METRICS_LISTEN"),
        ("CORS_ALLOWED_ORIGINS", "CORS_ORIGINS"),
        ("CORS_ALLOWED_ORIGIN", "CORS_ORIGINS"),
        ("CORS_ALLOW_ORIGINS", "CORS_ORIGINS"),
        ("CORS_ALLOW_ORIGIN", "CORS_ORIGINS"),
    ];
    if find(name).is_some() || is_auth0(name) {
        return None;
    }
    let name = name.to_ascii_uppercase();
    if let Some((_, known)) = OTHERS.iter().find(|(other, _)| *other == name) {
        return Some(known);
    }
    let read = VARIABLES.iter().map(|variable| variable.name);
    let read = read.filter(|known| !known.starts_with("AUTH0_CLIENT_"));
    read.map(|known| (known, known.strip_prefix("AUTH0_")))
        .find(|(known, bare)| {
            *bare == Some(&name) && !COMMON.contains(&&*name)
                || known.len() > 4 && strsim::damerau_levenshtein(&name, known) <= 1
        })
        .map(|(known, _)| known)
}

/// Names that Auth0's own libraries and other programs use, without `AUTH0_`, and our setting with
/// the same meaning. Many have `None`, as this service has no logins.
const OF_OTHERS: [(&str, Option<&str>); 19] = [
    ("SECRET", None),
    ("BASE_URL", None),
    ("CALLBACK_URL", None),
    ("CALLBACK", None),
    ("REDIRECT_URI", None),
    ("LOGOUT_URL", None),
    ("SCOPE", None),
    ("SESSION_SECRET", None),
    ("ISSUER_BASE_URL", Some("AUTH0_ISSUER")),
    ("ISSUER_URL", Some("AUTH0_ISSUER")),
    ("TENANT", Some("AUTH0_DOMAIN")),
    ("HOST", Some("AUTH0_DOMAIN")),
    ("CLOCK_SKEW", Some("AUTH0_LEEWAY")),
    ("CLOCK_TOLERANCE", Some("AUTH0_LEEWAY")),
    ("DPOP_REQUIRED", Some("AUTH0_DPOP=required")),
    ("PUBLIC_KEY", Some("AUTH0_JWKS_FILE")),
    ("JWKS_URL", Some("AUTH0_JWKS_URI")),
    ("HS256_SECRET", Some("AUTH0_SIGNING_SECRET")),
    ("JWT_SECRET", Some("AUTH0_SIGNING_SECRET")),
];

/// The known name that is most similar to a misspelt one, which starts with `AUTH0_`.
///
/// We count the pairs of letters that both names have. The edit distance would be wrong for
/// `AUTH0_AUDIENCE`, which almost always means `AUTH0_API_AUDIENCE`: many other names are closer.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    /// `DOMIAN` is exactly this similar to `DOMAIN`
    const MIN_SIMILARITY: f64 = 0.4;
    let misspelt = name["AUTH0_".len()..].to_ascii_uppercase();
    if let Some((_, known)) = OF_OTHERS.iter().find(|(other, _)| *other == misspelt) {
        return *known;
    }
    VARIABLES
        .iter()
        .filter_map(|variable| {
            let known = variable.name.strip_prefix("AUTH0_")?;
            Some((strsim::sorensen_dice(&misspelt, known), variable.name))
        })
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
