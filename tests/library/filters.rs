//! The filters, in a warp service other than ours.

use hyper::body::Bytes;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use warp::Filter;
use warp_bearer::auth::{
    BearerFilterExt, Claims, Refusal, handle_rejection,
    policy::{permission, scope},
    with_auth, with_optional_auth,
};

use crate::support::{Tenant, answer};

#[derive(Deserialize)]
struct Tier {
    #[serde(rename = "https://my.app/tier")]
    tier: String,
}

#[tokio::test]
async fn rejects_tokens_that_do_not_fit_the_claims_type() {
    let tenant = Tenant::start().await;
    let route = warp::path!("tier")
        .and(warp::get())
        .and(with_auth(&tenant.auth))
        .map(|claims: Claims<Tier>| claims.into_private().tier)
        .route()
        .recover(handle_rejection);
    let token = || tenant.issuer.token();
    #[rustfmt::skip]
    let rows = [
        ("there", token().claim("https://my.app/tier", "gold"), 200, "gold"),
        ("of another type", token().claim("https://my.app/tier", 1), 401, "invalid_claim"),
        ("absent", token(), 401, "invalid_claim"),
    ];
    for (case, token, status, body) in rows {
        let reply = warp::test::request()
            .path("/tier")
            .header("authorization", format!("Bearer {}", token.sign()))
            .reply(&route)
            .await;
        assert_eq!(reply.status().as_u16(), status, "{case}");
        assert!(answer(&reply).body.contains(body), "{case}: {reply:?}");
    }
}

#[tokio::test]
async fn optional_auth_accepts_missing_but_not_invalid_tokens() {
    let tenant = Tenant::start().await;
    let route = warp::path!("hello")
        .and(with_optional_auth(&tenant.auth))
        .map(|claims: Option<Claims>| match claims {
            Some(claims) => claims.subject().unwrap_or_default().to_owned(),
            None => "nobody".to_owned(),
        })
        .route()
        .recover(handle_rejection);
    let good = format!("Bearer {}", tenant.issuer.token().subject("ann").sign());
    let bad = format!("Bearer {}", tenant.issuer.token().expired().sign());
    for (case, field, status, body) in [
        ("absent", None, 200, "nobody"),
        ("another scheme", Some("Basic YTpi"), 200, "nobody"),
        ("good", Some(&*good), 200, "ann"),
        ("expired", Some(&*bad), 401, "token_expired"),
        ("malformed", Some("Bearer"), 400, "malformed_authorization"),
    ] {
        let mut request = warp::test::request().path("/hello");
        if let Some(field) = field {
            request = request.header("authorization", field);
        }
        let reply = request.reply(&route).await;
        assert_eq!(reply.status().as_u16(), status, "{case}");
        assert!(answer(&reply).body.contains(body), "{case}: {reply:?}");
    }
}

#[tokio::test]
async fn no_other_route_answers_after_a_refusal() {
    let tenant = Tenant::start().await;
    let protected = warp::path!("a")
        .and(with_auth(&tenant.auth))
        .map(|_: Claims| "protected")
        .route();
    let catch_all = warp::any().map(|| "caught").route();
    let routes = protected.or(catch_all).recover(handle_rejection);
    for (path, status) in [("/a", 401), ("/b", 200)] {
        let reply = warp::test::request().path(path).reply(&routes).await;
        assert_eq!(reply.status().as_u16(), status, "{path}");
    }
}

