//! `check` finds what will go wrong before the service is started.

use std::fs;

use rcgen::CertifiedKey;
use reqwest::Client;
use serde_json::{Value, json};
use warp::Filter;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer, SigningKey},
    service::{
        Limits, Listener, RequestLog, Shutdown, Tls,
        http::tls::{ClientAuth, Files},
        serve,
    },
};

use crate::support::process::Process;
use crate::support::world::{Told, World, with_date};

/// Returns the findings of a section, each as "mark name: text (more)".
fn findings(told: &Told, section: &str) -> Vec<String> {
    let json = told.json();
    let sections = json["sections"].as_array().unwrap().iter();
    let mut of = sections.filter(|one| one["title"].as_str().unwrap().starts_with(section));
    let of = of.next().unwrap_or_else(|| panic!("{section}: {json:#}"));
    let findings = of["findings"].as_array().unwrap().iter();
    let words = |finding: &Value| {
        let [mark, name, text, more] =
            ["mark", "name", "text", "more"].map(|part| finding[part].as_str().unwrap());
        format!("{mark} {name}: {text} ({more})")
    };
    findings.map(words).collect()
}

fn checked(world: &World) -> Told {
    world.run(&["check", "--json"], "")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_is_right_is_told_so() {
    let world = World::start().await.set("AUTH0_JWKS_TTL", "10m");
    let secret = "AUTH0_CLIENT_SECRET = 'nobody may see this'\n";
    fs::write(world.directory.path().join(".env"), secret).unwrap();
    let told = checked(&world);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert_eq!(told.json()["good"], true);
    assert_eq!(told.stderr, "");
    assert!(!told.stdout.contains("nobody may see"), "{}", told.stdout);

    let variables = findings(&told, "Variables");
    for line in [
        format!(
            "plain AUTH0_ISSUER: {:?} (from the environment)",
            world.issuer.url()
        ),
        "plain AUTH0_JWKS_TTL: \"10m\" (from the environment)".to_owned(),
        "plain AUTH0_CLIENT_SECRET: 19 bytes, not shown (from .env, line 1)".to_owned(),
        "plain LISTEN: \"127.0.0.1:8000\" (default)".to_owned(),
        "plain AUTH0_JWKS_FILE: not set (none; keys are fetched)".to_owned(),
    ] {
        assert!(variables.contains(&line), "{line}: {variables:#?}");
    }
    let issuer = findings(&told, "Issuer ");
    let kid = world.issuer.key().kid().to_owned();
    for start in [
        "good name: 127.0.0.1 (".to_owned(),
        "note TLS: none: plain http".to_owned(),
        "good clock: as the issuer's".to_owned(),
        format!(
            "good discovery: {}.well-known/openid-configuration (",
            world.issuer.url()
        ),
        "good issuer: calls itself so, to the letter".to_owned(),
        format!("good key set: {} (", world.issuer.jwks_uri()),
        format!("good key: {kid}: RSA 2048 bits RS256 ()"),
        "good keys: 1 of 1 for RS256".to_owned(),
    ] {
        let found = issuer.iter().any(|line| line.starts_with(&start));
        assert!(found, "{start}: {issuer:#?}");
    }
    assert!(
        issuer.iter().any(|line| line.contains("max-age 10 min")),
        "{issuer:#?}"
    );

    let told = world.run(&["check"], "");
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert!(
        told.stdout.ends_with(
            "  ✓ keys      1 of 1 for RS256\n\nNothing stands in the way of the service.\n"
        ),
        "{}",
        told.stdout
    );
}

type Break = fn(&Issuer);
type Vars<'a> = &'a [(&'a str, &'a str)];

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_issuer_is_found() {
    let issuer = Issuer::start().await;
    let world = || World::of(issuer.clone());
    #[rustfmt::skip]
    let rows: [(&str, Break, &str); 9] = [
        ("another name", |i| i.wrong_issuer("https://other.example/"), "bad issuer: the issuer calls itself \"https://other.example/\" and is configured as"),
        ("a slash less", |i| i.wrong_issuer(i.url().trim_end_matches('/')), "differ by the slash at the end"),
        ("an error", |i| i.fail_discovery(Fault::Status(500)), "bad discovery: http://127.0.0.1"),
        ("a page for people", |i| i.fail_discovery(Fault::Html), "answered with what is no metadata of an issuer"),
        ("a redirect", |i| i.fail_jwks(Fault::Redirect("https://a.example/".to_owned())), "answered with a redirect, which is not followed"),
        ("no keys", |i| i.fail_jwks(Fault::EmptySet), "bad keys: 0 of 0 for RS256"),
        ("no key set", |i| i.fail_jwks(Fault::Html), "not a JSON object with an array \"keys\""),
        ("too much", |i| i.fail_jwks(Fault::TooLarge), "bad key set: "),
        ("a weak key alone", |i| i.publish(json!({"keys": [weak()]})), "note key: weak: RSA 1024 bits RS256 (left out: a modulus of fewer than 2048 or more than 8192 bits)"),
    ];
    for (case, broken, line) in rows {
        issuer.recover();
        issuer.restore();
        broken(&issuer);
        let told = checked(&world());
        assert_eq!(told.code, Some(1), "{case}: {}", told.stdout);
        let findings = self::findings(&told, "Issuer ");
        let found = findings.iter().any(|finding| finding.contains(line));
        assert!(found, "{case}: {findings:#?}");
        assert!(
            findings.iter().any(|line| line.starts_with("bad ")),
            "{case}: {findings:#?}"
        );
    }
    issuer.recover();
    issuer.restore();

    issuer.hang();
    let told = checked(&world().set("AUTH0_JWKS_TIMEOUT", "100ms"));
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(
        told.stdout.contains("no whole answer within 100ms"),
        "{}",
        told.stdout
    );
    issuer.go_down().await;
    let told = checked(&world());
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(told.stdout.contains("cannot be reached"), "{}", told.stdout);
    // A label of more than 63 characters is invalid, so no name server is asked.
    let nowhere = format!("https://{}.example/", "a".repeat(64));
    let told = checked(&world().set("AUTH0_ISSUER", nowhere));
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let findings = self::findings(&told, "Issuer ");
    assert!(findings[0].starts_with("bad name: aaaa"), "{findings:#?}");
    assert_eq!(findings.len(), 1, "{findings:#?}");
    // The issuer answers in plain HTTP where TLS is expected.
    issuer.come_back().await;
    let plain = issuer
        .url()
        .replace("http://127.0.0.1", "https://localhost");
    let told = checked(&world().set("AUTH0_ISSUER", plain));
    let findings = self::findings(&told, "Issuer ");
    assert!(findings[1].starts_with("bad TLS: "), "{findings:#?}");
}

/// Returns the JWK of an RSA key that is too short to be accepted.
fn weak() -> Value {
    let mut jwk = SigningKey::generate(Algorithm::RS256).public_jwk();
    let modulus = jwk["n"].as_str().unwrap();
    // Cuts the modulus to 128 bytes. Its first byte stays, so that it still has 1024 bits.
    let cut = modulus[..170].to_owned() + "E";
    jwk["n"] = json!(cut);
    jwk["kid"] = json!("weak");
    jwk
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_and_harmless_is_a_note() {
    let world = World::start().await;
    let elliptic = SigningKey::generate(Algorithm::ES256);
    world.issuer.publish_key(&elliptic);
    let told = checked(&world);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    let line = format!(
        "plain key: {}: EC P-256 ES256 (not for an algorithm of AUTH0_ALGORITHMS)",
        elliptic.kid()
    );
    let findings = self::findings(&told, "Issuer ");
    assert!(findings.contains(&line), "{findings:#?}");
    assert!(
        findings.contains(&"good keys: 1 of 2 for RS256 ()".to_owned()),
        "{findings:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_environment_adds_is_shown_without_its_password() {
    let proxy = "http://me:hunter2@proxy.example:3128";
    let world = World::start().await.set("HTTPS_PROXY", proxy);
    let told = checked(&world.set("NO_PROXY", "localhost"));
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert!(!told.stdout.contains("hunter2"), "{}", told.stdout);
    let variables = findings(&told, "Variables");
    for line in [
        "plain HTTPS_PROXY: \"http://…@proxy.example:3128\" (from the environment)",
        "plain NO_PROXY: \"localhost\" (from the environment)",
    ] {
        assert!(variables.contains(&line.to_owned()), "{variables:#?}");
    }
    // No proxy is used for an issuer on loopback.
    let findings = self::findings(&told, "Issuer ");
    assert!(
        findings[0].starts_with("good name: 127.0.0.1 ("),
        "{findings:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_found() {
    let issuer = Issuer::start().await;
    for (ahead, code, line) in [
        (
            -60,
            1,
            "bad clock: 1 min ahead of the issuer's (beyond AUTH0_LEEWAY, 30 s; set it right, with NTP)",
        ),
        (
            20,
            0,
            "note clock: 20 s behind the issuer's (within AUTH0_LEEWAY, 30 s)",
        ),
        (0, 0, "good clock: as the issuer's ()"),
    ] {
        let url = with_date(&issuer, ahead).await;
        let told = checked(&World::of(issuer.clone()).set("AUTH0_ISSUER", url));
        assert_eq!(told.code, Some(code), "{ahead}: {}", told.stdout);
        let clock = findings(&told, "Issuer ").into_iter();
        let clock = clock
            .filter(|finding| finding.contains(" clock: "))
            .collect::<Vec<_>>();
        // Allows for one second of difference: the answer's `Date` may have just changed.
        let near = |text: &str| text.replace("59 s", "1 min").replace("19 s", "20 s");
        assert_eq!(near(&clock[0]), line);
    }
}

/// Serves an issuer over https. Returns the path of the certificate that must be trusted.
async fn over_tls(world: &World) -> String {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let in_directory = |name: &str| world.directory.path().join(name);
    let files = Files {
        clients: ClientAuth::Off,
        certificate: in_directory("tls.crt"),
        key: in_directory("tls.key"),
    };
    fs::write(&files.certificate, cert.pem()).unwrap();
    fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("https://localhost:{}/", listener.address().unwrap().port());
    let listener = listener.with_tls(Tls::load(files).unwrap());
    let metadata = json!({"issuer": url, "jwks_uri": format!("{url}jwks")});
    let jwks = json!({"keys": [world.issuer.key().public_jwk()]});
    let routes = warp::path("jwks")
        .map(move || warp::reply::json(&jwks))
        .or(warp::any().map(move || warp::reply::json(&metadata)))
        .map(warp::Reply::into_response);
    let shutdown = Shutdown::new();
    let request_log = RequestLog::enabled();
    tokio::spawn(serve(
        listener,
        routes,
        Limits::default(),
        None,
        request_log,
        shutdown,
    ));
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_looked_at_and_one_that_nobody_vouches_for_is_found() {
    let world = World::start().await;
    let url = over_tls(&world).await;
    let world = world.set("AUTH0_ISSUER", url);
    let told = checked(&world);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let findings = |told| findings(told, "Issuer https://localhost:").join("\n");
    let found = findings(&told);
    assert!(found.contains("bad TLS: "), "{found}");
    let hint =
        " certificate: UnknownIssuer (SSL_CERT_FILE names certificate authorities of your own)";
    assert!(found.contains(hint), "{found}");

    let told = checked(&world.set("SSL_CERT_FILE", "tls.crt"));
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    let found = findings(&told);
    // The certificate is valid until the year 4096, which is more than 700,000 days.
    assert!(found.contains("good TLS: trusted; it ends in 7"), "{found}");
    assert!(found.contains("good keys: 1 of 1 for RS256"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_asks_nobody() {
    let world = World::start().await.set("AUTH0_ALGORITHMS", "RS265");
    let told = world.run(&["check"], "");
    assert_eq!(told.code, Some(78), "{}", told.stdout);
    assert!(
        told.stderr.starts_with("AUTH0_ALGORITHMS: "),
        "{}",
        told.stderr
    );
    assert!(
        told.stdout.contains("\"RS265\"   from the environment\n"),
        "{}",
        told.stdout
    );
    assert_eq!(world.issuer.requests().discovery, 0);

    let told = checked(
        &world
            .set("AUTH0_ALGORITHMS", "RS256")
            .set("AUTH0_DOMIAN", "x"),
    );
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    let line =
        "note : AUTH0_DOMIAN: in the environment, nobody reads it; did you mean AUTH0_DOMAIN? ()";
    assert_eq!(findings(&told, "Configuration"), [line]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_elsewhere_is_looked_at_there() {
    let world = World::start().await;
    let address = world.issuer.jwks_uri().to_owned();
    let world = world.set("AUTH0_JWKS_URI", address);
    world.issuer.fail_discovery(Fault::Status(500));
    let told = checked(&world);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert_eq!(world.issuer.requests().discovery, 0);

    let file = world.directory.path().join("keys.json");
    fs::write(&file, "{\"keys\":[]}").unwrap();
    let mut world = World::of(world.issuer.clone()).set("AUTH0_JWKS_FILE", "keys.json");
    fs::write(world.directory.path().join("keys.json"), "{\"keys\":[]}").unwrap();
    let told = checked(&world);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    world = world.set("AUTH0_JWKS_FILE", "not-there.json");
    let told = checked(&world);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(
        told.stdout.contains("not-there.json: No such file"),
        "{}",
        told.stdout
    );
}

const LONG: usize = 420_000;

/// Returns a key set with very long strings that begin with a bidi override.
fn grotesque() -> Value {
    // All five of them fit into the 512 KiB that a key set may have.
    let long = format!("\u{202e}{}", "x".repeat(80_000));
    json!({"keys": [
        {"kty": long, "crv": long, "alg": long, "kid": long},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": long},
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_no_more_than_a_part_of_what_an_issuer_says() {
    let world = World::start().await;
    world.issuer.publish(grotesque());
    for arguments in [&["check"][..], &["check", "--json"]] {
        let told = world.run(arguments, "");
        assert_eq!(told.code, Some(1), "{}", told.stderr);
        assert!(told.stdout.len() < 20_000, "{}", told.stdout.len());
        assert!(!told.stdout.contains('\u{202e}'), "{}", told.stdout);
        assert!(told.stdout.contains("xxxx"), "{}", told.stdout);
    }
    world.issuer.wrong_issuer("y".repeat(LONG));
    for arguments in [&["check"][..], &["check", "--json"]] {
        let told = world.run(arguments, "");
        assert_eq!(told.code, Some(1), "{}", told.stderr);
        assert!(told.stdout.len() < 20_000, "{}", told.stdout.len());
        assert!(told.stdout.contains("yyyy"), "{}", told.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_no_query_of_an_address() {
    let world = World::start().await;
    let address = format!("{}?code=hunter2", world.issuer.jwks_uri());
    let world = world.set("AUTH0_JWKS_URI", address);
    for fault in [None, Some(Fault::Status(500)), Some(Fault::Html)] {
        world.issuer.recover();
        if let Some(fault) = fault {
            world.issuer.fail_jwks(fault);
        }
        for arguments in [&["check"][..], &["check", "--json"]] {
            let told = world.run(arguments, "");
            let all = told.stdout + &told.stderr;
            assert!(!all.contains("hunter2"), "{all}");
            assert!(all.contains("jwks.json?"), "{all}");
        }
    }
}

/// Starts a service with these variables and waits for its first failed fetch. Returns the body of
/// `/readyz`, its length in bytes, and the log so far.
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
async fn readiness_has_a_word_and_the_log_the_details() {
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
        assert!(
            !log.contains("hunter2") && log.len() < 4000,
            "{word}: {log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_a_part_of_the_name_of_a_key_that_is_left_out() {
    let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
    // The longest `kid` that is read, so that `check` can show it.
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
    let left_out = log.iter().filter(|line| line.contains("left out"));
    let left_out: Vec<_> = left_out.collect();
    assert!(!left_out.is_empty(), "{log:?}");
    for line in left_out {
        assert!(line.contains("xxxx") && line.len() < 400, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_one_line_and_ours() {
    let world = World::start().await;
    let url = over_tls(&world).await;
    let vars = [
        ("AUTH0_ISSUER", &*url),
        ("AUTH0_API_AUDIENCE", world.issuer.audience()),
    ];
    let (body, _, log) = not_ready(&vars).await;
    assert_eq!(body["issuers"][0]["last_error"], "tls");
    assert!(log.contains("UnknownIssuer"), "{log}");
    assert!(!log.contains(" ERROR "), "{log}");
}
