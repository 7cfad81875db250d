//! [`Introspection`]: the options of introspection at one issuer.

use std::{fmt, time::Duration};

/// The options for introspection at one issuer (RFC 7662). Set them with
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
    pub(super) credential: Option<ClientCredential>,
    pub(in crate::auth) uri: Option<String>,
    pub(in crate::auth) ttl: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum Mode {
    /// Tokens that are not JWTs.
    Opaque,
    /// Tokens that aren't JWTs, and also JWTs once they are verified.
    Always,
}

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
            credential: None,
            uri: None,
            ttl: Duration::from_secs(30),
        }
    }

    /// Introspects tokens that are not JWTs, as the client `client_id`. Only one issuer can have
    /// this option, since we'd otherwise have to send tokens to issuers that did not issue them.
    pub fn opaque(client_id: impl Into<String>) -> Self {
        Self::new(Mode::Opaque, client_id)
    }

    /// Introspects every token of the issuer, as the client `client_id`. JWTs are verified first
    /// and then introspected, so revoked ones are rejected. Opaque tokens are introspected too,
    /// unless another issuer has [`opaque`](Self::opaque) or this option.
    pub fn always(client_id: impl Into<String>) -> Self {
        Self::new(Mode::Always, client_id)
    }

    /// Sets the client secret. It is sent with HTTP Basic, or in the request body if the issuer's
    /// metadata allows only that (RFC 6749 §2.3.1).
    #[must_use]
    pub fn client_secret(mut self, secret: impl Into<String>) -> Self {
        self.credential = Some(ClientCredential::Secret(secret.into()));
        self
    }

    /// Sets the private key of the client for `private_key_jwt` (RFC 7523 §2.2), in PEM. The key
    /// determines the algorithm: `RS256` for RSA, `ES256` for P-256, `ES384` for P-384, and `EdDSA`
    /// for Ed25519.
    #[must_use]
    pub fn client_key(mut self, pem: impl Into<String>) -> Self {
        self.credential = Some(ClientCredential::Key(pem.into()));
        self
    }

    /// Sets the URL of the endpoint. Defaults to the `introspection_endpoint` of the issuer's
    /// metadata.
    #[must_use]
    pub fn uri(mut self, url: impl Into<String>) -> Self {
        self.uri = Some(url.into());
        self
    }

    /// Sets how long an active response is cached, which is never longer than the token is valid.
    /// Defaults to 30 s. Note that a revoked token may still be accepted for this long.
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
