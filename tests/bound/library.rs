//! The library's API and options for bound tokens.

use std::time::Duration;

use serde_json::json;
use warp::{Filter, http::Request};
use warp_bearer::{
    auth::{
        Algorithm, Auth, AuthError, BearerFilterExt, Builder, Claims, RequestHead, SetupError,
        TrustedIssuer,
        claims::NoPrivate,
        dpop::{Dpop, DpopMode},
        error::{DurationOption, FixedOption},
        introspection::Introspection,
        policy::{bound, scope},
        websocket::with_websocket_auth,
        with_auth, with_auth_from,
    },
    issuer::{Fault, Issuer, SigningKey},
};

use crate::support::answer;

const ME: &str = "https://api.example.com/me";

struct World {
    issuer: Issuer,
    auth: Auth,
    key: SigningKey,
}

async fn world() -> World {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .dpop(Dpop::allowed("https://api.example.com"));
    let auth = auth.build().unwrap();
    auth.ready().await;
    let key = SigningKey::generate(Algorithm::ES256);
    World { issuer, auth, key }
}

/// Some endpoints repeat `token_type`, but not `cnf`, which the JWT has.
#[tokio::test]
async fn introspected_jwt_is_bound_by_its_own_claim() {
    let World { issuer, key, .. } = world().await;
    let introspection = Introspection::always(issuer.client_id());
    let introspection = introspection.client_secret(issuer.client_secret());
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .introspection(introspection)
        .dpop(Dpop::allowed("https://api.example.com"));
    let auth = auth.build().unwrap();
    auth.ready().await;
    let answer = json!({
        "active": true,
        "aud": issuer.audience(),
        "exp": 4_000_000_000_u64,
        "token_type": "DPoP",
    });
    issuer.fail_introspection(Fault::Body(answer.to_string()));
    for (case, token, expected) in [
        ("bound", issuer.token().bound_to(&key), "ok"),
        ("not bound", issuer.token(), "token_bound"),
    ] {
        let token = token.sign();
        let request = Request::get("/me")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", key.proof("GET", ME).token(&token).sign())
            .body(())
            .unwrap();
        let head = RequestHead::new(request.method(), request.uri().path(), request.headers());
        let verdict = auth.authenticate::<NoPrivate>(&head).await;
        let code = verdict.map_or_else(|refusal| refusal.error.code(), |_| "ok");
        assert_eq!(code, expected, "{case}");
    }
}

#[tokio::test]
async fn claims_return_the_binding() {
    let World { issuer, auth, key } = world().await;
    let token = issuer.token().bound_to(&key).sign();
    let request = || {
        Request::get("/me")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", key.proof("GET", ME).token(&token).sign())
            .body(())
            .unwrap()
    };
    let of = request();
    let head = RequestHead::new(of.method(), of.uri().path(), of.headers());
    let claims: Claims = auth.authenticate(&head).await.unwrap();
    let binding = claims.binding().unwrap();
    assert_eq!(binding.key.unwrap().to_string(), key.thumbprint());
    assert_eq!(binding.certificate, None);
    let verdict = auth.authenticate::<NoPrivate>(&head).await;
    assert_eq!(verdict.unwrap_err().error, AuthError::ProofReplayed);

    let plain: Claims = auth.verify(&issuer.token().sign()).await.unwrap();
    assert!(plain.binding().is_none());
}

#[tokio::test]
async fn rejects_a_bound_token_alone() {
    let World { issuer, auth, key } = world().await;
    let token = issuer.token().bound_to(&key).sign();
    for _ in 0..2 {
        let verdict = auth.verify::<NoPrivate>(&token).await;
        assert_eq!(verdict.unwrap_err(), AuthError::TokenBound);
    }
}

