//! [`Failure`]: the reason why a command failed, with a message and an exit code.

use std::{fmt, io, net::SocketAddr, process::ExitCode};

use crate::{
    auth::SetupError,
    service::{config::Faults, http::tls::TlsError},
};

/// Why a command failed. The message has one or more lines, and says what to do.
#[derive(Debug)]
pub enum Failure {
    /// The command line is invalid.
    Usage(String),
    /// The configuration is invalid. Each fault says which variable it is about.
    Config(Faults),
    /// The library rejects a configuration that the service has accepted.
    Setup(SetupError),
    /// The configuration is not suitable for `dev`.
    NotForDevelopment(String),
    /// `dev --token` found no running `dev`.
    NoDev(String),
    /// The certificate or its key is invalid.
    Tls(TlsError),
    /// The service is not healthy.
    Health(String),
    /// The input of a command cannot be read.
    Input(String),
    /// No source of revocations is configured.
    NoSource(String),
    /// A source of revocations cannot be written to.
    Source(String),
    /// The command has already printed the reason.
    Reported,
    /// The address of this variable cannot be bound.
    Listen(&'static str, SocketAddr, io::Error),
    /// The operating system refuses something basic: a signal handler, a thread, or a write to
    /// standard output.
    Process(io::Error),
}

impl Failure {
    /// The exit code: one from sysexits.h, or 1.
    pub fn exit_code(&self) -> ExitCode {
        const NO: u8 = 1;
        const USAGE: u8 = 64;
        const NO_INPUT: u8 = 66;
        const UNAVAILABLE: u8 = 69;
        const OS: u8 = 71;
        const CONFIG: u8 = 78;
        ExitCode::from(match self {
            Self::Health(_) | Self::Reported => NO,
            Self::Input(_) => NO_INPUT,
            Self::Usage(_) => USAGE,
            Self::Listen(..) | Self::NoDev(_) | Self::Source(_) => UNAVAILABLE,
            Self::Process(_) => OS,
            Self::Config(_)
            | Self::Setup(_)
            | Self::NotForDevelopment(_)
            | Self::NoSource(_)
            | Self::Tls(_) => CONFIG,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => f.write_str(text),
            Self::Config(faults) => writeln!(f, "{faults}"),
            Self::Setup(error) => writeln!(f, "{}", setup_fault(error)),
            Self::NotForDevelopment(text)
            | Self::NoDev(text)
            | Self::Health(text)
            | Self::NoSource(text)
            | Self::Source(text)
            | Self::Input(text) => writeln!(f, "{text}"),
            Self::Reported => Ok(()),
            Self::Tls(error @ TlsError::Certificate(..)) => writeln!(f, "TLS_CERT_FILE: {error}"),
            Self::Tls(error @ TlsError::Key(..)) => writeln!(f, "TLS_KEY_FILE: {error}"),
            Self::Tls(error @ TlsError::Authorities(..)) => {
                writeln!(f, "TLS_CLIENT_CA_FILE: {error}")
            }
            Self::Listen(name, address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                writeln!(
                    f,
                    "{name}: {address} is in use; stop the process that listens there (a service that is \
                     stopping still listens for up to SHUTDOWN_GRACE), or set {name} to another address, such as \
                     127.0.0.1:0 for any free port"
                )
            }
            Self::Listen(name, address, error) => {
                writeln!(f, "{name}: cannot listen at {address}: {error}")
            }
            Self::Process(error) => writeln!(f, "the operating system refused a request: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// We have accepted this configuration, but the library rejects it. The library does not know the
/// variable.
pub(super) fn setup_fault(error: &SetupError) -> String {
    format!("the configuration cannot be used: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_without_a_variable_does_not_begin_with_one() {
        let text = Failure::Setup(SetupError::NoAudience).to_string();
        assert_eq!(
            text,
            "the configuration cannot be used: no audience is configured\n"
        );
    }
}
