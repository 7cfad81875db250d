//! axum with the OAuth layer of tower-mcp, which fetches the keys itself. It's made for MCP
//! servers, but works around any route.

use std::{env, time::Duration};

use axum::{Extension, Json, Router, routing::get};
use serde_json::{Value, json};
use tower_mcp::oauth::{JwksValidator, OAuthLayer, ProtectedResourceMetadata, TokenClaims};

async fn public() -> Json<Value> {
    Json(json!({
        "status": "success",
        "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
    }))
}

async fn private(Extension(claims): Extension<TokenClaims>) -> Json<TokenClaims> {
    Json(claims)
}

#[tokio::main]
async fn main() {
    let (issuer, audience) = (env::var("ISSUER").unwrap(), env::var("AUDIENCE").unwrap());
    let mut validator = JwksValidator::builder(env::var("JWKS_URI").unwrap())
        .expected_issuer(&issuer)
        .expected_audience(&audience);
    if let Ok(seconds) = env::var("JWKS_TTL") {
        validator = validator.default_ttl(Duration::from_secs(seconds.parse().unwrap()));
    }
    let validator = validator.build().await.unwrap();
    // The resource is the required audience
    let metadata = ProtectedResourceMetadata::new(&audience).authorization_server(&issuer);
    let app = Router::new()
        .route("/api/private", get(private))
        .layer(OAuthLayer::new(validator, metadata))
        .route("/api/public", get(public));
    let address = format!("127.0.0.1:{}", env::var("PORT").unwrap());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    // axum::serve 0.8 sets TCP_NODELAY only if its listener is configured to.
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.unwrap();
}
