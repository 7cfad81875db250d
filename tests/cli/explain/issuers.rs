//! Mistakes that are typical of one issuer's tokens.
//!
//! `docs/issuers.md` has a table of the most frequent ones, which must match the output. `UPDATE=1
//! cargo test --test cli explain::issuers` writes the table.

use std::{collections::HashSet, fmt::Write, fs, path::Path};

use serde_json::{Value, json};
use warp_bearer::issuer::Issuer;

use super::explained;
use crate::support::world::World;

const API: &str = "https://api.example.com";
const CLIENT: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

const AUTH0: &str = "https://tenant.eu.auth0.com/";
const ENTRA: &str = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0";
const ENTRA_V1: &str = "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/";
const KEYCLOAK: &str = "https://keycloak.example.com/realms/shop";
const COGNITO: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI";
const OKTA: &str = "https://dev-123456.okta.com/oauth2/default";
const GOOGLE: &str = "https://accounts.google.com";
const KUBERNETES: &str = "https://kubernetes.default.svc.cluster.local";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const CLERK: &str = "https://clerk.example.com";
const WORKOS: &str = "https://api.workos.com/user_management/client_01HXYZ";
const SUPABASE: &str = "https://abcdefghijklmnopqrst.supabase.co/auth/v1";
const CLOUDFLARE: &str = "https://team.cloudflareaccess.com";
const IAP: &str = "https://cloud.google.com/iap";
const FIREBASE: &str = "https://securetoken.google.com/shop-1";

/// A mistake: a configuration, a token, and the code of the rejection.
struct Row {
    name: &'static str,
    issuer: &'static str,
    audience: &'static str,
    mistake: &'static str,
    token: Token,
    /// A scope that the route requires.
    scope: Option<&'static str>,
    code: &'static str,
}

