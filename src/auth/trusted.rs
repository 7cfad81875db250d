//! [`TrustedIssuer`]: an issuer, with the options that are its own.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use jsonwebtoken::Algorithm;

/// An issuer whose tokens are trusted, and what differs for it from the rest of the
/// [`Builder`](super::Builder). A string will do where nothing does.
///
/// ```
/// use warp_bearer::auth::{Algorithm, Auth, TrustedIssuer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// let auth = Auth::builder()
///     .issuer("https://login.example.com/")
///     .issuer(
///         TrustedIssuer::new("https://machines.example.com/")
///             .audience("urn:robots")
///             .algorithms([Algorithm::EdDSA]),
///     )
///     .audience("https://api.example.com")
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TrustedIssuer {
    pub(super) issuer: String,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) source: Option<KeySource>,
    pub(super) secret: Option<Vec<u8>>,
}

/// Where keys come from.
#[derive(Clone)]
pub(super) enum KeySource {
    Address(String),
    File(PathBuf),
    Fixed(String),
}

impl TrustedIssuer {
    /// An issuer, compared with `iss` to the letter: Auth0's end in a slash.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: Vec::new(),
            algorithms: Vec::new(),
            source: None,
            secret: None,
        }
    }

    /// Takes its tokens for this audience, and no longer for the builder's. May be called again.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Takes its tokens signed with these algorithms, and no longer with the builder's.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Where its key set is. Defaults to what its metadata says.
    #[must_use]
    pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
        self.source = Some(KeySource::Address(url.into()));
        self
    }

    /// Its key set on disk instead, looked at every two seconds and read again where it has
    /// changed.
    #[must_use]
    pub fn jwks_file(mut self, path: impl AsRef<Path>) -> Self {
        self.source = Some(KeySource::File(path.as_ref().to_owned()));
        self
    }

    /// Its key set as it is, a JWK Set as JSON, which nothing refreshes.
    #[must_use]
    pub fn jwks(mut self, json: impl Into<String>) -> Self {
        self.source = Some(KeySource::Fixed(json.into()));
        self
    }

    /// Its secret for `HS256`, 32 bytes or more (RFC 7518 §3.2). No key set ever provides one.
    #[must_use]
    pub fn signing_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secret = Some(secret.into());
        self
    }
}

impl From<&str> for TrustedIssuer {
    fn from(issuer: &str) -> Self {
        Self::new(issuer)
    }
}

impl From<&String> for TrustedIssuer {
    fn from(issuer: &String) -> Self {
        Self::new(issuer)
    }
}

impl From<String> for TrustedIssuer {
    fn from(issuer: String) -> Self {
        Self::new(issuer)
    }
}

impl fmt::Debug for TrustedIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedIssuer")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
