//! [`Reader`]: reads variables according to their rows, and collects faults and warnings.
//!
//! The rules that all variables share are here: defaults, whitespace, quotes, placeholders, lists.
//! We go on after an invalid value, so that a single start reports every fault.

use std::{collections::BTreeMap, fmt};

use crate::{
    auth::display::ShownText,
    service::config::{
        env::Environment,
        fault::{Fault, Faults, LineFault, Warning},
        invalid::{InvalidValue, Parsed},
        needed,
        terminal::TerminalVariables,
        value::{is_placeholder, is_quoted, json_list, mangled, still_quoted},
        variable::{Optional, Variable, WithDefault},
        variables::{self, PORT},
    },
};

pub(super) struct Reader {
    variables: BTreeMap<String, String>,
    terminal: TerminalVariables,
    /// Platforms set `PORT`, but we do not read it
    port: Option<String>,
    /// Names with `AUTH0_` that aren't in the table
    unknown: Vec<String>,
    /// The faults of lines in a file, reported or not
    lines: Vec<LineFault>,
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

impl Reader {
    /// Reads an environment. A variable whose line in `.env` has a fault is set, but has no value.
    pub(super) fn of(environment: &Environment) -> Self {
        Self {
            lines: environment.line_faults().to_vec(),
            ..Self::new(environment.clone())
        }
    }

    /// If a name appears twice, the later value wins
    pub(super) fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let pairs: BTreeMap<_, _> = pairs.into_iter().collect();
        let terminal = TerminalVariables::from_pairs(pairs.clone());
        let port = pairs.get(PORT).cloned();
        let (variables, others): (BTreeMap<_, _>, BTreeMap<_, _>) = pairs
            .into_iter()
            .partition(|(name, _)| variables::find(name).is_some());
        let unknown: Vec<String> = others
            .into_keys()
            .filter(|name| variables::is_auth0(name))
            .collect();
        let mut reader = Self {
            variables,
            terminal,
            port,
            warnings: unknown.iter().map(|name| unknown_warning(name)).collect(),
            unknown,
            lines: Vec::new(),
            faults: Vec::new(),
        };
        reader.check_quotes_of_unread();
        reader
    }

    /// The tutorial's two variables are never read, so nothing else would notice that their values
    /// still have quotes.
    fn check_quotes_of_unread(&mut self) {
        let unread = [&variables::AUTH0_CLIENT_ID, &variables::AUTH0_CLIENT_SECRET];
        for variable in unread.map(|unread| &unread.variable) {
            let text = self.variables.get(variable.name).cloned();
            if let Some(text) = text.filter(|text| is_quoted(text.trim())) {
                self.invalid(variable, &text, &still_quoted());
            }
        }
    }

    /// Adds the faults of all lines, in the order of the file. Otherwise, those of a variable are
    /// added when it is read.
    pub(super) fn report_lines(&mut self) {
        let faults = self.lines.iter().map(|line| line.fault.clone());
        self.faults.extend(faults);
    }

    pub(super) fn port(&self) -> Option<&str> {
        self.port.as_deref()
    }

    pub(super) fn check(&mut self, variable: &Variable, text: &str, check: fn(&str) -> Parsed<()>) {
        if let Err(invalid) = check(text) {
            self.invalid(variable, text, &invalid);
        }
    }

    /// `read` and the warnings, or all faults if there are any.
    pub(super) fn finish<T>(self, read: T) -> Result<(T, Vec<Warning>), Faults> {
        if self.faults.is_empty() {
            return Ok((read, self.warnings));
        }
        Err(self.faults.into())
    }

    /// If the value is invalid, adds a fault and returns the default, which
    /// [`finish`](Self::finish) discards.
    pub(super) fn value<T>(&mut self, row: &WithDefault<T>) -> T {
        let variable = &row.variable;
        let value = self
            .text(variable)
            .and_then(|text| self.parse(variable, &text, row.parse));
        value.unwrap_or_else(|| default_item(row, row.variable.unset.text()))
    }

