//! The commands of the binary, one file each, and how they fail.

pub(super) mod app;
pub(super) mod check;
mod dev;
pub(super) mod explain;
mod health;
mod manual;
mod serve;
pub(super) mod terminal;
pub(super) mod time_format;

use std::{ffi::OsString, fmt, io, net::SocketAddr, num::NonZero, process::ExitCode, thread};

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use tokio::runtime::{self, Runtime};

use crate::{
    auth::SetupError,
    service::{config::Faults, http::tls::TlsError},
};

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
command line, 66 what was to be read, 69 an address in use or no dev to ask, 71 the system, 78 the \
configuration.";

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Command {
    /// Serve the routes for the issuer that the environment and `.env` name; also without a command
    #[command(after_help = serve::EXAMPLES)]
    Serve,
    /// Serve them with an issuer of its own on loopback, for development
    Dev(dev::Options),
    /// Say why a token is refused, step by step, and how that is mended: exit 0 if it would be
    /// accepted, 1 if not
    Explain(explain::command::Options),
    /// Examine the configuration and the issuer before deployment: exit 0 if all is well, 1 if not
    Check(check::command::Options),
    /// Ask the service that listens at LISTEN how it is: exit 0 if it lives, 1 if not
    #[command(after_help = health::EXAMPLES)]
    Health {
        /// Ask whether it is ready instead: it holds keys and is not about to stop
        #[arg(long)]
        ready: bool,
    },
    /// Print what a shell needs to complete the command line
    #[command(after_help = manual::COMPLETIONS_EXAMPLES)]
    Completions {
        /// Whose
        shell: Shell,
    },
    /// Print the manual page, or that of a command, as roff
    #[command(after_help = manual::MAN_EXAMPLES)]
    Man {
        /// The command
        #[arg(value_parser = manual::PAGES)]
        command: Option<String>,
    },
}

/// Runs what the command line asks for, until it ends.
///
/// # Errors
/// A [`Failure`], which tells what to do, and the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let command = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command.unwrap_or(Command::Serve),
        Err(error) if error.use_stderr() => return Err(Failure::Usage(error.to_string())),
        // Help and version are answers, not failures.
        Err(answer) => return answer.print().map_err(Failure::Process),
    };
    runtime().map_err(Failure::Process)?.block_on(async {
        match command {
            Command::Serve => serve::run().await,
            Command::Dev(options) => dev::run(options).await,
            Command::Explain(options) => explain::command::run(options).await,
            Command::Check(options) => check::command::run(options).await,
            Command::Health { ready } => health::run(ready).await,
            Command::Completions { shell } => manual::completions(shell),
            Command::Man { command } => manual::page(command.as_deref()),
        }
    })
}

/// One thread for each processor. On a single one the scheduler that shares work among threads has
/// nobody to share it with.
fn runtime() -> io::Result<Runtime> {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = match processors {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// Why a command ended before it was asked to: a line or several, each with what to do.
#[derive(Debug)]
pub enum Failure {
    /// The command line.
    Usage(String),
    /// The configuration; each fault names its variable.
    Config(Faults),
    /// What the library finds wrong with a configuration that was judged right.
    Setup(SetupError),
    /// `dev` beside the configuration of a real issuer.
    NotForDevelopment(String),
    /// `dev --token` without a `dev`.
    NoDev(String),
    /// The certificate or its key.
    Tls(TlsError),
    /// The service that was asked how it is.
    Health(String),
    /// What a command was asked to read.
    Input(String),
    /// What the command has found and told already.
    Told,
    /// An address to listen at, and the variable that has it.
    Listen(&'static str, SocketAddr, io::Error),
    /// Signals, threads and other things that a process expects to have.
    Process(io::Error),
}

impl Failure {
    /// The exit codes of sysexits.h.
    pub fn exit_code(&self) -> ExitCode {
        const NO: u8 = 1;
        const USAGE: u8 = 64;
        const NO_INPUT: u8 = 66;
        const UNAVAILABLE: u8 = 69;
        const OS: u8 = 71;
        const CONFIG: u8 = 78;
        ExitCode::from(match self {
            Self::Health(_) | Self::Told => NO,
            Self::Input(_) => NO_INPUT,
            Self::Usage(_) => USAGE,
            Self::Listen(..) | Self::NoDev(_) => UNAVAILABLE,
            Self::Process(_) => OS,
            Self::Config(_) | Self::Setup(_) | Self::NotForDevelopment(_) | Self::Tls(_) => CONFIG,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(told) => f.write_str(told),
            Self::Config(faults) => writeln!(f, "{faults}"),
            Self::Setup(error) => writeln!(f, "AUTH0_: {error}"),
            Self::NotForDevelopment(told)
            | Self::NoDev(told)
            | Self::Health(told)
            | Self::Input(told) => writeln!(f, "{told}"),
            Self::Told => Ok(()),
            Self::Tls(error @ TlsError::Certificate(..)) => writeln!(f, "TLS_CERT_FILE: {error}"),
            Self::Tls(error @ TlsError::Key(..)) => writeln!(f, "TLS_KEY_FILE: {error}"),
            Self::Listen(name, address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                writeln!(
                    f,
                    "{name}: {address} is in use; stop what listens there, or set {name} to \
                     another, 127.0.0.1:0 for any free port"
                )
            }
            Self::Listen(name, address, error) => {
                writeln!(f, "{name}: cannot listen at {address}: {error}")
            }
            Self::Process(error) => writeln!(f, "the system refuses: {error}"),
        }
    }
}

impl std::error::Error for Failure {}
