//! Creates an issuers file that is equivalent to the variables.

use std::fmt::Write;

use crate::{
    algorithm::Algorithm,
    service::config::{
        Config, Environment, Variable,
        cross_checks::OF_ONE_ISSUER,
        issuers_file::{options_of_variables, overridable},
        variables::{
            AUTH0_ALGORITHMS, AUTH0_INTROSPECTION, AUTH0_REQUIRED_SCOPE, AUTH0_SIGNING_SECRET,
        },
    },
};

impl Config {
    /// An issuers file with the issuers of the variables. Each has every option whose variable is
    /// set.
    pub fn to_issuers_file(&self, environment: &Environment) -> String {
        let mut file = String::new();
        for issuer in &self.issuers {
            if !file.is_empty() {
                file.push('\n');
            }
            let mut rows = vec![
                ("url", string(issuer)),
                ("audiences", list(self.audiences.iter().cloned())),
            ];
            if environment.get(AUTH0_ALGORITHMS.name()).is_some() {
                let algorithms = self.algorithms.iter().map(|alg| alg.as_str().to_owned());
                rows.push(("algorithms", list(algorithms)));
            }
            rows.extend(self.options(environment));
            file.push_str("[[issuer]]\n");
            for (name, value) in rows {
                let _ = writeln!(file, "{name} = {value}");
            }
        }
        file
    }

    /// The other options that are set, with their values as TOML. An option has the same parser as
    /// its variable, so we can copy the value unchanged.
    fn options(&self, environment: &Environment) -> impl Iterator<Item = (&'static str, String)> {
        let rows = options_of_variables().filter(move |(_, variable)| self.is_exported(variable));
        rows.filter_map(move |(option, variable)| {
            let (text, _) = environment.get(variable.name)?;
            let text = if variable.is_secret {
                text
            } else {
                text.trim()
            };
            Some((option, string(text)))
        })
    }

    fn is_exported(&self, variable: &Variable) -> bool {
        let name = variable.name;
        // already written for every issuer
        let is_list = name == AUTH0_ALGORITHMS.name();
        // also applies to the routes and the metadata, so it stays a variable
        let is_of_routes = name == AUTH0_REQUIRED_SCOPE.name();
        // A variable without effect only causes a warning, but an option without effect is a fault
        let is_unused = self.introspection.is_none()
            && name.starts_with(AUTH0_INTROSPECTION.name())
            || name == AUTH0_SIGNING_SECRET.name() && !self.algorithms.contains(&Algorithm::HS256);
        !is_list && !is_of_routes && !is_unused
    }

    /// The names of the set variables that the file replaces.
    pub fn variables_of_issuers(&self, environment: &Environment) -> Vec<&'static str> {
        let names = OF_ONE_ISSUER.into_iter();
        names
            .filter(|name| environment.get(name).is_some())
            .collect()
    }

    /// The names of the set variables that have no effect beside this file.
    pub fn variables_overridden(&self, environment: &Environment) -> Vec<&'static str> {
        let rows = overridable(environment, self.uses_dpop());
        rows.map(|(name, ..)| name).collect()
    }

    /// Whether the file contains a secret.
    pub fn exports_a_secret(&self, environment: &Environment) -> bool {
        let mut secrets = options_of_variables().filter(|(_, variable)| variable.is_secret);
        secrets.any(|(_, variable)| {
            self.is_exported(variable) && environment.get(variable.name).is_some()
        })
    }
}

/// A TOML basic string has the same escapes as JSON
fn string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.replace('\u{7f}', "\\u007f")
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.map(|item| string(&item)).collect();
    format!("[{}]", items.join(", "))
}
