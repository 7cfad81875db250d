//! [`TrustedIssuer`]: an issuer with its own options.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    algorithm::Algorithm,
    auth::{dpop::DpopMode, introspection::Introspection, token::audience::AudienceClaim},
};

/// The placeholder in the issuer names of Entra ID
pub(super) const TENANT: &str = "{tenantid}";

/// An issuer to trust, with options that override those of the [`Builder`](crate::auth::Builder).
/// If you don't need any of these options, you can just pass a string instead.
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
    pub(super) own: Own,
}

/// The options of an issuer that `options!` doesn't define.
#[derive(Clone, Default)]
pub(super) struct Own {
    pub(super) audience_claim: AudienceClaim,
    pub(super) leeway: Option<Duration>,
    pub(super) max_age: Option<Duration>,
    pub(super) strict: Option<bool>,
    pub(super) roles_at: Option<String>,
    pub(super) groups_at: Option<String>,
    pub(super) required_scope: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) fetch_token_file: Option<PathBuf>,
    pub(super) place: Option<Arc<str>>,
    pub(super) dpop: Option<DpopMode>,
    pub(super) without_introspection: bool,
}

/// The options of an issuer, or the builder's options for issuers that don't set them.
#[derive(Clone, Default)]
pub(super) struct Options {
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) source: Option<KeySource>,
    pub(super) secret: Option<Vec<u8>>,
    pub(super) introspection: Option<Introspection>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    Address(String),
    File(PathBuf),
    Fixed(String),
    /// No keys at all, so we accept no token with an asymmetric signature.
    #[cfg(feature = "service")]
    Nowhere,
}

