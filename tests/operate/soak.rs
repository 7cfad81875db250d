//! A soak test: under load, and with a new key every ten seconds, the memory must not grow.
//!
//! The issuer rotates keys as real issuers usually do, i.e. it publishes a key before it signs with
//! it, and unpublishes a key when no valid token is signed with it any more. The service has to
//! find each new key with its ordinary refreshes because the forged tokens in the load use up the
//! fetch budget.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use reqwest::Client;
use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};
use warp_bearer::issuer::Issuer;

use crate::process::{Process, kibibytes, until};

const ROTATION: u64 = 10;
const CLIENTS: usize = 8;
/// Tokens per key. That's more than the token cache holds, so the cache is full from the start.
const TOKENS: usize = 500;

/// Runs for `SOAK_SECONDS`, or 60 s if that is not set.
#[ignore = "takes a minute, or SOAK_SECONDS: just soak"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_flat_and_no_request_fails_while_keys_rotate() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(60, |text| text.parse().unwrap());
    let issuer = Arc::new(Issuer::start().await);
    let variables = [
        ("AUTH0_TOKEN_CACHE", "400"),
        ("AUTH0_JWKS_TTL", "4s"),
        ("METRICS_LISTEN", "127.0.0.1:0"),
        ("RUST_LOG", "info,warp_bearer::request=off"),
    ];
    let mut service = Process::serve(&issuer, &variables).await;
    let metrics = service.logged("metrics address=").await;
    service.logged("key set fetched").await;

    let load = Load::new(&issuer);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(Arc::clone(&load).run(service.address, client));
    }
    let (mut resident, mut ticks) = (Vec::new(), interval(Duration::from_secs(1)));
    let scraper = Client::builder().no_proxy().build().unwrap();
    for second in 0..seconds {
        ticks.tick().await;
        if second % ROTATION == ROTATION - 1 {
            rotate(&issuer).await;
            load.renew(&issuer).await;
        }
        let page = scraper.get(format!("http://{metrics}/metrics")).send();
        assert!(page.await.unwrap().status().is_success());
        resident.push(kibibytes(service.id));
    }
    load.over.store(true, Relaxed);
    clients.join_all().await;
    service.stop().await;

    let (good, refused) = (load.good.load(Relaxed), load.refused.load(Relaxed));
    // The first rotation counts as warm-up, because allocators usually keep memory that was once
    // needed.
    let settled = usize::try_from(2 * ROTATION)
        .unwrap()
        .min(resident.len() / 2);
    let (early, late) = resident[settled..].split_at((resident.len() - settled) / 2);
    let (early, late) = (early.iter().max().unwrap(), late.iter().max().unwrap());
    println!(
        "{seconds} s, {} keys: {good} answered, {refused} refused as they should be; \
         {early} KiB resident at most in the first half, {late} KiB in the second",
        1 + seconds / ROTATION,
    );
    assert!(good > seconds * 100 && refused > 0, "{good}, {refused}");
    assert!(*late <= early + early / 20 + 512, "{resident:?}");
}

/// Unpublishes the previous key, publishes the next one, and waits until the service has fetched
/// the set.
async fn rotate(issuer: &Issuer) {
    issuer.retire();
    issuer.rotate();
    let before = issuer.requests().jwks;
    until(|| issuer.requests().jwks > before).await;
}

struct Load {
    tokens: Mutex<Arc<Vec<String>>>,
    over: AtomicBool,
    good: AtomicU64,
    refused: AtomicU64,
}

impl Load {
    fn new(issuer: &Issuer) -> Arc<Self> {
        Arc::new(Self {
            tokens: Mutex::new(Arc::new(tokens(issuer))),
            over: AtomicBool::new(false),
            good: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Replaces the tokens by new ones, signed with the issuer's newest key.
    async fn renew(&self, issuer: &Arc<Issuer>) {
        let issuer = Arc::clone(issuer);
        let fresh = tokio::task::spawn_blocking(move || tokens(&issuer))
            .await
            .unwrap();
        *self.tokens.lock().unwrap() = Arc::new(fresh);
    }

    async fn run(self: Arc<Self>, service: SocketAddr, client: usize) {
        let url = format!("http://{service}/api/private");
        let http = Client::builder().no_proxy().build().unwrap();
        let start = Instant::now();
        for turn in client.. {
            if self.over.load(Relaxed) {
                return;
            }
            let tokens = Arc::clone(&self.tokens.lock().unwrap());
            // one in ten is forged
            let forged = turn % 10 == 0;
            let mut token = tokens[turn % tokens.len()].clone();
            if forged {
                token.replace_range(token.len() - 8.., "AAAAAAAA");
            }
            let answer = http.get(&url).bearer_auth(token).send().await.unwrap();
            let status = answer.status().as_u16();
            let expected = if forged { 401 } else { 200 };
            let body = answer.text().await.unwrap();
            assert_eq!(status, expected, "after {:?}: {body}", start.elapsed());
            let counter = if forged { &self.refused } else { &self.good };
            counter.fetch_add(1, Relaxed);
        }
    }
}

fn tokens(issuer: &Issuer) -> Vec<String> {
    let token = |number| issuer.token().subject(format!("soak|{number}")).sign();
    (0..TOKENS).map(token).collect()
}
