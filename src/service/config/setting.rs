//! [`Setting`]: a recommended line of configuration.
//!
//! Every recommendation of the form `NAME=value` comes from here. [`Environment::recommend`] tries
//! the configuration with these lines, and only returns them if the service would start.

use std::fmt;

use crate::service::config::{Config, Environment, variables};

/// A recommended line: `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub(super) name: &'static str,
    pub(super) value: String,
}

impl Setting {
    /// `None` if the service has no such variable, or if the value would need quotes in a shell or
    /// in `.env`.
    pub fn new(name: &str, value: impl Into<String>) -> Option<Self> {
        let name = variables::find(name)?.name;
        let value = value.into();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/,@+%=".contains(c);
        let fits = !value.is_empty() && value.chars().all(is_plain);
        fits.then_some(Self { name, value })
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl Environment {
    /// Returns the lines if the service would start with them instead of the current values.
    /// Otherwise there's no point in recommending them, so you get none.
    #[must_use]
    pub fn recommend(&self, settings: Vec<Option<Setting>>) -> Vec<Setting> {
        let settings: Option<Vec<_>> = settings.into_iter().collect();
        let settings = settings.unwrap_or_default();
        let lines = settings.iter().map(|line| (line.name, &*line.value));
        let changed = self.with(lines);
        let starts = Config::from_environment(&changed)
            .is_ok_and(|(config, _)| config.check_external(&changed).is_ok());
        if starts { settings } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recommends_only_settings_that_start_the_service() {
        let tenant = [
            ("AUTH0_DOMAIN", "tenant.eu.auth0.com"),
            ("AUTH0_API_AUDIENCE", "https://api.example.com"),
        ];
        let environment = Environment::of(tenant);
        #[rustfmt::skip]
        let rows = [
            ("an algorithm", "AUTH0_ALGORITHMS", "RS256,ES256", true),
            ("an unsupported algorithm", "AUTH0_ALGORITHMS", "HS512", false),
            ("an algorithm that needs a secret", "AUTH0_ALGORITHMS", "HS256", false),
            ("an address", "AUTH0_JWKS_URI", "https://keys.example.com/jwks", true),
            ("an address without https", "AUTH0_JWKS_URI", "http://keys.example.com/jwks", false),
            ("a file that does not exist", "AUTH0_JWKS_FILE", "/no/such/file", false),
            ("a value that needs quotes", "AUTH0_REALM", "two words", false),
            ("a value that a shell expands", "AUTH0_REALM", "$HOME", false),
            ("an unknown variable", "AUTH0_NO_SUCH", "a", false),
        ];
        for (case, name, value, expected) in rows {
            let settings = environment.recommend(vec![Setting::new(name, value)]);
            let lines: Vec<_> = settings.iter().map(ToString::to_string).collect();
            let all = [format!("{name}={value}")];
            assert_eq!(lines, if expected { &all[..] } else { &[] }, "{case}");
        }
        let both = vec![
            Setting::new("AUTH0_JWKS_URI", "https://keys.example.com/jwks"),
            Setting::new("AUTH0_JWKS_FILE", "/no/such/file"),
        ];
        assert_eq!(
            environment.recommend(both),
            [],
            "two that exclude each other"
        );
    }
}
