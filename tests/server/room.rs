//! Connection limits: further connections wait, and a lack of file descriptors does not end the
//! service.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use warp_bearer::service::Limits;

use crate::harness::{GET, Peer, Server, millis};

#[tokio::test]
async fn connection_over_the_limit_waits() {
    let server = Server::start(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let (mut first, mut second) = (server.peer().await, server.peer().await);
    first
        .ask(GET)
        .await
        .expect("no response on the first connection");
    second
        .ask(GET)
        .await
        .expect("no response on the second connection");

    let mut third = server.peer().await;
    third.say(GET).await;
    assert!(
        timeout(millis(100), third.hear()).await.is_err(),
        "no room for three"
    );
    drop(first);

    assert_eq!(
        third
            .hear()
            .await
            .expect("no response after another connection was closed")
            .status,
        200
    );
    drop(second);
}

/// The server runs in a child process with few file descriptors. (The child is just this test,
/// started again.)
#[tokio::test]
async fn running_out_of_descriptors_does_not_end_the_service() {
    const CHILD: &str = "SERVER_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::start(Limits::default()).await;
        println!("\nlistening on {}", server.address);
        return std::future::pending().await;
    }
    let mut child = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -n 64; exec "$0" --nocapture running_out_of_descriptors"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = said
            .next_line()
            .await
            .unwrap()
            .expect("the child process ended");
        if let Some(address) = line.strip_prefix("listening on ") {
            break address.parse().unwrap();
        }
    };

    let mut peers = Vec::new();
    for _ in 0..100 {
        peers.push(
            Peer::connect(address)
                .await
                .expect("the connection was refused"),
        );
    }
    let mut last = peers.pop().expect("no peers");
    last.say(GET).await;
    assert!(
        timeout(millis(300), last.hear()).await.is_err(),
        "the last connection was served, so descriptors were left"
    );
    peers.clear();

    assert_eq!(
        last.hear()
            .await
            .expect("no response after the other connections were closed")
            .status,
        200
    );
}
