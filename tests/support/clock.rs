//! tokio's clock, stopped, so that only the test advances it.
//!
//! Pausing it isn't enough. A paused clock jumps to the next timer whenever the runtime is idle,
//! and with real sockets the runtime is also idle while a response is on its way, so we prevent the
//! jump with a blocking task that just keeps running.

use std::{sync::mpsc, time::Duration};

pub struct StoppedClock(mpsc::Sender<()>);

impl StoppedClock {
    /// Stops the clock of the current-thread runtime until the returned value is dropped.
    pub fn stop() -> Self {
        tokio::time::pause();
        let (held, dropped) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || dropped.recv());
        Self(held)
    }

    /// Advances the clock, and runs the tasks whose timers have expired.
    pub async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
        settle().await;
    }

    /// Advances the clock in steps until `condition` holds. Returns how much time has passed.
    ///
    /// # Panics
    /// If two hours have passed.
    pub async fn pass_until(
        &self,
        step: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Duration {
        let mut passed = Duration::ZERO;
        while !condition() {
            assert!(
                passed < Duration::from_secs(7200),
                "two hours passed in vain"
            );
            self.pass(step).await;
            passed += step;
        }
        passed
    }
}

/// Runs everything that can run while the clock stands still. Loopback usually answers within a few
/// turns.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Waits, with a stopped clock, for a condition that depends on sockets and not on time.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(
            std::time::Instant::now() < patience,
            "the condition did not hold in time"
        );
        tokio::task::yield_now().await;
    }
}
