//! [`Builder`]: the options of an [`Auth`], with their defaults. [`build`](Builder::build)
//! validates them.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::algorithm::Algorithm;
use crate::auth::{
    cache::Cache,
    challenge::{Challenge, Scheme},
    credential::certificate::CertificateSource,
    dpop::{Dpop, DpopMode},
    error::{DurationOption, SetupError, UrlFault},
    issuer::{KeySource, Options, TrustedIssuer, options},
    keys::{
        fetch::{Fetcher, endpoint},
        jwks::Jwks,
        key_set::{Key, KeySet},
        schedule::Policy,
        shared::{Settings, Source},
    },
    resource::{Resource, spellings},
    store::Store,
    token::{checks::TimeRules, confirmation::Methods, payload::IssuerContext},
    verifier::{Auth, Clock, Inner, Keys, Trusted},
};

impl Auth {
    /// Creates an [`Auth`] that accepts tokens of `issuer` for `audience`, signed with `RS256`.
    ///
    /// Returns at once and fetches the issuer's keys in the background, by discovery;
    /// [`ready`](Self::ready) waits for them. [`builder`](Self::builder) has every option.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use warp_bearer::{auth::Auth, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// // With a tenant: Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")
    /// let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// assert!(!auth.is_ready(), "discover returns at once");
    ///
    /// tokio::time::timeout(Duration::from_secs(10), auth.ready()).await?;
    /// assert!(auth.is_ready());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns a [`SetupError`] if the issuer is not a URL, if its scheme is not https (http is
    /// allowed on loopback), if the audience is empty, or outside of a tokio runtime. An
    /// unreachable issuer is not an error: the fetch is retried until it succeeds.
    pub fn discover(issuer: &str, audience: &str) -> Result<Self, SetupError> {
        Self::builder().issuer(issuer).audience(audience).build()
    }

    /// Returns a [`Builder`] with every option at its default.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Builds an [`Auth`].
///
/// ```
/// use std::time::Duration;
/// use warp_bearer::auth::{Algorithm, Auth};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// let auth = Auth::builder()
///     .issuer("https://tenant.eu.auth0.com/")
///     .audience("https://api.example.com")
///     .algorithms([Algorithm::RS256, Algorithm::PS256])
///     .leeway(Duration::from_secs(5))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Builder {
    issuers: Vec<TrustedIssuer>,
    options: Options,
    strict: bool,
    max_age: Option<Duration>,
    policy: Policy,
    timeout: Duration,
    leeway: Duration,
    realm: String,
    resource: Option<String>,
    resource_metadata: Option<String>,
    roles_at: String,
    token_cache: usize,
    dpop: Option<Dpop>,
    store: Option<Store>,
    certificates: Option<CertificateSource>,
    clock: Clock,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            options: Options {
                algorithms: vec![Algorithm::RS256],
                ..Options::default()
            },
            strict: false,
            max_age: None,
            policy: Policy::default(),
            timeout: Duration::from_secs(5),
            leeway: Duration::from_secs(30),
            realm: "api".to_owned(),
            resource: None,
            resource_metadata: None,
            roles_at: "roles".to_owned(),
            token_cache: 10_000,
            dpop: None,
            store: None,
            certificates: None,
            clock: Arc::new(SystemTime::now),
        }
    }
}

