//! Rejections whose cause is the key set: keys that were left out, and discovery that fails.

use std::fs;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use warp::Filter;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer, SigningKey},
    service::api::errors::causes,
};

use super::{explained, lacks_keys, refuses};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn names_why_the_tokens_key_was_left_out() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let other = SigningKey::generate(Algorithm::RS256);
    let token = issuer.token().key(&other).kid("bad");
    let world = World::named(&issuer, issuer.url());
    let file = world.directory.path().join("jwks.json");
    let good = issuer.key().public_jwk();
    let with = |member: &str, value: Value| {
        let mut bad = other.public_jwk();
        bad["kid"] = json!("bad");
        bad[member] = value;
        bad
    };
    let padded = format!("{}=", URL_SAFE_NO_PAD.encode([0xff; 256]));
    #[rustfmt::skip]
    let rows = [
        ("padded", with("n", json!(padded))),
        ("for encryption", with("use", json!("enc"))),
        ("private", with("d", json!("AQAB"))),
    ];
    for (case, bad) in rows {
        fs::write(&file, json!({"keys": [good, bad]}).to_string()).unwrap();
        let json = refuses(
            &world,
            case,
            &token.clone().sign(),
            "algorithm_not_allowed",
            causes::KEY_LEFT_OUT,
        );
        let cause = json["cause"].as_str().unwrap();
        assert!(cause.contains("The reason: "), "{case}: {json:#}");
        let key = json["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(key["step"], "key", "{case}: {json:#}");
        let found = key["found"].as_str().unwrap();
        assert!(
            found.starts_with("\"bad\", which cannot be used: "),
            "{case}: {json:#}"
        );
    }
}

/// Starts a server that answers every discovery document with this status and body. The issuer
/// `own` stands for the server's own name.
async fn server(status: u16, mut body: Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    if body["issuer"] == "own" {
        body["issuer"] = json!(url);
    }
    let routes = warp::any().map(move || {
        let reply = warp::reply::json(&body);
        warp::reply::with_status(reply, status.try_into().unwrap())
    });
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    url
}

/// Starts a server that answers with an HTML page.
async fn page_server(status: u16) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let routes = warp::any().map(move || {
        let reply = warp::reply::html("<html>Access denied");
        warp::reply::with_status(reply, status.try_into().unwrap())
    });
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_key_fetch_comes_with_advice() {
    let issuer = Issuer::start().await;
    let not_a_set = server(200, json!({})).await;
    let missing = server(404, json!({})).await;
    let metadata = server(
        200,
        json!({"issuer": "own", "jwks_uri": "https://a.example/keys"}),
    )
    .await;
    let blocked = page_server(403).await;
    let locked = server(401, json!({})).await;
    let long = format!("https://other.example/{}/", "b".repeat(100));
    let long_name = format!("if that is {long}, set AUTH0_ISSUER to it");
    #[rustfmt::skip]
    let rows = [
        ("no discovery document", server(404, json!({})).await, "", causes::NO_DISCOVERY, "Check the path of the issuer first: it needs the right realm or tenant, and at some issuers /auth, /v2.0, /oauth2/default or /auth/v1; if it is right, set AUTH0_JWKS_URI to the address of its keys, from its documentation, or set AUTH0_JWKS_FILE"),
        ("keys for clients that log in", server(401, json!({})).await, "", causes::KEYS_NEED_CREDENTIALS, "fetch_token_file"),
        ("keys that are forbidden", server(403, json!({})).await, "", causes::KEYS_NEED_CREDENTIALS, "set AUTH0_JWKS_FILE to a file with its keys (from Kubernetes: kubectl get --raw /openid/v1/jwks)"),
        ("an issuer that fails", server(500, json!({})).await, "", causes::ISSUER_UNREACHABLE, "wait until it answers"),
        ("a redirect", server(302, json!({})).await, "", causes::ISSUER_REDIRECTS, "Set AUTH0_JWKS_URI to the address of its keys"),
        ("another issuer", server(200, json!({"issuer": "https://other.example/", "jwks_uri": "https://other.example/keys"})).await, "", causes::NOT_ITS_NAME, "if that is https://other.example/, set AUTH0_ISSUER to it, and if it has no discovery document, set AUTH0_JWKS_URI to https://other.example/keys"),
        ("metadata without jwks_uri", server(200, json!({"issuer": "own"})).await, "", causes::BAD_METADATA, "Set AUTH0_JWKS_URI to the address of its keys, from its documentation"),
        ("another issuer with a long name", server(200, json!({"issuer": long, "jwks_uri": "https://other.example/keys"})).await, "", causes::NOT_ITS_NAME, &long_name),
        ("keys at a configured address for clients that log in", locked.clone(), &*locked, causes::KEYS_NEED_CREDENTIALS, "remove AUTH0_JWKS_URI and set AUTH0_JWKS_FILE to a file with its keys (from Kubernetes: kubectl get --raw /openid/v1/jwks), or list the issuer in ISSUERS_FILE instead of AUTH0_ISSUER and AUTH0_JWKS_URI"),
        ("no key set at the configured address", not_a_set.clone(), &*not_a_set, causes::NO_KEY_SET_URI, "Correct AUTH0_JWKS_URI; or remove it, if the issuer has a discovery document, which names the keys; or remove AUTH0_JWKS_URI and set AUTH0_JWKS_FILE"),
        ("a key set that is not there", missing.clone(), &*missing, causes::NO_KEY_SET_URI, "Correct AUTH0_JWKS_URI; or remove it, if the issuer has a discovery document, which names the keys; or remove AUTH0_JWKS_URI and set AUTH0_JWKS_FILE"),
        ("the discovery document at the configured address", metadata.clone(), &*metadata, causes::NO_KEY_SET_URI, "Remove AUTH0_JWKS_URI, because the service finds the discovery document by itself"),
        ("a firewall", blocked, "", causes::ISSUER_DENIES, "Have the firewall before the issuer let this machine through, or set AUTH0_JWKS_FILE"),
        ("a jwks_uri whose host has no name", server(200, json!({"issuer": "own", "jwks_uri": "https://keycloak.invalid/keys"})).await, "", causes::ISSUER_UNREACHABLE, "Set AUTH0_JWKS_URI to an address of its keys that this machine can reach"),
        ("an issuer whose host has no name", "https://tenant.invalid/".to_owned(), "", causes::ISSUER_UNREACHABLE, "Check the spelling of the issuer"),
        ("a configured address whose host has no name", server(200, json!({})).await, "https://keycloak.invalid/keys", causes::ISSUER_UNREACHABLE, "Check the spelling of AUTH0_JWKS_URI"),
    ];
    for (case, url, jwks_uri, cause, words) in rows {
        let token = issuer.token().claim("iss", &url).sign();
        let mut world = World::of(issuer.clone()).set("AUTH0_ISSUER", &url);
        if !jwks_uri.is_empty() {
            world = world.set("AUTH0_JWKS_URI", jwks_uri);
        }
        let json = lacks_keys(&world, case, &token, cause, words);
        // the reason, including the address
        let facts = json["facts"].to_string();
        let has_address = facts.contains("http://127.0.0.1") || facts.contains(".invalid/");
        assert!(has_address, "{case}: {facts}");
        // Nothing should tell users to correct or remove `AUTH0_JWKS_URI` if they didn't set it.
        let says = format!("{}{}", json["cause"], json["fix"]);
        let names_uri = [
            "orrect AUTH0_JWKS_URI",
            "emove AUTH0_JWKS_URI",
            "of AUTH0_JWKS_URI",
        ]
        .iter()
        .any(|words| says.contains(words));
        assert_eq!(names_uri, !jwks_uri.is_empty(), "{case}: {says}");
    }
    issuer.fail_jwks(Fault::Status(404));
    lacks_keys(
        &World::of(issuer.clone()),
        "no key set",
        &issuer.token().sign(),
        causes::NO_KEY_SET,
        "Set AUTH0_JWKS_URI if its keys are elsewhere",
    );
    issuer.fail_jwks(Fault::EmptySet);
    lacks_keys(
        &World::of(issuer.clone()),
        "no keys",
        &issuer.token().sign(),
        causes::NO_KEY_SET,
        "Set AUTH0_JWKS_URI if its keys are elsewhere",
    );
}

/// In each row, the key is published, but the token's `kid` does not find it.
#[tokio::test(flavor = "multi_thread")]
async fn names_why_a_published_key_is_not_found() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let world = World::named(&issuer, issuer.url());
    let file = world.directory.path().join("jwks.json");
    let (key, other) = (issuer.key(), SigningKey::generate(Algorithm::RS256));
    let named = |key: &SigningKey, kid: Value| {
        let mut jwk = key.public_jwk();
        jwk["kid"] = kid;
        jwk
    };
    let null = || json!(null);
    let good = named(&other, json!("good"));
    let twice = named(&key, json!("a")).to_string();
    let twice = twice.replacen('{', "{\"alg\":\"RS256\",", 1);
    #[rustfmt::skip]
    let rows = [
        ("two without a kid", json!([named(&key, null()), named(&other, null())]).to_string(), causes::KEYS_WITHOUT_KID, ""),
        ("one without a kid beside another", json!([named(&key, null()), good]).to_string(), causes::KEYS_WITHOUT_KID, ""),
        ("two with one kid", json!([named(&key, json!("a")), named(&other, json!("a"))]).to_string(), causes::KID_TWICE, ""),
        ("a kid that is a number", json!([named(&key, json!(5)), good]).to_string(), causes::KID_NOT_READ, "`kid` is not a string"),
        ("a kid that is too long", json!([named(&key, json!("a".repeat(1025))), good]).to_string(), causes::KID_NOT_READ, "longer than 1024 bytes"),
        ("a member twice", format!("[{twice},{good}]"), causes::KID_NOT_READ, "it has the member \"alg\" twice"),
    ];
    for (case, set, cause, words) in rows {
        fs::write(&file, set).unwrap();
        let token = issuer.token().key(&key).kid("a").sign();
        let json = refuses(&world, case, &token, "unknown_key", cause);
        let what = json["cause"].as_str().unwrap();
        assert!(what.contains(words), "{case}: {what}");
    }
}

