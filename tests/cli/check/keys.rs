//! `check` and the issuer's keys: keys that are left out, algorithms that the issuer offers,
//! forms of a key file, and the bytes of a response.

use std::{fs, io::Write};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use super::{assert_finds, checked, findings, site};
use crate::support::world::{CommandOutput, World};

pub(super) fn weak() -> Value {
    let mut jwk = SigningKey::generate(Algorithm::RS256).public_jwk();
    let modulus = jwk["n"].as_str().unwrap();
    // Cut the modulus to 128 bytes. Its first byte stays, and with it the highest bit, so we get
    // exactly 1024 bits.
    let cut = modulus[..170].to_owned() + "E";
    jwk["n"] = json!(cut);
    jwk["kid"] = json!("weak");
    jwk
}

#[tokio::test(flavor = "multi_thread")]
async fn harmless_oddities_are_notes() {
    let world = World::start().await;
    let elliptic = SigningKey::generate(Algorithm::ES256);
    world.issuer.publish_key(&elliptic);
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let line = format!(
        "plain key: {}: EC P-256 ES256 (not for an algorithm in AUTH0_ALGORITHMS)",
        elliptic.kid()
    );
    let findings = findings(&output, "Issuer ");
    assert!(findings.contains(&line), "{findings:#?}");
    assert!(
        findings.contains(&"good keys: 1 of 2 for RS256 ()".to_owned()),
        "{findings:#?}"
    );
}

