//! Back-channel logout: the checks of OpenID Connect Back-Channel Logout 1.0 §2.6.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use serde_json::json;
use warp_bearer::{
    auth::{Algorithm, Auth, AuthError, claims::NoPrivate},
    issuer::{Issuer, SigningKey, TokenBuilder},
};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn start() -> (Issuer, Auth) {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .logout_client(issuer.client_id())
        .build()
        .unwrap();
    auth.ready().await;
    (issuer, auth)
}

#[tokio::test]
async fn revokes_the_named_session_or_subject() {
    type Change = fn(TokenBuilder) -> TokenBuilder;
    let of_session: Change = |token| token.claim("sid", "s1");
    let rows: [(&str, Change, Change, bool); 6] = [
        ("its session", of_session, of_session, true),
        (
            "another session of the subject",
            of_session,
            |token| token.claim("sid", "s2"),
            false,
        ),
        (
            "the session of another subject",
            of_session,
            |token| token.claim("sid", "s1").subject("auth0|bob"),
            true,
        ),
        ("its subject", |token| token, of_session, true),
        (
            "another subject",
            |token| token,
            |token| token.subject("auth0|bob"),
            false,
        ),
        (
            "a token of a later login",
            |token| token.issued_at(-100),
            |token| token,
            false,
        ),
    ];
    for (case, logout, token, is_ended) in rows {
        let (issuer, auth) = start().await;
        let token = token(issuer.token()).sign();
        assert!(auth.verify::<NoPrivate>(&token).await.is_ok(), "{case}");
        let logged_out = auth.log_out(&logout(issuer.logout_token()).sign()).await;
        assert!(logged_out.is_ok(), "{case}");
        let verdict = auth.verify::<NoPrivate>(&token).await;
        let expected = is_ended.then_some(AuthError::TokenRevoked);
        assert_eq!(verdict.err(), expected, "{case}");
    }
}

/// If a token outlived the revocation of its session, it would be accepted again.
#[tokio::test]
async fn a_logout_lasts_as_long_as_tokens_do() {
    const DAY: u64 = 86_400;
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let base = || {
        Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256])
            .logout_client(issuer.client_id())
    };
    let long = Duration::from_secs(30 * DAY);
    let aged = || base().max_age(Duration::from_secs(3 * DAY));
    for (case, builder, lifetime, days) in [
        ("an hour", base(), None, 1),
        ("thirty days", base(), Some(long), 30),
        ("three days at most", aged(), Some(long), 3),
        ("three days at most, and none was seen", aged(), None, 3),
    ] {
        let auth = builder.build().unwrap();
        auth.ready().await;
        if let Some(lifetime) = lifetime {
            let token = issuer.token().expires_in(lifetime).sign();
            assert!(auth.verify::<NoPrivate>(&token).await.is_ok(), "{case}");
            // a reload shouldn't forget how long tokens live
            let reloaded = base().leeway(Duration::from_secs(10));
            let reloaded = match days {
                3 => reloaded.max_age(Duration::from_secs(3 * DAY)),
                _ => reloaded,
            };
            auth.replace_issuers(&reloaded).unwrap();
        }
        let ended = auth.log_out(&issuer.logout_token().sign()).await.unwrap();
        let line: serde_json::Value = serde_json::from_str(&ended.to_json()).unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let lasts = line["until"].as_f64().unwrap() - now.as_secs_f64();
        let expected = days * DAY;
        let expected = std::ops::Range {
            start: f64::from(u32::try_from(expected).unwrap()),
            end: f64::from(u32::try_from(expected + 120).unwrap()),
        };
        assert!(expected.contains(&lasts), "{case}: {lasts} s");
    }
}

type Break = Box<dyn Fn(TokenBuilder) -> TokenBuilder>;

