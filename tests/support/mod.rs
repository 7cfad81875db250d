//! Helpers that several test crates share.
//!
//! | to test | use |
//! |---|---|
//! | the service's routes, without a socket | [`Tenant`], which answers with an [`Answer`] |
//! | routes of your own | [`Tenant::auth`] and `warp::test`, then [`answer`] |
//! | a request byte for byte, over a socket | [`raw::Service`] and [`raw::Client`] |
//! | HTTP/2 frame by frame | [`frames`] |
//! | a token with a malformed header or payload | [`text::Object`], signed by `Issuer::sign_raw` |
//! | any other good or bad token | `Issuer::token`, of the library |
//! | what happens as time passes | [`clock::StoppedClock`] |
//! | the binary: its output and its end | [`process::Process`], or [`process::run`] |
//! | the binary beside an issuer that fits it | [`world::World`] |
//! | a verdict in axum and gRPC beside warp's | [`adapters`]; [`raw::Client::with_lines`] uses it |
//! | what replicas share | [`redis::RedisServer`] and [`redis::Proxy`] |
//! | limits and shutdown of the server | `tests/server/harness.rs` |
//! | request log and metrics | `tests/observe/service.rs` |
//! | the library with fixed keys, no issuer | `tests/library/authenticate.rs` |
#![allow(dead_code, unreachable_pub)] // each test uses its part

#[cfg(feature = "axum")]
pub mod adapters;
pub mod clock;
pub mod frames;
#[cfg(feature = "service")]
pub mod process;
#[cfg(feature = "service")]
pub mod raw;
#[cfg(feature = "redis")]
pub mod redis;
pub mod text;
#[cfg(feature = "service")]
pub mod world;

use serde_json::Value;
use warp::http::{HeaderMap, StatusCode, header};
#[cfg(feature = "service")]
use warp::{Filter, reply::Response};
#[cfg(feature = "service")]
use warp_bearer::service::{Access, Shutdown, routes};
use warp_bearer::{
    auth::{Algorithm, Auth},
    issuer::Issuer,
};

/// The algorithms whose keys an issuer publishes, RSA first. We list them here instead of using
/// [`Algorithm::ALL`], so that we'd notice if one went missing there.
pub const ASYMMETRIC: [Algorithm; 10] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
    Algorithm::EdDSA,
];

/// An issuer, and an `Auth` that holds its keys.
pub struct Tenant {
    pub issuer: Issuer,
    pub auth: Auth,
}

impl Tenant {
    pub async fn start() -> Self {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        auth.ready().await;
        Self { issuer, auth }
    }
}

#[cfg(feature = "service")]
impl Tenant {
    pub fn routes(
        &self,
    ) -> impl Filter<Extract = (Response,), Error = std::convert::Infallible>
    + Clone
    + Send
    + Sync
    + 'static
    + use<> {
        routes(&Access::from(&self.auth), &Shutdown::new())
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send("GET", path, token).await
    }

    pub async fn send(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        let mut request = warp::test::request().method(method).path(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answer(&request.reply(&self.routes()).await)
    }
}

pub fn answer(reply: &warp::http::Response<impl AsRef<[u8]>>) -> Answer {
    Answer {
        status: reply.status(),
        headers: reply.headers().clone(),
        body: String::from_utf8(reply.body().as_ref().to_vec()).unwrap(),
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Checks what every failure must have.
    pub fn assert_is_problem(&self, case: &str, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{case}: {self:?}");
        assert_eq!(self.code(), code, "{case}: {self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{case}"
        );
        let body = self.json();
        assert_eq!(body["status"], status, "{case}");
        let title = self.status.canonical_reason().unwrap();
        assert_eq!(body["title"], title, "{case}");
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{case}"
        );
        if matches!(status, 401 | 403) || !self.header("www-authenticate").is_empty() {
            assert_eq!(self.header("cache-control"), "no-store", "{case}");
            let challenge = self.header("www-authenticate");
            assert!(
                challenge.starts_with("Bearer realm=\"api\""),
                "{case}: {challenge}"
            );
            match body["error"].as_str() {
                None => assert!(!challenge.contains("error="), "{case}: {challenge}"),
                Some(error) => {
                    let detail = body["detail"].as_str().unwrap();
                    let said = format!("error=\"{error}\", error_description=\"{detail}\"");
                    assert!(challenge.contains(&said), "{case}: {challenge}");
                }
            }
        }
    }
}
