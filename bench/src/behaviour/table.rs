//! Formats the results as tables: a row for each question, a column for each server.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::{Display, Write},
    fs,
    path::Path,
    process::Command,
};

use super::{notes, subject::Subject};

pub struct Question {
    pub group: Group,
    pub text: &'static str,
    /// The section of the specification that requires the behaviour.
    pub says: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Answers,
    Must,
    May,
    Good,
    Keys,
}

impl Group {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (
            Self::Answers,
            "How the servers answer",
            "✓: the answer is as the row says. Otherwise, the cell says what the answer was.",
        ),
        (
            Self::Must,
            "What an RFC says must be rejected",
            "✓: rejected, with any status from 400 to 499. ✗: accepted. A number is any other status.",
        ),
        (
            Self::May,
            "What a server may reject",
            "The signs are those of the table above.",
        ),
        (
            Self::Good,
            "What every server should accept",
            "✓: accepted. A number is the status with which it was rejected.",
        ),
        (
            Self::Keys,
            "Key sets, for the servers that fetch them",
            "Each time is counted from the change at the issuer; a token is sent every half second. \
             “>” means that the test stopped waiting after this time. In the rows from “a removed key \
             is rejected” to “the key set is not JSON”, the time to live is set to 10 s. In the rows \
             with a failure, the failure has lasted for 25 s when the first of five valid tokens is \
             sent. The tokens are signed with a key that the server held, and it has seen none of \
             them before.",
        ),
    ];
}

#[derive(Clone)]
pub enum Cell {
    Yes,
    No,
    Seen(String),
    NotAsked,
}

impl Cell {
    pub fn seen(what: impl Display) -> Self {
        Self::Seen(what.to_string())
    }

    pub fn yes_or_no(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub fn status(answer: Option<super::answer::Answer>, wanted: u16) -> Self {
        match answer {
            Some(answer) if answer.status == wanted => Self::Yes,
            Some(answer) => Self::seen(answer.status),
            None => Self::seen("no answer"),
        }
    }

    pub fn refused(status: Option<u16>) -> Self {
        match status {
            Some(200) => Self::No,
            Some(400..=499) => Self::Yes,
            Some(other) => Self::seen(other),
            None => Self::seen("no answer"),
        }
    }

    pub fn taken(status: Option<u16>) -> Self {
        match status {
            Some(200) => Self::Yes,
            Some(other) => Self::seen(other),
            None => Self::seen("no answer"),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Yes => "✓",
            Self::No => "✗",
            Self::Seen(what) => what,
            Self::NotAsked => "–",
        }
    }
}

#[derive(Default)]
pub struct Found(HashMap<(&'static str, &'static str), Cell>);

impl Found {
    pub fn note(&mut self, question: &'static Question, subject: &'static str, cell: Cell) {
        let before = self.0.insert((question.text, subject), cell);
        assert!(before.is_none(), "two rows are called {}", question.text);
    }

    fn cell(&self, question: &'static Question, subject: &Subject<'_>) -> Cell {
        let found = self.0.get(&(question.text, subject.name));
        found.cloned().unwrap_or(Cell::NotAsked)
    }
}

const BEGIN: &str = "<!-- behaviour: begin -->\n";
const END: &str = "<!-- behaviour: end -->\n";

pub fn put(path: &Path, text: &str) {
    let document = fs::read_to_string(path).unwrap();
    let (before, rest) = document
        .split_once(BEGIN)
        .expect("the mark where it begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    fs::write(path, format!("{before}{BEGIN}{text}{END}{after}")).unwrap();
}

pub fn text(subjects: &[Subject<'_>], questions: &[&'static Question], found: &Found) -> String {
    let mut text = format!("Measured on {}.\n\n{}", today(), legend(subjects));
    let mut used = BTreeSet::new();
    for (group, title, reading) in Group::ALL {
        let asked: Vec<_> = subjects
            .iter()
            .filter(|subject| group != Group::Keys || subject.fetches)
            .collect();
        let names: Vec<_> = asked.iter().map(|subject| subject.name).collect();
        let _ = write!(
            text,
            "\n### {title}\n\n{reading}\n\n| | | {} |\n|---|---|{}\n",
            names.join(" | "),
            ":-:|".repeat(names.len()),
        );
        for question in questions.iter().filter(|question| question.group == group) {
            let _ = write!(text, "| {} | {} |", question.text, question.says);
            for subject in &asked {
                let cell = found.cell(question, subject);
                let _ = write!(text, " {}", cell.text());
                if let Some(note) = notes::of(subject, question, &cell) {
                    used.insert(note);
                    let _ = write!(text, "[^{note}]");
                }
                text.push_str(" |");
            }
            text.push('\n');
        }
    }
    text.push('\n');
    for note in used {
        let _ = writeln!(text, "[^{note}]: {}", notes::text(note));
    }
    text
}

fn legend(subjects: &[Subject<'_>]) -> String {
    let mut text = "| column | server | versions | keys |\n|---|---|---|---|\n".to_owned();
    for subject in subjects {
        let keys = if subject.fetches { "fetched" } else { "a file" };
        let (name, title, versions) = (subject.name, subject.title, subject.versions());
        let _ = writeln!(text, "| {name} | {title} | {versions} | {keys} |");
    }
    text
}

fn today() -> String {
    let said = Command::new("date").args(["-u", "+%F"]).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
