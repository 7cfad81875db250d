//! Tokens whose issuer has another name than the configured one, or seems to.
//!
//! Only a valid signature, or the document at the configured address, shows that both are the same
//! issuer. Otherwise, the advice must not say so, and must not recommend the name in the token.

use serde_json::{Value, json};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
    service::api::errors::causes,
};

use super::{explained, refuses};
use crate::support::world::World;

fn lines(json: &Value) -> Vec<&str> {
    let lines = json["settings"].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap()).collect()
}

/// Keycloak behind a proxy answers at an internal address under its public name.
#[tokio::test(flavor = "multi_thread")]
async fn recommends_the_name_that_the_configured_address_publishes() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let keys = issuer.jwks_uri().to_owned();
    for name in [
        "https://sso.example.com/realms/acme",
        "http://keycloak:8080/realms/acme",
    ] {
        issuer.recover();
        issuer.wrong_issuer(name);
        let world = World::of(issuer.clone());
        let token = issuer.token().claim("iss", name).sign();
        let json = refuses(
            &world,
            name,
            &token,
            "unknown_issuer",
            causes::NAME_OF_ADDRESS,
        );
        let expected = [
            format!("AUTH0_ISSUER={name}"),
            format!("AUTH0_JWKS_URI={keys}"),
        ];
        assert_eq!(lines(&json), expected, "{json:#}");
        let world = world.set("AUTH0_ISSUER", name).set("AUTH0_JWKS_URI", &keys);
        let (output, json) = explained(&world, name, &[], &token);
        assert_eq!(output.code, Some(0), "{json:#}");
    }
    // Another name in the token proves nothing
    let world = World::of(issuer.clone());
    let token = issuer.token().claim("iss", "https://evil.example/").sign();
    let json = refuses(
        &world,
        "another name",
        &token,
        "unknown_issuer",
        causes::OTHER_TENANT,
    );
    assert_eq!(lines(&json), [""; 0], "{json:#}");
}

/// The configured issuer isn't running, so nothing shows whether the addresses belong together.
#[tokio::test(flavor = "multi_thread")]
async fn names_what_differs_in_the_address() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    #[rustfmt::skip]
    let rows = [
        ("localhost", "http://127.0.0.1:PORT/realms/r", "http://localhost:PORT/realms/r", "two names of one machine", "in the host, 127.0.0.1 here and localhost in the token."),
        ("127.0.0.1", "http://localhost:PORT/realms/r", "http://127.0.0.1:PORT/realms/r", "two names of one machine", "in the host, localhost here"),
        ("Supabase", "http://localhost:PORT/auth/v1", "http://127.0.0.1:PORT/auth/v1", "two names of one machine", "in the host"),
        ("a container", "http://localhost:PORT/a", "http://host.docker.internal:PORT/a", "set AUTH0_JWKS_URI to the address of its keys at the configured address", "in the host"),
        ("a container of Keycloak with another port", "http://localhost:PORT/realms/r", "http://host.docker.internal:8080/realms/r", "KC_HOSTNAME", "and in the port, PORT here and 8080 in the token"),
        ("a container of Keycloak", "https://sso.invalid/realms/acme", "http://keycloak:8080/realms/acme", "probably the same realm", "in the host, sso.invalid here and keycloak in the token"),
        ("two hosts of Keycloak", "https://sso.invalid/realms/acme", "https://keycloak.internal.example/realms/acme", "KC_HOSTNAME", "in the host"),
        ("the path of an older Keycloak", "http://localhost:PORT/realms/r", "http://localhost:PORT/auth/realms/r", "KC_HTTP_RELATIVE_PATH", "in the path, /realms/r here and /auth/realms/r in the token"),
        ("another realm", "http://localhost:PORT/realms/r", "http://localhost:PORT/realms/master", "another realm", "in the path, /realms/r here and /realms/master in the token"),
        ("another realm elsewhere", "https://sso.invalid/realms/acme", "https://sso.invalid/realms/master", "another realm", "in the path"),
        ("another realm at another port", "http://localhost:PORT/realms/r", "http://localhost:9/realms/s", "another development issuer", "and in the path, /realms/r here and /realms/s in the token"),
        ("another port", "http://127.0.0.1:PORT", "http://localhost:9", "another development issuer", "in the port, PORT here and 9 in the token"),
        ("another path", "https://sso.invalid/oauth2/default", "https://sso.invalid/oauth2/aus1", "another path", "in the path, /oauth2/default here"),
        ("no path", "https://sso.invalid/user_management/client_1", "https://sso.invalid", "another path", "and / in the token"),
    ];
    for (case, ours, theirs, says, differs) in rows {
        let [ours, theirs, differs] =
            [ours, theirs, differs].map(|text| text.replace("PORT", &port.to_string()));
        let world = World::of(issuer.clone())
            .set("AUTH0_ISSUER", ours)
            .set("AUTH0_JWKS_TIMEOUT", "1s");
        let token = issuer.token().claim("iss", theirs).sign();
        let (_, json) = explained(&world, case, &[], &token);
        assert_eq!(json["code"], "unknown_issuer", "{case}: {json:#}");
        let text = format!("{} {}", json["cause"], json["fix"]);
        assert!(text.contains(says), "{case}: {text}");
        assert!(text.contains(&differs), "{case}: {text}");
        assert_eq!(lines(&json), [""; 0], "{case}: {json:#}");
    }
    // With the keys of the configured realm, it turns out that the realm is another one
    let keycloak = "https://sso.example.com/realms/acme";
    let world = World::named(&issuer, keycloak);
    let token = issuer
        .token()
        .claim("iss", "https://sso.internal.example/realms/acme")
        .key(&SigningKey::generate(Algorithm::RS256));
    let json = refuses(
        &world,
        "other keys",
        &token.sign(),
        "unknown_issuer",
        causes::OTHER_TENANT,
    );
    assert_eq!(lines(&json), [""; 0], "{json:#}");
}

