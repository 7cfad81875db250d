//! The credential of a request, and the parts of the request that authentication reads.

pub(super) mod bearer;
#[allow(dead_code, reason = "no caller yet")]
pub(super) mod certificate;
pub(super) mod field;

use http::{HeaderMap, Method};

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
    /// The method. `None` if the adapter of the framework does not pass it.
    pub method: Option<&'a Method>,
    /// The path as the client sent it, without the query. `None` if the adapter does not pass it.
    pub path: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The client's certificate, in DER. `None` without mutual TLS.
    pub certificate: Option<&'a [u8]>,
}

impl<'a> RequestHead<'a> {
    /// Creates the head of a request over a connection without a client certificate.
    pub fn new(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self {
            method: Some(method),
            path: Some(path),
            headers,
            certificate: None,
        }
    }

    /// Creates a head without method and path. warp's filters use it: a filter copies what it extracts,
    /// and copying both costs 480 instructions, a fortieth of a request with a cached token. Nothing reads
    /// them until a proof of possession is checked.
    #[cfg(feature = "warp")]
    pub(crate) fn of_fields(headers: &'a HeaderMap) -> Self {
        Self {
            method: None,
            path: None,
            headers,
            certificate: None,
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
