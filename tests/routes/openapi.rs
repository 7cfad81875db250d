//! `/openapi.json` and `/docs` describe how the routes really behave.

use std::{collections::BTreeSet, io::Read};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use warp::http::HeaderName;
use warp_bearer::{
    auth::{Auth, AuthError, Problem, dpop::Dpop, policy::Policy},
    issuer::Issuer,
    service::{
        Access, Docs, Shutdown,
        api::{
            docs::{FILES, TokenEndpoint},
            matcher::Methods,
            route::Row,
            routes::rows,
        },
        routes,
    },
};

use crate::support::{Tenant, answer};

async fn described(tenant: &Tenant) -> Value {
    let answer = tenant.get("/openapi.json", None).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    answer.json()
}

/// A row for any method is described as `GET`.
fn name(row: &Row) -> String {
    match &row.methods {
        Methods::Only(method) => format!("{method} {}", row.template),
        Methods::Any => format!("GET {}", row.template),
    }
}

fn operations(description: &Value) -> Vec<(String, Value)> {
    let paths = description["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(move |(method, operation)| {
            let method = method.to_ascii_uppercase();
            (format!("{method} {path}"), operation.clone())
        })
    });
    operations.collect()
}

#[tokio::test]
async fn openapi_has_exactly_the_rows_of_the_table() {
    let tenant = Tenant::start().await;
    let description = described(&tenant).await;
    let rows = rows(&Access::from(&tenant.auth), || false);
    let expected: BTreeSet<_> = rows.iter().map(name).collect();
    let found: BTreeSet<_> = operations(&description)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(found, expected);
    assert_eq!(description["openapi"], "3.1.0");
}

#[tokio::test]
async fn operations_list_the_requirements_of_their_row() {
    let tenant = Tenant::start().await;
    let operations = operations(&described(&tenant).await);
    for row in rows(&Access::from(&tenant.auth), || false) {
        let name = name(&row);
        let (_, operation) = operations.iter().find(|(found, _)| *found == name).unwrap();
        let scopes = row.requires.as_ref().map(|requires| {
            let scopes = requires.policy.as_ref().and_then(Policy::scopes);
            scopes.into_iter().collect::<Vec<_>>()
        });
        let security = scopes.map_or(Value::Null, |scopes| json!([{"bearer": scopes}]));
        assert_eq!(operation["security"], security, "{name}");
        let summary = operation["summary"].as_str().unwrap();
        assert!(!summary.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn path_parameters_are_required() {
    let tenant = Tenant::start().await;
    let mut segments = 0;
    for (name, operation) in operations(&described(&tenant).await) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let in_path = parameter["in"] == "path";
            assert_eq!(parameter["required"], in_path, "{name}");
            segments += usize::from(in_path);
        }
    }
    assert_eq!(segments, 2);
}

fn codes(operation: &Value) -> BTreeSet<(u16, String)> {
    let mut codes = BTreeSet::new();
    for (status, answer) in operation["responses"].as_object().unwrap() {
        let schema = &answer["content"]["application/problem+json"]["schema"];
        let Some(one_of) = schema["allOf"][1]["properties"]["code"]["enum"].as_array() else {
            continue;
        };
        for code in one_of {
            let code = code.as_str().unwrap().to_owned();
            codes.insert((status.parse().unwrap(), code));
        }
    }
    codes
}

#[tokio::test]
async fn refusals_are_described() {
    let tenant = Tenant::start().await;
    let operations = operations(&described(&tenant).await);
    let plain = tenant.issuer.token().sign();
    let expired = tenant.issuer.token().expired().sign();
    #[rustfmt::skip]
    let rows = [
        ("GET /api/private", "/api/private", None),
        ("GET /api/private", "/api/private", Some(&expired)),
        ("GET /api/private-scoped", "/api/private-scoped", Some(&plain)),
        ("GET /auth", "/auth?scope=read:messages", Some(&plain)),
        ("GET /auth", "/auth?permission=read", Some(&plain)),
        ("GET /auth", "/auth?nonsense", Some(&plain)),
        ("GET /errors/{code}", "/errors/none", None),
        ("GET /docs/{file}", "/docs/none", None),
    ];
    for (name, path, token) in rows {
        let (_, operation) = operations.iter().find(|(found, _)| found == name).unwrap();
        let answer = tenant.send("GET", path, token.map(String::as_str)).await;
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        let found = (answer.status.as_u16(), code);
        assert!(codes(operation).contains(&found), "{name}: {found:?}");
    }
}

/// A service with every optional row. Its audiences share a metadata path.
async fn with_all_rows() -> (Issuer, Access) {
    let issuer = Issuer::start().await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience("https://api.example.com/one")
        .audience("https://api.example.com/two")
        .resource("https://api.example.com")
        .logout_client(issuer.client_id())
        .build()
        .unwrap();
    auth.ready().await;
    let access = Access::from(&auth);
    (issuer, access)
}

fn operation<'o>(operations: &'o [(String, Value)], name: &str) -> &'o Value {
    let found = operations.iter().find(|(found, _)| found == name);
    &found.unwrap_or_else(|| panic!("{name}")).1
}

