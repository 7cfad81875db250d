//! The reason why a value is invalid, without the name of its variable.

use std::{borrow::Cow, fmt};

use crate::auth::display::ShownUrl;

pub(super) type Parsed<T> = Result<T, InvalidValue>;

#[derive(Debug)]
pub(super) struct InvalidValue {
    pub(super) reason: Cow<'static, str>,
    /// Replaces the variable's general description.
    pub(super) hint: Option<String>,
    /// The value that `hint` suggests.
    pub(super) suggestion: Option<String>,
}

impl InvalidValue {
    /// `reason` continues the sentence "found …, which".
    pub(super) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            hint: None,
            suggestion: None,
        }
    }

    pub(super) fn because(self, error: impl fmt::Display) -> Self {
        Self {
            reason: format!("{}: {error}", self.reason).into(),
            ..self
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Suggests a valid value, if there is one. It's quoted in the same way as the invalid value,
    /// since it may contain parts of that.
    pub(super) fn suggest(self, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => {
                let value = value.to_string();
                let shown = ShownUrl::new(&value).to_string();
                // A value that is shortened or has a secret removed wouldn't work
                if shown == value {
                    let hint = format!("did you mean {value}?");
                    Self {
                        suggestion: Some(value),
                        ..self.hint(hint)
                    }
                } else {
                    self
                }
            }
            None => self,
        }
    }
}
