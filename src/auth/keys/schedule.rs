//! A state machine that decides when the key set of an issuer is fetched. The time is an argument.
//!
//! The state machine does no I/O and reads no clock, so tests can simulate years in a second.
//! There's at most one fetch in flight. It can have three causes:
//!
//! - the schedule: the first fetch, a refresh before the time to live ends, or a retry after a
//!   failure
//! - an operator: [`Schedule::refresh`]
//! - a request whose key is missing: [`Schedule::request`]. Only these fetches have a budget.
//!
//! The tests below check four invariants with random sequences of events:
//!
//! - **A request that needs a newer set waits for a fetch that begins after the request.** Fetches
//!   are numbered, and [`Decision::Wait`] contains the number of the first one that begins later. A
//!   fetch that is already in flight may return the key too, but we never reject a request only
//!   because that fetch failed.
//! - **Requests cannot exceed the budget.** One unit pays for a fetch and at most one
//!   [`follow-up`](Discovery::IfMoved), which together make at most four HTTP requests.
//! - **The `Retry-After` of each endpoint is honoured**, up to a minute, except by an operator's
//!   refresh. The `Retry-After` of the discovery endpoint is tracked separately, because the key
//!   set may still be available.
//! - **A refresh by an operator is retried until it succeeds.** Otherwise, a single failed fetch
//!   could keep a revoked key in use for hours. Discovery must succeed too: if the key set has
//!   moved, its old address may still serve the revoked key.

use std::time::Duration;

use tokio::time::Instant;

/// The durations that control the fetches of a key set. Except for `max_backoff`, the builder has
/// an option for each, with the same default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefreshPolicy {
    /// The time to live. `None` uses the response's `max-age`, limited to between 5 min and 24 h.
    pub(crate) ttl: Option<Duration>,
    /// The interval at which the budget gets a new unit, ± 20 %
    pub(crate) cooldown: Duration,
    /// How long an expired set is still used while fetches fail
    pub(crate) stale: Duration,
    /// The maximum pause between two attempts while fetches fail
    pub(crate) max_backoff: Duration,
}

impl RefreshPolicy {
    const MIN_TTL: Duration = Duration::from_secs(5 * 60);
    const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
    const DEFAULT_TTL: Duration = Duration::from_secs(10 * 60);

    /// The policy for a file. Reading it costs almost nothing, so we check it often.
    pub(crate) fn for_a_file(self) -> Self {
        Self {
            ttl: Some(Duration::from_millis(2500)),
            max_backoff: Duration::from_secs(2),
            ..self
        }
    }

    fn time_to_live(&self, max_age: Option<Duration>) -> Duration {
        let from_response = max_age.map_or(Self::DEFAULT_TTL, |age| {
            age.clamp(Self::MIN_TTL, Self::MAX_TTL)
        });
        self.ttl.unwrap_or(from_response)
    }
}

