//! A minimal DER parser (X.690) for public keys and the dates of certificates.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Returns `true` for a public key (`SubjectPublicKeyInfo` or `RSAPublicKey`) or an X.509
/// certificate. Looks only at the outermost elements.
#[cfg(feature = "service")]
pub(crate) fn is_public_key(der: &[u8]) -> bool {
    const FORMS: [&[u8]; 3] = [
        &[SEQUENCE, BIT_STRING],
        &[INTEGER, INTEGER],
        &[SEQUENCE, SEQUENCE, BIT_STRING],
    ];
    let Some((elements, [])) = expect(SEQUENCE, der) else {
        return false;
    };
    FORMS
        .iter()
        .any(|form| skip(form, elements).is_some_and(<[u8]>::is_empty))
}

/// The key of an X.509 certificate of any version: its whole `SubjectPublicKeyInfo` (RFC 5280
/// §4.1). Checks nothing else in the certificate.
#[cfg(feature = "service")]
pub(crate) fn public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    // validity, subject
    let info = skip(&[SEQUENCE, SEQUENCE], after_issuer(certificate)?)?;
    let rest = skip(&[SEQUENCE], info)?;
    info.get(..info.len() - rest.len())
}

/// The fields of an X.509 certificate after its issuer: the validity and those that follow.
#[cfg(feature = "service")]
pub(crate) fn after_issuer(certificate: &[u8]) -> Option<&[u8]> {
    const VERSION: u8 = 0xa0;
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (fields, _) = expect(SEQUENCE, certificate)?;
    // v1 has no version
    let fields = expect(VERSION, fields).map_or(fields, |(_, rest)| rest);
    // serial number, signature algorithm, issuer
    skip(&[INTEGER, SEQUENCE, SEQUENCE], fields)
}

/// The bytes after elements with these tags.
#[cfg(feature = "service")]
fn skip<'a>(tags: &[u8], der: &'a [u8]) -> Option<&'a [u8]> {
    tags.iter()
        .try_fold(der, |rest, tag| expect(*tag, rest).map(|(_, rest)| rest))
}

/// The contents of the first element and the remaining bytes. `None` if the tag differs.
pub(crate) fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        short @ 0..=0x7f => (short, rest),
        // three bytes of length are enough for every key and certificate
        long => {
            let (length, rest) = rest.split_at_checked(long & 0x7f)?;
            let digits = length
                .iter()
                .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            (Some(digits).filter(|_| length.len() <= 3)?, rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    (*found == tag).then_some((contents, rest))
}
