//! [`Introspection`]: the options of introspection at one issuer.

use std::{fmt, time::Duration};

/// How one issuer is asked about tokens (RFC 7662). Set it with
/// [`TrustedIssuer::introspection`](crate::auth::TrustedIssuer::introspection).
///
/// ```
/// use warp_bearer::auth::{Auth, introspection::Introspection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// let auth = Auth::builder()
///     .issuer("https://login.example.com/")
///     .audience("https://api.example.com")
///     .introspection(Introspection::opaque("my-api").client_secret("…"))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Introspection {
    pub(in crate::auth) mode: Mode,
    pub(super) client_id: String,
    pub(super) proof: Option<ClientCredential>,
    pub(in crate::auth) uri: Option<String>,
    pub(in crate::auth) ttl: Duration,
}

/// Selects the tokens to introspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum Mode {
    /// Tokens that are not JWTs.
    Opaque,
    /// Tokens that are not JWTs, and JWTs after they are verified.
    Always,
}

/// The credentials for the endpoint.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum ClientCredential {
    Secret(String),
    /// A private key in PEM.
    Key(String),
}

impl Introspection {
    fn new(mode: Mode, client_id: impl Into<String>) -> Self {
        Self {
            mode,
            client_id: client_id.into(),
            proof: None,
            uri: None,
            ttl: Duration::from_secs(30),
        }
    }

    /// Introspects tokens that are not JWTs, as the client `client_id`. Only one issuer may have
    /// this option, so that no token is shown to an issuer that did not issue it.
    pub fn opaque(client_id: impl Into<String>) -> Self {
        Self::new(Mode::Opaque, client_id)
    }

    /// Introspects every token of the issuer. JWTs are introspected after they are verified, so
    /// that a token that the issuer has revoked is rejected. Opaque tokens are introspected too,
    /// unless another issuer has [`opaque`](Self::opaque) or this option.
    pub fn always(client_id: impl Into<String>) -> Self {
        Self::new(Mode::Always, client_id)
    }

    /// Sets the secret of the client. It is sent by HTTP Basic, or in the form if the issuer's
    /// metadata allow only that (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.proof = Some(ClientCredential::Secret(secret.into()));
        self
    }

    /// Sets the private key of the client, in PEM, for `private_key_jwt` (RFC 7523 §2.2). RSA signs
    /// with `RS256`, P-256 with `ES256`, P-384 with `ES384`, Ed25519 with `EdDSA`.
    #[must_use]
    pub fn client_key(mut self, pem: impl Into<String>) -> Self {
        self.proof = Some(ClientCredential::Key(pem.into()));
        self
    }

    /// Sets the URL of the endpoint. Defaults to the `introspection_endpoint` of the issuer's
    /// metadata.
    #[must_use]
    pub fn uri(mut self, url: impl Into<String>) -> Self {
        self.uri = Some(url.into());
        self
    }

    /// Sets how long an active answer is cached, but never longer than the token is valid. Defaults
    /// to 30 seconds. A revoked token may be accepted for this long.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("mode", &self.mode)
            .field("client_id", &self.client_id)
            .field("uri", &self.uri)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
