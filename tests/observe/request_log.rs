//! The log line of each request, and what must never appear in it.

use std::{collections::BTreeSet, io::Write, net::TcpStream, time::Duration};

use serde_json::{Value, json};
use warp::Filter;
use warp_bearer::{
    auth::Algorithm,
    issuer::SigningKey,
    service::{Access, Cors, Limits, Shutdown, observe::logging::LogFormat, routes},
};

use crate::{
    service::{Log, Service, until},
    support::Tenant,
};

#[tokio::test]
async fn logs_one_line_per_request() {
    let service = Service::start().await;
    let issuer = &service.tenant.issuer;
    let bearer = |token: String| format!("Bearer {token}");
    let good = bearer(issuer.token().scope("read:messages").sign());
    let poor = bearer(issuer.token().sign());
    let expired = bearer(issuer.token().expired().sign());

    #[rustfmt::skip]
    let rows = [
        ("open to all", "GET", "/api/public", "", "GET", "/api/public", 200, None, false),
        ("a trailing slash", "GET", "/api/public/", "", "GET", "/api/public", 200, None, false),
        ("a HEAD request", "HEAD", "/api/public", "", "HEAD", "/api/public", 200, None, false),
        ("verified", "GET", "/api/private", &*good, "GET", "/api/private", 200, None, true),
        ("verified, scope not granted", "GET", "/api/private-scoped", &*poor, "GET", "/api/private-scoped", 403, Some("insufficient_scope"), true),
        ("no token", "GET", "/api/private", "", "GET", "/api/private", 401, Some("missing_token"), false),
        ("expired", "GET", "/api/private", &*expired, "GET", "/api/private", 401, Some("token_expired"), false),
        ("malformed", "GET", "/api/private", "Bearer", "GET", "/api/private", 400, Some("malformed_authorization"), false),
        ("an unknown path", "GET", "/api/secret-path?q=1", "", "GET", "unrouted", 404, Some("not_found"), false),
        ("an unknown method", "POST", "/api/private", "", "POST", "unrouted", 405, Some("method_not_allowed"), false),
        ("an invented method", "BREW", "/livez", "", "other", "unrouted", 405, Some("method_not_allowed"), false),
    ];
    service.log.take();
    for (case, method, path, field, logged, route, status, code, verified) in rows {
        let fields = [("authorization", field)];
        let fields = if field.is_empty() {
            &[][..]
        } else {
            &fields[..]
        };
        let answer = service.send(method, path, fields).await;
        let lines = service.log.take();
        let [line] = &lines[..] else {
            panic!("{case}: {lines:?}");
        };
        assert_eq!(line["level"], "INFO", "{case}");
        assert_eq!(line["method"], logged, "{case}");
        assert_eq!(line["route"], route, "{case}");
        assert_eq!(line["status"], status, "{case}");
        assert_eq!(
            line.get("code").map(Value::as_str),
            code.map(Some),
            "{case}"
        );
        assert!(line["latency_us"].is_u64(), "{case}");
        assert_eq!(
            line["request_id"],
            answer.headers()["x-request-id"].to_str().unwrap(),
            "{case}"
        );
        assert_eq!(line.get("trace_id"), None, "{case}");

        let issuer = verified.then(|| json!(service.tenant.issuer.url()));
        let kid = verified.then(|| json!(service.tenant.issuer.key().kid()));
        assert_eq!(line.get("issuer"), issuer.as_ref(), "{case}");
        assert_eq!(line.get("kid"), kid.as_ref(), "{case}");
        let subject = line.get("subject").map(|subject| subject.as_str().unwrap());
        let is_hash = |subject: &str| {
            subject.len() == 16 && subject.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        assert_eq!(
            subject.is_some_and(is_hash),
            verified,
            "{case}: {subject:?}"
        );

        let mut members: BTreeSet<_> = line.as_object().unwrap().keys().cloned().collect();
        for known in [
            "timestamp",
            "level",
            "target",
            "message",
            "method",
            "route",
            "status",
            "code",
            "latency_us",
            "request_id",
            "issuer",
            "kid",
            "subject",
        ] {
            members.remove(known);
        }
        assert_eq!(members, BTreeSet::new(), "{case}");
    }
}

/// The issuer chooses the `kid`, and it can be any text of any length.
#[tokio::test]
async fn shows_the_kid_as_untrusted_text() {
    let long = "k".repeat(100);
    for (case, kid, shown) in [
        ("long", &*long, format!("{}…", &long[..80])),
        (
            "an address",
            "https://me:hunter2@a.example/?hunter2",
            "https://…@a.example/?…".to_owned(),
        ),
        ("a colon", "a:b", "a:b".to_owned()),
        (
            "of another direction",
            "a\u{202e}b",
            "a\u{202e}b".to_owned(),
        ),
    ] {
        let service = Service::start().await;
        let issuer = &service.tenant.issuer;
        let key = SigningKey::generate(Algorithm::RS256).with_kid(kid);
        issuer.publish_key(&key);
        let token = format!("Bearer {}", issuer.token().key(&key).sign());
        service.log.take();
        let answer = service
            .send("GET", "/api/private", &[("authorization", &token)])
            .await;
        assert_eq!(answer.status(), 200, "{case}");
        let lines = service.log.take();
        let line = lines
            .iter()
            .find(|line| line["message"] == "answered")
            .unwrap();
        assert_eq!(line["kid"], shown, "{case}");
    }
}

/// Probes come every few seconds and usually say the same each time, so we log them at debug.
#[tokio::test]
async fn counts_probes_and_logs_them_at_debug_only() {
    for (filter, lines) in [("info", 0), ("debug", 3)] {
        let service = Service::logging(filter, LogFormat::Json).await;
        service.log.take();
        for path in ["/livez", "/readyz", "/readyz"] {
            service.send("GET", path, &[]).await;
        }
        let log = service.log.take();
        assert_eq!(log.len(), lines, "{filter}: {log:?}");
        assert!(log.iter().all(|line| line["level"] == "DEBUG"), "{log:?}");
        let series = r#"warp_bearer_requests_total{route="/readyz",method="GET",status="200"}"#;
        assert_eq!(service.metric(series), Some(2.0), "{filter}");
    }
}

#[tokio::test]
async fn logs_a_preflight_without_its_origin() {
    let log = Log::start("info", LogFormat::Json);
    let tenant = Tenant::start().await;
    let routes = routes(&Access::from(&tenant.auth), &Shutdown::new());
    let cors = Cors::Only(vec!["https://app.example".parse().unwrap()]);
    let service = Service::with_cors(tenant, log, routes, Limits::default(), Some(cors)).await;
    service.log.take();
    for (origin, status, code) in [
        ("https://app.example", 204, None),
        ("https://hunter2.example", 403, Some("cors_forbidden")),
    ] {
        let fields = [("origin", origin), ("access-control-request-method", "GET")];
        service.send("OPTIONS", "/api/private", &fields).await;
        let lines = service.log.take();
        let [line] = &lines[..] else {
            panic!("{origin}: {lines:?}");
        };
        assert_eq!(line["method"], "OPTIONS", "{origin}");
        assert_eq!(line["route"], "preflight", "{origin}");
        assert_eq!(line["status"], status, "{origin}");
        let logged = line.get("code").map(Value::as_str);
        assert_eq!(logged, code.map(Some), "{origin}");
        assert!(!line.to_string().contains("hunter2"), "{line}");
    }
}

#[tokio::test]
async fn logs_one_pseudonym_per_subject() {
    let service = Service::start().await;
    let mut names = Vec::new();
    for subject in ["auth0|1", "auth0|1", "auth0|2"] {
        let token = service.tenant.issuer.token().subject(subject).sign();
        service.get("/api/private", &token).await;
        let lines = service.log.take();
        names.push(lines.last().unwrap()["subject"].clone());
    }
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
}

/// No token, path or field value may be logged, whatever it contains.
#[tokio::test]
async fn never_logs_a_token_or_a_claim() {
    const MARK: &str = "hunter2";
    for format in [LogFormat::Text, LogFormat::Json] {
        // We can't use `trace` for everything: at that level, warp itself logs the segments of a
        // path.
        let service = Service::logging("debug,warp_bearer=trace", format).await;
        let issuer = &service.tenant.issuer;
        let stranger = SigningKey::generate(Algorithm::RS256);
        let token = || {
            issuer
                .token()
                .subject("hunter2|sub")
                .scope("hunter2:scope")
                .claim("jti", "hunter2-jti")
                .claim("permissions", ["hunter2:permission"])
                .claim("https://hunter2.example/", json!({"hunter2": "hunter2"}))
        };
        let good = token().sign();
        #[rustfmt::skip]
        let rows = [
            ("verified", good.clone(), 200),
            ("opaque", "hunter2".to_owned(), 401),
            ("three parts", "hunter2.hunter2.hunter2".to_owned(), 401),
            ("a forged signature", format!("{}AAAA", &good[..good.len() - 4]), 401),
            ("characters", "\"hunter2\"".to_owned(), 400),
            ("two", format!("{good}, Bearer {good}"), 400),
            ("too large", "hunter2".repeat(3000), 400),
            ("another issuer", token().claim("iss", "https://hunter2.example/").sign(), 401),
            ("another audience", token().audience("hunter2").sign(), 401),
            ("another type", token().typ("hunter2").sign(), 401),
            ("another algorithm", token().header("alg", "hunter2").sign(), 401),
            ("an extension", token().header("crit", ["hunter2"]).sign(), 401),
            ("an unknown key", token().key(&stranger).kid("hunter2").sign(), 401),
            ("a foreign key", token().key(&stranger).kid(issuer.key().kid()).sign(), 401),
            ("expired", token().expired().sign(), 401),
            ("not yet valid", token().not_before(300).sign(), 401),
            ("no audience", token().without("aud").sign(), 401),
            ("exp as text", token().claim("exp", "hunter2").sign(), 401),
            ("bound", token().claim("cnf", json!({"jkt": "hunter2"})).sign(), 401),
        ];
        for (case, token, status) in rows {
            let answer = service.get("/api/private", &token).await;
            assert_eq!(answer.status(), status, "{case}");
            let text = service.log.text();
            assert!(!text.contains(MARK), "{case}: {text}");
            let mut parts = token.split('.').filter(|part| part.len() > 20);
            assert!(!parts.any(|part| text.contains(part)), "{case}: {text}");
        }
        let refused = service.get("/api/private-scoped", &good).await;
        assert_eq!(refused.status(), 403);
        let answer = service
            .send(
                "GET",
                "/hunter2?hunter2=hunter2",
                &[
                    ("x-request-id", "hunter2!"),
                    ("hunter2", "hunter2"),
                    ("user-agent", "hunter2"),
                    ("traceparent", "00-hunter2"),
                ],
            )
            .await;
        assert_eq!(answer.status(), 404);
        // If a query isn't a policy, the log names its parameters (never their values).
        let misread = "/auth?scop=hunter2&access_token=hunter2&hunter2";
        assert_eq!(service.send("GET", misread, &[]).await.status(), 400);
        let text = service.log.text();
        assert!(!text.contains(MARK), "{text}");
        assert!(text.contains("scop access_token"), "{text}");
        assert!(
            text.lines().count() > 20,
            "the log has the lines of all requests"
        );
    }
}

#[tokio::test]
async fn returns_a_request_id_and_keeps_plain_ones() {
    let service = Service::start().await;
    #[rustfmt::skip]
    let rows = [
        ("taken from the request", "/api/public", &[("x-request-id", "a.B-9_z")][..], Some("a.B-9_z")),
        ("on an error", "/api/private", &[("x-request-id", "a")], Some("a")),
        ("on an unknown path", "/nowhere", &[("x-request-id", "a")], Some("a")),
        ("with a bad Host field", "/api/public", &[("host", "a b"), ("x-request-id", "a")], Some("a")),
        ("made", "/api/public", &[], None),
        ("generated, because of a space", "/api/public", &[("x-request-id", "a b")], None),
        ("generated, because of two", "/api/public", &[("x-request-id", "a"), ("x-request-id", "b")], None),
    ];
    for (case, path, fields, expected) in rows {
        let answer = service.send("GET", path, fields).await;
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(answer.headers().get_all("x-request-id").iter().count(), 1);
        match expected {
            Some(expected) => assert_eq!(id, expected, "{case}"),
            None => assert_eq!(id.len(), 32, "{case}: {id}"),
        }
        let line = service.log.take().pop().unwrap();
        assert_eq!(line["request_id"], id, "{case}");
    }
}

#[tokio::test]
async fn logs_the_trace_id_of_a_valid_traceparent() {
    let service = Service::start().await;
    let id = "0af7651916cd43dd8448eb211c80319c";
    #[rustfmt::skip]
    let rows = [
        ("valid", format!("00-{id}-b7ad6b7169203331-01"), Some(id)),
        ("invalid", format!("00-{id}-0000000000000000-01"), None),
    ];
    for (case, field, expected) in rows {
        service
            .send("GET", "/api/public", &[("traceparent", &field)])
            .await;
        let line = service.log.take().pop().unwrap();
        assert_eq!(line["trace_id"].as_str(), expected, "{case}");
    }
}

/// Operators should be able to find the client's request for each refusal of `/auth`.
#[tokio::test]
async fn logs_the_request_that_a_proxy_asks_about() {
    let service = Service::start().await;
    let long = format!("/{}", "a".repeat(200));
    let cut = format!("{}\u{2026}", &long[..80]);
    #[rustfmt::skip]
    let rows = [
        ("all", "/auth", &[("x-forwarded-method", "POST"), ("x-forwarded-host", "a:8"), ("x-forwarded-uri", "/b?key=1")][..], [Some("POST"), Some("a:8"), Some("/b")]),
        ("none", "/auth", &[], [None; 3]),
        ("too long", "/auth", &[("x-forwarded-uri", &long)], [None, None, Some(&*cut)]),
        ("two", "/auth", &[("x-forwarded-uri", "/a"), ("x-forwarded-uri", "/b")], [None; 3]),
        ("another route", "/api/private", &[("x-forwarded-uri", "/a")], [None; 3]),
    ];
    for (case, path, fields, expected) in rows {
        service.send("GET", path, fields).await;
        let line = service.log.take().pop().unwrap();
        let names = ["original_method", "original_host", "original_path"];
        assert_eq!(names.map(|name| line[name].as_str()), expected, "{case}");
    }
}

#[tokio::test]
async fn logs_the_route_of_a_request_that_timed_out() {
    let service = Service::waiting(Limits {
        request: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let token = service.tenant.issuer.token().sign();
    let answer = service.get("/api/private", &token).await;
    assert_eq!(answer.status(), 503);
    let line = service.log.take().pop().unwrap();
    assert_eq!(line["route"], "/api/private");
    assert_eq!(line["code"], "request_timeout");
}

#[tokio::test]
async fn logs_and_counts_a_request_whose_client_disconnects() {
    let service = Service::waiting(Limits::default()).await;
    let token = service.tenant.issuer.token().sign();
    let mut peer = TcpStream::connect(service.address).unwrap();
    write!(
        peer,
        "GET /api/private HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    until(|| service.metric("warp_bearer_requests_in_flight") == Some(1.0)).await;
    drop(peer);
    until(|| service.metric("warp_bearer_requests_in_flight") == Some(0.0)).await;

    let line = service.log.take().pop().unwrap();
    assert_eq!(line["route"], "/api/private");
    assert_eq!(line["code"], "abandoned");
    assert_eq!(line.get("status"), None);
    let series = r#"warp_bearer_requests_total{route="/api/private",method="GET",status="none"}"#;
    assert_eq!(service.metric(series), Some(1.0));
}

#[tokio::test]
async fn counts_a_panic_without_logging_its_message() {
    let log = Log::start("trace", LogFormat::Text);
    let panic = warp::path!("panic").map(|| -> &'static str { panic!("hunter2") });
    let routes = panic.recover(warp_bearer::auth::handle_rejection);
    let service = Service::with(Tenant::start().await, log, routes, Limits::default()).await;

    assert_eq!(service.send("GET", "/panic", &[]).await.status(), 500);
    assert_eq!(
        service.metric("warp_bearer_handler_panics_total"),
        Some(1.0)
    );
    let text = service.log.text();
    assert!(
        text.contains("handler panicked") && text.contains("code=internal_error"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}
