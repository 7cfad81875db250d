//! Shutdown under load: after the signal, every accepted request is still answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
    task::JoinSet,
};
use warp_bearer::issuer::Issuer;

use crate::process::{Process, until};

const CLIENTS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn signal_loses_no_request() {
    leave_under_load(1_000).await;
}

#[ignore = "three times 20,000 requests: just ci-full"]
#[tokio::test(flavor = "multi_thread")]
async fn signal_loses_none_of_many_requests_three_times() {
    for _ in 0..3 {
        leave_under_load(20_000).await;
    }
}

/// Stops a service with default limits under load, and checks that no request is lost.
async fn leave_under_load(requests: usize) {
    let issuer = Issuer::start().await;
    let quiet = [("RUST_LOG", "info,warp_bearer::request=off")];
    let mut service = Process::serve(&issuer, &quiet).await;
    service.logged("key set fetched").await;
    let request = format!(
        "GET /api/private HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
        issuer.token().sign()
    );

    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (request, answered) = (request.clone(), Arc::clone(&answered));
        clients.spawn(ask_until_gone(service.address, request, answered));
    }
    until(|| answered.load(Relaxed) >= requests).await;
    let before = answered.load(Relaxed);
    service.stop().await;

    let lost: usize = clients.join_all().await.into_iter().sum();
    let after = answered.load(Relaxed) - before;
    println!("{before} requests answered before the signal, {after} after it; {lost} lost");
    assert!(after > 0, "no request was sent after the signal");
    assert_eq!(lost, 0);
}

/// Sends requests until the service refuses connections, reconnecting after `Connection: close`,
/// and returns how many requests got no complete 200.
async fn ask_until_gone(service: SocketAddr, request: String, answered: Arc<AtomicUsize>) -> usize {
    let mut lost = 0;
    while let Ok(stream) = TcpStream::connect(service).await {
        let mut stream = BufStream::new(stream);
        loop {
            let Ok(is_last) = ask(&mut stream, &request).await else {
                lost += 1;
                break;
            };
            answered.fetch_add(1, Relaxed);
            if is_last {
                break;
            }
        }
    }
    lost
}

/// Sends a request, requires a complete 200, and returns whether the server will close the
/// connection.
async fn ask(stream: &mut BufStream<TcpStream>, request: &str) -> std::io::Result<bool> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (mut length, mut is_last, mut line) = (0, false, String::new());
    stream.read_line(&mut line).await?;
    if line != "HTTP/1.1 200 OK\r\n" {
        return Err(std::io::Error::other(line));
    }
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        is_last |= line == "connection: close\r\n";
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(is_last)
}
