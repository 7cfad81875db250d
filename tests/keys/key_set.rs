//! The key set stays usable while its issuer fails. The tests use real sockets, a real issuer that
//! counts its requests, and a clock that nothing but the test itself advances.

use std::{
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex, OnceLock},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use serde_json::json;
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};
use warp_bearer::{
    auth::{Algorithm, Auth, AuthError, Builder, Claims, keys::Fetches},
    issuer::{Fault, Issuer, SigningKey},
    service::observe::logging::{self, LogConfig, LogFormat},
};

use crate::support::clock::{StoppedClock, until};

const SECOND: Duration = Duration::from_secs(1);
/// The longest a cooldown can take: 15 s + 20 %.
const COOLDOWN: Duration = Duration::from_secs(18);

fn builder(issuer: &Issuer) -> Builder {
    Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
}

/// ES256, because generating an RSA key takes long.
async fn issuer() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

async fn ready(issuer: &Issuer) -> Auth {
    let auth = builder(issuer).build().unwrap();
    auth.ready().await;
    auth
}

async fn verify(auth: &Auth, token: &str) -> Result<(), AuthError> {
    auth.verify(token).await.map(|_: Claims| ())
}

/// Panics if the request has to wait.
fn at_once(auth: &Auth, token: &str) -> Result<(), AuthError> {
    let verdict = verify(auth, token).now_or_never();
    verdict.expect("the request had to wait")
}

fn fetches(issuer: &Issuer) -> u64 {
    issuer.requests().jwks
}

#[tokio::test]
async fn made_up_kids_cost_four_fetches_then_one_per_cooldown() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let good = issuer.token().sign();
    let unknown = issuer.token();
    let tokens: Vec<_> = (0..5000)
        .map(|i| unknown.clone().kid(&format!("made-up-{i}")).sign())
        .collect();

    let flood = |range: std::ops::Range<usize>| {
        let connections = (0..64).map(|connection| {
            let (auth, good) = (&auth, &good);
            let share = tokens[range.clone()].iter().skip(connection).step_by(64);
            async move {
                for token in share {
                    assert_eq!(verify(auth, token).await, Err(AuthError::UnknownKey));
                    assert_eq!(
                        at_once(auth, good),
                        Ok(()),
                        "a token with a known key does not wait"
                    );
                }
            }
        });
        join_all(connections)
    };
    flood(0..2500).await;
    assert_eq!(fetches(&issuer), 1 + 4, "the budget allows four fetches");
    for cooldowns in 1..=3 {
        clock.pass(COOLDOWN).await;
        let share = 2500 + (cooldowns - 1) * 800..2500 + cooldowns * 800;
        flood(share).await;
        // we waited 18 s per cooldown, but a cooldown may take only 12 s
        let most = cooldowns as u64 * 18 / 12;
        let since = fetches(&issuer) - 5;
        assert!(
            (cooldowns as u64..=most).contains(&since),
            "one each cooldown: {since}"
        );
    }
}

#[tokio::test]
async fn finds_a_rotated_key_within_two_cooldowns_during_a_flood() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let mut made_up = 0;
    let mut flood = async |count: usize| {
        for _ in 0..count {
            made_up += 1;
            let token = issuer.token().kid(&format!("made-up-{made_up}")).sign();
            assert_eq!(verify(&auth, &token).await, Err(AuthError::UnknownKey));
        }
    };
    flood(100).await;
    issuer.rotate();
    let rotated = issuer.token().sign();
    let mut passed = Duration::ZERO;
    while verify(&auth, &rotated).await.is_err() {
        clock.pass(SECOND).await;
        passed += SECOND;
        flood(20).await;
    }
    assert!(passed <= COOLDOWN * 2, "{passed:?}");
}

#[tokio::test]
async fn first_request_after_a_rotation_fetches_the_new_key() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let old = issuer.token().sign();
    for rotation in 1..=3 {
        issuer.rotate();
        let new = issuer.token().sign();
        let requests = (0..200).map(|i| verify(&auth, if i % 2 == 0 { &new } else { &old }));
        assert!(join_all(requests).await.iter().all(Result::is_ok));
        assert_eq!(
            fetches(&issuer),
            1 + rotation,
            "one fetch for each rotation"
        );
    }
}

#[tokio::test]
async fn finds_a_new_key_right_after_another_fetch() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    for _ in 0..4 {
        issuer.rotate();
        assert_eq!(verify(&auth, &issuer.token().sign()).await, Ok(()));
    }
}

#[tokio::test]
async fn requests_join_a_running_fetch_and_ask_again_if_needed() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let made_up = issuer.token().kid("made-up").sign();
    issuer.fail_jwks(Fault::Hold);
    let early = tokio::spawn({
        let auth = auth.clone();
        async move { verify(&auth, &made_up).await }
    });
    issuer.jwks_requested(2).await;
    clock.pass(SECOND / 100).await;
    // The fetch that is held back began before these requests, so it can't satisfy them. They need
    // a later one.
    let (first, second) = (
        issuer.token().kid("a").sign(),
        issuer.token().kid("b").sign(),
    );
    let late = [first, second].map(|token| {
        let auth = auth.clone();
        tokio::spawn(async move { verify(&auth, &token).await })
    });
    clock.pass(SECOND / 100).await;
    issuer.recover();
    assert_eq!(early.await.unwrap(), Err(AuthError::UnknownKey));
    for late in late {
        assert_eq!(late.await.unwrap(), Err(AuthError::UnknownKey));
    }
    assert_eq!(
        fetches(&issuer),
        3,
        "the two later requests share one fetch"
    );
}

#[tokio::test]
async fn known_keys_survive_every_fault_for_an_hour() {
    let faults = [
        ("an error", Some(Fault::Status(500))),
        ("not found", Some(Fault::Status(404))),
        ("too many requests", Some(Fault::StatusRetryAfter(429, 30))),
        ("HTML", Some(Fault::Html)),
        ("not JSON", Some(Fault::NotJson)),
        ("an empty set", Some(Fault::EmptySet)),
        ("an empty body", Some(Fault::EmptyBody)),
        ("half a body", Some(Fault::HalfBody)),
        ("600 KiB", Some(Fault::TooLarge)),
        (
            "a redirect",
            Some(Fault::Redirect("http://localhost:9/".into())),
        ),
        ("dripping", Some(Fault::Drip)),
        ("hanging", Some(Fault::Hang)),
        ("refusing", None),
    ];
    let clock = StoppedClock::stop();
    for (case, fault) in faults {
        survives(case, fault, &clock).await;
    }
}

async fn survives(case: &str, fault: Option<Fault>, clock: &StoppedClock) {
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let (good, made_up) = (
        issuer.token().expires_in(SECOND * 9000).sign(),
        issuer.token().kid("x").sign(),
    );
    match fault {
        Some(fault) => issuer.fail(fault),
        None => issuer.go_down().await,
    }

    // fresh for 10 min, and usable for another hour
    let mut passed = Duration::ZERO;
    while passed < SECOND * (600 + 3600 - 20) {
        clock.pass(SECOND * 10).await;
        passed += SECOND * 10;
        assert_eq!(at_once(&auth, &good), Ok(()), "{case} after {passed:?}");
    }
    let verdict = within(clock, SECOND * 3, verify(&auth, &made_up)).await;
    // With these faults, a fetch is still in flight and may bring the key, so the answer is 503.
    let retry_after = SECOND;
    let expected = match case {
        "hanging" | "dripping" => AuthError::KeysUnavailable { retry_after },
        _ => AuthError::UnknownKey,
    };
    assert_eq!(verdict, Err(expected), "{case}: a set is held");

    let dropped = clock.pass_until(SECOND, || !auth.is_ready()).await;
    assert!(dropped <= SECOND * 40, "{case}: {dropped:?}");
    let late = within(clock, SECOND * 3, verify(&auth, &good)).await;
    let Err(AuthError::KeysUnavailable { retry_after }) = late else {
        panic!("{case}: {late:?}");
    };
    assert!(retry_after <= SECOND * 72, "{case}: {retry_after:?}");

    match issuer.requests() {
        // this issuer isn't failing, it's down
        _ if case == "refusing" => issuer.come_back().await,
        _ => issuer.recover(),
    }
    let back = clock.pass_until(SECOND, || auth.is_ready()).await;
    assert!(back <= SECOND * 80, "{case}: {back:?}");
    assert_eq!(at_once(&auth, &good), Ok(()), "{case}: without a restart");
}

