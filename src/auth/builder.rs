//! [`Builder`]: the options of an [`Auth`] and their defaults. [`build`](Builder::build) validates
//! them.

use std::{
    collections::HashSet,
    fmt,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use http::{HeaderName, header::AUTHORIZATION};
use tokio::sync::watch;

use crate::algorithm::Algorithm;
use crate::auth::{
    cache::Cache,
    challenge::{Challenge, Scheme},
    clock::Clock,
    credential::{bearer::MAX_TOKEN, certificate::CertificateSource},
    display::ShownUrl,
    dpop::{Dpop, DpopMode},
    error::{DurationOption, FixedOption, SetupError, UrlFault},
    introspection::{
        introspector::{AnswerChecker, Introspector},
        options::Mode,
    },
    issuer::{KeySource, Options, TrustedIssuer, options},
    issuers::Issuers,
    keys::{
        fetch::{Access, Fetcher, endpoint},
        jwks::Jwks,
        key_set::{Key, KeySet},
        schedule::RefreshPolicy,
        shared::{Settings, Source},
    },
    policy,
    resolver::{NO_SLOT, Prescreen, Resolve, Resolver},
    resource::{Resource, spellings},
    revocation::{
        RevocationOutage, RevocationSource, Revocations,
        file::RevocationFile,
        list::RevocationList,
        source::{Polled, Staleness},
        sync,
    },
    store::Store,
    token::{
        checks::TimeRules, confirmation::Methods, implied::ImpliedScopes, payload::IssuerContext,
    },
    trusted::{KeyOrigin, Keys, Rules, Trusted},
    verifier::{Auth, Inner},
};

impl Auth {
    /// Replaces the trusted issuers with those of `builder`, even while requests are in flight.
    ///
    /// An issuer whose options are unchanged will keep its keys and its cached tokens. If its
    /// options changed but its keys come from the same source, the keys are kept and the cached
    /// tokens will be verified again.
    ///
    /// The [`Auth`] takes from `builder` the issuers, the options that these inherit, and the mode of
    /// [`dpop`](Builder::dpop). It keeps everything else:
    ///
    /// - If `builder` has other options for DPoP proofs or another source of
    ///   [`client_certificates`](Builder::client_certificates), this method returns an error. If
    ///   `builder` has none, the current ones stay in use, including the current DPoP mode.
    /// - Resolved issuers keep the options of the builder that set the resolver. This means that if
    ///   the [`Auth`] has a resolver, the DPoP mode of `builder` must not differ from the current
    ///   one.
    /// - The clock, the leeway of DPoP proofs, the token cache, the realm, the resource, the token
    ///   field, the maximum length of a token, the resolver, the store, the logout clients and the
    ///   sources of revocations stay the same. Those of `builder` are ignored.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, AuthError, claims::NoPrivate}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (one, other) = (Issuer::start().await, Issuer::start().await);
    /// let auth = Auth::discover(one.url(), one.audience())?;
    /// let both = Auth::builder().issuer(one.url()).issuer(other.url()).audience(one.audience());
    /// auth.replace_issuers(&both)?;
    /// assert!(auth.verify::<NoPrivate>(&other.token().sign()).await.is_ok());
    ///
    /// auth.replace_issuers(&Auth::builder().issuer(other.url()).audience(one.audience()))?;
    /// let removed = auth.verify::<NoPrivate>(&one.token().sign()).await;
    /// assert_eq!(removed.unwrap_err(), AuthError::UnknownIssuer);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`SetupError::Fixed`] if an option cannot be replaced, or the first other
    /// [`SetupError`] among the options. In this case, nothing will be replaced.
    pub fn replace_issuers(&self, builder: &Builder) -> Result<(), SetupError> {
        // `check` lets a builder without issuers pass if it has a resolver, but we don't use that
        // resolver here
        if builder.issuers.is_empty() && self.inner.resolver.is_none() {
            return Err(SetupError::NoIssuer);
        }
        let lock = self.inner.dpop.lock();
        let mut current_dpop = lock.unwrap_or_else(PoisonError::into_inner);
        let before = self.inner.issuers.load_full();
        let mut builder = builder.clone();
        // Carry over both options before the checks. If we didn't, the new issuers would treat
        // bound tokens as plain bearer tokens, or reject all of them.
        builder.dpop = self.replaced_dpop(current_dpop.as_ref(), builder.dpop.as_ref())?;
        builder.certificates = self.replaced_certificates(builder.certificates)?;
        builder.check()?;
        builder.clock = self.inner.clock.clone();
        let challenge = &before.challenge;
        builder.realm = challenge.realm.to_string();
        builder.resource_metadata = challenge.resource_metadata.as_deref().map(Into::into);
        builder.resource = self.inner.resource.as_ref().map(Resource::identifier);
        builder.revocation_list = Arc::clone(&self.inner.revocations.list);
        let resolver = self.inner.resolver.as_ref();
        let issuers = builder.trusted_issuers(&self.inner.fetcher, Some(&before), resolver)?;
        self.inner.issuers.store(Arc::new(issuers));
        self.inner.issuers_replaced.send_replace(());
        builder
            .revocation_list
            .trust(builder.names(resolver.is_some()));
        *current_dpop = builder.dpop;
        Ok(())
    }

    /// The DPoP options after a reload, which are the current ones with the mode of `new`.
    fn replaced_dpop(
        &self,
        current: Option<&Dpop>,
        new: Option<&Dpop>,
    ) -> Result<Option<Dpop>, SetupError> {
        let Some(new) = new else {
            return Ok(current.cloned());
        };
        let current = current.ok_or(SetupError::Fixed(FixedOption::PublicUrl))?;
        let replaced = current.with_mode_of(new).map_err(SetupError::Fixed)?;
        if self.inner.resolver.is_some() && replaced.mode != current.mode {
            return Err(SetupError::Fixed(FixedOption::DpopModeOfResolved));
        }
        Ok(Some(replaced))
    }

    fn replaced_certificates(
        &self,
        new: Option<CertificateSource>,
    ) -> Result<Option<CertificateSource>, SetupError> {
        let current = self.inner.certificates;
        if new.is_some() && new != current {
            return Err(SetupError::Fixed(FixedOption::ClientCertificates));
        }
        Ok(current)
    }

    /// Creates an [`Auth`] that accepts tokens of `issuer` for `audience`, signed with `RS256`.
    ///
    /// Returns immediately, and finds and fetches the issuer's keys in the background. If you want
    /// to wait for the keys, call [`ready`](Self::ready). To set other options, use
    /// [`builder`](Self::builder).
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
    /// Returns a [`SetupError`] if the issuer is not an https URL (http is allowed on loopback), if
    /// the audience is empty, or if there is no tokio runtime. An unreachable issuer is not an
    /// error, the fetch will be retried until it succeeds.
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
    policy: RefreshPolicy,
    timeout: Duration,
    leeway: Duration,
    realm: String,
    resource: Option<String>,
    resource_metadata: Option<String>,
    roles_at: String,
    groups_at: String,
    included_scopes: Vec<(String, String)>,
    field: Option<HeaderName>,
    max_token: usize,
    resolve: Option<Resolve>,
    prescreen: Option<Prescreen>,
    token_cache: usize,
    dpop: Option<Dpop>,
    store: Option<Store>,
    certificates: Option<CertificateSource>,
    clock: Clock,
    revocation_list: Arc<RevocationList>,
    revocation_file: Option<PathBuf>,
    revocation_sources: Vec<Polled>,
    staleness: Staleness,
    logout_clients: Vec<String>,
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
            policy: RefreshPolicy::default(),
            timeout: Duration::from_secs(5),
            leeway: Duration::from_secs(30),
            realm: "api".to_owned(),
            resource: None,
            resource_metadata: None,
            roles_at: "roles".to_owned(),
            groups_at: "groups".to_owned(),
            included_scopes: Vec::new(),
            field: None,
            max_token: MAX_TOKEN,
            resolve: None,
            prescreen: None,
            token_cache: 10_000,
            clock: Clock::default(),
            revocation_list: Arc::new(RevocationList::new()),
            revocation_file: None,
            revocation_sources: Vec::new(),
            staleness: Staleness {
                limit: Duration::from_secs(300),
                outage: RevocationOutage::default(),
            },
            logout_clients: Vec::new(),
            dpop: None,
            store: None,
            certificates: None,
        }
    }
}

