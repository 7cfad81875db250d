//! [`Builder`]: every option of an [`Auth`], each with its default, judged once by
//! [`build`](Builder::build).

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
    challenge::Challenge,
    error::{DurationOption, SetupError, UrlFault},
    issuer::{KeySource, Options, TrustedIssuer, options},
    keys::{
        fetch::{Fetcher, endpoint},
        jwks::Jwks,
        key_set::{Key, KeySet},
        schedule::Policy,
        shared::{Settings, Source},
    },
    resource::Resource,
    token::{checks::TimeRules, payload::IssuerContext},
    verifier::{Auth, Clock, Inner, Keys, Trusted},
};

impl Auth {
    /// Trusts `issuer`'s tokens for `audience`, signed with `RS256`.
    ///
    /// The issuer's keys are found by discovery, in the background: this returns at once, and
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
    /// // For a tenant of yours: Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")
    /// let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// assert!(!auth.is_ready(), "it has returned at once");
    ///
    /// tokio::time::timeout(Duration::from_secs(10), auth.ready()).await?;
    /// assert!(auth.is_ready());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A [`SetupError`] where the issuer is no URL, not https (loopback aside), or the audience is
    /// empty; and outside of a tokio runtime. An issuer that cannot be reached is none: it is tried
    /// again until it can.
    pub fn discover(issuer: &str, audience: &str) -> Result<Self, SetupError> {
        Self::builder().issuer(issuer).audience(audience).build()
    }

    /// Every option, each with its default.
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
            clock: Arc::new(SystemTime::now),
        }
    }
}

/// The largest clock skew that is granted.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The longest duration that is accepted. Instants would overflow beyond it.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Builder {
    /// Trusts this issuer, compared with `iss` to the letter: Auth0's end in a slash. May be called
    /// again for further ones, each with keys of its own; a [`TrustedIssuer`] has audiences and
    /// algorithms of its own as well.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<TrustedIssuer>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    // For all issuers, save where one has its own.
    options!();

    /// The time to live of a key set, used as it is. Defaults to the answer's `max-age`, clamped to
    /// 5 min … 24 h, and to 10 min without one. The set is refreshed at four fifths of it.
    #[must_use]
    pub fn jwks_ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = Some(ttl);
        self
    }

    /// How long until the budget of four fetches for requests gets one back. Unknown `kid`s, wrong
    /// signatures, and requests that find no keys at all spend it; each fetch costs the issuer at most
    /// three HTTP requests, discovery included. Defaults to 15 s.
    #[must_use]
    pub fn jwks_cooldown(mut self, cooldown: Duration) -> Self {
        self.policy.cooldown = cooldown;
        self
    }

    /// How long past its time to live the last good set serves while the issuer fails. Defaults to
    /// 1 h.
    #[must_use]
    pub fn jwks_stale(mut self, stale: Duration) -> Self {
        self.policy.stale = stale;
        self
    }

    /// The limit of one whole fetch, discovery included. Defaults to 5 s.
    #[must_use]
    pub fn jwks_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The clock skew granted to `exp`, `nbf` and `iat`, 0 s to 5 min. Defaults to 30 s.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The strict profile of RFC 9068: `typ` has to be `at+jwt`, and `sub`, `client_id`, `iat` and
    /// `jti` have to be there. Defaults to off, since Auth0's default profile is another.
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

    /// The longest that a token is taken after `iat`, whatever its `exp`; a token without `iat` is
    /// then refused. Defaults to no limit.
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

    /// The realm of challenges (RFC 9110 §11.5). Defaults to `api`.
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

    /// The URL by which clients know what is protected here (RFC 9728 §1.2), without query and
    /// fragment. Every challenge then names the place of its metadata, and
    /// [`Auth::metadata`] makes the document. Defaults to none.
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

    /// Where the metadata of the protected resource is: named in every challenge, so that a client
    /// that knows nothing but the resource finds its issuer (RFC 9728 §5.1). Defaults to the
    /// well-known place of the [`resource`](Self::resource), if there is one.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Where [`role`](crate::auth::policy::role) finds a token's roles: a member of the payload by its whole name,
    /// such as Auth0's `https://my.app/roles`, or by a path, such as Keycloak's
    /// `realm_access.roles`. Defaults to `roles`.
    #[must_use]
    pub fn roles_at(mut self, claim: impl Into<String>) -> Self {
        self.roles_at = claim.into();
        self
    }

    /// How many verified tokens are remembered, of 1.5 KB each or as many as weigh the same; 0 turns
    /// it off. Defaults to 10,000.
    #[must_use]
    pub fn token_cache(mut self, tokens: usize) -> Self {
        self.token_cache = tokens;
        self
    }

    /// The time of day that tokens are judged by. Defaults to the system's.
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

    /// Judges the options and starts to fetch keys, in the background.
    ///
    /// ```
    /// use warp_bearer::auth::Auth;
    ///
    /// // Such faults need no network, and so no tenant, to be found in a test of the configuration.
    /// let fault = Auth::builder().issuer("https://tenant.eu.auth0.com/").build().unwrap_err();
    /// assert_eq!(fault.to_string(), "no audience is configured");
    /// ```
    ///
    /// # Errors
    /// The first [`SetupError`] among the options. The network is not asked.
    pub fn build(self) -> Result<Auth, SetupError> {
        self.check()?;
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
            resource: self.resource.as_deref().map(Resource::new),
            cache: Cache::new(self.token_cache),
            clock: self.clock,
        }))
    }

    fn trust(&self, own: &TrustedIssuer, fetcher: &Arc<Fetcher>) -> Result<Trusted, SetupError> {
        let (mine, all) = (&own.options, &self.options);
        let audiences = own_or(&mine.audiences, &all.audiences);
        let algorithms = own_or(&mine.algorithms, &all.algorithms);
        let source = mine.source.as_ref().or(all.source.as_ref());
        let secret = mine.secret.as_deref().or(all.secret.as_deref());
        check_bare_url(&own.issuer)?;
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(SetupError::NoAudience);
        }
        check_algorithms(algorithms)?;
        check_secret(secret, algorithms)?;
        let issuer: Arc<str> = own.issuer.as_str().into();
        Ok(Trusted {
            keys: self.keys(&issuer, source, algorithms, fetcher)?,
            context: Arc::new(IssuerContext {
                issuer,
                challenge: self.challenge(),
                roles_at: self.roles_at.as_str().into(),
            }),
            audiences: audiences.into(),
            algorithms: algorithms.into(),
            secret: secret.map(Key::secret).map(Arc::new),
        })
    }

    fn challenge(&self) -> Challenge {
        let resource = self.resource.as_deref();
        let metadata = self.resource_metadata.clone();
        let metadata = metadata.or_else(|| Some(Resource::new(resource?).metadata_url()));
        Challenge {
            realm: self.realm.as_str().into(),
            scope: None,
            resource_metadata: metadata.map(Into::into),
        }
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
        if algorithms.iter().all(|alg| *alg == Algorithm::HS256) {
            return Ok(None);
        }
        let (source, policy) = match source {
            Some(KeySource::Fixed(json)) => {
                let set = KeySet::parse(json.as_bytes(), algorithms, Key::FIXED)?;
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

/// What an issuer has of its own goes before what all have.
fn own_or<'a, T>(own: &'a [T], all: &'a [T]) -> &'a [T] {
    if own.is_empty() { all } else { own }
}

/// Spreads replicas. Not a secret, and so not from aws-lc, whose first random number takes 50 ms.
fn seed() -> u64 {
    RandomState::new().hash_one(())
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
