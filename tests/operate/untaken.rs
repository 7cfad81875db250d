//! Memory, while peers ask for the largest answer there is and do not read it.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, interval, timeout},
};
use warp_bearer::issuer::Issuer;

use crate::{
    process::{Process, kibibytes},
    support::frames::{RST_STREAM, preface, request},
};

const BUNDLE: &str = "/docs/swagger-ui-bundle.js";
const IDLE: Duration = Duration::from_secs(4);

// What docs/production.md says is taken at most, in KiB: by an HTTP/1.1 connection with
// `MAX_HEADER_BYTES` at its default, by an HTTP/2 connection, by each answer on it; and by the process
// for its first requests.
const HTTP1: u64 = 32 + 10;
const HTTP2: u64 = 16;
const ANSWER: u64 = 4;
const PROCESS: u64 = 2 * 1024;

#[test]
fn the_bounds_are_the_documented_ones() {
    let page = include_str!("../../docs/production.md");
    for bound in [
        "`MAX_CONNECTIONS` × (`MAX_HEADER_BYTES` + 10 KiB)",
        "`MAX_CONNECTIONS` × (16 KiB + `MAX_STREAMS` × 4 KiB)",
    ] {
        assert!(page.contains(bound), "{bound}");
    }
}

async fn service() -> (Issuer, Process) {
    let issuer = Issuer::start().await;
    let idle = format!("{}s", IDLE.as_secs());
    let variables = [
        ("IDLE_TIMEOUT", &*idle),
        ("RUST_LOG", "info,warp_bearer::request=off"),
    ];
    let service = Process::serve(&issuer, &variables).await;
    // The first request makes what is made once.
    let url = format!("http://{}{BUNDLE}", service.address);
    let bundle = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert!(bundle.len() > 256 * 1024, "{}", bundle.len());
    (issuer, service)
}

/// A busy connection with so many answers for which it grants no window.
async fn stall(address: SocketAddr, streams: u32) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = preface(0);
    for number in 0..streams {
        bytes.extend(request("GET", BUNDLE, 2 * number + 1));
    }
    stream.write_all(&bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn untaken_http2_answers_take_little_memory_and_give_it_back() {
    const CONNECTIONS: u64 = 4;
    const STREAMS: u32 = 100;

    let (_issuer, mut service) = service().await;
    let before = kibibytes(service.id);
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        peers.push(stall(service.address, STREAMS).await);
    }

    let (start, mut ticks, mut most) =
        (Instant::now(), interval(Duration::from_millis(100)), before);
    let (mut heard, mut next_stream) = (vec![Vec::new(); peers.len()], 2 * STREAMS + 1);
    while heard.iter().any(|heard| resets(heard) < STREAMS as usize) {
        ticks.tick().await;
        assert!(
            start.elapsed() < IDLE + Duration::from_secs(15),
            "still held"
        );
        for (peer, heard) in peers.iter_mut().zip(&mut heard) {
            peer.write_all(&request("HEAD", "/livez", next_stream))
                .await
                .expect("the connection goes on");
            let _ = timeout(Duration::from_millis(1), peer.read_buf(heard)).await;
        }
        next_stream += 2;
        most = most.max(kibibytes(service.id));
    }
    let after = kibibytes(service.id);
    println!(
        "{CONNECTIONS} connections of {STREAMS} streams: {before} KiB resident before, {most} at most, \
         {after} when the streams were reset after {:?}",
        start.elapsed()
    );
    assert!(start.elapsed() >= IDLE, "{:?}", start.elapsed());
    let bound = CONNECTIONS * (HTTP2 + u64::from(STREAMS) * ANSWER) + PROCESS;
    assert!(most <= before + bound, "{before} before, {most} at most");
    assert!(after <= before + PROCESS, "{before} before, {after} after");
    drop(peers);
    service.stop().await;
}

/// How many streams have been reset.
fn resets(mut heard: &[u8]) -> usize {
    let mut resets = 0;
    while let Some(head) = heard.get(..9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        resets += usize::from(head[3] == RST_STREAM);
        heard = heard.get(9 + length..).unwrap_or_default();
    }
    resets
}

#[tokio::test]
async fn http1_peers_that_do_not_read_stay_within_the_bound() {
    untaken_http1(100).await;
}

#[ignore = "2,000 connections: just ci-full"]
#[tokio::test]
async fn thousands_of_http1_peers_that_do_not_read_stay_within_the_bound() {
    untaken_http1(2_000).await;
}

async fn untaken_http1(connections: u64) {
    let (_issuer, mut service) = service().await;
    let before = kibibytes(service.id);
    let mut peers = Vec::new();
    for _ in 0..connections {
        let mut peer = TcpStream::connect(service.address).await.unwrap();
        let request = format!("GET {BUNDLE} HTTP/1.1\r\nHost: a\r\n\r\n");
        peer.write_all(request.as_bytes()).await.unwrap();
        peers.push(peer);
    }

    // Each has its first bytes, and the service has time for another.
    for peer in &peers {
        peer.peek(&mut [0]).await.unwrap();
    }
    let alive = reqwest::get(format!("http://{}/livez", service.address)).await;
    assert!(alive.unwrap().status().is_success());
    let most = kibibytes(service.id);
    println!(
        "{connections} connections: {before} KiB resident before, {most} then, {} for each",
        (most - before) / connections
    );
    assert!(
        most <= before + connections * HTTP1 + PROCESS,
        "{before} before, {most} then"
    );
    drop(peers);
    service.stop().await;
}
