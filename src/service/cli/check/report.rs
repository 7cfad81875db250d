//! [`Report`]: the findings of `check`, as text and as JSON.

use serde_json::{Value, json};

use crate::{
    auth::keys::fetch::FetchError,
    service::{
        cli::terminal::{Mark, Terminal},
        config::Config,
    },
};

#[derive(Debug, Default)]
pub(in crate::service) struct Report(Vec<Section>);

#[derive(Debug)]
pub(in crate::service) struct Section {
    title: String,
    findings: Vec<Finding>,
    /// Only the JSON lists these
    unset: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    mark: Mark,
    name: String,
    text: String,
    more: String,
    /// The word for the reason, as in `/readyz` and the log
    reason: Option<&'static str>,
}

impl Finding {
    fn new(mark: Mark, name: &str, text: impl Into<String>, more: impl Into<String>) -> Self {
        Self {
            mark,
            name: name.to_owned(),
            text: text.into(),
            more: more.into(),
            reason: None,
        }
    }
}

impl Section {
    pub(in crate::service) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            findings: Vec::new(),
            unset: Vec::new(),
        }
    }

    pub(in crate::service) fn add(&mut self, mark: Mark, name: &str, text: impl Into<String>) {
        self.add_more(mark, name, text, "");
    }

    /// Adds a finding with a second, fainter text.
    pub(in crate::service) fn add_more(
        &mut self,
        mark: Mark,
        name: &str,
        text: impl Into<String>,
        more: impl Into<String>,
    ) {
        self.findings.push(Finding::new(mark, name, text, more));
    }

    /// Adds a variable that isn't set. The text report only counts these.
    pub(in crate::service) fn add_unset(
        &mut self,
        name: &str,
        text: impl Into<String>,
        more: impl Into<String>,
    ) {
        self.unset.push(Finding::new(Mark::Plain, name, text, more));
    }

    pub(in crate::service) fn add_failure(&mut self, name: &str, error: &FetchError, hint: &str) {
        let reason = Some(error.word());
        self.findings.push(Finding {
            mark: Mark::Bad,
            name: name.to_owned(),
            text: error.to_string(),
            more: hint.to_owned(),
            reason,
        });
    }
}

impl Section {
    /// If the issuers are in a file, replaces the names of variables with those of its options.
    #[must_use]
    pub(in crate::service) fn in_words_of(mut self, config: &Config) -> Self {
        for finding in &mut self.findings {
            for text in [&mut finding.text, &mut finding.more] {
                *text = config.in_its_words(text).into_owned();
            }
        }
        self
    }

    pub(in crate::service) fn mark(&self) -> Mark {
        let has = |mark| self.findings.iter().any(|finding| finding.mark == mark);
        if has(Mark::Bad) {
            Mark::Bad
        } else if has(Mark::Note) {
            Mark::Note
        } else {
            Mark::Good
        }
    }
}

impl Report {
    pub(in crate::service) fn add(&mut self, section: Section) {
        self.0.push(section);
    }

    /// `true` unless a finding prevents the service from working.
    pub(in crate::service) fn is_good(&self) -> bool {
        let mut findings = self.0.iter().flat_map(|section| &section.findings);
        findings.all(|finding| finding.mark != Mark::Bad)
    }

    pub(in crate::service) fn text(&self, terminal: Terminal) -> String {
        let mut lines = Vec::new();
        for section in &self.0 {
            lines.push(terminal.strong(Mark::Plain, &Terminal::clean(&section.title)));
            let width = section.findings.iter().map(|finding| finding.name.len());
            let width = width.max().unwrap_or_default();
            lines.extend(section.findings.iter().map(|finding| {
                let reason = finding.reason.map(|word| format!("reason: {word}"));
                let more = [reason.as_deref().unwrap_or_default(), &finding.more];
                let more = more.into_iter().filter(|more| !more.is_empty());
                let more = more.collect::<Vec<_>>().join("; ");
                terminal.line(finding.mark, &finding.name, width, &finding.text, &more)
            }));
            if !section.unset.is_empty() {
                let count = section.unset.len();
                let text = format!("{count} variables are not set; --json lists their defaults");
                lines.push(terminal.line(Mark::Plain, "", 0, &text, ""));
            }
            lines.push(String::new());
        }
        lines.push(String::new());
        lines.join("\n")
    }

    pub(in crate::service) fn verdict(&self, terminal: Terminal) -> String {
        if self.is_good() {
            terminal.strong(Mark::Good, "The service would work.")
        } else {
            terminal.strong(
                Mark::Bad,
                "The service would not work: see the lines with ✗.",
            )
        }
    }

    pub(in crate::service) fn json(&self) -> Value {
        let sections = self.0.iter().map(|section| {
            let findings = section.findings.iter().chain(&section.unset);
            let findings = findings.map(|finding| {
                let mut json = json!({
                    "mark": finding.mark.word(),
                    "name": finding.name,
                    "text": finding.text,
                    "more": finding.more,
                });
                if let Some(reason) = finding.reason {
                    json["reason"] = json!(reason);
                }
                json
            });
            json!({"title": section.title, "findings": findings.collect::<Vec<_>>()})
        });
        json!({"good": self.is_good(), "sections": sections.collect::<Vec<_>>()})
    }
}
