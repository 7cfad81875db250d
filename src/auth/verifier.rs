//! [`Auth`]: verifies a request or a token and returns its claims.
//!
//! All checks that don't need a key run first, so a token that fails one of them will cost neither
//! a fetch nor an RSA verification. [`Claims`] are only created after the signature is verified.
//! [`Auth::verify_now`] and [`Auth::check_without_key`] define the order, with one step per line.
//! The steps are mostly functions in `token/checks.rs`.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::auth::{
    cache::{Cache, KnownHeader},
    challenge::{Refusal, Scheme},
    clock::Clock,
    context::{self, Timer, WaitReason},
    credential::{
        Credential, RequestHead,
        bearer::{self, is_b64token, within_limit},
        certificate::{self, CertificateSource},
        dpop::{Presented, ProofFault, Proofs},
        field,
    },
    dpop::Dpop,
    error::AuthError,
    introspection::{IntrospectionStatus, introspector::Introspector, options::Mode},
    issuers::Issuers,
    keys::{
        fetch::Fetcher,
        jwks::{KeyLookup, Waiter},
        key_set::Key,
        status::KeyStatus,
    },
    policy::Requirement,
    resolver::{NO_SLOT, Resolver},
    resource::{Resource, ResourceMetadata},
    revocation::{Revocation, RevocationStatus, Revocations, sync},
    store::Store,
    token::{
        checks::{self, Times},
        claims::Claims,
        confirmation::Binding,
        jws::{self, Header, Parts},
        payload::{Extract, Verified, VerifiedBy},
        registered::Registered,
    },
    trusted::Trusted,
};

/// Verifies the access tokens of one or more issuers. This is cheap to clone, so you should create
/// one and share it.
///
/// The keys are refreshed in the background until the last clone is dropped.
#[derive(Clone)]
pub struct Auth {
    pub(super) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) issuers: ArcSwap<Issuers>,
    pub(crate) issuers_replaced: watch::Sender<()>,
    pub(crate) resolver: Option<Resolver>,
    /// The header that contains the token instead of `Authorization`, without a scheme
    pub(crate) field: Option<HeaderName>,
    /// in bytes
    pub(crate) max_token: usize,
    pub(crate) fetcher: Arc<Fetcher>,
    /// The DPoP options, with the mode of the current issuers. Locked while the issuers are
    /// replaced.
    pub(crate) dpop: Mutex<Option<Dpop>>,
    /// Where client certificates come from. `None` if we don't accept certificate-bound tokens.
    pub(crate) certificates: Option<CertificateSource>,
    /// `None` if no public URL is configured, so that no issuer can use DPoP. If there are proofs,
    /// [`Auth::accepts_proofs`] says whether an issuer uses them now.
    pub(crate) proofs: Option<Proofs>,
    pub(crate) resource: Option<Resource>,
    pub(crate) cache: Cache,
    #[cfg_attr(
        not(feature = "service"),
        allow(dead_code, reason = "only operators look at it")
    )]
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) logout_clients: Vec<String>,
    pub(crate) revocations: Revocations,
    /// Set once `is_ready` has found that the first fetch of every issuer has ended.
    pub(crate) has_started: AtomicBool,
}

impl Auth {
    pub(crate) fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    #[cfg(feature = "tower")]
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Authenticates a request. Verifies the token in `Authorization`, or in the header set with
    /// [`Builder::token_field`](crate::auth::Builder::token_field).
    ///
    /// The warp filters and the tower layers are wrappers around this method. You can call it
    /// directly from other frameworks.
    ///
    /// # Errors
    /// Returns a [`Refusal`] with the error of the first check that fails, and the challenge for
    /// the response.
    pub async fn authenticate<X: DeserializeOwned>(
        &self,
        request: &RequestHead<'_>,
    ) -> Result<Claims<X>, Refusal> {
        self.authenticate_by(request, Self::presented).await
    }

    #[cfg(feature = "docs")]
    pub(crate) fn token_field(&self) -> Option<&HeaderName> {
        self.inner.field.as_ref()
    }

