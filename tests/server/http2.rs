//! HTTP/2 without TLS on the same port, and attacks that only HTTP/2 allows.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use warp_bearer::service::Limits;

use crate::harness::{GET, Server};
use crate::support::frames::{GOAWAY, HEADERS, RST_STREAM, frame};

fn request(method: Method, target: &str) -> hyper::http::request::Builder {
    Request::builder().method(method).uri(target)
}

fn nothing() -> Full<Bytes> {
    Full::default()
}

#[tokio::test]
async fn http2_is_served_on_the_same_port() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.http2().await;
    let get = request(Method::GET, "http://localhost/")
        .body(nothing())
        .unwrap();
    let answer = client.send_request(get).await.unwrap();

    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    assert_eq!(
        server
            .peer()
            .await
            .ask(GET)
            .await
            .expect("no response over HTTP/1.1")
            .status,
        200
    );
}

#[tokio::test]
async fn http2_head_has_no_body() {
    let server = Server::start(Limits::default()).await;
    let head = request(Method::HEAD, "http://localhost/")
        .body(nothing())
        .unwrap();
    let answer = server.http2().await.send_request(head).await.unwrap();

    assert_eq!(answer.headers()["content-length"], "5");
    assert!(
        answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
}

#[tokio::test]
async fn limits_apply_to_http2() {
    let server = Server::start(Limits {
        body: 1_000,
        ..Limits::default()
    })
    .await;
    let mut client = server.http2().await;
    let get = || request(Method::GET, "http://localhost/");
    let long = format!("http://localhost/{}", "x".repeat(9_000));
    let many = (0..101).fold(get(), |get, number| get.header(format!("x-{number}"), "v"));
    let large = get().header("x", "v".repeat(40_000));
    let body = Full::from("x".repeat(1_001));

    for (case, request, status) in [
        (
            "a long target",
            request(Method::GET, &long).body(nothing()),
            414,
        ),
        ("many fields", many.body(nothing()), 431),
        ("large fields", large.body(nothing()), 431),
        (
            "a large body",
            request(Method::POST, "http://localhost/body").body(body),
            413,
        ),
        (
            "another host",
            get().header("host", "elsewhere").body(nothing()),
            400,
        ),
        (
            "an empty host",
            get().header("host", "").body(nothing()),
            400,
        ),
        (
            "the same host",
            get().header("host", "localhost").body(nothing()),
            200,
        ),
    ] {
        let answer = client.send_request(request.unwrap()).await.expect(case);
        assert_eq!(answer.status(), status, "{case}");
    }
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    const ENHANCE_YOUR_CALM: u8 = 11;

    let server = Server::start(Limits::default()).await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1..20_000).step_by(2) {
        // GET http://a/ in HPACK, END_STREAM and END_HEADERS; then CANCEL
        flood.extend(frame(
            HEADERS,
            5,
            stream,
            &[0x82, 0x86, 0x84, 0x41, 1, b'a'],
        ));
        flood.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let mut peer = server.peer().await;
    peer.say(flood).await;

    let heard = peer.hear_bytes_to_the_end().await;
    let goaway = heard
        .windows(9)
        .rposition(|head| head[..5] == [0, 0, 8, GOAWAY, 0]);
    let reason = goaway.and_then(|at| heard.get(at + 16)).copied();
    assert!(
        goaway.is_none() || reason == Some(ENHANCE_YOUR_CALM),
        "{reason:?}"
    );
    assert_eq!(
        server
            .peer()
            .await
            .ask(GET)
            .await
            .expect("other connections get no response")
            .status,
        200
    );
}
