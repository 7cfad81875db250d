//! Valid tokens that do not grant enough.

use serde_json::json;
use warp_bearer::service::api::errors::{Cause, Page, causes};

use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_that_grants_too_little_gets_the_sentence_that_mends_it() {
    let world = World::start().await;
    let token = || world.issuer.token();
    #[rustfmt::skip]
    let rows = [
        ("a user's", token().scope("openid"), causes::SCOPE_OF_USER),
        ("a machine's", token().subject("abc@clients").claim("gty", "client-credentials"), causes::SCOPE_OF_MACHINE),
        ("a machine's by client_id", token().subject("abc").claim("client_id", "abc"), causes::SCOPE_OF_MACHINE),
        ("a chosen name's", token().subject("eve@clients"), causes::SCOPE_OF_USER),
        ("roles and no scopes", token().without("scope").claim("roles", ["Reader"]), causes::ROLES_NOT_SCOPES),
        ("as a permission", token().permissions(["read:messages"]), causes::SCOPE_AS_PERMISSION),
    ];
    for (case, token, cause) in rows {
        let told = world.run(&["explain", "--json"], &token.sign());
        assert_eq!(told.code, Some(0), "{case}");
        let json = told.json();
        assert_eq!(json["mend"], cause.mend, "{case}");
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
async fn what_a_route_asks_for_can_be_asked_for() {
    let world = World::start().await;
    let token = || world.issuer.token();
    let reader = token().scope("read:messages").sign();
    let clerk = token().permissions(["messages:read"]).sign();
    #[rustfmt::skip]
    let rows: [(&str, &str, &[&str], Option<Refusal>); 7] = [
        ("a scope", &reader, &["--scope", "read:messages"], None),
        ("a permission", &clerk, &["--permission", "messages:read"], None),
        ("RBAC off", &reader, &["--permission", "messages:read"], Some(("insufficient_permissions", causes::RBAC_OFF))),
        ("not assigned", &clerk, &["--permission", "messages:read messages:write"], Some(("insufficient_permissions", causes::NOT_ASSIGNED))),
        ("a scope as a permission", &clerk, &["--scope", "messages:read"], Some(("insufficient_scope", causes::SCOPE_AS_PERMISSION))),
        ("a scope of a user's", &clerk, &["--scope", "read:messages"], Some(("insufficient_scope", causes::SCOPE_OF_USER))),
        ("of each, one granted", &reader, &["--scope", "read:messages", "--permission", "p"], Some(("insufficient_permissions", causes::RBAC_OFF))),
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
            assert_eq!(json["mend"], cause.mend, "{case}: {json:#}");
            assert!(Page::of(code).unwrap().causes.contains(&cause), "{case}");
        }
    }
    let told = world.run(&["explain", "--scope", "a,  b"], &reader);
    assert_eq!(told.code, Some(64), "{}", told.stdout);
    assert!(told.stderr.contains("single blanks"), "{}", told.stderr);
}
