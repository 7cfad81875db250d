//! Compares our verdicts with an independent implementation: this writes ten thousand tokens and
//! our verdicts for `second_opinion/compare.py`, which compares them with PyJWT's, and
//! `second_opinion/run` does both.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use warp_bearer::{
    auth::{Algorithm, Auth, AuthError},
    issuer::{Issuer, SigningKey},
};

use crate::support::text::{Object, base64url, bytes_of, quoted, signed_by};

const TOKENS: usize = 10_000;
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

#[tokio::test]
#[ignore = "run by tests/second_opinion/run, which needs Python and PyPI"]
async fn writes_a_corpus_for_the_second_implementation() {
    // We use only its name and its audience
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let keys = ALGORITHMS.map(SigningKey::generate);
    let jwks = json!({"keys": keys.each_ref().map(SigningKey::public_jwk)});
    let auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms(ALGORITHMS)
        .jwks(jwks.to_string())
        .build()
        .unwrap();

    let mut random = Random(0x5eed);
    let mut tokens = Vec::new();
    let mut verdicts = BTreeMap::new();
    for _ in 0..TOKENS {
        let (class, token) = Forge::new(&issuer, &keys, &mut random).token();
        let verdict = auth.verify::<Value>(&token).await;
        let ours = verdict.map_or_else(AuthError::code, |_| "accepted");
        *verdicts.entry(ours).or_insert(0) += 1;
        tokens.push(json!({"class": class, "token": token, "ours": ours}));
    }
    println!("{verdicts:#?}");
    let accepted = verdicts["accepted"];
    assert!((2000..8000).contains(&accepted), "{accepted} accepted");

    let corpus = json!({
        "issuer": issuer.url(),
        "audience": issuer.audience(),
        "algorithms": ALGORITHMS,
        "leeway": 30,
        "jwks": jwks,
        "tokens": tokens,
    });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second_opinion.json");
    fs::write(path, corpus.to_string()).unwrap();
}

/// `SplitMix64`, so that the corpus is the same each time, except for keys and signatures.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Builds a valid token with at most one deviation.
struct Forge<'a> {
    random: &'a mut Random,
    issuer: &'a Issuer,
    key: &'a SigningKey,
    header: Object,
    claims: Object,
}

impl<'a> Forge<'a> {
    fn new(issuer: &'a Issuer, keys: &'a [SigningKey], random: &'a mut Random) -> Self {
        let key = &keys[random.below(keys.len())];
        let header = Object::header(issuer)
            .with("alg", json!(key.algorithm()).to_string())
            .with("kid", quoted(key.kid()));
        Self {
            random,
            issuer,
            key,
            header,
            claims: Object::claims(issuer),
        }
    }

    fn token(self) -> (&'static str, String) {
        match self.random.below(10) {
            0..4 => self.harmless(),
            4 | 5 => self.bent_header(),
            6 | 7 => self.bent_claims(),
            8 => self.bent_text(),
            _ => self.bent_token(),
        }
    }

