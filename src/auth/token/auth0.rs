//! [`Auth0`]: the claims that Auth0 adds to an access token.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// The claims of Auth0's two token profiles that [`Claims`](crate::auth::Claims) has no methods
/// for. Use it as `Claims<Auth0>`.
///
/// The fields are documented in [Access Token Profiles][source] and, for `gty` and `org_id`, in the
/// pages that it links to. To add claims from an Action, put `#[serde(flatten)] auth0: Auth0` into
/// your own struct. For `scope` and `permissions`, call
/// [`Claims::scopes`](crate::auth::Claims::scopes) and
/// [`Claims::permissions`](crate::auth::Claims::permissions).
///
/// The `Debug` output contains no claim values.
///
/// [source]: https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Auth0 {
    /// `azp`: the application that requested the token, in Auth0's own profile.
    pub azp: Option<String>,
    /// `client_id`: the application that requested the token, in the RFC 9068 profile.
    pub client_id: Option<String>,
    /// `gty`: the grant types, such as `client-credentials` or `password`. After a refresh, there
    /// are several, including `refresh_token`. Empty in the RFC 9068 profile.
    #[serde(default, deserialize_with = "one_or_several")]
    pub gty: Vec<String>,
    /// `jti`: the id of the token, in the RFC 9068 profile only.
    pub jti: Option<String>,
    /// `org_id`: the organization that the user logged in to.
    pub org_id: Option<String>,
    /// `org_name`: the name of the organization, if the tenant allows names in tokens.
    pub org_name: Option<String>,
}

impl Auth0 {
    /// Returns the application that requested the token, in either profile.
    pub fn client(&self) -> Option<&str> {
        self.azp.as_deref().or(self.client_id.as_deref())
    }
}

impl fmt::Debug for Auth0 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth0").finish_non_exhaustive()
    }
}

fn one_or_several<'de, D: Deserializer<'de>>(claim: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Claim {
        One(String),
        Several(Vec<String>),
    }

    Ok(match Option::deserialize(claim)? {
        None => Vec::new(),
        Some(Claim::One(one)) => vec![one],
        Some(Claim::Several(several)) => several,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_counts_as_absent() {
        let claims: Auth0 = serde_json::from_str(
            r#"{"azp":null,"client_id":null,"gty":null,"jti":null,"org_id":null,"org_name":null}"#,
        )
        .unwrap();
        assert_eq!(claims, Auth0::default());
    }

    #[test]
    fn reads_one_grant_type_or_several() {
        for (claim, expected) in [
            ("{}", &[][..]),
            (r#"{"gty":"password"}"#, &["password"]),
            (
                r#"{"gty":["password","refresh_token"]}"#,
                &["password", "refresh_token"],
            ),
        ] {
            let claims: Auth0 = serde_json::from_str(claim).unwrap();
            assert_eq!(claims.gty, expected, "{claim}");
        }
        for claim in [r#"{"gty":1}"#, r#"{"gty":[null]}"#] {
            assert!(serde_json::from_str::<Auth0>(claim).is_err(), "{claim}");
        }
    }
}
