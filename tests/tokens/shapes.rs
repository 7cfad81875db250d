//! Tokens of widely used issuers, and the options with which they are accepted.
//!
//! The tokens in `shapes.json` come from the issuers' documentation, with other names and tenant
//! numbers. We sign them with the local issuer's key, and the clock shows one minute after each was
//! issued.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use warp_bearer::{
    auth::{
        Auth, AuthError, Builder, Claims, TrustedIssuer,
        claims::Auth0,
        policy::{check, machine, permission, role, scope, user},
    },
    issuer::Issuer,
};

/// Adds options to a builder with only the issuer and the audience, which is what `serve` builds from
/// `AUTH0_ISSUER` and `AUTH0_API_AUDIENCE`.
type Options = fn(Builder) -> Builder;

#[derive(Deserialize)]
struct Shape {
    name: String,
    source: String,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Shape {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("shapes.json")).unwrap()
    }

    fn named(name: &str) -> Self {
        let mut all = Self::all().into_iter();
        all.find(|shape| shape.name == name).expect(name)
    }

    fn signed(&self, issuer: &Issuer) -> String {
        let mut header = self.header.clone();
        header.insert("kid".to_owned(), json!(issuer.key().kid()));
        let (header, claims) = (json!(header), json!(self.claims));
        issuer.sign_raw(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Trusts the issuer of this shape, with the local issuer's key. The key has no `alg`, because
    /// several of these issuers publish theirs without one.
    fn auth(&self, issuer: &Issuer, audience: &str, options: Options) -> Auth {
        let mut key = issuer.key().public_jwk();
        key.as_object_mut().unwrap().remove("alg");
        let url = self.claims["iss"].as_str().unwrap();
        let birth = Duration::from_secs(self.claims["iat"].as_u64().unwrap());
        let builder = Auth::builder()
            .issuer(TrustedIssuer::new(url).jwks(json!({ "keys": [key] }).to_string()))
            .audience(audience)
            .clock(move || SystemTime::UNIX_EPOCH + birth + Duration::from_secs(60));
        options(builder).build().unwrap()
    }
}

const API: &str = "https://api.example.com";
const HEALTH: &str = "https://example.com/health-api";

#[tokio::test]
async fn accepts_issuers_tokens_with_these_options() {
    const PLAIN: Options = |builder| builder;
    const STRICT: Options = |builder| builder.rfc9068(true);
    const ROLES: Options = |builder| builder.roles_at("realm_access.roles");
    use AuthError::{MissingClaim, WrongAudience, WrongTokenType};
    #[rustfmt::skip]
    let rows = [
        ("Auth0", HEALTH, PLAIN, Ok(())),
        ("Auth0", HEALTH, STRICT, Err(WrongTokenType)),
        ("Auth0, RFC 9068 profile", HEALTH, PLAIN, Ok(())),
        ("Auth0, RFC 9068 profile", HEALTH, STRICT, Ok(())),
        ("Keycloak", API, ROLES, Ok(())),
        ("Entra ID v2.0", "6e74172b-be56-4843-9ff4-e66a39bb12e3", PLAIN, Ok(())),
        ("Entra ID v2.0", "api://6e74172b-be56-4843-9ff4-e66a39bb12e3", PLAIN, Err(WrongAudience)),
        ("Entra ID v1.0", "ef1da9d4-ff77-4c3e-a005-840c3f830745", PLAIN, Ok(())),
        ("Okta", API, PLAIN, Ok(())),
        ("Zitadel", "69234237810729019", PLAIN, Ok(())),
        ("Amazon Cognito, with a resource binding", API, PLAIN, Ok(())),
        ("Amazon Cognito", API, PLAIN, Err(MissingClaim)),
        ("Google, ID tokens of services", API, PLAIN, Ok(())),
    ];
    let issuer = Issuer::start().await;
    for (name, audience, options, expected) in rows {
        let shape = Shape::named(name);
        assert!(shape.source.starts_with("https://"), "{name}");
        let auth = shape.auth(&issuer, audience, options);
        let verdict = auth.verify(&shape.signed(&issuer)).await;
        assert_eq!(verdict.map(|_: Claims| ()), expected, "{name}");
    }
    let tested: Vec<_> = rows.iter().map(|row| row.0).collect();
    assert!(
        Shape::all()
            .iter()
            .all(|shape| tested.contains(&&*shape.name))
    );
}

#[derive(Deserialize)]
struct Zitadel {
    #[serde(rename = "urn:zitadel:iam:org:project:roles")]
    roles: BTreeMap<String, BTreeMap<String, String>>,
}

#[tokio::test]
async fn finds_grants_in_the_issuers_claims() {
    let issuer = Issuer::start().await;
    #[rustfmt::skip]
    let rows = [
        ("Auth0", HEALTH, scope("read:patients") & permission("read:admin") & user()),
        ("Auth0, RFC 9068 profile", HEALTH, scope("read:admin") & user()),
        ("Keycloak", API, scope("profile") & role("editor")),
        ("Entra ID v2.0", "6e74172b-be56-4843-9ff4-e66a39bb12e3", scope("access_as_user")),
        ("Entra ID v1.0", "ef1da9d4-ff77-4c3e-a005-840c3f830745", scope("user_impersonation")),
        ("Okta", API, scope("flights") & user()),
        ("Amazon Cognito, with a resource binding", API, scope("solar-system-data/asteroids.add")),
    ];
    for (name, audience, policy) in rows {
        let shape = Shape::named(name);
        let auth = shape.auth(&issuer, audience, |b| b.roles_at("realm_access.roles"));
        let claims: Claims = auth.verify(&shape.signed(&issuer)).await.unwrap();
        let granted = policy.check(&claims);
        assert_eq!(granted, Ok(()), "{name}");
        let more = (scope("admin:everything") | machine()).check(&claims);
        assert!(more.is_err(), "{name}");
    }

    // Zitadel's roles are the names in an object rather than a list, so we need a function to check
    // them.
    let shape = Shape::named("Zitadel");
    let auth = shape.auth(&issuer, "69234237810729019", |builder| builder);
    let claims: Claims<Zitadel> = auth.verify(&shape.signed(&issuer)).await.unwrap();
    let has = |role: &'static str| {
        check(move |claims: &Claims<Zitadel>| claims.private().roles.contains_key(role))
    };
    assert_eq!(has("editor").check(&claims).await, Ok(()));
    assert!(has("owner").check(&claims).await.is_err());
}