impl Default for RefreshPolicy {
    fn default() -> Self {
        Self {
            ttl: None,
            cooldown: Duration::from_secs(15),
            stale: Duration::from_secs(60 * 60),
            max_backoff: Duration::from_secs(60),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Schedule {
    policy: RefreshPolicy,
    budget: Budget,
    jitter: Jitter,
    pending: Option<PendingFetch>,
    /// The number of the last fetch that has ended. Consecutive.
    ended: u64,
    /// Set if `refresh` was called while a fetch was in flight, so another fetch must follow.
    refresh_again: bool,
    /// True if the last fetch for a request used a URL that was discovered earlier. If a request
    /// still lacks its key, we may repeat discovery once without using the budget again.
    follow_up: bool,
    discovery: DiscoveryClock,
    next: Instant,
    /// The end of the set's time to live. `None` if there is no set.
    fresh_until: Option<Instant>,
    /// The number of failed scheduled fetches since the last success. A fetch that leaves an
    /// operator's refresh unsatisfied counts as failed.
    failures: u32,
    /// True from an operator's refresh until a fetch that began after it has succeeded, and its
    /// discovery too
    refresh_unsatisfied: bool,
    /// The end of the `Retry-After` of the key set
    retry_after_until: Option<Instant>,
}

/// A fetch that has been requested or is in flight
#[derive(Debug)]
struct PendingFetch {
    discovery: Discovery,
    cause: Cause,
    has_begun: bool,
    discovered: bool,
    discovery_failed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Schedule,
    /// A request. Uses the budget.
    Request,
    /// An operator. Ignores `Retry-After`.
    Operator,
}

/// The time of the last discovery, and the times for the next one
#[derive(Debug)]
struct DiscoveryClock {
    /// True if the URL of the key set comes from the issuer's metadata
    enabled: bool,
    /// The time of the last success. `None` if we don't know the URL of the key set.
    succeeded: Option<Instant>,
    /// True after a failed fetch or discovery: the key set might have moved, so the next scheduled
    /// fetch repeats discovery.
    is_due: bool,
    /// The time by which a refresh must begin, so that discovery is repeated
    repeat_by: Instant,
    /// The end of the discovery endpoint's `Retry-After`
    retry_after_until: Option<Instant>,
}

/// How a fetch finds the URL of the key set
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// Uses the known URL, if there is one.
    Skip,
    /// Repeats discovery, then fetches the discovered URL.
    First,
    /// A follow-up: repeats discovery, but fetches only if the URL has changed (the old one was
    /// just fetched).
    IfMoved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Wait for a fetch. `fetch_number` is the number of the first fetch that begins after this
    /// call. Pass it to [`Schedule::request_again`]. If `started` is true, the caller must wake the
    /// refresher.
    Wait { fetch_number: u64, started: bool },
    /// No fetch: the budget is spent, or the issuer's `Retry-After` hasn't passed.
    Refused,
    /// Don't wait. The fetch that the request waited for is over, and there's no other attempt
    /// left.
    Settled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Fetch(Instant),
    /// The current set must be dropped. It has been expired for too long.
    Drop(Instant),
}

impl Schedule {
    /// Creates a schedule. The first fetch is due immediately.
    pub(crate) fn new(policy: RefreshPolicy, discovers: bool, now: Instant, seed: u64) -> Self {
        Self {
            policy,
            budget: Budget::full(),
            jitter: Jitter(seed),
            pending: None,
            ended: 0,
            refresh_again: false,
            follow_up: false,
            discovery: DiscoveryClock::new(discovers, now),
            next: now,
            fresh_until: None,
            failures: 0,
            refresh_unsatisfied: false,
            retry_after_until: None,
        }
    }

    /// Decides whether a request that needs a newer set gets a fetch
    pub(crate) fn request(&mut self, discovery: Discovery, now: Instant) -> Decision {
        match &self.pending {
            None => self.start_paid(discovery, now),
            Some(pending) => {
                // A fetch that has already begun is too early for this request. A follow-up has no
                // number -- it might not fetch the set at all.
                let is_early = pending.has_begun && pending.discovery != Discovery::IfMoved;
                Decision::Wait {
                    fetch_number: self.ended + 1 + u64::from(is_early),
                    started: false,
                }
            }
        }
    }

    /// Decides again about a request, after a fetch that didn't return its key. `fetch_number`
    /// comes from the request's [`Decision::Wait`].
    pub(crate) fn request_again(&mut self, fetch_number: u64, now: Instant) -> Decision {
        if self.pending.is_some() {
            let started = false;
            return Decision::Wait {
                fetch_number,
                started,
            };
        }
        if self.ended < fetch_number {
            return self.start_paid(Discovery::Skip, now);
        }
        if !self.follow_up
            || self.is_before_retry_after(now)
            || self.discovery.is_before_retry_after(now)
        {
            return Decision::Settled;
        }
        self.follow_up = false;
        self.enqueue(Discovery::IfMoved, Cause::Request);
        let started = true;
        Decision::Wait {
            fetch_number,
            started,
        }
    }

    fn start_paid(&mut self, discovery: Discovery, now: Instant) -> Decision {
        let cooldown = self.policy.cooldown;
        if self.is_before_retry_after(now) || !self.budget.pay(now, cooldown, &mut self.jitter) {
            return Decision::Refused;
        }
        self.enqueue(discovery, Cause::Request);
        Decision::Wait {
            fetch_number: self.ended + 1,
            started: true,
        }
    }

    /// Starts a scheduled fetch, which doesn't use the budget
    pub(crate) fn fetch(&mut self) {
        if self.pending.is_none() {
            self.enqueue(Discovery::Skip, Cause::Schedule);
        }
    }

    /// Starts a fetch for an operator. It begins after this call and includes discovery, doesn't
    /// use the budget, and ignores `Retry-After`. All calls during a fetch share the next one.
    pub(crate) fn refresh(&mut self) {
        self.refresh_unsatisfied = true;
        if self.pending.is_none() {
            self.enqueue(Discovery::First, Cause::Operator);
        }
        if let Some(pending) = &mut self.pending {
            if pending.has_begun || pending.discovery == Discovery::IfMoved {
                self.refresh_again = true;
            } else {
                pending.discovery = Discovery::First;
                pending.cause = Cause::Operator;
            }
        }
    }

    fn enqueue(&mut self, discovery: Discovery, cause: Cause) {
        self.pending = Some(PendingFetch {
            discovery,
            cause,
            has_begun: false,
            discovered: false,
            discovery_failed: false,
        });
    }

    /// Begins the pending fetch, if there is one. It ends with a call to
    /// [`succeeded`](Self::succeeded), [`failed`](Self::failed) or [`unmoved`](Self::unmoved).
    ///
    /// If we know the URL, a fetch for a request skips discovery. If it then turns out that the
    /// fetched set doesn't contain the key, a follow-up repeats discovery.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Discovery> {
        let clock = &self.discovery;
        let pending = self.pending.as_mut()?;
        pending.discovery = match (pending.discovery, pending.cause) {
            (Discovery::Skip, _) if clock.enabled && clock.succeeded.is_none() => Discovery::First,
            (Discovery::Skip, Cause::Schedule) if clock.wants_repetition(now) => Discovery::First,
            (Discovery::First, Cause::Schedule | Cause::Request)
                if clock.succeeded.is_some() && clock.is_before_retry_after(now) =>
            {
                Discovery::Skip
            }
            (requested, _) => requested,
        };
        pending.has_begun = true;
        Some(pending.discovery)
    }

    #[cfg(test)]
    fn is_in_flight(&self) -> bool {
        self.pending.is_some()
    }

    /// What to wait for while no fetch is in flight
    pub(crate) fn due(&self) -> Due {
        match self.usable_until() {
            Some(until) if until <= self.next => Due::Drop(until),
            _ => Due::Fetch(self.next),
        }
    }

    /// Records that discovery succeeded. The current fetch uses the discovered URL.
    pub(crate) fn discovered(&mut self, now: Instant) {
        self.discovery.succeeded_at(now);
        if let Some(pending) = &mut self.pending {
            pending.discovered = true;
        }
    }

    /// Records that discovery failed. The current fetch continues with the known URL.
    pub(crate) fn discovery_failed(&mut self, now: Instant, retry_after: Option<Duration>) {
        let clock = &mut self.discovery;
        clock.retry_after_until = retry_after_until(now, retry_after);
        clock.is_due = true;
        // this counts the failed attempt too, otherwise the next one would be due immediately
        clock.repeat_by = clock.repeat_by.max(now + DiscoveryClock::REPEAT_AFTER);
        if let Some(pending) = &mut self.pending {
            pending.discovery_failed = true;
        }
    }

    /// Ends the current fetch, which returned a usable set or confirmed the current one.
    pub(crate) fn succeeded(&mut self, now: Instant, max_age: Option<Duration>) {
        let ttl = self.policy.time_to_live(max_age);
        self.retry_after_until = None;
        self.fresh_until = Some(now + ttl);
        let wait = self.jitter.around(ttl.mul_f64(0.8), 0.1);
        let refresh = now + wait.min(self.discovery.longest_wait(now));
        let discovered = self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.discovered);
        if self.refresh_unsatisfied && self.discovery.enabled && !discovered {
            self.discovery.is_due = true;
            self.retry(now, self.discovery.retry_after_until);
            self.next = self.next.min(refresh);
        } else {
            self.failures = 0;
            // a refresh that was requested during this fetch is in `refresh_again`
            self.refresh_unsatisfied = false;
            self.next = refresh;
        }
        self.end();
    }