/// Defines the methods for `self.options`. The builder has the same ones as [`TrustedIssuer`].
macro_rules! options {
    () => {
        /// Accepts tokens for this audience. If you need several audiences, call this method once
        /// for each. A token will be accepted if `aud` contains any of them.
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

        /// Reads the keys from a file instead of fetching them: a JWK set, one JWK, an array of
        /// JWKs, or public keys in PEM. If no key in the file has a `kid`, the `kid` of a token is
        /// ignored. The file is checked for changes every two seconds.
        #[must_use]
        pub fn jwks_file(mut self, path: impl AsRef<Path>) -> Self {
            self.options.source = Some(KeySource::File(path.as_ref().to_owned()));
            self
        }

        /// Uses these keys, which are never refreshed. Accepts the same formats as
        /// [`jwks_file`](Self::jwks_file).
        #[must_use]
        pub fn jwks(mut self, json: impl Into<String>) -> Self {
            self.options.source = Some(KeySource::Fixed(json.into()));
            self
        }

        /// Sets the secret for `HS256`, which must have at least 32 bytes (RFC 7518 §3.2). Secrets
        /// in a key set are ignored.
        #[must_use]
        pub fn signing_secret(mut self, secret: impl Into<Vec<u8>>) -> Self {
            self.options.secret = Some(secret.into());
            self
        }

        /// Introspects opaque tokens, or all tokens, at the issuer (RFC 7662). Defaults to off:
        /// only JWTs are accepted.
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
    /// Creates an issuer. The name must be exactly the `iss` of its tokens. Auth0's issuers end in
    /// a slash.
    pub fn new(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            options: Options::default(),
            own: Own::default(),
        }
    }

    /// Returns one issuer for each tenant. The tenant replaces `{tenantid}` in the name and in the
    /// URL of the key set, and the other options are copied. The metadata that Entra ID publishes
    /// for multi-tenant applications has this placeholder in the issuer's name.
    ///
    /// ```
    /// use warp_bearer::auth::{Auth, TrustedIssuer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
    /// let entra = TrustedIssuer::new("https://login.microsoftonline.com/{tenantid}/v2.0");
    /// let mut auth = Auth::builder().audience("6e74172b-be56-4843-9ff4-e66a39bb12e3");
    /// for issuer in entra.for_tenants(["72f988bf-86f1-41af-91ab-2d7cd011db47"]) {
    ///     auth = auth.issuer(issuer);
    /// }
    /// let auth = auth.build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn for_tenants<T: AsRef<str>>(&self, tenants: impl IntoIterator<Item = T>) -> Vec<Self> {
        let of = |tenant: T| {
            let mut own = self.clone();
            own.issuer = self.issuer.replace(TENANT, tenant.as_ref());
            if let Some(KeySource::Address(url)) = &mut own.options.source {
                *url = url.replace(TENANT, tenant.as_ref());
            }
            own
        };
        tenants.into_iter().map(of).collect()
    }

    /// Never fetches the keys of this issuer. This is for `explain --jwks`, which must not use the
    /// network and is given the keys of only one issuer.
    #[cfg(feature = "service")]
    #[must_use]
    pub(crate) fn without_keys(mut self) -> Self {
        self.options.source = Some(KeySource::Nowhere);
        self
    }

    /// Turns introspection off for this issuer, even if the builder enables it.
    #[must_use]
    pub fn without_introspection(mut self) -> Self {
        self.own.without_introspection = true;
        self
    }

    /// Sets which tokens of this issuer need a DPoP proof. Defaults to the mode of the builder's
    /// [`Dpop`](crate::auth::dpop::Dpop). If the builder has no `Dpop`, only [`Off`](DpopMode::Off)
    /// is allowed.
    #[must_use]
    pub fn dpop(mut self, mode: DpopMode) -> Self {
        self.own.dpop = Some(mode);
        self
    }

    // these override the builder's options
    options!();

    /// Sets the claim to compare with the audiences. Defaults to [`AudienceClaim::Aud`]. Every
    /// other claim must be a string.
    #[must_use]
    pub fn audience_claim(mut self, claim: AudienceClaim) -> Self {
        self.own.audience_claim = claim;
        self
    }

    /// Overrides [`Builder::leeway`](crate::auth::Builder::leeway).
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.own.leeway = Some(leeway);
        self
    }

    /// Overrides [`Builder::max_age`](crate::auth::Builder::max_age).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.own.max_age = Some(age);
        self
    }

    /// Overrides [`Builder::rfc9068`](crate::auth::Builder::rfc9068).
    #[must_use]
    pub fn rfc9068(mut self, strict: bool) -> Self {
        self.own.strict = Some(strict);
        self
    }

    /// Overrides [`Builder::roles_at`](crate::auth::Builder::roles_at).
    #[must_use]
    pub fn roles_at(mut self, claim: impl Into<String>) -> Self {
        self.own.roles_at = Some(claim.into());
        self
    }

    /// Overrides [`Builder::groups_at`](crate::auth::Builder::groups_at).
    #[must_use]
    pub fn groups_at(mut self, claim: impl Into<String>) -> Self {
        self.own.groups_at = Some(claim.into());
        self
    }

    /// Requires these scopes, separated by single spaces, in every token of the issuer. Other
    /// tokens are rejected with 403 `insufficient_scope`. Defaults to none.
    #[must_use]
    pub fn required_scope(mut self, scopes: impl Into<String>) -> Self {
        self.own.required_scope = Some(scopes.into());
        self
    }

    /// Trusts only the certificate authorities in this PEM file when fetching the issuer's
    /// documents. The file is read for each fetch. For introspection, whose connections stay open, it
    /// is read again each day, at [`Auth::refresh`](crate::auth::Auth::refresh), and after a
    /// connection fails. Defaults to the system's authorities.
    #[must_use]
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        self.own.ca_file = Some(path.as_ref().to_owned());
        self
    }

    /// Sends the token in this file as `Authorization: Bearer` when fetching the issuer's
    /// documents. The Kubernetes API server usually requires this. The file is read for each fetch.
    ///
    /// The token is only sent to the issuer's own origin and to a configured
    /// [`jwks_uri`](Self::jwks_uri), not to other URLs in the issuer's metadata. Defaults to none.
    #[must_use]
    pub fn fetch_token_file(mut self, path: impl AsRef<Path>) -> Self {
        self.own.fetch_token_file = Some(path.as_ref().to_owned());
        self
    }

    /// Sets where the issuer is configured, for `explain`
    #[cfg(feature = "service")]
    pub(crate) fn place(mut self, place: &str) -> Self {
        self.own.place = Some(place.into());
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
            .field("audiences", &self.options.audiences)
            .field("algorithms", &self.options.algorithms)
            .finish_non_exhaustive()
    }
}
