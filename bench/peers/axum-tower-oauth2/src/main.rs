//! axum with tower-oauth2-resource-server's layer, which fetches the keys itself.

use std::{env, time::Duration};

use axum::{Extension, Json, Router, routing::get};
use serde_json::{Value, json};
use tower_oauth2_resource_server::{server::OAuth2ResourceServer, tenant::TenantConfiguration};

async fn public() -> Json<Value> {
    Json(json!({
        "status": "success",
        "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
    }))
}

async fn private(Extension(claims): Extension<Value>) -> Json<Value> {
    Json(claims)
}

#[tokio::main]
async fn main() {
    let mut tenant = TenantConfiguration::builder(env::var("ISSUER").unwrap())
        .audiences(&[env::var("AUDIENCE").unwrap()]);
    if let Ok(seconds) = env::var("JWKS_TTL") {
        tenant = tenant.jwks_refresh_interval(Duration::from_secs(seconds.parse().unwrap()));
    }
    let tenant = tenant.build().await.unwrap();
    let server = OAuth2ResourceServer::<Value>::builder()
        .add_tenant(tenant)
        .build()
        .await
        .unwrap();
    let app = Router::new()
        .route("/api/private", get(private))
        .layer(server.into_layer())
        .route("/api/public", get(public));
    let address = format!("127.0.0.1:{}", env::var("PORT").unwrap());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    // `axum::serve` 0.8 sets TCP_NODELAY only if its listener is configured to
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.unwrap();
}
