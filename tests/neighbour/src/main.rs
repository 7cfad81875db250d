//! Uses the library and jsonwebtoken's `rust_crypto` backend in one process.
//!
//! jsonwebtoken panics at its first signature if a build enables two of its backends. If this
//! library enabled one, it would break every crate that uses the other.

use std::error::Error;

use http::Request;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Value, json};
use warp_bearer::auth::{Auth, Claims, RequestHead, TrustedIssuer};

const VECTORS: &str = include_str!("../../vectors/edge_keys.json");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // jsonwebtoken must work before the library is used, and after it.
    round_trip()?;
    verify().await?;
    round_trip()?;
    println!("jsonwebtoken and warp-bearer verify in one process");
    Ok(())
}

fn round_trip() -> Result<(), Box<dyn Error>> {
    let secret = b"0123456789abcdef0123456789abcdef";
    let claims = json!({"sub": "neighbour", "exp": 4_102_444_800_u64});
    let key = EncodingKey::from_secret(secret);
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key)?;

    let key = DecodingKey::from_secret(secret);
    let decoded = decode::<Value>(&token, &key, &Validation::new(Algorithm::HS256))?;
    assert_eq!(decoded.claims, claims);

    let other = DecodingKey::from_secret(b"another secret of 32 bytes, 32 b");
    assert!(decode::<Value>(&token, &other, &Validation::new(Algorithm::HS256)).is_err());
    Ok(())
}

async fn verify() -> Result<(), Box<dyn Error>> {
    let vectors: Value = serde_json::from_str(VECTORS)?;
    let vector = &vectors["accepted"][0];
    let token = vector["token"].as_str().ok_or("a token")?;
    let issuer = TrustedIssuer::new("https://issuer.example/")
        .audience("https://api.example.com")
        .jwks(json!({"keys": [vector["jwk"]]}).to_string());
    let auth = Auth::builder().issuer(issuer).build()?;

    let request = Request::get("/").header("authorization", format!("Bearer {token}"));
    let request = request.body(())?;
    let head = RequestHead::new(request.method(), request.uri().path(), request.headers());
    let claims: Claims = auth.authenticate(&head).await.map_err(|refusal| refusal.error)?;
    assert_eq!(claims.subject(), Some("auth0|mallory"));
    Ok(())
}
