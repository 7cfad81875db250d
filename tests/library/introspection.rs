//! Introspection of opaque tokens and of JWTs.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, Builder, Claims, SetupError, TrustedIssuer, claims::NoPrivate,
        introspection::Introspection,
    },
    issuer::{Fault, Issuer, TokenBuilder},
};

use super::support::clock::{StoppedClock, until};

struct Asked {
    issuer: Issuer,
    auth: Auth,
}

fn opaque(issuer: &Issuer) -> Introspection {
    Introspection::opaque(issuer.client_id()).client_secret(issuer.client_secret())
}

fn always(issuer: &Issuer) -> Introspection {
    Introspection::always(issuer.client_id()).client_secret(issuer.client_secret())
}

fn trusting(issuer: &Issuer) -> Builder {
    Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
}

impl Asked {
    async fn start(options: impl Fn(&Issuer) -> Introspection) -> Self {
        let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
        let auth = trusting(&issuer).introspection(options(&issuer)).build();
        let auth = auth.unwrap();
        auth.ready().await;
        Self { issuer, auth }
    }

    fn opaque_token(&self, change: impl Fn(TokenBuilder) -> TokenBuilder) -> String {
        self.issuer.opaque_token(change(self.issuer.token()))
    }

    async fn code(&self, token: &str) -> &'static str {
        match self.auth.verify::<NoPrivate>(token).await {
            Ok(_) => "ok",
            Err(error) => error.code(),
        }
    }

    fn asked(&self) -> u64 {
        self.issuer.requests().introspection
    }
}

fn made_up(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("made-up-token-{n:08}"))
        .collect()
}

#[derive(serde::Deserialize)]
struct Customer {
    tier: String,
}

#[tokio::test]
async fn claims_of_an_opaque_token_come_from_the_answer() {
    let asked = Asked::start(opaque).await;
    let token = asked.opaque_token(|token| {
        token
            .subject("auth0|bob")
            .scope("read:messages")
            .permissions(["messages:read"])
            .claim("tier", "gold")
    });
    let claims: Claims<Customer> = asked.auth.verify(&token).await.unwrap();
    assert_eq!(claims.issuer(), asked.issuer.url());
    assert_eq!(claims.subject(), Some("auth0|bob"));
    assert!(claims.audience().eq([asked.issuer.audience()]));
    assert!(claims.scopes().eq(["read:messages"]));
    assert!(claims.permissions().eq(["messages:read"]));
    assert_eq!(claims.private().tier, "gold");
    assert_eq!(claims.claim("active"), Some(json!(true)));
    assert_eq!(claims.identity().kid(), None);
    assert!(claims.identity().subject().is_some());
}

#[tokio::test]
async fn caches_answers_for_the_time_to_live() {
    let clock = StoppedClock::stop();
    let asked = Asked::start(opaque).await;
    let token = asked.opaque_token(|token| token);
    for _ in 0..3 {
        assert_eq!(asked.code(&token).await, "ok");
    }
    assert_eq!(asked.asked(), 1);
    asked.issuer.revoke(&token);
    clock.pass(Duration::from_secs(29)).await;
    assert_eq!(
        asked.code(&token).await,
        "ok",
        "the answer is cached for its time to live"
    );
    clock.pass(Duration::from_secs(1)).await;
    assert_eq!(asked.code(&token).await, "token_inactive");
    assert_eq!(asked.code(&token).await, "token_inactive");
    assert_eq!(asked.asked(), 2);
    clock.pass(Duration::from_secs(5)).await;
    assert_eq!(asked.code(&token).await, "token_inactive");
    assert_eq!(asked.asked(), 3);
}

#[tokio::test]
async fn caches_answers_at_most_until_the_token_expires() {
    let clock = StoppedClock::stop();
    let asked = Asked::start(opaque).await;
    let token = asked.opaque_token(|token| token.expires_in(Duration::from_secs(10)));
    assert_eq!(asked.code(&token).await, "ok");
    clock.pass(Duration::from_secs(11)).await;
    assert_eq!(asked.code(&token).await, "ok");
    assert_eq!(asked.asked(), 2, "the token is introspected again at exp");
}

#[tokio::test]
async fn concurrent_questions_about_one_token_share_a_request() {
    let asked = Asked::start(opaque).await;
    let token = asked.opaque_token(|token| token);
    asked.issuer.fail_introspection(Fault::Hold);
    let asking = (0..20).map(|_| {
        let (auth, token) = (asked.auth.clone(), token.clone());
        tokio::spawn(async move { auth.verify::<NoPrivate>(&token).await.is_ok() })
    });
    let asking: Vec<_> = asking.collect();
    until(|| asked.asked() == 1).await;
    asked.issuer.recover();
    for answer in asking {
        assert!(answer.await.unwrap());
    }
    assert_eq!(asked.asked(), 1);
}

#[tokio::test]
async fn question_continues_if_its_first_caller_leaves() {
    let asked = Asked::start(opaque).await;
    let token = asked.opaque_token(|token| token);
    asked.issuer.fail_introspection(Fault::Hold);
    let ask = || {
        let (auth, token) = (asked.auth.clone(), token.clone());
        tokio::spawn(async move { auth.verify::<NoPrivate>(&token).await.is_ok() })
    };
    let first = ask();
    until(|| asked.asked() == 1).await;
    let second = ask();
    first.abort();
    assert!(first.await.is_err());
    asked.issuer.recover();
    assert!(second.await.unwrap());
    assert_eq!(asked.asked(), 1);
}

