//! [`Terminal`]: formats output with symbols and colours, and escapes untrusted text.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write as _},
};

use crate::{
    auth::display::{cut, escaped, push_json_escape},
    service::cli::failure::Failure,
};

/// Formats text for standard output, which may be a terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    color: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Good,
    Bad,
    Note,
    Plain,
}

impl Terminal {
    /// Colours only if they're allowed and standard output is a terminal.
    pub(crate) fn stdout(allow_color: bool) -> Self {
        Self {
            color: allow_color && io::stdout().is_terminal(),
        }
    }

    /// A mark, a name padded to `width`, a text, and a second, fainter text. Both texts are escaped
    /// and truncated.
    pub(crate) fn line(
        self,
        mark: Mark,
        name: &str,
        width: usize,
        text: &str,
        more: &str,
    ) -> String {
        let line = format!("{name:width$} {}", Self::clean(text));
        let mut line = format!("  {} {}", self.strong(mark, mark.sign()), line.trim());
        if !more.is_empty() {
            line += "   ";
            line += &self.faint(&Self::clean(more));
        }
        line
    }

    /// Formats text in bold, and in the colour of a mark.
    pub(crate) fn strong(self, mark: Mark, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let color = match mark {
            Mark::Good => ";32",
            Mark::Bad => ";31",
            Mark::Note => ";33",
            Mark::Plain => "",
        };
        format!("\x1b[1{color}m{text}\x1b[0m")
    }

    pub(crate) fn faint(self, text: &str) -> String {
        if self.color {
            format!("\x1b[2m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Escapes a whole line, and truncates it after 6000 characters, which is more than the longest
    /// advice with two URLs.
    ///
    /// This is only the second line of defence: untrusted parts of a line should already be a
    /// [`ShownText`](crate::auth::display::ShownText) or `ShownUrl`, which have lower limits.
    pub(crate) fn clean(text: &str) -> String {
        escaped(&cut(text, 6000))
    }
}

impl Mark {
    const fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Note => "!",
            Self::Plain => "·",
        }
    }

    /// The name of the mark in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Note => "note",
            Self::Plain => "plain",
        }
    }
}

/// Formats JSON as ASCII, since other characters could control a terminal. For a JSON parser,
/// escapes make no difference.
pub(crate) fn ascii(json: &serde_json::Value) -> String {
    let mut ascii = String::new();
    for c in format!("{json:#}").chars() {
        if c == '\n' || matches!(c, ' '..='~') {
            ascii.push(c);
        } else {
            push_json_escape(&mut ascii, c);
        }
    }
    ascii
}

/// Unlike `print!`, does not panic if the pipe is closed.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    print_bytes(text.to_string().as_bytes())
}

/// Prints a line to standard error. Unlike `eprintln!`, this does not panic if standard error is
/// closed.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

pub(crate) fn print_line(text: impl Display) -> Result<(), Failure> {
    print(format_args!("{text}\n"))
}

pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    unless_closed(io::stdout().write_all(bytes))
}

/// A closed pipe is a success: the reader may not need more.
pub(crate) fn unless_closed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::Process),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn escapes_untrusted_text() {
        #[rustfmt::skip]
        let rows = [
            ("plain", r#""a\b" 'c' é 日"#, r#""a\b" 'c' é 日"#),
            ("an escape", "\x1b]0;x\x07", "\\u{1b}]0;x\\u{7}"),
            ("C1", "\u{9b}2J", "\\u{9b}2J"),
            ("a line", "a\r\nb", "a\\r\\nb"),
            ("right to left", "\u{202e}cba", "\\u{202e}cba"),
            ("no width", "a\u{200b}b", "a\\u{200b}b"),
        ];
        for (case, text, expected) in rows {
            assert_eq!(Terminal::clean(text), expected, "{case}");
        }
        assert_eq!(Terminal::clean(&"a".repeat(9000)).chars().count(), 6001);
    }

    #[test]
    fn escapes_json_without_changing_its_value() {
        let value = json!({"a\u{202e}": "\x1b[2J\u{9b}\u{7f}\n日𝄞"});
        let text = ascii(&value);
        assert!(
            text.chars().all(|c| c == '\n' || (' '..='~').contains(&c)),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
