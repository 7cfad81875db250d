//! The three reference servers. All give the same 200, and none requires a token for the public
//! route.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
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

/// As fast as the service's decoder, so that decoding doesn't affect the comparison.
static BASE64URL: LazyLock<Simd> = LazyLock::new(|| Simd::url_safe(NO_PAD));

const BODY: &[u8] = br#"{"status":"success","msg":"Hello from a public endpoint! You don't need to be authenticated to see this."}"#;

/// The signature to verify: that of the token, or that of the proof beside it.
struct Signed {
    key: ParsedPublicKey,
    field: header::HeaderName,
    scheme: &'static [u8],
}

/// Serves on the port in PORT. With `key` (`n.e`, base64url), verifies each token; with `proof_key`
/// (`x.y`, base64url), each DPoP proof. If both are given, only the token is verified.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(key: Option<&str>, proof_key: Option<&str>) {
    let of_tokens = key.map(|key| Signed {
        key: parse(key),
        field: header::AUTHORIZATION,
        scheme: b"Bearer ",
    });
    let of_proofs = proof_key.map(|key| Signed {
        key: parse_point(key),
        field: header::HeaderName::from_static("dpop"),
        scheme: b"",
    });
    let key = of_tokens.or(of_proofs).map(Arc::new);
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

fn answer(key: Option<&Signed>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
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

fn parse_point(key: &str) -> ParsedPublicKey {
    let (x, y) = key.split_once('.').expect("x.y");
    let decode = |part| BASE64URL.decode(part).expect("base64url");
    let point = [vec![4], decode(x), decode(y)].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).unwrap()
}

/// Verifies nothing but the signature, and reads no JSON.
fn verify<B>(signed: &Signed, request: &Request<B>) -> Option<()> {
    let field = request.headers().get(&signed.field)?;
    let token = field.as_bytes().strip_prefix(signed.scheme)?;
    let dot = token.iter().rposition(|c| *c == b'.')?;
    let signature = BASE64URL.decode(&token[dot + 1..]).ok()?;
    signed.key.verify_sig(&token[..dot], &signature).ok()
}
