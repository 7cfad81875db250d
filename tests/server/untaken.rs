//! A response that the peer doesn't read must end in bounded time, even if there's other activity
//! on the connection, but we must not cut off slow readers or silent handlers.

use std::time::Duration;

use tokio::time::{Instant, interval, timeout};
use warp_bearer::service::Limits;

use crate::harness::{GET, LARGE, Peer, Server, millis};
use crate::http2_peer::{Frame, Http2Peer};
use crate::support::frames::{DATA, END_STREAM, GOAWAY, RST_STREAM};

const IDLE: Duration = Duration::from_millis(400);

fn impatient() -> Limits {
    Limits {
        idle: IDLE,
        grace: millis(50),
        ..Limits::default()
    }
}

/// Keeps the connection busy with requests until a frame satisfies `fits`. `None` if the connection
/// ends first.
async fn busy_until(peer: &mut Http2Peer, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
    let (start, mut pulse) = (Instant::now(), interval(millis(20)));
    loop {
        assert!(start.elapsed() < IDLE * 10, "the response is still held");
        pulse.tick().await;
        peer.ask("HEAD", "/").await?;
        if let Ok(heard) = timeout(millis(20), peer.hear_until(&fits)).await {
            return heard;
        }
    }
}

#[tokio::test]
async fn unread_http2_response_ends_with_its_stream() {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];

    let server = Server::start(impatient()).await;
    for path in ["/", "/large"] {
        let mut peer = Http2Peer::with_window(&server, 0).await;
        let (start, stream) = (Instant::now(), peer.ask("GET", path).await.unwrap());

        let reset = busy_until(&mut peer, |frame| frame.kind == RST_STREAM).await;
        let reset = reset.expect("the connection ended");
        assert!(start.elapsed() >= IDLE, "{path}: {:?}", start.elapsed());
        assert_eq!((reset.stream, &*reset.payload), (stream, &CANCEL[..]));

        let next = peer.ask("HEAD", "/").await.unwrap();
        let answer = peer.hear_until(|frame| frame.stream == next).await;
        assert!(answer.is_some(), "{path}: the connection ended");
    }
}

/// The peer still reads other responses on the connection, and these should continue.
#[tokio::test]
async fn unread_rest_of_an_http2_response_ends_with_its_stream() {
    const GRANT: u32 = 4096;

    let server = Server::start(impatient()).await;
    for (case, path, taken) in [
        ("a short answer", "/", 1),
        ("the last piece of a long one", "/large", LARGE - 10),
    ] {
        let mut peer = Http2Peer::with_window(&server, 0).await;
        let stalled = peer.ask("GET", path).await.unwrap();
        let healthy = peer.ask("GET", "/large").await.unwrap();
        peer.grant(stalled, u32::try_from(taken).unwrap()).await;
        let (mut heard, mut pulse) = (0, interval(millis(20)));
        while heard < taken {
            let frame = peer.hear().await.expect("the connection ended");
            if (frame.kind, frame.stream) == (DATA, stalled) {
                heard += frame.payload.len();
            }
        }

        let start = Instant::now();
        let mut end = None;
        while end.is_none() {
            pulse.tick().await;
            assert!(
                start.elapsed() < IDLE * 10,
                "{case}: the response is still held"
            );
            peer.grant(healthy, GRANT).await;
            let mut granted = GRANT as usize;
            while granted > 0 {
                let frame = peer.hear().await;
                let frame = frame.unwrap_or_else(|| panic!("{case}: the connection ended"));
                match (frame.kind, frame.stream) {
                    (DATA, stream) if stream == healthy => granted -= frame.payload.len(),
                    (RST_STREAM, stream) if stream == stalled => end = Some(start.elapsed()),
                    (RST_STREAM | GOAWAY, _) => panic!("{case}: {frame:?}"),
                    _ => {}
                }
            }
        }
        assert!(end > Some(IDLE / 2), "{case}: {end:?}");
    }
}

/// The peer has read whole responses before, so we pass the only piece of the next response to
/// hyper together with `END_STREAM`. After that, hyper no longer lets us reset the stream, so all we
/// can do is end the connection.
#[tokio::test]
async fn unread_rest_after_a_shrunk_window_ends_the_connection() {
    let server = Server::start(impatient()).await;
    let mut peer = Http2Peer::with_window(&server, 65_535).await;
    for _ in 0..2 {
        peer.ask("GET", "/").await.unwrap();
        peer.hear_until(|frame| frame.flags & END_STREAM > 0 && frame.kind == DATA)
            .await
            .unwrap();
    }
    peer.set_window(1).await;
    let start = Instant::now();
    peer.ask("GET", "/").await.unwrap();

    let goaway = busy_until(&mut peer, |frame| frame.kind == GOAWAY).await;
    assert!(goaway.is_some(), "no GOAWAY was received");
    assert!(start.elapsed() >= IDLE, "{:?}", start.elapsed());
    assert!(
        peer.hear_until(|_| false).await.is_none(),
        "the connection is still open after GOAWAY"
    );
}

/// A connection whose socket accepts nothing ends after this many times `IDLE`.
const BLOCKED: u32 = 8;

#[tokio::test]
async fn unread_http1_response_ends_the_connection() {
    let server = Server::start(impatient()).await;
    let mut peer = server.narrow_peer().await;
    peer.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;

    let (start, mut pulse) = (Instant::now(), interval(millis(20)));
    while peer.say("x").await {
        pulse.tick().await;
        assert!(
            start.elapsed() < IDLE * BLOCKED * 2,
            "the connection is still open"
        );
    }
    assert!(start.elapsed() >= IDLE * BLOCKED, "{:?}", start.elapsed());
}

