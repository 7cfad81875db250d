//! [`Config`]: the configuration of the service, from the environment and `.env`.
//!
//! We read all variables before we reject any, so a single start reports every fault, each on its
//! own line. Nothing is guessed: an empty value is a fault and not the default, and an unknown
//! `AUTH0_` variable causes a warning. `variables.rs` has the table of variables.

mod certificates;
mod cross_checks;
mod dotenv;
mod dpop;
mod env;
mod environment_file;
mod external_checks;
mod fault;
mod introspection;
mod invalid;
mod issuer_settings;
mod issuers_export;
mod issuers_file;
pub(in crate::service) mod limits;
mod needed;
mod option_words;
mod origin;
mod presets;
mod reader;
mod revocation_settings;
mod service_address;
mod setting;
mod state_store;
mod terminal;
#[cfg(test)]
mod tests;
mod types;
mod url;
mod value;
mod variable;
mod variables;

use std::{borrow::Cow, net::SocketAddr, path::PathBuf, time::Duration};

use warp::http::HeaderName;

use crate::{
    algorithm::Algorithm,
    auth::{AudienceClaim, CertificateSource, dpop::DpopMode, policy::Policy},
    service::{
        config::reader::Reader,
        http::{cors::Cors, limits::Limits, tls::Files},
        observe::logging::LogConfig,
    },
};

pub use self::dpop::Dpop;
pub use self::env::Environment;
pub(in crate::service) use self::fault::quoted;
pub use self::fault::{Fault, Faults, Warning};
pub use self::introspection::{ClientProof, IntrospectionConfig};
pub use self::issuer_settings::IssuerSettings;
pub use self::origin::Origin;
pub use self::revocation_settings::RevocationSettings;
pub use self::service_address::ServiceAddress;
pub use self::setting::Setting;
pub use self::state_store::StateStore;
pub use self::types::{IntrospectionMode, Secret, StoreOutage, TokenProfile};
pub use self::variable::{Unset, Variable};
pub use self::variables::VARIABLES;
pub use self::{issuer_settings::Preset, presets::PRESETS};

