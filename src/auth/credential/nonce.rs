//! [`Nonces`]: stateless nonces for DPoP proofs (RFC 9449 §8 and §9).
//!
//! A nonce is the HMAC of the current five-minute slot. All replicas with the same secret create
//! and accept the same nonces. Nonces limit how long in advance a proof can be made. They do not
//! replace the record of used proofs.

use std::time::{Duration, SystemTime};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    hmac::{self, HMAC_SHA256},
    rand,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The length of a slot. A nonce is valid in its own slot and in the next one, for 5 to 10 minutes.
const SLOT: Duration = Duration::from_secs(300);

/// From this second of a slot on, its last fifth, responses contain the nonce of the slot.
const RENEWED_FROM: u64 = 240;

/// The minimum length of a secret in bytes: the length of the hash (RFC 2104 §3).
pub(crate) const SHORTEST_SECRET: usize = 32;

/// Keeps these HMACs different from others made with the same secret.
const PURPOSE: &[u8] = b"warp-bearer dpop nonce";

#[derive(Clone)]
pub(crate) struct Nonces(hmac::Key);

impl Nonces {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, secret))
    }

    /// Creates a random secret, so only this process accepts its nonces. `None` if the system
    /// provides no random numbers.
    pub(crate) fn random() -> Option<Self> {
        let mut secret = [0; SHORTEST_SECRET];
        rand::fill(&mut secret).ok()?;
        Some(Self::new(&secret))
    }

    /// Returns the nonce of the current slot.
    pub(crate) fn current(&self, now: SystemTime) -> String {
        self.of(slot(now))
    }

    /// Returns the nonce of the current slot during the last fifth of the slot. A client may still
    /// have the nonce of the previous slot. If it uses the new nonce from then on, it never sends
    /// an expired one.
    pub(crate) fn renewal(&self, now: SystemTime) -> Option<String> {
        let into_slot = since_epoch(now).as_secs() % SLOT.as_secs();
        let is_last = into_slot >= RENEWED_FROM;
        is_last.then(|| self.current(now))
    }

    /// Returns `true` if `nonce` belongs to the current or the previous slot.
    pub(crate) fn is_good(&self, nonce: &str, now: SystemTime) -> bool {
        let current = slot(now);
        [Some(current), current.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|slot| verify_slices_are_equal(self.of(slot).as_bytes(), nonce.as_bytes()).is_ok())
    }

    fn of(&self, slot: u64) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(PURPOSE);
        context.update(&slot.to_be_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }
}

fn slot(now: SystemTime) -> u64 {
    since_epoch(now).as_secs() / SLOT.as_secs()
}

fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn accepts_a_nonce_in_its_slot_and_the_next() {
        let nonces = Nonces::new(&[7; 32]);
        let nonce = nonces.current(at(3000));
        for (case, seconds, expected) in [
            ("the slot before", 2999, false),
            ("its start", 3000, true),
            ("its end", 3299, true),
            ("the next slot", 3300, true),
            ("the end of the next", 3599, true),
            ("after that", 3600, false),
            ("the epoch", 0, false),
        ] {
            assert_eq!(nonces.is_good(&nonce, at(seconds)), expected, "{case}");
        }
        assert!(!nonces.is_good("", at(3000)));
        assert!(!nonces.is_good(&nonce[1..], at(3000)));
        assert!(!nonces.is_good(&format!("{nonce}A"), at(3000)));
    }

    #[test]
    fn replicas_with_the_same_secret_accept_each_others_nonces() {
        let (one, other) = (Nonces::new(&[7; 32]), Nonces::new(&[7; 32]));
        assert!(one.is_good(&other.current(at(9)), at(9)));
        let stranger = Nonces::new(&[8; 32]);
        assert!(!one.is_good(&stranger.current(at(9)), at(9)));
        let (one, other) = (Nonces::random().unwrap(), Nonces::random().unwrap());
        assert!(!one.is_good(&other.current(at(9)), at(9)));
    }

    #[test]
    fn renews_the_nonce_in_the_last_fifth_of_a_slot() {
        let nonces = Nonces::new(&[7; 32]);
        for (seconds, expected) in [(3000, false), (3239, false), (3240, true), (3299, true)] {
            let renewal = nonces.renewal(at(seconds));
            assert_eq!(renewal.is_some(), expected, "{seconds}");
            if let Some(renewal) = renewal {
                assert!(
                    nonces.is_good(&renewal, at(3599)),
                    "for the whole next slot"
                );
            }
        }
    }
}
