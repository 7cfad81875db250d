//! A thousand issuers in one file: what they cost at the start and in memory. Made-up names must
//! cost nothing.

use std::{
    fmt::Write,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};
use warp::Filter;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::{
    process::{BINARY, Process, kibibytes},
    support::frames::{HEADERS, count, preface, request},
};

const MANY: usize = 1000;

const PATIENCE: Duration = Duration::from_secs(60);

/// Issuers at the paths of a single server, each with its own key.
struct Issuers {
    origin: String,
    keys: Arc<Vec<SigningKey>>,
    requests: Arc<AtomicU64>,
    /// Builds the tokens of all issuers.
    kit: Issuer,
}

impl Issuers {
    async fn start() -> Self {
        let keys = (0..=MANY).map(|_| SigningKey::generate(Algorithm::ES256));
        let keys: Arc<Vec<_>> = Arc::new(keys.collect());
        let requests = Arc::new(AtomicU64::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (published, counted, base) = (keys.clone(), requests.clone(), origin.clone());
        let routes = warp::path!("i" / usize / ..).and(warp::path::tail()).map(
            move |number: usize, tail: warp::path::Tail| {
                counted.fetch_add(1, Ordering::Relaxed);
                let name = format!("{base}/i/{number}");
                warp::reply::json(&match tail.as_str() {
                    "jwks" => json!({"keys": [published[number].public_jwk()]}),
                    _ => json!({"issuer": name, "jwks_uri": format!("{name}/jwks")}),
                })
            },
        );
        tokio::spawn(warp::serve(routes).incoming(listener).run());
        Self {
            origin,
            keys,
            requests,
            kit: Issuer::with_algorithm(Algorithm::ES256).await,
        }
    }

    fn name(&self, number: usize) -> String {
        format!("{}/i/{number}", self.origin)
    }

    fn token(&self, number: usize, subject: usize) -> String {
        let key = &self.keys[number];
        let token = self.kit.token().claim("iss", self.name(number));
        let token = token.subject(format!("auth0|{subject}"));
        token.key(key).kid(key.kid()).sign()
    }

    fn write(&self, file: &Path, numbers: impl Iterator<Item = usize>) {
        let mut text = String::new();
        for number in numbers {
            writeln!(text, "[[issuer]]\nurl = \"{}\"", self.name(number)).unwrap();
        }
        fs::write(file, text).unwrap();
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

struct Service {
    process: Process,
    client: reqwest::Client,
    /// The time from the start of the process until it had the keys of every issuer.
    took: Duration,
}

impl Service {
    async fn start(file: &Path) -> Self {
        let began = Instant::now();
        let variables = [
            ("ISSUERS_FILE", file.to_str().unwrap()),
            ("AUTH0_API_AUDIENCE", "https://api.example.com"),
            ("AUTH0_ALGORITHMS", "ES256"),
            ("RUST_LOG", "warn,warp_bearer::service=info"),
        ];
        let process = Process::run(Command::new(BINARY).arg("serve"), &variables).await;
        let client = reqwest::Client::new();
        let ready = format!("http://{}/readyz", process.address);
        let patience = began + PATIENCE;
        // `ready` isn't enough: the service is ready before a failed fetch has been retried.
        while {
            let answer = client.get(&ready).send().await.unwrap();
            answer.status() != 200 || answer.text().await.unwrap().contains("\"keys\":0")
        } {
            assert!(
                Instant::now() < patience,
                "the service does not become ready"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self {
            process,
            client,
            took: began.elapsed(),
        }
    }

    async fn status(&self, token: &str) -> u16 {
        let url = format!("http://{}/api/private", self.process.address);
        let answer = self.client.get(url).bearer_auth(token).send().await;
        answer.unwrap().status().as_u16()
    }

    fn memory(&self) -> u64 {
        kibibytes(self.process.id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_issuers_cost_little() {
    let issuers = Issuers::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (one_file, file) = (
        directory.path().join("one.toml"),
        directory.path().join("many.toml"),
    );
    issuers.write(&one_file, 0..1);
    issuers.write(&file, 0..MANY);
    let one = Service::start(&one_file).await;
    let mut many = Service::start(&file).await;
    let per_issuer = many.memory().saturating_sub(one.memory()) * 1024 / MANY as u64;
    println!(
        "ready after {:?} with one issuer, {:?} with {MANY}; {per_issuer} bytes of memory each",
        one.took, many.took
    );
    assert!(per_issuer < 64 * 1024, "{per_issuer} bytes for each issuer");
    let fetched = issuers.requests();
    assert_eq!(
        fetched,
        2 * (MANY as u64 + 1),
        "each document is fetched once"
    );

    // We only check that seen and fresh tokens are accepted here. `bench/gate` measures their cost.
    let seen = issuers.token(0, 0);
    for number in 0..800 {
        for service in [&one, &many] {
            assert_eq!(service.status(&issuers.token(0, number)).await, 200);
            assert_eq!(service.status(&seen).await, 200);
        }
    }

    // made-up names must cause no request and take up no memory
    let before = many.memory();
    for number in 0..3000 {
        let token = issuers.kit.token();
        let token = token.claim(
            "iss",
            format!("{}/i/x{number}{}", issuers.origin, "y".repeat(900)),
        );
        assert_eq!(many.status(&token.sign()).await, 401);
    }
    let grown = many.memory().saturating_sub(before);
    println!("{grown} KiB more after 3000 names that are made up");
    assert!(grown < 2048, "{grown} KiB more");
    assert_eq!(issuers.requests(), fetched);

    // Remove one issuer and add one. Meanwhile, no request of another issuer may fail.
    issuers.write(
        &file,
        (0..MANY).filter(|number| *number != 500).chain([MANY]),
    );
    assert_eq!(many.status(&issuers.token(500, 0)).await, 200);
    assert_eq!(many.status(&issuers.token(MANY, 0)).await, 401);
    many.process.hangup();
    let (mut requests, patience) = (0, Instant::now() + PATIENCE);
    while many.status(&issuers.token(MANY, requests)).await != 200 {
        for number in [0, 1, 999] {
            assert_eq!(many.status(&issuers.token(number, requests)).await, 200);
        }
        requests += 1;
        assert!(
            Instant::now() < patience,
            "the new issuer is not accepted in time"
        );
    }
    assert_eq!(many.status(&issuers.token(500, 1)).await, 401);
    assert_eq!(
        many.status(&issuers.token(500, 0)).await,
        401,
        "seen before"
    );
    many.process.stop().await;
}

/// The documents list every issuer, even those whose keys can't be fetched.
#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_share_documents_that_list_many_issuers() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("issuers.toml");
    let tables = (0..MANY).map(|number| {
        format!("[[issuer]]\nurl = \"https://127.0.0.1:1/tenants/{number}/of-usual-length\"\n")
    });
    fs::write(&file, tables.collect::<String>()).unwrap();
    let variables = [
        ("ISSUERS_FILE", file.to_str().unwrap()),
        ("AUTH0_API_AUDIENCE", "https://api.example.com"),
        ("AUTH0_RESOURCE", "https://api.example.com"),
        ("RUST_LOG", "off,warp_bearer::service=info"),
    ];
    let mut process = Process::run(Command::new(BINARY).arg("serve"), &variables).await;
    // the first fetches need memory too, so we wait for them before we measure
    let ready = format!("http://{}/readyz", process.address);
    let patience = Instant::now() + PATIENCE;
    while {
        let document = reqwest::get(&ready).await.unwrap().text().await.unwrap();
        document.contains("\"last_error\":null")
    } {
        assert!(Instant::now() < patience, "a fetch does not end in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for path in ["/readyz", "/.well-known/oauth-protected-resource"] {
        const CONNECTIONS: u32 = 2;
        const STREAMS: u32 = 128;
        let url = format!("http://{}{path}", process.address);
        let document = reqwest::get(url).await.unwrap();
        let document = document.bytes().await.unwrap().len();
        assert!(document > 16 * 1024, "{path}: {document} bytes");
        let before = kibibytes(process.id);
        let mut peers = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut bytes = preface(0);
            bytes.extend((0..STREAMS).flat_map(|number| request("GET", path, 2 * number + 1)));
            let mut peer = TcpStream::connect(process.address).await.unwrap();
            peer.write_all(&bytes).await.unwrap();
            let mut heard = Vec::new();
            while count(&heard, HEADERS) < STREAMS as usize {
                let read = timeout(PATIENCE, peer.read_buf(&mut heard)).await;
                assert!(read.unwrap().unwrap() > 0, "{path}: the connection ends");
            }
            peers.push(peer);
        }
        let grown = kibibytes(process.id).saturating_sub(before);
        println!("{path}: {grown} KiB more for answers that are not read");
        // The bound in docs/production.md, plus room for rendering, which takes ten times the size
        // of the document. If each answer had its own copy, that would be 12 MiB or more.
        let bound = CONNECTIONS * (80 + STREAMS * 4) + 4096;
        assert!(grown < u64::from(bound), "{path}: {grown} KiB more");
        drop(peers);
    }
    process.stop().await;
}