#[tokio::test]
async fn introspects_only_possible_opaque_tokens() {
    let asked = Asked::start(opaque).await;
    let jwt = asked.issuer.token().sign();
    for (case, token, expected) in [
        ("a JWT", &*jwt, "ok"),
        ("too short", "0123456789abcde", "token_not_jwt"),
        ("long enough", "0123456789abcdef", "token_inactive"),
        ("a JWE", "aaaa.bbbb.cccc.dddd.eeee", "token_inactive"),
        ("three parts", "aaaa.bbbb.cccc0123456789", "token_inactive"),
        (
            "a PASETO",
            "v2.local.QAxIpVe-ECVNI1z4xQbm_qQYomyT3h8FtV8bxkz8pBJWkT8f7HtlOpbroPDEZUKop",
            "token_inactive",
        ),
        ("a damaged JWT", &jwt[..jwt.len() - 1], "token_malformed"),
        (
            "a JWT with a damaged header",
            &jwt.replacen("ey", "ey.", 1).replacen('.', "_", 1),
            "token_malformed",
        ),
        (
            "a damaged JWT, with a blank before its header",
            "IHsiYWxnIjoiRVMyNTYifQ.eyJhIjoxLCJhIjoyfQ.AAAAAAAAAAAA",
            "token_malformed",
        ),
        (
            "a damaged JWT, with stray bits after its header",
            "ICB7fR.eyJhIjoxLCJhIjoyfQ.AAAAAAAAAAAA",
            "token_malformed",
        ),
        (
            "a damaged JWT, in the standard alphabet",
            "IHsiYSI6Ij8/.eyJhIjoxLCJhIjoyfQ.AAAAAAAAAAAA",
            "token_malformed",
        ),
        (
            "a damaged JWT, with a byte order mark before its header",
            "77u_e30.eyJhIjoxLCJhIjoyfQ.AAAAAAAAAAAA",
            "token_malformed",
        ),
        (
            "an empty header",
            "..aaaaaaaaaaaaaaaaaaaa",
            "token_malformed",
        ),
        ("a quote", "0123456789abcdef\"", "token_not_jwt"),
        ("a space", "0123456789 abcdef", "token_not_jwt"),
        (
            "padding in the middle",
            "0123456789=abcdef",
            "token_not_jwt",
        ),
        ("not ASCII", "0123456789abcdef\u{e9}", "token_not_jwt"),
    ] {
        assert_eq!(asked.code(token).await, expected, "{case}");
    }
    assert_eq!(asked.asked(), 4);
}

/// RFC 8414 §2 allows metadata without `jwks_uri`.
fn without_jwks_uri(issuer: &Issuer) -> Fault {
    let metadata = json!({
        "issuer": issuer.url(),
        "introspection_endpoint": format!("http://{}/oauth/introspect", issuer.addr()),
    });
    Fault::Body(metadata.to_string())
}

#[tokio::test]
async fn needs_no_keys_if_the_issuer_has_none() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    issuer.fail_discovery(without_jwks_uri(&issuer));
    let auth = trusting(&issuer).introspection(opaque(&issuer)).build();
    let auth = auth.unwrap();
    assert!(!auth.is_ready(), "before the first fetch");
    auth.ready().await;
    assert!(auth.is_ready());
    assert!(!auth.status()[0].required);
    let asked = Asked { issuer, auth };
    let token = asked.opaque_token(|token| token);
    assert_eq!(asked.code(&token).await, "ok");
    let jwt = asked.issuer.token().sign();
    assert_eq!(asked.code(&jwt).await, "keys_unavailable");
    // An outage of the metadata must not stop the service.
    asked.issuer.fail_discovery(Fault::Status(500));
    asked.auth.refresh();
    let error = || asked.auth.status()[0].last_error_code;
    until(|| error() == Some("status")).await;
    assert!(asked.auth.is_ready());
    // If the issuer publishes keys later, they are needed and used.
    asked.issuer.recover();
    asked.auth.refresh();
    until(|| asked.auth.status()[0].keys == 1).await;
    assert!(asked.auth.status()[0].required);
    assert_ne!(asked.code(&jwt).await, "keys_unavailable");
}

#[tokio::test]
async fn needs_keys_without_introspection_or_after_other_failures() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let asking = trusting(&issuer).introspection(opaque(&issuer));
    let nameless = json!({"jwks_uri": null}).to_string();
    for (case, builder, fault) in [
        (
            "no introspection",
            trusting(&issuer),
            without_jwks_uri(&issuer),
        ),
        (
            "introspection of JWTs too",
            trusting(&issuer).introspection(always(&issuer)),
            without_jwks_uri(&issuer),
        ),
        ("no metadata", asking.clone(), Fault::Status(404)),
        (
            "another issuer",
            asking.clone(),
            Fault::WrongIssuer("https://b.example/".into()),
        ),
        ("no issuer", asking, Fault::Body(nameless)),
    ] {
        issuer.fail_discovery(fault);
        let auth = builder.build().unwrap();
        until(|| auth.status()[0].last_error.is_some()).await;
        assert!(!auth.is_ready(), "{case}");
        assert!(auth.status()[0].required, "{case}");
    }
}