    /// The credential in the headers. A token outside of `Authorization` has no scheme.
    pub(crate) fn presented<'h>(
        &self,
        headers: &'h HeaderMap,
        is_dpop_enabled: bool,
    ) -> Result<Credential<'h>, AuthError> {
        match &self.inner.field {
            None => bearer::credential(headers, is_dpop_enabled),
            Some(name) => field::token(headers, name).map(Credential::bare),
        }
    }

    /// The scheme of a credential that may be malformed. A field other than `Authorization` has no
    /// scheme.
    fn scheme(&self, headers: &HeaderMap) -> Option<Scheme> {
        match &self.inner.field {
            None => bearer::scheme(headers),
            Some(_) => None,
        }
    }

    /// Authenticates a request and checks that its claims meet `requirement`.
    ///
    /// The challenge lists the scopes to request.
    ///
    /// # Errors
    /// Returns the errors of [`authenticate`](Self::authenticate), and a [`Refusal`] if the claims
    /// do not meet the requirement.
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

    /// [`authenticate`](Self::authenticate) with a function that extracts the credential.
    pub(crate) async fn authenticate_by<X: DeserializeOwned>(
        &self,
        request: &RequestHead<'_>,
        credential: impl for<'h> FnOnce(&Self, &'h HeaderMap, bool) -> Result<Credential<'h>, AuthError>,
    ) -> Result<Claims<X>, Refusal> {
        let accept = |_: &Claims<X>| Ok(());
        self.authenticate_checked(request, credential, accept).await
    }

    /// Like [`authenticate_by`](Self::authenticate_by), with a check of the verified claims.
    /// `check` runs before the check of the scope that the token's issuer requires: a token that is
    /// not for this resource gets a 401, whatever scopes it has.
    pub(crate) async fn authenticate_checked<X: DeserializeOwned>(
        &self,
        request: &RequestHead<'_>,
        credential: impl for<'h> FnOnce(&Self, &'h HeaderMap, bool) -> Result<Credential<'h>, AuthError>,
        check: impl FnOnce(&Claims<X>) -> Result<(), AuthError>,
    ) -> Result<Claims<X>, Refusal> {
        let refuse = |scheme, error: AuthError| self.refusal_in(scheme, error.logged());
        let credential = credential(self, request.headers, self.accepts_proofs())
            .map_err(|error| refuse(self.scheme(request.headers), error))?;
        let timer = Timer::start();
        let verdict = self.verify_presented(credential, Some(request)).await;
        timer.stop(&verdict);
        let claims = verdict.map_err(|error| {
            let error = bearer::error_to_report(credential.token, error);
            refuse(credential.scheme, error)
        })?;
        check(&claims).map_err(|error| refuse(credential.scheme, error))?;
        if let Some(scope) = claims.lacks_required_scope() {
            let refusal = refuse(credential.scheme, AuthError::InsufficientScope);
            return Err(refusal.with_scope(Some(scope)));
        }
        Ok(claims)
    }

    /// Returns a refusal with this error and the challenge of this API.
    pub fn refusal(&self, error: AuthError) -> Refusal {
        self.refusal_in(None, error)
    }

    /// A refusal whose challenge has the scheme of the request, or every scheme if the request has
    /// no token.
    fn refusal_in(&self, used: Option<Scheme>, error: AuthError) -> Refusal {
        let offered = self.inner.issuers.load().challenge.clone();
        let is_in_own_field = self.inner.field.is_some();
        let proofs = self.inner.proofs.as_ref();
        let Some(proofs) = proofs.filter(|_| offered.dpop.is_some()) else {
            return Refusal::new(error, offered).in_own_field(is_in_own_field);
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
        let nonce = nonces.map(|nonces| nonces.current(self.inner.clock.time()).into());
        let challenge = match scheme {
            Some(scheme) => offered.only(scheme),
            None => offered,
        };
        Refusal::new(error, challenge)
            .with_nonce(nonce)
            .in_own_field(is_in_own_field)
    }

    /// Checks whether authentication needs the method, the path or the certificate of a request,
    /// now or after a reload.
    #[cfg(feature = "warp")]
    pub(crate) fn reads_target(&self) -> bool {
        self.inner.proofs.is_some()
            || self.inner.certificates == Some(CertificateSource::Connection)
    }

    /// True if requests may use the scheme `DPoP`. A reload may change this.
    pub(crate) fn accepts_proofs(&self) -> bool {
        // Without a public URL, this is constant. Services usually have none, and don't have to
        // load the list of issuers.
        self.inner.proofs.is_some() && self.inner.issuers.load().challenge.dpop.is_some()
    }

    /// Returns true if a reload can change whether requests may use the scheme `DPoP`.
    #[cfg(feature = "docs")]
    pub(crate) fn can_accept_proofs(&self) -> bool {
        self.inner.proofs.is_some()
    }

    /// Returns the `DPoP-Nonce` to add to every successful response. `None` if nonces are not
    /// required, and during the first four minutes of each five-minute slot.
    ///
    /// For a response to a request with [`Claims`], use [`Claims::dpop_nonce`], which also renews a
    /// nonce that the client got long ago.
    pub fn dpop_nonce(&self) -> Option<String> {
        let nonces = self.inner.proofs.as_ref()?.nonces.as_ref()?;
        if !self.accepts_proofs() {
            return None;
        }
        nonces.renewal(None, self.inner.clock.time())
    }

    /// Verifies a token, which is passed without a scheme name.
    ///
    /// Note that this will reject tokens bound to a key, because they need a proof. You should use
    /// [`authenticate`](Self::authenticate) for these.
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
        let verdict = self.verify_presented(credential, None).await;
        let verdict = verdict.and_then(|claims| match claims.lacks_required_scope() {
            Some(_) => Err(AuthError::InsufficientScope),
            None => Ok(claims),
        });
        verdict.map_err(AuthError::logged)
    }

    /// Verifies the token of a request and its proof of possession
    pub(crate) async fn verify_presented<X: DeserializeOwned>(
        &self,
        credential: Credential<'_>,
        request: Option<&RequestHead<'_>>,
    ) -> Result<Claims<X>, AuthError> {
        let verified = self.verify_token(credential.token).await?;
        let mut nonce = None;
        if verified.binding.is_some()
            || credential.scheme == Some(Scheme::Dpop)
            || verified.context.requires_key
        {
            // boxed, so that the future of a request with a plain bearer token stays small
            nonce = Box::pin(self.check_binding(credential, request, &verified)).await?;
        }
        verified.check_not_revoked()?;
        Claims::new(verified, nonce)
    }

    /// Checks that a request proves possession of everything that its token is bound to. The DPoP
    /// proof comes last, because it can only be used once. If the client needs a new nonce for its
    /// next proof, we get that too.
    async fn check_binding(
        &self,
        credential: Credential<'_>,
        request: Option<&RequestHead<'_>>,
        verified: &Verified,
    ) -> Result<Option<Arc<str>>, AuthError> {
        // Destructure every field, so that a new kind of binding won't compile until we check it
        // here. Without this, its tokens would be accepted without proof of possession.
        let (key, x5t) = match verified.binding.as_deref() {
            Some(Binding { key, certificate }) => (*key, *certificate),
            None => (None, None),
        };
        if let Some(x5t) = x5t {
            let source = self.inner.certificates;
            let presented = source
                .zip(request)
                .and_then(|(source, request)| source.read(request));
            if presented.is_none_or(|der| certificate::thumbprint(&der) != x5t.to_string()) {
                return Err(AuthError::TokenBound);
            }
        }
        let Some(bound_to) = key else {
            let is_wanted =
                credential.scheme == Some(Scheme::Dpop) || verified.context.requires_key;
            return if is_wanted {
                Err(AuthError::TokenNotBound)
            } else {
                Ok(None)
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
        let refused = |fault: ProofFault| {
            context::set_proof_fault(fault.reason());
            fault.error()
        };
        let now = self.inner.clock.time();
        let proof = proofs.validate(presented, now).map_err(refused)?;
        // Check this before recording the proof, or else a client with a revoked token could fill
        // the record of used proofs
        verified.check_not_revoked()?;
        let began = std::time::Instant::now();
        let used = proofs.use_once(&proof, now).await;
        if self.inner.store.is_shared() {
            context::waited(WaitReason::Store, began);
        }
        used.map_err(refused)?;
        Ok(proof.renewed_nonce)
    }

    pub(super) async fn verify_token(&self, token: &[u8]) -> Result<Arc<Verified>, AuthError> {
        match self.verify_now(token)? {
            Progress::Done(verified) => Ok(verified),
            Progress::Waits(verdict) => verdict.await,
        }
    }

    /// Verifies a token, or returns a future if verification has to wait (it usually doesn't)
    fn verify_now<'a>(&'a self, token: &'a [u8]) -> Result<Progress<'a>, AuthError> {
        within_limit(token, self.inner.max_token)?;
        if let Some(known) = self.cached(token)? {
            return Ok(Progress::after_introspection(token, known));
        }
        let parts = match Parts::split(token) {
            Ok(parts) => parts,
            Err(error) => return self.introspect_opaque(token, error),
        };
        let checked = match self.check_without_key(parts, None) {
            Err(AuthError::UnknownIssuer) if self.inner.resolver.is_some() => {
                return Ok(Progress::waits(self.verify_resolved(token, parts)));
            }
            Err(error @ AuthError::TokenMalformed) if !parts.is_jwt_like() => {
                return self.introspect_opaque(token, error);
            }
            checked => checked?,
        };
        let header = &checked.header;
        let key = checked
            .issuer
            .look_up(header.algorithm, header.kid.as_deref());
        match key {
            KeyLookup::Done(key) => {
                let known = self.verify_signature(token, parts, checked, key?)?;
                Ok(Progress::after_introspection(token, known))
            }
            KeyLookup::Waits(waiter) => {
                let verdict = self.verify_with_fetched_key(token, parts, checked, waiter);
                Ok(Progress::waits(verdict))
            }
        }
    }

    async fn verify_with_fetched_key(
        &self,
        token: &[u8],
        parts: Parts<'_>,
        checked: Checked,
        waiter: Waiter,
    ) -> Result<Arc<Verified>, AuthError> {
        let (header, issuer) = (&checked.header, &checked.issuer);
        let key = issuer.fetched_key(header.algorithm, header.kid.as_deref(), waiter);
        let key = key.await?;
        let known = self.verify_signature(token, parts, checked, key)?;
        introspected(token, known).await
    }

    /// Verifies a token whose issuer is not configured, with the resolver
    async fn verify_resolved(
        &self,
        token: &[u8],
        parts: Parts<'_>,
    ) -> Result<Arc<Verified>, AuthError> {
        let issuer = self.resolved_issuer(parts).await?;
        let checked = self.check_without_key(parts, Some(issuer))?;
        let (header, issuer) = (&checked.header, &checked.issuer);
        let key = issuer.key(header.algorithm, header.kid.as_deref()).await?;
        let known = self.verify_signature(token, parts, checked, key)?;
        introspected(token, known).await
    }

    /// Verifies the signature of a token and caches the token
    fn verify_signature(
        &self,
        token: &[u8],
        parts: Parts<'_>,
        checked: Checked,
        key: Arc<Key>,
    ) -> Result<Known, AuthError> {
        let (header, issuer) = (checked.header, checked.issuer);
        issuer.verify_signature(&key, header.algorithm, parts, &checked.signature)?;
        let context = Arc::clone(&issuer.context);
        let source = VerifiedBy::of(header.algorithm, key);
        let verified = checked.extract.verified(checked.payload, context, source);
        let verified = Arc::new(verified);
        let cache = &self.inner.cache;
        if !checked.is_header_cached {
            cache.remember_header(parts.header, &header);
        }
        cache.remember(token, &verified);
        // Use the introspector of this issuer, even if a reload has replaced it while we waited for
        // a key. The new one must not cache claims that were verified by the old rules.
        let introspector = issuer.jwt_introspector().cloned();
        Ok((verified, introspector))
    }

    /// Introspects a token that isn't a JWT. `error` if no issuer introspects opaque tokens.
    fn introspect_opaque<'a>(
        &self,
        token: &'a [u8],
        error: AuthError,
    ) -> Result<Progress<'a>, AuthError> {
        match self.opaque_introspector() {
            Some(introspector) if is_b64token(token) => {
                let verdict = async move { introspector.opaque(token).await };
                Ok(Progress::waits(verdict))
            }
            _ => Err(error),
        }
    }

    /// True if the token is introspected as an opaque one, provided that an issuer introspects
    /// opaque tokens at all
    #[cfg(feature = "service")]
    pub(super) fn is_opaque(&self, parts: Result<Parts<'_>, AuthError>) -> bool {
        let Ok(parts) = parts else {
            return true;
        };
        let checked = || self.check_without_key(parts, None).err();
        !parts.is_jwt_like() && checked() == Some(AuthError::TokenMalformed)
    }

    /// The introspector for opaque tokens. If none is configured for them, we take the only
    /// introspector.
    pub(super) fn opaque_introspector(&self) -> Option<Introspector> {
        let issuers = self.inner.issuers.load();
        let introspectors = || {
            issuers
                .iter()
                .filter_map(|issuer| issuer.introspector.as_ref())
        };
        let opaque = introspectors().find(|one| one.mode() == Mode::Opaque);
        let only = || {
            let mut all = introspectors();
            all.next().filter(|_| all.next().is_none())
        };
        opaque.or_else(only).cloned()
    }

    /// Runs every check that doesn't need a key, in this order. The result must not be trusted yet.
    ///
    /// `resolved` is the issuer of the token if it is not configured.
    fn check_without_key(
        &self,
        parts: Parts<'_>,
        resolved: Option<Arc<Trusted>>,
    ) -> Result<Checked, AuthError> {
        let payload = jws::base64url(parts.payload)?;
        let signature = jws::base64url(parts.signature)?;
        let cached = self.inner.cache.header(parts.header);
        let is_header_cached = cached.is_some();
        let header = match cached {
            Some(known) => known,
            None => self.check_header(parts.header)?,
        };
        let payload = jws::text(payload)?;
        let claims = Registered::parse(&payload)?;
        let name = checks::issuer(&claims)?;
        let issuer = match resolved {
            Some(issuer) => issuer,
            None => self.trusted_issuer(name)?,
        };
        let rules = &issuer.rules;
        checks::allowed(header.algorithm, &rules.algorithms)?;
        checks::profile(header.is_at_jwt, rules.strict)?;
        checks::audience(&claims, rules.audience_claim, &rules.audiences)?;
        let times = Times::of(&claims)?;
        times.check(self.now(), &rules.times)?;
        checks::strings(&claims)?;
        checks::scopes(&claims)?;
        checks::kind(&claims)?;
        if rules.strict {
            checks::rfc9068(&claims)?;
        }
        let binding: Option<Binding> = checks::binding(&claims, rules.methods)?;
        let extract = Extract::new(&payload, &claims, times, binding);
        drop(claims);
        Ok(Checked {
            header,
            is_header_cached,
            issuer,
            payload,
            extract,
            signature,
        })
    }

    /// A cached token that is still valid, and the introspector that must confirm it, if there is
    /// one.
    fn cached(&self, token: &[u8]) -> Result<Option<Known>, AuthError> {
        let Some(verified) = self.inner.cache.token(token) else {
            return Ok(None);
        };
        let issuers = self.inner.issuers.load();
        let found;
        let issuer = if verified.context.slot == NO_SLOT {
            // a configured issuer takes precedence over a resolved one with the same name
            let resolver = self.inner.resolver.as_ref();
            let resolver = resolver.filter(|_| issuers.named(&verified.context.issuer).is_none());
            found = resolver.and_then(|resolver| resolver.with_context(&verified.context));
            found.as_deref()
        } else {
            issuers.with_context(&verified.context)
        };
        let issuer = issuer.filter(|issuer| issuer.still_trusts(&verified.source));
        let Some(issuer) = issuer else {
            self.inner.cache.forget(token);
            return Ok(None);
        };
        if let Err(error) = verified.times.check(self.now(), &issuer.rules.times) {
            self.inner.cache.forget(token);
            return Err(error);
        }
        self.inner.cache.count_hit();
        let introspector = issuer.jwt_introspector().cloned();
        Ok(Some((verified, introspector)))
    }

    fn check_header(&self, segment: &[u8]) -> Result<KnownHeader, AuthError> {
        let text = jws::text(jws::base64url(segment)?)?;
        let header = Header::parse(&text)?;
        let issuers = self.inner.issuers.load();
        let algorithm = checks::algorithm(&header, &issuers.algorithms)?;
        checks::no_extension(&header)?;
        let is_at_jwt = checks::access_token_type(&header, issuers.strict)?;
        Ok(KnownHeader {
            algorithm,
            kid: header.kid.as_deref().map(Into::into),
            is_at_jwt,
        })
    }

    /// Names are compared exactly (RFC 7519 §4.1.1). An unknown issuer never causes a network
    /// request.
    pub(super) fn trusted_issuer(&self, issuer: &str) -> Result<Arc<Trusted>, AuthError> {
        let issuers = self.inner.issuers.load();
        issuers
            .named(issuer)
            .cloned()
            .ok_or(AuthError::UnknownIssuer)
    }

    /// Resolves the issuer of a token after its first checks have passed
    async fn resolved_issuer(&self, parts: Parts<'_>) -> Result<Arc<Trusted>, AuthError> {
        let payload = jws::text(jws::base64url(parts.payload)?)?;
        let name = checks::issuer(&Registered::parse(&payload)?)?.to_owned();
        match &self.inner.resolver {
            Some(resolver) => resolver.issuer(&name).await,
            None => Err(AuthError::UnknownIssuer),
        }
    }

    /// The configured issuers, and those cached by the resolver under other names
    pub(super) fn issuers(&self) -> Vec<Arc<Trusted>> {
        let configured = self.inner.issuers.load_full();
        let mut all: Vec<_> = configured.iter().cloned().collect();
        if let Some(resolver) = &self.inner.resolver {
            let is_in_use = |issuer: &Arc<Trusted>| configured.named(issuer.name()).is_none();
            all.extend(resolver.held().into_iter().filter(is_in_use));
        }
        all
    }

    pub(super) fn now(&self) -> f64 {
        self.inner.clock.now()
    }

    /// Waits until the keys of every configured issuer that needs keys are available. This may take
    /// longer than until [`is_ready`](Self::is_ready) returns `true`, which needs the keys of only
    /// one issuer. If the issuers are replaced meanwhile, this waits for the new ones. There is no
    /// timeout, so you'll probably want to wrap this in `tokio::time::timeout`.
    pub async fn ready(&self) {
        let mut replaced = self.inner.issuers_replaced.subscribe();
        loop {
            let issuers = self.inner.issuers.load_full();
            let all_ready = async {
                for issuer in issuers.iter() {
                    if let Some(jwks) = issuer.fetched() {
                        jwks.ready(issuer.may_need_no_keys()).await;
                    }
                }
            };
            tokio::select! {
                () = all_ready => return,
                // A replaced issuer might never be ready
                _ = replaced.changed() => {}
            }
        }
    }

    /// Returns `true` if tokens can be verified: the keys of at least one configured issuer are
    /// available, or it [needs none](KeyStatus::required), and every source of revocations has been
    /// read.
    ///
    /// After the start, this is `false` until the first fetch of every issuer has succeeded or
    /// failed, so that the first requests find the keys of all issuers that can be reached. An
    /// issuer without keys doesn't affect the tokens of the others, see [`status`](Self::status)
    /// for the state of each. Resolved issuers are ignored, because there may be thousands.
    pub fn is_ready(&self) -> bool {
        let issuers = self.inner.issuers.load_full();
        let states: Vec<_> = issuers.iter().map(|issuer| issuer.status()).collect();
        let has_keys = |state: &KeyStatus| state.keys > 0 || !state.required;
        let was_fetched = |state: &KeyStatus| has_keys(state) || state.last_error.is_some();
        // A reload might add an issuer that never answers. If we waited for the first fetch again,
        // that issuer would stop the requests of all others.
        let has_started = &self.inner.has_started;
        if states.iter().all(was_fetched) {
            has_started.store(true, Relaxed);
        }
        let is_usable = states.is_empty() || states.iter().any(has_keys);
        is_usable && has_started.load(Relaxed) && self.inner.revocations.is_synchronized()
    }

    /// Revokes tokens. Their next requests will be rejected, and [`Claims::ended`] completes. If
    /// there is a [shared store](crate::auth::Builder::state_store), other processes will get the
    /// revocation too.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{
    ///     auth::{Auth, AuthError, claims::NoPrivate, revocation::Revocation},
    ///     issuer::Issuer,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let issuer = Issuer::start().await;
    /// # let auth = Auth::discover(issuer.url(), issuer.audience())?;
    /// let token = issuer.token().subject("auth0|bob").sign();
    /// assert!(auth.verify::<NoPrivate>(&token).await.is_ok());
    /// auth.revoke(Revocation::subject(issuer.url(), "auth0|bob"));
    /// let revoked = auth.verify::<NoPrivate>(&token).await;
    /// assert_eq!(revoked.unwrap_err(), AuthError::TokenRevoked);
    /// # Ok(())
    /// # }
    /// ```
    pub fn revoke(&self, revocation: Revocation) {
        self.revoke_all([revocation]);
    }

    /// Adds several revocations at once. Thousands of them take milliseconds, so you should call this
    /// on a blocking thread if there are many.
    pub fn revoke_all(&self, revocations: impl IntoIterator<Item = Revocation>) {
        let added = self.inner.revocations.add(revocations, self.now());
        let store = &self.inner.store;
        if !store.is_shared() || added.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // the task of the store writes the entries to the store
            store.resync();
            return;
        };
        let store = store.clone();
        runtime.spawn(async move {
            for entry in added {
                if store.publish(sync::line(&entry)).await.is_err() {
                    // The entries are in the list of this process, and the next synchronization,
                    // which the store begins at once, writes them to the store
                    tracing::warn!("revocation not shared yet: the state store does not answer");
                    return;
                }
            }
        });
    }

    /// The revocations in force.
    pub fn revocations(&self) -> Vec<Revocation> {
        self.inner.revocations.entries(self.now())
    }

    /// The status of the revocation list and its sources.
    pub fn revocation_status(&self) -> RevocationStatus {
        self.inner.revocations.status()
    }

    /// The status of introspection at each issuer.
    pub fn introspection_status(&self) -> Vec<IntrospectionStatus> {
        let issuers = self.issuers();
        let introspectors = issuers
            .iter()
            .filter_map(|issuer| issuer.introspector.as_ref());
        introspectors.map(Introspector::status).collect()
    }

    /// The status of each issuer's keys.
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
        let issuers = self.issuers();
        issuers.iter().map(|issuer| issuer.status()).collect()
    }

    #[cfg(feature = "service")]
    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The number of tokens that were found in the cache.
    pub fn cache_hits(&self) -> u64 {
        self.inner.cache.hits()
    }

    /// The number of cached tokens.
    pub fn cached_tokens(&self) -> usize {
        self.inner.cache.len()
    }

    /// Fetches every issuer's keys now, in the background, and repeats discovery. If a fetch is
    /// already in flight, another one will follow. Introspection endpoints will be discovered again
    /// when they are next needed.
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
        for issuer in self.issuers() {
            if let Some(jwks) = issuer.fetched() {
                jwks.refresh();
            }
            if let Some(introspector) = &issuer.introspector {
                introspector.refresh();
            }
        }
    }

    /// Returns the metadata of the protected resource (RFC 9728 §2), with the scopes that its
    /// routes require. `None` if no [resource](crate::auth::Builder::resource) is configured.
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
        let issuers = self.inner.issuers.load_full();
        let names = issuers.iter().map(|issuer| issuer.name().to_owned());
        let resource = self.inner.resource.as_ref()?;
        let proofs = self.inner.proofs.as_ref();
        let proofs = proofs.filter(|_| issuers.challenge.dpop.is_some());
        let proofs = proofs.map(|proofs| &*proofs.algorithms);
        let is_required = !issuers.challenge.bearer;
        let metadata = ResourceMetadata::new(resource, names, scopes);
        let metadata = metadata.with_certificates(self.inner.certificates.is_some());
        Some(metadata.with_dpop(proofs.unwrap_or_default(), is_required))
    }
}

