//! The tower layers, in axum and on their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{FromRef, Request},
    response::{AppendHeaders, IntoResponse},
    routing::{get, post},
};
use http_body_util::BodyExt;
use serde::Deserialize;
use tower::{Layer, ServiceExt};
use warp::http::StatusCode;
use warp_bearer::{
    auth::{
        Algorithm, Auth, Claims, Problem, Refusal,
        claims::NoPrivate,
        dpop::Dpop,
        policy::{Requirement, check, check_async, scope},
        tower::{AuthLayer, RefusalResponse, RequireLayer},
    },
    issuer::{Issuer, SigningKey},
};

use crate::support::{Answer, Tenant};

#[derive(Clone, Deserialize)]
struct Tier {
    tier: String,
}

/// Real services have more than an `Auth` in their router's state.
#[derive(Clone)]
struct Service {
    auth: Auth,
    greeting: &'static str,
}

impl FromRef<Service> for Auth {
    fn from_ref(service: &Service) -> Self {
        service.auth.clone()
    }
}

async fn ask(app: &Router, path: &str, token: Option<&str>) -> Answer {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let Ok(answer) = app
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

#[tokio::test]
async fn extractor_reads_typed_claims_with_and_without_a_layer() {
    let tenant = Tenant::start().await;
    let route = get(|claims: Claims<Tier>| async move { claims.into_private().tier });
    let bare = Router::new()
        .route("/", route)
        .with_state(tenant.auth.clone());
    let layered = bare.clone().layer(AuthLayer::new(&tenant.auth));
    let token = || tenant.issuer.token();
    #[rustfmt::skip]
    let rows = [
        ("there", token().claim("tier", "gold"), 200, "gold"),
        ("of another type", token().claim("tier", 1), 401, "invalid_claim"),
        ("absent", token(), 401, "invalid_claim"),
    ];
    for (case, token, status, body) in rows {
        let token = token.sign();
        for app in [&bare, &layered] {
            let answer = ask(app, "/", Some(&token)).await;
            assert_eq!(answer.status.as_u16(), status, "{case}");
            assert!(answer.body.contains(body), "{case}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn optional_claims_accept_missing_but_not_invalid_tokens() {
    let tenant = Tenant::start().await;
    let subject = |claims: Option<&Claims>| {
        let subject = claims.and_then(Claims::subject);
        subject.unwrap_or("nobody").to_owned()
    };
    let extractor = Router::new()
        .route(
            "/",
            get(move |claims: Option<Claims>| async move { subject(claims.as_ref()) }),
        )
        .with_state(tenant.auth.clone());
    let layer = Router::new()
        .route(
            "/",
            get(move |claims: Option<Extension<Claims>>| async move { subject(claims.as_deref()) }),
        )
        .layer(AuthLayer::new(&tenant.auth).optional());
    let good = tenant.issuer.token().subject("ann").sign();
    let bad = tenant.issuer.token().expired().sign();
    for (name, app) in [("extractor", extractor), ("layer", layer)] {
        for (case, token, status, body) in [
            ("absent", None, 200, "nobody"),
            ("good", Some(&*good), 200, "ann"),
            ("expired", Some(&*bad), 401, "token_expired"),
            ("malformed", Some(""), 400, "malformed_authorization"),
        ] {
            let answer = ask(&app, "/", token).await;
            assert_eq!(answer.status.as_u16(), status, "{name}, {case}");
            assert!(answer.body.contains(body), "{name}, {case}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn ignores_claims_verified_by_another_auth() {
    let tenant = Tenant::start().await;
    let other = Auth::builder()
        .issuer(tenant.issuer.url())
        .audience("https://other.example.com")
        .build()
        .unwrap();
    other.ready().await;
    // The outer layer accepts a token for another audience than that of the inner layer
    let app = Router::new()
        .route("/", get(|_: Claims| async { "in" }))
        .with_state(other.clone())
        .layer(AuthLayer::new(&tenant.auth));
    let answer = ask(&app, "/", Some(&tenant.issuer.token().sign())).await;
    answer.assert_is_problem("the extractor", 401, "wrong_audience");
    let app = Router::new()
        .route("/", get(|| async { "in" }))
        .layer(RequireLayer::new(&other, scope("a")))
        .layer(AuthLayer::new(&tenant.auth));
    let token = tenant.issuer.token().scope("a").sign();
    let answer = ask(&app, "/", Some(&token)).await;
    answer.assert_is_problem("the layer", 401, "wrong_audience");
}

#[tokio::test]
async fn requirement_can_read_typed_claims_and_await() {
    let tenant = Tenant::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let open = check_async(move |claims: Claims<Tier>| {
        count.fetch_add(1, Relaxed);
        async move {
            tokio::task::yield_now().await;
            claims.private().tier == "gold"
        }
    });
    let known = check(|claims: &Claims<Tier>| !claims.private().tier.is_empty());
    let app = Router::new()
        .route(
            "/",
            get(|claims: Claims<Tier>| async move { claims.into_private().tier }),
        )
        .route_layer(RequireLayer::new(
            &tenant.auth,
            scope("spend") & known & open,
        ))
        .with_state(tenant.auth.clone());
    let token = || tenant.issuer.token().scope("spend");
    #[rustfmt::skip]
    let rows = [
        ("met", token().claim("tier", "gold"), 200, 1),
        ("unmet", token().claim("tier", "lead"), 403, 2),
        ("unmet without a lookup", token().claim("tier", ""), 403, 2),
        ("no scope", token().scope("").claim("tier", "gold"), 403, 2),
        ("of another type", token().claim("tier", 1), 401, 2),
    ];
    for (case, token, status, times) in rows {
        let answer = ask(&app, "/", Some(&token.sign())).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        assert_eq!(asked.load(Relaxed), times, "{case}");
    }
}

async fn note(claims: Claims) -> Result<String, Refusal> {
    let claims = Requirement::from(scope("read")).grant(claims).await?;
    Ok(claims.subject().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn handlers_can_return_refusals() {
    let tenant = Tenant::start().await;
    let service = Service {
        auth: tenant.auth.clone(),
        greeting: "hello",
    };
    let app = Router::new()
        .route("/note", get(note))
        .route("/gone", get(|| async { Problem::NotFound }))
        .route(
            "/hello",
            get(|state: axum::extract::State<Service>, _: Claims| async move { state.greeting }),
        )
        .with_state(service);
    let (poor, rich) = (tenant.issuer.token(), tenant.issuer.token().scope("read"));
    let (poor, rich) = (poor.sign(), rich.subject("ann").sign());
    let refused = ask(&app, "/note", Some(&poor)).await;
    refused.assert_is_problem("no scope", 403, "insufficient_scope");
    let challenge = refused.header("www-authenticate");
    assert!(challenge.contains(r#"scope="read""#), "{challenge}");
    assert_eq!(ask(&app, "/note", Some(&rich)).await.body, "ann");
    assert_eq!(ask(&app, "/hello", Some(&poor)).await.body, "hello");
    let gone = ask(&app, "/gone", None).await;
    gone.assert_is_problem("a problem", 404, "not_found");
}

/// With `route_layer`, the router answers 404 and 405. With a layer around the whole router, they'd
/// be 401.
#[tokio::test]
async fn route_layer_keeps_404_and_405() {
    let tenant = Tenant::start().await;
    let layer = RequireLayer::new(&tenant.auth, scope("write"));
    let route = post(|| async { "in" }).route_layer(layer);
    let app = Router::new().route("/messages", route);
    assert_eq!(ask(&app, "/none", None).await.status, 404);
    assert_eq!(ask(&app, "/messages", None).await.status, 405);
}

/// axum's `nest` removes the prefix from the path, but the client signed the whole URL.
#[tokio::test]
async fn compares_a_proof_with_the_path_that_the_client_sent() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .dpop(Dpop::allowed("https://api.example.com"));
    let auth = auth.build().unwrap();
    let key = SigningKey::generate(Algorithm::ES256);
    let open = || Router::new().route("/me", get(|| async {}));
    let extractor = Router::new()
        .route("/me", get(|_: Claims| async {}))
        .with_state(auth.clone());
    let reader = RequireLayer::new(&auth, scope("read"));
    let route = get(|| async {}).route_layer(reader);
    #[rustfmt::skip]
    let rows = [
        ("an extractor", Router::new().nest("/v1", extractor.clone())),
        ("an extractor, twice inside", Router::new().nest("/v1", Router::new().nest("/a", extractor.clone()))),
        ("a layer", Router::new().nest("/v1", open().layer(AuthLayer::new(&auth)))),
        ("a layer of a route", Router::new().nest("/v1", Router::new().route("/me", route))),
        ("a service", Router::new().nest_service("/v1", AuthLayer::new(&auth).layer(open()))),
        ("a layer outside", Router::new().nest("/v1", open()).layer(AuthLayer::new(&auth))),
        ("both", Router::new().nest("/v1", extractor).layer(AuthLayer::new(&auth).optional())),
    ];
    for (case, app) in rows {
        let path = if case.contains("twice") {
            "/v1/a/me"
        } else {
            "/v1/me"
        };
        for (proven, status) in [(path, 200), ("/me", 401)] {
            let token = issuer.token().scope("read").bound_to(&key).sign();
            let proof = key.proof("GET", &format!("https://api.example.com{proven}"));
            let request = Request::get(path)
                .header("authorization", format!("DPoP {token}"))
                .header("dpop", proof.token(&token).sign());
            let request = request.body(Body::empty()).unwrap();
            let Ok(answer) = app.clone().oneshot(request).await;
            assert_eq!(answer.status(), status, "{case}, a proof for {proven}");
        }
    }
}

/// A client with the nonce of the slot before should get the current one.
#[tokio::test]
async fn renews_the_nonce_of_a_proof() {
    const START: u64 = 1_800_000_000; // the start of a slot
    let clock = Arc::new(AtomicU64::new(START));
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let time = Arc::clone(&clock);
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .dpop(Dpop::allowed("https://api.example.com").nonces_from([7; 32]))
        .clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(time.load(Relaxed)));
    let auth = auth.build().unwrap();
    let key = SigningKey::generate(Algorithm::ES256);
    let token = issuer.token().scope("read").bound_to(&key);
    let token = token.claim("iat", START).claim("exp", START + 3600).sign();
    let send = async |app: &Router, second: u64, nonce: &str| {
        clock.store(START + second, Relaxed);
        let proof = key.proof("GET", "https://api.example.com/me").token(&token);
        let proof = proof.claim("iat", START + second).nonce(nonce);
        let request = Request::get("/me")
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", proof.sign());
        let request = request.body(Body::empty()).unwrap();
        let Ok(answer) = app.clone().oneshot(request).await;
        let nonce = answer.headers().get("dpop-nonce");
        let nonce = nonce.map(|nonce| nonce.to_str().unwrap().to_owned());
        (answer.status().as_u16(), nonce)
    };
    let open = || Router::new().route("/me", get(|| async {}));
    let own = |claims: Claims| async move {
        let nonce = claims.typed::<NoPrivate>().unwrap();
        let nonce = nonce
            .dpop_nonce()
            .map(|nonce| ("dpop-nonce", nonce.to_owned()));
        AppendHeaders(nonce)
    };
    let extractor = Router::new()
        .route("/me", get(own))
        .with_state(auth.clone());
    let reader = || RequireLayer::new(&auth, scope("read"));
    for (case, app) in [
        ("a layer", open().layer(AuthLayer::new(&auth))),
        ("a policy", open().layer(reader())),
        ("both", open().layer(reader()).layer(AuthLayer::new(&auth))),
        ("an extractor", extractor),
    ] {
        let (status, first) = send(&app, 0, "none").await;
        let first = first.unwrap();
        assert_eq!(status, 401, "{case}");
        for second in [0, 239, 300, 359] {
            assert_eq!(
                send(&app, second, &first).await,
                (200, None),
                "{case}: {second}"
            );
        }
        let (status, next) = send(&app, 360, &first).await;
        assert_eq!(status, 200, "{case}");
        let next = next.unwrap();
        assert_ne!(next, first, "{case}");
        assert_eq!(send(&app, 361, &next).await, (200, None), "{case}");
        let last = send(&app, 540, &next).await;
        assert_eq!(last, (200, Some(next)), "{case}: the last minute");
    }
}

#[tokio::test]
async fn services_can_format_refusals_themselves() {
    #[derive(Clone)]
    struct Teapot;
    impl<B: From<&'static str>> RefusalResponse<B> for Teapot {
        fn response(&self, refusal: &Refusal) -> warp::http::Response<B> {
            let mut answer = warp::http::Response::new(B::from(refusal.error.code()));
            *answer.status_mut() = StatusCode::IM_A_TEAPOT;
            answer
        }
    }

    let tenant = Tenant::start().await;
    let layers = [
        Router::new()
            .route("/", get(|| async {}))
            .layer(AuthLayer::new(&tenant.auth).answer_with(Teapot)),
        Router::new()
            .route("/", get(|| async {}))
            .layer(RequireLayer::new(&tenant.auth, scope("a")).answer_with(Teapot)),
    ];
    for app in layers {
        let answer = ask(&app, "/", None).await;
        assert_eq!(answer.status, 418);
        assert_eq!(answer.body, "missing_token");
    }
}

/// We must call the very service that was polled ready, not a clone: `tower::limit` reserves a
/// permit in `poll_ready`.
#[tokio::test]
async fn calls_the_service_that_was_polled_ready() {
    #[derive(Debug)]
    struct Reserved(bool);
    impl Clone for Reserved {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl tower::Service<warp::http::Request<()>> for Reserved {
        type Response = warp::http::Response<&'static str>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Self::Error>> {
            self.0 = true;
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: warp::http::Request<()>) -> Self::Future {
            assert!(self.0, "called without being ready");
            std::future::ready(Ok(warp::http::Response::new("in")))
        }
    }

    let tenant = Tenant::start().await;
    let service = AuthLayer::new(&tenant.auth).layer(Reserved(false));
    let field = format!("Bearer {}", tenant.issuer.token().sign());
    let request = warp::http::Request::get("/").header("authorization", field);
    let answer = service.oneshot(request.body(()).unwrap()).await.unwrap();
    assert_eq!(answer.into_body(), "in");
}

#[tokio::test]
async fn refusal_response_equals_the_cores() {
    let tenant = Tenant::start().await;
    let refusal = tenant
        .auth
        .refusal(warp_bearer::auth::AuthError::TokenExpired);
    let core: warp::http::Response<&str> = refusal.response();
    let axum = refusal.into_response();
    assert_eq!(axum.status(), core.status());
    assert_eq!(axum.headers(), core.headers());
}
