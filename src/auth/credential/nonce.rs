//! [`Nonces`]: stateless nonces for DPoP proofs (RFC 9449 §8 and §9).
//!
//! A nonce is the HMAC of the current five-minute slot, so all replicas with the same secret create
//! and accept the same nonces. They limit how long in advance a proof can be made. They don't
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

/// From this second of a slot on (its last fifth), every successful response contains the slot's
/// nonce.
const RENEWED_FROM: u64 = 240;

/// From this second of a slot on, a client that still uses the previous slot's nonce gets the new
/// one. Any earlier, and a replica whose clock is behind would reject it.
const SETTLED_FROM: u64 = 60;

/// The minimum length of a secret in bytes: the length of the hash (RFC 2104 §3).
pub(crate) const MIN_SECRET: usize = 32;

/// Keeps these HMACs apart from others made with the same secret.
const PURPOSE: &[u8] = b"warp-bearer dpop nonce";

#[derive(Clone)]
pub(crate) struct Nonces(hmac::Key);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NonceSlot {
    Current,
    Previous,
}

impl Nonces {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(HMAC_SHA256, secret))
    }

    /// A random secret. Only this process will accept its nonces. `None` if the system's random
    /// number generator fails.
    pub(crate) fn random() -> Option<Self> {
        let mut secret = [0; MIN_SECRET];
        rand::fill(&mut secret).ok()?;
        Some(Self::new(&secret))
    }

    pub(crate) fn current(&self, now: SystemTime) -> String {
        self.of(slot(now))
    }

    /// The nonce of the current slot, if the response to a request should contain it. `used` is the
    /// slot of the nonce in the request's proof, if it has one.
    ///
    /// A client gets the nonce in the last fifth of the slot, or earlier if it still uses that of
    /// the previous slot. This means that a client that sends a request every four minutes and
    /// always uses its last nonce will never send an expired one.
    pub(crate) fn renewal(&self, used: Option<NonceSlot>, now: SystemTime) -> Option<String> {
        let into_slot = since_epoch(now).as_secs() % SLOT.as_secs();
        let from = match used {
            Some(NonceSlot::Previous) => SETTLED_FROM,
            Some(NonceSlot::Current) | None => RENEWED_FROM,
        };
        (into_slot >= from).then(|| self.current(now))
    }

    pub(crate) fn slot_of(&self, nonce: &str, now: SystemTime) -> Option<NonceSlot> {
        let is_of =
            |slot| verify_slices_are_equal(self.of(slot).as_bytes(), nonce.as_bytes()).is_ok();
        let current = slot(now);
        if is_of(current) {
            return Some(NonceSlot::Current);
        }
        let previous = current.checked_sub(1)?;
        is_of(previous).then_some(NonceSlot::Previous)
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
        let (current, previous) = (Some(NonceSlot::Current), Some(NonceSlot::Previous));
        for (case, seconds, expected) in [
            ("the slot before", 2999, None),
            ("its start", 3000, current),
            ("its end", 3299, current),
            ("the next slot", 3300, previous),
            ("the end of the next", 3599, previous),
            ("after that", 3600, None),
            ("the epoch", 0, None),
        ] {
            assert_eq!(nonces.slot_of(&nonce, at(seconds)), expected, "{case}");
        }
        assert_eq!(nonces.slot_of("", at(3000)), None);
        assert_eq!(nonces.slot_of(&nonce[1..], at(3000)), None);
        assert_eq!(nonces.slot_of(&format!("{nonce}A"), at(3000)), None);
    }

    #[test]
    fn replicas_with_the_same_secret_accept_each_others_nonces() {
        let (one, other) = (Nonces::new(&[7; 32]), Nonces::new(&[7; 32]));
        let is_good = |one: &Nonces, other: &Nonces| {
            let slot = one.slot_of(&other.current(at(9)), at(9));
            slot == Some(NonceSlot::Current)
        };
        assert!(is_good(&one, &other));
        let stranger = Nonces::new(&[8; 32]);
        assert!(!is_good(&one, &stranger));
        let (one, other) = (Nonces::random().unwrap(), Nonces::random().unwrap());
        assert!(!is_good(&one, &other));
    }

    #[test]
    fn renews_a_nonce_that_may_soon_expire() {
        let nonces = Nonces::new(&[7; 32]);
        let (current, previous) = (Some(NonceSlot::Current), Some(NonceSlot::Previous));
        for (used, seconds, expected) in [
            (None, 3000, false),
            (None, 3239, false),
            (None, 3240, true),
            (None, 3299, true),
            (current, 3239, false),
            (current, 3240, true),
            (previous, 3059, false),
            (previous, 3060, true),
            (previous, 3299, true),
        ] {
            let renewal = nonces.renewal(used, at(seconds));
            assert_eq!(renewal.is_some(), expected, "{used:?}, {seconds}");
            if let Some(renewal) = renewal {
                let end_of_next = nonces.slot_of(&renewal, at(3599));
                assert_eq!(end_of_next, previous, "good for the whole next slot");
            }
        }
    }
}
