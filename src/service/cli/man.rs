//! `warp-bearer man`: prints the manual page of the program or of a command, as roff.

use std::io;

use clap::{
    Command,
    builder::{Resettable, StyledStr},
};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::service::cli::{failure::Failure, terminal};

pub(in crate::service) const EXAMPLES: &str = "\
Examples:
  warp-bearer man | man -l -
  warp-bearer man explain > warp-bearer-explain.1";

pub(in crate::service) const PAGES: [&str; 10] = [
    "serve",
    "dev",
    "explain",
    "check",
    "issuers",
    "health",
    "revoke",
    "revocations",
    "completions",
    "man",
];

pub(in crate::service) fn run(mut program: Command, name: Option<&str>) -> Result<(), Failure> {
    program.build();
    let command = name.and_then(|name| program.find_subcommand(name)).cloned();
    let page = roff(command.unwrap_or(program)).map_err(Failure::Process)?;
    terminal::print_bytes(&page)
}

/// The examples get their own section, which keeps their line breaks.
fn roff(command: Command) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string);
    let after = after.unwrap_or_default();
    let (examples, rest) = match after.split_once("\n\n") {
        Some((examples, rest)) => (examples, Some(StyledStr::from(rest.to_owned()))),
        None => (&*after, None),
    };
    let mut section = Roff::new();
    section.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in examples.lines().skip(1) {
        section.text([roman(line)]);
    }
    section.control("fi", []);

    let mut page = Vec::new();
    Man::new(command.after_help(Resettable::from(rest)))
        // An empty date. Without the quotes, roff would take the next argument for the date
        .date("\"\"")
        .source(concat!("warp-bearer ", env!("CARGO_PKG_VERSION")))
        .manual("warp-bearer")
        .render(&mut page)?;
    section.to_writer(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::service::cli::Cli;

    #[test]
    fn every_command_has_a_page_and_examples() {
        let program = Cli::command();
        let names = program.get_subcommands().map(Command::get_name);
        assert_eq!(names.collect::<Vec<_>>(), PAGES);
        for command in program.get_subcommands().chain([&program]) {
            let after = command.get_after_help().map(ToString::to_string);
            let examples = after.unwrap_or_default();
            let (name, start) = (command.get_name(), "Examples:\n  ");
            assert!(examples.starts_with(start), "{name}: {examples}");
            let page = String::from_utf8(roff(command.clone()).unwrap()).unwrap();
            assert!(page.contains("\n.SH EXAMPLES\n.nf\n"), "{name}: {page}");
        }
    }
}
