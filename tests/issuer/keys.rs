//! Discovery and the key set: publishing, rotation, retirement and caching.

use reqwest::{StatusCode, header};
use serde_json::json;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::fixtures::{conditional, elliptic, get, json_of, kids, published, verify};

#[tokio::test]
async fn discovery_names_the_key_set_and_the_token_endpoint() {
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
async fn rejects_hmac_as_the_algorithm_of_an_issuer() {
    let fault = Issuer::bind(([127, 0, 0, 1], 0).into(), Algorithm::HS256).await;
    assert_eq!(
        fault.expect_err("no public key").kind(),
        std::io::ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn rotates_retires_and_replaces_keys() {
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
async fn publishes_any_document_and_any_key() {
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
async fn answers_conditional_requests_for_the_key_set() {
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
        ("the same ETag", tag.clone(), 304),
        ("the same ETag, weak", format!("W/{tag}"), 304),
        ("one ETag of several", format!("\"x\", {tag}"), 304),
        ("any ETag", "*".to_owned(), 304),
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
