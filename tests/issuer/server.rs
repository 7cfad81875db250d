//! The issuer as a server: its port, its `Host`, its counters and its shutdown.

use std::time::Duration;

use reqwest::{StatusCode, header};
use serde_json::json;
use tokio::net::TcpSocket;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, Requests},
};

use crate::fixtures::{FORM, client, elliptic, good_form, json_of, kids};

#[tokio::test]
async fn refuses_unknown_paths_and_methods_in_json() {
    let issuer = elliptic().await;
    let token = issuer.token_endpoint().to_owned();
    for (case, method, url, status, allow) in [
        (
            "no such path",
            "GET",
            format!("{}userinfo", issuer.url()),
            404,
            None,
        ),
        ("the root", "GET", issuer.url().to_owned(), 404, None),
        (
            "POST to the key set",
            "POST",
            issuer.jwks_uri().to_owned(),
            405,
            Some("GET"),
        ),
        ("GET of the token endpoint", "GET", token, 405, Some("POST")),
    ] {
        let method = method.parse().expect("a method");
        let response = client()
            .request(method, url)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), status, "{case}");
        let allowed = response.headers().get(header::ALLOW);
        assert_eq!(
            allowed.and_then(|allow| allow.to_str().ok()),
            allow,
            "{case}"
        );
        assert!(json_of(response).await["error"].is_string(), "{case}");
    }
    assert_eq!(issuer.requests(), Requests::default());
}

#[tokio::test]
async fn keeps_its_port_while_it_is_down() {
    let issuer = elliptic().await;
    issuer.go_down().await;
    let other = TcpSocket::new_v4().expect("a socket");
    let fault = other.bind(issuer.addr()).expect_err("it is taken");
    assert_eq!(fault.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn reports_a_port_that_is_taken() {
    let issuer = elliptic().await;
    let fault = Issuer::bind(issuer.addr(), Algorithm::ES256).await;
    let fault = fault.expect_err("one issuer to a port");
    assert_eq!(fault.kind(), std::io::ErrorKind::AddrInUse);
}

/// With DNS rebinding, a web page can point its own host name at this machine. But it can't make
/// the browser send another site's `Host`.
#[tokio::test]
async fn rejects_hosts_other_than_loopback() {
    let issuer = elliptic().await;
    let port = issuer.addr().port();
    let ask = async |host: &str, post: bool| {
        let request = if post {
            client()
                .post(issuer.token_endpoint())
                .header(header::CONTENT_TYPE, FORM)
                .body(good_form(&issuer))
        } else {
            client().get(issuer.jwks_uri())
        };
        request.header(header::HOST, host).send().await.unwrap()
    };
    for host in [
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("10.0.0.1:{port}"),
        "evil.example".to_owned(),
    ] {
        for post in [false, true] {
            let answer = ask(&host, post).await;
            assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
            assert_eq!(
                json_of(answer).await,
                json!({"error": "misdirected_request"})
            );
        }
    }
    assert_eq!(issuer.requests(), Requests::default());
    // The attack needs a host name, so any port is fine: a proxy may leave it out, or send its own.
    let other = port ^ 1;
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
        for host in [
            format!("{host}:{port}"),
            host.to_owned(),
            format!("{host}:{other}"),
        ] {
            for post in [false, true] {
                let answer = ask(&host, post).await;
                assert_eq!(answer.status(), StatusCode::OK, "{host}");
            }
        }
    }
}

#[tokio::test]
async fn stops_with_its_last_clone() {
    let issuer = elliptic().await;
    let url = issuer.jwks_uri().to_owned();
    let clone = issuer.clone();
    drop(issuer);
    assert!(client().get(&url).send().await.is_ok());

    drop(clone);
    while client().get(&url).send().await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn answers_without_waiting_for_a_timer() {
    let begun = tokio::time::Instant::now();
    let issuer = Issuer::start().await;
    assert_eq!(kids(&issuer).await.len(), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn resets_its_request_counts() {
    let issuer = elliptic().await;
    kids(&issuer).await;
    assert_eq!(
        issuer.requests(),
        Requests {
            jwks: 1,
            ..Requests::default()
        }
    );
    issuer.reset_requests();
    assert_eq!(issuer.requests(), Requests::default());
}
