//! The issuer does what its callers rely on: it speaks HTTP as an issuer does, its signatures hold,
//! and its faults are those that were asked for.
#![cfg(feature = "testing")]

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{DecodingKey, Validation, jwk::Jwk};
use reqwest::{Client, Response, StatusCode, header, redirect::Policy};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer, Requests, SigningKey},
};

const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn discovery_leads_to_the_key_set_and_the_token_endpoint() {
    let issuer = elliptic().await;

    let response = get(&format!("{}.well-known/openid-configuration", issuer.url())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let metadata = json_of(response).await;

    assert_eq!(metadata["issuer"], issuer.url());
    assert_eq!(metadata["jwks_uri"], issuer.jwks_uri());
    assert_eq!(metadata["token_endpoint"], issuer.token_endpoint());
    assert_eq!(
        metadata["id_token_signing_alg_values_supported"],
        json!(["ES256"])
    );
    assert!(issuer.url().ends_with('/'));
    assert_eq!(issuer.url(), format!("http://{}/", issuer.addr()));
}

#[tokio::test]
async fn a_token_of_every_algorithm_verifies_with_the_published_key() {
    for algorithm in ALGORITHMS {
        let issuer = Issuer::with_algorithm(algorithm).await;
        let keys = published(&issuer).await;
        assert_eq!(keys.len(), 1, "{algorithm:?}");
        assert_eq!(keys[0]["alg"], json!(algorithm));
        assert_eq!(keys[0]["kid"], issuer.key().kid());

        let claims = verify(&issuer.token().sign(), algorithm, &keys[0]).expect("a good token");
        assert_eq!(claims["iss"], issuer.url());
        assert_eq!(claims["aud"], issuer.audience());
    }
}

#[tokio::test]
async fn an_hmac_has_no_key_to_publish() {
    let fault = Issuer::bind(([127, 0, 0, 1], 0).into(), Algorithm::HS256).await;
    assert_eq!(
        fault.expect_err("no public key").kind(),
        std::io::ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn an_rsa_key_signs_by_any_rsa_algorithm_and_every_other_key_by_its_own() {
    let issuer = Issuer::start().await;
    let jwk = issuer.key().public_jwk();
    for algorithm in &ALGORITHMS[..6] {
        let token = issuer.token().algorithm(*algorithm).sign();
        assert!(verify(&token, *algorithm, &jwk).is_some(), "{algorithm:?}");
    }

    let lie = issuer.token().algorithm(Algorithm::ES256).sign();
    assert_eq!(header_of(&lie)["alg"], "ES256");
    let (input, signature) = lie.rsplit_once('.').expect("three parts");
    assert_eq!(
        signature,
        URL_SAFE_NO_PAD.encode(issuer.sign_input(input)),
        "signed by RS256 all the same"
    );
}

#[tokio::test]
async fn a_shared_secret_signs_with_hs256_and_is_never_shown() {
    let key = SigningKey::from_secret("0123456789abcdef0123456789abcdef");
    let token = elliptic().await.token().key(&key).sign();

    let secret = DecodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
    assert!(decode(&token, Algorithm::HS256, &secret).is_some());
    assert_eq!(
        key.public_jwk(),
        json!({"kty": "oct", "kid": "secret", "use": "sig", "alg": "HS256"})
    );
}

#[tokio::test]
async fn a_token_departs_from_the_default_where_it_is_told_to() {
    let issuer = elliptic().await;
    let now = claims_of(&issuer.token().sign())["iat"]
        .as_i64()
        .expect("a date");
    let other = SigningKey::generate(Algorithm::ES384);
    let token = || issuer.token();

    for (case, token, claim, expected) in [
        ("subject", token().subject("bob"), "sub", json!("bob")),
        ("audience", token().audience("x"), "aud", json!("x")),
        (
            "audiences",
            token().audiences(["x", "y"]),
            "aud",
            json!(["x", "y"]),
        ),
        ("no audience", token().without("aud"), "aud", Value::Null),
        ("scope", token().scope("a b"), "scope", json!("a b")),
        (
            "permissions",
            token().permissions(["p"]),
            "permissions",
            json!(["p"]),
        ),
        ("any claim", token().claim("iss", 5), "iss", json!(5)),
        (
            "the last call wins",
            token().without("sub").subject("c"),
            "sub",
            json!("c"),
        ),
    ] {
        assert_eq!(claims_of(&token.sign())[claim], expected, "{case}");
    }

    for (case, token, claim, offset) in [
        ("expires in an hour", token(), "exp", 3600),
        (
            "expires in",
            token().expires_in(Duration::from_secs(60)),
            "exp",
            60,
        ),
        ("expired", token().expired(), "exp", -3600),
        ("issued before that", token().expired(), "iat", -7200),
        (
            "expired since",
            token().expired_since(Duration::from_secs(31)),
            "exp",
            -31,
        ),
        ("not before", token().not_before(90), "nbf", 90),
        ("issued at", token().issued_at(-90), "iat", -90),
    ] {
        let date = claims_of(&token.sign())[claim].as_i64().expect("a date");
        assert!((0..5).contains(&(date - now - offset)), "{case}: {date}");
    }

    for (case, token, parameter, expected) in [
        ("type", token(), "typ", json!("JWT")),
        (
            "access token",
            token().typ("at+jwt"),
            "typ",
            json!("at+jwt"),
        ),
        ("no type", token().without_header("typ"), "typ", Value::Null),
        ("key's name", token(), "kid", json!(issuer.key().kid())),
        (
            "another key's",
            token().kid("k").key(&other),
            "kid",
            json!("k"),
        ),
        ("its algorithm", token().key(&other), "alg", json!("ES384")),
        (
            "any parameter",
            token().header("crit", ["b64"]),
            "crit",
            json!(["b64"]),
        ),
        ("none", token().header("alg", "none"), "alg", json!("none")),
    ] {
        assert_eq!(header_of(&token.sign())[parameter], expected, "{case}");
    }
}

#[tokio::test]
async fn raw_bytes_are_signed_as_they_are() {
    let issuer = elliptic().await;
    let token = issuer.sign_raw(br#"{"alg":"ES256","alg":"none"}"#, b"\xff not JSON");

    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(bytes_of(parts[0]), br#"{"alg":"ES256","alg":"none"}"#);
    assert_eq!(bytes_of(parts[1]), b"\xff not JSON");
    let key = DecodingKey::from_jwk(&jwk(&issuer.key().public_jwk())).expect("a key");
    let input = format!("{}.{}", parts[0], parts[1]);
    let good = jsonwebtoken::crypto::verify(
        parts[2],
        input.as_bytes(),
        &key,
        jsonwebtoken::Algorithm::ES256,
    );
    assert!(good.expect("a signature"));
}

#[tokio::test]
async fn nothing_that_is_printed_shows_a_claim_or_a_secret() {
    let issuer = elliptic().await;
    let printed = format!(
        "{issuer:?} {:?} {:?}",
        issuer.key(),
        issuer.token().subject("eve")
    );
    assert!(printed.contains(issuer.url()) && printed.contains(issuer.key().kid()));
    assert!(!printed.contains("eve") && !printed.contains(issuer.client_secret()));
}

#[tokio::test]
async fn keys_are_rotated_retired_and_replaced() {
    let issuer = elliptic().await;
    let first = issuer.key();

    issuer.rotate();
    let second = issuer.key();
    assert_ne!(first.kid(), second.kid());
    assert_eq!(kids(&issuer).await, [first.kid(), second.kid()]);

    issuer.retire();
    assert_eq!(kids(&issuer).await, [second.kid()]);

    issuer.replace();
    assert_eq!(kids(&issuer).await, [second.kid()]);
    let keys = published(&issuer).await;
    assert_ne!(keys[0]["x"], second.public_jwk()["x"]);
    assert!(verify(&issuer.token().sign(), Algorithm::ES256, &keys[0]).is_some());
    assert!(
        verify(
            &issuer.token().key(&second).sign(),
            Algorithm::ES256,
            &keys[0]
        )
        .is_none()
    );
}

#[tokio::test]
async fn any_document_and_any_key_can_be_published() {
    let issuer = elliptic().await;
    let guest = SigningKey::generate(Algorithm::EdDSA).with_kid("guest");
    issuer.publish_key(&guest);
    assert_eq!(kids(&issuer).await, [issuer.key().kid(), "guest"]);

    issuer.publish(json!([1, 2]));
    issuer.rotate();
    assert_eq!(json_of(get(issuer.jwks_uri()).await).await, json!([1, 2]));

    issuer.restore();
    assert_eq!(kids(&issuer).await.len(), 3);
}

#[tokio::test]
async fn the_key_set_may_be_cached_and_asked_for_conditionally() {
    let issuer = elliptic().await;
    let first = get(issuer.jwks_uri()).await;
    assert_eq!(
        first.headers()[header::CACHE_CONTROL],
        "public, max-age=600"
    );
    let tag = first.headers()[header::ETAG]
        .to_str()
        .expect("ASCII")
        .to_owned();
    assert!(tag.starts_with('"'), "a strong tag: {tag}");

    for (case, condition, status) in [
        ("the same", tag.clone(), 304),
        ("weakly the same", format!("W/{tag}"), 304),
        ("one of several", format!("\"x\", {tag}"), 304),
        ("whatever it is", "*".to_owned(), 304),
        ("another", "\"x\"".to_owned(), 200),
    ] {
        let response = conditional(&issuer, &condition).await;
        assert_eq!(response.status(), status, "{case}");
        assert_eq!(response.headers()[header::ETAG], tag, "{case}");
        assert_eq!(
            response.headers()[header::CACHE_CONTROL],
            "public, max-age=600"
        );
    }
    assert_eq!(issuer.requests().not_modified, 4);

    issuer.rotate();
    assert_eq!(conditional(&issuer, &tag).await.status(), 200, "new keys");

    issuer.max_age(Some(5));
    issuer.etag(false);
    let response = conditional(&issuer, "*").await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()[header::CACHE_CONTROL],
        "public, max-age=5"
    );
    assert!(!response.headers().contains_key(header::ETAG));

    issuer.max_age(None);
    let response = get(issuer.jwks_uri()).await;
    assert!(!response.headers().contains_key(header::CACHE_CONTROL));
}

#[tokio::test]
async fn a_page_fetches_a_token_where_its_origin_is_allowed() {
    const PAGE: &str = "http://127.0.0.1:8000";
    let issuer = Issuer::start().await;
    let ask = async |method: &str, origin: &str| {
        let method = method.parse().unwrap();
        let asked = client().request(method, issuer.token_endpoint());
        asked.header(header::ORIGIN, origin).send().await.unwrap()
    };
    let allowed = |answer: &Response| {
        let origin = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        origin.map(|origin| origin.to_str().unwrap().to_owned())
    };
    let before = ask("OPTIONS", PAGE).await;
    assert_eq!(before.status(), 405);
    assert_eq!(allowed(&before), None);

    issuer.allow_origins([PAGE]);
    for (case, method, origin, status, readable) in [
        ("a preflight", "OPTIONS", PAGE, 204, true),
        ("a request", "POST", PAGE, 400, true),
        (
            "another's preflight",
            "OPTIONS",
            "http://a.example",
            405,
            false,
        ),
        ("another's request", "POST", "http://a.example", 400, false),
    ] {
        let answer = ask(method, origin).await;
        assert_eq!(answer.status().as_u16(), status, "{case}");
        assert_eq!(
            allowed(&answer),
            readable.then(|| PAGE.to_owned()),
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_client_gets_a_token_by_form_by_json_and_by_basic() {
    let issuer = elliptic().await;
    let (id, secret) = (issuer.client_id(), issuer.client_secret());
    let scope = "write:messages admin read:messages write:messages";
    let form = format!(
        "grant_type=client_credentials&scope={}",
        scope.replace(' ', "+")
    );
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));

    for (case, content_type, body, authorization) in [
        (
            "form",
            "application/x-www-form-urlencoded",
            format!(
                "{form}&client_id={id}&client_secret={secret}&audience=https%3A%2F%2Fapi.example.com"
            ),
            None,
        ),
        (
            "json",
            "application/json",
            json!({
                "grant_type": "client_credentials", "client_id": id, "client_secret": secret,
                "audience": issuer.audience(), "scope": scope,
            })
            .to_string(),
            None,
        ),
        (
            "basic",
            "application/x-www-form-urlencoded; charset=utf-8",
            form,
            Some(basic),
        ),
    ] {
        let response = post(&issuer, content_type, body, authorization.as_deref()).await;
        assert_eq!(response.status(), 200, "{case}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let answer = json_of(response).await;
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 86400);
        assert_eq!(answer["scope"], "write:messages read:messages", "{case}");

        let token = answer["access_token"].as_str().expect("a token");
        let claims = verify(token, Algorithm::ES256, &issuer.key().public_jwk()).expect(case);
        let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64());
        assert_eq!(lifetime.map(|(exp, iat)| exp - iat), Some(86400));
        assert_eq!(claims["iss"], issuer.url());
        assert_eq!(claims["sub"], format!("{id}@clients"));
        assert_eq!(claims["aud"], issuer.audience());
        assert_eq!(claims["azp"], id);
        assert_eq!(claims["gty"], "client-credentials");
        assert_eq!(claims["scope"], "write:messages read:messages");
    }
    assert_eq!(issuer.requests().token, 3);
}

#[tokio::test]
async fn who_asks_for_no_scope_gets_none() {
    let issuer = elliptic().await;
    let response = post(&issuer, FORM, good_form(&issuer), None).await;
    let answer = json_of(response).await;
    assert_eq!(answer.get("scope"), None);
    let token = answer["access_token"].as_str().expect("a token");
    assert_eq!(claims_of(token).get("scope"), None);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_an_invalid_request() {
    let issuer = elliptic().await;
    let good = good_form(&issuer);
    for (case, content_type, body) in [
        ("repeated", FORM, format!("{good}&scope=a&scope=b")),
        (
            "too long",
            FORM,
            format!("{good}&scope={}", "a".repeat(17_000)),
        ),
        ("not JSON", "application/json", "{".to_owned()),
        ("neither", "text/plain", good),
    ] {
        let response = post(&issuer, content_type, body, None).await;
        refused(case, response, 400, "invalid_request").await;
    }
}

#[tokio::test]
async fn a_token_is_refused_in_the_words_of_rfc_6749() {
    let issuer = elliptic().await;
    let good = good_form(&issuer);
    let elsewhere = format!("{good}&audience=https://other.example.com");
    let wrong = format!("{good}x");
    let nobody = "grant_type=client_credentials";
    let basic = STANDARD.encode(format!("{}:x", issuer.client_id()));
    let basic = format!("Basic {basic}");
    let basic = Some(&*basic);
    let other = Some("Bearer x");

    for (case, body, authorization, status, error) in [
        ("no grant type", "scope=x", None, 400, "invalid_request"),
        ("an empty one", "grant_type=", None, 400, "invalid_request"),
        (
            "another",
            "grant_type=password",
            None,
            400,
            "unsupported_grant_type",
        ),
        ("wrong secret", &wrong, None, 401, "invalid_client"),
        ("no client", nobody, None, 401, "invalid_client"),
        ("wrong in basic", nobody, basic, 401, "invalid_client"),
        ("another scheme", nobody, other, 401, "invalid_client"),
        ("two methods", &good, basic, 400, "invalid_request"),
        ("other audience", &elsewhere, None, 403, "access_denied"),
    ] {
        let response = post(&issuer, FORM, body.to_owned(), authorization).await;
        refused(case, response, status, error).await;
    }
}

async fn refused(case: &str, response: Response, status: u16, error: &str) {
    assert_eq!(response.status(), status, "{case}");
    let headers = response.headers();
    assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{case}");
    let challenged = headers.contains_key(header::WWW_AUTHENTICATE);
    assert_eq!(challenged, status == 401, "{case}");
    let answer = json_of(response).await;
    assert_eq!(answer["error"], error, "{case}");
    assert!(answer["error_description"].is_string(), "{case}");
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_json() {
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
            "keys are read",
            "POST",
            issuer.jwks_uri().to_owned(),
            405,
            Some("GET"),
        ),
        ("tokens are posted for", "GET", token, 405, Some("POST")),
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
async fn a_fault_is_answered_until_the_issuer_recovers() {
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
async fn a_fault_may_be_of_one_endpoint_alone() {
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
async fn an_empty_set_is_one_without_keys() {
    let issuer = elliptic().await;
    issuer.fail(Fault::EmptySet);
    assert_eq!(published(&issuer).await, Vec::<Value>::new());
    let discovery = format!("{}.well-known/openid-configuration", issuer.url());
    assert_eq!(json_of(get(&discovery).await).await["issuer"], issuer.url());
}

#[tokio::test]
async fn an_empty_body_and_a_304_are_answers_without_a_document() {
    let issuer = elliptic().await;
    for (fault, status) in [(Fault::EmptyBody, 200), (Fault::NotModified, 304)] {
        issuer.fail_jwks(fault.clone());
        let response = get(issuer.jwks_uri()).await;
        assert_eq!(response.status(), status, "{fault:?}");
        assert_eq!(response.text().await.expect("a body"), "", "{fault:?}");
    }
}

#[tokio::test]
async fn a_moved_key_set_is_named_in_the_metadata_and_still_served_at_the_old_address() {
    let issuer = elliptic().await;
    let moved = "https://keys.example.com/";
    issuer.fail_discovery(Fault::JwksUri(moved.to_owned()));
    let discovery = format!("{}.well-known/openid-configuration", issuer.url());
    assert_eq!(json_of(get(&discovery).await).await["jwks_uri"], moved);
    assert_eq!(kids(&issuer).await.len(), 1);
}

#[tokio::test]
async fn a_large_set_has_all_the_keys_and_600_kib_more() {
    let issuer = elliptic().await;
    issuer.fail(Fault::TooLarge);
    let text = get(issuer.jwks_uri()).await.text().await.expect("a body");
    assert!(text.len() > 600 * 1024);
    let set: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(set["keys"][0]["kid"], issuer.key().kid());
}

#[tokio::test]
async fn half_a_body_is_a_promise_broken_in_the_middle() {
    let issuer = elliptic().await;
    issuer.fail(Fault::HalfBody);
    let mut response = get(issuer.jwks_uri()).await;
    let promised = response.content_length().expect("a length");
    let first = response.chunk().await.expect("half").expect("a chunk");
    assert_eq!(first.len() as u64, promised / 2);
    assert!(response.chunk().await.is_err(), "the connection ended");
}

#[tokio::test(start_paused = true)]
async fn a_drip_is_a_byte_a_second() {
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
async fn a_hung_request_is_counted_and_never_answered() {
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
async fn held_requests_are_answered_together_by_what_is_right_by_then() {
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
async fn down_refuses_connections_and_back_is_at_the_same_port() {
    let issuer = elliptic().await;
    // One client, whose pool has a connection to cut.
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

#[tokio::test]
async fn a_port_stays_taken_while_its_issuer_is_down() {
    let issuer = elliptic().await;
    issuer.go_down().await;
    let other = TcpSocket::new_v4().expect("a socket");
    let fault = other.bind(issuer.addr()).expect_err("it is taken");
    assert_eq!(fault.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let issuer = elliptic().await;
    let fault = Issuer::bind(issuer.addr(), Algorithm::ES256).await;
    let fault = fault.expect_err("one issuer to a port");
    assert_eq!(fault.kind(), std::io::ErrorKind::AddrInUse);
}

/// A page can give its own name the address of this machine (DNS rebinding); it cannot send the
/// `Host` of another.
#[tokio::test]
async fn refuses_a_host_that_is_no_name_of_loopback() {
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
    // The attack needs a name. A proxy may leave out the port, or send its own.
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
async fn an_issuer_stops_with_its_last_clone() {
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
async fn no_time_passes_in_an_ordinary_answer() {
    let begun = tokio::time::Instant::now();
    let issuer = Issuer::start().await;
    assert_eq!(kids(&issuer).await.len(), 1);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn counts_begin_again_when_they_are_reset() {
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

/// Most questions have nothing to do with RSA, whose keys take their time.
async fn elliptic() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

fn client() -> Client {
    let client = Client::builder().no_proxy().redirect(Policy::none());
    client.build().expect("a client")
}

async fn get(url: &str) -> Response {
    client().get(url).send().await.expect("an answer")
}

async fn conditional(issuer: &Issuer, tag: &str) -> Response {
    let request = client().get(issuer.jwks_uri());
    let response = request.header(header::IF_NONE_MATCH, tag).send().await;
    response.expect("an answer")
}

async fn post(
    issuer: &Issuer,
    content_type: &str,
    body: String,
    authorization: Option<&str>,
) -> Response {
    let mut request = client()
        .post(issuer.token_endpoint())
        .header(header::CONTENT_TYPE, content_type)
        .body(body);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.send().await.expect("an answer")
}

fn good_form(issuer: &Issuer) -> String {
    let (id, secret) = (issuer.client_id(), issuer.client_secret());
    format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
}

async fn json_of(response: Response) -> Value {
    let text = response.text().await.expect("a body");
    serde_json::from_str(&text).expect("JSON")
}

async fn published(issuer: &Issuer) -> Vec<Value> {
    let set = json_of(get(issuer.jwks_uri()).await).await;
    set["keys"].as_array().expect("a key set").clone()
}

async fn kids(issuer: &Issuer) -> Vec<String> {
    let keys = published(issuer).await;
    let kids = keys.iter().map(|key| key["kid"].as_str().expect("a kid"));
    kids.map(str::to_owned).collect()
}

fn jwk(value: &Value) -> Jwk {
    serde_json::from_value(value.clone()).expect("a JWK")
}

fn verify(token: &str, algorithm: Algorithm, key: &Value) -> Option<Value> {
    let key = DecodingKey::from_jwk(&jwk(key)).expect("a key");
    decode(token, algorithm, &key)
}

fn decode(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Option<Value> {
    let mut validation = Validation::new(algorithm.as_str().parse().unwrap());
    validation.validate_aud = false;
    let data = jsonwebtoken::decode::<Value>(token, key, &validation);
    data.ok().map(|data| data.claims)
}

fn bytes_of(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url")
}

fn header_of(token: &str) -> Value {
    let part = token.split('.').next().expect("a header");
    serde_json::from_slice(&bytes_of(part)).expect("JSON")
}

fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&bytes_of(part)).expect("JSON")
}
