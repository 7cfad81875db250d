//! Rate limits for warnings and errors.
//!
//! Callers can cause any number of warnings, e.g. with invalid queries, and they must not be able
//! to fill a disk or hide other lines that way. Each callsite, including those of dependencies, can
//! log [`LIMIT`] warnings or errors per [`PERIOD`], and further ones are only counted. Lower levels
//! have no limit, since every request has an info line.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, Metadata, callsite::Identifier};

/// The maximum number of lines per callsite and [`PERIOD`].
const LIMIT: u32 = 20;
const PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum Decision {
    Write,
    /// Write it, and skip further lines from its callsite for this number of seconds.
    WriteLast(u64),
    /// Write it, after this number of lines were skipped.
    WriteAfter(u64),
    Skip,
}

impl Decision {
    pub(in crate::service) fn field(self) -> Option<(&'static str, u64)> {
        match self {
            Self::Write | Self::Skip => None,
            Self::WriteLast(seconds) => Some(("silent_s", seconds)),
            Self::WriteAfter(count) => Some(("left_out", count)),
        }
    }
}

/// One window per callsite that has logged a warning. There's a fixed number of callsites, so we
/// never remove any.
#[derive(Debug, Default)]
pub(in crate::service) struct RateLimits(Mutex<HashMap<Identifier, Window>>);

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl RateLimits {
    pub(in crate::service) fn decide(&self, from: &'static Metadata<'static>) -> Decision {
        if *from.level() > Level::WARN {
            return Decision::Write;
        }
        let now = Instant::now();
        let new = Window {
            since: now,
            written: 0,
            left_out: 0,
        };
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = places.entry(from.callsite()).or_insert(new);
        window.decide(now)
    }
}

impl Window {
    fn decide(&mut self, now: Instant) -> Decision {
        let age = now - self.since;
        if age >= PERIOD {
            let left_out = self.left_out;
            *self = Self {
                since: now,
                written: 1,
                left_out: 0,
            };
            return match left_out {
                0 => Decision::Write,
                count => Decision::WriteAfter(count),
            };
        }
        if self.written == LIMIT {
            self.left_out += 1;
            return Decision::Skip;
        }
        self.written += 1;
        if self.written == LIMIT {
            return Decision::WriteLast(PERIOD.saturating_sub(age).as_secs());
        }
        Decision::Write
    }
}
