//! Memory use while peers request the largest response and don't read it.

use std::{fs, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::Either;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, interval, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto},
};
use warp_bearer::issuer::Issuer;

use crate::{
    process::{Process, kibibytes},
    support::frames::{
        CONTINUATION, END_STREAM, HEADERS, RST_STREAM, count, frame, preface, request,
    },
};

const BUNDLE: &str = "/docs/swagger-ui-bundle.js";
const IDLE: Duration = Duration::from_secs(4);

// The upper bounds in docs/production.md, in KiB: of an HTTP/1.1 connection with the default
// `MAX_HEADER_BYTES`, of an HTTP/2 connection, of each response on it, of TLS, and of what the
// process needs for its first requests.
const HEAD: u64 = 32;
const HTTP1: u64 = HEAD + 28;
const HTTP2: u64 = 16 + 2 * HEAD;
const ANSWER: u64 = 4;
const TLS: u64 = 48;
const HELLO: u64 = 64;
const PROCESS: u64 = 2 * 1024;
/// The form at `/backchannel-logout` with the default `AUTH0_MAX_TOKEN_BYTES`, and as much again
/// for the buffer in which the connection receives it.
const FORM: u64 = 2 * 49;
/// The upper bound for the token cache at its default size.
const TOKENS: u64 = 15 * 1024;

#[test]
fn bounds_match_the_documentation() {
    let page = include_str!("../../docs/production.md");
    for bound in [
        "`MAX_CONNECTIONS` × (`MAX_HEADER_BYTES` + 28 KiB)",
        "`MAX_CONNECTIONS` × (16 KiB + 2 × `MAX_HEADER_BYTES` + `MAX_STREAMS` × 4 KiB)",
        "`MAX_CONNECTIONS` × 48 KiB",
        "64 KiB until its handshake",
        "6 × `AUTH0_MAX_TOKEN_BYTES` + 2 KiB",
    ] {
        assert!(page.contains(bound), "{bound}");
    }
}

/// The connections that the Kubernetes manifest allows must fit into the pod's memory limit.
#[test]
fn manifest_fits_its_memory_limit() {
    let manifest = include_str!("../../deploy/kubernetes/base/warp-bearer.yaml");
    let number = |name: &str| -> u64 {
        let (_, rest) = manifest.split_once(name).unwrap();
        let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap();
        digits[..end].parse().unwrap()
    };
    let connection = HTTP2 + number("MAX_STREAMS") * ANSWER;
    let bound = 10 * 1024 + TOKENS + number("MAX_CONNECTIONS") * connection;
    let limit = number("limits: {memory:") * 1024;
    assert!(bound <= limit, "{bound} KiB of {limit}");
    assert!(manifest.contains(&format!("A connection may need {connection} KiB")));
}

#[tokio::test]
async fn unfinished_logout_forms_stay_within_the_bound() {
    const CONNECTIONS: u64 = 100;

    let issuer = Issuer::start().await;
    let variables = [
        ("AUTH0_LOGOUT_CLIENT_ID", "app"),
        ("SHUTDOWN_TIMEOUT", "1s"),
        ("RUST_LOG", "info,warp_bearer::request=off"),
    ];
    let mut service = Process::serve(&issuer, &variables).await;
    for (case, length) in [("the longest", 49 * 1024), ("a longer one", 1024 * 1024)] {
        let head = format!(
            "POST /backchannel-logout HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        );
        let unfinished = [head.as_bytes(), &vec![b'a'; length - 1]].concat();
        let before = most_in_a_second(service.id).await;
        let mut peers = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut peer = TcpStream::connect(service.address).await.unwrap();
            // The service may answer and close before it has received everything
            let _ = peer.write_all(&unfinished).await;
            peers.push(peer);
        }
        let most = most_in_a_second(service.id).await;
        println!("{case}: {before} KiB before, {most} at most");
        assert!(
            most <= before + CONNECTIONS * (HTTP1 + FORM) + PROCESS,
            "{case}: {before} before, {most} at most"
        );
        drop(peers);
    }
    service.stop().await;
}

async fn service() -> (Issuer, Process) {
    service_that_waits(IDLE).await
}

