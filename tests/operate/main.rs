//! The running process as an operator sees it: signals, health, certificates and a long run.

mod issuers;
mod leaving;
mod many_issuers;
mod process;
mod revocations;
mod soak;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "otel")]
mod traces;
mod untaken;

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::spawn_blocking,
    time::timeout,
};

#[cfg(target_os = "linux")]
use crate::process::make_pipe;
use crate::process::{BINARY, Process, until};
use warp_bearer::issuer::{Fault, Issuer};

async fn health(listen: SocketAddr, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .env("LISTEN", listen.to_string())
        .current_dir(std::env::temp_dir())
        .arg("health")
        .args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.unwrap().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), stderr)
}

#[tokio::test]
async fn health_reports_liveness_and_readiness() {
    let issuer = Issuer::start().await;
    issuer.fail(Fault::Status(500));
    let mut service = Process::serve(&issuer, &[]).await;
    let address = service.address;

    assert_eq!(health(address, &[]).await, (0, String::new()), "alive");
    let (code, stderr) = health(address, &["--ready"]).await;
    assert_eq!(code, 1, "no keys yet: {stderr}");
    assert_eq!(
        stderr,
        format!("http://{address}/readyz answers 503 Service Unavailable\n")
    );

    issuer.recover();
    service.hangup();
    service.logged("key set fetched").await;
    assert_eq!(
        health(address, &["--ready"]).await,
        (0, String::new()),
        "ready"
    );

    service.stop().await;
    let (code, stderr) = health(address, &[]).await;
    assert_eq!(
        (code, stderr),
        (1, format!("http://{address}/livez cannot be reached\n"))
    );
}

/// With `METRICS_LISTEN`, a full service is still alive.
#[tokio::test]
async fn health_asks_the_metrics_listener_whether_the_service_is_alive() {
    let issuer = Issuer::start().await;
    let vars = [("METRICS_LISTEN", "127.0.0.1:0"), ("MAX_CONNECTIONS", "1")];
    let mut service = Process::serve(&issuer, &vars).await;
    let metrics = service.logged("metrics address=").await;
    let client = tokio::net::TcpStream::connect(service.address)
        .await
        .unwrap();
    let rows = [
        (None, "a full service", 1),
        (Some(&metrics), "the metrics listener of a full service", 0),
    ];
    for (metrics, case, code) in rows {
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .env("LISTEN", service.address.to_string())
            .envs(metrics.map(|metrics| ("METRICS_LISTEN", metrics)))
            .arg("health");
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(code), "{case}: {output:?}");
    }
    drop(client);
}

#[tokio::test]
async fn health_reads_only_the_address() {
    for (case, listen, code) in [
        ("no address", "nowhere", 78),
        ("no server", "127.0.0.1:1", 1),
    ] {
        let mut command = Command::new(BINARY);
        command.env_clear().env("LISTEN", listen).arg("health");
        let status = tokio::task::spawn_blocking(move || command.status())
            .await
            .unwrap();
        assert_eq!(status.unwrap().code(), Some(code), "{case}");
    }
}

#[tokio::test]
async fn sighup_fetches_keys_and_reloads_the_certificate() {
    let issuer = Issuer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        directory.path().join("tls.crt"),
        directory.path().join("tls.key"),
    );
    let renew = || {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&certificate, pair.cert.pem()).unwrap();
        fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    };
    renew();
    let tls = [
        ("TLS_CERT_FILE", certificate.to_str().unwrap()),
        ("TLS_KEY_FILE", key.to_str().unwrap()),
    ];
    let mut service = Process::serve(&issuer, &tls).await;
    service.logged("key set fetched").await;

    issuer.rotate();
    renew();
    let before = issuer.requests().jwks;
    service.hangup();
    service.logged("reload requested").await;
    until(|| issuer.requests().jwks > before).await;
    service.logged("certificate replaced").await;

    let mut command = Command::new(BINARY);
    command
        .env_clear()
        .env("LISTEN", service.address.to_string())
        .envs(tls)
        .arg("health");
    let status = tokio::task::spawn_blocking(move || command.status())
        .await
        .unwrap();
    assert!(status.unwrap().success(), "health connects with TLS");
    service.stop().await;
}

