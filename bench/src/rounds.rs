//! Interleaved rounds of every scenario on every server, and the table of ratios.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use warp_bearer::issuer::{Issuer, SigningKey};

use crate::load;

const CONNECTIONS: usize = 64;
const SEEN: usize = 10_000;

/// One row: what is asked of which server, and how it has to answer.
struct Scenario {
    name: &'static str,
    server: &'static str,
    status: &'static str,
    requests: Vec<Vec<u8>>,
    warm: bool,
}

/// A ratio between two rows, and the least that is good enough.
struct Goal {
    name: &'static str,
    of: &'static str,
    to: &'static str,
    goal: f64,
    gate: f64,
}

#[rustfmt::skip]
const GOALS: [Goal; 9] = [
    Goal { name: "public, of bare hyper", of: "public", to: "bare", goal: 0.90, gate: 0.80 },
    Goal { name: "fresh tokens, of hyper + RSA", of: "fresh", to: "rsa", goal: 0.95, gate: 0.85 },
    Goal { name: "seen tokens, of public", of: "seen", to: "public", goal: 0.90, gate: 0.80 },
    Goal { name: "seen tokens, of bare hyper", of: "seen", to: "bare", goal: 0.80, gate: 0.70 },
    Goal { name: "bad signature, of fresh", of: "bad signature", to: "fresh", goal: 0.98, gate: 0.90 },
    Goal { name: "unknown kid, of public", of: "unknown kid", to: "public", goal: 0.85, gate: 0.75 },
    Goal { name: "garbage, of public", of: "garbage", to: "public", goal: 0.85, gate: 0.75 },
    Goal { name: "no token, of public", of: "no token", to: "public", goal: 0.85, gate: 0.75 },
    Goal { name: "expired, of public", of: "expired", to: "public", goal: 0.80, gate: 0.60 },
];