enum Progress<'a> {
    Done(Arc<Verified>),
    /// Rare, and would make the future of every request larger, hence the box.
    Waits(Pin<Box<dyn Future<Output = Result<Arc<Verified>, AuthError>> + Send + 'a>>),
}

impl<'a> Progress<'a> {
    fn waits(verdict: impl Future<Output = Result<Arc<Verified>, AuthError>> + Send + 'a) -> Self {
        Self::Waits(Box::pin(verdict))
    }

    fn after_introspection(token: &'a [u8], known: Known) -> Self {
        match known {
            (verified, None) => Self::Done(verified),
            known => Self::waits(introspected(token, known)),
        }
    }
}

/// Introspects a verified JWT, if there is an introspector
async fn introspected(
    token: &[u8],
    (verified, introspector): Known,
) -> Result<Arc<Verified>, AuthError> {
    match introspector {
        Some(introspector) => introspector.jwt(token, &verified).await,
        None => Ok(verified),
    }
}

/// A verified token, and the introspector that must confirm it, if there is one
type Known = (Arc<Verified>, Option<Introspector>);

/// A token that has passed every check that does not need a key
struct Checked {
    header: KnownHeader,
    is_header_cached: bool,
    issuer: Arc<Trusted>,
    payload: String,
    extract: Extract,
    signature: Vec<u8>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.inner.issuers.load();
        let issuers: Vec<_> = issuers.iter().map(|issuer| issuer.name()).collect();
        f.debug_struct("Auth")
            .field("issuers", &issuers)
            .finish_non_exhaustive()
    }
}
