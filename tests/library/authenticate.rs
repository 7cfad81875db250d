//! `Auth::authenticate` with an `http::Request` and fixed keys. Needs no framework, no issuer and
//! no feature.

use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};
use warp_bearer::auth::{
    Auth, AuthError, Claims, Refusal, RequestHead, TrustedIssuer, claims::NoPrivate, policy,
};

const AUDIENCE: &str = "https://api.example.com";
const ISSUER: &str = "https://issuer.example/";

/// A key, and a token for [`AUDIENCE`] that it has signed.
struct Vector {
    jwk: Value,
    token: String,
}

impl Vector {
    fn read() -> Self {
        let vectors: Value =
            serde_json::from_str(include_str!("../vectors/edge_keys.json")).unwrap();
        let vector = &vectors["accepted"][0];
        Self {
            jwk: vector["jwk"].clone(),
            token: vector["token"].as_str().unwrap().to_owned(),
        }
    }

    fn auth(&self, audience: &str) -> Auth {
        let issuer = TrustedIssuer::new(ISSUER)
            .audience(audience)
            .jwks(json!({"keys": [self.jwk]}).to_string());
        Auth::builder().issuer(issuer).build().unwrap()
    }

    /// The same token, with some bits at the end of its signature changed.
    fn forged(&self) -> String {
        let (rest, signature) = self.token.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { "B" } else { "A" };
        format!("{rest}.{first}{}", &signature[1..])
    }
}

fn bearer(token: &str) -> Request<()> {
    let request = Request::get("/messages").header("authorization", format!("Bearer {token}"));
    request.body(()).unwrap()
}

async fn authenticate(auth: &Auth, request: &Request<()>) -> Result<Claims, Refusal> {
    let head = RequestHead::new(request.method(), request.uri().path(), request.headers());
    auth.authenticate(&head).await
}

#[tokio::test]
async fn accepts_a_token_of_a_fixed_key() {
    let vector = Vector::read();
    let auth = vector.auth(AUDIENCE);
    assert!(auth.is_ready(), "configured keys need no fetch");
    let claims = authenticate(&auth, &bearer(&vector.token)).await.unwrap();
    assert_eq!(claims.subject(), Some("auth0|mallory"));
}

#[tokio::test]
async fn rejects_each_fault_with_its_error_and_challenge() {
    let vector = Vector::read();
    let auth = vector.auth(AUDIENCE);
    let two_fields = {
        let mut request = bearer(&vector.token);
        let field = request.headers()["authorization"].clone();
        request.headers_mut().append("authorization", field);
        request
    };
    let other_audience = vector.auth("https://other.example.com");
    #[rustfmt::skip]
    let rows = [
        ("no token", &auth, Request::new(()), 401, "missing_token", r#"Bearer realm="api""#),
        ("no token in the field", &auth, bearer(""), 400, "malformed_authorization", "invalid_request"),
        ("two fields", &auth, two_fields, 400, "multiple_credentials", "invalid_request"),
        ("not a JWT", &auth, bearer("opaque"), 401, "token_not_jwt", "invalid_token"),
        ("forged", &auth, bearer(&vector.forged()), 401, "bad_signature", "invalid_token"),
        ("for another audience", &other_audience, bearer(&vector.token), 401, "wrong_audience", "invalid_token"),
    ];
    for (case, auth, request, status, code, challenge) in rows {
        let refusal = authenticate(auth, &request).await.unwrap_err();
        assert_eq!(refusal.error.status(), status, "{case}");
        assert_eq!(refusal.error.code(), code, "{case}");
        let field = refusal.www_authenticate().unwrap();
        assert!(field.contains(challenge), "{case}: {field}");
    }
}

#[tokio::test]
async fn authorize_names_the_missing_scope() {
    let vector = Vector::read();
    let auth = vector.auth(AUDIENCE);
    let request = bearer(&vector.token);
    let head = RequestHead::new(request.method(), "/messages", request.headers());
    let requirement: policy::Requirement<NoPrivate> = policy::scope("read:messages").into();
    let refusal = auth.authorize(&head, &requirement).await.unwrap_err();
    assert_eq!(refusal.error, AuthError::InsufficientScope);
    assert_eq!(refusal.error.status(), 403);
    let field = refusal.www_authenticate().unwrap();
    assert!(field.contains(r#"scope="read:messages""#), "{field}");
}

#[tokio::test]
async fn method_and_path_do_not_change_the_result() {
    let vector = Vector::read();
    let auth = vector.auth(AUDIENCE);
    let request = bearer(&vector.token);
    for (method, path) in [
        (Method::OPTIONS, "/"),
        (Method::POST, "/a"),
        (Method::GET, ""),
    ] {
        let head = RequestHead::new(&method, path, request.headers());
        let claims: Result<Claims, _> = auth.authenticate(&head).await;
        assert!(claims.is_ok(), "{method} {path}");
        let empty = HeaderMap::new();
        let head = RequestHead::new(&method, path, &empty);
        let claims: Result<Claims, _> = auth.authenticate(&head).await;
        assert_eq!(
            claims.unwrap_err().error,
            AuthError::MissingToken,
            "{method} {path}"
        );
    }
}

/// The filter and `authenticate` should give the same result.
#[cfg(feature = "warp")]
#[tokio::test]
async fn filter_gives_the_same_result() {
    use warp::Filter;
    use warp_bearer::auth::{BearerFilterExt, handle_rejection, with_auth};

    let vector = Vector::read();
    let auth = vector.auth(AUDIENCE);
    let routes = warp::path!("messages")
        .and(with_auth(&auth))
        .map(|claims: Claims| claims.subject().unwrap_or_default().to_owned())
        .route()
        .recover(handle_rejection);
    for token in [vector.token.clone(), vector.forged(), "opaque".to_owned()] {
        let verdict = authenticate(&auth, &bearer(&token)).await;
        let reply = warp::test::request()
            .path("/messages")
            .header("authorization", format!("Bearer {token}"))
            .reply(&routes)
            .await;
        match verdict {
            Ok(claims) => {
                assert_eq!(reply.status(), 200);
                assert_eq!(reply.body(), claims.subject().unwrap());
            }
            Err(refusal) => {
                assert_eq!(reply.status(), refusal.error.status());
                let field = reply.headers()["www-authenticate"].to_str().unwrap();
                assert_eq!(Some(field), refusal.www_authenticate().as_deref());
            }
        }
    }
}

/// Tokens of all three parameter sets, from an issuer that publishes the key.
#[cfg(all(feature = "pq", feature = "testing"))]
#[tokio::test]
async fn verifies_ml_dsa_tokens() {
    use warp_bearer::{
        auth::{Algorithm, Auth, Claims},
        issuer::Issuer,
    };
    for algorithm in [Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87] {
        let issuer = Issuer::with_algorithm(algorithm).await;
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .algorithms([algorithm])
            .build()
            .unwrap();
        let claims: Result<Claims, _> = auth.verify(&issuer.token().sign()).await;
        assert!(claims.is_ok(), "{algorithm}: {claims:?}");
    }
}
