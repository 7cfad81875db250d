//! [`Progress`]: shows on standard error which request is running.

use std::io::{self, IsTerminal, Write};

use crate::auth::display::ShownUrl;

/// One line on a terminal that names the running request and is removed at the end.
pub(in crate::service) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Creates a line, which stays hidden unless standard error is a terminal that can remove it.
    pub(in crate::service) fn on_stderr(has_dumb_terminal: bool) -> Self {
        Self {
            is_shown: io::stderr().is_terminal() && !has_dumb_terminal,
        }
    }

    /// Shows what is requested. Turns line wrapping off meanwhile, because part of a wrapped line
    /// could not be removed.
    pub(in crate::service) fn show(&self, target: &str) {
        let target = ShownUrl::new(target);
        self.write(&format!("\r\x1b[2K\x1b[?7lasking {target} …\x1b[?7h"));
    }

    pub(in crate::service) fn clear(&self) {
        self.write("\r\x1b[2K");
    }

    /// Ignores errors, because nothing depends on the line.
    fn write(&self, text: &str) {
        if self.is_shown {
            let mut terminal = io::stderr();
            let _ = terminal.write_all(text.as_bytes());
            let _ = terminal.flush();
        }
    }
}