/// Runs `request`, and lets at most `limit` of time pass meanwhile.
async fn within<T>(clock: &StoppedClock, limit: Duration, request: impl Future<Output = T>) -> T {
    let mut request = std::pin::pin!(request);
    let step = SECOND / 10;
    let mut passed = Duration::ZERO;
    loop {
        if let Some(verdict) = request.as_mut().now_or_never() {
            return verdict;
        }
        assert!(passed <= limit, "it took longer than {limit:?}");
        clock.pass(step).await;
        passed += step;
    }
}

#[tokio::test]
async fn unresolvable_issuer_counts_as_down() {
    let auth = Auth::discover("https://issuer.invalid/", "a").unwrap();
    until(|| auth.status()[0].last_error.is_some()).await;
    let issuer = issuer().await;
    let token = issuer.token().algorithm(Algorithm::RS256);
    let token = token
        .claim("iss", "https://issuer.invalid/")
        .claim("aud", "a");
    let verdict = verify(&auth, &token.sign()).await;
    assert!(
        matches!(verdict, Err(AuthError::KeysUnavailable { .. })),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn requests_wait_at_most_three_seconds_at_start() {
    let clock = StoppedClock::stop();
    for (case, fault, patience) in [
        ("hanging", Some(Fault::Hang), SECOND * 3),
        ("dripping", Some(Fault::Drip), SECOND * 3),
        ("an error", Some(Fault::Status(500)), SECOND / 10),
        ("down", None, SECOND / 10),
    ] {
        let issuer = issuer().await;
        match fault {
            Some(fault) => issuer.fail(fault),
            None => issuer.go_down().await,
        }
        let auth = builder(&issuer).build().unwrap();
        let token = issuer.token().sign();
        let clients = join_all((0..100).map(|_| verify(&auth, &token)));
        for verdict in within(&clock, patience, clients).await {
            let is_unavailable = matches!(verdict, Err(AuthError::KeysUnavailable { .. }));
            assert!(is_unavailable, "{case}: {verdict:?}");
        }
        if case == "down" {
            issuer.come_back().await;
        } else {
            issuer.recover();
        }
        // the fetch that hangs runs into its timeout of five seconds, then comes one backoff
        let back = clock.pass_until(SECOND / 10, || auth.is_ready()).await;
        assert!(back <= SECOND * 5, "{case}: {back:?}");
        assert_eq!(at_once(&auth, &token), Ok(()), "{case}");
    }
}

/// Responses without a usable set, which must count as failed fetches, whatever their status.
const NOTHING_USABLE: [(&str, Fault); 5] = [
    ("an empty body", Fault::EmptyBody),
    ("a 304", Fault::NotModified),
    ("an empty set", Fault::EmptySet),
    ("a 204", Fault::Status(204)),
    ("HTML", Fault::Html),
];

#[tokio::test]
async fn recovers_from_a_first_fetch_without_keys() {
    let clock = StoppedClock::stop();
    for (case, fault) in NOTHING_USABLE {
        let (log, _guard) = Log::start();
        let issuer = issuer().await;
        issuer.max_age(Some(86400));
        issuer.fail_jwks(fault);
        let auth = builder(&issuer).build().unwrap();
        until(|| auth.status()[0].fetches != Fetches::default()).await;
        let status = auth.status().remove(0);
        assert!(status.last_error.is_some(), "{case}: {status:?}");
        assert_eq!(status.fetches.failed, 1, "{case}: {status:?}");
        assert_eq!(log.count("key set fetch failed"), 1, "{case}");
        issuer.recover();
        let back = clock.pass_until(SECOND / 10, || auth.is_ready()).await;
        assert!(back <= SECOND * 2, "{case}: one backoff, not {back:?}");
    }
}

#[tokio::test]
async fn recovers_from_an_answer_without_keys_after_the_set_was_dropped() {
    let clock = StoppedClock::stop();
    for (case, fault) in NOTHING_USABLE {
        let issuer = issuer().await;
        let auth = builder(&issuer).jwks_stale(SECOND).build().unwrap();
        auth.ready().await;
        issuer.fail_jwks(Fault::Status(500));
        clock.pass_until(SECOND, || !auth.is_ready()).await;
        issuer.fail_jwks(fault);
        let before = auth.status()[0].fetches;
        clock
            .pass_until(SECOND, || auth.status()[0].fetches != before)
            .await;
        let status = auth.status().remove(0);
        assert_eq!(status.fetches.failed, before.failed + 1, "{case}");
        assert!(status.last_error.is_some(), "{case}: {status:?}");
        issuer.recover();
        let back = clock.pass_until(SECOND, || auth.is_ready()).await;
        assert!(back <= SECOND * 73, "{case}: {back:?}");
    }
}

/// A reload parses the held document again, and if that counted as a fetch, repeated reloads would
/// keep old keys alive for as long as the issuer is down.
#[tokio::test]
async fn reloads_do_not_make_a_set_younger() {
    const MINUTE: Duration = Duration::from_secs(60);
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let ttl = |builder: Builder| builder.jwks_ttl(MINUTE).jwks_stale(MINUTE);
    let auth = ttl(builder(&issuer)).build().unwrap();
    auth.ready().await;
    issuer.fail(Fault::Status(500));
    let also = [Algorithm::RS256, Algorithm::ES384, Algorithm::ES512];
    let mut passed = Duration::ZERO;
    for more in also {
        clock.pass(SECOND * 30).await;
        passed += SECOND * 30;
        let changed = ttl(builder(&issuer)).algorithms([Algorithm::ES256, more]);
        auth.replace_issuers(&changed).unwrap();
        assert!(auth.is_ready(), "after {passed:?}");
        let age = auth.status()[0].age.unwrap();
        assert!(age >= passed, "{age:?} after {passed:?}");
    }
    let dropped = clock.pass_until(SECOND, || !auth.is_ready()).await;
    assert!(passed + dropped <= MINUTE * 2 + SECOND, "{dropped:?} later");
}

/// The options of a reload that changes something, so that the refresher is replaced.
fn changed(issuer: &Issuer) -> Builder {
    builder(issuer).algorithms([Algorithm::ES256, Algorithm::ES384])
}

#[tokio::test]
async fn reload_retries_its_fetch_until_it_succeeds() {
    let clock = StoppedClock::stop();
    let (log, _guard) = Log::start();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let revoked = issuer.token().expires_in(SECOND * 9000).sign();
    issuer.rotate();
    issuer.retire();
    issuer.fail_jwks(Fault::Status(500));
    // as SIGHUP does
    auth.refresh();
    auth.replace_issuers(&changed(&issuer)).unwrap();
    until(|| auth.status()[0].fetches.failed == 1).await;
    assert_eq!(at_once(&auth, &revoked), Ok(()), "the held set stays");
    issuer.recover();
    let before = fetches(&issuer);
    let passed = clock
        .pass_until(SECOND / 10, || fetches(&issuer) > before)
        .await;
    assert!(passed <= SECOND * 2, "one backoff, not {passed:?}");
    until(|| auth.status()[0].fetches.replaced > 0).await;
    assert_eq!(verify(&auth, &revoked).await, Err(AuthError::UnknownKey));
    assert_eq!(log.count("key set fetched"), 2);
    let next = auth.status()[0].next_fetch.unwrap();
    assert!(next > SECOND * 400, "the ordinary refresh: {next:?}");
}

#[tokio::test]
async fn reload_does_not_count_the_held_set_as_fetched() {
    let _clock = StoppedClock::stop();
    let (log, _guard) = Log::start();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    auth.replace_issuers(&changed(&issuer)).unwrap();
    assert_eq!(auth.status()[0].fetches, Fetches::default());
    until(|| auth.status()[0].fetches.confirmed == 1).await;
    assert_eq!(auth.status()[0].fetches.replaced, 0);
    assert_eq!(log.count("key set fetched"), 1);
}

#[tokio::test]
async fn reload_keeps_the_time_to_live_of_the_set() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    issuer.max_age(Some(86400));
    let auth = ready(&issuer).await;
    issuer.fail(Fault::Status(500));
    auth.replace_issuers(&changed(&issuer)).unwrap();
    let held = clock
        .pass_until(SECOND * 60, || {
            !auth.is_ready() || auth.status()[0].age > Some(SECOND * 5000)
        })
        .await;
    assert!(auth.is_ready(), "dropped after {held:?}");
}

#[tokio::test]
async fn reload_keeps_the_discovered_address() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    issuer.fail_discovery(Fault::Status(500));
    for algorithms in [
        &[Algorithm::ES256, Algorithm::ES384][..],
        &[Algorithm::ES256, Algorithm::ES512],
        // the held set has no key for this one
        &[Algorithm::ES384],
    ] {
        let reloaded = builder(&issuer).algorithms(algorithms.iter().copied());
        auth.replace_issuers(&reloaded).unwrap();
        let key = SigningKey::generate(algorithms[0]);
        issuer.publish_key(&key);
        let token = issuer.token().key(&key).sign();
        let verdict = within(&clock, SECOND * 3, verify(&auth, &token)).await;
        assert_eq!(verdict, Ok(()), "{algorithms:?}");
    }
}

