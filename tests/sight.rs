//! What does whoever is on call see: of each request a line and a name, and of all of them numbers?

mod support;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use support::Tenant;
use tracing::subscriber::DefaultGuard;
use warp::{Filter, Reply};
use warp_bearer::{
    auth::{Algorithm, Auth},
    issuer::{Fault, Issuer, SigningKey},
    service::{
        Access, Cors, Limits, Listener, Metrics, RequestLog, Shutdown,
        observe::logging::{self, LogConfig, LogFormat},
        routes, serve, serve_metrics,
    },
};

/// The service on a socket, with its log and its metrics.
struct Service {
    tenant: Tenant,
    address: SocketAddr,
    metrics: Metrics,
    client: Client,
    log: Log,
}

impl Service {
    async fn start() -> Self {
        Self::logging("info", LogFormat::Json).await
    }

    async fn logging(filter: &str, format: LogFormat) -> Self {
        let log = Log::start(filter, format);
        let tenant = Tenant::start().await;
        let routes = routes(&Access::from(&tenant.auth), &Shutdown::new());
        Self::with(tenant, log, routes, Limits::default()).await
    }

    /// One whose issuer never answers, so that a request with a token waits.
    async fn waiting(limits: Limits) -> Self {
        let log = Log::start("info", LogFormat::Json);
        let issuer = Issuer::start().await;
        issuer.fail(Fault::Hang);
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        let routes = routes(&Access::from(&auth), &Shutdown::new());
        Self::with(Tenant { issuer, auth }, log, routes, limits).await
    }

    async fn with<F>(tenant: Tenant, log: Log, routes: F, limits: Limits) -> Self
    where
        F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        Self::with_cors(tenant, log, routes, limits, None).await
    }

    async fn with_cors<F>(
        tenant: Tenant,
        log: Log,
        routes: F,
        limits: Limits,
        cors: Option<Cors>,
    ) -> Self
    where
        F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let metrics = Metrics::new(&tenant.auth);
        let (listener, address) = listener().await;
        let request_log = RequestLog::with_metrics(metrics.clone());
        tokio::spawn(serve(
            listener,
            routes,
            limits,
            cors,
            request_log,
            Shutdown::new(),
        ));
        Self {
            tenant,
            address,
            metrics,
            client: Client::builder().no_proxy().build().unwrap(),
            log,
        }
    }

    async fn send(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}{path}", self.address);
        let mut request = self.client.request(method, url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> Response {
        let field = format!("Bearer {token}");
        self.send("GET", path, &[("authorization", &field)]).await
    }

    /// The value of a series, as the metrics name it; none where it is not there.
    fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series))?;
        Some(line.trim().parse().unwrap())
    }
}

/// Waits for what takes sockets but no time.
async fn until(mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < patience, "it never came");
        tokio::task::yield_now().await;
    }
}

async fn listener() -> (Listener, SocketAddr) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address().unwrap();
    (listener, address)
}

/// What this thread logs.
struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start(filter: &str, format: LogFormat) -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = LogConfig {
            filter: filter.parse().unwrap(),
            format,
            color: false,
        };
        let subscriber = logging::subscriber(&log, false, move || writer.clone());
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines of requests since the last call.
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.lines.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Value| line["target"] == "warp_bearer::request")
            .collect()
    }
}

