//! Describes why a TLS handshake failed, so that an operator can act on it.
//!
//! rustls puts the names of its types into its messages, e.g.
//! `Other(OtherError(CaUsedAsEndEntity))`.

use std::{error::Error, io, iter};

use rustls::{CertificateError, Error as TlsError};

/// Describes the TLS error among the causes of `error`. `None` if there isn't one, or if its own
/// message is clear enough.
pub(in crate::auth) fn describe(error: &(dyn Error + 'static)) -> Option<String> {
    match find(error)? {
        TlsError::InvalidCertificate(error) => certificate(error),
        TlsError::InvalidMessage(_) => Some("the response is not TLS".to_owned()),
        TlsError::AlertReceived(alert) => {
            Some(format!("the server ended the handshake: {alert:?}"))
        }
        _ => None,
    }
}

/// Checks whether the certificate was signed by an untrusted authority
pub(in crate::auth) fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    use CertificateError::{BadSignature, UnknownIssuer};
    // a signature is also invalid if it's from another authority with the same name
    let untrusted = |error: &TlsError| {
        matches!(
            error,
            TlsError::InvalidCertificate(UnknownIssuer | BadSignature)
        )
    };
    find(error).is_some_and(untrusted)
}

/// Finds the rustls error. Note the `get_ref` on I/O errors: `io::Error::source` skips the error
/// that it wraps.
fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e TlsError> {
    let mut causes = iter::successors(Some(error), |&cause| cause.source());
    causes.find_map(|cause| {
        cause.downcast_ref().or_else(|| {
            let within = cause.downcast_ref::<io::Error>()?.get_ref()?;
            let within: &(dyn Error + 'static) = within;
            find(within)
        })
    })
}

const NOT_FOR_A_SERVER: &str =
    "its certificate is not for a server (extendedKeyUsage lacks serverAuth)";

fn certificate(error: &CertificateError) -> Option<String> {
    let words = match error {
        CertificateError::UnknownIssuer => {
            "its certificate is signed by a certificate authority that is not trusted here"
        }
        CertificateError::BadSignature => {
            "its certificate is signed by a certificate authority that has the name of a trusted \
             one, but another key"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet"
        }
        CertificateError::Revoked => "its certificate has been revoked",
        CertificateError::NotValidForName => "its certificate is for another name",
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "its certificate has no name in subjectAltName"
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().take(5).map(|name| bare(name)).collect();
            return Some(format!("its certificate is for {}", names.join(", ")));
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            NOT_FOR_A_SERVER
        }
        // rustls-platform-verifier replaces `InvalidPurpose` with a type that only `Debug` names
        CertificateError::Other(other) if format!("{other:?}").contains("EkuError") => {
            NOT_FOR_A_SERVER
        }
        // rustls has no variant for this error of webpki
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of a certificate authority (CA:TRUE); a server needs one with \
             CA:FALSE (openssl req -x509 -addext basicConstraints=critical,CA:FALSE)"
        }
        _ => return None,
    };
    Some(words.to_owned())
}

/// The name in a text of rustls, e.g. `DnsName("a.example")` or `IpAddress(127.0.0.1)`.
fn bare(name: &str) -> &str {
    let (_, inner) = name.split_once('(').unwrap_or(("", name));
    inner.trim_end_matches(')').trim_matches('"')
}

#[cfg(test)]
mod tests {
    use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

    use rustls::{OtherError, pki_types::UnixTime};

    use super::*;

    /// The error of rustls-platform-verifier (private there)
    #[derive(Debug)]
    struct EkuError;

    impl fmt::Display for EkuError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("certificate had invalid extensions")
        }
    }

    impl StdError for EkuError {}

    #[test]
    fn describes_each_certificate_error() {
        let then = UnixTime::since_unix_epoch(Duration::from_secs(1));
        let names = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: "a.example".try_into().unwrap(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        let expired = CertificateError::ExpiredContext {
            time: then,
            not_after: then,
        };
        let other = |text: &str| {
            CertificateError::Other(OtherError(Arc::new(io::Error::other(text.to_owned()))))
        };
        #[rustfmt::skip]
        let rows = [
            (CertificateError::UnknownIssuer, Some("not trusted here")),
            (CertificateError::BadSignature, Some("the name of a trusted one")),
            (expired, Some("has expired")),
            (CertificateError::NotValidYet, Some("not valid yet")),
            (names(&["b.example", "c.example"]), Some("is for b.example, c.example")),
            (names(&[]), Some("no name in subjectAltName")),
            (CertificateError::InvalidPurpose, Some("not for a server")),
            (other("CaUsedAsEndEntity"), Some("CA:FALSE")),
            (CertificateError::Other(OtherError(Arc::new(EkuError))), Some("lacks serverAuth")),
            (names(&["DnsName(\"b.example\")", "IpAddress(127.0.0.1)"]), Some("is for b.example, 127.0.0.1")),
            (other("SomethingElse"), None),
            (CertificateError::BadEncoding, None),
        ];
        for (error, expected) in rows {
            let wrapped = io::Error::other(io::Error::other(TlsError::InvalidCertificate(
                error.clone(),
            )));
            let found = describe(&wrapped);
            match expected {
                Some(expected) => assert!(found.unwrap().contains(expected), "{error:?}"),
                None => assert_eq!(found, None, "{error:?}"),
            }
        }
        assert_eq!(describe(&io::Error::other("no TLS")), None);
    }
}
