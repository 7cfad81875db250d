//! Complete requests with valid or invalid tokens.

use std::thread;

use serde_json::{Value, json};
use warp_bearer::issuer::{Issuer, SigningKey, TokenBuilder};

use crate::processor;

pub const PUBLIC: &[u8] = b"GET /api/public HTTP/1.1\r\nhost: localhost\r\n\r\n";

pub fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let field = token.map_or(String::new(), |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{field}\r\n").into_bytes()
}

pub fn private(token: &str) -> Vec<u8> {
    get("/api/private", Some(token))
}

/// A token like Auth0's, of 788 bytes.
pub fn of_caller(issuer: &Issuer, i: usize) -> TokenBuilder {
    issuer
        .token()
        .subject(format!("auth0|{i:024}"))
        .scope("openid profile email read:messages write:messages")
        .claim("azp", "9h4-dtB1yMithMd1Z0tLrMe-IoKqsyDZ")
}

/// The token of [`of_caller`] with so many permissions that it has 8 KB.
pub fn large(issuer: &Issuer, i: usize) -> TokenBuilder {
    let permissions = (0..340).map(|n| format!("read:item{n:03}"));
    of_caller(issuer, i).permissions(permissions)
}

/// A token that names the issuer's key in `kid`, but is signed by `stranger`.
pub fn forged(issuer: &Issuer, stranger: &SigningKey, i: usize) -> TokenBuilder {
    let token = of_caller(issuer, i);
    token.key(stranger).kid(issuer.key().kid())
}

/// One token that is bound to the key of `prover`, with a new proof for each request.
pub fn proofs(issuer: &Issuer, prover: &SigningKey, origin: &str, count: usize) -> Vec<Vec<u8>> {
    let token = of_caller(issuer, 0).bound_to(prover).sign();
    let url = format!("{origin}/api/private");
    let request = |_| {
        let proof = prover.proof("GET", &url).token(&token).sign();
        let fields = format!("authorization: DPoP {token}\r\ndpop: {proof}\r\n");
        format!("GET /api/private HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n").into_bytes()
    };
    (0..count).map(request).collect()
}

/// Signing takes about half a millisecond each, so we divide the work among all processors.
pub fn requests(count: usize, token: impl Fn(usize) -> TokenBuilder + Sync) -> Vec<Vec<u8>> {
    let parts = thread::available_parallelism()
        .map_or(1, usize::from)
        .max(2);
    let size = count.div_ceil(parts);
    let part = |part: usize| {
        processor::anywhere();
        let callers = part * size..((part + 1) * size).min(count);
        callers
            .map(|i| private(&token(i).sign()))
            .collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let part = &part;
        let parts: Vec<_> = (0..parts).map(|i| scope.spawn(move || part(i))).collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap())
            .collect()
    })
}

pub fn hundred_keys(issuer: &Issuer) -> Value {
    let own = issuer.key().public_jwk();
    let modulus = own["n"].as_str().unwrap();
    let others = (0..99).map(|i| {
        let mut other = own.clone();
        other["kid"] = json!(format!("other-{i}"));
        // only change the middle of the modulus, so that it stays odd and keeps its size
        let (head, tail) = modulus.split_at(100);
        other["n"] = json!(format!("{head}{i:04}{}", &tail[4..]));
        other
    });
    json!({ "keys": others.chain([own.clone()]).collect::<Vec<_>>() })
}
