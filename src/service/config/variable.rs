//! [`Variable`]: the description of one variable, and the kinds of rows in the table.
//!
//! A [`WithDefault`] variable always has a value, an [`Optional`] one may have none, and an
//! [`Unread`] one belongs to other programs.

use crate::service::config::invalid::Parsed;

pub(super) fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A variable that the service knows, as documented for users.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// The name in the environment and in `.env`.
    pub name: &'static str,
    /// The default.
    pub unset: Unset,
    /// The purpose, in one or more sentences.
    pub meaning: &'static str,
    /// The value in `.env.example`: a valid one, or a placeholder if no value suits every user.
    pub example: &'static str,
    /// Faults show this after "give"
    pub(super) expects: &'static str,
    /// True if the value must never be displayed.
    pub is_secret: bool,
    /// Which quotes and number signs the value may have
    pub(super) form: Form,
}

/// Which quotes and number signs a valid value may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// No ` #`, and no quotes at the start or the end
    Strict,
    /// Like [`Strict`](Self::Strict), but ` #` may be in the name of a file
    Path,
    /// Quotes and ` #` are allowed, but not quotes around the whole value
    FreeText,
}

/// The value of a variable that is not set.
#[derive(Debug, Clone, Copy)]
pub enum Unset {
    /// This value.
    Default(&'static str),
    /// A value that is not fixed, described in a few words.
    Described(&'static str),
}

impl Unset {
    /// The default, or the words that describe it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Default(text) | Self::Described(text) => text,
        }
    }
}

/// A variable that always has a value, because it has a default. `T` is the type of the value, or
/// of each item of a list.
pub(super) struct WithDefault<T> {
    pub(super) variable: Variable,
    pub(super) parse: fn(&str) -> Parsed<T>,
}

pub(super) struct Optional<T> {
    pub(super) variable: Variable,
    pub(super) parse: fn(&str) -> Parsed<T>,
}

/// Documented, but not read by the service
pub(super) struct Unread {
    pub(super) variable: Variable,
}

impl<T> WithDefault<T> {
    pub(super) const fn unset(default: &'static str) -> Unset {
        Unset::Default(default)
    }

    pub(super) const fn name(&self) -> &'static str {
        self.variable.name
    }
}

impl<T> Optional<T> {
    pub(super) const fn unset(words: &'static str) -> Unset {
        Unset::Described(words)
    }

    pub(super) const fn name(&self) -> &'static str {
        self.variable.name
    }
}

impl Unread {
    pub(super) const fn unset(words: &'static str) -> Unset {
        Unset::Described(words)
    }
}