/// The file may be an old copy, so the key may exist. A token without `kid` may be signed with the
/// key that was left out.
#[tokio::test(flavor = "multi_thread")]
async fn names_why_the_file_lacks_the_tokens_key() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let world = World::named(&issuer, issuer.url());
    let file = world.directory.path().join("jwks.json");
    let (key, other) = (issuer.key(), SigningKey::generate(Algorithm::RS256));
    let named = |key: &SigningKey, kid: &str, usage: &str| {
        let mut jwk = key.public_jwk();
        (jwk["kid"], jwk["use"]) = (json!(kid), json!(usage));
        jwk
    };
    let good = named(&key, "key-1", "sig");
    let set = json!({"keys": [good, named(&other, "key-2", "sig")]});
    let with_left_out = json!({"keys": [good, named(&other, "key-2", "sig"), named(&SigningKey::generate(Algorithm::RS256), "key-3", "enc")]});
    let token = || issuer.token().key(&key);
    #[rustfmt::skip]
    let rows = [
        ("an old file", &set, token().kid("key-9"), causes::OLD_KEY_FILE, ""),
        ("an empty kid", &set, token().kid(""), causes::KID_EMPTY, ""),
        ("capitals", &set, token().kid("KEY-1"), causes::KID_SPELLING, "The key has \"key-1\", and the token \"KEY-1\"."),
        ("a space", &set, token().kid("key-1 "), causes::KID_SPELLING, ""),
        ("padding", &set, token().kid("key-1="), causes::KID_SPELLING, ""),
        ("a URL", &set, token().kid("https://issuer.example/keys/key-1"), causes::KID_SPELLING, ""),
        ("no kid", &set, token().without_header("kid"), causes::NO_KID, ""),
        ("no kid, and a key was left out", &with_left_out, token().without_header("kid"), causes::NO_KID_LEFT_OUT, "key-3"),
    ];
    for (case, set, token, cause, words) in rows {
        fs::write(&file, set.to_string()).unwrap();
        let json = refuses(&world, case, &token.sign(), "unknown_key", cause);
        let what = json["cause"].as_str().unwrap();
        assert!(what.contains(words), "{case}: {what}");
    }
    let online = World::of(issuer.clone());
    let path = file.to_str().unwrap();
    let token = token().kid("key-9").sign();
    let (_, json) = explained(&online, "--jwks", &["--jwks", path], &token);
    assert_eq!(json["fix"], causes::OLD_KEY_FILE.fix, "{json:#}");
    refuses(
        &online,
        "fetched keys",
        &token,
        "unknown_key",
        causes::ROTATED,
    );
}

