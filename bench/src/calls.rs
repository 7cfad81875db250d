//! Counts the instructions of a request.
//!
//! Times vary between machines and between runs, but instruction counts hardly do, so they show
//! regressions that a stopwatch can't. The service runs under callgrind, one connection sends
//! requests in sequence, and we compare two builds that received exactly the same requests.

use std::{
    path::{Path, PathBuf},
    process,
};

use crate::{
    callgrind::{Asked, Counted},
    ground::Ground,
    server,
    spread::Spread,
    tokens::{self, PUBLIC},
};

#[derive(clap::Args)]
pub struct Options {
    /// The service's binary.
    #[arg(long)]
    service: PathBuf,
    /// The binary of the commit to compare with.
    #[arg(long)]
    base: Option<PathBuf>,
    /// The allowed increase of a path, in percent.
    #[arg(long, default_value_t = 1.0)]
    tolerance: f64,
}

const WARM: usize = 200;
const COUNTED: usize = 1_000;
const PROCESSES: usize = 3;

struct HotPath {
    name: &'static str,
    requests: Vec<Vec<u8>>,
    status: u16,
}

pub fn run(options: &Options) {
    let ground = Ground::new(&options.service, WARM + COUNTED);
    let paths = paths(&ground);
    let counts = counts(&ground, &options.service, &paths);
    let base = options
        .base
        .as_deref()
        .map(|base| self::counts(&ground, base, &paths));
    println!("| instructions of a request | now | base | change |\n|---|---|---|---|");
    let mut longer = false;
    for (i, path) in paths.iter().enumerate() {
        let (name, now) = (path.name, counts[i]);
        let Some(base) = base.as_ref().map(|base| base[i]) else {
            println!("| {name} | {now:.0} | – | – |");
            continue;
        };
        let change = (now / base - 1.0) * 100.0;
        longer |= change > options.tolerance;
        println!("| {name} | {now:.0} | {base:.0} | {change:+.1} % |");
    }
    if longer {
        eprintln!(
            "missed: a path is over {} % longer than it was",
            options.tolerance
        );
        process::exit(1);
    }
}

fn paths(ground: &Ground) -> Vec<HotPath> {
    let path = |name, requests, status| HotPath {
        name,
        requests,
        status,
    };
    let seen = ground.callers()[..1].to_vec();
    let expired = ground.expired()[..1].to_vec();
    vec![
        path("public route", vec![PUBLIC.to_vec()], 200),
        path(
            "fresh token",
            ground.callers()[..WARM + COUNTED + 20].to_vec(),
            200,
        ),
        path("seen token", seen.clone(), 200),
        path("no token", vec![tokens::get("/api/private", None)], 401),
        path("garbage", vec![tokens::private(&"x".repeat(788))], 401),
        path("expired", expired.clone(), 401),
        path("seen token, at /auth", asked_at_auth(&seen), 200),
        path("expired, at /auth", asked_at_auth(&expired), 401),
        // these two come last: they start key fetches in the background
        path("unknown kid", ground.unknown().to_vec(), 401),
        path("bad signature", ground.forged()[..1].to_vec(), 401),
    ]
}

/// Turns requests for the private route into the ones that a proxy sends to `/auth`.
pub fn asked_at_auth(requests: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let asked = requests.iter().map(|request| {
        let request = String::from_utf8_lossy(request);
        request.replacen("/api/private", "/auth", 1).into_bytes()
    });
    asked.collect()
}

/// The instructions per request of each path. It's the median of several processes, each of which
/// uses different hash seeds.
fn counts(ground: &Ground, binary: &Path, paths: &[HotPath]) -> Vec<f64> {
    let runs: Vec<_> = (0..PROCESSES)
        .map(|_| counted(ground, binary, paths))
        .collect();
    let median = |path| {
        let counts = runs.iter().map(|run: &Vec<f64>| run[path]).collect();
        Spread::of(counts).expect("a process or more").median
    };
    (0..paths.len()).map(median).collect()
}

fn counted(ground: &Ground, binary: &Path, paths: &[HotPath]) -> Vec<f64> {
    let service = server::service(binary, ground.issuer.url(), ground.issuer.audience());
    let server = Counted::start(&service);
    let counts = paths.iter().map(|path| {
        let warm: Vec<_> = path.requests.iter().cycle().take(WARM).cloned().collect();
        server.instructions(&Asked {
            warm: &warm,
            counted: &path.requests[WARM % path.requests.len()..],
            count: COUNTED,
            status: path.status,
        })
    });
    counts.collect()
}