/// The largest clock skew that [`Builder::leeway`] accepts.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The longest duration that an option accepts. Longer ones would overflow an `Instant`.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Builder {
    /// Trusts an issuer. Its name must equal `iss` exactly: Auth0's issuers end in a slash. It must be
    /// an https URL, unless its keys come from [`jwks_uri`](Self::jwks_uri) or a file.
    ///
    /// Call it again to trust several issuers, each with its own keys. A [`TrustedIssuer`] can also
    /// have its own audiences and algorithms.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<TrustedIssuer>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    // These apply to every issuer that does not set the option itself.
    options!();

    /// Sets the time to live of a key set, which is not clamped. Defaults to the `max-age` of the
    /// response, clamped to 5 min … 24 h, or to 10 min if the response has none. The set is
    /// refreshed after four fifths of its time to live.
    #[must_use]
    pub fn jwks_ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = Some(ttl);
        self
    }

    /// Sets the time until the budget for fetches on behalf of requests regains one fetch. The
    /// budget holds four. Unknown `kid`s, wrong signatures and requests that find no keys at all
    /// spend it. Each fetch costs the issuer at most four HTTP requests, discovery included.
    /// Defaults to 15 s.
    #[must_use]
    pub fn jwks_cooldown(mut self, cooldown: Duration) -> Self {
        self.policy.cooldown = cooldown;
        self
    }

    /// Sets how long the last good key set stays in use past its time to live while the issuer
    /// fails. Defaults to 1 h.
    #[must_use]
    pub fn jwks_stale(mut self, stale: Duration) -> Self {
        self.policy.stale = stale;
        self
    }

    /// Sets the timeout of one whole fetch, discovery included. Defaults to 5 s.
    #[must_use]
    pub fn jwks_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the clock skew allowed for `exp`, `nbf` and `iat`, from 0 s to 5 min. Defaults to 30 s.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Enables the strict profile of RFC 9068: `typ` must be `at+jwt`, and `sub`, `client_id`,
    /// `iat` and `jti` must be present. Defaults to off, because Auth0's default profile differs.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, AuthError, claims::NoPrivate}, issuer::{Issuer, Profile}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .rfc9068(true)
    ///     .build()?;
    /// let strict = issuer.token().profile(Profile::Rfc9068, "my-app");
    /// assert!(auth.verify::<NoPrivate>(&strict.sign()).await.is_ok());
    /// let by_default = auth.verify::<NoPrivate>(&issuer.token().sign()).await;
    /// assert_eq!(by_default.unwrap_err(), AuthError::WrongTokenType);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn rfc9068(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Sets the longest time after `iat` that a token is accepted, whatever its `exp`. A token
    /// without `iat` is then rejected. Defaults to no limit.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use warp_bearer::{auth::{Auth, AuthError, claims::NoPrivate}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .max_age(Duration::from_secs(300))
    ///     .build()?;
    /// let old = issuer.token().issued_at(-600).expires_in(Duration::from_secs(3600));
    /// let old = auth.verify::<NoPrivate>(&old.sign()).await;
    /// assert_eq!(old.unwrap_err(), AuthError::TokenExpired, "whatever its exp");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the realm of challenges (RFC 9110 §11.5). Defaults to `api`.
    ///
    #[cfg_attr(feature = "warp", doc = "```")]
    #[cfg_attr(not(feature = "warp"), doc = "```ignore")]
    /// use warp::Filter;
    /// use warp_bearer::auth::{Auth, Claims, BearerFilterExt, with_auth};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// let auth = Auth::builder()
    ///     .issuer("https://tenant.eu.auth0.com/")
    ///     .audience("https://api.example.com")
    ///     .realm("the shop")
    ///     .build()?;
    /// let me = warp::path!("me").and(with_auth(&auth)).map(|_: Claims| "you").route();
    /// let answer = warp::test::request().path("/me").reply(&me).await;
    /// assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="the shop""#);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Sets the URL that identifies the protected resource (RFC 9728 §1.2), without query and
    /// fragment. Every challenge then names the URL of the resource's metadata, and
    /// [`Auth::metadata`] returns the document. Defaults to none.
    ///
    /// Clients write a URL without a path with a slash at its end or without one. If a resource is set, an
    /// audience that is such a URL is accepted in both spellings.
    ///
    #[cfg_attr(feature = "warp", doc = "```")]
    #[cfg_attr(not(feature = "warp"), doc = "```ignore")]
    /// use warp::Filter;
    /// use warp_bearer::auth::{Auth, Claims, BearerFilterExt, with_auth};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// let auth = Auth::builder()
    ///     .issuer("https://tenant.eu.auth0.com/")
    ///     .audience("https://api.example.com/mcp")
    ///     .resource("https://api.example.com/mcp")
    ///     .build()?;
    /// let mcp = warp::path!("mcp").and(with_auth(&auth)).map(|_: Claims| "tools").route();
    /// let answer = warp::test::request().path("/mcp").reply(&mcp).await;
    /// let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    /// let place = "https://api.example.com/.well-known/oauth-protected-resource/mcp";
    /// assert!(challenge.contains(&format!(r#"resource_metadata="{place}""#)), "{challenge}");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn resource(mut self, url: impl Into<String>) -> Self {
        self.resource = Some(url.into());
        self
    }

    /// Sets the URL of the protected resource's metadata. Every challenge names it, so that a
    /// client that knows only the resource finds the issuer (RFC 9728 §5.1). Defaults to the
    /// well-known URL of the [`resource`](Self::resource), if one is set.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Sets the claim that holds a token's roles, which [`role`](crate::auth::policy::role) checks:
    /// the full name of a payload member, such as Auth0's `https://my.app/roles`, or a path, such
    /// as Keycloak's `realm_access.roles`. Defaults to `roles`.
    #[must_use]
    pub fn roles_at(mut self, claim: impl Into<String>) -> Self {
        self.roles_at = claim.into();
        self
    }

    /// Sets how many verified tokens of average size, 1.5 KB each, are cached. Larger tokens count
    /// for more than one. 0 turns the cache off. Defaults to 10,000.
    #[must_use]
    pub fn token_cache(mut self, tokens: usize) -> Self {
        self.token_cache = tokens;
        self
    }

    /// Accepts tokens that are bound to the client's certificate (RFC 8705), which comes from
    /// `source`. The client presents them as bearer tokens, over the connection with that
    /// certificate. Defaults to none; such tokens are then rejected.
    #[must_use]
    pub fn client_certificates(mut self, source: CertificateSource) -> Self {
        self.certificates = Some(source);
        self
    }

    /// Sets the store that remembers what may be used once, and that shares revocations. Replicas
    /// of one API need a shared one. Defaults to 64 MiB of this process's [memory](Store::memory).
    #[must_use]
    pub fn state_store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the clock that the times of tokens are checked against. Defaults to the system clock.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use std::time::{Duration, SystemTime};
    /// use warp_bearer::{auth::{Auth, AuthError, claims::NoPrivate}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .clock(|| SystemTime::now() + Duration::from_secs(7200)) // two hours ahead
    ///     .build()?;
    /// let expired = auth.verify::<NoPrivate>(&issuer.token().sign()).await;
    /// assert_eq!(expired.unwrap_err(), AuthError::TokenExpired);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Accepts tokens that are bound to a key, with a proof of it in the field `DPoP` (RFC 9449).
    /// Defaults to none; then a token with `cnf` is rejected.
    ///
    /// ```
    /// use warp_bearer::auth::{Auth, dpop::Dpop};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// let auth = Auth::builder()
    ///     .issuer("https://tenant.eu.auth0.com/")
    ///     .audience("https://api.example.com")
    ///     .dpop(Dpop::allowed("https://api.example.com"))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn dpop(mut self, dpop: Dpop) -> Self {
        self.dpop = Some(dpop);
        self
    }

    /// Validates the options and starts to fetch keys in the background.
    ///
    /// ```
    /// use warp_bearer::auth::Auth;
    ///
    /// // A test can find such a mistake without a network or a tenant.
    /// let fault = Auth::builder().issuer("https://tenant.eu.auth0.com/").build().unwrap_err();
    /// assert_eq!(fault.to_string(), "no audience is configured");
    /// ```
    ///
    /// # Errors
    /// Returns the first [`SetupError`] among the options. Network failures are not errors here.
    pub fn build(self) -> Result<Auth, SetupError> {
        self.check()?;
        let store = self.store.clone().unwrap_or_default();
        let dpop = self.dpop.as_ref().filter(|_| self.uses_dpop());
        let proofs = dpop.map(|dpop| dpop.proofs(store.clone(), self.leeway));
        let proofs = proofs.transpose()?;
        let fetcher = Arc::new(Fetcher::default());
        let mut issuers = Vec::new();
        for own in &self.issuers {
            issuers.push(self.trust(own, &fetcher)?);
        }
        let mut algorithms: Vec<_> = issuers.iter().flat_map(|i| i.algorithms.to_vec()).collect();
        algorithms.sort();
        algorithms.dedup();
        Ok(Auth::new(Inner {
            issuers,
            algorithms: algorithms.into(),
            rules: TimeRules {
                leeway: self.leeway,
                max_age: self.max_age,
            },
            strict: self.strict,
            challenge: self.challenge(),
            certificates: self.certificates,
            proofs,
            resource: self.resource.as_deref().map(Resource::new),
            cache: Cache::new(self.token_cache),
            store,
            clock: self.clock,
        }))
    }

    fn trust(&self, own: &TrustedIssuer, fetcher: &Arc<Fetcher>) -> Result<Trusted, SetupError> {
        let (mine, all) = (&own.options, &self.options);
        let audiences = own_or(&mine.audiences, &all.audiences);
        let algorithms = own_or(&mine.algorithms, &all.algorithms);
        let source = mine.source.as_ref().or(all.source.as_ref());
        let secret = mine.secret.as_deref().or(all.secret.as_deref());
        check_issuer(&own.issuer, source.is_none() && needs_keys(algorithms))?;
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(SetupError::NoAudience);
        }
        check_algorithms(algorithms)?;
        check_secret(secret, algorithms)?;
        let issuer: Arc<str> = own.issuer.as_str().into();
        let mode = self.dpop_mode(own);
        Ok(Trusted {
            keys: self.keys(&issuer, source, algorithms, fetcher)?,
            context: Arc::new(IssuerContext {
                issuer,
                challenge: self.challenge(),
                roles_at: self.roles_at.as_str().into(),
                requires_key: mode == DpopMode::Required,
            }),
            methods: Methods {
                key: mode != DpopMode::Off,
                certificate: self.certificates.is_some(),
            },
            audiences: self.spellings(audiences),
            algorithms: algorithms.into(),
            secret: secret.map(Key::secret).map(Arc::new),
        })
    }

    /// Returns the audiences, with both spellings of URLs without a path if the API is a resource.
    fn spellings(&self, audiences: &[String]) -> Arc<[String]> {
        if self.resource.is_none() {
            return audiences.into();
        }
        let mut all: Vec<String> = Vec::new();
        for spelling in audiences.iter().flat_map(|audience| spellings(audience)) {
            if !all.contains(&spelling) {
                all.push(spelling);
            }
        }
        all.into()
    }

    fn challenge(&self) -> Challenge {
        let resource = self.resource.as_deref();
        let metadata = self.resource_metadata.clone();
        let metadata = metadata.or_else(|| Some(Resource::new(resource?).metadata_url()));
        let dpop = self.dpop.as_ref().filter(|_| self.uses_dpop());
        let challenge = Challenge {
            realm: self.realm.as_str().into(),
            scope: None,
            resource_metadata: metadata.map(Into::into),
            bearer: true,
            dpop: dpop.map(Dpop::algs),
        };
        let mut modes = self.issuers.iter().map(|issuer| self.dpop_mode(issuer));
        if modes.all(|mode| mode == DpopMode::Required) {
            return challenge.only(Scheme::Dpop);
        }
        challenge
    }

    /// Returns the mode of an issuer: its own, or the one of all issuers.
    fn dpop_mode(&self, issuer: &TrustedIssuer) -> DpopMode {
        let all = self.dpop.as_ref().map(|dpop| dpop.mode);
        issuer.dpop.or(all).unwrap_or_default()
    }

    fn uses_dpop(&self) -> bool {
        let mut modes = self.issuers.iter().map(|issuer| self.dpop_mode(issuer));
        modes.any(|mode| mode != DpopMode::Off)
    }

    fn check(&self) -> Result<(), SetupError> {
        if self.issuers.is_empty() {
            return Err(SetupError::NoIssuer);
        }
        let without_keys = |issuer: &&TrustedIssuer| issuer.options.source.is_none();
        let without_secret = |issuer: &&TrustedIssuer| issuer.options.secret.is_none();
        let shared_keys =
            self.options.source.is_some() && self.issuers.iter().filter(without_keys).count() > 1;
        let shared_secret =
            self.options.secret.is_some() && self.issuers.iter().filter(without_secret).count() > 1;
        if shared_keys || shared_secret {
            return Err(SetupError::AmbiguousKeySet);
        }
        self.check_durations()?;
        match &self.dpop {
            Some(dpop) => check_bare_url(&dpop.public_url)?,
            None if self.uses_dpop() => return Err(SetupError::NoPublicUrl),
            None => {}
        }
        if let Some(url) = &self.resource {
            check_bare_url(url)?;
            check_quotable(url)?;
        }
        if let Some(url) = &self.resource_metadata {
            check_url(url)?;
            check_quotable(url)?;
        }
        check_quotable(&self.realm)
    }

    fn check_durations(&self) -> Result<(), SetupError> {
        use DurationOption::{JwksCooldown, JwksStale, JwksTimeout, JwksTtl, Leeway, MaxAge};
        let positive = Duration::from_nanos(1)..=CENTURY;
        let rows = [
            (Leeway, Some(self.leeway), Duration::ZERO..=MAX_LEEWAY),
            (MaxAge, self.max_age, positive.clone()),
            (JwksTtl, self.policy.ttl, positive.clone()),
            (JwksCooldown, Some(self.policy.cooldown), positive.clone()),
            (JwksStale, Some(self.policy.stale), Duration::ZERO..=CENTURY),
            (JwksTimeout, Some(self.timeout), positive),
        ];
        for (option, duration, range) in rows {
            if duration.is_some_and(|duration| !range.contains(&duration)) {
                return Err(SetupError::OutOfRange(option));
            }
        }
        Ok(())
    }

    fn keys(
        &self,
        issuer: &Arc<str>,
        source: Option<&KeySource>,
        algorithms: &[Algorithm],
        fetcher: &Arc<Fetcher>,
    ) -> Result<Option<Keys>, SetupError> {
        if !needs_keys(algorithms) {
            return Ok(None);
        }
        let (source, policy) = match source {
            Some(KeySource::Fixed(json)) => {
                let set = KeySet::parse_file(json.as_bytes(), algorithms, Key::FIXED)?;
                return Ok(Some(Keys::Fixed(set)));
            }
            None => (Source::Discovery, self.policy),
            Some(KeySource::Address(url)) => (Source::Address(check_url(url)?), self.policy),
            Some(KeySource::File(path)) => (Source::File(path.clone()), self.policy.for_a_file()),
        };
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(SetupError::NoRuntime);
        }
        Ok(Some(Keys::Fetched(Jwks::start(Settings {
            issuer: Arc::clone(issuer),
            source,
            algorithms: algorithms.into(),
            policy,
            timeout: self.timeout,
            seed: seed(),
            fetcher: Arc::clone(fetcher),
        }))))
    }
}

