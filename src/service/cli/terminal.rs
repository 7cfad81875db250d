//! What goes to a terminal: marks, colours where there are any, and nothing that a stranger's text
//! could do to it.

use std::fmt::Write;

use crate::auth::display::{cut, escaped};

/// How text is shown on this terminal, if it is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    color: bool,
}

/// What a line has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It holds.
    Good,
    /// It does not.
    Bad,
    /// Look at it.
    Note,
    /// It is so.
    Plain,
}

impl Screen {
    pub(crate) const fn new(color: bool) -> Self {
        Self { color }
    }

    /// Standard output: colours on a terminal, unless `NO_COLOR` says otherwise.
    pub(crate) fn stdout(wanted: bool) -> Self {
        Self::new(wanted && std::io::IsTerminal::is_terminal(&std::io::stdout()))
    }

    /// A mark, a name, what is said about it and, fainter, what else; cleaned, and cut to what a
    /// screen can show. Names are `width` wide.
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

    /// In the colour of a mark, in bold.
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

    /// What is there to be overlooked.
    pub(crate) fn faint(self, text: &str) -> String {
        if self.color {
            format!("\x1b[2m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Escapes a whole line and cuts it after 1000 characters.
    ///
    /// A second line of defence: whoever composes a line shows the foreign parts of it as
    /// [`ShownText`](crate::auth::display::ShownText) or `ShownUrl`, which are shorter.
    pub(crate) fn clean(text: &str) -> String {
        escaped(&cut(text, 1000))
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

    /// As JSON has it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Note => "note",
            Self::Plain => "plain",
        }
    }
}

/// JSON in which nothing but ASCII is left: what is not could do to a terminal what it does in a
/// text, and an escape is the same to whoever reads JSON.
pub(crate) fn ascii(json: &serde_json::Value) -> String {
    let mut ascii = String::new();
    for c in format!("{json:#}").chars() {
        if c == '\n' || matches!(c, ' '..='~') {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a string does not fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_strangers_text_does_nothing_to_a_terminal() {
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
            assert_eq!(Screen::clean(text), expected, "{case}");
        }
        assert_eq!(Screen::clean(&"a".repeat(2000)).chars().count(), 1001);
    }

    #[test]
    fn json_is_ascii_and_says_the_same() {
        let value = json!({"a\u{202e}": "\x1b[2J\u{9b}\u{7f}\n日𝄞"});
        let text = ascii(&value);
        assert!(
            text.chars().all(|c| c == '\n' || (' '..='~').contains(&c)),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