#[tokio::test]
async fn without_keys_requests_fetch_from_the_budget() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    issuer.fail(Fault::Status(500));
    let auth = builder(&issuer).build().unwrap();
    until(|| auth.status()[0].last_error.is_some()).await;
    let token = issuer.token().sign();
    for _ in 0..1000 {
        let verdict = verify(&auth, &token).await;
        assert!(matches!(verdict, Err(AuthError::KeysUnavailable { .. })));
    }
    assert_eq!(
        issuer.requests().discovery,
        1 + 4,
        "the budget allows four fetches"
    );
    assert_eq!(auth.status()[0].fetches.refused, 0, "no key was unknown");
    // By now the backoff should be at its maximum. We then continue right after a failed fetch,
    // when the next one is farthest away.
    for _ in 0..240 {
        clock.pass(SECOND).await;
    }
    let failed = auth.status()[0].fetches.failed;
    clock
        .pass_until(SECOND, || auth.status()[0].fetches.failed > failed)
        .await;
    assert!(auth.status()[0].next_fetch > Some(SECOND * 45));
    assert!(verify(&auth, &token).await.is_err());
    issuer.recover();
    assert_eq!(
        verify(&auth, &token).await,
        Ok(()),
        "the first request after it"
    );
}

#[tokio::test]
async fn without_keys_recovery_follows_the_issuer_within_a_cooldown() {
    let clock = StoppedClock::stop();
    for outage in [1, 7, 60, 300, 1000] {
        let issuer = issuer().await;
        issuer.fail(Fault::Status(500));
        let auth = builder(&issuer).build().unwrap();
        let token = issuer.token().sign();
        for _ in 0..outage {
            assert!(verify(&auth, &token).await.is_err());
            clock.pass(SECOND).await;
        }
        issuer.recover();
        let mut passed = Duration::ZERO;
        while verify(&auth, &token).await.is_err() {
            clock.pass(SECOND / 2).await;
            passed += SECOND / 2;
        }
        assert!(passed <= COOLDOWN, "after {outage} s: {passed:?}");
        let asked = issuer.requests().discovery;
        let most = 1 + 4 + outage / 12 + 8 + outage / 48;
        assert!(asked <= most, "after {outage} s: {asked} of {most}");
    }
}

#[tokio::test]
async fn without_keys_requests_honour_retry_after() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    issuer.fail(Fault::StatusRetryAfter(429, 30));
    let auth = builder(&issuer).build().unwrap();
    until(|| auth.status()[0].last_error.is_some()).await;
    let token = issuer.token().sign();
    for _ in 0..29 {
        let Err(AuthError::KeysUnavailable { retry_after }) = at_once(&auth, &token) else {
            panic!("there are no keys");
        };
        assert!(retry_after <= SECOND * 30, "{retry_after:?}");
        clock.pass(SECOND).await;
    }
    assert_eq!(issuer.requests().discovery, 1);
    issuer.recover();
    clock.pass(SECOND).await;
    assert_eq!(verify(&auth, &token).await, Ok(()));
}

#[tokio::test]
async fn refresh_during_a_fetch_starts_another_fetch() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = builder(&issuer).jwks_timeout(SECOND * 900).build().unwrap();
    auth.ready().await;
    let revoked = issuer.token().expires_in(SECOND * 9000).sign();
    issuer.etag(false);
    issuer.fail_jwks(Fault::Drip);
    auth.refresh();
    issuer.jwks_requested(2).await;
    // The slow response is from before the key was revoked
    clock.pass(SECOND).await;
    issuer.recover();
    issuer.rotate();
    issuer.retire();
    for _ in 0..3 {
        auth.refresh();
    }
    let landed = || auth.status()[0].fetches.confirmed + auth.status()[0].fetches.replaced >= 3;
    clock.pass_until(SECOND, landed).await;
    for _ in 0..5 {
        clock.pass(SECOND).await;
    }
    assert_eq!(fetches(&issuer), 3, "three refreshes share one more fetch");
    assert_eq!(verify(&auth, &revoked).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn age_counts_from_when_the_confirming_fetch_began() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = builder(&issuer).jwks_timeout(SECOND * 900).build().unwrap();
    auth.ready().await;
    clock.pass(SECOND * 20).await;
    issuer.etag(false);
    issuer.fail_jwks(Fault::Drip);
    let began = tokio::time::Instant::now();
    auth.refresh();
    issuer.jwks_requested(2).await;
    clock
        .pass_until(SECOND, || auth.status()[0].fetches.confirmed == 1)
        .await;
    assert!(began.elapsed() > SECOND * 100, "the answer was slow");
    assert_eq!(auth.status()[0].age, Some(began.elapsed()));
}

/// Starts an issuer that moves its keys: from the second request for its metadata on, they name the
/// key set of `moved` (`issuer` keeps answering at the old address).
async fn moving() -> (Issuer, Issuer, Auth) {
    let (issuer, moved) = (
        issuer().await,
        Issuer::with_algorithm(Algorithm::ES256).await,
    );
    let auth = ready(&issuer).await;
    issuer.fail_discovery(Fault::JwksUri(moved.jwks_uri().to_owned()));
    (issuer, moved, auth)
}

fn signed_by(issuer: &Issuer, other: &Issuer) -> String {
    let token = issuer.token().key(&other.key());
    token.expires_in(SECOND * 200_000).sign()
}

