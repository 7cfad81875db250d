//! The two reference servers. Both answer with the same 200, and require no token for the public
//! route.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{
    Engine,
    engine::{Simd, general_purpose::NO_PAD},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;

/// As fast as the decoder of the service.
static BASE64URL: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));

const BODY: &[u8] = br#"{"status":"success","msg":"Hello from a public endpoint! You don't need to be authenticated to see this."}"#;

/// Serves on the port in PORT. If a key (`n.e`, base64url) is given, verifies each token with it.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(key: Option<&str>) {
    let key = key.map(|key| Arc::new(parse(key)));
    let port = std::env::var("PORT").expect("PORT");
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        let key = key.clone();
        let service = service_fn(move |request| {
            let answer = answer(key.as_deref(), &request);
            async { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(key: Option<&ParsedPublicKey>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let open = request.uri().path() == "/api/public";
    let good = open || key.is_none_or(|key| verify(key, request).is_some());
    let mut response = Response::new(Full::new(Bytes::from_static(BODY)));
    if !good {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    }
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn parse(key: &str) -> ParsedPublicKey {
    let (n, e) = key.split_once('.').expect("n.e");
    let decode = |part| BASE64URL.decode(part).expect("base64url");
    let (n, e) = (decode(n), decode(e));
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .unwrap()
}

/// Only verifies the signature, without reading any JSON.
fn verify<B>(key: &ParsedPublicKey, request: &Request<B>) -> Option<()> {
    let field = request.headers().get(header::AUTHORIZATION)?;
    let token = field.as_bytes().strip_prefix(b"Bearer ")?;
    let dot = token.iter().rposition(|c| *c == b'.')?;
    let signature = BASE64URL.decode(&token[dot + 1..]).ok()?;
    key.verify_sig(&token[..dot], &signature).ok()
}
