//! Shares the list with other processes through a store.
//!
//! Synchronization only adds entries. We read the lines in the store, and write back the ones that
//! are missing there. Even if the store loses its data, no revoked token will become valid again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep},
};

use crate::auth::{
    clock::Clock,
    revocation::{
        entry::Revocation,
        list::RevocationList,
        source::{Staleness, Task, Watch},
    },
    store::{Health, Line, Store, Subscriber},
};

/// How long the first connection may take before it counts as a failure.
const START: Duration = Duration::from_secs(1);

/// How often we check the connection. Must be shorter than the pause before the store reconnects,
/// or we could miss a loss of the connection.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How often the age is checked until the list is first read
const INITIAL_INTERVAL: Duration = Duration::from_millis(20);

/// The number of checks after which expired entries are removed: about a minute.
const SWEEP_AFTER: u32 = 600;

/// Starts sharing the list. Needs a tokio runtime.
pub(in crate::auth) fn start(
    store: &Store,
    list: &Arc<RevocationList>,
    clock: &Clock,
    staleness: Staleness,
) -> (Arc<Watch>, Task) {
    // A list is too old if its age is at least the limit. A current list has the age zero, and with
    // a limit of zero this would reject it.
    let limit = staleness.limit.max(Duration::from_nanos(1));
    let staleness = Staleness { limit, ..staleness };
    let watch = Watch::new("store", list, Some(staleness));
    let subscription = store.watch(subscriber(list, clock));
    let (store, watched) = (store.clone(), Arc::clone(&watch));
    let (list, clock) = (Arc::clone(list), clock.clone());
    let task = tokio::spawn(async move {
        // End the subscription with this task, as another `Auth` might keep the store alive
        let _subscription = subscription;
        let (mut looks, mut currency) = (0_u32, Currency::default());
        let mut sweep: Option<JoinHandle<()>> = None;
        let begin = Instant::now();
        loop {
            let health = store.health();
            let age = currency.age(health);
            // the first connection takes a moment, which isn't a failure
            let is_starting = health.connects == 0 && begin.elapsed() < START;
            watched.observe(age, health.ok || is_starting);
            sleep(if age.is_some() {
                CHECK_INTERVAL
            } else {
                INITIAL_INTERVAL
            })
            .await;
            looks = looks.wrapping_add(1);
            let is_sweeping = sweep.as_ref().is_some_and(|sweep| !sweep.is_finished());
            if looks.is_multiple_of(SWEEP_AFTER) && !is_sweeping {
                let (list, clock) = (Arc::clone(&list), clock.clone());
                // On a blocking thread (100,000 entries take about 0.1 s), and without waiting for
                // it. This task must still notice when the connection is lost.
                sweep = Some(spawn_blocking(move || list.sweep(clock.now())));
            }
        }
    });
    (watch, Task(task))
}

/// How long the list has been out of date.
///
/// A connected store pushes each new entry, so the list is current once it has been read on a
/// connection, until that connection is lost or an entry is missed.
#[derive(Debug, Default)]
struct Currency {
    /// The last time that the list was current
    current_at: Option<Instant>,
}

impl Currency {
    /// The time since the list was current: zero if it is, `None` if it never was.
    fn age(&mut self, health: Health) -> Option<Duration> {
        let now = Instant::now();
        if health.ok && health.is_synchronized && !health.lacks_lines {
            self.current_at = Some(now);
        }
        self.current_at.map(|at| now - at)
    }
}

pub(crate) fn line(entry: &Revocation) -> Line {
    let until = entry.until_seconds();
    let until = until.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Line {
        text: entry.to_json().into_bytes(),
        until: until.and_then(|until| SystemTime::UNIX_EPOCH.checked_add(until)),
    }
}

/// `None` if the line isn't an entry
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
            // Only once, as there are probably many such lines
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
    use std::thread;

    use tokio::{sync::mpsc, task::yield_now, time::advance};

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

    #[tokio::test(start_paused = true)]
    async fn sweeps_on_a_thread_for_blocking_work() {
        let (called, mut calls) = mpsc::unbounded_channel();
        let clock = Clock::new(move || {
            let _ = called.send(thread::current().id());
            SystemTime::now()
        });
        let (store, list) = (Store::memory(1024), Arc::new(RevocationList::new()));
        let staleness = Staleness {
            limit: Duration::from_secs(300),
            outage: RevocationOutage::Refuse,
        };
        let _shared = start(&store, &list, &clock, staleness);
        assert_ne!(calls.recv().await.unwrap(), thread::current().id());
    }

    #[test]
    fn lines_that_arrive_together_change_the_list_once() {
        let list = Arc::new(RevocationList::new());
        let subscriber = subscriber(&list, &Clock::default());
        let changes = list.changes();
        let before = *changes.borrow();
        let lines = (0..1000).map(|n| line(&Revocation::token("https://a/", n.to_string())));
        (subscriber.add)(lines.collect());
        assert_eq!(list.len(), 1000);
        assert_eq!(*changes.borrow(), before + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn age_counts_from_the_loss_of_the_connection_or_of_a_line() {
        const SECOND: Duration = Duration::from_secs(1);
        let mut currency = Currency::default();
        // each row is a second after the one before it
        #[rustfmt::skip]
        let rows = [
            ("not connected yet", false, false, false, None),
            ("connected, not read", true, false, false, None),
            ("read", true, true, false, Some(0)),
            ("not read again", true, true, false, Some(0)),
            ("lost", false, true, true, Some(1)),
            ("still lost", false, true, true, Some(2)),
            ("connected again, not read", true, true, true, Some(3)),
            ("read again", true, true, false, Some(0)),
            ("a line was missed", true, true, true, Some(1)),
            ("and read", true, true, false, Some(0)),
        ];
        for (case, ok, is_synchronized, lacks_lines, expected) in rows {
            advance(SECOND).await;
            let health = Health {
                ok,
                is_synchronized,
                lacks_lines,
                connects: 0,
                keys: 0,
            };
            let age = currency.age(health);
            assert_eq!(age, expected.map(|seconds| seconds * SECOND), "{case}");
        }
    }
}
