//! Auth0's own claims, for those who would rather not write them down themselves.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// What Auth0 puts into an access token beside the claims that [`Claims`](crate::auth::Claims) reads, in
/// both of its profiles: `Claims<Auth0>`.
///
/// As documented in [Access Token Profiles][source] and, for `gty` and `org_id`, in the pages that
/// it leads to. What an Action adds is yours to read: `#[serde(flatten)] auth0: Auth0` puts these
/// fields beside your own. `scope` and `permissions` are read by
/// [`Claims::scopes`](crate::auth::Claims::scopes) and [`Claims::permissions`](crate::auth::Claims::permissions).
///
/// `Debug` shows no claim's value.
///
/// [source]: https://auth0.com/docs/secure/tokens/access-tokens/access-token-profiles
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Auth0 {
    /// `azp`: the application that asked for the token. In the RFC 9068 profile it is `client_id`.
    pub azp: Option<String>,
    /// `client_id`: the same, in the RFC 9068 profile.
    pub client_id: Option<String>,
    /// `gty`: how it was asked for, such as `client-credentials` or `password`; after a refresh
    /// `refresh_token` stands among several. Not in the RFC 9068 profile.
    #[serde(default, deserialize_with = "one_or_several")]
    pub gty: Vec<String>,
    /// `jti`: the name of the token. In the RFC 9068 profile alone.
    pub jti: Option<String>,
    /// `org_id`: the organization that the user logged in to.
    pub org_id: Option<String>,
    /// `org_name`: its name, where the tenant allows it in tokens.
    pub org_name: Option<String>,
}

impl Auth0 {
    /// The application that asked for the token, whichever the profile.
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

    Ok(match Claim::deserialize(claim)? {
        Claim::One(one) => vec![one],
        Claim::Several(several) => several,
    })
}
