//! A proof is only accepted once, even if many copies arrive at the same time.

use warp_bearer::auth::{
    dpop::{Dpop, DpopMode},
    store::Store,
};

use crate::{Bound, PRIVATE, PUBLIC_URL, assert_refused};

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
        "bearer tokens pass"
    );
}
