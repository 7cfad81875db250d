//! [`Clock`]: the clock for checking the times in tokens.

use std::{fmt, sync::Arc, time::SystemTime};

/// The system clock, or the clock set in the builder
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn time(&self) -> SystemTime {
        (self.0)()
    }

    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> f64 {
        let since_epoch = self.time().duration_since(SystemTime::UNIX_EPOCH);
        since_epoch.unwrap_or_default().as_secs_f64()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").finish_non_exhaustive()
    }
}