#[tokio::test]
async fn finds_a_missing_key_at_the_moved_key_set() {
    let _clock = StoppedClock::stop();
    let (issuer, moved, auth) = moving().await;
    let token = signed_by(&issuer, &moved);
    let requests = join_all((0..50).map(|_| verify(&auth, &token))).await;
    assert!(
        requests.iter().all(Result::is_ok),
        "the first request finds the key"
    );
    assert_eq!(fetches(&issuer), 2, "the old address is fetched once more");
    assert_eq!(issuer.requests().discovery, 2);
    assert_eq!(fetches(&moved), 1);

    let old = issuer.token().sign();
    assert_eq!(verify(&auth, &old).await, Err(AuthError::UnknownKey));
    assert_eq!(fetches(&issuer), 2, "the old address is not fetched again");
}

#[tokio::test]
async fn finds_a_key_at_the_moved_set_if_the_old_address_fails() {
    let _clock = StoppedClock::stop();
    let (issuer, moved, auth) = moving().await;
    issuer.fail_jwks(Fault::Status(404));
    assert_eq!(verify(&auth, &signed_by(&issuer, &moved)).await, Ok(()));
    assert_eq!((fetches(&issuer), fetches(&moved)), (2, 1));
}

#[tokio::test]
async fn refresh_follows_a_moved_key_set() {
    let _clock = StoppedClock::stop();
    let (issuer, moved, auth) = moving().await;
    auth.refresh();
    until(|| auth.status()[0].fetches.replaced == 2).await;
    assert_eq!(at_once(&auth, &signed_by(&issuer, &moved)), Ok(()));
    assert_eq!(fetches(&issuer), 1);
}

#[tokio::test]
async fn refresh_repeats_discovery_until_it_succeeds() {
    let clock = StoppedClock::stop();
    for (case, fault, least, most) in [
        ("an error", Fault::Status(500), 0, 2),
        ("Retry-After", Fault::StatusRetryAfter(503, 20), 20, 22),
    ] {
        let issuer = issuer().await;
        let moved = Issuer::with_algorithm(Algorithm::ES256).await;
        issuer.max_age(Some(86400));
        let auth = ready(&issuer).await;
        let revoked = issuer.token().expires_in(SECOND * 9000).sign();
        issuer.fail_discovery(fault);
        auth.refresh();
        until(|| auth.status()[0].fetches.confirmed == 1).await;
        let error = auth.status()[0].last_error_code;
        issuer.fail_discovery(Fault::JwksUri(moved.jwks_uri().to_owned()));
        let replaced = || auth.status()[0].fetches.replaced == 2;
        let passed = clock.pass_until(SECOND / 10, replaced).await;
        let expected = SECOND * least..=SECOND * most;
        assert!(expected.contains(&passed), "{case}: {passed:?}");
        assert_eq!(error, Some("status"), "{case}");
        assert_eq!(auth.status()[0].last_error_code, None, "{case}");
        let verdict = verify(&auth, &revoked).await;
        assert_eq!(verdict, Err(AuthError::UnknownKey), "{case}");
    }
}

#[tokio::test]
async fn follows_a_moved_key_set_within_a_day() {
    let clock = StoppedClock::stop();
    for (case, max_age, ttl) in [
        ("the default", None, None),
        ("the longest max-age", Some(1_000_000), None),
        ("a week, configured", None, Some(SECOND * 7 * 86400)),
    ] {
        let issuer = issuer().await;
        let moved = Issuer::with_algorithm(Algorithm::ES256).await;
        issuer.max_age(max_age);
        let mut builder = builder(&issuer);
        if let Some(ttl) = ttl {
            builder = builder.jwks_ttl(ttl);
        }
        let auth = builder.build().unwrap();
        auth.ready().await;
        issuer.fail_discovery(Fault::JwksUri(moved.jwks_uri().to_owned()));
        let start = tokio::time::Instant::now();
        while fetches(&moved) == 0 {
            // the extra time is for timers, which round up to their next tick
            clock
                .pass(auth.status()[0].next_fetch.unwrap() + SECOND)
                .await;
            assert!(start.elapsed() <= SECOND * (86400 + 120), "{case}");
            let settled = || auth.status()[0].next_fetch > Some(SECOND);
            until(settled).await;
        }
        until(|| at_once(&auth, &signed_by(&issuer, &moved)).is_ok()).await;
    }
}

#[tokio::test]
async fn refreshes_keys_while_only_discovery_fails() {
    let clock = StoppedClock::stop();
    for (case, fault) in [
        ("an error", Fault::Status(500)),
        ("hanging", Fault::Hang),
        (
            "another issuer's",
            Fault::WrongIssuer("https://a.example/".into()),
        ),
        ("no address", Fault::JwksUri("keys".into())),
    ] {
        let (log, _guard) = Log::start();
        let issuer = issuer().await;
        issuer.max_age(Some(3600));
        let auth = ready(&issuer).await;
        issuer.fail_discovery(fault);
        let start = tokio::time::Instant::now();
        // Runs for 16 hours. Discovery is repeated after 12, and a set that isn't refreshed is
        // dropped after two: its `max-age` of one hour, and one hour stale.
        while start.elapsed() < SECOND * 16 * 3600 {
            clock.pass(auth.status()[0].next_fetch.unwrap()).await;
            for _ in 0..5 {
                clock.pass(SECOND).await;
            }
            assert!(auth.is_ready(), "{case} after {:?}", start.elapsed());
        }
        assert_eq!(auth.status()[0].fetches.failed, 0, "{case}");
        issuer.rotate();
        let verdict = within(&clock, SECOND * 3, verify(&auth, &issuer.token().sign())).await;
        assert_eq!(verdict, Ok(()), "{case}");
        assert_eq!(log.count("discovery failed"), 1, "{case}");
    }
}

#[tokio::test]
async fn one_budget_unit_costs_at_most_four_requests() {
    let clock = StoppedClock::stop();
    for (case, fault) in [
        ("no fault", None),
        ("an error", Some(Fault::Status(500))),
        ("HTML", Some(Fault::Html)),
    ] {
        let issuer = issuer().await;
        let auth = ready(&issuer).await;
        if let Some(fault) = fault {
            issuer.fail_jwks(fault);
        }
        clock.pass(SECOND).await;
        issuer.reset_requests();
        for i in 0..200 {
            let token = issuer.token().kid(&format!("made-up-{i}")).sign();
            assert_eq!(verify(&auth, &token).await, Err(AuthError::UnknownKey));
        }
        let requests = issuer.requests();
        assert_eq!(requests.jwks, 4, "{case}: {requests:?}");
        assert!(requests.discovery <= 4, "{case}: {requests:?}");
    }
}

#[tokio::test]
async fn short_max_age_does_not_cause_frequent_fetches() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    issuer.max_age(Some(15));
    let auth = ready(&issuer).await;
    let token = issuer.token().sign();
    for _ in 0..600 {
        clock.pass(SECOND).await;
        assert_eq!(at_once(&auth, &token), Ok(()));
    }
    assert!((2..=3).contains(&fetches(&issuer)), "{}", fetches(&issuer));
}

#[tokio::test]
async fn keeps_and_extends_an_unchanged_set() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let token = issuer.token().expires_in(SECOND * 9000).sign();
    for _ in 0..720 {
        clock.pass(SECOND * 10).await;
        assert_eq!(at_once(&auth, &token), Ok(()));
    }
    let requests = issuer.requests();
    assert_eq!(
        requests.jwks,
        requests.not_modified + 1,
        "sent whole only once"
    );
    assert!(requests.not_modified >= 13, "{requests:?}");
}

