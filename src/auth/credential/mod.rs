//! The credential of a request, and the parts of the request that authentication reads.

pub(super) mod bearer;

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
    /// The method.
    pub method: &'a Method,
    /// The path as the client sent it, without the query.
    pub path: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The client's certificate, in DER. `None` without mutual TLS.
    pub certificate: Option<&'a [u8]>,
}

impl<'a> RequestHead<'a> {
    /// Creates the head of a request over a connection without a client certificate.
    pub fn new(method: &'a Method, path: &'a str, headers: &'a HeaderMap) -> Self {
        Self {
            method,
            path,
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
