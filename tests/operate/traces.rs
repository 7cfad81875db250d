//! Traces: what the collector and the issuer receive about a request.

use std::{
    fmt::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use warp::{
    Filter,
    http::{HeaderMap, StatusCode},
    hyper::body::Bytes,
};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::{
    process::{Process, until},
    support::redis::RedisServer,
};

const TRACE: [u8; 16] = [
    0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c,
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // writing to a `String` can't fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Serves on a free port of loopback.
async fn serve<F>(routes: F) -> String
where
    F: Filter<Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Extract: warp::Reply,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    address
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Bytes>>>);

impl Collector {
    async fn start(&self) -> String {
        let kept = self.clone();
        let receive = warp::path!("v1" / "traces")
            .and(warp::post())
            .and(warp::body::bytes())
            .map(move |body| {
                kept.0.lock().unwrap().push(body);
                StatusCode::OK
            });
        let nothing = warp::any().map(|| StatusCode::NOT_FOUND);
        serve(receive.or(nothing).unify()).await
    }

    /// Looks for these bytes. Texts and identifiers are in the messages as they are, so we don't
    /// need a decoder.
    fn has(&self, bytes: &[u8]) -> bool {
        let all = self.0.lock().unwrap();
        all.iter()
            .any(|body| body.windows(bytes.len()).any(|window| window == bytes))
    }
}

/// A key set endpoint that records the `traceparent` of each request.
#[derive(Clone, Default)]
struct KeySet {
    keys: Arc<Mutex<Vec<Value>>>,
    traces: Arc<Mutex<Vec<String>>>,
}

impl KeySet {
    async fn start(&self) -> String {
        let set = self.clone();
        let answer = warp::header::headers_cloned().map(move |headers: HeaderMap| {
            let trace = headers.get("traceparent");
            let trace = trace.map_or("", |value| value.to_str().unwrap());
            set.traces.lock().unwrap().push(trace.to_owned());
            warp::reply::json(&json!({"keys": *set.keys.lock().unwrap()}))
        });
        serve(answer).await
    }
}

async fn ask(service: &Process, fields: &str) -> u16 {
    let mut stream = TcpStream::connect(service.address).await.unwrap();
    let request = format!("GET /auth HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer[9..12].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn collector_receives_one_trace_from_proxy_to_key_set() {
    let (collector, set) = (Collector::default(), KeySet::default());
    let issuer = Issuer::start().await;
    set.keys.lock().unwrap().push(issuer.key().public_jwk());
    let variables = [
        ("AUTH0_JWKS_URI", &*set.start().await),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.start().await),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let mut service = Process::serve(&issuer, &variables).await;
    service.logged("key set fetched").await;
    // The service doesn't have this key yet, so the request has to wait for a fetch.
    issuer.rotate();
    set.keys.lock().unwrap().push(issuer.key().public_jwk());
    let token = issuer.token().subject("hunter2").sign();
    let trace = hex(&TRACE);
    let of_trace = |flags: &str| {
        format!(
            "traceparent: 00-{trace}-b7ad6b7169203331-{flags}\r\ntracestate: vendor=1\r\n\
             X-Forwarded-Method: POST\r\nX-Forwarded-Host: app.example\r\n\
             X-Forwarded-Uri: /notes/1?key=hunter2\r\nAuthorization: Bearer {token}\r\n"
        )
    };
    // The flag `00` says that the proxy does not sample this trace.
    let unsampled = of_trace("00").replace(&trace, &hex(&[7; 16]));
    assert_eq!(ask(&service, "Authorization: Bearer a.b.c\r\n").await, 401);
    assert_eq!(ask(&service, &of_trace("01")).await, 200);
    assert_eq!(ask(&service, &unsampled).await, 200);
    let long = of_trace("01").replace("vendor=1", &format!("vendor={}", "long".repeat(127)));
    assert_eq!(ask(&service, &long).await, 200);

    let parent = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
    #[rustfmt::skip]
    let rows: [&[u8]; 11] = [
        &TRACE, &parent, b"GET /auth", b"verify token", b"wait for keys", b"service.name",
        b"warp-bearer", b"vendor=1", b"POST", b"app.example", b"/notes/1",
    ];
    until(|| rows.iter().all(|bytes| collector.has(bytes))).await;
    let traces = set.traces.lock().unwrap().clone();
    let start = format!("00-{trace}-");
    assert!(
        traces
            .iter()
            .any(|it| it.starts_with(&start) && it.ends_with("-01")),
        "{traces:?}"
    );
    assert_eq!(traces[0], "", "the first fetch belongs to no request");
    service.stop().await;
    assert!(!collector.has(b"longlong"), "long values are left out");
    assert!(
        !collector.has(&[7; 16]),
        "the unsampled trace is not exported"
    );
    assert!(
        !collector.has(b"hunter2"),
        "queries and claims are not exported"
    );
    let signature = token.rsplit_once('.').unwrap().1;
    assert!(
        !collector.has(signature.as_bytes()),
        "the token is not exported"
    );
}

/// An introspection endpoint that records the `traceparent` of each request.
async fn introspection(audience: String, traces: Arc<Mutex<Vec<String>>>) -> String {
    let answer = warp::header::headers_cloned().map(move |headers: HeaderMap| {
        let trace = headers.get("traceparent");
        let trace = trace.map_or("", |value| value.to_str().unwrap());
        traces.lock().unwrap().push(trace.to_owned());
        warp::reply::json(&json!({"active": true, "aud": audience, "exp": 4_000_000_000_u32}))
    });
    serve(answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_introspection_or_for_the_store_is_a_span() {
    const PUBLIC: &str = "https://api.example.com";
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let (collector, traces) = (Collector::default(), Arc::default());
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let endpoint = introspection(issuer.audience().to_owned(), Arc::clone(&traces)).await;
    let variables = [
        ("AUTH0_ALGORITHMS", "ES256"),
        ("AUTH0_INTROSPECTION", "opaque"),
        ("AUTH0_INTROSPECTION_URI", &*endpoint),
        ("AUTH0_INTROSPECTION_CLIENT_ID", "api"),
        ("AUTH0_INTROSPECTION_CLIENT_SECRET", "secret"),
        ("PUBLIC_URL", PUBLIC),
        ("STATE_STORE", &redis.url()),
        ("STATE_STORE_TIMEOUT", "1s"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.start().await),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let mut service = Process::serve(&issuer, &variables).await;
    service.logged("key set fetched").await;
    service.logged("state store connected").await;
    let trace = hex(&TRACE);
    let parent = format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\n");
    let opaque = format!("{parent}Authorization: Bearer an_opaque_token_of_some_length\r\n");
    assert_eq!(ask(&service, &opaque).await, 200);
    let key = SigningKey::generate(Algorithm::ES256);
    let token = issuer.token().bound_to(&key).sign();
    let bound = || {
        let proof = key
            .proof("GET", &format!("{PUBLIC}/a"))
            .token(&token)
            .sign();
        format!(
            "{parent}Authorization: DPoP {token}\r\nDPoP: {proof}\r\n\
             X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /a\r\n"
        )
    };
    // The store rejects proofs from before its start, and times are in whole seconds, so the first
    // second's proofs are rejected.
    while ask(&service, &bound()).await == 503 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ask(&service, &bound()).await, 200);

    let rows: [&[u8]; 3] = [&TRACE, b"introspect token", b"claim proof in store"];
    until(|| rows.iter().all(|bytes| collector.has(bytes))).await;
    let asked = traces.lock().unwrap().clone();
    let start = format!("00-{trace}-");
    assert!(
        matches!(&asked[..], [one] if one.starts_with(&start) && !one.contains("b7ad6b7169203331")),
        "{asked:?}"
    );
    service.stop().await;
    assert!(
        !collector.has(b"an_opaque_token"),
        "the token is not exported"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_collector_does_not_block_requests_or_exit() {
    let issuer = Issuer::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*address),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
    ];
    let mut service = Process::serve(&issuer, &variables).await;
    service.logged("key set fetched").await;
    let token = format!("Authorization: Bearer {}\r\n", issuer.token().sign());
    for _ in 0..64 {
        assert_eq!(ask(&service, &token).await, 200);
    }
    service.stop().await;
}
