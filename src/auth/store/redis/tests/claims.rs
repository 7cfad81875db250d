use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::task::JoinSet;

use super::{
    TIMEOUT, claim, connected, connected_with, recovered,
    server::{Proxy, RedisServer, Replies},
    until,
};
use crate::auth::store::{Claim, Claimed, RedisOptions, Store, Unavailable, redis::shared::Names};

/// The maximum time for recovery after the server has returned: 0.2 s until the next attempt, and
/// 0.5 s by which the birth is dated ahead. The rest is for a busy machine.
const RECOVERY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_one_of_many_concurrent_claims_over_two_stores() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let stores = [
        connected_with(&server.url(), Duration::from_secs(1)).await,
        connected_with(&server.url(), Duration::from_secs(1)).await,
    ];
    for round in 0..100 {
        let claim = claim(&round.to_string());
        let mut claims = JoinSet::new();
        for number in 0..200 {
            let store = stores[number % 2].clone();
            claims.spawn(async move { store.claim(claim).await });
        }
        let claims = claims.join_all().await;
        let first = claims
            .iter()
            .filter(|claimed| **claimed == Ok(Claimed::First));
        assert_eq!(first.count(), 1, "round {round}");
        let used = claims
            .iter()
            .filter(|claimed| **claimed == Ok(Claimed::Used));
        assert_eq!(used.count(), 199, "round {round}");
    }
}

/// A replica whose clock is behind ours may accept a value for longer.
#[tokio::test]
async fn keeps_a_key_longer_by_the_allowed_clock_skew() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let [one, other] = [
        connected(&server.url()).await,
        connected(&server.url()).await,
    ];
    let claim = claim("short");
    let short = Claim {
        until: claim.now + Duration::from_secs(10),
        ..claim
    };
    assert_eq!(one.claim(short).await, Ok(Claimed::First));
    assert_eq!(other.claim(short).await, Ok(Claimed::Used));
    let name = Names::new("warp-bearer:", 0).claim(&short.key);
    let left = server.command(&["PTTL", &name]).await;
    let left: u64 = left.trim_start_matches(':').parse().unwrap();
    assert!((14_000..=15_001).contains(&left), "{left} ms");
    // then the server forgets it
    assert_eq!(server.command(&["PEXPIRE", &name, "1"]).await, ":1");
    until(|| async { server.command(&["EXISTS", &name]).await == ":0" }).await;
    let issued_at = SystemTime::now();
    let claimed = other.claim(Claim { issued_at, ..short }).await;
    assert_eq!(claimed, Ok(Claimed::First));
}

#[tokio::test]
async fn is_unavailable_until_the_server_can_be_reached() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    server.kill();
    let store = Store::redis(&server.url(), &RedisOptions::default()).unwrap();
    assert_eq!(store.claim(claim("a")).await, Err(Unavailable::Connection));
    assert!(!store.health().ok);
    assert!(!store.health().is_synchronized);
    server.restart();
    let waited = recovered(&store).await;
    assert!(waited < RECOVERY + RECOVERY, "{waited:?}");
    until(|| async { store.health().ok && store.health().is_synchronized }).await;
}

#[tokio::test]
async fn rejects_values_issued_before_the_server_restarted_empty() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let [one, other] = [
        connected(&server.url()).await,
        connected(&server.url()).await,
    ];
    let (used, unused) = (claim("used"), claim("unused"));
    assert_eq!(one.claim(used).await, Ok(Claimed::First));
    server.kill();
    let begin = Instant::now();
    for store in [&one, &other] {
        let claimed = store.claim(unused).await;
        assert_eq!(claimed, Err(Unavailable::Connection));
    }
    assert_eq!(
        one.claim(used).await,
        Ok(Claimed::Used),
        "it remembers what it accepted"
    );
    assert_eq!(other.claim(used).await, Err(Unavailable::Connection));
    assert!(
        begin.elapsed() < Duration::from_millis(500),
        "{:?}",
        begin.elapsed()
    );

    server.restart();
    for store in [&one, &other] {
        let waited = recovered(store).await;
        assert!(waited < RECOVERY, "{waited:?}");
    }
    assert_eq!(one.claim(used).await, Ok(Claimed::Used));
    assert_eq!(other.claim(used).await, Err(Unavailable::TooOld));
    assert_eq!(other.claim(unused).await, Err(Unavailable::TooOld));
}