/// All routes of the group but one reject the method. warp combines these rejections with our
/// refusal, which should win.
#[tokio::test]
async fn no_other_route_answers_after_a_refusal_in_a_group() {
    let tenant = Tenant::start().await;
    let list = warp::get()
        .and(with_auth(&tenant.auth))
        .map(|_: Claims| "list".to_owned());
    let create = warp::post()
        .and(with_auth(&tenant.auth))
        .and(warp::body::json())
        .map(|_: Claims, body: serde_json::Value| body.to_string());
    let group = warp::path!("items").and(list.or(create).unify()).route();
    let catch_all = warp::any().map(|| "caught").route();
    let routes = group.or(catch_all).recover(handle_rejection);
    let good = tenant.issuer.token().sign();
    #[rustfmt::skip]
    let rows = [
        ("no token, first route", "GET", None, "", 401, "missing_token"),
        ("no token, second route", "POST", None, "1", 401, "missing_token"),
        ("a body that is not JSON", "POST", Some(&good), "{", 400, "invalid_body"),
        ("first route", "GET", Some(&good), "", 200, "list"),
        ("second route", "POST", Some(&good), "12", 200, "12"),
        ("a method of neither", "PUT", None, "", 200, "caught"),
    ];
    for (case, method, token, body, status, text) in rows {
        let mut request = warp::test::request()
            .method(method)
            .path("/items")
            .body(body);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let reply = request.reply(&routes).await;
        assert_eq!(reply.status().as_u16(), status, "{case}");
        assert!(answer(&reply).body.contains(text), "{case}: {reply:?}");
    }
}

/// Some of the types of these rejections are private to warp.
#[tokio::test]
async fn no_other_route_answers_after_any_rejection_of_warp() {
    let tenant = Tenant::start().await;
    let at = |path: &'static str| warp::path(path).and(with_auth(&tenant.auth));
    let json = at("json")
        .and(warp::body::json())
        .map(|_: Claims, body: serde_json::Value| body.to_string())
        .route();
    let bytes = at("bytes")
        .and(warp::body::bytes())
        .map(|_: Claims, body: Bytes| format!("{body:?}"))
        .route();
    let twice = at("twice")
        .and(warp::body::bytes())
        .and(warp::body::bytes())
        .map(|_: Claims, body: Bytes, _: Bytes| format!("{body:?}"))
        .route();
    let extension = at("extension")
        .and(warp::ext::get::<u8>())
        .map(|_: Claims, found: u8| found.to_string())
        .route();
    let socket = at("socket")
        .and(warp::ws())
        .map(|_: Claims, _: warp::ws::Ws| "open")
        .route();
    // A custom rejection with such a name still reaches the next route.
    let own = at("own")
        .and_then(|_: Claims| async {
            Err::<&str, _>(warp::reject::custom(Own("BodyReadError(MissingExtension)")))
        })
        .route();
    let catch_all = warp::any().map(|| "caught");
    let routes = json.or(bytes).or(twice).or(extension).or(socket).or(own);
    let routes = routes.or(catch_all);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(warp::serve(routes).incoming(listener).run());
    let token = tenant.issuer.token().sign();
    #[rustfmt::skip]
    let rows = [
        ("POST /json", "ZZ\r\n", "400", "invalid_body"),
        ("POST /bytes", "ZZ\r\n", "400", "invalid_body"),
        ("POST /bytes", "1\r\na\r\n0\r\n\r\n", "200", "a"),
        ("POST /twice", "0\r\n\r\n", "500", "internal_error"),
        ("GET /extension", "0\r\n\r\n", "500", "internal_error"),
        ("GET /socket", "0\r\n\r\n", "400", "bad_request"),
        ("GET /own", "0\r\n\r\n", "200", "caught"),
    ];
    for (target, body, status, text) in rows {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let start = answer.split(' ').nth(1);
        assert_eq!(start, Some(status), "{target}: {answer}");
        assert!(answer.contains(text), "{target}: {answer}");
    }
    served.abort();
}

