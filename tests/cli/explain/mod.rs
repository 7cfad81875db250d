//! `explain` says why a credential is rejected, and how to fix it.
//!
//! The tests run the binary as its users would, with the configuration in the environment and the
//! token on standard input, and each row breaks just one thing. There's a file for each kind of
//! mistake:
//!
//! | kind | file |
//! |---|---|
//! | the verdict differs from the service's | `verdict.rs`; a property test is in `src/service/cli/explain/tests.rs` |
//! | a recommended setting does not start the service | [`explained`] tries each setting; `settings.rs` reads every text |
//! | a key was left out, or discovery fails | `keys.rs` |
//! | mistakes that are typical of an issuer | `issuers.rs` |
//! | the issuer has another name or address | `names.rs` |
//! | pasted text, and variables that were not filled in | `pasted.rs` |
//! | other mistakes in tokens, configurations and grants | this file, `configuration.rs`, `policies.rs` |
//! | the output shows too much, or is not readable | `output.rs` |

mod configuration;
mod issuers;
mod keys;
mod names;
mod output;
mod pasted;
mod policies;
mod settings;
mod verdict;

use serde_json::{Value, json};
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey, TokenBuilder},
    service::api::errors::{Cause, Page, causes},
};

use crate::support::world::{CommandOutput, World};

/// Explains a text, and also checks that the service starts with the recommended settings and that
/// they actually change the verdict.
fn explained(world: &World, case: &str, arguments: &[&str], input: &str) -> (CommandOutput, Value) {
    let arguments = [&["explain", "--json"], arguments].concat();
    let output = world.run(&arguments, input);
    let wrong = || panic!("{case}: {}{}", output.stdout, output.stderr);
    if output.stdout.is_empty() {
        wrong();
    }
    let json = output.json();
    assert_eq!(
        output.code,
        Some(i32::from(json["accepted"] == false)),
        "{case}: {json:#}"
    );
    let lines = json["settings"].as_array().unwrap().iter();
    let lines: Vec<_> = lines
        .map(|line| line.as_str().unwrap().split_once('=').unwrap())
        .collect();
    if !lines.is_empty() {
        let mut command = world.command(&["explain", "--json", input]);
        let again = command.envs(lines.iter().copied()).output().unwrap();
        let stderr = String::from_utf8(again.stderr).unwrap();
        assert!(
            matches!(again.status.code(), Some(0 | 1)),
            "{case}: {lines:?}: {stderr}"
        );
        let changed: Value = serde_json::from_slice(&again.stdout).unwrap();
        let verdict = |json: &Value| (json["code"].clone(), json["cause"].clone());
        assert_ne!(
            verdict(&changed),
            verdict(&json),
            "{case}: {lines:?}: {changed:#}"
        );
    }
    (output, json)
}

/// Checks the code, the cause and the fix of a refusal.
fn refuses(world: &World, case: &str, input: &str, code: &str, expected: Cause) -> Value {
    let (_, json) = explained(world, case, &[], input);
    assert_eq!(json["code"], code, "{case}: {json:#}");
    assert_eq!(json["fix"], expected.fix, "{case}: {json:#}");
    let what = json["cause"].as_str().unwrap();
    assert!(what.starts_with(expected.what), "{case}: {json:#}");
    assert_eq!(json["accepted"], false, "{case}");
    let page = Page::of(code).unwrap();
    assert!(
        page.causes.contains(&expected),
        "{case}: not on the page of {code}"
    );
    let steps = json["steps"].as_array().unwrap();
    let first = steps.iter().find(|step| step["holds"] == false);
    assert_eq!(first.unwrap()["code"], code, "{case}: {json:#}");
    json
}

