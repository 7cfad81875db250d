use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    super::pushed::MAX_BYTES,
    claim, connected, connected_with,
    server::{Proxy, RedisServer, Replies},
    until,
};
use crate::auth::store::{
    Claimed, Health, Line, Store, Subscriber, Unavailable, lines::Subscription,
};

/// The name of the sorted set.
const LIST: &str = "warp-bearer:list";

/// The channel of the database 0.
const CHANNEL: &str = "warp-bearer:list@0";

type Lines = BTreeSet<(Vec<u8>, Option<SystemTime>)>;

#[derive(Debug, Clone, Default)]
struct Held(Arc<Mutex<Lines>>);

impl Held {
    /// Watches a store for as long as the store exists.
    fn watch(store: &Store) -> Self {
        let held = Self::default();
        std::mem::forget(held.subscribe(store));
        held
    }

    /// Watches a store until the returned value is dropped.
    fn subscribe(&self, store: &Store) -> Subscription {
        let (to, from) = (self.clone(), self.clone());
        store.watch(Subscriber {
            add: Box::new(move |lines| lines.into_iter().for_each(|line| to.add(line))),
            held: Box::new(move |with| from.lines().into_iter().for_each(with)),
        })
    }

    fn add(&self, line: Line) {
        self.0.lock().unwrap().insert((line.text, line.until));
    }

    fn lines(&self) -> Vec<Line> {
        let held = self.0.lock().unwrap();
        let lines = held.iter().map(|(text, until)| Line {
            text: text.clone(),
            until: *until,
        });
        lines.collect()
    }

    fn has(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.text == text.as_bytes())
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn line(text: &str) -> Line {
    Line {
        text: text.into(),
        until: None,
    }
}

#[tokio::test]
async fn pushes_a_line_to_every_process() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let [one, other] = [
        connected(&server.url()).await,
        connected(&server.url()).await,
    ];
    let (held, remote) = (Held::watch(&one), Held::watch(&other));
    until(|| async { one.health().is_synchronized && other.health().is_synchronized }).await;
    for round in 0..100 {
        let text = format!(r#"{{"jti":"{round} with blanks"}}"#);
        // Redis stores milliseconds
        let until_then = SystemTime::UNIX_EPOCH + Duration::from_millis(4_000_000_000_123 + round);
        let line = Line {
            text: text.clone().into(),
            until: Some(until_then),
        };
        one.publish(line.clone()).await.unwrap();
        assert!(held.lines().contains(&line), "at once");
        let waited = until(|| async { remote.has(&text) }).await;
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        assert!(remote.lines().contains(&line));
    }
    let read = one.lines().await.unwrap();
    assert_eq!(read.len(), 100);
    assert!(held.lines().iter().all(|line| read.contains(line)));
}

#[tokio::test]
async fn gives_the_whole_list_to_a_late_subscriber() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let one = connected(&server.url()).await;
    for number in 0..2500 {
        one.publish(line(&number.to_string())).await.unwrap();
    }
    let other = connected(&server.url()).await;
    until(|| async { other.health().is_synchronized }).await;
    let late = Held::watch(&other);
    assert!(
        !other.health().is_synchronized,
        "the new subscriber was given nothing yet"
    );
    assert_eq!(other.list_age(), None);
    until(|| async { other.health().is_synchronized }).await;
    assert_eq!(late.len(), 2500);
    assert!(other.list_age().unwrap() < Duration::from_secs(10));
}

/// A fast server is connected again, and its list read, before anyone looks.
#[tokio::test]
async fn list_lacks_lines_until_it_is_read_on_the_next_connection() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let _held = Held::watch(&store);
    until(|| async { store.health().is_synchronized }).await;
    for _ in 0..5 {
        let connects = store.health().connects;
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        until(|| async { !store.health().ok || store.health().connects > connects }).await;
        until(|| async { store.health().ok && !store.health().lacks_lines }).await;
        assert!(store.health().connects > connects);
    }

    server.kill();
    until(|| async { !store.health().ok }).await;
    assert!(store.health().lacks_lines);
    assert!(store.health().is_synchronized, "it was read before");
    server.restart();
    until(|| async { store.health().ok && !store.health().lacks_lines }).await;
}

