//! Counts the instructions of a request.
//!
//! Times vary between machines and between runs, but instruction counts hardly do, so they show
//! regressions that a stopwatch cannot. The service runs under callgrind, one connection sends
//! requests in sequence, and two builds that received exactly the same requests are compared.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use crate::{
    ground::Ground,
    load::Load,
    server::{self, Server},
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
    #[arg(long, default_value_t = 3.0)]
    tolerance: f64,
}

/// The numbers of warm-up requests and of counted requests.
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
    vec![
        path("public route", vec![PUBLIC.to_vec()], 200),
        path(
            "fresh token",
            ground.callers()[..WARM + COUNTED].to_vec(),
            200,
        ),
        path("seen token", ground.callers()[..1].to_vec(), 200),
        path("garbage", vec![tokens::private(&"x".repeat(788))], 401),
        // Comes last, because it starts a key fetch in the background.
        path("bad signature", ground.forged()[..1].to_vec(), 401),
    ]
}

/// Returns the instructions per request of each path: the median of several processes, because each
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
    let profile = std::env::temp_dir().join(format!("warp-bearer-calls-{}", process::id()));
    let server = start(ground, binary, &profile);
    let counted = paths.iter().enumerate();
    let counts = counted.map(|(i, path)| {
        let mut load = Load::open(server.address, 1);
        load.run_slowly(&path.requests, WARM, path.status);
        control(&server, "--zero");
        let rest = &path.requests[WARM % path.requests.len()..];
        load.run_slowly(rest, COUNTED, path.status);
        control(&server, "--dump");
        total(&profile.with_extension((i + 1).to_string()))
    });
    counts.collect()
}

fn start(ground: &Ground, binary: &Path, profile: &Path) -> Server {
    let service = server::service(binary, ground.issuer.url(), ground.issuer.audience());
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(service.get_program())
        .envs(
            service
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stderr(Stdio::null());
    let server = Server::start(command, "LISTEN", 1);
    server.await_ready();
    server
}

fn control(server: &Server, order: &str) {
    let mut command = Command::new("callgrind_control");
    command.arg(order).arg(server.id().to_string());
    let output = command.output().expect("callgrind_control");
    assert!(output.status.success(), "{output:?}");
}

/// Returns the instructions per request in a dump.
fn total(dump: &Path) -> f64 {
    let text = fs::read_to_string(dump).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let instructions: f64 = total.expect("totals").trim().parse().unwrap();
    fs::remove_file(dump).unwrap();
    #[expect(clippy::cast_precision_loss)]
    let requests = COUNTED as f64;
    instructions / requests
}
