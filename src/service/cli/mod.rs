//! The command line. Each command has its own file or folder.

pub(super) mod app;
mod auth;
mod check;
mod completions;
mod context;
mod dev;
mod entra;
mod env_file;
mod explain;
mod failure;
mod fetch_advice;
mod health;
mod issuers;
mod man;
mod revocations;
mod revoke;
mod serve;
mod terminal;
mod time_format;

use std::{ffi::OsString, io, num::NonZero, thread};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tokio::runtime::{self, Runtime};

pub use self::failure::Failure;

/// Verifies bearer tokens in front of an HTTP API.
#[derive(Debug, Parser)]
#[command(name = "warp-bearer", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  warp-bearer dev                          try it, without an account
  TOKEN=$(warp-bearer dev --token)         in another terminal, get a token for it
  warp-bearer check && warp-bearer         check the configuration, then serve
  warp-bearer explain                      paste a token to see why it is rejected
  warp-bearer completions bash > ~/.local/share/bash-completion/completions/warp-bearer

The configuration comes from the environment and from .env; .env.example has every variable.

Exit codes: 0 success; 1 the answer is no (explain, check, health); 64 wrong command line; 66 input that \
cannot be read; 69 an address in use, a list that cannot be written, or no dev that answers; 71 an error \
of the operating system; 78 wrong configuration.";

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Command {
    /// Run the service with the configuration from the environment and `.env`; this is the default
    #[command(after_help = serve::EXAMPLES)]
    Serve,
    /// Run the service with a local issuer on loopback, for development
    Dev(dev::Options),
    /// Explain step by step why a token is rejected, and how to fix it: exit 0 if the service would
    /// accept it, 1 if not
    Explain(explain::Options),
    /// Check the configuration and the issuer before deployment: exit 0 if the service would work,
    /// 1 if not
    Check(check::Options),
    /// Work with the issuers file
    #[command(subcommand, after_help = issuers::EXAMPLES)]
    Issuers(issuers::Command),
    /// Check whether the service that listens at LISTEN is alive: exit 0 if it is, 1 if not
    Health(health::Options),
    /// Revoke tokens before they expire: exit 0 once the entry is in the list
    Revoke(revoke::Options),
    /// List the revocations in force
    Revocations(revocations::Options),
    /// Print completions for a shell
    #[command(after_help = completions::EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of the program or of a command, as roff
    #[command(after_help = man::EXAMPLES)]
    Man {
        /// The command
        #[arg(value_parser = man::PAGES)]
        command: Option<String>,
    },
}

/// Runs the command of this command line until it ends.
///
/// # Errors
/// Returns a [`Failure`] with a message and an exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let command = match Cli::try_parse_from(pasted_commands(arguments)) {
        Ok(cli) => cli.command.unwrap_or(Command::Serve),
        // clap's message repeats unknown arguments, and one of them may be a token
        Err(error) if error.use_stderr() => {
            return Err(Failure::Usage(explain::shorten_all(&error.to_string())));
        }
        // clap returns the help and the version as errors, too
        Err(output) => return terminal::unless_closed(output.print()),
    };
    let runtime = runtime().map_err(Failure::Process)?;
    run_on(runtime, async {
        match command {
            Command::Serve => Box::pin(serve::run()).await,
            Command::Dev(options) => Box::pin(dev::run(options)).await,
            Command::Explain(options) => explain::run(options).await,
            Command::Check(options) => check::run(options).await,
            Command::Issuers(command) => issuers::run(command),
            Command::Health(options) => health::run(options).await,
            Command::Revoke(options) => revoke::run(options).await,
            Command::Revocations(options) => revocations::run(options).await,
            Command::Completions { shell } => completions::run(Cli::command(), shell),
            Command::Man { command } => man::run(Cli::command(), command.as_deref()),
        }
    })
}

/// Runs a command. Some threads may still be reading a file or resolving a name, possibly forever.
/// We don't wait for them: they end with the process.
fn run_on<T>(runtime: Runtime, command: impl Future<Output = T>) -> T {
    let result = runtime.block_on(command);
    // dropping the runtime would wait for these threads
    runtime.shutdown_background();
    result
}

/// Joins a command that was pasted after `explain`, e.g. `curl -H '…' URL`, into one argument.
/// Otherwise clap would take its options for options of `explain`.
fn pasted_commands(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    const COMMANDS: [&str; 5] = ["curl", "wget", "http", "https", "xh"];
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_explain = arguments.get(1).is_some_and(|command| command == "explain");
    let is_command = |argument: &OsString| COMMANDS.iter().any(|command| argument == command);
    let begin = arguments.iter().skip(2).position(is_command);
    if let Some(begin) = begin.filter(|_| is_explain) {
        let pasted = arguments.split_off(begin + 2);
        let quoted = pasted.iter().map(|argument| {
            let argument = argument.to_string_lossy();
            if argument.contains(char::is_whitespace) {
                format!("'{argument}'")
            } else {
                argument.into_owned()
            }
        });
        arguments.push(quoted.collect::<Vec<_>>().join(" ").into());
    }
    arguments
}

/// One thread per processor. If there's only one processor, the current-thread scheduler is faster.
fn runtime() -> io::Result<Runtime> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = match processors {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::task::spawn_blocking;

    use super::*;

    #[test]
    fn a_command_does_not_wait_for_threads_that_read_files() {
        let (file, reader) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            run_on(runtime().unwrap(), async {
                spawn_blocking(move || reader.recv());
            });
            ended.send(()).unwrap();
        });
        assert!(end.recv_timeout(Duration::from_secs(10)).is_ok());
        drop(file);
    }
}
