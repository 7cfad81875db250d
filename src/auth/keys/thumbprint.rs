//! The thumbprint of a public key: the SHA-256 of its required members (RFC 7638).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::auth::keys::jwk::Material;

impl Material {
    /// The members are sorted by name, without whitespace (RFC 7638 §3.1). None of the values needs
    /// escapes.
    pub(crate) fn thumbprint(&self) -> [u8; 32] {
        let members = match self {
            Self::Rsa { n, e } => {
                let (n, e) = (base64url(n), base64url(e));
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
            Self::P256(point) => ec("P-256", point),
            Self::P384(point) => ec("P-384", point),
            Self::P521(point) => ec("P-521", point),
            Self::Ed25519(point) => {
                let x = base64url(point);
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
            #[cfg(feature = "pq")]
            Self::MlDsa(_, key) => {
                // RFC 9964 §6: `alg`, `kty` and `pub`
                let (alg, key) = (self.algorithms()[0], base64url(key));
                format!(r#"{{"alg":"{alg}","kty":"AKP","pub":"{key}"}}"#)
            }
        };
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, members.as_bytes()).as_ref());
        thumbprint
    }
}

/// The members of an uncompressed point: 0x04, then x and y of equal length.
fn ec(curve: &str, point: &[u8]) -> String {
    let coordinates = point.get(1..).unwrap_or_default();
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    let (x, y) = (base64url(x), base64url(y));
    format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        algorithm::Algorithm,
        auth::{keys::jwk, token::confirmation::Thumbprint},
    };

    /// The keys and thumbprints of RFC 7638 §3.1, RFC 8037 appendix A.3 and RFC 9449 §6.1.
    #[test]
    fn agrees_with_the_published_thumbprints() {
        let rsa = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        });
        let ed25519 = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let p256 = json!({
            "kty": "EC", "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        });
        for (jwk, expected) in [
            (rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (ed25519, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            (p256, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        ] {
            let Ok((material, _)) = jwk::import(&jwk, Algorithm::ALL) else {
                panic!("not imported: {jwk}");
            };
            let thumbprint = Thumbprint(material.thumbprint());
            assert_eq!(thumbprint.to_string(), expected, "{jwk}");
        }
    }
}
