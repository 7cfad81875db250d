//! A service that moves from warp to axum, route by route.
//!
//! `/me` already uses axum, and `/messages` still uses warp. Both are served on one port and share
//! an [`Auth`], with its keys, its cache and its responses to rejected requests. Requests first go
//! to axum, which passes unknown paths on to warp. To move a route, add it to the axum router and
//! delete the warp filter.
//!
//! ```sh
//! cargo run --example warp_to_axum
//! ```

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    response::Response,
    routing::get,
};
use http_body_util::Full;
use tower::{ServiceExt, service_fn};
use warp::{Filter, filters::BoxedFilter};
use warp_bearer::{
    auth::{Auth, BearerFilterExt, Claims, Problem, handle_rejection, policy::scope, with_auth},
    issuer::Issuer,
};

/// The maximum body size of routes on warp.
const MAX_BODY: usize = 64 * 1024;

async fn me(claims: Claims) -> String {
    claims.subject().unwrap_or("you").to_owned()
}

/// The routes that have moved. Unknown paths go to the remaining ones.
fn app(auth: &Auth) -> Router {
    Router::new()
        .route("/me", get(me))
        .with_state(auth.clone())
        .fallback_service(on_warp(auth))
}

/// The routes that have not moved yet.
fn remaining(auth: &Auth) -> BoxedFilter<(warp::reply::Response,)> {
    warp::path!("messages")
        .and(warp::get())
        .and(with_auth(auth).require(scope("read:messages")))
        .map(|claims: Claims| format!("no messages for {}", claims.subject().unwrap_or("you")))
        .route()
        .recover(handle_rejection)
        .unify()
        .boxed()
}

/// Turns warp's filters into an axum service.
///
/// The body types differ and warp's must be `Sync`, so we read the whole body of a request before
/// warp gets it.
fn on_warp(
    auth: &Auth,
) -> impl tower::Service<Request, Response = Response, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
+ use<> {
    let routes = warp::service(remaining(auth));
    service_fn(move |request: Request| {
        let routes = routes.clone();
        async move {
            let (head, body) = request.into_parts();
            let Ok(body) = to_bytes(body, MAX_BODY).await else {
                return Ok(Problem::PayloadTooLarge.response());
            };
            let request = Request::from_parts(head, Full::new(body));
            let answer = routes.oneshot(request).await?;
            Ok(answer.map(Body::new))
        }
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = Issuer::start().await;
    let auth = Auth::discover(issuer.url(), issuer.audience())?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let token = issuer.token().scope("read:messages").sign();
    for path in ["me", "messages"] {
        let address = listener.local_addr()?;
        println!("curl -i http://{address}/{path} -H 'Authorization: Bearer {token}'");
    }
    axum::serve(listener, app(&auth)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn moved_routes_answer_as_before() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        let app = app(&auth);
        let token = issuer.token().subject("ann").sign();
        let reader = issuer.token().subject("ann").scope("read:messages").sign();
        #[rustfmt::skip]
        let rows = [
            ("/me", None, 401, "missing_token"),
            ("/me", Some(&token), 200, "ann"),
            ("/messages", None, 401, "missing_token"),
            ("/messages", Some(&token), 403, "insufficient_scope"),
            ("/messages", Some(&reader), 200, "no messages for ann"),
            ("/elsewhere", Some(&reader), 404, "not_found"),
        ];
        for (path, token, status, text) in rows {
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
        }
        // The second route used the cached token of the first
        assert!(auth.cache_hits() > 0);
    }
}
