//! The client's certificate as a proof that it holds the key of its token (RFC 8705).
//!
//! TLS has verified that the client holds the certificate's private key. Who signed the certificate
//! does not matter here: the token names the one certificate that it is bound to.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// Returns the value of `x5t#S256` for a certificate in DER: its SHA-256, as base64url without
/// padding (RFC 8705 §3.1).
pub(crate) fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, der))
}

/// Returns whether a token with this `x5t#S256` is bound to this certificate. A token that is bound
/// to one is of no use without it.
pub(crate) fn is_bound_to(x5t_s256: &str, certificate: Option<&[u8]>) -> bool {
    certificate.is_some_and(|der| thumbprint(der) == x5t_s256)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8705, appendix A: a certificate, and the confirmation of a token that is bound to it.
    const CERTIFICATE: &str = "\
        MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMz\
        cwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW\
        9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1\
        E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

    #[test]
    fn computes_the_thumbprint_of_rfc_8705() {
        let der = base64::engine::general_purpose::STANDARD
            .decode(CERTIFICATE)
            .unwrap();
        let expected = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
        assert_eq!(thumbprint(&der), expected);
        assert!(is_bound_to(expected, Some(&der)));
        assert!(!is_bound_to(expected, None));
        assert!(!is_bound_to(expected, Some(&der[1..])));
        assert!(!is_bound_to(&format!("{expected}="), Some(&der)));
        assert!(!is_bound_to("", None));
    }
}
