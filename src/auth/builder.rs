//! [`Builder`]: every option of an [`Auth`], each with its default, judged once by
//! [`build`](Builder::build).

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use jsonwebtoken::Algorithm;

use super::{
    Auth, SetupError,
    cache::Cache,
    claims::Origin,
    error::UrlFault,
    fetch::{Fetcher, endpoint},
    jwks::{Jwks, Settings, Source},
    keys::{Key, KeySet},
    schedule::Policy,
    verifier::{Clock, Inner, Keys, TrustedIssuer},
};

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
    issuers: Vec<String>,
    audiences: Vec<String>,
    algorithms: Vec<Algorithm>,
    source: KeySource,
    secret: Option<Vec<u8>>,
    policy: Policy,
    timeout: Duration,
    leeway: Duration,
    realm: String,
    token_cache: usize,
    clock: Clock,
}

#[derive(Clone)]
enum KeySource {
    Discovery,
    Address(String),
    File(PathBuf),
    Fixed(String),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            algorithms: vec![Algorithm::RS256],
            source: KeySource::Discovery,
            secret: None,
            policy: Policy::default(),
            timeout: Duration::from_secs(5),
            leeway: Duration::from_secs(30),
            realm: "api".to_owned(),
            token_cache: 10_000,
            clock: Arc::new(SystemTime::now),
        }
    }
}

/// The longest duration that is taken: beyond it, instants would overflow.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Builder {
    /// Trusts this issuer, compared with `iss` to the letter: Auth0's end in a slash. May be called
    /// again for further ones, each with keys of its own.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Takes tokens for this audience. May be called again; one of them in `aud` suffices.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Takes tokens signed with these algorithms and no others. Defaults to `RS256` alone.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Where the key set is. Defaults to what the issuer's metadata says.
    #[must_use]
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.source = KeySource::Address(url.into());
        self
    }

    /// A key set on disk instead, looked at every two seconds and read again where it has changed.
    #[must_use]
    pub fn jwks_file(mut self, path: impl AsRef<Path>) -> Self {
        self.source = KeySource::File(path.as_ref().to_owned());
        self
    }

    /// A fixed key set, a JWK Set as JSON, which nothing refreshes.
    #[must_use]
    pub fn jwks(mut self, json: impl Into<String>) -> Self {
        self.source = KeySource::Fixed(json.into());
        self
    }

    /// The secret of `HS256`, 32 bytes or more (RFC 7518 §3.2). No key set ever provides one.
    #[must_use]
    pub fn signing_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// The time to live of a key set, used as it is. Defaults to the answer's `max-age`, clamped to
    /// 5 min … 24 h, and to 10 min without one. The set is refreshed at four fifths of it.
    #[must_use]
    pub fn jwks_ttl(mut self, ttl: Duration) -> Self {
        self.policy.ttl = Some(ttl);
        self
    }

    /// How long until the budget of four fetches for unknown `kid`s gets one back. Defaults to 15 s.
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

    /// The realm of challenges (RFC 9110 §11.5). Defaults to `api`.
    #[must_use]
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
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
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Judges the options and starts to fetch keys, in the background.
    ///
    /// # Errors
    /// The first [`SetupError`] among the options. The network is not asked.
    pub fn build(self) -> Result<Auth, SetupError> {
        self.judge()?;
        let algorithms: Arc<[Algorithm]> = self.algorithms.clone().into();
        let audiences: Arc<[String]> = self.audiences.clone().into();
        let secret = self.secret.as_deref().map(Key::secret).map(Arc::new);
        let fetcher = Arc::new(Fetcher::default());
        let mut issuers = Vec::new();
        let realm: Arc<str> = self.realm.as_str().into();
        for issuer in &self.issuers {
            let issuer: Arc<str> = issuer.as_str().into();
            issuers.push(TrustedIssuer {
                keys: self.keys(&issuer, &algorithms, &fetcher)?,
                origin: Arc::new(Origin {
                    issuer,
                    realm: Arc::clone(&realm),
                }),
                audiences: Arc::clone(&audiences),
                secret: secret.clone(),
            });
        }
        Ok(Auth::new(Inner {
            issuers,
            algorithms,
            leeway: self.leeway,
            realm,
            cache: Cache::new(self.token_cache),
            clock: self.clock,
        }))
    }

    fn judge(&self) -> Result<(), SetupError> {
        if self.issuers.is_empty() {
            return Err(SetupError::NoIssuer);
        }
        self.issuers
            .iter()
            .try_for_each(|issuer| judge_issuer(issuer))?;
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(SetupError::NoAudience);
        }
        judge_algorithms(&self.algorithms)?;
        judge_secret(self.secret.as_deref(), &self.algorithms)?;
        let shared = !matches!(self.source, KeySource::Discovery) || self.secret.is_some();
        if self.issuers.len() > 1 && shared {
            return Err(SetupError::AmbiguousKeySet);
        }
        if self.leeway > Duration::from_secs(300) {
            return Err(SetupError::Range("a leeway is of 5 minutes at most"));
        }
        let times = [
            self.policy.cooldown,
            self.timeout,
            self.policy.ttl.unwrap_or(self.timeout),
        ];
        if times.iter().any(Duration::is_zero) {
            return Err(SetupError::Range(
                "a time to live, cooldown or timeout is more than nothing",
            ));
        }
        if times
            .iter()
            .chain([&self.policy.stale])
            .any(|time| *time > CENTURY)
        {
            return Err(SetupError::Range(
                "a duration is of a hundred years at most",
            ));
        }
        judge_realm(&self.realm)
    }

    fn keys(
        &self,
        issuer: &Arc<str>,
        algorithms: &Arc<[Algorithm]>,
        fetcher: &Arc<Fetcher>,
    ) -> Result<Option<Keys>, SetupError> {
        if self.algorithms.iter().all(|alg| *alg == Algorithm::HS256) {
            return Ok(None);
        }
        let (source, policy) = match &self.source {
            KeySource::Fixed(json) => {
                let set = KeySet::parse(json.as_bytes(), algorithms, Key::FIXED)?;
                return Ok(Some(Keys::Fixed(set)));
            }
            KeySource::Discovery => (Source::Discovery, self.policy),
            KeySource::Address(url) => (Source::Address(judge_url(url)?), self.policy),
            KeySource::File(path) => (Source::File(path.clone()), self.policy.for_a_file()),
        };
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(SetupError::NoRuntime);
        }
        Ok(Some(Keys::Kept(Jwks::keep(Settings {
            issuer: Arc::clone(issuer),
            source,
            algorithms: Arc::clone(algorithms),
            policy,
            timeout: self.timeout,
            seed: seed(),
            fetcher: Arc::clone(fetcher),
        }))))
    }
}

