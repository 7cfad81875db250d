//! `/auth`, which a proxy calls for an application that does not verify tokens itself.

use std::collections::HashSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use warp_bearer::{
    auth::{AudienceClaim, Auth, Claims, TrustedIssuer, policy::scopes},
    issuer::{Fault, Issuer},
    service::{Access, Shutdown, routes},
};

use crate::support::{Answer, Tenant, answer};

const ISSUER: &str = "x-auth-issuer";
const SUBJECT: &str = "x-auth-subject";
const SCOPE: &str = "x-auth-scope";
const CLAIMS: &str = "x-auth-claims";

fn claims(answer: &Answer) -> String {
    let payload = BASE64_URL_SAFE_NO_PAD
        .decode(answer.header(CLAIMS))
        .unwrap();
    String::from_utf8(payload).unwrap()
}

#[tokio::test]
async fn accepts_a_token_that_meets_the_query() {
    let tenant = Tenant::start().await;
    let token = || tenant.issuer.token();
    let plain = token().sign();
    let reader = token().scope("read:messages openid").sign();
    let clerk = token()
        .scope("read:messages")
        .permissions(["messages:read"])
        .sign();
    let expired = token().scope("read:messages").expired().sign();
    #[rustfmt::skip]
    let rows = [
        ("no token", None, "/auth", 401, "missing_token", ""),
        ("no token, and a scope", None, "/auth?scope=a+b", 401, "missing_token", "a b"),
        ("no token, and a permission", None, "/auth?permission=p", 401, "missing_token", ""),
        ("expired", Some(&expired), "/auth?scope=read:messages", 401, "token_expired", ""),
        ("two tokens", Some(&format!("{plain},{plain}")), "/auth", 400, "multiple_credentials", ""),
        ("valid", Some(&plain), "/auth", 200, "", ""),
        ("an empty query", Some(&plain), "/auth?", 200, "", ""),
        ("a trailing slash", Some(&plain), "/auth/?", 200, "", ""),
        ("scope granted", Some(&reader), "/auth?scope=read:messages", 200, "", ""),
        ("both granted", Some(&reader), "/auth?scope=openid&scope=read%3Amessages", 200, "", ""),
        ("scope not granted", Some(&plain), "/auth?scope=read:messages", 403, "insufficient_scope", "read:messages"),
        ("one of two", Some(&reader), "/auth?scope=read:messages+write:messages", 403, "insufficient_scope", "read:messages write:messages"),
        ("one of two, repeated", Some(&reader), "/auth?scope=write&scope=openid", 403, "insufficient_scope", "write openid"),
        ("permission granted", Some(&clerk), "/auth?permission=messages:read", 200, "", ""),
        ("permission not granted", Some(&reader), "/auth?permission=messages:read", 403, "insufficient_permissions", ""),
        ("a permission is not a scope", Some(&clerk), "/auth?scope=messages:read", 403, "insufficient_scope", "messages:read"),
        ("a scope is not a permission", Some(&clerk), "/auth?permission=read:messages", 403, "insufficient_permissions", ""),
        ("a scope and a permission", Some(&clerk), "/auth?scope=read:messages&permission=messages:read", 200, "", ""),
        ("a scope and a permission, one granted", Some(&reader), "/auth?permission=messages:read&scope=read:messages", 403, "insufficient_permissions", ""),
        ("a path below", Some(&reader), "/auth/admin", 404, "not_found", ""),
    ];
    for (case, token, path, status, code, scope) in rows {
        let answer = tenant.get(path, token.map(String::as_str)).await;
        let names_scope = format!("scope=\"{scope}\"");
        let challenge = answer.header("www-authenticate");
        assert_eq!(
            challenge.contains(&names_scope),
            !scope.is_empty(),
            "{case}: {challenge}"
        );
        if status == 200 {
            assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
            assert_eq!(answer.header("cache-control"), "no-store", "{case}");
            assert_eq!(answer.body, "", "{case}");
        } else {
            answer.assert_is_problem(case, status, code);
            for name in [ISSUER, SUBJECT, SCOPE, CLAIMS] {
                assert!(!answer.headers.contains_key(name), "{case}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn unreadable_query_is_400() {
    let tenant = Tenant::start().await;
    let good = tenant.issuer.token().scope("a").permissions(["a"]).sign();
    let queries = [
        "scope",
        "scope=",
        "scopes=a",
        "scope=a&",
        "roles=a",
        "scope=a%2",
        "a",
    ];
    for query in queries {
        for token in [None, Some(&*good)] {
            let answer = tenant.get(&format!("/auth?{query}"), token).await;
            answer.assert_is_problem(query, 400, "bad_request");
            assert!(!answer.headers.contains_key("www-authenticate"), "{query}");
            assert!(!answer.headers.contains_key(CLAIMS), "{query}");
        }
    }
}

#[tokio::test]
async fn passes_the_identity_to_the_application() {
    let tenant = Tenant::start().await;
    let token = || tenant.issuer.token();
    #[rustfmt::skip]
    let rows = [
        ("a user", token().subject("auth0|7").scope("b a"), "auth0|7", "b a"),
        ("no scope", token().subject("auth0|7"), "auth0|7", ""),
        ("an empty scope", token().subject("7").scope(""), "7", ""),
        ("no subject", token().without("sub").scope("a"), "", "a"),
        ("an empty subject", token().subject(""), "", ""),
        ("a space in the middle", token().subject("a b"), "a b", ""),
        ("a leading space", token().subject(" admin"), "", ""),
        ("a trailing space", token().subject("admin "), "", ""),
        ("not ASCII", token().subject("h\u{e9}l\u{e8}ne"), "", ""),
        ("a line break", token().subject("a\r\nx-auth-scope: admin"), "", ""),
        ("a scope outside ASCII", token().subject("7").scope("a \u{e9} b"), "7", "a b"),
        ("a scope with a line break", token().subject("7").scope("a b\r\nc"), "7", "a"),
        ("a scope with a space", token().subject("7").claim("scp", json!(["a", "b admin"])), "7", "a"),
        ("scopes twice", token().subject("7").scope("a").claim("scp", json!(["b"])), "7", "a b"),
    ];
    for (case, token, subject, scope) in rows {
        let token = token.sign();
        let answer = tenant.get("/auth", Some(&token)).await;
        assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
        let url = tenant.issuer.url();
        for (name, expected) in [(ISSUER, url), (SUBJECT, subject), (SCOPE, scope)] {
            let found: Vec<_> = answer.headers.get_all(name).iter().collect();
            assert_eq!(found, [expected], "{case}: {name}");
        }
        let payload = token.split('.').nth(1).unwrap();
        assert_eq!(
            answer.header(CLAIMS),
            payload,
            "{case}: the claims are not changed"
        );
    }
}

/// `sub` is unique only within its issuer (RFC 7519 §4.1.2).
#[tokio::test]
async fn distinguishes_equal_subjects_of_two_issuers() {
    let issuer = Issuer::start().await;
    let other = Issuer::start().await;
    let beyond_ascii = "https://caf\u{e9}.example/";
    let auth = Auth::builder()
        .issuer(issuer.url())
        .issuer(TrustedIssuer::new(other.url()).audience(other.audience()))
        .issuer(TrustedIssuer::new(beyond_ascii).jwks_uri(issuer.jwks_uri()))
        .audience(issuer.audience())
        .build()
        .unwrap();
    auth.ready().await;
    let tenant = Tenant { issuer, auth };
    let own = tenant.issuer.token().subject("7");
    let foreign = other.token().subject("7");
    let unwritable = tenant
        .issuer
        .token()
        .subject("7")
        .claim("iss", json!(beyond_ascii));
    // If the field cannot represent the issuer, it is empty, like that of a subject. X-Auth-Claims
    // has the issuer anyway.
    let rows = [
        ("one", own, tenant.issuer.url()),
        ("the other audience", foreign, other.url()),
        ("an audience outside ASCII", unwritable, ""),
    ];
    let mut pseudonyms = HashSet::new();
    for (case, token, expected) in rows {
        let token = token.sign();
        let claims: Claims = tenant.auth.verify(&token).await.unwrap();
        let pseudonym = claims.identity().subject().unwrap();
        assert!(
            pseudonyms.insert(pseudonym),
            "{case}: the log has two in one"
        );
        let answer = tenant.get("/auth", Some(&token)).await;
        assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
        assert_eq!(answer.headers[ISSUER], expected, "{case}");
        assert_eq!(answer.headers[SUBJECT], "7", "{case}");
    }
}

#[tokio::test]
async fn encodes_non_ascii_claims() {
    let tenant = Tenant::start().await;
    let token = tenant
        .issuer
        .token()
        .claim("name", "H\u{e9}l\u{e8}ne \u{2603}")
        .sign();
    let answer = tenant.get("/auth", Some(&token)).await;
    assert!(answer.header(CLAIMS).is_ascii());
    let claims: Value = serde_json::from_str(&claims(&answer)).unwrap();
    assert_eq!(claims["name"], "H\u{e9}l\u{e8}ne \u{2603}");
}

#[tokio::test]
async fn accepts_any_method() {
    let tenant = Tenant::start().await;
    let token = tenant.issuer.token().sign();
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get",
    ] {
        let passed = tenant.send(method, "/auth", Some(&token)).await;
        assert_eq!(passed.status.as_u16(), 200, "{method}: {passed:?}");
        let refused = tenant.send(method, "/auth", None).await;
        refused.assert_is_problem(method, 401, "missing_token");
    }
}

#[tokio::test]
async fn ignores_forged_forwarded_fields() {
    let tenant = Tenant::start().await;
    let token = tenant.issuer.token().subject("auth0|7").sign();
    let fields = [
        ("x-forwarded-uri", "/auth?scope=none"),
        ("x-original-uri", "/open"),
        ("x-forwarded-method", "OPTIONS"),
        ("x-auth-issuer", "https://admin.example/"),
        ("x-auth-subject", "admin"),
        ("x-auth-scope", "read:messages"),
    ];
    let ask = async |path: &str| {
        let mut request = warp::test::request().path(path);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.header("authorization", format!("Bearer {token}"));
        answer(&request.reply(&tenant.routes()).await)
    };
    let passed = ask("/auth").await;
    assert_eq!(passed.header(ISSUER), tenant.issuer.url());
    assert_eq!(passed.header(SUBJECT), "auth0|7");
    assert_eq!(passed.headers[SCOPE], "");
    let refused = ask("/auth?scope=read:messages").await;
    refused.assert_is_problem("scope", 403, "insufficient_scope");
}

#[tokio::test]
async fn accepts_and_passes_on_scopes_in_an_array() {
    let tenant = Tenant::start().await;
    for name in ["scope", "scp"] {
        let token = tenant.issuer.token().without("scope");
        let token = token.claim(name, json!(["read", "a b", "write"])).sign();
        let answer = tenant.get("/auth?scope=read+write", Some(&token)).await;
        assert_eq!(answer.status.as_u16(), 200, "{name}: {answer:?}");
        assert_eq!(answer.header(SCOPE), "read write", "{name}");
        let answer = tenant.get("/auth?scope=a", Some(&token)).await;
        answer.assert_is_problem(name, 403, "insufficient_scope");
    }
}

/// Envoy without `path_override` appends the client's path and query to a prefix.
#[tokio::test]
async fn paths_below_auth_answer_if_enabled() {
    let tenant = Tenant::start().await;
    let good = tenant.issuer.token().scope("use").sign();
    let poor = tenant.issuer.token().sign();
    for (forward_auth_paths, granted, refused, forbidden) in
        [(true, 200, 401, 403), (false, 404, 404, 404)]
    {
        let access = Access {
            required: scopes("use"),
            forward_auth_paths,
            ..Access::from(&tenant.auth)
        };
        let routes = routes(&access, &Shutdown::new());
        for path in [
            "/auth/messages/1",
            "/auth/x?scope=admin&y=%00",
            "/auth//x",
            "/auth/x/",
            "/auth/?page=2",
            "/auth/",
            "/auth//",
            "/auth/?scope=admin",
        ] {
            // With the option off, `/auth/` is `/auth` itself, and its query is the policy.
            if !forward_auth_paths && matches!(path.split('?').next(), Some("/auth/")) {
                continue;
            }
            for method in ["GET", "POST", "OPTIONS", "BREW"] {
                for (token, status) in [
                    (Some(&good), granted),
                    (Some(&poor), forbidden),
                    (None, refused),
                ] {
                    let mut request = warp::test::request().method(method).path(path);
                    if let Some(token) = token {
                        request = request.header("authorization", format!("Bearer {token}"));
                    }
                    let answer = answer(&request.reply(&routes).await);
                    assert_eq!(
                        answer.status.as_u16(),
                        status,
                        "{method} {path}: {answer:?}"
                    );
                    let subject = answer.header("x-auth-subject");
                    assert_eq!(subject.is_empty(), status != 200, "{method} {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn requires_the_scope_of_every_route() {
    let tenant = Tenant::start().await;
    let access = Access {
        required: scopes("use"),
        ..Access::from(&tenant.auth)
    };
    let routes = routes(&access, &Shutdown::new());
    #[rustfmt::skip]
    let rows = [
        ("neither", "/auth?scope=read", "", 403, "use read"),
        ("the one asked for", "/auth?scope=read", "read", 403, "use read"),
        ("the required one", "/auth?scope=read", "use", 403, "use read"),
        ("nothing asked for", "/auth", "read", 403, "use"),
        ("both", "/auth?scope=read", "read use", 200, ""),
    ];
    for (case, path, granted, status, scope) in rows {
        let token = tenant.issuer.token().scope(granted).sign();
        let request = warp::test::request().path(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        let answer = answer(&request.reply(&routes).await);
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        let named = format!("scope=\"{scope}\"");
        let challenge = answer.header("www-authenticate");
        assert_eq!(
            challenge.contains(&named),
            status == 403,
            "{case}: {challenge}"
        );
    }
}

/// An issuer can write any audience into its tokens, but they must be accepted only for those that
/// it is trusted for.
#[tokio::test]
async fn rejects_issuers_of_another_audience() {
    let (ours, other, client) = tokio::join!(Issuer::start(), Issuer::start(), Issuer::start());
    let (of_a, of_b) = ("https://a.example", "https://b.example");
    let own = |issuer: &Issuer, audience: &str| TrustedIssuer::new(issuer.url()).audience(audience);
    let auth = Auth::builder()
        .issuer(own(&ours, of_a))
        .issuer(own(&other, of_b))
        .issuer(own(&client, "app").audience_claim(AudienceClaim::ClientId))
        .resource(of_a)
        .build()
        .unwrap();
    auth.ready().await;
    let both = [of_b, of_a];
    let rows = [
        (
            "an audience that the issuer is trusted for",
            ours.token().claim("aud", both).sign(),
            "https://a.example",
            200,
        ),
        (
            "an audience that the issuer is not trusted for",
            ours.token().claim("aud", both).sign(),
            "https://b.example",
            401,
        ),
        (
            "the configured audience",
            other.token().claim("aud", both).sign(),
            "https://a.example",
            401,
        ),
        (
            "an issuer with a client",
            client.token().claim("client_id", "app").sign(),
            "app",
            200,
        ),
        (
            "an issuer with a client, no aud",
            client
                .token()
                .without("aud")
                .claim("client_id", "app")
                .sign(),
            "app",
            200,
        ),
        (
            "an issuer with a client, the configured audience",
            client
                .token()
                .claim("aud", of_a)
                .claim("client_id", "app")
                .sign(),
            "https://a.example",
            401,
        ),
    ];
    let tenant = Tenant { issuer: ours, auth };
    for (case, token, audience, status) in rows {
        let answer = tenant
            .get(&format!("/auth?audience={audience}"), Some(&token))
            .await;
        assert_eq!(answer.status, status, "{case}: {answer:?}");
    }
    let metadata = tenant
        .get("/.well-known/oauth-protected-resource", None)
        .await;
    assert_eq!(metadata.status, 200);
    let query = "/.well-known/oauth-protected-resource?audience=https://b.example";
    let metadata = tenant.get(query, None).await.body;
    assert!(metadata.contains(other.url()), "{metadata}");
    assert!(!metadata.contains(tenant.issuer.url()), "{metadata}");
}

/// One instance protects several resources. A token for one of them must not be accepted for the
/// others.
#[tokio::test]
async fn query_selects_audience_and_metadata() {
    const METADATA: &str = "/.well-known/oauth-protected-resource";
    let issuer = Issuer::start().await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience("https://a.example")
        .audience("https://b.example/mcp")
        .audience("urn:c")
        .resource("https://a.example")
        .build()
        .unwrap();
    auth.ready().await;
    let tenant = Tenant { issuer, auth };
    let token = |audience| {
        let token = tenant.issuer.token().audience(audience).scope("read");
        Some(token.sign())
    };
    let both = tenant
        .issuer
        .token()
        .claim("aud", ["urn:c", "https://b.example/mcp"]);
    let (of_a, of_b) = ("https://a.example", "https://b.example/mcp");
    #[rustfmt::skip]
    let rows = [
        ("the queried audience", token(of_a), "audience=https://a.example", 200, "", ""),
        ("a slash in the token", token("https://a.example/"), "audience=https://a.example", 200, "", ""),
        ("a slash in the query", token(of_a), "audience=https://a.example/", 200, "", ""),
        ("the other audience", token(of_b), "audience=https://a.example", 401, "wrong_audience", "https://a.example/"),
        ("the other audience, without a query", token(of_b), "", 200, "", ""),
        ("the queried audience, with a path", token(of_b), "audience=https://b.example/mcp", 200, "", ""),
        ("a slash after a path", token("https://b.example/mcp/"), "audience=https://b.example/mcp", 401, "wrong_audience", "https://b.example/mcp"),
        ("one of two", Some(both.sign()), "audience=urn:c", 200, "", ""),
        ("a scope as well", token(of_b), "audience=https://b.example/mcp&scope=read", 200, "", ""),
        ("no scope", token(of_b), "audience=https://b.example/mcp&scope=write", 403, "insufficient_scope", "https://b.example/mcp"),
        ("the other audience, without the scope", token(of_a), "audience=https://b.example/mcp&scope=write", 401, "wrong_audience", "https://b.example/mcp"),
        ("no token", None, "audience=https://b.example/mcp&scope=write", 401, "missing_token", "https://b.example/mcp"),
        ("no token, no URL", None, "audience=urn:c", 401, "missing_token", "https://a.example/"),
        ("not configured", token(of_a), "audience=https://c.example", 400, "bad_request", ""),
        ("two", token(of_a), "audience=https://a.example&audience=urn:c", 400, "bad_request", ""),
    ];
    for (case, token, query, status, code, resource) in rows {
        let answer = tenant
            .get(&format!("/auth?{query}"), token.as_deref())
            .await;
        if status == 200 {
            assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
            continue;
        }
        answer.assert_is_problem(case, status, code);
        let challenge = answer.header("www-authenticate");
        let (origin, path) = resource.split_at(resource.rfind('/').unwrap_or_default());
        let url = format!("{origin}{METADATA}{}", path.trim_end_matches('/'));
        let named = format!("resource_metadata=\"{url}\"");
        assert_eq!(
            challenge.contains(&named),
            !resource.is_empty(),
            "{case}: {challenge}"
        );
    }
}

/// URL parsers add a slash to a URL without a path, so clients send both spellings.
#[tokio::test]
async fn accepts_a_resource_without_path_in_both_spellings() {
    let issuer = Issuer::start().await;
    for (configured, resource, is_one) in [
        ("https://a.example", Some("https://a.example"), true),
        ("https://a.example/", Some("https://a.example"), true),
        ("https://a.example", Some("https://a.example/"), true),
        ("https://a.example/b", Some("https://a.example/b"), false),
        ("https://a.example", None, false),
    ] {
        let auth = Auth::builder().issuer(issuer.url()).audience(configured);
        let auth = match resource {
            Some(resource) => auth.resource(resource),
            None => auth,
        };
        let auth = auth.build().unwrap();
        auth.ready().await;
        let other = match configured.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{configured}/"),
        };
        for (audience, accepted) in [(configured, true), (&*other, is_one)] {
            let token = issuer.token().audience(audience).sign();
            let verdict: Result<Claims, _> = auth.verify(&token).await;
            assert_eq!(
                verdict.is_ok(),
                accepted,
                "{configured}, {resource:?}: {audience}"
            );
        }
    }
}

#[tokio::test]
async fn answers_503_without_keys() {
    let issuer = Issuer::start().await;
    issuer.fail(Fault::Status(500));
    let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
    let tenant = Tenant { issuer, auth };
    let token = tenant.issuer.token().scope("a").sign();
    let answer = tenant.get("/auth?scope=a", Some(&token)).await;
    answer.assert_is_problem("no keys", 503, "keys_unavailable");
    assert!(!answer.headers.contains_key("www-authenticate"));
    assert!(answer.headers.contains_key("retry-after"));
    assert!(!answer.headers.contains_key(CLAIMS));
}
