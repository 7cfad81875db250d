//! [`Proofs`]: validates the DPoP proof of a request (RFC 9449 §4.3 and §7.1).
//!
//! A proof is a JWT for one request, signed with the key that the token is bound to. The order of
//! the checks is in [`Proofs::validate`], and `explain` calls the same functions. We record a proof
//! as used only after all other checks, which means that invalid proofs will never take up memory.
//!
//! This module doesn't verify the token, it only uses its hash.

use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::algorithm::Algorithm;
use crate::auth::{
    credential::{
        RequestHead,
        nonce::{NonceSlot, Nonces},
        target_uri::PublicUrl,
    },
    error::AuthError,
    keys::jwk::{self, KeyVerifier},
    store::{Claim, Claimed, Store},
    token::{
        confirmation::Thumbprint,
        json::{self, Value},
        jws::{self, Parts},
    },
};

pub(crate) const PROOF: HeaderName = HeaderName::from_static("dpop");

/// The maximum length of a proof in bytes. A proof with an 8192-bit RSA key has about 3.5 KiB.
pub(crate) const MAX_PROOF: usize = 8 * 1024;

/// The `typ` of a proof, compared exactly
pub(crate) const TYP: &str = "dpop+jwt";

/// The maximum length of `jti` in bytes
pub(crate) const MAX_JTI: usize = 256;

