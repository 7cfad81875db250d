//! What a route requires of a token beyond being good.
//!
//! A policy is data: the route checks it, and the same data tells the caller which scope would
//! have sufficed. It never says which permission was missing beyond what the scope says.

use std::ops::{BitAnd, BitOr};

use super::{AuthError, Claims};

/// Scopes and permissions, combined with `&` and `|`.
///
/// ```
/// use warp_bearer::auth::{Policy, permission, scope};
///
/// const READ: Policy = scope("read:messages"); // a name that is no scope does not compile
/// let policy = READ | permission("messages:read") & scope("openid");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy(Rule);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Scope(&'static str),
    Permission(&'static str),
    All(Vec<Rule>),
    Any(Vec<Rule>),
}

/// The token's `scope` grants `name` (RFC 6749 §3.3).
///
/// # Panics
/// Where `name` is no scope token: empty, or with a blank, a quote, a backslash or anything beyond
/// printable ASCII. As a `const` that is an error of the compiler.
#[must_use]
pub const fn scope(name: &'static str) -> Policy {
    assert!(
        is_scope_token(name),
        "not a scope token (RFC 6749 section 3.3)"
    );
    Policy(Rule::Scope(name))
}

/// The token's `permissions` contain `name`: Auth0's RBAC.
///
/// # Panics
/// Where `name` is empty or has characters that a scope token has not.
#[must_use]
pub const fn permission(name: &'static str) -> Policy {
    assert!(is_scope_token(name), "not the name of a permission");
    Policy(Rule::Permission(name))
}

/// `1*( %x21 / %x23-5B / %x5D-7E )`
const fn is_scope_token(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], 0x21 | 0x23..=0x5b | 0x5d..=0x7e) {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

impl Policy {
    /// Whether the claims grant what the policy requires.
    ///
    /// # Errors
    /// [`AuthError::InsufficientScope`] where scopes alone would mend it, and
    /// [`AuthError::InsufficientPermissions`] where they would not.
    pub fn check<X>(&self, claims: &Claims<X>) -> Result<(), AuthError> {
        if self.0.is_met(claims) {
            Ok(())
        } else if self.0.scopes().is_some() {
            Err(AuthError::InsufficientScope)
        } else {
            Err(AuthError::InsufficientPermissions)
        }
    }

    /// The scopes that suffice, separated by spaces; none where no scopes alone do. Of
    /// alternatives it is the first that scopes can meet.
    pub fn scopes(&self) -> Option<String> {
        self.0.scopes().map(|scopes| scopes.join(" "))
    }
}

impl Rule {
    fn is_met<X>(&self, claims: &Claims<X>) -> bool {
        match self {
            Self::Scope(name) => claims.scopes().any(|granted| granted == *name),
            Self::Permission(name) => claims.permissions().any(|granted| granted == *name),
            Self::All(rules) => rules.iter().all(|rule| rule.is_met(claims)),
            Self::Any(rules) => rules.iter().any(|rule| rule.is_met(claims)),
        }
    }

    fn scopes(&self) -> Option<Vec<&'static str>> {
        match self {
            Self::Scope(name) => Some(vec![name]),
            Self::Permission(_) => None,
            Self::Any(rules) => rules.iter().find_map(Self::scopes),
            Self::All(rules) => {
                let mut all = Vec::new();
                for rule in rules {
                    all.extend(rule.scopes()?);
                }
                all.dedup();
                Some(all)
            }
        }
    }
}

impl BitAnd for Policy {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(Rule::All(vec![self.0, other.0]))
    }
}

impl BitOr for Policy {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(Rule::Any(vec![self.0, other.0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_tells_the_scopes_that_suffice() {
        for (case, policy, expected) in [
            ("a scope", scope("a"), Some("a")),
            ("both", scope("a") & scope("b"), Some("a b")),
            ("either", scope("a") | scope("b"), Some("a")),
            ("or a permission", permission("p") | scope("b"), Some("b")),
            ("and a permission", permission("p") & scope("b"), None),
            ("a permission", permission("p"), None),
        ] {
            assert_eq!(policy.scopes().as_deref(), expected, "{case}");
        }
    }

    #[test]
    fn a_scope_token_has_no_blank_quote_or_backslash() {
        for name in ["", "a b", "a\"", "a\\", "\u{e9}", "a\n"] {
            assert!(!is_scope_token(name), "{name:?}");
        }
        assert!(is_scope_token("https://a.example/read:x!~"));
    }
}
