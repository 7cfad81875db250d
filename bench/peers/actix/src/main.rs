//! actix-web with `jsonwebtoken::decode` in a handler. The key is created once from the key set.

use std::env;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, get, http::header, web::Data};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
use serde_json::{Value, json};

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

    fn claims(&self, request: &HttpRequest) -> Option<Value> {
        let field = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = field.strip_prefix("Bearer ")?;
        let verified = decode(token, &self.key, &self.validation).ok()?;
        Some(verified.claims)
    }
}

#[get("/api/public")]
async fn public() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "status": "success",
        "msg": "Hello from a public endpoint! You don't need to be authenticated to see this.",
    }))
}

#[get("/api/private")]
async fn private(request: HttpRequest, verifier: Data<Verifier>) -> HttpResponse {
    match verifier.claims(&request) {
        Some(claims) => HttpResponse::Ok().json(claims),
        None => HttpResponse::Unauthorized().finish(),
    }
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let verifier = Data::new(Verifier::from_env());
    let port: u16 = env::var("PORT").unwrap().parse().unwrap();
    HttpServer::new(move || {
        App::new()
            .app_data(verifier.clone())
            .service(public)
            .service(private)
    })
    .bind(("127.0.0.1", port))?
    .run()
    .await
}