/// A server that starts from a snapshot has an old birth time, and has forgotten what was used
/// after the snapshot.
#[tokio::test]
async fn rejects_a_used_value_after_a_restart_from_an_old_snapshot() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let [one, other] = [
        connected(&server.url()).await,
        connected(&server.url()).await,
    ];
    let before = claim("before the snapshot");
    assert_eq!(one.claim(before).await, Ok(Claimed::First));
    assert_eq!(server.command(&["SAVE"]).await, "+OK");
    let after = claim("after the snapshot");
    assert_eq!(one.claim(after).await, Ok(Claimed::First));
    server.kill();
    server.restart();
    for store in [&one, &other] {
        let waited = recovered(store).await;
        assert!(waited < RECOVERY, "{waited:?}");
    }
    assert_eq!(other.claim(before).await, Ok(Claimed::Used), "it was kept");
    assert_eq!(other.claim(after).await, Err(Unavailable::TooOld));
    assert_eq!(one.claim(after).await, Ok(Claimed::Used));
}

/// A replica of Redis that is promoted has the birth time of the primary, but may lack its last
/// writes.
#[tokio::test]
async fn rejects_a_used_value_after_a_failover_that_lost_it() {
    let Some(mut primary) = RedisServer::start() else {
        return;
    };
    let port = primary.address().port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]).unwrap();
    let proxy = Proxy::start(primary.address()).await;
    let [one, other] = [connected(&proxy.url()).await, connected(&proxy.url()).await];
    until(|| async { replica.command(&["EXISTS", "warp-bearer:birth"]).await == ":1" }).await;
    assert_eq!(replica.command(&["REPLICAOF", "NO", "ONE"]).await, "+OK");
    let lost = claim("lost");
    assert_eq!(one.claim(lost).await, Ok(Claimed::First));
    primary.kill();
    proxy.fail_over(replica.address());
    for store in [&one, &other] {
        until(|| async { store.health().connects == 2 }).await;
    }
    recovered(&other).await;
    assert_eq!(other.claim(lost).await, Err(Unavailable::TooOld));
    assert_eq!(one.claim(lost).await, Ok(Claimed::Used));
}

/// The first server still has its birth time, and never saw what was used at the second one.
#[tokio::test]
async fn rejects_a_used_value_after_a_failover_and_back() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let second = RedisServer::start().unwrap();
    let proxy = Proxy::start(server.address()).await;
    let [one, other] = [connected(&proxy.url()).await, connected(&proxy.url()).await];
    proxy.fail_over(second.address());
    for store in [&one, &other] {
        until(|| async { store.health().connects == 2 }).await;
        recovered(store).await;
    }
    let lost = [claim("lost"), claim("lost too")];
    for lost in lost {
        assert_eq!(one.claim(lost).await, Ok(Claimed::First));
    }
    proxy.fail_over(server.address());
    for store in [&one, &other] {
        until(|| async { store.health().connects == 3 }).await;
    }
    recovered(&other).await;
    assert_eq!(other.claim(lost[0]).await, Err(Unavailable::TooOld));
    // a process that was never connected to the second server learns about it from those that were
    let new = connected(&proxy.url()).await;
    assert_eq!(new.claim(lost[1]).await, Err(Unavailable::TooOld));
}

/// The first replica that finds the store empty sets the birth time. Even if its clock is behind,
/// we must reject values that were used before.
#[tokio::test]
async fn replica_with_a_slow_clock_does_not_date_the_birth_too_early() {
    fn behind() -> SystemTime {
        SystemTime::now() - Duration::from_secs(20)
    }
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let other = connected(&server.url()).await;
    let used = claim("used");
    assert_eq!(other.claim(used).await, Ok(Claimed::First));
    drop(other);
    server.kill();
    server.restart();
    let options = RedisOptions {
        timeout: TIMEOUT,
        ..RedisOptions::default()
    };
    let slow = Store::redis_with_clock(&server.url(), &options, behind).unwrap();
    slow.connected().await;
    let at_slow = |claim: Claim| Claim {
        now: behind(),
        ..claim
    };
    let claimed = slow.claim(at_slow(used)).await;
    assert_eq!(claimed, Err(Unavailable::TooOld));
    let waited = until(|| async {
        let new = format!("{:?}", Instant::now());
        slow.claim(at_slow(claim(&new))).await == Ok(Claimed::First)
    })
    .await;
    assert!(waited < RECOVERY, "{waited:?}");
}