#[tokio::test]
async fn rows_for_machines_are_described_as_they_behave() {
    const FORM: &str = "application/x-www-form-urlencoded";
    const LOGOUT: &str = "POST /backchannel-logout";
    const METADATA: &str = "GET /.well-known/oauth-protected-resource";
    let (issuer, access) = with_all_rows().await;
    let routes = routes(&access, &Shutdown::new());
    let document = warp::test::request().path("/openapi.json");
    let document = answer(&document.reply(&routes).await).json();
    let operations = operations(&document);

    let logout = issuer.logout_token().claim("sid", "s1").sign();
    let logout = format!("logout_token={logout}");
    let long = format!("a={}", "a".repeat(128 * 1024));
    let audience = |audience: &str| format!("{METADATA}?audience={audience}");
    #[rustfmt::skip]
    let rows = [
        ("a logout", LOGOUT, FORM, &*logout, None),
        ("the same again", LOGOUT, FORM, &logout, Some((400, "invalid_logout_token"))),
        ("no token", LOGOUT, FORM, "", Some((400, "invalid_logout_token"))),
        ("a long form", LOGOUT, FORM, &long, Some((413, "payload_too_large"))),
        ("not a form", LOGOUT, "text/plain", &logout, Some((415, "unsupported_media_type"))),
        ("metadata", METADATA, "", "", None),
        ("of an audience", &audience("https://api.example.com/two"), "", "", None),
        ("of an unknown audience", &audience("https://api.example.com/three"), "", "", Some((400, "bad_request"))),
    ];
    for (case, line, content_type, body, expected) in rows {
        let (method, target) = line.split_once(' ').unwrap();
        let request = warp::test::request().method(method).path(target).body(body);
        let reply = request.header("content-type", content_type).reply(&routes);
        let reply = reply.await;
        let status = reply.status().as_u16();
        let operation = operation(&operations, line.split('?').next().unwrap());
        match expected {
            None => {
                assert_eq!(status, 200, "{case}");
                let described = operation["responses"]["200"].get("content");
                assert_eq!(described.is_some(), !reply.body().is_empty(), "{case}");
            }
            Some((expected, code)) => {
                answer(&reply).assert_is_problem(case, expected, code);
                let found = codes(operation);
                assert!(
                    found.contains(&(status, code.to_owned())),
                    "{case}: {found:?}"
                );
            }
        }
    }

    // We don't provoke these here: they need an outage, a body that breaks off, or a reload at the
    // wrong moment.
    for (name, status, code) in [
        (LOGOUT, 400, "invalid_body"),
        (LOGOUT, 503, "keys_unavailable"),
        (LOGOUT, 503, "state_unavailable"),
        (METADATA, 404, "not_found"),
    ] {
        let found = codes(operation(&operations, name));
        assert!(found.contains(&(status, code.to_owned())), "{name}: {code}");
    }
    let body = &operation(&operations, LOGOUT)["requestBody"];
    assert_eq!(body["required"], true);
    let form = &body["content"][FORM]["schema"];
    assert_eq!(form["required"], json!(["logout_token"]));
    assert_eq!(form["properties"]["logout_token"]["type"], "string");
    let parameters = &operation(&operations, METADATA)["parameters"];
    assert_eq!(parameters[0]["name"], "audience");
    assert_eq!(parameters[0]["in"], "query");
    assert_eq!(parameters.as_array().unwrap().len(), 1);
}