#[tokio::test]
async fn rejects_a_removed_key_after_the_next_refresh() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let old = issuer.token().expires_in(SECOND * 9000).sign();
    issuer.rotate();
    issuer.retire();
    assert_eq!(
        at_once(&auth, &old),
        Ok(()),
        "the set has not been fetched again"
    );
    clock.pass(SECOND * 540).await;
    until(|| fetches(&issuer) >= 2 && auth.status()[0].age < Some(SECOND)).await;
    assert_eq!(verify(&auth, &old).await, Err(AuthError::UnknownKey));
}

#[tokio::test]
async fn wrong_signature_reveals_a_key_replaced_under_its_kid() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    issuer.replace();
    let token = issuer.token().sign();
    assert_eq!(at_once(&auth, &token), Err(AuthError::BadSignature));
    until(|| at_once(&auth, &token).is_ok()).await;
    assert_eq!(fetches(&issuer), 2);
}

/// An issuer with a single key may publish it without a `kid`.
fn without_kid(key: &SigningKey) -> serde_json::Value {
    let mut jwk = key.public_jwk();
    jwk.as_object_mut().unwrap().remove("kid");
    json!({"keys": [jwk]})
}

#[tokio::test]
async fn wrong_signature_reveals_a_replaced_key_without_kid() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    issuer.publish(without_kid(&issuer.key()));
    let auth = ready(&issuer).await;
    let next = SigningKey::generate(Algorithm::ES256);
    issuer.publish(without_kid(&next));
    let token = issuer.token().key(&next).without_header("kid").sign();
    assert_eq!(at_once(&auth, &token), Err(AuthError::BadSignature));
    until(|| fetches(&issuer) == 2 && auth.status()[0].fetches.replaced == 2).await;
    assert_eq!(at_once(&auth, &token), Ok(()));
}

