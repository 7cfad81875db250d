//! [`Advice`]: the likely cause of a rejection, its fix, and the settings for the fix.

use std::borrow::Cow;

use crate::service::{
    api::errors::Cause,
    config::{Config, Setting},
};

/// Advice for one token, adapted to the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Advice {
    /// A sentence
    pub(in crate::service) what: Cow<'static, str>,
    /// A sentence
    pub(in crate::service) fix: Cow<'static, str>,
    /// Lines of configuration for the fix. We've checked that the service starts with them.
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
    #[must_use]
    pub(in crate::service) fn with(mut self, settings: Vec<Setting>) -> Self {
        self.settings = settings;
        self
    }

    /// If the issuers are in a file, replaces the names of variables with those of its options.
    #[must_use]
    pub(in crate::service) fn in_words_of(mut self, config: &Config) -> Self {
        for text in [&mut self.what, &mut self.fix] {
            *text = config.in_its_words(text).into_owned().into();
        }
        self
    }

    /// Replaces `Bearer` with `of_cause` in the cause, and with `of_fix` in the fix.
    #[must_use]
    pub(in crate::service) fn with_schemes(mut self, of_cause: &str, of_fix: &str) -> Self {
        self.what = self.what.replace("Bearer", of_cause).into();
        self.fix = self.fix.replace("Bearer", of_fix).into();
        self
    }

    /// Replaces the fix with one for the current configuration.
    #[must_use]
    pub(in crate::service) fn fixed_by(mut self, sentence: String) -> Self {
        self.fix = sentence.into();
        self
    }

    #[must_use]
    pub(in crate::service) fn and(mut self, sentence: &str) -> Self {
        self.what = format!("{} {sentence}", self.what).into();
        self
    }
}
