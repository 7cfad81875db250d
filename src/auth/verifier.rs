//! [`Auth`]: verifies a request or a token and returns its claims.
//!
//! Every check that needs no key runs before a key is looked up, so that a token that would fail
//! anyway costs neither a fetch nor an RSA verification. Only a verified signature makes
//! [`Claims`]. [`Auth::verify_token`] and [`Auth::check_without_key`] define the order, one step a
//! line; each step is a function in `token/checks.rs`.

use std::{fmt, sync::Arc, time::SystemTime};

use http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::algorithm::Algorithm;
use crate::auth::{
    cache::{Cache, KnownHeader},
    challenge::{Challenge, Refusal, Scheme},
    context::{self, Timer},
    credential::{
        Credential, RequestHead,
        bearer::{self, within_limit},
        certificate::{self, CertificateSource},
        dpop::{Presented, ProofFault, Proofs},
    },
    error::AuthError,
    keys::{
        jwks::Jwks,
        key_set::{Key, KeySet, Miss},
        status::KeyStatus,
    },
    policy::Requirement,
    resource::{Resource, ResourceMetadata},
    store::Store,
    token::{
        checks::{self, TimeRules, Times},
        claims::Claims,
        confirmation::{Binding, Methods},
        jws::{self, Header, Parts},
        payload::{Extract, IssuerContext, Verified, VerifiedBy},
        registered::Registered,
    },
};

/// Verifies the access tokens of one or several issuers. Cheap to clone; build one and share it.
///
/// The keys are kept fresh in the background for as long as a clone lives.
#[derive(Clone)]
pub struct Auth {
    pub(super) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) issuers: Vec<Trusted>,
    /// The algorithms of all issuers.
    pub(crate) algorithms: Arc<[Algorithm]>,
    pub(crate) rules: TimeRules,
    /// True for the strict profile of RFC 9068.
    pub(crate) strict: bool,
    pub(crate) challenge: Challenge,
    /// `None` if no issuer uses DPoP.
    /// Where the client's certificate comes from. `None` if no token may be bound to one.
    pub(crate) certificates: Option<CertificateSource>,
    pub(crate) proofs: Option<Proofs>,
    pub(crate) resource: Option<Resource>,
    pub(crate) cache: Cache,
    #[allow(dead_code, reason = "no caller yet")]
    pub(crate) store: Store,
    pub(crate) clock: Clock,
}

/// Returns the current time.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// A trusted issuer, with the audiences, algorithms and keys of its tokens.
pub(crate) struct Trusted {
    pub(crate) context: Arc<IssuerContext>,
    pub(crate) audiences: Arc<[String]>,
    pub(crate) algorithms: Arc<[Algorithm]>,
    /// How its tokens may be bound.
    pub(crate) methods: Methods,
    pub(crate) keys: Option<Keys>,
    /// The secret for `HS256`, used for no other algorithm.
    pub(crate) secret: Option<Arc<Key>>,
}

pub(crate) enum Keys {
    Fetched(Jwks),
    Fixed(KeySet),
}

impl Auth {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Returns whether this is a clone of `other`.
    #[cfg(feature = "tower")]
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Authenticates a request: takes the token from `Authorization` and verifies it.
    ///
    /// The warp filters are thin wrappers around this function. Call it from any other framework.
    ///
    /// # Errors
    /// Returns a [`Refusal`] with the first failure, and the challenge to answer with.
    pub async fn authenticate<X: DeserializeOwned>(
        &self,
        request: &RequestHead<'_>,
    ) -> Result<Claims<X>, Refusal> {
        self.authenticate_by(request, bearer::credential).await
    }

    /// Authenticates a request and checks that its claims meet `requirement`.
    ///
    /// The challenge names the scopes that would suffice.
    ///
    /// # Errors
    /// Returns a [`Refusal`]: as for [`authenticate`](Self::authenticate), or 403.
    pub async fn authorize<X: DeserializeOwned>(
        &self,
        request: &RequestHead<'_>,
        requirement: &Requirement<X>,
    ) -> Result<Claims<X>, Refusal> {
        match self.authenticate(request).await {
            Ok(claims) => requirement.grant(claims).await,
            Err(refusal) => Err(refusal.with_scope(requirement.scopes().map(Into::into))),
        }
    }

