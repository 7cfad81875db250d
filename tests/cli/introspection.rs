//! Introspection, as an operator configures and tests it.

use serde_json::json;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer, TokenBuilder},
    service::api::errors::{Cause, Page, causes},
};

use crate::support::{process::Process, world::World};

/// An issuer, and a configuration that introspects opaque tokens.
async fn asking() -> World {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let (id, secret) = (
        issuer.client_id().to_owned(),
        issuer.client_secret().to_owned(),
    );
    World::of(issuer)
        .set("AUTH0_ALGORITHMS", "ES256")
        .set("AUTH0_INTROSPECTION", "opaque")
        .set("AUTH0_INTROSPECTION_CLIENT_ID", id)
        .set("AUTH0_INTROSPECTION_CLIENT_SECRET", secret)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_introspects_a_made_up_token() {
    let world = asking().await;
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("accepts the credentials"),
        "{}",
        output.stdout
    );
    assert_eq!(world.issuer.requests().introspection, 1);
    let world = world.set("AUTH0_INTROSPECTION_CLIENT_SECRET", "hunter2");
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(1));
    assert!(output.stdout.contains("answered 401"), "{}", output.stdout);
    assert!(!output.stdout.contains("hunter2"), "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_an_endpoint_that_accepts_a_made_up_token() {
    let world = asking().await;
    let body = json!({"active": true}).to_string();
    world.issuer.fail_introspection(Fault::Body(body));
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(1), "{}{}", output.stdout, output.stderr);
    for text in ["a made-up token is active", "AUTH0_INTROSPECTION_URI"] {
        assert!(output.stdout.contains(text), "{}", output.stdout);
    }
}

