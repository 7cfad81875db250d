//! Client certificates, which prove possession for certificate-bound tokens (RFC 8705).
//!
//! TLS has already verified that the client has the certificate's private key. We do not care who
//! signed the certificate, since the token contains the hash of one specific certificate.

use std::{borrow::Cow, fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::auth::credential::{RequestHead, certificate_field};

/// The certificate that a client presented on its connection, in DER.
///
/// If your server terminates TLS, put this into the extensions of each request on the connection.
/// The warp filters read it from there. With other frameworks, use
/// [`RequestHead::with_certificate`].
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate(Arc<[u8]>);

impl ClientCertificate {
    /// Creates a certificate from DER. The TLS library must have verified that the client has the
    /// matching private key.
    pub fn new(der: impl Into<Arc<[u8]>>) -> Self {
        Self(der.into())
    }

    /// Returns the DER.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientCertificate")
            .field(&thumbprint(&self.0))
            .finish()
    }
}

/// The source of the client's certificate.
///
/// A certificate in a header is trusted without verification. Use a header only behind a proxy that
/// overwrites it and that clients cannot bypass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateSource {
    /// The connection: [`RequestHead::certificate`], or a [`ClientCertificate`] in the extensions
    /// of the request.
    Connection,
    /// The header `Client-Cert` (RFC 9440).
    ClientCert,
    /// The last element of Envoy's header `X-Forwarded-Client-Cert`. Envoy must replace the header
    /// and write only `cert` into it, because other fields contain names that the client chose.
    XForwardedClientCert,
    /// The header `X-SSL-Client-Cert`, with percent-encoded PEM, e.g. nginx's
    /// `$ssl_client_escaped_cert`.
    XSslClientCert,
}

impl CertificateSource {
    /// The certificate of a request. `None` unless there is exactly one and we can parse it.
    pub(crate) fn read<'a>(self, request: &RequestHead<'a>) -> Option<Cow<'a, [u8]>> {
        let read = match self {
            Self::Connection => return request.certificate.map(Cow::Borrowed),
            Self::ClientCert => certificate_field::client_cert,
            Self::XForwardedClientCert => certificate_field::x_forwarded_client_cert,
            Self::XSslClientCert => certificate_field::x_ssl_client_cert,
        };
        read(request.headers).map(Cow::Owned)
    }
}

/// The value of `x5t#S256` for a certificate in DER: its SHA-256, as base64url without padding (RFC
/// 8705 §3.1).
pub(crate) fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, der))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// RFC 8705, appendix A: a certificate, and the `cnf` of a token bound to it.
    const CERTIFICATE: &str = "\
        MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMz\
        cwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW\
        9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1\
        E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

    #[test]
    fn computes_the_thumbprint_of_rfc_8705() {
        let der = STANDARD.decode(CERTIFICATE).unwrap();
        let expected = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
        assert_eq!(thumbprint(&der), expected);
        let shown = format!("{:?}", ClientCertificate::new(der));
        assert_eq!(shown, format!("ClientCertificate({expected:?})"));
    }
}
