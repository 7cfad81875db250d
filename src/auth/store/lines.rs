//! The list that all replicas share: its lines, and who is told of them.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// One line of the shared list. Two lines with the same text are the same line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: Vec<u8>,
    /// The line may leave the list after this time. `None` if it stays for good.
    pub(crate) until: Option<SystemTime>,
}

/// What a holder of the list does with it. The functions run on the store's task and must not
/// block.
pub(crate) struct Subscriber {
    /// Adds lines to the list that is held. It is called with lines that are held already.
    pub(crate) add: Box<dyn Fn(Vec<Line>) + Send + Sync>,
    /// Passes on each line to write back to a store that lacks it.
    pub(crate) held: Box<EachHeld>,
}

/// A function that passes each line that is held to another.
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

    /// Returns the lines that the subscribers hold, as far as they are wanted.
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
