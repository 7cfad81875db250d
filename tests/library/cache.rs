//! The cache of verified tokens changes speed and nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use warp_bearer::{
    auth::{Algorithm, Auth, AuthError, Builder, Claims},
    issuer::{Issuer, SigningKey},
};

use crate::support::clock::{StoppedClock, until};

async fn issuer() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

fn builder(issuer: &Issuer) -> Builder {
    Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
}

async fn verify(auth: &Auth, token: &str) -> Result<String, AuthError> {
    let claims: Claims = auth.verify(token).await?;
    Ok(claims.json().to_owned())
}

#[tokio::test]
async fn does_not_verify_a_cached_token_again() {
    let issuer = issuer().await;
    let auth = builder(&issuer).build().unwrap();
    auth.ready().await;
    let token = issuer.token().sign();
    let first = verify(&auth, &token).await.unwrap();
    for hits in 1..=3 {
        assert_eq!(verify(&auth, &token).await.unwrap(), first);
        assert_eq!(auth.cache_hits(), hits);
    }
    assert_eq!(auth.cached_tokens(), 1);
}

/// The headers differ in `kid`, which HS256 ignores.
#[tokio::test]
async fn finds_tokens_of_any_number_of_headers() {
    const HEADERS: usize = 600;
    let issuer = issuer().await;
    let secret = "0123456789abcdef0123456789abcdef";
    let auth = builder(&issuer)
        .algorithms([Algorithm::HS256])
        .signing_secret(secret)
        .build()
        .unwrap();
    let key = SigningKey::from_secret(secret);
    let token = |number: usize| issuer.token().key(&key).kid(&number.to_string()).sign();
    let tokens: Vec<_> = (0..HEADERS).map(token).collect();
    for _ in 0..2 {
        for token in &tokens {
            verify(&auth, token).await.unwrap();
        }
    }
    assert_eq!(auth.cache_hits(), HEADERS as u64);
}

#[tokio::test]
async fn checks_times_on_every_hit() {
    let issuer = issuer().await;
    let offset = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&offset);
    let auth = builder(&issuer)
        .clock(move || SystemTime::now() + Duration::from_secs(clock.load(Ordering::Relaxed)))
        .build()
        .unwrap();
    auth.ready().await;
    let token = issuer.token().expires_in(Duration::from_secs(100)).sign();
    #[rustfmt::skip]
    let rows = [
        ("fresh", 0, true),
        ("seen", 0, true),
        ("seen, within leeway", 125, true),
        ("seen, beyond it", 135, false),
        ("still rejected", 135, false),
    ];
    for (case, seconds, accepted) in rows {
        offset.store(seconds, Ordering::Relaxed);
        let verdict = verify(&auth, &token).await;
        let expected = if accepted {
            None
        } else {
            Some(AuthError::TokenExpired)
        };
        assert_eq!(verdict.err(), expected, "{case}");
    }
    assert_eq!(
        auth.cached_tokens(),
        0,
        "an expired token gives its room back"
    );
}

