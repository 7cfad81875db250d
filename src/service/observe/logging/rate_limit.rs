//! Warnings that somebody could have by the thousand.
//!
//! What strangers cause at will, one unreadable query after the other, must not fill a disk and bury
//! what matters. So each place in the code, a dependency's included, is written so many times a minute
//! when it warns, and what is left out is counted. It bounds nothing below a warning: a request has its
//! line, whatever becomes of it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, Metadata, callsite::Identifier};

/// How often one place is written in a [`PERIOD`].
const LIMIT: u32 = 20;
const PERIOD: Duration = Duration::from_secs(60);

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum Decision {
    /// It is written.
    Write,
    /// It is written, and nothing more of its place for so many seconds.
    WriteLast(u64),
    /// It is written, the first after so many that were not.
    WriteAfter(u64),
    /// It is counted.
    Skip,
}

impl Decision {
    /// What the line says beside its own fields.
    pub(in crate::service) fn field(self) -> Option<(&'static str, u64)> {
        match self {
            Self::Write | Self::Skip => None,
            Self::WriteLast(seconds) => Some(("silent_s", seconds)),
            Self::WriteAfter(count) => Some(("left_out", count)),
        }
    }
}

/// Every place that has warned; there are as many as the code has.
#[derive(Debug, Default)]
pub(in crate::service) struct RateLimits(Mutex<HashMap<Identifier, Window>>);

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl RateLimits {
    /// What becomes of a line from there.
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