/// Checks the rejection of a token whose issuer's keys cannot be fetched: the cause, that the
/// advice contains `words`, and that `check` gives the same advice.
fn lacks_keys(world: &World, case: &str, input: &str, expected: Cause, words: &str) -> Value {
    let (_, json) = explained(world, case, &[], input);
    assert_eq!(json["code"], "keys_unavailable", "{case}: {json:#}");
    let what = json["cause"].as_str().unwrap();
    assert!(what.starts_with(expected.what), "{case}: {json:#}");
    let page = Page::of("keys_unavailable").unwrap();
    assert!(page.causes.contains(&expected), "{case}: not on the page");
    let fix = json["fix"].as_str().unwrap();
    assert!(fix.contains(words), "{case}: {fix}");
    let checked = world.run(&["check", "--json"], "").json();
    let sections = checked["sections"].as_array().unwrap().iter();
    let findings = sections.flat_map(|section| section["findings"].as_array().unwrap());
    let failures = findings.filter(|finding| finding["reason"].is_string());
    for failure in failures {
        // If the issuer has another name, only `check` looks for the address of its keys, so its
        // advice differs.
        if failure["reason"] != "wrong_issuer" {
            let more = failure["more"].as_str().unwrap();
            assert!(fix[1..].starts_with(&more[1..]), "{case}: {fix}: {more}");
        }
    }
    json
}

type Break = fn(TokenBuilder) -> TokenBuilder;

