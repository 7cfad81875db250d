//! [`Origin`]: the source of a variable's value.

use std::fmt;

/// The source of a variable's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The environment of the process.
    Environment,
    /// This line of the `.env` in the current directory.
    DotEnv(usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the environment"),
            Self::DotEnv(line) => write!(f, ".env, line {line}"),
        }
    }
}
