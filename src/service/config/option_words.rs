//! Replaces variables with options of the issuers file in messages.
//!
//! We write our advice for variables. If the issuers are in a file, though, these variables are
//! rejected or have no effect, so the advice must mention the option instead.

use std::borrow::Cow;

use crate::service::config::{
    Config,
    cross_checks::{OF_ONE_ISSUER, OF_ONLY_ISSUER},
    issuers_file::options_of_variables,
    variable::is_of_name,
    variables::{
        AUTH0_ALGORITHMS, AUTH0_API_AUDIENCE, AUTH0_DOMAIN, AUTH0_GROUPS_AT, AUTH0_ISSUER,
        AUTH0_LEEWAY, AUTH0_ROLES_AT, AUTH0_TOKEN_MAX_AGE, AUTH0_TOKEN_PROFILE,
    },
};

/// Here, replacing only the name would be wrong
const SENTENCES: [(&str, &str); 4] = [
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
    // The table's preset may have set it
    (
        "remove AUTH0_AUDIENCE_CLAIM",
        "set the option audience_claim to \"aud\"",
    ),
];

/// The same, for several issuers in `AUTH0_ISSUER`
const FOR_SEVERAL: [(&str, &str); 2] = [
    (
        "set AUTH0_AUDIENCE_CLAIM to client_id, and AUTH0_API_AUDIENCE to",
        "list the issuers in ISSUERS_FILE instead of AUTH0_ISSUER, and in the table of this one, set audience_claim to client_id, and audiences to",
    ),
    (
        "allow HS256 together with AUTH0_SIGNING_SECRET",
        "list the issuers in ISSUERS_FILE instead of AUTH0_ISSUER, and in the table of this one, set algorithms and signing_secret",
    ),
];

impl Config {
    /// If the issuers are in a file, replaces the names of variables with those of its options. If
    /// there are several issuers without a file, replaces advice to set a variable that can apply
    /// to only one.
    pub(in crate::service) fn in_its_words<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains("AUTH0_") {
            return text.into();
        }
        if self.issuers_file.is_none() {
            return self.for_several_issuers(text);
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

    fn for_several_issuers<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.issuers.len() < 2 {
            return text.into();
        }
        let mut text = text.to_owned();
        for (sentence, other) in FOR_SEVERAL {
            text = text.replace(sentence, other);
        }
        // Not for a clause inside of a sentence
        let is_whole = text.ends_with('.');
        let name = OF_ONLY_ISSUER.iter().find(|name| text.contains(*name));
        if let Some(name) = name.filter(|_| is_whole) {
            let option = name.trim_start_matches("AUTH0_").to_ascii_lowercase();
            text = format!(
                "{text} With several issuers in AUTH0_ISSUER, {name} cannot be set: list them in ISSUERS_FILE instead, with the option {option} for this one."
            );
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
            _ if name == AUTH0_ROLES_AT.name() => table.is_some_and(|own| own.roles_at.is_some()),
            _ if name == AUTH0_GROUPS_AT.name() => table.is_some_and(|own| own.groups_at.is_some()),
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
    use crate::service::config::{Environment, IssuerSettings};

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
            ("If this issuer's tokens have aud, remove AUTH0_AUDIENCE_CLAIM.", "If this issuer's tokens have aud, set the option audience_claim to \"aud\"."),
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
    fn of(variables: &[(&'static str, &str)]) -> Config {
        let variables = [("AUTH0_API_AUDIENCE", "urn:a")]
            .into_iter()
            .chain(variables.iter().copied());
        Config::from_variables(Environment::of(variables))
            .unwrap()
            .0
    }

    #[test]
    fn names_the_options_of_roles_only_if_the_table_has_them() {
        let mut config = of(&[("ISSUERS_FILE", "issuers.toml")]);
        let text = "AUTH0_ROLES_AT and AUTH0_GROUPS_AT name the claims.";
        config.tables = vec![IssuerSettings::default()];
        assert_eq!(config.in_its_words(text), text);
        config.tables[0].roles_at = Some("realm_access.roles".to_owned());
        let words = "The option roles_at and AUTH0_GROUPS_AT name the claims.";
        assert_eq!(config.in_its_words(text), words);
        config.tables[0].groups_at = Some("groups".to_owned());
        let words = "The option roles_at and the option groups_at name the claims.";
        assert_eq!(config.in_its_words(text), words);
    }

    #[test]
    fn names_the_issuers_file_if_several_issuers_exclude_a_variable() {
        let one = of(&[("AUTH0_ISSUER", "https://a.example/")]);
        let several = of(&[("AUTH0_ISSUER", "https://a.example/,https://b.example/")]);
        #[rustfmt::skip]
        let rows = [
            ("Or set AUTH0_AUDIENCE_CLAIM to client_id, and AUTH0_API_AUDIENCE to the clients.", "Or list the issuers in ISSUERS_FILE instead of AUTH0_ISSUER, and in the table of this one, set audience_claim to client_id, and audiences to the clients."),
            ("Set AUTH0_JWKS_FILE to a file.", "Set AUTH0_JWKS_FILE to a file. With several issuers in AUTH0_ISSUER, AUTH0_JWKS_FILE cannot be set: list them in ISSUERS_FILE instead, with the option jwks_file for this one."),
            ("set AUTH0_JWKS_FILE to a file", "set AUTH0_JWKS_FILE to a file"),
            ("Set AUTH0_ALGORITHMS to ES256.", "Set AUTH0_ALGORITHMS to ES256."),
        ];
        for (text, expected) in rows {
            assert_eq!(several.in_its_words(text), expected);
            assert_eq!(one.in_its_words(text), text);
        }
    }
}
