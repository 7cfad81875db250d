//! Runs the binary as users do, in a directory of its own and without the environment of this
//! process. The binary is killed when the test ends.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

/// Far longer than any test takes, so only a hang gets here.
const FOREVER: Duration = Duration::from_secs(60);

/// A directory to start the binary in. It may contain a `.env`.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn command(&self, arguments: &[&str], vars: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warp-bearer"));
        command
            .args(arguments)
            // our own configuration must not leak into the test
            .env_clear()
            .envs(vars.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a command that ends by itself.
pub fn run(directory: &Directory, arguments: &[&str], vars: &[(&str, &str)]) -> Output {
    directory.command(arguments, vars).output().unwrap()
}

/// The running binary. It is killed when this value is dropped.
pub struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    _directory: Option<Directory>,
}

impl Process {
    pub fn start(arguments: &[&str], vars: &[(&str, &str)]) -> Self {
        let directory = Directory::new();
        let mut command = directory.command(arguments, vars);
        Self::launch(&mut command, Some(directory))
    }

    /// Starts a command of a [`World`](super::world::World), which brings its own directory.
    pub fn spawn(command: &mut Command) -> Self {
        Self::launch(command, None)
    }

    fn launch(command: &mut Command, directory: Option<Directory>) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        heed_hangups();
        let mut child = command.spawn().unwrap();
        Self {
            stdout: Lines::of(child.stdout.take().unwrap()),
            stderr: Lines::of(child.stderr.take().unwrap()),
            child,
            _directory: directory,
        }
    }

    /// Reads stdout up to the first line for which `last` holds.
    pub fn printed(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        self.stdout.until(last)
    }

    /// Reads the log, on stderr, up to the first line for which `last` holds.
    pub fn logged(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        self.stderr.until(last)
    }

    /// Sends SIGTERM, as service managers do, and waits until the process has ended.
    #[cfg(unix)]
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.logged(|line| line.contains("stopped"));
        self.child.wait().unwrap()
    }

    /// Sends SIGHUP, as a terminal does when it closes, and waits until the process has ended.
    #[cfg(unix)]
    pub fn hang_up(mut self) -> ExitStatus {
        self.signal("HUP");
        self.stderr.drain();
        self.child.wait().unwrap()
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the binary start with SIGHUP's default action, even if the tests run under `nohup`. (A
/// child inherits which signals its parent ignores, but not the handlers.)
#[cfg(unix)]
pub fn heed_hangups() {
    use tokio::{
        runtime::Builder,
        signal::unix::{SignalKind, signal},
    };

    static HANDLED: Once = Once::new();
    HANDLED.call_once(|| {
        // We can neither enter nor drop a runtime inside another one, so this one gets a thread.
        let handle = || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let _handled = runtime
                .block_on(async { signal(SignalKind::hangup()) })
                .unwrap();
        };
        thread::spawn(handle).join().unwrap();
    });
}

struct Lines(Receiver<String>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stream).lines().map_while(Result::ok);
            for line in lines {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(lines)
    }

    fn drain(&mut self) {
        loop {
            match self.0.recv_timeout(FOREVER) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
            }
        }
    }

    fn until(&mut self, last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let Ok(line) = self.0.recv_timeout(FOREVER) else {
                panic!("it says no more than: {lines:#?}");
            };
            let is_last = last(&line);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }
}