#[derive(Debug)]
struct Own(#[allow(dead_code)] &'static str);

impl warp::reject::Reject for Own {}

#[tokio::test]
async fn auth_comes_before_the_body() {
    let tenant = Tenant::start().await;
    let routes = warp::path!("a")
        .and(warp::post())
        .and(with_auth(&tenant.auth))
        .and(warp::body::content_length_limit(8))
        .and(warp::body::json())
        .map(|_: Claims, body: serde_json::Value| body.to_string())
        .route()
        .or(warp::path!("b").map(|| "b").route())
        .recover(handle_rejection);
    let token = tenant.issuer.token().sign();
    #[rustfmt::skip]
    let rows = [
        ("no token, too large", None, "application/json", "123456789", 401, "missing_token"),
        ("too large", Some(&token), "application/json", "123456789", 413, "payload_too_large"),
        ("not JSON", Some(&token), "application/json", "{", 400, "invalid_body"),
        ("another type", Some(&token), "text/plain", "1", 415, "unsupported_media_type"),
        ("good", Some(&token), "application/json", "1", 200, ""),
    ];
    for (case, token, kind, body, status, code) in rows {
        let mut request = warp::test::request().method("POST").path("/a");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.header("content-type", kind);
        let request = request.header("content-length", body.len()).body(body);
        let answer = answer(&request.reply(&routes).await);
        if code.is_empty() {
            assert_eq!(answer.status.as_u16(), status, "{case}");
        } else {
            answer.assert_is_problem(case, status, code);
        }
    }
}

#[tokio::test]
async fn policies_compose() {
    let tenant = Tenant::start().await;
    let policy = scope("a") & scope("b") | permission("p");
    let routes = warp::path!("a")
        .and(with_auth(&tenant.auth).require(policy))
        .map(|_: Claims| "in")
        .route()
        .or(warp::path!("p")
            .and(with_auth(&tenant.auth).require(permission("p")))
            .map(|_: Claims| "in")
            .route())
        .recover(handle_rejection);
    let token = || tenant.issuer.token();
    #[rustfmt::skip]
    let rows = [
        ("both scopes", "/a", token().scope("b a"), 200, ""),
        ("the permission", "/a", token().permissions(["p"]), 200, ""),
        ("one scope", "/a", token().scope("a"), 403, "insufficient_scope"),
        ("the permission as scope", "/p", token().scope("p"), 403, "insufficient_permissions"),
        ("another permission", "/p", token().permissions(["q"]), 403, "insufficient_permissions"),
    ];
    for (case, path, token, status, code) in rows {
        let reply = warp::test::request()
            .path(path)
            .header("authorization", format!("Bearer {}", token.sign()))
            .reply(&routes)
            .await;
        assert_eq!(reply.status().as_u16(), status, "{case}");
        if status == 403 {
            let answer = answer(&reply);
            answer.assert_is_problem(case, status, code);
            let challenge = answer.header("www-authenticate");
            let named = challenge.contains(r#"scope="a b""#);
            assert_eq!(named, code == "insufficient_scope", "{case}: {challenge}");
        }
    }
}

#[tokio::test]
async fn own_rejections_work_beside_the_librarys() {
    #[derive(Debug)]
    struct Closed;
    impl warp::reject::Reject for Closed {}

    async fn theirs(rejection: warp::Rejection) -> Result<impl warp::Reply, warp::Rejection> {
        match rejection.find::<Closed>() {
            Some(_) => Ok(warp::reply::with_status(
                "closed",
                warp::http::StatusCode::GONE,
            )),
            None => Err(rejection),
        }
    }

    let tenant = Tenant::start().await;
    let closed = warp::path!("closed")
        .and_then(|| async { Err::<&str, _>(warp::reject::custom(Closed)) })
        .route();
    let open = warp::path!("open")
        .and(with_auth(&tenant.auth))
        .map(|_: Claims| "in");
    let routes = closed.or(open).recover(theirs).recover(handle_rejection);
    for (path, status) in [("/closed", 410), ("/open", 401), ("/none", 404)] {
        let reply = warp::test::request().path(path).reply(&routes).await;
        assert_eq!(reply.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn refusals_can_be_answered_by_own_handlers() {
    let tenant = Tenant::start().await;
    let routes = warp::path!("a")
        .and(with_auth(&tenant.auth))
        .map(|_: Claims| "in".to_owned())
        .recover(|rejection: warp::Rejection| async move {
            match rejection.find::<Refusal>() {
                Some(refusal) => Ok(format!("no: {}", refusal.error.code())),
                None => Err(rejection),
            }
        });
    let reply = warp::test::request().path("/a").reply(&routes).await;
    assert_eq!(reply.body(), "no: missing_token");
}