#[tokio::test]
async fn each_request_has_one_line_that_tells_what_came_of_it() {
    let service = Service::start().await;
    let issuer = &service.tenant.issuer;
    let bearer = |token: String| format!("Bearer {token}");
    let good = bearer(issuer.token().scope("read:messages").sign());
    let poor = bearer(issuer.token().sign());
    let expired = bearer(issuer.token().expired().sign());

    #[rustfmt::skip]
    let rows = [
        ("open to all", "GET", "/api/public", "", "GET", "/api/public", 200, None, false),
        ("a slash at the end", "GET", "/api/public/", "", "GET", "/api/public", 200, None, false),
        ("a head", "HEAD", "/api/public", "", "HEAD", "/api/public", 200, None, false),
        ("verified", "GET", "/api/private", &*good, "GET", "/api/private", 200, None, true),
        ("verified, and not granted", "GET", "/api/private-scoped", &*poor, "GET", "/api/private-scoped", 403, Some("insufficient_scope"), true),
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

/// Whoever watches asks every few seconds, and what it is told changes seldom.
#[tokio::test]
async fn a_probe_is_counted_and_logged_where_details_are_asked_for() {
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
async fn a_preflight_has_a_line_of_its_own_and_names_no_origin() {
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
async fn a_subject_has_one_name_in_the_log_and_two_have_two() {
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

/// Whatever is put into a token, a path or a field: nothing of it is written down.
#[tokio::test]
async fn no_token_and_no_claim_is_ever_in_the_log() {
    const MARK: &str = "hunter2";
    for format in [LogFormat::Text, LogFormat::Json] {
        // At trace, warp itself shows the segments of a path.
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
            ("an expiry in words", token().claim("exp", "hunter2").sign(), 401),
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
        let text = service.log.text();
        assert!(!text.contains(MARK), "{text}");
        assert!(text.lines().count() > 20, "it was a log");
    }
}

#[tokio::test]
async fn a_request_id_is_answered_always_and_taken_over_where_it_is_plain() {
    let service = Service::start().await;
    #[rustfmt::skip]
    let rows = [
        ("taken over", "/api/public", &[("x-request-id", "a.B-9_z")][..], Some("a.B-9_z")),
        ("on a refusal", "/api/private", &[("x-request-id", "a")], Some("a")),
        ("on no route", "/nowhere", &[("x-request-id", "a")], Some("a")),
        ("on no host", "/api/public", &[("host", "a b"), ("x-request-id", "a")], Some("a")),
        ("made", "/api/public", &[], None),
        ("made, not a blank", "/api/public", &[("x-request-id", "a b")], None),
        ("made, not two", "/api/public", &[("x-request-id", "a"), ("x-request-id", "b")], None),
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
async fn a_valid_traceparent_puts_its_trace_into_the_log() {
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

#[tokio::test]
async fn requests_refusals_and_verifications_are_counted() {
    let service = Service::start().await;
    let good = service.tenant.issuer.token().sign();
    let expired = service.tenant.issuer.token().expired().sign();
    for _ in 0..3 {
        service.get("/api/private", &good).await;
    }
    service.get("/api/private", &expired).await;
    service.get("/api/private-scoped", &good).await;
    service.send("GET", "/nowhere", &[]).await;

    let issuer = service.tenant.issuer.url();
    #[rustfmt::skip]
    let rows = [
        (r#"warp_bearer_requests_total{route="/api/private",method="GET",status="200"}"#, 3.0),
        (r#"warp_bearer_requests_total{route="/api/private",method="GET",status="401"}"#, 1.0),
        (r#"warp_bearer_requests_total{route="/api/private-scoped",method="GET",status="403"}"#, 1.0),
        (r#"warp_bearer_requests_total{route="unrouted",method="GET",status="404"}"#, 1.0),
        (r#"warp_bearer_refusals_total{code="token_expired"}"#, 1.0),
        (r#"warp_bearer_refusals_total{code="insufficient_scope"}"#, 1.0),
        (r#"warp_bearer_refusals_total{code="not_found"}"#, 1.0),
        (r#"warp_bearer_request_duration_seconds_count{route="/api/private"}"#, 4.0),
        (r#"warp_bearer_request_duration_seconds_bucket{route="/api/private",le="+Inf"}"#, 4.0),
        (r#"warp_bearer_verification_duration_seconds_count{outcome="verified"}"#, 4.0),
        (r#"warp_bearer_verification_duration_seconds_count{outcome="refused"}"#, 1.0),
        ("warp_bearer_requests_in_flight", 0.0),
        ("warp_bearer_connections_accepted_total", 1.0),
        ("warp_bearer_connections ", 1.0),
        ("warp_bearer_handler_panics_total", 0.0),
        (&format!(r#"warp_bearer_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION")), 1.0),
        (&format!(r#"warp_bearer_keys{{issuer="{issuer}"}}"#), 1.0),
        (&format!(r#"warp_bearer_key_fetches_total{{issuer="{issuer}",outcome="replaced"}}"#), 1.0),
        (&format!(r#"warp_bearer_key_fetches_total{{issuer="{issuer}",outcome="failed"}}"#), 0.0),
        (&format!(r#"warp_bearer_key_fetches_refused_total{{issuer="{issuer}"}}"#), 0.0),
    ];
    for (series, value) in rows {
        assert_eq!(
            service.metric(series),
            Some(value),
            "{series}: {}",
            service.metrics.render()
        );
    }
    let age = format!(r#"warp_bearer_keys_age_seconds{{issuer="{issuer}"}}"#);
    assert!(service.metric(&age).unwrap() < 60.0);
}

#[tokio::test]
async fn fetches_that_the_budget_refuses_are_counted() {
    let service = Service::start().await;
    let stranger = SigningKey::generate(Algorithm::RS256);
    for number in 0..7 {
        let token = service
            .tenant
            .issuer
            .token()
            .key(&stranger)
            .kid(&format!("made-up-{number}"));
        assert_eq!(
            service.get("/api/private", &token.sign()).await.status(),
            401
        );
    }
    let issuer = service.tenant.issuer.url();
    let refused = format!(r#"warp_bearer_key_fetches_refused_total{{issuer="{issuer}"}}"#);
    assert_eq!(service.metric(&refused), Some(3.0), "four are paid for");
    let text = service.metrics.render();
    assert!(!text.contains("made-up"), "{text}");
}

#[tokio::test]
async fn nothing_that_a_caller_sends_makes_a_label() {
    let service = Service::start().await;
    let flood = async |round: usize| {
        for number in 0..20 {
            let number = round * 1000 + number;
            service.send(&format!("BREW{number}"), "/livez", &[]).await;
            service
                .send(
                    "GET",
                    &format!("/{number}"),
                    &[("host", &format!("h{number}"))],
                )
                .await;
            service
                .get("/api/private", &format!("{number}.{number}.{number}"))
                .await;
            let token = service
                .tenant
                .issuer
                .token()
                .subject(format!("s{number}"))
                .claim("n", number);
            service.get("/api/private", &token.sign()).await;
        }
        service.metrics.render().lines().count()
    };
    assert_eq!(flood(1).await, flood(2).await);
}

#[tokio::test]
async fn the_metrics_have_a_listener_of_their_own() {
    let service = Service::start().await;
    let (listener, address) = listener().await;
    tokio::spawn(serve_metrics(service.metrics.clone(), listener));
    service.log.take();

    let get = async |path: &str| {
        let url = format!("http://{address}{path}");
        service.client.get(url).send().await.unwrap()
    };
    let page = get("/metrics").await;
    assert_eq!(page.status(), 200);
    assert_eq!(
        page.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = page.text().await.unwrap();
    assert!(
        text.contains("# TYPE warp_bearer_build_info gauge"),
        "{text}"
    );
    assert_eq!(get("/api/public").await.status(), 404);
    assert_eq!(
        service.log.take(),
        Vec::<Value>::new(),
        "a scrape is no request of the service's"
    );

    let answer = service.send("GET", "/metrics", &[]).await;
    assert_eq!(answer.status(), 404, "nor is it at the service's own door");
}

#[tokio::test]
async fn every_metric_says_what_it_is() {
    let service = Service::start().await;
    service.get("/api/private", "a.b.c").await;
    let text = service.metrics.render();
    let names = |kind: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
        lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("# HELP "), names("# TYPE "), "{text}");
    assert!(
        names("# TYPE ")
            .iter()
            .all(|name| name.starts_with("warp_bearer_"))
    );
}

#[tokio::test]
async fn a_request_over_its_time_has_its_route_in_the_log() {
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
async fn a_request_whose_peer_leaves_has_its_line_and_is_counted() {
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
async fn a_panic_is_counted_and_says_nothing_in_the_log() {
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
        text.contains("a handler panicked") && text.contains("code=internal_error"),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn connections_are_counted_and_so_are_those_that_waited_or_made_no_sense() {
    let log = Log::start("info", LogFormat::Json);
    let tenant = Tenant::start().await;
    let routes = routes(&Access::from(&tenant.auth), &Shutdown::new());
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let service = Service::with(tenant, log, routes, limits).await;
    let connect = || TcpStream::connect(service.address).unwrap();
    let first = connect();
    until(|| service.metric("warp_bearer_connections ") == Some(1.0)).await;
    let mut second = connect();
    second.write_all(b"no sense\r\n\r\n").unwrap();
    assert_eq!(
        service.metric("warp_bearer_connections_accepted_total"),
        Some(1.0)
    );
    drop(first);
    until(|| service.metric("warp_bearer_connections_unreadable_total") == Some(1.0)).await;

    assert_eq!(
        service.metric("warp_bearer_connections_accepted_total"),
        Some(2.0)
    );
    assert_eq!(
        service.metric("warp_bearer_connections_waited_total"),
        Some(1.0)
    );
    let mut heard = String::new();
    tokio::task::spawn_blocking(move || second.read_to_string(&mut heard).map(|_| heard))
        .await
        .unwrap()
        .map(|heard| assert!(heard.starts_with("HTTP/1.1 400"), "{heard}"))
        .unwrap();
}

#[tokio::test]
async fn the_alerts_and_the_dashboard_speak_of_metrics_that_there_are() {
    let service = Service::start().await;
    service.get("/api/private", "a.b.c").await;
    let text = service.metrics.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let known: BTreeSet<_> = types.map(|line| line.split(' ').next().unwrap()).collect();

    let alerts = include_str!("../deploy/alerts.yaml");
    let tests = include_str!("../deploy/alerts.test.yaml");
    let dashboard = include_str!("../deploy/dashboard.json");
    for (name, document) in [
        ("alerts", alerts),
        ("tests", tests),
        ("dashboard", dashboard),
    ] {
        let mut named = 0;
        for (at, _) in document.match_indices("warp_bearer_") {
            let rest = &document[at..];
            let end = rest
                .find(|c: char| !c.is_ascii_lowercase() && c != '_')
                .unwrap();
            let metric = &rest[..end];
            let bare = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| metric.strip_suffix(end));
            assert!(known.contains(bare.unwrap_or(metric)), "{name}: {metric}");
            named += 1;
        }
        assert!(named > 10, "{name}: {named}");
    }
    assert!(serde_json::from_str::<Value>(dashboard).unwrap()["panels"].is_array());
}