pub fn run(service: &str, rounds: usize, requests: usize, gate: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let issuer = runtime.block_on(Issuer::start());
    let scenarios = scenarios(&issuer, requests);
    let mut servers = BTreeMap::new();
    let jwk = issuer.key().public_jwk();
    let key = format!(
        "{}.{}",
        jwk["n"].as_str().unwrap(),
        jwk["e"].as_str().unwrap()
    );
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    servers.insert("bare", Server::start(&[own, "reference", "bare"], &issuer));
    servers.insert(
        "rsa",
        Server::start(&[own, "reference", "rsa", &key], &issuer),
    );

    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..rounds {
        for scenario in &scenarios {
            // Fresh tokens are fresh to a service that has just begun.
            let own_server =
                (scenario.server == "service").then(|| Server::start(&[service], &issuer));
            let server = own_server
                .as_ref()
                .unwrap_or_else(|| &servers[scenario.server]);
            let rate = server.rate(scenario, requests);
            rates.entry(scenario.name).or_default().push(rate);
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    report(&rates, gate);
}

fn scenarios(issuer: &Issuer, requests: usize) -> Vec<Scenario> {
    let token = |i: usize| {
        issuer
            .token()
            .subject(format!("auth0|{i:024}"))
            .scope("openid profile email read:messages write:messages")
            .claim("azp", "9h4-dtB1yMithMd1Z0tLrMe-IoKqsyDZ")
    };
    let get = |path: &str, token: Option<&str>| {
        let field = token.map_or(String::new(), |token| {
            format!("authorization: Bearer {token}\r\n")
        });
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{field}\r\n").into_bytes()
    };
    let private = |token: &str| get("/api/private", Some(token));
    let fresh: Vec<_> = (0..requests).map(|i| private(&token(i).sign())).collect();
    let seen: Vec<_> = (0..SEEN).map(|i| private(&token(i).sign())).collect();
    let stranger = SigningKey::generate(issuer.key().algorithm());
    let refused = |sign: &dyn Fn(usize) -> String| (0..500).map(|i| private(&sign(i))).collect();
    let bad = refused(&|i| token(i).key(&stranger).kid(issuer.key().kid()).sign());
    let unknown = refused(&|i| token(i).kid(&format!("made-up-{i}")).sign());
    let expired = refused(&|i| token(i).expired().sign());
    let row = |name, server, status, requests, warm| Scenario {
        name,
        server,
        status,
        requests,
        warm,
    };
    vec![
        row("bare", "bare", "200", seen.clone(), true),
        row("rsa", "rsa", "200", seen.clone(), true),
        row(
            "public",
            "service",
            "200",
            vec![get("/api/public", None)],
            true,
        ),
        row("fresh", "service", "200", fresh, false),
        row("seen", "service", "200", seen, true),
        row("bad signature", "service", "401", bad, false),
        row("unknown kid", "service", "401", unknown, true),
        row(
            "garbage",
            "service",
            "401",
            vec![private(&"x".repeat(788))],
            true,
        ),
        row(
            "no token",
            "service",
            "401",
            vec![get("/api/private", None)],
            true,
        ),
        row("expired", "service", "401", expired, true),
    ]
}

/// A server under measurement, on a processor of its own.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(command: &[&str], issuer: &Issuer) -> Self {
        let port = free_port();
        let mut process = Command::new("taskset")
            .args(["-c", "0"])
            .args(command)
            .env("AUTH0_ISSUER", issuer.url())
            .env("AUTH0_API_AUDIENCE", issuer.audience())
            .env("LISTEN", format!("127.0.0.1:{port}"))
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let address = if command.contains(&"reference") {
            let mut line = String::new();
            let stdout = process.stdout.take().unwrap();
            BufReader::new(stdout).read_line(&mut line).unwrap();
            line.trim().parse().unwrap()
        } else {
            SocketAddr::from(([127, 0, 0, 1], port))
        };
        let server = Self { process, address };
        server.wait();
        server
    }

    /// Until it has its keys; the references have nothing to wait for.
    fn wait(&self) {
        let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        for _ in 0..1000 {
            if let Ok(mut stream) = std::net::TcpStream::connect(self.address) {
                use std::io::{Read, Write};
                let mut answer = String::new();
                let _ = stream.write_all(request);
                let _ = stream.read_to_string(&mut answer);
                // The reference with RSA answers 401 to whoever has no token.
                if ["HTTP/1.1 200", "HTTP/1.1 401"].iter().any(|up| answer.starts_with(up)) {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server is not ready");
    }

    /// Requests per second of the server's processor time.
    fn rate(&self, scenario: &Scenario, count: usize) -> f64 {
        if scenario.warm {
            let every = scenario.requests.len().max(2000);
            load::run(
                self.address,
                &scenario.requests,
                every,
                CONNECTIONS,
                scenario.status,
            );
        }
        let before = self.processor_time();
        load::run(
            self.address,
            &scenario.requests,
            count,
            CONNECTIONS,
            scenario.status,
        );
        #[allow(clippy::cast_precision_loss)]
        let count = count as f64;
        count / (self.processor_time() - before)
    }

    /// In seconds, from the sum of the threads' schedstat, which counts nanoseconds.
    fn processor_time(&self) -> f64 {
        let tasks = format!("/proc/{}/task", self.process.id());
        let nanoseconds: u64 = std::fs::read_dir(tasks)
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("schedstat")).ok())
            .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
            .sum();
        Duration::from_nanos(nanoseconds).as_secs_f64()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn report(rates: &BTreeMap<&str, Vec<f64>>, gate: bool) {
    println!("| scenario | thousand requests per CPU-second | spread |\n|---|---|---|");
    for (name, rates) in rates {
        let (low, median, high) = spread(rates);
        println!(
            "| {name} | {:.1} | {:.1} to {:.1} |",
            median / 1e3,
            low / 1e3,
            high / 1e3
        );
    }
    println!("\n| ratio | measured | goal | gate |\n|---|---|---|---|");
    let mut missed = false;
    for goal in GOALS {
        // Of each round by itself, so that what drifts between rounds cancels out.
        let ratios: Vec<f64> = rates[goal.of]
            .iter()
            .zip(&rates[goal.to])
            .map(|(of, to)| of / to)
            .collect();
        let (_, ratio, _) = spread(&ratios);
        let mark = if ratio < goal.gate { "**missed**" } else { "" };
        missed |= ratio < goal.gate;
        println!(
            "| {} | {ratio:.3} | {:.2} | {:.2} {mark} |",
            goal.name, goal.goal, goal.gate
        );
    }
    if gate && missed {
        std::process::exit(1);
    }
}

fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    (
        values[0],
        values[values.len() / 2],
        values[values.len() - 1],
    )
}
