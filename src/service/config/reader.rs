//! Variables → typed values, with every fault and warning kept on the way.
//!
//! What holds for all variables is said here once: defaults, blanks, placeholders, lists. Nothing
//! is refused before everything is read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    auth::display::ShownText,
    service::config::{
        env,
        fault::{Fault, Faults, Warning, Wrong},
        value::{Parsed, is_placeholder},
        variables::{self, Unset, Variable},
    },
};

/// The variables, and what was found about them so far.
pub(super) struct Reader {
    vars: BTreeMap<String, String>,
    unread: Vec<String>,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

/// The `AUTH0_` variables as text.
#[derive(Default, Deserialize)]
pub(super) struct Auth0 {
    pub(super) domain: Option<String>,
    pub(super) api_audience: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) algorithms: Option<String>,
    pub(super) jwks_uri: Option<String>,
    pub(super) jwks_file: Option<String>,
    pub(super) signing_secret: Option<String>,
    pub(super) jwks_ttl: Option<String>,
    pub(super) jwks_cooldown: Option<String>,
    pub(super) jwks_stale: Option<String>,
    pub(super) jwks_timeout: Option<String>,
    pub(super) leeway: Option<String>,
    pub(super) token_profile: Option<String>,
    pub(super) token_max_age: Option<String>,
    pub(super) token_cache: Option<String>,
    pub(super) realm: Option<String>,
    pub(super) required_scope: Option<String>,
    pub(super) resource: Option<String>,
}

/// The variables without a prefix as text.
#[derive(Default, Deserialize)]
pub(super) struct Process {
    pub(super) listen: Option<String>,
    pub(super) tls_cert_file: Option<String>,
    pub(super) tls_key_file: Option<String>,
    pub(super) metrics_listen: Option<String>,
    pub(super) cors_origins: Option<String>,
    pub(super) docs: Option<String>,
    pub(super) rust_log: Option<String>,
    pub(super) log_format: Option<String>,
    pub(super) no_color: Option<String>,
    pub(super) term: Option<String>,
}

/// The variables of [`Limits`](crate::service::Limits) as text.
#[derive(Default, Deserialize)]
pub(super) struct LimitsText {
    pub(super) idle_timeout: Option<String>,
    pub(super) request_timeout: Option<String>,
    pub(super) max_connections: Option<String>,
    pub(super) max_header_bytes: Option<String>,
    pub(super) max_header_fields: Option<String>,
    pub(super) max_uri_bytes: Option<String>,
    pub(super) max_body_bytes: Option<String>,
    pub(super) max_streams: Option<String>,
    pub(super) max_resets: Option<String>,
    pub(super) shutdown_grace: Option<String>,
    pub(super) shutdown_timeout: Option<String>,
}

impl Reader {
    pub(super) fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        let (vars, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            vars.into_iter().partition(|(name, _)| {
                variables::is_known(name) || env::OF_TERMINALS.contains(&&**name)
            });
        let unread: Vec<String> = others
            .into_keys()
            .filter(|name| variables::is_auth0(name))
            .collect();
        Self {
            vars,
            warnings: unread.iter().map(|name| unread_warning(name)).collect(),
            unread,
            faults: Vec::new(),
        }
    }

    /// The configuration with its warnings, or every fault.
    pub(super) fn finish<T>(self, config: Option<T>) -> Result<(T, Vec<Warning>), Faults> {
        match config {
            Some(config) if self.faults.is_empty() => Ok((config, self.warnings)),
            _ => Err(self.faults.into()),
        }
    }

    pub(super) fn auth0(&mut self) -> Auth0 {
        let read = envy::prefixed("AUTH0_").from_iter(self.vars.clone());
        self.texts(read)
    }

    pub(super) fn process(&mut self) -> Process {
        let read = envy::from_iter(self.vars.clone());
        self.texts(read)
    }

    pub(super) fn limits(&mut self) -> LimitsText {
        let read = envy::from_iter(self.vars.clone());
        self.texts(read)
    }

    /// Texts cannot be wrong yet; were envy to find something all the same, it is not swallowed.
    fn texts<T: Default>(&mut self, read: envy::Result<T>) -> T {
        read.unwrap_or_else(|error| {
            self.faults.push(Fault::new("the environment", error));
            T::default()
        })
    }

