//! Unusual but valid tokens. Rejecting them wouldn't be strict, just wrong.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use warp_bearer::{
    auth::{Algorithm, Auth},
    issuer::{Issuer, SigningKey},
};

use crate::{
    attacks::{
        Target,
        keys::{AUDIENCE, ISSUER, token},
    },
    support::{
        raw::Service,
        text::{base64url, bytes_of, quoted},
    },
};

#[tokio::test]
async fn accepts_each_algorithm() {
    use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    for algorithm in [
        RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA,
    ] {
        let mut target = Target::of(algorithm).await;
        let token = target.good();
        target.accepts(&format!("{algorithm:?}"), &token).await;
        // Again, with every other algorithm allowed as well
        let all = [
            RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA,
        ];
        let mut target = Target::with(target.issuer, |auth| auth.algorithms(all)).await;
        target
            .accepts(&format!("{algorithm:?} of ten"), &token)
            .await;
    }
    let secret = *b"a secret that nobody else can know";
    let mut target = Target::with(Issuer::with_algorithm(Algorithm::ES256).await, |auth| {
        auth.algorithms([Algorithm::HS256]).signing_secret(secret)
    })
    .await;
    let key = SigningKey::from_secret(secret);
    let token = target.issuer.token().key(&key).sign();
    target.accepts("HS256", &token).await;
    let token = target.issuer.token().key(&key).without_header("kid").sign();
    target.accepts("HS256 without kid", &token).await;
}

