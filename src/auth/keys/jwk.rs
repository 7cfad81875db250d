//! One JWK → a public key, or the reason why not (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
//!
//! `jsonwebtoken`'s own import ignores `alg`, `use`, `key_ops` and `crv`, takes `oct` keys for HMAC
//! and checks no lengths; its verifier rebuilds the key for each token. So the import is ours, and
//! the key is parsed once, behind `jsonwebtoken`'s [`Verifier`]. No backend of `jsonwebtoken` is
//! enabled: two crates that enable different ones make its own functions panic.

use aws_lc_rs::{
    digest::{self, SHA256, SHA384, SHA512},
    hmac,
    signature::{
        self as aws, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
        ED25519, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::signature::{Error, Verifier};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;

/// Why a key is left out, for the log.
pub(crate) type Reason = &'static str;

/// Why a key is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// The key may be valid, and is for a use or an algorithm that is not supported.
    Unsupported(Reason),
    /// The key is invalid. Its issuer may correct it under the same `kid`.
    Invalid(Reason),
}

impl Rejected {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Unsupported(reason) | Self::Invalid(reason) => reason,
        }
    }
}

/// A JWK without its null members, which count as absent.
struct Jwk<'a>(&'a Map<String, Value>);

impl<'a> Jwk<'a> {
    fn get(&self, member: &str) -> Option<&'a Value> {
        self.0.get(member).filter(|value| !value.is_null())
    }
}

type Imported = (Material, Vec<(Algorithm, KeyVerifier)>);

/// Returns the key's material, and a verifier for each allowed algorithm that the key supports.
pub(crate) fn import(jwk: &Value, allowed: &[Algorithm]) -> Result<Imported, Rejected> {
    let jwk = jwk
        .as_object()
        .ok_or(Rejected::Invalid("not an object that can be read"))?;
    let jwk = &Jwk(jwk);
    no_private_members(jwk)?;
    kid_is_text(jwk)?;
    for_signatures(jwk)?;
    let key = Material::read(jwk)?;
    let own = own_algorithm(jwk, &key)?;
    let mut verifiers = Vec::new();
    for algorithm in key.algorithms() {
        let wanted = allowed.contains(algorithm) && own.is_none_or(|own| own == *algorithm);
        // The key is parsed even for an algorithm that is not allowed here: a key that cannot be
        // parsed is rejected in any case.
        let verifier = key.parse(*algorithm)?;
        if wanted {
            verifiers.push((*algorithm, verifier));
        }
    }
    Ok((key, verifiers))
}

/// Rejects a key with private members: a key set is public, so that this key is known to everybody.
///
/// An empty `oth` holds no primes, and .NET writes it into public keys.
fn no_private_members(jwk: &Jwk<'_>) -> Result<(), Rejected> {
    const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
    let has_private = |member: &&str| match (*member, jwk.get(member)) {
        (_, None) => false,
        ("oth", Some(Value::Array(primes))) => !primes.is_empty(),
        (_, Some(_)) => true,
    };
    if PRIVATE.iter().any(has_private) {
        return Err(Rejected::Invalid("it has private members"));
    }
    Ok(())
}

/// How many bytes a `kid` may have. It is kept in memory and written to the log.
const MAX_KID: usize = 1024;

/// Returns the `kid`, if there is one that can be kept.
pub(crate) fn kid(jwk: &Value) -> Option<&str> {
    let kid = jwk.get("kid").and_then(Value::as_str);
    kid.filter(|kid| kid.len() <= MAX_KID)
}

fn kid_is_text(jwk: &Jwk<'_>) -> Result<(), Rejected> {
    match jwk.get("kid") {
        Some(Value::String(kid)) if kid.len() > MAX_KID => {
            Err(Rejected::Invalid("kid is longer than 1024 bytes"))
        }
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(Rejected::Invalid("kid is not a string")),
    }
}

/// Checks that `use` and `key_ops`, if present, allow signatures (RFC 7517 §4.2 and §4.3).
fn for_signatures(jwk: &Jwk<'_>) -> Result<(), Rejected> {
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return Err(Rejected::Unsupported("use is not sig"));
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => Ok(()),
        Some(_) => Err(Rejected::Unsupported("key_ops lacks verify")),
    }
}

/// Returns the key's `alg`, if it has one. The key is then for no other algorithm (RFC 8725 §3.1).
fn own_algorithm(jwk: &Jwk<'_>, key: &Material) -> Result<Option<Algorithm>, Rejected> {
    match jwk.get("alg") {
        None => Ok(None),
        Some(Value::String(name)) => {
            let algorithm = name
                .parse()
                .map_err(|_| Rejected::Unsupported("alg is none that we know"))?;
            if !key.algorithms().contains(&algorithm) {
                return Err(Rejected::Invalid("alg contradicts kty and crv"));
            }
            Ok(Some(algorithm))
        }
        Some(_) => Err(Rejected::Invalid("alg is not a string")),
    }
}