/// The `Retry-After` of responses while the store is unavailable
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The rules for proofs, and the record of used ones
pub(crate) struct Proofs {
    pub(crate) url: PublicUrl,
    pub(crate) algorithms: Arc<[Algorithm]>,
    /// How long a proof is accepted after its `iat`, without leeway
    pub(crate) window: Duration,
    pub(crate) leeway: Duration,
    /// `None` if nonces are not required
    pub(crate) nonces: Option<Nonces>,
    pub(crate) store: Store,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProofFault {
    Absent,
    Several,
    TooLarge,
    NotJwt,
    NotStrict,
    Extension,
    Type,
    Algorithm,
    /// `jwk` is absent or not a usable public key. Contains the reason.
    Key(Cow<'static, str>),
    Signature,
    /// The framework's adapter doesn't pass the method and the path.
    NoTarget,
    Method,
    Url,
    NoTime,
    Old,
    Ahead,
    TokenHash,
    Nonce,
    Id,
    /// The token is bound to another key.
    OtherKey,
    Used,
    /// The store cannot tell whether the proof was used before. Contains the reason.
    Unavailable(&'static str),
}

impl ProofFault {
    pub(crate) const fn error(&self) -> AuthError {
        match self {
            Self::OtherKey => AuthError::TokenBound,
            Self::Nonce => AuthError::NonceRequired,
            Self::Used => AuthError::ProofReplayed,
            Self::Unavailable(_) => AuthError::StateUnavailable {
                retry_after: RETRY_AFTER,
            },
            _ => AuthError::InvalidProof,
        }
    }

    /// For the log. Unlike [`Self::detail`], this contains nothing from the proof.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Absent => "there is no DPoP field",
            Self::Several => "there is more than one proof",
            Self::TooLarge => "the proof is larger than 8 KiB",
            Self::NotJwt => "the proof does not have three parts",
            Self::NotStrict => "a part of the proof is not base64url, or not a strict JSON object",
            Self::Extension => "the proof has crit or b64",
            Self::Type => "typ of the proof is not dpop+jwt",
            Self::Algorithm => "alg of the proof is not allowed",
            Self::Key(_) => "jwk of the proof is not a usable public key",
            Self::Unavailable(reason) => reason,
            Self::Signature => "the signature of the proof is not valid",
            Self::NoTarget => "method and path of the request are not known",
            Self::Method => "htm is not the method of the request",
            Self::Url => "htu is not the URL of the request",
            Self::NoTime => "iat of the proof is missing or not a number",
            Self::Old => "iat of the proof is too old; a clock may be wrong",
            Self::Ahead => "iat of the proof is in the future; a clock may be wrong",
            Self::TokenHash => "ath is not the hash of the token",
            Self::Nonce => "the nonce is missing, expired or unknown",
            Self::Id => "jti is missing, empty, too long or not a string",
            Self::OtherKey => "the token is bound to another key",
            Self::Used => "the proof was used before",
        }
    }

    /// For `explain`: the reason, with details from the proof.
    #[cfg(feature = "service")]
    pub(crate) fn detail(&self) -> &str {
        match self {
            Self::Key(reason) => reason,
            _ => self.reason(),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) request: &'a RequestHead<'a>,
    pub(crate) token: &'a [u8],
    /// The thumbprint of the key that the token is bound to
    pub(crate) bound_to: Thumbprint,
}

impl Proofs {
    /// Validates the proof of a request, but doesn't check whether it was used before. That's
    /// [`use_once`](Self::use_once), which must come after all other checks of the request.
    pub(crate) fn validate(
        &self,
        presented: Presented<'_>,
        now: SystemTime,
    ) -> Result<ProofUse, ProofFault> {
        let proof = field(presented.request.headers)?;
        let parts = Parts::split(proof).map_err(|_| ProofFault::NotJwt)?;
        let header = decoded(parts.header)?;
        let payload = decoded(parts.payload)?;
        let signature = jws::base64url(parts.signature).map_err(|_| ProofFault::NotStrict)?;
        let header = ProofHeader::parse(&header)?;
        let claims = ProofClaims::parse(&payload)?;
        header.no_extension()?;
        header.is_proof()?;
        let algorithm = self.algorithm(&header)?;
        let key = ProofKey::read(&header, algorithm)?;
        key.verify(parts, &signature)?;
        claims.is_for_method(presented.request)?;
        self.is_for_url(&claims, presented.request)?;
        self.is_recent(claims.issued()?, now)?;
        claims.is_for_token(presented.token)?;
        let nonce_slot = self.nonce_slot(&claims, now)?;
        let id = claims.id()?;
        key.is(presented.bound_to)?;
        let renewed_nonce = self.nonces.as_ref();
        let renewed_nonce = renewed_nonce.and_then(|nonces| nonces.renewal(nonce_slot, now));
        Ok(ProofUse {
            renewed_nonce: renewed_nonce.map(Into::into),
            ..ProofUse::new(key.thumbprint, id, claims.issued()?)
        })
    }

    #[cfg(test)]
    pub(crate) async fn check(
        &self,
        presented: Presented<'_>,
        now: SystemTime,
    ) -> Result<(), ProofFault> {
        let proof = self.validate(presented, now)?;
        self.use_once(&proof, now).await
    }

    pub(crate) fn algorithm(&self, header: &ProofHeader<'_>) -> Result<Algorithm, ProofFault> {
        let Some(Value::Text(name)) = &header.alg else {
            return Err(ProofFault::Algorithm);
        };
        name.parse()
            .ok()
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or(ProofFault::Algorithm)
    }

    pub(crate) fn is_for_url(
        &self,
        claims: &ProofClaims<'_>,
        request: &RequestHead<'_>,
    ) -> Result<(), ProofFault> {
        let path = request.path.ok_or(ProofFault::NoTarget)?;
        match &claims.htu {
            Some(Value::Text(htu)) if self.url.is_at(htu, path, request.is_forwarded) => Ok(()),
            _ => Err(ProofFault::Url),
        }
    }

    pub(crate) fn is_recent(&self, issued: f64, now: SystemTime) -> Result<(), ProofFault> {
        let (now, leeway) = (seconds(now), self.leeway.as_secs_f64());
        if now > issued + self.window.as_secs_f64() + leeway {
            return Err(ProofFault::Old);
        }
        if issued > now + leeway {
            return Err(ProofFault::Ahead);
        }
        Ok(())
    }

    /// The slot of the proof's nonce, or `None` if nonces aren't required.
    pub(crate) fn nonce_slot(
        &self,
        claims: &ProofClaims<'_>,
        now: SystemTime,
    ) -> Result<Option<NonceSlot>, ProofFault> {
        let Some(nonces) = &self.nonces else {
            return Ok(None);
        };
        let slot = match &claims.nonce {
            Some(Value::Text(nonce)) => nonces.slot_of(nonce, now),
            _ => None,
        };
        slot.map(Some).ok_or(ProofFault::Nonce)
    }

    /// Records the use of a proof, and fails if it was used before. The record is kept until no
    /// proof with this `jti` can be accepted any more.
    pub(crate) async fn use_once(
        &self,
        proof: &ProofUse,
        now: SystemTime,
    ) -> Result<(), ProofFault> {
        let claim = Claim {
            key: proof.key,
            now,
            issued_at: proof.issued_at,
            until: now + self.window + self.leeway * 2,
        };
        match self.store.claim(claim).await {
            Ok(Claimed::First) => Ok(()),
            Ok(Claimed::Used) => Err(ProofFault::Used),
            Err(unavailable) => Err(ProofFault::Unavailable(unavailable.as_str())),
        }
    }
}

/// A valid proof that we haven't recorded as used yet
pub(crate) struct ProofUse {
    /// The hash of the key's thumbprint and the `jti`
    key: [u8; 32],
    issued_at: SystemTime,
    /// The nonce for the client's next proof, if the one in this proof may soon expire
    pub(crate) renewed_nonce: Option<Arc<str>>,
}

impl ProofUse {
    fn new(thumbprint: Thumbprint, id: &str, issued: f64) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(thumbprint.as_bytes());
        hash.update(id.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(hash.finish().as_ref());
        let issued = Duration::try_from_secs_f64(issued).unwrap_or_default();
        Self {
            key,
            issued_at: SystemTime::UNIX_EPOCH + issued,
            renewed_nonce: None,
        }
    }
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proofs")
            .field("url", &self.url)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

fn seconds(time: SystemTime) -> f64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs_f64()
}

/// The proof of a request, if it has exactly one. (A comma means that a proxy has joined two
/// headers.)
pub(crate) fn field(headers: &HeaderMap) -> Result<&[u8], ProofFault> {
    let mut fields = headers.get_all(PROOF).iter().map(HeaderValue::as_bytes);
    let proof = fields.next().ok_or(ProofFault::Absent)?;
    if fields.next().is_some() || proof.contains(&b',') {
        return Err(ProofFault::Several);
    }
    if proof.len() > MAX_PROOF {
        return Err(ProofFault::TooLarge);
    }
    Ok(proof)
}

pub(crate) fn decoded(part: &[u8]) -> Result<String, ProofFault> {
    let text = jws::base64url(part).and_then(jws::text);
    text.map_err(|_| ProofFault::NotStrict)
}

/// The header of a proof. We ignore other members (e.g. `kid` and `x5c`): the key is in `jwk`.
#[derive(Debug, Default)]
pub(crate) struct ProofHeader<'a> {
    alg: Option<Value<'a>>,
    typ: Option<Value<'a>>,
    jwk: Option<&'a str>,
    is_extended: bool,
}

impl<'a> ProofHeader<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, ProofFault> {
        let mut header = Self::default();
        json::members(text, |name, value| match name {
            "alg" => header.alg = Some(value),
            "typ" => header.typ = Some(value),
            "crit" | "b64" => header.is_extended = true,
            _ => {}
        })
        .map_err(|_| ProofFault::NotStrict)?;
        header.jwk = json::member(text, "jwk");
        Ok(header)
    }

    pub(crate) fn no_extension(&self) -> Result<(), ProofFault> {
        if self.is_extended {
            return Err(ProofFault::Extension);
        }
        Ok(())
    }

    pub(crate) fn is_proof(&self) -> Result<(), ProofFault> {
        match &self.typ {
            Some(Value::Text(typ)) if typ == TYP => Ok(()),
            _ => Err(ProofFault::Type),
        }
    }
}

