//! Request bodies: nothing beyond the allowed size is read.

use std::fmt::Write;

use warp_bearer::service::Limits;

use crate::harness::{GET, Server};

fn small() -> Limits {
    Limits {
        body: 1_000,
        ..Limits::default()
    }
}

fn chunked(chunks: &[usize]) -> String {
    let mut request =
        "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    for size in chunks {
        write!(request, "{size:x}\r\n{}\r\n", "x".repeat(*size)).unwrap();
    }
    request + "0\r\n\r\n"
}

fn announced(path: &str, size: usize) -> String {
    let body = "x".repeat(size);
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{body}")
}

#[tokio::test]
async fn large_body_is_a_413() {
    let server = Server::start(small()).await;
    for (case, request, status, body) in [
        (
            "with a length, at the limit",
            announced("/body", 1_000),
            200,
            "1000",
        ),
        (
            "with a length, one byte over",
            announced("/body", 1_001),
            413,
            "payload_too_large",
        ),
        ("in chunks, at the limit", chunked(&[400, 600]), 200, "1000"),
        (
            "in chunks, one byte over",
            chunked(&[400, 600, 1]),
            413,
            "payload_too_large",
        ),
        (
            "too much for a route that reads none",
            announced("/unread", 1_001),
            200,
            "unread",
        ),
        (
            "too much for no route",
            announced("/nowhere", 1_001),
            404,
            "nothing here",
        ),
    ] {
        let answer = server.peer().await.ask(&request).await.expect(case);
        assert_eq!(answer.status, status, "{case}");
        assert!(answer.body.contains(body), "{case}: {}", answer.body);
    }
}

#[tokio::test]
async fn peer_that_sends_everything_first_receives_the_413() {
    let server = Server::start(small()).await;
    let mut peer = server.peer().await;

    assert!(
        peer.say(announced("/body", 8_000_000)).await,
        "the server closed the connection before the whole body was sent"
    );
    let answer = peer.hear().await.expect("no response");
    assert_eq!(
        (answer.status, answer.field("connection")),
        (413, Some("close"))
    );
}

#[tokio::test]
async fn large_body_gets_no_100_continue() {
    let server = Server::start(small()).await;
    let request = |length| {
        format!(
            "POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };

    assert_eq!(
        server
            .peer()
            .await
            .ask(&request(1_000))
            .await
            .expect("no response")
            .status,
        100
    );
    assert_eq!(
        server
            .peer()
            .await
            .ask(&request(1_001))
            .await
            .expect("no response")
            .status,
        413
    );
}

#[tokio::test]
async fn panic_is_a_500_without_its_message() {
    let server = Server::start(Limits::default()).await;
    let answer = server
        .peer()
        .await
        .ask("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("no response");

    assert_eq!(answer.status, 500);
    assert!(answer.body.contains(r#""code":"internal_error""#) && !answer.body.contains("secret"));
    assert_eq!(
        server
            .peer()
            .await
            .ask(GET)
            .await
            .expect("the server does not respond any more")
            .status,
        200
    );
}