/// The configuration of the service. All values and their combinations are valid.
#[derive(Debug, Clone)]
pub struct Config {
    /// The trusted issuers. The `iss` of a token must be exactly one of them. At least one, unless
    /// the issuers are in `tables`.
    pub issuers: Vec<String>,
    /// The accepted audiences. At least one, unless each table of the issuers file has its own.
    pub audiences: Vec<String>,
    /// The issuers file, which is used instead of `issuers`.
    pub issuers_file: Option<PathBuf>,
    /// The tables of the issuers file. Empty if there is none.
    pub tables: Vec<IssuerSettings>,
    /// The claim that is compared with the audiences. Defaults to `aud`.
    pub audience_claim: AudienceClaim,
    /// The accepted algorithms, at least one. Defaults to RS256.
    pub algorithms: Vec<Algorithm>,
    /// The URL of the key set. Only set if there is a single issuer. Defaults to discovery.
    pub jwks_uri: Option<String>,
    /// A file with the key set, to use instead of fetching it. Never set together with `jwks_uri`.
    pub jwks_file: Option<PathBuf>,
    /// The secret of the single issuer. Always set if `algorithms` contains HS256 and there is no
    /// issuers file.
    pub signing_secret: Option<Secret>,
    /// The time to live of a fetched key set. Defaults to the response's `max-age`.
    pub jwks_ttl: Option<Duration>,
    /// The interval at which requests may cause another key fetch. Defaults to 15 s.
    pub jwks_cooldown: Duration,
    /// How long an expired key set is still used while fetches fail. Defaults to 1 h.
    pub jwks_stale: Duration,
    /// The timeout of a key fetch, including discovery. Defaults to 5 s.
    pub jwks_timeout: Duration,
    /// The allowed clock skew, at most 5 min. Defaults to 30 s.
    pub leeway: Duration,
    /// The required profile of tokens. Defaults to any.
    pub token_profile: TokenProfile,
    /// The maximum age of a token since it was issued. Defaults to none: only `exp` counts.
    pub token_max_age: Option<Duration>,
    /// The header with the token, without a scheme. Defaults to none: tokens are in
    /// `Authorization`.
    pub token_field: Option<HeaderName>,
    /// The maximum length of a token in bytes. Defaults to 16 KiB.
    pub max_token_bytes: usize,
    /// The claim that holds roles. Defaults to `roles`.
    pub roles_at: String,
    /// The claim that holds groups. Defaults to `groups`.
    pub groups_at: String,
    /// The scopes that include other scopes. Defaults to none.
    pub scope_includes: Vec<(String, Vec<String>)>,
    /// The number of verified tokens to cache. 0 turns the cache off. Defaults to 10,000.
    pub token_cache: usize,
    /// The realm in challenges, which needs no escapes in a quoted string. Defaults to `api`.
    pub realm: String,
    /// The scopes that every private route requires in addition to its own. Defaults to none.
    pub required_scope: Option<Policy>,
    /// The URL that identifies the service as a resource (RFC 9728 §1.2). Defaults to none.
    pub resource: Option<String>,
    /// The scopes listed in the metadata of the resource. Defaults to the scopes that routes
    /// require.
    pub resource_scopes: Option<Vec<String>>,
    /// The settings for introspection at the single issuer. Defaults to off.
    pub introspection: Option<IntrospectionConfig>,
    /// A file with revocations. Defaults to none.
    pub revocation_file: Option<PathBuf>,
    /// The clients whose logout tokens are accepted. Defaults to none.
    pub logout_clients: Vec<String>,
    /// The settings for tokens bound to a key.
    pub dpop: Dpop,
    /// The source of client certificates. Defaults to none: certificate-bound tokens are rejected.
    pub certificates: Option<CertificateSource>,
    /// The store that replicas share.
    pub state_store: StateStore,
    /// The address on which the service listens. Defaults to 127.0.0.1:8000.
    pub listen: SocketAddr,
    /// The files for TLS. Defaults to none: plain HTTP.
    pub tls: Option<Files>,
    /// The address on which metrics are served. Defaults to none.
    pub metrics_listen: Option<SocketAddr>,
    /// The origins whose pages may read responses. Defaults to none.
    pub cors: Option<Cors>,
    /// Serves `/docs` and `/openapi.json`. Defaults to `true`.
    pub docs: bool,
    /// Answers every path below `/auth` like `/auth` without a query. Defaults to `false`.
    pub forward_auth_paths: bool,
    /// Serves the demo routes below `/api`. Defaults to `true`.
    pub demo_routes: bool,
    /// The limits of the server.
    pub limits: Limits,
    /// The settings of the log.
    pub log: LogConfig,
}

impl Config {
    /// Reads the configuration of this process and checks its external dependencies.
    ///
    /// # Errors
    /// Returns every fault, or only the fault of a `.env` that cannot be read. Files, certificate authorities
    /// and proxies are only checked if all values are valid.
    pub fn load() -> Result<(Self, Vec<Warning>), Faults> {
        Self::load_from(&Environment::read_from(None)?)
    }

    /// Like [`load`](Self::load), for an environment that was already read.
    ///
    /// # Errors
    /// Returns every fault.
    pub fn load_from(environment: &Environment) -> Result<(Self, Vec<Warning>), Faults> {
        let (config, others) = Self::from_environment(environment)?;
        let mut warnings = config.check_external(environment)?;
        warnings.extend(others);
        Ok((config, warnings))
    }

