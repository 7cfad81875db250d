//! What a log may know about a request's token.
//!
//! A service answers a request within [`witnessed`], where [`testimony`] returns the outcome of the
//! verification. Neither the token nor the value of a claim is handed out. The issuer is: it equals one
//! that is configured. A subject is shown as a [`Pseudonym`], which is of issuer and subject together.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, rand::SystemRandom};

use crate::auth::{
    error::AuthError,
    token::{claims::Claims, payload::Verified},
};

tokio::task_local! {
    static SEEN: Cell<Option<Testimony>>;
}

/// The outcome of verifying the token of one request in [`with_auth`](crate::auth::with_auth).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Testimony {
    /// Time spent on verification, including the wait for keys.
    pub took: Duration,
    /// The identity in the token. `None` if the token was refused. Present if the token is valid and the
    /// route then refused what it grants.
    pub identity: Option<Identity>,
}

/// Runs the future that answers a request, so that [`testimony`] can be called inside it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use warp_bearer::auth::outcome::{testimony, witnessed};
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

/// Returns and clears the outcome for the request that is being answered. `None` if the request had no
/// token, on a second call, and outside of [`witnessed`].
pub fn testimony() -> Option<Testimony> {
    SEEN.try_with(Cell::take).ok().flatten()
}

/// Times one verification, if it runs within [`witnessed`].
pub(crate) struct Watch(Option<Instant>);

impl Watch {
    /// Starts the clock.
    pub(crate) fn begin() -> Self {
        let is_asked = SEEN.try_with(|_| ()).is_ok();
        Self(is_asked.then(Instant::now))
    }

    /// Records the verdict for [`testimony`].
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

/// The part of a verified token's identity that a log may show. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Verified>);

impl Identity {
    pub(crate) fn new(verified: Arc<Verified>) -> Self {
        Self(verified)
    }

    /// Returns the issuer, which equals one that is configured.
    pub fn issuer(&self) -> &str {
        &self.0.origin.issuer
    }

    /// Returns the `kid` of the key that verified the token, as the issuer publishes it.
    pub fn kid(&self) -> Option<&str> {
        self.0.key.kid()
    }

    /// Returns what stands for the subject, together with its issuer. `None` if the token has no `sub`.
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

/// Stands for one subject of one issuer in a log. The same for the same pair as long as the process
/// lives, and cannot be traced back to it. Displayed as sixteen hexadecimal digits.
///
/// `sub` is unique only within its issuer (RFC 7519 §4.1.2), so two issuers' equal subjects have
/// different pseudonyms. The digits are the first eight bytes of an HMAC-SHA256 under a random key that
/// never leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pseudonym([u8; 16]);

impl Pseudonym {
    /// Returns the pseudonym of an issuer's subject. `None` if the system had no randomness for the key.
    pub(crate) fn of(issuer: &str, subject: &str) -> Option<Self> {
        static KEY: LazyLock<Option<hmac::Key>> =
            LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok());
        let mut context = hmac::Context::with_key(KEY.as_ref()?);
        // The length says where the issuer ends, so that no two pairs are hashed as the same bytes. A
        // separator could occur in a subject.
        context.update(&(issuer.len() as u64).to_be_bytes());
        context.update(issuer.as_bytes());
        context.update(subject.as_bytes());
        let tag = context.sign();
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(tag.as_ref()) {
            let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
            pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
        }
        Some(Self(digits))
    }

    /// Returns the sixteen digits.
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
    fn a_pseudonym_stands_for_one_subject_of_one_issuer() {
        let of = |issuer, subject| Pseudonym::of(issuer, subject).unwrap();
        #[rustfmt::skip]
        let rows = [
            ("another subject", ("https://a/", "auth0|1"), ("https://a/", "auth0|2")),
            ("another issuer", ("https://a/", "1"), ("https://b/", "1")),
            ("the boundary one byte later", ("https://a/", "1"), ("https://a/1", "")),
            ("the boundary one byte earlier", ("https://a/", "1"), ("https://a", "/1")),
            ("a separator in the subject", ("https://a/", "\0x"), ("https://a/\0", "x")),
            ("swapped", ("a", "b"), ("b", "a")),
        ];
        for (case, one, other) in rows {
            assert_eq!(of(one.0, one.1), of(one.0, one.1), "{case}");
            assert_ne!(of(one.0, one.1), of(other.0, other.1), "{case}");
        }
        let digits = of("", "");
        assert_eq!(digits.as_str().len(), 16);
        assert!(
            digits
                .as_str()
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
    }
}
