//! Shutdown: no accepted request is lost, and the process always ends.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::Request;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use warp_bearer::service::{Limits, Shutdown};

use crate::harness::{FOREVER, GET, Peer, Server, millis};
use crate::support::frames::{preface, request};

const GATE: &str = "GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn hasty() -> Limits {
    Limits {
        grace: millis(200),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_under_load_loses_no_request() {
    leave_under_load(2_000).await;
}

#[ignore = "three times 20,000 requests: just ci-full"]
#[tokio::test(flavor = "multi_thread")]
async fn shutdown_loses_none_of_many_requests_three_times() {
    for _ in 0..3 {
        leave_under_load(20_000).await;
    }
}

async fn leave_under_load(requests: usize) {
    const CLIENTS: usize = 32;

    let mut server = Server::start(hasty()).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask_until_gone(server.address, Arc::clone(&answered)));
    }
    while answered.load(Ordering::Relaxed) < requests {
        tokio::task::yield_now().await;
    }
    let (asked, start) = (answered.load(Ordering::Relaxed), Instant::now());
    server.shutdown.request();
    server.stopped().await;
    let took = start.elapsed();

    let lost: usize = clients.join_all().await.into_iter().sum();
    let total = answered.load(Ordering::Relaxed);
    println!(
        "{asked} requests answered, {} more while leaving in {took:?}; {lost} lost",
        total - asked
    );
    assert_eq!(lost, 0, "of {total}");
}

/// Sends requests until the server refuses connections, reconnecting after `Connection: close`, and
/// returns how many requests got no answer.
async fn ask_until_gone(address: std::net::SocketAddr, answered: Arc<AtomicUsize>) -> usize {
    let mut lost = 0;
    while let Some(mut peer) = Peer::connect(address).await {
        loop {
            let Some(answer) = peer.ask(GET).await else {
                lost += 1;
                break;
            };
            assert_eq!(answer.status, 200);
            answered.fetch_add(1, Ordering::Relaxed);
            if answer.field("connection") == Some("close") {
                break;
            }
        }
    }
    lost
}

#[tokio::test]
async fn not_ready_at_once_but_serves_during_the_grace_period() {
    let mut server = Server::start(hasty()).await;
    let mut known = server.peer().await;
    assert_eq!(
        known
            .ask(GET)
            .await
            .expect("no response")
            .field("connection"),
        None
    );

    server.shutdown.request();
    assert!(server.shutdown.is_requested());
    for peer in [&mut known, &mut server.peer().await] {
        let answer = peer
            .ask(GET)
            .await
            .expect("no response during the grace period");
        assert_eq!(
            (answer.status, answer.field("connection")),
            (200, Some("close"))
        );
    }
    server.stopped().await;
    assert!(
        Peer::connect(server.address).await.is_none(),
        "the listener is closed"
    );
}

#[tokio::test]
async fn answers_active_requests_before_stopping() {
    let mut server = Server::start(hasty()).await;
    let mut peer = server.peer().await;
    peer.say(GATE).await;
    let mut http2 = server.http2().await;
    let request = Request::get("http://localhost/gate")
        .body(Full::default())
        .unwrap();
    let second = tokio::spawn(http2.send_request(request));
    server.at_gate(2).await;

    server.shutdown.request();
    server.last_peer().await;
    server.open_gate(2);

    assert_eq!(peer.hear().await.expect("no response").body, "through");
    assert_eq!(second.await.unwrap().expect("no response").status(), 200);
    server.stopped().await;
}

#[tokio::test]
async fn answers_a_connection_accepted_at_the_last_moment() {
    let mut server = Server::start(hasty()).await;
    server.shutdown.request();
    let mut last = server.last_peer().await;

    assert_eq!(
        last.ask(GET)
            .await
            .expect("no response after the listener was closed")
            .status,
        200
    );
    server.stopped().await;
}

#[tokio::test]
async fn unfinished_requests_do_not_delay_shutdown() {
    let limits = Limits {
        drain: millis(500),
        ..hasty()
    };
    for (case, words) in [
        ("silence", ""),
        ("half a head", &GET[..20]),
        ("half a second head", &format!("{GET}{}", &GET[..20])),
        (
            "half a body",
            "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        ),
        ("a handler that does not end", GATE),
        ("half a preface of HTTP/2", "PRI * HT"),
        (
            "HTTP/2 without a request",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ),
    ] {
        let mut server = Server::start(limits.clone()).await;
        let mut peer = server.peer().await;
        peer.say(words).await;
        let start = Instant::now();
        server.shutdown.request();
        server.stopped().await;

        let took = start.elapsed();
        println!("{case}: {took:?}");
        assert!(took < millis(2_000), "{case}: {took:?}");
        peer.hear_to_the_end().await;
    }
}

/// The drain is for requests in flight, so a peer without a request shouldn't delay the end.
#[tokio::test]
async fn peers_without_a_request_do_not_use_up_the_drain() {
    let answered = [preface(1 << 16), request("GET", "/", 1)].concat();
    for (case, bytes) in [
        ("silence", Vec::new()),
        ("half a head", GET[..20].into()),
        ("half a second head", format!("{GET}{}", &GET[..20]).into()),
        ("half a preface of HTTP/2", "PRI * HT".into()),
        ("HTTP/2 without an answer to PING", preface(1 << 16)),
        ("the same after a request", answered),
    ] {
        let mut server = Server::start(hasty()).await;
        let mut peer = server.peer().await;
        peer.say(bytes).await;
        let start = Instant::now();
        server.shutdown.request();
        server.stopped().await;

        let took = start.elapsed();
        println!("{case}: {took:?}");
        assert!(took < millis(5_000), "{case}: {took:?}");
        peer.hear_bytes_to_the_end().await;
    }
}

#[tokio::test]
async fn second_request_stops_at_once() {
    let mut server = Server::start(Limits::default()).await;
    let mut peer = server.peer().await;
    peer.say(GATE).await;
    server.at_gate(1).await;

    let start = Instant::now();
    server.shutdown.request();
    server.shutdown.request();
    server.stopped().await;

    assert!(
        start.elapsed() < millis(400),
        "stopped before the end of the grace period"
    );
    assert!(peer.hear().await.is_none());
}

#[cfg(unix)]
#[tokio::test]
async fn signals_stop_gracefully_then_at_once() {
    let shutdown = Shutdown::on_signals().unwrap();
    let kill = |signal: &str| {
        let this_process = std::process::id().to_string();
        Command::new("kill")
            .args([signal, &this_process])
            .status()
            .unwrap()
    };

    assert!(kill("-TERM").success());
    timeout(FOREVER, shutdown.requested())
        .await
        .expect("SIGTERM did not request a shutdown");
    assert!(kill("-INT").success());
    timeout(FOREVER, shutdown.forced())
        .await
        .expect("SIGINT did not force the shutdown");
}