    /// Like [`authenticate`](Self::authenticate), with a function that takes the token from
    /// elsewhere.
    pub(crate) async fn authenticate_by<X: DeserializeOwned>(
        &self,
        request: &RequestHead<'_>,
        credential: impl FnOnce(&HeaderMap, bool) -> Result<Credential<'_>, AuthError>,
    ) -> Result<Claims<X>, Refusal> {
        let is_dpop_enabled = self.inner.proofs.is_some();
        let credential = credential(request.headers, is_dpop_enabled)
            .map_err(|error| self.refusal_in(bearer::scheme(request.headers), error))?;
        let timer = Timer::start();
        let verdict = self.verify_presented(credential, Some(request)).await;
        timer.stop(&verdict);
        verdict.map_err(|error| {
            self.refusal_in(credential.scheme, bearer::blame(credential.token, error))
        })
    }

    /// Returns the refusal of a request for `error`, with the challenge of this API.
    pub fn refusal(&self, error: AuthError) -> Refusal {
        self.refusal_in(None, error)
    }

    /// Returns the refusal of a request that used this scheme. The challenge is in the same scheme.
    /// Without a token, every scheme is offered.
    fn refusal_in(&self, used: Option<Scheme>, error: AuthError) -> Refusal {
        let offered = self.inner.challenge.clone();
        let Some(proofs) = &self.inner.proofs else {
            return Refusal::new(error, offered);
        };
        let scheme = match (error, used) {
            (AuthError::MissingToken, _) => None,
            (AuthError::InvalidProof | AuthError::ProofReplayed | AuthError::NonceRequired, _) => {
                Some(Scheme::Dpop)
            }
            (_, None) if offered.bearer => Some(Scheme::Bearer),
            (_, used) => used,
        };
        let nonces = proofs.nonces.as_ref();
        let nonces = nonces.filter(|_| error == AuthError::NonceRequired);
        let nonce = nonces.map(|nonces| nonces.current((self.inner.clock)()).into());
        let challenge = match scheme {
            Some(scheme) => offered.only(scheme),
            None => offered,
        };
        Refusal::new(error, challenge).with_nonce(nonce)
    }

    /// Returns whether authentication reads the method, the path or the certificate of a request.
    #[cfg(feature = "warp")]
    pub(crate) fn reads_target(&self) -> bool {
        self.inner.proofs.is_some()
            || self.inner.certificates == Some(CertificateSource::Connection)
    }

    /// Returns whether requests may use the scheme `DPoP`.
    #[cfg(feature = "service")]
    pub(crate) fn accepts_proofs(&self) -> bool {
        self.inner.proofs.is_some()
    }

    /// Returns whether requests may use the scheme `Bearer`.
    #[cfg(feature = "docs")]
    pub(crate) fn accepts_bearer(&self) -> bool {
        self.inner.challenge.bearer
    }

    /// Returns whether proofs need a nonce.
    #[cfg(feature = "service")]
    pub(crate) fn makes_nonces(&self) -> bool {
        let proofs = self.inner.proofs.as_ref();
        proofs.is_some_and(|proofs| proofs.nonces.is_some())
    }

    /// Returns the value of `DPoP-Nonce` that answers should have at the moment. `None` if proofs need
    /// no nonce, and in the first four of the five minutes for which a nonce is current.
    ///
    /// A client that takes every nonce over never sees one expire.
    pub fn dpop_nonce(&self) -> Option<String> {
        let nonces = self.inner.proofs.as_ref()?.nonces.as_ref()?;
        nonces.renewal((self.inner.clock)())
    }

    /// Verifies a token, given without the scheme name.
    ///
    /// A token alone proves no possession of a key, so a token that is bound to one is rejected.
    /// [`authenticate`](Self::authenticate) takes the whole request.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::{Auth, AuthError, Claims, claims::NoPrivate}, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let claims: Claims = auth.verify(&issuer.token().subject("auth0|bob").sign()).await?;
    /// assert_eq!(claims.subject(), Some("auth0|bob"));
    ///
    /// let expired = auth.verify::<NoPrivate>(&issuer.token().expired().sign()).await;
    /// assert_eq!(expired.unwrap_err(), AuthError::TokenExpired);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the error of the first check that fails.
    pub async fn verify<X: DeserializeOwned>(&self, token: &str) -> Result<Claims<X>, AuthError> {
        let credential = Credential::bare(token.as_bytes());
        self.verify_presented(credential, None).await
    }

