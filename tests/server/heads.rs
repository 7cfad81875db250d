//! Request heads: large ones are rejected, and so is everything that two parsers could read
//! differently.

use std::fmt::Write;

use warp_bearer::service::Limits;

use crate::harness::{GET, Server, millis};

fn with_fields(count: usize, size: usize) -> String {
    let mut request = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
    for number in 0..count {
        write!(request, "x-{number}: {}\r\n", "v".repeat(size)).unwrap();
    }
    request + "\r\n"
}

#[tokio::test]
async fn rejects_large_heads() {
    let server = Server::start(Limits::default()).await;
    let target = |length: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "x".repeat(length - 1)
        )
    };

    for (case, request, status) in [
        ("30 KiB", with_fields(3, 10 * 1024), 200),
        ("33 KiB", with_fields(3, 11 * 1024), 431),
        ("100 fields", with_fields(99, 1), 200),
        ("101 fields", with_fields(100, 1), 431),
        ("a target of 8 KiB", target(8 * 1024), 404),
        ("one byte over", target(8 * 1024 + 1), 414),
        (
            "a target over the limit of the head",
            target(40 * 1024),
            431,
        ),
    ] {
        let answer = server.peer().await.ask(&request).await.expect(case);
        assert_eq!(answer.status, status, "{case}");
    }
}

#[tokio::test]
async fn rejects_a_fragment_in_the_target() {
    let server = Server::start(Limits::default()).await;
    for (target, status) in [
        ("/", 200),
        ("/?%23", 200),
        ("/#", 400),
        ("/#?a", 400),
        ("/?a#&b", 400),
        ("http://a/#b", 400),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nReferer: /#\r\n\r\n");
        let answer = server.peer().await.ask(&request).await.expect(target);
        assert_eq!(answer.status, status, "{target}");
    }
}

#[tokio::test]
async fn requires_one_host() {
    let server = Server::start(Limits::default()).await;
    for (case, request, status) in [
        ("one", "GET / HTTP/1.1\r\nHost: a", 200),
        ("with a port", "GET / HTTP/1.1\r\nHost: a:8000", 200),
        ("an address", "GET / HTTP/1.1\r\nHost: [::1]:8000", 200),
        ("none", "GET / HTTP/1.1\r\nAccept: */*", 400),
        ("none, in HTTP/1.0", "GET / HTTP/1.0\r\nAccept: */*", 200),
        ("two", "GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (
            "the same twice",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a",
            400,
        ),
        (
            "two, in HTTP/1.0",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b",
            400,
        ),
        ("a list", "GET / HTTP/1.1\r\nHost: a, b", 400),
        ("a path", "GET / HTTP/1.1\r\nHost: a/b", 400),
        ("a user", "GET / HTTP/1.1\r\nHost: me@a", 400),
        ("only a port", "GET / HTTP/1.1\r\nHost: :80", 400),
        ("an empty port", "GET / HTTP/1.1\r\nHost: a:", 200),
        ("the last port", "GET / HTTP/1.1\r\nHost: a:65535", 200),
        ("port 65536", "GET / HTTP/1.1\r\nHost: a:65536", 400),
        (
            "port 99999 of an address",
            "GET / HTTP/1.1\r\nHost: [::1]:99999",
            400,
        ),
        (
            "a port that is a word",
            "GET / HTTP/1.1\r\nHost: a:http",
            400,
        ),
        ("a port with a sign", "GET / HTTP/1.1\r\nHost: a:+80", 400),
        ("two ports", "GET / HTTP/1.1\r\nHost: a:80:80", 400),
        ("a name in brackets", "GET / HTTP/1.1\r\nHost: [a]", 400),
        ("empty brackets", "GET / HTTP/1.1\r\nHost: []:80", 400),
        ("half an address", "GET / HTTP/1.1\r\nHost: [1::2::3]", 400),
        (
            "text before an address",
            "GET / HTTP/1.1\r\nHost: a[::1]:80",
            400,
        ),
        (
            "text after an address",
            "GET / HTTP/1.1\r\nHost: [::1]00:80",
            400,
        ),
        ("an underscore", "GET / HTTP/1.1\r\nHost: a_b:80", 200),
        (
            "no path, CONNECT",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443",
            404,
        ),
        ("no path, GET", "GET a:443 HTTP/1.1\r\nHost: a:443", 404),
        (
            "an absolute target",
            "GET http://a/ HTTP/1.1\r\nHost: a",
            200,
        ),
        (
            "an absolute target with another Host",
            "GET http://a/ HTTP/1.1\r\nHost: b",
            200,
        ),
        (
            "an absolute target without Host",
            "GET http://a/ HTTP/1.1\r\nAccept: */*",
            400,
        ),
        (
            "an absolute target with a user",
            "GET http://me@a/ HTTP/1.1\r\nHost: a",
            400,
        ),
    ] {
        expect(&server, case, request, status).await;
    }
}

