//! [`Registered`]: the claims that verification checks, before they are verified.

use crate::auth::{
    error::AuthError,
    token::json::{self, Malformed, Value},
};

/// The claims that verification checks. They may have any JSON type.
#[derive(Debug, Default)]
pub(crate) struct Registered<'a> {
    pub(crate) iss: Option<Value<'a>>,
    pub(crate) sub: Option<Value<'a>>,
    pub(crate) aud: Option<Value<'a>>,
    pub(crate) exp: Option<Value<'a>>,
    pub(crate) nbf: Option<Value<'a>>,
    pub(crate) iat: Option<Value<'a>>,
    pub(crate) jti: Option<Value<'a>>,
    /// `None` if absent or null, like `scp` and `client_id`.
    pub(crate) scope: Option<Value<'a>>,
    pub(crate) scp: Option<Value<'a>>,
    pub(crate) permissions: Option<Value<'a>>,
    pub(crate) client_id: Option<Value<'a>>,
    pub(crate) azp: Option<Value<'a>>,
    pub(crate) cid: Option<Value<'a>>,
    /// The kind of the token, as Keycloak writes it.
    pub(crate) typ: Option<Value<'a>>,
    /// The kind of the token, as Amazon Cognito and Ory Hydra write it.
    pub(crate) token_use: Option<Value<'a>>,
    /// How to use the token (RFC 6749 §5.1). Only introspection answers have it.
    pub(crate) token_type: Option<Value<'a>>,
    /// The JSON text of `cnf`, of any type.
    pub(crate) cnf: Option<&'a str>,
}

impl<'a> Registered<'a> {
    /// Reads the claims of a payload.
    ///
    /// # Errors
    /// Returns [`AuthError::TokenMalformed`] if the payload is not a JSON object, or has duplicate
    /// members.
    pub(crate) fn parse(payload: &'a str) -> Result<Self, AuthError> {
        let mut claims = Self::default();
        let mut is_bound = false;
        json::members(payload, |name, value| match name {
            "iss" => claims.iss = Some(value),
            "sub" => claims.sub = Some(value),
            "aud" => claims.aud = Some(value),
            "exp" => claims.exp = Some(value),
            "nbf" => claims.nbf = Some(value),
            "iat" => claims.iat = Some(value),
            "jti" => claims.jti = Some(value),
            "scope" => claims.scope = unless_null(value),
            "scp" => claims.scp = unless_null(value),
            "permissions" => claims.permissions = Some(value),
            "client_id" => claims.client_id = unless_null(value),
            "azp" => claims.azp = Some(value),
            "cid" => claims.cid = Some(value),
            "typ" => claims.typ = Some(value),
            "token_use" => claims.token_use = Some(value),
            "token_type" => claims.token_type = Some(value),
            "cnf" => is_bound = true,
            _ => {}
        })
        .map_err(|Malformed| AuthError::TokenMalformed)?;
        if is_bound {
            // If we can't find `cnf` again, use an unsupported binding, so that the token is
            // rejected.
            claims.cnf = json::member(payload, "cnf").or(Some("null"));
        }
        Ok(claims)
    }
}

/// Null counts as absent. Some issuers write it for absent claims.
fn unless_null(value: Value<'_>) -> Option<Value<'_>> {
    if let Value::Null = value {
        None
    } else {
        Some(value)
    }
}
