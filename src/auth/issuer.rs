//! [`TrustedIssuer`]: a trusted issuer with its own options.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::algorithm::Algorithm;
use crate::auth::introspection::Introspection;

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
}

/// The options of one issuer, or the builder's options for issuers that do not set their own.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) source: Option<KeySource>,
    pub(super) secret: Option<Vec<u8>>,
    pub(super) introspection: Option<Introspection>,
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

        /// Reads the key set from a file instead. The file is checked every two seconds and read
        /// again when it has changed.
        #[must_use]
        pub fn jwks_file(mut self, path: impl AsRef<Path>) -> Self {
            self.options.source = Some(KeySource::File(path.as_ref().to_owned()));
            self
        }

        /// Uses a fixed key set, given as the JSON of a JWK set, which is never refreshed.
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

        /// Asks the issuer about tokens (RFC 7662): about opaque ones, or about all. Defaults to
        /// none, so that only JWTs are accepted.
        #[must_use]
        pub fn introspection(
            mut self,
            introspection: crate::auth::introspection::Introspection,
        ) -> Self {
            self.options.introspection = Some(introspection);
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
        }
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
