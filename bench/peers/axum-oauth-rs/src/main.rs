//! axum with oauth-resource-server's layer, which fetches the keys itself.

use std::{env, sync::Arc};

use axum::{Json, Router, routing::get};
use oauth_resource_server::{
    AuthorizedToken, KeyNaming, OAuthConfig, OAuthValidator, axum::AuthLayer, static_token_policy,
};
use serde_json::{Value, json};

async fn public() -> Json<Value> {
    Json(json!({
        "status": "success",
        "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
    }))
}

async fn private(token: AuthorizedToken) -> Json<Value> {
    Json(Value::Object(token.claims().clone()))
}

#[tokio::main]
async fn main() {
    // there's no setting for the keys' time to live
    let resolved = OAuthConfig {
        enabled: true,
        issuer: env::var("ISSUER").unwrap(),
        audience: env::var("AUDIENCE").unwrap(),
        resource: "https://api.example.com".to_owned(),
        // The tokens of the comparison have no scope and no `typ`
        allow_unscoped_tokens: true,
        ..OAuthConfig::default()
    };
    let resolved = resolved
        .resolve(KeyNaming::Dotted("oauth"))
        .unwrap()
        .unwrap();
    let validator = Arc::new(OAuthValidator::new(&resolved).unwrap());
    validator.spawn_background_refresh();
    let decision = static_token_policy(None, Some(&resolved), false).unwrap();
    let app = Router::new()
        .route("/api/private", get(private))
        .route_layer(AuthLayer::from_decision(decision, Some(validator)).unwrap())
        .route("/api/public", get(public));
    let address = format!("127.0.0.1:{}", env::var("PORT").unwrap());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    // axum::serve 0.8 sets TCP_NODELAY only if its listener is configured to
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.unwrap();
}
