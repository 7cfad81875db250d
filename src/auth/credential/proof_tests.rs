//! Tests of proofs: each check in `dpop.rs` is made to fail on its own, in several ways, and the
//! examples of RFC 9449 pass.

use std::{
    borrow::Cow,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::algorithm::Algorithm;
use crate::auth::{
    credential::{
        RequestHead,
        dpop::{MAX_PROOF, PROOF, Presented, ProofFault, Proofs, token_hash},
        nonce::Nonces,
        target_uri::PublicUrl,
    },
    error::AuthError,
    store::Store,
    token::confirmation::Thumbprint,
};
use crate::issuer::{ProofBuilder, SigningKey};
#[cfg(feature = "service")]
use crate::{
    auth::{Auth, claims::NoPrivate, dpop::Dpop, revocation::Revocation},
    issuer::Issuer,
};

const URL: &str = "https://api.example.com/v1/messages";
const TOKEN: &str = "a.token.of-somebody";

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(Algorithm::ES256));
static OTHER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(Algorithm::ES256));
static RSA: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(Algorithm::RS256));

fn proofs() -> Proofs {
    Proofs {
        url: PublicUrl::parse("https://api.example.com").unwrap(),
        algorithms: [
            Algorithm::ES256,
            Algorithm::ES384,
            Algorithm::EdDSA,
            Algorithm::PS256,
            Algorithm::RS256,
        ]
        .into(),
        window: Duration::from_secs(300),
        leeway: Duration::from_secs(30),
        nonces: None,
        store: Store::memory(1 << 20),
    }
}

fn thumbprint(key: &SigningKey) -> Thumbprint {
    let bytes = URL_SAFE_NO_PAD.decode(key.thumbprint()).unwrap();
    Thumbprint(bytes.try_into().unwrap())
}

fn proof() -> ProofBuilder {
    KEY.proof("GET", URL).token(TOKEN)
}

/// A GET request for [`URL`] with these fields and [`TOKEN`], which is bound to `bound_to`.
async fn check_fields(
    proofs: &Proofs,
    fields: &[&[u8]],
    bound_to: Thumbprint,
) -> Result<(), ProofFault> {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(PROOF, HeaderValue::from_bytes(field).unwrap());
    }
    let request = RequestHead::new(&Method::GET, "/v1/messages", &headers);
    let presented = Presented {
        request: &request,
        token: TOKEN.as_bytes(),
        bound_to,
    };
    proofs.check(presented, SystemTime::now()).await
}

async fn check(proofs: &Proofs, proof: &str) -> Result<(), ProofFault> {
    check_fields(proofs, &[proof.as_bytes()], thumbprint(&KEY)).await
}

const fn key(reason: &'static str) -> ProofFault {
    ProofFault::Key(Cow::Borrowed(reason))
}

type Change = fn(ProofBuilder) -> ProofBuilder;

