//! Compares the verdicts on DPoP proofs with an independent implementation of RFC 9449 §4.3. Writes
//! proofs and our verdicts for `second_opinion/proofs.py`, which verifies signatures with `PyJWT`
//! and implements the rules itself. `second_opinion/run` does both.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use warp::http::{HeaderMap, HeaderValue, Method};
use warp_bearer::{
    auth::{Algorithm, Auth, RequestHead, claims::NoPrivate, dpop::Dpop},
    issuer::{Issuer, SigningKey},
};

use crate::{
    second_opinion::Random,
    support::text::{Object, base64url, quoted, signed_by},
};

const PROOFS: usize = 3000;
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::RS256,
];
const PUBLIC_URL: &str = "https://api.example.com/v1";
const PATH: &str = "/a%7Eb/caf%C3%A9";
const URL: &str = "https://api.example.com/v1/a~b/caf%C3%A9";

/// A client's key, with a token that is bound to it.
struct Client {
    key: SigningKey,
    token: String,
    hash: String,
}

#[tokio::test]
#[ignore = "run by tests/second_opinion/run, which needs Python and PyPI"]
async fn writes_a_corpus_of_proofs() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    // The clock is an hour behind while we build, so that the record of used proofs accepts proofs
    // from the last hour.
    let is_built = Arc::new(AtomicBool::new(false));
    let built = Arc::clone(&is_built);
    let clock = move || {
        let late = if built.load(Ordering::Relaxed) {
            0
        } else {
            60 * 60
        };
        SystemTime::now() - Duration::from_secs(late)
    };
    let auth = Auth::builder()
        .clock(clock)
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .dpop(Dpop::required(PUBLIC_URL))
        .build()
        .unwrap();
    is_built.store(true, Ordering::Relaxed);
    auth.ready().await;
    let clients = ALGORITHMS.map(|algorithm| {
        let key = SigningKey::generate(algorithm);
        let token = issuer.token().bound_to(&key).sign();
        // The test kit computes `ath` for us
        let made = key.proof("GET", URL).token(&token).sign();
        let claims = crate::support::text::bytes_of(made.split('.').nth(1).unwrap());
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let hash = claims["ath"].as_str().unwrap().to_owned();
        Client { key, token, hash }
    });
    let method = Method::GET;
    let mut random = Random(0xd00f);
    let mut rows = Vec::new();
    let mut verdicts = BTreeMap::new();
    for number in 0..PROOFS {
        let client = &clients[random.below(clients.len())];
        let (class, proof) = Forge::new(client, &clients, number, &mut random).proof();
        let Ok(field) = HeaderValue::from_bytes(&proof) else {
            continue;
        };
        let mut headers = HeaderMap::new();
        let bound = format!("DPoP {}", client.token);
        headers.insert("authorization", HeaderValue::from_str(&bound).unwrap());
        headers.insert("dpop", field);
        let head = RequestHead::new(&method, PATH, &headers);
        let verdict = auth.authenticate::<NoPrivate>(&head).await;
        let ours = verdict.map_or_else(|refusal| refusal.error.code(), |_| "accepted");
        *verdicts.entry(ours).or_insert(0) += 1;
        rows.push(json!({
            "class": class, "proof": String::from_utf8_lossy(&proof), "token": client.token,
            "jkt": client.key.thumbprint(), "ours": ours,
        }));
    }
    println!("{verdicts:#?}");
    let accepted = verdicts["accepted"];
    assert!((800..2500).contains(&accepted), "{accepted} accepted");
    let corpus = json!({
        "method": "GET", "url": URL, "window": 300, "leeway": 30, "now": now(),
        "algorithms": ALGORITHMS, "proofs": rows,
    });
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("second_opinion_of_proofs.json");
    fs::write(path, corpus.to_string()).unwrap();
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// Builds a valid proof with at most one deviation.
struct Forge<'a> {
    client: &'a Client,
    clients: &'a [Client],
    random: &'a mut Random,
    header: Object,
    claims: Object,
}

impl<'a> Forge<'a> {
    fn new(
        client: &'a Client,
        clients: &'a [Client],
        number: usize,
        random: &'a mut Random,
    ) -> Self {
        let header = Object::empty()
            .with("typ", quoted("dpop+jwt"))
            .with("alg", json!(client.key.algorithm()).to_string())
            .with("jwk", client.key.public_jwk().to_string());
        let claims = Object::empty()
            .with("jti", quoted(format!("proof {number}")))
            .with("htm", quoted("GET"))
            .with("htu", quoted(URL))
            .with("iat", now().to_string())
            .with("ath", quoted(&client.hash));
        Self {
            client,
            clients,
            random,
            header,
            claims,
        }
    }

    fn proof(self) -> (&'static str, Vec<u8>) {
        match self.random.below(10) {
            0..4 => self.harmless(),
            4 | 5 => self.bent_header(),
            6 | 7 => self.bent_claims(),
            8 => self.bent_text(),
            _ => self.bent_proof(),
        }
    }

