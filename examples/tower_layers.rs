//! tower's layers around a warp service. They see the final answers, even those to rejected
//! requests.

use std::{convert::Infallible, io, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::{
    cors::CorsLayer, sensitive_headers::SetSensitiveRequestHeadersLayer, timeout::TimeoutLayer,
};
use warp::{
    Filter,
    http::{HeaderValue, Method, StatusCode, header},
    reply::Response,
};
use warp_bearer::{
    auth::{Auth, BearerFilterExt, Claims, handle_rejection, with_auth},
    issuer::Issuer,
};

fn routes(
    auth: &Auth,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<>
{
    let path = warp::path!("me").and(warp::get());
    let me = path
        .and(with_auth(auth))
        .map(|claims: Claims| warp::reply::json(&claims))
        .route();
    me.recover(handle_rejection).unify()
}

async fn serve(listener: TcpListener, auth: &Auth) -> io::Result<()> {
    const PAGE: HeaderValue = HeaderValue::from_static("https://app.example.com");
    let cors = CorsLayer::new()
        .allow_origin([PAGE])
        .allow_methods([Method::GET])
        .allow_headers([header::AUTHORIZATION])
        .expose_headers([header::WWW_AUTHENTICATE]); // without it, a page cannot read the challenge
    let service = ServiceBuilder::new()
        // Layers that log header fields then write `Sensitive` instead of the token
        .layer(SetSensitiveRequestHeadersLayer::new([
            header::AUTHORIZATION,
            header::SEC_WEBSOCKET_PROTOCOL,
        ]))
        .layer(cors)
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            Duration::from_secs(30),
        ))
        .service(warp::service(routes(auth)));
    let service = TowerToHyperService::new(service);
    loop {
        let (stream, service) = (listener.accept().await?.0, service.clone());
        tokio::spawn(async move {
            let http = auto::Builder::new(TokioExecutor::new());
            // an error means that the client has disconnected, so there's nothing to report
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let issuer = Issuer::start().await; // in a service of yours, your tenant
    let token = issuer.token().sign();
    println!("curl -i http://127.0.0.1:8001/me -H 'Authorization: Bearer {token}'");
    let listener = TcpListener::bind("127.0.0.1:8001").await?;
    match Auth::discover(issuer.url(), issuer.audience()) {
        Ok(auth) => serve(listener, &auth).await,
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_can_read_errors_and_their_challenges() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        auth.ready().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/me", listener.local_addr().unwrap());
        tokio::spawn(async move { serve(listener, &auth).await });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for (case, token, status) in [
            ("a token", issuer.token(), 200),
            ("expired", issuer.token().expired(), 401),
        ] {
            let request = client.get(&url).bearer_auth(token.sign());
            let answer = request
                .header("origin", "https://app.example.com")
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), status, "{case}");
            let headers = answer.headers();
            let allowed = &headers["access-control-allow-origin"];
            assert_eq!(allowed, "https://app.example.com", "{case}");
            assert_eq!(
                headers["access-control-expose-headers"], "www-authenticate",
                "{case}"
            );
            assert_eq!(
                headers.contains_key("www-authenticate"),
                status == 401,
                "{case}"
            );
        }
    }
}
