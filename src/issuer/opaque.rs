//! The tokens of an [`Issuer`] that are not plain JWTs: opaque tokens, introspected tokens, and
//! logout tokens.

use std::time::Duration;

use serde_json::json;

use crate::issuer::{Issuer, TokenBuilder, keys::random_name, tokens::claims_of};

/// # Opaque tokens, introspection and logout
impl Issuer {
    /// Issues an opaque token, an unguessable string whose claims are only available by
    /// introspection.
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
    /// let introspection = Introspection::opaque(issuer.client_id())
    ///     .client_secret(issuer.client_secret());
    /// let auth = Auth::builder()
    ///     .issuer(issuer.url())
    ///     .audience(issuer.audience())
    ///     .introspection(introspection)
    ///     .build()?;
    /// let token = issuer.opaque_token(issuer.token().subject("auth0|bob"));
    /// let claims: Claims = auth.verify(&token).await?;
    /// assert_eq!(claims.subject(), Some("auth0|bob"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
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

    /// Makes a token inactive at introspection, like the revocation endpoint (RFC 7009).
    pub fn revoke(&self, token: &str) {
        self.state.tokens().remove(token);
    }

    /// Sets whether the token endpoint issues opaque tokens instead of JWTs.
    pub fn grant_opaque(&self, opaque: bool) {
        self.state.settings().opaque = opaque;
    }

    /// Sets whether introspection only accepts client credentials in the form, and not by HTTP
    /// Basic.
    pub fn form_only(&self, form_only: bool) {
        self.state.settings().form_only = form_only;
    }

    /// Returns a builder for a logout token (`OpenID` Connect Back-Channel Logout 1.0 §2.4) for the
    /// registered client and the subject `auth0|alice`.
    ///
    /// # Panics
    /// Panics if the system's random number generator fails.
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
