//! A long list of revocations: its memory, and its effect on requests.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::Client;
use tempfile::TempDir;
use warp_bearer::issuer::Issuer;

use crate::{
    process::{Process, kibibytes},
    support::redis::RedisServer,
};

/// A debug build takes ten times as long to read a line, so it gets fewer.
const ENTRIES: usize = if cfg!(debug_assertions) {
    20_000
} else {
    100_000
};

/// The allowed memory in KiB: 160 bytes for each entry, and 2 MiB for reading the file.
const AT_MOST: u64 = ENTRIES as u64 * 160 / 1024 + 2048;

async fn status(client: &Client, address: SocketAddr, token: &str) -> u16 {
    let request = client.get(format!("http://{address}/api/private"));
    let answer = request.bearer_auth(token).send().await.unwrap();
    answer.status().as_u16()
}

/// Sends requests, so that whatever they need is allocated before we measure, and returns the
/// memory in KiB.
async fn warm(client: &Client, service: &Process, token: &str) -> u64 {
    for _ in 0..50 {
        assert_eq!(status(client, service.address, token).await, 200);
    }
    kibibytes(service.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_entries_use_little_memory_and_delay_no_request() {
    let issuer = Issuer::start().await;
    let folder = TempDir::new().unwrap();
    let line = |sub: &str| {
        let iss = issuer.url();
        format!("{{\"iss\":\"{iss}\",\"sub\":\"{sub}\",\"before\":4000000000}}\n")
    };
    let mut text = String::new();
    for number in 0..ENTRIES {
        // Subjects as long as Auth0's
        write!(text, "{}", line(&format!("auth0|{number:024x}"))).unwrap();
    }
    let [short, long] = ["short", "long"].map(|name| folder.path().join(name));
    fs::write(&short, line("auth0|nobody")).unwrap();
    fs::write(&long, text).unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let token = issuer.token().sign();
    let memory = async |file: &std::path::Path| {
        let file = file.to_str().unwrap();
        let service = Process::serve(&issuer, &[("AUTH0_REVOCATION_FILE", file)]).await;
        let memory = warm(&client, &service, &token).await;
        (service, memory)
    };
    let (_other, without) = memory(&short).await;
    let (mut service, with) = memory(&long).await;
    let grown = with.saturating_sub(without);
    println!("{ENTRIES} entries take {grown} KiB");
    assert!(grown < AT_MOST, "{grown} KiB");

    let mut file = OpenOptions::new().append(true).open(&long).unwrap();
    file.write_all(line("auth0|alice").as_bytes()).unwrap();
    let begin = Instant::now();
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    loop {
        let asked = Instant::now();
        let status = status(&client, service.address, &token).await;
        slowest = slowest.max(asked.elapsed());
        if status == 401 {
            break;
        }
        assert_eq!(status, 200);
        answered += 1;
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
    service.logged("revocation file read").await;
    let took = begin.elapsed();
    println!("read again within {took:?}: {answered} requests meanwhile, the slowest {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let grown = kibibytes(service.id).saturating_sub(without);
    println!("{grown} KiB after it was read again");
    assert!(grown < AT_MOST, "{grown} KiB");
}

/// The whole list is read only every 30 s, but new entries are pushed at once, so a connected
/// replica is never behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_a_connected_store_is_never_too_old() {
    let Some(mut redis) = RedisServer::start() else {
        return;
    };
    let issuer = Issuer::start().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let token = issuer.token().sign();
    let mut services = Vec::new();
    for stale in ["0s", "2s"] {
        let url = redis.url();
        let variables = [("STATE_STORE", &*url), ("STATE_STORE_STALE", stale)];
        let mut service = Process::serve(&issuer, &variables).await;
        service.logged("key set fetched").await;
        until_status(&client, &service, &token, 200).await;
        let warned = |line: &String| line.contains("revocations not read");
        assert!(!service.skipped().iter().any(warned), "{service:#?}");
        services.push(service);
    }
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        for (stale, service) in [(0, &services[0]), (2, &services[1])] {
            let status = status(&client, service.address, &token).await;
            assert_eq!(status, 200, "{stale} s: after {:?}", begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    redis.kill();
    let begin = Instant::now();
    until_status(&client, &services[0], &token, 503).await;
    until_status(&client, &services[1], &token, 503).await;
    let took = begin.elapsed();
    assert!(took > Duration::from_secs(1), "{took:?}");
}

async fn until_status(client: &Client, service: &Process, token: &str, wanted: u16) {
    let begin = Instant::now();
    while status(client, service.address, token).await != wanted {
        assert!(begin.elapsed() < Duration::from_secs(20), "never {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
