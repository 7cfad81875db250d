//! The caller chooses `alg`, but the operator chooses which algorithms are allowed (RFC 8725 §2.1,
//! §3.1).

use serde_json::Value;
use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::{
    attacks::Target,
    support::text::{base64url, bytes_of, quoted, with_signature},
};

#[tokio::test]
async fn rejects_unsigned_tokens_in_every_spelling_of_none() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let spellings = [
        ("none",                        r#""none""#),
        ("None",                        r#""None""#),
        ("NONE",                        r#""NONE""#),
        ("nOnE",                        r#""nOnE""#),
        ("nonE",                        r#""nonE""#),
        ("NoNe",                        r#""NoNe""#),
        ("a space after none",          r#""none ""#),
        ("a space before none",         r#"" none""#),
        ("a tab before none",           r#""\tnone""#),
        ("a line feed after none",      r#""none\n""#),
        ("a NUL after none",            r#""none\u0000""#),
        ("an escaped letter",           r#""\u006eone""#),
        ("fully escaped",               r#""\u006e\u006f\u006e\u0065""#),
        ("a Cyrillic o",                r#""n\u043ene""#),
        ("full width",                  r#""\uff4e\uff4f\uff4e\uff45""#),
        ("a zero width joiner",         r#""no\u200dne""#),
        ("a soft hyphen",               r#""no\u00adne""#),
        ("null",                        "null"),
        ("false",                       "false"),
        ("0",                           "0"),
        ("an empty string",             r#""""#),
        ("a space",                     r#"" ""#),
        ("an array of none",            r#"["none"]"#),
        ("an array of both",            r#"["none","RS256"]"#),
        ("an object",                   r#"{"alg":"none"}"#),
    ];
    for (case, alg) in spellings {
        let header = target.header().with("alg", alg);
        let signed = target.sign(&header, &target.claims());
        let unsigned = with_signature(&signed, "");
        target
            .refuses(case, &unsigned, "algorithm_not_allowed")
            .await;
        target.refuses(case, &signed, "algorithm_not_allowed").await;
    }
}

#[tokio::test]
async fn rejects_misspelt_algorithms() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let names = [
        ("lower case",                   r#""rs256""#),
        ("mixed case",                   r#""Rs256""#),
        ("a space after the name",       r#""RS256 ""#),
        ("a space before the name",      r#"" RS256""#),
        ("a NUL after the name",         r#""RS256\u0000""#),
        ("a line feed after the name",   r#""RS256\n""#),
        ("two in one",                   r#""RS256,HS256""#),
        ("an array",                     r#"["RS256"]"#),
        ("an object",                    r#"{"RS256":true}"#),
        ("a number",                     "256"),
        ("true",                         "true"),
        ("its URI",                      r#""http://www.w3.org/2001/04/xmldsig-more#rsa-sha256""#),
        ("its OID",                      r#""1.2.840.113549.1.1.11""#),
        ("its name in Java",             r#""SHA256withRSA""#),
        ("SHA-1",                        r#""RS1""#),
        ("an HMAC that is not allowed",  r#""HS512""#),
        ("on another curve",             r#""ES512""#),
        ("on Bitcoin's curve",           r#""ES256K""#),
        ("fully specified",              r#""Ed25519""#),
        ("of encryption",                r#""RSA-OAEP""#),
        ("of direct encryption",         r#""dir""#),
        ("of a password",                r#""PBES2-HS256+A128KW""#),
        ("a format string",              r#""%s%n""#),
        ("very long",                    &quoted("RS256".repeat(1000))),
    ];
    for (case, alg) in names {
        let header = target.header().with("alg", alg);
        let token = target.sign(&header, &target.claims());
        target.refuses(case, &token, "algorithm_not_allowed").await;
    }
    let absent = target.sign(&target.header().without("alg"), &target.claims());
    target
        .refuses("absent", &absent, "algorithm_not_allowed")
        .await;
}

#[tokio::test]
async fn rejects_valid_signatures_by_disallowed_algorithms() {
    use Algorithm::{PS256, PS384, PS512, RS384, RS512};
    let mut target = Target::start().await;
    for algorithm in [RS384, RS512, PS256, PS384, PS512] {
        let token = target.issuer.token().algorithm(algorithm).sign();
        let case = format!("{algorithm:?}");
        target.refuses(&case, &token, "algorithm_not_allowed").await;
    }
    for algorithm in [
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::EdDSA,
    ] {
        let key = SigningKey::generate(algorithm);
        let token = target.issuer.token().key(&key).sign();
        let case = format!("{algorithm:?}");
        target.refuses(&case, &token, "algorithm_not_allowed").await;
    }
}

/// Everyone has the public key, so if we used it as an HMAC secret, everyone could sign (RFC 8725
/// §2.1).
#[tokio::test]
async fn rejects_hmac_with_the_public_key() {
    let issuer = Issuer::start().await;
    let alone = Target::with(issuer.clone(), |auth| auth).await;
    let beside_a_secret = Target::with(issuer, |auth| {
        auth.algorithms([Algorithm::RS256, Algorithm::HS256])
            .signing_secret(*b"a secret that nobody else can know")
    })
    .await;
    for (mut target, code) in [
        (alone, "algorithm_not_allowed"),
        (beside_a_secret, "bad_signature"),
    ] {
        for (case, secret) in forms(&target.issuer.key().public_jwk()) {
            let forged = SigningKey::from_secret(secret);
            let kid = target.issuer.key().kid().to_owned();
            for (case, token) in [
                (case, target.issuer.token().key(&forged)),
                (case, target.issuer.token().key(&forged).kid(&kid)),
            ] {
                target.refuses(case, &token.sign(), code).await;
            }
        }
        target.accepts("and the key is good", &target.good()).await;
    }
}

#[tokio::test]
async fn rejects_hmac_with_a_weak_secret() {
    let issuer = Issuer::start().await;
    let mut target = Target::with(issuer, |auth| {
        auth.algorithms([Algorithm::HS256])
            .signing_secret(*b"a secret that nobody else can know")
    })
    .await;
    #[rustfmt::skip]
    let secrets = [
        ("nothing",                 &b""[..]),
        ("a NUL",                   b"\0"),
        ("the word",                b"secret"),
        ("a part of the right one", b"a secret that nobody else can kno"),
        ("and a line feed",         b"a secret that nobody else can know\n"),
        ("in upper case",           b"A SECRET THAT NOBODY ELSE CAN KNOW"),
    ];
    for (case, secret) in secrets {
        let key = SigningKey::from_secret(secret);
        let token = target.issuer.token().key(&key).sign();
        target.refuses(case, &token, "bad_signature").await;
    }
    let rsa = target.good();
    target
        .refuses("by the public key", &rsa, "algorithm_not_allowed")
        .await;
}

/// The forms in which an implementation may hold the public key, any of which it could use as a
/// secret.
fn forms(jwk: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let text = |name: &str| jwk[name].as_str().unwrap();
    let (n, e) = (bytes_of(text("n")), bytes_of(text("e")));
    let pkcs1 = sequence(&[integer(&n), integer(&e)].concat());
    let rsa_encryption = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    let bits = tlv(0x03, &[&[0][..], &pkcs1].concat());
    let spki = sequence(&[&rsa_encryption[..], &bits].concat());
    let canonical = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text("e"), text("n"));
    let pem = pem("PUBLIC KEY", &spki, "\n");
    vec![
        ("PEM, SPKI", pem.clone().into_bytes()),
        ("PEM, no last line feed", pem.trim_end().into()),
        ("PEM, CRLF", self::pem("PUBLIC KEY", &spki, "\r\n").into()),
        (
            "PEM, PKCS #1",
            self::pem("RSA PUBLIC KEY", &pkcs1, "\n").into(),
        ),
        ("PEM, only its body", base64(&spki).into()),
        ("DER, SPKI", spki),
        ("DER, PKCS #1", pkcs1),
        ("the JWK as published", jwk.to_string().into()),
        ("the JWK, canonical", canonical.into()),
        ("n in base64url", text("n").into()),
        ("n", n),
        ("e", e),
        ("its kid", text("kid").into()),
    ]
}

fn sequence(content: &[u8]) -> Vec<u8> {
    tlv(0x30, content)
}

fn integer(number: &[u8]) -> Vec<u8> {
    let sign = if number[0] & 0x80 == 0 {
        &[][..]
    } else {
        &[0][..]
    };
    tlv(0x02, &[sign, number].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match length {
        [0, short @ 0..0x80] => vec![short],
        [0, short] => vec![0x81, short],
        [high, low] => vec![0x82, high, low],
    };
    [&[tag][..], &length, content].concat()
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

fn pem(label: &str, der: &[u8], end: &str) -> String {
    let body = base64(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| str::from_utf8(line).unwrap())
        .collect();
    let body = lines.join(end);
    format!("-----BEGIN {label}-----{end}{body}{end}-----END {label}-----{end}")
}

/// If our own DER were wrong, the attacks above would prove nothing. The lengths are those of other
/// encoders.
#[test]
fn key_forms_are_well_formed() {
    let jwk =
        serde_json::json!({"kty": "RSA", "n": base64url([0xff; 256]), "e": "AQAB", "kid": "a"});
    let forms = forms(&jwk);
    let lengths: Vec<_> = forms.iter().map(|(_, form)| form.len()).collect();
    // a 2048-bit key has 451 bytes as PEM, 294 as SPKI and 270 as PKCS #1
    assert_eq!(lengths[0], 451);
    assert_eq!((lengths[5], lengths[6]), (294, 270));
}
