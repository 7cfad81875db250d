//! Everything that can be measured, one named row each. `goals` compares the rows.

use std::process::Command;

use crate::{
    goals::Goal,
    ground::{Ground, MANY, PUBLIC_URL, SEEN, SOME, WARM},
    pace,
    peers::{self, Peer},
    server::{self, Asked, Server},
    tokens::{self, PUBLIC},
};

pub struct Row<'a> {
    pub name: String,
    pub measure: Box<dyn Fn() -> f64 + 'a>,
}

/// Returns the rows that these goals need, in order and without duplicates.
pub fn needed<'a>(goals: &[Goal], ground: &'a Ground, peers: &[&'static Peer]) -> Vec<Row<'a>> {
    let mut names: Vec<&str> = Vec::new();
    for name in goals.iter().flat_map(Goal::rows) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let running = peers::start(peers, ground);
    let row = |name: &&str| Row {
        name: (*name).to_owned(),
        measure: running
            .row(name, ground)
            .unwrap_or_else(|| own(name, ground)),
    };
    names.iter().map(row).collect()
}

fn own<'a>(name: &str, ground: &'a Ground) -> Box<dyn Fn() -> f64 + 'a> {
    let measure = OWN.iter().find(|(own, _)| *own == name);
    let (_, measure) = measure.unwrap_or_else(|| panic!("no row is called {name}"));
    Box::new(move || measure(ground))
}

type Measure = fn(&Ground) -> f64;

/// The row with the size of the binary without `/docs`.
pub const BINARY: &str = "binary";

/// Rates are in requests per second of the server's processor time, times in microseconds unless
/// the name says otherwise, and memory in bytes.
#[rustfmt::skip]
const OWN: &[(&str, Measure)] = &[
    ("bare", |g| seen(g, g.bare())),
    ("rsa", |g| seen(g, g.rsa())),
    ("public", |g| public(g, &g.service())),
    ("fresh", |g| fresh(g, &g.service())),
    ("seen", |g| seen(g, &g.service())),

    ("bad signature", |g| refused(g, g.forged())),
    ("unknown kid", |g| refused(g, g.unknown())),
    ("garbage", |g| refused(g, &[tokens::private(&"x".repeat(788))])),
    ("no token", |g| refused(g, &[tokens::get("/api/private", None)])),
    ("expired", |g| refused(g, g.expired())),

    ("p256", |g| with_proofs(g, g.p256())),
    ("proof", |g| with_proofs(g, &g.service_with(1, demands_proofs))),
    ("some seen", |g| some(g, &g.service(), &g.callers()[..SOME])),
    ("some opaque", |g| some(g, &introspecting(g), g.opaque())),

    ("fresh, 100 keys", fresh_with_a_hundred_keys),
    ("one seen", |g| one_of_many(g, 1)),
    ("100,000 seen", |g| one_of_many(g, MANY)),
    ("fresh, 8 KB", fresh_and_large),

    ("p50, rsa", |g| paced(g, g.rsa(), 1_000.0, 50)),
    ("p50, fresh", |g| paced(g, &g.service(), 1_000.0, 50)),
    ("p99, rsa", |g| paced(g, g.rsa(), g.half_of_capacity(), 99)),
    ("p99, fresh", |g| paced(g, &g.service(), g.half_of_capacity(), 99)),

    ("memory, idle", |g| g.service().memory()),
    ("memory, a token", memory_of_a_token),
    (BINARY, |g| size(g)),
    ("start", |g| g.service().started_in.as_secs_f64() * 1e6),
    ("start, all on", |g| all_on(g).started_in.as_secs_f64() * 1e6),

    ("public, watched", |g| public(g, &watched(g))),
    ("fresh, watched", |g| fresh(g, &watched(g))),
    ("seen, watched", |g| seen(g, &watched(g))),

    ("fresh, two processors", |g| fresh(g, &g.service_with(2, |_| {}))),
    ("seen, two processors", |g| seen(g, &g.service_with(2, |_| {}))),
];

fn public(ground: &Ground, server: &Server) -> f64 {
    let requests = [PUBLIC.to_vec()];
    rate(ground, server, &[], &requests, 200)
}

/// Measures tokens that the warmed-up server has not verified before.
fn fresh(ground: &Ground, server: &Server) -> f64 {
    let (warm, requests) = ground.callers().split_at(WARM);
    rate(ground, server, warm, requests, 200)
}

/// Measures tokens that the server has verified before.
fn seen(ground: &Ground, server: &Server) -> f64 {
    let requests = &ground.callers()[..SEEN];
    rate(ground, server, requests, requests, 200)
}

fn refused(ground: &Ground, requests: &[Vec<u8>]) -> f64 {
    rate(ground, &ground.service(), requests, requests, 401)
}

