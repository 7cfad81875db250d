//! When to fetch a key set: a state machine over instants that it is given.
//!
//! It knows no network and reads no clock, so that a model can run it through years in a second.
//! Two things start a fetch: time (the first one, the refresh ahead of the time to live, the retry
//! after a failure) and requests (an unknown `kid`, a wrong signature). Requests pay from a budget.

use std::time::Duration;

use tokio::time::Instant;

/// The times of a key set. Each is an option of the builder, with the same default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Set: used as it is. Not set: the answer's `max-age`, clamped to 5 min … 24 h.
    pub(crate) ttl: Option<Duration>,
    /// Refills the budget by one, ± 20 %.
    pub(crate) cooldown: Duration,
    /// How long past its time to live the last good set serves while the issuer fails.
    pub(crate) stale: Duration,
    /// The longest between two attempts while it fails.
    pub(crate) patience: Duration,
}

impl Policy {
    const SHORTEST: Duration = Duration::from_secs(5 * 60);
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    const UNSAID: Duration = Duration::from_secs(10 * 60);

    /// A file costs next to nothing to look at, and is looked at often.
    pub(crate) fn for_a_file(self) -> Self {
        Self {
            ttl: Some(Duration::from_millis(2500)),
            patience: Duration::from_secs(2),
            ..self
        }
    }

    fn time_to_live(&self, max_age: Option<Duration>) -> Duration {
        let said = max_age.map_or(Self::UNSAID, |age| age.clamp(Self::SHORTEST, Self::LONGEST));
        self.ttl.unwrap_or(said)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ttl: None,
            cooldown: Duration::from_secs(15),
            stale: Duration::from_secs(60 * 60),
            patience: Duration::from_secs(60),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Schedule {
    policy: Policy,
    budget: Budget,
    jitter: Jitter,
    /// When the fetch under way began.
    flight: Option<Instant>,
    /// When time alone starts the next fetch.
    next: Instant,
    /// Until when the set that is held may be used.
    usable_until: Option<Instant>,
    /// Failures since the last success.
    failures: u32,
    /// The issuer asked to be left alone until then (`Retry-After`).
    left_alone_until: Option<Instant>,
}

/// What a request that wants a newer set gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A fetch has to be made now; the budget has paid for it.
    Started,
    /// One is under way, begun at this instant.
    Joined(Instant),
    /// The budget is spent, or the issuer asked to be left alone.
    Refused,
}

/// What time alone brings next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Fetch(Instant),
    /// The set has served past its time to live for as long as it may.
    Drop(Instant),
}

impl Schedule {
    /// The longest that an issuer is left alone because it asked for that.
    const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

    /// The first fetch is due at once.
    pub(crate) fn new(policy: Policy, now: Instant, seed: u64) -> Self {
        Self {
            policy,
            budget: Budget::full(),
            jitter: Jitter(seed),
            flight: None,
            next: now,
            usable_until: None,
            failures: 0,
            left_alone_until: None,
        }
    }

    /// A request wants a set newer than the one that is held.
    pub(crate) fn ask(&mut self, now: Instant) -> Asked {
        if let Some(began) = self.flight {
            return Asked::Joined(began);
        }
        let left_alone = self.left_alone_until.is_some_and(|until| now < until);
        if left_alone || !self.budget.pay(now, self.policy.cooldown, &mut self.jitter) {
            return Asked::Refused;
        }
        self.flight = Some(now);
        Asked::Started
    }

    /// Time alone, or whoever operates the service, starts a fetch; nobody pays.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.flight.get_or_insert(now);
    }

    pub(crate) fn under_way(&self) -> Option<Instant> {
        self.flight
    }

    /// What to wait for while nothing is under way.
    pub(crate) fn due(&self) -> Due {
        match self.usable_until {
            Some(until) if until <= self.next => Due::Drop(until),
            _ => Due::Fetch(self.next),
        }
    }

    pub(crate) fn succeeded(&mut self, now: Instant, max_age: Option<Duration>) {
        let ttl = self.policy.time_to_live(max_age);
        self.flight = None;
        self.failures = 0;
        self.left_alone_until = None;
        self.next = now + self.jitter.around(ttl.mul_f64(0.8), 0.1);
        self.usable_until = Some(now + ttl + self.policy.stale);
    }

    pub(crate) fn failed(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.flight = None;
        self.failures += 1;
        let asked_for = retry_after
            .unwrap_or_default()
            .min(Self::LONGEST_RETRY_AFTER);
        if !asked_for.is_zero() {
            self.left_alone_until = Some(now + asked_for);
        }
        // A set that is not due yet has lost nothing by a failure that a request had asked for.
        if self.next <= now || self.usable_until.is_none() {
            self.next = now + self.backoff().max(asked_for);
        }
    }

    /// The set was dropped.
    pub(crate) fn dropped(&mut self) {
        self.usable_until = None;
    }

    /// How long until the next attempt: what a 503 tells its caller.
    pub(crate) fn retry_after(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// 1 s, 2 s, 4 s … 60 s, ± 20 %.
    fn backoff(&mut self) -> Duration {
        let doubled = Duration::from_secs(1 << self.failures.saturating_sub(1).min(6));
        self.jitter.around(doubled.min(self.policy.patience), 0.2)
    }
}