    /// One value; none where it is wrong, or neither set nor has a default.
    pub(super) fn one<T>(
        &mut self,
        name: &str,
        set: Option<String>,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        let variable = Variable::named(name);
        let text = self.text(variable, set)?;
        self.judge(variable, &text, parse)
    }

    /// Values between commas, each once; none where one is wrong.
    pub(super) fn list<T: PartialEq>(
        &mut self,
        name: &str,
        set: Option<String>,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        let variable = Variable::named(name);
        let text = self.text(variable, set)?;
        let (empty, items): (Vec<_>, Vec<_>) =
            text.split(',').map(str::trim).partition(|i| i.is_empty());
        if !empty.is_empty() {
            let wrong = Wrong::new("has nothing at one side of a comma").hint("take the comma out");
            self.faults.push(Fault::wrong(variable, &text, &wrong));
        }
        let mut list = Vec::new();
        let mut all = empty.is_empty();
        for item in items {
            match self.judge(variable, item, &parse) {
                Some(value) if list.contains(&value) => {}
                Some(value) => list.push(value),
                None => all = false,
            }
        }
        all.then_some(list)
    }

    /// What was set, or the default; blanks around it are taken off, save around a secret.
    fn text(&mut self, variable: &Variable, set: Option<String>) -> Option<String> {
        let text = match (set, variable.unset) {
            (Some(text), _) => text,
            (None, Unset::Is(default)) => default.to_owned(),
            (None, Unset::Means(_)) => return None,
        };
        if text.trim().is_empty() {
            let right = format_args!("set to nothing; give {}, or take it out", variable.wants());
            self.fault(variable.name, right);
            return None;
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            let right = format_args!("found bytes that are not UTF-8; give {}", variable.wants());
            self.fault(variable.name, right);
            return None;
        }
        if is_quoted(text.trim()) {
            self.faults
                .push(Fault::wrong(variable, &text, &still_quoted()));
            return None;
        }
        Some(if variable.is_secret() {
            text
        } else {
            text.trim().to_owned()
        })
    }

    fn judge<T>(
        &mut self,
        variable: &Variable,
        text: &str,
        parse: impl FnOnce(&str) -> Parsed<T>,
    ) -> Option<T> {
        let parsed = if is_quoted(text) {
            Err(still_quoted())
        } else if is_placeholder(text) {
            Err(Wrong::new("is a placeholder"))
        } else {
            parse(text)
        };
        parsed
            .map_err(|wrong| self.faults.push(Fault::wrong(variable, text, &wrong)))
            .ok()
    }

    /// Whether a variable is set, be it to something wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.vars.contains_key(name)
    }

    /// The variables set whose name begins so.
    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.vars.keys().filter(|name| name.starts_with(prefix));
        names.cloned().collect()
    }

    /// None of these is set. A variable that nobody reads may be what was meant.
    pub(super) fn missing(&mut self, names: &[&str], right: &str) {
        let meant = self.unread.iter().find_map(|unread| {
            let known = variables::nearest(unread).filter(|known| names.contains(known))?;
            Some(format!(
                "; {} is set, did you mean {known}?",
                escaped(unread)
            ))
        });
        let meant = meant.unwrap_or_default();
        self.fault(names[0], format_args!("not set; {right}{meant}"));
    }

    /// A fault that lies between variables.
    pub(super) fn fault(&mut self, name: &str, message: impl std::fmt::Display) {
        self.faults.push(Fault::new(name, message));
    }

    pub(super) fn warn(&mut self, name: &str, message: impl std::fmt::Display) {
        self.warnings.push(Warning::new(name, message));
    }
}

/// Whether a value still has the quotes that a shell or `.env` takes off. `docker --env-file`
/// passes them on, and no value of ours begins and ends with them.
fn is_quoted(text: &str) -> bool {
    ["'", "\""].into_iter().any(|quote| {
        let inner = text.strip_prefix(quote);
        inner.is_some_and(|inner| inner.ends_with(quote))
    })
}

fn still_quoted() -> Wrong {
    Wrong::new("is still in quotes").hint("take them off")
}

fn unread_warning(name: &str) -> Warning {
    let hint = match variables::nearest(name) {
        Some(known) => format!("did you mean {known}?"),
        None => "see .env.example for those there are".to_owned(),
    };
    Warning::new(&escaped(name), format_args!("nobody reads it; {hint}"))
}

/// A name that somebody made up, fit for a line.
fn escaped(name: &str) -> String {
    ShownText::new(name).to_string()
}
