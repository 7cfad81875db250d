//! The format of the output, how much of a token it shows, and which servers the command
//! contacts.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tokio::{io::AsyncReadExt, net::TcpListener};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, TokenBuilder},
    service::api::errors::{Cause, causes},
};

use super::{Break, refuses};
use crate::support::world::{World, with_date};

#[tokio::test(flavor = "multi_thread")]
async fn distinguishes_a_wrong_clock_from_a_wrong_token() {
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
        let output = world.run(&["explain"], &token);
        assert!(output.stdout.contains(fact), "{case}: {}", output.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_set_file_avoids_all_requests() {
    let world = World::start().await;
    let file = world.directory.path().join("jwks.json");
    let jwks = json!({"keys": [world.issuer.key().public_jwk()]});
    fs::write(&file, jwks.to_string()).unwrap();
    let good = world.issuer.token().sign();
    world.issuer.rotate();
    let output = world.run(&["explain", "--jwks", "jwks.json"], &good);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let late = world.issuer.token().expired().sign();
    let output = world.run(&["explain", "--jwks", "jwks.json", &late], "");
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let asked = world.issuer.requests();
    assert_eq!((asked.discovery, asked.jwks), (0, 0));

    fs::write(&file, "{}").unwrap();
    let output = world.run(&["explain", "--jwks", "jwks.json"], &good);
    let line = "--jwks: jwks.json: a JSON object without a member \"keys\"\n";
    assert_eq!((output.code, &*output.stderr), (Some(66), line));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_set_file_belongs_to_the_issuer_of_the_token() {
    let issuers = [
        Issuer::with_algorithm(Algorithm::RS256).await,
        Issuer::with_algorithm(Algorithm::RS256).await,
        Issuer::with_algorithm(Algorithm::RS256).await,
    ];
    let [one, other, third] = &issuers;
    let world = World::of(one.clone())
        .set("ISSUERS_FILE", "issuers.toml")
        .unset("AUTH0_ISSUER");
    let table = |url: &str, more: &str| format!("[[issuer]]\nurl = \"{url}\"\n{more}\n");
    let file = [
        table(one.url(), ""),
        table(other.url(), &format!("jwks_uri = \"{}keys\"", other.url())),
        table(third.url(), "algorithms = [\"ES256\"]"),
    ];
    let directory = world.directory.path();
    fs::write(directory.join("issuers.toml"), file.concat()).unwrap();
    let explain = |token: &str| world.run(&["explain", "--json", "--jwks", "jwks.json"], token);
    for (at, issuer) in [one, other].into_iter().enumerate() {
        let jwks = json!({"keys": [issuer.key().public_jwk()]});
        fs::write(directory.join("jwks.json"), jwks.to_string()).unwrap();
        for (of, named) in [one, other].into_iter().enumerate() {
            let output = explain(&named.token().sign());
            assert!(!output.stdout.is_empty(), "{}", output.stderr);
            let json = output.json();
            assert_eq!(json["accepted"], at == of, "{json:#}");
            assert!(at == of || json["code"] == "unknown_key", "{json:#}");
        }
    }
    let foreign = one.token().claim("iss", "https://other.example/").sign();
    let nameless = one.token().without("iss").sign();
    for (case, token) in [
        ("a foreign issuer", &*foreign),
        ("no issuer", &nameless),
        ("no JWT", "Bearer opaque"),
    ] {
        let output = explain(token);
        assert_eq!(output.code, Some(66), "{case}: {}", output.stderr);
        let line = "--jwks: jwks.json: several issuers are configured, and the token names none";
        assert!(output.stderr.starts_with(line), "{case}: {}", output.stderr);
    }
    for issuer in &issuers {
        let asked = issuer.requests();
        assert_eq!((asked.discovery, asked.jwks), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn escapes_tokens_for_the_terminal() {
    let world = World::start().await;
    let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\r\n";
    let token = world.issuer.token().subject(evil).audience(evil).kid(evil);
    let token = token.claim("iss", evil).sign();
    for arguments in [&["explain"][..], &["explain", "--json"]] {
        let output = world.run(arguments, &token);
        assert_eq!(output.code, Some(1));
        let hostile = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!output.stdout.contains(hostile), "{:?}", output.stdout);
        assert!(output.stdout.contains("owned"), "{}", output.stdout);
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
    let output = world.run(&["explain"], &token);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stdout.contains("xxxx"), "{}", output.stdout);
    assert!(output.stdout.contains("… 40 more"), "{}", output.stdout);
    for line in output.stdout.lines() {
        assert!(line.chars().count() < 400, "{line}");
    }

    let refusal = json!({"error": long(), "error_description": long()});
    let output = world.run(&["explain"], &refusal.to_string());
    assert_eq!(output.code, Some(66), "{}", output.stdout);
    assert!(output.stderr.len() < 400, "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_steps_in_local_time() {
    let world = World::start().await;
    let token = world
        .issuer
        .token()
        .claim("exp", 1_700_000_000)
        .claim("iat", 1_699_990_000);
    let output = world.run(&["explain"], &token.sign());
    let exp = output
        .stdout
        .lines()
        .find(|line| line.contains("✗"))
        .unwrap();
    // `TZ` above is one hour ahead of UTC
    assert!(
        exp.starts_with("  ✗ exp           2023-11-14 23:13:20 +01:00, "),
        "{exp}"
    );
    assert!(
        exp.contains(" d ") && exp.contains(" ago   expected: after "),
        "{exp}"
    );
    assert!(
        output
            .stdout
            .contains("\nRejected: 401 token_expired. The access token has expired.\n")
    );
    assert!(
        output
            .stdout
            .contains(&format!("\nTo fix it: {}\n", causes::EXPIRED.fix))
    );
    assert!(
        output.stdout.contains("  ✓ signature "),
        "{}",
        output.stdout
    );
    assert_eq!(output.stderr, "");
}

/// A server that only listens: its address, and all bytes it has received so far.
async fn silent_server() -> (String, Arc<Mutex<Vec<u8>>>) {
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
async fn sends_the_token_nowhere_and_contacts_no_address_in_it() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let ((ours, heard), (other, silence)) = (silent_server().await, silent_server().await);
    let token = issuer.token().claim("iss", &other).expired();
    let token = token
        .header("jku", format!("{other}keys"))
        .header("x5u", &other);
    let token = token.claim("jwks_uri", &other).sign();
    let world = World::of(issuer).set("AUTH0_ISSUER", ours);
    let output = world.run(&["explain"], &token);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
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
