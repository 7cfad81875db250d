//! A server under measurement: a process or a process tree, on its own processors.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{sys::signal, time::ClockId, unistd::Pid};

use crate::{
    connection::status_of,
    load::Load,
    processor,
    tokens::{self, PUBLIC},
};

const CONNECTIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    process: Child,
    pub address: SocketAddr,
    /// The time from the start of the process to its first response on the public route.
    pub started_in: Duration,
}

impl Server {
    pub fn start(command: Command, port_name: &str, processors: usize) -> Self {
        let began = Instant::now();
        let start = || Self::spawn(command, port_name);
        let mut server = processor::on_the_servers(processors, start);
        while status_of(server.address, PUBLIC) != Some(200) {
            assert!(!server.has_ended(), "the server has ended");
            assert!(began.elapsed() < PATIENCE, "the server does not answer");
            std::thread::yield_now();
        }
        server.started_in = began.elapsed();
        server
    }

    /// Passes the port in `port_name`, and doesn't wait for a response.
    pub fn spawn(mut command: Command, port_name: &str) -> Self {
        let address = free_address();
        let value = match port_name {
            "LISTEN" => address.to_string(),
            _ => address.port().to_string(),
        };
        command.env(port_name, value);
        Self::spawn_at(command, address)
    }

    /// Starts a server that is configured to listen at this address, and doesn't wait for it.
    pub fn spawn_at(mut command: Command, address: SocketAddr) -> Self {
        // Its own process group, so that `drop` ends its children too
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0);
        let process = command.spawn();
        let process = process.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            process,
            address,
            started_in: Duration::ZERO,
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Polls without a pause. The generator has its own processor, so this doesn't slow the server
    /// down.
    pub fn await_status(&self, request: &[u8], status: u16) {
        let began = Instant::now();
        while status_of(self.address, request) != Some(status) {
            assert!(began.elapsed() < PATIENCE, "the server is not ready");
            std::thread::yield_now();
        }
    }

    /// Waits until the service holds its keys. Peers have no `/readyz`.
    pub fn await_ready(&self) {
        self.await_status(&tokens::get("/readyz", None), 200);
    }

    /// Requests per second of the server's own processor time.
    pub fn rate(&self, asked: &Asked<'_>) -> f64 {
        let mut load = Load::open(self.address, CONNECTIONS);
        load.run(&[PUBLIC.to_vec()], 2 * CONNECTIONS, 200);
        load.run(asked.warm, asked.warm.len(), asked.status);
        let before = self.processor_time();
        let answered = load.run(asked.requests, asked.count, asked.status);
        let took = self.processor_time().saturating_sub(before);
        #[expect(clippy::cast_precision_loss)]
        let answered = answered as f64;
        answered / took.as_secs_f64()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The processor time of all its processes, in user and kernel mode.
    pub fn processor_time(&self) -> Duration {
        let processes = tree(self.id());
        processes.iter().map(|id| processor_time_of(*id)).sum()
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
        kilobytes.parse::<f64>().unwrap() * 1024.0
    }
}

pub struct Asked<'a> {
    /// Warm-up requests, which are not counted.
    pub warm: &'a [Vec<u8>],
    /// The measured requests, sent in turn.
    pub requests: &'a [Vec<u8>],
    pub count: usize,
    pub status: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.process.id().try_into().unwrap());
        let _ = signal::killpg(group, signal::Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

/// The command for the service. Our own configuration doesn't leak into it.
pub fn service(binary: &Path, issuer: &str, audience: &str) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AUTH0_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(std::env::temp_dir())
        .env("AUTH0_ISSUER", issuer)
        .env("AUTH0_API_AUDIENCE", audience)
        .env("RUST_LOG", "warn");
    command
}

/// Turns on metrics, and writes a log line for each request to a file.
pub fn watched(command: &mut Command, log: &Path) {
    command
        .env("RUST_LOG", "info")
        .env("METRICS_LISTEN", free_address().to_string())
        .stderr(File::create(log).unwrap());
}

pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let children: Vec<u32> = threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
            .flat_map(|ids| {
                ids.split_whitespace()
                    .flat_map(str::parse)
                    .collect::<Vec<_>>()
            })
            .collect();
        found.extend(children);
        next += 1;
    }
    found
}

fn processor_time_of(process: u32) -> Duration {
    let process = Pid::from_raw(process.try_into().unwrap());
    let clock = ClockId::pid_cpu_clock_id(process).unwrap();
    clock.now().unwrap().into()
}
