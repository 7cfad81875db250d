//! [`Advice`]: the cause of a refusal, its fix, and the settings that apply the fix.

use std::borrow::Cow;

use crate::service::{
    api::errors::Cause,
    config::{Config, Setting},
};

/// A cause and its fix, adapted to the configuration and the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Advice {
    /// The cause, as a sentence.
    pub(in crate::service) what: Cow<'static, str>,
    /// The fix, as a sentence.
    pub(in crate::service) fix: Cow<'static, str>,
    /// Lines of configuration that apply the fix. The service starts with them.
    pub(in crate::service) settings: Vec<Setting>,
}

impl From<Cause> for Advice {
    fn from(cause: Cause) -> Self {
        Self {
            what: cause.what.into(),
            fix: cause.fix.into(),
            settings: Vec::new(),
        }
    }
}

impl Advice {
    /// Adds lines of configuration.
    #[must_use]
    pub(in crate::service) fn with(mut self, settings: Vec<Setting>) -> Self {
        self.settings = settings;
        self
    }

    /// Replaces variables by options of the issuers file, if the issuers are in a file.
    #[must_use]
    pub(in crate::service) fn in_words_of(mut self, config: &Config) -> Self {
        for text in [&mut self.what, &mut self.fix] {
            *text = config.in_its_words(text).into_owned().into();
        }
        self
    }

    /// Replaces the fix by one for the current configuration.
    #[must_use]
    pub(in crate::service) fn fixed_by(mut self, sentence: String) -> Self {
        self.fix = sentence.into();
        self
    }

    /// Appends a sentence to the cause.
    #[must_use]
    pub(in crate::service) fn and(mut self, sentence: &str) -> Self {
        self.what = format!("{} {sentence}", self.what).into();
        self
    }
}
