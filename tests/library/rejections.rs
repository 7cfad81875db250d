//! The debug log says why a request is rejected, for services that have no request log of their
//! own.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex},
};

use axum::{Router, body::Body, extract::Request, routing::get};
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt;
use tracing::{
    Dispatch,
    subscriber::{DefaultGuard, NoSubscriber},
};
use tracing_subscriber::EnvFilter;
use warp::Filter;
use warp_bearer::{
    auth::{
        Auth, BearerFilterExt, Claims,
        claims::NoPrivate,
        policy::{Requirement, scope},
        tower::RequireLayer,
        with_auth, with_optional_auth,
    },
    issuer::Issuer,
};

/// The log of this thread.
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
    fn start(filter: &str) -> (Self, DefaultGuard) {
        // With a single dispatcher, `tracing` asks only the current thread whether an event is of
        // interest, and caches a "no" for all threads. A second dispatcher prevents that.
        static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&SECOND);
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines about rejections since the last call, without their level.
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("DEBUG "));
        let about = |line: &&str| line.contains("rejected") || line.contains("claims");
        lines.filter(about).map(str::to_owned).collect()
    }
}

fn rejected(code: &str) -> String {
    format!(r#"request rejected code="{code}""#)
}

#[tokio::test]
async fn every_adapter_logs_the_code_of_a_rejected_credential() {
    let issuer = Issuer::start().await;
    let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
    auth.ready().await;
    let read = || Requirement::<NoPrivate>::from(scope("read"));
    let warp = warp::any()
        .and(with_auth(&auth).require(scope("read")))
        .map(|_: Claims| "")
        .route();
    let optional = warp::any()
        .and(with_optional_auth(&auth))
        .map(|_: Option<Claims>| "")
        .route();
    let tower = Router::new()
        .route("/", get(|| async {}))
        .layer(RequireLayer::new(&auth, read()));
    let axum = Router::new()
        .route("/", get(|_: Claims| async {}))
        .with_state(auth.clone());

    let token = || issuer.token().scope("read");
    let stranger = token().claim("iss", "https://evil.example/").sign();
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    let (log, _guard) = Log::start("warp_bearer=debug");
    #[rustfmt::skip]
    let rows = [
        ("no token", None, None),
        ("another scheme", Some("Basic YTpi".to_owned()), None),
        ("two tokens", bearer("a, Bearer b"), Some("multiple_credentials")),
        ("a stranger's", bearer(&stranger), Some("unknown_issuer")),
        ("expired", bearer(&token().expired().sign()), Some("token_expired")),
        ("without the scope", bearer(&issuer.token().sign()), Some("insufficient_scope")),
        ("valid", bearer(&token().sign()), None),
    ];
    for (case, field, code) in rows {
        let expected: Vec<_> = code.map(rejected).into_iter().collect();
        let to_warp = || {
            let request = warp::test::request();
            let fields = field.iter();
            fields.fold(request, |request, field| {
                request.header("authorization", field)
            })
        };
        let to_axum = || {
            let request = Request::get("/");
            let fields = field.iter();
            let request = fields.fold(request, |request, field| {
                request.header("authorization", field)
            });
            request.body(Body::empty()).unwrap()
        };
        to_warp().reply(&warp).await;
        assert_eq!(log.take(), expected, "{case}: warp");
        tower.clone().oneshot(to_axum()).await.unwrap();
        assert_eq!(log.take(), expected, "{case}: a layer");
        if code == Some("insufficient_scope") {
            continue; // the others have no policy
        }
        to_warp().reply(&optional).await;
        assert_eq!(log.take(), expected, "{case}: optional");
        axum.clone().oneshot(to_axum()).await.unwrap();
        assert_eq!(log.take(), expected, "{case}: an extractor");
    }

    let verdict = auth.verify::<NoPrivate>(&stranger).await;
    assert_eq!(log.take(), [rejected("unknown_issuer")], "{verdict:?}");
}

#[tokio::test]
async fn logs_nothing_about_rejections_at_info() {
    let issuer = Issuer::start().await;
    let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
    auth.ready().await;
    let (log, _guard) = Log::start("info");
    let token = issuer.token().expired().sign();
    assert!(auth.verify::<NoPrivate>(&token).await.is_err());
    assert!(log.0.lock().unwrap().is_empty());
}

#[derive(Deserialize)]
#[allow(dead_code)] // only its type matters
struct Customer {
    plan: Plan,
    #[serde(rename = "https://my.app/roles", default)]
    roles: Vec<Role>,
    limits: Option<BTreeMap<String, u32>>,
}

#[derive(Deserialize)]
#[allow(dead_code)] // only its type matters
struct Plan {
    name: String,
    #[serde(default)]
    seats: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Clerk,
    Buyer,
}

#[tokio::test]
async fn names_the_claim_that_does_not_fit_its_type_and_never_its_value() {
    let issuer = Issuer::start().await;
    let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
    auth.ready().await;
    let axum = Router::new()
        .route("/", get(|_: Claims<Customer>| async {}))
        .with_state(auth.clone());
    let (log, _guard) = Log::start("warp_bearer=debug");
    let roles = "https://my.app/roles";
    #[rustfmt::skip]
    let rows = [
        ("absent", json!({}), r#"reason="missing field `plan`""#),
        ("absent within", json!({"plan": {}}), r#"claim=plan reason="missing field `name`""#),
        ("a string for a number", json!({"plan": {"name": "a", "seats": "s3cret, expected 7"}}), r#"claim=plan.seats reason="expected u32""#),
        ("a number for a string", json!({"plan": {"name": 53073}}), r#"claim=plan.name reason="expected a string""#),
        ("an object for a string", json!({"plan": {"name": {"s3cret": 1}}}), r#"claim=plan.name reason="expected a string""#),
        ("a string for an object", json!({"plan": "s3cret"}), r#"claim=plan reason="expected struct Plan""#),
        ("too large", json!({"plan": {"name": "a", "seats": 53_073_530_730_u64}}), r#"claim=plan.seats reason="expected u32""#),
        ("an unknown variant in an array", json!({"plan": {"name": "a"}, roles: ["clerk", "s3cret"]}), r#"claim=https://my.app/roles.1 reason="expected `clerk` or `buyer`""#),
        ("in a map", json!({"plan": {"name": "a"}, "limits": {"a": 1, "b": -53073}}), r#"claim=limits.b reason="expected u32""#),
    ];
    for (case, claims, mismatch) in rows {
        let mut token = issuer.token();
        for (name, value) in claims.as_object().unwrap() {
            token = token.claim(name, value);
        }
        let token = token.sign();
        let expected = [
            format!("claims do not fit their type {mismatch}"),
            rejected("invalid_claim"),
        ];
        let verdict = auth.verify::<Customer>(&token).await;
        assert_eq!(log.take(), expected, "{case}: {:?}", verdict.err());
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        axum.clone().oneshot(request).await.unwrap();
        assert_eq!(log.take(), expected, "{case}: axum");
    }
}

#[tokio::test]
async fn names_the_place_where_a_body_does_not_fit_and_never_a_value() {
    #[derive(Deserialize)]
    #[allow(dead_code)] // only its type matters
    struct Order {
        count: u32,
    }
    let json = warp::path!("json").and(warp::body::json());
    let form = warp::path!("form").and(warp::body::form());
    let routes = json.map(|_: Order| "").route();
    let routes = routes.or(form.map(|_: Order| "").route());
    let (log, _guard) = Log::start("warp_bearer=debug");
    #[rustfmt::skip]
    let rows = [
        ("/json", r#"{"count": "s3cret"}"#, Some(r#" reason="expected u32 at line 1 column 18""#)),
        ("/json", r#"{"size": "s3cret"}"#, Some(r#" reason="missing field `count` at line 1 column 18""#)),
        ("/json", "{\"count\":\n s3cret", Some(r#" reason="expected value at line 2 column 2""#)),
        ("/form", "size=s3cret", Some(r#" reason="missing field `count`""#)),
        ("/form", "count=s3cret", Some("")),
        ("/json", r#"{"count": 1}"#, None),
    ];
    for (path, body, reason) in rows {
        let request = warp::test::request().method("POST").path(path).body(body);
        request.reply(&routes).await;
        let expected = reason.map(|reason| rejected("invalid_body") + reason);
        assert_eq!(log.take(), Vec::from_iter(expected), "{path} {body}");
    }
}
