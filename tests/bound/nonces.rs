//! Nonces: the first request gets one, and later responses renew it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use warp_bearer::auth::dpop::Dpop;

use crate::{Bound, PUBLIC_URL, assert_refused};

const SECRET: &[u8; 32] = b"a secret that two replicas share";

#[tokio::test]
async fn accepts_the_nonce_from_the_refusal() {
    let mut bound = Bound::with(|builder| builder.dpop(Dpop::required(PUBLIC_URL).nonces())).await;
    let token = bound.token().sign();
    let proof = bound.proof(&token).sign();
    let answer = bound.send(&token, &proof).await;
    assert_refused(
        &answer,
        "absent",
        "DPoP",
        "nonce_required",
        "use_dpop_nonce",
    );
    let nonce = answer.header("dpop-nonce").to_owned();
    assert!(!nonce.is_empty());

    let foreign = bound.proof(&token).nonce("eyJ7S_zG.eyJH0-Z.HX4w-7v").sign();
    let answer = bound.send(&token, &foreign).await;
    assert_refused(
        &answer,
        "foreign",
        "DPoP",
        "nonce_required",
        "use_dpop_nonce",
    );

    for _ in 0..2 {
        let proof = bound.proof(&token).nonce(&nonce).sign();
        assert_eq!(bound.send(&token, &proof).await.status, 200);
    }
    let other = bound.proof(&token).nonce(&nonce).claim("htm", "PUT").sign();
    let answer = bound.send(&token, &other).await;
    assert_refused(
        &answer,
        "another method",
        "DPoP",
        "invalid_proof",
        "invalid_dpop_proof",
    );
    assert!(
        !answer.headers.contains_key("dpop-nonce"),
        "a nonce would not help"
    );
}

/// A second process with the same secret accepts the nonce; one with another secret does not.
#[tokio::test]
async fn replicas_with_one_secret_share_nonces() {
    let replica = |secret: [u8; 32]| {
        Bound::with(move |builder| builder.dpop(Dpop::required(PUBLIC_URL).nonces_from(secret)))
    };
    let mut one = replica(*SECRET).await;
    let token = one.token().sign();
    let proof = one.proof(&token).sign();
    let nonce = one
        .send(&token, &proof)
        .await
        .header("dpop-nonce")
        .to_owned();
    for (secret, status) in [(*SECRET, 200), ([7; 32], 401)] {
        let mut other = replica(secret).await;
        let token = other.token().sign();
        let proof = other.proof(&token).nonce(&nonce).sign();
        assert_eq!(other.send(&token, &proof).await.status, status);
    }
}

#[tokio::test]
async fn renews_the_nonce_in_the_last_minute_of_its_slot() {
    const SLOT: u64 = 300;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let start = now.as_secs() / SLOT * SLOT;
    let clock = Arc::new(AtomicU64::new(start));
    let time = Arc::clone(&clock);
    let mut bound = Bound::with(|builder| {
        builder
            .dpop(Dpop::allowed(PUBLIC_URL).nonces_from(*SECRET))
            .clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(time.load(Relaxed)))
    })
    .await;
    let issued = |second: u64| start + second;
    let token = |bound: &Bound| {
        let token = bound.token().claim("iat", start).claim("exp", start + 3600);
        token.sign()
    };
    let token = token(&bound);
    let refused = bound
        .send(&token, &bound.proof(&token).claim("iat", start).sign())
        .await;
    let mut nonce = refused.header("dpop-nonce").to_owned();
    // A client that adopts every nonce it receives is never rejected again.
    let mut renewals = 0;
    for second in (0..4 * SLOT).step_by(30) {
        clock.store(issued(second), Relaxed);
        let proof = bound
            .proof(&token)
            .claim("iat", issued(second))
            .nonce(&nonce)
            .sign();
        let answer = bound.send(&token, &proof).await;
        assert_eq!(answer.status, 200, "{second}: {answer:?}");
        let renewed = answer.header("dpop-nonce");
        let is_last = second % SLOT >= 240;
        assert_eq!(!renewed.is_empty(), is_last, "{second}");
        if is_last {
            renewals += 1;
            renewed.clone_into(&mut nonce);
        }
    }
    assert_eq!(renewals, 8);
    let public = bound.ask("GET /api/public", "").await;
    assert!(
        !public.headers.contains_key("dpop-nonce"),
        "no proof goes there"
    );
}