#[tokio::test]
async fn route_can_require_a_bound_token() {
    let World { issuer, auth, key } = world().await;
    let me = warp::path!("me")
        .and(with_auth(&auth).require(scope("transfer") & bound()))
        .map(|_: Claims| "in")
        .route();
    let plain = issuer.token().scope("transfer").sign();
    let request = warp::test::request().path("/me");
    let request = request.header("authorization", format!("Bearer {plain}"));
    answer(&request.reply(&me).await).assert_is_problem("plain", 401, "token_not_bound");

    for (scope, status) in [("transfer", 200), ("other", 403)] {
        let token = issuer.token().scope(scope).bound_to(&key).sign();
        let proof = key.proof("GET", ME).token(&token).sign();
        let request = warp::test::request().path("/me").header("dpop", proof);
        let request = request.header("authorization", format!("DPoP {token}"));
        assert_eq!(request.reply(&me).await.status(), status);
    }
}

/// A WebSocket handshake accepts both schemes in `Authorization`, while a token in the subprotocols
/// counts as `Bearer`. Each challenge has the scheme that was used.
#[tokio::test]
async fn a_handshake_keeps_the_scheme_of_its_token() {
    let World { issuer, auth, key } = world().await;
    let socket = warp::path!("me")
        .and(with_websocket_auth(&auth).require(scope("chat")))
        .map(|_: Claims| "in")
        .route();
    let bound = issuer.token().bound_to(&key).scope("chat").sign();
    let poor = issuer.token().bound_to(&key).scope("other").sign();
    let expired = issuer.token().bound_to(&key).expired().sign();
    let plain = issuer.token().scope("chat").sign();
    let proof = |token: &str| key.proof("GET", ME).token(token).sign();
    let dpop = |token: &str| ("authorization", format!("DPoP {token}"));
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let offered = |token: &str| ("sec-websocket-protocol", format!("bearer, {token}"));
    for (case, (name, value), proof, status, code, scheme) in [
        ("bound", dpop(&bound), Some(proof(&bound)), 200, "", ""),
        ("no proof", dpop(&bound), None, 401, "invalid_proof", "DPoP"),
        (
            "no scope",
            dpop(&poor),
            Some(proof(&poor)),
            403,
            "insufficient_scope",
            "DPoP",
        ),
        (
            "expired",
            dpop(&expired),
            Some(proof(&expired)),
            401,
            "token_expired",
            "DPoP",
        ),
        (
            "bound under Bearer",
            bearer(&bound),
            Some(proof(&bound)),
            401,
            "token_bound",
            "Bearer",
        ),
        (
            "bound in the subprotocols",
            offered(&bound),
            Some(proof(&bound)),
            401,
            "token_bound",
            "Bearer",
        ),
        ("plain", bearer(&plain), None, 200, "", ""),
        (
            "plain in the subprotocols",
            offered(&plain),
            None,
            200,
            "",
            "",
        ),
        (
            "plain under DPoP",
            dpop(&plain),
            Some(proof(&plain)),
            401,
            "token_not_bound",
            "DPoP",
        ),
    ] {
        let mut request = warp::test::request().path("/me").header(name, value);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let answer = answer(&request.reply(&socket).await);
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        if status != 200 {
            assert_eq!(answer.code(), code, "{case}");
            let challenges = crate::challenges(&answer);
            assert_eq!(challenges.len(), 1, "{case}: {challenges:?}");
            let start = format!("{scheme} realm=");
            assert!(challenges[0].starts_with(&start), "{case}: {challenges:?}");
        }
    }
}

