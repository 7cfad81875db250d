//! Shared by the fuzz targets: a verifier that needs no network, and tokens that it accepts.

use std::{
    future::Future,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use warp_bearer::{auth::{Algorithm, Auth, Builder}, issuer::SigningKey};

pub const ISSUER: &str = "https://issuer.example/";
pub const AUDIENCE: &str = "https://api.example.com";
/// The time of the verifier's clock, in seconds since the epoch.
pub const NOW: u64 = 2_000_000_000;
/// The issuer's secret for `HS256`.
pub const SECRET: [u8; 32] = [7; 32];

/// Returns keys with one token each, signed with `RS256` and valid until 2100.
pub fn vectors() -> &'static [Value] {
    static VECTORS: OnceLock<Vec<Value>> = OnceLock::new();
    VECTORS.get_or_init(|| {
        let mut vectors: Value =
            serde_json::from_str(include_str!("../../tests/vectors/edge_keys.json")).unwrap();
        serde_json::from_value(vectors["accepted"].take()).unwrap()
    })
}

pub fn builder() -> Builder {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    Auth::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .clock(move || now)
}

/// Returns a verifier with the keys of [`vectors`] and a secret for `HS256`.
pub fn auth() -> &'static Auth {
    static AUTH: OnceLock<Auth> = OnceLock::new();
    AUTH.get_or_init(|| {
        let keys: Vec<_> = vectors().iter().map(|vector| &vector["jwk"]).collect();
        builder()
            .algorithms([Algorithm::RS256, Algorithm::HS256])
            .signing_secret(SECRET)
            .jwks(json!({"keys": keys}).to_string())
            .build()
            .unwrap()
    })
}

/// Returns a token with exactly this header and payload, signed with the secret of [`auth`].
pub fn sign(header: &[u8], payload: &[u8]) -> String {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    let key = KEY.get_or_init(|| SigningKey::from_secret(SECRET));
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let input = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(&key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

pub fn wait<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
