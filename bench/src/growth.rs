//! Counts how a request's cost grows with the number of issuers, revocations, tokens and so on.
//!
//! Each row compares the instructions of a request in a small setting with those in a large one.
//! Note that memory outside the processor's caches costs time but no instructions, which is why the
//! rows with many tokens are also measured in time, in `rows.rs`.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process,
};

use crate::{
    callgrind::{Asked, Counted},
    calls::asked_at_auth,
    ground::{Ground, MANY},
    server, tokens,
};

#[derive(clap::Args)]
pub struct Options {
    /// The service's binary.
    #[arg(long)]
    service: PathBuf,
    /// The rows to count, by a part of their names. Defaults to all.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
}

const WARM: usize = 200;
const COUNTED: usize = 500;
/// The number of fresh tokens for one count, in which each is sent once. The 20 extra ones are sent
/// before the count starts.
const FRESH: usize = COUNTED + 20;

/// The configuration of the service, and the requests that it gets.
#[derive(Default)]
struct Setting {
    environment: Vec<(&'static str, String)>,
    /// The number of idle connections to hold open meanwhile.
    connections: usize,
    warm: Vec<Vec<u8>>,
    counted: Vec<Vec<u8>>,
}

struct Row {
    name: &'static str,
    small: fn(&Ground, &Path) -> Setting,
    large: fn(&Ground, &Path) -> Setting,
    /// The allowed ratio of the cost in the large setting to that in the small one.
    goal: f64,
    gate: f64,
}

const ROWS: &[Row] = &[
    row(
        "seen tokens, 1 → 1,000 issuers",
        |g, d| seen(g, issuers(g, d, 1)),
        |g, d| seen(g, issuers(g, d, 1_000)),
    ),
    row(
        "fresh tokens, 1 → 1,000 issuers",
        |g, d| fresh(g, issuers(g, d, 1)),
        |g, d| fresh(g, issuers(g, d, 1_000)),
    ),
    row(
        "fresh tokens, 1 → 1,000 JOSE headers",
        |g, _| of_headers(g, 1),
        |g, _| of_headers(g, 1_000),
    ),
    row(
        "seen tokens, 0 → 100,000 revocations",
        |g, d| seen(g, revocations(g, d, 0)),
        |g, d| seen(g, revocations(g, d, 100_000)),
    ),
    row(
        "fresh tokens, 0 → 100,000 revocations",
        |g, d| fresh(g, revocations(g, d, 0)),
        |g, d| fresh(g, revocations(g, d, 100_000)),
    ),
    row(
        "seen tokens, 1 → 100,000 live",
        |g, _| live(g, 1),
        |g, _| live(g, MANY),
    ),
    row(
        "seen tokens, 1 → 10,000 connections",
        |g, _| seen(g, connections(0)),
        |g, _| seen(g, connections(10_000)),
    ),
    Row {
        // Grows, because a policy has to look at each of its scopes
        goal: 2.0,
        gate: 2.5,
        ..row(
            "/auth, policies of 1 → 64 scopes",
            |g, _| policy(g, 1),
            |g, _| policy(g, 64),
        )
    },
    Row {
        // Two thirds of the growth are hyper, which looks at each byte of a head that arrives in
        // pieces. The rest is for copying and comparing 15 KB.
        goal: 7.5,
        gate: 9.0,
        ..row(
            "seen tokens, 0.8 → 16 KB",
            |g, _| of_size(g, false, 0),
            |g, _| of_size(g, false, 740),
        )
    },
    Row {
        // The SHA-256 of 15 KB takes 500 thousand instructions here (valgrind doesn't support the
        // processor's SHA instructions).
        goal: 3.6,
        gate: 4.5,
        ..row(
            "fresh tokens, 0.8 → 16 KB",
            |g, _| of_size(g, true, 0),
            |g, _| of_size(g, true, 740),
        )
    },
];

const fn row(
    name: &'static str,
    small: fn(&Ground, &Path) -> Setting,
    large: fn(&Ground, &Path) -> Setting,
) -> Row {
    Row {
        name,
        small,
        large,
        goal: 1.05,
        gate: 1.1,
    }
}

pub fn run(options: &Options) {
    let ground = Ground::new(&options.service, FRESH);
    let folder = std::env::temp_dir().join(format!("warp-bearer-growth-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let is_wanted = |row: &&Row| {
        let mut parts = options.rows.iter();
        options.rows.is_empty() || parts.any(|part| row.name.contains(part))
    };
    println!("| instructions of a request | small | large | ratio | goal | gate |");
    println!("|---|---|---|---|---|---|");
    let mut is_missed = false;
    for Row {
        name,
        small,
        large,
        goal,
        gate,
    } in ROWS.iter().filter(is_wanted)
    {
        let small = count(&ground, small(&ground, &folder));
        let large = count(&ground, large(&ground, &folder));
        let ratio = large / small;
        is_missed |= ratio > *gate;
        let mark = if ratio <= *goal { "" } else { " (not reached)" };
        println!("| {name} | {small:.0} | {large:.0} | {ratio:.3}{mark} | ≤ {goal} | {gate} |");
    }
    fs::remove_dir_all(&folder).unwrap();
    if is_missed {
        eprintln!("missed: a request costs more than its gate allows");
        process::exit(1);
    }
}

fn count(ground: &Ground, setting: Setting) -> f64 {
    let mut service = server::service(
        &ground.binary,
        ground.issuer.url(),
        ground.issuer.audience(),
    );
    for (name, value) in &setting.environment {
        service.env(name, value);
        if *name == "ISSUERS_FILE" {
            service.env_remove("AUTH0_ISSUER");
        }
    }
    let server = Counted::start(&service);
    let _idle = server.open_idle(setting.connections);
    server.instructions(&Asked {
        warm: &setting.warm,
        counted: &setting.counted,
        count: COUNTED,
        status: 200,
    })
}

fn seen(ground: &Ground, setting: Setting) -> Setting {
    let token = ground.callers()[0].clone();
    Setting {
        warm: vec![token.clone(); WARM],
        counted: vec![token],
        ..setting
    }
}

fn fresh(ground: &Ground, setting: Setting) -> Setting {
    let (warm, rest) = ground.callers().split_at(WARM);
    Setting {
        warm: warm.to_vec(),
        counted: rest[..FRESH].to_vec(),
        ..setting
    }
}

/// Adds `count - 1` other issuers. Their keys are in a file, so that nothing is fetched.
fn issuers(ground: &Ground, folder: &Path, count: usize) -> Setting {
    let keys = folder.join("keys.json");
    fs::write(
        &keys,
        format!("{{\"keys\":[{}]}}", ground.issuer.key().public_jwk()),
    )
    .unwrap();
    let mut tables = format!("[[issuer]]\nurl = \"{}\"\n", ground.issuer.url());
    for i in 1..count {
        let keys = keys.display();
        write!(
            tables,
            "[[issuer]]\nurl = \"https://issuer-{i}.example.com/\"\njwks_file = \"{keys}\"\n"
        )
        .unwrap();
    }
    let file = folder.join("issuers.toml");
    fs::write(&file, tables).unwrap();
    Setting {
        environment: vec![("ISSUERS_FILE", file.display().to_string())],
        ..Setting::default()
    }
}

/// Revokes the tokens of `count` other subjects.
fn revocations(ground: &Ground, folder: &Path, count: usize) -> Setting {
    let mut lines = String::new();
    for i in 0..count {
        let issuer = ground.issuer.url();
        writeln!(
            lines,
            "{{\"iss\":\"{issuer}\",\"sub\":\"other|{i}\",\"before\":4000000000}}"
        )
        .unwrap();
    }
    let file = folder.join("revoked.jsonl");
    fs::write(&file, lines).unwrap();
    Setting {
        environment: vec![("AUTH0_REVOCATION_FILE", file.display().to_string())],
        ..Setting::default()
    }
}

fn connections(connections: usize) -> Setting {
    let environment = [("MAX_CONNECTIONS", "12000"), ("IDLE_TIMEOUT", "1h")];
    Setting {
        environment: environment
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec(),
        connections,
        ..Setting::default()
    }
}

/// Cycles through `live` tokens, with a cache that has room for all of them.
fn live(ground: &Ground, live: usize) -> Setting {
    let tokens = &ground.many()[..live];
    let warm = tokens.iter().cycle().take(live.max(WARM));
    Setting {
        environment: vec![("AUTH0_TOKEN_CACHE", (2 * MANY).to_string())],
        warm: warm.cloned().collect(),
        counted: tokens.to_vec(),
        ..Setting::default()
    }
}

fn of_headers(ground: &Ground, headers: usize) -> Setting {
    let token = |i| tokens::of_caller(&ground.issuer, i).header("x", format!("{:04}", i % headers));
    let requests = tokens::requests(headers.max(WARM) + FRESH, token);
    let (warm, counted) = requests.split_at(requests.len() - FRESH);
    Setting {
        warm: warm.to_vec(),
        counted: counted.to_vec(),
        ..Setting::default()
    }
}

fn of_size(ground: &Ground, is_fresh: bool, permissions: usize) -> Setting {
    let count = if is_fresh { WARM + FRESH } else { 1 };
    let token = |i| {
        let names = (0..permissions).map(|n| format!("read:item{n:03}"));
        tokens::of_caller(&ground.issuer, i).permissions(names)
    };
    let requests = tokens::requests(count, token);
    let warm = requests.iter().cycle().take(WARM).cloned().collect();
    let counted = &requests[WARM % count..];
    Setting {
        warm,
        counted: counted.to_vec(),
        ..Setting::default()
    }
}

/// Sends one token, which grants every scope of the largest policy.
fn policy(ground: &Ground, terms: usize) -> Setting {
    let scopes = |count| -> Vec<_> { (0..count).map(|n| format!("read:item{n:02}")).collect() };
    let token = |i| tokens::of_caller(&ground.issuer, i).scope(scopes(64).join(" "));
    let requests = asked_at_auth(&tokens::requests(1, token));
    let query = format!("/auth?scope={}", scopes(terms).join("+"));
    let request = String::from_utf8_lossy(&requests[0]).replacen("/auth", &query, 1);
    Setting {
        warm: vec![request.clone().into_bytes(); WARM],
        counted: vec![request.into_bytes()],
        ..Setting::default()
    }
}
