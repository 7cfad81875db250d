//! warp with `jsonwebtoken::decode` for each request: what you would write first.

use std::{env, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use serde_json::{Value, json};
use warp::{Filter, Rejection, http::StatusCode, reject::Reject};

#[derive(Debug)]
struct Refused;

impl Reject for Refused {}

struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    fn from_env() -> Self {
        let set = std::fs::read_to_string(env::var("JWKS_FILE").unwrap()).unwrap();
        let set: JwkSet = serde_json::from_str(&set).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[env::var("ISSUER").unwrap()]);
        validation.set_audience(&[env::var("AUDIENCE").unwrap()]);
        Self {
            key: DecodingKey::from_jwk(&set.keys[0]).unwrap(),
            validation,
        }
    }

    fn claims(&self, field: &str) -> Result<Value, Rejection> {
        let token = field.strip_prefix("Bearer ");
        let token = token.ok_or_else(|| warp::reject::custom(Refused))?;
        match decode(token, &self.key, &self.validation) {
            Ok(verified) => Ok(verified.claims),
            Err(_) => Err(warp::reject::custom(Refused)),
        }
    }
}

#[tokio::main]
async fn main() {
    let verifier = Arc::new(Verifier::from_env());
    let public = warp::path!("api" / "public").and(warp::get()).map(|| {
        warp::reply::json(&json!({
            "status": "success",
            "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
        }))
    });
    let claims = warp::header::<String>("authorization").and_then(move |field: String| {
        let verifier = Arc::clone(&verifier);
        async move { verifier.claims(&field) }
    });
    let private = warp::path!("api" / "private")
        .and(warp::get())
        .and(claims)
        .map(|claims: Value| warp::reply::json(&claims));
    let refused = |_| async { Ok::<_, Rejection>(StatusCode::UNAUTHORIZED) };
    let port: u16 = env::var("PORT").unwrap().parse().unwrap();
    warp::serve(public.or(private).recover(refused))
        .run(([127, 0, 0, 1], port))
        .await;
}