#[tokio::test(flavor = "multi_thread")]
async fn explains_each_broken_token() {
    let world = World::start().await;
    #[rustfmt::skip]
    let rows: [(&str, Break, &str, Cause); 53] = [
        ("an ID token, by its nonce", |t| t.audience("kZ1abcdefghijklmnopqrstuvwxyz012").claim("nonce", "n"), "wrong_audience", causes::ID_TOKEN),
        ("an ID token, by its profile claims", |t| t.audience("kZ1abcdefghijklmnopqrstuvwxyz012").claim("email", "a@example.com"), "wrong_audience", causes::ID_TOKEN),
        ("for /userinfo only", |t| t.audience("https://tenant.eu.auth0.com/userinfo"), "wrong_audience", causes::USERINFO_ONLY),
        ("for the Management API of Auth0", |t| t.audience("https://tenant.eu.auth0.com/api/v2/"), "wrong_audience", causes::MANAGEMENT_API),
        ("an audience with an extra trailing slash", |t| t.audience("https://api.example.com/"), "wrong_audience", causes::AUDIENCE_SPELLING),
        ("an audience in capitals", |t| t.audience("https://API.example.com"), "wrong_audience", causes::AUDIENCE_SPELLING),
        ("for another API", |t| t.audience("https://other.example.com"), "wrong_audience", causes::OTHER_API),
        ("no aud", |t| t.without("aud"), "missing_claim", causes::NO_AUDIENCE),
        ("no iss", |t| t.without("iss"), "missing_claim", causes::NO_ISSUER),
        ("no exp", |t| t.without("exp"), "missing_claim", causes::NO_EXPIRY),
        ("expired", TokenBuilder::expired, "token_expired", causes::EXPIRED),
        ("nbf in the future", |t| t.not_before(3600), "token_not_yet_valid", causes::NOT_YET),
        ("in milliseconds", |t| t.claim("iat", 1_795_000_000_000_u64).claim("exp", 1_795_003_600_000_u64), "token_not_yet_valid", causes::MILLISECONDS),
        ("a date as text", |t| t.claim("exp", "2030-01-01"), "invalid_claim", causes::WRONG_TYPE),
        ("an API with HS256", |t| t.header("alg", "HS256"), "algorithm_not_allowed", causes::HS256_API),
        ("an API with PS256", |t| t.algorithm(Algorithm::PS256), "algorithm_not_allowed", causes::OTHER_ALGORITHM),
        ("an API with HS512", |t| t.header("alg", "HS512"), "algorithm_not_allowed", causes::UNSUPPORTED_ALGORITHM),
        ("an API with ES256K", |t| t.header("alg", "ES256K"), "algorithm_not_allowed", causes::UNSUPPORTED_ALGORITHM),
        ("no algorithm", |t| t.without_header("alg"), "algorithm_not_allowed", causes::UNSUPPORTED_ALGORITHM),
        ("unsigned", |t| t.header("alg", "none"), "algorithm_not_allowed", causes::UNSIGNED),
        ("a logout token", |t| t.typ("logout+jwt"), "wrong_token_type", causes::LOGOUT_TOKEN),
        ("a DPoP proof", |t| t.typ("dpop+jwt"), "wrong_token_type", causes::DPOP_PROOF),
        ("a refresh token, by its claim", |t| t.claim("token_use", "refresh_token"), "wrong_token_type", causes::OTHER_KIND),
        ("another type", |t| t.typ("secevent+jwt"), "wrong_token_type", causes::OTHER_TYPE),
        ("the type JOSE, without the strict profile", |t| t.typ("JOSE"), "wrong_token_type", causes::OTHER_TYPE),
        ("a kid that is null", |t| t.header("kid", json!(null)), "token_malformed", causes::KID_NOT_TEXT),
        ("a kid that is a number", |t| t.header("kid", 5), "token_malformed", causes::KID_NOT_TEXT),
        ("roles and no scopes", |t| t.audience("https://other.example.com").claim("roles", ["a"]), "wrong_audience", causes::OTHER_API),
        ("an extension", |t| t.header("crit", json!(["exp"])), "unsupported_critical_header", causes::EXTENSION),
        ("bound by DPoP", |t| t.claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})), "token_bound", causes::DPOP_BOUND),
        ("bound by mutual TLS", |t| t.claim("cnf", json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})), "token_bound", causes::MTLS_BOUND),
        ("bound otherwise", |t| t.claim("cnf", json!({"kid": "a"})), "token_bound", causes::BOUND),
        ("a key that was rotated out", |t| t.kid("gone"), "unknown_key", causes::ROTATED),
        ("a development issuer restarted", |t| { let key = SigningKey::generate(Algorithm::RS256); let kid = kid_of(&t); t.key(&key).kid(&kid) }, "bad_signature", causes::REPLACED_KEY),
        ("another name of the issuer", |t| t.claim("iss", "https://login.example.com/"), "unknown_issuer", causes::SAME_KEYS),
        ("another tenant", |t| t.claim("iss", "https://other.eu.auth0.com/").key(&SigningKey::generate(Algorithm::RS256)), "unknown_issuer", causes::OTHER_TENANT),
        ("another issuer on this machine", |t| t.claim("iss", "http://localhost:9/").kid("gone"), "unknown_issuer", causes::OTHER_PORT),
        ("an issuer without TLS on another machine", |t| t.claim("iss", "http://keycloak:8080/realms/a").kid("gone"), "unknown_issuer", causes::OTHER_TENANT),
        ("an unknown issuer and an unknown key", |t| t.claim("iss", "https://other.eu.auth0.com/").kid("gone"), "unknown_issuer", causes::OTHER_TENANT),
        ("an issuer without its trailing slash", |t| { let issuer = issuer_of(&t); t.claim("iss", issuer.trim_end_matches('/')) }, "unknown_issuer", causes::SLASH),
        ("an issuer with a space", |t| { let issuer = issuer_of(&t); t.claim("iss", issuer + " ") }, "unknown_issuer", causes::ISSUER_BLANK),
        ("an empty issuer", |t| t.claim("iss", ""), "unknown_issuer", causes::ISSUER_BLANK),
        ("an empty array of audiences", |t| t.audiences::<&str>([]), "wrong_audience", causes::EMPTY_AUDIENCE),
        ("an empty audience", |t| t.audience(""), "wrong_audience", causes::EMPTY_AUDIENCE),
        ("audiences with a comma", |t| t.audience("x,https://api.example.com"), "wrong_audience", causes::AUDIENCE_LIST),
        ("audiences with a comma and a space", |t| t.audience("x, https://api.example.com"), "wrong_audience", causes::AUDIENCE_LIST),
        ("audiences with a space", |t| t.audience("x https://api.example.com"), "wrong_audience", causes::AUDIENCE_LIST),
        ("audiences as JSON in a string", |t| t.audience("[\"https://api.example.com\"]"), "wrong_audience", causes::AUDIENCE_LIST),
        ("the general audience of IdentityServer", |t| { let issuer = issuer_of(&t); t.audience(format!("{issuer}resources")) }, "wrong_audience", causes::GENERAL_AUDIENCE),
        ("bound to null", |t| t.claim("cnf", json!(null)), "token_bound", causes::BOUND_TO_NULL),
        ("an audience without its scheme", |t| t.audience("api.example.com"), "wrong_audience", causes::AUDIENCE_SPELLING),
        ("an audience with a port", |t| t.audience("https://api.example.com:443"), "wrong_audience", causes::AUDIENCE_SPELLING),
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