/// Starts a service whose `.env` is a pipe, and waits until it has opened the pipe. The start
/// continues when the test closes the file.
#[cfg(target_os = "linux")]
async fn starting(issuer: &Issuer, directory: &Path) -> (Process, fs::File) {
    let pipe = directory.join(".env");
    make_pipe(&pipe);
    let variables = [
        ("AUTH0_ISSUER", issuer.url()),
        ("AUTH0_API_AUDIENCE", issuer.audience()),
    ];
    let mut command = tokio::process::Command::new(BINARY);
    let command = command.arg("serve").current_dir(directory);
    let service = Process::begin(command, &variables);
    let opening = move || fs::OpenOptions::new().write(true).open(pipe);
    let opened = timeout(Duration::from_secs(20), spawn_blocking(opening)).await;
    let opened = opened.expect("the service reads its .env");
    (service, opened.unwrap().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sighup_during_the_start_reloads_after_it() {
    let issuer = Issuer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (mut service, env) = starting(&issuer, directory.path()).await;
    service.hangup();
    drop(env);
    service.listens().await;
    service.logged("reload requested").await;
    service.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sigterm_during_the_start_ends_the_process() {
    let issuer = Issuer::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (mut service, env) = starting(&issuer, directory.path()).await;
    service.terminate();
    service.ended().await;
    drop(env);
}

#[tokio::test]
async fn unusable_certificate_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = file("tls.crt", &pair.cert.pem());
    let empty = file("empty", "");
    for (case, certificate, key, expected) in [
        ("no key", &certificate, &empty, "TLS_KEY_FILE: the key "),
        (
            "no certificate",
            &empty,
            &empty,
            "TLS_CERT_FILE: the certificate ",
        ),
    ] {
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .env("AUTH0_ISSUER", "https://issuer.example/")
            .env("AUTH0_API_AUDIENCE", "urn:api")
            .env("LISTEN", "127.0.0.1:0")
            .env("TLS_CERT_FILE", certificate)
            .env("TLS_KEY_FILE", key)
            .arg("serve");
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(78), "{case}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.lines().last().unwrap().starts_with(expected),
            "{case}: {error}"
        );
    }
}

#[tokio::test]
async fn second_signal_stops_at_once() {
    let issuer = Issuer::start().await;
    let mut service = Process::serve(&issuer, &[("SHUTDOWN_GRACE", "1h")]).await;
    service.terminate();
    let line = service.logged("shutdown: ").await;
    assert_eq!(line, "shutdown requested signal=SIGTERM");
    service.terminate();
    let line = service.logged("shutdown: ").await;
    assert_eq!(line, "immediate shutdown requested signal=SIGTERM");
    service.ended().await;
}

/// Without a store, a restart would end the revocations of logouts.
#[tokio::test]
async fn warns_that_a_logout_does_not_outlive_the_process() {
    const WARNING: &str = "set, but STATE_STORE is not: a session";
    let issuer = Issuer::start().await;
    let logout = ("AUTH0_LOGOUT_CLIENT_ID", "app");
    let store = ("STATE_STORE", "redis://127.0.0.1:1");
    for (variables, warns) in [
        (&[logout][..], true),
        (&[logout, store], false),
        (&[], false),
    ] {
        let mut service = Process::serve(&issuer, variables).await;
        let warned = service.skipped().iter().any(|line| line.contains(WARNING));
        assert_eq!(warned, warns, "{variables:?}");
        service.stop().await;
    }
}

#[tokio::test]
async fn serves_metrics_at_the_configured_address() {
    let issuer = Issuer::start().await;
    let mut service = Process::serve(&issuer, &[("METRICS_LISTEN", "127.0.0.1:0")]).await;
    let address = service.logged("metrics address=").await;
    let page = reqwest::get(format!("http://{address}/metrics"))
        .await
        .unwrap();
    assert!(
        page.text()
            .await
            .unwrap()
            .contains("warp_bearer_build_info")
    );
    service.stop().await;
}

/// Probes use this listener too, so a connection with half a request shouldn't take up its room for
/// long.
#[tokio::test]
async fn unfinished_requests_leave_the_metrics_listener_soon() {
    let issuer = Issuer::start().await;
    let mut service = Process::serve(&issuer, &[("METRICS_LISTEN", "127.0.0.1:0")]).await;
    let address = service.logged("metrics address=").await;
    let mut peer = tokio::net::TcpStream::connect(&address).await.unwrap();
    peer.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(15), peer.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the connection is still open");
    service.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn idle_peers_leave_descriptors_for_key_fetches() {
    let issuer = Issuer::start().await;
    issuer.go_down().await;
    let mut service = Process::serve_after("ulimit -Sn 80; ulimit -Hn 128", &issuer).await;
    let line = service.logged("MAX_CONNECTIONS lowered").await;
    assert!(line.contains("connections=64 descriptors=128"), "{line}");

    let mut peers = Vec::new();
    for _ in 0..150 {
        let peer = tokio::net::TcpStream::connect(service.address).await;
        peers.push(peer.unwrap());
    }
    let open = || fs::read_dir(format!("/proc/{}/fd", service.id)).unwrap();
    until(|| open().count() >= 70).await;

    issuer.come_back().await;
    service.hangup();
    service.logged("key set fetched").await;
    drop(peers);
    service.stop().await;
}