#[tokio::test]
async fn reads_auth0_claims_in_both_profiles() {
    let issuer = Issuer::start().await;
    for (name, jti) in [
        ("Auth0", None),
        ("Auth0, RFC 9068 profile", Some("73WakrfVbNJBaAmhQtEeDv")),
    ] {
        let shape = Shape::named(name);
        let auth = shape.auth(&issuer, HEALTH, |builder| builder);
        let claims: Claims<Auth0> = auth.verify(&shape.signed(&issuer)).await.unwrap();
        assert_eq!(claims.private().client(), Some("my_client_id"), "{name}");
        assert_eq!(claims.private().jti.as_deref(), jti, "{name}");
        assert_eq!(claims.private().org_id, None, "{name}");
        assert_eq!(format!("{:?}", claims.private()), "Auth0 { .. }");
    }
}

/// Google's access tokens are opaque, and so are Zitadel's by default, and Auth0's if no audience
/// was requested.
#[tokio::test]
async fn rejects_opaque_tokens() {
    let issuer = Issuer::start().await;
    let shape = Shape::named("Google, ID tokens of services");
    let auth = shape.auth(&issuer, API, |builder| builder);
    let verdict = auth.verify("ya29.a0AfH6SMBx-opaque").await;
    assert_eq!(verdict.map(|_: Claims| ()), Err(AuthError::TokenNotJwt));
}

#[test]
fn page_has_a_row_for_each_issuer() {
    let page = include_str!("../../docs/issuers.md");
    let table = page
        .lines()
        .skip_while(|line| !line.starts_with("| tokens of |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let shown: Vec<_> = rows.filter_map(|row| row.split(" | ").next()).collect();
    let expected: Vec<_> = Shape::all()
        .iter()
        .map(|shape| format!("| {}", shape.name))
        .collect();
    assert_eq!(shown[..expected.len()], expected);
}
