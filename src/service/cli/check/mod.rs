//! `warp-bearer check`: checks the configuration and its issuers before deployment.
//!
//! The checks send the same requests as the service, call the same functions and build the same
//! `Auth`, so a configuration that passes also works in the service. They change nothing, and go on
//! after a failure, so that one run reports all problems.

mod certificate;
pub(super) mod entra;
mod introspection;
mod issuer;
mod issuers;
mod keys;
mod progress;
mod report;
mod revocations;
mod store;
mod variables;

use std::time::SystemTime;

use clap::Args;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    auth::files,
    service::{
        cli::{
            auth,
            check::{
                certificate::SOON,
                progress::Progress,
                report::{Report, Section},
            },
            context::Context,
            env_file::EnvFile,
            failure::{Failure, setup_fault},
            terminal::{self, Mark, Terminal, ascii},
            time_format::relative,
        },
        config::{Config, Faults},
        http::{descriptors, tls::Tls},
    },
};

const EXAMPLES: &str = r#"Examples:
  warp-bearer check
  warp-bearer check --env-file /etc/warp-bearer/env
  warp-bearer check --json | jq '.sections[].findings[] | select(.mark == "bad")'"#;

/// The options of the command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    #[command(flatten)]
    env_file: EnvFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let environment = options.env_file.read()?;
    let mut report = Report::default();
    report.add(variables::section(&environment));
    let terminal = Terminal::stdout(environment.allows_color());
    let (config, mut warnings) = match Config::from_environment(&environment) {
        Ok(read) => read,
        Err(faults) => {
            let mut section = Section::new("Configuration");
            add_faults(&faults, &mut section);
            if options.json {
                report.add(section);
            }
            print(&report, &options, terminal)?;
            if !options.json {
                let verdict = "The service would not start: see the errors.";
                terminal::print_line(terminal.strong(Mark::Bad, verdict))?;
            }
            return Err(Failure::Config(faults));
        }
    };
    let mut section = Section::new("Configuration");
    let external = config.check_external(&environment);
    let auth = auth::builder(&config).build();
    match (external, &auth) {
        (Err(faults), _) => add_faults(&faults, &mut section),
        (Ok(_), Err(error)) => section.add(Mark::Bad, "", setup_fault(error)),
        (Ok(more), Ok(_)) => {
            warnings.extend(more);
            if warnings.is_empty() {
                section.add(Mark::Good, "", "no mistakes found");
            }
        }
    }
    for warning in warnings {
        section.add(Mark::Note, "", warning.to_string());
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now = now.as_secs_f64();
    certificate(&config, now, &mut section);
    descriptors(&config, &mut section);
    revocations::check(&config, now, &mut section);
    report.add(section);
    let progress = Progress::on_stderr(environment.has_dumb_terminal());
    let mut rows = Vec::new();
    for own in config.of_each_issuer() {
        let context = Context::new(&own, &environment, now);
        for issuer in &own.issuers {
            let section = issuer::check(issuer, &context, |target| progress.show(target)).await;
            let section = section.in_words_of(&own);
            rows.extend(
                own.tables
                    .first()
                    .map(|table| issuers::row(table, &own, &section)),
            );
            report.add(section);
        }
    }
    if let Ok(auth) = &auth
        && let Some(section) = introspection::check(auth, |target| progress.show(target)).await
    {
        report.add(section.in_words_of(&config));
    }
    if let Some(section) = store::check(&config, |target| progress.show(target)).await {
        report.add(section);
    }
    progress.clear();
    if !rows.is_empty() {
        report.add(issuers::table(rows));
    }
    print(&report, &options, terminal)?;
    if !options.json {
        terminal::print_line(report.verdict(terminal))?;
    }
    if report.is_good() {
        return Ok(());
    }
    Err(Failure::Reported)
}

fn print(report: &Report, options: &Options, terminal: Terminal) -> Result<(), Failure> {
    if options.json {
        terminal::print_line(ascii(&report.json()))
    } else {
        terminal::print(report.text(terminal))
    }
}

fn add_faults(faults: &Faults, section: &mut Section) {
    for fault in faults.as_slice() {
        section.add(Mark::Bad, "", fault.to_string());
    }
}

/// Connections could use up the file descriptors, which key fetches need too. We only note this, as
/// the service may well run with another limit.
fn descriptors(config: &Config, section: &mut Section) {
    let wanted = config.limits.connections;
    let introspecting = config.introspecting_issuers();
    let Some((connections, descriptors)) = descriptors::shortfall(wanted, introspecting) else {
        return;
    };
    let text = format!(
        "MAX_CONNECTIONS is {wanted}, but a process may open only {descriptors} files here, which is enough for {connections} connections"
    );
    let more = "raise the limit (ulimit -n, LimitNOFILE), or lower MAX_CONNECTIONS";
    section.add_more(Mark::Note, "", text, more);
}

fn certificate(config: &Config, now: f64, section: &mut Section) {
    let Some(tls) = config.tls.clone() else {
        return;
    };
    let path = tls.certificate.clone();
    if let Err(error) = Tls::load(tls) {
        return section.add(Mark::Bad, "", format!("TLS: {error}"));
    }
    let pem = files::read(&path).unwrap_or_default();
    let own = CertificateDer::from_pem_slice(&pem).ok();
    let readable = "TLS_CERT_FILE and TLS_KEY_FILE can be read";
    let name = "TLS_CERT_FILE: the certificate";
    match own.and_then(|own| certificate::validity(&own)) {
        Some((from, _)) if now < from => {
            let begins = relative(from - now);
            let text = format!("{name} is not valid yet; its validity begins {begins}");
            let more = "clients refuse to connect; correct the clock, or use another certificate";
            section.add_more(Mark::Bad, "", text, more);
        }
        Some((_, until)) if until < now => {
            let text = format!("{name} ended {}", relative(until - now));
            section.add_more(Mark::Bad, "", text, "renew it; clients refuse to connect");
        }
        Some((_, until)) if until - now < SOON => {
            let text = format!("{name} ends {}", relative(until - now));
            section.add(Mark::Note, "", text);
        }
        Some((_, until)) => {
            let text = format!("{readable}; the certificate ends {}", relative(until - now));
            section.add(Mark::Good, "", text);
        }
        None => section.add(Mark::Good, "", readable),
    }
}