    fn harmless(mut self) -> (&'static str, String) {
        let ours = self.issuer.audience();
        #[rustfmt::skip]
        let header = [
            ("typ", r#""JWT""#), ("typ", r#""at+jwt""#), ("typ", r#""application/at+jwt""#), ("typ", r#""jwt""#),
            ("x", "{\"alg\":\"none\"}"), ("Crit", r#"["exp"]"#), ("ALG", r#""none""#), ("cty", r#""json""#),
            ("jku", r#""https://evil.example/""#), ("x5t", r#""AA""#), ("é", r#""\ud83d\ude00""#), (r"\u0078", "[]"),
        ];
        let arrays = [
            format!("[\"{ours}\"]"),
            format!("[\"{}userinfo\",\"{ours}\"]", self.issuer.url()),
            format!("[\"\",\"{ours}\",\"{ours}\"]"),
            quoted(ours.replace('/', r"\/")),
        ];
        #[rustfmt::skip]
        let claims = [
            ("exp", "4102444800.5"), ("exp", "4.1024448E+9"), ("exp", "4102444800000"), ("exp", "18446744073709551616"), ("exp", "1e300"),
            ("nbf", "-1"), ("nbf", "0"), ("nbf", "-0.0"), ("nbf", "1700000000.1"), ("iat", "0"), ("iat", "1e-400"),
            ("sub", r#""""#), ("sub", r#""auth0|\u0141""#), ("jti", r#""a""#), ("EXP", "1"), ("Cnf", "{}"), ("crit", "[]"),
            ("scope", r#""a b""#), ("permissions", r#"["a"]"#), ("x", "null"), ("x", "[[[{\"x\":{\"x\":1}}]]]"), ("", "0"),
            ("x", "123456789012345678901234567890"), ("x", r#""a\u0000b""#), ("\u{feff}", "1"), ("a\\/b", "\"\\b\\f\""),
        ];
        let (name, value) = self.random.pick(&header);
        self.header = self.header.with(name, value);
        for _ in 0..self.random.below(4) {
            let (name, value) = self.random.pick(&claims);
            self.claims = self.claims.with(name, value);
        }
        let array = &arrays[self.random.below(arrays.len())];
        self.claims = self.claims.with("aud", array.as_str());
        for name in ["sub", "iat"] {
            if self.random.below(4) == 0 {
                self.claims = self.claims.without(name);
            }
        }
        let spaced = self.random.below(4) == 0;
        let (header, claims) = (self.header.text(), self.claims.text());
        let space = |text: String| {
            if spaced {
                format!(" {}\n", text.replace(",\"", "\r\n,\t\""))
            } else {
                text
            }
        };
        ("harmless", self.sign(space(header), space(claims)))
    }

    fn bent_header(self) -> (&'static str, String) {
        let position = self.random.below(4);
        let kid = quoted(self.key.kid());
        let foreign = Algorithm::RS384;
        #[rustfmt::skip]
        let (class, header) = match self.random.below(17) {
            0 => ("header: crit names a present parameter", self.header.with("crit", r#"["x"]"#).with("x", "1")),
            1 => ("header: crit names an absent parameter", self.header.with("crit", r#"["x"]"#)),
            2 => ("header: crit of a registered name", self.header.with("crit", r#"["alg"]"#)),
            3 => ("header: crit of another type", { let v = self.random.pick(&["null", "[]", "\"exp\"", "0", "{}", "[1]"]); self.header.with("crit", v) }),
            4 => ("header: b64", { let v = self.random.pick(&["true", "null", "0", "\"false\"", "\"\""]); self.header.with("b64", v) }),
            5 => ("header: b64, false", self.header.with("b64", "false").with("crit", r#"["b64"]"#)),
            6 => ("header: typ of another kind", { let v = self.random.pick(&["logout+jwt", "dpop+jwt", "JWE", "", "at+jwt ", "secevent+jwt"]); self.header.with("typ", quoted(v)) }),
            7 => ("header: typ of another type", { let v = self.random.pick(&["null", "1", "[]", "{}"]); self.header.with("typ", v) }),
            8 => ("header: alg, none", { let v = self.random.pick(&["none", "None", "nonE", ""]); self.header.with("alg", quoted(v)) }),
            9 => ("header: alg of another type", { let v = self.random.pick(&["null", "1", "[\"RS256\"]", "{}"]); self.header.with("alg", v) }),
            10 => ("header: alg, not allowed", { let v = self.random.pick(&["HS256", "RS384", "ES512", "rs256", "RS256 "]); self.header.with("alg", quoted(v)) }),
            11 => ("header: alg, not the key's", { let v = self.random.pick(&ALGORITHMS); let v = if v == self.key.algorithm() { foreign } else { v }; self.header.with("alg", json!(v).to_string()) }),
            12 => ("header: kid, unknown", { let v = self.random.pick(&["", "x", "../../dev/null", r"\u0000"]); self.header.with("kid", quoted(v)) }),
            13 => ("header: kid of another type", { let v = self.random.pick(&["null", "1", "[]", "true"]); self.header.with("kid", v) }),
            14 => ("header: a member twice", { let (n, v) = self.random.pick(&[("alg", "\"none\""), ("typ", "\"JWT\""), ("x", "1")]); self.header.with("x", "1").at(position, n, v) }),
            15 => ("header: kid twice", self.header.at(position, r"k\u0069d", kid)),
            _ => ("header: alg absent", self.header.without("alg")),
        };
        let token = signed_by(self.key, header.text(), self.claims.text());
        (class, token)
    }

    fn bent_claims(self) -> (&'static str, String) {
        let position = self.random.below(5);
        let (ours, iss) = (
            self.issuer.audience().to_owned(),
            self.issuer.url().to_owned(),
        );
        let date = self.random.pick(&["exp", "nbf", "iat"]);
        let claims = self.claims.clone();
        #[rustfmt::skip]
        let (class, claims) = match self.random.below(20) {
            0 => ("claims: exp, past", { let v = self.random.pick(&["1", "0", "-1", "-0", "1e9", "1000000000", "-1e300", "1e-400"]); claims.with("exp", v) }),
            1 => ("claims: nbf, to come", { let v = self.random.pick(&["4102444800", "1e300", "1700000000000"]); claims.with("nbf", v) }),
            2 => ("claims: iat, to come", { let v = self.random.pick(&["4102444800", "1e300", "1700000000000"]); claims.with("iat", v) }),
            3 => ("claims: a date as a string", claims.with(date, if date == "exp" { "\"4102444800\"" } else { "\"1\"" })),
            4 => ("claims: a date as a boolean", { let v = self.random.pick(&["true", "false"]); claims.with(date, v) }),
            5 => ("claims: a date of another type", { let v = self.random.pick(&["null", "[]", "{}", "[1]", "\"x\"", "\"\""]); claims.with(date, v) }),
            6 => ("claims: a date beyond a double", { let v = self.random.pick(&["1e400", "-1e400"]); claims.with(date, v) }),
            7 => ("claims: a number beyond a double", claims.with("x", "1e400")),
            8 => ("claims: exp absent", claims.without("exp")),
            9 => ("claims: iss, another", { let v = [iss.trim_end_matches('/').to_owned(), iss.to_uppercase(), format!("{iss} "), String::new()]; let v = &v[position % 4]; claims.with("iss", quoted(v)) }),
            10 => ("claims: iss of another type", { let v = ["null", "1", "[]", "{}"][position % 4]; claims.with("iss", v) }),
            11 => ("claims: iss, an array of ours", claims.with("iss", format!("[\"{iss}\"]"))),
            12 => ("claims: iss absent", claims.without("iss")),
            13 => ("claims: aud, another", { let v = [quoted("x"), "[]".into(), "[\"x\"]".into(), quoted(""), quoted(format!("{ours} x"))]; claims.with("aud", v[position % 5].as_str()) }),
            14 => ("claims: aud of another type", { let v = ["null", "1", "{}", "[null]", "true"][position % 5]; claims.with("aud", v) }),
            15 => ("claims: aud, ours and another type", { let v = self.random.pick(&["null", "1", "{}", "[]"]); claims.with("aud", format!("[\"{ours}\",{v}]")) }),
            16 => ("claims: aud absent", claims.without("aud")),
            17 => ("claims: sub or jti of another type", { let (n, v) = self.random.pick(&[("sub", "1"), ("sub", "[]"), ("jti", "1"), ("jti", "{}"), ("sub", "null"), ("jti", "null")]); claims.with(n, v) }),
            18 => ("claims: cnf", { let v = self.random.pick(&["{\"jkt\":\"x\"}", "{}", "null"]); claims.with("cnf", v) }),
            _ => ("claims: a member twice", { let (n, v) = self.random.pick(&[("exp", "4102444800"), ("sub", "\"x\""), (r"\u0065xp", "4102444800")]); claims.at(position, n, v) }),
        };
        let token = signed_by(self.key, self.header.text(), claims.text());
        (class, token)
    }

    /// Writes a header or claims in invalid or unusual JSON.
    fn bent_text(self) -> (&'static str, String) {
        let in_header = self.random.below(2) == 0;
        let text = if in_header {
            self.header.text()
        } else {
            self.claims.text()
        };
        let rest = text.strip_suffix('}').unwrap().to_owned();
        let with = |members: &str| format!("{rest},{members}}}").into_bytes();
        let deep = format!(r#""x":{}{}"#, "[".repeat(1000), "]".repeat(1000));
        let utf16: Vec<_> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        #[rustfmt::skip]
        let (class, text) = match self.random.below(12) {
            0 => ("text: a byte order mark", format!("\u{feff}{text}").into_bytes()),
            1 => ("text: UTF-16", utf16),
            2 => ("text: not UTF-8", [with("\"x\":\"@\"")].concat().iter().map(|b| if *b == b'@' { 0xff } else { *b }).collect()),
            3 => ("text: NaN and Infinity", { let v = self.random.pick(&["NaN", "Infinity", "-Infinity"]); with(&format!("\"x\":{v}")) }),
            4 => ("text: a lone surrogate", { let v = self.random.pick(&[r#""x":"\ud800""#, r#""x":"\udc00\ud800""#, r#""\udfff":1"#]); with(v) }),
            5 => ("text: a control character", { let v = self.random.pick(&["\"x\":\"\0\"", "\"x\":\"\n\"", "\"x\":\"\u{1f}\""]); with(v) }),
            6 => ("text: a thousand deep", with(&deep)),
            7 => ("text: a number misspelt", { let v = self.random.pick(&["01", "1.", ".5", "+1", "0x1", "1e", "--1"]); with(&format!("\"x\":{v}")) }),
            8 => ("text: a comma too many", with("")),
            9 => ("text: something after it", { let v = self.random.pick(&["{}", "x", ",", "\0", "}"]); format!("{text}{v}").into_bytes() }),
            10 => ("text: cut short", rest.clone().into_bytes()),
            _ => ("text: no object", { let v = self.random.pick(&["", "null", "[]", "\"x\"", "1", "true"]); v.as_bytes().to_vec() }),
        };
        let (header, claims) = (
            self.header.text().into_bytes(),
            self.claims.text().into_bytes(),
        );
        let token = if in_header {
            self.sign(&text, claims)
        } else {
            self.sign(header, &text)
        };
        (class, token)
    }

    /// Changes the signed token, or its signature.
    fn bent_token(self) -> (&'static str, String) {
        let good = self.sign(self.header.text(), self.claims.text());
        let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
        let at = self.random.below(good.len());
        let letter = self.random.pick(&["A", "b", "-", "_", "9"]);
        let odd = self.random.pick(&["+", "/", "=", "~", "!", " ", "\n", "*"]);
        let bytes = bytes_of(signature);
        let spare = || {
            const ALPHABET: &str =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let value = ALPHABET.find(&signature[signature.len() - 1..]).unwrap();
            format!(
                "{}{}",
                &signature[..signature.len() - 1],
                &ALPHABET[value ^ 1..=value ^ 1]
            )
        };
        #[rustfmt::skip]
        let (class, token) = match self.random.below(12) {
            0 => ("token: a letter changed", format!("{}{letter}{}", &good[..at], &good[at + 1..])),
            1 => ("token: a letter more", format!("{}{letter}{}", &good[..at], &good[at..])),
            2 => ("token: a letter less", format!("{}{}", &good[..at], &good[at + 1..])),
            3 => ("token: a sign that base64url has not", format!("{}{odd}{}", &good[..at], &good[at..])),
            4 => ("token: padding", format!("{good}{}", self.random.pick(&["=", "==", "==="]))),
            5 => ("token: trailing bits", format!("{header}.{payload}.{}", spare())),
            6 => ("token: a part more or less", self.random.pick(&[&*format!("{good}.{signature}"), &format!("{header}.{payload}"), &format!(".{good}"), &format!("{good}.")]).to_owned()),
            7 => ("token: parts empty or swapped", self.random.pick(&[&*format!("{header}.{payload}."), &format!("{payload}.{header}.{signature}"), "..", &format!("{header}..{signature}")]).to_owned()),
            8 => ("token: signature longer or shorter", { let n = self.random.below(bytes.len()); let s = self.random.pick(&[&bytes[..n], &bytes[n..], &[&bytes[..], &[0]].concat(), &[&[0], &bytes[..]].concat()]).to_vec(); if s == bytes { return ("harmless", good); } format!("{header}.{payload}.{}", base64url(s)) }),
            9 => ("token: signature of nothing", format!("{header}.{payload}.{}", base64url(vec![self.random.pick(&[0, 1, 0xff]); bytes.len()]))),
            10 => ("token: signature by another key", { let other = SigningKey::generate(if self.random.below(2) == 0 { Algorithm::ES256 } else { Algorithm::EdDSA }); format!("{header}.{payload}.{}", base64url(other.sign(b"x"))) }),
            _ => ("token: white space around it", self.random.pick(&[&*format!(" {good}"), &format!("{good} "), &format!("{good}\n")]).to_owned()),
        };
        (if token == good { "harmless" } else { class }, token)
    }

    fn sign(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        signed_by(self.key, header, claims)
    }
}
