//! How long a connection has had nothing to do.
//!
//! hyper's clock runs only while an HTTP/1.1 head is awaited; a peer that never sends its first byte,
//! never finishes an HTTP/2 handshake or header block, or keeps an empty HTTP/2 connection alive with
//! pings is under none. This one asks what they have in common: is a request being answered, and if
//! not, since when?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The requests at work on one connection, and when the last of them began or ended.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<(usize, Instant)>);

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new((0, Instant::now()))))
    }

    /// Counts a request as at work until the answer drops.
    pub(super) fn at_work(self: &Arc<Self>) -> AtWork {
        let mut state = self.state();
        let since = Instant::now();
        *state = (state.0 + 1, since);
        AtWork {
            pulse: Arc::clone(self),
            since,
            until: None,
        }
    }

    /// Starts to count from here.
    pub(super) fn restart(&self) {
        self.state().1 = Instant::now();
    }

    /// Waits until nothing has been at work for `limit`.
    pub(super) async fn still_for(&self, limit: Duration) {
        loop {
            // A request at work now can end no earlier than now.
            let (at_work, since) = *self.state();
            let since_at_least = if at_work == 0 { since } else { Instant::now() };
            sleep_until(since_at_least + limit).await;
            if *self.state() == (0, since) {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, (usize, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request at work.
#[derive(Debug)]
pub(super) struct AtWork {
    pulse: Arc<Pulse>,
    since: Instant,
    until: Option<Instant>,
}

impl AtWork {
    /// When it came.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Is no longer at work, from the instant that it tells.
    pub(super) fn end(mut self) -> Instant {
        *self.until.insert(Instant::now())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let until = self.until.unwrap_or_else(Instant::now);
        let mut state = self.pulse.state();
        *state = (state.0 - 1, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_at_work_holds_the_clock_and_its_end_restarts_it() {
        let limit = Duration::from_secs(30);
        let (start, pulse) = (Instant::now(), Pulse::new());

        let request = pulse.at_work();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(47)).await;
            drop(request);
        });
        pulse.still_for(limit).await;

        assert_eq!(start.elapsed(), Duration::from_secs(77));
    }
}
