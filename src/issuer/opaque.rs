//! The tokens of an [`Issuer`] other than plain JWTs: opaque tokens, introspected tokens, and
//! logout tokens.

use std::time::Duration;

use serde_json::json;

use crate::issuer::{Issuer, TokenBuilder, keys::random_name, tokens::claims_of};

/// # Opaque tokens, introspection and logout
impl Issuer {
    /// Issues an opaque token: an unguessable name, whose claims only introspection reveals.
    ///
    /// ```
    /// use warp_bearer::{
    ///     auth::{Auth, Claims, introspection::Introspection},
    ///     issuer::Issuer,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let issuer = Issuer::start().await;
    /// let asked = Introspection::opaque(issuer.client_id()).client_secret(issuer.client_secret());
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .introspection(asked)
    ///     .build()?;
    /// let token = issuer.opaque_token(issuer.token().subject("auth0|bob"));
    /// let claims: Claims = auth.verify(&token).await?;
    /// assert_eq!(claims.subject(), Some("auth0|bob"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// If the system has no randomness.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "as the builder's own methods take it"
    )]
    pub fn opaque_token(&self, claims: TokenBuilder) -> String {
        let name = unguessable();
        let claims = claims.claims().clone();
        self.state.tokens().insert(name.clone(), claims);
        name
    }

    /// Makes a JWT of this issuer active at introspection. Tokens from the token endpoint are
    /// already active.
    pub fn register(&self, jwt: &str) {
        if let Some(claims) = claims_of(jwt) {
            self.state.tokens().insert(jwt.to_owned(), claims);
        }
    }

    /// Makes a token inactive at introspection, as the revocation endpoint does (RFC 7009).
    pub fn revoke(&self, token: &str) {
        self.state.tokens().remove(token);
    }

    /// Makes the token endpoint grant opaque tokens, or JWTs if `opaque` is false.
    pub fn grant_opaque(&self, opaque: bool) {
        self.state.settings().opaque = opaque;
    }

    /// Accepts client credentials for introspection only in the form, or also by HTTP Basic.
    pub fn form_only(&self, form_only: bool) {
        self.state.settings().form_only = form_only;
    }

    /// Returns a builder of a logout token for the registered client (`OpenID` Connect Back-Channel
    /// Logout 1.0 §2.4), about the subject `auth0|alice`.
    ///
    /// # Panics
    /// If the system has no randomness.
    pub fn logout_token(&self) -> TokenBuilder {
        let event = "http://schemas.openid.net/event/backchannel-logout";
        self.token()
            .typ("logout+jwt")
            .audience(self.client_id())
            .expires_in(Duration::from_secs(120))
            .claim("jti", unguessable())
            .claim("events", json!({event: {}}))
    }
}

fn unguessable() -> String {
    match random_name(32) {
        Ok(name) => name,
        Err(fault) => panic!("no randomness: {fault}"),
    }
}
