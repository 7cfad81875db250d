//! The section about variables: each value and its origin.

use crate::service::{
    cli::{check::report::Section, terminal::Mark},
    config::{Environment, Origin, Unset, VARIABLES, quoted},
};

pub(in crate::service) fn section(environment: &Environment) -> Section {
    let mut section = Section::new("Variables");
    for variable in VARIABLES {
        let name = variable.name;
        match (environment.get(name), variable.unset) {
            (Some((value, origin)), _) => {
                let shown = if variable.is_secret {
                    format!("{} bytes, not shown", value.len())
                } else {
                    quoted(value)
                };
                section.add_more(Mark::Plain, name, shown, from(&origin));
            }
            (None, Unset::Default(value)) => section.add_unset(name, quoted(value), "default"),
            (None, Unset::Described(words)) => section.add_unset(name, "not set", words),
        }
    }
    for (name, value, origin) in environment.network_variables() {
        section.add_more(Mark::Plain, name, quoted(value), from(&origin));
    }
    section
}

fn from(origin: &Origin) -> String {
    format!("from {origin}")
}
