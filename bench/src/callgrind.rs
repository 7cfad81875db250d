//! Runs a server under callgrind, which counts the instructions of a request.
//!
//! We only turn counting on after the warm-up: without it, the server runs five times as fast.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use crate::{connection::Connection, load::Load, server::Server};

pub struct Counted {
    server: Server,
    profile: PathBuf,
    dumps: Cell<usize>,
}

pub struct Asked<'a> {
    /// Warm-up requests, each sent once.
    pub warm: &'a [Vec<u8>],
    /// The counted requests, sent in turn.
    pub counted: &'a [Vec<u8>],
    pub count: usize,
    pub status: u16,
}

impl Counted {
    pub fn start(service: &Command) -> Self {
        let profile = std::env::temp_dir().join(format!("warp-bearer-calls-{}", process::id()));
        let mut command = Command::new("valgrind");
        command
            .arg("--tool=callgrind")
            .arg("--instr-atstart=no")
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(service.get_program())
            .stderr(Stdio::null());
        for (name, value) in service.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let server = Server::start(command, "LISTEN", 1);
        server.await_ready();
        Self {
            server,
            profile,
            dumps: Cell::new(0),
        }
    }

    /// Opens connections and sends nothing over them.
    pub fn open_idle(&self, connections: usize) -> Vec<Connection> {
        let open = |_| Connection::open(self.server.address);
        (0..connections).map(open).collect()
    }

    /// The average number of instructions per request, on one connection.
    pub fn instructions(&self, asked: &Asked<'_>) -> f64 {
        let mut load = Load::open(self.server.address, 1);
        // in chunks, as one run must end within half a minute (`load::HUNG`)
        for part in asked.warm.chunks(1_000) {
            load.run_slowly(part, part.len(), asked.status);
        }
        self.control(&["--instr=on"]);
        // valgrind translates code again when it first runs with counting on. These requests keep
        // that out of our count.
        load.run_slowly(asked.counted, asked.count.min(20), asked.status);
        self.control(&["--zero"]);
        let rest = &asked.counted[20 % asked.counted.len()..];
        load.run_slowly(rest, asked.count, asked.status);
        self.control(&["--dump"]);
        self.control(&["--instr=off"]);
        self.dumps.set(self.dumps.get() + 1);
        let dump = self.profile.with_extension(self.dumps.get().to_string());
        total(&dump) / count_of(asked.count)
    }

    fn control(&self, order: &[&str]) {
        let mut command = Command::new("callgrind_control");
        command.args(order).arg(self.server.id().to_string());
        let output = command.output().expect("callgrind_control");
        assert!(output.status.success(), "{output:?}");
    }
}

fn total(dump: &Path) -> f64 {
    let text = fs::read_to_string(dump).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let instructions = total.expect("totals").trim().parse().unwrap();
    fs::remove_file(dump).unwrap();
    instructions
}

#[expect(clippy::cast_precision_loss)]
fn count_of(requests: usize) -> f64 {
    requests as f64
}