#[tokio::test]
async fn accepts_an_empty_host() {
    let server = Server::start(Limits::default()).await;
    for (case, request, status) in [
        ("an empty one", "GET / HTTP/1.1\r\nHost:", 200),
        ("only whitespace", "GET / HTTP/1.1\r\nHost: \t ", 200),
        ("an empty one, in HTTP/1.0", "GET / HTTP/1.0\r\nHost:", 200),
        ("two empty ones", "GET / HTTP/1.1\r\nHost:\r\nHost:", 400),
        (
            "one and an empty one",
            "GET / HTTP/1.1\r\nHost: a\r\nHost:",
            400,
        ),
        (
            "an empty one and CONNECT",
            "CONNECT a:443 HTTP/1.1\r\nHost:",
            404,
        ),
        (
            "an absolute target and an empty one",
            "GET http://a/ HTTP/1.1\r\nHost:",
            200,
        ),
        (
            "an absolute target without a host",
            "GET http:/// HTTP/1.1\r\nHost:",
            400,
        ),
    ] {
        expect(&server, case, request, status).await;
    }
}

async fn expect(server: &Server, case: &str, request: &str, status: u16) {
    let request = format!("{request}\r\n\r\n");
    let answer = server.peer().await.ask(&request).await.expect(case);
    assert_eq!(answer.status, status, "{case}");
    // hyper itself rejects an invalid target, so there's no body
    assert_eq!(
        answer.body.contains(r#""code":"bad_host""#),
        status == 400 && !case.contains("without a host"),
        "{case}"
    );
}

/// Each row hides a second request, which a parser with other rules would see.
#[tokio::test]
async fn rejects_ambiguous_requests() {
    let inner = GET;
    let server = Server::start(Limits {
        idle: millis(300),
        ..Limits::default()
    })
    .await;
    for (case, head, answers) in [
        (
            "length and chunks",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &["200"][..],
        ),
        (
            "chunks and length",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            &["200"],
        ),
        (
            "two lengths",
            "Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
            &["400"],
        ),
        (
            "a list of lengths",
            "Content-Length: 0, 5\r\n\r\n",
            &["400"],
        ),
        ("a signed length", "Content-Length: +0\r\n\r\n", &["400"]),
        (
            "an unknown coding",
            "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        (
            "chunks, then another coding",
            "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        (
            "a space before the colon",
            "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        (
            "a folded line",
            "X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        (
            "a bare CR",
            "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        (
            "a bare LF",
            "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &["400"],
        ),
        ("a bare LF at the end", "X: a\r\n\n", &["400"]),
        ("a NUL", "X: a\0\r\n\r\n", &["400"]),
        (
            "a chunk size with a bare LF",
            "Transfer-Encoding: chunked\r\n\r\n0\n\r\n",
            &["400"],
        ),
        (
            "a chunk extension with a bare LF",
            "Transfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n",
            &["400"],
        ),
        (
            "a chunk size too large",
            "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
            &["400"],
        ),
    ] {
        let heard = server
            .tell(format!("POST /body HTTP/1.1\r\nHost: a\r\n{head}{inner}"))
            .await;
        let statuses: Vec<_> = heard
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| &answer[..3])
            .collect();
        assert!(
            statuses.is_empty() || statuses == answers,
            "{case}: {statuses:?}"
        );
    }
}

#[tokio::test]
async fn answers_pipelined_requests_in_order() {
    let post = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{\n\n\n}";
    let unread = post.replace("/body", "/unread");
    let server = Server::start(Limits::default()).await;
    let mut peer = server.peer().await;
    peer.say(format!("{post}{GET}\r\n{GET}{unread}{post}"))
        .await;

    for body in ["5", "hello", "hello", "unread", "5"] {
        assert_eq!(peer.hear().await.expect(body).body, body);
    }
}

#[tokio::test]
async fn every_response_has_common_fields_and_no_server_name() {
    let server = Server::start(Limits::default()).await;
    for path in ["/", "/nowhere", "/panic"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = server.peer().await.ask(&request).await.expect(path);
        assert_eq!(
            answer.field("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.field("server"), None, "{path}");
    }
}
