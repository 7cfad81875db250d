//! `revoke` through a shared store, with two processes of the service and a WebSocket of the
//! library.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use tokio::time::{sleep, timeout};
use warp::{
    Filter,
    ws::{Message, WebSocket, Ws},
};
use warp_bearer::{
    auth::{
        Algorithm, Auth, BearerFilterExt, Claims,
        store::{RedisOptions, Store},
        websocket::with_websocket_auth,
    },
    issuer::Issuer,
};

use crate::support::{
    process::{Directory, Process, run},
    raw::Client,
    redis::RedisServer,
};

/// The rounds of an ordinary run. Each starts a process for the command.
const ROUNDS: usize = 10;

/// The time after the end of the command in which a revocation must take effect.
const AT_MOST: Duration = Duration::from_secs(1);

/// Waits until the token ends, and closes with the code of the reason.
async fn until_ended(claims: Claims, mut socket: WebSocket) {
    let why = claims.ended().await;
    let last = Message::close_with(4401_u16, why.code());
    // the client may have left
    let _ = socket.send(last).await;
}

async fn refused(client: &mut Client, token: &str) -> Instant {
    loop {
        let answer = client.with_token(token).await;
        if answer.status == 401 {
            assert_eq!(answer.code(), "token_revoked");
            return Instant::now();
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        sleep(Duration::from_millis(1)).await;
    }
}

async fn rounds(rounds: usize) -> Option<Duration> {
    let server = RedisServer::start()?;
    let url = server.url();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let vars = [
        ("AUTH0_ISSUER", issuer.url()),
        ("AUTH0_API_AUDIENCE", issuer.audience()),
        ("AUTH0_ALGORITHMS", "ES256"),
        ("STATE_STORE", &url),
        ("STATE_STORE_TIMEOUT", "1s"),
        ("LISTEN", "127.0.0.1:0"),
    ];
    let mut processes = [(); 2].map(|()| Process::start(&["serve"], &vars));
    let addresses: [std::net::SocketAddr; 2] = processes.each_mut().map(|process| {
        let log = process.logged(|line| line.contains("listening address="));
        let address = log.last().unwrap().split("address=").nth(1).unwrap();
        address.trim().parse().unwrap()
    });
    let [mut one, mut other] = [
        Client::to(addresses[0]).await,
        Client::to(addresses[1]).await,
    ];
    let store = Store::redis(&url, &RedisOptions::default()).unwrap();
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .state_store(store)
        .build()
        .unwrap();
    let socket = warp::path!("socket")
        .and(with_websocket_auth(&auth))
        .and(warp::ws())
        .map(|claims: Claims, ws: Ws| ws.on_upgrade(move |socket| until_ended(claims, socket)))
        .route();
    let directory = Directory::new();
    let revoke = |jti: &str| {
        let done = run(&directory, &["revoke", "--jti", jti], &vars);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Instant::now()
    };
    // The service answers 503 until it has read the list once
    let first = issuer.token().sign();
    for client in [&mut one, &mut other] {
        while client.with_token(&first).await.status != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    while !auth.is_ready() {
        sleep(Duration::from_millis(20)).await;
    }
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let jti = format!("t{round}");
        let token = issuer.token().claim("jti", &jti).sign();
        for client in [&mut one, &mut other] {
            for time in ["verified", "cached"] {
                let answer = client.with_token(&token).await;
                assert_eq!(answer.status, 200, "{round}, {time}: {answer:?}");
            }
        }
        let page = warp::test::ws().path("/socket");
        let page = page.header("authorization", format!("Bearer {token}"));
        let mut page = page.handshake(socket.clone()).await.unwrap();
        let revoked_at = tokio::task::block_in_place(|| revoke(&jti));
        for client in [&mut one, &mut other] {
            let took = refused(client, &token)
                .await
                .saturating_duration_since(revoked_at);
            longest = longest.max(took);
            assert!(took < AT_MOST, "{round}: {took:?}");
        }
        // Note that warp's test client reports that the socket was closed, but not the frame's
        // code.
        timeout(AT_MOST, page.recv_closed()).await.unwrap().unwrap();
    }
    assert_eq!(
        one.with_token(&first).await.status,
        200,
        "other tokens are not revoked"
    );
    let listed = run(&directory, &["revocations", "--json"], &vars);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), rounds, "{listed}");
    Some(longest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_by_command_reaches_both_processes_and_ends_sockets() {
    rounds(ROUNDS).await;
}

/// A hundred rounds: `cargo test --test bound -- --ignored a_hundred_revocations --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute"]
async fn a_hundred_revocations_reach_both_processes() {
    if let Some(longest) = rounds(100).await {
        println!("the longest of 100 took {longest:?} after the end of the command");
    }
}