/// The peer's kernel asks for more only after most of its buffer has been read, which takes this
/// peer twice `IDLE`.
#[tokio::test]
async fn slow_http1_reader_gets_everything() {
    const STEP: usize = 3 * 1024;

    let server = Server::start(impatient()).await;
    let mut peer = server.peer().await;
    peer.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;

    let (start, mut pulse, mut heard) = (Instant::now(), interval(millis(20)), 0);
    while heard < 1024 * 1024 {
        pulse.tick().await;
        let next = heard + STEP;
        while heard < next {
            let some = peer.hear_some(next - heard).await.len();
            assert!(some > 0, "cut after {heard} bytes, {:?}", start.elapsed());
            heard += some;
        }
    }
    assert!(start.elapsed() > IDLE * BLOCKED, "{:?}", start.elapsed());
}

/// With these limits, a new connection is served only after the previous one has ended.
fn impatient_with_one_connection() -> Limits {
    Limits {
        connections: 1,
        ..impatient()
    }
}

#[tokio::test]
async fn half_closed_peer_gets_everything() {
    let server = Server::start(impatient_with_one_connection()).await;
    for paused in [false, true] {
        let mut peer = server.peer().await;
        peer.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
        if paused {
            peer.hear_some(1024).await;
        }
        peer.end_own_side().await;
        let heard = peer.hear_bytes_to_the_end().await.len();
        assert!(heard > LARGE - 1024, "cut after {heard} bytes");
    }
    let start = Instant::now();
    let mut next = server.peer().await;
    next.ask(GET).await.expect("no response");
    assert!(start.elapsed() < IDLE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn half_closed_peer_that_does_not_read_is_closed() {
    let server = Server::start(impatient_with_one_connection()).await;
    let mut peer = server.narrow_peer().await;
    let start = Instant::now();
    peer.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    peer.end_own_side().await;

    let mut next = server.peer().await;
    next.ask(GET).await.expect("no response");
    assert!(start.elapsed() >= IDLE * BLOCKED, "{:?}", start.elapsed());
    drop(peer);
}

#[tokio::test]
async fn half_closed_peer_does_not_delay_shutdown() {
    let mut server = Server::start(impatient()).await;
    let mut peer = server.peer().await;
    peer.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    peer.end_own_side().await;
    peer.hear_some(1024).await;

    let start = Instant::now();
    server.shutdown.request();
    let (heard, ()) = tokio::join!(peer.hear_bytes_to_the_end(), server.stopped());
    assert!(heard.len() > LARGE - 2048, "cut after {}", heard.len());
    assert!(start.elapsed() < millis(2_000), "{:?}", start.elapsed());
}

/// A handler may be silent for any time, so only the disconnect can end it.
#[tokio::test]
async fn disconnected_peer_ends_a_silent_http1_handler() {
    let server = Server::start(impatient_with_one_connection()).await;
    let mut peer = server.peer().await;
    peer.say("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    hear_words(&mut peer, "one").await;
    drop(peer);

    let mut next = server.peer().await;
    next.ask(GET).await.expect("no response");
}

#[tokio::test]
async fn slow_http2_reader_gets_everything() {
    const GRANT: u32 = 128 * 1024;

    let server = Server::start(impatient()).await;
    let mut peer = Http2Peer::with_window(&server, 0).await;
    let stream = peer.ask("GET", "/large").await.unwrap();

    let (start, mut pulse, mut heard, mut is_over) =
        (Instant::now(), interval(millis(20)), 0, false);
    while !is_over {
        pulse.tick().await;
        assert!(peer.grant(stream, GRANT).await, "cut after {heard} bytes");
        let granted = LARGE.min(heard + GRANT as usize);
        // After the last piece, the end of the stream comes by itself, in an empty frame
        while heard < granted || heard == LARGE && !is_over {
            let frame = peer.hear_until(|frame| frame.kind == DATA).await;
            let frame = frame.unwrap_or_else(|| panic!("cut after {heard} bytes"));
            heard += frame.payload.len();
            is_over = frame.flags & END_STREAM > 0;
        }
    }
    assert_eq!(heard, LARGE);
    assert!(start.elapsed() > IDLE * 2, "{:?}", start.elapsed());
}

/// Waits until idle connections were closed, `times` times in a row.
async fn outlast_idle(server: &Server, times: usize) {
    for _ in 0..times {
        server.peer().await.hear_to_the_end().await;
    }
}

#[tokio::test]
async fn waits_for_a_silent_http1_handler() {
    let server = Server::start(impatient()).await;
    let mut peer = server.peer().await;
    peer.say("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    hear_words(&mut peer, "one").await;

    outlast_idle(&server, 3).await;
    server.open_gate(1);
    hear_words(&mut peer, "two").await;
}

async fn hear_words(peer: &mut Peer, words: &str) {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(words) {
        let some = peer.hear_some(1024).await;
        assert!(!some.is_empty(), "cut before {words:?}");
        heard.extend(some);
    }
}

#[tokio::test]
async fn waits_for_a_silent_http2_handler() {
    let server = Server::start(impatient()).await;
    let mut peer = Http2Peer::with_window(&server, 100).await;
    peer.ask("GET", "/events").await.unwrap();
    let data = |frame: &Frame| frame.kind == DATA;
    assert_eq!(peer.hear_until(data).await.unwrap().payload, b"one");

    outlast_idle(&server, 3).await;
    server.open_gate(1);
    let second = peer.hear_until(data).await.expect("the stream ended early");
    assert_eq!(second.payload, b"two");
}
