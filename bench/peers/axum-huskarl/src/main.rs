//! axum with huskarl-resource-server. It has no layer for axum yet, so a middleware calls its validator, as its guide
//! for tokens beyond RFC 9068 shows. It fetches its keys itself.

use std::{env, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Request, State},
    http::{Response, Uri},
    middleware::{Next, from_fn_with_state},
    routing::get,
};
use huskarl_reqwest::ReqwestClient;
use huskarl_resource_server::{
    core::{jwk::JwksSource, server_metadata::AuthorizationServerMetadata},
    validator::custom::CustomValidator,
};
use serde_json::{Value, json};

type Validator = Arc<CustomValidator<Value>>;

async fn public() -> Json<Value> {
    Json(json!({
        "status": "success",
        "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
    }))
}

async fn private(Extension(claims): Extension<Value>) -> Json<Value> {
    Json(claims)
}

async fn authenticate(
    State(validator): State<Validator>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let uri = Uri::from_static("https://api.example.com/api/private");
    let result = validator
        .validate_request(request.headers(), request.method(), &uri, None)
        .await;
    let metadata = validator.validator_metadata(None);
    if let Some(rejection) = result.rejection(&metadata, None) {
        let answer = rejection.apply(Response::builder());
        return answer.body(Body::empty()).unwrap();
    }
    if let Ok(Some(validated)) = result.outcome {
        request.extensions_mut().insert(validated.claims);
    }
    next.run(request).await
}

#[tokio::main]
async fn main() {
    let client = ReqwestClient::builder().build().await.unwrap();
    let metadata = AuthorizationServerMetadata::oidc_fetch()
        .http_client(&client)
        .issuer(env::var("ISSUER").unwrap())
        .call()
        .await
        .unwrap();
    let seconds = env::var("JWKS_TTL").ok();
    let ttl = seconds.map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
    let keys = JwksSource::builder().http_client(client).maybe_ttl(ttl);
    let validator: Validator = Arc::new(
        CustomValidator::builder_from_metadata(&metadata)
            .with_claims::<Value>()
            .iss(metadata.issuer.clone())
            .aud(env::var("AUDIENCE").unwrap())
            // every token needs a `jti` by default, but Auth0's have none
            .require_jti(false)
            .jws_verifier_factory(keys.build())
            .build()
            .await
            .unwrap(),
    );
    let app = Router::new()
        .route("/api/private", get(private))
        .layer(from_fn_with_state(validator, authenticate))
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
