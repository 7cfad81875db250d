//! [`EnvFile`]: the option of the commands that can read another file instead of `.env`.

use std::path::PathBuf;

use clap::Args;

use crate::service::{cli::failure::Failure, config::Environment};

/// The option `--env-file`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(in crate::service) struct EnvFile {
    /// Read this file instead of .env, such as the `EnvironmentFile` of a systemd unit
    #[arg(id = "env_file", long = "env-file", value_name = "PATH")]
    path: Option<PathBuf>,
}

impl EnvFile {
    pub(in crate::service) fn read(&self) -> Result<Environment, Failure> {
        Environment::read_from(self.path.as_deref()).map_err(Failure::Config)
    }
}
