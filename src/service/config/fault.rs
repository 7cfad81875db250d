//! Faults and warnings of a configuration, one line each.
//!
//! A line contains the variable, where it is set, its value and the fix. It never contains a secret
//! or a line break.

use std::fmt;

use crate::{
    auth::display::ShownUrl,
    service::config::{invalid::InvalidValue, origin::Origin, variable::Variable},
};

/// A fault that prevents the start, on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(Message);

/// A warning for the operator, on one line. The service starts anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(Message);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    subject: String,
    /// `None` if the variable is not set, or if we do not know its origin yet
    origin: Option<Origin>,
    /// Other variables that would do as well, if the variable is not set
    alternatives: Vec<&'static str>,
    text: String,
    /// `true` if the text already names the line or a similar name, so that nothing is added to it
    is_complete: bool,
}

/// A fault of a line in a file of variables. Only the commands that read its variable report it.
#[derive(Debug, Clone)]
pub(super) struct LineFault {
    /// `None` if the line makes the whole file invalid
    pub(super) variable: Option<&'static str>,
    pub(super) fault: Fault,
}

/// All faults that prevent the start. `Display` writes one line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Message {
    fn new(subject: &str, text: impl fmt::Display) -> Self {
        Self {
            subject: subject.to_owned(),
            origin: None,
            alternatives: Vec::new(),
            text: text.to_string(),
            is_complete: false,
        }
    }

    fn with_origin(self, origin_of: impl Fn(&str) -> Option<Origin>) -> Self {
        if self.is_complete {
            return self;
        }
        let origin = origin_of(&self.subject);
        Self { origin, ..self }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.subject)?;
        if let Some(origin) = &self.origin {
            write!(f, "in {origin}, ")?;
        }
        f.write_str(&self.text)
    }
}

impl LineFault {
    pub(super) fn of_variable(name: &'static str, fault: Fault) -> Self {
        Self {
            variable: Some(name),
            fault: fault.complete(),
        }
    }

    pub(super) fn of_file(fault: Fault) -> Self {
        Self {
            variable: None,
            fault: fault.complete(),
        }
    }
}

impl Fault {
    /// `subject` is a variable, or `.env`
    pub(super) fn new(subject: &str, text: impl fmt::Display) -> Self {
        Self(Message::new(subject, text))
    }

    pub(super) fn invalid(variable: &Variable, text: &str, invalid: &InvalidValue) -> Self {
        let found = if variable.is_secret {
            format!("{} bytes (not shown)", text.len())
        } else {
            quoted(text)
        };
        Self::found(variable.name, &found, invalid, variable.expects)
    }

    pub(super) fn found(name: &str, found: &str, invalid: &InvalidValue, expects: &str) -> Self {
        let hint = match &invalid.hint {
            Some(hint) => hint.clone(),
            None => format!("give {expects}"),
        };
        let reason = &invalid.reason;
        Self::new(name, format_args!("found {found}, which {reason}; {hint}"))
    }

    /// A fault because none of these variables is set. It's about the first of them.
    pub(super) fn missing(names: &[&'static str], text: impl fmt::Display) -> Self {
        let mut message = Message::new(names[0], text);
        message.alternatives = names[1..].to_vec();
        Self(message)
    }

    pub(super) fn with_origin(self, origin_of: impl Fn(&str) -> Option<Origin>) -> Self {
        Self(self.0.with_origin(origin_of))
    }

    /// The fault, to which no origin and no hint will be added.
    pub(super) fn complete(mut self) -> Self {
        self.0.is_complete = true;
        self
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        self.0.subject == name
    }
}

impl Warning {
    pub(super) fn new(variable: &str, text: impl fmt::Display) -> Self {
        Self(Message::new(variable, text))
    }

    pub(super) fn with_origin(self, origin_of: impl Fn(&str) -> Option<Origin>) -> Self {
        Self(self.0.with_origin(origin_of))
    }
}

/// For a fault in a line that this service does not use.
impl From<Fault> for Warning {
    fn from(fault: Fault) -> Self {
        Self(fault.0)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Faults {
    /// The faults in the order in which they were found.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }

    pub(super) fn with_origins(self, origin_of: impl Fn(&str) -> Option<Origin>) -> Self {
        let located = self.0.into_iter();
        let located = located.map(|fault| fault.with_origin(&origin_of));
        Self(located.collect())
    }
}

impl Faults {
    /// Adds a hint to the faults of variables that are not set. `hint` gets the variable, and then
    /// those that would do as well, until there is a hint.
    pub(super) fn with_hints(mut self, hint: impl Fn(&str) -> Option<String>) -> Self {
        for Fault(message) in &mut self.0 {
            if message.origin.is_none()
                && !message.is_complete
                && let Some(hint) = hint(&message.subject)
                    .or_else(|| message.alternatives.iter().find_map(|name| hint(name)))
            {
                message.text += &hint;
            }
        }
        self
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

/// Someone has set the key itself instead of its path
pub(super) const PEM: &str = "-----BEGIN";

/// Quotes a value. Any variable may contain a URL by mistake, so passwords and queries are removed
/// as from a URL. Of a PEM document, we only show the first word.
pub(in crate::service) fn quoted(text: &str) -> String {
    if text.starts_with(PEM) {
        return format!("\"{PEM}…\"");
    }
    format!("{:?}", ShownUrl::new(text))
}