    /// Parses the configuration. Faults and warnings contain the origin of their variable.
    ///
    /// # Errors
    /// Returns the faults of all variables. If there are none, returns those of the issuers file.
    pub fn from_environment(environment: &Environment) -> Result<(Self, Vec<Warning>), Faults> {
        let mut reader = Reader::of(environment);
        reader.report_lines();
        let read = Self::from_reader(reader);
        let (mut config, mut warnings) = read.map_err(|faults| environment.locate(faults))?;
        warnings = environment.locate_warnings(warnings);
        let tables = config.read_issuers_file();
        let (tables, more) = tables.map_err(|faults| environment.locate(faults))?;
        config.tables = tables;
        warnings.extend(more);
        warnings.extend(environment.locate_warnings(config.warnings_of_tables(environment)));
        // Last, because a file may have many lines of other programs, and the log limits the number
        // of warnings.
        warnings.extend_from_slice(environment.warnings());
        Ok((config, warnings))
    }

    /// Warns about variables whose meaning depends on the tables of the issuers file. Empty if there
    /// is no such file.
    fn warnings_of_tables(&self, environment: &Environment) -> Vec<Warning> {
        let Some(path) = &self.issuers_file else {
            return Vec::new();
        };
        let (tables, dpop_is_on) = (&self.tables, self.uses_dpop());
        let mut warnings = issuers_file::overridden(path, tables, environment, dpop_is_on);
        let set = environment.names_of_variables();
        warnings.extend(dpop::warnings(&self.dpop, dpop_is_on, &set));
        if !tables
            .iter()
            .any(|table| table.needs_key_set(&self.algorithms))
        {
            let unused = set.iter().filter(|name| name.starts_with("AUTH0_JWKS_"));
            let text = "not used, because every issuer has only HS256";
            warnings.extend(unused.map(|name| Warning::new(name, text)));
        }
        let resource = self.resource.as_deref();
        warnings.extend(
            resource.and_then(|resource| {
                issuers_file::resource(path, tables, resource, &self.audiences)
            }),
        );
        warnings
    }

    /// Whether the tokens of any issuer may be bound to a key.
    fn uses_dpop(&self) -> bool {
        if self.tables.is_empty() {
            return self.dpop.mode != DpopMode::Off;
        }
        let mut tables = self.tables.iter();
        tables.any(|table| table.uses_dpop(self.dpop.mode))
    }

    /// Reads the issuers file again. Empty if there is none.
    ///
    /// # Errors
    /// Returns every fault, with the file, the line and the table.
    pub fn read_issuers_file(&self) -> Result<(Vec<IssuerSettings>, Vec<Warning>), Faults> {
        let Some(path) = &self.issuers_file else {
            return Ok(Default::default());
        };
        let defaults = issuers_file::Defaults {
            audiences: &self.audiences,
            algorithms: &self.algorithms,
            field: self.token_field.as_ref().map(HeaderName::as_str),
            dpop: self.dpop.mode,
            public_url: self.dpop.public_url.as_deref(),
        };
        issuers_file::read(path, defaults)
    }

    /// Checks the files named in the tables of the issuers file.
    ///
    /// # Errors
    /// Returns every fault.
    pub fn check_issuers_files(&self, tables: &[IssuerSettings]) -> Result<(), Faults> {
        let files = |table| external_checks::files_of(table, &self.algorithms);
        let faults: Vec<_> = tables.iter().flat_map(files).collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(faults.into())
    }

    /// Whether any issuer's tokens are introspected.
    pub fn introspects(&self) -> bool {
        self.introspecting_issuers() > 0
    }

    /// Whether an issuer's opaque tokens are introspected, but not its JWTs. Such an issuer may have
    /// no keys.
    pub fn introspects_opaque_tokens(&self) -> bool {
        let of_variables = self.introspection.as_ref();
        of_variables.is_some_and(|introspection| !introspection.always)
            || self.tables.iter().any(IssuerSettings::asks_about_opaque)
    }

