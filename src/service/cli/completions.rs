//! `warp-bearer completions`: prints a completion script for a shell.

use clap::Command;
use clap_complete::{Generator, Shell};

use crate::service::cli::{failure::Failure, terminal};

pub(in crate::service) const EXAMPLES: &str = "\
Examples:
  warp-bearer completions bash > ~/.local/share/bash-completion/completions/warp-bearer
  warp-bearer completions zsh > /usr/local/share/zsh/site-functions/_warp-bearer
  warp-bearer completions fish > ~/.config/fish/completions/warp-bearer.fish";

pub(in crate::service) fn run(mut command: Command, shell: Shell) -> Result<(), Failure> {
    command.set_bin_name("warp-bearer");
    command.build();
    let mut script = Vec::new();
    shell
        .try_generate(&command, &mut script)
        .map_err(Failure::Process)?;
    if shell == Shell::Bash {
        // clap_complete takes the hyphen in the program's name for the start of a subcommand, so
        // completion wouldn't work after a command (clap-rs/clap#6421)
        let named = String::from_utf8_lossy(&script);
        script = named.replace("warp__subcmd__bearer", "warp__bearer").into();
    }
    terminal::print_bytes(&script)
}