    /// Ends the current fetch, which failed. The next refresh will repeat discovery, as the key set
    /// may have moved. If both discovery and the key set sent a `Retry-After`, the longer one
    /// applies.
    pub(crate) fn failed(&mut self, now: Instant, retry_after: Option<Duration>) {
        let mut retry_after_until = retry_after_until(now, retry_after);
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.discovery_failed)
        {
            retry_after_until = retry_after_until.max(self.discovery.retry_after_until);
        }
        self.retry_after_until = retry_after_until.or(self.retry_after_until);
        self.retry(now, retry_after_until);
        self.discovery.is_due = true;
        self.end();
    }

    /// Schedules a retry after a failed fetch, or after one that leaves a refresh unsatisfied
    fn retry(&mut self, now: Instant, retry_after_until: Option<Instant>) {
        let allowed = retry_after_until.unwrap_or(now);
        if self.next <= now {
            self.failures += 1;
            self.next = (now + self.backoff()).max(allowed);
        } else {
            // A failed fetch for a request or an operator doesn't increase the backoff. We only
            // retry early for a refresh by an operator.
            if self.refresh_unsatisfied {
                self.next = self.next.min(now + self.backoff());
            }
            self.next = self.next.max(allowed);
        }
    }

    /// Ends the current follow-up, which found the URL unchanged or couldn't discover it.
    pub(crate) fn unmoved(&mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        if pending.discovery != Discovery::IfMoved {
            self.ended += 1;
            let is_paid = pending.cause == Cause::Request;
            self.follow_up =
                self.discovery.enabled && is_paid && pending.discovery == Discovery::Skip;
        }
        if std::mem::take(&mut self.refresh_again) {
            self.refresh();
        }
    }

    fn is_before_retry_after(&self, now: Instant) -> bool {
        self.retry_after_until.is_some_and(|until| now < until)
    }

    /// `None` if there is no set.
    pub(crate) fn fresh_until(&self) -> Option<Instant> {
        self.fresh_until
    }

    fn usable_until(&self) -> Option<Instant> {
        self.fresh_until.map(|until| until + self.policy.stale)
    }

    /// Starts with a set that an earlier schedule has fetched. This doesn't make the set any newer,
    /// but a configured time to live may be shorter than the old one.
    pub(crate) fn hold(&mut self, fresh_until: Instant, now: Instant) {
        let limit = self.policy.ttl.map(|ttl| now + ttl);
        self.fresh_until = Some(limit.map_or(fresh_until, |limit| limit.min(fresh_until)));
    }

    /// Starts with a URL that an earlier schedule has discovered at this time
    pub(crate) fn know_address_since(&mut self, discovered: Instant) {
        self.discovery.succeeded_at(discovered);
    }

    /// When discovery last succeeded. `None` if we don't know the URL of the key set.
    pub(crate) fn discovered_at(&self) -> Option<Instant> {
        self.discovery.succeeded
    }

    pub(crate) fn dropped(&mut self) {
        self.fresh_until = None;
    }

    pub(crate) fn until_next(&self, now: Instant) -> Duration {
        self.next.saturating_duration_since(now)
    }

    /// The `Retry-After` for a request while there is no set: the time until the next scheduled
    /// fetch or the next unit of the budget, whichever is earlier. Usually at least one second, but
    /// less if a fetch is due sooner.
    pub(crate) fn retry_after(&self, now: Instant) -> Duration {
        let affordable = self.budget.refilled_at().unwrap_or(now);
        let allowed = self.retry_after_until.unwrap_or(now).max(affordable);
        let paid = allowed.saturating_duration_since(now);
        self.until_next(now).min(paid.max(Duration::from_secs(1)))
    }

    /// The pause before the next retry: 1 s, 2 s, 4 s … 60 s, ± 20 %.
    fn backoff(&mut self) -> Duration {
        let doubled = Duration::from_secs(1 << self.failures.saturating_sub(1).min(6));
        self.jitter
            .around(doubled.min(self.policy.max_backoff), 0.2)
    }
}