/// What requests may spend on fetches: four at most, and one more each cooldown. A new key is
/// picked up at once even right after another fetch, and a flood of made-up `kid`s costs the issuer
/// four fetches and then one per cooldown.
#[derive(Debug)]
struct Budget {
    left: u32,
    refill: Option<Instant>,
}

impl Budget {
    const MOST: u32 = 4;

    fn full() -> Self {
        Self {
            left: Self::MOST,
            refill: None,
        }
    }

    fn pay(&mut self, now: Instant, cooldown: Duration, jitter: &mut Jitter) -> bool {
        while let Some(refill) = self.refill.filter(|refill| *refill <= now) {
            self.left += 1;
            self.refill = (self.left < Self::MOST).then(|| refill + jitter.around(cooldown, 0.2));
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.refill
            .get_or_insert_with(|| now + jitter.around(cooldown, 0.2));
        true
    }
}

/// Spreads replicas that started together. Not a secret: a seed and Steele and Vigna's `SplitMix64`.
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    /// `duration`, up to `share` more or less.
    fn around(&mut self, duration: Duration, share: f64) -> Duration {
        duration.mul_f64(1.0 + share * (2.0 * self.unit() - 1.0))
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or_default();
        f64::from(bits) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule() -> (Schedule, Instant) {
        let now = Instant::now();
        (Schedule::new(Policy::default(), now, 7), now)
    }

    fn next_fetch(schedule: &Schedule, now: Instant) -> Duration {
        match schedule.due() {
            Due::Fetch(at) | Due::Drop(at) => at - now,
        }
    }

    #[test]
    fn a_set_is_refreshed_at_four_fifths_of_its_time_to_live() {
        for (case, max_age, ttl) in [
            ("unsaid", None, 600),
            ("said", Some(3600), 3600),
            ("too short", Some(15), 300),
            ("nought", Some(0), 300),
            ("too long", Some(1_000_000), 86400),
        ] {
            let (mut schedule, now) = schedule();
            schedule.begin(now);
            schedule.succeeded(now, max_age.map(Duration::from_secs));
            let wait = next_fetch(&schedule, now).as_secs_f64() / f64::from(ttl);
            assert!((0.72..=0.88).contains(&wait), "{case}: {wait}");
        }
    }

    #[test]
    fn the_budget_is_four_and_then_one_each_cooldown() {
        let (mut schedule, start) = schedule();
        schedule.begin(start);
        schedule.succeeded(start, None);
        let mut fetches = 0;
        let hour = 3600;
        for second in 0..hour {
            let now = start + SECOND * second;
            if schedule.ask(now) == Asked::Started {
                fetches += 1;
                schedule.succeeded(now, None);
            }
        }
        // One in 15 s ± 20 %, on the average of many.
        assert!((4 + 225..=4 + 265).contains(&fetches), "{fetches}");
    }

    #[test]
    fn failed_attempts_cost_too() {
        let (mut schedule, now) = schedule();
        schedule.begin(now);
        schedule.succeeded(now, None);
        for _ in 0..4 {
            assert_eq!(schedule.ask(now), Asked::Started);
            schedule.failed(now, None);
        }
        assert_eq!(schedule.ask(now), Asked::Refused);
    }

    #[test]
    fn whoever_asks_during_a_fetch_joins_it_for_nothing() {
        let (mut schedule, now) = schedule();
        schedule.begin(now);
        for _ in 0..100 {
            assert_eq!(schedule.ask(now + SECOND), Asked::Joined(now));
        }
        schedule.succeeded(now + SECOND, None);
        assert_eq!(schedule.ask(now + SECOND), Asked::Started);
    }

    #[test]
    fn failures_back_off_to_a_minute() {
        let (mut schedule, mut now) = schedule();
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0_f64] {
            schedule.begin(now);
            schedule.failed(now, None);
            let wait = next_fetch(&schedule, now);
            let share = wait.as_secs_f64() / expected;
            assert!((0.8..=1.2).contains(&share), "{expected}: {wait:?}");
            now += wait;
        }
    }

