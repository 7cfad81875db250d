//! `NO_COLOR` and `TERM`: the variables of the terminal.
//!
//! Every program shares them, so they are not in the table of variables and have no faults.

use serde::Deserialize;

/// The variables of the terminal as they are set.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TerminalVariables {
    no_color: Option<String>,
    term: Option<String>,
}

impl TerminalVariables {
    /// Returns whether this is the name of one of them.
    pub(super) fn include(name: &str) -> bool {
        ["NO_COLOR", "TERM"].contains(&name)
    }

    /// Picks them from these variables and ignores the others.
    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let pairs = pairs.into_iter().filter(|(name, _)| Self::include(name));
        // Optional strings cannot be invalid.
        envy::from_iter(pairs).unwrap_or_default()
    }

    /// Returns whether the terminal may get colours (<https://no-color.org>).
    pub(super) fn allow_color(&self) -> bool {
        self.no_color.as_deref().is_none_or(str::is_empty) && !self.is_dumb()
    }

    /// Returns whether the terminal only appends text, so that nothing shown can be removed again.
    pub(super) fn is_dumb(&self) -> bool {
        self.term.as_deref() == Some("dumb")
    }
}
