//! `/readyz` and the log give the same reason as `check`, and do not show more of the issuer's
//! response.

use reqwest::Client;
use serde_json::{Value, json};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer},
};

use super::{Break, Vars, discovery::over_tls};
use crate::support::{process::Process, world::World};

const LONG: usize = 420_000;

/// A key set with very long strings that begin with a bidi override.
fn grotesque() -> Value {
    // Five of these fit into the 512 KiB that a key set may have
    let long = format!("\u{202e}{}", "x".repeat(80_000));
    json!({"keys": [
        {"kty": long, "crv": long, "alg": long, "kid": long},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": long},
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_only_part_of_long_issuer_texts() {
    let world = World::start().await;
    world.issuer.publish(grotesque());
    for arguments in [&["check"][..], &["check", "--json"]] {
        let output = world.run(arguments, "");
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        assert!(output.stdout.len() < 20_000, "{}", output.stdout.len());
        assert!(!output.stdout.contains('\u{202e}'), "{}", output.stdout);
        assert!(output.stdout.contains("xxxx"), "{}", output.stdout);
    }
    world.issuer.wrong_issuer("y".repeat(LONG));
    for arguments in [&["check"][..], &["check", "--json"]] {
        let output = world.run(arguments, "");
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        assert!(output.stdout.len() < 20_000, "{}", output.stdout.len());
        assert!(output.stdout.contains("yyyy"), "{}", output.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hides_queries_of_addresses() {
    let world = World::start().await;
    let address = format!("{}?code=hunter2", world.issuer.jwks_uri());
    let world = world.set("AUTH0_JWKS_URI", address);
    for fault in [None, Some(Fault::Status(500)), Some(Fault::Html)] {
        world.issuer.recover();
        if let Some(fault) = fault {
            world.issuer.fail_jwks(fault);
        }
        for arguments in [&["check"][..], &["check", "--json"]] {
            let output = world.run(arguments, "");
            let all = output.stdout + &output.stderr;
            assert!(!all.contains("hunter2"), "{all}");
            assert!(all.contains("jwks.json?"), "{all}");
        }
    }
}

/// Starts a service with these variables, waits for its first failed fetch, and returns the body of
/// `/readyz`, its length in bytes and the log so far.
async fn not_ready(vars: Vars<'_>) -> (Value, usize, String) {
    let own = [("LISTEN", "127.0.0.1:0"), ("NO_COLOR", "1")];
    let mut service = Process::start(&["serve"], &[&own, vars].concat());
    let mut log = service.logged(|line| line.contains("listening"));
    let listening = log.last().unwrap();
    let address = listening.split("address=").nth(1).unwrap().to_owned();
    let client = Client::builder().no_proxy().build().unwrap();
    loop {
        let ready = client.get(format!("http://{address}/readyz"));
        let text = ready.send().await.unwrap().text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        if !body["issuers"][0]["last_error"].is_null() {
            if !log.iter().any(|line| line.contains("key set")) {
                log.extend(service.logged(|line| line.contains("key set")));
            }
            return (body, text.len(), log.join("\n"));
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_has_a_word_and_the_log_has_details() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let secret = format!("{}?code=hunter2", issuer.jwks_uri());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}/", taken.local_addr().unwrap());
    drop(taken);
    let audience = ("AUTH0_API_AUDIENCE", issuer.audience());
    let algorithm = ("AUTH0_ALGORITHMS", "ES256");
    let ours = ("AUTH0_ISSUER", issuer.url());
    let there = ("AUTH0_JWKS_URI", &*secret);
    #[rustfmt::skip]
    let rows: [(Break, Vars<'_>, &str, &str); 9] = [
        (|i| i.fail_jwks(Fault::Status(503)), &[ours, there], "status", "answered 503"),
        (|i| i.fail_jwks(Fault::TooLarge), &[ours, there], "too_large", "more than 512 KiB"),
        (|i| i.fail_jwks(Fault::Redirect("https://a.example/".into())), &[ours, there], "redirect", "redirect"),
        (|i| i.fail_jwks(Fault::Html), &[ours, there], "no_key_set", "not a JSON object"),
        (|i| i.fail_jwks(Fault::EmptySet), &[ours, there], "no_keys", "an empty key set"),
        (|i| i.hang(), &[ours, there, ("AUTH0_JWKS_TIMEOUT", "100ms")], "timeout", "within 100ms"),
        (|i| i.wrong_issuer("z".repeat(LONG)), &[ours], "wrong_issuer", "zzzz"),
        (|i| i.fail_discovery(Fault::Html), &[ours], "no_metadata", "metadata"),
        (|_| {}, &[("AUTH0_ISSUER", &nowhere)], "connect", "cannot be reached"),
    ];
    for (broken, vars, word, detail) in rows {
        issuer.recover();
        broken(&issuer);
        let vars = [&[audience, algorithm], vars].concat();
        let (body, length, log) = not_ready(&vars).await;
        assert_eq!(body["issuers"][0]["last_error"], word);
        assert!(length < 500, "{word}: {length}");
        assert!(log.contains(detail), "{word}: {log}");
        assert!(log.contains(&format!("reason={word} ")), "{word}: {log}");
        assert!(
            !log.contains("hunter2") && log.len() < 4000,
            "{word}: {log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_part_of_the_kid_of_a_left_out_key() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    // The longest `kid` that the service reads. A longer one isn't shown at all.
    let kid = "x".repeat(1024);
    let broken = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": kid});
    issuer.publish(json!({"keys": [broken, issuer.key().public_jwk()]}));
    let vars = [
        ("AUTH0_ISSUER", issuer.url()),
        ("AUTH0_API_AUDIENCE", issuer.audience()),
        ("LISTEN", "127.0.0.1:0"),
    ];
    let mut service = Process::start(&["serve"], &vars);
    let log = service.logged(|line| line.contains("key set fetched"));
    let left_out = log.iter().filter(|line| line.contains("key skipped"));
    let left_out: Vec<_> = left_out.collect();
    assert!(!left_out.is_empty(), "{log:?}");
    for line in left_out {
        assert!(line.contains("xxxx") && line.len() < 400, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn untrusted_certificate_is_one_log_line() {
    let world = World::start().await;
    let url = over_tls(&world).await;
    let vars = [
        ("AUTH0_ISSUER", &*url),
        ("AUTH0_API_AUDIENCE", world.issuer.audience()),
    ];
    let (body, _, log) = not_ready(&vars).await;
    assert_eq!(body["issuers"][0]["last_error"], "tls");
    assert!(log.contains("not trusted here"), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
}
