//! Every variable the service knows, in one table.
//!
//! The defaults in it are the ones that are parsed, the meanings the ones that `.env.example` has.
//! It holds no value that anybody set.

/// One variable: what it is called, and what a reader of `.env.example` needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name in the environment and in `.env`.
    pub name: &'static str,
    /// What holds where it is not set.
    pub unset: Unset,
    /// What it is for.
    pub meaning: &'static str,
    /// What `.env.example` shows; a placeholder where no value could be right for everybody.
    pub example: &'static str,
    /// What would be right, as a fault says it.
    wants: &'static str,
    /// Whether its value is ever shown.
    secret: bool,
}

/// What holds where a variable is not set.
#[derive(Debug, Clone, Copy)]
pub enum Unset {
    /// The same as if this had been set.
    Is(&'static str),
    /// Something that is found out later, in words.
    Means(&'static str),
}

/// Every variable the service knows; the tutorial's four first.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "AUTH0_DOMAIN",
        unset: Unset::Means("none; this or AUTH0_ISSUER is needed"),
        meaning: "The host of your tenant, a port allowed. Where AUTH0_ISSUER is set too, the issuer decides.",
        example: "your.domain.auth0.com",
        wants: "a host, such as tenant.eu.auth0.com",
        secret: false,
    },
    Variable {
        name: "AUTH0_API_AUDIENCE",
        unset: Unset::Means("none; it is needed"),
        meaning: "The identifier of your API, which every token must name as its audience. Several are separated by commas.",
        example: "https://your.api.audience",
        wants: "the identifier of your API, such as https://api.example.com",
        secret: false,
    },
    Variable {
        name: "AUTH0_ISSUER",
        unset: Unset::Means("https://{AUTH0_DOMAIN}/"),
        meaning: "The issuer, to the letter as its tokens name it: Auth0's ends with a slash. Several are separated by commas.",
        example: "https://your.domain.auth0.com/",
        wants: "the URL of an issuer, such as https://tenant.eu.auth0.com/",
        secret: false,
    },
    Variable {
        name: "AUTH0_ALGORITHMS",
        unset: Unset::Is("RS256"),
        meaning: "The signature algorithms that are accepted, separated by commas: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, and HS256 with AUTH0_SIGNING_SECRET.",
        example: "RS256",
        wants: "some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256",
        secret: false,
    },
    Variable {
        name: "AUTH0_JWKS_URI",
        unset: Unset::Means("what the issuer's discovery document says"),
        meaning: "Where the key set of the one issuer is.",
        example: "https://your.domain.auth0.com/.well-known/jwks.json",
        wants: "the URL of a key set, such as https://tenant.eu.auth0.com/.well-known/jwks.json",
        secret: false,
    },
    Variable {
        name: "AUTH0_JWKS_FILE",
        unset: Unset::Means("none; keys are fetched"),
        meaning: "A key set on disk instead, reread when it changes.",
        example: "/etc/warp-bearer/jwks.json",
        wants: "the path of a key set, such as /etc/warp-bearer/jwks.json",
        secret: false,
    },
    Variable {
        name: "AUTH0_SIGNING_SECRET",
        unset: Unset::Means("none; HS256 needs it"),
        meaning: "The secret that the issuer signs with, for HS256 alone: 32 bytes or more, in single quotes.",
        example: "'<signing-secret>'",
        wants: "a secret of 32 bytes or more",
        secret: true,
    },
    Variable {
        name: "AUTH0_JWKS_TTL",
        unset: Unset::Means("the answer's max-age, 5m at least and 24h at most; 10m without one"),
        meaning: "How long a fetched key set is fresh; set, it is used as it is.",
        example: "1h",
        wants: "a duration, such as 10m",
        secret: false,
    },
    Variable {
        name: "AUTH0_JWKS_COOLDOWN",
        unset: Unset::Is("15s"),
        meaning: "How long until an unknown key may cost the issuer one more fetch.",
        example: "30s",
        wants: "a duration, such as 15s",
        secret: false,
    },
    Variable {
        name: "AUTH0_JWKS_STALE",
        unset: Unset::Is("1h"),
        meaning: "How long past its time the last good key set serves while the issuer fails; 0s: not at all.",
        example: "6h",
        wants: "a duration, such as 1h",
        secret: false,
    },
    Variable {
        name: "AUTH0_JWKS_TIMEOUT",
        unset: Unset::Is("5s"),
        meaning: "How long one whole fetch may take.",
        example: "2s",
        wants: "a duration, such as 5s",
        secret: false,
    },
    Variable {
        name: "AUTH0_LEEWAY",
        unset: Unset::Is("30s"),
        meaning: "How far the clocks of issuer and service may be apart, 0s to 5m.",
        example: "1m",
        wants: "a duration from 0s to 5m, such as 30s",
        secret: false,
    },
    Variable {
        name: "AUTH0_TOKEN_PROFILE",
        unset: Unset::Is("any"),
        meaning: "What a token has to look like: any takes what issuers sign by default, rfc9068 the strict profile alone: typ at+jwt, with sub, client_id, iat and jti.",
        example: "rfc9068",
        wants: "any or rfc9068",
        secret: false,
    },
    Variable {
        name: "AUTH0_TOKEN_MAX_AGE",
        unset: Unset::Means("none; the token's exp decides"),
        meaning: "The longest that a token is taken after it was issued, whatever its exp; one that does not say when is refused.",
        example: "24h",
        wants: "a duration, such as 24h",
        secret: false,
    },
    Variable {
        name: "AUTH0_TOKEN_CACHE",
        unset: Unset::Is("10000"),
        meaning: "How many verified tokens are remembered; 0 remembers none.",
        example: "50000",
        wants: "a number from 0 to 10000000, such as 10000",
        secret: false,
    },
    Variable {
        name: "AUTH0_REALM",
        unset: Unset::Is("api"),
        meaning: "The realm that challenges name.",
        example: "messages",
        wants: "a short name in ASCII without quotes and backslashes, such as api",
        secret: false,
    },
    Variable {
        name: "AUTH0_REQUIRED_SCOPE",
        unset: Unset::Means("none; the route decides"),
        meaning: "The scopes that every private route requires beside its own, separated by spaces.",
        example: "use:messages",
        wants: "scopes with single spaces between them, such as use:messages",
        secret: false,
    },
    Variable {
        name: "AUTH0_RESOURCE",
        unset: Unset::Means("none; there is no metadata"),
        meaning: "The URL that clients know this service by; its metadata (RFC 9728) are then served, and named in every challenge, as MCP clients need it.",
        example: "https://api.example.com",
        wants: "the URL of this service, such as https://api.example.com",
        secret: false,
    },
    Variable {
        name: "AUTH0_CLIENT_ID",
        unset: Unset::Means("none"),
        meaning: "The application that `just token` fetches a token for; the service never reads it.",
        example: "'<client-id>'",
        wants: "the client ID of an application",
        secret: false,
    },
    Variable {
        name: "AUTH0_CLIENT_SECRET",
        unset: Unset::Means("none"),
        meaning: "That application's secret, for `just token` alone, in single quotes; the service never reads it.",
        example: "'<client-secret>'",
        wants: "the client secret of an application",
        secret: true,
    },
    Variable {
        name: "LISTEN",
        unset: Unset::Is("127.0.0.1:8000"),
        meaning: "The address and port to listen on.",
        example: "0.0.0.0:8000",
        wants: "an IP address and a port, such as 127.0.0.1:8000",
        secret: false,
    },
    Variable {
        name: "TLS_CERT_FILE",
        unset: Unset::Means("none; the service speaks plain HTTP"),
        meaning: "The certificate to speak TLS with, its chain after it, as PEM; reread when it changes.",
        example: "/etc/warp-bearer/tls.crt",
        wants: "the path of a certificate as PEM",
        secret: false,
    },
    Variable {
        name: "TLS_KEY_FILE",
        unset: Unset::Means("none; TLS_CERT_FILE needs it"),
        meaning: "The private key of that certificate, as PEM; reread when it changes.",
        example: "/etc/warp-bearer/tls.key",
        wants: "the path of a private key as PEM",
        secret: false,
    },
    Variable {
        name: "METRICS_LISTEN",
        unset: Unset::Means("none; there are no metrics"),
        meaning: "The address and port to serve metrics on, at /metrics; open to whoever reaches it.",
        example: "127.0.0.1:9090",
        wants: "an IP address and a port, such as 127.0.0.1:9090",
        secret: false,
    },
    Variable {
        name: "CORS_ORIGINS",
        unset: Unset::Means("none; no page of another origin reads answers"),
        meaning: "The origins whose pages may read answers in a browser, to the letter and separated by commas; * alone is every origin there is.",
        example: "https://app.example.com,http://localhost:3000",
        wants: "origins, such as https://app.example.com",
        secret: false,
    },
    Variable {
        name: "DOCS",
        unset: Unset::Is("on"),
        meaning: "Whether /docs shows the routes and lets people try them, and /openapi.json describes them: on or off. What they show, challenges and metadata tell anyway; off serves less.",
        example: "off",
        wants: "on or off",
        secret: false,
    },
    Variable {
        name: "IDLE_TIMEOUT",
        unset: Unset::Is("30s"),
        meaning: "How long a connection may stay open with nothing being answered on it, and how long an answer is held that the peer does not take.",
        example: "1m",
        wants: "a duration, such as 30s",
        secret: false,
    },
    Variable {
        name: "REQUEST_TIMEOUT",
        unset: Unset::Is("30s"),
        meaning: "How long a request may take, its body included; beyond: 503.",
        example: "10s",
        wants: "a duration, such as 30s",
        secret: false,
    },
    Variable {
        name: "MAX_CONNECTIONS",
        unset: Unset::Is("10000"),
        meaning: "Connections served at once; the next ones wait.",
        example: "2000",
        wants: "a number from 1 to 1000000, such as 10000",
        secret: false,
    },
    Variable {
        name: "MAX_HEADER_BYTES",
        unset: Unset::Is("32KiB"),
        meaning: "Bytes of a request's head, 8KiB to 1MiB; beyond: 431.",
        example: "64KiB",
        wants: "a size from 8KiB to 1MiB, such as 32KiB",
        secret: false,
    },
    Variable {
        name: "MAX_HEADER_FIELDS",
        unset: Unset::Is("100"),
        meaning: "Fields of a request's head; beyond: 431.",
        example: "50",
        wants: "a number from 1 to 10000, such as 100",
        secret: false,
    },
    Variable {
        name: "MAX_URI_BYTES",
        unset: Unset::Is("8KiB"),
        meaning: "Bytes of a request's target; beyond: 414.",
        example: "4KiB",
        wants: "a size from 1 to 1MiB, such as 8KiB",
        secret: false,
    },
    Variable {
        name: "MAX_BODY_BYTES",
        unset: Unset::Is("1MiB"),
        meaning: "Bytes of a request's body; beyond: 413.",
        example: "64KiB",
        wants: "a size from 0 to 1GiB, such as 1MiB",
        secret: false,
    },
    Variable {
        name: "MAX_STREAMS",
        unset: Unset::Is("128"),
        meaning: "HTTP/2 requests at once on one connection.",
        example: "32",
        wants: "a number from 1 to 10000, such as 128",
        secret: false,
    },
    Variable {
        name: "MAX_RESETS",
        unset: Unset::Is("128"),
        meaning: "HTTP/2 requests that one connection may abandon unseen before it is closed.",
        example: "32",
        wants: "a number from 1 to 10000, such as 128",
        secret: false,
    },
    Variable {
        name: "SHUTDOWN_GRACE",
        unset: Unset::Is("500ms"),
        meaning: "How long, once asked to stop, new connections are still taken while every answer closes its own.",
        example: "5s",
        wants: "a duration, such as 500ms",
        secret: false,
    },
    Variable {
        name: "SHUTDOWN_TIMEOUT",
        unset: Unset::Is("25s"),
        meaning: "How long after that the requests at work may take to end.",
        example: "10s",
        wants: "a duration, such as 25s",
        secret: false,
    },
    Variable {
        name: "RUST_LOG",
        unset: Unset::Is("info"),
        meaning: "What is logged: a level, and levels for parts.",
        example: "info,warp_bearer=debug",
        wants: "a level or target=level, such as info,warp_bearer=debug",
        secret: false,
    },
    Variable {
        name: "LOG_FORMAT",
        unset: Unset::Is("text"),
        meaning: "How it is logged: text for people, json for machines.",
        example: "json",
        wants: "text or json",
        secret: false,
    },
];

