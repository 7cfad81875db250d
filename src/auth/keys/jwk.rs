//! Imports a JWK as a public key, or returns the reason why we cannot (RFC 7517 §4, RFC 7518 §6,
//! RFC 8037 §2).
//!
//! This replaces the import of `jsonwebtoken`, which ignores `alg`, `use`, `key_ops` and `crv`,
//! accepts `oct` keys for HMAC, does not check lengths, and rebuilds the key for each token. Here,
//! each key is parsed once, and implements `jsonwebtoken`'s [`Verifier`]. We also don't enable any
//! backend of `jsonwebtoken`, which will panic if two crates in a build enable different ones.

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
use crate::auth::keys::left_out::{Quoted, Reason};

/// A JWK. Null members count as absent.
struct Jwk<'a>(&'a Map<String, Value>);

impl<'a> Jwk<'a> {
    fn get(&self, member: &str) -> Option<&'a Value> {
        self.0.get(member).filter(|value| !value.is_null())
    }
}

type Imported = (Material, Vec<(Algorithm, KeyVerifier)>);

/// The key material, and a verifier for each allowed algorithm that the key supports.
pub(crate) fn import(jwk: &Value, allowed: &[Algorithm]) -> Result<Imported, Reason> {
    let jwk = jwk.as_object().ok_or(Reason::NotAnObject)?;
    let jwk = &Jwk(jwk);
    no_private_members(jwk)?;
    kid_is_text(jwk)?;
    for_signatures(jwk)?;
    let key = Material::read(jwk)?;
    let own = own_algorithm(jwk, &key)?;
    let algorithms = key.algorithms();
    let is_wanted = |algorithm: &&Algorithm| {
        allowed.contains(algorithm) && own.is_none_or(|own| own == **algorithm)
    };
    let mut verifiers = Vec::new();
    for algorithm in algorithms.iter().filter(is_wanted) {
        verifiers.push((*algorithm, key.parse(*algorithm)?));
    }
    // Parse the key even if none of its algorithms is allowed: we still want to reject an invalid
    // one.
    if let (true, Some(algorithm)) = (verifiers.is_empty(), algorithms.first()) {
        key.parse(*algorithm)?;
    }
    Ok((key, verifiers))
}

/// A private key in a public key set is compromised, so this rejects it.
///
/// An empty `oth` contains no primes. It should pass, since .NET writes it into public keys.
fn no_private_members(jwk: &Jwk<'_>) -> Result<(), Reason> {
    const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
    let is_private = |member: &&&'static str| match (**member, jwk.get(member)) {
        (_, None) => false,
        ("oth", Some(Value::Array(primes))) => !primes.is_empty(),
        (_, Some(_)) => true,
    };
    match PRIVATE.iter().find(is_private) {
        Some(member) => Err(Reason::Private(member)),
        None => Ok(()),
    }
}

/// The maximum length of a `kid` in bytes. We keep it in memory and log it.
const MAX_KID: usize = 1024;

/// `None` if the `kid` is absent or too long
pub(crate) fn kid(jwk: &Value) -> Option<&str> {
    let kid = jwk.get("kid").and_then(Value::as_str);
    kid.filter(|kid| kid.len() <= MAX_KID)
}

fn kid_is_text(jwk: &Jwk<'_>) -> Result<(), Reason> {
    match jwk.get("kid") {
        Some(Value::String(kid)) if kid.len() > MAX_KID => Err(Reason::KidTooLong),
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(Reason::KidNotText),
    }
}

/// Checks that `use` and `key_ops`, if present, allow signatures (RFC 7517 §4.2 and §4.3).
fn for_signatures(jwk: &Jwk<'_>) -> Result<(), Reason> {
    if let Some(usage) = jwk.get("use").filter(|usage| *usage != "sig") {
        return Err(Reason::Use(Quoted::new(usage)));
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => Ok(()),
        Some(_) => Err(Reason::KeyOps),
    }
}

/// The key's `alg`, if it has one. The key must not be used with any other algorithm (RFC 8725
/// §3.1).
fn own_algorithm(jwk: &Jwk<'_>, key: &Material) -> Result<Option<Algorithm>, Reason> {
    let Some(alg) = jwk.get("alg") else {
        return Ok(None);
    };
    let Value::String(name) = alg else {
        return Err(Reason::AlgNotText);
    };
    let algorithm = name.parse().map_err(|_| Reason::Alg(Quoted::new(alg)))?;
    if !key.algorithms().contains(&algorithm) {
        let alg = Quoted::new(alg);
        let (member, value) = key.kind();
        return Err(Reason::AlgMismatch { alg, member, value });
    }
    Ok(Some(algorithm))
}

/// The validated numbers of a public key. The same key always has equal material, whatever its
/// `kid`.
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
    /// An ML-DSA key. The algorithm is part of the key.
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

