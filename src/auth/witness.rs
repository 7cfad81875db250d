//! Who was verified: what a log may know of a request's token.
//!
//! A service answers a request within [`witnessed`], where [`testimony`] tells what became of its
//! token. Neither a token nor a claim's value is handed out, the issuer aside, who is one of ours
//! to the letter: a subject shows as a [`Pseudonym`].

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand::SystemRandom};

use super::{AuthError, Claims, verified::Verified};

tokio::task_local! {
    static SEEN: Cell<Option<Testimony>>;
}

/// What [`with_auth`](super::with_auth) made of the token of one request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Testimony {
    /// How long the token took to judge, waiting for keys included.
    pub took: Duration,
    /// Whom it was verified for; none where it is bad. Known as well where the route then refused
    /// what the token grants.
    pub identity: Option<Identity>,
}

/// Answers a request so that [`testimony`] can tell of its token, within and until the end of it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use warp_bearer::auth::{testimony, witnessed};
///
/// # let answer = async {};
/// let who = witnessed(async {
///     answer.await; // of the routes, to one request
///     testimony().and_then(|testimony| testimony.identity)
/// })
/// .await;
/// # assert!(who.is_none(), "no token was verified");
/// # }
/// ```
pub fn witnessed<F: Future>(answer: F) -> impl Future<Output = F::Output> {
    SEEN.scope(Cell::new(None), answer)
}

/// What became of the token of the request that is being answered, told once; none where it had
/// none, and outside of [`witnessed`].
pub fn testimony() -> Option<Testimony> {
    SEEN.try_with(Cell::take).ok().flatten()
}

/// Watches one verification, if anybody wants to know.
pub(crate) struct Watch(Option<Instant>);

impl Watch {
    /// Begins when the verification does.
    pub(crate) fn begin() -> Self {
        let is_asked = SEEN.try_with(|_| ()).is_ok();
        Self(is_asked.then(Instant::now))
    }

    /// Ends with its verdict.
    pub(crate) fn end<X>(self, verdict: &Result<Claims<X>, AuthError>) {
        let Some(start) = self.0 else {
            return;
        };
        let testimony = Testimony {
            took: start.elapsed(),
            identity: verdict.as_ref().ok().map(Claims::identity),
        };
        let _ = SEEN.try_with(|seen| seen.set(Some(testimony)));
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
        &self.0.origin.issuer
    }

    /// The name of the key that verified the token, as the issuer publishes it.
    pub fn kid(&self) -> Option<&str> {
        self.0.key.kid()
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
pub struct Pseudonym([u8; 16]);

impl Pseudonym {
    /// None where the system had no randomness to give for the key.
    pub(crate) fn of(subject: &str) -> Option<Self> {
        static KEY: LazyLock<Option<hmac::Key>> =
            LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok());
        let tag = hmac::sign(KEY.as_ref()?, subject.as_bytes());
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(tag.as_ref()) {
            let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
            pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
        }
        Some(Self(digits))
    }

    /// Its sixteen digits.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
        let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        assert!(of("").as_str().len() == 16 && of("").as_str().chars().all(is_hex));
    }
}