/// A new RSA key with this `kid`, after `change`.
fn jwk(kid: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut jwk = SigningKey::generate(Algorithm::RS256).public_jwk();
    jwk["kid"] = json!(kid);
    change(&mut jwk);
    jwk
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_each_left_out_key_with_its_reason() {
    let world = World::start().await;
    let text = |jwk: &Value, member: &str| jwk[member].as_str().unwrap().to_owned();
    let without = |jwk: &mut Value, members: &[&str]| {
        for member in members {
            jwk.as_object_mut().unwrap().remove(*member);
        }
    };
    let set = json!({"keys": [
        world.issuer.key().public_jwk(),
        jwk("padded", |jwk| jwk["n"] = json!(text(jwk, "n") + "=")),
        jwk("standard", |jwk| jwk["n"] = json!(format!("+{}", &text(jwk, "n")[1..]))),
        jwk("certificate", |jwk| {
            without(jwk, &["n", "e"]);
            jwk["x5c"] = json!(["AAAA"]);
        }),
        jwk("private", |jwk| jwk["d"] = json!("")),
        jwk("encryption", |jwk| jwk["use"] = json!("enc")),
        jwk(".NET", |jwk| {
            jwk["oth"] = json!([]);
            jwk["x5c"] = json!([]);
            jwk["key_ops"] = json!(null);
        }),
        jwk("null", |jwk| {
            jwk["alg"] = json!(null);
            jwk["use"] = json!(null);
            jwk["d"] = json!(null);
        }),
    ]});
    world.issuer.publish(set);
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let findings = findings(&output, "Issuer ");
    #[rustfmt::skip]
    let rows = [
        ("note key: padded: ", "(cannot be used: `n` ends in `=`)"),
        ("note key: standard: ", "(cannot be used: `n` has `+` or `/`, which are standard base64 and not base64url)"),
        ("note key: certificate: ", "(cannot be used: `x5c` without `n` and `e`)"),
        ("note key: private: ", "(cannot be used: the private member `d` is present)"),
        ("note key: encryption: ", "(cannot be used: `use` is `enc`, not `sig`)"),
        ("good key: .NET: ", "()"),
        ("good key: null: ", "()"),
        ("good keys: ", "3 of 8 for RS256"),
    ];
    for (name, more) in rows {
        assert_finds(name, &findings, &[name, more]);
    }
    let shown = world.run(&["check"], "").stdout;
    assert!(shown.contains("padded: RSA"), "{shown}");
}

/// With the line that `check` recommends, the service accepts the tokens.
#[tokio::test(flavor = "multi_thread")]
async fn suggests_the_line_that_allows_an_offered_algorithm() {
    let both = World::start().await;
    both.issuer
        .publish_key(&SigningKey::generate(Algorithm::ES384));
    let edwards = World::of(Issuer::with_algorithm(Algorithm::EdDSA).await);
    #[rustfmt::skip]
    let rows = [
        ("another key", both, 0, "note algorithms: offered by the issuer, but not configured: ES384", "RS256,ES384"),
        ("no other key", edwards, 1, "note algorithms: offered by the issuer, but not configured: EdDSA", "EdDSA"),
    ];
    for (case, world, code, text, line) in rows {
        let output = checked(&world);
        assert_eq!(output.code, Some(code), "{case}: {}", output.stdout);
        let advice = format!("(to accept: AUTH0_ALGORITHMS={line})");
        assert_finds(case, &findings(&output, "Issuer "), &[text, &advice]);
        let token = world.issuer.token().sign();
        let world = world.set("AUTH0_ALGORITHMS", line);
        let output = checked(&world);
        assert_eq!(output.code, Some(0), "{case}: {}", output.stdout);
        assert!(
            !output.stdout.contains("to accept"),
            "{case}: {}",
            output.stdout
        );
        let explained = world.run(&["explain"], &token);
        assert_eq!(explained.code, Some(0), "{case}: {}", explained.stdout);
    }
}

/// A key without `alg` is for every allowed algorithm of its type. And issuers list all algorithms
/// of ID tokens, most of which have no key.
#[tokio::test(flavor = "multi_thread")]
async fn recommends_only_algorithms_that_keys_need() {
    let without_alg = |jwk: &mut Value| {
        jwk.as_object_mut().unwrap().remove("alg");
    };
    let rsa = jwk("rsa", without_alg);
    let mut elliptic = SigningKey::generate(Algorithm::ES256).public_jwk();
    without_alg(&mut elliptic);
    #[rustfmt::skip]
    let rows = [
        ("a key without alg", vec![rsa.clone()], &["RS256"][..], "PS256", None),
        ("two without alg", vec![rsa.clone(), elliptic.clone()], &["RS256"], "PS256", Some("PS256,ES256")),
        ("algorithms without a key", vec![rsa.clone()], &["PS384", "RS384", "EdDSA", "ES256", "HS256"], "RS256", None),
        ("a key for none of them", vec![elliptic], &["PS384", "ES256"], "RS256,PS384", Some("PS384,ES256")),
    ];
    for (case, keys, offered, algorithms, line) in rows {
        let offered = json!(offered);
        let url = site(move |url| {
            let metadata = json!({
                "issuer": url,
                "jwks_uri": format!("{url}/jwks"),
                "id_token_signing_alg_values_supported": offered,
            });
            let body = |json: Value| json.to_string().into_bytes();
            vec![
                ("/.well-known/openid-configuration", 200, "", body(metadata)),
                ("/jwks", 200, "", body(json!({"keys": keys}))),
            ]
        })
        .await;
        let world = World::start().await.set("AUTH0_ISSUER", &*url);
        let output = checked(&world.set("AUTH0_ALGORITHMS", algorithms));
        let mut found = findings(&output, "Issuer ").into_iter();
        let found = found.find_map(|finding| {
            let (_, line) = finding.split_once("AUTH0_ALGORITHMS=")?;
            Some(line.trim_end_matches(')').to_owned())
        });
        assert_eq!(found.as_deref(), line, "{case}");
    }
}

/// Issuers may offer an algorithm under its name from RFC 9864. Removing it from the configuration
/// would reject every token.
#[tokio::test(flavor = "multi_thread")]
async fn recognizes_offered_algorithms_by_both_names() {
    let key = SigningKey::generate(Algorithm::ES256).public_jwk();
    let url = site(move |url| {
        let metadata = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/jwks"),
            "id_token_signing_alg_values_supported": ["Ed25519", "ESP256"],
        });
        let body = |json: Value| json.to_string().into_bytes();
        vec![
            ("/.well-known/openid-configuration", 200, "", body(metadata)),
            ("/jwks", 200, "", body(json!({"keys": [key]}))),
        ]
    })
    .await;
    for (algorithms, missing) in [
        ("ES256,EdDSA", None),
        (
            "RS256,ES256,EdDSA",
            Some("note algorithms: configured, but not offered by the issuer: RS256 ()"),
        ),
    ] {
        let world = World::start().await.set("AUTH0_ISSUER", &*url);
        let output = checked(&world.set("AUTH0_ALGORITHMS", algorithms));
        let mut found = findings(&output, "Issuer ").into_iter();
        let found = found.find(|finding| finding.contains("not offered"));
        assert_eq!(found.as_deref(), missing, "{algorithms}");
    }
}

