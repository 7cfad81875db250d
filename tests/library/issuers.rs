//! Several issuers, each with options of its own. They must not affect each other, and can be
//! replaced while requests are verified.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, Request};
use serde_json::json;
use warp_bearer::{
    auth::{
        Algorithm, AudienceClaim, Auth, AuthError, Builder, Claims, RequestHead, SetupError,
        TrustedIssuer,
        claims::NoPrivate,
        policy::{Requirement, group, permission, role, scope},
    },
    issuer::{Fault, Issuer, Profile, SigningKey, TokenBuilder},
};

use crate::support::clock::until;

async fn issuer() -> Issuer {
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

#[tokio::test]
async fn each_issuer_has_its_own_options() {
    use AuthError::{InsufficientScope, MissingClaim, TokenExpired, WrongTokenType};
    let (plain, own) = (issuer().await, issuer().await);
    let own_options = TrustedIssuer::new(own.url())
        .audience("client")
        .audience_claim(AudienceClaim::ClientId)
        .leeway(Duration::ZERO)
        .rfc9068(true)
        .required_scope("use:it see:it")
        .roles_at("realm.roles")
        .groups_at("realm.groups");
    let auth = builder()
        .issuer(plain.url())
        .issuer(own_options)
        .build()
        .unwrap();
    let good = || {
        own.token()
            .profile(Profile::Rfc9068, "client")
            .audience("https://elsewhere.example")
            .scope("use:it see:it")
    };
    let late = Duration::from_secs(5);
    let rows = [
        ("plain", plain.token(), Ok(())),
        (
            "plain, a little late",
            plain.token().expired_since(late),
            Ok(()),
        ),
        ("own", good(), Ok(())),
        (
            "own, a little late",
            good().expired_since(late),
            Err(TokenExpired),
        ),
        (
            "own, not of the profile",
            good().typ("JWT"),
            Err(WrongTokenType),
        ),
        (
            "own, without the client",
            good().without("client_id"),
            Err(MissingClaim),
        ),
        (
            "own, another client",
            good().claim("client_id", "other"),
            Err(AuthError::WrongAudience),
        ),
        (
            "own, one scope only",
            good().scope("use:it"),
            Err(InsufficientScope),
        ),
    ];
    for (case, token, expected) in rows {
        assert_eq!(verify(&auth, token).await, expected, "{case}");
    }
    let token = good().claim("realm", json!({"roles": ["clerk"], "groups": ["/staff"]}));
    let claims: Claims = auth.verify(&token.sign()).await.unwrap();
    assert_eq!((role("clerk") & group("/staff")).check(&claims), Ok(()));
    let token = plain
        .token()
        .claim("roles", ["clerk"])
        .claim("groups", "staff");
    let claims: Claims = auth.verify(&token.sign()).await.unwrap();
    assert_eq!((role("clerk") & group("staff")).check(&claims), Ok(()));
    assert!(group("other").check(&claims).is_err());
}

#[tokio::test]
async fn the_challenge_names_the_scope_that_an_issuer_requires() {
    let issuer = issuer().await;
    let own = TrustedIssuer::new(issuer.url()).required_scope("use:it");
    let auth = builder().issuer(own).build().unwrap();
    let token = format!("Bearer {}", issuer.token().sign());
    let request = Request::get("/")
        .header("authorization", token)
        .body(())
        .unwrap();
    let head = RequestHead::new(request.method(), "/", request.headers());
    let refusal = auth.authenticate(&head).await.map(|_: Claims| ());
    let refusal = refusal.unwrap_err();
    assert_eq!(refusal.error, AuthError::InsufficientScope);
    let challenge = refusal.www_authenticate().unwrap();
    assert!(challenge.contains(r#"scope="use:it""#), "{challenge}");
    // A route's policy adds its scopes to the challenge, even those that the token has.
    for (case, requirement, expected) in [
        ("a scope", scope("read:messages"), "use:it read:messages"),
        ("the same scope", scope("use:it"), "use:it"),
        ("a permission", permission("read:messages"), "use:it"),
    ] {
        let requirement: Requirement<NoPrivate> = requirement.into();
        let refusal = auth.authorize(&head, &requirement).await.unwrap_err();
        assert_eq!(refusal.error, AuthError::InsufficientScope, "{case}");
        let challenge = refusal.www_authenticate().unwrap();
        let expected = format!(r#"scope="{expected}""#);
        assert!(challenge.contains(&expected), "{case}: {challenge}");
    }
}

/// `replace_issuers` takes only the issuers from the other builder.
#[tokio::test]
async fn replaced_issuers_keep_the_resource_and_the_realm() {
    let issuer = issuer().await;
    let auth = builder()
        .issuer(issuer.url())
        .resource("https://api.example.com")
        .realm("orders")
        .build()
        .unwrap();
    let other = TrustedIssuer::new(issuer.url()).leeway(Duration::ZERO);
    auth.replace_issuers(&builder().issuer(other)).unwrap();
    let token = issuer.token().audience("https://api.example.com/");
    let claims: Claims = auth.verify(&token.sign()).await.unwrap();
    let requirement: Requirement<NoPrivate> = scope("read:messages").into();
    let refusal = requirement.grant(claims).await.unwrap_err();
    let challenge = refusal.www_authenticate().unwrap();
    for part in [
        r#"realm="orders""#,
        r#"resource_metadata="https://api.example.com/.well-known/oauth-protected-resource""#,
    ] {
        assert!(challenge.contains(part), "{challenge}");
    }
}

/// If we used only one of the two, its options might be the less strict ones.
#[tokio::test]
async fn rejects_an_issuer_that_is_configured_twice() {
    let issuer = issuer().await;
    let strict = || TrustedIssuer::new(issuer.url()).required_scope("admin");
    let plain = || TrustedIssuer::new(issuer.url());
    let auth = builder().issuer(issuer.url()).build().unwrap();
    for (case, first, second) in [
        ("the same", plain(), plain()),
        ("the second is stricter", plain(), strict()),
        ("the first is stricter", strict(), plain()),
    ] {
        let twice = builder().issuer(first).issuer(second);
        let fault = SetupError::DuplicateIssuer(issuer.url().to_owned());
        assert_eq!(auth.replace_issuers(&twice), Err(fault.clone()), "{case}");
        assert_eq!(twice.build().map(|_| ()), Err(fault), "{case}");
    }
    assert_eq!(verify(&auth, issuer.token()).await, Ok(()));
    // names are compared exactly: with another slash, it is another issuer
    let other = format!("{}/", issuer.url().trim_end_matches('/'));
    let other = [issuer.url().trim_end_matches('/'), &other].map(TrustedIssuer::new);
    let [one, other] = other;
    assert!(builder().issuer(one).issuer(other).build().is_ok());
}

#[test]
fn rejects_options_out_of_their_range() {
    let with = |own: TrustedIssuer| {
        Auth::builder()
            .audience("a")
            .issuer(own)
            .build()
            .map(|_| ())
    };
    let own = || TrustedIssuer::new("https://a.example/");
    let outcome = with(own().required_scope("a  b"));
    assert_eq!(outcome, Err(SetupError::Scope));
    for outcome in [
        with(own().leeway(Duration::from_secs(301))),
        with(own().max_age(Duration::ZERO)),
    ] {
        assert!(
            matches!(outcome, Err(SetupError::OutOfRange(_))),
            "{outcome:?}"
        );
    }
    for bytes in [0, 1023, 64 * 1024 + 1] {
        let built = Auth::builder()
            .audience("a")
            .issuer(own())
            .max_token_bytes(bytes);
        assert_eq!(
            built.build().map(|_| ()),
            Err(SetupError::TokenSize),
            "{bytes}"
        );
    }
    let built = Auth::builder().audience("a").issuer(own());
    let built = built.scope_includes("admin", ["read messages"]).build();
    assert_eq!(built.map(|_| ()), Err(SetupError::Scope));
}

#[tokio::test]
async fn reads_the_token_only_from_the_configured_field() {
    use AuthError::{MalformedAuthorization, MissingToken, MultipleCredentials};
    let issuer = issuer().await;
    let name = HeaderName::from_static("cf-access-jwt-assertion");
    let auth = builder()
        .issuer(issuer.url())
        .token_field(name)
        .build()
        .unwrap();
    let good = issuer.token().sign();
    let field = |value: &str| ("Cf-Access-Jwt-Assertion", value.to_owned());
    let authorization = ("Authorization", format!("Bearer {good}"));
    let rows = [
        ("the field", vec![field(&good)], Ok(())),
        (
            "with Authorization beside it",
            vec![field(&good), ("Authorization", "Bearer x".into())],
            Ok(()),
        ),
        (
            "Authorization alone",
            vec![authorization],
            Err(MissingToken),
        ),
        ("nothing", vec![], Err(MissingToken)),
        (
            "with a scheme",
            vec![field(&format!("Bearer {good}"))],
            Err(MalformedAuthorization),
        ),
        ("empty", vec![field("")], Err(MalformedAuthorization)),
        (
            "twice",
            vec![field(&good), field(&good)],
            Err(MultipleCredentials),
        ),
        (
            "two in one",
            vec![field(&format!("{good},{good}"))],
            Err(MultipleCredentials),
        ),
        (
            "not a JWT",
            vec![field("opaque")],
            Err(AuthError::TokenNotJwt),
        ),
    ];
    for (case, fields, expected) in rows {
        let mut request = Request::get("/");
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(()).unwrap();
        let head = RequestHead::new(request.method(), "/", request.headers());
        let verdict = auth.authenticate(&head).await.map(|_: Claims| ());
        if let Err(refusal) = &verdict {
            let challenge = refusal.www_authenticate().unwrap();
            assert!(
                !challenge.contains("The Authorization field"),
                "{case}: {challenge}"
            );
        }
        assert_eq!(verdict.map_err(|refusal| refusal.error), expected, "{case}");
    }
}

/// The token has 60 KB and escaped texts, so the positions of its claims need more than 16 bits.
#[tokio::test]
async fn accepts_tokens_up_to_the_configured_size() {
    let issuer = issuer().await;
    let auth = |bytes| {
        let auth = builder().issuer(issuer.url()).max_token_bytes(bytes);
        auth.build().unwrap()
    };
    let groups: Vec<_> = (0..900)
        .map(|number| format!("group \" {number:040}"))
        .collect();
    let header = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, issuer.key().kid());
    let payload = format!(
        r#"{{"iss":{},"exp":4000000000,"padding":{},"scp":{},"aud":"https://api.example.com","sub":"\u0061lice"}}"#,
        json!(issuer.url()),
        json!(groups),
        json!(["a\"b", "read"]),
    );
    let token = issuer.sign_raw(header.as_bytes(), payload.as_bytes());
    assert!((55_000..65_536).contains(&token.len()), "{}", token.len());
    let claims: Claims = auth(64 * 1024).verify(&token).await.unwrap();
    assert_eq!(claims.subject(), Some("alice"));
    assert!(claims.scopes().eq(["a\"b", "read"]));
    assert!(claims.audience().eq(["https://api.example.com"]));
    for bytes in [16 * 1024, token.len() - 1] {
        let refused: Result<Claims, _> = auth(bytes).verify(&token).await;
        assert_eq!(refused.map(|_| ()), Err(AuthError::TokenTooLarge));
    }
    let accepted: Result<Claims, _> = auth(token.len()).verify(&token).await;
    assert!(accepted.is_ok());
}

/// The names of RFC 9864 work in the header, in the key and in the configuration.
#[tokio::test]
async fn accepts_rfc_9864_algorithm_names() {
    for (algorithm, other) in [
        (Algorithm::EdDSA, "Ed25519"),
        (Algorithm::ES256, "ESP256"),
        (Algorithm::ES384, "ESP384"),
        (Algorithm::ES512, "ESP512"),
    ] {
        let issuer = Issuer::with_algorithm(algorithm).await;
        for of_key in [algorithm.as_str(), other] {
            let mut jwk = issuer.key().public_jwk();
            jwk["alg"] = json!(of_key);
            let own = TrustedIssuer::new(issuer.url()).jwks(json!({"keys": [jwk]}).to_string());
            for configured in [algorithm.as_str(), other] {
                let auth = builder().issuer(own.clone());
                let auth = auth
                    .algorithms([configured.parse().unwrap()])
                    .build()
                    .unwrap();
                for of_token in [algorithm.as_str(), other] {
                    let token = issuer.token().header("alg", of_token);
                    let case = format!("{of_key}, {configured}, {of_token}");
                    assert_eq!(verify(&auth, token).await, Ok(()), "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn shared_kid_or_key_does_not_connect_two_issuers() {
    use AuthError::{BadSignature, UnknownKey};
    let (one, other) = (issuer().await, issuer().await);
    let same_kid = |key: &SigningKey| key.clone().with_kid("k1");
    one.publish(json!({"keys": [same_kid(&one.key()).public_jwk()]}));
    other.publish(json!({"keys": [same_kid(&other.key()).public_jwk()]}));
    let auth = builder()
        .issuer(one.url())
        .issuer(other.url())
        .build()
        .unwrap();
    assert_eq!(verify(&auth, one.token().kid("k1")).await, Ok(()));
    assert_eq!(verify(&auth, other.token().kid("k1")).await, Ok(()));
    let forged = other.token().claim("iss", one.url()).kid("k1");
    assert_eq!(verify(&auth, forged).await, Err(BadSignature));

    // Both publish the same key. Only the token's `iss` says whose token it is.
    let shared = SigningKey::generate(Algorithm::ES256).with_kid("shared");
    one.publish(json!({"keys": [shared.public_jwk()]}));
    other.publish(json!({"keys": [shared.public_jwk()]}));
    auth.refresh();
    one.jwks_requested(2).await;
    other.jwks_requested(2).await;
    for issuer in [&one, &other] {
        let claims: Claims = auth
            .verify(&issuer.token().key(&shared).sign())
            .await
            .unwrap();
        assert_eq!(claims.issuer(), issuer.url());
    }
    // One issuer removes the shared key, the other keeps it
    let next = SigningKey::generate(Algorithm::ES256).with_kid("next");
    one.publish(json!({"keys": [next.public_jwk()]}));
    auth.refresh();
    one.jwks_requested(3).await;
    assert_eq!(verify(&auth, one.token().key(&next)).await, Ok(()));
    assert_eq!(
        verify(&auth, one.token().key(&shared)).await,
        Err(UnknownKey)
    );
    assert_eq!(verify(&auth, other.token().key(&shared)).await, Ok(()));
}

#[tokio::test]
async fn failing_issuer_does_not_affect_the_others() {
    let (good, bad) = (issuer().await, issuer().await);
    let auth = builder()
        .issuer(good.url())
        .issuer(bad.url())
        .build()
        .unwrap();
    auth.ready().await;
    let faults = [Fault::Status(500), Fault::TooLarge, Fault::Html];
    for (count, fault) in (0..).zip(faults) {
        bad.fail(fault);
        bad.rotate();
        for made_up in 0..5 {
            let token = bad.token().kid(&format!("{count}-{made_up}"));
            assert!(verify(&auth, token).await.is_err());
        }
        assert_eq!(verify(&auth, good.token()).await, Ok(()), "fault {count}");
        let forged = bad.token().claim("iss", good.url()).kid(good.key().kid());
        assert_eq!(verify(&auth, forged).await, Err(AuthError::BadSignature));
        let forged = bad.token().claim("iss", good.url());
        assert_eq!(verify(&auth, forged).await, Err(AuthError::UnknownKey));
    }
    bad.go_down().await;
    good.rotate();
    auth.refresh();
    assert_eq!(verify(&auth, good.token()).await, Ok(()));
}

/// A trusted issuer can publish any keys and move them anywhere, but must not be able to sign
/// tokens of another issuer.
#[tokio::test]
async fn a_malicious_issuer_can_sign_only_its_own_tokens() {
    use AuthError::{BadSignature, UnknownKey};
    let (good, bad) = (issuer().await, issuer().await);
    let auth = builder()
        .issuer(good.url())
        .issuer(bad.url())
        .build()
        .unwrap();
    auth.ready().await;
    let as_good = |kid: &str| bad.token().claim("iss", good.url()).kid(kid);
    let accepts_good = async || {
        assert_eq!(verify(&auth, good.token()).await, Ok(()));
        let good_kid = good.key().kid().to_owned();
        assert_eq!(verify(&auth, as_good(&good_kid)).await, Err(BadSignature));
        assert_eq!(verify(&auth, as_good("bad")).await, Err(UnknownKey));
    };
    accepts_good().await;

    // It publishes its own key under the `kid` of the other issuer, and the other issuer's key
    // among its own.
    let posing = bad.key().with_kid(good.key().kid());
    bad.publish(json!({"keys": [posing.public_jwk(), bad.key().public_jwk()]}));
    auth.refresh();
    bad.jwks_requested(2).await;
    accepts_good().await;
    assert_eq!(verify(&auth, bad.token().key(&posing)).await, Ok(()));

    // It moves its keys to the other issuer's address. From then on, its tokens are verified with
    // the other issuer's key, and only its own tokens are affected.
    bad.fail_discovery(Fault::JwksUri(good.jwks_uri().to_owned()));
    let asked = good.requests().jwks;
    auth.refresh();
    good.jwks_requested(asked + 2).await;
    accepts_good().await;
    let claims: Claims = auth
        .verify(&good.token().claim("iss", bad.url()).sign())
        .await
        .unwrap();
    assert_eq!(claims.issuer(), bad.url());
    assert_eq!(verify(&auth, bad.token()).await, Err(UnknownKey));
    bad.recover();

    // It publishes 500 KB of keys, of which we read 512, and then an answer of that size that isn't
    // a key set.
    let key = SigningKey::generate(Algorithm::ES256);
    let many = (0..3000).map(|number| {
        let mut jwk = key.public_jwk();
        jwk["kid"] = json!(format!("key-{number}"));
        jwk
    });
    let set = json!({"keys": many.collect::<Vec<_>>()});
    let size = set.to_string().len();
    assert!((450_000..512 * 1024).contains(&size), "{size} bytes");
    bad.publish(set);
    auth.refresh();
    accepts_good().await;
    let first = bad.token().key(&key).kid("key-0");
    assert_eq!(verify(&auth, first).await, Ok(()));
    let last = bad.token().key(&key).kid("key-2999");
    assert!(verify(&auth, last).await.is_err());
    accepts_good().await;
    bad.fail(Fault::TooLarge);
    auth.refresh();
    accepts_good().await;
}

#[tokio::test]
async fn unchanged_issuer_keeps_its_keys_and_tokens() {
    let (stays, leaves, comes) = (issuer().await, issuer().await, issuer().await);
    let before = builder().issuer(leaves.url()).issuer(stays.url());
    let auth = before.build().unwrap();
    auth.ready().await;
    let token = stays.token().sign();
    let _: Claims = auth.verify(&token).await.unwrap();
    let old = leaves.token().sign();
    let _: Claims = auth.verify(&old).await.unwrap();

    // from here on, everything about this issuer must come from memory
    stays.go_down().await;
    let after = builder().issuer(stays.url()).issuer(comes.url());
    auth.replace_issuers(&after).unwrap();
    let hits = auth.cache_hits();
    let _: Claims = auth.verify(&token).await.unwrap();
    assert_eq!(
        auth.cache_hits(),
        hits + 1,
        "the cached token is still known"
    );
    assert_eq!(verify(&auth, stays.token()).await, Ok(()));
    assert_eq!(verify(&auth, comes.token()).await, Ok(()));
    let removed: Result<Claims, _> = auth.verify(&old).await;
    assert_eq!(removed.map(|_| ()), Err(AuthError::UnknownIssuer));

    // With other rules, the cached token must be checked again, with the same keys.
    let strict = TrustedIssuer::new(stays.url()).audience("https://other.example");
    auth.replace_issuers(&builder().issuer(strict)).unwrap();
    let refused: Result<Claims, _> = auth.verify(&token).await;
    assert_eq!(refused.map(|_| ()), Err(AuthError::WrongAudience));
    let again = TrustedIssuer::new(stays.url()).leeway(Duration::ZERO);
    auth.replace_issuers(&builder().issuer(again)).unwrap();
    let _: Claims = auth.verify(&token).await.unwrap();

    // With other algorithms, we have to parse the held document again. (It can't be fetched, the
    // issuer is down.)
    let more = builder().algorithms([Algorithm::ES256, Algorithm::RS256]);
    auth.replace_issuers(&more.issuer(stays.url())).unwrap();
    let _: Claims = auth.verify(&token).await.unwrap();
    assert!(auth.is_ready());

    // A configuration error must change nothing
    let fault = auth.replace_issuers(&builder());
    assert_eq!(fault, Err(SetupError::NoIssuer));
    let _: Claims = auth.verify(&token).await.unwrap();

    // A new source starts without keys. It may not have the old ones.
    let moved = TrustedIssuer::new(stays.url()).jwks_uri(stays.jwks_uri());
    auth.replace_issuers(&builder().issuer(moved)).unwrap();
    assert!(!auth.is_ready());
}

#[tokio::test]
async fn one_issuer_with_keys_is_enough_to_be_ready() {
    let (up, down, slow) = (issuer().await, issuer().await, issuer().await);
    down.fail(Fault::Status(500));
    slow.fail(Fault::Hang);
    let three = || {
        let builder = builder().jwks_timeout(Duration::from_secs(2));
        builder.issuer(up.url()).issuer(down.url())
    };
    let auth = three().issuer(slow.url()).build().unwrap();
    assert!(!auth.is_ready(), "no keys yet");
    let [first, second] = [0, 1].map(|at| move |auth: &Auth| auth.status()[at].clone());
    until(|| first(&auth).keys > 0 && second(&auth).last_error.is_some()).await;
    assert!(
        !auth.is_ready(),
        "the first fetch of an issuer is in flight"
    );
    until(|| auth.is_ready()).await;
    assert_eq!(auth.status()[2].keys, 0, "its first fetch has failed");

    // a ready process stays ready, even if a reload adds an issuer without keys
    let added = issuer().await;
    added.fail(Fault::Hang);
    auth.replace_issuers(&three().issuer(added.url())).unwrap();
    assert_eq!(auth.status()[2].last_error, None, "not fetched yet");
    assert!(auth.is_ready());

    let without_keys = builder().issuer(down.url());
    auth.replace_issuers(&without_keys).unwrap();
    assert!(!auth.is_ready(), "no issuer has keys");
}

#[tokio::test]
async fn ready_waits_for_the_issuers_that_replaced_others() {
    let (up, down) = (issuer().await, issuer().await);
    down.fail(Fault::Hang);
    let auth = builder().jwks_timeout(Duration::from_secs(600));
    let auth = auth.issuer(down.url()).build().unwrap();
    let waiting = tokio::spawn({
        let auth = auth.clone();
        async move { auth.ready().await }
    });
    until(|| down.requests().discovery == 1).await;
    assert!(!waiting.is_finished());
    auth.replace_issuers(&builder().issuer(up.url())).unwrap();
    let ready = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert!(ready.is_ok(), "the removed issuer is still waited for");
    assert!(auth.is_ready(), "the new issuer has keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_issuers_under_load_loses_no_request() {
    let (stays, comes) = (issuer().await, issuer().await);
    let auth = builder().issuer(stays.url()).build().unwrap();
    auth.ready().await;
    let done = Arc::new(AtomicBool::new(false));
    let cached = stays.token().sign();
    let tasks = (0..4).map(|_| {
        let (auth, issuer, done) = (auth.clone(), stays.clone(), Arc::clone(&done));
        let cached = cached.clone();
        tokio::spawn(async move {
            let mut requests = 0_u32;
            while !done.load(Ordering::Relaxed) || requests < 50 {
                let _: Claims = auth.verify(&cached).await.unwrap();
                let _: Claims = auth.verify(&issuer.token().sign()).await.unwrap();
                requests += 1;
                tokio::task::yield_now().await;
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for round in 0..100 {
        let rules = TrustedIssuer::new(stays.url()).leeway(Duration::from_secs(round % 3));
        let mut next = builder().issuer(rules);
        if round % 2 == 0 {
            next = next.issuer(comes.url());
        }
        auth.replace_issuers(&next).unwrap();
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(stays.requests().jwks, 1, "the keys were fetched once");
}

#[tokio::test]
async fn distinguishes_a_thousand_issuers() {
    const MANY: usize = 1000;
    let signer = issuer().await;
    let jwks = json!({"keys": [signer.key().public_jwk()]}).to_string();
    let name = |number: usize| format!("https://{number}.example/");
    let issuers = |range: std::ops::Range<usize>| {
        range.fold(builder(), |builder, number| {
            builder.issuer(TrustedIssuer::new(name(number)).jwks(&jwks))
        })
    };
    let auth = issuers(0..MANY).build().unwrap();
    for number in [0, 1, 499, MANY - 1] {
        let token = signer.token().claim("iss", name(number));
        let claims: Claims = auth.verify(&token.sign()).await.unwrap();
        assert_eq!(claims.issuer(), name(number));
    }
    let unknown = signer.token().claim("iss", name(MANY));
    assert_eq!(verify(&auth, unknown).await, Err(AuthError::UnknownIssuer));
    // remove the first issuer, add one at the end
    auth.replace_issuers(&issuers(1..MANY + 1)).unwrap();
    for (number, expected) in [
        (0, Err(AuthError::UnknownIssuer)),
        (1, Ok(())),
        (MANY, Ok(())),
    ] {
        let token = signer.token().claim("iss", name(number));
        assert_eq!(verify(&auth, token).await, expected, "{number}");
    }
    assert_eq!(auth.status().len(), MANY);
}

#[tokio::test]
async fn scope_inclusion_applies_only_to_policies() {
    let issuer = issuer().await;
    let auth = builder()
        .issuer(issuer.url())
        .scope_includes("admin", ["write"])
        .scope_includes("write", ["read"])
        .build()
        .unwrap();
    let claims: Claims = auth
        .verify(&issuer.token().scope("admin").sign())
        .await
        .unwrap();
    assert_eq!((scope("read") & scope("write")).check(&claims), Ok(()));
    assert!(claims.scopes().eq(["admin"]));
    let claims: Claims = auth
        .verify(&issuer.token().scope("read").sign())
        .await
        .unwrap();
    let lacks = scope("write").check(&claims).unwrap_err();
    assert_eq!(lacks.scopes.as_deref(), Some("write"));
}

#[tokio::test]
async fn template_expands_to_each_listed_tenant() {
    let signer = issuer().await;
    let jwks = json!({"keys": [signer.key().public_jwk()]}).to_string();
    let entra = TrustedIssuer::new("https://login.example/{tenantid}/v2.0").jwks(jwks);
    let auth = entra
        .for_tenants(["aaaa", "bbbb"])
        .into_iter()
        .fold(builder(), Builder::issuer);
    let auth = auth.build().unwrap();
    for (tenant, expected) in [
        ("aaaa", Ok(())),
        ("bbbb", Ok(())),
        ("cccc", Err(AuthError::UnknownIssuer)),
        ("{tenantid}", Err(AuthError::UnknownIssuer)),
    ] {
        let token = signer.token();
        let token = token.claim("iss", format!("https://login.example/{tenant}/v2.0"));
        assert_eq!(verify(&auth, token).await, expected, "{tenant}");
    }
}
