//! The issuers file of a running service, reloaded by SIGHUP and under load.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::process::Command;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Fault, Issuer},
};

#[cfg(target_os = "linux")]
use crate::process::replace_by_pipe;
use crate::process::{BINARY, Process};

async fn issuer() -> Issuer {
    Issuer::with_algorithm(Algorithm::ES256).await
}

fn table(issuer: &Issuer, more: &str) -> String {
    let url = issuer.url();
    format!("[[issuer]]\nurl = \"{url}\"\nalgorithms = [\"ES256\"]\n{more}\n")
}

async fn serve(file: &Path) -> Process {
    serve_with(file, &[]).await
}

async fn serve_with(file: &Path, more: &[(&str, &str)]) -> Process {
    let mut command = Command::new(BINARY);
    let file = [("ISSUERS_FILE", file.to_str().unwrap())];
    let others = [
        ("AUTH0_API_AUDIENCE", "https://api.example.com"),
        // With a line for each request, we'd have to read thousands of lines to find the one that
        // the test waits for.
        ("RUST_LOG", "info,warp_bearer::request=off"),
    ];
    Process::run(command.arg("serve"), &[&file[..], &others, more].concat()).await
}

/// The status of `/readyz`, and `last_error` and `keys` of each issuer.
async fn readiness(service: &Process) -> (u16, Vec<(Value, u64)>) {
    let url = format!("http://{}/readyz", service.address);
    let answer = reqwest::get(url).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["ready"], status == 200, "{body}");
    let issuers = body["issuers"].as_array().unwrap().iter();
    let state = |issuer: &Value| {
        (
            issuer["last_error"].clone(),
            issuer["keys"].as_u64().unwrap(),
        )
    };
    (status, issuers.map(state).collect())
}