#[tokio::test]
async fn without_introspection_opaque_tokens_are_rejected() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = trusting(&issuer).build().unwrap();
    let token = issuer.opaque_token(issuer.token());
    let verdict = auth.verify::<NoPrivate>(&token).await;
    assert_eq!(verdict.unwrap_err(), AuthError::TokenNotJwt);
    assert_eq!(issuer.requests().introspection, 0);
}

/// A flood of verified tokens must not become a flood of requests to an issuer that has no endpoint.
#[tokio::test]
async fn looks_for_a_missing_endpoint_once_a_second() {
    let clock = StoppedClock::stop();
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let metadata = json!({"issuer": issuer.url(), "jwks_uri": issuer.jwks_uri()});
    issuer.fail_discovery(Fault::Body(metadata.to_string()));
    let auth = trusting(&issuer).introspection(always(&issuer)).build();
    let asked = Asked {
        auth: auth.unwrap(),
        issuer,
    };
    asked.auth.ready().await;
    let before = asked.issuer.requests().discovery;
    for second in 0..4 {
        for _ in 0..20 {
            let jwt = asked.issuer.token().sign();
            assert_eq!(asked.code(&jwt).await, "introspection_unavailable");
            clock.pass(Duration::from_millis(1)).await;
        }
        let discoveries = asked.issuer.requests().discovery - before;
        assert_eq!(discoveries, 4 + second, "after {second} s");
        clock.pass(Duration::from_secs(1)).await;
    }
    asked.issuer.recover();
    let jwt = asked.issuer.token().sign();
    asked.issuer.register(&jwt);
    assert_eq!(asked.code(&jwt).await, "ok");
}