impl DiscoveryClock {
    /// The maximum age of a discovered URL. A refresh is due by then, even if the time to live of
    /// the key set is longer.
    const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
    /// A refresh repeats discovery if the last one is at least this old. This is half of `MAX_AGE`,
    /// so discovery will never shorten a time to live of up to 12 hours.
    const REPEAT_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

    fn new(enabled: bool, now: Instant) -> Self {
        Self {
            enabled,
            succeeded: None,
            is_due: false,
            repeat_by: now + Self::MAX_AGE,
            retry_after_until: None,
        }
    }

    fn succeeded_at(&mut self, at: Instant) {
        self.succeeded = Some(at);
        self.is_due = false;
        self.repeat_by = at + Self::MAX_AGE;
        self.retry_after_until = None;
    }

    /// Must a scheduled fetch repeat discovery?
    fn wants_repetition(&self, now: Instant) -> bool {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= Self::REPEAT_AFTER;
        self.enabled
            && (self.is_due || self.succeeded.is_some_and(is_old))
            && !self.is_before_retry_after(now)
    }

    fn is_before_retry_after(&self, now: Instant) -> bool {
        self.retry_after_until.is_some_and(|until| now < until)
    }

    /// The maximum wait for the next refresh, so that we repeat discovery within a day
    fn longest_wait(&self, now: Instant) -> Duration {
        if !self.enabled {
            return Duration::MAX;
        }
        let until = self.repeat_by.max(self.retry_after_until.unwrap_or(now));
        until.saturating_duration_since(now)
    }
}

/// The maximum `Retry-After`. We cap longer values.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// When a `Retry-After` ends. `None` if it is absent or 0.
fn retry_after_until(now: Instant, retry_after: Option<Duration>) -> Option<Instant> {
    let wait = retry_after?.min(MAX_RETRY_AFTER);
    (!wait.is_zero()).then(|| now + wait)
}

/// The budget for fetches that requests cause: up to four at once, then one per cooldown. That way
/// we can fetch a new key immediately, even right after another fetch, while a flood of made-up
/// `kid`s can't cause more than a few.
#[derive(Debug)]
struct Budget {
    left: u32,
    refill: Option<Instant>,
}

impl Budget {
    const MAX_UNITS: u32 = 4;

    fn full() -> Self {
        Self {
            left: Self::MAX_UNITS,
            refill: None,
        }
    }

    /// When an empty budget gets its next unit. `None` if it isn't empty.
    fn refilled_at(&self) -> Option<Instant> {
        self.refill.filter(|_| self.left == 0)
    }