/// We don't know whose clock is wrong unless the issuer tells us the time.
#[tokio::test(flavor = "multi_thread")]
async fn names_both_clocks_if_the_issuer_was_not_asked() {
    let issuer = World::start().await.issuer;
    let world = World::named(&issuer, "https://a.invalid/");
    let token = issuer.token().claim("iss", "https://a.invalid/");
    refuses(
        &world,
        "two hours ahead",
        &token.issued_at(7200).sign(),
        "token_not_yet_valid",
        causes::ISSUED_LATER,
    );
}

/// OpenSSL, Java and key management services write ECDSA signatures in DER.
#[tokio::test(flavor = "multi_thread")]
async fn recognizes_a_signature_in_der() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512] {
        let issuer = Issuer::with_algorithm(algorithm).await;
        let world = World::of(issuer.clone()).set("AUTH0_ALGORITHMS", algorithm.as_str());
        let token = issuer.token().sign();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (r, s) = signature.split_at(signature.len() / 2);
        let integer = |number: &[u8]| {
            let zeros = number.iter().take_while(|byte| **byte == 0).count();
            let number = &number[zeros..];
            let sign = if number[0] < 0x80 { &[][..] } else { &[0] };
            let length = u8::try_from(sign.len() + number.len()).unwrap();
            [&[2, length], sign, number].concat()
        };
        let numbers = [integer(r), integer(s)].concat();
        let length = u8::try_from(numbers.len()).unwrap();
        let head = if length < 0x80 {
            vec![0x30, length]
        } else {
            vec![0x30, 0x81, length]
        };
        let der = URL_SAFE_NO_PAD.encode([head, numbers].concat());
        refuses(
            &world,
            algorithm.as_str(),
            &format!("{input}.{der}"),
            "bad_signature",
            causes::DER_SIGNATURE,
        );
    }
}

/// If the issuer's own program writes malformed tokens, the advice shouldn't say that the token was
/// damaged on its way.
#[tokio::test(flavor = "multi_thread")]
async fn names_what_is_malformed_in_a_token() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let [header, payload] = [0, 1].map(|at| part(&good, at).to_string());
    let with = |more: &str| format!("{},{more}}}", payload.trim_end_matches('}'));
    let deep = format!("\"a\":{}{}", "[".repeat(200), "]".repeat(200));
    #[rustfmt::skip]
    let rows: [(&str, Vec<u8>, Vec<u8>, &str); 11] = [
        ("a mark", header.clone().into(), format!("\u{feff}{payload}").into(), "In the payload: it begins with a byte order mark."),
        ("a mark in the header", format!("\u{feff}{header}").into(), payload.clone().into(), "In the header: it begins with a byte order mark."),
        ("a comma", header.clone().into(), with("").into(), "In the payload: it has a comma before a closing bracket."),
        ("a comma in the header", header.replace('}', ",}").into(), payload.clone().into(), "In the header: it has a comma before a closing bracket."),
        ("single quotes", header.clone().into(), payload.replace('"', "'").into(), "In the payload: it has single quotes instead of double quotes."),
        ("NaN", header.clone().into(), with("\"a\":NaN").into(), "In the payload: it has NaN or Infinity, which are not JSON."),
        ("Latin-1", header.clone().into(), [payload.trim_end_matches('}').as_bytes(), b",\"a\":\"\xe9\"}"].concat(), "In the payload: it is not UTF-8, but Latin-1 or a similar encoding."),
        ("nesting", header.clone().into(), with(&deep).into(), "In the payload: it has more than 128 levels of nesting."),
        ("a reserved name", header.clone().into(), with("\"$serde_json::private::RawValue\":\"1\"").into(), "which is reserved."),
        ("a member twice", header.clone().into(), with("\"sub\":\"b\"").into(), "In the payload: it has the member \"sub\" twice."),
        ("an array", header.clone().into(), "[]".into(), "In the payload: it is JSON, but not an object."),
    ];
    for (case, header, payload, words) in rows {
        let token = world.issuer.sign_raw(&header, &payload);
        let json = refuses(&world, case, &token, "token_malformed", causes::NOT_STRICT);
        let cause = json["cause"].as_str().unwrap();
        assert!(cause.contains(words), "{case}: {cause}");
    }
    #[rustfmt::skip]
    let others = [
        ("an SD-JWT with a key binding", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.AAAA~WyJhIl0~eyJ0eXAiOiJrYitqd3QifQ.e30.AA", "token_not_jwt", causes::SD_JWT),
        ("an SD-JWT", "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.AAAA~WyJhIl0~", "token_malformed", causes::SD_JWT),
        ("PASETO", "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIn0", "token_malformed", causes::PASETO),
        ("PASETO with a footer", "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIn0.eyJraWQiOiJhIn0", "token_not_jwt", causes::PASETO),
    ];
    for (case, token, code, cause) in others {
        refuses(&world, case, &format!("Bearer {token}"), code, cause);
    }
}

