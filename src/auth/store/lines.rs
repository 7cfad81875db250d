//! The list that all replicas share: its lines and its subscribers.

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;

/// One line of the shared list. Lines are identified by their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: Vec<u8>,
    /// The time after which the line may be removed. `None` if it stays indefinitely.
    pub(crate) until: Option<SystemTime>,
}

/// The callbacks of a holder of the list.
pub(crate) struct Subscriber {
    /// Adds lines to the holder's list. May be called with lines that it already has. Runs on the
    /// store's task and must not block.
    pub(crate) add: Box<dyn Fn(Vec<Line>) + Send + Sync>,
    /// Passes on each line that a store lacks, to write it back. May take long: it runs on a thread
    /// for blocking work.
    pub(crate) held: Box<EachHeld>,
}

/// A function that passes each held line to another function.
pub(crate) type EachHeld = dyn Fn(&mut dyn FnMut(Line)) + Send + Sync;

/// The subscribers of a store. Cheap to clone; clones share their state. No lock is held while a
/// subscriber is called, so that a slow one does not hold up the others.
#[derive(Clone, Default)]
pub(crate) struct Subscribers(Arc<ArcSwap<Vec<Arc<Subscriber>>>>);

impl Subscribers {
    pub(crate) fn push(&self, subscriber: Subscriber) {
        let subscriber = Arc::new(subscriber);
        self.0.rcu(|subscribers| {
            let mut subscribers = Vec::clone(subscribers);
            subscribers.push(Arc::clone(&subscriber));
            subscribers
        });
    }

    #[cfg(feature = "redis")]
    pub(crate) fn len(&self) -> usize {
        self.0.load().len()
    }

    pub(crate) fn add(&self, lines: &[Line]) {
        for subscriber in &*self.0.load_full() {
            (subscriber.add)(lines.to_vec());
        }
    }

    /// Returns the lines that the subscribers hold, as far as they are wanted.
    pub(crate) fn held(&self, mut is_wanted: impl FnMut(&Line) -> bool) -> Vec<Line> {
        let mut held = Vec::new();
        for subscriber in &*self.0.load_full() {
            (subscriber.held)(&mut |line| {
                if is_wanted(&line) {
                    held.push(line);
                }
            });
        }
        held
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscribers({})", self.0.load().len())
    }
}