/// The public key of a proof. The client chose it, and it should not be trusted until its
/// thumbprint has been compared with the one in the token.
pub(crate) struct ProofKey {
    verifier: KeyVerifier,
    pub(crate) thumbprint: Thumbprint,
}

impl ProofKey {
    pub(crate) fn read(header: &ProofHeader<'_>, algorithm: Algorithm) -> Result<Self, ProofFault> {
        const ABSENT: ProofFault = ProofFault::Key(Cow::Borrowed("the proof has no jwk"));
        let jwk = header.jwk.ok_or(ABSENT)?;
        let jwk = json::value_below(1, jwk).map_err(|_| ProofFault::NotStrict)?;
        let (material, mut verifiers) = jwk::import(&jwk, &[algorithm])
            .map_err(|reason| ProofFault::Key(reason.to_string().into()))?;
        let (_, verifier) = verifiers
            .pop()
            .ok_or_else(|| ProofFault::Key("jwk is not a key for alg".into()))?;
        let thumbprint = Thumbprint(material.thumbprint());
        Ok(Self {
            verifier,
            thumbprint,
        })
    }

    pub(crate) fn verify(&self, parts: Parts<'_>, signature: &Vec<u8>) -> Result<(), ProofFault> {
        if self.verifier.verify(parts.signing_input, signature) {
            return Ok(());
        }
        Err(ProofFault::Signature)
    }