/// With `exp` in milliseconds, a token is accepted for thousands of years. That deserves a note.
#[tokio::test(flavor = "multi_thread")]
async fn notes_an_expiry_in_milliseconds() {
    let world = World::start().await;
    let token = world.issuer.token().claim("exp", 1_795_003_600_000_u64);
    let (_, json) = explained(&world, "milliseconds", &[], &token.sign());
    assert_eq!(json["accepted"], true, "{json:#}");
    let notes = json["notes"].to_string();
    assert!(notes.contains("in milliseconds"), "{notes}");
}

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

/// A signature shows only that something does not fit. The causes must not exclude each other.
#[tokio::test(flavor = "multi_thread")]
async fn names_every_likely_cause_of_a_wrong_signature_or_issuer() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let other = world.issuer.token().subject("mallory").sign();
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (good, other) = (parts(&good), parts(&other));
    let edited = format!("{}.{}.{}", good[0], other[1], good[2]);
    let json = explained(&world, "an edited payload", &[], &edited).1;
    assert_eq!(json["code"], "bad_signature", "{json:#}");
    let cause = json["cause"].as_str().unwrap();
    for words in ["was changed", "not from this issuer", "replaced the key"] {
        assert!(cause.contains(words), "{words}: {cause}");
    }

    let stranger = world
        .issuer
        .token()
        .key(&SigningKey::generate(Algorithm::RS256));
    let stranger = stranger.claim("iss", "http://127.0.0.1:9/").sign();
    let json = explained(&world, "another issuer", &[], &stranger).1;
    assert_eq!(json["code"], "unknown_issuer", "{json:#}");
    let (cause, fix) = (
        json["cause"].as_str().unwrap(),
        json["fix"].as_str().unwrap(),
    );
    for words in ["not configured here", "before it was restarted"] {
        assert!(cause.contains(words), "{words}: {cause}");
    }
    assert!(fix.contains("configure"), "{fix}");
}

/// The advice has to work: without DPoP, a bound token is rejected with either scheme.
#[tokio::test(flavor = "multi_thread")]
async fn gives_one_fix_for_the_scheme_dpop_where_dpop_is_off() {
    let world = World::start().await;
    let key = SigningKey::generate(Algorithm::ES256);
    let bound = world.issuer.token().bound_to(&key);
    let plain = world.issuer.token().sign();
    let dpop_off = causes::DPOP_BOUND.fix;
    for (case, token, fix, repaired) in [
        ("bound", bound.clone().sign(), dpop_off, None),
        (
            "bound and expired",
            bound.expired().sign(),
            dpop_off,
            Some("token_expired"),
        ),
        ("not bound", plain, causes::OTHER_SCHEME.fix, Some("")),
    ] {
        let (_, json) = explained(&world, case, &[], &format!("DPoP {token}"));
        assert_eq!(json["code"], "missing_token", "{case}: {json:#}");
        assert_eq!(json["fix"], fix, "{case}: {json:#}");
        let code = json["repair"]
            .is_object()
            .then(|| json["repair"]["code"].as_str().unwrap_or(""));
        assert_eq!(code, repaired, "{case}: {json:#}");
    }
    // Other reasons for a rejection have their own advice
    let token = world.issuer.token().bound_to(&key).sign();
    let field = format!("Authorization: DPoP {token}");
    let two = format!("{field}\nAuthorization: Bearer {token}");
    let control = format!("Authorization: DPoP \u{1b}{token}");
    let fragment = format!("GET /a#b HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
    #[rustfmt::skip]
    let rows: [(&str, &str, &[&str], Value, &str); 5] = [
        ("a query", &field, &["--auth", "scopes=x"], json!("bad_request"), causes::ODD_POLICY.fix),
        ("a fragment", &fragment, &[], json!(null), "Remove the `#`"),
        ("a control character", &control, &[], json!(null), "Copy the token again"),
        ("a query and a control character", &control, &["--auth", "scopes=x"], json!(null), "Copy the token again"),
        ("two fields", &two, &[], json!("multiple_credentials"), causes::TWO_CREDENTIALS.fix),
    ];
    for (case, text, arguments, code, fix) in rows {
        let (_, json) = explained(&world, case, arguments, text);
        assert_eq!(json["code"], code, "{case}: {json:#}");
        let told = json["fix"].as_str().unwrap();
        assert!(told.starts_with(fix), "{case}: {json:#}");
    }
    let page = Page::of("missing_token").unwrap();
    assert!(page.causes.contains(&causes::DPOP_BOUND));
}

/// A case, the variables that are set, the issuers file, the beginning of the fix, and the
/// recommended lines.
type Off<'a> = (
    &'a str,
    &'a [(&'a str, &'a str)],
    Option<&'a str>,
    &'a str,
    &'a [&'a str],
);

