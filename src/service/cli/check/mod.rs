//! Configuration and issuer, examined before anybody depends on them.
//!
//! It looks where the service would look and judges by the library's own functions, so that what
//! holds here holds there. It changes nothing, and stops at nothing: one run tells everything.

mod certificate;
pub(super) mod command;
mod issuer;
mod keys;

use serde_json::{Value, json};

use crate::service::{
    cli::terminal::{Mark, Screen},
    config::{Origin, Unset, VARIABLES, Vars, shown},
};

pub(in crate::service) use self::issuer::{Plan, examine};

/// What was examined, in groups.
#[derive(Debug, Default)]
pub(in crate::service) struct Report(Vec<Section>);

/// Findings about one thing.
#[derive(Debug)]
pub(in crate::service) struct Section {
    title: String,
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    mark: Mark,
    name: String,
    text: String,
    more: String,
}

impl Section {
    pub(in crate::service) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            findings: Vec::new(),
        }
    }

    pub(in crate::service) fn add(&mut self, mark: Mark, name: &str, text: impl Into<String>) {
        self.add_more(mark, name, text, "");
    }

    pub(in crate::service) fn add_more(
        &mut self,
        mark: Mark,
        name: &str,
        text: impl Into<String>,
        more: impl Into<String>,
    ) {
        self.findings.push(Finding {
            mark,
            name: name.to_owned(),
            text: text.into(),
            more: more.into(),
        });
    }

    /// Every variable, what it says and where that came from.
    pub(in crate::service) fn of_variables(vars: &Vars) -> Self {
        let mut section = Self::new("Variables");
        for variable in VARIABLES {
            let (text, from) = match (vars.get(variable.name), variable.unset) {
                (Some((value, origin)), _) if variable.is_secret() => {
                    (format!("{} bytes, not shown", value.len()), from(origin))
                }
                (Some((value, origin)), _) => (shown(value), from(origin)),
                (None, Unset::Is(default)) => (shown(default), "default".to_owned()),
                (None, Unset::Means(words)) => ("not set".to_owned(), words.to_owned()),
            };
            section.add_more(Mark::Plain, variable.name, text, from);
        }
        for (name, value, origin) in vars.surroundings() {
            section.add_more(Mark::Plain, name, shown(value), from(origin));
        }
        section
    }
}

fn from(origin: Origin) -> String {
    format!("from {origin}")
}

impl Report {
    pub(in crate::service) fn add(&mut self, section: Section) {
        self.0.push(section);
    }

    /// Whether nothing stands in the way of a service.
    pub(in crate::service) fn is_good(&self) -> bool {
        let mut findings = self.0.iter().flat_map(|section| &section.findings);
        findings.all(|finding| finding.mark != Mark::Bad)
    }

    /// For people.
    pub(in crate::service) fn text(&self, screen: Screen) -> String {
        let mut lines = Vec::new();
        for section in &self.0 {
            lines.push(screen.strong(Mark::Plain, &Screen::clean(&section.title)));
            let width = section.findings.iter().map(|finding| finding.name.len());
            let width = width.max().unwrap_or_default();
            lines.extend(section.findings.iter().map(|finding| {
                screen.line(
                    finding.mark,
                    &finding.name,
                    width,
                    &finding.text,
                    &finding.more,
                )
            }));
            lines.push(String::new());
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// For people, who have read all of it.
    pub(in crate::service) fn verdict(&self, screen: Screen) -> String {
        if self.is_good() {
            screen.strong(Mark::Good, "Nothing stands in the way of the service.")
        } else {
            screen.strong(
                Mark::Bad,
                "What is marked ✗ stands in the way of the service.",
            )
        }
    }

    /// What `--json` prints.
    pub(in crate::service) fn json(&self) -> Value {
        let sections = self.0.iter().map(|section| {
            let findings = section.findings.iter().map(|finding| {
                json!({
                    "mark": finding.mark.word(),
                    "name": finding.name,
                    "text": finding.text,
                    "more": finding.more,
                })
            });
            json!({"title": section.title, "findings": findings.collect::<Vec<_>>()})
        });
        json!({"good": self.is_good(), "sections": sections.collect::<Vec<_>>()})
    }
}