    /// Verifies the token of a request, and what the request proves beside it.
    pub(crate) async fn verify_presented<X: DeserializeOwned>(
        &self,
        credential: Credential<'_>,
        request: Option<&RequestHead<'_>>,
    ) -> Result<Claims<X>, AuthError> {
        let verified = self.verify_token(credential.token).await?;
        if verified.binding.is_some()
            || credential.scheme == Some(Scheme::Dpop)
            || verified.context.requires_key
        {
            // Boxed, so that requests with a plain bearer token do not carry the state of this.
            Box::pin(self.check_binding(credential, request, &verified)).await?;
        }
        Claims::new(verified)
    }

    /// Checks that a request proves possession of everything that its token is bound to. The proof
    /// comes last: it is used up if it is good.
    async fn check_binding(
        &self,
        credential: Credential<'_>,
        request: Option<&RequestHead<'_>>,
        verified: &Verified,
    ) -> Result<(), AuthError> {
        let binding = verified.binding.as_deref();
        if let Some(x5t) = binding.and_then(|binding| binding.certificate) {
            let source = self.inner.certificates;
            let presented = source
                .zip(request)
                .and_then(|(source, request)| source.read(request));
            if presented.is_none_or(|der| certificate::thumbprint(&der) != x5t.to_string()) {
                return Err(AuthError::TokenBound);
            }
        }
        let Some(bound_to) = binding.and_then(|binding| binding.key) else {
            let is_wanted =
                credential.scheme == Some(Scheme::Dpop) || verified.context.requires_key;
            return if is_wanted {
                Err(AuthError::TokenNotBound)
            } else {
                Ok(())
            };
        };
        let (Some(request), Some(proofs)) = (request, &self.inner.proofs) else {
            return Err(AuthError::TokenBound);
        };
        if credential.scheme == Some(Scheme::Bearer) {
            return Err(AuthError::TokenBound);
        }
        let presented = Presented {
            request,
            token: credential.token,
            bound_to,
        };
        let checked = proofs.check(presented, (self.inner.clock)()).await;
        checked.map_err(|fault: ProofFault| {
            context::set_proof_fault(fault.reason());
            fault.error()
        })
    }

    async fn verify_token(&self, token: &[u8]) -> Result<Arc<Verified>, AuthError> {
        within_limit(token)?;
        if let Some(verified) = self.cached(token)? {
            return Ok(verified);
        }
        let parts = Parts::split(token)?;
        let checked = self.check_without_key(parts)?;
        let (header, issuer) = (checked.header, checked.issuer);
        let key = issuer.key(header.algorithm, header.kid.as_deref()).await?;
        issuer.verify_signature(&key, header.algorithm, parts, &checked.signature)?;
        let context = Arc::clone(&issuer.context);
        let source = VerifiedBy::of(header.algorithm, key);
        let verified = checked.extract.verified(checked.payload, context, source);
        let verified = Arc::new(verified);
        let cache = &self.inner.cache;
        cache.remember(token, parts.header, &header, &verified);
        Ok(verified)
    }

