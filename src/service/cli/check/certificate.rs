//! Reads the validity of a certificate from its DER (RFC 5280 §4.1.2.5).
//!
//! We do not verify the certificate: the TLS connection has already done that.

use jiff::{civil::DateTime, tz::TimeZone};

use crate::auth::keys::der::{SEQUENCE, after_issuer, expect};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Report certificates that expire sooner. In seconds.
pub(in crate::service) const SOON: f64 = 14.0 * 86400.0;

/// When the validity starts and ends, in seconds since the epoch
pub(in crate::service) fn validity(certificate: &[u8]) -> Option<(f64, f64)> {
    let (validity, _) = expect(SEQUENCE, after_issuer(certificate)?)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some((from, until))
}

fn time(der: &[u8]) -> Option<(f64, &[u8])> {
    let (text, rest, century) = if der.first()? == &UTC_TIME {
        let (text, rest) = expect(UTC_TIME, der)?;
        // Years from 50 belong to the 20th century (RFC 5280 §4.1.2.5.1)
        let century = if text.first()? < &b'5' { "20" } else { "19" };
        (text, rest, century)
    } else {
        let (text, rest) = expect(GENERALIZED_TIME, der)?;
        (text, rest, "")
    };
    let text = format!("{century}{}", str::from_utf8(text).ok()?);
    let date = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let zoned = date.to_zoned(TimeZone::UTC).ok()?;
    // An `f64` represents the seconds of every four-digit year exactly
    #[allow(clippy::cast_precision_loss)]
    let seconds = zoned.timestamp().as_second() as f64;
    Some((seconds, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["tenant.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 3, 1);
        params.not_after = date_time_ymd(until, 3, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn reads_the_validity_of_a_certificate() {
        for (from, until, expected) in [
            (2024, 2026, (1_709_251_200.0, 1_772_323_200.0)),
            (1999, 2049, (920_246_400.0, 2_498_169_600.0)),
            (2024, 2051, (1_709_251_200.0, 2_561_241_600.0)),
        ] {
            assert_eq!(validity(&certificate(from, until)), Some(expected));
        }
    }

    #[test]
    fn returns_none_for_invalid_der() {
        let certificate = certificate(2024, 2026);
        for length in 0..certificate.len() {
            assert_eq!(validity(&certificate[..length]), None, "{length}");
        }
        for (at, _) in certificate.iter().enumerate().take(200) {
            let mut changed = certificate.clone();
            changed[at] ^= 0xff;
            let _ = validity(&changed);
        }
        assert_eq!(validity(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