impl Variable {
    /// The variable of this name.
    pub(super) fn named(name: &str) -> &'static Variable {
        VARIABLES
            .iter()
            .find(|variable| variable.name == name)
            .expect("whatever is read stands in the table")
    }

    /// What would be right, as a fault says it.
    pub(super) fn wants(&self) -> &'static str {
        self.wants
    }

    /// Whether its value must never be shown.
    pub(in crate::service) fn is_secret(&self) -> bool {
        self.secret
    }
}

/// Whether the table has a variable of this name.
pub(super) fn is_known(name: &str) -> bool {
    VARIABLES.iter().any(|variable| variable.name == name)
}

/// Whether a variable is meant for us, known or misspelt.
pub(super) fn is_auth0(name: &str) -> bool {
    const PREFIX: &str = "AUTH0_";
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The known name that is most like this one, if any is.
///
/// Names are compared by the pairs of letters they share, which finds `AUTH0_API_AUDIENCE` for
/// `AUTH0_AUDIENCE`; by edits, half the table would be nearer.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let asked = name["AUTH0_".len()..].to_ascii_uppercase();
    VARIABLES
        .iter()
        .filter_map(|variable| {
            let known = variable.name.strip_prefix("AUTH0_")?;
            Some((strsim::sorensen_dice(&asked, known), variable.name))
        })
        .filter(|(likeness, _)| *likeness > 0.0)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
