//! The section about variables: each value and its origin.

use crate::service::{
    cli::{check::report::Section, terminal::Mark},
    config::{Environment, Origin, Unset, VARIABLES, quoted},
};

pub(in crate::service) fn section(environment: &Environment) -> Section {
    let mut section = Section::new("Variables");
    for variable in VARIABLES {
        let (text, more) = match (environment.get(variable.name), variable.unset) {
            (Some((value, origin)), _) if variable.is_secret => {
                (format!("{} bytes, not shown", value.len()), from(origin))
            }
            (Some((value, origin)), _) => (quoted(value), from(origin)),
            (None, Unset::Default(value)) => (quoted(value), "default".to_owned()),
            (None, Unset::Described(words)) => ("not set".to_owned(), words.to_owned()),
        };
        section.add_more(Mark::Plain, variable.name, text, more);
    }
    for (name, value, origin) in environment.network_variables() {
        section.add_more(Mark::Plain, name, quoted(value), from(origin));
    }
    section
}

fn from(origin: Origin) -> String {
    format!("from {origin}")
}