#[tokio::test]
async fn writes_back_lines_after_a_restart_without_data() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let held = Held::watch(&store);
    for number in 0..2500 {
        store.publish(line(&number.to_string())).await.unwrap();
    }
    let expired = Line {
        until: Some(SystemTime::now() - Duration::from_secs(1)),
        ..line("expired")
    };
    held.add(expired);

    server.kill();
    until(|| async { !store.health().ok }).await;
    assert!(store.publish(line("lost")).await.is_err());
    assert_eq!(
        held.len(),
        2501,
        "no line is removed while the store is down"
    );
    server.restart();
    // a new process, which holds nothing, receives the list again
    let new = connected(&server.url()).await;
    let restored = Held::watch(&new);
    until(|| async { restored.len() == 2500 }).await;
    assert!(!restored.has("expired"));
    assert_eq!(server.command(&["ZCARD", LIST]).await, ":2500");
}

#[tokio::test]
async fn writes_back_when_the_store_was_emptied_under_an_open_connection() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let _held = Held::watch(&store);
    store.publish(line("kept")).await.unwrap();
    assert_eq!(server.command(&["FLUSHALL"]).await, "+OK");
    let list = || async { server.command(&["ZCARD", LIST]).await == ":1" };
    let waited = until(list).await;
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test]
async fn removes_long_expired_lines_only_from_the_store() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let one = connected(&server.url()).await;
    let held = Held::watch(&one);
    let ago = |seconds| Some(SystemTime::now() - Duration::from_secs(seconds));
    one.publish(Line {
        until: ago(3600),
        ..line("hour")
    })
    .await
    .unwrap();
    one.publish(Line {
        until: ago(60),
        ..line("minute")
    })
    .await
    .unwrap();
    let other = connected(&server.url()).await;
    until(|| async { other.health().is_synchronized }).await;
    let left = other.lines().await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].text, b"minute");
    assert!(held.has("hour"), "the subscriber keeps its line");
}

#[tokio::test]
async fn ignores_invalid_messages_and_members() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let held = Held::watch(&store);
    until(|| async { store.health().is_synchronized }).await;
    for message in ["none", "x\\ y", "1e999\\ y"] {
        server.command(&["PUBLISH", CHANNEL, message]).await;
    }
    server.command(&["PUBLISH", CHANNEL, "\"inf good\""]).await;
    until(|| async { held.has("good") }).await;
    assert_eq!(held.len(), 1);
}

/// Reading a long list takes longer than the timeout of a claim. The connection must stay open.
#[tokio::test]
async fn reads_the_list_slowly_over_the_same_connection() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let store = connected_with(&proxy.url(), Duration::from_millis(100)).await;
    until(|| async { store.health().is_synchronized }).await;
    let connects = store.health().connects;
    proxy.set(Replies::Late(Duration::from_millis(200)));
    let _held = Held::watch(&store);
    until(|| async { store.health().is_synchronized }).await;
    assert_eq!(store.health().connects, connects);
}

/// A subscriber may take long to collect its lines. Claims and new lines must not wait for it.
#[tokio::test]
async fn claims_while_a_subscriber_collects_its_lines() {
    const LONG: Duration = Duration::from_secs(5);
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, end) = mpsc::channel::<()>();
    let (added, adds) = mpsc::channel();
    let (end, started) = (Mutex::new(end), Instant::now());
    let _subscription = store.watch(Subscriber {
        add: Box::new(move |lines| lines.into_iter().for_each(|line| added.send(line).unwrap())),
        held: Box::new(move |_| {
            calls.send(()).unwrap();
            let _ = end.lock().unwrap().recv_timeout(LONG);
        }),
    });
    called.recv().await.unwrap();
    assert_eq!(store.claim(claim("meanwhile")).await, Ok(Claimed::First));
    store.publish(line("pushed")).await.unwrap();
    assert_eq!(adds.try_recv().unwrap().text, b"pushed");
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
    assert!(!store.health().is_synchronized);
    go_on.send(()).unwrap();
    until(|| async { store.health().is_synchronized }).await;
}

