//! axum with jwt-authorizer's layer, which fetches the keys itself.

use std::{env, time::Duration};

use axum::{Json, Router, routing::get};
use jwt_authorizer::{IntoLayer, JwtAuthorizer, JwtClaims, Refresh, Validation};
use serde_json::{Value, json};

async fn public() -> Json<Value> {
    Json(json!({
        "status": "success",
        "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
    }))
}

async fn private(JwtClaims(claims): JwtClaims<Value>) -> Json<Value> {
    Json(claims)
}

#[tokio::main]
async fn main() {
    let validation = Validation::new()
        .iss(&[env::var("ISSUER").unwrap()])
        .aud(&[env::var("AUDIENCE").unwrap()]);
    let mut refresh = Refresh::default();
    if let Ok(seconds) = env::var("JWKS_TTL") {
        refresh.refresh_interval = Duration::from_secs(seconds.parse().unwrap());
    }
    let authorizer = JwtAuthorizer::<Value>::from_jwks_url(&env::var("JWKS_URI").unwrap())
        .validation(validation)
        .refresh(refresh)
        .build()
        .await
        .unwrap();
    let app = Router::new()
        .route("/api/private", get(private))
        .layer(authorizer.into_layer())
        .route("/api/public", get(public));
    let address = format!("127.0.0.1:{}", env::var("PORT").unwrap());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    axum::serve(listener, app).tcp_nodelay(true).await.unwrap();
}
