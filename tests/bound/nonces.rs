//! Nonces: the first request gets one, and later responses renew it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use serde_json::Value;
use warp::Reply;
use warp_bearer::{
    auth::{Claims, dpop::Dpop},
    service::{
        Access,
        api::route::{route, table},
    },
};

use crate::{Bound, PUBLIC_URL, assert_refused, support::Answer};

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

/// A second process with the same secret accepts the nonce, one with another secret doesn't.
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

/// The length of a nonce's slot, in seconds.
const SLOT: u64 = 300;

/// A service whose clock only the test advances, starting at the beginning of a slot.
struct Clocked {
    bound: Bound,
    clock: Arc<AtomicU64>,
    start: u64,
    token: String,
}

impl Clocked {
    async fn start() -> Self {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let start = now.as_secs() / SLOT * SLOT;
        let clock = Arc::new(AtomicU64::new(start));
        let time = Arc::clone(&clock);
        let bound = Bound::with(|builder| {
            builder
                .dpop(Dpop::allowed(PUBLIC_URL).nonces_from(*SECRET))
                .clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(time.load(Relaxed)))
        });
        let bound = bound.await;
        let token = bound.token().claim("iat", start);
        let token = token.claim("exp", start + 36_000).sign();
        Self {
            bound,
            clock,
            start,
            token,
        }
    }

    /// Sends a request `second` seconds into the test. An empty `nonce` is left out of the proof.
    async fn send(&mut self, second: u64, nonce: &str) -> Answer {
        self.send_to("GET /api/private", second, nonce).await
    }

    /// Like [`send`](Self::send), but to another route. The proof is still for the private route.
    async fn send_to(&mut self, route: &str, second: u64, nonce: &str) -> Answer {
        let now = self.start + second;
        self.clock.store(now, Relaxed);
        let mut proof = self.bound.proof(&self.token).claim("iat", now);
        if !nonce.is_empty() {
            proof = proof.nonce(nonce);
        }
        let (token, proof) = (&self.token, proof.sign());
        let lines = format!(
            "Authorization: DPoP {token}\r\nDPoP: {proof}\r\n\
             X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /v1/api/private\r\n"
        );
        self.bound.ask(route, &lines).await
    }
}

/// In the last minute of a slot, every 200 to a token has the slot's nonce, and from the second
/// minute on, so does a 200 to a proof that still has the previous slot's nonce.
#[tokio::test]
async fn renews_a_nonce_that_may_soon_expire() {
    let mut service = Clocked::start().await;
    let refused = service.send(0, "").await;
    let mut nonce = refused.header("dpop-nonce").to_owned();
    let mut renewals = Vec::new();
    for second in (0..3 * SLOT).step_by(30) {
        let answer = service.send(second, &nonce).await;
        assert_eq!(answer.status, 200, "{second}: {answer:?}");
        let renewed = answer.header("dpop-nonce");
        if !renewed.is_empty() {
            renewals.push(second);
            renewed.clone_into(&mut nonce);
        }
    }
    let expected = [240, 270, 360, 540, 570, 660, 840, 870];
    assert_eq!(renewals, expected);
    let public = service.bound.ask("GET /api/public", "").await;
    assert!(
        !public.headers.contains_key("dpop-nonce"),
        "no proof goes there"
    );
    let authorization = format!(
        "Authorization: Bearer {}\r\n",
        service.bound.issuer.token().sign()
    );
    for (second, is_last) in [(900, false), (960, false), (1140, true)] {
        service.clock.store(service.start + second, Relaxed);
        let plain = service.bound.ask("GET /api/private", &authorization).await;
        assert_eq!(plain.status, 200);
        let is_renewed = plain.headers.contains_key("dpop-nonce");
        assert_eq!(is_renewed, is_last, "{second}");
    }
}

/// Routes that read a JSON body should add the nonce too.
#[tokio::test]
async fn renews_the_nonce_of_a_request_with_a_body() {
    async fn note(_: Claims, note: Value) -> impl Reply {
        warp::reply::json(&note)
    }
    let mut service = Clocked::start().await;
    let refused = service.send(0, "").await;
    let nonce = refused.header("dpop-nonce").to_owned();
    let row = |access: &Access| route!(POST, "notes").with_auth(access).json().then(note);
    let rows = table(vec![row(&Access::from(&service.bound.auth))]);
    for (second, body, status, is_renewed) in [
        (0, "{}", 200, false),
        (359, "{}", 200, false),
        (360, "{}", 200, true),
        (361, "{", 400, false),
    ] {
        let now = service.start + second;
        service.clock.store(now, Relaxed);
        let key = &service.bound.key;
        let proof = key.proof("POST", &format!("{PUBLIC_URL}/notes"));
        let proof = proof.token(&service.token).claim("iat", now).nonce(&nonce);
        let request = warp::test::request().method("POST").path("/notes");
        let request = request
            .header("authorization", format!("DPoP {}", service.token))
            .header("dpop", proof.sign())
            .header("content-type", "application/json")
            .body(body);
        let answer = request.reply(&rows).await;
        assert_eq!(answer.status().as_u16(), status, "{second}: {answer:?}");
        let has_nonce = answer.headers().contains_key("dpop-nonce");
        assert_eq!(has_nonce, is_renewed, "{second}");
    }
}

/// A client that always uses the newest nonce, and never waits longer than four minutes, isn't
/// rejected again.
#[tokio::test]
async fn client_with_a_request_every_four_minutes_always_has_a_good_nonce() {
    let mut service = Clocked::start().await;
    for (route, period) in [
        ("GET /api/private", 59),
        ("GET /api/private", 120),
        ("GET /api/private", 181),
        ("GET /api/private", 240),
        ("GET /auth", 240),
        ("GET /auth/api/private", 240),
    ] {
        for first in [0, 59, 239, 299] {
            let case = format!("{route} every {period} s from {first} on");
            let refused = service.send_to(route, first, "").await;
            let mut nonce = refused.header("dpop-nonce").to_owned();
            for second in (first..4000).step_by(period) {
                let answer = service.send_to(route, second, &nonce).await;
                assert_eq!(answer.status, 200, "{case}: {second}");
                let renewed = answer.header("dpop-nonce");
                if !renewed.is_empty() {
                    renewed.clone_into(&mut nonce);
                }
            }
        }
    }
}
