//! The credential of a request, and [`RequestHead`], the parts of a request that authentication
//! reads.

pub(super) mod bearer;
pub(super) mod certificate;
pub(super) mod certificate_field;
pub(super) mod dpop;
pub(super) mod field;
pub(super) mod nonce;
#[cfg(all(test, feature = "testing"))]
mod proof_tests;
pub(super) mod target_uri;

use http::{HeaderMap, Method};

use crate::auth::challenge::Scheme;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Credential<'a> {
    pub(crate) token: &'a [u8],
    /// `None` if the token is not in `Authorization`.
    pub(crate) scheme: Option<Scheme>,
}

impl<'a> Credential<'a> {
    pub(crate) fn bare(token: &'a [u8]) -> Self {
        Self {
            token,
            scheme: None,
        }
    }
}

/// The parts of a request that authentication reads.
///
/// ```
/// use http::Request;
/// use warp_bearer::auth::{Auth, Claims, RequestHead};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let request = Request::get("/me").body(()).unwrap();
/// let head = RequestHead::new(request.method(), request.uri().path(), request.headers());
/// let refusal = auth.authenticate::<warp_bearer::auth::claims::NoPrivate>(&head).await.unwrap_err();
/// assert_eq!(refusal.error.status(), 401);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The method. `None` if the framework's adapter does not provide it.
    pub method: Option<&'a Method>,
    /// The path as the client sent it, without the query. `None` if the adapter does not provide
    /// it.
    pub path: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The client's certificate, in DER. `None` without mutual TLS.
    pub certificate: Option<&'a [u8]>,
    /// Set if `path` is relative to the origin of the public URL, not to the public URL itself.
    pub(crate) is_forwarded: bool,
}

impl<'a> RequestHead<'a> {
    /// Creates the head of a request without a client certificate.
    pub fn new(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self {
            method: Some(method),
            path: Some(path),
            headers,
            certificate: None,
            is_forwarded: false,
        }
    }

    /// Creates a head with only the headers, for warp's filters if authentication does not need
    /// anything else. To extract the method and the path, a warp filter has to copy them, which
    /// takes 480 instructions -- 1/40 of the cost of a request with a cached token.
    #[cfg(feature = "warp")]
    pub(crate) fn of_fields(headers: &'a HeaderMap) -> Self {
        Self {
            method: None,
            path: None,
            headers,
            certificate: None,
            is_forwarded: false,
        }
    }

    /// Creates the head of a client's request that a proxy asks about. `method` and `path` are
    /// those of the client's request, and `headers` are those of the proxy's own request. The path
    /// is relative to the origin of the [public URL](crate::auth::dpop::Dpop), not to its path.
    pub fn forwarded(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self {
            is_forwarded: true,
            ..Self::new(method, path, headers)
        }
    }

    /// For a forwarded request whose method and path we do not know. No proof matches it.
    #[cfg(feature = "service")]
    pub(crate) fn without_target(headers: &'a HeaderMap) -> Self {
        Self {
            is_forwarded: true,
            ..Self::of_fields(headers)
        }
    }

    /// Adds the client's certificate, in DER.
    #[must_use]
    pub fn with_certificate(self, certificate: &'a [u8]) -> Self {
        Self {
            certificate: Some(certificate),
            ..self
        }
    }
}
