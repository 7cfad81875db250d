//! `warp-bearer completions` and `warp-bearer man`: the command line's own description, for shells
//! and for `man`.

use std::io::{self, Write};

use clap::{
    Command, CommandFactory,
    builder::{Resettable, StyledStr},
};
use clap_complete::{Generator, Shell};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use crate::service::cli::{Cli, Failure};

pub(in crate::service) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  warp-bearer completions bash > ~/.local/share/bash-completion/completions/warp-bearer
  warp-bearer completions zsh > /usr/local/share/zsh/site-functions/_warp-bearer
  warp-bearer completions fish > ~/.config/fish/completions/warp-bearer.fish";

pub(in crate::service) const MAN_EXAMPLES: &str = "\
Examples:
  warp-bearer man | man -l -
  warp-bearer man explain > warp-bearer-explain.1";

/// The commands that have a page of their own.
pub(in crate::service) const PAGES: [&str; 7] = [
    "serve",
    "dev",
    "explain",
    "check",
    "health",
    "completions",
    "man",
];

/// Prints what `shell` needs.
pub(in crate::service) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.set_bin_name("warp-bearer");
    command.build();
    let mut script = Vec::new();
    shell
        .try_generate(&command, &mut script)
        .map_err(Failure::Process)?;
    if shell == Shell::Bash {
        // What it branches to is named as if the program's hyphen began a command
        // (clap-rs/clap#6421), so that nothing after a command would be completed.
        let named = String::from_utf8_lossy(&script);
        script = named.replace("warp__subcmd__bearer", "warp__bearer").into();
    }
    print(&script)
}

/// Prints the page of a command, or of the program.
pub(in crate::service) fn page(of: Option<&str>) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build();
    let of = of.and_then(|name| program.find_subcommand(name)).cloned();
    let page = roff(of.unwrap_or(program)).map_err(Failure::Process)?;
    print(&page)
}

/// With the examples under a heading of their own, and line by line.
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
        // There is none, and without quotes what follows would stand in its place.
        .date("\"\"")
        .source(concat!("warp-bearer ", env!("CARGO_PKG_VERSION")))
        .manual("warp-bearer")
        .render(&mut page)?;
    section.to_writer(&mut page)?;
    Ok(page)
}

/// A reader that has seen enough closes the pipe, and that is no failure.
fn print(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Process(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