/// Spreads replicas; where the system has no randomness to give, they merely fetch together.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn judge_issuer(issuer: &str) -> Result<(), SetupError> {
    let url = judge_url(issuer)?;
    let bare = url.username().is_empty() && url.password().is_none();
    if !bare || issuer.contains(['?', '#']) {
        return Err(url_fault(issuer, UrlFault::Decorated));
    }
    Ok(())
}

fn judge_url(url: &str) -> Result<reqwest::Url, SetupError> {
    endpoint(url).map_err(|fault| url_fault(url, fault))
}

fn url_fault(url: &str, fault: UrlFault) -> SetupError {
    SetupError::Url {
        url: url.to_owned(),
        fault,
    }
}

fn judge_algorithms(algorithms: &[Algorithm]) -> Result<(), SetupError> {
    use Algorithm::{HS384, HS512};
    if algorithms.is_empty() {
        return Err(SetupError::NoAlgorithm);
    }
    match algorithms.iter().find(|alg| matches!(alg, HS384 | HS512)) {
        Some(unsupported) => Err(SetupError::UnsupportedAlgorithm(*unsupported)),
        None => Ok(()),
    }
}

fn judge_secret(secret: Option<&[u8]>, algorithms: &[Algorithm]) -> Result<(), SetupError> {
    let wanted = algorithms.contains(&Algorithm::HS256);
    match secret {
        None if wanted => Err(SetupError::NoSecret),
        Some(_) if !wanted => Err(SetupError::Secret(
            "a signing secret is for HS256, which is not allowed",
        )),
        Some(secret) if secret.len() < 32 => {
            Err(SetupError::Secret("a signing secret has 32 bytes or more"))
        }
        _ => Ok(()),
    }
}

fn judge_realm(realm: &str) -> Result<(), SetupError> {
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
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
