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
const ENOUGH: u32 = 20;
const PERIOD: Duration = Duration::from_secs(60);

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) enum Turn {
    /// It is written.
    Plain,
    /// It is written, and nothing more of its place for so many seconds.
    Last(u64),
    /// It is written, the first after so many that were not.
    After(u64),
    /// It is counted.
    LeftOut,
}

impl Turn {
    /// What the line says beside its own fields.
    pub(in crate::service) fn field(self) -> Option<(&'static str, u64)> {
        match self {
            Self::Plain | Self::LeftOut => None,
            Self::Last(seconds) => Some(("silent_s", seconds)),
            Self::After(count) => Some(("left_out", count)),
        }
    }
}

/// Every place that has warned; there are as many as the code has.
#[derive(Debug, Default)]
pub(in crate::service) struct Bounds(Mutex<HashMap<Identifier, Tally>>);

#[derive(Debug)]
struct Tally {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Bounds {
    /// What becomes of a line from there.
    pub(in crate::service) fn turn(&self, from: &'static Metadata<'static>) -> Turn {
        if *from.level() > Level::WARN {
            return Turn::Plain;
        }
        let now = Instant::now();
        let new = Tally {
            since: now,
            written: 0,
            left_out: 0,
        };
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = places.entry(from.callsite()).or_insert(new);
        tally.turn(now)
    }
}

impl Tally {
    fn turn(&mut self, now: Instant) -> Turn {
        let age = now - self.since;
        if age >= PERIOD {
            let left_out = self.left_out;
            *self = Self {
                since: now,
                written: 1,
                left_out: 0,
            };
            return match left_out {
                0 => Turn::Plain,
                count => Turn::After(count),
            };
        }
        if self.written == ENOUGH {
            self.left_out += 1;
            return Turn::LeftOut;
        }
        self.written += 1;
        if self.written == ENOUGH {
            return Turn::Last(PERIOD.saturating_sub(age).as_secs());
        }
        Turn::Plain
    }
}
