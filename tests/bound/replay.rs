//! A proof is accepted only once, even if many copies arrive at the same time

use std::time::{Duration, SystemTime};

use warp_bearer::{
    auth::{
        Algorithm,
        dpop::{Dpop, DpopMode},
        store::Store,
    },
    issuer::{Issuer, SigningKey},
};

use crate::{
    Bound, PRIVATE, PUBLIC_URL, assert_refused,
    support::{process::Process, raw::Client},
};

#[tokio::test]
async fn rejects_a_reused_proof() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let proof = bound.proof(&token).claim("jti", "same").sign();
    assert_eq!(bound.send(&token, &proof).await.status, 200);
    let again = bound.proof(&token).claim("jti", "same").sign();
    for (case, proof) in [("the same", &proof), ("the same jti, signed again", &again)] {
        let answer = bound.send(&token, proof).await;
        assert_refused(
            &answer,
            case,
            "DPoP",
            "proof_replayed",
            "invalid_dpop_proof",
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepts_one_of_two_hundred_concurrent_copies() {
    const COPIES: usize = 200;
    let bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    let mut clients = Vec::new();
    for _ in 0..COPIES {
        clients.push(bound.service.client().await);
    }
    for round in 0..3 {
        let proof = bound.proof(&token).sign();
        let lines = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
        let tasks: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                let lines = lines.clone();
                tokio::spawn(async move {
                    let answer = client.with_lines(lines.as_bytes()).await;
                    (client, answer)
                })
            })
            .collect();
        clients = Vec::new();
        let mut codes = Vec::new();
        for task in tasks {
            let (client, answer) = task.await.unwrap();
            clients.push(client);
            if answer.status != 200 {
                codes.push(answer.code());
            }
        }
        assert_eq!(codes.len(), COPIES - 1, "round {round}");
        assert!(codes.iter().all(|code| code == "proof_replayed"));
    }
}

/// A process can't know which proofs were used before it started.
#[tokio::test]
async fn a_proof_older_than_the_process_is_not_accepted() {
    let mut bound = Bound::start(DpopMode::Allowed).await;
    let token = bound.token().sign();
    for seconds in [-60, -300] {
        let old = bound.proof(&token).issued_at(seconds).sign();
        let answer = bound.send(&token, &old).await;
        answer.assert_is_problem("older than the process", 503, "state_unavailable");
    }
    let new = bound.proof(&token).sign();
    assert_eq!(bound.send(&token, &new).await.status, 200);
    let plain = bound.issuer.token().issued_at(-300).sign();
    let answer = bound.client.with_token(&plain).await;
    assert_eq!(answer.status, 200, "bearer tokens need no proof");
}

#[tokio::test]
async fn a_used_proof_is_not_accepted_after_a_restart() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let key = SigningKey::generate(Algorithm::ES256);
    let token = issuer.token().bound_to(&key).sign();
    let vars = [
        ("AUTH0_ISSUER", issuer.url()),
        ("AUTH0_API_AUDIENCE", issuer.audience()),
        ("AUTH0_ALGORITHMS", "ES256"),
        ("PUBLIC_URL", PUBLIC_URL),
        ("LISTEN", "127.0.0.1:0"),
    ];
    let start = async || {
        let mut process = Process::start(&["serve"], &vars);
        let log = process.logged(|line| line.contains("listening address="));
        let address = log.last().unwrap().split("address=").nth(1).unwrap();
        let client = Client::to(address.trim().parse().unwrap()).await;
        (process, client)
    };
    let (process, mut client) = start().await;
    let proof = key.proof("GET", PRIVATE).token(&token).sign();
    let signed = seconds();
    let lines = format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n");
    assert_eq!(client.with_lines(lines.as_bytes()).await.status, 200);
    let again = client.with_lines(lines.as_bytes()).await;
    assert_eq!(again.code(), "proof_replayed");
    drop(process);
    // `iat` has whole seconds, so we have to start the next process in a later second than the
    // proof's.
    while seconds() == signed {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (_process, mut client) = start().await;
    let answer = client.with_lines(lines.as_bytes()).await;
    answer.assert_is_problem("after a restart", 503, "state_unavailable");
}

fn seconds() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed();
    now.unwrap().as_secs()
}

#[tokio::test]
async fn answers_503_while_the_record_is_full() {
    let mut bound = Bound::with(|builder| {
        builder
            .dpop(Dpop::allowed(PUBLIC_URL))
            .state_store(Store::memory(1024))
    })
    .await;
    let token = bound.token().sign();
    let first = bound.proof(&token).sign();
    assert_eq!(bound.send(&token, &first).await.status, 200);
    let refused = loop {
        let proof = bound.key.proof("GET", PRIVATE).token(&token).sign();
        let answer = bound.send(&token, &proof).await;
        if answer.status != 200 {
            break answer;
        }
    };
    refused.assert_is_problem("full", 503, "state_unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(!refused.headers.contains_key("www-authenticate"));
    assert_eq!(bound.send(&token, &first).await.code(), "proof_replayed");
    let plain = bound.issuer.token().sign();
    assert_eq!(
        bound.client.with_token(&plain).await.status,
        200,
        "bearer tokens need no proof"
    );
}
