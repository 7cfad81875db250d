//! Reads public keys from a file: a JWK set, one JWK, an array of JWKs, or PEM.
//!
//! PEM is converted to JWKs, so the same checks apply to all keys. Fetched key sets must be JWK
//! sets and don't go through this module.

use std::borrow::Cow;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::auth::{
    keys::{
        der::{BIT_STRING, INTEGER, OID, SEQUENCE, expect},
        document,
        left_out::Reason,
    },
    token::json,
};

pub(in crate::auth) enum KeyFile<'a> {
    /// A JWK set, to be parsed like a fetched one.
    Set(Cow<'a, str>),
    /// The blocks of a PEM file, each as a JWK.
    Pem(Vec<Result<Value, Reason>>),
}

/// Reads a key file.
///
/// # Errors
/// Returns a description of the file if its format is not supported, or `None` if the format is
/// unknown.
pub(in crate::auth) fn read(file: &[u8]) -> Result<KeyFile<'_>, Option<&'static str>> {
    let text = document::text(file).ok_or(None)?;
    let blocks = pem_blocks(text);
    if !blocks.is_empty() {
        return Ok(KeyFile::Pem(blocks.iter().map(jwk_of).collect()));
    }
    if json::array(text, 0).is_ok() {
        return Ok(KeyFile::Set(Cow::Owned(format!(r#"{{"keys":{text}}}"#))));
    }
    let members = json::object(text).map_err(|_| other_format(text))?;
    let has = |wanted: &str| members.iter().any(|(name, _)| name == wanted);
    if !has("keys") && has("kty") {
        return Ok(KeyFile::Set(Cow::Owned(format!(r#"{{"keys":[{text}]}}"#))));
    }
    Ok(KeyFile::Set(Cow::Borrowed(text)))
}

/// Names the format of a file that isn't a key file, if we know it
fn other_format(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    Some(if text.is_empty() {
        "empty"
    } else if begins(&["<"]) {
        "HTML or XML"
    } else if text.contains("-----BEGIN ") && text.contains("\\n") {
        "PEM with \\n instead of line breaks (printf '%b' converts them)"
    } else if text.contains("-----BEGIN ") {
        "PEM in one line, but each marker needs a separate line"
    } else if begins(&["ssh-", "ecdsa-sha2-"]) {
        "a public key for SSH (ssh-keygen -e -m PKCS8 -f FILE prints it as PEM)"
    } else if begins(&["{"]) {
        document::form(text.as_bytes(), "a JSON object")
    } else {
        return None;
    })
}

/// A block of a PEM file (RFC 7468 §2)
struct Block<'a> {
    label: &'a str,
    /// `None` if the contents aren't base64, or the end marker is missing
    der: Option<Vec<u8>>,
}

/// The blocks of a PEM file. We ignore text outside of them.
fn pem_blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let label = line.strip_prefix("-----BEGIN ");
        // if all of the PEM is in one line, the line contains both markers
        let label = label.and_then(|label| label.strip_suffix("-----"));
        let Some(label) = label.filter(|label| !label.contains("-----")) else {
            continue;
        };
        let (mut contents, mut end) = (String::new(), None);
        for line in lines.by_ref() {
            if line.starts_with("-----") {
                end = line.strip_prefix("-----END ");
                break;
            }
            contents += line;
        }
        let end = end.and_then(|end| end.strip_suffix("-----"));
        let is_whole = end == Some(label);
        let der = STANDARD.decode(&contents).ok().filter(|_| is_whole);
        blocks.push(Block { label, der });
    }
    blocks
}

fn jwk_of(block: &Block<'_>) -> Result<Value, Reason> {
    let der = block.der.as_deref().ok_or(Reason::Pem);
    match block.label {
        "PUBLIC KEY" => public_key(der?),
        "RSA PUBLIC KEY" => rsa(der?).ok_or(Reason::Pem),
        "CERTIFICATE" => Err(Reason::Certificate),
        label if label.ends_with("PRIVATE KEY") => Err(Reason::PrivatePem),
        _ => Err(Reason::Pem),
    }
}

/// Parses a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7)
fn public_key(der: &[u8]) -> Result<Value, Reason> {
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let (algorithm, parameters, key) = split_public_key(der).ok_or(Reason::Pem)?;
    match algorithm {
        RSA => rsa(key).ok_or(Reason::Pem),
        EC => ec(parameters, key),
        ED25519 => Ok(json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(key)})),
        _ => Err(Reason::PemAlgorithm),
    }
}

fn split_public_key(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (info, rest) = expect(SEQUENCE, der)?;
    let (algorithm, key) = expect(SEQUENCE, info)?;
    let (algorithm, parameters) = expect(OID, algorithm)?;
    let (key, after) = expect(BIT_STRING, key)?;
    // the first byte is the number of unused bits in the last byte
    let key = key.strip_prefix(&[0])?;
    (rest.is_empty() && after.is_empty()).then_some((algorithm, parameters, key))
}

/// Parses an `RSAPublicKey` (RFC 8017 §A.1.1)
fn rsa(der: &[u8]) -> Option<Value> {
    let (key, _) = expect(SEQUENCE, der)?;
    let (n, rest) = expect(INTEGER, key)?;
    let (e, _) = expect(INTEGER, rest)?;
    Some(json!({"kty": "RSA", "n": base64url(n), "e": base64url(e)}))
}

/// Parses a point on a named curve (RFC 5480 §2)
fn ec(parameters: &[u8], point: &[u8]) -> Result<Value, Reason> {
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
    let (curve, _) = expect(OID, parameters).ok_or(Reason::PemAlgorithm)?;
    let curve = match curve {
        P256 => "P-256",
        P384 => "P-384",
        P521 => "P-521",
        _ => return Err(Reason::PemAlgorithm),
    };
    // only uncompressed points begin with 4 (SEC 1 §2.3.3)
    let coordinates = point.strip_prefix(&[4]).ok_or(Reason::CompressedPoint)?;
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    Ok(json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)}))
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData};

    use super::*;

    fn jwks(file: &str) -> Vec<Result<Value, Reason>> {
        match read(file.as_bytes()) {
            Ok(KeyFile::Pem(blocks)) => blocks,
            _ => panic!("not PEM: {file}"),
        }
    }

    fn set(file: &str) -> Option<String> {
        match read(file.as_bytes()).ok()? {
            KeyFile::Set(set) => Some(set.into_owned()),
            KeyFile::Pem(_) => panic!("PEM: {file}"),
        }
    }

    #[test]
    fn reads_every_json_form_as_a_key_set() {
        let wrapped = |text: &str| Some(text.to_owned());
        #[rustfmt::skip]
        let rows = [
            ("a set", r#"{"keys":[]}"#, wrapped(r#"{"keys":[]}"#)),
            ("a set with a byte order mark", "\u{feff}{\"keys\":[]}", wrapped(r#"{"keys":[]}"#)),
            ("a set with kty", r#"{"kty":"RSA","keys":[]}"#, wrapped(r#"{"kty":"RSA","keys":[]}"#)),
            ("one key", r#"{"kty":"RSA"}"#, wrapped(r#"{"keys":[{"kty":"RSA"}]}"#)),
            ("an array", r#" [{"kty":"RSA"},1] "#, wrapped(r#"{"keys": [{"kty":"RSA"},1] }"#)),
            ("an object of another kind", "{}", wrapped("{}")),
            ("two members of one name", r#"{"kty":"RSA","kty":"EC"}"#, None),
            ("a string", r#""keys""#, None),
            ("text", "ssh-ed25519 AAAA", None),
            ("empty", "", None),
        ];
        for (case, file, expected) in rows {
            assert_eq!(set(file), expected, "{case}");
        }
    }

    #[test]
    fn names_the_format_of_another_file() {
        let one_line = "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----";
        #[rustfmt::skip]
        let rows = [
            ("empty", " \n", "empty"),
            ("HTML", "<!DOCTYPE html><html>", "HTML or XML"),
            ("PEM from a variable", one_line, "line breaks"),
            ("PEM in one line", "-----BEGIN PUBLIC KEY----- AAAA -----END PUBLIC KEY-----x", "in one line"),
            ("SSH", "ssh-rsa AAAA me@here", "ssh-keygen -e -m PKCS8"),
            ("a member twice", r#"{"keys":[],"keys":[]}"#, "a JSON object with a member twice"),
            ("text", "Not found", "unknown"),
        ];
        for (case, file, words) in rows {
            let told = read(file.as_bytes()).err().unwrap().unwrap_or("unknown");
            assert!(told.contains(words), "{case}: {told}");
        }
    }

    #[test]
    fn converts_pem_public_keys_to_jwks() {
        for (algorithm, kty, crv) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, "EC", Some("P-256")),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "EC", Some("P-384")),
            (&rcgen::PKCS_ED25519, "OKP", Some("Ed25519")),
            (&rcgen::PKCS_RSA_SHA256, "RSA", None),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let pem = key.public_key_pem();
            let found = jwks(&format!("made today\n{pem}\r\n{pem}"));
            let [Ok(one), Ok(two)] = &found[..] else {
                panic!("{found:?}");
            };
            assert_eq!(one, two);
            assert_eq!(one["kty"], kty);
            assert_eq!(one.get("crv").and_then(Value::as_str), crv);
            let raw = key.der_bytes();
            let x = one.get("x").or(one.get("n")).unwrap().as_str().unwrap();
            let x = URL_SAFE_NO_PAD.decode(x).unwrap();
            assert!(raw.windows(x.len()).any(|part| part == x), "{kty}");
        }
    }

    #[test]
    fn reports_why_a_pem_block_was_left_out() {
        let block = |label: &str, der: &[u8]| {
            let contents = STANDARD.encode(der);
            format!("-----BEGIN {label}-----\n{contents}\n-----END {label}-----\n")
        };
        let compressed = [
            &[0x30, 57, 0x30, 19, OID, 7][..],
            &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, OID, 8],
            &[
                0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, BIT_STRING, 34, 0, 2,
            ],
            &[7; 32],
        ]
        .concat();
        #[rustfmt::skip]
        let rows = [
            ("a certificate", block("CERTIFICATE", b"x"), Reason::Certificate),
            ("a private key", block("PRIVATE KEY", b"x"), Reason::PrivatePem),
            ("an old private key", block("RSA PRIVATE KEY", b"x"), Reason::PrivatePem),
            ("another kind", block("X509 CRL", b"x"), Reason::Pem),
            ("not DER", block("PUBLIC KEY", b"x"), Reason::Pem),
            ("X25519", block("PUBLIC KEY", &[0x30, 10, 0x30, 5, OID, 3, 0x2b, 0x65, 0x6e, BIT_STRING, 1, 0]), Reason::PemAlgorithm),
            ("a compressed point", block("PUBLIC KEY", &compressed), Reason::CompressedPoint),
            ("not base64", "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----".to_owned(), Reason::Pem),
            ("no end", "-----BEGIN PUBLIC KEY-----\nAAAA\n".to_owned(), Reason::Pem),
            ("the end of another", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END CERTIFICATE-----".to_owned(), Reason::Pem),
        ];
        for (case, file, expected) in rows {
            assert_eq!(jwks(&file), [Err(expected)], "{case}");
        }
    }
}