async fn assert_refused(rows: &[(&str, Change, ProofFault)]) {
    let (proofs, mut wrong) = (proofs(), Vec::new());
    for (case, change, fault) in rows {
        let verdict = check(&proofs, &change(proof()).sign()).await;
        if verdict.as_ref() != Err(fault) {
            wrong.push((case, verdict));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn does_not_record_a_rejected_proof() {
    let proofs = proofs();
    let same = proof().claim("jti", "the-one");
    for (case, refused) in [
        ("no hash", same.clone().without("ath")),
        ("another method", same.clone().claim("htm", "PUT")),
        ("old", same.clone().issued_at(-600)),
    ] {
        assert!(check(&proofs, &refused.sign()).await.is_err(), "{case}");
    }
    assert_eq!(check(&proofs, &same.sign()).await, Ok(()));
}

#[tokio::test]
async fn accepts_a_valid_proof_only_once() {
    let proofs = proofs();
    let good = proof().sign();
    assert_eq!(check(&proofs, &good).await, Ok(()));
    assert_eq!(check(&proofs, &good).await, Err(ProofFault::Used));
    assert_eq!(check(&proofs, &proof().sign()).await, Ok(()));
}

#[tokio::test]
async fn accepts_every_configured_algorithm() {
    for algorithm in [
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
        Algorithm::PS256,
        Algorithm::RS256,
    ] {
        let key = SigningKey::generate(algorithm);
        let proof = key.proof("GET", URL).token(TOKEN).sign();
        let verdict = check_fields(&proofs(), &[proof.as_bytes()], thumbprint(&key)).await;
        assert_eq!(verdict, Ok(()), "{algorithm}");
    }
}

#[tokio::test]
#[rustfmt::skip]
async fn accepts_irrelevant_differences() {
    let rows: &[(&str, Change)] = &[
        ("exp in the past", |p| p.claim("exp", 1)),
        ("nbf in the future", |p| p.claim("nbf", 9e12)),
        ("exp of another type", |p| p.claim("exp", "x")),
        ("an unknown claim", |p| p.claim("foo", json!({"bar": [1]}))),
        ("a nonce that was not requested", |p| p.nonce("x")),
        ("a nonce of another type", |p| p.claim("nonce", 1)),
        ("an unknown header parameter", |p| p.header("foo", json!([1]))),
        ("a kid", |p| p.header("kid", "x")),
        ("a kid of another type", |p| p.header("kid", 1)),
        ("a jku", |p| p.header("jku", "https://evil.example/keys")),
        ("iat with a fraction", |p| { let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap(); p.claim("iat", now.as_secs_f64()) }),
        ("iat at the end of the window", |p| p.issued_at(-325)),
        ("iat ahead, within leeway", |p| p.issued_at(25)),
        ("a query", |p| p.claim("htu", format!("{URL}?a=b"))),
        ("capitals in the host", |p| p.claim("htu", "https://API.EXAMPLE.COM/v1/messages")),
        ("a jti of one byte", |p| p.claim("jti", "a")),
        ("a jti of 256 bytes", |p| p.claim("jti", "a".repeat(256))),
        ("a jti of any characters", |p| p.claim("jti", "\u{e4} \0\n")),
        ("a jwk with a kid", |p| { let mut jwk = KEY.public_jwk(); jwk["kid"] = json!("x"); p.header("jwk", jwk) }),
        ("a jwk with null members", |p| { let mut jwk = KEY.public_jwk(); jwk["d"] = json!(null); p.header("jwk", jwk) }),
    ];
    let proofs = proofs();
    for (case, change) in rows {
        assert_eq!(check(&proofs, &change(proof()).sign()).await, Ok(()), "{case}");
    }
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_missing_and_repeated_proofs() {
    let good = proof().sign();
    let (good, other) = (good.as_bytes(), proof().sign());
    let other = other.as_bytes();
    let joined = [good, b",", other].concat();
    let rows: &[(&str, &[&[u8]], ProofFault)] = &[
        ("no field", &[], ProofFault::Absent),
        ("two fields", &[good, other], ProofFault::Several),
        ("the same twice", &[good, good], ProofFault::Several),
        ("a second that is empty", &[good, b""], ProofFault::Several),
        ("an empty first", &[b"", good], ProofFault::Several),
        ("a comma", &[&joined], ProofFault::Several),
        ("a comma and a space", &[&[good, b", ", other].concat()], ProofFault::Several),
        ("a comma at the end", &[&[good, b","].concat()], ProofFault::Several),
        ("only a comma", &[b","], ProofFault::Several),
        ("more than 8 KiB", &[&vec![b'a'; MAX_PROOF + 1]], ProofFault::TooLarge),
        ("more than 8 KiB of dots", &[&vec![b'.'; MAX_PROOF + 1]], ProofFault::TooLarge),
        ("8 KiB", &[&vec![b'a'; MAX_PROOF]], ProofFault::NotJwt),
        ("empty", &[b""], ProofFault::NotJwt),
        ("one part", &[b"abc"], ProofFault::NotJwt),
        ("two parts", &[b"e30.e30"], ProofFault::NotJwt),
        ("four parts", &[&[good, b".AA"].concat()], ProofFault::NotJwt),
        ("five parts", &[b"e30..AA.AA.AA"], ProofFault::NotJwt),
        ("a dot at the end", &[&[good, b"."].concat()], ProofFault::NotJwt),
        ("a scheme before it", &[&[b"DPoP ".as_slice(), good].concat()], ProofFault::NotStrict),
        ("a space inside", &[&[good, b" a"].concat()], ProofFault::NotStrict),
        ("quotes", &[&[b"\"".as_slice(), good, b"\""].concat()], ProofFault::NotStrict),
        ("bytes outside ASCII", &[&[good, b"\xff"].concat()], ProofFault::NotStrict),
        ("padding", &[&[good, b"="].concat()], ProofFault::NotStrict),
        ("three empty parts", &[b".."], ProofFault::NotStrict),
    ];
    for (case, fields, fault) in rows {
        let refused = check_fields(&proofs(), fields, thumbprint(&KEY)).await;
        assert_eq!(refused, Err(fault.clone()), "{case}");
    }
}

/// Signs a header and claims exactly as given
async fn check_raw(header: &[u8], claims: &[u8]) -> Result<(), ProofFault> {
    check(&proofs(), &KEY.sign_proof(header, claims)).await
}

/// The JSON texts of a valid header and of valid claims
fn texts() -> (String, String) {
    let proof = proof().sign();
    let mut parts = proof.split('.').map(|part| {
        String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_json_that_is_not_strict() {
    let (header, claims) = texts();
    assert_eq!(check_raw(header.as_bytes(), claims.as_bytes()).await, Ok(()));
    let with = |text: &str, member: &str| format!("{},{member}}}", text.strip_suffix('}').unwrap());
    let strict = ProofFault::NotStrict;
    for (case, header, claims) in [
        ("alg twice", with(&header, r#""alg":"ES256""#), claims.clone()),
        ("alg twice, escaped", with(&header, r#""\u0061lg":"ES256""#), claims.clone()),
        ("typ twice", with(&header, r#""typ":"dpop+jwt""#), claims.clone()),
        ("jwk twice", with(&header, &format!(r#""jwk":{}"#, KEY.public_jwk())), claims.clone()),
        ("a member of jwk twice", header.replacen(r#""kty":"EC""#, r#""kty":"EC","kty":"EC""#, 1), claims.clone()),
        ("an unknown member twice", with(&header, r#""a":1,"a":1"#), claims.clone()),
        ("htm twice", header.clone(), with(&claims, r#""htm":"GET""#)),
        ("htu twice", header.clone(), with(&claims, r#""htu":"https://evil.example/""#)),
        ("jti twice", header.clone(), with(&claims, r#""jti":"another""#)),
        ("iat twice", header.clone(), with(&claims, r#""iat":1"#)),
        ("ath twice", header.clone(), with(&claims, r#""ath":"x""#)),
        ("an array", header.clone(), format!("[{claims}]")),
        ("a header in an array", format!("[{header}]"), claims.clone()),
        ("a string", header.clone(), r#""a""#.to_owned()),
        ("null", header.clone(), "null".to_owned()),
        ("empty", header.clone(), String::new()),
        ("an empty header", String::new(), claims.clone()),
        ("text after it", header.clone(), format!("{claims}x")),
        ("two objects", header.clone(), format!("{claims}{claims}")),
        ("a comma at the end", header.clone(), with(&claims, "")),
        ("single quotes", header.clone(), claims.replace('"', "'")),
        ("a private name", with(&header, r#""$serde_json::private::RawValue":"{}""#), claims.clone()),
        ("a hidden jwk", header.replacen(r#""jwk":{"#, r#""jwk":{"$serde_json::private::RawValue":"{}","#, 1), claims.clone()),
        ("129 levels", with(&header, &format!(r#""a":{}{}"#, "[".repeat(129), "]".repeat(129))), claims.clone()),
        ("a lone surrogate", header.clone(), with(&claims, r#""a":"\ud800""#)),
    ] {
        assert_eq!(check_raw(header.as_bytes(), claims.as_bytes()).await, Err(strict.clone()), "{case}");
    }
    assert_eq!(check_raw(b"\xff", claims.as_bytes()).await, Err(strict.clone()), "a header that is not UTF-8");
    assert_eq!(check_raw(header.as_bytes(), b"{\"a\":\"\xff\"}").await, Err(strict.clone()), "claims that are not UTF-8");
    let bom = format!("\u{feff}{header}");
    assert_eq!(check_raw(bom.as_bytes(), claims.as_bytes()).await, Err(strict.clone()), "a byte order mark");
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_wrong_types_and_header_extensions() {
    use ProofFault::{Extension, Type};
    assert_refused(&[
        ("no typ", |p| p.without_header("typ"), Type),
        ("JWT", |p| p.header("typ", "JWT"), Type),
        ("an access token", |p| p.header("typ", "at+jwt"), Type),
        ("capitals", |p| p.header("typ", "DPoP+JWT"), Type),
        ("the media type", |p| p.header("typ", "application/dpop+jwt"), Type),
        ("a space", |p| p.header("typ", "dpop+jwt "), Type),
        ("a parameter", |p| p.header("typ", "dpop+jwt;v=1"), Type),
        ("empty", |p| p.header("typ", ""), Type),
        ("null", |p| p.header("typ", json!(null)), Type),
        ("an array", |p| p.header("typ", json!(["dpop+jwt"])), Type),
        ("crit", |p| p.header("crit", json!(["exp"])), Extension),
        ("an empty crit", |p| p.header("crit", json!([])), Extension),
        ("b64", |p| p.header("b64", false), Extension),
        ("b64 of true", |p| p.header("b64", true), Extension),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_algorithms_that_are_not_configured() {
    use ProofFault::Algorithm;
    const FOR_ANOTHER: ProofFault = key("jwk is not a key for alg");
    assert_refused(&[
        ("no alg", |p| p.without_header("alg"), Algorithm),
        ("none", |p| p.header("alg", "none"), Algorithm),
        ("None", |p| p.header("alg", "None"), Algorithm),
        ("HS256", |p| p.header("alg", "HS256"), Algorithm),
        ("HS512", |p| p.header("alg", "HS512"), Algorithm),
        ("RS384", |p| p.header("alg", "RS384"), Algorithm),
        ("RS1", |p| p.header("alg", "RS1"), Algorithm),
        ("lower case", |p| p.header("alg", "es256"), Algorithm),
        ("a space", |p| p.header("alg", "ES256 "), Algorithm),
        ("null", |p| p.header("alg", json!(null)), Algorithm),
        ("a number", |p| p.header("alg", 256), Algorithm),
        ("an array", |p| p.header("alg", json!(["ES256"])), Algorithm),
        ("a curve that the key is not on", |p| p.header("alg", "ES384"), FOR_ANOTHER),
        ("EdDSA by an EC key", |p| p.header("alg", "EdDSA"), FOR_ANOTHER),
        ("RS256 by an EC key", |p| p.header("alg", "RS256"), FOR_ANOTHER),
    ]).await;
}

fn with_jwk(proof: ProofBuilder, change: impl FnOnce(&mut Value)) -> ProofBuilder {
    let mut jwk = KEY.public_jwk();
    change(&mut jwk);
    proof.header("jwk", jwk)
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_jwks_that_are_not_public_keys() {
    const ABSENT: ProofFault = key("the proof has no jwk");
    const NO_OBJECT: ProofFault = key("not a valid object");
    assert_refused(&[
        ("no jwk", |p| p.without_header("jwk"), ABSENT),
        ("a kid in its place", |p| p.without_header("jwk").header("kid", KEY.kid()), ABSENT),
        ("a jku in its place", |p| p.without_header("jwk").header("jku", "https://evil.example"), ABSENT),
        ("Jwk", |p| p.without_header("jwk").header("Jwk", KEY.public_jwk()), ABSENT),
        ("null", |p| p.header("jwk", json!(null)), NO_OBJECT),
        ("a string", |p| p.header("jwk", KEY.public_jwk().to_string()), NO_OBJECT),
        ("an array", |p| p.header("jwk", json!([KEY.public_jwk()])), NO_OBJECT),
        ("a key set", |p| p.header("jwk", json!({"keys": [KEY.public_jwk()]})), key("`kty` is missing")),
        ("empty", |p| p.header("jwk", json!({})), key("`kty` is missing")),
        ("oct", |p| p.header("jwk", json!({"kty": "oct", "k": "AAAA"})), key("the private member `k` is present")),
        ("oct without k", |p| p.header("jwk", json!({"kty": "oct"})), key("`kty` is `oct`, which is not supported")),
        ("a private key", |p| with_jwk(p, |jwk| jwk["d"] = json!("AAAA")), key("the private member `d` is present")),
        ("an empty d", |p| with_jwk(p, |jwk| jwk["d"] = json!("")), key("the private member `d` is present")),
        ("with k", |p| with_jwk(p, |jwk| jwk["k"] = json!("AAAA")), key("the private member `k` is present")),
        ("with p", |p| with_jwk(p, |jwk| jwk["p"] = json!("AAAA")), key("the private member `p` is present")),
        ("with qi", |p| with_jwk(p, |jwk| jwk["qi"] = json!(1)), key("the private member `qi` is present")),
        ("for encryption", |p| with_jwk(p, |jwk| jwk["use"] = json!("enc")), key("`use` is `enc`, not `sig`")),
        ("for signing only", |p| with_jwk(p, |jwk| jwk["key_ops"] = json!(["sign"])), key("`key_ops` lacks `verify`")),
        ("another alg", |p| with_jwk(p, |jwk| jwk["alg"] = json!("ES384")), key("`alg` is `ES384`, which does not fit a key whose `crv` is `P-256`")),
        ("an alg of encryption", |p| with_jwk(p, |jwk| jwk["alg"] = json!("ECDH-ES")), key("`alg` is `ECDH-ES`, which is not supported")),
        ("a numeric alg", |p| with_jwk(p, |jwk| jwk["alg"] = json!(1)), key("`alg` is not a string")),
        ("a numeric kid", |p| with_jwk(p, |jwk| jwk["kid"] = json!(1)), key("`kid` is not a string")),
        ("no kty", |p| with_jwk(p, |jwk| jwk["kty"] = json!(null)), key("`kty` is missing")),
        ("kty in lower case", |p| with_jwk(p, |jwk| jwk["kty"] = json!("ec")), key("`kty` is `ec`, which is not supported")),
        ("kty of RSA", |p| with_jwk(p, |jwk| jwk["kty"] = json!("RSA")), key("`n` is missing")),
        ("kty of OKP", |p| with_jwk(p, |jwk| jwk["kty"] = json!("OKP")), key("`crv` is `P-256`, which is not supported")),
        ("no crv", |p| with_jwk(p, |jwk| jwk["crv"] = json!(null)), key("`crv` is missing")),
        ("secp256k1", |p| with_jwk(p, |jwk| jwk["crv"] = json!("secp256k1")), key("`crv` is `secp256k1`, which is not supported")),
        ("crv in lower case", |p| with_jwk(p, |jwk| jwk["crv"] = json!("p-256")), key("`crv` is `p-256`, which is not supported")),
        ("no x", |p| with_jwk(p, |jwk| jwk["x"] = json!(null)), key("`x` is missing")),
        ("no y", |p| with_jwk(p, |jwk| jwk["y"] = json!(null)), key("`y` is missing")),
        ("a short x", |p| with_jwk(p, |jwk| jwk["x"] = json!("AAAA")), key("`x` has 3 bytes, not 32")),
        ("a long x", |p| with_jwk(p, |jwk| jwk["x"] = json!("A".repeat(44))), key("`x` has 33 bytes, not 32")),
        ("a padded x", |p| with_jwk(p, |jwk| jwk["x"] = json!(format!("{}=", jwk["x"].as_str().unwrap()))), key("`x` ends in `=`")),
        ("x of the other alphabet", |p| with_jwk(p, |jwk| jwk["x"] = json!("+/".repeat(21) + "A")), key("`x` has `+` or `/`, which are standard base64 and not base64url")),
        ("a numeric x", |p| with_jwk(p, |jwk| jwk["x"] = json!(5)), key("`x` is not a string")),
        ("a point that is not on the curve", |p| with_jwk(p, |jwk| jwk["x"] = jwk["y"].clone()), key("the key parameters are not a valid public key")),
        ("zeros", |p| with_jwk(p, |jwk| { let zero = json!("A".repeat(43)); jwk["x"] = zero.clone(); jwk["y"] = zero; }), key("the key parameters are not a valid public key")),
        ("a small RSA key", |p| p.header("alg", "RS256").header("jwk", json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB"})), key("`n` has 1024 bits, not 2048 to 8192")),
        ("a large RSA key", |p| p.header("alg", "RS256").header("jwk", json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 1025]), "e": "AQAB"})), key("`n` has 8200 bits, not 2048 to 8192")),
        ("an exponent of 1", |p| p.header("alg", "RS256").header("jwk", json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 256]), "e": "AQ"})), key("`e` is not an odd number from 3 to 2^33 - 1")),
        ("a point of small order", |p| p.header("alg", "EdDSA").header("jwk", json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43)})), key("`x` is a point of small order")),
        ("X25519", |p| p.header("alg", "EdDSA").header("jwk", json!({"kty": "OKP", "crv": "X25519", "x": "A".repeat(43)})), key("`crv` is `X25519`, which is not supported")),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_wrong_signatures() {
    use ProofFault::Signature;
    assert_refused(&[
        ("by another key", |p| p.signed_by(&OTHER), Signature),
        ("by a key of another kind", |p| p.signed_by(&RSA), Signature),
        ("by a secret", |p| p.signed_by(&SigningKey::from_secret(KEY.public_jwk().to_string())), Signature),
        ("another key in jwk", |p| p.header("jwk", OTHER.public_jwk()), Signature),
    ]).await;
    let good = proof().sign();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let mut zeros = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let half = zeros.len() / 2;
    zeros.rotate_left(half);
    let swapped = URL_SAFE_NO_PAD.encode(&zeros);
    for (case, signature) in [
        ("none", String::new()),
        ("a short one", signature[..40].to_owned()),
        ("r and s swapped", swapped),
        ("zeros", URL_SAFE_NO_PAD.encode([0; 64])),
        ("DER", URL_SAFE_NO_PAD.encode([0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01])),
        ("a longer one", format!("{signature}AAAA")),
    ] {
        let refused = check(&proofs(), &format!("{input}.{signature}")).await;
        assert_eq!(refused, Err(Signature), "{case}");
    }
    // the signature covers every part of the proof
    let (header, claims) = texts();
    let other = claims.replace("GET", "PUT");
    let forged = format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(other));
    assert_eq!(check(&proofs(), &forged).await, Err(Signature));
    let spaced = format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(format!("{header} ")), URL_SAFE_NO_PAD.encode(claims));
    assert_eq!(check(&proofs(), &spaced).await, Err(Signature));
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_proofs_for_other_requests() {
    use ProofFault::{Method, TokenHash, Url};
    assert_refused(&[
        ("no htm", |p| p.without("htm"), Method),
        ("another method", |p| p.claim("htm", "POST"), Method),
        ("lower case", |p| p.claim("htm", "get"), Method),
        ("a capital", |p| p.claim("htm", "Get"), Method),
        ("HEAD for GET", |p| p.claim("htm", "HEAD"), Method),
        ("a space", |p| p.claim("htm", "GET "), Method),
        ("empty", |p| p.claim("htm", ""), Method),
        ("any", |p| p.claim("htm", "*"), Method),
        ("null", |p| p.claim("htm", json!(null)), Method),
        ("an array", |p| p.claim("htm", json!(["GET"])), Method),
        ("a number", |p| p.claim("htm", 1), Method),

        ("no htu", |p| p.without("htu"), Url),
        ("another path", |p| p.claim("htu", "https://api.example.com/v1/other"), Url),
        ("a path above", |p| p.claim("htu", "https://api.example.com/v1"), Url),
        ("a path below", |p| p.claim("htu", format!("{URL}/1")), Url),
        ("a trailing slash", |p| p.claim("htu", format!("{URL}/")), Url),
        ("another host", |p| p.claim("htu", "https://evil.example/v1/messages"), Url),
        ("another port", |p| p.claim("htu", "https://api.example.com:8443/v1/messages"), Url),
        ("http", |p| p.claim("htu", "http://api.example.com/v1/messages"), Url),
        ("no origin", |p| p.claim("htu", "/v1/messages"), Url),
        ("the origin only", |p| p.claim("htu", "https://api.example.com"), Url),
        ("a space", |p| p.claim("htu", format!("{URL} ")), Url),
        ("a user", |p| p.claim("htu", "https://me@api.example.com/v1/messages"), Url),
        ("dots", |p| p.claim("htu", "https://api.example.com/v1/x/../messages"), Url),
        ("an escaped slash", |p| p.claim("htu", "https://api.example.com/v1%2fmessages"), Url),
        ("an escape twice", |p| p.claim("htu", "https://api.example.com/v1/%256dessages"), Url),
        ("empty", |p| p.claim("htu", ""), Url),
        ("null", |p| p.claim("htu", json!(null)), Url),
        ("an array", |p| p.claim("htu", json!([URL])), Url),

        ("no ath", |p| p.without("ath"), TokenHash),
        ("of another token", |p| p.token("a.token.of-another"), TokenHash),
        ("of the scheme and the token", |p| p.token(&format!("DPoP {TOKEN}")), TokenHash),
        ("of the token and a space", |p| p.token(&format!("{TOKEN} ")), TokenHash),
        ("padded", |p| p.claim("ath", token_hash(TOKEN.as_bytes()) + "="), TokenHash),
        ("cut", |p| p.claim("ath", &token_hash(TOKEN.as_bytes())[..42]), TokenHash),
        ("in lower case", |p| p.claim("ath", token_hash(TOKEN.as_bytes()).to_ascii_lowercase()), TokenHash),
        ("the token itself", |p| p.claim("ath", TOKEN), TokenHash),
        ("empty", |p| p.claim("ath", ""), TokenHash),
        ("null", |p| p.claim("ath", json!(null)), TokenHash),
    ]).await;
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_old_and_future_proofs() {
    use ProofFault::{Ahead, NoTime, Old};
    assert_refused(&[
        ("no iat", |p| p.without("iat"), NoTime),
        ("a string", |p| p.claim("iat", "1790000000"), NoTime),
        ("null", |p| p.claim("iat", json!(null)), NoTime),
        ("true", |p| p.claim("iat", true), NoTime),
        ("an array", |p| p.claim("iat", json!([1])), NoTime),
        ("past the window and the leeway", |p| p.issued_at(-332), Old),
        ("an hour ago", |p| p.issued_at(-3600), Old),
        ("the epoch", |p| p.claim("iat", 0), Old),
        ("before the epoch", |p| p.claim("iat", -1), Old),
        ("long before", |p| p.claim("iat", -1e300), Old),
        ("ahead of the leeway", |p| p.issued_at(33), Ahead),
        ("ten minutes ahead", |p| p.issued_at(600), Ahead),
        ("in milliseconds", |p| p.claim("iat", 1_790_000_000_000_u64), Ahead),
        ("the end of time", |p| p.claim("iat", 1e300), Ahead),
        ("more than 64 bits", |p| p.claim("iat", u64::MAX), Ahead),
    ]).await;
    let (header, claims) = texts();
    let (before, after) = claims.split_once(r#""iat":"#).unwrap();
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let beyond = format!(r#"{before}"iat":1e400{after}"#);
    assert_eq!(check_raw(header.as_bytes(), beyond.as_bytes()).await, Err(NoTime));
}

#[tokio::test]
#[rustfmt::skip]
async fn rejects_proofs_without_a_valid_jti() {
    use ProofFault::Id;
    assert_refused(&[
        ("no jti", |p| p.without("jti"), Id),
        ("empty", |p| p.claim("jti", ""), Id),
        ("257 bytes", |p| p.claim("jti", "a".repeat(257)), Id),
        ("257 bytes of 129 characters", |p| p.claim("jti", "a".to_owned() + &"\u{e4}".repeat(128)), Id),
        ("a number", |p| p.claim("jti", 5), Id),
        ("null", |p| p.claim("jti", json!(null)), Id),
        ("an array", |p| p.claim("jti", json!(["a"])), Id),
        ("an object", |p| p.claim("jti", json!({"a": 1})), Id),
    ]).await;
}

#[tokio::test]
async fn different_keys_may_use_the_same_jti() {
    let proofs = proofs();
    let of = |key: &SigningKey| {
        key.proof("GET", URL)
            .token(TOKEN)
            .claim("jti", "same")
            .sign()
    };
    assert_eq!(check(&proofs, &of(&KEY)).await, Ok(()));
    assert_eq!(
        check(&proofs, &of(&KEY)).await,
        Err(ProofFault::Used),
        "signed again"
    );
    let other = of(&OTHER);
    let others = check_fields(&proofs, &[other.as_bytes()], thumbprint(&OTHER)).await;
    assert_eq!(others, Ok(()), "another key");
}

#[tokio::test]
async fn rejects_a_proof_signed_by_another_key() {
    let proofs = proofs();
    let stolen = OTHER.proof("GET", URL).token(TOKEN).sign();
    let refused = check(&proofs, &stolen).await;
    assert_eq!(refused, Err(ProofFault::OtherKey));
    assert_eq!(ProofFault::OtherKey.error(), AuthError::TokenBound);
    let own = check_fields(&proofs, &[stolen.as_bytes()], thumbprint(&OTHER)).await;
    assert_eq!(own, Ok(()), "it was not used up");
}

#[tokio::test]
async fn requires_a_nonce_if_configured() {
    let nonces = Nonces::new(&[7; 32]);
    let proofs = Proofs {
        nonces: Some(nonces.clone()),
        ..proofs()
    };
    let now = SystemTime::now();
    let before = now - Duration::from_secs(300);
    let long_before = now - Duration::from_secs(600);
    let ahead = now + Duration::from_secs(300);
    let foreign = Nonces::new(&[8; 32]).current(now);
    let current = nonces.current(now);
    let padded = json!(format!("{current}="));
    let nonce = ProofFault::Nonce;
    for (case, value, expected) in [
        ("current", json!(current), Ok(())),
        ("of the slot before", json!(nonces.current(before)), Ok(())),
        (
            "of two slots before",
            json!(nonces.current(long_before)),
            Err(nonce.clone()),
        ),
        (
            "of the slot after",
            json!(nonces.current(ahead)),
            Err(nonce.clone()),
        ),
        ("foreign", json!(foreign), Err(nonce.clone())),
        ("padded", padded, Err(nonce.clone())),
        ("cut", json!(current[1..]), Err(nonce.clone())),
        ("empty", json!(""), Err(nonce.clone())),
        ("null", json!(null), Err(nonce.clone())),
        ("a number", json!(1), Err(nonce.clone())),
        ("an array", json!([current]), Err(nonce.clone())),
    ] {
        let verdict = check(&proofs, &proof().claim("nonce", value).sign()).await;
        assert_eq!(verdict, expected, "{case}");
    }
    assert_eq!(
        check(&proofs, &proof().sign()).await,
        Err(nonce.clone()),
        "absent"
    );
    let elsewhere = proof().claim("htm", "PUT").sign();
    assert_eq!(
        check(&proofs, &elsewhere).await,
        Err(ProofFault::Method),
        "comes first"
    );
}

#[tokio::test]
async fn rejects_proofs_while_the_record_is_full() {
    let proofs = Proofs {
        store: Store::memory(1 << 10),
        ..proofs()
    };
    let first = proof().sign();
    assert_eq!(check(&proofs, &first).await, Ok(()));
    let mut fault = None;
    for _ in 0..1000 {
        if let Err(refused) = check(&proofs, &proof().sign()).await {
            fault = Some(refused);
            break;
        }
    }
    let full = ProofFault::Unavailable("full");
    assert_eq!(fault.as_ref(), Some(&full));
    let retry_after = Duration::from_secs(1);
    assert_eq!(full.error(), AuthError::StateUnavailable { retry_after });
    assert_eq!(check(&proofs, &first).await, Err(ProofFault::Used));
}

/// The example of RFC 9449 §4.2, for the token endpoint, and of §7.1, for a protected resource.
#[tokio::test]
async fn agrees_with_the_examples_of_rfc_9449() {
    const AT_THE_TOKEN_ENDPOINT: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    const AT_A_RESOURCE: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    let bound_to: [u8; 32] = URL_SAFE_NO_PAD.decode(JKT).unwrap().try_into().unwrap();
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let resource = Proofs {
        url: PublicUrl::parse("https://resource.example.org").unwrap(),
        ..proofs()
    };
    let verdict = |proof: &'static str, now| {
        let resource = &resource;
        async move {
            let mut headers = HeaderMap::new();
            headers.append(PROOF, HeaderValue::from_static(proof));
            let request = RequestHead::new(&Method::GET, "/protectedresource", &headers);
            let presented = Presented {
                request: &request,
                token: TOKEN.as_bytes(),
                bound_to: Thumbprint(bound_to),
            };
            resource.check(presented, now).await
        }
    };
    let (then, later) = (at(1_562_262_618), at(1_562_262_618 + 331));
    assert_eq!(
        verdict(AT_THE_TOKEN_ENDPOINT, then).await,
        Err(ProofFault::Method)
    );
    assert_eq!(verdict(AT_A_RESOURCE, later).await, Err(ProofFault::Old));
    assert_eq!(verdict(AT_A_RESOURCE, then).await, Ok(()));
    assert_eq!(verdict(AT_A_RESOURCE, then).await, Err(ProofFault::Used));
}

/// If we recorded the proof, a client with a revoked token could fill the store
#[cfg(feature = "service")]
#[tokio::test]
async fn does_not_use_up_the_proof_of_a_revoked_token() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .dpop(Dpop::allowed("https://api.example.com"))
        .build()
        .unwrap();
    auth.ready().await;
    let token = issuer.token().bound_to(&KEY).sign();
    let authenticate = async || {
        let proof = KEY.proof("GET", URL).token(&token).sign();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("DPoP {token}").parse().unwrap());
        headers.insert(PROOF, proof.parse().unwrap());
        let request = RequestHead::new(&Method::GET, "/v1/messages", &headers);
        let verdict = auth.authenticate::<NoPrivate>(&request).await;
        verdict.map(drop).map_err(|refusal| refusal.error)
    };
    assert_eq!(authenticate().await, Ok(()));
    auth.revoke(Revocation::subject(issuer.url(), "auth0|alice"));
    assert_eq!(authenticate().await, Err(AuthError::TokenRevoked));
    assert_eq!(auth.store().health().keys, 1);
}
