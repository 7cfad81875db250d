//! Replaces variables with options of the issuers file in messages.
//!
//! We write our advice for variables. If the issuers are in a file, though, these variables are
//! rejected or have no effect, so the advice must mention the option instead.

use std::borrow::Cow;

use crate::service::config::{
    Config,
    cross_checks::OF_ONE_ISSUER,
    issuers_file::options_of_variables,
    variable::is_of_name,
    variables::{
        AUTH0_ALGORITHMS, AUTH0_API_AUDIENCE, AUTH0_DOMAIN, AUTH0_ISSUER, AUTH0_LEEWAY,
        AUTH0_TOKEN_MAX_AGE, AUTH0_TOKEN_PROFILE,
    },
};

/// Here, replacing only the name would be wrong
const SENTENCES: [(&str, &str); 3] = [
    (
        "AUTH0_ISSUER can list both, with a comma between them.",
        "Each name can have a table of its own.",
    ),
    (
        "AUTH0_ISSUER lists issuers with commas between them.",
        "Each issuer has a table of its own.",
    ),
    (
        "list their issuers in AUTH0_ISSUER with commas between them",
        "write {tenantid} in its place in url, and list the tenants in the option tenants",
    ),
];

impl Config {
    /// If the issuers are in a file, replaces the names of variables with those of its options.
    pub(in crate::service) fn in_its_words<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.issuers_file.is_none() || !text.contains("AUTH0_") {
            return text.into();
        }
        let mut text = text.to_owned();
        for (sentence, other) in SENTENCES {
            text = text.replace(sentence, other);
        }
        for (name, option) in self.renamed() {
            for before in ["", ". "] {
                let begins = format!("{before}{name}");
                let is_whole = |rest: &str| !rest.starts_with(is_of_name);
                if !before.is_empty() {
                    text = text.replace(&format!("{begins} "), &format!(". The option {option} "));
                } else if text.strip_prefix(&begins).is_some_and(is_whole) {
                    text = format!("The option {option}{}", &text[begins.len()..]);
                }
            }
            text = text.replace(name, &format!("the option {option}"));
        }
        text.into()
    }

    /// The variables with an option. Longer names come before their own prefixes.
    fn renamed(&self) -> Vec<(&'static str, &'static str)> {
        let table = self.tables.first().filter(|_| self.tables.len() == 1);
        let is_own = |name: &str| match name {
            _ if name == AUTH0_LEEWAY.name() => table.is_some_and(|own| own.leeway.is_some()),
            _ if name == AUTH0_TOKEN_PROFILE.name() => {
                table.is_some_and(|own| own.token_profile.is_some())
            }
            _ if name == AUTH0_TOKEN_MAX_AGE.name() => {
                table.is_some_and(|own| own.token_max_age.is_some())
            }
            _ => name == AUTH0_ALGORITHMS.name() || OF_ONE_ISSUER.contains(&name),
        };
        let named = options_of_variables().map(|(option, variable)| (variable.name, option));
        let mut renamed: Vec<_> = named.filter(|(name, _)| is_own(name)).collect();
        renamed.extend([
            (AUTH0_API_AUDIENCE.name(), "audiences"),
            (AUTH0_ISSUER.name(), "url"),
            (AUTH0_DOMAIN.name(), "url"),
        ]);
        renamed.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        renamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::config::Environment;

    #[test]
    fn names_options_only_if_the_issuers_are_in_a_file() {
        let of = |name: &'static str, value: &'static str| {
            let pairs = [(name, value), ("AUTH0_API_AUDIENCE", "urn:a")];
            let owned = Environment::of(pairs);
            Config::from_variables(owned).unwrap().0
        };
        let file = of("ISSUERS_FILE", "issuers.toml");
        #[rustfmt::skip]
        let rows = [
            ("Set AUTH0_JWKS_URI to the address.", "Set the option jwks_uri to the address."),
            ("AUTH0_JWKS_FILE cannot be read.", "The option jwks_file cannot be read."),
            ("It is wrong. AUTH0_ISSUER is a name.", "It is wrong. The option url is a name."),
            ("Give AUTH0_INTROSPECTION_CLIENT_ID a client.", "Give the option introspection_client_id a client."),
            ("compare AUTH0_API_AUDIENCE and AUTH0_ALGORITHMS", "compare the option audiences and the option algorithms"),
            ("AUTH0_LEEWAY tolerates it.", "AUTH0_LEEWAY tolerates it."),
            ("Write it. AUTH0_ISSUER can list both, with a comma between them.", "Write it. Each name can have a table of its own."),
            ("Add it. AUTH0_ISSUER lists issuers with commas between them.", "Add it. Each issuer has a table of its own."),
            ("no variable", "no variable"),
        ];
        for (text, expected) in rows {
            assert_eq!(file.in_its_words(text), expected);
            assert_eq!(
                of("AUTH0_ISSUER", "https://a.example/").in_its_words(text),
                text
            );
        }
    }
}