const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The range of [`Builder::max_token_bytes`].
pub(crate) const TOKEN_SIZES: std::ops::RangeInclusive<usize> = 1024..=64 * 1024;

/// The maximum of every option that is a duration. Longer ones could overflow an `Instant`.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Builder {
    /// Trusts an issuer. The name must be exactly the `iss` claim of its tokens. Auth0's issuers
    /// end in a slash. The name must be an https URL, unless the keys come from
    /// [`jwks_uri`](Self::jwks_uri) or a file.
    ///
    /// You can call this method again to trust several issuers, each with its own keys. A
    /// [`TrustedIssuer`] can also have its own audiences and algorithms. Each issuer may be added
    /// only once, with all of its options. [`build`](Self::build) returns an error if two issuers
    /// have the same name.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<TrustedIssuer>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    // for every issuer that doesn't set the option itself
    options!();

    /// Sets the time to live of a key set, which is refreshed after four fifths of this time.
    /// Defaults to the `max-age` of the response, clamped to the range from 5 min to 24 h, or to 10
    /// min if the response has no `max-age`. Note that a value set here is not clamped.
    #[must_use]
    pub fn jwks_ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = Some(ttl);
        self
    }

    /// Sets how often a request may trigger a key fetch. Requests trigger a fetch if a token has an
    /// unknown `kid` or a wrong signature, or if there are no keys yet. Up to four of these fetches
    /// are allowed in a burst, and one more after each interval. A fetch makes at most four HTTP
    /// requests to the issuer, including discovery. Defaults to 15 s.
    #[must_use]
    pub fn jwks_cooldown(mut self, cooldown: Duration) -> Self {
        self.policy.cooldown = cooldown;
        self
    }

    /// Sets how long an expired key set is still used while fetches fail. Defaults to 1 h.
    #[must_use]
    pub fn jwks_stale(mut self, stale: Duration) -> Self {
        self.policy.stale = stale;
        self
    }

    /// Sets the timeout of a whole fetch, including discovery. Defaults to 5 s.
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

    /// Sets the maximum age of a token, counted from `iat`, even if `exp` is later. With this
    /// option, a token without `iat` is rejected. Defaults to no limit.
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

    /// Sets the URL that identifies the protected resource (RFC 9728 §1.2), without a query or a
    /// fragment. Every challenge then contains the URL of the resource's metadata, and
    /// [`Auth::metadata`] returns that document. Defaults to none.
    ///
    /// Some clients write `https://api.example.com` with a trailing slash, and some without. If a
    /// resource is set, both spellings of every audience without a path are accepted.
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

    /// Sets the URL of the protected resource's metadata. Every challenge contains this URL, so a
    /// client that only knows the resource can find the issuer (RFC 9728 §5.1). Defaults to the
    /// well-known URL of the [`resource`](Self::resource), if one is set.
    #[must_use]
    pub fn resource_metadata(mut self, url: impl Into<String>) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }

    /// Sets the claim that contains a token's roles, for [`role`](crate::auth::policy::role). This
    /// is either the full name of a claim (e.g. Auth0's `https://my.app/roles`) or a path (e.g.
    /// Keycloak's `realm_access.roles`). Defaults to `roles`.
    #[must_use]
    pub fn roles_at(mut self, claim: impl Into<String>) -> Self {
        self.roles_at = claim.into();
        self
    }

    /// Sets the claim that contains a token's groups, for [`group`](crate::auth::policy::group).
    /// This is a name or a path, as for [`roles_at`](Self::roles_at). Defaults to `groups`.
    #[must_use]
    pub fn groups_at(mut self, claim: impl Into<String>) -> Self {
        self.groups_at = claim.into();
        self
    }

    /// Makes `scope` include other scopes. A token with `scope` then also meets policies that
    /// require any of the included scopes. Inclusion is transitive. Call this method once for each
    /// scope that includes others. Defaults to none.
    ///
    /// [`Claims::scopes`](crate::auth::Claims::scopes) still returns only the scopes in the token.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, Claims, policy::scope}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .scope_includes("admin", ["read:messages", "write:messages"])
    ///     .build()?;
    /// let claims: Claims = auth.verify(&issuer.token().scope("admin").sign()).await?;
    /// assert_eq!(scope("read:messages").check(&claims), Ok(()));
    /// assert!(scope("read:users").check(&claims).is_err());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scope_includes<S: Into<String>>(
        mut self,
        scope: impl Into<String>,
        included: impl IntoIterator<Item = S>,
    ) -> Self {
        let scope = scope.into();
        let included = included.into_iter().map(|to| (scope.clone(), to.into()));
        self.included_scopes.extend(included);
        self
    }

    /// Reads the token from this header instead of `Authorization`. The value is the token alone,
    /// without a scheme. This is useful behind identity-aware proxies, which typically send a
    /// header like `Cf-Access-Jwt-Assertion`, `X-Goog-Iap-Jwt-Assertion` or
    /// `X-Forwarded-Access-Token`. Defaults to `Authorization`, which can't be set here, because its
    /// value has a scheme.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use http::{HeaderName, Request};
    /// use warp_bearer::{auth::{Auth, Claims, RequestHead}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .token_field(HeaderName::from_static("cf-access-jwt-assertion"))
    ///     .build()?;
    /// let request = Request::get("/me")
    ///     .header("Cf-Access-Jwt-Assertion", issuer.token().sign())
    ///     .body(())?;
    /// let head = RequestHead::new(request.method(), request.uri().path(), request.headers());
    /// let claims: Result<Claims, _> = auth.authenticate(&head).await;
    /// assert!(claims.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn token_field(mut self, name: HeaderName) -> Self {
        self.field = Some(name);
        self
    }

    /// Sets the maximum length of a token, from 1 KiB to 64 KiB. Defaults to
    /// [`MAX_TOKEN`](crate::auth::MAX_TOKEN), 16 KiB. Your server must accept request heads larger
    /// than this.
    #[must_use]
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token = bytes;
        self
    }

    /// Trusts issuers that `resolve` finds by name, in addition to the configured ones.
    ///
    /// The function is called with the `iss` of a token if that issuer is not configured, and
    /// returns the issuer with exactly this name, or `None`. Note that an attacker can choose the
    /// name. If you'd like to reject names without calling the function, set
    /// [`prescreen`](Self::prescreen).
    ///
    /// The function may query a database, but must return within 3 s. Otherwise, all requests that
    /// wait for this name get a 503, and so do requests for this name in the next second. At most
    /// 16 names are resolved at the same time, and concurrent requests for one name share one call.
    ///
    /// A returned issuer is cached for 10 minutes and a `None` for one minute, up to 1,000 of each.
    /// The keys of a cached issuer are refreshed in the background, until at most 21 minutes after
    /// its last use.
    ///
    /// The returned issuer inherits from the builder the options that it does not set. It may have
    /// other [`algorithms`](TrustedIssuer::algorithms) than the builder, but for a token with
    /// `HS256`, the function is called only if the builder or a configured issuer allows `HS256`.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, Claims, TrustedIssuer, tenant_of}, issuer::Issuer};
    ///
    /// async fn tenant_in_database(iss: String) -> Option<TrustedIssuer> {
    /// #   let known = true;
    ///     // let known = query("select 1 from tenants where issuer = $1", &iss).await;
    ///     known.then(|| TrustedIssuer::new(iss))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .audience(issuer.audience())
    ///     .resolve_issuers(tenant_in_database)
    ///     .prescreen(|iss| iss.starts_with("http://127.0.0.1:"))
    ///     .build()?;
    /// let claims: Claims = auth.verify(&issuer.token().sign()).await?;
    /// assert_eq!(claims.issuer(), issuer.url());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn resolve_issuers<F, A>(mut self, resolve: F) -> Self
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = Option<TrustedIssuer>> + Send + 'static,
    {
        self.resolve = Some(Arc::new(move |name| Box::pin(resolve(name))));
        self
    }

    /// Filters issuer names before the function of [`resolve_issuers`](Self::resolve_issuers) is
    /// called. A name for which `is_possible` returns `false` is rejected. `is_possible` will run
    /// for every unknown `iss`, so it should be fast. [`tenant_of`](crate::auth::tenant_of)
    /// compares a name with a template.
    #[must_use]
    pub fn prescreen(mut self, is_possible: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.prescreen = Some(Arc::new(is_possible));
        self
    }

    /// Sets the number of verified tokens to cache, assuming an average size of 1.5 KB. A larger
    /// token counts as several. 0 turns the cache off. Defaults to 10,000.
    #[must_use]
    pub fn token_cache(mut self, tokens: usize) -> Self {
        self.token_cache = tokens;
        self
    }

    /// Accepts tokens bound to the client's certificate (RFC 8705). `source` says where to find the
    /// certificate of a request. Clients send these tokens as bearer tokens, over a connection with
    /// that certificate. By default, they are rejected.
    #[must_use]
    pub fn client_certificates(mut self, source: CertificateSource) -> Self {
        self.certificates = Some(source);
        self
    }

    /// Sets the store for used proofs, used logout tokens and revocations. If you run more than one
    /// replica of your API, they should share a store. Defaults to 64 MiB of
    /// [memory](Store::memory) in this process.
    #[must_use]
    pub fn state_store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the clock for checking the times in tokens. Defaults to the system clock.
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
        self.clock = Clock::new(clock);
        self
    }

    /// Reads revocations from a file of JSON lines, such as
    /// `{"iss":"https://…/","sub":"auth0|alice","before":1790000000}`. The file is checked every
    /// second for changes. [`build`](Self::build) fails if the file cannot be read. If it becomes
    /// unreadable later, the last list will stay in use.
    #[must_use]
    pub fn revocation_file(mut self, path: impl AsRef<Path>) -> Self {
        self.revocation_file = Some(path.as_ref().to_owned());
        self
    }

    /// Reads revocations from your own source, such as a database, at the interval `every`, or at a
    /// third of [`revocation_stale`](Self::revocation_stale) if that is shorter. Until
    /// the first successful read, requests with a token get a 503, unless
    /// [`revocation_outage`](Self::revocation_outage) is set to accept them.
    #[must_use]
    pub fn revocation_source(mut self, source: impl RevocationSource, every: Duration) -> Self {
        self.revocation_sources.push(Polled::new(source, every));
        self
    }

    /// Accepts logout tokens for this client (`OpenID` Connect Back-Channel Logout 1.0). Pass them
    /// to [`Auth::log_out`]. Call this method again to accept several clients. Defaults to none.
    ///
    /// Without a shared [`state_store`](Self::state_store), only this process will know of a
    /// logout, and only for as long as it runs.
    #[must_use]
    pub fn logout_client(mut self, client_id: impl Into<String>) -> Self {
        self.logout_clients.push(client_id.into());
        self
    }

    /// Sets how long the last list of revoked tokens stays in use while a source fails. For a
    /// [`revocation_source`](Self::revocation_source), this is at least one second. Defaults to five
    /// minutes.
    #[must_use]
    pub fn revocation_stale(mut self, stale: Duration) -> Self {
        self.staleness.limit = stale;
        self
    }

    /// Sets what happens after [`revocation_stale`](Self::revocation_stale) has passed. Defaults to
    /// [`RevocationOutage::Refuse`].
    #[must_use]
    pub fn revocation_outage(mut self, outage: RevocationOutage) -> Self {
        self.staleness.outage = outage;
        self
    }

    /// Accepts tokens bound to a key, with a proof in the `DPoP` header (RFC 9449). By
    /// default, a token with `cnf` is rejected.
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
    /// // A unit test finds this mistake without a network or a tenant.
    /// let fault = Auth::builder().issuer("https://tenant.eu.auth0.com/").build().unwrap_err();
    /// assert_eq!(fault.to_string(), "no audience is configured");
    /// ```
    ///
    /// # Errors
    /// Returns the first [`SetupError`] among the options. Note that network failures are not
    /// errors here.
    pub fn build(mut self) -> Result<Auth, SetupError> {
        self.check()?;
        // Each `Auth` gets its own list, even if we build several from clones of one builder
        self.revocation_list = Arc::new(RevocationList::new());
        let names = self.names(self.resolve.is_some());
        self.revocation_list.trust(names);
        let revocations = self.revocations()?;
        let store = self.store.clone().unwrap_or_default();
        store.begin(self.clock.time());
        // Needed even if no issuer uses DPoP right now, a reload may turn it on
        let dpop = self.dpop.as_ref();
        let proofs = dpop.map(|dpop| dpop.proofs(store.clone(), self.leeway));
        let proofs = proofs.transpose()?;
        let fetcher = Arc::new(Fetcher::default());
        let resolver = self.resolve.clone().map(|resolve| {
            let (options, fetcher) = (self.clone(), Arc::clone(&fetcher));
            let trust = move |own: &TrustedIssuer, before: Option<&Trusted>| {
                Self::start(options.parts(own)?, &fetcher, before)
            };
            let (prescreen, algorithms) = (self.prescreen.clone(), &self.options.algorithms);
            Resolver::new(resolve, prescreen, Box::new(trust), algorithms)
        });
        let issuers = self.trusted_issuers(&fetcher, None, resolver.as_ref())?;
        Ok(Auth::new(Inner {
            issuers: ArcSwap::from_pointee(issuers),
            issuers_replaced: watch::Sender::new(()),
            resolver,
            field: self.field.clone(),
            max_token: self.max_token,
            fetcher,
            certificates: self.certificates,
            dpop: Mutex::new(self.dpop),
            proofs,
            resource: self.resource.as_deref().map(Resource::new),
            cache: Cache::new(self.token_cache),
            store,
            clock: self.clock,
            logout_clients: self.logout_clients,
            revocations,
            has_started: AtomicBool::default(),
        }))
    }

    /// The names of the issuers, or `None` if a resolver may add more of them
    fn names(&self, resolves: bool) -> Option<HashSet<String>> {
        let names = self.issuers.iter().map(|issuer| issuer.issuer.clone());
        (!resolves).then(|| names.collect())
    }

    fn revocations(&self) -> Result<Revocations, SetupError> {
        let list = &self.revocation_list;
        let has_sources = self.revocation_file.is_some() || !self.revocation_sources.is_empty();
        if has_sources && tokio::runtime::Handle::try_current().is_err() {
            return Err(SetupError::NoRuntime);
        }
        let mut sources = Vec::new();
        if let Some(path) = &self.revocation_file {
            let started = RevocationFile::start(path.clone(), list, &self.clock);
            let started = started.map_err(|error| SetupError::RevocationFile(error.to_string()))?;
            sources.push(started);
        }
        for source in self.revocation_sources.clone() {
            sources.push(source.start(Arc::clone(list), self.clock.clone(), self.staleness));
        }
        if let Some(store) = self.store.as_ref().filter(|store| store.is_shared()) {
            sources.push(sync::start(store, list, &self.clock, self.staleness));
        }
        Ok(Revocations::new(Arc::clone(list), sources))
    }

    /// The issuers of this builder. We reuse each issuer of `before` that hasn't changed, and a
    /// changed issuer keeps its keys if their source is the same.
    ///
    /// `resolver` is the resolver of the [`Auth`]. Its algorithms are allowed too.
    fn trusted_issuers(
        &self,
        fetcher: &Arc<Fetcher>,
        before: Option<&Issuers>,
        resolver: Option<&Resolver>,
    ) -> Result<Issuers, SetupError> {
        let (mut kept, mut changed) = (Vec::new(), Vec::new());
        let mut names = HashSet::new();
        for own in &self.issuers {
            let parts = self.parts(own)?;
            if !names.insert(&own.issuer) {
                return Err(SetupError::DuplicateIssuer(own.issuer.clone()));
            }
            match before.and_then(|before| before.named(&own.issuer)) {
                Some(old) if old.is_same(&parts.context, &parts.rules, &parts.origin) => {
                    kept.push(Arc::clone(old));
                }
                old => changed.push((parts, old)),
            }
        }
        let free = Issuers::free_slots(&kept);
        let slots: Vec<_> = free.take(changed.len()).collect();
        for ((mut parts, old), slot) in changed.into_iter().zip(slots) {
            parts.context.slot = slot;
            let started = Self::start(parts, fetcher, old.map(|old| &**old))?;
            kept.push(Arc::new(started));
        }
        let introspectors = kept
            .iter()
            .filter_map(|issuer| issuer.introspector.as_ref());
        if introspectors
            .filter(|one| one.mode() == Mode::Opaque)
            .count()
            > 1
        {
            return Err(SetupError::AmbiguousIntrospection);
        }
        let by_default = resolver.map(|resolver| &*resolver.algorithms);
        let offered = self.offered(resolver.is_some());
        Ok(Issuers::new(kept, by_default, offered))
    }

    /// Validates the options of an issuer and combines them with those of the builder. Note that
    /// the slot is still `NO_SLOT`, and the caller must replace it.
    fn parts(&self, trusted: &TrustedIssuer) -> Result<IssuerParts, SetupError> {
        let (mine, all, own) = (&trusted.options, &self.options, &trusted.own);
        let audiences = own_or(&mine.audiences, &all.audiences);
        let algorithms = own_or(&mine.algorithms, &all.algorithms);
        let source = mine.source.as_ref().or(all.source.as_ref());
        let secret = mine.secret.as_deref().or(all.secret.as_deref());
        check_issuer(&trusted.issuer, source.is_none() && needs_keys(algorithms))?;
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(SetupError::NoAudience);
        }
        check_algorithms(algorithms)?;
        check_secret(secret, algorithms)?;
        let times = TimeRules {
            leeway: own.leeway.unwrap_or(self.leeway),
            max_age: own.max_age.or(self.max_age),
        };
        check_times(&times)?;
        if let Some(scope) = &own.required_scope {
            policy::scopes(scope).ok_or(SetupError::Scope)?;
        }
        let introspection = mine.introspection.as_ref().or(all.introspection.as_ref());
        let introspection = introspection.filter(|_| !own.without_introspection);
        if introspection.is_some_and(|options| options.ttl > CENTURY) {
            return Err(SetupError::OutOfRange(DurationOption::IntrospectionTtl));
        }
        let mode = self.dpop_mode(trusted);
        if mode != DpopMode::Off && self.dpop.is_none() {
            return Err(SetupError::NoPublicUrl);
        }
        let roles_at = own.roles_at.as_ref().unwrap_or(&self.roles_at);
        let groups_at = own.groups_at.as_ref().unwrap_or(&self.groups_at);
        Ok(IssuerParts {
            context: IssuerContext {
                issuer: trusted.issuer.as_str().into(),
                slot: NO_SLOT,
                challenge: self.challenge(),
                roles_at: roles_at.as_str().into(),
                groups_at: groups_at.as_str().into(),
                required_scope: own.required_scope.as_deref().map(Into::into),
                implied: Arc::new(ImpliedScopes::new(&self.included_scopes)),
                introspects_jwts: introspection.is_some_and(|options| options.mode == Mode::Always),
                rules: times,
                clock: self.clock.clone(),
                revocations: Arc::clone(&self.revocation_list),
                requires_key: mode == DpopMode::Required,
                longest_lifetime: AtomicU64::new(0),
            },
            rules: Rules {
                audiences: self.spellings(audiences),
                audience_claim: own.audience_claim,
                algorithms: algorithms.into(),
                times,
                strict: own.strict.unwrap_or(self.strict),
                secret: secret.map(Into::into),
                introspection: introspection.cloned(),
                methods: Methods {
                    key: mode != DpopMode::Off,
                    certificate: self.certificates.is_some(),
                },
            },
            place: own.place.clone(),
            origin: KeyOrigin {
                source: source.cloned(),
                ca_file: own.ca_file.clone(),
                token_file: own.fetch_token_file.clone(),
                policy: self.policy,
                timeout: self.timeout,
            },
        })
    }

    /// Starts an issuer. Takes over the keys of the issuer it replaces if both have the same source
    /// of keys.
    fn start(
        parts: IssuerParts,
        fetcher: &Arc<Fetcher>,
        before: Option<&Trusted>,
    ) -> Result<Trusted, SetupError> {
        let are_kept = |before: &&Trusted| {
            before.origin == parts.origin && before.rules.algorithms == parts.rules.algorithms
        };
        let keys = match before.filter(are_kept) {
            Some(before) => before.keys.clone(),
            None => start_keys(&parts, fetcher, before)?,
        };
        let secret = parts.rules.secret.as_deref();
        let context = Arc::new(parts.context);
        // Tokens issued before the reload are still around, so the longest lifetime must not
        // shrink.
        let longest = before.map(|before| before.context.longest_lifetime.load(Relaxed));
        context
            .longest_lifetime
            .store(longest.unwrap_or_default(), Relaxed);
        let introspector = match &parts.rules.introspection {
            None => None,
            Some(options) => {
                let checker = AnswerChecker {
                    context: Arc::clone(&context),
                    audience_claim: parts.rules.audience_claim,
                    audiences: Arc::clone(&parts.rules.audiences),
                    methods: parts.rules.methods,
                };
                let uri = options.uri.as_deref().map(check_url).transpose()?;
                let origin = &parts.origin;
                let access = Access::new(origin.ca_file.as_deref(), origin.token_file.as_deref());
                let fetcher = Arc::clone(fetcher);
                Some(Introspector::new(options, uri, checker, fetcher, access)?)
            }
        };
        Ok(Trusted {
            context,
            keys,
            introspector,
            secret: secret.map(Key::secret).map(Arc::new),
            rules: parts.rules,
            origin: parts.origin,
            place: parts.place,
        })
    }

    /// The audiences. If a resource is configured, each URL without a path is listed both with and
    /// without a trailing slash.
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
        Challenge {
            realm: self.realm.as_str().into(),
            scope: None,
            resource_metadata: metadata.map(Into::into),
            bearer: true,
            dpop: self.dpop.as_ref().map(Dpop::algs),
            ..Challenge::default()
        }
    }

    /// The challenge with the schemes that at least one issuer accepts
    fn offered(&self, has_resolver: bool) -> Challenge {
        // a resolved issuer might set any mode for itself
        if has_resolver && self.dpop.is_some() {
            return self.challenge();
        }
        let mut modes = self.issuers.iter().map(|issuer| self.dpop_mode(issuer));
        if modes.clone().all(|mode| mode == DpopMode::Off) {
            self.challenge().only(Scheme::Bearer)
        } else if modes.all(|mode| mode == DpopMode::Required) {
            self.challenge().only(Scheme::Dpop)
        } else {
            self.challenge()
        }
    }

    fn dpop_mode(&self, issuer: &TrustedIssuer) -> DpopMode {
        let all = self.dpop.as_ref().map(|dpop| dpop.mode);
        issuer.own.dpop.or(all).unwrap_or_default()
    }

    fn check(&self) -> Result<(), SetupError> {
        if self.issuers.is_empty() && self.resolve.is_none() {
            return Err(SetupError::NoIssuer);
        }
        if !TOKEN_SIZES.contains(&self.max_token) {
            return Err(SetupError::TokenSize);
        }
        if self.field == Some(AUTHORIZATION) {
            return Err(SetupError::TokenField);
        }
        for (scope, included) in &self.included_scopes {
            if !policy::is_scope_token(scope) || !policy::is_scope_token(included) {
                return Err(SetupError::Scope);
            }
        }
        let without_keys = |issuer: &&TrustedIssuer| issuer.options.source.is_none();
        let without_secret = |issuer: &&TrustedIssuer| issuer.options.secret.is_none();
        // A resolver might return several issuers, and they'd all share this key set or secret.
        let is_resolved = self.resolve.is_some();
        let shared_keys = self.options.source.is_some()
            && (is_resolved || self.issuers.iter().filter(without_keys).count() > 1);
        let shared_secret = self.options.secret.is_some()
            && (is_resolved || self.issuers.iter().filter(without_secret).count() > 1);
        if shared_keys || shared_secret {
            return Err(SetupError::AmbiguousKeySet);
        }
        let without_own = |issuer: &&TrustedIssuer| {
            issuer.options.introspection.is_none() && !issuer.own.without_introspection
        };
        if self.options.introspection.is_some()
            && (is_resolved || self.issuers.iter().filter(without_own).count() > 1)
        {
            return Err(SetupError::AmbiguousIntrospection);
        }
        self.check_durations()?;
        if let Some(dpop) = &self.dpop {
            check_bare_url(&dpop.public_url)?;
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
}

struct IssuerParts {
    context: IssuerContext,
    rules: Rules,
    origin: KeyOrigin,
    place: Option<Arc<str>>,
}

/// Starts fetching the keys of an issuer. Until the first fetch succeeds we use the document of
/// `before`, provided that both have the same source of keys.
fn start_keys(
    parts: &IssuerParts,
    fetcher: &Arc<Fetcher>,
    before: Option<&Trusted>,
) -> Result<Option<Keys>, SetupError> {
    let (algorithms, origin) = (&parts.rules.algorithms, &parts.origin);
    if !needs_keys(algorithms) {
        return Ok(None);
    }
    let (source, policy) = match &origin.source {
        Some(KeySource::Fixed(json)) => {
            let set = KeySet::parse_file(json.as_bytes(), algorithms, Key::FIXED)?;
            return Ok(Some(Keys::Fixed(Arc::new(set))));
        }
        #[cfg(feature = "service")]
        Some(KeySource::Nowhere) => return Ok(None),
        None => (Source::Discovery, origin.policy),
        Some(KeySource::Address(url)) => (Source::Address(check_url(url)?), origin.policy),
        Some(KeySource::File(path)) => (Source::File(path.clone()), origin.policy.for_a_file()),
    };
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(SetupError::NoRuntime);
    }
    let before = before.filter(|before| before.origin.has_same_source(origin));
    let before = before.and_then(Trusted::fetched);
    Ok(Some(Keys::Fetched(Arc::new(Jwks::start(Settings {
        issuer: Arc::clone(&parts.context.issuer),
        source,
        algorithms: Arc::clone(algorithms),
        policy,
        timeout: origin.timeout,
        seed: seed(),
        fetcher: Arc::clone(fetcher),
        access: Access::new(origin.ca_file.as_deref(), origin.token_file.as_deref()),
        held: before.and_then(|before| before.seed()),
        known: before.and_then(|before| before.known_address()),
    })))))
}

fn own_or<'a, T>(own: &'a [T], all: &'a [T]) -> &'a [T] {
    if own.is_empty() { all } else { own }
}

/// A seed for the jitter that spreads the fetches of replicas. It does not have to be secret. We
/// don't use aws-lc for this, as its first random number takes 50 ms.
fn seed() -> u64 {
    RandomState::new().hash_one(())
}

fn needs_keys(algorithms: &[Algorithm]) -> bool {
    algorithms.iter().any(|alg| !alg.is_symmetric())
}

/// RFC 7519 §4.1.1 allows any string as a name, but key discovery needs a URL
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
        url: ShownUrl::new(url).into_text(),
        fault,
    }
}

fn check_times(times: &TimeRules) -> Result<(), SetupError> {
    let is_positive = |age: Duration| !age.is_zero() && age <= CENTURY;
    if times.leeway > MAX_LEEWAY {
        return Err(SetupError::OutOfRange(DurationOption::Leeway));
    }
    if !times.max_age.is_none_or(is_positive) {
        return Err(SetupError::OutOfRange(DurationOption::MaxAge));
    }
    Ok(())
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
