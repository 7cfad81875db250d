//! Rate limits for warnings and errors.
//!
//! Callers can cause warnings at will, such as one per unreadable query. These must not fill a disk
//! or hide other lines. Each callsite, including those of dependencies, may therefore log [`LIMIT`]
//! warnings per [`PERIOD`]; further ones are only counted. Lines below the level of warnings are
//! not limited, because every request has one.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, Metadata, callsite::Identifier};

/// The maximum number of lines from one callsite per [`PERIOD`].
const LIMIT: u32 = 20;
const PERIOD: Duration = Duration::from_secs(60);

/// The decision about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum Decision {
    /// Write it.
    Write,
    /// Write it, but no more lines from its callsite for this many seconds.
    WriteLast(u64),
    /// Write it. It is the first line after this many skipped ones.
    WriteAfter(u64),
    /// Skip and count it.
    Skip,
}

impl Decision {
    /// Returns the field that the decision adds to the line.
    pub(in crate::service) fn field(self) -> Option<(&'static str, u64)> {
        match self {
            Self::Write | Self::Skip => None,
            Self::WriteLast(seconds) => Some(("silent_s", seconds)),
            Self::WriteAfter(count) => Some(("left_out", count)),
        }
    }
}

/// The state of every callsite that has logged a warning. Their number is bounded by the code.
#[derive(Debug, Default)]
pub(in crate::service) struct RateLimits(Mutex<HashMap<Identifier, Window>>);

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl RateLimits {
    /// Decides about the next line of a callsite.
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
