//! Logout tokens (`OpenID` Connect Back-Channel Logout 1.0): [`Auth::log_out`] verifies a token and
//! revokes its session.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest;

use crate::auth::{
    credential::bearer::within_limit,
    error::AuthError,
    revocation::{Revocation, sync},
    store::{Claim, Claimed, Unavailable},
    token::{
        audience::AudienceClaim,
        checks::{self, Times},
        json::{self, Value},
        jws::{self, Header, Parts},
        registered::Registered,
    },
    trusted::Trusted,
    verifier::Auth,
};

/// The member of `events` that makes a token a logout token (§2.4)
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The minimum time for which a session stays revoked. A logout token doesn't contain the lifetime
/// of the access tokens. Auth0's default is 24 hours.
const REVOKED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

impl Auth {
    /// Returns `true` if a [`logout_client`](crate::auth::Builder::logout_client) is configured, so
    /// logout tokens are accepted.
    pub fn accepts_logout(&self) -> bool {
        !self.inner.logout_clients.is_empty()
    }

    /// Verifies a logout token and revokes the access tokens of its session: those with the same
    /// `sid`, or with the same `sub` if the logout token has no `sid`. Returns the revocation.
    ///
    /// The revocation ends 24 hours after the `iat` of the logout token, or later if tokens live
    /// longer: after the [maximum age](crate::auth::Builder::max_age) if one is configured, and
    /// otherwise after the longest lifetime seen in a token of this issuer. The leeway is added.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use warp_bearer::{
    ///     auth::{Auth, AuthError, claims::NoPrivate},
    ///     issuer::Issuer,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let issuer = Issuer::start().await;
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .logout_client(issuer.client_id())
    ///     .build()?;
    /// let token = issuer.token().claim("sid", "s1").sign();
    /// assert!(auth.verify::<NoPrivate>(&token).await.is_ok());
    /// auth.log_out(&issuer.logout_token().claim("sid", "s1").sign()).await?;
    /// let ended = auth.verify::<NoPrivate>(&token).await;
    /// assert_eq!(ended.unwrap_err(), AuthError::TokenRevoked);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns the error of the first check of §2.6 that fails. The errors are the same as for
    /// access tokens, but [`AuthError::TokenRevoked`] means that the logout token was used before.
    ///
    /// With a [shared store](crate::auth::Builder::state_store), [`AuthError::StateUnavailable`] means
    /// that the store did not confirm the revocation, or the use of the token. The session is revoked
    /// in this process, and the issuer should send the logout token again.
    pub async fn log_out(&self, logout_token: &str) -> Result<Revocation, AuthError> {
        let token = logout_token.as_bytes();
        within_limit(token, self.inner.max_token)?;
        let parts = Parts::split(token)?;
        let header = jws::text(jws::base64url(parts.header)?)?;
        let header = Header::parse(&header)?;
        let algorithm = checks::algorithm(&header, &self.inner.issuers.load().algorithms)?;
        // Anyone with the secret for access tokens could forge a logout token with it.
        if algorithm.is_symmetric() {
            return Err(AuthError::AlgorithmNotAllowed);
        }
        checks::no_extension(&header)?;
        check_logout_type(&header)?;
        let payload = jws::text(jws::base64url(parts.payload)?)?;
        let signature = jws::base64url(parts.signature)?;
        let claims = Registered::parse(&payload)?;
        let issuer = self.trusted_issuer(checks::issuer(&claims)?)?;
        checks::allowed(algorithm, &issuer.rules.algorithms)?;
        checks::audience(
            &claims,
            AudienceClaim::default(),
            &self.inner.logout_clients,
        )?;
        let times = Times::of(&claims)?;
        times.check(self.now(), &issuer.rules.times)?;
        checks::strings(&claims)?;
        let issued_at = times.issued.ok_or(AuthError::MissingClaim)?;
        let logout_claims = LogoutClaims::read(&payload)?;
        let key = issuer.key(algorithm, header.kid.as_deref()).await?;
        issuer.verify_signature(&key, algorithm, parts, &signature)?;
        let leeway = issuer.rules.times.leeway.as_secs_f64();
        let until = time(times.expires + leeway);
        let jti = logout_claims.jti.clone();
        let revocation = logout_claims.revocation(issuer.name());
        // `iat` has whole seconds. A token issued in the same second still belongs to the ended
        // session.
        let before = issued_at.floor() + 1.0;
        // both times come from the token, so that a repetition adds no entry
        let revocation = revocation.before(time(before));
        let revocation = revocation.until(time(before + revocation_lifetime(&issuer)));
        self.inner.revocations.add([revocation.clone()], self.now());
        let claim = Claim {
            key: claim_key(issuer.name(), &jti),
            now: time(self.now()),
            issued_at: time(issued_at),
            until,
        };
        // don't send the revocation to all replicas again
        if self.inner.store.has_claimed(&claim) {
            return Err(AuthError::TokenRevoked);
        }
        // Share the revocation before claiming the `jti`. The other way round we could lose a logout,
        // as the issuer's next attempt would be rejected. Revoking twice is harmless, since `before`
        // comes from the token.
        self.share_logout(&revocation).await?;
        self.use_once(claim).await?;
        Ok(revocation)
    }

