//! `NO_COLOR` and `TERM`: the variables of the terminal.
//!
//! They are not specific to this service, so they are not in the table of variables and never cause
//! faults.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
pub(super) struct TerminalVariables {
    no_color: Option<String>,
    term: Option<String>,
}

impl TerminalVariables {
    /// Returns `true` if `name` is one of these variables.
    pub(super) fn include(name: &str) -> bool {
        ["NO_COLOR", "TERM"].contains(&name)
    }

    /// Picks these variables from `pairs` and ignores the others.
    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let pairs = pairs.into_iter().filter(|(name, _)| Self::include(name));
        // Cannot fail, because optional strings are always valid.
        envy::from_iter(pairs).unwrap_or_default()
    }

    /// Returns `true` if the terminal may show colours (<https://no-color.org>).
    pub(super) fn allow_color(&self) -> bool {
        self.no_color.as_deref().is_none_or(str::is_empty) && !self.is_dumb()
    }

    /// Returns `true` if the terminal can only append text, so that no output can be removed.
    pub(super) fn is_dumb(&self) -> bool {
        self.term.as_deref() == Some("dumb")
    }
}
