//! [`Progress`]: shows the current request on standard error.

use std::io::{self, IsTerminal, Write};

use crate::auth::display::ShownUrl;

/// A line on the terminal with the current request. It's removed at the end.
pub(in crate::service) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Only visible if standard error is a terminal that can remove lines.
    pub(in crate::service) fn on_stderr(has_dumb_terminal: bool) -> Self {
        Self {
            is_shown: io::stderr().is_terminal() && !has_dumb_terminal,
        }
    }

    /// Shows the URL of the current request. We turn off line wrapping: a wrapped line couldn't be
    /// removed completely.
    pub(in crate::service) fn show(&self, target: &str) {
        let target = ShownUrl::new(target);
        self.write(&format!("\r\x1b[2K\x1b[?7lasking {target} …\x1b[?7h"));
    }

    pub(in crate::service) fn clear(&self) {
        self.write("\r\x1b[2K");
    }

    /// Nothing depends on this line, so we ignore errors
    fn write(&self, text: &str) {
        if self.is_shown {
            let mut terminal = io::stderr();
            let _ = terminal.write_all(text.as_bytes());
            let _ = terminal.flush();
        }
    }
}