#[tokio::test]
async fn accepts_unusual_headers() {
    let mut target = Target::start().await;
    let header = target.header();
    let kid = target.issuer.key().kid().to_owned();
    let stranger = SigningKey::generate(Algorithm::ES256)
        .public_jwk()
        .to_string();
    let escaped_kid = kid
        .bytes()
        .map(|c| format!("\\u{c:04x}"))
        .collect::<Vec<_>>()
        .concat();
    #[rustfmt::skip]
    let rows = [
        ("typ: absent",                header.clone().without("typ").text()),
        ("typ: at+jwt",                header.clone().with("typ", r#""at+jwt""#).text()),
        ("typ: application/at+jwt",    header.clone().with("typ", r#""application/at+jwt""#).text()),
        ("typ: AT+JWT",                header.clone().with("typ", r#""AT+JWT""#).text()),
        ("typ: jwt",                   header.clone().with("typ", r#""jwt""#).text()),
        ("typ: Application/At+Jwt",    header.clone().with("typ", r#""Application/At+Jwt""#).text()),
        ("typ: escaped",               header.clone().with("typ", r#""\u004aWT""#).text()),
        ("kid: absent, one key",       header.clone().without("kid").text()),
        ("kid: escaped",               header.clone().with("kid", quoted(escaped_kid)).text()),
        ("alg: escaped",               header.clone().with("alg", r#""\u0052S256""#).text()),
        ("alg: name escaped",          header.clone().without("alg").with(r"\u0061lg", r#""RS256""#).text()),
        ("only alg",                   r#"{"alg":"RS256"}"#.to_owned()),
        ("ALG beside alg",             header.clone().with("ALG", r#""none""#).text()),
        ("Crit, which is not crit",    header.clone().with("Crit", r#"["exp"]"#).text()),
        ("B64, which is not b64",      header.clone().with("B64", "false").text()),
        ("TYP beside typ",             header.clone().with("TYP", r#""logout+jwt""#).text()),
        ("KID beside kid",             header.clone().with("KID", r#""other""#).text()),
        ("alg within another member",  header.clone().with("x", r#"{"alg":"none","crit":["x"],"b64":false}"#).text()),
        ("jku, which is ignored",      header.clone().with("jku", r#""https://evil.example/""#).text()),
        ("jwk, which is ignored",      header.clone().with("jwk", stranger).text()),
        ("x5c, which is ignored",      header.clone().with("x5c", r#"["MIIB"]"#).text()),
        ("x5t, which is ignored",      header.clone().with("x5t", r#""AAAA""#).with("x5t#S256", r#""AAAA""#).text()),
        ("cty",                        header.clone().with("cty", r#""json""#).text()),
        ("unknown members",            header.clone().with("ver", "1").with("x", "[{}]").with("", "null").text()),
        ("an unused number",           header.clone().with("x", "-0.1e-5").text()),
        ("a hundred members",          (0..100).fold(header.clone(), |h, i| h.with(&format!("m{i}"), "0")).text()),
        ("one name at two depths",     header.clone().with("x", r#"{"kid":1,"x":{"kid":2}}"#).text()),
        ("unicode",                    header.clone().with("ключ", r#""鍵 🔑""#).text()),
        ("a pair of surrogates",       header.clone().with("x", r#""\ud83d\udd11""#).text()),
        ("an escaped NUL",             header.clone().with("x", r#""\u0000""#).text()),
        ("white space",                header.text().replace(':', " :\r\n\t").replace(',', "\n , ")),
        ("white space around",         format!(" \r\n\t{} \r\n\t", header.text())),
    ];
    for (case, header) in rows {
        let token = target.sign_text(header, target.claims().text());
        target.accepts(case, &token).await;
    }
}

#[tokio::test]
async fn accepts_unusual_claims() {
    let mut target = Target::start().await;
    let claims = target.claims();
    let ours = target.issuer.audience().to_owned();
    let userinfo = format!("{}userinfo", target.issuer.url());
    let escaped_iss = target.issuer.url().replace('/', r"\/");
    let many = (0..500).map(|i| format!("\"https://api{i}.example\","));
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    #[rustfmt::skip]
    let rows = [
        ("aud: an array of one",       claims.clone().with("aud", format!("[\"{ours}\"]"))),
        ("aud: and /userinfo",         claims.clone().with("aud", format!("[\"{ours}\",\"{userinfo}\"]"))),
        ("aud: /userinfo and ours",    claims.clone().with("aud", format!("[\"{userinfo}\",\"{ours}\"]"))),
        ("aud: ours twice",            claims.clone().with("aud", format!("[\"{ours}\",\"{ours}\"]"))),
        ("aud: the last of many",      claims.clone().with("aud", format!("[{}\"{ours}\"]", many.take(200).collect::<String>()))),
        ("aud: escaped",               claims.clone().with("aud", quoted(ours.replace('/', r"\/")))),
        ("iss: escaped",               claims.clone().with("iss", quoted(escaped_iss))),
        ("iss: its name escaped",      claims.clone().without("iss").with(r"\u0069ss", quoted(target.issuer.url()))),
        ("sub: absent",                claims.clone().without("sub")),
        ("sub: an empty string",       claims.clone().with("sub", r#""""#)),
        ("sub: of a machine",          claims.clone().with("sub", r#""abc@clients""#)),
        ("sub: unicode",               claims.clone().with("sub", r#""auth0|Łukasz 😀""#)),
        ("iat: absent",                claims.clone().without("iat")),
        ("iat: zero",                  claims.clone().with("iat", "0")),
        ("iat: a double",              claims.clone().with("iat", "1700000000.123")),
        ("nbf: the past",              claims.clone().with("nbf", "1700000000")),
        ("nbf: negative",              claims.clone().with("nbf", "-1")),
        ("nbf: minus zero",            claims.clone().with("nbf", "-0")),
        ("nbf: almost zero",           claims.clone().with("nbf", "1e-400")),
        ("exp: a double",              claims.clone().with("exp", "4102444800.5")),
        ("exp: with an exponent",      claims.clone().with("exp", "4.1024448E+9")),
        ("exp: in milliseconds",       claims.clone().with("exp", "4102444800000")),
        ("exp: u64::MAX",              claims.clone().with("exp", "18446744073709551615")),
        ("exp: above u64::MAX",        claims.clone().with("exp", "18446744073709551616")),
        ("exp: f64::MAX",              claims.clone().with("exp", "1.7976931348623157e308")),
        ("exp: many digits",           claims.clone().with("exp", format!("4102444800.{}", "3".repeat(1000)))),
        ("jti",                        claims.clone().with("jti", r#""a""#)),
        ("EXP beside exp",             claims.clone().with("EXP", "1")),
        ("Aud beside aud",             claims.clone().with("Aud", r#""x""#)),
        ("CNF, which is not cnf",      claims.clone().with("CNF", "{}")),
        ("crit, which is not a claim", claims.clone().with("crit", r#"["x"]"#).with("b64", "false")),
        ("typ: Bearer",                claims.clone().with("typ", r#""Bearer""#).with("token_use", r#""access""#)),
        ("typ: DPoP",                  claims.clone().with("typ", r#""DPoP""#).with("token_use", r#""access_token""#)),
        ("typ: not a string",          claims.clone().with("typ", r#"["ID"]"#).with("token_use", "null")),
        ("typ: in a longer word",      claims.clone().with("typ", r#""IDs""#).with("token_use", r#""id ""#)),
        ("Typ beside typ",             claims.clone().with("Typ", r#""ID""#).with("x", r#"{"typ":"ID"}"#)),
        ("alg, which is not a claim",  claims.clone().with("alg", r#""none""#).with("typ", r#""x""#)),
        ("exp within another claim",   claims.clone().with("x", r#"{"exp":1,"aud":1,"cnf":{}}"#)),
        ("one name at two depths",     claims.clone().with("x", r#"{"x":{"x":1},"sub":1}"#)),
        ("private claims of each type", claims.clone().with("a", "null").with("b", "true").with("c", "[1,\"\",null]")),
        ("a namespace",                claims.clone().with("https://a.example/roles", r#"["admin"]"#)),
        ("a hundred deep",             claims.clone().with("x", deep)),
        ("two hundred members",        (0..200).fold(claims.clone(), |c, i| c.with(&format!("m{i}"), "0"))),
        ("an empty name",              claims.clone().with("", "0")),
        ("an escaped NUL",             claims.clone().with("x", r#""a\u0000b""#)),
        ("a pair of surrogates",       claims.clone().with(r"\ud83d\ude00", "1")),
        ("a byte order mark inside",   claims.clone().with("x", "\"\u{feff}\"")),
        ("é composed and combined",    claims.clone().with("é", "1").with("e\u{301}", "2")),
        ("a number above u64::MAX",    claims.clone().with("x", "123456789012345678901234567890")),
        ("scope and permissions",      claims.clone().with("scope", r#""a b""#).with("permissions", r#"["a"]"#)),
        ("scope of another type",      claims.clone().with("scope", "[]").with("permissions", "1")),
    ];
    for (case, claims) in rows {
        let token = target.sign(&target.header(), &claims);
        target.accepts(case, &token).await;
    }
    let spaced = claims.text().replace(',', "\r\n\t,");
    let token = target.sign_text(target.header().text(), format!("\n{spaced}\n"));
    target.accepts("white space", &token).await;
}

/// We can't parse the answer here: `serde_json` stops at 127 levels.
#[tokio::test]
async fn accepts_claims_of_128_levels() {
    let mut target = Target::start().await;
    let objects = format!("{}1{}", r#"{"x":"#.repeat(127), "}".repeat(127));
    let arrays = format!("{}{}", "[".repeat(127), "]".repeat(127));
    for x in [arrays, objects] {
        let token = target.sign(&target.header(), &target.claims().with("x", &x));
        let answer = target.client.with_token(&token).await;
        assert_eq!(answer.status.as_u16(), 200, "{x}: {answer:?}");
        assert!(answer.body.contains(&x), "{x}: {answer:?}");
    }
}

/// Both profiles in the form that Auth0 issues (its documentation, "Access Token Profiles").
#[tokio::test]
async fn accepts_both_auth0_profiles() {
    let mut target = Target::start().await;
    let issuer = target.issuer.clone();
    let userinfo = format!("{}userinfo", issuer.url());
    let machine = issuer
        .token()
        .subject("kJ3nT0aP8rQ2@clients")
        .claim("azp", "kJ3nT0aP8rQ2")
        .claim("gty", "client-credentials")
        .scope("read:messages")
        .permissions(["read:messages"]);
    let person = issuer
        .token()
        .audiences([issuer.audience(), &userinfo])
        .claim("azp", "kJ3nT0aP8rQ2")
        .scope("openid profile read:messages");
    let rfc9068 = |token: warp_bearer::issuer::TokenBuilder| {
        token
            .typ("at+jwt")
            .without("azp")
            .claim("client_id", "kJ3nT0aP8rQ2")
            .claim("jti", "Fq3zVh7yJtJ5d0cY3cX8aA")
    };
    for (case, token) in [
        ("Auth0's, of a machine", machine.clone()),
        ("Auth0's, of a person", person.clone()),
        ("RFC 9068, of a machine", rfc9068(machine)),
        ("RFC 9068, of a person", rfc9068(person)),
    ] {
        target.accepts(case, &token.sign()).await;
    }
}

#[tokio::test]
async fn applies_the_full_leeway() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let mut target = Target::with(issuer, |auth| {
        auth.clock(move || now).algorithms([Algorithm::ES256])
    })
    .await;
    #[rustfmt::skip]
    let rows = [
        ("exp in the future",     "exp", "2000000001"),
        ("exp now",               "exp", "2000000000"),
        ("exp within the leeway", "exp", "1999999985"),
        ("exp just within the leeway", "exp", "1999999970.001"),
        ("exp a second within the leeway", "exp", "1999999971"),
        ("nbf now",               "nbf", "2000000000"),
        ("nbf within the leeway", "nbf", "2000000015"),
        ("nbf at the end of the leeway", "nbf", "2000000030"),
        ("iat now",               "iat", "2000000000"),
        ("iat at the end of the leeway", "iat", "2000000030"),
    ];
    for (case, name, value) in rows {
        let claims = target.claims().with(name, value);
        let token = target.sign(&target.header(), &claims);
        target.accepts(case, &token).await;
    }
}

#[tokio::test]
async fn accepts_unusual_fields() {
    let mut target = Target::start().await;
    let good = target.good();
    #[rustfmt::skip]
    let rows = [
        ("plain",                      format!("Authorization: Bearer {good}")),
        ("lower case",                 format!("Authorization: bearer {good}")),
        ("upper case",                 format!("Authorization: BEARER {good}")),
        ("mixed case",                 format!("Authorization: bEaReR {good}")),
        ("the name in lower case",     format!("authorization: Bearer {good}")),
        ("the name in upper case",     format!("AUTHORIZATION: Bearer {good}")),
        ("two spaces",                 format!("Authorization: Bearer  {good}")),
        ("twenty spaces",              format!("Authorization: Bearer {}{good}", " ".repeat(19))),
        ("no space before the value",  format!("Authorization:Bearer {good}")),
        ("white space before the value", format!("Authorization: \t  Bearer {good}")),
        ("a space after the value",    format!("Authorization: Bearer {good} ")),
        ("white space after the value", format!("Authorization: Bearer {good} \t \t")),
        ("with other fields",          format!("X: y\r\nAuthorization: Bearer {good}\r\nCookie: a=b")),
        ("with Proxy-Authorization",   format!("Proxy-Authorization: Basic YTpi\r\nAuthorization: Bearer {good}")),
        ("with an empty body",         format!("Authorization: Bearer {good}\r\nContent-Length: 0")),
    ];
    for (case, lines) in rows {
        let lines = lines + "\r\n";
        let answer = target.client.with_lines(lines.as_bytes()).await;
        assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
    }
}

#[tokio::test]
async fn accepts_unusual_key_sets() {
    let rsa = SigningKey::generate(Algorithm::RS256).with_kid("rsa");
    let ec = SigningKey::generate(Algorithm::ES256).with_kid("ec");
    let ed = SigningKey::generate(Algorithm::EdDSA).with_kid("ed");
    let set = |members: &[(&str, Option<Value>)]| {
        let mut jwk = rsa.public_jwk();
        for (name, value) in members {
            match value {
                Some(value) => jwk[*name] = value.clone(),
                None => drop(jwk.as_object_mut().unwrap().remove(*name)),
            }
        }
        jwk
    };
    let padded = |name: &str| {
        let number = bytes_of(rsa.public_jwk()[name].as_str().unwrap());
        json!(base64url([&[0, 0], &number[..]].concat()))
    };
    let (plain, others) = (rsa.public_jwk(), [ec.public_jwk(), ed.public_jwk()]);
    let [curve, edwards] = others;
    let oct = json!({"kty": "oct", "kid": "rsa", "k": "AAAA"});
    #[rustfmt::skip]
    let rows = [
        ("plain",                      vec![plain.clone()],                                          Some("rsa")),
        ("without alg",                vec![set(&[("alg", None)])],                                  Some("rsa")),
        ("without use",                vec![set(&[("use", None)])],                                  Some("rsa")),
        ("without alg and use",        vec![set(&[("alg", None), ("use", None)])],                   Some("rsa")),
        ("without kid",                vec![set(&[("kid", None)])],                                  None),
        ("a token without kid",        vec![plain.clone()],                                          None),
        ("the only key that fits",     vec![curve.clone(), plain.clone(), edwards.clone()],          None),
        ("the only key that fits, without kid", vec![curve.clone(), set(&[("kid", None)]), edwards.clone()],  None),
        ("twice",                      vec![plain.clone(), plain.clone()],                           Some("rsa")),
        ("twice, no kid",              vec![plain.clone(), plain.clone()],                           None),
        ("twice, another kid",         vec![plain.clone(), set(&[("kid", Some(json!("b")))])],       None),
        ("twice, with a leading zero", vec![plain.clone(), set(&[("n", Some(padded("n")))])],        Some("rsa")),
        ("a leading zero in n",        vec![set(&[("n", Some(padded("n")))])],                       Some("rsa")),
        ("a leading zero in e",        vec![set(&[("e", Some(padded("e")))])],                       Some("rsa")),
        ("key_ops",                    vec![set(&[("key_ops", Some(json!(["verify"])))])],           Some("rsa")),
        ("key_ops and more",           vec![set(&[("key_ops", Some(json!(["sign", "verify", 1])))])], Some("rsa")),
        ("a certificate",              vec![set(&[("x5c", Some(json!(["MIIC"]))), ("x5t", Some(json!("AA")))])], Some("rsa")),
        ("a malformed certificate",    vec![set(&[("x5c", Some(json!(null))), ("x5u", Some(json!(1)))])], Some("rsa")),
        ("unknown members",            vec![set(&[("ext", Some(json!(true))), ("iat", Some(json!(1)))])], Some("rsa")),
        ("a curve's members",          vec![set(&[("crv", Some(json!("P-256"))), ("x", Some(json!(0)))])], Some("rsa")),
        ("one kid, two families",      vec![plain.clone(), { let mut ec = curve.clone(); ec["kid"] = json!("rsa"); ec }], Some("rsa")),
        ("one kid, a bad one first",   vec![oct.clone(), plain.clone()],                             Some("rsa")),
        ("one kid, a bad one last",    vec![plain.clone(), oct],                                     Some("rsa")),
        ("one kid, one to encrypt",    vec![set(&[("use", Some(json!("enc")))]), plain.clone()],     Some("rsa")),
        ("next to a bad one",          vec![json!({"kty": "AKP", "alg": "ML-DSA-65"}), plain.clone()], Some("rsa")),
        ("next to null",               vec![json!(null), plain.clone()],                             None),
        ("in a set of a hundred",      (0..100).map(|i| set(&[("kid", Some(json!(format!("k{i}"))))])).chain([plain.clone()]).collect(), Some("rsa")),
    ];
    for (case, keys, kid) in rows {
        assert_accepted(case, &json!({"keys": keys, "x": 1}), &token(&rsa, kid)).await;
    }
    let unicode = rsa.clone().with_kid("鑰/../'\u{0}");
    let keys = json!({"keys": [unicode.public_jwk()]});
    assert_accepted(
        "a kid with any text",
        &keys,
        &token(&rsa, Some(unicode.kid())),
    )
    .await;
    let empty = rsa.clone().with_kid("");
    let keys = json!({"keys": [empty.public_jwk(), curve]});
    assert_accepted("an empty kid", &keys, &token(&rsa, Some(""))).await;
}

#[tokio::test]
async fn accepts_rsa_keys_of_every_allowed_size() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../vectors/edge_keys.json")).unwrap();
    for vector in vectors["accepted"].as_array().unwrap() {
        let case = vector["name"].as_str().unwrap();
        let keys = json!({"keys": [vector["jwk"]]});
        assert_accepted(case, &keys, vector["token"].as_str().unwrap()).await;
    }
}

async fn assert_accepted(case: &str, keys: &Value, token: &str) {
    let auth = Auth::builder()
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .algorithms([Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA])
        .jwks(keys.to_string())
        .build()
        .unwrap();
    let service = Service::start(&auth).await;
    let answer = service.client().await.with_token(token).await;
    assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
}