fn fresh_with_a_hundred_keys(ground: &Ground) -> f64 {
    ground.issuer.publish(tokens::hundred_keys(&ground.issuer));
    let server = ground.service();
    ground.issuer.restore();
    fresh(ground, &server)
}

/// Cycles through `live` tokens, with a cache that has room for all of them.
fn one_of_many(ground: &Ground, live: usize) -> f64 {
    let room = (2 * MANY).to_string();
    let server = ground.service_with(1, |command| {
        command.env("AUTH0_TOKEN_CACHE", room);
    });
    let requests = &ground.many()[..live];
    rate(ground, &server, requests, requests, 200)
}

fn fresh_and_large(ground: &Ground) -> f64 {
    let (warm, requests) = ground.large().split_at(ground.large().len() / 4);
    let once = Asked {
        warm,
        requests,
        count: requests.len(),
        status: 200,
    };
    ground.service().rate(&once)
}

fn rate(
    ground: &Ground,
    server: &Server,
    warm: &[Vec<u8>],
    requests: &[Vec<u8>],
    status: u16,
) -> f64 {
    server.rate(&Asked {
        warm,
        requests,
        count: ground.requests,
        status,
    })
}

/// Measures for two seconds, or until we run out of fresh tokens.
fn paced(ground: &Ground, server: &Server, per_second: f64, percent: usize) -> f64 {
    let (warm, requests) = ground.callers().split_at(WARM);
    seen_once(server, warm, warm.len());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = requests.len().min((2.0 * per_second) as usize);
    pace::percentile(
        &pace::run(server.address, &requests[..count], per_second),
        percent,
    )
}

/// Sends one token, with a new proof each time.
fn with_proofs(ground: &Ground, server: &Server) -> f64 {
    let proofs = ground.proofs(ground.requests + 500);
    let (warm, requests) = proofs.split_at(500);
    rate(ground, server, warm, requests, 200)
}

fn demands_proofs(command: &mut Command) {
    command
        .env("AUTH0_DPOP", "allowed")
        .env("PUBLIC_URL", PUBLIC_URL);
}

/// Sends `requests` once to warm up, and then measures them.
fn some(ground: &Ground, server: &Server, requests: &[Vec<u8>]) -> f64 {
    rate(ground, server, requests, requests, 200)
}

fn introspecting(ground: &Ground) -> Server {
    ground.service_with(1, |command| introspect(ground, command))
}

fn introspect(ground: &Ground, command: &mut Command) {
    command
        .env("AUTH0_INTROSPECTION", "opaque")
        .env("AUTH0_INTROSPECTION_CLIENT_ID", ground.issuer.client_id())
        .env(
            "AUTH0_INTROSPECTION_CLIENT_SECRET",
            ground.issuer.client_secret(),
        )
        .env("AUTH0_INTROSPECTION_TTL", "10m");
}

/// The service with proofs, introspection, revocation, metadata and metrics.
fn all_on(ground: &Ground) -> Server {
    let revoked = std::env::temp_dir().join(format!("warp-bearer-revoked-{}", std::process::id()));
    std::fs::write(&revoked, "").unwrap();
    let server = ground.service_with(1, |command| {
        demands_proofs(command);
        introspect(ground, command);
        command
            .env("AUTH0_REVOCATION_FILE", &revoked)
            .env("AUTH0_RESOURCE", "https://api.example.com")
            .env("METRICS_LISTEN", server::free_address().to_string());
    });
    std::fs::remove_file(&revoked).unwrap();
    server
}

/// Measures how much the resident memory grows per token, once connections and buffers exist.
fn memory_of_a_token(ground: &Ground) -> f64 {
    let server = ground.service_with(1, |command| {
        command.env("AUTH0_TOKEN_CACHE", (2 * SEEN).to_string());
    });
    let (warm, tokens) = ground.callers().split_at(1);
    seen_once(&server, warm, WARM);
    let before = server.memory();
    seen_once(&server, &tokens[..SEEN], SEEN);
    #[expect(clippy::cast_precision_loss)]
    let tokens = SEEN as f64;
    (server.memory() - before) / tokens
}

fn seen_once(server: &Server, requests: &[Vec<u8>], count: usize) {
    server.rate(&Asked {
        warm: &[],
        requests,
        count,
        status: 200,
    });
}

fn size(ground: &Ground) -> f64 {
    let binary = ground.without_docs.as_ref().expect("--without-docs");
    #[expect(clippy::cast_precision_loss)]
    let bytes = binary.metadata().unwrap().len() as f64;
    bytes
}

fn watched(ground: &Ground) -> Server {
    let log = ground.binary.with_file_name("watched.log");
    ground.service_with(1, |command| server::watched(command, &log))
}