    #[test]
    fn retry_after_is_honoured_for_a_minute_at_most() {
        for (asked, least, most) in [(20, 20, 20), (3600, 60, 72), (0, 0, 2)] {
            let (mut schedule, now) = schedule();
            schedule.begin(now);
            schedule.failed(now, Some(SECOND * asked));
            let wait = next_fetch(&schedule, now).as_secs();
            assert!((least..=most).contains(&wait), "{asked}: {wait}");
            let refused = schedule.ask(now) == Asked::Refused;
            assert_eq!(refused, asked > 0, "{asked}");
        }
    }

    #[test]
    fn a_failure_that_a_request_asked_for_moves_no_refresh() {
        let (mut schedule, now) = schedule();
        schedule.begin(now);
        schedule.succeeded(now, None);
        let due = schedule.due();
        assert_eq!(schedule.ask(now), Asked::Started);
        schedule.failed(now, None);
        assert_eq!(schedule.due(), due);
    }

    #[test]
    fn a_set_is_dropped_an_hour_past_its_time_to_live() {
        let (mut schedule, start) = schedule();
        schedule.begin(start);
        schedule.succeeded(start, None);
        loop {
            match schedule.due() {
                Due::Fetch(now) => {
                    schedule.begin(now);
                    schedule.failed(now, None);
                }
                Due::Drop(now) => {
                    assert_eq!(now - start, SECOND * (600 + 3600));
                    schedule.dropped();
                    break;
                }
            }
        }
        assert!(matches!(schedule.due(), Due::Fetch(_)));
    }

    /// A life of random events: time passes, requests ask, fetches succeed, fail or hang.
    #[test]
    fn no_life_breaks_the_invariants() {
        for seed in 0..500 {
            live(seed);
        }
    }

    fn live(seed: u64) {
        let (mut dice, start) = (Jitter(seed), Instant::now());
        let mut now = start;
        let mut schedule = Schedule::new(Policy::default(), start, seed);
        let (mut paid, mut due_fetches) = (0, 0);
        let mut good_until: Option<Instant> = None;
        for _ in 0..400 {
            now += Duration::from_secs_f64(dice.unit().powi(4) * 600.0);
            if let Due::Drop(at) = schedule.due()
                && at <= now
                && schedule.under_way().is_none()
            {
                assert_eq!(Some(at), good_until, "seed {seed}: dropped when it is due");
                schedule.dropped();
                good_until = None;
            }
            let began = match dice.unit() {
                roll if roll < 0.4 => schedule.ask(now),
                _ => match schedule.due() {
                    Due::Fetch(at) if at <= now && schedule.under_way().is_none() => {
                        due_fetches += 1;
                        schedule.begin(now);
                        Asked::Joined(now)
                    }
                    _ => Asked::Refused,
                },
            };
            if began == Asked::Refused {
                continue;
            }
            paid += u32::from(began == Asked::Started);
            assert_eq!(
                schedule.under_way(),
                Some(now),
                "seed {seed}: one at a time"
            );
            assert_eq!(schedule.ask(now), Asked::Joined(now), "seed {seed}: joined");
            now += Duration::from_secs_f64(dice.unit() * 5.0);
            if dice.unit() < 0.5 {
                schedule.succeeded(now, None);
                good_until = Some(now + SECOND * (600 + 3600));
                let wait = next_fetch(&schedule, now).as_secs_f64();
                assert!((432.0..=528.0).contains(&wait), "seed {seed}: {wait}");
            } else {
                schedule.failed(now, None);
                let wait = schedule.retry_after(now).as_secs_f64();
                assert!(
                    wait <= 528.0,
                    "seed {seed}: a failure postpones nothing: {wait}"
                );
            }
            let elapsed = (now - start).as_secs_f64();
            let most = 4.0 + elapsed / (15.0 * 0.8);
            assert!(
                f64::from(paid) <= most,
                "seed {seed}: {paid} paid in {elapsed} s"
            );
            let most = 1.0 + elapsed / 0.8;
            assert!(f64::from(due_fetches) <= most, "seed {seed}: {due_fetches}");
        }
        assert!(paid > 0 && due_fetches > 0, "seed {seed}: nothing happened");
    }
}
