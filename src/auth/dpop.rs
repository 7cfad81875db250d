//! [`Dpop`]: the options for tokens bound to a key (RFC 9449).

use std::{fmt, sync::Arc, time::Duration};

use crate::algorithm::Algorithm;
use crate::auth::{
    credential::{
        dpop::Proofs,
        nonce::{MIN_SECRET, Nonces},
        target_uri::PublicUrl,
    },
    error::{DurationOption, FixedOption, SetupError},
    store::Store,
};

/// Selects which tokens need a DPoP proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DpopMode {
    /// None. Tokens bound to a key are rejected.
    #[default]
    Off,
    /// Tokens bound to a key. Plain bearer tokens are accepted too.
    Allowed,
    /// All tokens. Tokens that are not bound to a key are rejected.
    Required,
}

/// The options for DPoP proofs (RFC 9449), for [`Builder::dpop`](crate::auth::Builder::dpop).
///
/// A token with `cnf.jkt` is bound to a key. A request with this kind of token needs a proof in the
/// `DPoP` header. A proof is a JWT for the method and URL of the request, signed with that key, and
/// is accepted only once. A stolen token is useless without the key, and a stolen proof is useless
/// without the token.
///
/// The URL in a proof must be the *public URL*, which clients use for this service, followed by the
/// path of the request. The `Host` header is ignored, because the caller can choose it.
///
/// ```
/// use warp_bearer::auth::{Auth, dpop::Dpop};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// let auth = Auth::builder()
///     .issuer("https://tenant.eu.auth0.com/")
///     .audience("https://api.example.com")
///     .dpop(Dpop::required("https://api.example.com"))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dpop {
    pub(super) mode: DpopMode,
    pub(super) public_url: String,
    algorithms: Vec<Algorithm>,
    window: Duration,
    nonces: NonceSource,
}

#[derive(Clone, PartialEq)]
enum NonceSource {
    None,
    Random,
    Secret(Vec<u8>),
}

const MAX_WINDOW: Duration = Duration::from_secs(60 * 60);

impl Dpop {
    /// Accepts tokens bound to a key, which need a proof, and plain bearer tokens.
    ///
    /// `public_url` is the URL that clients use for this service: https, or http on loopback. A
    /// trailing slash is ignored.
    pub fn allowed(public_url: impl Into<String>) -> Self {
        Self::new(DpopMode::Allowed, public_url)
    }

    /// Accepts only tokens bound to a key, which need a proof.
    pub fn required(public_url: impl Into<String>) -> Self {
        Self::new(DpopMode::Required, public_url)
    }

    /// Creates the options with the given mode. An issuer can
    /// [override](crate::auth::TrustedIssuer::dpop) the mode.
    pub fn new(mode: DpopMode, public_url: impl Into<String>) -> Self {
        Self {
            mode,
            public_url: public_url.into(),
            algorithms: vec![
                Algorithm::ES256,
                Algorithm::ES384,
                Algorithm::EdDSA,
                Algorithm::PS256,
                Algorithm::RS256,
            ],
            window: Duration::from_secs(5 * 60),
            nonces: NonceSource::None,
        }
    }

    /// Accepts only proofs that are signed with these algorithms. Defaults to `ES256`, `ES384`,
    /// `EdDSA`, `PS256` and `RS256`.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sets how long a proof is accepted after its `iat`. The leeway is added to this. Defaults to
    /// 5 min. A longer window takes more memory, since the
    /// [store](crate::auth::Builder::state_store) remembers each proof for that long.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Requires each proof to contain a nonce from this process (RFC 9449 §9), so an attacker
    /// cannot prepare proofs for later. Defaults to off. If you run several replicas, you should
    /// use [`nonces_from`](Self::nonces_from) instead.
    ///
    /// A client gets its first nonce from the `DPoP-Nonce` header of a 401 with `use_dpop_nonce`.
    /// If your successful responses carry the nonce from
    /// [`Claims::dpop_nonce`](crate::auth::Claims::dpop_nonce), a client that sends a request at
    /// least every four minutes will never have to repeat a request because of an expired nonce. If
    /// you use the layers for tower, they will add this header for you.
    #[must_use]
    pub fn nonces(mut self) -> Self {
        self.nonces = NonceSource::Random;
        self
    }

    /// Like [`nonces`](Self::nonces), but all replicas with the same `secret` accept each other's
    /// nonces. The secret must have at least 32 bytes.
    #[must_use]
    pub fn nonces_from(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.nonces = NonceSource::Secret(secret.into());
        self
    }

    /// These options with the mode of `new`, for a reload.
    ///
    /// # Errors
    /// Returns the first option other than the mode that differs. A reload can't change those -- at
    /// that point we'll already have recorded proofs and told clients which proofs to send.
    pub(super) fn with_mode_of(&self, new: &Self) -> Result<Self, FixedOption> {
        if PublicUrl::parse(&self.public_url) != PublicUrl::parse(&new.public_url) {
            return Err(FixedOption::PublicUrl);
        }
        if self.algorithms != new.algorithms {
            return Err(FixedOption::DpopAlgorithms);
        }
        if self.window != new.window {
            return Err(FixedOption::DpopWindow);
        }
        if self.nonces != new.nonces {
            return Err(FixedOption::DpopNonces);
        }
        Ok(Self {
            mode: new.mode,
            ..self.clone()
        })
    }

    pub(super) fn proofs(&self, store: Store, leeway: Duration) -> Result<Proofs, SetupError> {
        if self.algorithms.is_empty() {
            return Err(SetupError::NoAlgorithm);
        }
        if self.algorithms.iter().any(|alg| alg.is_symmetric()) {
            return Err(SetupError::SymmetricProofs);
        }
        if self.window.is_zero() || self.window > MAX_WINDOW {
            return Err(SetupError::OutOfRange(DurationOption::DpopWindow));
        }
        let nonces = match &self.nonces {
            NonceSource::None => None,
            NonceSource::Random => Some(Nonces::random().ok_or(SetupError::NoRandomness)?),
            NonceSource::Secret(secret) if secret.len() < MIN_SECRET => {
                return Err(SetupError::ShortNonceSecret);
            }
            NonceSource::Secret(secret) => Some(Nonces::new(secret)),
        };
        Ok(Proofs {
            url: PublicUrl::parse(&self.public_url).ok_or(SetupError::PublicUrl)?,
            algorithms: self.algorithms.as_slice().into(),
            window: self.window,
            leeway,
            nonces,
            store,
        })
    }

    /// `algs` of a challenge: the names of the algorithms, separated by spaces.
    pub(super) fn algs(&self) -> Arc<str> {
        let names: Vec<_> = self.algorithms.iter().map(|alg| alg.as_str()).collect();
        names.join(" ").into()
    }
}

impl fmt::Debug for Dpop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dpop")
            .field("mode", &self.mode)
            .field("algorithms", &self.algorithms)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}
