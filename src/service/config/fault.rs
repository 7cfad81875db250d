//! What is wrong with a configuration, a line each.
//!
//! A line names the variable, what was found and what would be right. It never shows a secret, and
//! never spans two lines, whatever was found.

use std::fmt;

use super::variables::Variable;

/// One thing that stops the start, on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(String);

/// One thing that an operator should look at, on one line; the service starts all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(String);

/// Everything that stops the start; displayed, a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Fault {
    /// `place` is a variable, or `.env`.
    pub(super) fn new(place: &str, message: impl fmt::Display) -> Self {
        Self(format!("{place}: {message}"))
    }

    /// A value was found, and is not right.
    pub(super) fn wrong(variable: &Variable, text: &str, wrong: &Wrong) -> Self {
        let found = if variable.is_secret() {
            format!("{} bytes (not shown)", text.len())
        } else {
            shown(text)
        };
        let hint = match &wrong.hint {
            Some(hint) => hint.clone(),
            None => format!("give {}", variable.wants()),
        };
        Self::new(
            variable.name,
            format_args!("found {found}, which {}; {hint}", wrong.why),
        )
    }
}

impl Warning {
    pub(super) fn new(variable: &str, message: impl fmt::Display) -> Self {
        Self(format!("{variable}: {message}"))
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Faults {
    /// The faults, in the order of the table of variables.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(faults: Vec<Fault>) -> Self {
        Self(faults)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Fault(line)) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Why a value is not right, told apart from the variable that had it.
#[derive(Debug)]
pub(super) struct Wrong {
    why: &'static str,
    hint: Option<String>,
}

impl Wrong {
    /// `why` goes on from "which".
    pub(super) fn new(why: &'static str) -> Self {
        Self { why, hint: None }
    }

    /// What would be right, where that is more than what the variable wants.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// A guess at what was meant; without one, what the variable wants is said instead.
    pub(super) fn meant(self, guess: Option<impl fmt::Display>) -> Self {
        match guess {
            Some(guess) => self.hint(format!("did you mean {guess}?")),
            None => self,
        }
    }
}

/// How a key begins that somebody put in the place of its path.
pub(super) const PEM: &str = "-----BEGIN";

/// What was found, quoted, escaped and cut; nothing of it that may be a password in a URL.
pub(in crate::service) fn shown(text: &str) -> String {
    const ENOUGH: usize = 80;
    if text.starts_with(PEM) {
        return format!("\"{PEM}…\"");
    }
    let mut shown = match text.rfind('@') {
        Some(at) => format!("…{}", &text[at..]),
        None => text.to_owned(),
    };
    if let Some(query) = shown.find('?').filter(|_| text.contains("://")) {
        shown.replace_range(query + 1.., "…");
    }
    if let Some((cut, _)) = shown.char_indices().nth(ENOUGH) {
        shown.replace_range(cut.., "…");
    }
    format!("{shown:?}")
}