/// The key set is in a form that only a file of keys may have, or in none.
#[tokio::test(flavor = "multi_thread")]
async fn names_the_form_of_a_document_that_is_no_key_set() {
    let issuer = Issuer::start().await;
    let jwk = issuer.key().public_jwk();
    let set = json!({"keys": [jwk]}).to_string();
    let utf16: Vec<_> = set.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let certificate = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";
    #[rustfmt::skip]
    let rows: [(&str, Vec<u8>, &str); 6] = [
        ("a JSON string", json!(set).to_string().into(), "a JSON string, so it was encoded as JSON twice"),
        ("UTF-16", utf16, "UTF-16, not UTF-8"),
        ("gzip without a field", vec![0x1f, 0x8b, 8, 0], "gzip, but has no field Content-Encoding"),
        ("PEM", b"-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----".to_vec(), "PEM, not JSON"),
        ("one JWK", jwk.to_string().into(), "one JWK, not a set"),
        ("certificates", json!({"a": certificate}).to_string().into(), "a map of certificates"),
    ];
    for (case, body, words) in rows {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let routes = warp::any().map(move || body.clone());
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        let world = World::of(issuer.clone()).set("AUTH0_JWKS_URI", url);
        let (_, json) = explained(&world, case, &[], &issuer.token().sign());
        assert_eq!(json["code"], "keys_unavailable", "{case}: {json:#}");
        let facts = json["facts"].to_string();
        assert!(facts.contains(words), "{case}: {facts}");
        assert!(
            json["fix"].to_string().contains("AUTH0_JWKS_FILE"),
            "{case}: {json:#}"
        );
    }
}

