//! A gRPC service of tonic behind [`RequireLayer`]. A rejected call ends with a gRPC status and has
//! the challenge in its metadata.
//!
//! The service is written by hand, since tonic's code generator needs `protoc`. With generated
//! code, all that remains is `layer(..)` and the line that reads the claims from the extensions.
//!
//! ```sh
//! cargo run --example tonic
//! ```

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
    server::{NamedService, UnaryService},
    transport::{Channel, Server, server::TcpIncoming},
};
use warp_bearer::{
    auth::{Auth, Claims, policy::scope, tower::RequireLayer},
    issuer::Issuer,
};

/// `example.Greeter`, with one method, `Greet`.
#[derive(Clone)]
struct Greeter;

impl UnaryService<String> for Greeter {
    type Response = String;
    type Future = Ready<Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        // The layer has put the claims here. Without it, there are none.
        let greeting = match request.extensions().get::<Claims>() {
            Some(claims) => Ok(format!(
                "{}, {}",
                request.get_ref(),
                claims.subject().unwrap_or("you")
            )),
            None => Err(Status::unauthenticated("no claims")),
        };
        ready(greeting.map(Response::new))
    }
}

/// Serves the greeter on a free port.
async fn serve(auth: &Auth) -> Result<(String, JoinHandle<()>), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let server = Server::builder()
        .layer(RequireLayer::grpc(auth, scope("greet")))
        .add_service(Greeter)
        .serve_with_incoming(TcpIncoming::from(listener));
    let task = tokio::spawn(async {
        if let Err(error) = server.await {
            eprintln!("{error}");
        }
    });
    Ok((address, task))
}

async fn greet(address: &str, token: &str) -> Result<String, Status> {
    let channel = Channel::from_shared(address.to_owned());
    let channel = channel.map_err(|error| Status::internal(error.to_string()))?;
    let channel = channel.connect().await;
    let channel = channel.map_err(|error| Status::internal(error.to_string()))?;
    let mut client = tonic::client::Grpc::new(channel);
    let ready = client.ready().await;
    ready.map_err(|error| Status::internal(error.to_string()))?;
    let mut request = Request::new("hello".to_owned());
    if let Ok(field) = MetadataValue::try_from(format!("Bearer {token}")) {
        request.metadata_mut().insert("authorization", field);
    }
    let path = http::uri::PathAndQuery::from_static("/example.Greeter/Greet");
    Ok(client.unary(request, path, Text).await?.into_inner())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let issuer = Issuer::start().await;
    let auth = Auth::discover(issuer.url(), issuer.audience())?;
    let (address, served) = serve(&auth).await?;
    for token in [issuer.token().scope("greet"), issuer.token()] {
        println!("{:?}", greet(&address, &token.sign()).await);
    }
    served.abort();
    Ok(())
}

// From here on, you would have generated code

impl NamedService for Greeter {
    const NAME: &'static str = "example.Greeter";
}

impl tower::Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/example.Greeter/Greet" => {
                    tonic::server::Grpc::new(Text).unary(Self, request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// A codec for plain text, instead of Protocol Buffers.
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
        let text = String::from_utf8(buffer.copy_to_bytes(buffer.remaining()).to_vec());
        text.map(Some)
            .map_err(|_| Status::invalid_argument("not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn maps_rejections_to_grpc_statuses() {
        let issuer = Issuer::start().await;
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        let (address, served) = serve(&auth).await.unwrap();
        let greeter = issuer.token().scope("greet").subject("ann");
        assert_eq!(
            greet(&address, &greeter.sign()).await.unwrap(),
            "hello, ann"
        );
        let good = issuer.token();
        for (case, token, code, challenge) in [
            (
                "no token",
                String::new(),
                Code::Unauthenticated,
                "invalid_request",
            ),
            (
                "expired",
                issuer.token().expired().sign(),
                Code::Unauthenticated,
                "invalid_token",
            ),
            (
                "no scope",
                good.sign(),
                Code::PermissionDenied,
                r#"scope="greet""#,
            ),
        ] {
            let status = greet(&address, &token).await.unwrap_err();
            assert_eq!(status.code(), code, "{case}");
            let field = status.metadata().get("www-authenticate").unwrap();
            let field = field.to_str().unwrap();
            assert!(field.contains(challenge), "{case}: {field}");
        }
        served.abort();
    }

    #[tokio::test]
    async fn a_call_without_keys_can_be_retried() {
        let issuer = Issuer::start().await;
        let (url, audience) = (issuer.url().to_owned(), issuer.audience().to_owned());
        let token = issuer.token().scope("greet").sign();
        issuer.go_down().await;
        let auth = Auth::discover(&url, &audience).unwrap();
        let (address, served) = serve(&auth).await.unwrap();
        let status = greet(&address, &token).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
        assert!(pushback.to_str().unwrap().parse::<u64>().unwrap() >= 1000);
        served.abort();
    }
}