/// With the recommended lines, the token is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn recommends_the_line_if_only_the_slash_differs() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let keys = issuer.jwks_uri().to_owned();
    let discovered = World::of(issuer.clone());
    let named = |name: &str| World::named(&issuer, name);
    let of = |name: &str| issuer.token().claim("iss", name);
    let bare = issuer.url().trim_end_matches('/').to_owned();
    let api = issuer.audience().to_owned();
    #[rustfmt::skip]
    let rows = [
        ("a slash in the token", named("https://a.example"), of("https://a.example/"), vec!["AUTH0_ISSUER=https://a.example/".to_owned()]),
        ("a slash here", named("https://a.example/"), of("https://a.example"), vec!["AUTH0_ISSUER=https://a.example".to_owned()]),
        ("an issuer that was discovered under its name", discovered, of(&bare), vec![format!("AUTH0_ISSUER={bare}"), format!("AUTH0_JWKS_URI={keys}")]),
        ("an audience", named("https://a.example/"), of("https://a.example/").audience(format!("{api}/")), vec![format!("AUTH0_API_AUDIENCE={api}/")]),
        ("an audience of Keycloak", named("https://a.example/realms/a"), of("https://a.example/realms/a").audience(format!("{api}/")), vec![format!("AUTH0_API_AUDIENCE={api}/")]),
        ("one of two audiences", named("https://a.example/").set("AUTH0_API_AUDIENCE", format!("urn:a,{api}")), of("https://a.example/").audience(format!("{api}/")), vec![format!("AUTH0_API_AUDIENCE=urn:a,{api}/")]),
    ];
    for (case, world, token, expected) in rows {
        let token = token.sign();
        let (_, json) = explained(&world, case, &[], &token);
        assert_eq!(lines(&json), expected, "{case}: {json:#}");
        let world = expected.iter().fold(world, |world, line| {
            let (name, value) = line.split_once('=').unwrap();
            world.set(name, value)
        });
        let (output, json) = explained(&world, case, &[], &token);
        assert_eq!(output.code, Some(0), "{case}: {json:#}");
    }
    // A slash in another place, or another case, may be another API
    for audience in ["https://api.example.com/a", "https://API.example.com"] {
        let token = of("https://a.example/").audience(audience).sign();
        let (_, json) = explained(&named("https://a.example/"), audience, &[], &token);
        assert_eq!(json["code"], "wrong_audience", "{json:#}");
        assert_eq!(lines(&json), [""; 0], "{json:#}");
    }
    // Two issuers, of which one differs in the slash
    let world = World::of(issuer.clone()).set(
        "AUTH0_ISSUER",
        "https://a.invalid/,https://b.invalid/realms/b",
    );
    let token = of("https://b.invalid/realms/b/").sign();
    let json = refuses(&world, "two", &token, "unknown_issuer", causes::SLASH);
    let line = "AUTH0_ISSUER=https://a.invalid/,https://b.invalid/realms/b/";
    assert_eq!(lines(&json), [line], "{json:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recommends_the_names_of_google_and_stytch_with_their_keys() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let keys = json!({"keys": [issuer.key().public_jwk()]}).to_string();
    let stytch = "https://test.stytch.com/v1/public/project-test-1";
    #[rustfmt::skip]
    let rows = [
        ("https://accounts.google.com", "accounts.google.com", ["AUTH0_ISSUER=accounts.google.com", "AUTH0_JWKS_URI=https://www.googleapis.com/oauth2/v3/certs"]),
        (stytch, "stytch.com/project-test-1", ["AUTH0_ISSUER=stytch.com/project-test-1", "AUTH0_JWKS_URI=https://test.stytch.com/v1/sessions/jwks/project-test-1"]),
    ];
    for (ours, theirs, expected) in rows {
        let world = World::of(issuer.clone()).set("AUTH0_ISSUER", ours);
        let path = world.directory.path().join("keys");
        std::fs::write(&path, &keys).unwrap();
        let token = issuer.token().claim("iss", theirs).sign();
        let arguments = ["explain", "--json", "--jwks", path.to_str().unwrap()];
        let json = world.run(&arguments, &token).json();
        assert_eq!(json["code"], "unknown_issuer", "{ours}: {json:#}");
        assert_eq!(lines(&json), expected, "{ours}: {json:#}");
        let world = expected.iter().fold(world, |world, line| {
            let (name, value) = line.split_once('=').unwrap();
            world.set(name, value)
        });
        let output = world.run(&arguments, &token);
        assert_eq!(output.code, Some(0), "{ours}: {}", output.stdout);
    }
}