fn pem(jwk: &Value) -> String {
    const SPKI: [u8; 27] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    let number = |member: &str| {
        let text = jwk[member].as_str().unwrap();
        BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    let der = [&SPKI[..], &number("x"), &number("y")].concat();
    let contents = BASE64_STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{contents}\n-----END PUBLIC KEY-----\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_every_form_of_key_file() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let (jwk, token) = (issuer.key().public_jwk(), issuer.token().sign());
    let other = SigningKey::generate(Algorithm::ES384).public_jwk();
    let mut bare = jwk.clone();
    bare.as_object_mut().unwrap().remove("kid");
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    #[rustfmt::skip]
    let rows = [
        ("a key set", json!({"keys": [jwk]}).to_string(), 0, "good keys: 1 of 1"),
        ("one JWK", jwk.to_string(), 0, "good keys: 1 of 1"),
        ("one JWK without a kid", bare.to_string(), 0, "good keys: 1 of 1"),
        ("an array", json!([other, jwk]).to_string(), 0, "good keys: 1 of 2"),
        ("with a byte order mark", format!("\u{feff}{jwk}"), 0, "good keys: 1 of 1"),
        ("PEM", pem(&jwk), 0, "good keys: 1 of 1"),
        ("PEM beside a certificate", pem(&jwk) + certificate, 0, "cannot be used: a certificate, not a public key"),
        ("a certificate", certificate.to_owned(), 1, "bad keys: 0 of 1"),
        ("an empty object", "{}".to_owned(), 1, "a JSON object without a member \"keys\""),
        ("a key for SSH", "ssh-ed25519 AAAA".to_owned(), 1, "a public key for SSH (ssh-keygen -e -m PKCS8"),
        ("an empty file", String::new(), 1, "it is empty; a JWK set, a JWK"),
        ("an empty set", r#"{"keys":[]}"#.to_owned(), 1, "keys: an empty key set"),
        ("another file", "Not found".to_owned(), 1, "not a JWK set, a JWK, an array of JWKs, or public keys in PEM"),
        ("two keys without a kid", pem(&jwk) + &pem(&SigningKey::generate(Algorithm::ES256).public_jwk()), 1, "bad kid: several keys of one kind, and none has a kid"),
    ];
    for (case, file, code, finding) in rows {
        let world = World::of(issuer.clone())
            .set("AUTH0_ALGORITHMS", "ES256")
            .set("AUTH0_JWKS_FILE", "keys");
        fs::write(world.directory.path().join("keys"), file).unwrap();
        let output = checked(&world);
        assert_eq!(output.code, Some(code), "{case}: {}", output.stdout);
        assert_finds(case, &findings(&output, "Issuer "), &[finding]);
        if code == 0 {
            let explained = world.run(&["explain"], &token);
            assert_eq!(explained.code, Some(0), "{case}: {}", explained.stdout);
        }
    }
}

/// `AUTH0_ALGORITHMS` applies to all issuers, so the recommended value should keep what the others
/// need.
#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_algorithms_of_other_issuers() {
    let rsa = Issuer::with_algorithm(Algorithm::RS256).await;
    let elliptic = Issuer::with_algorithm(Algorithm::ES256).await;
    let both = format!("{},{}", rsa.url(), elliptic.url());
    let world = World::of(rsa).set("AUTH0_ISSUER", both);
    let output = checked(&world);
    let line = "to accept: AUTH0_ALGORITHMS=RS256,ES256";
    let finds = |output: &CommandOutput| output.stdout.contains(line);
    assert!(finds(&output), "{}", output.stdout);
    let output = checked(&world.set("AUTH0_ALGORITHMS", "RS256,ES256"));
    assert_eq!(output.code, Some(0), "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn warns_about_two_keys_with_one_kid() {
    let world = World::start().await;
    let own = world.issuer.key().public_jwk();
    let kid = own["kid"].as_str().unwrap().to_owned();
    world
        .issuer
        .publish(json!({"keys": [own, jwk(&kid, |_| {})]}));
    let output = checked(&world);
    let line = format!("note kid: two different keys have the kid \"{kid}\"");
    assert_finds("two", &findings(&output, "Issuer "), &[&line]);
    world.issuer.publish(json!({"keys": [own, own]}));
    assert!(!checked(&world).stdout.contains("two different keys"));
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_compressed_answers_and_byte_order_marks() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    let keys = json!({"keys": [issuer.key().public_jwk()]}).to_string();
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let marked = format!("\u{feff}{keys}");
    let bomb = gzip(&" ".repeat(32 * 1024 * 1024));
    #[rustfmt::skip]
    let rows = [
        ("plain", "", keys.clone().into_bytes(), 0, "good keys: 1 of 1", ""),
        ("identity", "identity", keys.clone().into_bytes(), 0, "good keys: 1 of 1", ""),
        ("gzip", "gzip", gzip(&keys), 0, "good keys: 1 of 1", ""),
        ("a byte order mark", "", marked.clone().into_bytes(), 0, "good keys: 1 of 1", ""),
        ("both", "gzip", gzip(&marked), 0, "good keys: 1 of 1", ""),
        ("brotli", "br", keys.clone().into_bytes(), 1, "in the content coding \"br\"", "content_coding"),
        ("not gzip", "gzip", keys.clone().into_bytes(), 1, "is not gzip", "content_coding"),
        ("a decompression bomb", "gzip", bomb, 1, "more than 512 KiB", "too_large"),
    ];
    for (case, coding, body, code, finding, reason) in rows {
        let url = site(|_| vec![("/keys", 200, coding, body)]).await;
        let world = World::of(issuer.clone()).set("AUTH0_JWKS_URI", format!("{url}/keys"));
        let output = checked(&world);
        assert_eq!(output.code, Some(code), "{case}: {}", output.stdout);
        assert_finds(case, &findings(&output, "Issuer "), &[finding]);
        let json = output.json();
        let failed = json["sections"][2]["findings"].as_array().unwrap().iter();
        let reasons: String = failed.filter_map(|one| one["reason"].as_str()).collect();
        assert_eq!(reasons, reason, "{case}");
    }
}
