//! What is wrong with a configuration, a line each.
//!
//! A line names the variable, where it is set, what was found and what would be right. It never
//! shows a secret and never spans two lines, whatever was found.

use std::{borrow::Cow, fmt};

use crate::{
    auth::display::ShownUrl,
    service::config::{
        env::{Origin, Vars},
        variables::Variable,
    },
};

/// One thing that stops the start, on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(Remark);

/// One thing that an operator should look at, on one line; the service starts all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(Remark);

/// What is said of a variable, and where that stands, if it stands anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Remark {
    place: String,
    origin: Option<Origin>,
    message: String,
}

/// Everything that stops the start; displayed, a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Remark {
    fn new(place: &str, message: impl fmt::Display) -> Self {
        Self {
            place: place.to_owned(),
            origin: None,
            message: message.to_string(),
        }
    }

    /// With the place where its variable is set.
    fn located(self, vars: &Vars) -> Self {
        let origin = vars.get(&self.place).map(|(_, origin)| origin);
        Self { origin, ..self }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(origin) = self.origin {
            write!(f, "in {origin}, ")?;
        }
        f.write_str(&self.message)
    }
}

impl Fault {
    /// `place` is a variable, or `.env`.
    pub(super) fn new(place: &str, message: impl fmt::Display) -> Self {
        Self(Remark::new(place, message))
    }

    /// A value was found, and is not right.
    pub(super) fn wrong(variable: &Variable, text: &str, wrong: &Wrong) -> Self {
        let found = if variable.is_secret() {
            format!("{} bytes (not shown)", text.len())
        } else {
            shown(text)
        };
        Self::wrong_value(variable.name, &found, wrong, variable.wants())
    }

    /// The same of a variable that is not in the table.
    pub(super) fn wrong_value(name: &str, found: &str, wrong: &Wrong, wants: &str) -> Self {
        let hint = match &wrong.hint {
            Some(hint) => hint.clone(),
            None => format!("give {wants}"),
        };
        Self::new(
            name,
            format_args!("found {found}, which {}; {hint}", wrong.why),
        )
    }
}

impl Warning {
    pub(super) fn new(variable: &str, message: impl fmt::Display) -> Self {
        Self(Remark::new(variable, message))
    }

    /// The same ones, each with the place where its variable is set.
    pub(super) fn located(warnings: Vec<Self>, vars: &Vars) -> Vec<Self> {
        let located = warnings
            .into_iter()
            .map(|Self(remark)| Self(remark.located(vars)));
        located.collect()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Faults {
    /// The faults, in the order of the table of variables.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    /// The same, each with the place where its variable is set.
    #[must_use]
    pub fn located(self, vars: &Vars) -> Self {
        let located = self.0.into_iter().map(|fault| Fault(fault.0.located(vars)));
        Self(located.collect())
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
        for (index, fault) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Why a value is not right, told apart from the variable that had it.
#[derive(Debug)]
pub(super) struct Wrong {
    why: Cow<'static, str>,
    hint: Option<String>,
}

impl Wrong {
    /// `why` goes on from "which".
    pub(super) fn new(why: &'static str) -> Self {
        Self {
            why: why.into(),
            hint: None,
        }
    }

    /// What another found to be the reason.
    pub(super) fn because(self, reason: impl fmt::Display) -> Self {
        Self {
            why: format!("{}: {reason}", self.why).into(),
            ..self
        }
    }

    /// What would be right, where that is more than what the variable wants.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// A guess at what was meant; without one, what the variable wants is said instead. The guess
    /// repeats part of the value and is shown like it.
    pub(super) fn meant(self, guess: Option<impl fmt::Display>) -> Self {
        match guess {
            Some(guess) => {
                let guess = ShownUrl::new(&guess.to_string());
                self.hint(format!("did you mean {guess}?"))
            }
            None => self,
        }
    }
}

/// How a key begins that somebody put in the place of its path.
pub(super) const PEM: &str = "-----BEGIN";

/// A value that was found, quoted. It is shown as an address, whatever it was meant to be: one with
/// a password may be in the place of anything. Of a key, only the first word is shown.
pub(in crate::service) fn shown(text: &str) -> String {
    if text.starts_with(PEM) {
        return format!("\"{PEM}…\"");
    }
    format!("{:?}", ShownUrl::new(text))
}
