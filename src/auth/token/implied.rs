//! [`ImpliedScopes`]: which scopes include which other scopes, as configured.

use std::collections::HashMap;

/// Maps a scope to all scopes that include it, directly or indirectly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImpliedScopes(HashMap<String, Vec<String>>);

impl ImpliedScopes {
    /// Creates the map from pairs of a scope and a scope that it includes.
    pub(crate) fn new(pairs: &[(String, String)]) -> Self {
        let mut table: HashMap<String, Vec<String>> = HashMap::new();
        for (scope, _) in pairs {
            let mut reached = vec![scope.as_str()];
            let mut at = 0;
            while let Some(from) = reached.get(at).copied() {
                at += 1;
                for (_, to) in pairs.iter().filter(|(includes, _)| includes == from) {
                    if !reached.contains(&to.as_str()) {
                        reached.push(to);
                    }
                }
            }
            for included in reached.into_iter().skip(1) {
                let by = table.entry(included.to_owned()).or_default();
                if !by.contains(scope) {
                    by.push(scope.clone());
                }
            }
        }
        Self(table)
    }

    /// The scope `granted` is `wanted` or includes it.
    pub(crate) fn satisfies(&self, granted: &str, wanted: &str) -> bool {
        granted == wanted
            || (!self.0.is_empty()
                && self
                    .0
                    .get(wanted)
                    .is_some_and(|by| by.iter().any(|scope| scope == granted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_inclusion_is_transitive() {
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        let table = ImpliedScopes::new(&[
            pair("admin", "write"),
            pair("write", "read"),
            pair("read", "write"),
            pair("a", "a"),
        ]);
        for (granted, wanted, expected) in [
            ("admin", "write", true),
            ("admin", "read", true),
            ("admin", "admin", true),
            ("write", "read", true),
            ("read", "write", true),
            ("read", "admin", false),
            ("write", "admin", false),
            ("other", "read", false),
            ("other", "other", true),
        ] {
            assert_eq!(
                table.satisfies(granted, wanted),
                expected,
                "{granted}, {wanted}"
            );
        }
        assert!(!ImpliedScopes::default().satisfies("admin", "read"));
    }
}