#[tokio::test]
async fn forgets_a_subscriber_that_is_dropped() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let held = Held::default();
    let subscription = held.subscribe(&store);
    assert!(Arc::strong_count(&held.0) > 1);
    drop(subscription);
    until(|| async { Arc::strong_count(&held.0) == 1 }).await;
    // A new subscriber must not count as synchronized just because the dropped one was.
    until(|| async { store.health().is_synchronized }).await;
    let next = Held::watch(&store);
    assert!(!store.health().is_synchronized);
    until(|| async { store.health().is_synchronized }).await;
    assert_eq!(next.len(), 0);
}

/// Adding lines to a long list takes long. Claims do not wait for it, and the lines that arrive in
/// the meantime are added at once, because each call copies a part of the list.
#[tokio::test]
async fn claims_while_a_subscriber_adds_lines() {
    const LONG: Duration = Duration::from_secs(5);
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, end) = mpsc::channel::<()>();
    let end = Mutex::new(Some(end));
    let _subscription = store.watch(Subscriber {
        add: Box::new(move |lines| {
            let first = end.lock().unwrap().take();
            let is_over = first.is_none_or(|end| end.recv_timeout(LONG).is_ok());
            calls.send((lines.len(), is_over)).unwrap();
        }),
        held: Box::new(|_| {}),
    });
    until(|| async { store.health().is_synchronized }).await;
    let push = async |text: String| {
        server
            .command(&["PUBLISH", CHANNEL, &format!("\"inf {text}\"")])
            .await
    };
    for number in 0..20 {
        assert_eq!(push(number.to_string()).await, ":1");
        // the replies to claims arrive after the lines that were published before
        let name = format!("meanwhile {number}");
        assert_eq!(store.claim(claim(&name)).await, Ok(Claimed::First));
    }
    let _ = go_on.send(());
    assert_eq!(
        called.recv().await,
        Some((1, true)),
        "released before the timeout"
    );
    assert_eq!(called.recv().await, Some((19, true)), "all at once");
}

/// If lines arrive faster than we add them, those for which there is no room are read again.
#[tokio::test]
async fn reads_lines_again_for_which_there_was_no_room() {
    const LINES: usize = 9;
    let Some(server) = RedisServer::start() else {
        return;
    };
    let slow = Duration::from_secs(5);
    let one = connected_with(&server.url(), slow).await;
    let other = connected_with(&server.url(), slow).await;
    let held = Held::default();
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, end) = mpsc::channel::<()>();
    let end = Mutex::new(Some(end));
    let added = held.clone();
    let _subscription = other.watch(Subscriber {
        add: Box::new(move |lines| {
            if let Some(end) = end.lock().unwrap().take() {
                calls.send(()).unwrap();
                let _ = end.recv_timeout(slow);
            }
            for line in lines {
                added.add(line);
            }
        }),
        held: Box::new(|_| {}),
    });
    until(|| async { other.health().is_synchronized }).await;
    one.publish(line("first")).await.unwrap();
    called.recv().await.unwrap();
    for number in 0..LINES {
        let text = number.to_string().repeat(MAX_BYTES / (LINES - 1));
        one.publish(line(&text)).await.unwrap();
    }
    until(|| async { other.health().lacks_lines }).await;
    assert!(other.health().is_synchronized, "it was read before");
    go_on.send(()).unwrap();
    until(|| async { held.len() == LINES + 1 }).await;
    until(|| async { !other.health().lacks_lines }).await;
}

