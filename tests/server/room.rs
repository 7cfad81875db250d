//! Room: connections beyond the limit wait, and no shortage ends the service.

use std::process::Command;

use tokio::time::timeout;
use warp_bearer::service::Limits;

use crate::support::{GET, Peer, Server, millis};

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_another_to_end() {
    let server = Server::start(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let (mut first, mut second) = (server.peer().await, server.peer().await);
    first.ask(GET).await.expect("room for one");
    second.ask(GET).await.expect("room for two");

    let mut third = server.peer().await;
    third.say(GET).await;
    assert!(
        timeout(millis(100), third.hear()).await.is_err(),
        "no room for three"
    );
    drop(first);

    assert_eq!(third.hear().await.expect("its turn").status, 200);
    drop(second);
}

/// Runs itself again with but a few descriptors, which the peers use up.
#[tokio::test(flavor = "multi_thread")]
async fn running_out_of_descriptors_does_not_end_the_service() {
    const CHILD: &str = "SERVER_TEST_OUT_OF_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        return use_up_descriptors().await;
    }
    let child = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -n 64; exec "$0" --nocapture running_out_of_descriptors"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

async fn use_up_descriptors() {
    let server = Server::start(Limits::default()).await;
    let mut peers = Vec::new();
    while let Some(peer) = Peer::connect(server.address).await {
        peers.push(peer);
    }
    // The last peers are connected, but the server had no descriptor left to take them with.
    let mut last = peers.pop().expect("a peer");
    last.say(GET).await;
    assert!(
        timeout(millis(300), last.hear()).await.is_err(),
        "descriptors are left"
    );
    peers.truncate(10);

    assert_eq!(last.hear().await.expect("taken at last").status, 200);
}
