//! tokio's clock, stopped: time passes when a test says so and not otherwise.
//!
//! A paused clock leaps to the next timer whenever the runtime is idle, which with real sockets is
//! whenever an answer is on its way. A blocking task in flight keeps it from that.

use std::{sync::mpsc, time::Duration};

pub struct StoppedClock(mpsc::Sender<()>);

impl StoppedClock {
    /// Stops the clock of the runtime, a current-thread one, until it is dropped.
    pub fn stop() -> Self {
        tokio::time::pause();
        let (held, dropped) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || dropped.recv());
        Self(held)
    }

    /// Lets time pass, and whoever waited for it run.
    pub async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
        settle().await;
    }

    /// Lets time pass in steps until `condition` holds.
    ///
    /// # Panics
    /// After two hours of it.
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

/// Runs what can run without the clock. Loopback answers within some turns of the reactor.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Waits, on a stopped clock, for something that takes sockets but no time.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < patience, "it never came");
        tokio::task::yield_now().await;
    }
}