/// A token in a configured field has no scheme, but still needs its proof.
#[tokio::test]
async fn bound_token_in_another_field_needs_its_proof() {
    fn token(headers: &warp::http::HeaderMap) -> Result<&[u8], AuthError> {
        let field = headers.get("x-token").ok_or(AuthError::MissingToken)?;
        Ok(field.as_bytes())
    }
    let World { issuer, auth, key } = world().await;
    let me = warp::path!("me")
        .and(with_auth_from(&auth, token))
        .map(|_: Claims| "in")
        .route();
    let bound = issuer.token().bound_to(&key).sign();
    let proof = key.proof("GET", ME).token(&bound).sign();
    let plain = issuer.token().sign();
    for (case, token, proof, status, code) in [
        ("bound, with its proof", &bound, Some(&proof), 200, ""),
        (
            "bound, proof replayed",
            &bound,
            Some(&proof),
            401,
            "proof_replayed",
        ),
        ("bound, no proof", &bound, None, 401, "invalid_proof"),
        ("plain", &plain, None, 200, ""),
    ] {
        let mut request = warp::test::request().path("/me").header("x-token", token);
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let reply = answer(&request.reply(&me).await);
        assert_eq!(reply.status.as_u16(), status, "{case}: {reply:?}");
        if status == 401 {
            assert_eq!(reply.code(), code, "{case}");
            let challenge = reply.header("www-authenticate");
            assert!(challenge.starts_with("DPoP "), "{case}: {challenge}");
        }
    }
}

#[tokio::test]
async fn rejects_invalid_options() {
    let with = |dpop: Dpop| builder().dpop(dpop).build().map(|_| ()).unwrap_err();
    let api = || Dpop::allowed("https://api.example.com");
    assert_eq!(with(api().algorithms([])), SetupError::NoAlgorithm);
    let symmetric = api().algorithms([Algorithm::ES256, Algorithm::HS256]);
    assert_eq!(with(symmetric), SetupError::SymmetricProofs);
    let window = SetupError::OutOfRange(DurationOption::DpopWindow);
    assert_eq!(with(api().window(Duration::ZERO)), window);
    assert_eq!(with(api().window(Duration::from_secs(3601))), window);
    assert_eq!(
        with(api().nonces_from([0; 31])),
        SetupError::ShortNonceSecret
    );
    for url in [
        "",
        "api.example.com",
        "http://api.example.com",
        "https://api.example.com?a",
        "https://api.example.com/#a",
        "https://me@api.example.com",
        "ftp://api.example.com",
    ] {
        assert!(
            matches!(with(Dpop::allowed(url)), SetupError::Url { .. }),
            "{url}"
        );
    }
    assert_eq!(
        with(Dpop::allowed("https://api.example.com/%zz")),
        SetupError::PublicUrl
    );
    let issuer = TrustedIssuer::new("https://other.example/").dpop(DpopMode::Allowed);
    let fault = builder().issuer(issuer).build().map(|_| ()).unwrap_err();
    assert_eq!(fault, SetupError::NoPublicUrl);
    for url in [
        "https://api.example.com",
        "http://127.0.0.1:8000/",
        "http://[::1]/v1",
    ] {
        assert!(builder().dpop(Dpop::required(url)).build().is_ok(), "{url}");
    }
}

fn builder() -> Builder {
    Auth::builder()
        .issuer("https://tenant.example/")
        .audience("https://api.example.com")
}

#[tokio::test]
async fn replaced_issuers_still_require_proofs() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let of = |issuer: &Issuer| {
        let builder = Auth::builder().issuer(issuer.url());
        builder
            .audience(issuer.audience())
            .algorithms([Algorithm::ES256])
    };
    let required = Dpop::required("https://api.example.com");
    let auth = of(&issuer).dpop(required).build().unwrap();
    auth.ready().await;
    auth.replace_issuers(&of(&issuer)).unwrap();
    let plain = auth.verify::<NoPrivate>(&issuer.token().sign()).await;
    assert_eq!(plain.unwrap_err(), AuthError::TokenNotBound);

    let auth = of(&issuer).build().unwrap();
    let wants = TrustedIssuer::new(issuer.url()).dpop(DpopMode::Required);
    let builder = Auth::builder().issuer(wants).audience(issuer.audience());
    let builder = builder.dpop(Dpop::allowed("https://api.example.com"));
    let fault = SetupError::Fixed(FixedOption::PublicUrl);
    assert_eq!(auth.replace_issuers(&builder), Err(fault));
}
