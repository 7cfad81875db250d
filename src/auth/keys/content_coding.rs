//! Decodes the `Content-Encoding` of a response (RFC 9110 §8.4).
//!
//! We ask for `identity`, but some servers and proxies compress the response anyway. gzip is
//! supported for this reason. Any other coding will be an error.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use reqwest::header::{self, HeaderMap};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum ContentCoding {
    Identity,
    Gzip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::auth) enum Undecodable {
    TooLarge,
    Corrupt,
}

impl ContentCoding {
    /// Parses `Content-Encoding`.
    ///
    /// # Errors
    /// Returns the value if it has a coding other than gzip and `identity`, or gzip more than once.
    pub(in crate::auth) fn of(headers: &HeaderMap) -> Result<Self, String> {
        let fields = headers.get_all(header::CONTENT_ENCODING).iter();
        let fields: Vec<_> = fields
            .map(|field| String::from_utf8_lossy(field.as_bytes()).to_ascii_lowercase())
            .collect();
        let value = fields.join(", ");
        let mut codings = value.split(',').map(str::trim);
        let mut codings = codings
            .by_ref()
            .filter(|coding| !coding.is_empty() && *coding != "identity");
        match (codings.next(), codings.next()) {
            (None, _) => Ok(Self::Identity),
            (Some("gzip" | "x-gzip"), None) => Ok(Self::Gzip),
            _ => Err(value),
        }
    }

    /// Decodes `content` into at most `limit` bytes.
    pub(in crate::auth) fn decode(
        self,
        content: Vec<u8>,
        limit: usize,
    ) -> Result<Vec<u8>, Undecodable> {
        if self == Self::Identity {
            return Ok(content);
        }
        // Stop one byte after the limit: the decoded content may be much larger.
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut decoded = Vec::new();
        MultiGzDecoder::new(&*content)
            .take(most)
            .read_to_end(&mut decoded)
            .map_err(|_| Undecodable::Corrupt)?;
        if decoded.len() > limit {
            return Err(Undecodable::TooLarge);
        }
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const LIMIT: usize = 512 * 1024;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn reads_content_encoding() {
        let coding = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(header::CONTENT_ENCODING, field.parse().unwrap());
            }
            ContentCoding::of(&headers)
        };
        let named = |value: &str| Err(value.to_owned());
        #[rustfmt::skip]
        let rows = [
            ("none", &[][..], Ok(ContentCoding::Identity)),
            ("identity", &["identity"], Ok(ContentCoding::Identity)),
            ("empty", &[""], Ok(ContentCoding::Identity)),
            ("gzip", &["gzip"], Ok(ContentCoding::Gzip)),
            ("in capitals", &["GZIP"], Ok(ContentCoding::Gzip)),
            ("the old name", &["x-gzip"], Ok(ContentCoding::Gzip)),
            ("with identity", &["identity, gzip"], Ok(ContentCoding::Gzip)),
            ("br", &["br"], named("br")),
            ("deflate", &["deflate"], named("deflate")),
            ("twice", &["gzip, gzip"], named("gzip, gzip")),
            ("on two lines", &["gzip", "br"], named("gzip, br")),
        ];
        for (case, fields, expected) in rows {
            assert_eq!(coding(fields), expected, "{case}");
        }
    }

    #[test]
    fn decodes_no_more_than_the_limit() {
        let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
        assert!(bomb.len() < LIMIT, "{}", bomb.len());
        let full = vec![b' '; LIMIT];
        let two = [gzip(b"{"), gzip(b"}")].concat();
        let cut = gzip(b"{\"keys\":[]}");
        #[rustfmt::skip]
        let rows = [
            ("as much as allowed", gzip(&full), Ok(full.clone())),
            ("one byte more", gzip(&[full, vec![b' ']].concat()), Err(Undecodable::TooLarge)),
            ("a bomb", bomb, Err(Undecodable::TooLarge)),
            ("two members", two, Ok(b"{}".to_vec())),
            ("cut off", cut[..cut.len() - 9].to_vec(), Err(Undecodable::Corrupt)),
            ("not gzip", b"{}".to_vec(), Err(Undecodable::Corrupt)),
        ];
        for (case, content, expected) in rows {
            let decoded = ContentCoding::Gzip.decode(content, LIMIT);
            assert!(
                decoded == expected,
                "{case}: {:?}",
                decoded.map(|text| text.len())
            );
        }
        let plain = ContentCoding::Identity.decode(b"{}".to_vec(), LIMIT);
        assert_eq!(plain, Ok(b"{}".to_vec()));
    }
}
