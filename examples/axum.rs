//! An axum service that verifies tokens: claims as an argument, and a layer for a policy.
//!
//! ```sh
//! cargo run --example axum
//! ```

use axum::{Router, routing::get};
use warp_bearer::{
    auth::{Auth, Claims, SetupError, policy::scope, tower::RequireLayer},
    issuer::Issuer,
};

/// This only compiles in a router whose state contains an `Auth`.
async fn me(claims: Claims) -> String {
    format!("hello, {}", claims.subject().unwrap_or("you"))
}

async fn messages(claims: Claims) -> String {
    format!("no messages for {}", claims.subject().unwrap_or("you"))
}

async fn greeting(claims: Option<Claims>) -> &'static str {
    match claims {
        Some(_) => "hello again",
        None => "hello, stranger",
    }
}

fn app(auth: Auth) -> Router {
    let reader = RequireLayer::new(&auth, scope("read:messages"));
    Router::new()
        .route("/me", get(me))
        .route("/messages", get(messages).route_layer(reader))
        .route("/greeting", get(greeting))
        .with_state(auth)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = Issuer::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let token = issuer.token().scope("read:messages").sign();
    let address = listener.local_addr()?;
    println!("curl -i http://{address}/messages -H 'Authorization: Bearer {token}'");
    axum::serve(listener, app(auth(&issuer)?)).await?;
    Ok(())
}

fn auth(issuer: &Issuer) -> Result<Auth, SetupError> {
    Auth::discover(issuer.url(), issuer.audience())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn answers_like_every_other_adapter() {
        let issuer = Issuer::start().await;
        let app = app(auth(&issuer).unwrap());
        let plain = issuer.token().subject("ann").sign();
        let reader = issuer.token().subject("ann").scope("read:messages").sign();
        let expired = issuer.token().expired().sign();
        #[rustfmt::skip]
        let rows = [
            ("/me", None, 401, "missing_token", r#"Bearer realm="api""#),
            ("/me", Some(&plain), 200, "hello, ann", ""),
            ("/messages", None, 401, "missing_token", r#"scope="read:messages""#),
            ("/messages", Some(&plain), 403, "insufficient_scope", r#"scope="read:messages""#),
            ("/messages", Some(&reader), 200, "no messages for ann", ""),
            ("/greeting", None, 200, "hello, stranger", ""),
            ("/greeting", Some(&plain), 200, "hello again", ""),
            ("/greeting", Some(&expired), 401, "token_expired", "invalid_token"),
        ];
        for (path, token, status, text, challenge) in rows {
            let mut request = Request::get(path);
            if let Some(token) = token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let request = request.body(Body::empty()).unwrap();
            let (head, body) = app.clone().oneshot(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            assert_eq!(head.status, status, "{path}");
            assert!(
                str::from_utf8(&body).unwrap().contains(text),
                "{path}: {body:?}"
            );
            let field = head.headers.get("www-authenticate");
            let field = field.map_or("", |value| value.to_str().unwrap());
            assert!(field.contains(challenge), "{path}: {field}");
        }
    }
}
