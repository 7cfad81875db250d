//! The two references. Both answer every request with the same 200.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

const BODY: &[u8] = br#"{"status":"success","msg":"Hello from a public endpoint! You don't need to be authenticated to see this."}"#;

/// Serves on a free port, which it prints; with a key (`n.e`, base64url) it verifies each token.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(key: Option<&str>) {
    let key = key.map(|key| Arc::new(parse(key)));
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        let key = key.clone();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let good = key
                .as_ref()
                .is_none_or(|key| verify(key, &request).is_some());
            async move {
                let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
                if !good {
                    *response.status_mut() = hyper::StatusCode::UNAUTHORIZED;
                }
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    header::HeaderValue::from_static("application/json"),
                );
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn parse(key: &str) -> ParsedPublicKey {
    let (n, e) = key.split_once('.').unwrap();
    let (n, e) = (
        URL_SAFE_NO_PAD.decode(n).unwrap(),
        URL_SAFE_NO_PAD.decode(e).unwrap(),
    );
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .unwrap()
}

/// The verification and nothing else: no JSON is read.
fn verify<B>(key: &ParsedPublicKey, request: &Request<B>) -> Option<()> {
    let field = request.headers().get(header::AUTHORIZATION)?;
    let token = field.as_bytes().strip_prefix(b"Bearer ")?;
    let dot = token.iter().rposition(|c| *c == b'.')?;
    let signature = URL_SAFE_NO_PAD.decode(&token[dot + 1..]).ok()?;
    key.verify_sig(&token[..dot], &signature).ok()
}