    fn harmless(mut self) -> (&'static str, Vec<u8>) {
        #[rustfmt::skip]
        let urls = [
            URL, "HTTPS://API.example.COM/v1/a~b/caf%C3%A9", "https://api.example.com:443/v1/a~b/caf%C3%A9",
            "https://api.example.com/v1/a%7eb/caf%c3%a9", "https://api.example.com/v1/%61~b/caf%C3%A9?x=/y#z",
        ];
        #[rustfmt::skip]
        let header = [
            ("kid", r#""x""#), ("x", "{\"a\":1}"), ("Crit", r#"["exp"]"#), ("jku", r#""https://evil.example/""#), ("x5c", "[]"), ("", "0"),
        ];
        #[rustfmt::skip]
        let claims = [
            ("exp", "1"), ("nbf", "4102444800"), ("nonce", r#""n""#), ("sub", "\"x\""), ("x", "[[[{}]]]"),
            ("iss", r#""x""#), ("aud", r#""x""#), ("HTU", "1"), ("x", "\"\\u0141\\ud83d\\ude00\""),
        ];
        let url = self.random.pick(&urls);
        let offset = self.random.pick(&[0, 25, -1, -200, -300, -320]);
        let issued = now().saturating_add_signed(offset);
        let (name, value) = self.random.pick(&header);
        self.header = self.header.with(name, value);
        for _ in 0..self.random.below(3) {
            let (name, value) = self.random.pick(&claims);
            self.claims = self.claims.with(name, value);
        }
        let issued = match self.random.below(3) {
            0 => format!("{issued}.5"),
            _ => issued.to_string(),
        };
        self.claims = self.claims.with("htu", quoted(url)).with("iat", issued);
        let (header, claims) = (self.header.text(), self.claims.text());
        ("harmless", self.sign(header, claims))
    }

    fn bent_header(self) -> (&'static str, Vec<u8>) {
        let position = self.random.below(3);
        let others = &self.clients[self.random.below(self.clients.len())].key;
        let mut private = self.client.key.public_jwk();
        private[self.random.pick(&["d", "p", "k", "oth"])] = json!("AA");
        let jwk = |member: &str, value: Value| {
            let mut jwk = self.client.key.public_jwk();
            jwk[member] = value;
            jwk.to_string()
        };
        #[rustfmt::skip]
        let (class, header) = match self.random.below(14) {
            0 => ("header: typ, another", { let v = self.random.pick(&["JWT", "DPOP+JWT", "application/dpop+jwt", "at+jwt", "", "dpop+jwt "]); self.header.with("typ", quoted(v)) }),
            1 => ("header: typ of another type", { let v = self.random.pick(&["null", "1", "[]", "[\"dpop+jwt\"]"]); self.header.with("typ", v) }),
            2 => ("header: typ absent", self.header.without("typ")),
            3 => ("header: alg, not allowed", { let v = self.random.pick(&["none", "HS256", "ES512", "RS512", "es256", "None", ""]); self.header.with("alg", quoted(v)) }),
            4 => ("header: alg of another type", { let v = self.random.pick(&["null", "1", "[\"ES256\"]"]); self.header.with("alg", v) }),
            5 => ("header: alg, not the key's", { let v = self.random.pick(&ALGORITHMS); if v == self.client.key.algorithm() { return self.harmless(); } self.header.with("alg", json!(v).to_string()) }),
            6 => ("header: jwk absent", self.header.without("jwk")),
            7 => ("header: jwk of another type", { let v = self.random.pick(&["null", "1", "[]", "\"x\"", "{}"]); self.header.with("jwk", v) }),
            8 => ("header: jwk with a private member", self.header.with("jwk", private.to_string())),
            9 => ("header: jwk, a symmetric one", self.header.with("jwk", r#"{"kty":"oct","k":"AAAA"}"#)),
            10 => ("header: jwk of another key", { if others.thumbprint() == self.client.key.thumbprint() { return self.harmless(); } self.header.with("jwk", others.public_jwk().to_string()) }),
            11 => ("header: jwk for something else", { let jwk = jwk("use", json!("enc")); self.header.with("jwk", jwk) }),
            12 => ("header: crit", self.header.with("crit", r#"["x"]"#).with("x", "1")),
            _ => ("header: a member twice", self.header.at(position, "typ", quoted("dpop+jwt"))),
        };
        let proof = signed_by(&self.client.key, header.text(), self.claims.text());
        (class, proof.into_bytes())
    }

    fn bent_claims(self) -> (&'static str, Vec<u8>) {
        let position = self.random.below(4);
        let claims = self.claims.clone();
        let long = "j".repeat(257);
        #[rustfmt::skip]
        let (class, claims) = match self.random.below(13) {
            0 => ("claims: htm, another", { let v = self.random.pick(&["POST", "get", "GET ", "", "HEAD"]); claims.with("htm", quoted(v)) }),
            1 => ("claims: htm absent or of another type", { let v = self.random.pick(&["null", "1", "[\"GET\"]"]); claims.with("htm", v) }),
            2 => ("claims: htu, another", { let v = self.random.pick(&[
                "https://api.example.com/v1/a~b", "https://api.example.com/a~b/caf%C3%A9", "http://api.example.com/v1/a~b/caf%C3%A9",
                "https://api.example.com:8443/v1/a~b/caf%C3%A9", "https://evil.example/v1/a~b/caf%C3%A9", "https://api.example.com/v1/a~b/caf%C3%A9/",
                "https://api.example.com/v1/A~b/caf%C3%A9", "/v1/a~b/caf%C3%A9", "", "https://api.example.com.evil.example/v1/a~b/caf%C3%A9",
                "https://api.example.com/v1/a~b%2Fcaf%C3%A9", "https://api.example.com/v1/a%257Eb/caf%C3%A9"]); claims.with("htu", quoted(v)) }),
            3 => ("claims: htu absent or of another type", { let v = self.random.pick(&["null", "1", "{}"]); claims.with("htu", v) }),
            4 => ("claims: iat, old", { let v = self.random.pick(&["0", "-1", "1600000000", "1e9"]); claims.with("iat", v) }),
            5 => ("claims: iat, ahead", { let v = self.random.pick(&["4102444800", "1e300"]); claims.with("iat", v) }),
            6 => ("claims: iat of another type", { let v = format!("\"{}\"", now()); let v = [v.as_str(), "null", "true", "[]"][position]; claims.with("iat", v) }),
            7 => ("claims: ath, another", { let v = self.random.pick(&["fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo", "", "x"]); claims.with("ath", quoted(v)) }),
            8 => ("claims: ath absent", claims.without("ath")),
            9 => ("claims: jti absent or empty", { let v = self.random.pick(&["null", "\"\""]); claims.with("jti", v) }),
            10 => ("claims: jti of another type", { let v = self.random.pick(&["1", "[]", "{}", "true"]); claims.with("jti", v) }),
            11 => ("claims: jti, long", claims.with("jti", quoted(long))),
            _ => ("claims: a member twice", claims.at(position, "htm", quoted("GET"))),
        };
        let proof = signed_by(&self.client.key, self.header.text(), claims.text());
        (class, proof.into_bytes())
    }

    fn bent_text(self) -> (&'static str, Vec<u8>) {
        let in_header = self.random.below(2) == 0;
        let (header, claims) = (self.header.text(), self.claims.text());
        let text = if in_header { &header } else { &claims };
        let rest = text.strip_suffix('}').unwrap();
        let with = |member: &str| format!("{rest},{member}}}").into_bytes();
        let utf16: Vec<_> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        #[rustfmt::skip]
        let (class, bent) = match self.random.below(7) {
            0 => ("text: a byte order mark", format!("\u{feff}{text}").into_bytes()),
            1 => ("text: UTF-16", utf16),
            2 => ("text: NaN and Infinity", { let v = self.random.pick(&["NaN", "Infinity"]); with(&format!("\"x\":{v}")) }),
            3 => ("text: a lone surrogate", with(r#""x":"\ud800""#)),
            4 => ("text: cut short", rest.as_bytes().to_vec()),
            5 => ("text: something after it", format!("{text}x").into_bytes()),
            _ => ("text: no object", { let v = self.random.pick(&["", "null", "[]", "1"]); v.as_bytes().to_vec() }),
        };
        let proof = if in_header {
            self.sign(bent, claims)
        } else {
            self.sign(header, bent)
        };
        (class, proof)
    }

    fn bent_proof(self) -> (&'static str, Vec<u8>) {
        let good = String::from_utf8(self.sign(self.header.text(), self.claims.text())).unwrap();
        let (input, signature) = good.rsplit_once('.').unwrap();
        let at = self.random.below(good.len());
        let odd = self.random.pick(&["+", "/", "=", "~", "!", "*"]);
        #[rustfmt::skip]
        let (class, bent) = match self.random.below(7) {
            0 => ("proof: a letter less", format!("{}{}", &good[..at], &good[at + 1..])),
            1 => ("proof: a sign that base64url has not", format!("{}{odd}{}", &good[..at], &good[at..])),
            2 => ("proof: padding", format!("{good}=")),
            3 => ("proof: a part more or less", self.random.pick(&[&*format!("{good}.{signature}"), input]).to_owned()),
            4 => ("proof: no signature", format!("{input}.")),
            5 => ("proof: signed by another key", format!("{input}.{}", base64url(SigningKey::generate(Algorithm::ES256).sign(input.as_bytes())))),
            _ => ("proof: two", format!("{good},{good}")),
        };
        (class, bent.into_bytes())
    }

    fn sign(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> Vec<u8> {
        signed_by(&self.client.key, header, claims).into_bytes()
    }
}
