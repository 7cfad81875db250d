//! Issuers whose documents cannot be fetched, and the advice from `check`.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::json;
use warp::Filter;
use warp_bearer::{
    issuer::{Fault, Issuer},
    service::{
        Limits, Listener, RequestLog, Shutdown, Tls,
        http::tls::{ClientAuth, Files},
        serve,
    },
};

use super::{Break, Vars, assert_finds, checked, findings, keys::weak, site};
use crate::support::world::{World, with_date};

#[tokio::test(flavor = "multi_thread")]
async fn finds_each_broken_issuer() {
    let issuer = Issuer::start().await;
    let world = || World::of(issuer.clone());
    #[rustfmt::skip]
    let rows: [(&str, Break, &str); 9] = [
        ("another issuer", |i| i.wrong_issuer("https://other.example/"), "bad issuer: the issuer's name is \"https://other.example/\", but"),
        ("without the trailing slash", |i| i.wrong_issuer(i.url().trim_end_matches('/')), "differ only in the trailing slash"),
        ("an error", |i| i.fail_discovery(Fault::Status(500)), "bad discovery: http://127.0.0.1"),
        ("an HTML page", |i| i.fail_discovery(Fault::Html), "answered with a document that is not issuer metadata: it is HTML or XML"),
        ("a redirect", |i| i.fail_jwks(Fault::Redirect("https://a.example/".to_owned())), "answered with a redirect to https://a.example/, which is not followed"),
        ("an empty key set", |i| i.fail_jwks(Fault::EmptySet), "has no usable key set: an empty key set (set AUTH0_JWKS_URI if its keys are elsewhere, or set AUTH0_JWKS_FILE"),
        ("not a key set", |i| i.fail_jwks(Fault::Html), "not a JSON object with an array \"keys\": it is HTML or XML"),
        ("too large", |i| i.fail_jwks(Fault::TooLarge), "bad key set: "),
        ("a weak key alone", |i| i.publish(json!({"keys": [weak()]})), "note key: weak: RSA 1024 bits RS256 (cannot be used: `n` has 1024 bits, not 2048 to 8192)"),
    ];
    for (case, broken, line) in rows {
        issuer.recover();
        issuer.restore();
        broken(&issuer);
        let output = checked(&world());
        assert_eq!(output.code, Some(1), "{case}: {}", output.stdout);
        let found = findings(&output, "Issuer ");
        let has_line = found.iter().any(|finding| finding.contains(line));
        assert!(has_line, "{case}: {found:#?}");
        assert!(
            found.iter().any(|line| line.starts_with("bad ")),
            "{case}: {found:#?}"
        );
    }
    issuer.recover();
    issuer.restore();

    issuer.hang();
    let output = checked(&world().set("AUTH0_JWKS_TIMEOUT", "100ms"));
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(
        output.stdout.contains("no complete answer within 100ms"),
        "{}",
        output.stdout
    );
    issuer.go_down().await;
    let output = checked(&world());
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(
        output.stdout.contains("cannot be reached"),
        "{}",
        output.stdout
    );
    // A label of more than 63 characters is invalid, so the lookup fails without a name server.
    let nowhere = format!("https://{}.example/", "a".repeat(64));
    let output = checked(&world().set("AUTH0_ISSUER", nowhere));
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let found = findings(&output, "Issuer ");
    assert!(found[0].starts_with("bad name: aaaa"), "{found:#?}");
    assert_eq!(found.len(), 1, "{found:#?}");
    // plain HTTP where TLS is expected
    issuer.come_back().await;
    let plain = issuer
        .url()
        .replace("http://127.0.0.1", "https://localhost");
    let output = checked(&world().set("AUTH0_ISSUER", plain));
    let found = findings(&output, "Issuer ");
    assert!(found[1].starts_with("bad TLS: "), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_a_wrong_clock() {
    let issuer = Issuer::start().await;
    for (ahead, code, line) in [
        (
            -60,
            1,
            "bad clock: 1 min ahead of the issuer's (beyond AUTH0_LEEWAY, 30 s; correct the clock, with NTP)",
        ),
        (
            20,
            0,
            "note clock: 20 s behind the issuer's (within AUTH0_LEEWAY, 30 s)",
        ),
        (0, 0, "good clock: same as the issuer's ()"),
    ] {
        let url = with_date(&issuer, ahead).await;
        let output = checked(&World::of(issuer.clone()).set("AUTH0_ISSUER", url));
        assert_eq!(output.code, Some(code), "{ahead}: {}", output.stdout);
        let clock = findings(&output, "Issuer ").into_iter();
        let clock = clock
            .filter(|finding| finding.contains(" clock: "))
            .collect::<Vec<_>>();
        // the two clocks may be read in different seconds
        let near = |text: &str| {
            let text = text.replace("59 s", "1 min").replace("1 min 1 s", "1 min");
            text.replace("19 s", "20 s").replace("21 s", "20 s")
        };
        assert_eq!(near(&clock[0]), line);
    }
}

/// Serves an issuer over https, for clients that trust the certificate in `tls.crt`.
pub(super) async fn over_tls(world: &World) -> String {
    over_tls_as(world, IsCa::NoCa).await
}

/// Like [`over_tls`], with a server certificate or a CA certificate.
async fn over_tls_as(world: &World, is_ca: IsCa) -> String {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = is_ca;
    over_tls_with(world, params).await
}

/// Like [`over_tls`], with a self-signed certificate made from `params`.
async fn over_tls_with(world: &World, params: CertificateParams) -> String {
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let in_directory = |name: &str| world.directory.path().join(name);
    let files = Files {
        clients: ClientAuth::Off,
        certificate: in_directory("tls.crt"),
        key: in_directory("tls.key"),
    };
    fs::write(&files.certificate, certificate.pem()).unwrap();
    fs::write(&files.key, key.serialize_pem()).unwrap();
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
async fn checks_certificates_and_finds_untrusted_ones() {
    let world = World::start().await;
    let url = over_tls(&world).await;
    let world = world.set("AUTH0_ISSUER", url);
    let output = checked(&world);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let findings = |output| findings(output, "Issuer https://localhost:").join("\n");
    let found = findings(&output);
    assert!(found.contains("bad TLS: "), "{found}");
    let advice = "its certificate is signed by a certificate authority that is not trusted here (set SSL_CERT_FILE to the certificate of that authority, in PEM)";
    assert!(found.contains(advice), "{found}");

    // A file cannot set this variable
    let path = world.directory.path().join(".env");
    fs::write(path, "SSL_CERT_FILE=tls.crt\n").unwrap();
    let output = checked(&world);
    let found = findings(&output);
    let advice = "set SSL_CERT_FILE in the environment of this command to the certificate";
    assert!(found.contains(advice), "{found}");

    let output = checked(&world.set("SSL_CERT_FILE", "tls.crt"));
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let found = findings(&output);
    // rcgen's default certificate is valid until the year 4096, which is about 756,000 days
    assert!(found.contains("good TLS: trusted; it ends in 7"), "{found}");
    assert!(found.contains("good keys: 1 of 1 for RS256"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_a_key_set_at_another_address() {
    let world = World::start().await;
    let address = world.issuer.jwks_uri().to_owned();
    let world = world.set("AUTH0_JWKS_URI", address);
    world.issuer.fail_discovery(Fault::Status(500));
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert_eq!(world.issuer.requests().discovery, 0);

    let file = world.directory.path().join("keys.json");
    fs::write(&file, "{\"keys\":[]}").unwrap();
    let mut world = World::of(world.issuer.clone()).set("AUTH0_JWKS_FILE", "keys.json");
    fs::write(world.directory.path().join("keys.json"), "{\"keys\":[]}").unwrap();
    let output = checked(&world);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    world = world.set("AUTH0_JWKS_FILE", "not-there.json");
    let output = checked(&world);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(
        output.stdout.contains("not-there.json does not exist"),
        "{}",
        output.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_a_ca_certificate_for_a_server() {
    let world = World::start().await;
    let url = over_tls_as(&world, IsCa::Ca(BasicConstraints::Unconstrained)).await;
    let world = world
        .set("AUTH0_ISSUER", url)
        .set("SSL_CERT_FILE", "tls.crt");
    let output = checked(&world);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let found = findings(&output, "Issuer https://localhost:");
    let words = ["bad TLS: ", "certificate authority (CA:TRUE)", "CA:FALSE"];
    assert_finds("a weak certificate of an authority", &found, &words);
    assert!(
        !output.stdout.contains("CaUsedAsEndEntity"),
        "{}",
        output.stdout
    );
    assert!(
        !output.stdout.contains("SSL_CERT_FILE to"),
        "{}",
        output.stdout
    );

    let other = World::start().await;
    let url = over_tls(&other).await;
    let world = world.set("AUTH0_ISSUER", url);
    let found = findings(&checked(&world), "Issuer https://localhost:");
    let words = ["bad TLS: ", "to \"tls.crt\", to which SSL_CERT_FILE is set"];
    assert_finds("another authority", &found, &words);
}

/// rustls puts type names into its messages (e.g. `EkuError`). `check` must use plain words.
#[tokio::test(flavor = "multi_thread")]
async fn describes_a_certificate_that_does_not_fit() {
    let for_other = CertificateParams::new(["other.example".to_owned()]).unwrap();
    let mut for_clients = CertificateParams::new(["localhost".to_owned()]).unwrap();
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (case, params, words) in [
        (
            "another name",
            for_other,
            "its certificate is for other.example ",
        ),
        (
            "for clients",
            for_clients,
            "its certificate is not for a server",
        ),
    ] {
        let world = World::start().await;
        let url = over_tls_with(&world, params).await;
        let world = world
            .set("AUTH0_ISSUER", url)
            .set("SSL_CERT_FILE", "tls.crt");
        let found = findings(&checked(&world), "Issuer https://localhost:");
        assert_finds(case, &found, &["bad TLS: ", words]);
    }
}

/// After following the advice of `check`, the next run should pass.
#[tokio::test(flavor = "multi_thread")]
async fn advice_for_failed_discovery_works() {
    let issuer = Issuer::with_algorithm(warp_bearer::auth::Algorithm::RS256).await;
    let keys = json!({"keys": [issuer.key().public_jwk()]})
        .to_string()
        .into_bytes();
    let document = |issuer: String, url: &str| {
        let metadata = json!({"issuer": issuer, "jwks_uri": format!("{url}/keys")});
        metadata.to_string().into_bytes()
    };
    let openid = "/policy/v2.0/.well-known/openid-configuration";
    let oauth = "/.well-known/oauth-authorization-server/policy/v2.0";
    let url = site(|url| {
        vec![
            ("/keys", 200, "", keys.clone()),
            (openid, 200, "", document(format!("{url}/tenant/v2.0"), url)),
        ]
    });
    let url = url.await;
    let world = World::of(issuer.clone()).set("AUTH0_ISSUER", format!("{url}/policy/v2.0"));
    let output = checked(&world);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let found = findings(&output, "Issuer ");
    let name = format!(
        "set AUTH0_ISSUER to it, and if it has no discovery document, set AUTH0_JWKS_URI to {url}/keys"
    );
    assert_finds(
        "another issuer",
        &found,
        &["bad issuer: ", &format!("{url}/tenant/v2.0"), &name],
    );
    let world = world
        .set("AUTH0_ISSUER", format!("{url}/tenant/v2.0"))
        .set("AUTH0_JWKS_URI", format!("{url}/keys"));
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);

    // only the RFC 8414 metadata, no OpenID document
    let keys_too = keys.clone();
    let url = site(move |url| {
        vec![
            ("/keys", 200, "", keys_too),
            (oauth, 200, "", document(format!("{url}/policy/v2.0"), url)),
        ]
    });
    let url = url.await;
    let world = World::of(issuer.clone()).set("AUTH0_ISSUER", format!("{url}/policy/v2.0"));
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let found = findings(&output, "Issuer ");
    assert_finds("RFC 8414", &found, &["good discovery: ", oauth]);
    let token = issuer
        .token()
        .claim("iss", format!("{url}/policy/v2.0"))
        .sign();
    let explained = world.run(&["explain"], &token);
    assert_eq!(explained.code, Some(0), "{}", explained.stdout);
    // The RFC 8414 metadata must match the issuer exactly, too: here it differs by a slash.
    let world = world.set("AUTH0_ISSUER", format!("{url}/policy/v2.0/"));
    let output = checked(&world);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    let found = findings(&output, "Issuer ");
    assert_finds(
        "another issuer, by a trailing slash",
        &found,
        &["bad issuer: ", "differ only in the trailing slash"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_names_a_helpful_setting() {
    let issuer = Issuer::with_algorithm(warp_bearer::auth::Algorithm::RS256).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = taken.local_addr().unwrap().port();
    drop(taken);
    let proxy = format!("http://127.0.0.1:{closed}");
    let nowhere = format!("https://localhost:{closed}/");
    let uri = issuer.jwks_uri().to_owned();
    #[rustfmt::skip]
    let rows: [(&str, Break, Vars<'_>, &[&str]); 10] = [
        ("no discovery document", |i| i.fail_discovery(Fault::Status(404)), &[], &["bad discovery: ", "answered 404", "set AUTH0_JWKS_URI to the address of its keys"]),
        ("a login for the document", |i| i.fail_discovery(Fault::Status(401)), &[], &["bad discovery: ", "set AUTH0_JWKS_FILE to a file with its keys"]),
        ("a login for the keys", |i| i.fail_jwks(Fault::Status(401)), &[], &["bad key set: ", "set AUTH0_JWKS_FILE to a file with its keys", "kubectl get --raw /openid/v1/jwks"]),
        ("a login at a configured address", |i| i.fail_jwks(Fault::Status(403)), &[("AUTH0_JWKS_URI", &uri)], &["bad key set: ", "; remove AUTH0_JWKS_URI and set AUTH0_JWKS_FILE", "instead of AUTH0_ISSUER and AUTH0_JWKS_URI"]),
        ("a page", |i| i.fail_discovery(Fault::Html), &[], &["bad issuer: ", "set AUTH0_JWKS_URI"]),
        ("the key set is missing", |i| i.fail_jwks(Fault::Status(404)), &[], &["bad key set: ", "set AUTH0_JWKS_URI if its keys are elsewhere"]),
        ("a configured address", |i| i.fail_jwks(Fault::Status(404)), &[("AUTH0_JWKS_URI", &uri)], &["bad key set: ", "correct AUTH0_JWKS_URI"]),
        ("keys over http", |i| i.fail_discovery(Fault::JwksUri("http://a.example/keys".to_owned())), &[], &["bad issuer: ", "set AUTH0_JWKS_URI to the address of its keys"]),
        ("no connection", |_| {}, &[("AUTH0_ISSUER", &nowhere)], &["bad discovery: ", "check that the issuer is running on this machine"]),
        ("a proxy that is down", |_| {}, &[("AUTH0_ISSUER", &nowhere), ("HTTPS_PROXY", &proxy)], &["bad discovery: ", "check the proxy in HTTPS_PROXY"]),
    ];
    for (case, broken, more, words) in rows {
        issuer.recover();
        broken(&issuer);
        let world = World::of(issuer.clone());
        let world = more
            .iter()
            .fold(world, |world, (name, value)| world.set(name, *value));
        let output = checked(&world);
        assert_eq!(output.code, Some(1), "{case}: {}", output.stdout);
        assert_finds(case, &findings(&output, "Issuer "), words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_name_that_is_not_a_url_needs_configured_keys() {
    let issuer = Issuer::with_algorithm(warp_bearer::auth::Algorithm::RS256).await;
    let keys = json!({"keys": [issuer.key().public_jwk()]}).to_string();
    for name in ["stytch.com/project-1", "http://keycloak:8080/realms/r"] {
        let token = issuer.token().claim("iss", name).sign();
        let alone = World::of(issuer.clone()).set("AUTH0_ISSUER", name);
        let output = checked(&alone);
        assert_eq!(output.code, Some(78), "{name}: {}", output.stdout);
        assert!(
            output.stderr.contains("AUTH0_JWKS_FILE"),
            "{}",
            output.stderr
        );
        let file = alone.set("AUTH0_JWKS_FILE", "keys");
        fs::write(file.directory.path().join("keys"), &keys).unwrap();
        let address = World::of(issuer.clone()).set("AUTH0_ISSUER", name);
        let address = address.set("AUTH0_JWKS_URI", issuer.jwks_uri());
        for world in [file, address] {
            let output = checked(&world);
            assert_eq!(output.code, Some(0), "{name}: {}", output.stdout);
            let explained = world.run(&["explain"], &token);
            assert_eq!(explained.code, Some(0), "{name}: {}", explained.stdout);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_the_version_of_entra_tokens() {
    let issuer = Issuer::with_algorithm(warp_bearer::auth::Algorithm::RS256).await;
    let keys = json!({"keys": [issuer.key().public_jwk()]}).to_string();
    #[rustfmt::skip]
    let rows = [
        ("version 2", "https://login.microsoftonline.com/T/v2.0", "api://4f1b", &[
            &["plain Entra: ", "v2.0 tokens", "https://sts.windows.net/T/"][..],
            &["note Entra: ", "without api://", "AUTH0_API_AUDIENCE to the application's ID"],
        ][..]),
        ("the ID in a URI", "https://login.microsoftonline.com/T/v2.0", "api://6e74172b-be56-4843-9ff4-e66a39bb12e3", &[
            &["plain Entra: ", "v2.0 tokens"][..],
            &["note Entra: ", "without api://", "AUTH0_API_AUDIENCE to 6e74172b-be56-4843-9ff4-e66a39bb12e3 if"],
        ]),
        ("the ID and the tenant", "https://login.microsoftonline.com/T/v2.0", "api://72f988bf-86f1-41af-91ab-2d7cd011db47/6e74172b-be56-4843-9ff4-e66a39bb12e3", &[
            &["plain Entra: ", "v2.0 tokens"][..],
            &["note Entra: ", "without api://", "AUTH0_API_AUDIENCE to 6e74172b-be56-4843-9ff4-e66a39bb12e3 if"],
        ]),
        ("version 1", "https://sts.windows.net/T/", "api://4f1b", &[
            &["plain Entra: ", "v1.0 tokens", "https://login.microsoftonline.com/T/v2.0"],
        ]),
    ];
    for (case, name, audience, expected) in rows {
        let world = World::of(issuer.clone())
            .set("AUTH0_ISSUER", name)
            .set("AUTH0_API_AUDIENCE", audience)
            .set("AUTH0_JWKS_FILE", "keys");
        fs::write(world.directory.path().join("keys"), &keys).unwrap();
        let output = checked(&world);
        assert_eq!(output.code, Some(0), "{case}: {}", output.stdout);
        let found = findings(&output, "Issuer ");
        for words in expected {
            assert_finds(case, &found, words);
        }
        let entra = found.iter().filter(|finding| finding.contains(" Entra: "));
        assert_eq!(entra.count(), expected.len(), "{case}: {found:#?}");
    }
}