/// Returns the issuer's own values, or those of all issuers if it has none.
fn own_or<'a, T>(own: &'a [T], all: &'a [T]) -> &'a [T] {
    if own.is_empty() { all } else { own }
}

/// Returns the seed of the jitter that spreads the fetches of replicas. The seed is not a secret,
/// so it does not come from aws-lc, whose first random number takes 50 ms.
fn seed() -> u64 {
    RandomState::new().hash_one(())
}

/// Returns whether an algorithm needs a public key.
fn needs_keys(algorithms: &[Algorithm]) -> bool {
    algorithms.iter().any(|alg| !alg.is_symmetric())
}

/// Checks the name of an issuer, which is any string (RFC 7519 §4.1.1). It must be a URL only if its
/// keys are discovered.
fn check_issuer(issuer: &str, discovers: bool) -> Result<(), SetupError> {
    if discovers {
        return check_bare_url(issuer);
    }
    if issuer.is_empty() {
        return Err(SetupError::NoIssuer);
    }
    Ok(())
}

fn check_bare_url(text: &str) -> Result<(), SetupError> {
    let url = check_url(text)?;
    let bare = url.username().is_empty() && url.password().is_none();
    if !bare || text.contains(['?', '#']) {
        return Err(url_fault(text, UrlFault::Decorated));
    }
    Ok(())
}

