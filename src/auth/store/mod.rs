//! The state that outlives a request: keys that may be used once, and a list that every replica
//! holds.
//!
//! A store knows no token. A claim is atomic: of all claims of one key, exactly one is the first,
//! over every replica that shares the store. A store that cannot be sure says so, and the request
//! is refused.

mod claim;
mod lines;
mod memory;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::{
    claim::{Claim, Claimed, Unavailable},
    lines::{Line, Subscriber},
};

use self::{lines::Subscribers, memory::Memory};

/// The default size of the memory: more than two million keys.
pub(crate) const DEFAULT_BYTES: usize = 64 << 20;

/// Remembers what may be used once. Cheap to clone; every clone is the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    backend: Backend,
}

enum Backend {
    Memory(Memory, Subscribers),
}

/// The state of a store, for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Health {
    /// False while the store does not answer. The memory of this process always answers.
    pub(crate) ok: bool,
    /// When the shared list was last read to its end. `None` if it never was.
    pub(crate) synchronized: Option<Instant>,
}

impl Store {
    /// Creates a store in the memory of this process, of at most `bytes`. It is exact for one
    /// replica. When it is full, claims fail until entries expire: it forgets nothing early.
    pub fn memory(bytes: usize) -> Self {
        Self::of(Backend::Memory(Memory::new(bytes), Subscribers::default()))
    }

    fn of(backend: Backend) -> Self {
        Self(Arc::new(Inner { backend }))
    }

    /// Claims a key. Exactly one claim of each key returns [`Claimed::First`].
    ///
    /// # Errors
    /// Returns [`Unavailable`] if the store cannot tell. The key may be recorded all the same, so a
    /// second claim after an error may return [`Claimed::Used`].
    #[allow(clippy::unused_async, reason = "a shared store waits for its answer")]
    pub(crate) async fn claim(&self, claim: Claim) -> Result<Claimed, Unavailable> {
        match &self.0.backend {
            Backend::Memory(memory, _) => memory.claim(&claim),
        }
    }

    /// Adds a line to the list that the replicas share, and tells the subscribers of all replicas.
    ///
    /// # Errors
    /// Returns [`Unavailable`] if the store did not confirm the line.
    #[allow(clippy::unused_async, reason = "a shared store waits for its answer")]
    pub(crate) async fn publish(&self, line: Line) -> Result<(), Unavailable> {
        match &self.0.backend {
            Backend::Memory(_, subscribers) => {
                subscribers.add(&[line]);
                Ok(())
            }
        }
    }

    /// Adds a subscriber to the shared list. It is given the whole list soon, and every later line.
    pub(crate) fn watch(&self, subscriber: Subscriber) {
        match &self.0.backend {
            Backend::Memory(_, subscribers) => subscribers.push(subscriber),
        }
    }

    pub(crate) fn health(&self) -> Health {
        match &self.0.backend {
            Backend::Memory(..) => Health {
                ok: true,
                synchronized: Some(Instant::now()),
            },
        }
    }

    /// Returns whether other processes use the same store.
    pub(crate) fn is_shared(&self) -> bool {
        match &self.0.backend {
            Backend::Memory(..) => false,
        }
    }

    /// Returns how long ago the shared list was last read to its end. `None` if it never was.
    pub(crate) fn list_age(&self) -> Option<Duration> {
        self.health().synchronized.map(|at| at.elapsed())
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::memory(DEFAULT_BYTES)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = match &self.0.backend {
            Backend::Memory(..) => "memory",
        };
        f.debug_struct("Store")
            .field("backend", &backend)
            .finish_non_exhaustive()
    }
}