    /// The number of issuers whose tokens are introspected.
    pub fn introspecting_issuers(&self) -> usize {
        let by_table = |table: &&IssuerSettings| matches!(table.introspection(), Ok(Some(_)));
        usize::from(self.introspection.is_some()) + self.tables.iter().filter(by_table).count()
    }

    /// The same configuration without introspection.
    #[must_use]
    pub fn without_introspection(mut self) -> Self {
        self.introspection = None;
        for table in &mut self.tables {
            table.forget_introspection();
        }
        self
    }

    /// A configuration for each issuer, in which its own options replace the variables.
    pub fn of_each_issuer(&self) -> Vec<Self> {
        if self.tables.is_empty() {
            return vec![self.clone()];
        }
        let of = |table: &IssuerSettings| {
            let own = table.clone();
            let mut config = self.clone();
            config.issuers = vec![own.url.clone()];
            config.algorithms = table.algorithms_or(&self.algorithms).to_vec();
            config.jwks_uri.clone_from(&own.jwks_uri);
            config.jwks_file.clone_from(&own.jwks_file);
            config.signing_secret.clone_from(&own.signing_secret);
            if !own.audiences.is_empty() {
                config.audiences.clone_from(&own.audiences);
            }
            config.audience_claim = own.audience_claim.unwrap_or_default();
            config.token_profile = own.token_profile.unwrap_or(self.token_profile);
            config.token_max_age = own.token_max_age.or(self.token_max_age);
            config.leeway = own.leeway.unwrap_or(self.leeway);
            config.tables = vec![own];
            config
        };
        self.tables.iter().map(of).collect()
    }

