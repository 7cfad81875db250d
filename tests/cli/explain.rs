//! `explain` names what is wrong with a token or the configuration, and how to fix it.
//!
//! The binary is run as its users run it: configured by the environment, the token on its standard
//! input. Each row breaks one thing.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer, SigningKey, TokenBuilder},
    service::api::errors::{Cause, Page, causes},
};

use crate::support::world::{World, with_date};

fn refuses(world: &World, case: &str, input: &str, code: &str, expected: Cause) {
    let told = world.run(&["explain", "--json"], input);
    assert_eq!(told.code, Some(1), "{case}: {}", told.stderr);
    let json = told.json();
    assert_eq!(json["code"], code, "{case}: {json:#}");
    assert_eq!(json["cause"], expected.what, "{case}: {json:#}");
    assert_eq!(json["mend"], expected.mend, "{case}: {json:#}");
    assert_eq!(json["accepted"], false, "{case}");
    let page = Page::of(code).unwrap();
    assert!(
        page.causes.contains(&expected),
        "{case}: not on the page of {code}"
    );
    let steps = json["steps"].as_array().unwrap();
    let first = steps.iter().find(|step| step["holds"] == false);
    assert_eq!(first.unwrap()["code"], code, "{case}: {json:#}");
}

type Break = fn(TokenBuilder) -> TokenBuilder;

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_token_gets_the_sentence_that_mends_it() {
    let world = World::start().await;
    #[rustfmt::skip]
    let rows: [(&str, Break, &str, Cause); 31] = [
        ("an ID token, by its nonce", |t| t.audience("kZ1abcdefghijklmnopqrstuvwxyz012").claim("nonce", "n"), "wrong_audience", causes::ID_TOKEN),
        ("an ID token, by what it tells", |t| t.audience("kZ1abcdefghijklmnopqrstuvwxyz012").claim("email", "a@example.com"), "wrong_audience", causes::ID_TOKEN),
        ("for /userinfo alone", |t| t.audience("https://tenant.eu.auth0.com/userinfo"), "wrong_audience", causes::USERINFO_ONLY),
        ("for the Management API", |t| t.audience("https://tenant.eu.auth0.com/api/v2/"), "wrong_audience", causes::MANAGEMENT_API),
        ("an audience with a slash more", |t| t.audience("https://api.example.com/"), "wrong_audience", causes::AUDIENCE_SPELLING),
        ("an audience in capitals", |t| t.audience("https://API.example.com"), "wrong_audience", causes::AUDIENCE_SPELLING),
        ("for another API", |t| t.audience("https://other.example.com"), "wrong_audience", causes::OTHER_API),
        ("for nobody", |t| t.without("aud"), "missing_claim", causes::NO_AUDIENCE),
        ("from nobody", |t| t.without("iss"), "missing_claim", causes::NO_ISSUER),
        ("for ever", |t| t.without("exp"), "missing_claim", causes::NO_EXPIRY),
        ("expired", TokenBuilder::expired, "token_expired", causes::EXPIRED),
        ("not yet", |t| t.not_before(3600), "token_not_yet_valid", causes::NOT_YET),
        ("in milliseconds", |t| t.claim("iat", 1_795_000_000_000_u64).claim("exp", 1_795_003_600_000_u64), "token_not_yet_valid", causes::MILLISECONDS),
        ("a date as text", |t| t.claim("exp", "2030-01-01"), "invalid_claim", causes::WRONG_TYPE),
        ("an API with HS256", |t| t.header("alg", "HS256"), "algorithm_not_allowed", causes::HS256_API),
        ("an API with PS256", |t| t.algorithm(Algorithm::PS256), "algorithm_not_allowed", causes::OTHER_ALGORITHM),
        ("unsigned", |t| t.header("alg", "none"), "algorithm_not_allowed", causes::UNSIGNED),
        ("a logout token", |t| t.typ("logout+jwt"), "wrong_token_type", causes::LOGOUT_TOKEN),
        ("a DPoP proof", |t| t.typ("dpop+jwt"), "wrong_token_type", causes::DPOP_PROOF),
        ("another type", |t| t.typ("secevent+jwt"), "wrong_token_type", causes::OTHER_TYPE),
        ("an extension", |t| t.header("crit", json!(["exp"])), "unsupported_critical_header", causes::EXTENSION),
        ("bound by DPoP", |t| t.claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})), "token_bound", causes::DPOP_BOUND),
        ("bound by mutual TLS", |t| t.claim("cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})), "token_bound", causes::MTLS_BOUND),
        ("bound otherwise", |t| t.claim("cnf", json!({"kid": "a"})), "token_bound", causes::BOUND),
        ("a key that was rotated away", |t| t.kid("gone"), "unknown_key", causes::ROTATED),
        ("a development issuer restarted", |t| { let key = SigningKey::generate(Algorithm::RS256); let kid = kid_of(&t); t.key(&key).kid(&kid) }, "bad_signature", causes::REPLACED_KEY),
        ("the other name of the tenant", |t| t.claim("iss", "https://login.example.com/"), "unknown_issuer", causes::CUSTOM_DOMAIN),
        ("another tenant", |t| t.claim("iss", "https://other.eu.auth0.com/").key(&SigningKey::generate(Algorithm::RS256)), "unknown_issuer", causes::OTHER_TENANT),
        ("no issuer of ours, and no key of a name", |t| t.claim("iss", "https://other.eu.auth0.com/").kid("gone"), "unknown_issuer", causes::OTHER_TENANT),
        ("an issuer without its slash", |t| { let issuer = issuer_of(&t); t.claim("iss", issuer.trim_end_matches('/')) }, "unknown_issuer", causes::SLASH),
        ("an issuer with https", |t| { let issuer = issuer_of(&t); t.claim("iss", issuer.replace("http:", "https:")) }, "unknown_issuer", causes::SCHEME_OR_CASE),
    ];
    for (case, broken, code, cause) in rows {
        refuses(
            &world,
            case,
            &broken(world.issuer.token()).sign(),
            code,
            cause,
        );
    }
}

