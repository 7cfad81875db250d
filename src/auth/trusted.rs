//! [`Trusted`]: a trusted issuer with its keys, as the verifier uses it.
//!
//! `builder.rs` creates it from the options, and `issuers.rs` has the list.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::algorithm::Algorithm;
use crate::auth::{
    error::AuthError,
    introspection::{Introspection, introspector::Introspector, options::Mode},
    issuer::KeySource,
    keys::{
        jwks::{Jwks, KeyLookup, Waiter},
        key_set::{Key, KeySet, Miss},
        schedule::RefreshPolicy,
        status::KeyStatus,
    },
    token::{
        audience::AudienceClaim,
        checks::TimeRules,
        confirmation::Methods,
        jws::Parts,
        payload::{IssuerContext, VerifiedBy},
    },
};

pub(crate) struct Trusted {
    pub(crate) context: Arc<IssuerContext>,
    pub(crate) keys: Option<Keys>,
    /// The secret for `HS256`. Not used for any other algorithm.
    pub(crate) secret: Option<Arc<Key>>,
    pub(crate) introspector: Option<Introspector>,
    pub(crate) rules: Rules,
    pub(crate) origin: KeyOrigin,
    /// The file and line where the issuer is configured, for `explain`. This should not be compared
    /// in a reload, as inserting a line into the file will change the numbers of later lines.
    #[cfg_attr(not(feature = "service"), allow(dead_code))]
    pub(crate) place: Option<Arc<str>>,
}

/// The rules for the tokens of an issuer. If a reload doesn't change them, we keep the cached
/// tokens of the issuer.
#[derive(Clone, PartialEq)]
pub(crate) struct Rules {
    pub(crate) audiences: Arc<[String]>,
    pub(crate) audience_claim: AudienceClaim,
    pub(crate) algorithms: Arc<[Algorithm]>,
    pub(crate) times: TimeRules,
    /// True for the strict profile of RFC 9068
    pub(crate) strict: bool,
    pub(crate) methods: Methods,
    /// The bytes of the secret, to compare them in a reload
    pub(crate) secret: Option<Arc<[u8]>>,
    pub(crate) introspection: Option<Introspection>,
}

/// The source of an issuer's keys, and how they are fetched
#[derive(Clone, PartialEq)]
pub(crate) struct KeyOrigin {
    /// `None` for discovery
    pub(crate) source: Option<KeySource>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) policy: RefreshPolicy,
    pub(crate) timeout: Duration,
}

impl KeyOrigin {
    /// True if both have the same source of keys. Other settings of fetches may differ.
    pub(crate) fn has_same_source(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[derive(Clone)]
pub(crate) enum Keys {
    Fetched(Arc<Jwks>),
    Fixed(Arc<KeySet>),
}

impl Trusted {
    pub(crate) fn name(&self) -> &str {
        &self.context.issuer
    }

    /// Checks whether the options are the same, in which case a reload keeps this issuer.
    pub(crate) fn is_same(
        &self,
        context: &IssuerContext,
        rules: &Rules,
        origin: &KeyOrigin,
    ) -> bool {
        self.context.is_equivalent(context) && self.rules == *rules && self.origin == *origin
    }

    /// The key for a header's `alg` and `kid`, after a fetch if necessary.
    pub(crate) async fn key(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
    ) -> Result<Arc<Key>, AuthError> {
        match self.look_up(alg, kid) {
            KeyLookup::Done(key) => key,
            KeyLookup::Waits(waiter) => self.fetched_key(alg, kid, waiter).await,
        }
    }

    /// The key for a header's `alg` and `kid`, or a fetch to wait for
    pub(crate) fn look_up(&self, alg: Algorithm, kid: Option<&str>) -> KeyLookup {
        if alg == Algorithm::HS256 {
            let secret = self.secret.clone().ok_or(AuthError::AlgorithmNotAllowed);
            return KeyLookup::Done(secret);
        }
        KeyLookup::Done(match &self.keys {
            Some(Keys::Fetched(jwks)) => return jwks.look_up(alg, kid),
            Some(Keys::Fixed(set)) => set.find(alg, kid).cloned().map_err(|miss| match miss {
                Miss::AlgorithmMismatch | Miss::OtherUse => AuthError::AlgorithmNotAllowed,
                Miss::UnknownKid | Miss::Ambiguous => AuthError::UnknownKey,
            }),
            None => Err(AuthError::AlgorithmNotAllowed),
        })
    }

    /// Waits for the fetch that [`look_up`](Self::look_up) has started or joined.
    pub(crate) async fn fetched_key(
        &self,
        alg: Algorithm,
        kid: Option<&str>,
        waiter: Waiter,
    ) -> Result<Arc<Key>, AuthError> {
        match &self.keys {
            Some(Keys::Fetched(jwks)) => jwks.fetched_key(alg, kid, waiter).await,
            _ => Err(AuthError::UnknownKey),
        }
    }

    /// Verifies the signature. If it is wrong, the issuer may have replaced the key under the same
    /// `kid`, so this starts a fetch in the background.
    pub(crate) fn verify_signature(
        &self,
        key: &Key,
        alg: Algorithm,
        parts: Parts<'_>,
        signature: &Vec<u8>,
    ) -> Result<(), AuthError> {
        if key.verify(alg, parts.signing_input, signature) {
            return Ok(());
        }
        // Also for tokens without a `kid`, but not for a secret, which isn't in a key set
        if let Some(Keys::Fetched(jwks)) = &self.keys
            && key.generation() != Key::FIXED
        {
            jwks.refetch_in_background("a signature was wrong");
        }
        Err(AuthError::BadSignature)
    }

    /// Can we still trust a cached token that was verified by `source`?
    pub(crate) fn still_trusts(&self, source: &VerifiedBy) -> bool {
        match (source, &self.keys) {
            (VerifiedBy::Secret, _) => self.secret.is_some(),
            (VerifiedBy::Key(key), Some(Keys::Fetched(jwks))) => {
                jwks.generation() == Some(key.generation())
            }
            (VerifiedBy::Key(_), Some(Keys::Fixed(_))) => true,
            // introspection responses have their own cache
            (VerifiedBy::Key(_), None) | (VerifiedBy::Introspection, _) => false,
        }
    }

    pub(crate) fn jwt_introspector(&self) -> Option<&Introspector> {
        let introspector = self.introspector.as_ref();
        introspector.filter(|_| self.context.introspects_jwts)
    }

    pub(crate) fn fetched(&self) -> Option<&Arc<Jwks>> {
        match &self.keys {
            Some(Keys::Fetched(jwks)) => Some(jwks),
            _ => None,
        }
    }

    /// True if every token of the issuer may be opaque. With introspection of all tokens, JWTs are
    /// expected too.
    pub(crate) fn may_need_no_keys(&self) -> bool {
        let introspector = self.introspector.as_ref();
        introspector.is_some_and(|introspector| introspector.mode() == Mode::Opaque)
    }

    pub(crate) fn status(&self) -> KeyStatus {
        match &self.keys {
            Some(Keys::Fetched(jwks)) => KeyStatus {
                required: !self.may_need_no_keys() || !jwks.has_no_key_set(),
                ..jwks.status()
            },
            Some(Keys::Fixed(set)) => {
                let left_out = Arc::clone(set.left_out());
                KeyStatus::fixed(self.name(), set.usable(), left_out)
            }
            None => {
                let keys = usize::from(self.secret.is_some());
                KeyStatus::fixed(self.name(), keys, Arc::default())
            }
        }
    }
}
