//! [`Registered`]: the claims that verification reads, as they are in the payload.

use crate::auth::{
    error::AuthError,
    token::json::{self, Malformed, Value},
};

/// The claims that verification reads, of any JSON type.
#[derive(Debug, Default)]
pub(crate) struct Registered<'a> {
    pub(crate) iss: Option<Value<'a>>,
    pub(crate) sub: Option<Value<'a>>,
    pub(crate) aud: Option<Value<'a>>,
    pub(crate) exp: Option<Value<'a>>,
    pub(crate) nbf: Option<Value<'a>>,
    pub(crate) iat: Option<Value<'a>>,
    pub(crate) jti: Option<Value<'a>>,
    pub(crate) scope: Option<Value<'a>>,
    pub(crate) scp: Option<Value<'a>>,
    pub(crate) permissions: Option<Value<'a>>,
    pub(crate) client_id: Option<Value<'a>>,
    pub(crate) azp: Option<Value<'a>>,
    pub(crate) cid: Option<Value<'a>>,
    /// True if there is a `cnf`, with any value.
    pub(crate) bound: bool,
}

impl<'a> Registered<'a> {
    /// Reads the claims of a payload.
    ///
    /// # Errors
    /// [`AuthError::TokenMalformed`] if the payload is not one JSON object, or has duplicate
    /// members.
    pub(crate) fn parse(payload: &'a str) -> Result<Self, AuthError> {
        let mut claims = Self::default();
        json::members(payload, |name, value| match name {
            "iss" => claims.iss = Some(value),
            "sub" => claims.sub = Some(value),
            "aud" => claims.aud = Some(value),
            "exp" => claims.exp = Some(value),
            "nbf" => claims.nbf = Some(value),
            "iat" => claims.iat = Some(value),
            "jti" => claims.jti = Some(value),
            "scope" => claims.scope = Some(value),
            "scp" => claims.scp = Some(value),
            "permissions" => claims.permissions = Some(value),
            "client_id" => claims.client_id = Some(value),
            "azp" => claims.azp = Some(value),
            "cid" => claims.cid = Some(value),
            "cnf" => claims.bound = true,
            _ => {}
        })
        .map_err(|Malformed| AuthError::TokenMalformed)?;
        Ok(claims)
    }
}