    pub(crate) fn is(&self, bound_to: Thumbprint) -> Result<(), ProofFault> {
        if self.thumbprint == bound_to {
            return Ok(());
        }
        Err(ProofFault::OtherKey)
    }
}

/// The claims of a proof. RFC 9449 doesn't define `exp` and `nbf`, so we ignore them.
#[derive(Debug, Default)]
pub(crate) struct ProofClaims<'a> {
    htm: Option<Value<'a>>,
    htu: Option<Value<'a>>,
    iat: Option<Value<'a>>,
    ath: Option<Value<'a>>,
    nonce: Option<Value<'a>>,
    jti: Option<Value<'a>>,
}

impl<'a> ProofClaims<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, ProofFault> {
        let mut claims = Self::default();
        json::members(text, |name, value| match name {
            "htm" => claims.htm = Some(value),
            "htu" => claims.htu = Some(value),
            "iat" => claims.iat = Some(value),
            "ath" => claims.ath = Some(value),
            "nonce" => claims.nonce = Some(value),
            "jti" => claims.jti = Some(value),
            _ => {}
        })
        .map_err(|_| ProofFault::NotStrict)?;
        Ok(claims)
    }

    pub(crate) fn is_for_method(&self, request: &RequestHead<'_>) -> Result<(), ProofFault> {
        let method = request.method.ok_or(ProofFault::NoTarget)?;
        match &self.htm {
            Some(Value::Text(htm)) if htm == method.as_str() => Ok(()),
            _ => Err(ProofFault::Method),
        }
    }

    pub(crate) fn issued(&self) -> Result<f64, ProofFault> {
        match self.iat {
            Some(Value::Number(issued)) => Ok(issued),
            _ => Err(ProofFault::NoTime),
        }
    }

    pub(crate) fn is_for_token(&self, token: &[u8]) -> Result<(), ProofFault> {
        match &self.ath {
            Some(Value::Text(ath)) if *ath == token_hash(token) => Ok(()),
            _ => Err(ProofFault::TokenHash),
        }
    }

    pub(crate) fn id(&self) -> Result<&str, ProofFault> {
        match &self.jti {
            Some(Value::Text(id)) if (1..=MAX_JTI).contains(&id.len()) => Ok(id),
            _ => Err(ProofFault::Id),
        }
    }
}

/// `ath`, the hash of a token in base64url (RFC 9449 §4.2)
pub(crate) fn token_hash(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token))
}
