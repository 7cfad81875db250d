//! Writes an issuers file that is equivalent to the variables.

use std::fmt::Write;

use crate::service::config::{Config, Environment, cross_checks::OF_ONE_ISSUER};

impl Config {
    /// Returns the text of an issuers file with the issuers from the variables.
    pub fn to_issuers_file(&self) -> String {
        let mut file = String::new();
        for issuer in &self.issuers {
            if !file.is_empty() {
                file.push('\n');
            }
            let algorithms = self.algorithms.iter().map(|alg| alg.as_str().to_owned());
            let mut rows = vec![
                ("url", string(issuer)),
                ("audiences", list(self.audiences.iter().cloned())),
                ("algorithms", list(algorithms)),
            ];
            if self.audience_claim != crate::auth::AudienceClaim::Aud {
                rows.push(("audience_claim", string(self.audience_claim.as_str())));
            }
            let jwks_file = self.jwks_file.as_ref();
            let jwks_file = jwks_file.map(|path| path.to_string_lossy().into_owned());
            let secret = self.signing_secret.as_ref();
            let secret =
                secret.map(|secret| String::from_utf8_lossy(secret.as_bytes()).into_owned());
            for (name, value) in [
                ("jwks_uri", &self.jwks_uri),
                ("jwks_file", &jwks_file),
                ("signing_secret", &secret),
            ] {
                rows.extend(value.as_deref().map(|value| (name, string(value))));
            }
            file.push_str("[[issuer]]\n");
            for (name, value) in rows {
                // Writing to a string cannot fail.
                let _ = writeln!(file, "{name} = {value}");
            }
        }
        file
    }

    /// Returns the names of the set variables that the file replaces.
    pub fn variables_of_issuers(&self, environment: &Environment) -> Vec<&'static str> {
        let names = OF_ONE_ISSUER.into_iter();
        names
            .filter(|name| environment.get(name).is_some())
            .collect()
    }
}

/// Formats a TOML basic string. Its escapes are those of JSON.
fn string(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.replace('\u{7f}', "\\u007f")
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.map(|item| string(&item)).collect();
    format!("[{}]", items.join(", "))
}