fn check_url(url: &str) -> Result<reqwest::Url, SetupError> {
    endpoint(url).map_err(|fault| url_fault(url, fault))
}

fn url_fault(url: &str, fault: UrlFault) -> SetupError {
    SetupError::Url {
        url: url.to_owned(),
        fault,
    }
}

fn check_algorithms(algorithms: &[Algorithm]) -> Result<(), SetupError> {
    if algorithms.is_empty() {
        return Err(SetupError::NoAlgorithm);
    }
    Ok(())
}

fn check_secret(secret: Option<&[u8]>, algorithms: &[Algorithm]) -> Result<(), SetupError> {
    let wanted = algorithms.contains(&Algorithm::HS256);
    match secret {
        None if wanted => Err(SetupError::NoSecret),
        Some(_) if !wanted => Err(SetupError::UnusedSecret),
        Some(secret) if secret.len() < 32 => Err(SetupError::ShortSecret),
        _ => Ok(()),
    }
}

fn check_quotable(realm: &str) -> Result<(), SetupError> {
    let fits = |c: u8| matches!(c, b' '..=b'~') && c != b'"' && c != b'\\';
    if realm.is_empty() || !realm.bytes().all(fits) {
        return Err(SetupError::Realm);
    }
    Ok(())
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("issuers", &self.issuers)
            .field("audiences", &self.options.audiences)
            .field("algorithms", &self.options.algorithms)
            .finish_non_exhaustive()
    }
}