#[tokio::test]
async fn rejects_values_issued_before_the_store_was_emptied() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let [one, other] = [
        connected(&server.url()).await,
        connected(&server.url()).await,
    ];
    let old = claim("old");
    assert_eq!(one.claim(old).await, Ok(Claimed::First));
    assert_eq!(server.command(&["FLUSHALL"]).await, "+OK");
    assert_eq!(other.claim(old).await, Err(Unavailable::TooOld));
    assert_eq!(one.claim(old).await, Ok(Claimed::Used));
    recovered(&other).await;
}

/// A check may take longer than a claim. Until its response, other replicas may accept values that
/// the store has forgotten.
#[tokio::test]
async fn dates_the_birth_ahead_by_the_time_that_a_check_may_take() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected_with(&server.url(), Duration::from_millis(50)).await;
    assert_eq!(server.command(&["FLUSHALL"]).await, "+OK");
    let new = claim("new");
    let ahead = |millis| Claim {
        issued_at: new.issued_at + Duration::from_millis(millis),
        ..new
    };
    assert_eq!(store.claim(ahead(400)).await, Err(Unavailable::TooOld));
    recovered(&store).await;
}

/// A proof from the future is newer than the birth time of the emptied store. The process that
/// accepted it must still reject it.
#[tokio::test]
async fn remembers_its_own_keys_dated_ahead() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    let claim = claim("ahead");
    let ahead = Claim {
        issued_at: claim.now + Duration::from_secs(20),
        ..claim
    };
    assert_eq!(store.claim(ahead).await, Ok(Claimed::First));
    assert_eq!(server.command(&["FLUSHALL"]).await, "+OK");
    assert_eq!(store.claim(ahead).await, Ok(Claimed::Used));
}

#[tokio::test]
async fn is_unavailable_while_the_server_hangs() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    recovered(&store).await;
    server.pause();
    let during = claim("during");
    let begin = Instant::now();
    assert_eq!(store.claim(during).await, Err(Unavailable::Timeout));
    assert!(
        begin.elapsed() < Duration::from_millis(800),
        "{:?}",
        begin.elapsed()
    );
    until(|| async { !store.health().ok }).await;
    assert_eq!(
        store.claim(claim("later")).await,
        Err(Unavailable::Connection)
    );
    server.resume();
    let waited = recovered(&store).await;
    assert!(waited < RECOVERY, "{waited:?}");
    // The server might have run the first command, so the store can't tell whether the key was
    // used.
    let claimed = store.claim(during).await;
    assert_eq!(claimed, Ok(Claimed::Used));
}

#[tokio::test]
async fn is_unavailable_while_replies_are_late() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let store = connected(&proxy.url()).await;
    recovered(&store).await;
    for round in 0..20 {
        proxy.set(Replies::Hold);
        let late = claim(&format!("late {round}"));
        let claimed = store.claim(late).await;
        assert_eq!(claimed, Err(Unavailable::Timeout), "{round}");
        proxy.set(Replies::Pass);
        until(|| async { store.claim(late).await == Ok(Claimed::Used) }).await;
    }
}

/// The reply to a claim has about 70 bytes: `+OK\r\n`, `_\r\n` and the store's birth.
#[tokio::test]
async fn is_unavailable_if_a_reply_is_truncated() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let proxy = Proxy::start(server.address()).await;
    let direct = connected(&server.url()).await;
    let store = connected(&proxy.url()).await;
    for bytes in (0..66).step_by(3) {
        until(|| async { store.health().ok }).await;
        recovered(&store).await;
        let cut = claim(&format!("cut after {bytes}"));
        proxy.set(Replies::CutAfter(bytes));
        let claimed = store.claim(cut).await;
        assert!(
            matches!(claimed, Err(Unavailable::Connection | Unavailable::Timeout)),
            "after {bytes} bytes: {claimed:?}"
        );
        proxy.set(Replies::Pass);
        // The server may or may not have recorded the key. Either way, no two claims succeed.
        let after = [direct.claim(cut).await, direct.claim(cut).await];
        assert_eq!(after[1], Ok(Claimed::Used), "after {bytes} bytes");
        until(|| async { store.claim(cut).await == Ok(Claimed::Used) }).await;
    }
}

