//! [`Stats`]: a store's counters, for operators.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::auth::store::claim::{Claimed, Unavailable};

/// A function that receives the duration of each claim
type Observer = Box<dyn Fn(Duration) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Stats {
    first: AtomicU64,
    used: AtomicU64,
    unavailable: [AtomicU64; Unavailable::ALL.len()],
    observer: OnceLock<Observer>,
}

impl Stats {
    pub(crate) fn count(&self, claimed: Result<Claimed, Unavailable>) {
        let counter = match claimed {
            Ok(Claimed::First) => &self.first,
            Ok(Claimed::Used) => &self.used,
            Err(unavailable) => &self.unavailable[unavailable as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn observe(&self, duration: Duration) {
        if let Some(observer) = self.observer.get() {
            observer(duration);
        }
    }

    /// Sets the observer. Only the first call has an effect.
    pub(crate) fn set_observer(&self, observer: Observer) {
        let _ = self.observer.set(observer);
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let answered = [("first", &self.first), ("used", &self.used)];
        let unavailable = Unavailable::ALL.map(Unavailable::as_str);
        let unavailable = unavailable.into_iter().zip(&self.unavailable);
        let counters = answered.into_iter().chain(unavailable);
        counters.map(|(outcome, counter)| (outcome, counter.load(Ordering::Relaxed)))
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.claims()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_outcome_separately() {
        let stats = Stats::default();
        let outcomes = [Ok(Claimed::First), Ok(Claimed::Used)];
        let unavailable = Unavailable::ALL.map(Err);
        for (times, outcome) in outcomes.iter().chain(&unavailable).enumerate() {
            (0..=times).for_each(|_| stats.count(*outcome));
        }
        let counted: Vec<_> = stats.claims().collect();
        let expected = ["first", "used", "full", "timeout", "connection", "too_old"];
        assert_eq!(counted, expected.into_iter().zip(1..).collect::<Vec<_>>());
    }
}