async fn status(service: &Process, token: &str) -> u16 {
    let url = format!("http://{}/api/private", service.address);
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_the_issuers_file_without_losing_requests() {
    let (stays, comes) = (issuer().await, issuer().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    fs::write(&file, table(&stays, "")).unwrap();
    let mut service = serve(&file).await;
    service.logged("key set fetched").await;
    assert_eq!(status(&service, &comes.token().sign()).await, 401);

    let done = Arc::new(AtomicBool::new(false));
    let load = (0..4).map(|_| {
        let (done, issuer) = (Arc::clone(&done), stays.clone());
        let url = format!("http://{}/api/private", service.address);
        tokio::spawn(async move {
            let client = reqwest::Client::new();
            let seen = issuer.token().sign();
            let mut requests = 0;
            while !done.load(Ordering::Relaxed) {
                for token in [&seen, &issuer.token().sign()] {
                    let answer = client.get(&url).bearer_auth(token).send().await;
                    assert_eq!(answer.unwrap().status(), 200);
                    requests += 1;
                }
            }
            requests
        })
    });
    let load: Vec<_> = load.collect();
    for round in 0..10 {
        let leeway = format!("leeway = \"{}s\"", round + 1);
        let more = if round % 2 == 0 {
            table(&comes, "")
        } else {
            String::new()
        };
        fs::write(&file, table(&stays, &leeway) + &more).unwrap();
        service.hangup();
        service.logged("issuers file reloaded").await;
        let token = comes.token().sign();
        let expected = if round % 2 == 0 { 200 } else { 401 };
        assert_eq!(status(&service, &token).await, expected, "{round}");
    }

    // An invalid file has to be logged, and must change nothing else.
    fs::write(
        &file,
        "[[issuer]]\nurl = \"https://a.example/\"\nleway = \"1s\"\n",
    )
    .unwrap();
    service.hangup();
    let fault = service.logged("issuers.toml:3: in [[issuer]] ").await;
    assert!(fault.contains("did you mean leeway?"), "{fault}");
    fs::remove_file(&file).unwrap();
    service.hangup();
    service.logged("which does not exist").await;
    assert_eq!(status(&service, &stays.token().sign()).await, 200);

    done.store(true, Ordering::Relaxed);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_says_that_proofs_are_recorded_only_here() {
    let issuer = issuer().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    let mode = |mode: &str| table(&issuer, &format!("dpop = \"{mode}\""));
    let local = "only this process knows which DPoP proofs were used";
    fs::write(&file, mode("off")).unwrap();
    let url = ("PUBLIC_URL", "https://api.example.com");
    let mut service = serve_with(&file, &[url]).await;
    for _ in 0..2 {
        fs::write(&file, mode("allowed")).unwrap();
        service.hangup();
        service.logged("issuers file reloaded").await;
        service.logged(local).await;
        fs::write(&file, mode("off")).unwrap();
        service.hangup();
        service.logged("issuers file reloaded").await;
    }
    service.stop().await;
}

/// One tenant's issuer shouldn't make the service unready for all other tenants.
#[tokio::test(flavor = "multi_thread")]
async fn readyz_needs_the_keys_of_one_issuer_only() {
    let (up, down, slow) = (issuer().await, issuer().await, issuer().await);
    down.fail(Fault::Status(500));
    slow.fail(Fault::Hang);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    fs::write(&file, table(&up, "") + &table(&down, "")).unwrap();
    let mut service = serve_with(&file, &[("AUTH0_JWKS_TIMEOUT", "30s")]).await;
    service.logged("key set fetched").await;
    service.logged("key set fetch failed").await;
    let failed = (json!("status"), 0);
    let has_keys = (Value::Null, 1);
    let expected = (200, vec![has_keys.clone(), failed.clone()]);
    assert_eq!(readiness(&service).await, expected, "one of two is down");

    // the new issuer doesn't answer its first request until the test ends
    fs::write(
        &file,
        table(&up, "") + &table(&down, "") + &table(&slow, ""),
    )
    .unwrap();
    service.hangup();
    service.logged("issuers file reloaded").await;
    until_asked(&slow).await;
    let expected = (200, vec![has_keys, failed.clone(), (Value::Null, 0)]);
    assert_eq!(readiness(&service).await, expected, "a reload adds one");
    assert_eq!(status(&service, &up.token().sign()).await, 200);

    // Now no issuer has keys
    fs::write(&file, table(&down, "")).unwrap();
    service.hangup();
    service.logged("issuers file reloaded").await;
    assert_eq!(readiness(&service).await, (503, vec![failed]));
    down.recover();
    service.hangup();
    service.logged("key set fetched").await;
    assert_eq!(readiness(&service).await.0, 200);
    service.stop().await;
}

async fn until_asked(issuer: &Issuer) {
    let requests = || {
        let requests = issuer.requests();
        requests.discovery + requests.jwks
    };
    let patience = Instant::now() + Duration::from_secs(20);
    while requests() == 0 {
        assert!(Instant::now() < patience, "it is never asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_follows_a_key_source_that_moves_and_keeps_what_works() {
    let (stays, moves) = (issuer().await, issuer().await);
    let other = issuer().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    let with = |more: &str| fs::write(&file, table(&stays, "") + &table(&moves, more)).unwrap();
    with("");
    let mut service = serve(&file).await;
    service.logged("key set fetched").await;
    service.logged("key set fetched").await;
    let old = moves.token().sign();
    assert_eq!(status(&service, &old).await, 200);

    // With keys from another source, tokens of the old keys must be rejected, even those that were
    // seen before.
    with(&format!("jwks_uri = \"{}\"", other.jwks_uri()));
    service.hangup();
    service.logged("issuers file reloaded").await;
    let new = other.token().claim("iss", moves.url()).sign();
    assert_eq!(status(&service, &new).await, 200);
    assert_eq!(status(&service, &old).await, 401);
    assert_eq!(status(&service, &stays.token().sign()).await, 200);

    // A missing key file, two sources, or bytes that aren't text should leave the issuers
    // unchanged.
    let keys = directory.path().join("keys.json");
    #[rustfmt::skip]
    let faults = [
        (format!("jwks_file = \"{}\"", keys.display()), "which does not exist"),
        (format!("jwks_file = \"{}\"\njwks_uri = \"{}\"", keys.display(), other.jwks_uri()), "set together with jwks_uri"),
        ("introspection = \"opaque\"".to_owned(), "set one of introspection_client_secret"),
        ("ca_file = \"/nowhere/ca.pem\"".to_owned(), "ca_file: found"),
        ("= 5".to_owned(), "not valid TOML"),
    ];
    for (more, words) in faults {
        with(&more);
        service.hangup();
        service.logged(words).await;
        assert_eq!(status(&service, &new).await, 200, "{more}");
        assert_eq!(status(&service, &old).await, 401, "{more}");
    }
    fs::write(&file, b"[[issuer]]\nurl = \"\xff\"").unwrap();
    service.hangup();
    service.logged("is not UTF-8").await;
    assert_eq!(status(&service, &stays.token().sign()).await, 200);

    // a file with the old key
    let set = serde_json::json!({"keys": [moves.key().public_jwk()]});
    fs::write(&keys, set.to_string()).unwrap();
    with(&format!("jwks_file = \"{}\"", keys.display()));
    service.hangup();
    service.logged("issuers file reloaded").await;
    assert_eq!(status(&service, &moves.token().sign()).await, 200);
    assert_eq!(status(&service, &new).await, 401);
    service.stop().await;
}

/// A file that can't be reloaded is only used again at the next start, so an alert has to show it.
#[tokio::test]
async fn failed_reloads_are_in_the_metrics() {
    let trusted = issuer().await;
    let directory = tempfile::tempdir().unwrap();
    let [file, certificate, key] =
        ["issuers.toml", "tls.crt", "tls.key"].map(|name| directory.path().join(name));
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let write = |is_good: bool| {
        let table = table(&trusted, if is_good { "" } else { "= 5" });
        fs::write(&file, table).unwrap();
        let pem = if is_good {
            pair.cert.pem()
        } else {
            "half".to_owned()
        };
        fs::write(&certificate, pem).unwrap();
    };
    write(true);
    let more = [
        ("METRICS_LISTEN", "127.0.0.1:0"),
        ("TLS_CERT_FILE", certificate.to_str().unwrap()),
        ("TLS_KEY_FILE", key.to_str().unwrap()),
    ];
    let mut service = serve_with(&file, &more).await;
    let address = service.logged("metrics address=").await;
    let failed = async || {
        let page = reqwest::get(format!("http://{address}/metrics")).await;
        let page = page.unwrap().text().await.unwrap();
        let series = page.lines().filter_map(|line| {
            let rest = line.strip_prefix("warp_bearer_reload_failed{file=\"")?;
            rest.split_once("\"} ")
        });
        let mut series: Vec<_> = series
            .map(|(file, value)| format!("{file} {value}"))
            .collect();
        series.sort();
        series.join(", ")
    };
    assert_eq!(failed().await, "certificate 0, issuers 0");
    for (is_good, expected) in [
        (false, "certificate 1, issuers 1"),
        (true, "certificate 0, issuers 0"),
    ] {
        write(is_good);
        service.hangup();
        let deadline = Instant::now() + Duration::from_secs(10);
        while failed().await != expected {
            assert!(Instant::now() < deadline, "{expected}: {}", failed().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    service.stop().await;
}

async fn ask_metadata(service: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let url = format!("http://{service}/.well-known/oauth-protected-resource{path}");
    let request = reqwest::Client::new().request(method.parse().unwrap(), url);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn metadata_is_at(service: SocketAddr, path: &str, audience: &str) {
    for path in [path, &format!("{path}/")] {
        let (status, text) = ask_metadata(service, "GET", path).await;
        let resource = format!("\"resource\":\"{audience}\"");
        assert!(status == 200 && text.contains(&resource), "{path}: {text}");
    }
    assert_eq!(ask_metadata(service, "POST", path).await.0, 405, "{path}");
    let unknown = format!("{path}?audience=https://b.example/never");
    assert_eq!(
        ask_metadata(service, "GET", &unknown).await.0,
        400,
        "{path}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_replaces_the_metadata_of_the_audiences() {
    let issuer = issuer().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    let with = |audience: &str| {
        let audiences = format!("audiences = [\"https://api.example.com\", \"{audience}\"]");
        fs::write(&file, table(&issuer, &audiences)).unwrap();
    };
    with("https://a.example/one");
    let resource = [("AUTH0_RESOURCE", "https://api.example.com")];
    let mut service = serve_with(&file, &resource).await;
    service.logged("key set fetched").await;
    let address = service.address;
    metadata_is_at(address, "/one", "https://a.example/one").await;
    for method in ["GET", "POST"] {
        assert_eq!(
            ask_metadata(address, method, "/two").await.0,
            404,
            "{method}"
        );
    }

    with("https://b.example/two");
    service.hangup();
    service.logged("issuers file reloaded").await;
    metadata_is_at(address, "/two", "https://b.example/two").await;
    for method in ["GET", "POST"] {
        assert_eq!(
            ask_metadata(address, method, "/one").await.0,
            404,
            "{method}"
        );
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_issuer_leaves_no_metrics() {
    let (stays, leaves) = (issuer().await, issuer().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    fs::write(&file, table(&stays, "") + &table(&leaves, "")).unwrap();
    let mut service = serve_with(&file, &[("METRICS_LISTEN", "127.0.0.1:0")]).await;
    let address = service.logged("metrics address=").await;
    for _ in 0..2 {
        service.logged("key set fetched").await;
    }
    let series = async |issuer: &Issuer| {
        let page = reqwest::get(format!("http://{address}/metrics")).await;
        let page = page.unwrap().text().await.unwrap();
        page.matches(&format!("issuer=\"{}\"", issuer.url()))
            .count()
    };
    let before = series(&leaves).await;
    assert!(before >= 6 && before == series(&stays).await, "{before}");

    fs::write(&file, table(&stays, "")).unwrap();
    service.hangup();
    service.logged("issuers file reloaded").await;
    assert_eq!(series(&leaves).await, 0);
    assert_eq!(series(&stays).await, before);
    service.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_place_of_the_file_delays_nothing() {
    const PATIENCE: Duration = Duration::from_secs(3);

    let issuer = issuer().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    fs::write(&file, table(&issuer, "")).unwrap();
    let mut service = serve(&file).await;
    service.logged("key set fetched").await;
    replace_by_pipe(&file);
    service.hangup();
    service.logged("is not a regular file").await;

    let client = reqwest::Client::builder().timeout(PATIENCE).build();
    let alive = client
        .unwrap()
        .get(format!("http://{}/livez", service.address));
    assert_eq!(alive.send().await.unwrap().status(), 200);

    let added = self::issuer().await;
    fs::remove_file(&file).unwrap();
    fs::write(&file, table(&issuer, "") + &table(&added, "")).unwrap();
    service.hangup();
    service.logged("issuers file reloaded issuers=2").await;
    service.terminate();
    service.ended_within(PATIENCE).await;
}