enum Token {
    /// Claims in addition to `iss` and the dates, which they may replace. The header has `RS256`.
    Claims(Value),
    Whole(Value, Value),
    Opaque(&'static str),
}

fn sign(issuer: &Issuer, name: &str, token: &Token) -> String {
    let (header, claims) = match token {
        Token::Opaque(text) => return (*text).to_owned(),
        Token::Claims(claims) => (json!({"alg": "RS256", "typ": "JWT"}), claims),
        Token::Whole(header, claims) => (header.clone(), claims),
    };
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let mut payload = json!({"iss": name, "iat": now, "exp": now + 3600});
    for (member, value) in claims.as_object().unwrap() {
        payload[member] = value.clone();
    }
    let mut header = header;
    if header["kid"].is_null() {
        header["kid"] = json!(issuer.key().kid());
    }
    issuer.sign_raw(
        header.to_string().as_bytes(),
        payload.to_string().as_bytes(),
    )
}

const AUDIENCE: &str = "wrong audience";
const KIND: &str = "wrong kind of token";
const SCOPE: &str = "missing scope";

/// The three most frequent mistakes of each issuer.
#[rustfmt::skip]
fn mistakes() -> Vec<Row> {
    use Token::{Claims, Opaque, Whole};
    let row = |name, issuer, audience, mistake, token, code| Row {
        name, issuer, audience, mistake, token, code,
        scope: (mistake == SCOPE).then_some("read:messages"),
    };
    let tag = "32eafc7626e737e6a3a3d1b7c7e2f1a9a7d2c8f1b6b0e4b8c1d2e3f4a5b6c7d8";
    let other_tag = "0f0e7626e737e6a3a3d1b7c7e2f1a9a7d2c8f1b6b0e4b8c1d2e3f4a5b6c7d8aa";
    let backend = "/projects/123456789/global/backendServices/987654321";
    vec![
        row("Auth0", AUTH0, API, AUDIENCE, Claims(json!({"aud": "https://other.example.com", "azp": "a", "sub": "auth0|1", "scope": "a"})), "wrong_audience"),
        row("Auth0", AUTH0, API, KIND, Claims(json!({"aud": "kZ1hS4tGkq", "sub": "auth0|1", "name": "A", "sid": "s"})), "wrong_audience"),
        row("Auth0", AUTH0, API, SCOPE, Claims(json!({"aud": API, "azp": "abc", "sub": "abc@clients", "gty": "client-credentials"})), "insufficient_scope"),
        row("Entra ID", ENTRA, CLIENT, AUDIENCE, Claims(json!({"aud": format!("api://{CLIENT}"), "scp": "a", "azp": "a", "ver": "2.0"})), "wrong_audience"),
        row("Entra ID", ENTRA, CLIENT, KIND, Whole(json!({"alg": "RS256", "typ": "JWT", "nonce": "n"}), json!({"iss": ENTRA_V1, "aud": "https://graph.microsoft.com", "scp": "User.Read", "ver": "1.0"})), "unknown_issuer"),
        row("Entra ID", ENTRA, CLIENT, SCOPE, Claims(json!({"aud": CLIENT, "roles": ["Reader"], "azp": "a", "idtyp": "app", "ver": "2.0"})), "insufficient_scope"),
        row("Keycloak", KEYCLOAK, API, AUDIENCE, Claims(json!({"aud": "account", "typ": "Bearer", "azp": "shop", "scope": "email profile"})), "wrong_audience"),
        row("Keycloak", KEYCLOAK, API, KIND, Claims(json!({"aud": "shop", "typ": "ID", "azp": "shop", "sid": "s"})), "wrong_audience"),
        row("Keycloak", KEYCLOAK, API, SCOPE, Claims(json!({"aud": API, "typ": "Bearer", "azp": "shop", "scope": "email profile", "preferred_username": "a"})), "insufficient_scope"),
        row("Amazon Cognito", COGNITO, API, AUDIENCE, Claims(json!({"client_id": "3n4b5", "token_use": "access", "scope": "openid", "sub": "s"})), "missing_claim"),
        row("Amazon Cognito", COGNITO, API, KIND, Claims(json!({"aud": "3n4b5", "token_use": "id", "cognito:username": "a", "sub": "s"})), "wrong_audience"),
        row("Amazon Cognito", COGNITO, API, SCOPE, Claims(json!({"aud": API, "client_id": "3n4b5", "token_use": "access", "scope": "aws.cognito.signin.user.admin", "sub": "s"})), "insufficient_scope"),
        row("Okta", OKTA, API, AUDIENCE, Claims(json!({"aud": "api://default", "cid": "0oa1", "scp": ["openid"], "ver": 1})), "wrong_audience"),
        row("Okta", OKTA, API, KIND, Whole(json!({"alg": "RS256", "typ": "application/okta-internal-at+jwt"}), json!({"iss": "https://dev-123456.okta.com", "aud": "https://dev-123456.okta.com", "cid": "0oa1", "scp": ["openid"]})), "wrong_token_type"),
        row("Okta", OKTA, API, SCOPE, Claims(json!({"aud": API, "cid": "0oa1", "uid": "00u1", "scp": ["openid"], "ver": 1})), "insufficient_scope"),
        row("Google", GOOGLE, API, AUDIENCE, Claims(json!({"aud": "https://other.example.com", "sub": "1", "email": "a@shop.iam.gserviceaccount.com", "email_verified": true, "azp": "1"})), "wrong_audience"),
        row("Google", GOOGLE, API, KIND, Opaque("ya29.a0AfH6SMBx1y2z3"), "token_not_jwt"),
        row("Google", GOOGLE, API, SCOPE, Claims(json!({"aud": API, "sub": "1", "email": "a@shop.iam.gserviceaccount.com", "azp": "1"})), "insufficient_scope"),
        row("Kubernetes", KUBERNETES, API, AUDIENCE, Claims(json!({"aud": [KUBERNETES], "sub": "system:serviceaccount:shop:web", "kubernetes.io": {"namespace": "shop"}})), "wrong_audience"),
        row("Kubernetes", KUBERNETES, API, KIND, Claims(json!({"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:shop:web", "kubernetes.io/serviceaccount/namespace": "shop"})), "unknown_issuer"),
        row("Kubernetes", KUBERNETES, API, SCOPE, Claims(json!({"aud": [API], "sub": "system:serviceaccount:shop:web", "kubernetes.io": {"namespace": "shop"}})), "insufficient_scope"),
        row("GitHub Actions", GITHUB, API, AUDIENCE, Claims(json!({"aud": "https://github.com/octo-org", "sub": "repo:octo-org/shop:ref:refs/heads/main", "repository": "octo-org/shop"})), "wrong_audience"),
        row("GitHub Actions", GITHUB, API, KIND, Opaque("ghs_16C7e42F292c6912E7710c838347Ae178B4a"), "token_not_jwt"),
        row("GitHub Actions", GITHUB, API, SCOPE, Claims(json!({"aud": API, "sub": "repo:octo-org/shop:ref:refs/heads/main", "repository": "octo-org/shop"})), "insufficient_scope"),
        row("Clerk", CLERK, API, AUDIENCE, Claims(json!({"azp": "https://app.example.com", "sid": "sess_2", "sub": "user_2", "v": 2})), "missing_claim"),
        row("Clerk", CLERK, API, KIND, Opaque("oat_0123456789abcdefghijklmnop"), "token_not_jwt"),
        row("Clerk", CLERK, API, SCOPE, Claims(json!({"aud": API, "azp": "https://app.example.com", "sid": "sess_2", "sub": "user_2"})), "insufficient_scope"),
        row("WorkOS", WORKOS, API, AUDIENCE, Claims(json!({"sub": "user_01", "sid": "session_01", "org_id": "org_01", "role": "member", "permissions": []})), "missing_claim"),
        row("WorkOS", WORKOS, API, KIND, Opaque("sk_example_1234567890"), "token_not_jwt"),
        row("WorkOS", WORKOS, API, SCOPE, Claims(json!({"aud": API, "sub": "user_01", "sid": "session_01", "role": "member", "permissions": ["posts:write"]})), "insufficient_scope"),
        row("Supabase", SUPABASE, API, AUDIENCE, Claims(json!({"aud": "authenticated", "role": "authenticated", "sub": "s", "is_anonymous": false})), "wrong_audience"),
        row("Supabase", SUPABASE, "authenticated", KIND, Whole(json!({"alg": "HS256", "typ": "JWT"}), json!({"iss": "supabase", "ref": "abcdefghijklmnopqrst", "role": "anon"})), "algorithm_not_allowed"),
        row("Supabase", SUPABASE, "authenticated", SCOPE, Claims(json!({"aud": "authenticated", "role": "authenticated", "sub": "s"})), "insufficient_scope"),
        row("Cloudflare Access", CLOUDFLARE, tag, AUDIENCE, Claims(json!({"aud": [other_tag], "type": "app", "email": "a@example.com", "sub": "s"})), "wrong_audience"),
        row("Cloudflare Access", CLOUDFLARE, tag, KIND, Claims(json!({"aud": other_tag, "type": "org", "email": "a@example.com", "sub": "s"})), "wrong_audience"),
        row("Cloudflare Access", CLOUDFLARE, tag, SCOPE, Claims(json!({"aud": [tag], "type": "app", "email": "a@example.com", "sub": "s"})), "insufficient_scope"),
        row("Google IAP", IAP, backend, AUDIENCE, Claims(json!({"aud": "/projects/123456789/apps/shop", "email": "a@example.com", "sub": "accounts.google.com:1"})), "wrong_audience"),
        row("Google IAP", IAP, backend, KIND, Claims(json!({"iss": GOOGLE, "aud": "1.apps.googleusercontent.com", "sub": "1", "email": "a@example.com"})), "unknown_issuer"),
        row("Google IAP", IAP, backend, SCOPE, Claims(json!({"aud": backend, "email": "a@example.com", "sub": "accounts.google.com:1"})), "insufficient_scope"),
        row("Firebase", FIREBASE, "shop-1", AUDIENCE, Claims(json!({"aud": "shop-2", "sub": "u", "user_id": "u", "firebase": {}})), "wrong_audience"),
        row("Firebase", FIREBASE, "shop-1", KIND, Claims(json!({"iss": "firebase-adminsdk@shop-1.iam.gserviceaccount.com", "aud": "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit", "uid": "u"})), "unknown_issuer"),
        row("Firebase", FIREBASE, "shop-1", SCOPE, Claims(json!({"aud": "shop-1", "sub": "u", "user_id": "u", "firebase": {}})), "insufficient_scope"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn table_of_mistakes_matches_explain() {
    let issuer = World::start().await.issuer;
    let mut table =
        "| issuer | mistake | code | what `explain` says |\n|---|---|---|---|\n".to_owned();
    let rows = mistakes();
    for row in &rows {
        let case = format!("{}, {}", row.name, row.mistake);
        let world = World::named(&issuer, row.issuer).set("AUTH0_API_AUDIENCE", row.audience);
        let arguments: Vec<_> = row
            .scope
            .iter()
            .flat_map(|scope| ["--scope", scope])
            .collect();
        let token = sign(&issuer, row.issuer, &row.token);
        let (_, json) = explained(&world, &case, &arguments, &token);
        assert_eq!(json["code"], row.code, "{case}: {json:#}");
        let [what, fix] = ["cause", "fix"].map(|member| json[member].as_str().unwrap());
        writeln!(
            table,
            "| {} | {} | `{}` | {what} {fix} |",
            row.name, row.mistake, row.code
        )
        .unwrap();
        // The advice should use the terms of one vendor only, and must never suggest accepting
        // tokens that are for others.
        let is_auth0 = what.contains("Auth0") || fix.contains("Applications, APIs");
        assert!(!is_auth0 || row.name == "Auth0", "{case}: {what} {fix}");
        let lines = json["settings"].to_string();
        assert!(
            !lines.contains("account") && !lines.contains("graph"),
            "{case}: {lines}"
        );
    }
    let issuers: HashSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!((issuers.len(), rows.len()), (14, 42));

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/issuers.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page
        .split_once("| issuer | mistake |")
        .expect("a table of mistakes");
    let (_, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let expected = format!("{before}{table}\n{after}");
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    let mut lines = found.lines().zip(expected.lines());
    let first = lines.find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "docs/issuers.md: {first:?}; UPDATE=1 writes the table"
    );
}

/// A case, the configured issuer and audience, a token, the code, words of the advice, and
/// settings.
type Pattern<'a> = (
    &'a str,
    &'a str,
    &'a str,
    Token,
    &'a str,
    &'a str,
    &'a [&'a str],
);

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines)] // a row for each pattern
async fn recognizes_other_vendor_patterns() {
    use Token::{Claims, Opaque, Whole};
    let issuer = World::start().await.issuer;
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/a/1";
    let entra_v2 = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    let b2c = format!("https://contoso.b2clogin.com/{TENANT}/v2.0/");
    #[rustfmt::skip]
    let rows: [Pattern; 70] = [
        ("a v1.0 token of Entra", ENTRA, CLIENT, Claims(json!({"iss": ENTRA_V1, "aud": CLIENT, "scp": "a", "ver": "1.0"})), "unknown_issuer", "requestedAccessTokenVersion", &["AUTH0_ISSUER=https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/"]),
        ("a v2.0 token of Entra", ENTRA_V1, CLIENT, Claims(json!({"iss": entra_v2, "aud": CLIENT, "scp": "a", "ver": "2.0"})), "unknown_issuer", "Configure the v2.0 issuer", &["AUTH0_ISSUER=https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0"]),
        ("Entra External ID under another host", "https://contoso.ciamlogin.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0", CLIENT, Claims(json!({"iss": "https://72f988bf-86f1-41af-91ab-2d7cd011db47.ciamlogin.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0", "aud": CLIENT, "scp": "a"})), "unknown_issuer", "under another host", &["AUTH0_ISSUER=https://72f988bf-86f1-41af-91ab-2d7cd011db47.ciamlogin.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0"]),
        ("another tenant of Entra", ENTRA, CLIENT, Claims(json!({"iss": "https://sts.windows.net/8b3b6b3a-6f0c-4a52-9d38-5d4e4f4d0f0a/", "aud": CLIENT, "scp": "a"})), "unknown_issuer", "another tenant of Entra", &[]),
        ("Entra's common", "https://login.microsoftonline.com/common/v2.0", CLIENT, Claims(json!({"iss": entra_v2, "aud": CLIENT, "scp": "a"})), "unknown_issuer", "tenant's ID", &[]),
        ("api://GUID against GUID", ENTRA, CLIENT, Claims(json!({"aud": format!("api://{CLIENT}"), "scp": "a"})), "wrong_audience", "other name", &["AUTH0_API_AUDIENCE=api://6e74172b-be56-4843-9ff4-e66a39bb12e3"]),
        ("GUID against api://GUID", ENTRA, "api://6e74172b-be56-4843-9ff4-e66a39bb12e3", Claims(json!({"aud": CLIENT, "scp": "a"})), "wrong_audience", "other name", &["AUTH0_API_AUDIENCE=6e74172b-be56-4843-9ff4-e66a39bb12e3"]),
        ("an ID token of Entra", ENTRA, API, Claims(json!({"aud": CLIENT, "name": "A", "preferred_username": "a", "ver": "2.0"})), "wrong_audience", "ID token", &[]),
        ("Graph, at the same issuer", ENTRA, CLIENT, Claims(json!({"aud": "00000003-0000-0000-c000-000000000000", "scp": "User.Read"})), "wrong_audience", "Microsoft Graph", &[]),
        ("Keycloak without aud", KEYCLOAK, API, Claims(json!({"typ": "Bearer", "azp": "shop"})), "missing_claim", "Audience mapper", &[]),
        ("account among others of Keycloak", KEYCLOAK, API, Claims(json!({"typ": "Bearer", "aud": ["realm-management", "account"]})), "wrong_audience", "Never accept account", &[]),
        ("a refresh token of Keycloak", KEYCLOAK, API, Whole(json!({"alg": "HS512", "typ": "JWT"}), json!({"aud": KEYCLOAK, "typ": "Refresh"})), "algorithm_not_allowed", "refresh token", &[]),
        ("Keycloak under another address", KEYCLOAK, API, Claims(json!({"iss": "http://keycloak:8080/realms/shop", "aud": API})), "unknown_issuer", "KC_HOSTNAME", &[]),
        ("glewlwyd without resource", "https://id.example.com/api/glwd", API, Claims(json!({"aud": "scope1 scope2", "type": "access_token", "client_id": "c", "scope": "scope1"})), "wrong_audience", "resource indicators", &[]),
        ("FastMCP's OAuth proxy", "https://mcp.example.com/", API, Whole(json!({"alg": "HS256", "typ": "JWT"}), json!({"iss": "https://mcp.example.com/", "aud": "https://mcp.example.com/mcp", "client_id": "c", "scope": "a", "jti": "j"})), "algorithm_not_allowed", "Do not pass the token on", &[]),
        ("FastMCP's test keys", "https://id.example.com/", API, Claims(json!({"iss": "https://fastmcp.example.com", "aud": "my-mcp-server", "sub": "fastmcp-user"})), "unknown_issuer", "RSAKeyPair", &[]),
        ("another API of Microsoft's", ENTRA, CLIENT, Claims(json!({"aud": "https://management.core.windows.net/", "appid": "a", "scp": "user_impersonation"})), "wrong_audience", "another API of Microsoft's", &[]),
        ("api://TENANT/GUID against GUID", ENTRA, CLIENT, Claims(json!({"aud": format!("api://{TENANT}/{CLIENT}"), "scp": "a"})), "wrong_audience", "other name", &["AUTH0_API_AUDIENCE=api://72f988bf-86f1-41af-91ab-2d7cd011db47/6e74172b-be56-4843-9ff4-e66a39bb12e3"]),
        ("another application of Entra, by a URL with our GUID", ENTRA, CLIENT, Claims(json!({"aud": format!("https://other-app.example/{CLIENT}"), "scp": "a"})), "wrong_audience", "another application", &[]),
        ("api://NAME/GUID against GUID", ENTRA, CLIENT, Claims(json!({"aud": format!("api://contoso/{CLIENT}"), "scp": "a"})), "wrong_audience", "another application", &[]),
        ("an API of another URL of Entra", ENTRA_V1, CLIENT, Claims(json!({"aud": "https://contoso.example/api"})), "wrong_audience", "another application", &[]),
        ("Keycloak with a slash", KEYCLOAK, API, Claims(json!({"iss": "https://keycloak.example.com/realms/shop/", "aud": API})), "unknown_issuer", "differ in the slash", &["AUTH0_ISSUER=https://keycloak.example.com/realms/shop/"]),
        ("another project of Firebase", FIREBASE, "shop-1", Claims(json!({"iss": "https://securetoken.google.com/shop-2", "aud": "shop-2", "firebase": {}})), "unknown_issuer", "another Firebase project", &[]),
        ("a token of GitHub that contains a JWT", GITHUB, API, Opaque("ghs_1_eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2ln"), "token_malformed", "GitHub's own API", &[]),
        ("an enterprise of GitHub", GITHUB, API, Claims(json!({"iss": "https://token.actions.githubusercontent.com/octocat-inc", "aud": API})), "unknown_issuer", "enterprise", &[]),
        ("a scope of a wrong type", OKTA, API, Claims(json!({"aud": API, "scope": 5})), "invalid_claim", "scope and scp as strings", &[]),
        ("an encoded token", OKTA, API, Opaque("ZXlKaGJHY2lPaUpTVXpJMU5pSjkuZTMwLkFB"), "token_not_jwt", "base64 a second time", &[]),
        ("a name in source code", OKTA, API, Opaque("process.env.TOKEN"), "token_malformed", "variable without a value", &[]),
        ("a shortened token", OKTA, API, Opaque("eyJhbG..."), "token_not_jwt", "not complete", &[]),
        ("the scheme twice", OKTA, API, Opaque("Bearer"), "malformed_authorization", "no token after the word Bearer", &[]),
        ("Stytch", "https://test.stytch.com/v1/public/project-test-1", API, Claims(json!({"aud": ["project-test-1"], "sub": "user-test-1"})), "wrong_audience", "Stytch project", &[]),
        ("an opaque token of Stytch", "https://test.stytch.com/v1/public/project-test-1", API, Opaque("mZAYn5aLEqKUlZ_Ad9U_fWr38GaAQ1oFAhT8ds245v7Q"), "token_not_jwt", "session_jwt", &[]),
        ("an unfilled variable, for Stytch", "https://test.stytch.com/v1/public/project-test-1", API, Opaque("undefined"), "token_not_jwt", "variable without a value", &[]),
        ("half a token, for Stytch", "https://test.stytch.com/v1/public/project-test-1", API, Opaque("eyJhbGciOiJSUzI1NiJ9.e30"), "token_not_jwt", "not complete", &[]),
        ("Zitadel", "https://shop.zitadel.cloud", "69234237810729019", Claims(json!({"aud": ["1"], "sub": "1"})), "wrong_audience", "urn:zitadel:iam:org:project:id", &[]),
        ("a login of Google", GOOGLE, API, Claims(json!({"aud": "1.apps.googleusercontent.com", "email": "a@example.com"})), "wrong_audience", "OAuth client", &[]),
        ("Entra with a slash", "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0/", CLIENT, Claims(json!({"iss": ENTRA, "aud": CLIENT, "scp": "a"})), "unknown_issuer", "differ in the slash", &["AUTH0_ISSUER=https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0"]),
        ("Entra by a domain", "https://login.microsoftonline.com/contoso.onmicrosoft.com/v2.0", CLIENT, Claims(json!({"iss": ENTRA, "aud": CLIENT, "scp": "a"})), "unknown_issuer", "the tenant's ID", &[]),
        ("another audience of Clerk", CLERK, API, Claims(json!({"aud": "supabase", "azp": "https://app.example.com", "sid": "sess_2", "sub": "user_2"})), "wrong_audience", "JWT template", &[]),
        ("a service account of Google", GOOGLE, API, Claims(json!({"iss": "robot@shop.iam.gserviceaccount.com", "aud": API})), "unknown_issuer", "signed this token itself", &[]),
        ("an access token of Google with two dots", GOOGLE, API, Opaque("ya29.c.b0Aaekm1Kabcdefghij"), "token_malformed", "Google's own APIs", &[]),
        ("a runner of GitHub", GITHUB, API, Claims(json!({"iss": "https://vstoken.actions.githubusercontent.com/1", "aud": "vso:1"})), "unknown_issuer", "ACTIONS_RUNTIME_TOKEN", &[]),
        ("another project of Stytch", "stytch.com/project-live-1", "project-live-1", Claims(json!({"iss": "stytch.com/project-test-1", "aud": ["project-test-1"]})), "unknown_issuer", "Stytch project", &[]),
        ("an issuer that is not Stytch", "stytch.com/project-live-1", "project-live-1", Claims(json!({"iss": "https://id.example.com/", "aud": API})), "unknown_issuer", "two names", &["AUTH0_ISSUER=https://id.example.com/"]),
        ("audiences in one string", "https://id.example.com/", API, Claims(json!({"aud": "https://other.example.com https://api.example.com"})), "wrong_audience", "array of strings", &[]),
        ("our client ID, with an ID URI configured", ENTRA, "https://contoso.example/api", Claims(json!({"aud": CLIENT, "scp": "a", "azp": "b", "ver": "2.0"})), "wrong_audience", "is the client ID of this API, set AUTH0_API_AUDIENCE to it", &[]),
        ("our client ID, with api://NAME configured", ENTRA, "api://my-api", Claims(json!({"aud": CLIENT, "scp": "a", "azp": "b", "ver": "2.0"})), "wrong_audience", "is the client ID of this API, set AUTH0_API_AUDIENCE to it", &[]),
        ("a scope as audience", ENTRA, "api://6e74172b-be56-4843-9ff4-e66a39bb12e3/access_as_user", Claims(json!({"aud": CLIENT, "scp": "a", "azp": "b", "ver": "2.0"})), "wrong_audience", "has the name of a scope", &["AUTH0_API_AUDIENCE=6e74172b-be56-4843-9ff4-e66a39bb12e3"]),
        (".default as audience", ENTRA, "api://6e74172b-be56-4843-9ff4-e66a39bb12e3/.default", Claims(json!({"aud": CLIENT, "scp": "a", "azp": "b", "ver": "2.0"})), "wrong_audience", "has the name of a scope", &["AUTH0_API_AUDIENCE=6e74172b-be56-4843-9ff4-e66a39bb12e3"]),
        ("an ID URI in a v1.0 token", ENTRA_V1, CLIENT, Claims(json!({"aud": "api://my-api", "scp": "a", "appid": "b", "ver": "1.0"})), "wrong_audience", "If api://my-api is the application ID URI of this API", &[]),
        ("spn:GUID against GUID", ENTRA_V1, CLIENT, Claims(json!({"aud": format!("spn:{CLIENT}"), "scp": "a", "ver": "1.0"})), "wrong_audience", "other name", &["AUTH0_API_AUDIENCE=spn:6e74172b-be56-4843-9ff4-e66a39bb12e3"]),
        ("api://GUID/ against api://GUID", ENTRA, "api://6e74172b-be56-4843-9ff4-e66a39bb12e3", Claims(json!({"aud": format!("api://{CLIENT}/"), "scp": "a"})), "wrong_audience", "They differ in the slash at the end.", &["AUTH0_API_AUDIENCE=api://6e74172b-be56-4843-9ff4-e66a39bb12e3/"]),
        ("an ID token of Entra, with an ID URI configured", ENTRA, "api://my-api", Claims(json!({"aud": CLIENT, "name": "A", "ver": "2.0"})), "wrong_audience", "ID token", &[]),
        ("a tenant of B2C by its policy", "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_in/v2.0/", CLIENT, Claims(json!({"iss": b2c, "aud": CLIENT, "scp": "a", "tfp": "B2C_1_in"})), "unknown_issuer", "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_in/discovery/v2.0/keys", &["AUTH0_ISSUER=https://contoso.b2clogin.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0/"]),
        ("a tenant of B2C by its domain", "https://contoso.b2clogin.com/contoso.onmicrosoft.com/v2.0/", CLIENT, Claims(json!({"iss": b2c, "aud": CLIENT, "scp": "a", "tfp": "B2C_1_in"})), "unknown_issuer", "https://contoso.b2clogin.com/contoso.onmicrosoft.com/POLICY/discovery/v2.0/keys", &[]),
        ("a list of issuers", "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_in/v2.0/", CLIENT, Claims(json!({"iss": format!("{b2c},https://evil.example/"), "aud": CLIENT, "scp": "a"})), "unknown_issuer", "B2C", &[]),
        ("another tenant of B2C", "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_in/v2.0/", CLIENT, Claims(json!({"iss": "https://fabrikam.b2clogin.com/8b3b6b3a-6f0c-4a52-9d38-5d4e4f4d0f0a/v2.0/", "aud": CLIENT, "scp": "a"})), "unknown_issuer", "another tenant of Entra", &[]),
        ("B2C instead of Entra", ENTRA, CLIENT, Claims(json!({"iss": b2c, "aud": CLIENT, "scp": "a"})), "unknown_issuer", "but another host", &[]),
        ("a national cloud", ENTRA, CLIENT, Claims(json!({"iss": "https://login.microsoftonline.us/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0", "aud": CLIENT, "scp": "a"})), "unknown_issuer", "each national cloud", &[]),
        ("the pattern of Entra", "https://login.microsoftonline.com/{tenantid}/v2.0", CLIENT, Claims(json!({"iss": entra_v2, "aud": CLIENT, "scp": "a"})), "unknown_issuer", "the ID of their tenant in its place", &[]),
        ("a personal account of Microsoft", ENTRA, CLIENT, Claims(json!({"iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", "aud": CLIENT, "scp": "a"})), "unknown_issuer", "personal Microsoft account", &[]),
        ("mapped claims of Entra", ENTRA, CLIENT, Whole(json!({"alg": "RS256", "kid": "own"}), json!({"iss": entra_v2, "aud": CLIENT, "scp": "a"})), "unknown_key", "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/discovery/keys?appid=6e74172b-be56-4843-9ff4-e66a39bb12e3", &[]),
        ("Sign in with Apple", "https://appleid.apple.com", API, Claims(json!({"aud": "com.example.app", "nonce": "n", "email": "a@example.com"})), "wrong_audience", "Sign in with Apple", &[]),
        ("authentik", "https://id.example.com/application/o/shop/", API, Claims(json!({"aud": "c", "azp": "c", "scope": "openid"})), "wrong_audience", "authentik writes the client ID", &[]),
        ("Clerk, expired", CLERK, API, Claims(json!({"aud": API, "sid": "sess_2", "sub": "user_2", "exp": 1_700_000_000})), "token_expired", "getToken() before each request", &[]),
        ("the emulator of Firebase", FIREBASE, "shop-1", Whole(json!({"alg": "none", "typ": "JWT"}), json!({"iss": FIREBASE, "aud": "shop-1"})), "algorithm_not_allowed", "Firebase emulator", &[]),
        ("Clerk with an empty audience", CLERK, API, Claims(json!({"aud": "", "sid": "sess_2", "sub": "user_2"})), "wrong_audience", "Clerk's session tokens have no aud", &[]),
        ("Keycloak with an empty audience", KEYCLOAK, API, Claims(json!({"aud": [], "typ": "Bearer", "azp": "shop"})), "wrong_audience", "Audience mapper", &[]),
        ("an unknown issuer", "https://id.example.com/", API, Claims(json!({"aud": "https://other.example.com"})), "wrong_audience", "Do not add the audience", &[]),
        ("opaque, of an unknown issuer", "https://id.example.com/", API, Opaque("kZ1abcdefghijklmnopqrstuvwxyz012"), "token_not_jwt", "Most issuers make one only", &[]),
    ];
    for (case, name, audience, token, code, says, settings) in rows {
        let world = World::named(&issuer, name).set("AUTH0_API_AUDIENCE", audience);
        let (_, json) = explained(&world, case, &[], &sign(&issuer, name, &token));
        assert_eq!(json["code"], code, "{case}: {json:#}");
        let text = format!("{} {}", json["cause"], json["fix"]);
        assert!(text.contains(says), "{case}: {text}");
        assert_eq!(json["settings"], json!(settings), "{case}: {json:#}");
        assert!(!text.contains("Auth0"), "{case}: {text}");
    }

    // AWS load balancers pad the parts of their tokens
    let world = World::named(&issuer, OKTA);
    for (case, header, says) in [
        (
            "a load balancer",
            json!({"alg": "ES256", "kid": "a", "signer": arn, "iss": OKTA, "client": "c"}),
            "x-amzn-oidc-accesstoken",
        ),
        (
            "another issuer that pads",
            json!({"alg": "RS256", "kid": "a"}),
            "without padding",
        ),
    ] {
        use base64::{Engine, engine::general_purpose::URL_SAFE};
        // With the space, the part has a length that needs padding
        let padded = |part: String| {
            let blank = if part.len().is_multiple_of(3) {
                " "
            } else {
                ""
            };
            URL_SAFE.encode(part + blank)
        };
        let parts = [
            header.to_string(),
            json!({"sub": "a"}).to_string(),
            "signature".to_owned(),
        ];
        let token = parts.map(padded).join(".");
        assert!(token.contains("=.") && token.ends_with('='), "{case}");
        let (_, json) = explained(&world, case, &[], &token);
        assert_eq!(json["code"], "malformed_authorization", "{case}: {json:#}");
        let text = format!("{} {}", json["cause"], json["fix"]);
        assert!(text.contains(says), "{case}: {text}");
    }

    // The audience is the client, and the token is an access token
    let world = World::named(&issuer, AUTH0).set("AUTH0_API_AUDIENCE", "kZ1");
    let claims = Claims(
        json!({"aud": [API, "https://tenant.eu.auth0.com/userinfo"], "azp": "kZ1", "sub": "auth0|1"}),
    );
    let (_, json) = explained(&world, "a client", &[], &sign(&issuer, AUTH0, &claims));
    let cause = json["cause"].as_str().unwrap();
    assert!(
        cause.starts_with("AUTH0_API_AUDIENCE is the client ID"),
        "{json:#}"
    );
    assert_eq!(json["settings"], json!([]), "{json:#}");

    // an MCP server's resource that wasn't added to the audiences
    let resource = "https://mcp.example.com/mcp";
    let world = World::named(&issuer, AUTH0).set("AUTH0_RESOURCE", resource);
    let token = sign(
        &issuer,
        AUTH0,
        &Claims(json!({"aud": resource, "azp": "a"})),
    );
    let (_, json) = explained(&world, "MCP", &[], &token);
    let line = format!("AUTH0_API_AUDIENCE={API},{resource}");
    assert_eq!(json["settings"], json!([line]), "{json:#}");
}

