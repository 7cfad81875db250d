//! Time: what is silent, slow or unfinished ends, and costs the others nothing.

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use warp_bearer::service::Limits;

use crate::support::{GET, Server, millis};

fn impatient() -> Limits {
    Limits {
        idle: millis(300),
        request: millis(300),
        grace: millis(50),
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed() {
    silent_and_dripping(200).await;
}

#[ignore = "2,500 connections: just ci-full"]
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_silent_and_dripping_connections_are_closed() {
    silent_and_dripping(2_500).await;
}

/// One in five drips a head, the others say nothing; a well-behaved peer is served throughout.
async fn silent_and_dripping(connections: usize) {
    let server = Server::start(impatient()).await;
    let mut idlers = JoinSet::new();
    for number in 0..connections {
        let mut peer = server.peer().await;
        idlers.spawn(async move {
            if number % 5 > 0 {
                return peer.hear_to_the_end().await;
            }
            let mut drip = interval(millis(20));
            for byte in GET.as_bytes().iter().cycle().filter(|byte| **byte != b'\n') {
                drip.tick().await;
                if !peer.say([*byte]).await {
                    break;
                }
            }
            peer.hear_to_the_end().await
        });
    }
    let mut guest = server.peer().await;
    while !idlers.is_empty() {
        assert_eq!(guest.ask(GET).await.expect("served").status, 200);
        if let Some(heard) = idlers.try_join_next() {
            assert_eq!(heard.unwrap(), "", "closed without a word");
        }
    }
}

#[tokio::test]
async fn each_way_to_idle_ends_in_time() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = "\0\0\0\x04\0\0\0\0\0";
    // HEADERS on stream 1 without END_HEADERS, which must never be left alone.
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

    let mut pulse = interval(millis(20));
    let start = Instant::now();
    while peer
        .say("\0\0\x08\x06\0\0\0\0\0\x0012345678".replace("\x0012345678", "12345678"))
        .await
    {
        pulse.tick().await;
        assert!(start.elapsed() < millis(5_000), "still open");
    }
}

#[tokio::test]
async fn a_request_at_work_outlives_the_idle_clock() {
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

    assert_eq!(peer.hear().await.expect("answered").body, "through");
}

#[tokio::test]
async fn a_request_over_its_time_is_a_503() {
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