/// If the only keys are for another algorithm, the advice is the line that allows it.
#[tokio::test(flavor = "multi_thread")]
async fn names_the_algorithm_of_keys_that_are_not_allowed() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let world = World::of(issuer.clone()).set("AUTH0_ALGORITHMS", "ES256");
    let key = SigningKey::generate(Algorithm::ES256);
    let (_, json) = explained(&world, "RS256", &[], &issuer.token().key(&key).sign());
    assert_eq!(json["code"], "keys_unavailable", "{json:#}");
    let what = json["cause"].as_str().unwrap();
    let expected = causes::KEYS_FOR_OTHER_ALGORITHM.what;
    assert!(what.starts_with(expected), "{json:#}");
    assert_eq!(json["settings"], json!(["AUTH0_ALGORITHMS=ES256,RS256"]));
    let facts = json["facts"].to_string();
    let reason = format!("{} is for RS256", issuer.key().kid());
    assert!(facts.contains(&reason), "{facts}");
}

/// The service does not start with such a file, so the message has to name the setting.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_for_another_algorithm_names_the_setting() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let token = issuer.token().claim("iss", "https://a.example/").sign();
    let world = World::named(&issuer, "https://a.example/");
    for (command, code) in [("explain", 78), ("serve", 78), ("check", 1)] {
        let output = world.run(&[command], &token);
        assert_eq!(output.code, Some(code), "{command}: {}", output.stdout);
        let text = format!("{}{}", output.stdout, output.stderr);
        assert!(text.contains("set AUTH0_ALGORITHMS=ES256 if"), "{text}");
    }
    let online = World::of(issuer.clone());
    let path = world.directory.path().join("jwks.json");
    let arguments = ["explain", "--jwks", path.to_str().unwrap()];
    let output = online.run(&arguments, &token);
    assert_eq!(output.code, Some(66), "{}", output.stdout);
    let expected = "is for ES256, which is not an allowed algorithm; set AUTH0_ALGORITHMS=ES256 if";
    assert!(output.stderr.contains(expected), "{}", output.stderr);

    let world = world.set("AUTH0_ALGORITHMS", "ES256");
    let (output, json) = explained(&world, "ES256", &[], &token);
    assert_eq!(output.code, Some(0), "{json:#}");

    let table = "[[issuer]]\nurl = \"https://a.example/\"\njwks_file = \"jwks.json\"\n";
    fs::write(world.directory.path().join("issuers.toml"), table).unwrap();
    let world = world
        .unset("AUTH0_ISSUER")
        .unset("AUTH0_JWKS_FILE")
        .unset("AUTH0_ALGORITHMS")
        .set("ISSUERS_FILE", "issuers.toml");
    let output = world.run(&["explain"], &token);
    let expected = "set algorithms = [\"ES256\"] if";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
}