/// RFC 8414 §2 allows metadata without `jwks_uri`.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_without_key_set_is_ready_with_introspection() {
    let world = asking().await;
    let issuer = &world.issuer;
    let metadata = json!({
        "issuer": issuer.url(),
        "introspection_endpoint": format!("http://{}/oauth/introspect", issuer.addr()),
    });
    issuer.fail_discovery(Fault::Body(metadata.to_string()));
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("no jwks_uri"), "{}", output.stdout);

    let world = world
        .set("LISTEN", "127.0.0.1:0")
        .set("METRICS_LISTEN", "127.0.0.1:0");
    let mut command = world.command(&[]);
    let mut service = Process::spawn(&mut command);
    let log = service.logged(|line| line.contains(" metrics"));
    let find = |words: &str| {
        let line = log.iter().find(|line| line.contains(words)).unwrap();
        line.split("address=").nth(1).unwrap().trim().to_owned()
    };
    let get = async |address: &str, path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}")).await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, body) = loop {
        let (status, body) = get(&find(" listening"), "/readyz").await;
        if !body.contains(r#""last_error":null"#) {
            break (status, body);
        }
    };
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(r#""last_error":"no_jwks_uri""#), "{body}");
    let (status, body) = get(&find(" metrics"), "/metrics").await;
    assert_eq!(status, 200, "{body}");
    assert!(!body.contains("warp_bearer_keys{"), "{body}");
    assert!(!body.contains("warp_bearer_key_fetches_total{"), "{body}");

    // Without opaque tokens only, every token needs a key, so the service is never ready
    let mut world = world;
    for mode in ["off", "always"] {
        world = world.set("AUTH0_INTROSPECTION", mode);
        let output = world.run(&["check"], "");
        assert_eq!(output.code, Some(1), "{mode}: {}", output.stdout);
        let advice = "set AUTH0_JWKS_URI to the address of its keys";
        assert!(output.stdout.contains(advice), "{mode}: {}", output.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_introspects_only_on_request() {
    let world = asking().await;
    let token = world.issuer.opaque_token(world.issuer.token());
    let output = world.run(&["explain"], &token);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let opaque = "The service may ask the issuer about it";
    assert!(output.stdout.contains(opaque), "{}", output.stdout);
    assert!(output.stdout.contains("--introspect"), "{}", output.stdout);
    assert_eq!(world.issuer.requests().introspection, 0);
    let paseto = "v2.local.QAxIpVe-ECVNI1z4xQbm_qQYomyT3h8FtV8bxkz8pBJWkT8f7HtlOpbroPDEZUKop";
    let output = world.run(&["explain"], paseto);
    assert!(output.stdout.contains(opaque), "{}", output.stdout);
    // The service does not ask about a damaged JWT
    for damaged in [
        "ICB7fR.eyJhIjoxfQ.AAAAAAAAAAAA",
        "IHsiYSI6Ij8_.eyJhIjoxfQ.AAAAAAAAAAAB",
        "77u_e30.eyJhIjoxfQ.AAAAAAAAAAAA",
    ] {
        let output = world.run(&["explain"], damaged);
        assert!(
            output.stdout.contains("token_malformed"),
            "{}",
            output.stdout
        );
        assert!(!output.stdout.contains(opaque), "{}", output.stdout);
    }
    let output = world.run(&["explain", "--introspect"], &token);
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    assert!(
        output.stderr.contains("is sent to the issuer"),
        "{}",
        output.stderr
    );
    assert_eq!(world.issuer.requests().introspection, 1);
    world.issuer.revoke(&token);
    let output = world.run(&["explain", "--introspect", "--json"], &token);
    assert_eq!(output.code, Some(1));
    assert_eq!(output.json()["code"], "token_inactive");

    // with `always`, the issuer also decides about JWTs
    let world = world.set("AUTH0_INTROSPECTION", "always");
    let output = world.run(&["explain"], &world.issuer.token().sign());
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    let note = "could change this verdict";
    assert!(output.stdout.contains(note), "{}", output.stdout);
}

/// If an active answer is rejected because of a claim, `explain` should name the claim.
#[tokio::test(flavor = "multi_thread")]
async fn explain_names_what_is_wrong_with_an_answer() {
    type Change = fn(TokenBuilder) -> TokenBuilder;
    type Row<'a> = (&'a str, Change, &'a str, &'a str, Cause, &'a [&'a str]);
    let world = asking().await;
    #[rustfmt::skip]
    let rows: [Row<'_>; 7] = [
        ("no aud", |t| t.without("aud").claim("client_id", "web"), "missing_claim", "aud", causes::ANSWER_WITHOUT_AUDIENCE, &["AUTH0_AUDIENCE_CLAIM=client_id"]),
        ("neither aud nor client_id", |t| t.without("aud").without("client_id"), "missing_claim", "aud", causes::ANSWER_WITHOUT_AUDIENCE, &[]),
        ("no exp", |t| t.without("exp"), "missing_claim", "exp, nbf, iat", causes::ANSWER_WITHOUT_EXPIRY, &[]),
        ("another aud", |t| t.audience("https://other.example.com"), "wrong_audience", "aud", causes::OTHER_API, &[]),
        ("a refresh token", |t| t.claim("token_use", "refresh_token"), "wrong_token_type", "typ, token_use", causes::OTHER_KIND, &[]),
        ("bound by DPoP", |t| t.claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})), "token_bound", "cnf", causes::DPOP_BOUND, &[]),
        ("a date as text", |t| t.claim("exp", "2030-01-01"), "invalid_claim", "exp, nbf, iat", causes::WRONG_TYPE, &[]),
    ];
    for (case, change, code, step, cause, settings) in rows {
        let token = world.issuer.opaque_token(change(world.issuer.token()));
        let before = world.issuer.requests().introspection;
        let json = world.run(&["explain", "--introspect", "--json"], &token);
        let json = json.json();
        let asked = world.issuer.requests().introspection - before;
        assert_eq!(asked, 1, "{case}");
        assert_eq!(json["code"], code, "{case}: {json:#}");
        assert_eq!(json["cause"], cause.what, "{case}: {json:#}");
        assert_eq!(json["settings"], json!(settings), "{case}: {json:#}");
        let mut steps = json["steps"].as_array().unwrap().iter();
        let failed = steps.find(|step| step["holds"] == false).unwrap();
        assert_eq!(failed["step"], step, "{case}: {json:#}");
        assert!(Page::of(code).unwrap().causes.contains(&cause), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_accepts_an_opaque_token() {
    let world = asking().await.set("LISTEN", "127.0.0.1:0");
    let mut command = world.command(&[]);
    let mut service = Process::spawn(&mut command);
    let lines = service.logged(|line| line.contains("listening"));
    let address = lines.last().unwrap().split("address=").nth(1).unwrap();
    let address = address.trim().to_owned();
    let ask = async |path: &str, token: &str| {
        let request = reqwest::Client::new().get(format!("http://{address}{path}"));
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let claims = world.issuer.token().scope("read:messages");
    let token = world.issuer.opaque_token(claims);
    let (status, body) = ask("/api/private-scoped", &token).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(ask("/auth?scope=read:messages", &token).await.0, 200);
    let (status, body) = ask("/api/private", "made-up-token-0123456789").await;
    assert_eq!(status, 401);
    assert!(body.contains("token_inactive"), "{body}");
    let (status, body) = ask("/auth?acr=gold&max_age=60", &token).await;
    assert_eq!(status, 401);
    assert!(body.contains("insufficient_user_authentication"), "{body}");
    world.issuer.go_down().await;
    let (status, body) = ask("/api/private", "made-up-token-9876543210").await;
    assert_eq!(status, 503);
    assert!(body.contains("introspection_unavailable"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_name_the_missing_setting() {
    #[rustfmt::skip]
    let rows = [
        ("an unknown mode", "AUTH0_INTROSPECTION", "on", "not off, opaque or always"),
        ("several issuers", "AUTH0_ISSUER", "https://a.example/,https://b.example/", "AUTH0_INTROSPECTION: in the environment, set, but AUTH0_ISSUER has several"),
        ("a secret and a key", "AUTH0_INTROSPECTION_KEY_FILE", "/nowhere/key.pem", "keep one of them"),
        ("plain http", "AUTH0_INTROSPECTION_URI", "http://a.example/introspect", "is not https"),
        ("not a duration", "AUTH0_INTROSPECTION_TTL", "soon", "AUTH0_INTROSPECTION_TTL"),
        ("a missing revocation list", "AUTH0_REVOCATION_FILE", "/nowhere/revoked.jsonl", "does not exist"),
    ];
    for (case, name, value, expected) in rows {
        let world = asking().await.set(name, value);
        let output = world.run(&["serve"], "");
        assert_eq!(output.code, Some(78), "{case}: {}", output.stderr);
        assert!(
            output.stderr.contains(expected),
            "{case}: {}",
            output.stderr
        );
    }
    let world = World::start().await.set("AUTH0_INTROSPECTION", "always");
    let output = world.run(&["serve"], "");
    assert_eq!(output.code, Some(78));
    for name in [
        "AUTH0_INTROSPECTION_CLIENT_ID",
        "AUTH0_INTROSPECTION_CLIENT_SECRET",
    ] {
        assert!(
            output.stderr.contains(&format!("{name}: not set")),
            "{}",
            output.stderr
        );
    }
    let key = World::start()
        .await
        .set("AUTH0_INTROSPECTION", "opaque")
        .set("AUTH0_INTROSPECTION_CLIENT_ID", "api");
    let path = key.directory.path().join("key.pem");
    std::fs::write(
        &path,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let key = key.set("AUTH0_INTROSPECTION_KEY_FILE", path.to_str().unwrap());
    let output = key.run(&["serve"], "");
    assert_eq!(output.code, Some(78));
    assert!(
        output
            .stderr
            .contains("has no RSA, P-256, P-384 or Ed25519 private key"),
        "{}",
        output.stderr
    );
}
