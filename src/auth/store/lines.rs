//! The list that replicas share: its lines and its subscribers.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// One line of the shared list. Lines are identified by their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: Vec<u8>,
    /// The time after which the line can be removed. `None` if it is kept forever.
    pub(crate) until: Option<SystemTime>,
}

/// The callbacks of a subscriber. They run on the store's task and must not block.
pub(crate) struct Subscriber {
    /// Called with lines of the list, including lines that the subscriber already has.
    pub(crate) add: Box<dyn Fn(Vec<Line>) + Send + Sync>,
    /// Passes every line that the subscriber holds to a function, so missing ones can be written
    /// back to the store.
    pub(crate) held: Box<EachHeld>,
}

/// A function that passes each held line to another function.
pub(crate) type EachHeld = dyn Fn(&mut dyn FnMut(Line)) + Send + Sync;

/// The subscribers of a store.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Vec<Subscriber>>);

impl Subscribers {
    pub(crate) fn push(&self, subscriber: Subscriber) {
        self.lock().push(subscriber);
    }

    #[cfg(feature = "redis")]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn add(&self, lines: &[Line]) {
        for subscriber in self.lock().iter() {
            (subscriber.add)(lines.to_vec());
        }
    }

    /// Returns the lines of all subscribers for which `is_wanted` returns true.
    pub(crate) fn held(&self, mut is_wanted: impl FnMut(&Line) -> bool) -> Vec<Line> {
        let mut held = Vec::new();
        for subscriber in self.lock().iter() {
            (subscriber.held)(&mut |line| {
                if is_wanted(&line) {
                    held.push(line);
                }
            });
        }
        held
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscribers({})", self.lock().len())
    }
}
