//! Shares the list with other processes through a store.
//!
//! Synchronization only adds entries. It reads the lines in the store, and writes back the lines
//! that are missing there. If the store loses its data, no revoked token becomes valid again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::time::sleep;

use crate::auth::{
    clock::Clock,
    revocation::{
        entry::Revocation,
        list::RevocationList,
        source::{Staleness, Task, Watch},
    },
    store::{Line, Store, Subscriber},
};

/// How often the age of the list is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the age is checked until the list is first read.
const INITIAL_INTERVAL: Duration = Duration::from_millis(20);

/// Starts sharing the list. Needs a tokio runtime.
pub(in crate::auth) fn start(
    store: &Store,
    list: &Arc<RevocationList>,
    clock: &Clock,
    staleness: Staleness,
) -> (Arc<Watch>, Task) {
    let watch = Watch::new("store", list, Some(staleness));
    let subscription = store.watch(subscriber(list, clock));
    let (store, watched) = (store.clone(), Arc::clone(&watch));
    let (list, clock) = (Arc::clone(list), clock.clone());
    let task = tokio::spawn(async move {
        // A store may outlive the list: another `Auth` may use it.
        let _subscription = subscription;
        let mut looks = 0_u32;
        loop {
            let age = store.list_age();
            watched.observe(age, store.health().ok);
            sleep(if age.is_some() {
                CHECK_INTERVAL
            } else {
                INITIAL_INTERVAL
            })
            .await;
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(60) {
                list.sweep(clock.now());
            }
        }
    });
    (watch, Task(task))
}

/// Converts an entry to a line.
pub(crate) fn line(entry: &Revocation) -> Line {
    let until = entry.until_seconds();
    let until = until.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Line {
        text: entry.to_json().into_bytes(),
        until: until.and_then(|until| SystemTime::UNIX_EPOCH.checked_add(until)),
    }
}

/// Converts a line to an entry. `None` if it is not one.
pub(crate) fn entry(line: &Line) -> Option<Revocation> {
    let text = str::from_utf8(&line.text).ok()?;
    Revocation::from_json(text).ok()
}

fn subscriber(list: &Arc<RevocationList>, clock: &Clock) -> Subscriber {
    let (to, from) = (Arc::clone(list), Arc::clone(list));
    let (now, then) = (clock.clone(), clock.clone());
    let reported = AtomicBool::new(false);
    Subscriber {
        add: Box::new(move |lines| {
            let entries: Vec<_> = lines.iter().filter_map(entry).collect();
            // Logged only once, because there are probably many such lines.
            if entries.len() < lines.len() && !reported.swap(true, Relaxed) {
                tracing::error!("state store has lines that are not revocations; skipped");
            }
            to.add(entries, now.now());
        }),
        held: Box::new(move |with| from.each(then.now(), |entry| with(line(&entry)))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;
    use crate::auth::revocation::RevocationOutage;

    #[tokio::test]
    async fn a_store_forgets_a_list_that_is_no_longer_shared() {
        let (store, list) = (Store::memory(1024), Arc::new(RevocationList::new()));
        let staleness = Staleness {
            limit: Duration::from_secs(300),
            outage: RevocationOutage::Refuse,
        };
        for _ in 0..3 {
            let shared = start(&store, &list, &Clock::default(), staleness);
            yield_now().await;
            assert!(Arc::strong_count(&list) > 1);
            drop(shared);
            yield_now().await;
            assert_eq!(Arc::strong_count(&list), 1);
        }
    }
}