/// Publish and subscribe ignore the database, so the name of the channel must contain it.
#[tokio::test]
async fn databases_of_one_server_share_no_lines() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let in_database = |number: u8| format!("{}/{number}", server.url());
    let one = connected(&in_database(0)).await;
    let same = connected(&in_database(0)).await;
    let other = connected(&in_database(1)).await;
    let held = Held::watch(&one);
    until(|| async { one.health().is_synchronized }).await;
    other.publish(line("other")).await.unwrap();
    // messages arrive in the order in which they were sent
    same.publish(line("same")).await.unwrap();
    until(|| async { held.has("same") }).await;
    assert!(!held.has("other"));
}

/// Other parts of the process may keep all blocking threads busy, e.g. with name lookups that hang.
#[test]
fn shares_lines_while_no_blocking_thread_is_free() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1);
    let runtime = runtime.build().unwrap();
    let (go_on, end) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || end.recv());
    runtime.block_on(async {
        let (one, other) = (
            connected(&server.url()).await,
            connected(&server.url()).await,
        );
        let held = Held::watch(&one);
        until(|| async { one.health().is_synchronized }).await;
        other.publish(line("pushed")).await.unwrap();
        until(|| async { held.has("pushed") }).await;
        one.publish(line("published")).await.unwrap();
        assert!(held.has("published"));
        let list = async |length: &str| server.command(&["ZCARD", LIST]).await == length;
        held.add(line("written back"));
        one.resync();
        until(|| list(":3")).await;
        server.command(&["ZADD", LIST, "inf", "read"]).await;
        one.resync();
        until(|| async { held.has("read") }).await;
    });
    drop(go_on);
}

/// Lines that a subscriber does not have yet are missing, like lines that were not received.
#[tokio::test]
async fn lacks_lines_that_a_subscriber_has_not_added_in_time() {
    const LONG: Duration = Duration::from_secs(10);
    let Some(server) = RedisServer::start() else {
        return;
    };
    let other = connected(&server.url()).await;
    for is_pushed in [true, false] {
        let store = connected(&server.url()).await;
        let (go_on, end) = mpsc::channel::<()>();
        let end = Mutex::new(end);
        let slow = Arc::new(AtomicBool::new(false));
        let is_slow = Arc::clone(&slow);
        let _subscription = store.watch(Subscriber {
            add: Box::new(move |_| {
                if is_slow.load(Relaxed) {
                    let _ = end.lock().unwrap().recv_timeout(LONG);
                }
            }),
            held: Box::new(|_| {}),
        });
        until(|| async { store.health().is_synchronized }).await;
        let connects = store.health().connects;
        let begin = Instant::now();
        slow.store(true, Relaxed);
        if is_pushed {
            other.publish(line("pushed")).await.unwrap();
        } else {
            server.command(&["ZADD", LIST, "inf", "read"]).await;
            store.resync();
        }
        until(|| async { store.health().lacks_lines }).await;
        let waited = begin.elapsed();
        let Health {
            ok, connects: now, ..
        } = store.health();
        // On a busy machine, the connection may have been lost. The whole list, which has the line of
        // the first pass, may also have been on its way before `begin`.
        if ok && now == connects {
            assert!(
                waited >= Duration::from_millis(500),
                "{is_pushed} {waited:?}"
            );
        }
        assert!(store.health().is_synchronized, "it was read before");
        drop(go_on);
        until(|| async { !store.health().lacks_lines }).await;
    }
}

/// A lost reply costs neither the connection nor a line: what this process holds is written back.
#[tokio::test]
async fn writes_back_lines_after_a_lost_reply() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let store = connected_with(&proxy.url(), Duration::from_millis(100)).await;
    let held = Held::watch(&store);
    until(|| async { store.health().is_synchronized }).await;
    // A caller that publishes several lines stops when one fails. This is the one after `first`.
    held.add(line("next"));
    proxy.set(Replies::Late(Duration::from_millis(300)));
    let published = store.publish(line("first")).await;
    assert_eq!(published, Err(Unavailable::Timeout));
    proxy.set(Replies::Pass);
    let list = || async { server.command(&["ZCARD", LIST]).await == ":2" };
    until(list).await;
}
