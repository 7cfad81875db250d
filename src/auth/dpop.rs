//! [`Dpop`]: the options for tokens that are bound to a key (RFC 9449).

use std::{fmt, sync::Arc, time::Duration};

use crate::algorithm::Algorithm;
use crate::auth::{
    credential::{
        dpop::Proofs,
        nonce::{Nonces, SHORTEST_SECRET},
        target_uri::PublicUrl,
    },
    error::{DurationOption, SetupError},
    store::Store,
};

/// Decides which tokens of an issuer need a DPoP proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DpopMode {
    /// None. A token that is bound to a key is rejected.
    #[default]
    Off,
    /// Those that are bound to a key. Plain bearer tokens are accepted too.
    Allowed,
    /// All of them. A token that is not bound to a key is rejected.
    Required,
}

/// The options for DPoP proofs (RFC 9449), for [`Builder::dpop`](crate::auth::Builder::dpop).
///
/// A token with `cnf.jkt` is bound to a key. Each request with such a token needs a proof in the
/// `DPoP` field: a JWT that the client signs with that key, for the method and URL of the request,
/// and that is accepted only once. A stolen token is then useless without the key, and a stolen
/// proof without the token.
///
/// The URL in a proof is compared with the *public URL*, under which clients know this service,
/// followed by the path of the request. The `Host` field is ignored, because the caller chooses it.
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

#[derive(Clone)]
enum NonceSource {
    None,
    Random,
    Secret(Vec<u8>),
}

/// The longest time after `iat` for which proofs may be accepted.
const LONGEST_WINDOW: Duration = Duration::from_secs(60 * 60);

impl Dpop {
    /// Accepts tokens that are bound to a key, with their proofs, in addition to plain bearer
    /// tokens.
    ///
    /// `public_url` is the URL under which clients know this service: https, or http on loopback.
    /// One trailing slash is dropped.
    pub fn allowed(public_url: impl Into<String>) -> Self {
        Self::new(DpopMode::Allowed, public_url)
    }

    /// Accepts only tokens that are bound to a key, each with a proof.
    pub fn required(public_url: impl Into<String>) -> Self {
        Self::new(DpopMode::Required, public_url)
    }

    /// Like [`allowed`](Self::allowed), with a mode that is known only at run time. A
    /// [`TrustedIssuer`](crate::auth::TrustedIssuer) can override the mode.
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

    /// Sets how long after its `iat` a proof is accepted, in addition to the leeway. Defaults to 5
    /// min. The [store](crate::auth::Builder::state_store) remembers every proof that long, so a
    /// longer window takes more memory.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Requires each proof to contain a nonce that this process issued (RFC 9449 §9), so that no
    /// proof can be made in advance. Defaults to off. Replicas must share one
    /// [`secret`](Self::nonces_from).
    ///
    /// A client takes the nonce from the `DPoP-Nonce` field of a 401 with `use_dpop_nonce`. Add
    /// [`Auth::dpop_nonce`](crate::auth::Auth::dpop_nonce) to your other responses, so that clients
    /// never have to repeat a request later.
    #[must_use]
    pub fn nonces(mut self) -> Self {
        self.nonces = NonceSource::Random;
        self
    }

    /// Like [`nonces`](Self::nonces), for replicas that share `secret`, which has at least 32
    /// bytes.
    #[must_use]
    pub fn nonces_from(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.nonces = NonceSource::Secret(secret.into());
        self
    }

    /// Validates the options.
    pub(super) fn proofs(&self, store: Store, leeway: Duration) -> Result<Proofs, SetupError> {
        if self.algorithms.is_empty() {
            return Err(SetupError::NoAlgorithm);
        }
        if self.algorithms.iter().any(|alg| alg.is_symmetric()) {
            return Err(SetupError::SymmetricProofs);
        }
        if self.window.is_zero() || self.window > LONGEST_WINDOW {
            return Err(SetupError::OutOfRange(DurationOption::DpopWindow));
        }
        let nonces = match &self.nonces {
            NonceSource::None => None,
            NonceSource::Random => Some(Nonces::random().ok_or(SetupError::NoRandomness)?),
            NonceSource::Secret(secret) if secret.len() < SHORTEST_SECRET => {
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

    /// Returns the names of the algorithms, as a challenge lists them.
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
