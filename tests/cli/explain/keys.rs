//! K3 and K8: keys that were left out, and discovery that fails.

use std::fs;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use warp::Filter;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer, SigningKey},
    service::api::errors::causes,
};

use super::refuses;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn names_why_the_tokens_key_was_left_out() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let other = SigningKey::generate(Algorithm::RS256);
    let token = issuer.token().key(&other).kid("bad");
    let world = World::named(&issuer, issuer.url());
    let file = world.directory.path().join("jwks.json");
    let good = issuer.key().public_jwk();
    let with = |member: &str, value: Value| {
        let mut bad = other.public_jwk();
        bad["kid"] = json!("bad");
        bad[member] = value;
        bad
    };
    let padded = format!("{}=", URL_SAFE_NO_PAD.encode([0xff; 256]));
    #[rustfmt::skip]
    let rows = [
        ("padded", with("n", json!(padded))),
        ("for encryption", with("use", json!("enc"))),
        ("private", with("d", json!("AQAB"))),
    ];
    for (case, bad) in rows {
        fs::write(&file, json!({"keys": [good, bad]}).to_string()).unwrap();
        let json = refuses(
            &world,
            case,
            &token.clone().sign(),
            "algorithm_not_allowed",
            causes::KEY_LEFT_OUT,
        );
        let cause = json["cause"].as_str().unwrap();
        assert!(cause.contains("The reason: "), "{case}: {json:#}");
        let key = json["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(key["step"], "key", "{case}: {json:#}");
        let found = key["found"].as_str().unwrap();
        assert!(
            found.starts_with("\"bad\", which cannot be used: "),
            "{case}: {json:#}"
        );
    }
}

/// Starts a server that answers every discovery document with this status and body.
async fn server(status: u16, body: Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let routes = warp::any().map(move || {
        let reply = warp::reply::json(&body);
        warp::reply::with_status(reply, status.try_into().unwrap())
    });
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_key_fetch_comes_with_advice() {
    let issuer = Issuer::start().await;
    let not_a_set = server(200, json!({})).await;
    #[rustfmt::skip]
    let rows = [
        ("no discovery document", server(404, json!({})).await, "", causes::NO_DISCOVERY),
        ("keys for clients that log in", server(401, json!({})).await, "", causes::KEYS_NEED_CREDENTIALS),
        ("keys that are forbidden", server(403, json!({})).await, "", causes::KEYS_NEED_CREDENTIALS),
        ("an issuer that fails", server(500, json!({})).await, "", causes::ISSUER_UNREACHABLE),
        ("a redirect", server(302, json!({})).await, "", causes::ISSUER_REDIRECTS),
        ("another issuer", server(200, json!({"issuer": "https://other.example/", "jwks_uri": "https://other.example/keys"})).await, "", causes::NOT_ITS_NAME),
        ("no key set at the configured address", not_a_set.clone(), &*not_a_set, causes::NO_KEY_SET_URI),
        ("no key set at a missing address", server(404, json!({})).await, &*not_a_set, causes::NO_KEY_SET_URI),
    ];
    for (case, url, jwks_uri, cause) in rows {
        let token = issuer.token().claim("iss", &url).sign();
        let mut world = World::of(issuer.clone()).set("AUTH0_ISSUER", &url);
        if !jwks_uri.is_empty() {
            world = world.set("AUTH0_JWKS_URI", jwks_uri);
        }
        let json = refuses(&world, case, &token, "keys_unavailable", cause);
        // The reason, including the address.
        let facts = json["facts"].to_string();
        assert!(facts.contains("http://127.0.0.1"), "{case}: {facts}");
        // "Remove AUTH0_JWKS_URI" is suggested only if it is set.
        let says = format!("{}{}", json["cause"], json["fix"]);
        assert_eq!(
            says.contains("remove it"),
            !jwks_uri.is_empty(),
            "{case}: {says}"
        );
    }
    issuer.fail_jwks(Fault::EmptySet);
    refuses(
        &World::of(issuer.clone()),
        "no keys",
        &issuer.token().sign(),
        "keys_unavailable",
        causes::NO_KEY_SET,
    );
}