    /// Runs every check that needs no key, in this order. The result is not trusted yet.
    fn check_without_key(&self, parts: Parts<'_>) -> Result<Checked<'_>, AuthError> {
        let payload = jws::base64url(parts.payload)?;
        let signature = jws::base64url(parts.signature)?;
        let header = match self.inner.cache.header(parts.header) {
            Some(known) => known,
            None => self.check_header(parts.header)?,
        };
        let payload = jws::text(payload)?;
        let claims = Registered::parse(&payload)?;
        let issuer = self.trusted_issuer(checks::issuer(&claims)?)?;
        checks::allowed(header.algorithm, &issuer.algorithms)?;
        checks::audience(&claims, &issuer.audiences)?;
        let times = Times::of(&claims)?;
        times.check(self.now(), &self.inner.rules)?;
        checks::strings(&claims)?;
        checks::scopes(&claims)?;
        if self.inner.strict {
            checks::rfc9068(&claims)?;
        }
        let binding: Option<Binding> = checks::binding(&claims, issuer.methods)?;
        let extract = Extract::new(&payload, &claims, times, binding);
        drop(claims);
        Ok(Checked {
            header,
            issuer,
            payload,
            extract,
            signature,
        })
    }

    /// Returns a token that was verified before, if its times and the current key set still allow
    /// it.
    fn cached(&self, token: &[u8]) -> Result<Option<Arc<Verified>>, AuthError> {
        let Some(verified) = self.inner.cache.token(token) else {
            return Ok(None);
        };
        let mut issuers = self.inner.issuers.iter();
        let issuer = issuers.find(|issuer| Arc::ptr_eq(&issuer.context, &verified.context));
        if !issuer.is_some_and(|issuer| issuer.still_trusts(&verified.source)) {
            self.inner.cache.forget(token);
            return Ok(None);
        }
        if let Err(error) = verified.times.check(self.now(), &self.inner.rules) {
            self.inner.cache.forget(token);
            return Err(error);
        }
        self.inner.cache.count_hit();
        Ok(Some(verified))
    }

    /// Checks a header that is not in the cache.
    fn check_header(&self, segment: &[u8]) -> Result<KnownHeader, AuthError> {
        let text = jws::text(jws::base64url(segment)?)?;
        let header = Header::parse(&text)?;
        let algorithm = checks::algorithm(&header, &self.inner.algorithms)?;
        checks::no_extension(&header)?;
        checks::access_token_type(&header, self.inner.strict)?;
        Ok(KnownHeader {
            algorithm,
            kid: header.kid.as_deref().map(Into::into),
        })
    }

    /// Returns the issuer with this name, compared exactly (RFC 7519 §4.1.1). An unknown issuer
    /// causes no network request.
    pub(super) fn trusted_issuer(&self, issuer: &str) -> Result<&Trusted, AuthError> {
        let mut issuers = self.inner.issuers.iter();
        issuers
            .find(|trusted| &*trusted.context.issuer == issuer)
            .ok_or(AuthError::UnknownIssuer)
    }

    pub(super) fn now(&self) -> f64 {
        let since_epoch = (self.inner.clock)().duration_since(SystemTime::UNIX_EPOCH);
        since_epoch.unwrap_or_default().as_secs_f64()
    }

    /// Waits until every issuer's keys are held. There is no timeout; set one around the call.
    pub async fn ready(&self) {
        for issuer in &self.inner.issuers {
            if let Some(Keys::Fetched(jwks)) = &issuer.keys {
                jwks.ready().await;
            }
        }
    }

    /// Returns whether every issuer's keys are held.
    pub fn is_ready(&self) -> bool {
        self.status().iter().all(|issuer| issuer.keys > 0)
    }

    /// Returns the status of each issuer's keys.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::Auth, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// auth.ready().await;
    /// for issuer in auth.status() {
    ///     println!("{}: {} keys, {} fetches failed", issuer.issuer, issuer.keys, issuer.fetches.failed);
    /// }
    /// # assert_eq!(auth.status()[0].keys, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(&self) -> Vec<KeyStatus> {
        self.inner.issuers.iter().map(Trusted::status).collect()
    }

    /// Returns the store that remembers what may be used once.
    #[allow(dead_code, reason = "no caller yet")]
    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Returns the number of verifications that the cache of verified tokens has saved.
    pub fn cache_hits(&self) -> u64 {
        self.inner.cache.hits()
    }

    /// Returns the number of cached tokens.
    pub fn cached_tokens(&self) -> usize {
        self.inner.cache.len()
    }

