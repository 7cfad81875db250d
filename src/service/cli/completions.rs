//! `warp-bearer completions`: prints a completion script for a shell.

use clap::Command;
use clap_complete::{Generator, Shell};

use crate::service::cli::{failure::Failure, terminal};

pub(in crate::service) const EXAMPLES: &str = "\
Examples:
  warp-bearer completions bash > ~/.local/share/bash-completion/completions/warp-bearer
  warp-bearer completions zsh > /usr/local/share/zsh/site-functions/_warp-bearer
  warp-bearer completions fish > ~/.config/fish/completions/warp-bearer.fish";

/// Prints a completion script for `shell`.
pub(in crate::service) fn run(mut command: Command, shell: Shell) -> Result<(), Failure> {
    command.set_bin_name("warp-bearer");
    command.build();
    let mut script = Vec::new();
    shell
        .try_generate(&command, &mut script)
        .map_err(Failure::Process)?;
    if shell == Shell::Bash {
        // Works around clap-rs/clap#6421: clap_complete treats the hyphen in the program's name as
        // the start of a subcommand, so completion would not work after a command.
        let named = String::from_utf8_lossy(&script);
        script = named.replace("warp__subcmd__bearer", "warp__bearer").into();
    }
    terminal::print_bytes(&script)
}