#[tokio::test]
async fn wrong_signatures_stay_within_the_budget() {
    let _clock = StoppedClock::stop();
    for has_kid in [true, false] {
        let issuer = issuer().await;
        let stranger = SigningKey::generate(Algorithm::ES256);
        let mut forged = issuer.token().key(&stranger).kid(issuer.key().kid());
        if !has_kid {
            issuer.publish(without_kid(&issuer.key()));
            forged = forged.without_header("kid");
        }
        let auth = ready(&issuer).await;
        let forged = forged.sign();
        for round in 0..20 {
            assert_eq!(at_once(&auth, &forged), Err(AuthError::BadSignature));
            let wanted = 1 + 4.min(round + 1);
            until(|| fetches(&issuer) == wanted && auth.status()[0].keys == 1).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(fetches(&issuer), 5, "has a kid: {has_kid}");
    }
}

/// Two sets: no key or several keys of the first fit a token, and one key of the second does.
fn ambiguous_sets(
    key: &SigningKey,
) -> [(&'static str, bool, serde_json::Value, serde_json::Value); 3] {
    let old = SigningKey::generate(Algorithm::ES256).with_kid(key.kid());
    let of_other_type = SigningKey::generate(Algorithm::ES384);
    let both = |has_kid: bool| {
        let keys = [&old, key].map(|key| {
            if has_kid {
                key.public_jwk()
            } else {
                without_kid(key)["keys"][0].clone()
            }
        });
        json!({ "keys": keys })
    };
    let one = json!({"keys": [key.public_jwk()]});
    let other = json!({"keys": [of_other_type.public_jwk()]});
    [
        ("two without a kid", false, both(false), without_kid(key)),
        ("two under one kid", true, both(true), one),
        ("none for the algorithm", false, other, without_kid(key)),
    ]
}

#[tokio::test]
async fn fetches_the_set_if_it_is_ambiguous() {
    let _clock = StoppedClock::stop();
    let key = SigningKey::generate(Algorithm::ES256);
    for (case, has_kid, before, after) in ambiguous_sets(&key) {
        let issuer = issuer().await;
        issuer.publish(before);
        let auth = changed(&issuer).build().unwrap();
        auth.ready().await;
        let mut token = issuer.token().key(&key);
        if !has_kid {
            token = token.without_header("kid");
        }
        let token = token.sign();
        for _ in 0..3 {
            let verdict = verify(&auth, &token).await;
            assert_eq!(
                verdict,
                Err(AuthError::UnknownKey),
                "{case}: still ambiguous"
            );
        }
        issuer.publish(after);
        assert_eq!(verify(&auth, &token).await, Ok(()), "{case}");
        assert_eq!(fetches(&issuer), 5, "{case}");
    }
}

#[tokio::test]
async fn ambiguous_sets_stay_within_the_budget() {
    let _clock = StoppedClock::stop();
    let key = SigningKey::generate(Algorithm::ES256);
    let [(_, _, set, _), ..] = ambiguous_sets(&key);
    let issuer = issuer().await;
    issuer.publish(set);
    let auth = ready(&issuer).await;
    let token = issuer.token().key(&key).without_header("kid").sign();
    for _ in 0..50 {
        assert_eq!(verify(&auth, &token).await, Err(AuthError::UnknownKey));
    }
    assert_eq!(fetches(&issuer), 1 + 4);
}

#[tokio::test]
async fn wrong_algorithm_reveals_a_key_replaced_by_another_type() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = changed(&issuer).build().unwrap();
    auth.ready().await;
    let next = SigningKey::generate(Algorithm::ES384).with_kid(issuer.key().kid());
    let token = issuer.token().key(&next).sign();
    for round in 0..10 {
        let refused = at_once(&auth, &token);
        assert_eq!(refused, Err(AuthError::AlgorithmNotAllowed));
        until(|| fetches(&issuer) == 1 + 4.min(round + 1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(fetches(&issuer), 5, "the budget allows four fetches");

    let auth = changed(&issuer).build().unwrap();
    auth.ready().await;
    issuer.publish(json!({"keys": [next.public_jwk()]}));
    assert!(at_once(&auth, &token).is_err(), "not fetched yet");
    until(|| at_once(&auth, &token).is_ok()).await;
}

#[tokio::test]
async fn wrong_hmac_signature_fetches_no_keys() {
    let issuer = issuer().await;
    let builder = builder(&issuer).algorithms([Algorithm::ES256, Algorithm::HS256]);
    let auth = builder.signing_secret([7; 32]).build().unwrap();
    auth.ready().await;
    let forged = SigningKey::from_secret([8; 32]);
    let forged = issuer.token().key(&forged).sign();
    assert_eq!(at_once(&auth, &forged), Err(AuthError::BadSignature));
    assert_eq!(auth.status()[0].fetches.refused, 0);
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fetches(&issuer), 1);
}

#[tokio::test]
async fn one_invalid_key_does_not_affect_the_others() {
    let issuer = issuer().await;
    let good = issuer.key().public_jwk();
    for (case, odd) in [
        ("an unknown kty", json!({"kty": "XYZ", "kid": "odd"})),
        ("no kty", json!({"kid": "odd"})),
        (
            "an alg that is a number",
            json!({"kty": "EC", "alg": 5, "kid": "odd"}),
        ),
        ("oct", json!({"kty": "oct", "k": "AAAA", "kid": "odd"})),
        (
            "encryption",
            json!({"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}),
        ),
        ("malformed", json!({"kty": "RSA", "n": "!", "e": 3})),
        ("not an object", json!("odd")),
        ("null", json!(null)),
    ] {
        issuer.publish(json!({"keys": [odd, good]}));
        let auth = ready(&issuer).await;
        assert_eq!(auth.status()[0].keys, 1, "{case}");
        assert_eq!(at_once(&auth, &issuer.token().sign()), Ok(()), "{case}");
        if odd.get("kid").is_some() {
            let named = at_once(&auth, &issuer.token().kid("odd").sign());
            assert_eq!(
                named,
                Err(AuthError::AlgorithmNotAllowed),
                "{case}: known, and costs no fetch"
            );
        }
    }
}

#[tokio::test]
async fn accepts_a_corrected_key_within_the_budget() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    let (odd, good) = (
        SigningKey::generate(Algorithm::ES256).with_kid("odd"),
        issuer.key().public_jwk(),
    );
    let token = issuer.token().key(&odd).sign();
    let mut broken = odd.public_jwk();
    broken["y"] = json!("AA");
    issuer.publish(json!({"keys": [broken, good]}));
    let auth = ready(&issuer).await;
    for round in 0..10 {
        let refused = at_once(&auth, &token);
        assert_eq!(
            refused,
            Err(AuthError::AlgorithmNotAllowed),
            "rejected without a wait"
        );
        let wanted = 1 + 4.min(round + 1);
        until(|| fetches(&issuer) == wanted).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(fetches(&issuer), 5, "the budget allows four fetches");

    let auth = ready(&issuer).await;
    issuer.publish(json!({"keys": [odd.public_jwk(), good]}));
    assert!(
        at_once(&auth, &token).is_err(),
        "the set has not been fetched again"
    );
    until(|| at_once(&auth, &token).is_ok()).await;
    assert_eq!(fetches(&issuer), 7);
}

#[tokio::test]
async fn key_for_another_use_causes_no_fetch() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    let good = issuer.key().public_jwk();
    for (case, member, value) in [
        ("encryption", "use", "enc"),
        ("an unsupported kty", "kty", "AKP"),
        ("an unsupported curve", "crv", "P-1021"),
    ] {
        let odd = SigningKey::generate(Algorithm::ES256).with_kid("odd");
        let mut jwk = odd.public_jwk();
        jwk[member] = json!(value);
        issuer.publish(json!({"keys": [jwk, good]}));
        let auth = ready(&issuer).await;
        let before = fetches(&issuer);
        for _ in 0..3 {
            let refused = at_once(&auth, &issuer.token().key(&odd).sign());
            assert_eq!(refused, Err(AuthError::AlgorithmNotAllowed), "{case}");
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(fetches(&issuer), before, "{case}");
    }
}

#[tokio::test]
async fn reports_an_issuer_that_differs_by_a_slash() {
    let issuer = issuer().await;
    let bare = issuer.url().trim_end_matches('/').to_owned();
    issuer.wrong_issuer(bare.clone());
    let auth = builder(&issuer).build().unwrap();
    until(|| auth.status()[0].last_error.is_some()).await;
    let error = auth.status()[0].last_error.clone().unwrap();
    let expected = format!(
        "the issuer's name is {bare:?}, but {:?} is configured; they differ only in the trailing slash",
        issuer.url()
    );
    assert_eq!(error, expected);
    assert!(!auth.is_ready());
    assert_eq!(fetches(&issuer), 0, "the key set is not fetched");
}

#[tokio::test]
async fn rereads_a_changed_key_file() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let write = |keys: &[&SigningKey]| {
        let keys: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
        // We rename a complete file into place, so that no partial file is ever read
        let beside = directory.path().join("next");
        std::fs::write(&beside, json!({ "keys": keys }).to_string()).unwrap();
        std::fs::rename(&beside, &file).unwrap();
    };
    let (first, second) = (issuer.key(), SigningKey::generate(Algorithm::ES256));
    let token = |key| issuer.token().key(key).sign();
    write(&[&first]);
    let auth = builder(&issuer).jwks_file(&file).build().unwrap();
    until(|| auth.is_ready()).await;
    assert_eq!(at_once(&auth, &token(&first)), Ok(()));

    write(&[&second]);
    let verdict = verify(&auth, &token(&second)).await;
    assert_eq!(
        verdict,
        Ok(()),
        "the first request with the new key is accepted"
    );
    assert_eq!(
        verify(&auth, &token(&first)).await,
        Err(AuthError::UnknownKey)
    );

    write(&[&first, &second]);
    clock.pass(SECOND * 3).await;
    until(|| auth.status()[0].keys == 2).await;
    assert_eq!(issuer.requests().jwks, 0);
}

/// Sends a request with a made-up `kid` every second.
async fn asks_each_second(clock: &StoppedClock, issuer: &Issuer, auth: &Auth, seconds: u32) {
    for second in 0..seconds {
        let made_up = issuer.token().kid(&format!("made-up-{second}")).sign();
        assert!(verify(auth, &made_up).await.is_err());
        clock.pass(SECOND).await;
    }
}

#[tokio::test]
async fn honours_the_longer_retry_after_when_discovery_and_the_key_set_both_fail() {
    let clock = StoppedClock::stop();
    let asks = Fault::StatusRetryAfter(429, 60);
    for (case, discovery, jwks) in [
        ("the key set's", Fault::Status(500), asks.clone()),
        ("discovery's", asks.clone(), Fault::Status(500)),
        (
            "the longer one",
            Fault::StatusRetryAfter(503, 5),
            asks.clone(),
        ),
        ("a hanging key set", asks.clone(), Fault::Hang),
    ] {
        let (log, _guard) = Log::start();
        let issuer = issuer().await;
        let auth = ready(&issuer).await;
        issuer.reset_requests();
        issuer.fail_discovery(discovery);
        issuer.fail_jwks(jwks);
        auth.refresh();
        let failed = || auth.status()[0].fetches.failed == 1;
        clock.pass_until(SECOND / 10, failed).await;
        asks_each_second(&clock, &issuer, &auth, 50).await;
        let requests = issuer.requests();
        assert_eq!((requests.discovery, requests.jwks), (1, 1), "{case}");
        assert_eq!(log.count("discovery failed"), 1, "{case}");
        assert_eq!(log.count("key set fetch failed"), 1, "{case}");
        let error = auth.status()[0].last_error.clone().unwrap();
        assert!(
            !error.contains("openid-configuration"),
            "{case}: the key set's: {error}"
        );
    }
}

#[tokio::test]
async fn honours_the_retry_after_of_discovery_while_the_key_set_answers() {
    let clock = StoppedClock::stop();
    for (case, by_refresh) in [("a follow-up", false), ("a refresh", true)] {
        let issuer = issuer().await;
        let auth = ready(&issuer).await;
        issuer.reset_requests();
        issuer.fail_discovery(Fault::StatusRetryAfter(429, 60));
        if by_refresh {
            auth.refresh();
            until(|| auth.status()[0].fetches.confirmed == 1).await;
        }
        // After a wrong signature, discovery is repeated at once
        let stranger = SigningKey::generate(Algorithm::ES256);
        let forged = issuer.token().key(&stranger).kid(issuer.key().kid()).sign();
        asks_each_second(&clock, &issuer, &auth, 1).await;
        for _ in 0..27 {
            assert_eq!(at_once(&auth, &forged), Err(AuthError::BadSignature));
            asks_each_second(&clock, &issuer, &auth, 2).await;
        }
        assert_eq!(issuer.requests().discovery, 1, "{case}");
        assert!(
            fetches(&issuer) > 4,
            "{case}: the key set is not left alone"
        );
        clock.pass(SECOND * 20).await;
        asks_each_second(&clock, &issuer, &auth, 1).await;
        assert_eq!(issuer.requests().discovery, 2, "{case}: after a minute");
    }
}

/// Verifies a token of a new key while discovery hangs and the key set takes 0.8 s.
async fn verify_by_a_slow_key_set(
    clock: &StoppedClock,
    issuer: &Issuer,
    auth: &Auth,
) -> Result<(), AuthError> {
    let (before, step) = (fetches(issuer), SECOND / 10);
    let token = issuer.token().sign();
    let mut request = std::pin::pin!(verify(auth, &token));
    let mut held = Duration::ZERO;
    loop {
        if let Some(verdict) = request.as_mut().now_or_never() {
            return verdict;
        }
        clock.pass(step).await;
        if fetches(issuer) > before {
            held += step;
        }
        if held == step * 8 {
            issuer.recover();
        }
    }
}

#[tokio::test]
async fn finds_a_new_key_in_time_while_discovery_hangs() {
    let clock = StoppedClock::stop();
    for (case, during_refresh) in [("discovery is due", false), ("during a refresh", true)] {
        let issuer = issuer().await;
        let auth = ready(&issuer).await;
        if !during_refresh {
            issuer.fail_jwks(Fault::Status(500));
            auth.refresh();
            until(|| auth.status()[0].fetches.failed == 1).await;
        }
        issuer.rotate();
        issuer.fail_discovery(Fault::Hang);
        issuer.fail_jwks(Fault::Hold);
        if during_refresh {
            let before = issuer.requests().discovery;
            auth.refresh();
            until(|| issuer.requests().discovery > before).await;
        }
        let verdict = verify_by_a_slow_key_set(&clock, &issuer, &auth).await;
        assert_eq!(verdict, Ok(()), "{case}");
    }
}

#[tokio::test]
async fn answers_503_if_the_fetch_has_not_ended() {
    let clock = StoppedClock::stop();
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    issuer.rotate();
    issuer.fail_jwks(Fault::Hang);
    let token = issuer.token().sign();
    let verdict = within(&clock, SECOND * 3, verify(&auth, &token)).await;
    let Err(AuthError::KeysUnavailable { retry_after }) = verdict else {
        panic!("the fetch may still bring the key: {verdict:?}");
    };
    assert_eq!(retry_after, SECOND);
}

#[tokio::test]
async fn retries_a_failed_refresh_until_it_succeeds() {
    let clock = StoppedClock::stop();
    for (case, fault, most) in [
        ("an error", Fault::Status(503), 10),
        (
            "an error with Retry-After",
            Fault::StatusRetryAfter(503, 20),
            45,
        ),
        ("a hanging key set", Fault::Hang, 25),
    ] {
        let issuer = issuer().await;
        issuer.max_age(Some(86400));
        let auth = ready(&issuer).await;
        let withdrawn = issuer.token().expires_in(SECOND * 9000).sign();
        issuer.rotate();
        issuer.retire();
        issuer.fail_jwks(fault);
        auth.refresh();
        // the fetch should be retried more than once
        let failed = || auth.status()[0].fetches.failed == 2;
        let passed = clock.pass_until(SECOND / 10, failed).await;
        assert_eq!(
            at_once(&auth, &withdrawn),
            Ok(()),
            "{case}: nothing is dropped"
        );
        issuer.recover();
        let replaced = || auth.status()[0].fetches.replaced == 2;
        let passed = passed + clock.pass_until(SECOND / 10, replaced).await;
        assert!(passed <= SECOND * most, "{case}: {passed:?}");
        let verdict = verify(&auth, &withdrawn).await;
        assert_eq!(verdict, Err(AuthError::UnknownKey), "{case}");
        let next = auth.status()[0].next_fetch.unwrap();
        assert!(
            next > SECOND * 36000,
            "{case}: the ordinary refresh: {next:?}"
        );
    }
}

#[tokio::test]
async fn reordered_set_keeps_cached_tokens() {
    let _clock = StoppedClock::stop();
    let issuer = issuer().await;
    let other = SigningKey::generate(Algorithm::ES256).with_kid("other");
    let (own, other) = (issuer.key().public_jwk(), other.public_jwk());
    issuer.publish(json!({"keys": [own, other]}));
    let auth = ready(&issuer).await;
    let token = issuer.token().sign();
    assert_eq!(at_once(&auth, &token), Ok(()));
    for (confirmed, set) in [
        json!({"keys": [other, own]}),
        json!({"v": 2, "keys": [own, other]}),
    ]
    .into_iter()
    .enumerate()
    {
        issuer.publish(set);
        auth.refresh();
        let ended = || auth.status()[0].fetches.confirmed == confirmed as u64 + 1;
        until(|| ended() || auth.status()[0].fetches.replaced > 1).await;
        assert_eq!(auth.status()[0].fetches.replaced, 1);
        let hits = auth.cache_hits();
        assert_eq!(at_once(&auth, &token), Ok(()));
        assert_eq!(auth.cache_hits(), hits + 1, "the token is cached");
    }
    issuer.publish(json!({"keys": [own]}));
    auth.refresh();
    until(|| auth.status()[0].fetches.replaced == 2).await;
    let hits = auth.cache_hits();
    assert_eq!(at_once(&auth, &token), Ok(()));
    assert_eq!(auth.cache_hits(), hits, "the token is verified again");
}

/// The keys are the same, so tokens stay cached, but operators must see why keys are left out now.
#[tokio::test]
async fn reports_a_new_reason_why_a_key_is_left_out() {
    let _clock = StoppedClock::stop();
    let odd = SigningKey::generate(Algorithm::ES256).with_kid("odd");
    let odd = |y: Option<&str>| {
        let mut jwk = odd.public_jwk();
        jwk["y"] = json!(y);
        jwk
    };
    let other = json!({"kty": "none"});
    let many = |count: usize| vec![other.clone(); count];
    let with = |more: serde_json::Value| [vec![more], many(1)].concat();
    for (case, before, after, expected) in [
        (
            "another fault",
            with(odd(None)),
            with(odd(Some("AA="))),
            (0, "`y` ends in `=`"),
        ),
        (
            "too many entries",
            many(511),
            many(512),
            (511, "entries after the first 512 are not read"),
        ),
    ] {
        let (log, _guard) = Log::start();
        let issuer = issuer().await;
        let publish = |more: &[serde_json::Value]| {
            let keys = [&[issuer.key().public_jwk()], more].concat();
            issuer.publish(json!({ "keys": keys }));
        };
        publish(&before);
        let auth = ready(&issuer).await;
        let token = issuer.token().sign();
        assert_eq!(at_once(&auth, &token), Ok(()), "{case}");
        publish(&after);
        auth.refresh();
        until(|| auth.status()[0].fetches.confirmed == 1).await;
        let (index, reason) = expected;
        let left_out = auth.status()[0].left_out.clone();
        let found = left_out.get(index).map(|key| &*key.reason);
        assert_eq!(found, Some(reason), "{case}");
        let hits = auth.cache_hits();
        assert_eq!(at_once(&auth, &token), Ok(()), "{case}");
        assert_eq!(auth.cache_hits(), hits + 1, "{case}: the token is cached");

        // another order is nothing new
        let logged = log.count("key set fetched");
        assert_eq!(logged, 2, "{case}");
        publish(&after.into_iter().rev().collect::<Vec<_>>());
        auth.refresh();
        until(|| auth.status()[0].fetches.confirmed == 2).await;
        assert_eq!(log.count("key set fetched"), logged, "{case}");
    }
}

/// A slow log writer shouldn't delay requests. It might even call `status`, which would deadlock if
/// the library held a lock while it logs.
#[tokio::test]
async fn logs_without_holding_a_lock() {
    let clock = StoppedClock::stop();
    let asked: Arc<OnceLock<Auth>> = Arc::default();
    let (log, auth) = (Log::default(), Arc::clone(&asked));
    let writer = log.clone();
    let _guard = Log::capture(move || {
        auth.get().map(Auth::status);
        writer.clone()
    });
    let issuer = issuer().await;
    issuer.publish(json!({"keys": [issuer.key().public_jwk(), {"kty": "none"}]}));
    let auth = builder(&issuer).jwks_stale(SECOND).build().unwrap();
    asked.set(auth.clone()).unwrap();
    auth.ready().await;
    issuer.fail_discovery(Fault::Status(500));
    auth.refresh();
    until(|| auth.status()[0].fetches.confirmed == 1).await;
    issuer.fail(Fault::Status(500));
    clock.pass_until(SECOND, || !auth.is_ready()).await;
    for words in [
        "key skipped",
        "key set fetched",
        "discovery failed",
        "fetch failed",
        "key set dropped",
    ] {
        let written = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
        assert!(log.count(words) > 0, "{words}: {written}");
    }
}

#[tokio::test]
async fn a_set_with_too_many_entries_is_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let _guard = Log::capture(move || writer.clone());
    let issuer = issuer().await;
    let mut keys = vec![issuer.key().public_jwk()];
    keys.resize(600, json!({"kty": "none"}));
    issuer.publish(json!({"keys": keys}));
    builder(&issuer).build().unwrap().ready().await;
    assert_eq!(
        log.count("entries after the first 512 of the key set are not read"),
        1
    );
    let skipped = log.count("key skipped");
    assert!((1..511).contains(&skipped), "{skipped} is not limited");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Sends the log of this thread to a writer.
    fn capture<W: Write + 'static>(writer: impl Fn() -> W + Send + Sync + 'static) -> DefaultGuard {
        // With a single dispatcher, `tracing` asks only the current thread whether an event is of
        // interest, and caches a "no" for all threads. A second dispatcher prevents that.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&SECOND);
        let config = LogConfig {
            filter: "info".parse().unwrap(),
            format: LogFormat::Text,
            color: false,
        };
        tracing::subscriber::set_default(logging::subscriber(&config, false, writer))
    }

    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        (log, Self::capture(move || writer.clone()))
    }

    fn count(&self, words: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap())
            .matches(words)
            .count()
    }
}