async fn service_that_waits(idle: Duration) -> (Issuer, Process) {
    let issuer = Issuer::start().await;
    let idle = format!("{}s", idle.as_secs());
    let variables = [
        ("IDLE_TIMEOUT", &*idle),
        ("RUST_LOG", "info,warp_bearer::request=off"),
    ];
    let service = Process::serve(&issuer, &variables).await;
    // the first request creates what exists once per process
    let url = format!("http://{}{BUNDLE}", service.address);
    let bundle = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    assert!(bundle.len() > 256 * 1024, "{}", bundle.len());
    (issuer, service)
}

/// Opens a connection that requests this many answers, and grants them no window.
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
#[cfg_attr(
    not(feature = "docs"),
    ignore = "needs a large response: the bundle of /docs"
)]
async fn unread_http2_responses_use_little_memory_and_free_it() {
    const CONNECTIONS: u64 = 4;
    const STREAMS: u32 = 100;

    let (_issuer, mut service) = service().await;
    // The process keeps some of the memory of its first connections, so we open some before we
    // measure.
    for _ in 0..CONNECTIONS {
        let mut first = stall(service.address, STREAMS).await;
        let mut heard = Vec::new();
        while count(&heard, HEADERS) < STREAMS as usize {
            let read = timeout(IDLE, first.read_buf(&mut heard)).await;
            assert_ne!(
                read.expect("a response head does not arrive").unwrap(),
                0,
                "closed"
            );
        }
    }
    let before = kibibytes(service.id);
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS {
        peers.push(stall(service.address, STREAMS).await);
    }

    let (start, mut ticks, mut most) =
        (Instant::now(), interval(Duration::from_millis(100)), before);
    let (mut heard, mut next_stream) = (vec![Vec::new(); peers.len()], 2 * STREAMS + 1);
    while heard
        .iter()
        .any(|heard| count(heard, RST_STREAM) < STREAMS as usize)
    {
        ticks.tick().await;
        assert!(
            start.elapsed() < IDLE + Duration::from_secs(15),
            "the answers are still held"
        );
        for (peer, heard) in peers.iter_mut().zip(&mut heard) {
            peer.write_all(&request("HEAD", "/livez", next_stream))
                .await
                .expect("the connection ended");
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

#[tokio::test]
#[cfg_attr(
    not(feature = "docs"),
    ignore = "needs a large response: the bundle of /docs"
)]
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

    // wait until the service has accepted every peer and begun to answer it
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

fn head(path: &str, bytes: usize) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX: ").into_bytes();
    head.resize(bytes - 4, b'a');
    head.extend(b"\r\n\r\n");
    head
}

/// A complete request, then one whose answer is not read, then a request head that does not end.
fn pipelined() -> Vec<u8> {
    let unfinished = &head("/livez", 40 * 1024)[..32 * 1024 - 100];
    [
        &head("/livez", 30 * 1024),
        &head(BUNDLE, 100)[..],
        unfinished,
    ]
    .concat()
}

/// Requests whose answers get this window, then a header block that does not end.
fn streams(streams: u32, window: u32) -> Vec<u8> {
    let mut bytes = preface(window);
    for number in 0..streams {
        bytes.extend(request("GET", BUNDLE, 2 * number + 1));
    }
    let last = 2 * streams + 1;
    let field = [
        &[0, 1, b'x', 127, 0xb1, 0xe9, 0x01][..],
        &vec![b'a'; 30_000],
    ]
    .concat();
    let (begun, more) = field.split_at(16_000);
    bytes.extend(frame(HEADERS, END_STREAM, last, begun));
    bytes.extend(frame(CONTINUATION, 0, last, &more[..more.len() - 500]));
    bytes
}

/// TLS records with a handshake message that does not end.
fn hello() -> Vec<u8> {
    let message = [&[1, 0, 0xff, 0xf5, 3, 3][..], &vec![0; 64_000]].concat();
    let records = message.chunks(16 * 1024).map(|part| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[0x16, 3, 1, length[0], length[1]], part].concat()
    });
    records.flatten().collect()
}