/// Only rows that read a body have a `requestBody`, and only they can answer that a body is wrong.
#[tokio::test]
async fn problems_with_bodies_are_described_where_a_body_is_read() {
    let (_issuer, access) = with_all_rows().await;
    let routes = routes(&access, &Shutdown::new());
    let document = warp::test::request().path("/openapi.json");
    let document = answer(&document.reply(&routes).await).json();
    for (name, operation) in operations(&document) {
        let codes = codes(&operation);
        for code in [
            "payload_too_large",
            "unsupported_media_type",
            "invalid_body",
        ] {
            let is_listed = codes.iter().any(|(_, found)| found == code);
            let reads = operation.get("requestBody").is_some();
            assert_eq!(is_listed, reads, "{name}: {code}");
        }
    }
}

#[tokio::test]
async fn proofs_are_described_with_the_field_of_the_token() {
    let issuer = Issuer::start().await;
    for (field, words) in [
        (
            None,
            "in `Authorization`: the word DPoP, a space and the token",
        ),
        (Some("X-Token"), "in `x-token`, without a scheme"),
    ] {
        let mut builder = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .dpop(Dpop::allowed("https://api.example.com"));
        if let Some(field) = field {
            builder = builder.token_field(HeaderName::from_bytes(field.as_bytes()).unwrap());
        }
        let auth = builder.build().unwrap();
        let routes = routes(&Access::from(&auth), &Shutdown::new());
        let document = warp::test::request().path("/openapi.json");
        let document = answer(&document.reply(&routes).await).json();
        let proof = &document["components"]["securitySchemes"]["dpop"]["description"];
        assert!(proof.as_str().unwrap().contains(words), "{proof}");
    }
}

#[tokio::test]
async fn only_scope_policies_list_insufficient_scope() {
    let tenant = Tenant::start().await;
    let operations = operations(&described(&tenant).await);
    #[rustfmt::skip]
    let rows = [
        ("GET /api/public", "missing_token", false),
        ("GET /api/private", "missing_token", true),
        ("GET /api/private", "insufficient_scope", false),
        ("GET /api/private-scoped", "insufficient_scope", true),
        ("GET /api/private-scoped", "insufficient_permissions", false),
        ("GET /api/public", "not_found", false),
        ("GET /errors/{code}", "not_found", true),
        ("GET /livez", "request_timeout", true),
    ];
    for (name, code, expected) in rows {
        let (_, operation) = operations.iter().find(|(found, _)| found == name).unwrap();
        let found = codes(operation).iter().any(|(_, found)| found == code);
        assert_eq!(found, expected, "{name}: {code}");
    }
}

#[tokio::test]
async fn every_code_has_an_example_body() {
    let tenant = Tenant::start().await;
    let description = described(&tenant).await;
    let examples = &description["components"]["examples"];
    let codes = AuthError::ALL.iter().map(|error| error.code());
    let codes = codes.chain(Problem::ALL.iter().map(|problem| problem.code()));
    for code in codes {
        assert_eq!(examples[code]["value"]["code"], code);
    }
    let answered = tenant.get("/api/private", None).await.json();
    assert_eq!(examples["missing_token"]["value"], answered);
}

#[tokio::test]
async fn every_reference_resolves() {
    let tenant = Tenant::start().await;
    let description = described(&tenant).await;
    let mut waiting = vec![&description];
    let mut referred = 0;
    while let Some(value) = waiting.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
            referred += 1;
        }
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(members) => waiting.extend(members.values()),
            _ => {}
        }
    }
    assert!(referred > 100, "{referred}");
}

#[tokio::test]
async fn page_loads_only_served_files() {
    let tenant = Tenant::start().await;
    for path in ["/docs", "/docs/"] {
        let page = tenant.get(path, None).await;
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(!page.body.contains("://"), "{}", page.body);
        let loaded: Vec<_> = ["src=\"", "href=\""]
            .iter()
            .flat_map(|attribute| page.body.split(attribute).skip(1))
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        let mut expected: Vec<_> = FILES.iter().map(|file| format!("/docs/{file}")).collect();
        expected.sort();
        let mut found = loaded.clone();
        found.sort_unstable();
        assert_eq!(found, expected);
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        assert!(policy.contains("connect-src 'self';"), "{policy}");
    }
}