/// Gives another thread (real) time to read a file while tokio's clock is stopped.
async fn another_thread_reads() {
    let enough = std::time::Instant::now() + Duration::from_millis(20);
    while std::time::Instant::now() < enough {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn reports_a_missing_key_file_once_and_recovers() {
    let clock = StoppedClock::stop();
    let (log, _guard) = Log::start();
    let issuer = issuer().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let keys = json!({"keys": [issuer.key().public_jwk()]}).to_string();
    std::fs::write(&file, &keys).unwrap();
    // The file is read by another thread, in real time. The long timeout keeps the test's clock from
    // timing out that read.
    let auth = builder(&issuer)
        .jwks_file(&file)
        .jwks_timeout(SECOND * 9000)
        .build()
        .unwrap();
    until(|| auth.is_ready()).await;
    let token = issuer.token().sign();

    for (case, change) in [("gone", None), ("no key set", Some("{}"))] {
        let failed = |auth: &Auth| auth.status()[0].fetches.failed;
        let (before, logged) = (failed(&auth), log.count("the held set stays in use"));
        match change {
            None => std::fs::remove_file(&file).unwrap(),
            Some(text) => std::fs::write(&file, text).unwrap(),
        }
        while failed(&auth) < before + 5 {
            clock.pass(SECOND).await;
            another_thread_reads().await;
        }
        assert_eq!(at_once(&auth, &token), Ok(()), "{case}");
        let logged = log.count("the held set stays in use") - logged;
        assert_eq!(logged, 1, "{case}");
    }

    let confirmed = auth.status()[0].fetches.confirmed;
    std::fs::write(&file, &keys).unwrap();
    let found = || auth.status()[0].fetches.confirmed > confirmed;
    let took = clock.pass_until(SECOND, found).await;
    assert!(
        took < SECOND * 30,
        "a key file is read again sooner than a network fetch: {took:?}"
    );
    assert_eq!(log.count("key set confirmed"), 1);
    assert!(auth.status()[0].last_error.is_none());
}

#[tokio::test]
async fn never_contacts_an_untrusted_issuer() {
    let (ours, theirs) = (issuer().await, issuer().await);
    let auth = ready(&ours).await;
    for token in [theirs.token().sign(), theirs.token().kid("x").sign()] {
        assert_eq!(at_once(&auth, &token), Err(AuthError::UnknownIssuer));
    }
    assert_eq!(theirs.requests().jwks + theirs.requests().discovery, 0);
}

#[tokio::test]
async fn several_issuers_have_separate_keys() {
    let (one, two) = (issuer().await, issuer().await);
    let auth = builder(&one).issuer(two.url()).build().unwrap();
    auth.ready().await;
    for issuer in [&one, &two] {
        assert_eq!(at_once(&auth, &issuer.token().sign()), Ok(()));
    }
    let crossed = two.token().claim("iss", one.url()).sign();
    assert_eq!(verify(&auth, &crossed).await, Err(AuthError::UnknownKey));
}

/// Rotates keys, fails, recovers, sends requests and lets time pass, in random order. The
/// invariants must hold after each step.
#[tokio::test]
async fn random_events_at_the_issuer_keep_the_invariants() {
    let clock = StoppedClock::stop();
    for seed in [1, 2, 3, 4, 5] {
        println!("seed {seed}");
        live(seed, &clock).await;
    }
}

async fn live(seed: u64, clock: &StoppedClock) {
    let mut dice = Dice(seed);
    let issuer = issuer().await;
    let auth = ready(&issuer).await;
    let long = |issuer: &Issuer| issuer.token().expires_in(SECOND * 200_000).sign();
    // The token that was accepted last, and how often the issuer had been asked by then
    let mut accepted = (long(&issuer), fetches(&issuer));
    let (mut passed, mut down) = (Duration::ZERO, false);
    for step in 0..150 {
        match dice.roll(8) {
            0 => issuer.rotate(),
            1 => issuer.retire(),
            2 => issuer.fail([Fault::Status(500), Fault::Html, Fault::Hang][dice.roll(3)].clone()),
            3 | 4 => issuer.recover(),
            5 => {
                let made_up = issuer.token().kid(&format!("{seed}-{step}")).sign();
                let verdict = within(clock, SECOND * 3, verify(&auth, &made_up)).await;
                assert!(verdict.is_err(), "seed {seed}, step {step}");
            }
            6 => {
                let token = long(&issuer);
                let verdict = within(clock, SECOND * 3, verify(&auth, &token)).await;
                if verdict.is_ok() {
                    accepted = (token, fetches(&issuer));
                }
            }
            _ => {
                let time = SECOND * u32::try_from(dice.roll(400)).unwrap();
                clock.pass(time).await;
                passed += time;
            }
        }
        down |= !auth.is_ready();
        if auth.is_ready() && !down && fetches(&issuer) == accepted.1 {
            let verdict = at_once(&auth, &accepted.0);
            assert_eq!(
                verdict,
                Ok(()),
                "seed {seed}, step {step}: no fetch since it was accepted"
            );
        }
    }
    // The upper bound: the first fetch, the budget of four, one fetch per cooldown of at least 12
    // s, and one scheduled refresh or retry every 0.8 s.
    let seconds = passed.as_secs_f64() + 150.0 * 3.0;
    let most = 1.0 + 4.0 + seconds / 12.0 + seconds / 0.8;
    #[allow(clippy::cast_precision_loss)]
    let fetched = fetches(&issuer) as f64;
    assert!(fetched <= most, "seed {seed}: {fetched} in {seconds} s");
}

/// A linear congruential generator (Knuth's MMIX), so that a seed always gives the same events.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[tokio::test]
async fn request_at_start_waits_for_the_first_set() {
    let issuer = issuer().await;
    let auth = builder(&issuer).build().unwrap();
    assert_eq!(verify(&auth, &issuer.token().sign()).await, Ok(()));
    assert_eq!(fetches(&issuer), 1);
}
