//! Counters, their labels, and the alerts and the dashboard that use them.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use warp_bearer::{
    auth::Algorithm,
    issuer::SigningKey,
    service::{Access, Limits, Shutdown, observe::logging::LogFormat, routes, serve_metrics},
};

use crate::{
    service::{Log, Service, listener, until},
    support::Tenant,
};

#[tokio::test]
async fn counts_requests_refusals_and_verifications() {
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
    if cfg!(target_os = "linux") {
        let memory = service.metric("process_resident_memory_bytes").unwrap();
        assert!(memory > 1e6, "{memory}");
        assert!(service.metric("process_cpu_seconds_total").unwrap() > 0.0);
        let open = service.metric("process_open_fds").unwrap();
        assert!(open <= service.metric("process_max_fds").unwrap());
    }
    let age = format!(r#"warp_bearer_keys_age_seconds{{issuer="{issuer}"}}"#);
    assert!(service.metric(&age).unwrap() < 60.0);
}

#[tokio::test]
async fn counts_key_fetches_that_the_budget_refuses() {
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
    assert_eq!(
        service.metric(&refused),
        Some(3.0),
        "the budget pays for four fetches"
    );
    let text = service.metrics.render();
    assert!(!text.contains("made-up"), "{text}");
}

#[tokio::test]
async fn names_each_key_that_is_left_out_until_it_is_corrected() {
    let service = Service::start().await;
    let issuer = &service.tenant.issuer;
    let good = issuer.key().public_jwk();
    let mut padded = SigningKey::generate(Algorithm::RS256).public_jwk();
    padded["n"] = json!(format!("{}=", padded["n"].as_str().unwrap()));
    padded["kid"] = json!("pad\"ded\n");
    // a second key with the same `kid` and reason shouldn't repeat the series
    issuer.publish(json!({"keys": [good, padded, padded]}));
    service.tenant.auth.refresh();
    let replaced = format!(
        r#"warp_bearer_key_left_out{{issuer="{}",kid="pad\"ded\\n",reason="`n` ends in `=`"}}"#,
        issuer.url()
    );
    until(|| service.metric(&replaced) == Some(1.0)).await;
    assert_eq!(service.metrics.render().matches(&replaced).count(), 1);

    issuer.restore();
    service.tenant.auth.refresh();
    until(|| {
        !service
            .metrics
            .render()
            .contains("warp_bearer_key_left_out{")
    })
    .await;
}

#[tokio::test]
async fn labels_contain_no_caller_data() {
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
async fn serves_metrics_on_their_own_listener() {
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
    let alive = get("/livez").await;
    assert_eq!(alive.status(), 200);
    assert_eq!(alive.text().await.unwrap(), r#"{"status":"alive"}"#);
    let client = reqwest::Client::new();
    for path in ["/metrics", "/livez"] {
        let url = format!("http://{address}{path}");
        let probed = client.head(&url).send().await.unwrap();
        assert_eq!(probed.status(), 200, "HEAD {path}");
        let posted = client.post(&url).send().await.unwrap();
        assert_eq!(posted.status(), 405, "POST {path}");
        assert_eq!(posted.headers()["allow"], "GET, HEAD", "POST {path}");
    }
    assert_eq!(get("/readyz").await.status(), 404);
    assert_eq!(get("/api/public").await.status(), 404);
    // the listener has few connections, so a peer must not keep one until its next request
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(get(path).await.headers()["connection"], "close", "{path}");
    }
    assert_eq!(
        service.log.take(),
        Vec::<Value>::new(),
        "scrapes are not in the request log"
    );

    let answer = service.send("GET", "/metrics", &[]).await;
    assert_eq!(
        answer.status(),
        404,
        "the service's own listener does not serve metrics"
    );
}

#[tokio::test]
async fn serves_openmetrics_with_exemplars_on_request() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let service = Service::start().await;
    let (listener, address) = listener().await;
    tokio::spawn(serve_metrics(service.metrics.clone(), listener));
    for (trace, flags) in [(TRACE, "01"), (&TRACE.replace('0', "9"), "00")] {
        let parent = format!("00-{trace}-b7ad6b7169203331-{flags}");
        let fields = [("traceparent", &*parent)];
        let answer = service.send("GET", "/api/public", &fields).await;
        assert_eq!(answer.status(), 200);
    }
    let page = service.client.get(format!("http://{address}/metrics"));
    let page = page.header(
        "accept",
        "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
    );
    let page = page.send().await.unwrap();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(page.headers()["content-type"], kind);
    let text = page.text().await.unwrap();
    let series = "warp_bearer_request_duration_seconds_bucket{route=\"/api/public\",le=";
    let exemplar = format!(" # {{trace_id=\"{TRACE}\"}} ");
    let bucket = text.lines().find(|line| line.contains(&exemplar));
    assert!(
        bucket.is_some_and(|line| line.starts_with(series)),
        "{text}"
    );
    assert_eq!(
        text.matches("trace_id").count(),
        1,
        "the other was not sampled"
    );
    for line in [
        "# TYPE warp_bearer_requests counter\n",
        "warp_bearer_requests_total{route=\"/api/public\"",
        "# TYPE warp_bearer_request_duration_seconds histogram\n",
        "le=\"1.0\"} ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(
        text.ends_with("\n# EOF\n") && !text.contains("\n\n"),
        "{text}"
    );
    assert!(
        !service.metrics.render().contains("trace_id"),
        "the other format has no room for it"
    );
}

#[tokio::test]
async fn describes_every_metric() {
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
            .all(|name| name.starts_with("warp_bearer_") || name.starts_with("process_"))
    );
}

#[tokio::test]
async fn counts_accepted_waiting_and_unreadable_connections() {
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
    // an alert must fire while the second connection waits, however long that takes
    for (name, expected) in [
        ("limit", 1.0),
        ("accepted_total", 1.0),
        ("waited_total", 1.0),
    ] {
        let series = format!("warp_bearer_connections_{name}");
        assert_eq!(service.metric(&series), Some(expected), "{name}");
    }
    let log = service.log.text();
    assert_eq!(log.matches("connection limit reached").count(), 1, "{log}");
    drop(first);
    until(|| service.metric("warp_bearer_connections_unreadable_total") == Some(1.0)).await;

    assert_eq!(
        service.metric("warp_bearer_connections_accepted_total"),
        Some(2.0)
    );
    // the second connection reached the limit as well
    assert_eq!(
        service.metric("warp_bearer_connections_waited_total"),
        Some(2.0)
    );
    let mut heard = String::new();
    tokio::task::spawn_blocking(move || second.read_to_string(&mut heard).map(|_| heard))
        .await
        .unwrap()
        .map(|heard| assert!(heard.starts_with("HTTP/1.1 400"), "{heard}"))
        .unwrap();
}

#[tokio::test]
async fn alerts_and_dashboard_name_existing_metrics() {
    let service = Service::with_every_source().await;
    service.get("/api/private", "a.b.c").await;
    let text = service.metrics.render();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let known: BTreeSet<_> = types.map(|line| line.split(' ').next().unwrap()).collect();

    let alerts = include_str!("../../deploy/alerts.yaml");
    let tests = include_str!("../../deploy/alerts.test.yaml");
    let dashboard = include_str!("../../deploy/dashboard.json");
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
