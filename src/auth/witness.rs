//! Who was verified: what a log may know of a request's token.
//!
//! A service puts an empty [`Witness`] into a request's extensions and reads it after the answer.
//! It never hands out a token, nor a claim's value beside the issuer, who is one of ours to the
//! letter: a subject shows as a [`Pseudonym`].

use std::{
    fmt,
    sync::{Arc, LazyLock, OnceLock},
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand::SystemRandom};

use super::{AuthError, Claims, claims::Verified};

/// Sees what [`with_auth`](super::with_auth) makes of one request's token.
///
/// ```
/// use warp::Filter;
/// use warp_bearer::auth::Witness;
///
/// # async fn example() {
/// let witness = Witness::default();
/// let mut request = warp::http::Request::new(());
/// request.extensions_mut().insert(witness.clone());
/// // … the routes answer the request …
/// let who = witness.identity();
/// # assert!(who.is_none(), "no token was verified");
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<OnceLock<Testimony>>);

#[derive(Debug)]
struct Testimony {
    took: Duration,
    identity: Option<Identity>,
}

impl Witness {
    /// Whom the token was verified for; none where there was none, or a bad one. Known as well
    /// where the route then refused what the token grants.
    pub fn identity(&self) -> Option<&Identity> {
        self.0.get()?.identity.as_ref()
    }

    /// How long the token took to judge, waiting for keys included; none where there was none.
    pub fn took(&self) -> Option<Duration> {
        self.0.get().map(|testimony| testimony.took)
    }

    /// Watches one verification.
    pub(crate) async fn watch<X>(
        &self,
        verification: impl Future<Output = Result<Claims<X>, AuthError>>,
    ) -> Result<Claims<X>, AuthError> {
        let start = Instant::now();
        let verdict = verification.await;
        let testimony = Testimony {
            took: start.elapsed(),
            identity: verdict.as_ref().ok().map(Claims::identity),
        };
        // Of two filters on one route, the first has seen it.
        let _ = self.0.set(testimony);
        verdict
    }
}

/// Whom a verified token is of, as far as a log may know. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Verified>);

impl Identity {
    pub(crate) fn new(verified: Arc<Verified>) -> Self {
        Self(verified)
    }

    /// The issuer, one of those that are configured.
    pub fn issuer(&self) -> &str {
        self.0.issuer()
    }

    /// The name of the key that verified the token, as the issuer publishes it.
    pub fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    /// What stands for the subject.
    pub fn subject(&self) -> Option<Pseudonym> {
        self.0.pseudonym()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("issuer", &self.issuer())
            .field("kid", &self.kid())
            .field("subject", &self.subject())
            .finish()
    }
}

/// Stands for a subject: the same for the same subject as long as the process lives, and nothing
/// that leads back to it. Displayed as sixteen hexadecimal digits.
///
/// The first eight bytes of an HMAC-SHA256 under a random key that never leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pseudonym(u64);

impl Pseudonym {
    /// None where the system had no randomness to give for the key.
    pub(crate) fn of(subject: &str) -> Option<Self> {
        static KEY: LazyLock<Option<hmac::Key>> =
            LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok());
        let tag = hmac::sign(KEY.as_ref()?, subject.as_bytes());
        let (first, _) = tag.as_ref().split_first_chunk()?;
        Some(Self(u64::from_be_bytes(*first)))
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_stands_for_one_subject() {
        let of = |subject| Pseudonym::of(subject).unwrap();
        assert_eq!(of("auth0|1"), of("auth0|1"));
        assert_ne!(of("auth0|1"), of("auth0|2"));
        assert_eq!(of("").to_string().len(), 16);
    }
}