/// The advice names the setting that turns DPoP off.
#[tokio::test(flavor = "multi_thread")]
async fn names_the_setting_that_turns_dpop_off() {
    const URL: (&str, &str) = ("PUBLIC_URL", "https://api.example.com");
    let issuer = World::start().await.issuer;
    let key = SigningKey::generate(Algorithm::ES256);
    let token = issuer.token().bound_to(&key).sign();
    let proof = key.proof("GET", "https://api.example.com/a").token(&token);
    let request = format!(
        "GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: DPoP {token}\r\nDPoP: {}\r\n\r\n",
        proof.sign()
    );
    let (off, resource) = (
        ("AUTH0_DPOP", "off"),
        ("AUTH0_RESOURCE", "https://api.example.com/a"),
    );
    let in_table = format!("[[issuer]]\nurl = {:?}\ndpop = \"off\"\n", issuer.url());
    let plain_table = format!("[[issuer]]\nurl = {:?}\n", issuer.url());
    let both = "set AUTH0_DPOP to allowed, and PUBLIC_URL to the URL";
    let line = &["AUTH0_DPOP=allowed"][..];
    #[rustfmt::skip]
    let rows: [Off; 7] = [
        ("nothing is set", &[], None, "set PUBLIC_URL to the URL", &[]),
        ("off, with a URL", &[off, URL], None, "set AUTH0_DPOP to allowed, which", line),
        ("off, with a resource", &[off, resource], None, "set AUTH0_DPOP to allowed, which", line),
        ("off, without a URL", &[off], None, both, &[]),
        ("a table", &[URL], Some(&in_table), "set the option dpop of the issuer's table to allowed, which", &[]),
        ("a table, without a URL", &[], Some(&in_table), "set the option dpop of the issuer's table to allowed, and PUBLIC_URL", &[]),
        ("off, and a table that says nothing", &[off, URL], Some(&plain_table), "set AUTH0_DPOP to allowed, which", line),
    ];
    for (case, variables, table, enable, lines) in rows {
        let mut world = World::of(issuer.clone());
        if let Some(table) = table {
            std::fs::write(world.directory.path().join("issuers.toml"), table).unwrap();
            world = world
                .unset("AUTH0_ISSUER")
                .set("ISSUERS_FILE", "issuers.toml");
        }
        for (name, value) in variables {
            world = world.set(name, *value);
        }
        for (scheme, code) in [("DPoP", "missing_token"), ("Bearer", "token_bound")] {
            let (_, json) = explained(&world, case, &[], &format!("{scheme} {token}"));
            assert_eq!(json["code"], code, "{case}: {json:#}");
            let fix = json["fix"].as_str().unwrap();
            assert!(fix[1..].starts_with(&enable[1..]), "{case}: {json:#}");
            assert_eq!(json["settings"], json!(lines), "{case}: {json:#}");
        }
        let json = world.run(&["explain", "--json", "-"], &request).json();
        let notes = json["notes"].to_string();
        let enable = enable.trim_end_matches(", which");
        assert!(
            notes.contains(&format!("To enable DPoP, {enable}")),
            "{case}: {notes}"
        );
    }
}
