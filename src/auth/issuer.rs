//! [`TrustedIssuer`]: a trusted issuer with its own options.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{algorithm::Algorithm, auth::dpop::DpopMode};

/// A trusted issuer, with options that override those of the [`Builder`](crate::auth::Builder). A
/// string is enough for an issuer without options.
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
    pub(super) options: Options,
    pub(super) dpop: Option<DpopMode>,
}

/// The options of one issuer, or the builder's options for issuers that do not set their own.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) source: Option<KeySource>,
    pub(super) secret: Option<Vec<u8>>,
}

/// The source of a key set.
#[derive(Clone)]
pub(super) enum KeySource {
    Address(String),
    File(PathBuf),
    Fixed(String),
}

/// Defines a method for each of the [`Options`] in `self.options`. [`TrustedIssuer`] and the
/// builder share these methods.
macro_rules! options {
    () => {
        /// Accepts tokens for this audience. Call it again to accept several; one of them in `aud`
        /// suffices.
        #[must_use]
        pub fn audience(mut self, audience: impl Into<String>) -> Self {
            self.options.audiences.push(audience.into());
            self
        }

        /// Accepts only tokens signed with these algorithms. Defaults to `RS256`.
        #[must_use]
        pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
            self.options.algorithms = algorithms.into_iter().collect();
            self
        }

        /// Sets the URL of the key set. Defaults to the `jwks_uri` of the issuer's metadata.
        #[must_use]
        pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
            self.options.source = Some(KeySource::Address(url.into()));
            self
        }

        /// Reads the keys from a file instead: a JWK set, one JWK, an array of JWKs, or public keys in
        /// PEM. If none of the keys has a `kid`, the one of a token does not matter. The file is checked every two seconds and read
        /// again when it has changed.
        #[must_use]
        pub fn jwks_file(mut self, path: impl AsRef<Path>) -> Self {
            self.options.source = Some(KeySource::File(path.as_ref().to_owned()));
            self
        }

        /// Uses fixed keys, which are never refreshed, in any of the forms of
        /// [`jwks_file`](Self::jwks_file).
        #[must_use]
        pub fn jwks(mut self, json: impl Into<String>) -> Self {
            self.options.source = Some(KeySource::Fixed(json.into()));
            self
        }

        /// Sets the secret for `HS256`, at least 32 bytes (RFC 7518 §3.2). A key set never provides
        /// one.
        #[must_use]
        pub fn signing_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
            self.options.secret = Some(secret.into());
            self
        }
    };
}
pub(super) use options;

impl TrustedIssuer {
    /// Creates a trusted issuer. `iss` must equal its name exactly: Auth0's issuers end in a slash.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            options: Options::default(),
            dpop: None,
        }
    }

    /// Sets which tokens of this issuer come with a DPoP proof. Defaults to the mode of the builder's
    /// [`Dpop`](crate::auth::dpop::Dpop), which must be set for any mode but
    /// [`Off`](DpopMode::Off).
    #[must_use]
    pub fn dpop(mut self, mode: DpopMode) -> Self {
        self.dpop = Some(mode);
        self
    }

    // These override the builder's options.
    options!();
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
            .field("audiences", &self.options.audiences)
            .field("algorithms", &self.options.algorithms)
            .finish_non_exhaustive()
    }
}
