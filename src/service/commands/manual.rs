//! `warp-bearer completions` and `warp-bearer man`: the command line's own description, for shells
//! and for `man`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::{Generator, Shell};
use clap_mangen::Man;

use super::{Cli, Failure};

/// Prints what `shell` needs.
pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.set_bin_name("warp-bearer");
    command.build();
    let mut script = Vec::new();
    shell
        .try_generate(&command, &mut script)
        .map_err(Failure::Process)?;
    print(&script)
}

/// Prints the page of a command, or of the program.
pub(super) fn page(of: Option<&str>) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let command = match of {
        None => command,
        Some(name) => command
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| Failure::Usage(format!("there is no command {name:?}\n")))?,
    };
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(Failure::Process)?;
    print(&page)
}

/// A reader that has seen enough closes the pipe, and that is no failure.
fn print(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Process(error)),
        _ => Ok(()),
    }
}