#[tokio::test]
async fn connection_memory_stays_within_the_bound() {
    const STREAMS: u32 = 16;
    let http2 = HTTP2 + u64::from(STREAMS) * ANSWER;
    let half_a_record = [&[0x17, 3, 3, 0x40, 0xc8][..], &[b'z'; 16_000]].concat();

    for (case, connections, bound, is_tls, words, raw) in [
        ("HTTP/1.1", 300, HTTP1, false, pipelined(), &[][..]),
        ("HTTP/2", 60, http2, false, streams(STREAMS, 0), &[]),
        ("HTTP/2, cut", 60, http2, false, streams(STREAMS, 100), &[]),
        (
            "TLS",
            60,
            HTTP1 + TLS,
            true,
            pipelined(),
            &half_a_record[..],
        ),
        (
            "TLS, HTTP/2",
            60,
            http2 + TLS,
            true,
            streams(STREAMS, 0),
            &half_a_record,
        ),
        ("TLS, no handshake", 60, HELLO, true, vec![], &hello()),
    ] {
        let (_issuer, directory, mut service) = service_with_tls(is_tls).await;
        let connector = connector(&directory);
        let mut peers = Vec::new();
        let mut before = 0;
        // The first connection creates what exists once per process
        for number in 0..=connections {
            let mut peer = TcpStream::connect(service.address).await.unwrap();
            if is_tls && !words.is_empty() {
                let name = "localhost".try_into().unwrap();
                let mut peer = connector.connect(name, peer).await.unwrap();
                peer.write_all(&words).await.unwrap();
                peer.flush().await.unwrap();
                peer.get_mut().0.write_all(raw).await.unwrap();
                peers.push(Either::Right(peer));
            } else {
                peer.write_all(&words).await.unwrap();
                peer.write_all(raw).await.unwrap();
                peers.push(Either::Left(peer));
            }
            if number == 0 {
                before = most_in_a_second(service.id).await;
            }
        }
        let most = most_in_a_second(service.id).await;
        println!(
            "{case}: {before} KiB before, {most} at most, {} of {bound} for each",
            most.saturating_sub(before) / connections
        );
        assert!(
            most <= before + connections * bound + PROCESS,
            "{case}: {before} before, {most} at most"
        );
        drop(peers);
        service.stop().await;
    }
}

/// The largest resident memory within a second.
async fn most_in_a_second(process: u32) -> u64 {
    let mut ticks = interval(Duration::from_millis(50));
    let mut most = 0;
    for _ in 0..20 {
        ticks.tick().await;
        most = most.max(kibibytes(process));
    }
    most
}

async fn service_with_tls(is_tls: bool) -> (Issuer, TempDir, Process) {
    let (issuer, directory) = (Issuer::start().await, TempDir::new().unwrap());
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (
        directory.path().join("tls.crt"),
        directory.path().join("tls.key"),
    );
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    fs::write(directory.path().join("tls.der"), pair.cert.der()).unwrap();
    let mut variables = vec![
        ("IDLE_TIMEOUT", "60s"),
        ("SHUTDOWN_TIMEOUT", "1s"),
        ("RUST_LOG", "info,warp_bearer::request=off"),
    ];
    if is_tls {
        variables.push(("TLS_CERT_FILE", certificate.to_str().unwrap()));
        variables.push(("TLS_KEY_FILE", key.to_str().unwrap()));
    }
    let service = Process::serve(&issuer, &variables).await;
    (issuer, directory, service)
}

fn connector(directory: &TempDir) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificate = fs::read(directory.path().join("tls.der")).unwrap();
    roots.add(certificate.into()).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(client))
}

/// The reader's kernel asks for more only after most of its buffer has been read, which takes more
/// than 40 s here. Meanwhile the socket accepts nothing, and we only keep such a connection for
/// eight times `IDLE_TIMEOUT`, so an `IDLE_TIMEOUT` of 4 s would be too short and this test sets 8
/// s.
#[ignore = "takes two minutes: just ci-full"]
#[tokio::test]
async fn reader_at_3_kilobytes_per_second_gets_everything() {
    let (_issuer, mut service) = service_that_waits(Duration::from_secs(8)).await;
    let mut peer = TcpStream::connect(service.address).await.unwrap();
    let words = format!("GET {BUNDLE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    peer.write_all(words.as_bytes()).await.unwrap();

    let (mut ticks, mut heard) = (interval(Duration::from_millis(100)), 0);
    let mut some = [0; 300];
    loop {
        ticks.tick().await;
        let read = peer.read(&mut some).await.unwrap();
        if read == 0 {
            break;
        }
        heard += read;
    }
    assert!(heard > 400 * 1024, "cut after {heard} bytes");
    service.stop().await;
}
