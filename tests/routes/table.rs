//! What the service's routes answer, and other routes that are declared in the same way.

use serde::Deserialize;
use serde_json::{Value, json};
use warp::Reply;
use warp_bearer::{
    auth::{
        Auth, Claims,
        policy::{scope, scopes},
    },
    issuer::Issuer,
    service::{
        Access, Docs, Limits, RequestLog, Shutdown,
        api::{
            matcher::Methods,
            route::{Form, Row, route, table},
            routes::rows,
        },
        routes,
    },
};

use crate::support::{Answer, Tenant, answer, raw};

#[tokio::test]
async fn routes_answer_permitted_callers() {
    let tenant = Tenant::start().await;
    let plain = tenant.issuer.token().sign();
    let reader = tenant.issuer.token().scope("read:messages").sign();
    let expired = tenant.issuer.token().expired().sign();
    #[rustfmt::skip]
    let rows = [
        ("open to all", "GET", "/api/public", None, 200),
        ("open to a bad token", "GET", "/api/public", Some(&expired), 200),
        ("a trailing slash", "GET", "/api/public/", None, 200),
        ("no token", "GET", "/api/private", None, 401),
        ("expired", "GET", "/api/private", Some(&expired), 401),
        ("valid", "GET", "/api/private", Some(&plain), 200),
        ("scope not granted", "GET", "/api/private-scoped", Some(&plain), 403),
        ("scope granted", "GET", "/api/private-scoped", Some(&reader), 200),
        ("alive", "GET", "/livez", None, 200),
        ("ready", "GET", "/readyz", None, 200),
        ("method before auth", "POST", "/api/private", None, 405),
        ("path before method", "POST", "/api/nothing", None, 404),
    ];
    for (case, method, path, token, status) in rows {
        let answer = tenant.send(method, path, token.map(String::as_str)).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        if status == 200 {
            assert_eq!(answer.header("content-type"), "application/json", "{case}");
        }
    }
}

#[tokio::test]
async fn messages_match_the_tutorial() {
    let tenant = Tenant::start().await;
    let token = tenant.issuer.token().scope("read:messages").sign();
    #[rustfmt::skip]
    let rows = [
        ("/api/public", "Hello from a public endpoint! You don't need to be authenticated to see this."),
        ("/api/private-scoped", "Hello from a private endpoint! Your token grants read:messages."),
    ];
    for (path, msg) in rows {
        let answer = tenant.get(path, Some(&token)).await;
        assert_eq!(answer.json(), json!({"status": "success", "msg": msg}));
    }
}