/// Returns one part of a token, decoded.
fn part(token: &str, at: usize) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap());
    serde_json::from_slice(&bytes.unwrap()).unwrap()
}

fn kid_of(token: &TokenBuilder) -> String {
    let header = part(&token.clone().sign(), 0);
    header["kid"].as_str().unwrap().to_owned()
}

fn issuer_of(token: &TokenBuilder) -> String {
    let claims = part(&token.clone().sign(), 1);
    claims["iss"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_pasting_gets_the_sentence_that_mends_it() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let (start, signature) = good.rsplit_once('.').unwrap();
    let middle = start.len() / 2;
    #[rustfmt::skip]
    let rows = [
        ("opaque", "kZ1abcdefghijklmnopqrstuvwxyz012".to_owned(), "token_not_jwt", causes::OPAQUE),
        ("opaque, with a dot", "v1.kZ1abcdefghijklmnopqrstuvwxyz012".to_owned(), "token_not_jwt", causes::OPAQUE),
        ("encrypted", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c".to_owned(), "token_not_jwt", causes::ENCRYPTED),
        ("without its signature", start.to_owned(), "token_not_jwt", causes::NOT_WHOLE),
        ("without its end", good[..good.len() - 42].to_owned(), "bad_signature", causes::CUT_SIGNATURE),
        ("shortened by a page", format!("{}…{}", &good[..20], &good[40..]), "malformed_authorization", causes::FOREIGN_CHARACTER),
        ("a blank in it", format!("{} {}", &good[..20], &good[20..]), "malformed_authorization", causes::FOREIGN_CHARACTER),
        ("two of them", format!("{good}, {good}"), "multiple_credentials", causes::TWO_CREDENTIALS),
        ("too large", "a".repeat(17_000), "token_too_large", causes::TOO_LARGE),
        ("padded", format!("{start}.{signature}=="), "token_malformed", causes::RE_ENCODED),
        ("a character lost", format!("{}{}", &good[..middle], &good[middle + 1..]), "token_malformed", causes::RE_ENCODED),
        ("a member twice", world.issuer.sign_raw(br#"{"alg":"RS256","alg":"RS256"}"#, b"{}"), "token_malformed", causes::NOT_STRICT),
    ];
    for (case, input, code, cause) in rows {
        refuses(&world, case, &input, code, cause);
    }

    for (case, input, note) in [
        ("alone", format!("{good}\n"), ""),
        (
            "the field",
            format!("Authorization: Bearer {good}"),
            "field",
        ),
        ("quotes", format!("\"{good}\""), "quotes"),
        ("the credential", format!("Bearer {good}"), "field"),
        (
            "lines",
            format!("{}\n  {}\n", &good[..middle], &good[middle..]),
            "line breaks",
        ),
        (
            "the whole answer",
            json!({"access_token": good, "token_type": "Bearer"}).to_string(),
            "answer",
        ),
    ] {
        let told = world.run(&["explain", "--json", "-"], &input);
        assert_eq!(told.code, Some(0), "{case}: {}", told.stdout);
        let json = told.json();
        assert_eq!(json["accepted"], true, "{case}");
        assert_eq!(json["claims"]["sub"], "auth0|alice", "{case}");
        let notes = json["notes"].to_string();
        assert!(notes.contains(note), "{case}: {notes}");
        assert_eq!(notes == "[]", note.is_empty(), "{case}: {notes}");
    }

    let refusal =
        r#"{"error":"access_denied","error_description":"Client is not \u001b[31mauthorized"}"#;
    for (case, input, line) in [
        ("nothing", "", "no token: there is nothing in it\n"),
        (
            "another scheme",
            "Authorization: DPoP a.b.c",
            "no token: the Authorization field that was pasted has another scheme than Bearer; what it is answered is missing_token\n",
        ),
        (
            "a refusal",
            refusal,
            "no token: it is the token endpoint's refusal, access_denied (Client is not \\u{1b}[31mauthorized), and there is no token in it; mend the token request first\n",
        ),
    ] {
        let told = world.run(&["explain"], input);
        assert_eq!((told.code, &*told.stderr), (Some(66), line), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_configuration_gets_the_sentence_that_mends_it() {
    let issuer = Issuer::start().await;
    let world = || World::of(issuer.clone());
    let good = issuer.token().sign();
    let without = issuer.url().trim_end_matches('/').to_owned();
    let secret = "a secret that nobody else can know";
    let other = SigningKey::from_secret("another secret that nobody can know");
    let hs256 = || {
        world()
            .set("AUTH0_ALGORITHMS", "HS256")
            .set("AUTH0_SIGNING_SECRET", secret)
    };
    let strict = || world().set("AUTH0_TOKEN_PROFILE", "rfc9068");
    let tenant = "https://tenant.eu.auth0.com/";
    let on_disk = || {
        let world = world()
            .set("AUTH0_ISSUER", tenant)
            .set("AUTH0_JWKS_FILE", "jwks.json");
        let jwks = json!({"keys": [issuer.key().public_jwk()]});
        fs::write(world.directory.path().join("jwks.json"), jwks.to_string()).unwrap();
        world
    };
    let key = SigningKey::generate(Algorithm::RS256);
    issuer.publish_key(&key);
    let changed = issuer.token().claim("iss", tenant).key(&key);
    let changed = changed.kid(issuer.key().kid()).sign();
    let of_no_key = issuer.token().without_header("kid").sign();
    let by_typ = issuer.token().typ("at+jwt").sign();
    let old = issuer.token().issued_at(-700).sign();
    let ageless = issuer.token().without("iat").sign();
    let other_algorithm = issuer.token().algorithm(Algorithm::PS256).sign();
    let by_secret = issuer.token().key(&other).without_header("kid").sign();
    #[rustfmt::skip]
    let rows = [
        ("an issuer without its slash", world().set("AUTH0_ISSUER", without), &good, "unknown_issuer", causes::SLASH),
        ("another issuer", world().set("AUTH0_ISSUER", "http://127.0.0.1:9/"), &good, "unknown_issuer", causes::OTHER_TENANT),
        ("another audience", world().set("AUTH0_API_AUDIENCE", "https://other.example.com"), &good, "wrong_audience", causes::OTHER_API),
        ("another algorithm", world().set("AUTH0_ALGORITHMS", "ES256"), &good, "algorithm_not_allowed", causes::OTHER_ALGORITHM),
        ("another secret", hs256(), &by_secret, "bad_signature", causes::OTHER_SECRET),
        ("another algorithm of the key", world().set("AUTH0_ALGORITHMS", "RS256,PS256"), &other_algorithm, "algorithm_not_allowed", causes::KEY_FOR_ANOTHER),
        ("another tenant's signature", on_disk(), &changed, "bad_signature", causes::CHANGED),
        ("of no key, where two fit", world(), &of_no_key, "unknown_key", causes::NO_KID),
        ("the strict profile", strict(), &good, "wrong_token_type", causes::NOT_AT_JWT),
        ("the strict profile, by typ alone", strict(), &by_typ, "missing_claim", causes::NOT_RFC9068),
        ("a longest age", world().set("AUTH0_TOKEN_MAX_AGE", "10m"), &old, "token_expired", causes::TOO_OLD),
        ("a longest age of no age", world().set("AUTH0_TOKEN_MAX_AGE", "10m"), &ageless, "missing_claim", causes::NO_TIME_OF_ISSUE),
    ];
    for (case, world, token, code, cause) in rows {
        refuses(&world, case, token, code, cause);
    }

    issuer.wrong_issuer(format!("{}other/", issuer.url()));
    refuses(
        &world(),
        "an issuer of another name",
        &good,
        "keys_unavailable",
        causes::NOT_ITS_NAME,
    );
    issuer.recover();
    issuer.fail_jwks(Fault::EmptySet);
    refuses(
        &world(),
        "no keys",
        &good,
        "keys_unavailable",
        causes::NO_KEY_SET,
    );
    issuer.fail(Fault::Status(500));
    refuses(
        &world(),
        "an issuer that fails",
        &good,
        "keys_unavailable",
        causes::ISSUER_UNREACHABLE,
    );
    issuer.go_down().await;
    let told = world().run(&["explain"], &good);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(told.stdout.contains("cannot be reached"), "{}", told.stdout);
    assert!(
        told.stdout.contains(causes::ISSUER_UNREACHABLE.mend),
        "{}",
        told.stdout
    );
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_told_from_a_token_that_is() {
    let issuer = Issuer::start().await;
    #[rustfmt::skip]
    let rows: [(&str, i64, Break, &str, Cause, &str); 4] = [
        ("ahead", -7200, TokenBuilder::expired, "token_expired", causes::CLOCK_AHEAD, "2 h ahead of"),
        ("behind", 7200, |t| t.issued_at(7190), "token_not_yet_valid", causes::CLOCK_BEHIND, "2 h behind"),
        ("right, and the token expired", 0, TokenBuilder::expired, "token_expired", causes::EXPIRED, "It expired 1 h"),
        ("right, and the token early", 0, |t| t.issued_at(7200), "token_not_yet_valid", causes::NOT_YET, "clock"),
    ];
    for (case, ahead, broken, code, cause, fact) in rows {
        let url = with_date(&issuer, ahead).await;
        let token = broken(issuer.token()).claim("iss", &url).sign();
        let world = World::of(issuer.clone()).set("AUTH0_ISSUER", url);
        refuses(&world, case, &token, code, cause);
        let told = world.run(&["explain"], &token);
        assert!(told.stdout.contains(fact), "{case}: {}", told.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_set_in_a_file_nobody_is_asked() {
    let world = World::start().await;
    let file = world.directory.path().join("jwks.json");
    let jwks = json!({"keys": [world.issuer.key().public_jwk()]});
    fs::write(&file, jwks.to_string()).unwrap();
    let good = world.issuer.token().sign();
    world.issuer.rotate();
    let told = world.run(&["explain", "--jwks", "jwks.json"], &good);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    let late = world.issuer.token().expired().sign();
    let told = world.run(&["explain", "--jwks", "jwks.json", &late], "");
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let asked = world.issuer.requests();
    assert_eq!((asked.discovery, asked.jwks), (0, 0));

    fs::write(&file, "{}").unwrap();
    let told = world.run(&["explain", "--jwks", "jwks.json"], &good);
    let line = "--jwks: jwks.json: a JSON object without a member \"keys\"\n";
    assert_eq!((told.code, &*told.stderr), (Some(66), line));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_nothing_to_the_terminal() {
    let world = World::start().await;
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\r\n";
    let token = world.issuer.token().subject(evil).audience(evil).kid(evil);
    let token = token.claim("iss", evil).sign();
    for arguments in [&["explain"][..], &["explain", "--json"]] {
        let told = world.run(arguments, &token);
        assert_eq!(told.code, Some(1));
        let hostile = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!told.stdout.contains(hostile), "{:?}", told.stdout);
        assert!(told.stdout.contains("owned"), "{}", told.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_a_part_of_a_long_claim() {
    let world = World::start().await;
    let long = || "x".repeat(2000);
    let many: Vec<_> = (0..50).map(|at| format!("urn:{at}")).collect();
    let token = world.issuer.token();
    let token = token.header("kid", long()).claim("iss", long());
    let token = token.claim("sub", long()).claim("aud", many).sign();
    let told = world.run(&["explain"], &token);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    assert!(told.stdout.contains("xxxx"), "{}", told.stdout);
    assert!(told.stdout.contains("… 40 more"), "{}", told.stdout);
    for line in told.stdout.lines() {
        assert!(line.chars().count() < 400, "{line}");
    }

    let refusal = json!({"error": long(), "error_description": long()});
    let told = world.run(&["explain"], &refusal.to_string());
    assert_eq!(told.code, Some(66), "{}", told.stdout);
    assert!(told.stderr.len() < 400, "{}", told.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_the_steps_with_the_time_on_their_wall() {
    let world = World::start().await;
    let token = world
        .issuer
        .token()
        .claim("exp", 1_700_000_000)
        .claim("iat", 1_699_990_000);
    let told = world.run(&["explain"], &token.sign());
    let exp = told.stdout.lines().find(|line| line.contains("✗")).unwrap();
    // `TZ` is one hour ahead of UTC.
    assert!(
        exp.starts_with("  ✗ exp           2023-11-14 23:13:20 +01:00, "),
        "{exp}"
    );
    assert!(
        exp.contains(" d ") && exp.contains(" ago   expected: after "),
        "{exp}"
    );
    assert!(
        told.stdout
            .contains("\nRefused: 401 token_expired. The access token has expired.\n")
    );
    assert!(
        told.stdout
            .contains(&format!("\nTo mend it: {}\n", causes::EXPIRED.mend))
    );
    assert!(told.stdout.contains("  ✓ signature "), "{}", told.stdout);
    assert_eq!(told.stderr, "");
}

/// Listens on an address and never answers. Returns the address and all bytes received.
async fn ear() -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            notes.lock().unwrap().extend(b"connected ");
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap_or_default();
            notes.lock().unwrap().extend(&bytes[..count]);
        }
    });
    (url, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_the_token_and_nobody_it_names_hears_anything() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let ((ours, heard), (other, silence)) = (ear().await, ear().await);
    let token = issuer.token().claim("iss", &other).expired();
    let token = token
        .header("jku", format!("{other}keys"))
        .header("x5u", &other);
    let token = token.claim("jwks_uri", &other).sign();
    let world = World::of(issuer).set("AUTH0_ISSUER", ours);
    let told = world.run(&["explain"], &token);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert_eq!(*silence.lock().unwrap(), b"");
    let asked = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
    assert!(
        asked.contains("GET /.well-known/openid-configuration"),
        "{asked}"
    );
    for part in token.split('.') {
        assert!(!asked.contains(part), "{asked}");
    }
}
