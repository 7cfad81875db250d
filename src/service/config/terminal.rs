//! `NO_COLOR` and `TERM`: the variables of the terminal.
//!
//! They do not belong to this service, so they are not in the table of variables and never cause
//! faults.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
pub(super) struct TerminalVariables {
    no_color: Option<String>,
    term: Option<String>,
}

impl TerminalVariables {
    pub(super) fn include(name: &str) -> bool {
        ["NO_COLOR", "TERM"].contains(&name)
    }

    pub(super) fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let pairs = pairs.into_iter().filter(|(name, _)| Self::include(name));
        // Cannot fail: optional strings are always valid.
        envy::from_iter(pairs).unwrap_or_default()
    }

    /// Returns `true` if the terminal may show colours (<https://no-color.org>).
    pub(super) fn allow_color(&self) -> bool {
        self.no_color.as_deref().is_none_or(str::is_empty) && !self.is_dumb()
    }

    /// Returns `true` if the terminal can only append output, and not remove it.
    pub(super) fn is_dumb(&self) -> bool {
        self.term.as_deref() == Some("dumb")
    }
}