    /// Fetches every issuer's keys now, in the background. The fetch begins after this call, even
    /// if another fetch is in flight, and repeats discovery.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{auth::Auth, issuer::Issuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// auth.ready().await;
    /// auth.refresh(); // after a key was revoked, for example
    /// issuer.jwks_requested(2).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn refresh(&self) {
        for issuer in &self.inner.issuers {
            if let Some(Keys::Fetched(jwks)) = &issuer.keys {
                jwks.refresh();
            }
        }
    }

    /// Returns the metadata of the protected resource (RFC 9728 §2), with the scopes that its
    /// routes require. `None` if the [`Builder`](crate::auth::Builder::resource) has no resource.
    ///
    /// ```
    /// use warp::Filter;
    /// use warp_bearer::auth::Auth;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// let auth = Auth::builder()
    ///     .issuer("https://tenant.eu.auth0.com/")
    ///     .audience("https://api.example.com")
    ///     .resource("https://api.example.com")
    ///     .build()?;
    /// let metadata = auth.metadata(["read:messages"]);
    /// let route = warp::path!(".well-known" / "oauth-protected-resource")
    ///     .and(warp::get())
    ///     .map(move || warp::reply::json(&metadata));
    /// # let answer = warp::test::request().path("/.well-known/oauth-protected-resource").reply(&route).await;
    /// # assert_eq!(answer.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    pub fn metadata(
        &self,
        scopes: impl IntoIterator<Item: Into<String>>,
    ) -> Option<ResourceMetadata> {
        let issuers = self.inner.issuers.iter();
        let issuers = issuers.map(|issuer| issuer.context.issuer.to_string());
        let resource = self.inner.resource.as_ref()?;
        let proofs = self.inner.proofs.as_ref();
        let proofs = proofs.map(|proofs| &*proofs.algorithms);
        let is_required = !self.inner.challenge.bearer;
        let metadata = ResourceMetadata::new(resource, issuers, scopes);
        let metadata = metadata.with_certificates(self.inner.certificates.is_some());
        Some(metadata.with_dpop(proofs.unwrap_or_default(), is_required))
    }
}

/// A token that has passed every check that needs no key.
struct Checked<'a> {
    header: KnownHeader,
    issuer: &'a Trusted,
    payload: String,
    extract: Extract,
    signature: Vec<u8>,
}

impl Trusted {
    pub(super) async fn key(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
    ) -> Result<Arc<Key>, AuthError> {
        if alg == Algorithm::HS256 {
            return self.secret.clone().ok_or(AuthError::AlgorithmNotAllowed);
        }
        match &self.keys {
            Some(Keys::Fetched(jwks)) => jwks.key(alg, kid).await,
            Some(Keys::Fixed(set)) => set.find(alg, kid).cloned().map_err(|miss| match miss {
                Miss::AlgorithmMismatch | Miss::InvalidKey => AuthError::AlgorithmNotAllowed,
                Miss::UnknownKid | Miss::Ambiguous => AuthError::UnknownKey,
            }),
            None => Err(AuthError::AlgorithmNotAllowed),
        }
    }

    /// Verifies the signature. A wrong signature by a key with a `kid` makes the refresher look at
    /// the key set, because the issuer may have replaced the key under the same `kid`.
    pub(super) fn verify_signature(
        &self,
        key: &Key,
        alg: Algorithm,
        parts: Parts<'_>,
        signature: &Vec<u8>,
    ) -> Result<(), AuthError> {
        if key.verify(alg, parts.signing_input, signature) {
            return Ok(());
        }
        // The issuer may have replaced the key, under its name or without one. A secret is in no set.
        if let Some(Keys::Fetched(jwks)) = &self.keys
            && key.generation() != Key::FIXED
        {
            jwks.refetch_in_background("a signature was wrong");
        }
        Err(AuthError::BadSignature)
    }

    /// Returns whether a token that was verified by `source` is still trusted.
    fn still_trusts(&self, source: &VerifiedBy) -> bool {
        match (source, &self.keys) {
            (VerifiedBy::Secret, _) => self.secret.is_some(),
            (VerifiedBy::Key(key), Some(Keys::Fetched(jwks))) => {
                jwks.generation() == Some(key.generation())
            }
            (VerifiedBy::Key(_), Some(Keys::Fixed(_))) => true,
            (VerifiedBy::Key(_), None) => false,
        }
    }

    fn status(&self) -> KeyStatus {
        match &self.keys {
            Some(Keys::Fetched(jwks)) => jwks.status(),
            Some(Keys::Fixed(set)) => {
                let left_out = Arc::clone(set.left_out());
                KeyStatus::fixed(&self.context.issuer, set.usable(), left_out)
            }
            None => {
                let keys = usize::from(self.secret.is_some());
                KeyStatus::fixed(&self.context.issuer, keys, Arc::default())
            }
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self
            .inner
            .issuers
            .iter()
            .map(|issuer| &issuer.context.issuer);
        f.debug_struct("Auth")
            .field("issuers", &issuers.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
