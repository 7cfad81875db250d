//! `warp-bearer check`: the configuration and the issuer, examined before deployment.

use std::{
    io::{self, IsTerminal, Write},
    time::SystemTime,
};

use clap::Args;

use crate::{
    auth::display::ShownUrl,
    service::{
        cli::{
            Failure,
            check::{Plan, Report, Section, examine},
            terminal::{Mark, Screen, ascii},
        },
        config::{Config, Faults, Vars},
        http::tls::Tls,
    },
};

const EXAMPLES: &str = r#"Examples:
  warp-bearer check
  warp-bearer check --json | jq '.sections[].findings[] | select(.mark == "bad")'"#;

/// What can be said on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let vars = Vars::read().map_err(Failure::Config)?;
    let mut report = Report::default();
    report.add(Section::of_variables(&vars));
    let screen = Screen::stdout(vars.color());
    let (config, mut warnings) = match Config::located(&vars) {
        Ok(read) => read,
        Err(faults) => {
            let mut section = Section::new("Configuration");
            tell(&faults, &mut section);
            if options.json {
                report.add(section);
            }
            print(&report, &options, screen);
            return Err(Failure::Config(faults));
        }
    };
    let mut section = Section::new("Configuration");
    match config.surroundings(&vars) {
        Ok(more) => warnings.extend(more),
        Err(faults) => tell(&faults, &mut section),
    }
    if warnings.is_empty() {
        section.add(
            Mark::Good,
            "",
            "every variable makes sense, alone and together",
        );
    }
    for warning in warnings {
        section.add(Mark::Note, "", warning.to_string());
    }
    certificate(&config, &mut section);
    report.add(section);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let plan = Plan {
        config: &config,
        proxied: vars.is_proxied(),
        now: now.as_secs_f64(),
    };
    let progress = Progress(io::stderr().is_terminal() && !vars.is_dumb());
    for issuer in &config.issuers {
        report.add(examine(issuer, &plan, |what| progress.tell(what)).await);
    }
    progress.clear();
    print(&report, &options, screen);
    if !options.json {
        println!("{}", report.verdict(screen));
    }
    if report.is_good() {
        return Ok(());
    }
    Err(Failure::Told)
}

fn print(report: &Report, options: &Options, screen: Screen) {
    if options.json {
        println!("{}", ascii(&report.json()));
    } else {
        print!("{}", report.text(screen));
    }
}

fn tell(faults: &Faults, section: &mut Section) {
    for fault in faults.as_slice() {
        section.add(Mark::Bad, "", fault.to_string());
    }
}

fn certificate(config: &Config, section: &mut Section) {
    let Some(files) = config.tls.clone() else {
        return;
    };
    match Tls::load(files) {
        Ok(_) => section.add(Mark::Good, "", "TLS_CERT_FILE and TLS_KEY_FILE can be read"),
        Err(error) => section.add(Mark::Bad, "", format!("TLS: {error}")),
    }
}

/// One line on a terminal while the network is asked, which leaves nothing behind.
struct Progress(bool);

impl Progress {
    /// With the terminal's wrapping off: of a line that is longer than the terminal is wide, a part
    /// would stay.
    fn tell(&self, what: &str) {
        let what = ShownUrl::new(what);
        self.write(&format!("\r\x1b[2K\x1b[?7lasking {what} …\x1b[?7h"));
    }

    fn clear(&self) {
        self.write("\r\x1b[2K");
    }

    /// Whether it is seen matters to nothing.
    fn write(&self, text: &str) {
        if self.0 {
            let mut terminal = io::stderr();
            let _ = terminal.write_all(text.as_bytes());
            let _ = terminal.flush();
        }
    }
}
