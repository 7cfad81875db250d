//! The list that replicas share: its lines and its subscribers.

use std::{fmt, sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;

/// One line of the shared list. Lines are identified by their text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: Vec<u8>,
    /// The time after which the line can be removed. `None` if it is kept forever.
    pub(crate) until: Option<SystemTime>,
}

pub(crate) struct Subscriber {
    /// Called with lines of the list, including lines that the subscriber already has. This may
    /// take long: a shared store calls it on a separate thread.
    pub(crate) add: Box<dyn Fn(Vec<Line>) + Send + Sync>,
    /// Passes every line that the subscriber holds to a function, so that we can write missing ones
    /// back to the store. Also runs on a thread of the store, so it may take long too.
    pub(crate) held: Box<EachHeld>,
}

pub(crate) type EachHeld = dyn Fn(&mut dyn FnMut(Line)) + Send + Sync;

/// The subscribers of a store. Cheap to clone; clones share their state. No lock is held while a
/// subscriber is called, because a slow one should not hold up the others.
#[derive(Clone, Default)]
pub(crate) struct Subscribers(Arc<ArcSwap<Registered>>);

#[derive(Clone, Default)]
struct Registered {
    count: u64,
    subscribers: Vec<(u64, Arc<Subscriber>)>,
}

/// The registration of a subscriber. Dropping it removes the subscriber.
#[must_use = "dropping it removes the subscriber"]
pub(crate) struct Subscription {
    number: u64,
    subscribers: Subscribers,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscribers.0.rcu(|registered| {
            let mut registered = Registered::clone(registered);
            registered
                .subscribers
                .retain(|(number, _)| *number != self.number);
            registered
        });
    }
}

impl Subscribers {
    pub(crate) fn push(&self, subscriber: Subscriber) -> Subscription {
        let subscriber = Arc::new(subscriber);
        let before = self.0.rcu(|registered| {
            let mut registered = Registered::clone(registered);
            let added = (registered.count, Arc::clone(&subscriber));
            registered.subscribers.push(added);
            registered.count += 1;
            registered
        });
        Subscription {
            number: before.count,
            subscribers: self.clone(),
        }
    }

    /// Counts every subscriber so far, including those that were removed.
    #[cfg(feature = "redis")]
    pub(crate) fn count(&self) -> u64 {
        self.0.load().count
    }

    pub(crate) fn add(&self, lines: &[Line]) {
        for (_, subscriber) in &self.0.load_full().subscribers {
            (subscriber.add)(lines.to_vec());
        }
    }

    /// The lines of all subscribers for which `is_wanted` returns true
    pub(crate) fn held(&self, mut is_wanted: impl FnMut(&Line) -> bool) -> Vec<Line> {
        let mut held = Vec::new();
        for (_, subscriber) in &self.0.load_full().subscribers {
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
        write!(f, "Subscribers({})", self.0.load().subscribers.len())
    }
}
