//! The command line. Each command has its own file or folder.

pub(super) mod app;
mod auth;
mod check;
mod completions;
mod context;
mod dev;
mod explain;
mod failure;
mod health;
mod issuers;
mod man;
mod revocations;
mod revoke;
mod serve;
mod terminal;
mod time_format;
mod way_out;

use std::{ffi::OsString, io, num::NonZero, thread};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use tokio::runtime::{self, Runtime};

pub use self::failure::Failure;

/// Bearer tokens verified, JSON answered.
#[derive(Debug, Parser)]
#[command(name = "warp-bearer", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  warp-bearer dev                          try it, without an account
  TOKEN=$(warp-bearer dev --token)         and, in another terminal, a token for it
  warp-bearer check && warp-bearer         examine what .env says, then serve
  warp-bearer explain                      why is this token refused? paste it when asked
  warp-bearer completions bash > ~/.local/share/bash-completion/completions/warp-bearer

Configuration comes from the environment and from .env; .env.example has every variable.

Exit codes: 0 yes, or ended as asked; 1 no (explain, check, health); and those of sysexits.h: 64 the \
command line, 66 what was to be read, 69 an address in use, a list that cannot be written or no dev \
to ask, 71 the system, 78 the configuration.";

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Command {
    /// Serve the routes for the issuer that the environment and `.env` name; also without a command
    #[command(after_help = serve::EXAMPLES)]
    Serve,
    /// Serve the routes with a local issuer on loopback, for development
    Dev(dev::Options),
    /// Explain step by step why a token is refused, and how to fix it: exit 0 if it would be
    /// accepted, 1 if not
    Explain(explain::Options),
    /// Examine the configuration and the issuer before deployment: exit 0 if all is well, 1 if not
    Check(check::Options),
    /// Work with the issuers file
    #[command(subcommand, after_help = issuers::EXAMPLES)]
    Issuers(issuers::Command),
    /// Ask the service that listens at LISTEN whether it is alive: exit 0 if it is, 1 if not
    #[command(after_help = health::EXAMPLES)]
    Health {
        /// Ask whether it is ready instead: it holds keys and is not shutting down
        #[arg(long)]
        ready: bool,
    },
    /// Revoke tokens before they expire: exit 0 once the entry is in the list
    Revoke(revoke::Options),
    /// List the revocations that are in force
    Revocations(revocations::Options),
    /// Print what a shell needs to complete the command line
    #[command(after_help = completions::EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or that of a command, as roff
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
/// A [`Failure`], which says what to do and has an exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let command = match Cli::try_parse_from(pasted_commands(arguments)) {
        Ok(cli) => cli.command.unwrap_or(Command::Serve),
        // clap repeats unknown arguments, and one may be a token.
        Err(error) if error.use_stderr() => {
            return Err(Failure::Usage(explain::shorten_all(&error.to_string())));
        }
        // clap returns help and version as errors, although they are successes.
        Err(output) => return output.print().map_err(Failure::Process),
    };
    runtime().map_err(Failure::Process)?.block_on(async {
        match command {
            Command::Serve => Box::pin(serve::run()).await,
            Command::Dev(options) => Box::pin(dev::run(options)).await,
            Command::Explain(options) => explain::run(options).await,
            Command::Check(options) => check::run(options).await,
            Command::Issuers(command) => issuers::run(command),
            Command::Health { ready } => health::run(ready).await,
            Command::Revoke(options) => revoke::run(options).await,
            Command::Revocations(options) => revocations::run(options).await,
            Command::Completions { shell } => completions::run(Cli::command(), shell),
            Command::Man { command } => man::run(Cli::command(), command.as_deref()),
        }
    })
}

/// Joins a command pasted after `explain`, such as `curl -H '…' URL`, into one argument, so that
/// its options are not parsed as ours.
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

/// Creates a runtime with one thread per processor. With a single processor, the multi-threaded
/// scheduler would only cost time.
fn runtime() -> io::Result<Runtime> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = match processors {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}
