//! Environment and `.env` → [`Config`], each fault named.
//!
//! Every variable is read before any is refused, so that one start shows every fault, a line each.
//! It guesses nothing: a variable set to nothing is a fault and never its default, and one that
//! nobody reads is a warning.

mod cross_checks;
mod dotenv;
mod env;
mod external_checks;
mod fault;
mod limits;
mod reader;
#[cfg(test)]
mod tests;
mod url;
mod value;
mod variables;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    auth::policy::Policy,
    service::{
        config::reader::Reader,
        http::{cors::Cors, limits::Limits, tls::Files},
        observe::logging::LogConfig,
    },
};

use crate::algorithm::Algorithm;

pub(in crate::service) use self::fault::shown;
pub use self::fault::{Fault, Faults, Warning};
pub use self::variables::{Unset, VARIABLES, Variable};
pub use env::{Origin, Vars};

/// What the service runs with. Whoever has one need check nothing again.
#[derive(Debug, Clone)]
pub struct Config {
    /// The issuers whose tokens are accepted, to the letter; one at least.
    pub issuers: Vec<String>,
    /// The audiences of which a token must name one; one at least.
    pub audiences: Vec<String>,
    /// The algorithms that are accepted; one at least. Defaults to RS256.
    pub algorithms: Vec<Algorithm>,
    /// Where the key set of the one issuer is. Defaults to what discovery finds.
    pub jwks_uri: Option<String>,
    /// A key set on disk instead; never together with `jwks_uri`.
    pub jwks_file: Option<PathBuf>,
    /// What the one issuer signs with; there whenever `algorithms` has HS256.
    pub signing_secret: Option<Secret>,
    /// How long a key set is fresh. Defaults to what the issuer's answer says.
    pub jwks_ttl: Option<Duration>,
    /// How long until the fetch budget has one more. Defaults to 15 s.
    pub jwks_cooldown: Duration,
    /// How long past its time the last good set serves. Defaults to 1 h.
    pub jwks_stale: Duration,
    /// How long one whole fetch may take. Defaults to 5 s.
    pub jwks_timeout: Duration,
    /// How far clocks may be apart, 5 min at most. Defaults to 30 s.
    pub leeway: Duration,
    /// What a token has to look like. Defaults to what any issuer signs.
    pub token_profile: TokenProfile,
    /// The longest that a token is taken after it was issued. Defaults to what its `exp` says.
    pub token_max_age: Option<Duration>,
    /// How many verified tokens are remembered; 0 for none. Defaults to 10 000.
    pub token_cache: usize,
    /// The realm in challenges, fit for a quoted string as it is. Defaults to `api`.
    pub realm: String,
    /// What every token has to grant on private routes. Defaults to what the route requires.
    pub required_scope: Option<Policy>,
    /// The URL that clients know the service by (RFC 9728 §1.2). Defaults to none.
    pub resource: Option<String>,
    /// Where the service listens. Defaults to 127.0.0.1:8000.
    pub listen: SocketAddr,
    /// What to speak TLS with. Defaults to plain HTTP.
    pub tls: Option<Files>,
    /// Where the metrics are served. Defaults to nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Whose pages may read answers. Defaults to no other origin's.
    pub cors: Option<Cors>,
    /// Whether the routes are shown at `/docs` and `/openapi.json`. Defaults to yes.
    pub docs: bool,
    /// What one caller may cost.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// What an access token has to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenProfile {
    /// As issuers write it: `typ` may be `JWT` or absent.
    Any,
    /// As RFC 9068 has it, strictly.
    Rfc9068,
}

/// A secret, which `Debug` does not show.
#[derive(Clone)]
pub struct Secret(String);

impl Config {
    /// The configuration of this process, with what it points to and relies on.
    ///
    /// # Errors
    /// Every fault, or the one of a `.env` that cannot be read. Files, authorities and proxies are
    /// looked at when every value is right in itself.
    pub fn load() -> Result<(Self, Vec<Warning>), Faults> {
        let vars = Vars::read()?;
        let (config, mut warnings) = Self::located(&vars)?;
        warnings.extend(config.surroundings(&vars)?);
        Ok((config, warnings))
    }