/// Fetches a file as a browser would, and decompresses it. Also returns its media type.
async fn file(tenant: &Tenant, name: &str) -> (String, Vec<u8>) {
    let routes = routes(&Access::from(&tenant.auth), &Shutdown::new());
    let request = warp::test::request().path(&format!("/docs/{name}"));
    let reply = request.reply(&routes).await;
    assert_eq!(reply.status().as_u16(), 200, "{name}");
    let header = |field: &str| {
        let value = reply.headers().get(field);
        value.map_or("", |value| value.to_str().unwrap())
    };
    assert_eq!(header("x-content-type-options"), "nosniff", "{name}");
    let bytes = match header("content-encoding") {
        "gzip" => {
            let mut bytes = Vec::new();
            let mut compressed = GzDecoder::new(&**reply.body());
            compressed.read_to_end(&mut bytes).unwrap();
            bytes
        }
        _ => reply.body().to_vec(),
    };
    (header("content-type").to_owned(), bytes)
}

#[tokio::test]
async fn files_have_the_right_media_type() {
    let tenant = Tenant::start().await;
    #[rustfmt::skip]
    let rows = [
        ("swagger-ui.css", "text/css", ".swagger-ui"),
        ("index.css", "text/css", "box-sizing"),
        ("favicon-32x32.png", "image/png", "PNG"),
        ("swagger-ui-bundle.js", "text/javascript", "SwaggerUIBundle"),
        ("swagger-ui-standalone-preset.js", "text/javascript", "SwaggerUIStandalonePreset"),
        ("swagger-initializer.js", "text/javascript", "\"/openapi.json\""),
    ];
    assert_eq!(rows.map(|(name, ..)| name), FILES);
    for (name, kind, has) in rows {
        let (found, bytes) = file(&tenant, name).await;
        assert_eq!(found, kind, "{name}");
        assert!(String::from_utf8_lossy(&bytes).contains(has), "{name}");
    }
}

#[tokio::test]
async fn page_does_not_call_the_public_validator() {
    let tenant = Tenant::start().await;
    let (_, settings) = file(&tenant, "swagger-initializer.js").await;
    let settings = String::from_utf8(settings).unwrap();
    assert!(settings.contains(r#""validatorUrl": "none""#), "{settings}");
    assert!(!settings.contains("://"), "{settings}");
    assert!(!settings.contains("initOAuth"), "{settings}");
}

#[tokio::test]
async fn page_fetches_a_token_under_dev() {
    let tenant = Tenant::start().await;
    let url = tenant.issuer.token_endpoint().to_owned();
    let access = Access {
        docs: Some(Docs {
            tokens: Some(TokenEndpoint {
                url: url.clone(),
                client_id: "dev".to_owned(),
                client_secret: "none".to_owned(),
            }),
        }),
        ..Access::from(&tenant.auth)
    };
    let routes = routes(&access, &Shutdown::new());
    let get = async |path: &str| answer(&warp::test::request().path(path).reply(&routes).await);

    let description = get("/openapi.json").await.json();
    let flow = &description["components"]["securitySchemes"]["access_token"]["flows"];
    let flow = &flow["clientCredentials"];
    assert_eq!(flow["tokenUrl"], *url);
    assert_eq!(flow["scopes"], json!({"read:messages": ""}));
    let scoped = &description["paths"]["/api/private-scoped"]["get"]["security"];
    let needed = ["read:messages"];
    assert_eq!(
        *scoped,
        json!([{"bearer": needed}, {"access_token": needed}])
    );

    let page = get("/docs").await;
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains(&format!("connect-src 'self' {url};")),
        "{policy}"
    );
    let settings = get("/docs/swagger-initializer.js").await.body;
    assert!(settings.contains(r#""clientSecret": "none""#), "{settings}");
}

#[tokio::test]
async fn docs_are_absent_if_disabled() {
    let tenant = Tenant::start().await;
    let access = Access {
        docs: None,
        ..Access::from(&tenant.auth)
    };
    let routes = routes(&access, &Shutdown::new());
    for path in ["/openapi.json", "/docs", "/docs/swagger-ui.css"] {
        let reply = warp::test::request().path(path).reply(&routes).await;
        assert_eq!(reply.status().as_u16(), 404, "{path}");
    }
}
