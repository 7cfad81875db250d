//! `warp-bearer issuers`: prints an issuers file for existing variables. Also reloads the file in
//! the service.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use clap::Subcommand;

use crate::{
    auth::Auth,
    service::{
        cli::{
            auth,
            failure::Failure,
            terminal::{self, Terminal},
        },
        config::{Config, Environment, Faults},
        http::descriptors,
        observe::metrics::Metrics,
    },
};

pub(in crate::service) const EXAMPLES: &str = "\
Examples:
  warp-bearer issuers import .env > issuers.toml    then set ISSUERS_FILE=issuers.toml";

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub(in crate::service) enum Command {
    /// Print an issuers file that is equivalent to the variables in a .env file
    Import {
        /// The file with the variables
        #[arg(default_value = ".env")]
        file: PathBuf,
    },
}

pub(in crate::service) fn run(command: Command) -> Result<(), Failure> {
    let Command::Import { file } = command;
    let environment = Environment::read_file(&file).map_err(Failure::Config)?;
    let (config, _) = Config::from_environment(&environment).map_err(Failure::Config)?;
    if config.issuers_file.is_some() {
        let text = format!("{}: ISSUERS_FILE is set already", file.display());
        return Err(Failure::Input(Terminal::clean(&text)));
    }
    terminal::print(config.to_issuers_file(&environment))?;
    let mut replaced = config.variables_of_issuers(&environment);
    replaced.extend(config.variables_overridden(&environment));
    terminal::note(format_args!(
        "remove {}, and set ISSUERS_FILE",
        replaced.join(", ")
    ));
    if config.exports_a_secret(&environment) {
        terminal::note("the file has a secret in it; let only the service read it (chmod 600)");
    }
    Ok(())
}

/// Reloads the issuers file for the signal with this number. If the file has a fault, or if a later
/// signal has been handled, the issuers stay unchanged.
pub(in crate::service) fn reload(
    config: &Config,
    auth: &Auth,
    signal: u64,
    applied: &Mutex<u64>,
    metrics: Option<&Metrics>,
) {
    let count = |is_usable| {
        if let Some(metrics) = metrics {
            metrics.issuers_file_read(is_usable);
        }
    };
    let tables = read(config);
    let mut applied = applied.lock().unwrap_or_else(PoisonError::into_inner);
    if signal < *applied {
        tracing::info!("issuers file ignored: a later SIGHUP was handled first");
        return;
    }
    // Even if the file has a fault, we set this: the read of an earlier signal may still be
    // running, and must not replace the issuers afterwards.
    *applied = signal;
    let tables = match tables {
        Ok(tables) => tables,
        Err(faults) => {
            for fault in faults.as_slice() {
                tracing::error!(%fault, "issuers file not reloaded; the old issuers stay in use");
            }
            count(false);
            return;
        }
    };
    let issuers = tables.tables.len();
    let builder = auth::builder(&tables);
    let accepted_proofs = auth.accepts_proofs();
    match auth.replace_issuers(&builder) {
        Ok(()) => {
            tracing::info!(issuers, "issuers file reloaded");
            count(true);
            let counts = [config, &tables].map(Config::introspecting_issuers);
            descriptors::check_reload(config.limits.connections, counts[0], counts[1]);
            if !accepted_proofs {
                auth::log_local_proofs(config, auth);
            }
        }
        Err(error) => {
            tracing::error!(%error, "issuers file not reloaded; the old issuers stay in use");
            count(false);
        }
    }
}

fn read(config: &Config) -> Result<Config, Faults> {
    let (tables, warnings) = config.read_issuers_file()?;
    config.check_issuers_files(&tables)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(Config {
        tables,
        ..config.clone()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_later_signal_is_never_undone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("issuers.toml");
        let table = |name: &str| {
            format!("[[issuer]]\nurl = \"https://{name}.example/\"\naudiences = [\"api\"]\n")
        };
        fs::write(&path, table("first")).unwrap();
        let variables = [("ISSUERS_FILE", path.to_str().unwrap())];
        let (config, _) = Config::load_from(&Environment::of(variables)).unwrap();
        let auth = auth::builder(&config).build().unwrap();
        let applied = Mutex::new(0);
        let after = |signal, text: &str| {
            fs::write(&path, text).unwrap();
            reload(&config, &auth, signal, &applied, None);
            let issuers = auth.status().into_iter().map(|status| status.issuer);
            issuers.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(after(1, &table("second")), "https://second.example/");
        assert_eq!(after(3, &table("third")), "https://third.example/");
        assert_eq!(after(2, &table("late")), "https://third.example/");
        assert_eq!(after(5, "a fault"), "https://third.example/");
        assert_eq!(after(4, &table("late")), "https://third.example/");
        assert_eq!(after(6, &table("sixth")), "https://sixth.example/");
    }
}
