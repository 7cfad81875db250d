//! Two replicas share the list of revocations through a real Redis.

use std::time::{Duration, Instant};

use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, Claims,
        claims::NoPrivate,
        revocation::{Revocation, RevocationOutage},
        store::{RedisOptions, Store},
    },
    issuer::Issuer,
};

use crate::support::redis::RedisServer;

fn replica(issuer: &Issuer, url: &str, stale: Duration, outage: RevocationOutage) -> Auth {
    let store = Store::redis(url, &RedisOptions::default()).unwrap();
    Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .state_store(store)
        .revocation_stale(stale)
        .revocation_outage(outage)
        .build()
        .unwrap()
}

async fn code(auth: &Auth, token: &str) -> &'static str {
    match auth.verify::<NoPrivate>(token).await {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

async fn until_code(auth: &Auth, token: &str, expected: &str) -> Duration {
    let begin = Instant::now();
    while code(auth, token).await != expected {
        assert!(begin.elapsed() < Duration::from_secs(40), "{expected}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begin.elapsed()
}

const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn revocation_reaches_the_other_replica_within_a_second() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let one = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    let other = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    let first = issuer.token().sign();
    until_code(&one, &first, "ok").await;
    until_code(&other, &first, "ok").await;
    let mut longest = Duration::ZERO;
    for round in 0..100 {
        let token = issuer.token().claim("jti", format!("t{round}")).sign();
        for auth in [&one, &other] {
            assert_eq!(code(auth, &token).await, "ok", "{round}");
            assert_eq!(code(auth, &token).await, "ok", "{round}, cached");
        }
        let claims: Claims = other.verify(&token).await.unwrap();
        let stream = tokio::spawn(claims.ended());
        one.revoke(Revocation::token(issuer.url(), format!("t{round}")));
        assert_eq!(
            code(&one, &token).await,
            "token_revoked",
            "{round}, at once"
        );
        let took = until_code(&other, &token, "token_revoked").await;
        longest = longest.max(took);
        assert_eq!(stream.await.unwrap(), AuthError::TokenRevoked, "{round}");
    }
    println!("the longest of 100 took {longest:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    assert_eq!(code(&one, &first).await, "ok");
}

#[tokio::test]
async fn emptied_store_revives_no_token() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let one = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    let token = issuer.token().claim("jti", "t1").sign();
    until_code(&one, &token, "ok").await;
    one.revoke(Revocation::token(issuer.url(), "t1"));
    let late = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    until_code(&late, &token, "token_revoked").await;
    server.kill();
    assert_eq!(
        code(&one, &token).await,
        "token_revoked",
        "the store is down"
    );
    server.restart();
    // A replica that starts with the empty store should get the entry from the replicas that have
    // it.
    let new = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    until_code(&new, &token, "token_revoked").await;
    assert_eq!(code(&one, &token).await, "token_revoked");
}

#[tokio::test]
async fn outage_follows_the_configured_policy() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let stale = Duration::from_secs(2);
    let refusing = replica(&issuer, &server.url(), stale, RevocationOutage::Refuse);
    let going_on = replica(&issuer, &server.url(), stale, RevocationOutage::Local);
    let (good, bad) = (
        issuer.token().sign(),
        issuer.token().claim("jti", "t1").sign(),
    );
    for auth in [&refusing, &going_on] {
        auth.ready().await;
        until_code(auth, &good, "ok").await;
        auth.revoke(Revocation::token(issuer.url(), "t1"));
        assert_eq!(code(auth, &bad).await, "token_revoked");
    }
    server.kill();
    until_code(&refusing, &good, "state_unavailable").await;
    assert_eq!(code(&refusing, &bad).await, "state_unavailable");
    assert_eq!(code(&going_on, &good).await, "ok");
    assert_eq!(code(&going_on, &bad).await, "token_revoked");
    let status = going_on.revocation_status();
    assert!(status.sources[0].is_failing);
    server.restart();
    until_code(&refusing, &good, "ok").await;
    assert_eq!(code(&refusing, &bad).await, "token_revoked");
}

#[tokio::test]
async fn replica_is_not_ready_before_reaching_the_store() {
    let Some(mut server) = RedisServer::start() else {
        return;
    };
    server.kill();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    auth.ready().await;
    let token = issuer.token().sign();
    assert_eq!(code(&auth, &token).await, "state_unavailable");
    assert!(!auth.is_ready());
    server.restart();
    until_code(&auth, &token, "ok").await;
    assert!(auth.is_ready());
}

#[tokio::test]
async fn revocation_from_a_thread_without_a_runtime_reaches_the_other_replica() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let one = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    let other = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    let token = issuer.token().claim("jti", "t1").sign();
    until_code(&one, &token, "ok").await;
    until_code(&other, &token, "ok").await;
    let revocation = Revocation::token(issuer.url(), "t1");
    let thread = std::thread::spawn(move || {
        one.revoke(revocation);
        one
    });
    let _one = thread.join().unwrap();
    let took = until_code(&other, &token, "token_revoked").await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// The issuer must learn that a logout may not have reached every replica, and must be able to send
/// the logout token again.
#[tokio::test]
async fn logout_token_can_be_sent_again_until_the_store_confirms_the_revocation() {
    let Some(server) = RedisServer::start() else {
        return;
    };
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .logout_client(issuer.client_id())
        .state_store(Store::redis(&server.url(), &RedisOptions::default()).unwrap())
        .build()
        .unwrap();
    let other = replica(&issuer, &server.url(), LONG, RevocationOutage::Refuse);
    let token = issuer.token().claim("sid", "s1").sign();
    until_code(&auth, &token, "ok").await;
    until_code(&other, &token, "ok").await;
    // Until its birth is a second ago, the store can't tell whether a token was used
    let mut is_used_once = false;
    while !is_used_once {
        let earlier = issuer.logout_token().claim("sid", "s0").sign();
        if auth.log_out(&earlier).await.is_err() {
            continue;
        }
        is_used_once = auth.log_out(&earlier).await.is_err();
    }
    // This server adds the entry, but does not push it to the other replica.
    server
        .command(&["ACL", "SETUSER", "default", "-publish"])
        .await;
    let logout = issuer.logout_token().claim("sid", "s1").sign();
    for attempt in 0..2 {
        let verdict = auth.log_out(&logout).await;
        let is_unavailable = matches!(verdict, Err(AuthError::StateUnavailable { .. }));
        assert!(is_unavailable, "{attempt}: {verdict:?}");
        assert_eq!(code(&auth, &token).await, "token_revoked", "{attempt}");
    }
    server
        .command(&["ACL", "SETUSER", "default", "+publish"])
        .await;
    let begin = Instant::now();
    // If only the reply to the claim is lost, the token counts as used
    while let Err(error) = auth.log_out(&logout).await
        && error != AuthError::TokenRevoked
    {
        assert!(begin.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // the answer arrives after the other replica has received the entry, or at most a moment earlier
    let took = until_code(&other, &token, "token_revoked").await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let again = auth.log_out(&logout).await.unwrap_err();
    assert_eq!(again, AuthError::TokenRevoked);
}
