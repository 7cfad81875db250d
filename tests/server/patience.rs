//! Timeouts: silent, slow and unfinished connections must end, and must not slow down the others.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use warp_bearer::service::Limits;

use crate::harness::{GET, Peer, Server, millis};

fn impatient() -> Limits {
    Limits {
        idle: millis(300),
        request: millis(300),
        grace: millis(50),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_end_without_affecting_others() {
    crowd(Crowd {
        silent: 200,
        dripping: 50,
        half_sent: 20,
        // other tests run at the same time
        noise: millis(1),
    })
    .await;
}

#[ignore = "2,500 connections: just ci-full"]
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_slow_connections_end_without_affecting_others() {
    crowd(Crowd {
        silent: 2_000,
        dripping: 500,
        half_sent: 64,
        noise: Duration::ZERO,
    })
    .await;
}

struct Crowd {
    silent: usize,
    dripping: usize,
    half_sent: usize,
    /// By how much a latency may exceed its limit, because the machine may be busy.
    noise: Duration,
}

/// Measures a well-behaved peer alone, then among slow peers until the last of those is gone.
async fn crowd(
    Crowd {
        silent,
        dripping,
        half_sent,
        noise,
    }: Crowd,
) {
    let server = Server::start(Limits {
        idle: millis(2_000),
        request: millis(2_000),
        ..impatient()
    })
    .await;
    let mut guest = server.peer().await;
    let alone = latency(&mut guest, 500).await;

    let (mut quiet, mut half) = (JoinSet::new(), JoinSet::new());
    for _ in 0..half_sent {
        let mut peer = server.peer().await;
        half.spawn(async move {
            peer.ask("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
                .await
        });
    }
    for _ in 0..dripping {
        quiet.spawn(drip(server.peer().await));
    }
    for _ in 0..silent {
        let mut peer = server.peer().await;
        quiet.spawn(async move { peer.hear_to_the_end().await });
    }
    let amid = latency(&mut guest, 500).await;
    assert!(
        quiet.try_join_next().is_none() && half.try_join_next().is_none(),
        "all are still there"
    );

    assert!(
        quiet.join_all().await.iter().all(String::is_empty),
        "closed without a word"
    );
    for answer in half.join_all().await {
        assert_eq!(answer.expect("no response to half a body").status, 503);
    }
    println!(
        "median latency {alone:?} alone, {amid:?} amid {} connections",
        silent + dripping + half_sent
    );
    assert!(
        amid < alone * 2 + noise,
        "{alone:?} alone, {amid:?} amid the crowd"
    );
}

async fn latency(peer: &mut Peer, requests: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..requests {
        let start = Instant::now();
        assert_eq!(peer.ask(GET).await.expect("no response").status, 200);
        times.push(start.elapsed());
    }
    times.sort();
    times[requests / 2]
}

/// Sends a request head that never ends, one byte at a time.
async fn drip(mut peer: Peer) -> String {
    let mut drop = interval(millis(100));
    for byte in GET.replace('\n', "").bytes().cycle() {
        drop.tick().await;
        if !peer.say([byte]).await {
            break;
        }
    }
    peer.hear_to_the_end().await
}

#[tokio::test]
async fn each_kind_of_idle_connection_ends() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = "\0\0\0\x04\0\0\0\0\0";
    // HEADERS on stream 1 without END_HEADERS: only CONTINUATION may follow
    let open_headers = "\0\0\x01\x01\x01\0\0\0\x01\u{2}";
    let server = Server::start(impatient()).await;

    for (case, words) in [
        ("the first byte of either version", "P".to_owned()),
        ("a part of the HTTP/2 preface", preface[..10].to_owned()),
        ("no settings after the preface", preface.to_owned()),
        (
            "an HTTP/2 connection without a request",
            format!("{preface}{settings}"),
        ),
        (
            "an unfinished header block",
            format!("{preface}{settings}{open_headers}"),
        ),
        ("half a request line", "GET / HT".to_owned()),
        ("an unfinished head", GET[..GET.len() - 2].to_owned()),
        ("a connection kept alive", GET.to_owned()),
        ("an unfinished second head", format!("{GET}{}", &GET[..20])),
    ] {
        let start = Instant::now();
        server.tell(words).await;
        let took = start.elapsed();
        assert!(
            took >= millis(290) && took < millis(2_000),
            "{case}: {took:?}"
        );
    }
}

#[tokio::test]
async fn pings_do_not_keep_an_empty_http2_connection() {
    let server = Server::start(impatient()).await;
    let mut peer = server.peer().await;
    peer.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;

    let (start, mut pulse) = (Instant::now(), interval(millis(20)));
    while peer.say("\0\0\x08\x06\0\0\0\0\0pingpong").await {
        pulse.tick().await;
        assert!(
            start.elapsed() < millis(5_000),
            "the connection is still open"
        );
    }
}

#[tokio::test]
async fn active_request_outlives_the_idle_timeout() {
    let server = Server::start(Limits {
        request: millis(5_000),
        ..impatient()
    })
    .await;
    let mut peer = server.peer().await;
    peer.say("GET /gate HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    server.at_gate(1).await;

    let mut bystander = server.peer().await;
    bystander.hear_to_the_end().await;
    server.open_gate(1);

    assert_eq!(peer.hear().await.expect("no response").body, "through");
}

#[tokio::test]
async fn slow_request_is_a_503() {
    let server = Server::start(impatient()).await;
    for (case, request) in [
        (
            "a handler that does not end",
            "GET /gate HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "half a body",
            "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        ),
        (
            "a body without its last chunk",
            "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ),
    ] {
        let mut peer = server.peer().await;
        let answer = peer.ask(request).await.expect(case);

        assert_eq!(answer.status, 503, "{case}");
        assert!(
            answer.body.contains(r#""code":"request_timeout""#),
            "{case}"
        );
        assert_eq!(answer.field("connection"), Some("close"), "{case}");
        assert_eq!(peer.hear_to_the_end().await, "", "{case}");
    }
}
