//! [`Budget`]: limits the introspection requests that an attacker can cause with made-up tokens.
//!
//! Every request about an unknown token reserves a unit. If the token turns out to be active we
//! give the unit back, otherwise it is spent. Callers with valid tokens will therefore never use up
//! the budget. The caller passes the time, so tests need no clock. (The limit of requests in flight
//! is in `introspector.rs`.)

use std::time::Duration;

use tokio::time::Instant;

pub(super) const MAX_UNITS: u32 = 16;

/// The interval at which the budget gets a new unit.
const GROWTH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Budget {
    /// The units that are not spent, including reserved ones.
    units: u32,
    reserved: u32,
    /// The time up to which growth has been added to `units`
    grown: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reservation {
    Granted,
    /// All units are reserved, but some may come back.
    Wait,
    /// All units are spent. The next one is available after this time.
    Empty(Duration),
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            units: MAX_UNITS,
            reserved: 0,
            grown: now,
        }
    }

    pub(super) fn reserve(&mut self, now: Instant) -> Reservation {
        self.grow(now);
        if self.reserved < self.units {
            self.reserved += 1;
            return Reservation::Granted;
        }
        if self.reserved > 0 {
            return Reservation::Wait;
        }
        Reservation::Empty(GROWTH.saturating_sub(now - self.grown))
    }

    /// Ends a reservation: the unit is either spent or returned.
    pub(super) fn settle(&mut self, is_spent: bool) {
        self.reserved = self.reserved.saturating_sub(1);
        if is_spent {
            self.units = self.units.saturating_sub(1);
        }
    }

    fn grow(&mut self, now: Instant) {
        while self.units < MAX_UNITS && now - self.grown >= GROWTH {
            self.units += 1;
            self.grown += GROWTH;
        }
        if self.units == MAX_UNITS {
            self.grown = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inactive_answers_spend_units() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        for _ in 0..100 {
            assert_eq!(budget.reserve(now), Reservation::Granted);
            budget.settle(false);
        }
        for _ in 0..MAX_UNITS {
            assert_eq!(budget.reserve(now), Reservation::Granted);
            budget.settle(true);
        }
        assert_eq!(budget.reserve(now), Reservation::Empty(GROWTH));
    }

    #[test]
    fn concurrent_requests_cannot_overdraw_the_budget() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        for _ in 0..MAX_UNITS {
            assert_eq!(budget.reserve(now), Reservation::Granted);
        }
        assert_eq!(budget.reserve(now), Reservation::Wait);
        budget.settle(false);
        assert_eq!(budget.reserve(now), Reservation::Granted);
        for _ in 0..MAX_UNITS {
            budget.settle(true);
        }
        assert!(matches!(budget.reserve(now), Reservation::Empty(_)));
    }

    #[test]
    fn grows_by_one_unit_each_second_up_to_its_size() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        for _ in 0..MAX_UNITS {
            budget.reserve(start);
            budget.settle(true);
        }
        let half = start + GROWTH / 2;
        assert_eq!(budget.reserve(half), Reservation::Empty(GROWTH / 2));
        let later = start + GROWTH * 5 / 2;
        for expected in [Reservation::Granted, Reservation::Granted] {
            assert_eq!(budget.reserve(later), expected);
            budget.settle(true);
        }
        assert_eq!(budget.reserve(later), Reservation::Empty(GROWTH / 2));
        let much_later = start + GROWTH * 1000;
        let granted = (0..100)
            .take_while(|_| budget.reserve(much_later) == Reservation::Granted)
            .count();
        assert_eq!(granted, 16);
    }
}