/// A public key as numbers within their limits. Equal keys have equal material, whatever their
/// names are.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
    /// A key of ML-DSA, whose algorithm is part of the key.
    #[cfg(feature = "pq")]
    MlDsa(&'static MlDsa, Vec<u8>),
}

/// One of the three sizes of ML-DSA (FIPS 204, table 2).
#[cfg(feature = "pq")]
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct MlDsa {
    algorithm: [Algorithm; 1],
    public_key: usize,
}

#[cfg(feature = "pq")]
static ML_DSA: [MlDsa; 3] = [
    MlDsa {
        algorithm: [Algorithm::MlDsa44],
        public_key: 1312,
    },
    MlDsa {
        algorithm: [Algorithm::MlDsa65],
        public_key: 1952,
    },
    MlDsa {
        algorithm: [Algorithm::MlDsa87],
        public_key: 2592,
    },
];

impl Material {
    fn read(jwk: &Jwk<'_>) -> Result<Self, Rejected> {
        let kind = jwk.get("kty").and_then(Value::as_str);
        let curve = jwk.get("crv").and_then(Value::as_str);
        match (kind, curve) {
            (Some("RSA"), _) => rsa(number(jwk, "n")?, number(jwk, "e")?),
            (Some("EC"), Some("P-256")) => Ok(Self::P256(point(jwk, 32)?)),
            (Some("EC"), Some("P-384")) => Ok(Self::P384(point(jwk, 48)?)),
            (Some("EC"), Some("P-521")) => Ok(Self::P521(point(jwk, 66)?)),
            (Some("OKP"), Some("Ed25519")) => ed25519(bytes(jwk, "x")?),
            #[cfg(feature = "pq")]
            (Some("AKP"), _) => ml_dsa(jwk),
            (Some("EC" | "OKP"), _) => Err(Rejected::Unsupported("a curve that we do not support")),
            _ => Err(Rejected::Unsupported("a kty that we do not support")),
        }
    }

    fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Rsa { .. } => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Self::P256(_) => &[Algorithm::ES256],
            Self::P384(_) => &[Algorithm::ES384],
            Self::P521(_) => &[Algorithm::ES512],
            Self::Ed25519(_) => &[Algorithm::EdDSA],
            #[cfg(feature = "pq")]
            Self::MlDsa(size, _) => &size.algorithm,
        }
    }

    fn parse(&self, algorithm: Algorithm) -> Result<KeyVerifier, Rejected> {
        let parsed = match self {
            Self::Rsa { n, e } => {
                let (parameters, digest) = rsa_parameters(algorithm)?;
                let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
                key.map(|key| Kind::Rsa(key, digest))
            }
            Self::P256(point) => parse(&ECDSA_P256_SHA256_FIXED, point),
            Self::P384(point) => parse(&ECDSA_P384_SHA384_FIXED, point),
            Self::P521(point) => parse(&ECDSA_P521_SHA512_FIXED, point),
            Self::Ed25519(point) => parse(&ED25519, point),
            #[cfg(feature = "pq")]
            Self::MlDsa(_, key) => match algorithm {
                Algorithm::MlDsa44 => parse(&aws::ML_DSA_44, key),
                Algorithm::MlDsa65 => parse(&aws::ML_DSA_65, key),
                _ => parse(&aws::ML_DSA_87, key),
            },
        };
        let parsed = parsed.map_err(|_| Rejected::Invalid("its numbers make no public key"))?;
        Ok(KeyVerifier(parsed))
    }
}

fn parse(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
) -> Result<Kind, aws_lc_rs::error::KeyRejected> {
    ParsedPublicKey::new(algorithm, point).map(Kind::Public)
}

type RsaAlgorithm = (&'static RsaParameters, &'static digest::Algorithm);

fn rsa_parameters(algorithm: Algorithm) -> Result<RsaAlgorithm, Rejected> {
    match algorithm {
        Algorithm::RS256 => Ok((&aws::RSA_PKCS1_2048_8192_SHA256, &SHA256)),
        Algorithm::RS384 => Ok((&aws::RSA_PKCS1_2048_8192_SHA384, &SHA384)),
        Algorithm::RS512 => Ok((&aws::RSA_PKCS1_2048_8192_SHA512, &SHA512)),
        Algorithm::PS256 => Ok((&aws::RSA_PSS_2048_8192_SHA256, &SHA256)),
        Algorithm::PS384 => Ok((&aws::RSA_PSS_2048_8192_SHA384, &SHA384)),
        Algorithm::PS512 => Ok((&aws::RSA_PSS_2048_8192_SHA512, &SHA512)),
        _ => Err(Rejected::Unsupported("not an algorithm of RSA")),
    }
}