#[tokio::test]
async fn rejects_each_invalid_logout_token() {
    use AuthError::{
        AlgorithmNotAllowed, BadSignature, InvalidClaim, MissingClaim, TokenExpired,
        TokenMalformed, TokenNotJwt, TokenNotYetValid, UnknownIssuer, UnsupportedCriticalHeader,
        WrongAudience, WrongTokenType,
    };
    let (issuer, auth) = start().await;
    let stranger = SigningKey::generate(Algorithm::ES256).with_kid(issuer.key().kid());
    let claim = |name: &'static str, value: serde_json::Value| -> Break {
        Box::new(move |token| token.claim(name, value.clone()))
    };
    let without = |name: &'static str| -> Break { Box::new(move |token| token.without(name)) };
    #[rustfmt::skip]
    let rows: Vec<(&str, Break, AuthError)> = vec![
        ("another type", Box::new(|token| token.typ("at+jwt")), WrongTokenType),
        ("a proof", Box::new(|token| token.typ("dpop+jwt")), WrongTokenType),
        ("an extension", Box::new(|token| token.header("crit", ["exp"])), UnsupportedCriticalHeader),
        ("no algorithm", Box::new(|token| token.header("alg", "none")), AlgorithmNotAllowed),
        ("another algorithm", Box::new(|token| token.header("alg", "RS256")), AlgorithmNotAllowed),
        ("another issuer", claim("iss", json!("https://other.example/")), UnknownIssuer),
        ("no issuer", without("iss"), MissingClaim),
        ("another client", claim("aud", json!("other")), WrongAudience),
        ("the audience of access tokens", claim("aud", json!(issuer.audience())), WrongAudience),
        ("no audience", without("aud"), MissingClaim),
        ("no iat", without("iat"), MissingClaim),
        ("issued in the future", Box::new(|token| token.issued_at(3600)), TokenNotYetValid),
        ("no exp", without("exp"), MissingClaim),
        ("expired", Box::new(TokenBuilder::expired), TokenExpired),
        ("no jti", without("jti"), MissingClaim),
        ("a jti that is not a string", claim("jti", json!(1)), InvalidClaim),
        ("no events", without("events"), MissingClaim),
        ("another event", claim("events", json!({"http://other.example": {}})), MissingClaim),
        ("events that are a list", claim("events", json!([EVENT])), MissingClaim),
        ("an event that is not an object", claim("events", json!({EVENT: true})), InvalidClaim),
        ("a nonce", claim("nonce", json!("n")), InvalidClaim),
        ("a nonce that is null", claim("nonce", json!(null)), InvalidClaim),
        ("no sub and no sid", without("sub"), MissingClaim),
        ("an empty sid", claim("sid", json!("")), InvalidClaim),
        ("an empty sub", claim("sub", json!("")), InvalidClaim),
        ("a sid that is not a string", claim("sid", json!(1)), InvalidClaim),
        ("signed by another key", Box::new(move |token| token.key(&stranger)), BadSignature),
    ];
    for (case, change, expected) in rows {
        let token = change(issuer.logout_token()).sign();
        assert_eq!(auth.log_out(&token).await.unwrap_err(), expected, "{case}");
    }
    for (case, token, expected) in [
        ("an empty string", "", TokenNotJwt),
        ("not a JWT", "0123456789abcdef", TokenNotJwt),
        ("not JSON", "aaaa.bbbb.cccc", TokenMalformed),
    ] {
        assert_eq!(auth.log_out(token).await.unwrap_err(), expected, "{case}");
    }
    assert!(auth.revocations().is_empty());
    let access = issuer.token().claim("sid", "s1").sign();
    assert_eq!(
        auth.log_out(&access).await.unwrap_err(),
        WrongAudience,
        "an access token"
    );
}

#[tokio::test]
async fn accepts_the_types_that_issuers_write() {
    let (issuer, auth) = start().await;
    for typ in ["logout+jwt", "Logout+JWT", "application/logout+jwt", "JWT"] {
        let token = issuer.logout_token().typ(typ).sign();
        assert!(auth.log_out(&token).await.is_ok(), "{typ}");
    }
    let token = issuer.logout_token().without_header("typ").sign();
    assert!(auth.log_out(&token).await.is_ok());
}

#[tokio::test]
async fn accepts_a_logout_token_only_once() {
    let (issuer, auth) = start().await;
    let token = issuer.logout_token().sign();
    assert!(auth.log_out(&token).await.is_ok());
    let again = auth.log_out(&token).await.unwrap_err();
    assert_eq!(again, AuthError::TokenRevoked);
}

/// Every line of the shared list is sent to every replica, so a repeated token shouldn't add
/// another one.
#[tokio::test]
async fn a_repeated_logout_token_adds_no_entry() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let clock = Arc::new(AtomicU64::new(0));
    let ahead = Arc::clone(&clock);
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .logout_client(issuer.client_id())
        .clock(move || SystemTime::now() + Duration::from_secs(ahead.load(Relaxed)))
        .build()
        .unwrap();
    auth.ready().await;
    let token = issuer.logout_token().sign();
    let first = auth.log_out(&token).await.unwrap();
    for seconds in [0, 1, 20] {
        clock.store(seconds, Relaxed);
        let again = auth.log_out(&token).await.unwrap_err();
        assert_eq!(again, AuthError::TokenRevoked);
        assert_eq!(
            auth.revocations(),
            std::slice::from_ref(&first),
            "{seconds} s later"
        );
    }
}

#[tokio::test]
async fn rejects_logout_tokens_without_a_client() {
    let (issuer, auth) = start().await;
    assert!(auth.accepts_logout());
    let other = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .max_age(Duration::from_secs(3600))
        .build()
        .unwrap();
    assert!(!other.accepts_logout());
    let verdict = other.log_out(&issuer.logout_token().sign()).await;
    assert_eq!(verdict.unwrap_err(), AuthError::WrongAudience);
}
