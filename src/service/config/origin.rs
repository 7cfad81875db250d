//! [`Origin`]: the source of a variable's value.

use std::{fmt, sync::Arc};

pub(super) const DOT_ENV: &str = ".env";

pub(super) const ENV_FILE: &str = "--env-file";

/// The source of a variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The environment of the process.
    Environment,
    /// A line of the `.env` in the current directory.
    DotEnv(usize),
    /// A line of the file that `--env-file` names.
    EnvFile(usize),
    /// A line of another file, whose name comes first.
    File(Arc<str>, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the environment"),
            Self::DotEnv(line) => write!(f, "{DOT_ENV}, line {line}"),
            Self::EnvFile(line) => write!(f, "{ENV_FILE}, line {line}"),
            Self::File(name, line) => write!(f, "{name}, line {line}"),
        }
    }
}