#[tokio::test]
async fn private_route_returns_the_claims_as_issued() {
    let tenant = Tenant::start().await;
    let issuer = &tenant.issuer;
    let header = json!({"alg": "RS256", "kid": issuer.key().kid()}).to_string();
    let payload = format!(
        r#"{{ "iss":"{}", "aud":"{}", "exp":4102444800.0, "n":1e2, "u":"\u00e9\u2603", "deep":{{"b":[1,null,{{}}]}}, "big":123456789012345678901234567890 }}"#,
        issuer.url(),
        issuer.audience(),
    );
    let token = issuer.sign_raw(header.as_bytes(), payload.as_bytes());
    let answer = tenant.get("/api/private", Some(&token)).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    assert_eq!(answer.body, payload);
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn head_answers_as_get_does() {
    let tenant = Tenant::start().await;
    let token = tenant.issuer.token().scope("read:messages").sign();
    for row in rows(&Access::from(&tenant.auth), || false) {
        for token in [None, Some(&*token)] {
            let get = tenant.send("GET", row.template, token).await;
            let head = tenant.send("HEAD", row.template, token).await;
            assert_eq!(head.status, get.status, "{}", row.template);
            assert_eq!(head.headers, get.headers, "{}", row.template);
        }
    }
}

#[tokio::test]
async fn requests_without_a_token_reach_only_open_routes() {
    let tenant = Tenant::start().await;
    let rows = rows(&Access::from(&tenant.auth), || false);
    let docs = if cfg!(feature = "docs") { 3 } else { 0 };
    assert_eq!(rows.len(), 9 + docs, "add the new route to this test");
    for row in rows {
        let path = row.template.replace("{code}", "token_expired");
        let path = path.replace("{file}", "swagger-initializer.js");
        let method = match &row.methods {
            Methods::Only(method) => method.as_str(),
            Methods::Any => "PROPFIND",
        };
        let answer = tenant.send(method, &path, None).await;
        #[rustfmt::skip]
        let open = ["/", "/api/public", "/livez", "/readyz", "/errors", "/errors/{code}", "/openapi.json", "/docs", "/docs/{file}"];
        let open = open.contains(&row.template);
        assert_eq!(row.requires.is_none(), open, "{}", row.template);
        if open {
            assert_eq!(answer.status.as_u16(), 200, "{}", row.template);
        } else {
            answer.assert_is_problem(row.template, 401, "missing_token");
        }
    }
}

#[tokio::test]
async fn the_root_lists_the_routes() {
    let tenant = Tenant::start().await;
    let index = tenant.get("/", None).await;
    assert_eq!(index.status.as_u16(), 200, "{index:?}");
    let index = index.json();
    assert_eq!(index["service"], "warp-bearer");
    let docs = cfg!(feature = "docs").then_some("/docs");
    assert_eq!(index["docs"].as_str(), docs);
    let routes = index["routes"].as_array().unwrap();
    let listed = |route: &str| routes.iter().find(|row| row["route"] == route);
    assert_eq!(listed("GET /api/public").unwrap()["token"], false);
    assert_eq!(listed("any /auth").unwrap()["token"], true);
    let all = rows(&Access::from(&tenant.auth), || false);
    for row in all.iter().filter(|row| !row.template.starts_with("/docs")) {
        let route = format!("{} {}", row.methods, row.template);
        let is_later = ["/", "/openapi.json"].contains(&row.template);
        assert_eq!(listed(&route).is_none(), is_later, "{route}");
    }
}

#[tokio::test]
async fn the_demo_routes_and_the_list_can_be_turned_off() {
    let tenant = Tenant::start().await;
    let good = tenant.issuer.token().scope("read:messages").sign();
    let with = |demo_routes: bool, docs: Option<Docs>| Access {
        demo_routes,
        docs,
        ..Access::from(&tenant.auth)
    };
    let templates = |access: &Access| -> Vec<_> {
        let rows = rows(access, || false).into_iter();
        rows.map(|row| row.template).collect()
    };
    let bare = with(false, None);
    let expected = ["/auth", "/livez", "/readyz", "/errors", "/errors/{code}"];
    assert_eq!(templates(&bare), expected);
    let listed = with(false, Some(Docs::default()));
    assert!(templates(&listed).contains(&"/"));
    for (access, path) in [
        (&bare, "/"),
        (&bare, "/api/public"),
        (&bare, "/api/private"),
        (&listed, "/api/private-scoped"),
    ] {
        let request = warp::test::request().path(path);
        let request = request.header("authorization", format!("Bearer {good}"));
        let reply = request.reply(&routes(access, &Shutdown::new())).await;
        answer(&reply).assert_is_problem(path, 404, "not_found");
    }
}

#[tokio::test]
async fn readyz_shows_the_age_of_the_keys() {
    let tenant = Tenant::start().await;
    let body = tenant.get("/readyz", None).await.json();
    assert_eq!(body["ready"], true);
    assert_eq!(body["state_store"]["ok"], true);
    let issuer = &body["issuers"][0];
    assert_eq!(issuer["issuer"], tenant.issuer.url());
    assert_eq!(issuer["keys"], 1);
    assert_eq!(issuer["age_seconds"], 0);
    assert_eq!(issuer["last_error"], Value::Null);
    assert!(
        issuer["next_fetch_seconds"].as_u64() > Some(400),
        "{issuer}"
    );
}

#[tokio::test]
async fn not_ready_after_a_shutdown_request() {
    let tenant = Tenant::start().await;
    let shutdown = Shutdown::new();
    let routes = warp_bearer::service::routes(&Access::from(&tenant.auth), &shutdown);
    shutdown.request();
    let reply = warp::test::request().path("/readyz").reply(&routes).await;
    assert_eq!(reply.status().as_u16(), 503);
}

/// A service with metadata for this URL. Every token also needs the scope `use`.
async fn described(resource: &str) -> (Issuer, Access) {
    let issuer = Issuer::start().await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .resource(resource)
        .build()
        .unwrap();
    auth.ready().await;
    let required = scopes("use");
    let access = Access {
        required,
        ..Access::from(&auth)
    };
    (issuer, access)
}

async fn ask(access: &Access, method: &str, path: &str, token: Option<&str>) -> Answer {
    let mut request = warp::test::request().method(method).path(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    answer(&request.reply(&routes(access, &Shutdown::new())).await)
}

const METADATA: &str = "/.well-known/oauth-protected-resource";

#[tokio::test]
async fn client_can_discover_issuer_and_scopes() {
    for (resource, path) in [
        ("https://api.example.com", ""),
        ("https://api.example.com/messages", "/messages"),
    ] {
        let (issuer, access) = described(resource).await;
        let refused = ask(&access, "GET", "/api/private", None).await;
        let url = format!("https://api.example.com{METADATA}{path}");
        let named = format!("resource_metadata=\"{url}\"");
        let challenge = refused.header("www-authenticate");
        assert!(challenge.ends_with(&named), "{challenge}");

        for path in [METADATA.to_owned(), format!("{METADATA}{path}")] {
            let found = ask(&access, "GET", &path, None).await;
            assert_eq!(found.status.as_u16(), 200, "{path}: {found:?}");
            assert_eq!(found.header("content-type"), "application/json");
            assert_eq!(found.header("cache-control"), "public, max-age=3600");
            let document = json!({
                "resource": resource,
                "authorization_servers": [issuer.url()],
                "scopes_supported": ["use"],
                "bearer_methods_supported": ["header"],
            });
            assert_eq!(found.json(), document, "{path}");
            let head = ask(&access, "HEAD", &path, None).await;
            assert_eq!(head.headers, found.headers, "{path}");
            let written = ask(&access, "POST", &path, None).await;
            written.assert_is_problem(&path, 405, "method_not_allowed");
            assert_eq!(written.header("allow"), "GET, HEAD", "{path}");
        }
        let elsewhere = format!("{METADATA}/elsewhere");
        let nothing = ask(&access, "GET", &elsewhere, None).await;
        nothing.assert_is_problem("another path", 404, "not_found");
    }
}

#[tokio::test]
async fn metadata_list_exactly_the_configured_scopes() {
    let (_issuer, access) = described("https://api.example.com").await;
    let access = Access {
        resource_scopes: Some(vec!["write".to_owned(), "read".to_owned()]),
        ..access
    };
    let found = ask(&access, "GET", METADATA, None).await;
    assert_eq!(found.json()["scopes_supported"], json!(["read", "write"]));
}

#[tokio::test]
async fn each_audience_that_is_a_url_has_its_own_metadata() {
    let issuer = Issuer::start().await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience("https://a.example.com/mcp")
        .audience("https://a.example.com/notes")
        .audience("https://b.example.com/mcp")
        .audience("urn:no:url")
        .resource("https://a.example.com/mcp")
        .build()
        .unwrap();
    let access = Access::from(&auth);
    #[rustfmt::skip]
    let rows = [
        ("no path", "", Some("https://a.example.com/mcp")),
        ("its path", "/mcp", Some("https://a.example.com/mcp")),
        ("another path", "/notes", Some("https://a.example.com/notes")),
        ("the same path elsewhere", "/mcp?audience=https://b.example.com/mcp", Some("https://b.example.com/mcp")),
        ("the query only", "?audience=https://a.example.com/notes", Some("https://a.example.com/notes")),
        ("an audience that is not a URL", "?audience=urn:no:url", None),
        ("an audience that is not configured", "?audience=https://c.example.com/mcp", None),
        ("another query", "?scope=a", None),
    ];
    for (case, path, resource) in rows {
        let answer = ask(&access, "GET", &format!("{METADATA}{path}"), None).await;
        match resource {
            Some(resource) => assert_eq!(answer.json()["resource"], resource, "{case}"),
            None => answer.assert_is_problem(case, 400, "bad_request"),
        }
    }
}

#[tokio::test]
async fn metadata_are_absent_without_a_resource() {
    let tenant = Tenant::start().await;
    for method in ["GET", "POST"] {
        let answer = tenant.send(method, METADATA, None).await;
        answer.assert_is_problem(method, 404, "not_found");
    }
}

#[tokio::test]
async fn required_scope_applies_to_every_private_route() {
    let (issuer, access) = described("https://api.example.com").await;
    let token = |scope: &str| Some(issuer.token().scope(scope).sign());
    #[rustfmt::skip]
    let rows = [
        ("open to all", "/api/public", None, 200, ""),
        ("no token", "/api/private", None, 401, "use"),
        ("no token, a route with a scope", "/api/private-scoped", None, 401, "use read:messages"),
        ("another scope", "/api/private", token("read:messages"), 403, "use"),
        ("the scope", "/api/private", token("use"), 200, ""),
        ("only the scope of the route", "/api/private-scoped", token("read:messages"), 403, "use read:messages"),
        ("only the required scope", "/api/private-scoped", token("use"), 403, "use read:messages"),
        ("both", "/api/private-scoped", token("read:messages use"), 200, ""),
    ];
    for (case, path, token, status, scope) in rows {
        let answer = ask(&access, "GET", path, token.as_deref()).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        let challenge = answer.header("www-authenticate");
        let named = format!("scope=\"{scope}\"");
        assert_eq!(
            challenge.contains(&named),
            status != 200,
            "{case}: {challenge}"
        );
    }
}

#[tokio::test]
async fn constant_documents_are_not_copied_per_request() {
    let tenant = Tenant::start().await;
    let auth = Auth::builder()
        .issuer(tenant.issuer.url())
        .audience(tenant.issuer.audience())
        .resource("https://api.example.com")
        .build()
        .unwrap();
    let routes = routes(&Access::from(&auth), &Shutdown::new());
    let docs: &[_] = if cfg!(feature = "docs") {
        &[
            "/docs",
            "/docs/swagger-ui-bundle.js",
            "/docs/swagger-initializer.js",
            "/openapi.json",
        ]
    } else {
        &[]
    };
    for path in ["/errors", "/errors/token_expired"].iter().chain(docs) {
        for accept in ["text/html", "application/json"] {
            let request = || {
                let request = warp::test::request().path(path);
                request.header("accept", accept).reply(&routes)
            };
            let (one, other) = (request().await, request().await);
            assert_eq!(one.status(), 200, "{path}");
            assert_eq!(
                one.body().as_ptr(),
                other.body().as_ptr(),
                "{path}, {accept}"
            );
        }
    }
}

#[derive(Deserialize)]
struct Item {
    name: String,
}

async fn rename_item(id: String, claims: Claims, item: Item) -> impl Reply {
    warp::reply::json(&json!({"id": id, "by": claims.subject(), "name": item.name}))
}

/// A route with everything: a path segment, a token, a policy and a body.
fn item_row(access: &Access) -> Row {
    route!(POST, "items" / { id })
        .with_auth(access)
        .require(scope("write:items"))
        .json()
        .then(rename_item)
        .says("Renames an item", Form::Object)
}

#[tokio::test]
async fn checks_path_method_token_policy_and_body_in_order() {
    let tenant = Tenant::start().await;
    let plain = tenant.issuer.token().sign();
    let writer = tenant.issuer.token().scope("write:items").sign();
    let limits = Limits {
        body: 64,
        ..Limits::default()
    };
    let rows = table(vec![item_row(&Access::from(&tenant.auth))]);
    let service = raw::Service::with(rows, limits, None, RequestLog::disabled()).await;
    let large = format!(r#"{{"name":"{}"}}"#, "x".repeat(64));
    let (json, text) = ("application/json", "text/plain");
    // Each row passes one more check than the row before, and would fail every later one.
    #[rustfmt::skip]
    let cases = [
        ("another path", "PUT", "/things/7", None, text, "{", 404, "not_found"),
        ("not a path segment", "PUT", "/items/", None, text, "{", 404, "not_found"),
        ("another method", "PUT", "/items/7", None, text, "{", 405, "method_not_allowed"),
        ("no token", "POST", "/items/7", None, text, "{", 401, "missing_token"),
        ("scope not granted", "POST", "/items/7", Some(&plain), text, "{", 403, "insufficient_scope"),
        ("another media type", "POST", "/items/7", Some(&writer), text, "{", 415, "unsupported_media_type"),
        ("too large", "POST", "/items/7", Some(&writer), json, &large, 413, "payload_too_large"),
        ("not JSON", "POST", "/items/7", Some(&writer), json, "{", 400, "invalid_body"),
        ("another type", "POST", "/items/7", Some(&writer), json, r#"{"name":7}"#, 400, "invalid_body"),
        ("everything is right", "POST", "/items/7", Some(&writer), json, r#"{"name":"new"}"#, 200, ""),
    ];
    for (case, method, path, token, content_type, body, status, code) in cases {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            token.unwrap_or_default(),
            body.len()
        );
        let answer = service.client().await.ask(request.as_bytes()).await;
        if status == 200 {
            assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
            let expected = json!({"id": "7", "by": "auth0|alice", "name": "new"});
            assert_eq!(answer.json(), expected, "{case}");
        } else {
            answer.assert_is_problem(case, status, code);
        }
        let allow = if status == 405 { "POST" } else { "" };
        assert_eq!(answer.header("allow"), allow, "{case}");
    }
}

#[cfg(feature = "docs")]
#[tokio::test]
async fn description_includes_request_bodies() {
    let tenant = Tenant::start().await;
    let row = item_row(&Access::from(&tenant.auth));
    let document: Value = serde_json::from_str(&Docs::default().openapi(&[&row])).unwrap();
    let operation = &document["paths"]["/items/{id}"]["post"];
    assert_eq!(operation["requestBody"]["required"], true);
    assert_eq!(operation["parameters"][0]["name"], "id");
    assert_eq!(
        operation["parameters"][0]["schema"],
        json!({"type": "string"})
    );
    let codes = |status: &str| {
        let content = &operation["responses"][status]["content"]["application/problem+json"];
        content["schema"]["allOf"][1]["properties"]["code"]["enum"].clone()
    };
    assert_eq!(codes("413"), json!(["payload_too_large"]));
    assert_eq!(codes("415"), json!(["unsupported_media_type"]));
    assert_eq!(codes("403"), json!(["insufficient_scope"]));
    let bad = codes("400");
    assert!(
        bad.as_array().unwrap().contains(&json!("invalid_body")),
        "{bad}"
    );
}
