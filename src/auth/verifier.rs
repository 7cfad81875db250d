//! A token → its claims.
//!
//! One rule gives the order: whatever can be judged without a key is judged before a key is
//! touched, so that a token that would fail anyway costs neither a fetch nor an RSA verification.
//! And nothing but a verified signature makes [`Claims`].

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jsonwebtoken::Algorithm;
use serde::de::DeserializeOwned;

use super::{
    AuthError, Builder, Claims, SetupError,
    bearer::MAX_TOKEN,
    checks,
    claims::{Registered, Verified},
    counters::{Counters, Tally},
    jwks::{Jwks, KeyStatus},
    jws::{Header, Jws},
    keys::{Key, KeySet, Miss},
};

/// Verifies the access tokens of one or several issuers. Cheap to clone; build one and share it.
///
/// The keys are kept fresh in the background for as long as a clone lives.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) issuers: Vec<TrustedIssuer>,
    pub(crate) algorithms: Arc<[Algorithm]>,
    pub(crate) leeway: Duration,
    pub(crate) realm: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) tally: Tally,
}

/// Tells the time of day.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// An issuer, what its tokens have to be for, and what they are verified with.
pub(crate) struct TrustedIssuer {
    pub(crate) issuer: Arc<str>,
    pub(crate) audiences: Arc<[String]>,
    pub(crate) keys: Option<Keys>,
    /// For `HS256`, and for nothing else.
    pub(crate) secret: Option<Arc<Key>>,
}

pub(crate) enum Keys {
    Kept(Jwks),
    Fixed(KeySet),
}

impl Auth {
    /// Trusts `issuer`'s tokens for `audience`, signed with `RS256`.
    ///
    /// The issuer's keys are found by discovery, in the background: this returns at once, and
    /// [`ready`](Self::ready) waits for them. [`builder`](Self::builder) has every option.
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

    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Verifies a token, without the scheme's name.
    ///
    /// # Errors
    /// The first thing that is wrong with it, in the order of this function.
    pub async fn verify<X: DeserializeOwned>(&self, token: &str) -> Result<Claims<X>, AuthError> {
        self.verified(token).await.and_then(Claims::new)
    }

    async fn verified(&self, token: &str) -> Result<Arc<Verified>, AuthError> {
        within_limit(token)?;
        let jws = Jws::parse(token)?;
        let header = Header::parse(&jws.header)?;
        let algorithm = checks::algorithm(&header, &self.inner.algorithms)?;
        checks::no_extension(&header)?;
        checks::access_token_type(&header)?;
        let claims = Registered::parse(&jws.payload)?;
        let issuer = self.trusted(checks::issuer(&claims)?)?;
        checks::audience(&claims, &issuer.audiences)?;
        checks::in_time(&claims, self.now(), self.inner.leeway)?;
        checks::strings(&claims)?;
        checks::not_bound(&claims)?;
        let key = issuer.key(algorithm, header.kid.as_deref()).await?;
        issuer.signed(&key, algorithm, &jws)?;
        let realm = Arc::clone(&self.inner.realm);
        Verified::new(Arc::clone(&issuer.issuer), realm, key, jws.payload).map(Arc::new)
    }

    /// To the letter (RFC 7519 §4.1.1). An issuer that is not ours costs no network.
    fn trusted(&self, issuer: &str) -> Result<&TrustedIssuer, AuthError> {
        let mut issuers = self.inner.issuers.iter();
        issuers
            .find(|trusted| &*trusted.issuer == issuer)
            .ok_or(AuthError::UnknownIssuer)
    }

    fn now(&self) -> f64 {
        let since_epoch = (self.inner.clock)().duration_since(SystemTime::UNIX_EPOCH);
        since_epoch.unwrap_or_default().as_secs_f64()
    }

    /// Returns when every issuer's keys are held. It does not end before; give it a timeout.
    pub async fn ready(&self) {
        for issuer in &self.inner.issuers {
            if let Some(Keys::Kept(jwks)) = &issuer.keys {
                jwks.ready().await;
            }
        }
    }

    /// Whether every issuer's keys are held.
    pub fn is_ready(&self) -> bool {
        self.status().iter().all(|issuer| issuer.keys > 0)
    }

    /// What is held of each issuer.
    pub fn status(&self) -> Vec<KeyStatus> {
        self.inner
            .issuers
            .iter()
            .map(TrustedIssuer::status)
            .collect()
    }

    /// What has been counted since the start.
    pub fn counters(&self) -> Counters {
        self.inner.tally.counters()
    }

    /// Fetches every issuer's keys now, in the background.
    pub fn refresh(&self) {
        for issuer in &self.inner.issuers {
            if let Some(Keys::Kept(jwks)) = &issuer.keys {
                jwks.refresh();
            }
        }
    }

    /// The realm of challenges.
    pub(crate) fn realm(&self) -> Arc<str> {
        Arc::clone(&self.inner.realm)
    }
}

fn within_limit(token: &str) -> Result<(), AuthError> {
    if token.len() > MAX_TOKEN {
        return Err(AuthError::TokenTooLarge);
    }
    Ok(())
}

impl TrustedIssuer {
    async fn key(&self, alg: Algorithm, kid: Option<&str>) -> Result<Arc<Key>, AuthError> {
        if alg == Algorithm::HS256 {
            return self.secret.clone().ok_or(AuthError::AlgorithmNotAllowed);
        }
        match &self.keys {
            Some(Keys::Kept(jwks)) => jwks.key(alg, kid).await,
            Some(Keys::Fixed(set)) => set.find(alg, kid).cloned().map_err(|miss| match miss {
                Miss::NotForIt => AuthError::AlgorithmNotAllowed,
                Miss::UnknownKid | Miss::Ambiguous => AuthError::UnknownKey,
            }),
            None => Err(AuthError::AlgorithmNotAllowed),
        }
    }

    fn signed(&self, key: &Key, alg: Algorithm, jws: &Jws<'_>) -> Result<(), AuthError> {
        if key.verify(alg, jws.signing_input.as_bytes(), &jws.signature) {
            return Ok(());
        }
        if let Some(Keys::Kept(jwks)) = &self.keys
            && key.kid().is_some()
        {
            jwks.doubt();
        }
        Err(AuthError::BadSignature)
    }

    fn status(&self) -> KeyStatus {
        match &self.keys {
            Some(Keys::Kept(jwks)) => jwks.status(),
            Some(Keys::Fixed(set)) => KeyStatus::fixed(&self.issuer, set.usable()),
            None => KeyStatus::fixed(&self.issuer, usize::from(self.secret.is_some())),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.inner.issuers.iter().map(|issuer| &issuer.issuer);
        f.debug_struct("Auth")
            .field("issuers", &issuers.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
