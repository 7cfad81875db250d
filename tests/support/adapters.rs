//! Sends the same request to every adapter of the library: an axum extractor, an axum layer,
//! and a tonic service. [`Adapters::agree`] compares their answers with warp's.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use axum::{Extension, Router, body::Body, extract::Request, response::Response, routing::get};
use bytes::{Buf, BufMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService},
};
use tower::{Layer, Service, ServiceExt};
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use warp_bearer::auth::{
    Auth, Claims,
    policy::Requirement,
    tower::{AuthLayer, RequireLayer},
};

use super::Answer;

/// Services that return the claims in JSON, each behind a different adapter of the same `Auth`.
#[derive(Clone)]
pub struct Adapters {
    http: Vec<(&'static str, Router)>,
    grpc: Router,
}

impl Adapters {
    /// Requires a valid token.
    pub fn new(auth: &Auth) -> Self {
        let extractor = Router::new()
            .route("/", get(|claims: Claims| async move { json(&claims) }))
            .with_state(auth.clone());
        let layer = Router::new()
            .route("/", get(of_extension))
            .layer(AuthLayer::new(auth));
        // Each verifies the token by itself, but together they shouldn't verify it twice.
        let both = extractor.clone().layer(AuthLayer::new(auth));
        let grpc = AuthLayer::grpc(auth).layer(ClaimsService);
        Self {
            http: vec![("extractor", extractor), ("layer", layer), ("both", both)],
            grpc: Router::new().fallback_service(grpc),
        }
    }

    /// Like [`new`](Self::new), but with a requirement. `requirement` is called once for each
    /// adapter.
    pub fn requiring<X>(auth: &Auth, requirement: impl Fn() -> Requirement<X>) -> Self
    where
        X: DeserializeOwned + Send + 'static,
    {
        let alone = Router::new()
            .route("/", get(of_extension))
            .layer(RequireLayer::new(auth, requirement()));
        let within = Router::new()
            .route("/", get(of_extension))
            .layer(RequireLayer::new(auth, requirement()))
            .layer(AuthLayer::new(auth).optional());
        let grpc = RequireLayer::grpc(auth, requirement()).layer(ClaimsService);
        Self {
            http: vec![("alone", alone), ("within", within)],
            grpc: Router::new().fallback_service(grpc),
        }
    }

    /// Checks that every adapter answers a request with these header fields as warp does.
    pub async fn agree(&self, headers: &HeaderMap, warp: &Answer) {
        for (name, router) in &self.http {
            let answer = self.ask(router, Method::GET, headers).await;
            assert_eq!(answer.status, warp.status, "{name}: {answer:?} {warp:?}");
            assert_eq!(answer.body, warp.body, "{name}");
            let challenges = |answer: &Answer| {
                let values = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
                values.cloned().collect::<Vec<_>>()
            };
            assert_eq!(challenges(&answer), challenges(warp), "{name}");
            // `Retry-After` counts down, so we can't compare the values
            let is_retried = |answer: &Answer| answer.headers.contains_key(header::RETRY_AFTER);
            assert_eq!(is_retried(&answer), is_retried(warp), "{name}");
            if !warp.status.is_success() {
                for field in [header::CONTENT_TYPE, header::CACHE_CONTROL] {
                    let (ours, theirs) = (answer.header(&field), warp.header(&field));
                    assert_eq!(ours, theirs, "{name}: {field}");
                }
            }
        }
        self.grpc_agrees(headers, warp).await;
    }

    async fn grpc_agrees(&self, headers: &HeaderMap, warp: &Answer) {
        let mut headers = headers.clone();
        let grpc = HeaderValue::from_static("application/grpc");
        headers.insert(header::CONTENT_TYPE, grpc);
        let answer = self.ask(&self.grpc, Method::POST, &headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/grpc");
        let code = match warp.status.as_u16() {
            200 => tonic::Code::Ok,
            400 | 401 => tonic::Code::Unauthenticated,
            403 => tonic::Code::PermissionDenied,
            503 => tonic::Code::Unavailable,
            other => panic!("no gRPC status for {other}"),
        };
        let status = Status::from_header_map(&answer.headers);
        let status = status.unwrap_or_else(|| panic!("no status in {answer:?}"));
        assert_eq!(status.code(), code, "{answer:?} {warp:?}");
        if code == tonic::Code::Ok {
            assert_eq!(answer.body, warp.body);
        } else {
            let problem = warp.json();
            assert_eq!(Some(status.message()), problem["detail"].as_str());
            let metadata = status.metadata();
            let challenge = metadata.get("www-authenticate");
            let challenge = challenge.map_or("", |value| value.to_str().unwrap());
            assert_eq!(challenge, warp.header("www-authenticate"));
        }
    }

    async fn ask(&self, router: &Router, method: Method, headers: &HeaderMap) -> Answer {
        let mut request = Request::new(Body::from(vec![0; 5]));
        *request.method_mut() = method;
        *request.headers_mut() = headers.clone();
        let Ok(answer) = router.clone().oneshot(request).await;
        let (mut head, body) = answer.into_parts();
        let body = body.collect().await.unwrap();
        if let Some(trailers) = body.trailers() {
            head.headers.extend(trailers.clone());
        }
        let mut body = body.to_bytes();
        // a gRPC message is a compression byte, four length bytes, and the text
        if head.headers.contains_key("grpc-status") && !body.is_empty() {
            body.advance(5);
        }
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.into()).unwrap(),
        }
    }
}

fn json(claims: &Claims) -> String {
    claims.json().to_owned()
}

async fn of_extension(claims: Extension<Claims>) -> String {
    json(&claims)
}

/// A gRPC service whose only method returns the claims of the call.
#[derive(Clone)]
struct ClaimsService;

impl NamedService for ClaimsService {
    const NAME: &'static str = "test.ClaimsService";
}

impl Service<Request> for ClaimsService {
    type Response = Response;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(async {
            let answer = Grpc::new(Text).unary(ClaimsService, request).await;
            Ok(answer.map(Body::new))
        })
    }
}

impl tonic::server::UnaryService<String> for ClaimsService {
    type Response = String;
    type Future = Ready<Result<tonic::Response<String>, Status>>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        let claims = request.extensions().get::<Claims>();
        let answer = claims.map(|claims| tonic::Response::new(json(claims)));
        ready(answer.ok_or_else(|| Status::internal("no claims")))
    }
}

/// A codec for plain text, so that we need no generated code.
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let text = String::from_utf8(bytes.to_vec());
        text.map(Some)
            .map_err(|_| Status::invalid_argument("not UTF-8"))
    }
}
