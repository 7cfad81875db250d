//! The faults that a test can request.

use reqwest::header;
use serde_json::Value;
use warp_bearer::issuer::Fault;

use crate::fixtures::{client, elliptic, get, json_of, kids, published};

#[tokio::test]
async fn answers_with_a_fault_until_it_recovers() {
    let issuer = elliptic().await;
    let discovery = format!("{}.well-known/openid-configuration", issuer.url());
    for (fault, status, header, value) in [
        (
            Fault::Status(503),
            503,
            header::CONTENT_TYPE,
            "application/json",
        ),
        (
            Fault::Status(7),
            500,
            header::CONTENT_TYPE,
            "application/json",
        ),
        (
            Fault::StatusRetryAfter(429, 17),
            429,
            header::RETRY_AFTER,
            "17",
        ),
        (
            Fault::Html,
            200,
            header::CONTENT_TYPE,
            "text/html; charset=utf-8",
        ),
        (
            Fault::NotJson,
            200,
            header::CONTENT_TYPE,
            "application/json",
        ),
        (
            Fault::Redirect("http://x/".into()),
            302,
            header::LOCATION,
            "http://x/",
        ),
    ] {
        issuer.fail(fault.clone());
        for url in [&discovery, issuer.jwks_uri()] {
            let response = get(url).await;
            assert_eq!(response.status(), status, "{fault:?}");
            assert_eq!(response.headers()[&header], value, "{fault:?}");
        }
    }
    issuer.fail(Fault::NotJson);
    let text = get(issuer.jwks_uri()).await.text().await.expect("a body");
    assert!(serde_json::from_str::<Value>(&text).is_err());

    issuer.recover();
    assert_eq!(kids(&issuer).await.len(), 1);
    assert_eq!(json_of(get(&discovery).await).await["issuer"], issuer.url());
    assert_eq!(issuer.requests().jwks, 8);
    assert_eq!(issuer.requests().discovery, 7);
}

#[tokio::test]
async fn fault_can_be_limited_to_one_endpoint() {
    let issuer = elliptic().await;
    let discovery = format!("{}.well-known/openid-configuration", issuer.url());
    let statuses = async || {
        let jwks = get(issuer.jwks_uri()).await.status().as_u16();
        (get(&discovery).await.status().as_u16(), jwks)
    };

    issuer.fail_discovery(Fault::Status(500));
    assert_eq!(statuses().await, (500, 200));
    issuer.fail_jwks(Fault::Status(502));
    assert_eq!(statuses().await, (500, 502));

    issuer.recover();
    issuer.wrong_issuer("https://other.example.com/");
    let metadata = json_of(get(&discovery).await).await;
    assert_eq!(metadata["issuer"], "https://other.example.com/");
    assert_eq!(metadata["jwks_uri"], issuer.jwks_uri());
    assert_eq!(kids(&issuer).await.len(), 1);
}

#[tokio::test]
async fn publishes_an_empty_key_set() {
    let issuer = elliptic().await;
    issuer.fail(Fault::EmptySet);
    assert_eq!(published(&issuer).await, Vec::<Value>::new());
    let discovery = format!("{}.well-known/openid-configuration", issuer.url());
    assert_eq!(json_of(get(&discovery).await).await["issuer"], issuer.url());
}

#[tokio::test]
async fn answers_with_an_empty_body_or_304() {
    let issuer = elliptic().await;
    for (fault, status) in [(Fault::EmptyBody, 200), (Fault::NotModified, 304)] {
        issuer.fail_jwks(fault.clone());
        let response = get(issuer.jwks_uri()).await;
        assert_eq!(response.status(), status, "{fault:?}");
        assert_eq!(response.text().await.expect("a body"), "", "{fault:?}");
    }
}

#[tokio::test]
async fn names_a_moved_key_set_and_still_serves_the_old_address() {
    let issuer = elliptic().await;
    let moved = "https://keys.example.com/";
    issuer.fail_discovery(Fault::JwksUri(moved.to_owned()));
    let discovery = format!("{}.well-known/openid-configuration", issuer.url());
    assert_eq!(json_of(get(&discovery).await).await["jwks_uri"], moved);
    assert_eq!(kids(&issuer).await.len(), 1);
}

#[tokio::test]
async fn large_key_set_has_all_keys_and_600_kib_more() {
    let issuer = elliptic().await;
    issuer.fail(Fault::TooLarge);
    let text = get(issuer.jwks_uri()).await.text().await.expect("a body");
    assert!(text.len() > 600 * 1024);
    let set: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(set["keys"][0]["kid"], issuer.key().kid());
}

#[tokio::test]
async fn ends_the_connection_after_half_a_body() {
    let issuer = elliptic().await;
    issuer.fail(Fault::HalfBody);
    let mut response = get(issuer.jwks_uri()).await;
    let promised = response.content_length().expect("a length");
    let first = response.chunk().await.expect("half").expect("a chunk");
    assert_eq!(first.len() as u64, promised / 2);
    assert!(response.chunk().await.is_err(), "the connection ended");
}

#[tokio::test(start_paused = true)]
async fn drips_a_byte_a_second() {
    let issuer = elliptic().await;
    issuer.fail(Fault::Drip);
    let begun = tokio::time::Instant::now();
    let mut response = get(issuer.jwks_uri()).await;
    for _ in 0..3 {
        let byte = response.chunk().await.expect("a byte").expect("a chunk");
        assert_eq!(byte.len(), 1);
    }
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test]
async fn counts_a_hung_request_and_never_answers_it() {
    let issuer = elliptic().await;
    issuer.hang();
    let request = tokio::spawn(client().get(issuer.jwks_uri()).send());
    issuer.jwks_requested(1).await;
    issuer.recover();
    assert_eq!(kids(&issuer).await.len(), 1);
    assert!(!request.is_finished());

    issuer.go_down().await;
    assert!(request.await.expect("no panic").is_err());
}

#[tokio::test]
async fn answers_held_requests_with_the_state_at_release() {
    let issuer = elliptic().await;
    issuer.fail(Fault::Hold);
    let requests: Vec<_> = (0..5)
        .map(|_| tokio::spawn(client().get(issuer.jwks_uri()).send()))
        .collect();
    issuer.jwks_requested(5).await;
    assert!(requests.iter().all(|request| !request.is_finished()));

    issuer.rotate();
    issuer.recover();
    for request in requests {
        let response = request.await.expect("no panic").expect("an answer");
        assert_eq!(
            json_of(response).await["keys"][1]["kid"],
            issuer.key().kid()
        );
    }
}

#[tokio::test]
async fn refuses_connections_while_down_and_returns_on_the_same_port() {
    let issuer = elliptic().await;
    // one client for all requests, so that there's a pooled connection for the issuer to cut
    let client = client();
    let ask = async || client.get(issuer.jwks_uri()).send().await;
    assert!(ask().await.is_ok());

    issuer.go_down().await;
    issuer.go_down().await;
    assert!(ask().await.expect_err("nobody listens").is_connect());

    issuer.come_back().await;
    issuer.come_back().await;
    assert!(ask().await.is_ok());
    assert_eq!(issuer.requests().jwks, 2);
}
