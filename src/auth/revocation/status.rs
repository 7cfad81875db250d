//! [`Revocations`]: the list of an `Auth` with its sources, and [`RevocationStatus`] for operators.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::auth::revocation::{
    entry::Revocation,
    list::RevocationList,
    source::{Task, Watch},
};

/// The list and the tasks that read its sources. Dropping this value aborts the tasks.
#[derive(Debug)]
pub(crate) struct Revocations {
    pub(in crate::auth) list: Arc<RevocationList>,
    watches: Vec<Arc<Watch>>,
    _tasks: Vec<Task>,
}

/// The state of the revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationStatus {
    /// The number of entries.
    pub entries: usize,
    /// The sources of the list.
    pub sources: Vec<RevocationSourceStatus>,
}

/// The state of one source of revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationSourceStatus {
    /// `file`, `store`, or the [name](crate::auth::revocation::RevocationSource::name) of a source.
    pub name: &'static str,
    /// Time since the source was last read. `None` if it never was.
    pub age: Option<Duration>,
    /// True if the last attempt to read it failed.
    pub is_failing: bool,
}

impl Revocations {
    pub(in crate::auth) fn new(
        list: Arc<RevocationList>,
        sources: impl IntoIterator<Item = (Arc<Watch>, Task)>,
    ) -> Self {
        let (watches, tasks) = sources.into_iter().unzip();
        Self {
            list,
            watches,
            _tasks: tasks,
        }
    }

    /// Adds entries, which are in force when this returns, and returns the new ones. From time to
    /// time, entries must be merged into the list. For 100,000 entries this takes about 0.1 s, so in a
    /// tokio runtime a blocking thread does it.
    pub(in crate::auth) fn add(
        &self,
        revocations: impl IntoIterator<Item = Revocation>,
        now: f64,
    ) -> Vec<Revocation> {
        let added = self.list.add_recent(revocations, now);
        if self.list.request_merge() {
            let list = Arc::clone(&self.list);
            let merge = move || list.merge(now);
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(merge)),
                Err(_) => merge(),
            }
        }
        added
    }

    pub(in crate::auth) fn entries(&self, now: f64) -> Vec<Revocation> {
        self.list.entries(now)
    }

    /// Returns true if every source was read at least once.
    pub(in crate::auth) fn is_synchronized(&self) -> bool {
        self.watches.iter().all(|watch| watch.age().is_some())
    }

    pub(in crate::auth) fn status(&self) -> RevocationStatus {
        let sources = self.watches.iter().map(|watch| RevocationSourceStatus {
            name: watch.name,
            age: watch.age(),
            is_failing: watch.is_failing(),
        });
        RevocationStatus {
            entries: self.list.len(),
            sources: sources.collect(),
        }
    }
}
