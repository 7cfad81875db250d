//! Checks the DPoP proof of a token request (RFC 9449 §5), without sharing code with the verifier.
//!
//! If the issuer and the verifier shared code, a bug in one could hide a bug in the other. There's
//! no check for replay, as the issuer is only for tests.

use std::time::SystemTime;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::issuer::keys::base64url;

/// The maximum difference between `iat` and the current time, in seconds
const WINDOW: u64 = 300;

/// The thumbprint of the key that signed a proof for `POST url`, or `None` if the proof is invalid.
pub(super) fn thumbprint(proof: &str, url: &str) -> Option<String> {
    let (input, signature) = proof.rsplit_once('.')?;
    let (header, claims) = input.split_once('.')?;
    let (header, claims) = (document(header)?, document(claims)?);
    let jwk = &header["jwk"];
    let issued = claims["iat"].as_u64()?;
    let now = SystemTime::UNIX_EPOCH.elapsed().ok()?.as_secs();
    let is_valid = header["typ"] == "dpop+jwt"
        && claims["htm"] == "POST"
        && claims["htu"] == url
        && claims["jti"].as_str().is_some_and(|id| !id.is_empty())
        && now.abs_diff(issued) <= WINDOW
        && jwk.get("d").is_none()
        && is_signed(header["alg"].as_str()?, jwk, input, &decode(signature)?)?;
    is_valid.then(|| thumbprint_of(jwk)).flatten()
}

fn is_signed(alg: &str, jwk: &Value, input: &str, signature: &[u8]) -> Option<bool> {
    let number = |name: &str| decode(jwk[name].as_str()?);
    let point = || Some([vec![4], number("x")?, number("y")?].concat());
    let input = input.as_bytes();
    let verdict = match alg {
        "ES256" => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point()?).verify(input, signature)
        }
        "ES384" => {
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point()?).verify(input, signature)
        }
        "EdDSA" => UnparsedPublicKey::new(&ED25519, number("x")?).verify(input, signature),
        "RS256" | "PS256" => {
            let (n, e) = (number("n")?, number("e")?);
            let padding = if alg == "RS256" {
                &RSA_PKCS1_2048_8192_SHA256
            } else {
                &RSA_PSS_2048_8192_SHA256
            };
            RsaPublicKeyComponents { n, e }.verify(padding, input, signature)
        }
        _ => return None,
    };
    Some(verdict.is_ok())
}

/// Hashes the required members in the order of their names (RFC 7638 §3)
fn thumbprint_of(jwk: &Value) -> Option<String> {
    let members: &[&str] = match jwk["kty"].as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let members = members
        .iter()
        .map(|name| Some(format!("{}:{}", json!(name), jwk.get(name)?)));
    let members: Vec<_> = members.collect::<Option<_>>()?;
    let text = format!("{{{}}}", members.join(","));
    Some(base64url(digest(&SHA256, text.as_bytes())))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the strict parser belongs to the verifier, whose code the issuer does not share"
)]
fn document(part: &str) -> Option<Value> {
    serde_json::from_slice(&decode(part)?).ok()
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{algorithm::Algorithm, issuer::SigningKey};

    #[test]
    fn requires_a_proof_for_the_token_endpoint() {
        const URL: &str = "http://127.0.0.1:1/oauth/token";
        for algorithm in [
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
            Algorithm::RS256,
            Algorithm::PS256,
        ] {
            let key = SigningKey::generate(algorithm);
            let good = || key.proof("POST", URL);
            let found = thumbprint(&good().sign(), URL);
            assert_eq!(found, Some(key.thumbprint()), "{algorithm}");
            for (case, bad) in [
                ("another method", good().claim("htm", "GET")),
                ("another URL", good().claim("htu", "http://127.0.0.1:1/")),
                ("another type", good().header("typ", "JWT")),
                ("no id", good().without("jti")),
                ("old", good().issued_at(-400)),
                ("no key", good().without_header("jwk")),
                ("none", good().header("alg", "none")),
                (
                    "another key",
                    good().header("jwk", SigningKey::generate(algorithm).public_jwk()),
                ),
            ] {
                assert_eq!(thumbprint(&bad.sign(), URL), None, "{algorithm}: {case}");
            }
        }
        assert_eq!(thumbprint("a.b.c", URL), None);
        assert_eq!(thumbprint("", URL), None);
    }
}