#[cfg(test)]
thread_local! {
    static PARSED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

impl Material {
    fn read(jwk: &Jwk<'_>) -> Result<Self, Reason> {
        let (kty, crv) = (jwk.get("kty"), jwk.get("crv"));
        match (kty.and_then(Value::as_str), crv.and_then(Value::as_str)) {
            (Some("RSA"), _) if is_certificate_only(jwk) => Err(Reason::CertificateOnly),
            (Some("RSA"), _) => rsa(number(jwk, "n")?, number(jwk, "e")?),
            (Some("EC"), Some("P-256")) => Ok(Self::P256(point(jwk, 32)?)),
            (Some("EC"), Some("P-384")) => Ok(Self::P384(point(jwk, 48)?)),
            (Some("EC"), Some("P-521")) => Ok(Self::P521(point(jwk, 66)?)),
            (Some("OKP"), Some("Ed25519")) => ed25519(bytes(jwk, "x")?),
            #[cfg(feature = "pq")]
            (Some("AKP"), _) => ml_dsa(jwk),
            (Some("EC" | "OKP"), _) => {
                Err(crv.map_or(Reason::NoCrv, |crv| Reason::Crv(Quoted::new(crv))))
            }
            _ => Err(kty.map_or(Reason::NoKty, |kty| Reason::Kty(Quoted::new(kty)))),
        }
    }

    /// The name and value of the member that determines the key's algorithms.
    fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Rsa { .. } => ("`kty`", "`RSA`"),
            Self::P256(_) => ("`crv`", "`P-256`"),
            Self::P384(_) => ("`crv`", "`P-384`"),
            Self::P521(_) => ("`crv`", "`P-521`"),
            Self::Ed25519(_) => ("`crv`", "`Ed25519`"),
            #[cfg(feature = "pq")]
            Self::MlDsa(..) => ("`kty`", "`AKP`"),
        }
    }

    pub(in crate::auth) fn algorithms(&self) -> &'static [Algorithm] {
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

    /// The `alg` in the JWK, or the most common algorithm for this type of key.
    pub(in crate::auth::keys) fn algorithm_of(&self, jwk: &Value) -> Algorithm {
        let own = jwk.get("alg").and_then(Value::as_str);
        let own = own.and_then(|name| name.parse().ok());
        own.unwrap_or(self.algorithms()[0])
    }

    fn parse(&self, algorithm: Algorithm) -> Result<KeyVerifier, Reason> {
        #[cfg(test)]
        PARSED.set(PARSED.get() + 1);
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
        let parsed = parsed.map_err(|_| Reason::NoPublicKey)?;
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

fn rsa_parameters(algorithm: Algorithm) -> Result<RsaAlgorithm, Reason> {
    match algorithm {
        Algorithm::RS256 => Ok((&aws::RSA_PKCS1_2048_8192_SHA256, &SHA256)),
        Algorithm::RS384 => Ok((&aws::RSA_PKCS1_2048_8192_SHA384, &SHA384)),
        Algorithm::RS512 => Ok((&aws::RSA_PKCS1_2048_8192_SHA512, &SHA512)),
        Algorithm::PS256 => Ok((&aws::RSA_PSS_2048_8192_SHA256, &SHA256)),
        Algorithm::PS384 => Ok((&aws::RSA_PSS_2048_8192_SHA384, &SHA384)),
        Algorithm::PS512 => Ok((&aws::RSA_PSS_2048_8192_SHA512, &SHA512)),
        // unreachable: `Material::algorithms` has no other algorithm for RSA
        _ => Err(Reason::NoPublicKey),
    }
}

/// Accepts 2048 to 8192 bits and an odd exponent from 3 to 2^33 - 1. `aws-lc-rs` has the same
/// limits but only checks them during verification, so without this check a key outside of them
/// would be imported just fine, and would then reject every token.
fn rsa(n: Vec<u8>, e: Vec<u8>) -> Result<Material, Reason> {
    if !(2048..=8192).contains(&bits(&n)) {
        return Err(Reason::Bits(bits(&n)));
    }
    if !is_odd(&n) {
        return Err(Reason::EvenModulus);
    }
    let value = e
        .iter()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    if bits(&e) > 33 || value < 3 || !is_odd(&e) {
        return Err(Reason::Exponent);
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

/// An uncompressed point (SEC 1 §2.3.3). The coordinates must have the full length of the field
/// (RFC 7518 §6.2.1.2).
fn point(jwk: &Jwk<'_>, length: usize) -> Result<Vec<u8>, Reason> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    check_length("x", &x, length)?;
    check_length("y", &y, length)?;
    Ok([&[0x04][..], &x, &y].concat())
}

fn check_length(member: &'static str, coordinate: &[u8], wanted: usize) -> Result<(), Reason> {
    let bytes = coordinate.len();
    if bytes == wanted {
        return Ok(());
    }
    Err(Reason::Length {
        member,
        bytes,
        wanted,
    })
}

/// Parses an ML-DSA key, whose `alg` is required (RFC 9964 §3).
#[cfg(feature = "pq")]
fn ml_dsa(jwk: &Jwk<'_>) -> Result<Material, Reason> {
    let alg = jwk.get("alg").ok_or(Reason::NoAlg)?;
    let mut sizes = ML_DSA.iter();
    let size = sizes.find(|size| alg == size.algorithm[0].as_str());
    let size = size.ok_or_else(|| Reason::Alg(Quoted::new(alg)))?;
    let key = bytes(jwk, "pub")?;
    check_length("pub", &key, size.public_key)?;
    Ok(Material::MlDsa(size, key))
}

/// Accepts a point of the right length that does not have small order. We do not check that the
/// point is on the curve. `aws-lc-rs` will do that during verification, and reject the token. Doing
/// this arithmetic ourselves would be riskier than holding a key that verifies nothing.
fn ed25519(point: Vec<u8>) -> Result<Material, Reason> {
    check_length("x", &point, 32)?;
    if is_small_order(&point) {
        return Err(Reason::SmallOrder);
    }
    Ok(Material::Ed25519(point))
}

/// Does `point` have order 1, 2, 4 or 8, in any encoding and with either sign bit? With such a key,
/// one signature is valid for many messages. RFC 8032 §8.9 leaves this check to the caller.
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
    // 0 and 1, and p - 1, p and p + 1, where p = 2^255 - 19
    let low = y[1..].iter().all(|byte| *byte == 0) && y[0] <= 1;
    let high =
        y[31] == 0x7f && y[1..31].iter().all(|byte| *byte == 0xff) && (0xec..=0xee).contains(&y[0]);
    low || high || y == ORDER_8_A || y == ORDER_8_B
}

/// Parses a positive big-endian number. We drop leading zeros. They shouldn't be there, but some
/// issuers write them although RFC 7518 §6.3.1.1 forbids them.
fn number(jwk: &Jwk<'_>, member: &'static str) -> Result<Vec<u8>, Reason> {
    let bytes = bytes(jwk, member)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

/// Decodes base64url without padding (RFC 7515 §2). Padding and the standard alphabet are rejected
/// with their own reasons. If we let them pass, one key could be written in two ways.
fn bytes(jwk: &Jwk<'_>, member: &'static str) -> Result<Vec<u8>, Reason> {
    let text = match jwk.get(member) {
        None => return Err(Reason::Missing(member)),
        Some(Value::String(text)) => text,
        Some(_) => return Err(Reason::NotText(member)),
    };
    URL_SAFE_NO_PAD.decode(text).map_err(|_| {
        if text.contains(['+', '/']) {
            Reason::StandardAlphabet(member)
        } else if text.ends_with('=') {
            Reason::Padded(member)
        } else {
            Reason::NotBase64(member)
        }
    })
}

/// An RSA key with nothing but a certificate, which we do not support.
fn is_certificate_only(jwk: &Jwk<'_>) -> bool {
    let has_chain = |chain: &Value| chain.as_array().is_none_or(|chain| !chain.is_empty());
    jwk.get("n").is_none() && jwk.get("e").is_none() && jwk.get("x5c").is_some_and(has_chain)
}

/// A key of `aws-lc-rs`, parsed for one algorithm, as a [`Verifier`].
pub(crate) struct KeyVerifier(Kind);

enum Kind {
    Public(ParsedPublicKey),
    /// The digest is computed here, which saves 1,800 instructions of context setup per token.
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
    fn ignores_null_members_and_the_empty_arrays_of_dotnet() {
        let good = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let private = |member: &str| Err(format!("the private member `{member}` is present"));
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
            ("kty", json!(null), Err("`kty` is missing".to_owned())),
            ("x", json!(null), Err("`x` is missing".to_owned())),
            ("d", json!(""), private("d")),
            ("d", json!([]), private("d")),
            ("oth", json!([{}]), private("oth")),
            ("oth", json!([null]), private("oth")),
            ("oth", json!({}), private("oth")),
            ("oth", json!(""), private("oth")),
            ("k", json!(false), private("k")),
        ];
        for (member, value, expected) in rows {
            let mut jwk = good.clone();
            jwk[member] = value;
            let outcome = import(&jwk, &[Algorithm::EdDSA]);
            let outcome = outcome.map(|(_, verifiers)| assert_eq!(verifiers.len(), 1, "{jwk}"));
            assert_eq!(
                outcome.map_err(|reason| reason.to_string()),
                expected,
                "{jwk}"
            );
        }
    }

    /// We import the key of a DPoP proof at each request, for only one algorithm.
    #[test]
    fn parses_an_rsa_key_once_per_allowed_algorithm() {
        let n = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let jwk = json!({"kty": "RSA", "n": n, "e": "AQAB"});
        for (allowed, verifiers, parsed) in [
            (&[Algorithm::PS256][..], 1, 1),
            (&[Algorithm::RS256, Algorithm::PS512], 2, 2),
            (&[Algorithm::ES256], 0, 1),
        ] {
            let before = PARSED.get();
            let imported = import(&jwk, allowed).map(|(_, verifiers)| verifiers.len());
            assert_eq!(imported.ok(), Some(verifiers), "{allowed:?}");
            assert_eq!(PARSED.get() - before, parsed, "{allowed:?}");
        }
    }

    /// The reason is logged as a warning, so an operator can report it to the issuer.
    #[test]
    fn reports_why_a_key_was_left_out() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        let q = URL_SAFE_NO_PAD.encode([1; 48]);
        let large = URL_SAFE_NO_PAD.encode([0xff; 1025]);
        let n = URL_SAFE_NO_PAD.encode([0xff; 256]);
        let even = URL_SAFE_NO_PAD.encode([0xfe; 256]);
        #[rustfmt::skip]
        let rows = [
            (json!(null), "not a valid object"),
            (json!({"kty": "oct", "k": "AAAA"}), "the private member `k` is present"),
            (json!({"kty": "RSA", "kid": 1}), "`kid` is not a string"),
            (json!({"kty": "RSA", "kid": "a".repeat(1025)}), "`kid` is longer than 1024 bytes"),
            (json!({"kty": "RSA", "use": "enc"}), "`use` is `enc`, not `sig`"),
            (json!({"kty": "RSA", "use": ["sig"]}), "`use` is `[\"sig\"]`, not `sig`"),
            (json!({"kty": "RSA", "key_ops": ["sign"]}), "`key_ops` lacks `verify`"),
            (json!({"kty": "AKP\u{202e}"}), "`kty` is `AKP\\u{202e}`, which is not supported"),
            (json!({}), "`kty` is missing"),
            #[cfg(feature = "pq")]
            (json!({"kty": "AKP"}), "`alg` is missing"),
            #[cfg(feature = "pq")]
            (json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}), "`pub` has 1 bytes, not 1312"),
            (json!({"kty": "AKP", "alg": "ML-DSA-44", "priv": "AA"}), "the private member `priv` is present"),
            (json!({"kty": "EC", "crv": "secp256k1"}), "`crv` is `secp256k1`, which is not supported"),
            (json!({"kty": "EC"}), "`crv` is missing"),
            (json!({"kty": "RSA", "n": n}), "`e` is missing"),
            (json!({"kty": "RSA", "n": 5, "e": "AQAB"}), "`n` is not a string"),
            (json!({"kty": "RSA", "n": format!("{n}="), "e": "AQAB"}), "`n` ends in `=`"),
            (json!({"kty": "RSA", "n": n.replace('_', "/"), "e": "AQAB"}), "`n` has `+` or `/`, which are standard base64 and not base64url"),
            (json!({"kty": "RSA", "n": format!("{n} "), "e": "AQAB"}), "`n` is not base64url"),
            (json!({"kty": "RSA", "x5c": ["AAAA"]}), "`x5c` without `n` and `e`"),
            (json!({"kty": "RSA", "x5c": []}), "`n` is missing"),
            (json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}), "`n` has 17 bits, not 2048 to 8192"),
            (json!({"kty": "RSA", "n": large, "e": "AQAB"}), "`n` has 8200 bits, not 2048 to 8192"),
            (json!({"kty": "RSA", "n": even, "e": "AQAB"}), "`n` is even"),
            (json!({"kty": "RSA", "n": n, "e": "AQ"}), "`e` is not an odd number from 3 to 2^33 - 1"),
            (json!({"kty": "EC", "crv": "P-256", "x": x, "y": "AA"}), "`y` has 1 bytes, not 32"),
            (json!({"kty": "EC", "crv": "P-256", "x": x, "y": x}), "the key parameters are not a valid public key"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}), "`x` has 1 bytes, not 32"),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([0; 32])}), "`x` is a point of small order"),
            (json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": 5}), "`alg` is not a string"),
            (json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RSA-OAEP"}), "`alg` is `RSA-OAEP`, which is not supported"),
            (json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "ES256"}), "`alg` is `ES256`, which does not fit a key whose `kty` is `RSA`"),
            (json!({"kty": "EC", "crv": "P-384", "x": q, "y": q, "alg": "ES256"}), "`alg` is `ES256`, which does not fit a key whose `crv` is `P-384`"),
        ];
        for (jwk, reason) in rows {
            let outcome = import(&jwk, &[Algorithm::RS256]).map(|_| ());
            assert_eq!(outcome.unwrap_err().to_string(), reason, "{jwk}");
        }
    }
}
