//! [`TrustedIssuer`]: an issuer, with the options that are its own.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::algorithm::Algorithm;

/// An issuer whose tokens are trusted, and what differs for it from the rest of the
/// [`Builder`](crate::auth::Builder). A string will do where nothing does.
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

/// What an issuer may have of its own; the builder's is for those that have nothing of their own.
#[derive(Clone, Default)]
pub(super) struct Options {
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

/// A method for each of the [`Options`] that `self.options` holds: the same for one issuer and for
/// all of them.
macro_rules! options {
    () => {
        /// Takes tokens for this audience. May be called again; one of them in `aud` suffices.
        #[must_use]
        pub fn audience(mut self, audience: impl Into<String>) -> Self {
            self.options.audiences.push(audience.into());
            self
        }

        /// Takes tokens signed with these algorithms and no others. Defaults to `RS256` alone.
        #[must_use]
        pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
            self.options.algorithms = algorithms.into_iter().collect();
            self
        }

        /// Where the key set is. Defaults to what the issuer's metadata says.
        #[must_use]
        pub fn jwks_uri(mut self, url: impl Into<String>) -> Self {
            self.options.source = Some(KeySource::Address(url.into()));
            self
        }

        /// A key set on disk instead, looked at every two seconds and read again where it has
        /// changed.
        #[must_use]
        pub fn jwks_file(mut self, path: impl AsRef<Path>) -> Self {
            self.options.source = Some(KeySource::File(path.as_ref().to_owned()));
            self
        }

        /// A fixed key set, a JWK Set as JSON, which nothing refreshes.
        #[must_use]
        pub fn jwks(mut self, json: impl Into<String>) -> Self {
            self.options.source = Some(KeySource::Fixed(json.into()));
            self
        }

        /// The secret of `HS256`, 32 bytes or more (RFC 7518 §3.2). No key set ever provides one.
        #[must_use]
        pub fn signing_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
            self.options.secret = Some(secret.into());
            self
        }
    };
}
pub(super) use options;

impl TrustedIssuer {
    /// An issuer, compared with `iss` to the letter: Auth0's end in a slash.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            options: Options::default(),
        }
    }

    // What is said here goes before what the builder says for all.
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
