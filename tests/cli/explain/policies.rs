//! Valid tokens that do not grant enough.

use serde_json::json;
use warp_bearer::service::api::errors::{Cause, Page, causes};

use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn explains_valid_tokens_that_grant_too_little() {
    let world = World::start().await;
    let token = || world.issuer.token();
    #[rustfmt::skip]
    let rows = [
        ("a user's token", token().scope("openid"), causes::SCOPE_OF_USER),
        ("a machine's token", token().subject("abc@clients").claim("gty", "client-credentials"), causes::SCOPE_OF_MACHINE),
        ("a machine's token, by client_id", token().subject("abc").claim("client_id", "abc"), causes::SCOPE_OF_MACHINE),
        ("a token with a self-chosen subject", token().subject("eve@clients"), causes::SCOPE_OF_USER),
        ("roles and no scopes", token().without("scope").claim("roles", ["Reader"]), causes::ROLES_NOT_SCOPES),
        ("as a permission", token().permissions(["read:messages"]), causes::SCOPE_AS_PERMISSION),
    ];
    for (case, token, cause) in rows {
        let told = world.run(&["explain", "--json"], &token.sign());
        assert_eq!(told.code, Some(0), "{case}");
        let json = told.json();
        assert_eq!(json["fix"], cause.fix, "{case}");
        let routes = json!([
            {"route": "GET /api/private", "status": 200, "code": null},
            {"route": "GET /api/private-scoped", "status": 403, "code": "insufficient_scope"},
            {"route": "any /auth", "status": 200, "code": null},
        ]);
        assert_eq!(json["routes"], routes, "{case}");
    }
}

/// An error code and its cause.
type Refusal = (&'static str, Cause);

#[tokio::test(flavor = "multi_thread")]
async fn checks_the_grants_that_a_route_requires() {
    let world = World::start().await;
    let token = || world.issuer.token();
    let reader = token().scope("read:messages").sign();
    let clerk = token().permissions(["messages:read"]).sign();
    #[rustfmt::skip]
    let rows: [(&str, &str, &[&str], Option<Refusal>); 7] = [
        ("a scope", &reader, &["--scope", "read:messages"], None),
        ("a permission", &clerk, &["--permission", "messages:read"], None),
        ("RBAC off", &reader, &["--permission", "messages:read"], Some(("insufficient_permissions", causes::RBAC_OFF))),
        ("a permission that is not assigned", &clerk, &["--permission", "messages:read messages:write"], Some(("insufficient_permissions", causes::NOT_ASSIGNED))),
        ("a scope as a permission", &clerk, &["--scope", "messages:read"], Some(("insufficient_scope", causes::SCOPE_AS_PERMISSION))),
        ("a scope in a user's token", &clerk, &["--scope", "read:messages"], Some(("insufficient_scope", causes::SCOPE_OF_USER))),
        ("a scope and a permission, one granted", &reader, &["--scope", "read:messages", "--permission", "p"], Some(("insufficient_permissions", causes::RBAC_OFF))),
    ];
    for (case, token, options, refusal) in rows {
        let told = world.run(&[&["explain", "--json"], options].concat(), token);
        let json = told.json();
        let grants = json["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(grants["step"], "grants", "{case}: {json:#}");
        assert_eq!(grants["holds"], refusal.is_none(), "{case}: {json:#}");
        assert_eq!(told.code, Some(i32::from(refusal.is_some())), "{case}");
        assert_eq!(json["accepted"], refusal.is_none(), "{case}: {json:#}");
        if let Some((code, cause)) = refusal {
            assert_eq!(
                (&json["code"], &json["status"]),
                (&json!(code), &json!(403)),
                "{case}"
            );
            assert_eq!(json["fix"], cause.fix, "{case}: {json:#}");
            assert!(Page::of(code).unwrap().causes.contains(&cause), "{case}");
        }
    }
    let told = world.run(&["explain", "--scope", "a,  b"], &reader);
    assert_eq!(told.code, Some(64), "{}", told.stdout);
    assert!(told.stderr.contains("single spaces"), "{}", told.stderr);
}
