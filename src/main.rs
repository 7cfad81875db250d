//! The process: parses the command, runs it, and reports how it ended.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use warp_bearer::service::cli;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // `eprint!` panics if standard error is closed.
            let _ = write!(io::stderr(), "{failure}");
            failure.exit_code()
        }
    }
}
