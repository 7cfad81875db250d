//! The running binary.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};
use warp_bearer::issuer::Issuer;

#[cfg(unix)]
use crate::support::process::heed_hangups;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_warp-bearer");

const FOREVER: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    pub(crate) id: u32,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Lines that the test has read but not looked for.
    skipped: Vec<String>,
}

impl Process {
    pub(crate) async fn serve(issuer: &Issuer, variables: &[(&str, &str)]) -> Self {
        Self::of(Command::new(BINARY).arg("serve"), issuer, variables).await
    }

    /// Like [`serve`](Self::serve), but runs these shell commands first.
    pub(crate) async fn serve_after(commands: &str, issuer: &Issuer) -> Self {
        let script = format!(r#"{commands}; exec "$0" serve"#);
        let mut shell = Command::new("/bin/sh");
        Self::of(shell.args(["-c", &script, BINARY]), issuer, &[]).await
    }

    async fn of(command: &mut Command, issuer: &Issuer, variables: &[(&str, &str)]) -> Self {
        let own = [
            ("AUTH0_ISSUER", issuer.url()),
            ("AUTH0_API_AUDIENCE", issuer.audience()),
        ];
        Self::run(command, &[&own, variables].concat()).await
    }

    /// Runs a command that serves. The process gets only these variables.
    pub(crate) async fn run(command: &mut Command, variables: &[(&str, &str)]) -> Self {
        let mut process = Self::begin(command.current_dir(std::env::temp_dir()), variables);
        process.listens().await;
        process
    }

    /// Like [`run`](Self::run), but doesn't wait until the service listens.
    pub(crate) fn begin(command: &mut Command, variables: &[(&str, &str)]) -> Self {
        #[cfg(unix)]
        heed_hangups();
        let mut child = command
            .env_clear()
            .env("LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            address: ([0, 0, 0, 0], 0).into(),
            id: child.id().unwrap(),
            child,
            log,
            skipped: Vec::new(),
        }
    }

    pub(crate) async fn listens(&mut self) {
        self.address = self.logged("listening address=").await.parse().unwrap();
    }

    pub(crate) fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// Waits for a log line with these words, and returns the rest of it. Each line is found once.
    /// The order doesn't matter: different tasks write to the log.
    pub(crate) async fn logged(&mut self, words: &str) -> String {
        let known = self.skipped.iter().position(|line| line.contains(words));
        let mut found = known.map(|at| self.skipped.remove(at));
        while found.is_none() {
            let line = timeout(FOREVER, self.log.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{words:?} is never logged: {self:#?}"));
            let line = line.unwrap();
            let line = line.unwrap_or_else(|| panic!("ended without {words:?}: {self:#?}"));
            if line.contains(words) {
                found = Some(line);
            } else {
                self.skipped.push(line);
            }
        }
        let found = found.unwrap_or_default();
        let (_, rest) = found.split_once(words).unwrap_or_default();
        rest.to_owned()
    }

    pub(crate) fn hangup(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let id = self.id.to_string();
        let kill = std::process::Command::new("kill")
            .args([signal, &id])
            .status();
        assert!(kill.unwrap().success());
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) async fn stop(&mut self) {
        self.terminate();
        self.logged("stopped").await;
        self.ended().await;
    }

    pub(crate) async fn ended(&mut self) {
        self.ended_within(FOREVER).await;
    }

    pub(crate) async fn ended_within(&mut self, patience: Duration) {
        let status = timeout(patience, self.child.wait()).await;
        let status = status.expect("the process does not end");
        assert!(status.unwrap().success());
    }
}

/// Replaces a file by a named pipe. Opening the pipe would block until there is a writer.
#[cfg(target_os = "linux")]
pub(crate) fn replace_by_pipe(file: &Path) {
    fs::remove_file(file).unwrap();
    make_pipe(file);
}

#[cfg(target_os = "linux")]
pub(crate) fn make_pipe(file: &Path) {
    let made = std::process::Command::new("mkfifo").arg(file).status();
    assert!(made.unwrap().success());
}

/// Use this for conditions that depend on sockets, not on time.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + FOREVER;
    while !condition() {
        assert!(
            Instant::now() < patience,
            "the condition did not hold in time"
        );
        tokio::task::yield_now().await;
    }
}

/// Resident memory, in KiB.
pub(crate) fn kibibytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