    /// Like [`optional`](Self::optional), but suggests no value that does not fit to other variables.
    pub(super) fn optional_that<T>(
        &mut self,
        row: &Optional<T>,
        fits: impl Fn(&T) -> bool,
        otherwise: &str,
    ) -> Option<T> {
        let text = self.text(&row.variable)?;
        let parsed = parsed(&row.variable, &text, row.parse);
        let parsed = parsed.map_err(|invalid| {
            let suggested = invalid.suggestion.as_deref();
            let suggested = suggested.and_then(|value| (row.parse)(value).ok());
            match suggested {
                Some(value) if !fits(&value) => invalid.hint(otherwise),
                _ => invalid,
            }
        });
        self.or_fault(&row.variable, &text, parsed)
    }

    /// `None` if the variable is not set, or if it is invalid (which adds a fault).
    pub(super) fn optional<T>(&mut self, row: &Optional<T>) -> Option<T> {
        let text = self.text(&row.variable)?;
        self.parse(&row.variable, &text, row.parse)
    }

    /// The distinct items of a list, like [`value`](Self::value).
    pub(super) fn list<T: PartialEq>(&mut self, row: &WithDefault<T>) -> Vec<T> {
        let variable = &row.variable;
        let list = self
            .text(variable)
            .and_then(|text| self.items(variable, &text, row.parse));
        let default = || row.variable.unset.text().split(',');
        list.unwrap_or_else(|| default().map(|item| default_item(row, item)).collect())
    }

    /// The distinct items of a list, like [`optional`](Self::optional).
    pub(super) fn optional_list<T: PartialEq>(&mut self, row: &Optional<T>) -> Option<Vec<T>> {
        let text = self.text(&row.variable)?;
        self.items(&row.variable, &text, row.parse)
    }

    pub(super) fn terminal(&self) -> &TerminalVariables {
        &self.terminal
    }

