//! `NO_COLOR` and `TERM`: the variables of the terminal.
//!
//! They don't belong to this service, so they aren't in the table of variables and never cause
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
        // can't fail: optional strings are always valid
        envy::from_iter(pairs).unwrap_or_default()
    }

    /// <https://no-color.org>
    pub(super) fn allow_color(&self) -> bool {
        self.no_color.as_deref().is_none_or(str::is_empty) && !self.is_dumb()
    }

    /// The terminal can only append output, and not remove it
    pub(super) fn is_dumb(&self) -> bool {
        self.term.as_deref() == Some("dumb")
    }
}