/// Sends claims to two stores while the server is repeatedly killed, stopped and emptied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_accepts_a_key_twice_whatever_happens_to_the_server() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let stores = Arc::new([
        connected(&server.url()).await,
        connected(&server.url()).await,
    ]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let (stores, stopped) = (Arc::clone(&stores), stopped.clone());
        clients.spawn(async move {
            let mut accepted = 0;
            for number in 0.. {
                if *stopped.borrow() {
                    break;
                }
                let claim = claim(&format!("{client}/{number}"));
                let mut outcomes = Vec::new();
                // without a connection, no other call in this loop yields
                tokio::task::yield_now().await;
                for attempt in 0..6 {
                    outcomes.push(stores[attempt % 2].claim(claim).await);
                }
                let first = outcomes
                    .iter()
                    .filter(|claimed| **claimed == Ok(Claimed::First));
                assert!(first.clone().count() <= 1, "{outcomes:?}");
                accepted += first.count();
            }
            accepted
        });
    }
    for round in 0..6 {
        match round % 3 {
            0 => {
                server.kill();
                server.restart();
            }
            1 => {
                server.pause();
                until(|| async { !stores[0].health().ok }).await;
                server.resume();
            }
            _ => assert_eq!(server.command(&["FLUSHALL"]).await, "+OK"),
        }
        for store in stores.iter() {
            recovered(store).await;
        }
    }
    stop.send_replace(true);
    let accepted: usize = clients.join_all().await.into_iter().sum();
    assert!(accepted > 0);
}

#[tokio::test]
async fn logs_in_with_the_password_in_the_url() {
    let Some(server) = RedisServer::start_with(&["--requirepass", "p@ss"]) else {
        return;
    };
    let right = format!("redis://:p%40ss@{}/3", server.address());
    let store = connected(&right).await;
    assert_eq!(store.claim(claim("a")).await, Ok(Claimed::First));
    assert!(!format!("{store:?}").contains("p@ss"), "{store:?}");

    let wrong = format!("redis://:other@{}", server.address());
    let store = Store::redis(&wrong, &RedisOptions::default()).unwrap();
    let connected = tokio::time::timeout(Duration::from_millis(300), store.connected());
    assert!(connected.await.is_err());
    assert_eq!(store.claim(claim("b")).await, Err(Unavailable::Connection));
}

#[tokio::test]
async fn is_unavailable_if_the_server_is_read_only() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    assert_eq!(
        server.command(&["CONFIG", "SET", "maxmemory", "1"]).await,
        "+OK"
    );
    assert_eq!(store.claim(claim("a")).await, Err(Unavailable::Connection));
    until(|| async { !store.health().ok }).await;
    assert_eq!(
        server.command(&["CONFIG", "SET", "maxmemory", "0"]).await,
        "+OK"
    );
    let waited = recovered(&store).await;
    assert!(waited < RECOVERY, "{waited:?}");
}

/// Measures the claims per second of one connection: `cargo test --release -- --ignored
/// claims_per_second`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures speed"]
async fn claims_per_second() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let store = connected(&server.url()).await;
    for clients in [1, 8, 64, 256] {
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let store = store.clone();
            tasks.spawn(async move {
                let mut worst = Duration::ZERO;
                for number in 0..20_000 / clients {
                    let begin = Instant::now();
                    let claim = claim(&format!("{clients} {client} {number}"));
                    assert_eq!(store.claim(claim).await, Ok(Claimed::First));
                    worst = worst.max(begin.elapsed());
                }
                worst
            });
        }
        let worst = tasks.join_all().await.into_iter().max();
        let rate = 20_000.0 / begin.elapsed().as_secs_f64();
        println!("{clients} at once: {rate:.0} claims/s, slowest {worst:?}");
    }
}