    /// Even if it's set to an invalid value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.variables.contains_key(name) || self.has_line_fault(name)
    }

    /// If so, its value is only a substitute.
    pub(super) fn has_fault(&self, name: &str) -> bool {
        self.faults.iter().any(|fault| fault.is_about(name)) || self.has_line_fault(name)
    }

    fn has_line_fault(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.variable == Some(name))
    }

    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        let names = self
            .variables
            .keys()
            .filter(|name| name.starts_with(prefix));
        names.cloned().collect()
    }

    /// Adds a fault because none of `names` is set. If an unknown variable has a similar name, we
    /// suggest the right one.
    pub(super) fn missing(&mut self, names: &[&'static str], remedy: &str) {
        let suggestion = self.unknown.iter().find_map(|unknown| {
            let known = variables::nearest(unknown).filter(|known| names.contains(known))?;
            let unknown = ShownText::new(unknown);
            Some(format!("; {unknown} is set, did you mean {known}?"))
        });
        self.faults.push(match suggestion {
            Some(hint) => Fault::missing(names, format_args!("not set; {remedy}{hint}")).complete(),
            None => Fault::missing(names, format_args!("not set; {remedy}")),
        });
    }

    pub(super) fn fault(&mut self, name: &str, text: impl fmt::Display) {
        self.faults.push(Fault::new(name, text));
    }

    pub(super) fn warn(&mut self, name: &str, text: impl fmt::Display) {
        self.warnings.push(Warning::new(name, text));
    }

    /// The text of a variable, without surrounding whitespace unless it is a secret. `None` if the
    /// variable is not set, and `None` with a fault if no variable can have this value (e.g. an
    /// empty one).
    fn text(&mut self, variable: &Variable) -> Option<String> {
        if self.has_line_fault(variable.name) {
            self.report_line(variable.name);
            return None;
        }
        let text = self.variables.get(variable.name)?.clone();
        let expects = variable.expects;
        if text.trim().is_empty() {
            let needed = needed::remedy(variable.name, |name| self.is_set(name));
            let remedy =
                needed.map_or_else(|| format!("give {expects}, or remove it"), str::to_owned);
            self.fault(variable.name, format_args!("empty; {remedy}"));
            return None;
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            let fault = format!("found bytes that are not UTF-8; give {expects}");
            self.fault(variable.name, fault);
            return None;
        }
        if is_quoted(text.trim()) {
            self.invalid(variable, &text, &still_quoted());
            return None;
        }
        if variable.is_secret {
            return Some(text);
        }
        Some(text.trim().to_owned())
    }

    fn report_line(&mut self, name: &str) {
        let own = self.lines.iter().filter(|line| line.variable == Some(name));
        for LineFault { fault, .. } in own {
            if !self.faults.contains(fault) {
                self.faults.push(fault.clone());
            }
        }
    }

    /// Parses a value or a list item. If that fails, adds a fault.
    fn parse<T>(
        &mut self,
        variable: &Variable,
        text: &str,
        parse: fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let parsed = parsed(variable, text, parse);
        self.or_fault(variable, text, parsed)
    }

    fn or_fault<T>(&mut self, variable: &Variable, text: &str, parsed: Parsed<T>) -> Option<T> {
        parsed
            .map_err(|invalid| self.invalid(variable, text, &invalid))
            .ok()
    }

    /// Adds a fault for each invalid or empty item.
    fn items<T: PartialEq>(
        &mut self,
        variable: &Variable,
        text: &str,
        parse: fn(&str) -> Parsed<T>,
    ) -> Option<Vec<T>> {
        // a `.env` loses the quotes of a list in JSON
        if text.starts_with('[') && text.ends_with(']') {
            self.invalid(variable, text, &json_list(text));
            return None;
        }
        let (empty, items): (Vec<_>, Vec<_>) = text
            .split(',')
            .map(str::trim)
            .partition(|item| item.is_empty());
        if !empty.is_empty() {
            let invalid = InvalidValue::new("has an empty item");
            self.invalid(variable, text, &invalid.hint("remove the comma"));
        }
        let mut list = Vec::new();
        let mut is_valid = empty.is_empty();
        for item in items {
            match self.parse(variable, item, parse) {
                Some(value) if list.contains(&value) => {}
                Some(value) => list.push(value),
                None => is_valid = false,
            }
        }
        is_valid.then_some(list)
    }

    fn invalid(&mut self, variable: &Variable, text: &str, invalid: &InvalidValue) {
        self.faults.push(Fault::invalid(variable, text, invalid));
    }
}

fn parsed<T>(variable: &Variable, text: &str, parse: fn(&str) -> Parsed<T>) -> Parsed<T> {
    if is_quoted(text) {
        return Err(still_quoted());
    }
    if is_placeholder(text) && !is_null_origin(variable, text) {
        return Err(InvalidValue::new("is a placeholder"));
    }
    match mangled(text, variable.form).filter(|_| !variable.is_secret) {
        Some(invalid) => Err(invalid),
        None => parse(text),
    }
}

/// `null` in a list of origins isn't a placeholder but the origin of a sandboxed page. It has its
/// own fault.
fn is_null_origin(variable: &Variable, text: &str) -> bool {
    text == "null" && variable.name == variables::CORS_ORIGINS.name()
}

fn default_item<T>(row: &WithDefault<T>, text: &str) -> T {
    match (row.parse)(text) {
        Ok(value) => value,
        Err(invalid) => panic!("{}: the default is invalid: {invalid:?}", row.name()),
    }
}

fn unknown_warning(name: &str) -> Warning {
    let hint = match variables::nearest(name) {
        Some(known) => format!("did you mean {known}?"),
        None => "see .env.example for the variables that exist".to_owned(),
    };
    let name = ShownText::new(name).to_string();
    Warning::new(&name, format_args!("not a known variable; {hint}"))
}