/// Accepts 2048 to 8192 bits and an odd exponent from 3 to 2^33 - 1. `aws-lc-rs` has these limits
/// and checks them only when it verifies, so a key beyond them would refuse every token.
fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Material, Rejected> {
    if !(2048..=8192).contains(&bits(&n)) {
        return Err(Rejected::Invalid(
            "a modulus of fewer than 2048 or more than 8192 bits",
        ));
    }
    if !is_odd(&n) {
        return Err(Rejected::Invalid("an even modulus"));
    }
    let value = e
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if bits(&e) > 33 || value < 3 || !is_odd(&e) {
        return Err(Rejected::Invalid(
            "an exponent that is even or not from 3 to 2^33 - 1",
        ));
    }
    Ok(Material::Rsa { n, e })
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| {
        number.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or_default()
    })
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}

/// Returns an uncompressed point (SEC 1 §2.3.3). Its coordinates must have the full length of the
/// field (RFC 7518 §6.2.1.2).
fn point(jwk: &Jwk<'_>, length: usize) -> Result<Vec<u8>, Rejected> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return Err(Rejected::Invalid("coordinates of the wrong length"));
    }
    Ok([&[0x04][..], &x, &y].concat())
}

/// Reads a key of ML-DSA, whose `alg` is required (RFC 9964 §3).
#[cfg(feature = "pq")]
fn ml_dsa(jwk: &Jwk<'_>) -> Result<Material, Rejected> {
    let name = jwk.get("alg").and_then(Value::as_str);
    let name = name.ok_or(Rejected::Invalid("an AKP key without alg"))?;
    let mut sizes = ML_DSA.iter();
    let size = sizes.find(|size| size.algorithm[0].as_str() == name);
    let size = size.ok_or(Rejected::Unsupported("alg is none that we know"))?;
    let key = bytes(jwk, "pub")?;
    if key.len() != size.public_key {
        return Err(Rejected::Invalid("a public key of the wrong length"));
    }
    Ok(Material::MlDsa(size, key))
}

/// Accepts a point of the right length and not of small order. Whether it is on the curve is not
/// checked here: `aws-lc-rs` checks that when it verifies, and refuses the token. Our own
/// arithmetic would be a greater risk than a key that verifies nothing.
fn ed25519(point: Vec<u8>) -> Result<Material, Rejected> {
    if point.len() != 32 {
        return Err(Rejected::Invalid("coordinates of the wrong length"));
    }
    if is_small_order(&point) {
        return Err(Rejected::Invalid("a point of small order"));
    }
    Ok(Material::Ed25519(point))
}

/// Returns whether `point` has order 1, 2, 4 or 8, in any encoding and with either sign bit. Under
/// such a key one signature verifies for many messages (RFC 8032 §8.9 leaves the check to us).
fn is_small_order(point: &[u8]) -> bool {
    const ORDER_8_A: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    const ORDER_8_B: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ];
    let mut y = [0; 32];
    y.copy_from_slice(point);
    y[31] &= 0x7f;
    // 0 and 1, and p - 1, p and p + 1, where p = 2^255 - 19.
    let low = y[1..].iter().all(|byte| *byte == 0) && y[0] <= 1;
    let high =
        y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff) && (0xec..=0xee).contains(&y[0]);
    low || high || y == ORDER_8_A || y == ORDER_8_B
}

