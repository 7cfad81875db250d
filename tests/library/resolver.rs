//! Issuers that the user's function resolves by name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{sync::Semaphore, time::Instant};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, Builder, Claims, SetupError, TrustedIssuer, dpop::DpopMode,
    },
    issuer::{Fault, Issuer, SigningKey, TokenBuilder},
};

use crate::support::clock::StoppedClock;

async fn signer() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

fn builder() -> Builder {
    Auth::builder()
        .audience("https://api.example.com")
        .algorithms([Algorithm::ES256])
}

async fn verify(auth: &Auth, token: TokenBuilder) -> Result<(), AuthError> {
    auth.verify(&token.sign()).await.map(|_: Claims| ())
}

fn with_key(name: String, signer: &Issuer) -> TrustedIssuer {
    let jwks = json!({"keys": [signer.key().public_jwk()]}).to_string();
    TrustedIssuer::new(name).jwks(jwks)
}

/// Resolves every name to an issuer with the signer's key.
fn resolves_any(signer: &Issuer) -> Auth {
    let signer = signer.clone();
    let auth = builder().resolve_issuers(move |name: String| {
        let found = with_key(name, &signer);
        async move { Some(found) }
    });
    auth.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn caches_resolved_issuers_and_unknown_names() {
    let signer = signer().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let auth = {
        let (asked, signer) = (Arc::clone(&asked), signer.clone());
        builder().resolve_issuers(move |name: String| {
            asked.fetch_add(1, Relaxed);
            let found = name
                .ends_with("known.example/")
                .then(|| with_key(name, &signer));
            async move { found }
        })
    };
    let auth = auth.build().unwrap();
    let token = |name: &str| {
        signer
            .token()
            .expires_in(Duration::from_secs(36_000))
            .claim("iss", name)
    };
    for _ in 0..3 {
        assert_eq!(verify(&auth, token("https://known.example/")).await, Ok(()));
        let unknown = verify(&auth, token("https://other.example/")).await;
        assert_eq!(unknown, Err(AuthError::UnknownIssuer));
    }
    assert_eq!(asked.load(Relaxed), 2, "one lookup for each name");
    assert_eq!(auth.status().len(), 1);
    tokio::time::advance(Duration::from_secs(61)).await;
    let unknown = verify(&auth, token("https://other.example/")).await;
    assert_eq!(unknown, Err(AuthError::UnknownIssuer));
    assert_eq!(verify(&auth, token("https://known.example/")).await, Ok(()));
    assert_eq!(
        asked.load(Relaxed),
        3,
        "unknown names are looked up again after a minute"
    );
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(verify(&auth, token("https://known.example/")).await, Ok(()));
    assert_eq!(
        asked.load(Relaxed),
        4,
        "resolved issuers are looked up again after ten minutes"
    );
}

#[tokio::test]
async fn removed_issuer_invalidates_its_cached_tokens() {
    tokio::time::pause();
    let signer = signer().await;
    let answers = Arc::new(AtomicUsize::new(0));
    let auth = {
        let (answers, signer) = (Arc::clone(&answers), signer.clone());
        builder().resolve_issuers(move |name: String| {
            let is_first = answers.fetch_add(1, Relaxed) == 0;
            let found = is_first.then(|| with_key(name, &signer));
            async move { found }
        })
    };
    let auth = auth.build().unwrap();
    let token = signer
        .token()
        .claim("iss", "https://tenant.example/")
        .sign();
    let _: Claims = auth.verify(&token).await.unwrap();
    let _: Claims = auth.verify(&token).await.unwrap();
    assert_eq!(auth.cache_hits(), 1);
    tokio::time::advance(Duration::from_secs(601)).await;
    let gone: Result<Claims, _> = auth.verify(&token).await;
    assert_eq!(gone.map(|_| ()), Err(AuthError::UnknownIssuer));
    assert!(auth.status().is_empty());
}

#[tokio::test]
async fn concurrent_requests_share_one_lookup() {
    let signer = signer().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let auth = {
        let (asked, signer, gate) = (Arc::clone(&asked), signer.clone(), Arc::clone(&gate));
        builder().resolve_issuers(move |name: String| {
            asked.fetch_add(1, Relaxed);
            let (found, gate) = (with_key(name, &signer), Arc::clone(&gate));
            async move {
                gate.acquire().await.ok()?.forget();
                Some(found)
            }
        })
    };
    let auth = auth.build().unwrap();
    let requests = (0..20).map(|_| {
        let (auth, token) = (
            auth.clone(),
            signer.token().claim("iss", "https://a.example/"),
        );
        tokio::spawn(async move { verify(&auth, token).await })
    });
    let requests: Vec<_> = requests.collect();
    while asked.load(Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    for request in requests {
        assert_eq!(request.await.unwrap(), Ok(()));
    }
    assert_eq!(asked.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_or_overloaded_resolver_is_a_503() {
    let signer = signer().await;
    let auth = builder().resolve_issuers(|_| std::future::pending());
    let auth = auth.build().unwrap();
    let token = |number: usize| {
        let name = format!("https://{number}.example/");
        signer.token().claim("iss", name)
    };
    let requests = (0..40).map(|number| {
        let (auth, token) = (auth.clone(), token(number));
        tokio::spawn(async move { verify(&auth, token).await })
    });
    let requests: Vec<_> = requests.collect();
    for request in requests {
        let verdict = request.await.unwrap();
        assert!(
            matches!(verdict, Err(AuthError::KeysUnavailable { .. })),
            "{verdict:?}"
        );
    }
    assert!(auth.status().is_empty());
}

/// After a failed lookup, no request starts another one before the time in `Retry-After` has
/// passed.
#[tokio::test(start_paused = true)]
async fn requests_for_one_name_wait_for_one_slow_lookup_together() {
    let signer = signer().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let auth = {
        let asked = Arc::clone(&asked);
        builder().resolve_issuers(move |_| {
            asked.fetch_add(1, Relaxed);
            std::future::pending()
        })
    };
    let auth = auth.build().unwrap();
    let token = || signer.token().claim("iss", "https://slow.example/");
    let began = Instant::now();
    let requests = (0..10).map(|_| {
        let (auth, token) = (auth.clone(), token());
        tokio::spawn(async move { verify(&auth, token).await })
    });
    let retry_after = Duration::from_secs(1);
    let unavailable = Err(AuthError::KeysUnavailable { retry_after });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), unavailable);
    }
    assert!(
        began.elapsed() <= Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(asked.load(Relaxed), 1);
    let began = Instant::now();
    assert_eq!(verify(&auth, token()).await, unavailable);
    assert_eq!((began.elapsed(), asked.load(Relaxed)), (Duration::ZERO, 1));
    tokio::time::advance(retry_after).await;
    assert_eq!(verify(&auth, token()).await, unavailable);
    assert_eq!(asked.load(Relaxed), 2);
}

/// No request may wait longer than a lookup may take, i.e. neither one that joins late nor one that
/// takes over the lookup of a dropped request.
#[tokio::test(start_paused = true)]
async fn no_request_waits_longer_than_one_lookup() {
    let signer = signer().await;
    let auth = builder().resolve_issuers(|_| std::future::pending());
    let auth = auth.build().unwrap();
    let request = || {
        let (auth, token) = (
            auth.clone(),
            signer.token().claim("iss", "https://slow.example/"),
        );
        tokio::spawn(async move {
            let began = Instant::now();
            let verdict = verify(&auth, token).await;
            assert!(verdict.is_err(), "{verdict:?}");
            began.elapsed()
        })
    };
    let first = request();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = request();
    tokio::time::sleep(Duration::from_millis(500)).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let waited = second.await.unwrap();
    assert!(waited <= Duration::from_secs(3), "{waited:?}");
    // The second request took the lookup over. Later requests still share its failure.
    assert_eq!(request().await.unwrap(), Duration::ZERO);
}

/// Once an issuer is configured, its rules also apply to tokens that were verified by the
/// resolver's rules.
#[tokio::test]
async fn configured_issuer_replaces_a_resolved_one() {
    let signer = signer().await;
    let auth = resolves_any(&signer);
    let token = signer.token().claim("iss", "https://tenant.example/");
    let token = token.sign();
    let verdict = async || auth.verify(&token).await.map(|_: Claims| ());
    assert_eq!((verdict().await, verdict().await), (Ok(()), Ok(())));
    assert_eq!(auth.cache_hits(), 1);
    let own = with_key("https://tenant.example/".to_owned(), &signer);
    let own = own.audience("https://other.example");
    auth.replace_issuers(&builder().issuer(own)).unwrap();
    assert_eq!(verdict().await, Err(AuthError::WrongAudience));
    assert_eq!(
        auth.status().len(),
        1,
        "the resolved issuer is no longer in use"
    );
    let other = with_key("https://other.example/".to_owned(), &signer);
    auth.replace_issuers(&builder().issuer(other)).unwrap();
    assert_eq!(verdict().await, Ok(()));
}

/// Resolved issuers keep the options of the builder that brought the resolver.
#[tokio::test]
async fn replaced_issuers_do_not_change_the_rules_of_resolved_ones() {
    let signer = signer().await;
    let other = SigningKey::generate(Algorithm::ES384);
    let own = || {
        let jwks = json!({"keys": [other.public_jwk()]}).to_string();
        TrustedIssuer::new("https://own.example/")
            .jwks(jwks)
            .algorithms([Algorithm::ES384])
    };
    for (case, replaced) in [
        ("another algorithm", own()),
        ("the strict profile", own().rfc9068(true)),
    ] {
        let token = signer.token().claim("iss", "https://tenant.example/");
        let auth = resolves_any(&signer);
        let replacement = Auth::builder()
            .audience("https://api.example.com")
            .algorithms([Algorithm::ES384])
            .issuer(replaced);
        auth.replace_issuers(&replacement).unwrap();
        assert_eq!(verify(&auth, token).await, Ok(()), "{case}");
    }
}

/// The replacement's resolver is ignored, so it can't make up for missing issuers.
#[tokio::test]
async fn replacement_without_issuers_needs_the_resolver_of_the_auth() {
    let signer = signer().await;
    let own = with_key("https://own.example/".to_owned(), &signer);
    let auth = builder().issuer(own).build().unwrap();
    let replacement = builder().resolve_issuers(|_| async { None });
    assert_eq!(
        auth.replace_issuers(&replacement),
        Err(SetupError::NoIssuer)
    );
    let token = signer.token().claim("iss", "https://own.example/");
    assert_eq!(verify(&auth, token).await, Ok(()));
}

/// For resolved issuers, the builder's algorithms are just a default, except for HS256: it needs a
/// secret that the issuer shares with this API, so we reject its tokens before the lookup.
#[tokio::test]
async fn resolved_issuer_may_use_its_own_algorithms() {
    use Algorithm::{ES256, ES384, RS256};
    let (signer, unusual) = (signer().await, Issuer::with_algorithm(ES384).await);
    let asked = Arc::new(AtomicUsize::new(0));
    let auth = {
        let (asked, signer) = (Arc::clone(&asked), signer.clone());
        let auth = Auth::builder().audience("https://api.example.com");
        auth.resolve_issuers(move |name: String| {
            asked.fetch_add(1, Relaxed);
            let found = with_key(name, &signer).algorithms([ES256]);
            async move { Some(found) }
        })
    };
    let auth = auth.build().unwrap();
    let named = |token: TokenBuilder, name: &str| token.claim("iss", name);
    let own = || named(signer.token(), "https://tenant.example/");
    let not_allowed = Err(AuthError::AlgorithmNotAllowed);
    for alg in ["HS256", "none", "HS512", "ES255"] {
        let header = json!({"alg": alg}).to_string();
        let payload = json!({"iss": "https://other.example/"}).to_string();
        let token = signer.sign_raw(header.as_bytes(), payload.as_bytes());
        let verdict = auth.verify(&token).await.map(|_: Claims| ());
        assert_eq!(verdict, not_allowed, "{alg}");
    }
    assert_eq!(asked.load(Relaxed), 0, "no issuer could use these");
    assert_eq!(verify(&auth, own()).await, Ok(()));
    // The issuer's own list still applies
    let other = || named(unusual.token(), "https://tenant.example/");
    assert_eq!(verify(&auth, other()).await, not_allowed);
    // A reload must not limit the algorithms either
    let configured =
        with_key("https://own.example/".to_owned(), &signer).algorithms([ES256, RS256]);
    let replacement = Auth::builder().audience("https://api.example.com");
    auth.replace_issuers(&replacement.issuer(configured))
        .unwrap();
    assert_eq!(verify(&auth, own()).await, Ok(()));
    assert_eq!(verify(&auth, other()).await, not_allowed);
}

/// If the issuer stayed, its background task would fetch keys for as long as the process runs.
#[tokio::test]
async fn drops_an_issuer_that_is_no_longer_used() {
    tokio::time::pause();
    let signer = signer().await;
    let auth = resolves_any(&signer);
    let token = |name: &str| {
        let token = signer.token().expires_in(Duration::from_secs(36_000));
        token.claim("iss", name).sign()
    };
    let (used, unused) = (
        token("https://used.example/"),
        token("https://unused.example/"),
    );
    let accepts = async |token: &str| auth.verify(token).await.map(|_: Claims| ());
    let held = || {
        let held = auth.status().into_iter().map(|status| status.issuer);
        let mut held: Vec<_> = held.collect();
        held.sort();
        held.join(" ")
    };
    // advance the clock, and wake the tasks whose timers have expired
    let pass = async |seconds| {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(accepts(&unused).await, Ok(()));
    for minutes in 0..40 {
        assert_eq!(accepts(&used).await, Ok(()), "{minutes}");
        pass(60).await;
        if minutes < 10 {
            assert_eq!(held(), "https://unused.example/ https://used.example/");
        }
    }
    assert_eq!(held(), "https://used.example/");
    // The last issuer must be dropped even if there are no more lookups
    for _ in 0..40 {
        pass(60).await;
    }
    assert_eq!(held(), "");
    assert_eq!(accepts(&unused).await, Ok(()), "it is resolved again");
}

/// An issuer that is resolved again after its time in the cache keeps its keys.
#[tokio::test]
async fn issuer_that_is_down_keeps_its_keys_when_it_is_resolved_again() {
    let clock = StoppedClock::stop();
    let issuer = signer().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let auth = {
        let asked = Arc::clone(&asked);
        builder().resolve_issuers(move |name: String| {
            asked.fetch_add(1, Relaxed);
            async move { Some(TrustedIssuer::new(name)) }
        })
    };
    let auth = auth.build().unwrap();
    assert_eq!(verify(&auth, issuer.token()).await, Ok(()));
    issuer.go_down().await;
    clock.pass(Duration::from_secs(11 * 60)).await;
    clock.pass(Duration::from_secs(5 * 60)).await;
    assert_eq!(verify(&auth, issuer.token()).await, Ok(()));
    assert_eq!(asked.load(Relaxed), 2);
}

#[tokio::test]
async fn made_up_names_evict_no_issuer_and_prescreen_skips_lookups() {
    let signer = signer().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let auth = {
        let (asked, signer) = (Arc::clone(&asked), signer.clone());
        builder()
            .resolve_issuers(move |name: String| {
                asked.fetch_add(1, Relaxed);
                let found = (name == "https://t.example/real").then(|| with_key(name, &signer));
                async move { found }
            })
            .prescreen(|name| name.starts_with("https://t.example/"))
    };
    let auth = auth.build().unwrap();
    let token = |name: String| signer.token().claim("iss", name);
    let real = || token("https://t.example/real".to_owned());
    assert_eq!(verify(&auth, real()).await, Ok(()));
    for number in 0..3000 {
        let made_up = token(format!("https://t.example/{number}"));
        assert_eq!(verify(&auth, made_up).await, Err(AuthError::UnknownIssuer));
    }
    assert_eq!(asked.load(Relaxed), 3001);
    assert_eq!(verify(&auth, real()).await, Ok(()));
    assert_eq!(asked.load(Relaxed), 3001, "the real issuer is still cached");
    for name in ["https://other.example/", "", "https://t.example"] {
        let refused = verify(&auth, token(name.to_owned())).await;
        assert_eq!(refused, Err(AuthError::UnknownIssuer), "{name}");
    }
    let long = format!("https://t.example/{}", "a".repeat(2000));
    assert_eq!(
        verify(&auth, token(long)).await,
        Err(AuthError::UnknownIssuer)
    );
    assert_eq!(asked.load(Relaxed), 3001);
}

#[tokio::test]
async fn rejects_resolved_issuers_with_another_name_or_invalid_options() {
    let signer = signer().await;
    for answer in [
        TrustedIssuer::new("https://other.example/"),
        TrustedIssuer::new("https://a.example/").jwks("{}"),
        TrustedIssuer::new("https://a.example/").leeway(Duration::from_secs(3600)),
        // The builder has no `Dpop`.
        with_key("https://a.example/".to_owned(), &signer).dpop(DpopMode::Allowed),
    ] {
        let auth = builder().resolve_issuers(move |_| {
            let answer = answer.clone();
            async move { Some(answer) }
        });
        let auth = auth.build().unwrap();
        let token = signer.token().claim("iss", "https://a.example/");
        assert_eq!(verify(&auth, token).await, Err(AuthError::UnknownIssuer));
    }
}

/// With thousands of issuers, a single one that's down shouldn't make the process unready.
#[tokio::test]
async fn resolved_issuer_without_keys_does_not_affect_readiness() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    issuer.fail(Fault::Status(500));
    let audience = issuer.audience().to_owned();
    let auth = builder().resolve_issuers(move |name: String| {
        let found = TrustedIssuer::new(name).audience(&audience);
        async move { Some(found) }
    });
    let auth = auth.build().unwrap();
    assert!(verify(&auth, issuer.token()).await.is_err());
    assert_eq!(auth.status().len(), 1);
    assert!(auth.is_ready());
}
