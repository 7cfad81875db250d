//! Every error code in a response has a page with advice.

use warp_bearer::service::api::errors::PAGES;

use crate::support::{Answer, Tenant, answer};

async fn get(tenant: &Tenant, path: &str, accept: &str) -> Answer {
    let request = warp::test::request().path(path).header("accept", accept);
    answer(&request.reply(&tenant.routes()).await)
}

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

#[tokio::test]
async fn every_code_has_an_html_and_a_json_page() {
    let tenant = Tenant::start().await;
    for page in PAGES {
        let (code, path) = (page.code, format!("/errors/{}", page.code));
        let shown = get(&tenant, &path, "*/*").await;
        assert_eq!(shown.status, 200, "{code}: {shown:?}");
        assert_eq!(shown.header("content-type"), "application/json", "{code}");
        assert_eq!(shown.header("vary"), "Accept", "{code}");
        let json = shown.json();
        assert_eq!(json["code"], code);
        assert_eq!(json["causes"][0]["fix"], page.causes[0].fix, "{code}");
        assert_eq!(json["causes"].as_array().unwrap().len(), page.causes.len());

        let shown = get(&tenant, &path, BROWSER).await;
        assert_eq!(shown.status, 200, "{code}: {shown:?}");
        assert_eq!(shown.header("content-type"), "text/html; charset=utf-8");
        let policy = shown.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{code}: {policy}");
        assert_eq!(shown.header("vary"), "Accept", "{code}");
        assert!(
            shown
                .body
                .contains(&format!("<h1><code>{code}</code></h1>"))
        );
        let causes = shown.body.matches("<dt>").count();
        assert_eq!(causes, page.causes.len(), "{code}: {}", shown.body);
        assert!(!shown.body.contains('`'), "{code}: {}", shown.body);
    }
}

#[tokio::test]
async fn page_matches_the_answer() {
    let tenant = Tenant::start().await;
    let expired = tenant.issuer.token().expired().sign();
    for (path, token) in [
        ("/api/private", None),
        ("/api/private", Some(&*expired)),
        ("/api/private", Some("a.b")),
        ("/api/private-scoped", Some(&*tenant.issuer.token().sign())),
        ("/nowhere", None),
    ] {
        let refused = tenant.get(path, token).await.json();
        let path = format!("/errors/{}", refused["code"].as_str().unwrap());
        let page = tenant.get(&path, None).await.json();
        for member in ["code", "status", "detail"] {
            assert_eq!(page[member], refused[member], "{path}");
        }
        assert_eq!(page["error"], refused["error"], "{path}");
    }
}

#[tokio::test]
async fn list_links_every_page() {
    let tenant = Tenant::start().await;
    let list = get(&tenant, "/errors", BROWSER).await;
    for page in PAGES {
        let link = format!("<a href=\"/errors/{}\">", page.code);
        assert!(list.body.contains(&link), "{link}");
    }
    let list = get(&tenant, "/errors", "application/json").await.json();
    assert_eq!(list.as_array().unwrap().len(), PAGES.len());
    assert_eq!(list[0]["code"], PAGES[0].code);
}

#[tokio::test]
async fn unknown_code_is_404_and_other_method_is_405() {
    let tenant = Tenant::start().await;
    for (case, method, path, status) in [
        ("a trailing slash", "GET", "/errors/", 200),
        ("HEAD", "HEAD", "/errors/token_expired", 200),
        ("no code", "GET", "/errors/nothing", 404),
        ("markup", "GET", "/errors/%3Cscript%3E", 404),
        ("more", "GET", "/errors/token_expired/more", 404),
        ("a template", "GET", "/errors/%7Bcode%7D", 404),
        ("POST", "POST", "/errors/token_expired", 405),
        ("POST to the list", "POST", "/errors", 405),
        ("POST to no code", "POST", "/errors/nothing", 405),
        ("POST to more", "POST", "/errors/token_expired/more", 404),
    ] {
        let answer = tenant.send(method, path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        assert!(!answer.body.contains("script"), "{case}: {answer:?}");
        if status == 405 {
            assert_eq!(answer.header("allow"), "GET, HEAD", "{case}");
        }
    }
}
