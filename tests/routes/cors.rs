//! CORS: pages of an allowed origin can read every response, including failures.

use std::{convert::Infallible, time::Duration};

use warp::{
    Filter,
    http::{HeaderValue, header},
    reply::Response,
};
use warp_bearer::{
    auth::{BearerFilterExt, Claims, handle_rejection, with_auth},
    service::{Cors, Limits, Metrics, RequestLog},
};

use crate::support::{Answer, Tenant, answer, raw};

const PAGE: &str = "https://app.example.com";
const OTHER: &str = "https://other.example";

fn listed() -> Cors {
    Cors::Only(vec![
        HeaderValue::from_static("http://localhost:3000"),
        HeaderValue::from_static(PAGE),
    ])
}

/// The service's routes, and some that fail in other ways.
fn routes(
    tenant: &Tenant,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<>
{
    let body = warp::path!("body")
        .and(warp::post())
        .and(warp::body::bytes())
        .map(|_| "read")
        .route();
    let never = warp::path!("never").then(std::future::pending::<&str>);
    let panic = warp::path!("panic").map(|| -> &'static str { panic!("on purpose") });
    let wrong = body.or(never.route()).unify().or(panic.route()).unify();
    wrong.or(tenant.routes()).unify()
}

struct Service {
    tenant: Tenant,
    metrics: Metrics,
    served: raw::Service,
}

impl Service {
    async fn start(cors: Option<Cors>) -> Self {
        let limits = Limits {
            body: 10,
            ..Limits::default()
        };
        Self::within(limits, cors).await
    }

    async fn within(limits: Limits, cors: Option<Cors>) -> Self {
        let tenant = Tenant::start().await;
        let metrics = Metrics::new(&tenant.auth);
        let request_log = RequestLog::with_metrics(metrics.clone());
        let served = raw::Service::with(routes(&tenant), limits, cors, request_log).await;
        Self {
            tenant,
            metrics,
            served,
        }
    }

    /// Sends a request with these header lines beside `Host`, each ended by CRLF.
    async fn ask(&self, start: &str, lines: &str) -> Answer {
        let request = format!("{start} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        self.served.client().await.ask(request.as_bytes()).await
    }

    fn counted(&self, series: &str) -> bool {
        self.metrics
            .render()
            .lines()
            .any(|line| line.starts_with(series))
    }
}

fn may_read(answer: &Answer) -> bool {
    answer.header("access-control-allow-origin") == PAGE
        && answer.header("access-control-expose-headers")
            == "WWW-Authenticate, DPoP-Nonce, Retry-After, X-Request-Id"
}

#[tokio::test]
async fn only_listed_origins_can_read_answers() {
    let service = Service::start(Some(listed())).await;
    let poor = service.tenant.issuer.token().sign();
    let poor = format!("Authorization: Bearer {poor}\r\n");
    let long = format!("GET /{}", "x".repeat(9000));
    let large = "Content-Length: 11\r\n\r\n12345678901";
    #[rustfmt::skip]
    let rows = [
        ("open to all", "GET /api/public", "", 200),
        ("a HEAD request", "HEAD /api/public", "", 200),
        ("a token", "GET /api/private", &*poor, 200),
        ("no token", "GET /api/private", "", 401),
        ("a malformed field", "GET /api/private", "Authorization: Bearer\r\n", 400),
        ("a scope not granted", "GET /api/private-scoped", &*poor, 403),
        ("an unknown path", "GET /nowhere", "", 404),
        ("an unknown method", "DELETE /api/public", "", 405),
        ("OPTIONS that is not a preflight", "OPTIONS /api/public", "", 405),
        ("a body that is too large", "POST /body", large, 413),
        ("a target that is too long", &long, "", 414),
        ("two hosts", "GET /api/public", "Host: localhost\r\n", 400),
        ("a panic", "GET /panic", "", 500),
    ];
    for (case, start, lines, status) in rows {
        for (origin, allowed) in [(Some(PAGE), true), (Some(OTHER), false), (None, false)] {
            let origin = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
            let head = start.starts_with("HEAD");
            let request =
                format!("{start} HTTP/1.1\r\nHost: localhost\r\n{origin}{lines}\r\n").into_bytes();
            let mut client = service.served.client().await;
            let answer = if head {
                client.head(&request).await
            } else {
                client.ask(&request).await
            };
            assert_eq!(
                answer.status.as_u16(),
                status,
                "{case}, {origin}: {answer:?}"
            );
            assert_eq!(may_read(&answer), allowed, "{case}, {origin}: {answer:?}");
            assert_eq!(answer.header("vary"), "Origin", "{case}, {origin}");
        }
    }
}

#[tokio::test]
async fn listed_origins_can_read_timeouts() {
    let limits = Limits {
        request: Duration::from_millis(1),
        ..Limits::default()
    };
    let service = Service::within(limits, Some(listed())).await;
    let origin = format!("Origin: {PAGE}\r\n");
    let answer = service.ask("GET /never", &origin).await;
    assert_eq!(answer.code(), "request_timeout");
    assert!(may_read(&answer), "{answer:?}");
}

const ASKS: &str =
    "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";

#[tokio::test]
async fn preflight_needs_no_token_and_lists_what_is_allowed() {
    let service = Service::start(Some(listed())).await;
    for path in [
        "/api/public",
        "/api/private",
        "/api/private-scoped",
        "/nowhere",
        // these only look as if they were below `/auth`, where preflights need a token
        "/authors",
        "/auth-callback",
        "/auth_callback",
        "/api/auth",
        "/%e6%97%a5%e6%9c%ac",
        "/100%",
    ] {
        let origin = format!("Origin: {PAGE}\r\n{ASKS}");
        let answer = service.ask(&format!("OPTIONS {path}"), &origin).await;
        assert_eq!(answer.status.as_u16(), 204, "{path}: {answer:?}");
        assert_eq!(answer.body, "", "{path}");
        #[rustfmt::skip]
        let fields = [
            ("access-control-allow-origin", PAGE),
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
            ("access-control-allow-headers", "authorization"),
            ("access-control-allow-credentials", ""),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ];
        for (name, value) in fields {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn preflight_allows_valid_requested_names() {
    let service = Service::start(Some(listed())).await;
    let asks = |lines: &[&str]| {
        let lines = lines.iter();
        let lines = lines.map(|names| format!("Access-Control-Request-Headers: {names}\r\n"));
        lines.collect::<String>()
    };
    let many: Vec<_> = (0..65).map(|number| format!("x-{number}")).collect();
    #[rustfmt::skip]
    let rows = [
        ("the fields of MCP", asks(&["authorization, mcp-protocol-version"]), "authorization, mcp-protocol-version"),
        ("without spaces", asks(&["baggage,sentry-trace"]), "baggage, sentry-trace"),
        ("on two lines", asks(&["a", "b, c"]), "a, b, c"),
        ("a value outside ASCII", asks(&["a, b c, d:e, f\u{e9}, g"]), ""),
        ("several invalid names", asks(&["a, b c, d:e, (f), g, "]), "a, g"),
        ("none", String::new(), ""),
        ("an empty list", asks(&[""]), ""),
        ("too many", asks(&[&many.join(",")]), &many[..64].join(", ")),
    ];
    for (case, lines, expected) in rows {
        let lines = format!("Origin: {PAGE}\r\nAccess-Control-Request-Method: GET\r\n{lines}");
        let answer = service.ask("OPTIONS /api/private", &lines).await;
        assert_eq!(answer.status.as_u16(), 204, "{case}: {answer:?}");
        let allowed = answer.header("access-control-allow-headers");
        assert_eq!(allowed, expected, "{case}");
        let other = lines.replace(PAGE, OTHER);
        let answer = service.ask("OPTIONS /api/private", &other).await;
        assert_eq!(answer.status.as_u16(), 403, "{case}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-headers"), "", "{case}");
    }
}

/// Clients read the metadata before they have a token (RFC 9728 §3).
#[tokio::test]
async fn pages_of_any_origin_may_read_the_metadata_of_the_resource() {
    for cors in [None, Some(listed()), Some(Cors::Any)] {
        let service = Service::start(cors.clone()).await;
        for path in [
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
        ] {
            let origin = format!("Origin: {OTHER}\r\n");
            let answer = service.ask(&format!("GET {path}"), &origin).await;
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed, "*", "{cors:?}, {path}: {answer:?}");
            let asks = format!("{origin}{ASKS}");
            let answer = service.ask(&format!("OPTIONS {path}"), &asks).await;
            assert_eq!(answer.status.as_u16(), 204, "{cors:?}, {path}: {answer:?}");
        }
        let origin = format!("Origin: {OTHER}\r\n");
        let beside = "GET /.well-known/oauth-protected-resources";
        let answer = service.ask(beside, &origin).await;
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(
            allowed == "*",
            cors == Some(Cors::Any),
            "{cors:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn recognizes_only_complete_preflights() {
    let service = Service::start(Some(listed())).await;
    let page = format!("Origin: {PAGE}\r\n");
    let other = format!("Origin: {OTHER}\r\n{ASKS}");
    #[rustfmt::skip]
    let rows = [
        ("a preflight", "OPTIONS", format!("{page}{ASKS}"), 204, ""),
        ("a preflight of another origin", "OPTIONS", other, 403, "cors_forbidden"),
        ("a preflight of a sandboxed page", "OPTIONS", format!("Origin: null\r\n{ASKS}"), 403, "cors_forbidden"),
        ("an origin with a trailing slash", "OPTIONS", format!("Origin: {PAGE}/\r\n{ASKS}"), 403, "cors_forbidden"),
        ("no method asked for", "OPTIONS", page.clone(), 405, "method_not_allowed"),
        ("no origin", "OPTIONS", ASKS.to_owned(), 405, "method_not_allowed"),
        ("two origins", "OPTIONS", format!("{page}{page}{ASKS}"), 405, "method_not_allowed"),
        ("another method", "GET", format!("{page}{ASKS}"), 401, "missing_token"),
        ("two Host fields", "OPTIONS", format!("Host: localhost\r\n{page}{ASKS}"), 400, "bad_host"),
    ];
    for (case, method, lines, status, code) in rows {
        let answer = service.ask(&format!("{method} /api/private"), &lines).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        assert_eq!(answer.header("vary"), "Origin", "{case}");
        if status == 403 {
            assert_eq!(answer.header("cache-control"), "no-store", "{case}");
        }
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods.is_empty(), status != 204, "{case}: {methods}");
        if status != 204 {
            assert_eq!(answer.code(), code, "{case}");
        }
        if status == 405 {
            assert_eq!(answer.header("allow"), "GET, HEAD", "{case}");
        }
    }
    // Each of these requests has a series of its own
    for series in [
        r#"warp_bearer_requests_total{route="preflight",method="OPTIONS",status="204"} 1"#,
        r#"warp_bearer_requests_total{route="preflight",method="OPTIONS",status="403"} 3"#,
    ] {
        assert!(service.counted(series), "{}", service.metrics.render());
    }
}

/// A proxy forwards every request that `/auth` answers with 2xx. A preflight answered with 204
/// would open the application.
#[tokio::test]
async fn preflight_to_auth_needs_a_token() {
    for cors in [Some(listed()), Some(Cors::Any), None] {
        let service = Service::start(cors.clone()).await;
        let token = service.tenant.issuer.token().sign();
        let token = format!("Authorization: Bearer {token}\r\n");
        for path in [
            "/auth",
            "/auth/",
            "/auth?scope=openid",
            "http://localhost/auth",
        ] {
            for origin in [PAGE, OTHER] {
                let preflight = format!("Origin: {origin}\r\n{ASKS}");
                let answer = service.ask(&format!("OPTIONS {path}"), &preflight).await;
                assert_eq!(answer.status.as_u16(), 401, "{cors:?}, {path}: {answer:?}");
                assert_eq!(answer.code(), "missing_token", "{cors:?}, {path}");
                assert_eq!(answer.header("access-control-allow-methods"), "", "{path}");
            }
        }
        // Paths below `/auth` and other spellings of it have no route here. They mustn't allow a
        // preflight either.
        let page = format!("Origin: {PAGE}\r\n{ASKS}");
        for path in [
            "/auth/orders",
            "/Auth",
            "/AUTH/orders",
            "//auth",
            "/./auth",
            "/x/../auth",
            "/x/..;/auth",
            "/x/%2e%2e/auth",
            "/;x/auth",
            "/.;x/auth",
            "/%2fauth",
            "/%5cauth",
            "/%61uth",
            "/%41uth",
            "/%2561uth",
            "/%25%361uth",
            "/auth%20",
            "/auth%00",
            "/auth%2fx",
            "/auth%252fx",
            "/auth%5cx",
            "/auth;x",
            "/auth%3bx",
            "/auth.",
            "/auth%3fx",
            "/auth%c0%afx",
            "/%20auth",
        ] {
            let answer = service.ask(&format!("OPTIONS {path}"), &page).await;
            let status = answer.status.as_u16();
            assert_eq!(status, 404, "{cors:?}, {path}: {answer:?}");
        }
        let good = format!("Origin: {PAGE}\r\n{ASKS}{token}");
        let answer = service.ask("OPTIONS /auth", &good).await;
        assert!(answer.status.is_success(), "{cors:?}: {answer:?}");
        let bad = format!("Origin: {PAGE}\r\n{ASKS}Authorization: Bearer a.b.c\r\n");
        let answer = service.ask("OPTIONS /auth", &bad).await;
        assert_eq!(answer.status.as_u16(), 401, "{cors:?}: {answer:?}");
    }
}

#[tokio::test]
async fn any_origin_gets_a_star_and_no_cors_adds_nothing() {
    for (cors, star) in [(Some(Cors::Any), "*"), (None, "")] {
        let service = Service::start(cors).await;
        for origin in [OTHER, "null"] {
            let origin = format!("Origin: {origin}\r\n");
            let answer = service.ask("GET /api/private", &origin).await;
            assert_eq!(answer.status.as_u16(), 401);
            assert_eq!(answer.header("access-control-allow-origin"), star);
            assert_eq!(answer.header("vary").is_empty(), star.is_empty());
            let preflight = format!("{origin}{ASKS}");
            let answer = service.ask("OPTIONS /api/private", &preflight).await;
            let status = if star.is_empty() { 405 } else { 204 };
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(answer.header("access-control-allow-origin"), star);
        }
    }
}

/// As in the documentation of `handle_rejection`.
#[tokio::test]
async fn warps_cors_filter_works_with_recover_on_both_sides() {
    let tenant = Tenant::start().await;
    let cors = warp::cors()
        .allow_origin(PAGE)
        .allow_methods(["GET"])
        .allow_header(header::AUTHORIZATION)
        .expose_header(header::WWW_AUTHENTICATE);
    let routes = warp::path!("a")
        .and(warp::get())
        .and(with_auth(&tenant.auth))
        .map(|_: Claims| "in")
        .route()
        .recover(handle_rejection)
        .with(cors)
        .recover(handle_rejection)
        .with(warp::reply::with::header("vary", "origin"));
    #[rustfmt::skip]
    let rows = [
        ("an error", "GET", PAGE, 401, true),
        ("a preflight", "OPTIONS", PAGE, 200, true),
        ("another origin", "GET", OTHER, 403, false),
    ];
    for (case, method, origin, status, allowed) in rows {
        let request = warp::test::request().method(method).path("/a");
        let request = request.header("origin", origin);
        let request = request.header("access-control-request-method", "GET");
        let answer = answer(&request.reply(&routes).await);
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        let field = answer.header("access-control-allow-origin");
        assert_eq!(field == origin, allowed, "{case}: {answer:?}");
        assert_eq!(answer.header("vary"), "origin", "{case}");
        if allowed {
            let exposed = answer.header("access-control-expose-headers");
            assert_eq!(exposed, "www-authenticate", "{case}");
        } else {
            assert_eq!(answer.code(), "cors_forbidden", "{case}");
        }
    }
}