#[tokio::test]
async fn rejects_a_cached_token_after_its_key_is_removed() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = builder(&issuer).build().unwrap();
    auth.ready().await;
    let token = issuer.token().expires_in(Duration::from_secs(9000)).sign();
    for _ in 0..2 {
        assert!(verify(&auth, &token).await.is_ok());
    }
    issuer.rotate();
    issuer.retire();
    clock.pass(Duration::from_secs(540)).await;
    until(|| issuer.requests().jwks == 2 && auth.status()[0].age < Some(Duration::from_secs(1)))
        .await;
    assert_eq!(verify(&auth, &token).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn unchanged_refresh_keeps_cached_tokens() {
    let issuer = issuer().await;
    issuer.etag(false);
    let auth = builder(&issuer).build().unwrap();
    auth.ready().await;
    let token = issuer.token().sign();
    verify(&auth, &token).await.unwrap();
    auth.refresh();
    issuer.jwks_requested(2).await;
    until(|| auth.status()[0].age < Some(Duration::from_millis(100))).await;
    verify(&auth, &token).await.unwrap();
    assert_eq!(auth.cache_hits(), 1);
}

#[tokio::test]
async fn rejects_a_cached_token_without_a_key_set() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = builder(&issuer).build().unwrap();
    auth.ready().await;
    let token = issuer
        .token()
        .expires_in(Duration::from_secs(90_000))
        .sign();
    for _ in 0..2 {
        verify(&auth, &token).await.unwrap();
    }
    issuer.go_down().await;
    clock
        .pass_until(Duration::from_secs(60), || !auth.is_ready())
        .await;
    let verdict = verify(&auth, &token).await;
    assert!(
        matches!(verdict, Err(AuthError::KeysUnavailable { .. })),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn does_not_cache_rejected_tokens() {
    let issuer = issuer().await;
    let auth = builder(&issuer).build().unwrap();
    auth.ready().await;
    verify(&auth, &issuer.token().sign()).await.unwrap();
    let stranger = SigningKey::generate(Algorithm::ES256);
    let refused = [
        issuer.token().expired().sign(),
        issuer.token().audience("other").sign(),
        issuer.token().key(&stranger).kid(issuer.key().kid()).sign(),
        "not.a.token".to_owned(),
    ];
    for token in refused.iter().chain(&refused) {
        assert!(verify(&auth, token).await.is_err());
    }
    assert_eq!((auth.cached_tokens(), auth.cache_hits()), (1, 0));
}

#[tokio::test]
async fn hits_only_on_the_exact_token() {
    let issuer = issuer().await;
    let auth = builder(&issuer).build().unwrap();
    auth.ready().await;
    let token = issuer.token().sign();
    verify(&auth, &token).await.unwrap();
    for at in 0..token.len() {
        let mut near = token.clone().into_bytes();
        near[at] = if near[at] == b'A' { b'B' } else { b'A' };
        let near = String::from_utf8(near).unwrap();
        assert!(verify(&auth, &near).await.is_err(), "byte {at}");
    }
    assert_eq!(auth.cache_hits(), 0);
}

#[tokio::test]
async fn cache_is_bounded_in_tokens_and_bytes() {
    let issuer = issuer().await;
    let auth = builder(&issuer).token_cache(100).build().unwrap();
    auth.ready().await;
    for i in 0..600 {
        verify(&auth, &issuer.token().claim("n", i).sign())
            .await
            .unwrap();
    }
    let small = auth.cached_tokens();
    assert!((50..=150).contains(&small), "{small}");
    let auth = builder(&issuer).token_cache(1000).build().unwrap();
    auth.ready().await;
    for i in 0..400 {
        let token = issuer
            .token()
            .claim("n", i)
            .claim("fill", "x".repeat(6000))
            .sign();
        verify(&auth, &token).await.unwrap();
    }
    let large = auth.cached_tokens();
    assert!((50..=110).contains(&large), "14 KiB each: {large}");
}

#[tokio::test]
async fn results_do_not_depend_on_the_cache() {
    let issuer = issuer().await;
    let with = builder(&issuer).build().unwrap();
    let without = builder(&issuer).token_cache(0).build().unwrap();
    with.ready().await;
    without.ready().await;
    let token = || issuer.token();
    let good = token().sign();
    let (head, _) = good.rsplit_once('.').unwrap();
    let tokens = [
        good.clone(),
        token().expired().sign(),
        format!("{}.!", token().expired().sign().rsplit_once('.').unwrap().0),
        format!("{head}.!"),
        format!("{head}."),
        token().without("exp").sign(),
        token().claim("sub", 1).sign(),
        token().kid("unknown").sign(),
        token().header("crit", ["x"]).sign(),
        token().scope("\u{2603} \"").sign(),
    ];
    for round in 0..3 {
        for (row, token) in tokens.iter().enumerate() {
            let (one, other) = (verify(&with, token).await, verify(&without, token).await);
            assert_eq!(one, other, "round {round}, row {row}");
        }
    }
    assert_eq!((without.cached_tokens(), without.cache_hits()), (0, 0));
}

#[tokio::test]
async fn caches_tokens_signed_with_a_secret() {
    let issuer = issuer().await;
    let secret = "0123456789abcdef0123456789abcdef";
    let auth = builder(&issuer)
        .algorithms([Algorithm::HS256, Algorithm::ES256])
        .signing_secret(secret)
        .build()
        .unwrap();
    auth.ready().await;
    let token = issuer.token().key(&SigningKey::from_secret(secret)).sign();
    for _ in 0..3 {
        verify(&auth, &token).await.unwrap();
    }
    assert_eq!(auth.cache_hits(), 2);
}