    fn pay(&mut self, now: Instant, cooldown: Duration, jitter: &mut Jitter) -> bool {
        while let Some(refill) = self.refill.filter(|refill| *refill <= now) {
            self.left += 1;
            self.refill =
                (self.left < Self::MAX_UNITS).then(|| refill + jitter.around(cooldown, 0.2));
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

/// Spreads the fetches of replicas that started together. The numbers need not be secret, so Steele
/// and Vigna's `SplitMix64` will do.
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    /// `duration`, randomly increased or decreased by up to `share` of it
    fn around(&mut self, duration: Duration, share: f64) -> Duration {
        duration.mul_f64(1.0 + share * (2.0 * self.unit() - 1.0))
    }

    /// A number from 0 to 1
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
    const HOUR: Duration = Duration::from_secs(3600);

    fn schedule() -> (Schedule, Instant) {
        let now = Instant::now();
        (Schedule::new(RefreshPolicy::default(), true, now, 7), now)
    }

    /// A schedule whose set was just discovered and fetched, and the current time.
    fn holding() -> (Schedule, Instant) {
        let (mut schedule, now) = schedule();
        schedule.fetch();
        assert_eq!(schedule.begin(now), Some(Discovery::First));
        schedule.discovered(now);
        schedule.succeeded(now, None);
        (schedule, now)
    }

    fn next_fetch(schedule: &Schedule, now: Instant) -> Duration {
        match schedule.due() {
            Due::Fetch(at) | Due::Drop(at) => at - now,
        }
    }

    fn request(schedule: &mut Schedule, now: Instant) -> Decision {
        schedule.request(Discovery::Skip, now)
    }

    fn wait(fetch_number: u64, started: bool) -> Decision {
        Decision::Wait {
            fetch_number,
            started,
        }
    }

    fn has_started(asked: Decision) -> bool {
        matches!(asked, Decision::Wait { started: true, .. })
    }

    #[test]
    fn refreshes_at_four_fifths_of_the_time_to_live() {
        for (case, max_age, ttl) in [
            ("unsaid", None, 600),
            ("said", Some(3600), 3600),
            ("too short", Some(15), 300),
            ("zero", Some(0), 300),
            ("too long", Some(1_000_000), 86400),
        ] {
            let (mut schedule, now) = schedule();
            schedule.fetch();
            schedule.begin(now);
            schedule.discovered(now);
            schedule.succeeded(now, max_age.map(Duration::from_secs));
            let wait = next_fetch(&schedule, now).as_secs_f64() / f64::from(ttl);
            assert!((0.72..=0.88).contains(&wait), "{case}: {wait}");
        }
    }

    #[test]
    fn budget_allows_four_fetches_then_one_per_cooldown() {
        let (mut schedule, start) = holding();
        let mut fetches = 0;
        let hour = 3600;
        for second in 0..hour {
            let now = start + SECOND * second;
            if has_started(request(&mut schedule, now)) {
                fetches += 1;
                schedule.begin(now);
                schedule.succeeded(now, None);
            }
        }
        // on average, one in 15 s ± 20 %
        assert!((4 + 225..=4 + 265).contains(&fetches), "{fetches}");
    }

    #[test]
    fn failed_fetches_spend_the_budget() {
        let (mut schedule, now) = holding();
        for _ in 0..4 {
            assert!(has_started(request(&mut schedule, now)));
            schedule.begin(now);
            schedule.failed(now, None);
        }
        assert_eq!(request(&mut schedule, now), Decision::Refused);
    }

    #[test]
    fn requests_join_a_pending_fetch_but_not_a_running_one() {
        let (mut schedule, now) = schedule();
        schedule.fetch();
        assert_eq!(request(&mut schedule, now), wait(1, false), "not begun");
        schedule.begin(now);
        for _ in 0..100 {
            assert_eq!(
                request(&mut schedule, now),
                wait(2, false),
                "waits for the fetch after the running one"
            );
        }
        schedule.discovered(now);
        schedule.succeeded(now, None);
        let again = schedule.request_again(1, now);
        assert_eq!(
            again,
            Decision::Settled,
            "a scheduled fetch has no follow-up"
        );
        assert_eq!(
            schedule.request_again(2, now),
            wait(2, true),
            "starts a fetch that uses the budget"
        );
        assert_eq!(
            schedule.request_again(2, now),
            wait(2, false),
            "joins that fetch"
        );
        assert_eq!(schedule.budget.left, 3);
    }

    #[test]
    fn paid_fetch_has_one_follow_up() {
        for succeeds in [true, false] {
            let (mut schedule, now) = holding();
            assert_eq!(request(&mut schedule, now), wait(2, true));
            assert_eq!(schedule.begin(now), Some(Discovery::Skip));
            if succeeds {
                schedule.succeeded(now, None);
            } else {
                schedule.failed(now, None);
            }
            assert_eq!(schedule.request_again(2, now), wait(2, true));
            assert_eq!(schedule.begin(now), Some(Discovery::IfMoved));
            assert_eq!(
                request(&mut schedule, now),
                wait(3, false),
                "a later request"
            );
            schedule.unmoved();
            assert_eq!(schedule.request_again(2, now), Decision::Settled);
            assert_eq!(schedule.budget.left, 3);
            assert_eq!(schedule.request_again(3, now), wait(3, true));
            assert_eq!(schedule.budget.left, 2);
        }
    }

    #[test]
    fn scheduled_fetch_has_no_follow_up() {
        type Fetch = fn(&mut Schedule, Instant);
        let fetches: [(&str, Fetch); 3] = [
            ("time", |schedule, _| schedule.fetch()),
            ("an operator", |schedule, _| schedule.refresh()),
            ("a wrong signature", |schedule, now| {
                schedule.request(Discovery::First, now);
            }),
        ];
        for (case, fetch) in fetches {
            let (mut schedule, now) = holding();
            fetch(&mut schedule, now);
            let Decision::Wait { fetch_number, .. } = request(&mut schedule, now) else {
                panic!("{case}: the request does not join the fetch");
            };
            schedule.begin(now);
            schedule.succeeded(now, None);
            assert_eq!(
                schedule.request_again(fetch_number, now),
                Decision::Settled,
                "{case}"
            );
        }
        let now = Instant::now();
        let mut schedule = Schedule::new(RefreshPolicy::default(), false, now, 7);
        schedule.request(Discovery::Skip, now);
        schedule.begin(now);
        schedule.succeeded(now, None);
        let again = schedule.request_again(1, now);
        assert_eq!(again, Decision::Settled, "the URL is configured");
    }

    #[test]
    fn refresh_gets_a_fetch_that_begins_after_it() {
        let (mut schedule, now) = holding();
        schedule.fetch();
        schedule.refresh();
        assert_eq!(
            schedule.begin(now),
            Some(Discovery::First),
            "the pending fetch had not begun"
        );
        schedule.discovered(now);
        schedule.succeeded(now, None);
        assert!(!schedule.is_in_flight());

        for end in [Schedule::unmoved as fn(&mut Schedule), |schedule| {
            schedule.failed(Instant::now(), None);
        }] {
            let (mut schedule, now) = holding();
            schedule.fetch();
            schedule.begin(now);
            for _ in 0..3 {
                schedule.refresh();
            }
            end(&mut schedule);
            assert_eq!(
                schedule.begin(now),
                Some(Discovery::First),
                "another fetch must follow"
            );
            schedule.succeeded(now, None);
            assert!(!schedule.is_in_flight(), "only one fetch must follow");
        }
    }

    #[test]
    fn refresh_is_not_satisfied_by_a_follow_up() {
        let (mut schedule, now) = holding();
        request(&mut schedule, now);
        schedule.begin(now);
        schedule.succeeded(now, None);
        schedule.request_again(2, now);
        schedule.refresh();
        assert_eq!(schedule.begin(now), Some(Discovery::IfMoved));
        schedule.unmoved();
        assert_eq!(schedule.begin(now), Some(Discovery::First));
    }

    #[test]
    fn repeats_discovery_daily_and_after_failures() {
        for max_age in [0, 600, 3600, 30_000, 44_000, 54_000, 60_000, 86_400] {
            for (case, ttl) in [("said", None), ("configured", Some(HOUR * 24 * 30))] {
                let start = Instant::now();
                let policy = RefreshPolicy {
                    ttl,
                    ..RefreshPolicy::default()
                };
                let mut schedule = Schedule::new(policy, true, start, max_age);
                let mut discovered = start;
                for _ in 0..200 {
                    let Due::Fetch(now) = schedule.due() else {
                        panic!("the set is dropped although no fetch failed");
                    };
                    assert!(now - discovered <= HOUR * 24, "{case}, {max_age}");
                    schedule.fetch();
                    if schedule.begin(now) == Some(Discovery::First) {
                        schedule.discovered(now);
                        discovered = now;
                    }
                    schedule.succeeded(now, Some(Duration::from_secs(max_age)));
                }
                assert!(discovered > start, "{case}, {max_age}");
            }
        }
        let (mut schedule, now) = holding();
        request(&mut schedule, now);
        assert_eq!(schedule.begin(now), Some(Discovery::Skip));
        schedule.failed(now, None);
        request(&mut schedule, now);
        assert_eq!(
            schedule.begin(now),
            Some(Discovery::Skip),
            "a request must not wait for discovery"
        );
        schedule.succeeded(now, None);
        schedule.fetch();
        assert_eq!(schedule.begin(now), Some(Discovery::First));
    }

    #[test]
    fn skips_discovery_during_its_retry_after() {
        let (mut schedule, now) = holding();
        schedule.refresh();
        assert_eq!(schedule.begin(now), Some(Discovery::First));
        schedule.discovery_failed(now, Some(SECOND * 60));
        schedule.succeeded(now, None);

        request(&mut schedule, now);
        assert_eq!(schedule.begin(now), Some(Discovery::Skip));
        schedule.failed(now, None);
        assert_eq!(schedule.request_again(2, now), Decision::Settled);
        schedule.fetch();
        assert_eq!(
            schedule.begin(now),
            Some(Discovery::Skip),
            "discovery is due but its Retry-After has not passed"
        );
        schedule.failed(now, None);
        schedule.request(Discovery::First, now);
        assert_eq!(schedule.begin(now), Some(Discovery::Skip));
        schedule.succeeded(now, None);

        let now = now + SECOND * 60;
        schedule.fetch();
        assert_eq!(schedule.begin(now), Some(Discovery::First));
        schedule.discovery_failed(now, Some(SECOND * 60));
        schedule.succeeded(now, None);
        schedule.refresh();
        assert_eq!(schedule.begin(now), Some(Discovery::First), "an operator");
    }

    #[test]
    fn uses_the_longer_retry_after_if_both_fail() {
        for (discovery, key_set) in [
            (Some(40), None),
            (None, Some(40)),
            (Some(5), Some(40)),
            (Some(40), Some(5)),
        ] {
            let (mut schedule, now) = holding();
            schedule.refresh();
            schedule.begin(now);
            schedule.discovery_failed(now, discovery.map(Duration::from_secs));
            schedule.failed(now, key_set.map(Duration::from_secs));
            let last = now + SECOND * 39;
            assert_eq!(request(&mut schedule, last), Decision::Refused);
            assert!(has_started(request(&mut schedule, now + SECOND * 40)));
        }
    }

    #[test]
    fn retries_a_refresh_until_a_later_fetch_succeeds() {
        let (mut schedule, mut now) = holding();
        schedule.refresh();
        for most in [1.2, 1.2, 2.4, 4.8, 9.6] {
            schedule.begin(now);
            schedule.failed(now, None);
            let wait = next_fetch(&schedule, now);
            assert!(wait.as_secs_f64() <= most, "{wait:?}");
            now += wait;
            schedule.fetch();
        }
        schedule.begin(now);
        schedule.refresh();
        schedule.discovered(now);
        schedule.succeeded(now, None);
        schedule.begin(now);
        schedule.failed(now, Some(SECOND * 30));
        assert_eq!(
            next_fetch(&schedule, now),
            SECOND * 30,
            "that fetch began before the refresh"
        );
        schedule.fetch();
        schedule.begin(now);
        schedule.discovered(now);
        schedule.succeeded(now, None);
        assert!(next_fetch(&schedule, now) > SECOND * 400);
        request(&mut schedule, now);
        schedule.begin(now);
        schedule.failed(now, None);
        assert!(
            next_fetch(&schedule, now) > SECOND * 400,
            "the refresh is satisfied"
        );
    }

    #[test]
    fn retries_a_refresh_until_discovery_succeeds() {
        let (mut schedule, mut now) = holding();
        schedule.refresh();
        for most in [1.2, 2.4, 4.8, 9.6] {
            assert_eq!(schedule.begin(now), Some(Discovery::First), "{most}");
            schedule.discovery_failed(now, None);
            schedule.succeeded(now, Some(HOUR));
            let wait = next_fetch(&schedule, now);
            assert!(wait.as_secs_f64() <= most, "{wait:?}");
            request(&mut schedule, now);
            assert_eq!(schedule.begin(now), Some(Discovery::Skip));
            schedule.succeeded(now, Some(HOUR));
            assert!(
                next_fetch(&schedule, now) <= wait,
                "a fetch without discovery does not satisfy the refresh"
            );
            now += wait;
            schedule.fetch();
        }
        schedule.begin(now);
        schedule.discovery_failed(now, Some(SECOND * 30));
        schedule.succeeded(now, Some(HOUR));
        assert_eq!(next_fetch(&schedule, now), SECOND * 30, "Retry-After");
        now += SECOND * 30;
        schedule.fetch();
        assert_eq!(schedule.begin(now), Some(Discovery::First));
        schedule.discovered(now);
        schedule.failed(now, None);
        request(&mut schedule, now);
        schedule.begin(now);
        schedule.succeeded(now, Some(HOUR));
        let wait = next_fetch(&schedule, now);
        assert!(wait <= SECOND * 72, "the new address has failed: {wait:?}");
        now += wait;
        schedule.fetch();
        schedule.begin(now);
        schedule.discovered(now);
        schedule.succeeded(now, Some(HOUR));
        assert!(next_fetch(&schedule, now) > SECOND * 2000);
    }

    #[test]
    fn failed_discovery_is_repeated_by_the_next_refresh() {
        let (mut schedule, now) = holding();
        schedule.request(Discovery::First, now);
        schedule.begin(now);
        schedule.discovery_failed(now, None);
        schedule.succeeded(now, None);
        assert!(next_fetch(&schedule, now) > SECOND * 400);
        schedule.fetch();
        assert_eq!(schedule.begin(now), Some(Discovery::First));
    }

    #[test]
    fn backs_off_up_to_a_minute() {
        let (mut schedule, mut now) = schedule();
        for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0_f64] {
            schedule.fetch();
            schedule.begin(now);
            schedule.failed(now, None);
            let wait = next_fetch(&schedule, now);
            let share = wait.as_secs_f64() / expected;
            assert!((0.8..=1.2).contains(&share), "{expected}: {wait:?}");
            now += wait;
        }
    }

    #[test]
    fn honours_retry_after_up_to_a_minute() {
        for (asked, least, most) in [(20, 20, 20), (3600, 60, 72), (0, 0, 2)] {
            let (mut schedule, now) = schedule();
            schedule.fetch();
            schedule.begin(now);
            schedule.failed(now, Some(SECOND * asked));
            let wait = next_fetch(&schedule, now).as_secs();
            assert!((least..=most).contains(&wait), "{asked}: {wait}");
            let refused = request(&mut schedule, now) == Decision::Refused;
            assert_eq!(refused, asked > 0, "{asked}");
        }
    }

    #[test]
    fn retry_after_postpones_refreshes_and_follow_ups() {
        let (mut schedule, now) = holding();
        let due = next_fetch(&schedule, now);
        let now = now + due - SECOND * 5;
        request(&mut schedule, now);
        schedule.begin(now);
        schedule.failed(now, Some(SECOND * 30));
        assert_eq!(schedule.request_again(2, now), Decision::Settled);
        assert_eq!(next_fetch(&schedule, now), SECOND * 30);
    }

    #[test]
    fn retry_after_of_a_503_is_when_a_fetch_can_start() {
        let (mut schedule, mut now) = schedule();
        for _ in 0..9 {
            schedule.fetch();
            schedule.begin(now);
            schedule.failed(now, None);
            now += next_fetch(&schedule, now);
        }
        schedule.fetch();
        schedule.begin(now);
        schedule.failed(now, None);
        assert!(schedule.until_next(now) >= SECOND * 48);
        assert_eq!(schedule.retry_after(now), SECOND, "the budget is full");
        while has_started(request(&mut schedule, now)) {
            schedule.begin(now);
            schedule.failed(now, None);
        }
        let wait = schedule.retry_after(now);
        assert!((12..=18).contains(&wait.as_secs()), "a cooldown: {wait:?}");
        assert!(has_started(request(&mut schedule, now + wait)));
    }

    #[test]
    fn failed_fetch_for_a_request_does_not_move_the_refresh() {
        let (mut schedule, now) = holding();
        let due = schedule.due();
        assert!(has_started(request(&mut schedule, now)));
        schedule.begin(now);
        schedule.failed(now, None);
        assert_eq!(schedule.due(), due);
    }

    #[test]
    fn drops_the_set_an_hour_after_its_time_to_live() {
        let (mut schedule, start) = holding();
        loop {
            match schedule.due() {
                Due::Fetch(now) => {
                    schedule.fetch();
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

    /// Runs random sequences of events: time passes, requests and operators start fetches, and
    /// fetches succeed, fail or hang.
    #[test]
    fn random_events_keep_the_invariants() {
        for seed in 0..500 {
            Simulation::new(seed).run_all();
        }
    }

    struct Simulation {
        dice: Jitter,
        start: Instant,
        now: Instant,
        schedule: Schedule,
        /// The start of each fetch, not counting follow-ups
        begun: Vec<Instant>,
        /// The start of each waiting request, and the number of the fetch that it waits for.
        waiting: Vec<(Instant, u64)>,
        /// The last refresh of an operator, until a fetch begins after it
        refresh: Option<Instant>,
        /// True from a refresh until a fetch that began after it succeeds with discovery
        is_refresh_unsatisfied: bool,
        is_address_known: bool,
        good_until: Option<Instant>,
        paid: u32,
        follow_ups: u32,
        due_fetches: u32,
        seed: u64,
    }

    impl Simulation {
        fn new(seed: u64) -> Self {
            let start = Instant::now();
            Self {
                dice: Jitter(seed),
                start,
                now: start,
                schedule: Schedule::new(RefreshPolicy::default(), true, start, seed),
                begun: Vec::new(),
                waiting: Vec::new(),
                refresh: None,
                is_refresh_unsatisfied: false,
                is_address_known: false,
                good_until: None,
                paid: 0,
                follow_ups: 0,
                due_fetches: 0,
                seed,
            }
        }

        fn run_all(mut self) {
            for _ in 0..400 {
                let pause = self.dice.unit().powi(4) * 600.0;
                self.now += Duration::from_secs_f64(pause);
                self.time_passes();
                match self.dice.unit() {
                    roll if roll < 0.4 => self.ask(),
                    roll if roll < 0.45 => self.refresh(),
                    _ => {}
                }
                while self.schedule.is_in_flight() {
                    self.run_fetch();
                }
                assert!(self.refresh.is_none(), "seed {}: refreshed", self.seed);
                self.count();
            }
            let happened = [self.paid, self.follow_ups, self.due_fetches];
            assert!(!happened.contains(&0), "seed {}: {happened:?}", self.seed);
        }

        fn time_passes(&mut self) {
            match self.schedule.due() {
                Due::Drop(at) if at <= self.now => {
                    let good_until = self.good_until.take();
                    assert_eq!(Some(at), good_until, "seed {}: dropped in time", self.seed);
                    self.schedule.dropped();
                }
                Due::Fetch(at) if at <= self.now => {
                    self.due_fetches += 1;
                    self.schedule.fetch();
                }
                _ => {}
            }
        }

        fn ask(&mut self) {
            let asked = self.schedule.request(Discovery::Skip, self.now);
            self.paid += u32::from(has_started(asked));
            if let Decision::Wait { fetch_number, .. } = asked {
                self.waiting.push((self.now, fetch_number));
            }
        }

        fn refresh(&mut self) {
            self.refresh = Some(self.now);
            self.is_refresh_unsatisfied = true;
            self.schedule.refresh();
        }

        /// Runs one fetch, during which other requests arrive
        fn run_fetch(&mut self) {
            let discovery = self.schedule.begin(self.now).unwrap();
            let began = self.now;
            if discovery == Discovery::IfMoved {
                self.follow_ups += 1;
            } else {
                self.begun.push(began);
                self.refresh = None;
            }
            self.now += Duration::from_secs_f64(self.dice.unit() * 2.5 + 0.001);
            match self.dice.unit() {
                roll if roll < 0.2 => self.ask(),
                roll if roll < 0.25 => self.refresh(),
                _ => {}
            }
            self.now += Duration::from_secs_f64(self.dice.unit() * 2.5);
            let is_first = discovery == Discovery::First;
            let is_discovered = is_first && self.dice.unit() < 0.7;
            if is_first && !is_discovered && self.is_address_known {
                self.schedule.discovery_failed(self.now, None);
            }
            let has_address = is_discovered || self.is_address_known;
            match self.dice.unit() {
                _ if discovery == Discovery::IfMoved => self.schedule.unmoved(),
                roll if roll < 0.5 && has_address => self.succeed(is_discovered),
                _ => {
                    self.schedule.failed(self.now, None);
                    self.assert_next_within(528.0);
                }
            }
            self.answer();
        }

        fn succeed(&mut self, is_discovered: bool) {
            if is_discovered {
                self.schedule.discovered(self.now);
                self.is_address_known = true;
                self.is_refresh_unsatisfied &= self.refresh.is_some();
            }
            self.schedule.succeeded(self.now, None);
            self.good_until = Some(self.now + SECOND * (600 + 3600));
            self.assert_next_within(528.0);
            if !self.is_refresh_unsatisfied {
                let wait = next_fetch(&self.schedule, self.now).as_secs_f64();
                assert!(wait >= 432.0, "{}: {wait}", self.seed);
            }
        }

        /// An unsatisfied refresh is retried within the longest backoff.
        fn assert_next_within(&self, most: f64) {
            let wait = self.schedule.until_next(self.now).as_secs_f64();
            let is_retried = self.is_refresh_unsatisfied && self.refresh.is_none();
            let most = if is_retried { 72.0 } else { most };
            assert!(wait <= most, "{}: {wait}", self.seed);
        }

        /// Every waiting request asks again. A fetch that began before it first asked must not
        /// settle it.
        fn answer(&mut self) {
            for (asked_at, fetch_number) in std::mem::take(&mut self.waiting) {
                let was_in_flight = self.schedule.is_in_flight();
                match self.schedule.request_again(fetch_number, self.now) {
                    Decision::Settled => {
                        let began = self.begun[usize::try_from(fetch_number).unwrap() - 1];
                        assert!(began >= asked_at, "seed {}: too early", self.seed);
                    }
                    Decision::Wait { started, .. } => {
                        let is_free = self.begun.len() as u64 >= fetch_number;
                        assert_eq!(started, !was_in_flight, "seed {}", self.seed);
                        self.paid += u32::from(started && !is_free);
                        self.waiting.push((asked_at, fetch_number));
                    }
                    Decision::Refused => {}
                }
            }
        }

        fn count(&self) {
            let (seed, elapsed) = (self.seed, (self.now - self.start).as_secs_f64());
            let most = 4.0 + elapsed / (15.0 * 0.8);
            assert!(f64::from(self.paid) <= most, "seed {seed}: {}", self.paid);
            assert!(
                self.follow_ups <= self.paid,
                "seed {seed}: at most one follow-up per paid fetch"
            );
            let most = 1.0 + elapsed / 0.8;
            let due = self.due_fetches;
            assert!(f64::from(due) <= most, "seed {seed}: {due}");
        }
    }
}
