//! Tests of the store with a real `redis-server`.

mod claims;
mod list;
#[path = "../../../../../tests/support/redis.rs"]
mod server;

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::{sleep, timeout};

use crate::auth::store::{Claim, Claimed, RedisOptions, Store};

/// The command timeout. The default is too short for a machine that runs all tests at once.
const TIMEOUT: Duration = Duration::from_millis(250);

/// Connected, and older than any value issued now.
async fn connected(url: &str) -> Store {
    connected_with(url, TIMEOUT).await
}

async fn connected_with(url: &str, command_timeout: Duration) -> Store {
    let options = RedisOptions {
        timeout: command_timeout,
        ..RedisOptions::default()
    };
    let store = Store::redis(url, &options).unwrap();
    timeout(Duration::from_secs(10), store.connected())
        .await
        .unwrap();
    recovered(&store).await;
    store
}

/// Waits until a key issued now can be claimed.
async fn recovered(store: &Store) -> Duration {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    until(|| async {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        store.claim(claim(&format!("new {number}"))).await == Ok(Claimed::First)
    })
    .await
}

/// A claim of a key with this name that was issued just now.
fn claim(name: &str) -> Claim {
    let now = SystemTime::now();
    Claim {
        key: digest(&SHA256, name.as_bytes())
            .as_ref()
            .try_into()
            .unwrap(),
        now,
        issued_at: now,
        until: now + Duration::from_secs(300),
    }
}

/// Waits until a condition holds and returns the time it took. Fails after ten seconds.
async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) -> Duration {
    let begin = Instant::now();
    while !condition().await {
        assert!(begin.elapsed() < Duration::from_secs(10), "not within 10 s");
        sleep(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}