/// With several issuers, or with a preset, a variable cannot be set or removed.
#[tokio::test(flavor = "multi_thread")]
async fn suggests_only_an_audience_claim_that_starts_the_service() {
    let issuer = World::start().await.issuer;
    let token = sign(
        &issuer,
        COGNITO,
        &Token::Claims(json!({"client_id": "3n4b5", "token_use": "access"})),
    );
    let several = World::of(issuer.clone()).set("AUTH0_ISSUER", format!("{COGNITO},{OKTA}"));
    for (case, world, says) in [
        (
            "one issuer",
            World::named(&issuer, COGNITO),
            "Or set AUTH0_AUDIENCE_CLAIM to client_id",
        ),
        (
            "two issuers",
            several,
            "in the table of this one, set audience_claim to client_id",
        ),
    ] {
        let (_, json) = explained(&world, case, &[], &token);
        assert_eq!(json["code"], "missing_claim", "{case}: {json:#}");
        assert!(
            json["fix"].as_str().unwrap().contains(says),
            "{case}: {json:#}"
        );
    }

    let keys = json!({"keys": [issuer.key().public_jwk()]}).to_string();
    let token = sign(
        &issuer,
        CLERK,
        &Token::Claims(json!({"aud": API, "sub": "user_2"})),
    );
    for (case, option) in [
        ("a preset", "kind = \"clerk\""),
        ("an option", "audience_claim = \"azp\""),
    ] {
        let world = World::of(issuer.clone())
            .unset("AUTH0_ISSUER")
            .set("ISSUERS_FILE", "issuers.toml");
        let table = format!("[[issuer]]\nurl = {CLERK:?}\njwks_file = \"keys.json\"\n{option}\n");
        let write = |table: &str| {
            let directory = world.directory.path();
            std::fs::write(directory.join("keys.json"), &keys).unwrap();
            std::fs::write(directory.join("issuers.toml"), table).unwrap();
        };
        write(&table);
        let (_, json) = explained(&world, case, &[], &token);
        assert_eq!(json["code"], "missing_claim", "{case}: {json:#}");
        let fix = json["fix"].as_str().unwrap();
        assert!(
            fix.contains("set the option audience_claim to \"aud\""),
            "{case}: {json:#}"
        );
        write(&format!(
            "{}audience_claim = \"aud\"\n",
            table.replace("audience_claim = \"azp\"\n", "")
        ));
        let (output, json) = explained(&world, case, &[], &token);
        assert_eq!(output.code, Some(0), "{case}: {json:#}");
    }
}
