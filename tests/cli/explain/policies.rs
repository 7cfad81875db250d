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
        ("with a prefix", token().scope("https://api.example.com/read:messages"), causes::SCOPE_PREFIXED),
        ("with the URI of an application", token().without("scope").claim("scp", "api://6e74172b/read:messages"), causes::SCOPE_PREFIXED),
        ("in another claim", token().scope("openid").claim("https://example.com/scope", ["read:messages"]), causes::SCOPE_ELSEWHERE),
        ("in Spring's claim", token().scope("openid").claim("authorities", ["SCOPE_read:messages"]), causes::SCOPE_ELSEWHERE),
    ];
    for (case, token, cause) in rows {
        let output = world.run(&["explain", "--json"], &token.sign());
        assert_eq!(output.code, Some(0), "{case}");
        let json = output.json();
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
    let objects = token().claim("permissions", json!([{"name": "messages:read"}]));
    let objects = objects.sign();
    let listed = token().claim("permissions", "messages:write,messages:read");
    let listed = listed.sign();
    #[rustfmt::skip]
    let rows: [(&str, &str, &[&str], Option<Refusal>); 10] = [
        ("a permission as a scope", &reader, &["--permission", "read:messages"], Some(("insufficient_permissions", causes::PERMISSION_AS_SCOPE))),
        ("permissions in one string", &listed, &["--permission", "messages:read"], Some(("insufficient_permissions", causes::PERMISSIONS_FORM))),
        ("permissions that are objects", &objects, &["--permission", "messages:read"], Some(("insufficient_permissions", causes::PERMISSIONS_FORM))),
        ("a scope", &reader, &["--scope", "read:messages"], None),
        ("a permission", &clerk, &["--permission", "messages:read"], None),
        ("RBAC off", &reader, &["--permission", "messages:read"], Some(("insufficient_permissions", causes::RBAC_OFF))),
        ("a permission that is not assigned", &clerk, &["--permission", "messages:read messages:write"], Some(("insufficient_permissions", causes::NOT_ASSIGNED))),
        ("a scope as a permission", &clerk, &["--scope", "messages:read"], Some(("insufficient_scope", causes::SCOPE_AS_PERMISSION))),
        ("a scope in a user's token", &clerk, &["--scope", "read:messages"], Some(("insufficient_scope", causes::SCOPE_OF_USER))),
        ("a scope and a permission, one granted", &reader, &["--scope", "read:messages", "--permission", "p"], Some(("insufficient_permissions", causes::RBAC_OFF))),
    ];
    for (case, token, options, refusal) in rows {
        let output = world.run(&[&["explain", "--json"], options].concat(), token);
        let json = output.json();
        let grants = json["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(grants["step"], "grants", "{case}: {json:#}");
        assert_eq!(grants["holds"], refusal.is_none(), "{case}: {json:#}");
        assert_eq!(output.code, Some(i32::from(refusal.is_some())), "{case}");
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
    let output = world.run(&["explain", "--scope", "a,  b"], &reader);
    assert_eq!(output.code, Some(64), "{}", output.stdout);
    assert!(output.stderr.contains("single spaces"), "{}", output.stderr);
}

const OTHER_CLIENT: &str = "Assign the role in the client of this API, or as a realm role, and fetch a new token. AUTH0_ROLES_AT names the claim with the roles: realm_access.roles, or resource_access.CLIENT.roles with the client of this API.";

#[tokio::test(flavor = "multi_thread")]
async fn names_the_missing_role_group_or_claim() {
    const ROLES_AT: &str = "If this issuer writes roles into that claim, set AUTH0_ROLES_AT to it.";
    const GROUPS_AT: &str =
        "If this issuer writes groups into that claim, set AUTH0_GROUPS_AT to it.";
    let keycloak = "https://keycloak.example.com/realms/shop";
    let issuer = warp_bearer::issuer::Issuer::start().await;
    let world = World::named(&issuer, keycloak);
    let token = || issuer.token().claim("iss", keycloak);
    let in_realm = token().claim("realm_access", json!({"roles": ["clerk"]}));
    let overage = token().claim("_claim_names", json!({"groups": "src1"}));
    #[rustfmt::skip]
    let rows = [
        ("a role in another claim", in_realm.clone(), "role=clerk", ROLES_AT, &["AUTH0_ROLES_AT=realm_access.roles"][..]),
        ("a role in other letters", token().claim("roles", ["Clerk"]), "role=clerk", causes::ROLE_SPELLING.fix, &[]),
        ("a role with a prefix", token().claim("authorities", ["ROLE_clerk"]), "role=clerk", causes::ROLE_SPELLING.fix, &[]),
        ("roles in one string", token().claim("roles", "clerk,chief"), "role=clerk", causes::ROLE_SPELLING.fix, &[]),
        ("roles as members", token().claim("urn:zitadel:iam:org:project:roles", json!({"clerk": {}})), "role=clerk", causes::ROLE_SPELLING.fix, &[]),
        ("a role below a name with a dot", token().claim("resource_access", json!({"https://api.example.com": {"roles": ["clerk"]}})), "role=clerk", causes::ROLE_SPELLING.fix, &[]),
        ("a role of another client in other letters", token().claim("resource_access", json!({"grafana": {"roles": ["Clerk"]}})), "role=clerk", causes::NO_ROLE.fix, &[]),
        ("a role in a claim with dots", token().claim("https://example.com/roles", ["clerk"]), "role=clerk", ROLES_AT, &["AUTH0_ROLES_AT=https://example.com/roles"]),
        ("a group with a path", token().claim("groups", ["/staff"]), "group=staff", causes::ROLE_SPELLING.fix, &[]),
        ("a role that is nowhere", in_realm.clone(), "role=chief", causes::NO_ROLE.fix, &[]),
        ("a group in another claim", token().claim("cognito:groups", ["staff"]), "group=staff", GROUPS_AT, &["AUTH0_GROUPS_AT=cognito:groups"]),
        ("a role of a client", token().claim("resource_access", json!({"shop": {"roles": ["clerk"]}})), "role=clerk", OTHER_CLIENT, &[]),
        ("a role in another place, too", in_realm.clone().claim("amr", ["clerk"]).claim("app", json!({"a": ["clerk"]})), "role=clerk", ROLES_AT, &["AUTH0_ROLES_AT=realm_access.roles"]),
        ("memberships", token().claim("memberOf", ["staff"]), "group=staff", GROUPS_AT, &["AUTH0_GROUPS_AT=memberOf"]),
        ("too many groups", overage, "group=staff", "Have the app registration emit only the groups that are assigned to the application, or use app roles, which are always in the token.", &[]),
        ("a claim", token().claim("org_id", "o1"), "claim=org_id:o2", causes::NO_SUCH_CLAIM.fix, &[]),
        ("a permission beside a role that is met", token().claim("roles", ["clerk"]), "role=clerk&permission=p", causes::RBAC_OFF.fix, &[]),
    ];
    for (case, token, query, fix, settings) in rows {
        let output = world.run(&["explain", "--json", "--auth", query], &token.sign());
        let json = output.json();
        assert_eq!(json["code"], "insufficient_permissions", "{case}: {json:#}");
        assert_eq!(json["fix"], fix, "{case}: {json:#}");
        assert_eq!(json["settings"], json!(settings), "{case}: {json:#}");
    }
    // With the recommended line, the token is accepted
    let world = world.set("AUTH0_ROLES_AT", "realm_access.roles");
    let output = world.run(&["explain", "--auth", "role=clerk"], &in_realm.sign());
    assert_eq!(output.code, Some(0), "{}", output.stdout);
}

/// Clients choose what is in `aud` and `scope`, and users edit their metadata. A service that reads
/// roles there lets everyone in.
#[tokio::test(flavor = "multi_thread")]
async fn never_recommends_to_read_roles_that_callers_choose() {
    let world = World::start().await;
    let token = || world.issuer.token();
    let audience = world.issuer.audience();
    #[rustfmt::skip]
    let rows = [
        ("the audience", token().claim("aud", [audience, "admin"]), "aud"),
        ("scopes", token().claim("scope", ["admin"]), "scope"),
        ("one scope", token().claim("scope", "admin"), "scope"),
        ("scopes of Entra", token().claim("scp", ["admin"]), "scp"),
        ("scopes of another name", token().claim("scopes", ["admin"]), "scopes"),
        ("how the user logged in", token().claim("amr", ["admin"]), "amr"),
        ("the permissions", token().permissions(["admin"]), "permissions"),
        ("metadata that users edit", token().claim("user_metadata", json!({"roles": ["admin"]})), "user_metadata.roles"),
        ("metadata in a namespace", token().claim("https://my.app/user_metadata", json!({"roles": ["admin"]})), "https://my.app/user_metadata.roles"),
        ("a namespace that ends so", token().claim("https://my.app/user_metadata/roles", ["admin"]), "https://my.app/user_metadata/roles"),
        ("metadata of Clerk", token().claim("unsafe_metadata", json!({"groups": ["admin"]})), "unsafe_metadata.groups"),
        ("what the client requested", token().claim("requested_roles", ["admin"]), "requested_roles"),
        ("below what the client requested", token().claim("requested_claims", json!({"roles": ["admin"]})), "requested_claims.roles"),
        ("an attribute of Cognito", token().claim("custom:role", "admin"), "custom:role"),
        ("a wish", token().claim("desired_role", "admin"), "desired_role"),
        ("what users say of themselves", token().claim("selfRoles", ["admin"]), "selfRoles"),
        ("a word with a part that fits", token().claim("remember_me", ["admin"]), "remember_me"),
        ("another object", token().claim("profile", json!({"roles": ["admin"]})), "profile.roles"),
        ("a namespace of roles", token().claim("https://roles.example/hobbies", ["admin"]), "https://roles.example/hobbies"),
    ];
    for (case, token, place) in rows {
        for query in ["role=admin", "group=admin"] {
            let arguments = ["explain", "--json", "--auth", query];
            let json = world.run(&arguments, &token.clone().sign()).json();
            assert_eq!(json["code"], "insufficient_permissions", "{case}: {json:#}");
            assert_eq!(json["settings"], json!([]), "{case}: {json:#}");
            let (cause, fix) = (json["cause"].to_string(), json["fix"].to_string());
            assert!(
                cause.contains(&format!("is in {place}, but")),
                "{case}: {json:#}"
            );
            assert!(!fix.contains("_AT"), "{case}: {json:#}");
        }
    }
    // Another form of the name in such a place is no reason to require that form
    for (case, token) in [
        (
            "metadata",
            token().claim("user_metadata", json!({"roles": ["ROLE_admin"]})),
        ),
        ("a request", token().claim("requested_roles", "admin,clerk")),
    ] {
        let arguments = ["explain", "--json", "--auth", "role=admin"];
        let json = world.run(&arguments, &token.sign()).json();
        assert_eq!(json["fix"], causes::NO_ROLE.fix, "{case}: {json:#}");
    }
}

/// The advice must not be to require a claim that callers choose.
#[tokio::test(flavor = "multi_thread")]
async fn suggests_to_require_a_claim_only_if_callers_cannot_choose_it() {
    let world = World::start().await;
    let token = || world.issuer.token().scope("openid");
    let metadata = json!({"scopes": ["read:messages"]});
    #[rustfmt::skip]
    let rows = [
        ("metadata", token().claim("user_metadata", metadata.clone()), "user_metadata.scopes", false),
        ("a request", token().claim("requested_scopes", ["read:messages"]), "requested_scopes", false),
        ("how the user logged in", token().claim("amr", ["read:messages"]), "amr", false),
        ("a claim of the issuer", token().claim("https://my.app/scopes", ["read:messages"]), "https://my.app/scopes", true),
        ("both", token().claim("app_metadata", metadata).claim("app_scopes", ["read:messages"]), "app_scopes", true),
    ];
    for (case, token, place, is_suggested) in rows {
        let arguments = ["explain", "--json", "--scope", "read:messages"];
        let json = world.run(&arguments, &token.sign()).json();
        let (cause, fix) = (json["cause"].to_string(), json["fix"].to_string());
        assert!(
            cause.contains(&format!("It is in {place}.")),
            "{case}: {json:#}"
        );
        assert_eq!(fix.contains("?claim="), is_suggested, "{case}: {json:#}");
    }
}

/// A table of the issuers file may have its own options, which override the variables.
#[tokio::test(flavor = "multi_thread")]
async fn names_the_options_of_the_issuers_table() {
    let world = World::start().await;
    let token = || world.issuer.token().claim("app_roles", ["clerk"]);
    let url = world.issuer.url();
    let (with_preset, without) = ("kind = \"keycloak\"\n", "");
    for (case, preset, role, fix) in [
        (
            "a preset",
            with_preset,
            "clerk",
            "set the option roles_at to it",
        ),
        (
            "a preset, no role",
            with_preset,
            "chief",
            "The option roles_at and the option groups_at name",
        ),
        ("no preset", without, "clerk", "set AUTH0_ROLES_AT to it"),
    ] {
        let path = world.directory.path().join("issuers.toml");
        let table = format!("[[issuer]]\nurl = {url:?}\n{preset}");
        std::fs::write(&path, table).unwrap();
        let world = World::of(world.issuer.clone())
            .unset("AUTH0_ISSUER")
            .set("ISSUERS_FILE", path.to_str().unwrap());
        let query = format!("role={role}");
        let arguments = ["explain", "--json", "--auth", &query];
        let json = world.run(&arguments, &token().sign()).json();
        assert!(json["fix"].to_string().contains(fix), "{case}: {json:#}");
        assert_eq!(json["settings"], json!([]), "{case}: {json:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recognizes_a_scope_in_another_form() {
    let world = World::start().await;
    let token = || world.issuer.token();
    for (case, token) in [
        ("other letters", token().scope("Read:Messages")),
        ("commas", token().scope("openid,read:messages")),
        (
            "another claim",
            token().without("scope").claim("scopes", ["read:messages"]),
        ),
        (
            "several names in one item",
            token().claim("scope", ["openid read:messages"]),
        ),
        ("a plus", token().scope("openid+read:messages")),
    ] {
        let arguments = ["explain", "--json", "--scope", "read:messages"];
        let json = world.run(&arguments, &token.sign()).json();
        assert_eq!(json["code"], "insufficient_scope", "{case}: {json:#}");
        assert_eq!(json["fix"], causes::SCOPE_SPELLING.fix, "{case}: {json:#}");
        let cause = json["cause"].as_str().unwrap();
        let words = match case {
            "several names in one item" => "an item of the array has several names",
            "a plus" => "Here, + is between the names",
            _ => continue,
        };
        assert!(cause.contains(words), "{case}: {json:#}");
    }
}

/// The roles that a user has in the client of this API are roles of this API.
#[tokio::test(flavor = "multi_thread")]
async fn recommends_the_roles_of_the_configured_client() {
    let keycloak = "https://keycloak.example.com/realms/shop";
    let issuer = warp_bearer::issuer::Issuer::start().await;
    let world = World::named(&issuer, keycloak).set("AUTH0_API_AUDIENCE", "shop");
    let access = json!({"grafana": {"roles": ["clerk"]}, "shop": {"roles": ["clerk"]}});
    let token = issuer.token().claim("iss", keycloak).audience("shop");
    let token = token.claim("resource_access", access).sign();
    let arguments = ["explain", "--json", "--auth", "role=clerk"];
    let json = world.run(&arguments, &token).json();
    let line = "AUTH0_ROLES_AT=resource_access.shop.roles";
    assert_eq!(json["settings"], json!([line]), "{json:#}");
    let world = world.set("AUTH0_ROLES_AT", "resource_access.shop.roles");
    let output = world.run(&arguments, &token);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
}

/// Entra writes short names into `scp`, roles into `roles`, and for applications no scopes at all.
#[tokio::test(flavor = "multi_thread")]
async fn explains_scopes_and_roles_of_entra() {
    const ENTRA: &str =
        "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0";
    const CLIENT: &str = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    let issuer = warp_bearer::issuer::Issuer::start().await;
    let world = World::named(&issuer, ENTRA).set("AUTH0_API_AUDIENCE", CLIENT);
    let token = || {
        let token = issuer.token().claim("iss", ENTRA).audience(CLIENT);
        token.without("scope").claim("azp", "a")
    };
    let whole = format!("api://{CLIENT}/access_as_user");
    #[rustfmt::skip]
    let rows = [
        ("the whole name", token().claim("scp", "access_as_user"), &*whole, "Require access_as_user here."),
        ("an application", token().claim("idtyp", "app"), "read", "Define an app role"),
        ("an application, by its subject", token().claim("sub", "s").claim("oid", "s"), "read", "Define an app role"),
        ("an app role", token().claim("roles", ["read"]).claim("idtyp", "app"), "read", "Protect the route by the role"),
        ("an app role of a user", token().claim("roles", ["read"]).claim("scp", "a"), "read", "Protect the route by the role"),
        ("a user", token().claim("scp", "a"), "read", "Expose an API"),
    ];
    for (case, token, scope, words) in rows {
        let arguments = ["explain", "--json", "--scope", scope];
        let json = world.run(&arguments, &token.sign()).json();
        assert_eq!(json["code"], "insufficient_scope", "{case}: {json:#}");
        let fix = json["fix"].as_str().unwrap();
        assert!(fix.contains(words), "{case}: {json:#}");
        assert!(!fix.contains("into scope"), "{case}: {json:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recognizes_another_client_by_the_audience_claim() {
    let world = World::start()
        .await
        .set("AUTH0_AUDIENCE_CLAIM", "client_id");
    let token = || world.issuer.token();
    for (case, token, code, fix) in [
        (
            "another",
            token().claim("client_id", "c2"),
            "wrong_audience",
            causes::OTHER_CLIENT.fix,
        ),
        (
            "none",
            token(),
            "missing_claim",
            causes::NO_AUDIENCE_CLAIM.fix,
        ),
    ] {
        let json = world.run(&["explain", "--json"], &token.sign()).json();
        assert_eq!(json["code"], code, "{case}: {json:#}");
        assert_eq!(json["fix"], fix, "{case}: {json:#}");
    }
}

/// A scope may contain a comma, but people also separate names with one.
#[tokio::test(flavor = "multi_thread")]
async fn notes_commas_in_the_query_of_a_proxy() {
    let world = World::start().await;
    let token = world.issuer.token().scope("a b").sign();
    for (query, expected) in [
        ("scope=a,b", true),
        ("scope=a%2Cb", true),
        ("permission=a,b", true),
        ("acr=gold,silver", true),
        ("scope=a+b", false),
        ("scope=a,b&foo=1", false),
        ("scope=a,b&audience=urn:other", false),
        ("group=CN%3Da,OU%3Db", false),
    ] {
        let json = world
            .run(&["explain", "--json", "--auth", query], &token)
            .json();
        let notes = json["notes"].to_string();
        assert_eq!(notes.contains("has a comma"), expected, "{query}: {json:#}");
    }
    for (arguments, expected) in [
        (&["--scope", "a,b"][..], "A name in --scope has a comma"),
        (
            &["--permission", "a,b"],
            "A name in --permission has a comma",
        ),
        (
            &["--scope", "a,b", "--permission", "c,d"],
            "Names in --scope and --permission have a comma",
        ),
        (&["--scope", "a b"], ""),
    ] {
        let arguments = [&["explain", "--json"], arguments].concat();
        let json = world.run(&arguments, &token).json();
        let notes = json["notes"].to_string();
        assert_eq!(notes.contains("comma"), !expected.is_empty(), "{json:#}");
        assert!(notes.contains(expected), "{json:#}");
    }
}