/// Answers that must not be accepted, each with the code that the caller gets.
#[allow(clippy::too_many_lines)] // a row for each answer
fn bad_answers(issuer: &Issuer) -> Vec<(&'static str, Fault, &'static str)> {
    const UNAVAILABLE: &str = "introspection_unavailable";
    let good = || {
        json!({
            "active": true,
            "aud": issuer.audience(),
            "exp": 4_000_000_000_u64,
            "sub": "auth0|alice",
        })
    };
    let with = |name: &str, value: Value| {
        let mut answer = good();
        answer[name] = value;
        Fault::Body(answer.to_string())
    };
    let without = |name: &str| {
        let mut answer = good();
        answer.as_object_mut().unwrap().remove(name);
        Fault::Body(answer.to_string())
    };
    let text = |text: &str| Fault::Body(text.to_owned());
    let rest = &good().to_string()[1..];
    vec![
        ("no active", without("active"), UNAVAILABLE),
        (
            "active is a string",
            with("active", json!("true")),
            UNAVAILABLE,
        ),
        ("active is a number", with("active", json!(1)), UNAVAILABLE),
        ("active is null", with("active", json!(null)), UNAVAILABLE),
        (
            "active is an array",
            with("active", json!([true])),
            UNAVAILABLE,
        ),
        (
            "active is an object",
            with("active", json!({})),
            UNAVAILABLE,
        ),
        (
            "active is false",
            with("active", json!(false)),
            "token_inactive",
        ),
        (
            "active twice",
            Fault::Body(format!(r#"{{"active":true,{rest}"#)),
            UNAVAILABLE,
        ),
        (
            "active false and true",
            Fault::Body(format!(r#"{{"active":false,{rest}"#)),
            UNAVAILABLE,
        ),
        (
            "exp twice",
            Fault::Body(format!(r#"{{"exp":1,{rest}"#)),
            UNAVAILABLE,
        ),
        (
            "another issuer",
            with("iss", json!("https://other.example/")),
            "unknown_issuer",
        ),
        (
            "an issuer that is not a string",
            with("iss", json!(1)),
            "invalid_claim",
        ),
        (
            "an array of issuers",
            with("iss", json!([issuer.url()])),
            "invalid_claim",
        ),
        (
            "another audience",
            with("aud", json!("https://other.example")),
            "wrong_audience",
        ),
        ("no audience", without("aud"), "missing_claim"),
        (
            "an empty audience",
            with("aud", json!([])),
            "wrong_audience",
        ),
        (
            "an audience that is not a string",
            with("aud", json!(1)),
            "invalid_claim",
        ),
        (
            "an audience that is null",
            with("aud", json!(null)),
            "invalid_claim",
        ),
        (
            "of type DPoP, without its key",
            with("token_type", json!("DPoP")),
            "token_bound",
        ),
        (
            "of type dpop, in lower case",
            with("token_type", json!("dpop")),
            "token_bound",
        ),
        (
            "a refresh token",
            with("token_type", json!("refresh_token")),
            "wrong_token_type",
        ),
        (
            "a type that is not a string",
            with("token_type", json!(["Bearer"])),
            "invalid_claim",
        ),
        (
            "expired",
            with("exp", json!(1_000_000_000)),
            "token_expired",
        ),
        ("no exp", without("exp"), "missing_claim"),
        (
            "exp is a string",
            with("exp", json!("4000000000")),
            "invalid_claim",
        ),
        ("exp is null", with("exp", json!(null)), "invalid_claim"),
        (
            "not yet valid",
            with("nbf", json!(4_000_000_000_u64)),
            "token_not_yet_valid",
        ),
        ("nbf is a string", with("nbf", json!("0")), "invalid_claim"),
        (
            "issued in the future",
            with("iat", json!(4_000_000_000_u64)),
            "token_not_yet_valid",
        ),
        (
            "a subject that is not a string",
            with("sub", json!(7)),
            "invalid_claim",
        ),
        (
            "bound to a key",
            with("cnf", json!({"jkt": "x"})),
            "token_bound",
        ),
        ("an array", text(r#"[{"active":true}]"#), UNAVAILABLE),
        (
            "a byte order mark",
            Fault::Body(format!("\u{feff}{}", good())),
            UNAVAILABLE,
        ),
        (
            "text after it",
            Fault::Body(format!("{} x", good())),
            UNAVAILABLE,
        ),
        ("a word", text("true"), UNAVAILABLE),
        ("HTML", Fault::Html, UNAVAILABLE),
        ("not JSON", Fault::NotJson, UNAVAILABLE),
        ("an empty body", Fault::EmptyBody, UNAVAILABLE),
        ("half a body", Fault::HalfBody, UNAVAILABLE),
        ("too large", Fault::TooLarge, UNAVAILABLE),
        ("204", Fault::Status(204), UNAVAILABLE),
        ("304", Fault::NotModified, UNAVAILABLE),
        (
            "a redirect",
            Fault::Redirect(issuer.url().to_owned()),
            UNAVAILABLE,
        ),
        ("400", Fault::Status(400), UNAVAILABLE),
        ("401", Fault::Status(401), UNAVAILABLE),
        ("403", Fault::Status(403), UNAVAILABLE),
        ("404", Fault::Status(404), UNAVAILABLE),
        ("429", Fault::StatusRetryAfter(429, 1), UNAVAILABLE),
        ("500", Fault::Status(500), UNAVAILABLE),
        ("503", Fault::Status(503), UNAVAILABLE),
        (
            "too deep",
            Fault::Body(format!(
                r#"{{"active":true,"x":{}{},{rest}"#,
                "[".repeat(200),
                "]".repeat(200)
            )),
            UNAVAILABLE,
        ),
    ]
}

#[tokio::test]
async fn rejects_invalid_answers() {
    let asked = Asked::start(opaque).await;
    let good = asked.opaque_token(|token| token);
    assert_eq!(
        asked.code(&good).await,
        "ok",
        "the table is about the answers"
    );
    let rows = bad_answers(&asked.issuer);
    assert!(rows.len() >= 40);
    for (case, fault, expected) in rows {
        // Each row has a verifier of its own, so that rows don't spend each other's budget.
        let builder = trusting(&asked.issuer).introspection(opaque(&asked.issuer));
        let auth = builder.build().unwrap();
        let token = asked.opaque_token(|token| token);
        asked.issuer.fail_introspection(fault);
        let verdict = auth.verify::<NoPrivate>(&token).await;
        assert_eq!(verdict.unwrap_err().code(), expected, "{case}");
        asked.issuer.recover();
    }
}

#[tokio::test]
async fn gives_up_on_an_endless_answer() {
    let clock = StoppedClock::stop();
    for fault in [Fault::Hang, Fault::Drip] {
        let asked = Asked::start(opaque).await;
        let token = asked.opaque_token(|token| token);
        asked.issuer.fail_introspection(fault.clone());
        let auth = asked.auth.clone();
        let asking = tokio::spawn(async move { auth.verify::<NoPrivate>(&token).await });
        until(|| asked.asked() == 1).await;
        let waited = clock
            .pass_until(Duration::from_millis(100), || asking.is_finished())
            .await;
        assert!(waited <= Duration::from_millis(2200), "{waited:?}");
        let error = asking.await.unwrap().unwrap_err();
        assert_eq!(error.code(), "introspection_unavailable", "{fault:?}");
    }
}

#[tokio::test]
async fn failures_are_not_cached() {
    let asked = Asked::start(opaque).await;
    let token = asked.opaque_token(|token| token);
    asked.issuer.fail_introspection(Fault::Status(500));
    let error = asked.auth.verify::<NoPrivate>(&token).await.unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(error.retry_after().is_some());
    asked.issuer.recover();
    assert_eq!(asked.code(&token).await, "ok");
}

#[tokio::test]
async fn answers_503_while_the_issuer_is_down() {
    let asked = Asked::start(opaque).await;
    let token = asked.opaque_token(|token| token);
    asked.issuer.go_down().await;
    assert_eq!(asked.code(&token).await, "introspection_unavailable");
    asked.issuer.come_back().await;
    assert_eq!(asked.code(&token).await, "ok");
}

#[tokio::test]
async fn made_up_tokens_stay_within_the_budget() {
    let clock = StoppedClock::stop();
    let asked = Asked::start(opaque).await;
    let known = asked.opaque_token(|token| token);
    let later = asked.opaque_token(|token| token);
    assert_eq!(asked.code(&known).await, "ok");
    assert_eq!(asked.code(&later).await, "ok");
    asked.issuer.reset_requests();

    let strangers = made_up(5000).into_iter().map(|token| {
        let auth = asked.auth.clone();
        tokio::spawn(async move { auth.verify::<NoPrivate>(&token).await.unwrap_err().code() })
    });
    let strangers: Vec<_> = strangers.collect();
    assert_eq!(
        asked.code(&known).await,
        "ok",
        "a cached token is accepted during the flood"
    );
    let mut inactive = 0;
    for stranger in strangers {
        match stranger.await.unwrap() {
            "token_inactive" => inactive += 1,
            "introspection_unavailable" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(inactive, 16);
    assert_eq!(asked.asked(), 16);

    for token in made_up(5020).drain(5000..) {
        assert_eq!(asked.code(&token).await, "introspection_unavailable");
    }
    assert_eq!(asked.asked(), 16, "the budget is empty");
    clock.pass(Duration::from_secs(30)).await;
    assert_eq!(
        asked.code(&later).await,
        "ok",
        "an active token is accepted although it is not cached"
    );
    clock.pass(Duration::from_secs(3600)).await;
    asked.issuer.reset_requests();
    for token in made_up(5100).drain(5050..) {
        asked.code(&token).await;
    }
    assert_eq!(asked.asked(), 16);
}

#[tokio::test]
async fn active_tokens_spend_no_budget() {
    let _clock = StoppedClock::stop();
    let asked = Asked::start(opaque).await;
    for _ in 0..100 {
        let token = asked.opaque_token(|token| token);
        assert_eq!(asked.code(&token).await, "ok");
    }
}

#[tokio::test]
async fn answers_many_valid_tokens_at_once() {
    let asked = Asked::start(opaque).await;
    let tokens: Vec<_> = (0..64).map(|_| asked.opaque_token(|token| token)).collect();
    let asking = tokens.into_iter().map(|token| {
        let auth = asked.auth.clone();
        tokio::spawn(async move { auth.verify::<NoPrivate>(&token).await.is_ok() })
    });
    let asking: Vec<_> = asking.collect();
    for answer in asking {
        assert!(answer.await.unwrap());
    }
}

#[tokio::test]
async fn answers_503_to_introspections_over_the_limit() {
    let clock = StoppedClock::stop();
    let asked = Asked::start(opaque).await;
    let mut tokens: Vec<_> = (0..65).map(|_| asked.opaque_token(|token| token)).collect();
    let one_more = tokens.pop().unwrap();
    let known = asked.opaque_token(|token| token);
    assert_eq!(asked.code(&known).await, "ok");
    clock.pass(Duration::from_secs(30)).await;
    asked.issuer.reset_requests();
    asked.issuer.fail_introspection(Fault::Hold);
    let ask = |token: String| {
        let auth = asked.auth.clone();
        tokio::spawn(async move { auth.verify::<NoPrivate>(&token).await.is_ok() })
    };
    let asking: Vec<_> = tokens.into_iter().map(ask).collect();
    until(|| asked.asked() == 16).await;
    assert_eq!(asked.code(&one_more).await, "introspection_unavailable");
    let known = ask(known);
    until(|| asked.asked() == 17).await;
    asked.issuer.recover();
    assert!(known.await.unwrap());
    for answer in asking {
        assert!(answer.await.unwrap());
    }
}

#[tokio::test]
async fn decodes_an_answer_by_its_content_coding() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let answer = json!({"active": true, "aud": issuer.audience(), "exp": 4_000_000_000_u64});
    let plain = answer.to_string().into_bytes();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain).unwrap();
    let gzip = encoder.finish().unwrap();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    bomb.write_all(&plain).unwrap();
    let bomb = bomb.finish().unwrap();
    for (case, coding, content, expected) in [
        ("plain", "identity", &plain, "ok"),
        ("gzip", "gzip", &gzip, "ok"),
        (
            "gzip that is none",
            "gzip",
            &plain,
            "introspection_unavailable",
        ),
        (
            "a coding that is not asked for",
            "br",
            &plain,
            "introspection_unavailable",
        ),
        (
            "gzip that becomes large",
            "gzip",
            &bomb,
            "introspection_unavailable",
        ),
    ] {
        let (uri, asked) = endpoint(coding, content.clone()).await;
        let auth = trusting(&issuer).introspection(opaque(&issuer).uri(uri));
        let verdict = auth
            .build()
            .unwrap()
            .verify::<NoPrivate>("0123456789abcdef")
            .await;
        let code = verdict.map_or_else(AuthError::code, |_| "ok");
        assert_eq!(code, expected, "{case}");
        let head = asked.await.unwrap().to_ascii_lowercase();
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
    }
}

/// Starts an endpoint that answers one request with this content in this coding. Also returns the
/// head of the request.
async fn endpoint(coding: &str, content: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/introspect", listener.local_addr().unwrap());
    let length = content.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let asked = tokio::spawn(async move {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut question = String::new();
        while !question.ends_with("\r\n\r\n") {
            stream.read_line(&mut question).await.unwrap();
        }
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&content).await.unwrap();
        // read to the end: closing a socket with unread bytes resets the connection
        while stream.read_u8().await.is_ok() {}
        question
    });
    (uri, asked)
}

#[tokio::test]
async fn authenticates_in_the_form_if_required() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    issuer.form_only(true);
    let auth = trusting(&issuer).introspection(opaque(&issuer)).build();
    let token = issuer.opaque_token(issuer.token());
    assert!(auth.unwrap().verify::<NoPrivate>(&token).await.is_ok());
    // With a configured address, the service reads no metadata and uses Basic
    let uri = format!("{}oauth/introspect", issuer.url());
    let auth = trusting(&issuer).introspection(opaque(&issuer).uri(uri));
    let auth = auth.build().unwrap();
    let verdict = auth.verify::<NoPrivate>(&token).await;
    assert_eq!(verdict.unwrap_err().code(), "introspection_unavailable");
}

#[tokio::test]
async fn wrong_client_credentials_are_a_503() {
    let asked = Asked::start(|issuer| {
        Introspection::opaque(issuer.client_id()).client_secret("a wrong secret")
    })
    .await;
    let token = asked.opaque_token(|token| token);
    assert_eq!(asked.code(&token).await, "introspection_unavailable");
    let status = &asked.auth.introspection_status()[0];
    assert_eq!((status.failed, status.denied, status.active), (1, 1, 0));
}

/// A valid signature shows that a token isn't made up.
#[tokio::test]
async fn made_up_tokens_do_not_block_valid_jwts() {
    let asked = Asked::start(always).await;
    for token in made_up(20) {
        asked.code(&token).await;
    }
    let token = asked.issuer.opaque_token(asked.issuer.token());
    assert_eq!(asked.code(&token).await, "introspection_unavailable");
    let jwt = asked.issuer.token().sign();
    asked.issuer.register(&jwt);
    assert_eq!(asked.code(&jwt).await, "ok");
}

#[tokio::test]
async fn issuer_can_be_excluded_from_introspection() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let own = TrustedIssuer::new(issuer.url()).without_introspection();
    let auth = Auth::builder()
        .issuer(own)
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .introspection(always(&issuer))
        .build()
        .unwrap();
    assert!(
        auth.verify::<NoPrivate>(&issuer.token().sign())
            .await
            .is_ok()
    );
    assert_eq!(issuer.requests().introspection, 0);
}

/// An answer limits the scopes of a JWT even if its list is empty. A list that can't be read grants
/// nothing.
#[tokio::test]
async fn scopes_of_an_answer_limit_those_of_a_jwt() {
    use AuthError::InvalidClaim;
    for (case, scope, expected) in [
        ("a list", json!(["read"]), Ok(1)),
        ("an empty list", json!([]), Ok(0)),
        ("an empty string", json!(""), Ok(0)),
        ("null", json!(null), Ok(2)),
        ("a number", json!(7), Err(InvalidClaim)),
        ("an object", json!({}), Err(InvalidClaim)),
        (
            "a list with a number",
            json!(["read", 1]),
            Err(InvalidClaim),
        ),
    ] {
        let asked = Asked::start(always).await;
        let token = asked.issuer.token().scope("read write").sign();
        let answer = json!({
            "active": true,
            "aud": asked.issuer.audience(),
            "exp": 4_000_000_000_u64,
            "scope": scope,
        });
        asked
            .issuer
            .fail_introspection(Fault::Body(answer.to_string()));
        let verdict = asked.auth.verify::<NoPrivate>(&token).await;
        let scopes = verdict.map(|claims| claims.scopes().count());
        assert_eq!(scopes, expected, "{case}");
    }
}

#[tokio::test]
async fn rejects_an_active_token_of_another_kind() {
    for (member, kind) in [
        ("token_use", "refresh_token"),
        ("token_use", "id"),
        ("typ", "Refresh"),
        ("typ", "Offline"),
        ("typ", "ID"),
    ] {
        let asked = Asked::start(opaque).await;
        let token = asked
            .issuer
            .opaque_token(asked.issuer.token().claim(member, kind));
        let verdict = asked.auth.verify::<NoPrivate>(&token).await;
        assert_eq!(
            verdict.unwrap_err(),
            AuthError::WrongTokenType,
            "{member}: {kind}"
        );
    }
    let asked = Asked::start(opaque).await;
    let access = asked
        .issuer
        .token()
        .claim("token_use", "access_token")
        .claim("typ", "Bearer");
    let token = asked.issuer.opaque_token(access);
    assert!(asked.auth.verify::<NoPrivate>(&token).await.is_ok());
}

#[tokio::test]
async fn always_mode_introspects_verified_jwts() {
    let clock = StoppedClock::stop();
    let asked = Asked::start(always).await;
    let jwt = asked.issuer.token().sign();
    asked.issuer.register(&jwt);
    for _ in 0..3 {
        assert_eq!(asked.code(&jwt).await, "ok");
    }
    assert_eq!(asked.asked(), 1);
    asked.issuer.revoke(&jwt);
    clock.pass(Duration::from_secs(30)).await;
    assert_eq!(
        asked.code(&jwt).await,
        "token_inactive",
        "the answer is used although the JWT is cached"
    );
    let opaque = asked.opaque_token(|token| token);
    assert_eq!(asked.code(&opaque).await, "ok");
    asked.issuer.reset_requests();
    let expired = asked.issuer.token().expired().sign();
    assert_eq!(asked.code(&expired).await, "token_expired");
    assert_eq!(asked.asked(), 0, "invalid JWTs are not introspected");
}

#[tokio::test]
async fn answer_limits_the_claims_of_a_jwt() {
    let asked = Asked::start(always).await;
    let jwt = asked.issuer.token().scope("read write pay").sign();
    let exp = 4_000_000_000_u64;
    let answer = |more: Value| {
        let mut answer = json!({"active": true, "aud": asked.issuer.audience(), "exp": exp});
        let members = answer.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        Fault::Body(answer.to_string())
    };
    for (case, more, expected) in [
        ("no scope", json!({}), &["read", "write", "pay"][..]),
        ("fewer", json!({"scope": "pay read"}), &["read", "pay"]),
        ("more", json!({"scope": "pay admin"}), &["pay"]),
        ("as an array", json!({"scp": ["write"]}), &["write"]),
        ("none", json!({"scope": ""}), &[]),
    ] {
        let builder = trusting(&asked.issuer).introspection(always(&asked.issuer));
        let auth = builder.build().unwrap();
        asked.issuer.fail_introspection(answer(more));
        let claims: Claims = auth.verify(&jwt).await.unwrap();
        assert!(claims.scopes().eq(expected.iter().copied()), "{case}");
        let shown = claims.claim("scope");
        assert_eq!(shown, Some(json!(expected.join(" "))), "{case}");
        let serialized = serde_json::to_value(&claims).unwrap();
        assert_eq!(Some(&serialized["scope"]), shown.as_ref(), "{case}");
        assert_eq!(claims.subject(), Some("auth0|alice"), "{case}");
        assert!(claims.audience().eq([asked.issuer.audience()]), "{case}");
    }
    let builder = trusting(&asked.issuer).introspection(always(&asked.issuer));
    let auth = builder.build().unwrap();
    asked
        .issuer
        .fail_introspection(answer(json!({"exp": 1_000_000_000})));
    let verdict = auth.verify::<NoPrivate>(&jwt).await;
    assert_eq!(verdict.unwrap_err(), AuthError::TokenExpired);
}

/// `iat` is optional in an answer (RFC 7662 §2.2), so we take a JWT's age from the JWT itself.
#[tokio::test]
async fn maximum_age_of_a_jwt_needs_no_iat_in_the_answer() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let answer = |iat: Option<u64>| {
        let mut answer = json!({"active": true, "aud": issuer.audience(), "exp": now + 600});
        if let Some(iat) = iat {
            answer["iat"] = json!(iat);
        }
        Fault::Body(answer.to_string())
    };
    let young = || issuer.token().sign();
    let old = || issuer.token().issued_at(-300).sign();
    let ageless = || issuer.token().without("iat").sign();
    let name = || issuer.opaque_token(issuer.token());
    for (case, options, token, iat, expected) in [
        ("no iat", always(&issuer), young(), None, "ok"),
        ("the same iat", always(&issuer), young(), Some(now), "ok"),
        (
            "an old iat",
            always(&issuer),
            young(),
            Some(now - 300),
            "ok",
        ),
        (
            "an iat in the future",
            always(&issuer),
            young(),
            Some(now + 300),
            "token_not_yet_valid",
        ),
        ("an old JWT", always(&issuer), old(), None, "token_expired"),
        (
            "an old JWT, a young answer",
            always(&issuer),
            old(),
            Some(now),
            "token_expired",
        ),
        (
            "a JWT without iat",
            always(&issuer),
            ageless(),
            Some(now),
            "missing_claim",
        ),
        ("opaque", opaque(&issuer), name(), Some(now), "ok"),
        (
            "opaque, old",
            opaque(&issuer),
            name(),
            Some(now - 300),
            "token_expired",
        ),
        (
            "opaque, no iat",
            opaque(&issuer),
            name(),
            None,
            "missing_claim",
        ),
    ] {
        let auth = trusting(&issuer)
            .introspection(options)
            .max_age(Duration::from_secs(60))
            .build()
            .unwrap();
        issuer.fail_introspection(answer(iat));
        // cached the second time
        for _ in 0..2 {
            let verdict = auth.verify::<NoPrivate>(&token).await;
            let code = verdict.map_or_else(AuthError::code, |_| "ok");
            assert_eq!(code, expected, "{case}");
        }
    }
}

/// Applications behind `/auth` only see the claims as JSON, which must not show more than the token
/// grants.
#[tokio::test]
async fn an_answer_limits_the_json_of_a_jwt() {
    let asked = Asked::start(always).await;
    let big = "123456789012345678901234567890";
    let jwt = asked.issuer.token().without("scope");
    let jwt = jwt
        .claim("scp", json!(["read", "pay", "a b"]))
        .claim("permissions", json!(["x:\u{e4}"]))
        .claim("name", "\"\u{1f600}\"")
        .sign();
    let soon = 600.0;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let exp = (now.as_secs_f64() + soon).floor();
    let body = format!(
        r#"{{"active":true,"aud":"{}","exp":{exp},"scope":"pay x","x":{big}}}"#,
        asked.issuer.audience()
    );
    asked.issuer.fail_introspection(Fault::Body(body));
    let claims: Claims = asked.auth.verify(&jwt).await.unwrap();
    assert!(claims.scopes().eq(["pay"]));
    assert!(claims.permissions().eq(["x:\u{e4}"]));
    assert_eq!(claims.claim("scp"), Some(json!(["pay"])));
    assert_eq!(claims.claim("scope"), None);
    assert_eq!(claims.claim("name"), Some(json!("\"\u{1f600}\"")));
    assert_eq!(
        claims.claim("x"),
        None,
        "other claims of the answer are ignored"
    );
    assert_eq!(claims.claim("exp").unwrap().as_f64(), Some(exp));
    let shown: Value = serde_json::from_str(claims.json()).unwrap();
    assert_eq!(shown["scp"], json!(["pay"]));
}

/// If an answer limits nothing, the JSON should stay as it is, byte for byte.
#[tokio::test]
async fn an_answer_without_limits_leaves_the_json_as_it_was_signed() {
    let asked = Asked::start(always).await;
    let jwt = asked.issuer.token().scope("read").claim("n", 1.50).sign();
    let plain: Claims = {
        let auth = trusting(&asked.issuer).build().unwrap();
        auth.verify(&jwt).await.unwrap()
    };
    let body = json!({
        "active": true, "aud": asked.issuer.audience(), "exp": 4_000_000_000_u64, "scope": "read write",
    });
    asked
        .issuer
        .fail_introspection(Fault::Body(body.to_string()));
    let claims: Claims = asked.auth.verify(&jwt).await.unwrap();
    assert_eq!(claims.json(), plain.json());
}

#[tokio::test]
async fn a_reload_during_a_wait_for_keys_caches_no_verdict_of_the_old_rules() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    issuer.fail_jwks(Fault::Hold);
    let auth = trusting(&issuer).introspection(always(&issuer)).build();
    let auth = auth.unwrap();
    let jwt = issuer.token().sign();
    issuer.register(&jwt);
    let asking = {
        let (auth, jwt) = (auth.clone(), jwt.clone());
        tokio::spawn(async move { auth.verify::<NoPrivate>(&jwt).await })
    };
    until(|| issuer.requests().jwks == 1).await;
    for _ in 0..100 {
        // let the request run until it waits for the key
        tokio::task::yield_now().await;
    }
    let strict = TrustedIssuer::new(issuer.url()).required_scope("admin");
    let strict = Auth::builder()
        .issuer(strict)
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .introspection(always(&issuer));
    auth.replace_issuers(&strict).unwrap();
    issuer.recover();
    assert!(
        asking.await.unwrap().is_ok(),
        "the request began before the reload"
    );
    let verdict = auth.verify::<NoPrivate>(&jwt).await;
    assert_eq!(verdict.unwrap_err(), AuthError::InsufficientScope);
}

#[tokio::test]
async fn ignores_an_answer_about_another_jwt() {
    let asked = Asked::start(always).await;
    let other = asked.issuer.token().subject("auth0|bob").sign();
    asked.issuer.register(&other);
    let jwt = asked.issuer.token().sign();
    asked.issuer.fail_introspection(Fault::OtherToken(other));
    assert_eq!(asked.code(&jwt).await, "introspection_unavailable");
}

#[tokio::test]
async fn only_one_issuer_sees_opaque_tokens() {
    let (one, other) = (
        Issuer::with_algorithm(Algorithm::ES256).await,
        Issuer::with_algorithm(Algorithm::ES256).await,
    );
    let build = |first: Option<Introspection>, second: Option<Introspection>| {
        let mut builder = Auth::builder()
            .audience(one.audience())
            .algorithms([Algorithm::ES256]);
        for (issuer, options) in [(&one, first), (&other, second)] {
            let mut trusted = TrustedIssuer::new(issuer.url());
            if let Some(options) = options {
                trusted = trusted.introspection(options);
            }
            builder = builder.issuer(trusted);
        }
        builder.build()
    };
    let both = build(Some(opaque(&one)), Some(opaque(&other)));
    assert_eq!(both.unwrap_err(), SetupError::AmbiguousIntrospection);
    let token = one.opaque_token(one.token());
    let auth = build(Some(opaque(&one)), Some(always(&other))).unwrap();
    assert!(auth.verify::<NoPrivate>(&token).await.is_ok());
    let auth = build(Some(always(&one)), Some(always(&other))).unwrap();
    let verdict = auth.verify::<NoPrivate>(&token).await;
    assert_eq!(
        verdict.unwrap_err(),
        AuthError::TokenNotJwt,
        "no issuer is asked about an opaque token"
    );
    let auth = build(None, Some(always(&other))).unwrap();
    let verdict = auth.verify::<NoPrivate>(&token).await;
    assert_eq!(verdict.unwrap_err(), AuthError::TokenInactive);
    let shared = Auth::builder()
        .issuer(one.url())
        .issuer(other.url())
        .audience(one.audience())
        .introspection(opaque(&one));
    assert_eq!(
        shared.build().unwrap_err(),
        SetupError::AmbiguousIntrospection
    );
}

#[tokio::test]
async fn rejects_unusable_options() {
    let base = || {
        Auth::builder()
            .issuer("https://tenant.example/")
            .audience("urn:api")
    };
    let no_secret = Introspection::opaque("api");
    assert_eq!(
        base().introspection(no_secret).build().unwrap_err(),
        SetupError::NoIntrospectionCredentials
    );
    let plain = Introspection::opaque("api").client_secret("s");
    let plain = plain.uri("http://elsewhere.example/introspect");
    let fault = base().introspection(plain).build().unwrap_err();
    assert!(matches!(fault, SetupError::Url { .. }), "{fault}");
}