    /// Waits until the shared store confirms the revocation
    async fn share_logout(&self, revocation: &Revocation) -> Result<(), AuthError> {
        let store = &self.inner.store;
        if !store.is_shared() {
            return Ok(());
        }
        let (store, line) = (store.clone(), sync::line(revocation));
        // in a task, because the issuer may close the connection meanwhile
        let publishing = tokio::spawn(async move { store.publish(line).await });
        if !matches!(publishing.await, Ok(Ok(()))) {
            tracing::warn!("logout not shared yet: the state store does not answer");
            return Err(UNAVAILABLE);
        }
        Ok(())
    }

    /// Claims the `jti` of a logout token, so it is accepted only once by all replicas
    async fn use_once(&self, claim: Claim) -> Result<(), AuthError> {
        match self.inner.store.claim(claim).await {
            // A token that's older than the store might be a repetition, but revoking the same
            // session again changes nothing
            Ok(Claimed::First) | Err(Unavailable::TooOld) => Ok(()),
            Ok(Claimed::Used) => Err(AuthError::TokenRevoked),
            Err(_) => Err(UNAVAILABLE),
        }
    }
}

const UNAVAILABLE: AuthError = AuthError::StateUnavailable {
    retry_after: Duration::from_secs(1),
};

fn claim_key(issuer: &str, jti: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"logout\0");
    context.update(&(issuer.len() as u64).to_be_bytes());
    context.update(issuer.as_bytes());
    context.update(jti.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

/// How long a revocation must last, in seconds: the longest lifetime of the issuer's tokens, but at
/// least [`REVOKED_FOR`], plus the leeway.
#[allow(clippy::cast_precision_loss)] // exact for millions of years
fn revocation_lifetime(issuer: &Trusted) -> f64 {
    let seen = issuer.context.longest_lifetime.load(Relaxed) as f64;
    let rules = &issuer.rules.times;
    let longest = rules.max_age.map_or(seen, |age| age.as_secs_f64());
    longest.max(REVOKED_FOR.as_secs_f64()) + rules.leeway.as_secs_f64()
}

/// Checks `typ`. Some issuers don't follow the recommendation of §2.4 and write `JWT` or nothing.
/// We can still tell a logout token from an access token by the event in its payload.
fn check_logout_type(header: &Header<'_>) -> Result<(), AuthError> {
    const TYPES: [&str; 3] = ["logout+jwt", "application/logout+jwt", "JWT"];
    match &header.typ {
        None => Ok(()),
        Some(Value::Text(typ)) if TYPES.iter().any(|one| one.eq_ignore_ascii_case(typ)) => Ok(()),
        Some(_) => Err(AuthError::WrongTokenType),
    }
}

struct LogoutClaims {
    jti: String,
    sub: Option<String>,
    sid: Option<String>,
}

impl LogoutClaims {
    fn read(payload: &str) -> Result<Self, AuthError> {
        let text = |name: &str| -> Result<Option<String>, AuthError> {
            let Some(member) = json::member(payload, name) else {
                return Ok(None);
            };
            let text: Result<String, _> = json::accepted(member);
            text.map(Some).map_err(|_| AuthError::InvalidClaim)
        };
        // a token with a `nonce` is an ID token (§2.6)
        if json::member(payload, "nonce").is_some() {
            return Err(AuthError::InvalidClaim);
        }
        let events = json::member(payload, "events").ok_or(AuthError::MissingClaim)?;
        let event = json::member(events, EVENT).ok_or(AuthError::MissingClaim)?;
        if json::object(event).is_err() {
            return Err(AuthError::InvalidClaim);
        }
        let (jti, sub, sid) = (text("jti")?, text("sub")?, text("sid")?);
        if [&sub, &sid].into_iter().flatten().any(String::is_empty) {
            return Err(AuthError::InvalidClaim);
        }
        if sub.is_none() && sid.is_none() {
            return Err(AuthError::MissingClaim);
        }
        let jti = jti.ok_or(AuthError::MissingClaim)?;
        Ok(Self { jti, sub, sid })
    }

    fn revocation(self, issuer: &str) -> Revocation {
        match (self.sid, self.sub) {
            (Some(sid), _) => Revocation::session(issuer, sid),
            (None, sub) => Revocation::subject(issuer, sub.unwrap_or_default()),
        }
    }
}

fn time(seconds: f64) -> SystemTime {
    let since_epoch = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH.checked_add(since_epoch);
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}