/// A message about one issuer of the file shouldn't mention another, or a variable that the file
/// replaces.
#[tokio::test(flavor = "multi_thread")]
async fn explains_an_issuer_of_the_file_with_its_own_options() {
    let (good, down) = (Issuer::start().await, server(500, json!({})).await);
    let (closed, locked) = (server(404, json!({})).await, server(401, json!({})).await);
    let fixed = server(403, json!({})).await;
    let left_out = Issuer::with_algorithm(Algorithm::RS256).await;
    let mut weak = left_out.key().public_jwk();
    weak["use"] = json!("enc");
    left_out.publish(json!({"keys": [good.key().public_jwk(), weak]}));
    let world = World::of(good.clone())
        .set("ISSUERS_FILE", "issuers.toml")
        .unset("AUTH0_ISSUER");
    let table = |url: &str, more: &str| format!("[[issuer]]\nurl = \"{url}\"\n{more}\n");
    let file = [
        table(&down, ""),
        table(good.url(), "algorithms = [\"RS256\", \"PS256\"]"),
        table(&closed, ""),
        table(&locked, ""),
        table(&fixed, &format!("jwks_uri = \"{fixed}keys\"")),
        table(left_out.url(), "token_profile = \"any\""),
    ];
    let directory = world.directory.path();
    fs::write(directory.join("issuers.toml"), file.concat()).unwrap();
    fs::write(directory.join("token"), "a-token-that-is-refused").unwrap();
    let of = |url: &str| good.token().claim("iss", url).sign();
    let rows = [
        (
            of(&down),
            causes::ISSUER_UNREACHABLE,
            "or set the option jwks_file to",
        ),
        (
            of(&closed),
            causes::NO_DISCOVERY,
            "if it is right, set the option jwks_uri to the address",
        ),
        (
            of(&locked),
            causes::KEYS_NEED_CREDENTIALS,
            "set fetch_token_file in the issuer's table",
        ),
        (
            of(&fixed),
            causes::KEYS_NEED_CREDENTIALS,
            "or replace the option jwks_uri by jwks_file, with the path of a file",
        ),
    ];
    for (token, cause, words) in rows {
        let (_, json) = explained(&world, words, &[], &token);
        assert_eq!(json["code"], "keys_unavailable", "{json:#}");
        assert_eq!(json["cause"], cause.what, "{json:#}");
        let fix = json["fix"].as_str().unwrap();
        assert!(fix.contains(words), "{fix}");
        assert!(!fix.contains("AUTH0_"), "{fix}");
        // a table must not have both options
        let says_both = fix.contains("set the option jwks_file") && fix.contains("replace");
        assert!(!says_both, "{fix}");
        assert_eq!(json["facts"].as_array().unwrap().len(), 1, "{json:#}");
    }
    let token = left_out.token().sign();
    let (_, json) = explained(&world, "a key left out", &[], &token);
    assert_eq!(json["code"], "algorithm_not_allowed", "{json:#}");
    assert!(
        json["cause"].to_string().contains("The reason: "),
        "{json:#}"
    );
    let token = left_out.token().header("alg", "PS256").sign();
    let (_, json) = explained(&world, "an algorithm of another issuer", &[], &token);
    assert_eq!(json["code"], "algorithm_not_allowed", "{json:#}");
    assert_eq!(
        json["cause"],
        "The token is signed with an algorithm that the option algorithms does not list.",
        "{json:#}"
    );

    let refused = table(&locked, "fetch_token_file = \"token\"");
    fs::write(directory.join("issuers.toml"), refused).unwrap();
    let (_, json) = explained(&world, "a token that is refused", &[], &of(&locked));
    let fix = json["fix"].as_str().unwrap();
    assert!(
        fix.starts_with("It does not accept the token in fetch_token_file"),
        "{fix}"
    );
    let output = world.run(&["check"], "");
    assert!(!output.stdout.contains("set AUTH0_"), "{}", output.stdout);
    assert!(
        output.stdout.contains("jwks_file to a file with its keys"),
        "{}",
        output.stdout
    );
}

/// Anyone can write a tenant's name into a token. Only a valid signature shows that it is the
/// configured tenant under another name.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_not_the_tenant_under_another_name() {
    let world = World::start().await;
    let keys = server(503, json!({})).await;
    let token = |iss: &str| world.issuer.token().claim("iss", iss).sign();
    for (ours, theirs) in [
        ("https://tenant.eu.auth0.com/", "https://login.example.com/"),
        ("https://login.example.com/", "https://tenant.eu.auth0.com/"),
    ] {
        let world = World::of(world.issuer.clone())
            .set("AUTH0_ISSUER", ours)
            .set("AUTH0_JWKS_URI", keys.clone());
        let json = refuses(
            &world,
            ours,
            &token(theirs),
            "unknown_issuer",
            causes::OTHER_TENANT,
        );
        assert_eq!(json["settings"], json!([]), "{json:#}");
    }
}
