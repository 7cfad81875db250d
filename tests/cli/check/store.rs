//! The findings and advice of `check` about the state store.

use std::{iter, net::TcpListener};

use super::{assert_finds, checked, findings};
use crate::support::{redis::RedisServer, world::World};

/// The permissions that `check` lists. They are enough for the service.
const RIGHTS: &str = "~warp-bearer:* &warp-bearer:* +set +get +zadd +zscan +zremrangebyscore \
                      +publish +subscribe +hello +select +time +info +ping";

#[tokio::test(flavor = "multi_thread")]
async fn reports_a_usable_store() {
    let Some(server) = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let world = World::start().await.set("STATE_STORE", server.url());
    let output = checked(&world);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let found = findings(&output, "State store");
    let address = server.address().to_string();
    for words in [
        &["good connection", &*address][..],
        &["good rights"],
        &["good version", "Redis "],
        &["good memory"],
    ] {
        assert_finds("good", &found, words);
    }
    assert!(
        !found.iter().any(|line| line.starts_with("bad")),
        "{found:#?}"
    );
    assert!(
        !found.iter().any(|line| line.contains(": none")),
        "loopback needs no TLS"
    );
    // `check` leaves nothing behind except a key that expires within a second
    let list = server
        .command(&["EXISTS", "warp-bearer:list", "warp-bearer:birth"])
        .await;
    assert_eq!(list, ":0");
}

/// The manifest and the advice of `check` should agree about the user's permissions.
#[test]
fn valkey_manifest_grants_the_needed_permissions() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/deploy/kubernetes/valkey/valkey.yaml"
    );
    let manifest = std::fs::read_to_string(path).unwrap();
    let line = manifest.lines().map(str::trim);
    let mut users = line.filter_map(|line| line.strip_prefix("user warp-bearer on #HASH "));
    let granted = users.next().expect("the user");
    assert_eq!(granted.replace(" -@all", ""), RIGHTS);
    assert!(granted.contains(" -@all "), "{granted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_section_without_a_store() {
    let output = checked(&World::start().await);
    assert!(!output.stdout.contains("State store"), "{}", output.stdout);
}

/// The case, the URL, a CA file, the exit code, and words of a finding.
type Row<'a> = (
    &'static str,
    String,
    Option<&'a str>,
    i32,
    &'static [&'static str],
);

#[tokio::test(flavor = "multi_thread")]
async fn each_store_failure_has_advice() {
    let Some(plain) = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let user = |name: &str, rights: &str| format!("{name} on >hunter2 {rights}");
    let (api, poor) = (user("api", RIGHTS), user("poor", "~* &* +@all -zscan"));
    let blind = user("blind", "~* &* +@all -info");
    let mute = user("mute", "~* &* +@all -publish");
    let users = [&api, &poor, &blind, &mute].into_iter();
    let users = users.flat_map(|user| iter::once("--user").chain(user.split_whitespace()));
    let users: Vec<_> = users.chain(["--requirepass", "other"]).collect();
    let locked = RedisServer::start_with_tls(&users).unwrap();
    let primary = plain.address().port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary]).unwrap();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let tls_port = locked.tls_url("").rsplit_once(':').unwrap().1.to_owned();
    let authority = locked.authority();
    let authority = authority.to_str().unwrap();
    #[rustfmt::skip]
    let rows: [Row<'_>; 13] = [
        ("a store that evicts keys", plain.url(), None, 0, &["note memory", "allkeys-lru", "noeviction"]),
        ("no server", format!("redis://{closed}"), None, 1, &["bad connection", "cannot be reached", "check that the server is up"]),
        ("no TLS to a port with TLS", format!("redis://127.0.0.1:{tls_port}"), None, 1, &["bad connection", "rediss://"]),
        ("TLS to a port without TLS", plain.url().replace("redis:", "rediss:"), None, 1, &["bad connection", "TLS handshake", "redis://"]),
        ("an unknown authority", locked.tls_url("api:hunter2"), None, 1, &["bad connection", "TLS handshake", "SSL_CERT_FILE"]),
        ("a certificate for another host", locked.tls_url("api:hunter2").replace("localhost", "127.0.0.1"), Some(authority), 1, &["bad connection", "TLS handshake", "certificate names"]),
        ("a wrong password", locked.tls_url("api:wrong"), Some(authority), 1, &["bad connection", "rejected the login", "percent-encoding"]),
        ("no such database", plain.url() + "/99", None, 1, &["bad connection", "rejected the login", "database"]),
        ("a missing permission", locked.tls_url("poor:hunter2"), Some(authority), 1, &["bad connection", "refuses ZSCAN", "ACL SETUSER"]),
        ("a missing permission to publish", locked.tls_url("mute:hunter2"), Some(authority), 1, &["bad connection", "refuses PUBLISH", "ACL SETUSER"]),
        ("a missing permission for INFO", locked.tls_url("blind:hunter2"), Some(authority), 1, &["bad connection", "refuses INFO", "ACL SETUSER"]),
        ("a replica", replica.url(), None, 1, &["bad connection", "refuses SET", "primary"]),
        ("exactly the listed permissions", locked.tls_url("api:hunter2"), Some(authority), 0, &["good TLS", "trusted"]),
    ];
    for (case, url, trusted, code, words) in rows {
        let mut world = World::start().await.set("STATE_STORE", &url);
        if let Some(path) = trusted {
            world = world.set("SSL_CERT_FILE", path);
        }
        let output = checked(&world);
        let found = findings(&output, "State store");
        assert_finds(case, &found, words);
        assert_eq!(output.code, Some(code), "{case}: {found:#?}");
        assert!(
            !output.stdout.contains("hunter2"),
            "{case}: {}",
            output.stdout
        );
    }
}