    /// The configuration that these variables make, with the place of each in faults and warnings.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn located(vars: &Vars) -> Result<(Self, Vec<Warning>), Faults> {
        match Self::from_vars(vars.clone()) {
            Ok((config, warnings)) => Ok((config, Warning::located(warnings, vars))),
            Err(faults) => Err(faults.located(vars)),
        }
    }

    /// Judges what it points to and relies on: a key set on disk, certificate authorities, a proxy.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn surroundings(&self, vars: &Vars) -> Result<Vec<Warning>, Faults> {
        let faults = external_checks::faults(self, vars);
        if faults.is_empty() {
            return Ok(Warning::located(external_checks::warnings(vars), vars));
        }
        Err(Faults::from(faults).located(vars))
    }

    /// The configuration that these variables make. Of a name given twice, the later value counts.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Warning>), Faults> {
        let mut reader = Reader::new(vars);
        let config = Self::read(&mut reader);
        reader.finish(config)
    }

    /// Every value that is set is parsed before the first `?`; a value is absent only where the
    /// reader holds its fault.
    fn read(reader: &mut Reader) -> Option<Self> {
        let auth0 = reader.auth0();
        let process = reader.process();
        let somewhat = || value::duration(value::INSTANT..=value::YEAR);
        let any = value::duration(Duration::ZERO..=value::YEAR);
        let brief = value::duration(Duration::ZERO..=Duration::from_secs(5 * 60));

        let domain = reader.one("AUTH0_DOMAIN", auth0.domain, url::domain);
        let audiences = reader.list("AUTH0_API_AUDIENCE", auth0.api_audience, value::audience);
        let issuers = reader.list("AUTH0_ISSUER", auth0.issuer, url::issuer);
        let issuers = issuers.or_else(|| Some(vec![format!("https://{}/", domain?)]));
        let algorithms = reader.list("AUTH0_ALGORITHMS", auth0.algorithms, value::algorithm);
        let jwks_uri = reader.one("AUTH0_JWKS_URI", auth0.jwks_uri, url::key_set);
        let jwks_file = reader.one("AUTH0_JWKS_FILE", auth0.jwks_file, value::file);
        let secret = reader.one("AUTH0_SIGNING_SECRET", auth0.signing_secret, value::secret);
        let ttl = reader.one("AUTH0_JWKS_TTL", auth0.jwks_ttl, somewhat());
        let cooldown = reader.one("AUTH0_JWKS_COOLDOWN", auth0.jwks_cooldown, somewhat());
        let stale = reader.one("AUTH0_JWKS_STALE", auth0.jwks_stale, any);
        let timeout = reader.one("AUTH0_JWKS_TIMEOUT", auth0.jwks_timeout, somewhat());
        let leeway = reader.one("AUTH0_LEEWAY", auth0.leeway, brief);
        let profile = reader.one(
            "AUTH0_TOKEN_PROFILE",
            auth0.token_profile,
            value::token_profile,
        );
        let max_age = reader.one("AUTH0_TOKEN_MAX_AGE", auth0.token_max_age, somewhat());
        let token_cache = reader.one(
            "AUTH0_TOKEN_CACHE",
            auth0.token_cache,
            value::number(0..=10_000_000),
        );
        let realm = reader.one("AUTH0_REALM", auth0.realm, value::realm);
        let scope = reader.one("AUTH0_REQUIRED_SCOPE", auth0.required_scope, value::scopes);
        let resource = reader.one("AUTH0_RESOURCE", auth0.resource, url::resource);
        let listen = reader.one("LISTEN", process.listen, value::listen);
        let tls = tls(reader, process.tls_cert_file, process.tls_key_file);
        let metrics = reader.one("METRICS_LISTEN", process.metrics_listen, value::listen);
        let cors = cors(reader, process.cors_origins);
        let docs = reader.one("DOCS", process.docs, value::switch);
        let limits = limits::limits(reader);
        let filter = reader.one("RUST_LOG", process.rust_log, value::log_filter);
        let format = reader.one("LOG_FORMAT", process.log_format, value::log_format);

        cross_checks::one_door_each(reader, listen, metrics);
        cross_checks::judge(
            reader,
            issuers.as_deref(),
            audiences.as_deref(),
            resource.as_deref(),
            algorithms.as_deref(),
            secret.as_ref(),
        );
        Some(Self {
            issuers: issuers?,
            audiences: audiences?,
            algorithms: algorithms?,
            jwks_uri,
            jwks_file,
            signing_secret: secret,
            jwks_ttl: ttl,
            jwks_cooldown: cooldown?,
            jwks_stale: stale?,
            jwks_timeout: timeout?,
            leeway: leeway?,
            token_profile: profile?,
            token_max_age: max_age,
            token_cache: token_cache?,
            realm: realm?,
            required_scope: scope,
            resource,
            listen: listen?,
            tls,
            metrics_listen: metrics,
            cors,
            docs: docs?,
            limits: limits?,
            log: LogConfig {
                filter: filter?,
                format: format?,
                color: env::color(process.no_color.as_deref(), process.term.as_deref()),
            },
        })
    }
}

/// A duration as variables and command lines have it: `500ms`, `10s`, `5m`, `1h`.
///
/// # Errors
/// What is wrong with it, in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = value::duration(value::INSTANT..=value::YEAR)(text);
    parsed.map_err(|_| "a duration is written 500ms, 10s, 5m or 1h".to_owned())
}

/// Where the service is found by whoever asks it how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it speaks TLS with, if it does.
    pub tls: Option<Files>,
}

impl Door {
    /// The part of a configuration that says so; what else there is may be wrong or not there.
    ///
    /// # Errors
    /// The faults of that part.
    pub fn from_vars(vars: &Vars) -> Result<Self, Faults> {
        let mut reader = Reader::new(vars.clone());
        let process = reader.process();
        let listen = reader.one("LISTEN", process.listen, value::listen);
        let tls = tls(&mut reader, process.tls_cert_file, process.tls_key_file);
        let door = listen.map(|listen| Self { listen, tls });
        let (door, _) = reader.finish(door).map_err(|faults| faults.located(vars))?;
        Ok(door)
    }
}

fn tls(reader: &mut Reader, certificate: Option<String>, key: Option<String>) -> Option<Files> {
    let certificate = reader.one("TLS_CERT_FILE", certificate, value::file);
    let key = reader.one("TLS_KEY_FILE", key, value::file);
    cross_checks::both_or_neither(reader, "TLS_CERT_FILE", "TLS_KEY_FILE");
    let files = |(certificate, key)| Files { certificate, key };
    certificate.zip(key).map(files)
}

fn cors(reader: &mut Reader, origins: Option<String>) -> Option<Cors> {
    let origins = reader.list("CORS_ORIGINS", origins, url::origin_or_any)?;
    let named: Vec<_> = origins.iter().flatten().cloned().collect();
    if named.is_empty() {
        return Some(Cors::Any);
    }
    if named.len() < origins.len() {
        cross_checks::any_beside_others(reader, "CORS_ORIGINS");
    }
    Some(Cors::Only(named))
}

impl Secret {
    /// The bytes that sign, as they were written.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}
