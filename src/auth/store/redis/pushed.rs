//! [`Pushed`]: new lines that the server has sent, until they are passed to the subscribers.
//!
//! The task that reads replies from the connection only puts lines here. If it passed them to the
//! subscribers itself, claims would have to wait. Lines that arrive together are also passed
//! together, because a subscriber copies a part of its list each time. The size is limited. If
//! there is no room for a line, we will have to read the whole list again.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

use crate::auth::store::lines::Line;

/// The maximum size of all lines in bytes, enough for about 20,000 of them.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Pushed {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<Line>,
    bytes: usize,
    /// When the first of these lines arrived.
    since: Option<Instant>,
    /// When the first of the lines that were taken last arrived. `None` once they are added.
    taken_since: Option<Instant>,
}

impl Pushed {
    /// `false` if there is no room for the line.
    #[must_use = "a line that was not added is only in the store"]
    pub(super) fn push(&self, line: Line) -> bool {
        let mut waiting = self.waiting();
        let bytes = waiting.bytes + line.text.len() + size_of::<Line>();
        if bytes > MAX_BYTES {
            return false;
        }
        waiting.bytes = bytes;
        waiting.lines.push(line);
        waiting.since.get_or_insert_with(Instant::now);
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    /// Takes all lines. Waits if there are none. Call this again only after the lines were added, or
    /// recorded as missed.
    pub(super) async fn take(&self) -> Vec<Line> {
        self.waiting().taken_since = None;
        loop {
            self.arrived.notified().await;
            let mut waiting = self.waiting();
            if !waiting.lines.is_empty() {
                waiting.bytes = 0;
                waiting.taken_since = waiting.since.take();
                return mem::take(&mut waiting.lines);
            }
        }
    }

    /// When the oldest line arrived that is not added yet. `None` if there is no such line.
    pub(super) fn since(&self) -> Option<Instant> {
        let waiting = self.waiting();
        waiting.taken_since.or(waiting.since)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(bytes: usize) -> Line {
        Line {
            text: vec![b'x'; bytes],
            until: None,
        }
    }

    #[tokio::test]
    async fn limits_the_size_of_all_lines() {
        let pushed = Pushed::default();
        assert!(pushed.push(line(MAX_BYTES / 2)));
        assert!(pushed.push(line(MAX_BYTES / 4)));
        assert!(!pushed.push(line(MAX_BYTES / 4)), "no room");
        assert!(pushed.push(line(1)), "a shorter one");
        let lengths = async || {
            let lines = pushed.take().await;
            lines.iter().map(|line| line.text.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths().await, [MAX_BYTES / 2, MAX_BYTES / 4, 1]);
        assert!(pushed.push(line(MAX_BYTES / 2)), "the room is free again");
        assert_eq!(lengths().await, [MAX_BYTES / 2]);
        let mut empty = 0;
        while pushed.push(line(0)) {
            empty += 1;
        }
        assert!(empty < MAX_BYTES / 32, "an empty line takes room too");
    }
}