    /// The configuration for the issuer with this name, in which its own options replace the
    /// variables. If there is no such table, you get the configuration of all issuers.
    pub fn of_issuer(&self, name: &str) -> Cow<'_, Self> {
        let table = self.tables.iter().position(|table| table.url == name);
        let own = table.and_then(|at| self.of_each_issuer().into_iter().nth(at));
        own.map_or(Cow::Borrowed(self), Cow::Owned)
    }

    /// Parses the configuration from names and values. If a name appears twice, uses the later
    /// value.
    ///
    /// # Errors
    /// Returns every fault.
    pub fn from_variables(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Warning>), Faults> {
        Self::from_reader(Reader::new(variables))
    }

    fn from_reader(mut reader: Reader) -> Result<(Self, Vec<Warning>), Faults> {
        let mut config = Self::read(&mut reader);
        config.cross_check(&mut reader);
        config.grow_head(&reader);
        let set = reader.names("AUTH0_");
        let (config, mut warnings) = reader.finish(config)?;
        // Whether DPoP is on depends on the tables of an issuers file, which we haven't read yet
        if config.issuers_file.is_none() {
            warnings.extend(dpop::warnings(&config.dpop, config.uses_dpop(), &set));
        }
        Ok((config, warnings))
    }

    /// Checks what the configuration refers to: key files, certificate authorities and proxies.
    ///
    /// # Errors
    /// Returns every fault.
    pub fn check_external(&self, environment: &Environment) -> Result<Vec<Warning>, Faults> {
        let mut faults = Vec::new();
        if let Some(path) = self.jwks_file.as_deref().filter(|_| self.needs_key_set()) {
            faults.extend(external_checks::key_set_file(path, &self.algorithms));
        }
        let proof = self.introspection.as_ref().map(|asked| &asked.proof);
        faults.extend(external_checks::revocations_and_client_key(
            self.revocation_file.as_deref(),
            proof,
        ));
        if let Err(more) = self.check_issuers_files(&self.tables) {
            faults.extend(more.as_slice().iter().cloned());
        }
        let HttpsNeeds {
            authorities,
            proxies,
        } = self.https_needs();
        if authorities {
            faults.extend(external_checks::authorities(environment));
        }
        if proxies {
            faults.extend(external_checks::proxies(environment));
        }
        if faults.is_empty() {
            let warnings = external_checks::misplaced(environment);
            return Ok(environment.locate_warnings(warnings));
        }
        Err(environment.locate(faults.into()))
    }

    /// Reads every field. If a variable is invalid or missing, its field gets a substitute, and the
    /// fault in the reader makes the caller discard the configuration.
    fn read(reader: &mut Reader) -> Self {
        let domain = reader.optional(&variables::AUTH0_DOMAIN);
        let audiences = reader.optional_list(&variables::AUTH0_API_AUDIENCE);
        let issuers = reader.optional_list(&variables::AUTH0_ISSUER);
        let resource = reader.optional(&variables::AUTH0_RESOURCE);
        let clients = certificates::client_auth(reader);
        let issuer = domain.as_ref().map(|domain| format!("https://{domain}/"));
        let issuers = issuers.unwrap_or_else(|| issuer.into_iter().collect());
        cross_checks::domain(reader, domain.as_deref(), &issuers);
        let listen = reader.value(&variables::LISTEN);
        Self {
            introspection: introspection::read(reader, &issuers),
            revocation_file: reader.optional(&variables::AUTH0_REVOCATION_FILE),
            logout_clients: reader
                .optional_list(&variables::AUTH0_LOGOUT_CLIENT_ID)
                .unwrap_or_default(),
            issuers,
            audiences: audiences.unwrap_or_default(),
            issuers_file: reader.optional(&variables::ISSUERS_FILE),
            tables: Vec::new(),
            audience_claim: reader.value(&variables::AUTH0_AUDIENCE_CLAIM),
            algorithms: reader.list(&variables::AUTH0_ALGORITHMS),
            jwks_uri: reader.optional(&variables::AUTH0_JWKS_URI),
            jwks_file: reader.optional(&variables::AUTH0_JWKS_FILE),
            signing_secret: reader.optional(&variables::AUTH0_SIGNING_SECRET),
            jwks_ttl: reader.optional(&variables::AUTH0_JWKS_TTL),
            jwks_cooldown: reader.value(&variables::AUTH0_JWKS_COOLDOWN),
            jwks_stale: reader.value(&variables::AUTH0_JWKS_STALE),
            jwks_timeout: reader.value(&variables::AUTH0_JWKS_TIMEOUT),
            leeway: reader.value(&variables::AUTH0_LEEWAY),
            token_profile: reader.value(&variables::AUTH0_TOKEN_PROFILE),
            token_max_age: reader.optional(&variables::AUTH0_TOKEN_MAX_AGE),
            token_field: reader.optional(&variables::AUTH0_TOKEN_FIELD),
            max_token_bytes: reader.value(&variables::AUTH0_MAX_TOKEN_BYTES),
            roles_at: reader.value(&variables::AUTH0_ROLES_AT),
            groups_at: reader.value(&variables::AUTH0_GROUPS_AT),
            scope_includes: reader
                .optional_list(&variables::AUTH0_SCOPE_INCLUDES)
                .unwrap_or_default(),
            token_cache: reader.value(&variables::AUTH0_TOKEN_CACHE),
            realm: reader.value(&variables::AUTH0_REALM),
            required_scope: reader.optional(&variables::AUTH0_REQUIRED_SCOPE),
            dpop: dpop::read(reader, resource.as_deref()),
            resource,
            resource_scopes: reader.optional(&variables::AUTH0_RESOURCE_SCOPES),
            certificates: certificates::source(reader, &clients),
            state_store: state_store::read(reader),
            listen,
            tls: service_address::tls(reader, clients),
            metrics_listen: service_address::metrics_listen(reader, listen),
            cors: cors(reader),
            docs: reader.value(&variables::DOCS),
            forward_auth_paths: reader.value(&variables::FORWARD_AUTH_PATHS),
            demo_routes: reader.value(&variables::DEMO_ROUTES),
            limits: limits::limits(reader),
            log: LogConfig {
                filter: reader.value(&variables::RUST_LOG),
                format: reader.value(&variables::LOG_FORMAT),
                color: reader.terminal().allow_color(),
            },
        }
    }

    /// Raises the limit for heads to fit the largest token, unless the limit was set explicitly.
    fn grow_head(&mut self, reader: &Reader) {
        if !reader.is_set(variables::MAX_HEADER_BYTES.name()) {
            let needed = limits::roomy_limit(self.max_token_bytes);
            let needed = u32::try_from(needed).unwrap_or(u32::MAX);
            self.limits.head = self.limits.head.max(needed);
        }
    }

    fn cross_check(&self, reader: &mut Reader) {
        cross_checks::token_size(reader, self.max_token_bytes, self.limits.head);
        cross_checks::listeners(reader, self.listen, self.metrics_listen);
        cross_checks::required(reader);
        cross_checks::port(reader);
        cross_checks::issuers(reader, &self.issuers, self.needs_key_set());
        cross_checks::audiences(reader, &self.audiences, &self.issuers);
        cross_checks::origins(reader, &self.audiences, &self.dpop);
        cross_checks::key_sources(reader);
        cross_checks::resource(reader, self.resource.as_deref(), &self.audiences);
        cross_checks::resource_scopes(
            reader,
            self.resource.as_deref(),
            self.resource_scopes.as_deref(),
        );
        dpop::check(reader, &self.dpop);
        state_store::check(reader);
        cross_checks::signing_secret(reader, &self.algorithms, self.signing_secret.as_ref());
    }

    fn needs_key_set(&self) -> bool {
        self.algorithms.iter().any(|alg| *alg != Algorithm::HS256)
    }

    /// Whether anything trusts the system's certificate authorities, and whether anything uses the
    /// proxy for https.
    fn https_needs(&self) -> HttpsNeeds {
        let over_https = self.fetches_over_https();
        let tables = self.tables.iter();
        let mut tables = tables.filter(|table| table.fetches_over_https(&self.algorithms));
        let by_tables = tables.clone().next().is_some();
        HttpsNeeds {
            // A table with authorities of its own trusts only these
            authorities: self.state_store.uses_tls()
                || over_https
                || tables.any(|table| table.ca_file.is_none()),
            proxies: over_https || by_tables,
        }
    }

    /// Whether the issuers of the variables need fetches over https, for keys or introspection.
    fn fetches_over_https(&self) -> bool {
        let any_issuer = || self.issuers.iter().any(|issuer| url::is_https(issuer));
        let is_fetched =
            |uri: Option<&String>| uri.map_or_else(any_issuer, |uri| url::is_https(uri));
        let keys = self.needs_key_set() && self.jwks_file.is_none();
        let asked = self.introspection.as_ref();
        keys && is_fetched(self.jwks_uri.as_ref())
            || asked.is_some_and(|asked| is_fetched(asked.uri.as_ref()))
    }
}

/// What https connections need from the environment.
struct HttpsNeeds {
    authorities: bool,
    proxies: bool,
}

fn cors(reader: &mut Reader) -> Option<Cors> {
    let origins = reader.optional_list(&variables::CORS_ORIGINS)?;
    let named: Vec<_> = origins.iter().flatten().cloned().collect();
    if named.is_empty() {
        return Some(Cors::Any);
    }
    if named.len() < origins.len() {
        cross_checks::any_origin_among_others(reader);
    }
    Some(Cors::Only(named))
}

/// Parses a duration as written in variables and on command lines: `500ms`, `10s`, `5m`, `1h`.
///
/// # Errors
/// Returns what is wrong with the value, and what to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = value::positive_duration(text);
    parsed.map_err(|invalid| {
        let hint = invalid.hint.as_deref();
        let hint = hint.unwrap_or("give one such as 500ms, 10s, 5m or 1h");
        format!("the value {}; {hint}", invalid.reason)
    })
}