/// Reads a positive big-endian number. Drops leading zeros, which RFC 7518 §6.3.1.1 forbids and
/// some issuers write.
fn number(jwk: &Jwk<'_>, member: &str) -> Result<Vec<u8>, Rejected> {
    let bytes = bytes(jwk, member)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

fn bytes(jwk: &Jwk<'_>, member: &str) -> Result<Vec<u8>, Rejected> {
    let text = jwk.get(member).and_then(Value::as_str);
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or(Rejected::Invalid(
            "a number that is absent or not base64url",
        ))
}

/// A key parsed for one algorithm: `jsonwebtoken`'s verifier, over a key of `aws-lc-rs`.
pub(crate) struct KeyVerifier(Kind);

enum Kind {
    Public(ParsedPublicKey),
    /// With a digest that is computed here, which saves 1,800 instructions of context setup per
    /// token.
    Rsa(ParsedPublicKey, &'static digest::Algorithm),
    Secret(Box<hmac::Key>),
}

impl KeyVerifier {
    pub(crate) fn secret(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self(Kind::Secret(Box::new(key)))
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        Verifier::verify(self, message, signature).is_ok()
    }
}

impl Verifier<Vec<u8>> for KeyVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        match &self.0 {
            Kind::Public(key) => key.verify_sig(message, signature),
            Kind::Rsa(key, algorithm) => {
                key.verify_digest_sig(&digest::digest(algorithm, message), signature)
            }
            Kind::Secret(key) => hmac::verify(key, message, signature),
        }
        .map_err(|_| Error::new())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// .NET and Duende servers write `null` members and empty arrays.
    #[test]
    fn a_null_member_and_an_empty_array_count_as_absent() {
        let good = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let private = Err("it has private members");
        #[rustfmt::skip]
        let rows = [
            ("oth", json!([]), Ok(())),
            ("x5c", json!([]), Ok(())),
            ("key_ops", json!(null), Ok(())),
            ("use", json!(null), Ok(())),
            ("alg", json!(null), Ok(())),
            ("kid", json!(null), Ok(())),
            ("d", json!(null), Ok(())),
            ("k", json!(null), Ok(())),
            ("oth", json!(null), Ok(())),
            ("kty", json!(null), Err("a kty that we do not support")),
            ("x", json!(null), Err("a number that is absent or not base64url")),
            ("d", json!(""), private),
            ("d", json!([]), private),
            ("oth", json!([{}]), private),
            ("oth", json!([null]), private),
            ("oth", json!({}), private),
            ("oth", json!(""), private),
            ("k", json!(false), private),
        ];
        for (member, value, expected) in rows {
            let mut jwk = good.clone();
            jwk[member] = value;
            let outcome = import(&jwk, &[Algorithm::EdDSA]);
            let outcome = outcome.map(|(_, verifiers)| assert_eq!(verifiers.len(), 1, "{jwk}"));
            assert_eq!(outcome.map_err(Rejected::reason), expected, "{jwk}");
        }
    }

    /// The log warns with this reason, so that an operator can tell the issuer what to fix.
    #[test]
    fn a_key_that_is_left_out_has_its_reason() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let large = URL_SAFE_NO_PAD.encode([0xff; 1025]);
        let n = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let even = URL_SAFE_NO_PAD.encode([0xfe; 256]);
        #[rustfmt::skip]
        let rows = [
            (json!(null), "not an object that can be read"),
            (json!({"kty": "oct", "k": "AAAA"}), "it has private members"),
            (json!({"kty": "RSA", "kid": 1}), "kid is not a string"),
            (json!({"kty": "RSA", "kid": "a".repeat(1025)}), "kid is longer than 1024 bytes"),
            (json!({"kty": "RSA", "use": "enc"}), "use is not sig"),
            (json!({"kty": "RSA", "key_ops": ["sign"]}), "key_ops lacks verify"),
            #[cfg(not(feature = "pq"))]
            (json!({"kty": "AKP"}), "a kty that we do not support"),
            #[cfg(feature = "pq")]
            (json!({"kty": "AKP"}), "an AKP key without alg"),
            #[cfg(feature = "pq")]
            (json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}), "a public key of the wrong length"),
            (json!({"kty": "AKP", "alg": "ML-DSA-44", "priv": "AA"}), "it has private members"),
            (json!({"kty": "EC", "crv": "secp256k1"}), "a curve that we do not support"),
            (json!({"kty": "RSA", "n": n}), "a number that is absent or not base64url"),
            (json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}), "a modulus of fewer than 2048 or more than 8192 bits"),
            (json!({"kty": "RSA", "n": large, "e": "AQAB"}), "a modulus of fewer than 2048 or more than 8192 bits"),
            (json!({"kty": "RSA", "n": even, "e": "AQAB"}), "an even modulus"),
            (json!({"kty": "RSA", "n": n, "e": "AQ"}), "an exponent that is even or not from 3 to 2^33 - 1"),
            (json!({"kty": "EC", "crv": "P-256", "x": x, "y": "AA"}), "coordinates of the wrong length"),
            (json!({"kty": "EC", "crv": "P-256", "x": x, "y": x}), "its numbers make no public key"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "coordinates of the wrong length"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([0; 32])}), "a point of small order"),
            (json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": 5}), "alg is not a string"),
            (json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RSA-OAEP"}), "alg is none that we know"),
            (json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "ES256"}), "alg contradicts kty and crv"),
            (json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "HS256"}), "alg contradicts kty and crv"),
        ];
        for (jwk, reason) in rows {
            let outcome = import(&jwk, &[Algorithm::RS256]).map(|_| ());
            assert_eq!(outcome.map_err(Rejected::reason), Err(reason), "{jwk}");
        }
    }
}
