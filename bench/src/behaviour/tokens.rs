//! Requests with valid and invalid tokens and header fields, and the response that each should get.
//!
//! All of them go to one server, one after the other. Its issuer has a single key and doesn't fail.

use std::ops::Not;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use warp_bearer::issuer::{Issuer, SigningKey};

use crate::peers;

use super::{
    answer::{self, Answer},
    subject::Stage,
    table::{Cell, Group, Question},
};

pub enum Ask {
    Refused(fn(&Issuer) -> String),
    Taken(fn(&Issuer) -> String),
    /// For everything else: the function sends its own request.
    Seen(fn(&Stage<'_>) -> Cell),
}

use Ask::{Refused, Seen, Taken};

impl Ask {
    pub fn cell(&self, stage: &Stage<'_>) -> Cell {
        match self {
            Refused(token) => Cell::refused(stage.status(&token(&stage.issuer))),
            Taken(token) => Cell::taken(stage.status(&token(&stage.issuer))),
            Seen(cell) => cell(stage),
        }
    }
}

const fn answers(text: &'static str, says: &'static str) -> Question {
    Question {
        group: Group::Answers,
        text,
        says,
    }
}

const fn must(text: &'static str, says: &'static str) -> Question {
    Question {
        group: Group::Must,
        text,
        says,
    }
}

const fn may(text: &'static str, says: &'static str) -> Question {
    Question {
        group: Group::May,
        text,
        says,
    }
}

const fn good(text: &'static str, says: &'static str) -> Question {
    Question {
        group: Group::Good,
        text,
        says,
    }
}

#[rustfmt::skip]
pub const QUESTIONS: &[(Question, Ask)] = &[
    (answers("no token: 401", "RFC 6750 §3.1"), Seen(|stage| Cell::status(stage.with_fields(&[]), 401))),
    (answers("no token: `Bearer` with a parameter, and no `error`", "RFC 6750 §3"), Seen(no_token)),
    (answers("bad signature: 401", "RFC 6750 §3.1"), Seen(|stage| Cell::status(stage.answer(&forged(&stage.issuer)), 401))),
    (answers("expired: 401", "RFC 6750 §3.1"), Seen(|stage| Cell::status(stage.answer(&stage.issuer.token().expired().sign()), 401))),
    (answers("another audience: 401", "RFC 6750 §3.1"), Seen(|stage| Cell::status(stage.answer(&stage.issuer.token().audience(OTHER).sign()), 401))),
    (answers("expired: `error=\"invalid_token\"`", "RFC 6750 §3.1"), Seen(|stage| error(stage.answer(&stage.issuer.token().expired().sign()), "invalid_token"))),
    (answers("`Authorization: Bearer two words`: 400", "RFC 6750 §3.1"), Seen(|stage| Cell::status(stage.with_fields(&["authorization: Bearer two words"]), 400))),
    (answers("`Authorization: Bearer two words`: `error=\"invalid_request\"`", "RFC 6750 §3.1"), Seen(|stage| error(stage.with_fields(&["authorization: Bearer two words"]), "invalid_request"))),
    (answers("the body of a 401", ""), Seen(|stage| body(stage.answer(&stage.issuer.token().expired().sign())))),
    (answers("the answer repeats nothing of the token", ""), Seen(echo)),

    (must("another issuer", "RFC 8725 §3.8"), Refused(|issuer| issuer.token().claim("iss", OTHER).sign())),
    (must("`iss` is an array that contains the right issuer", "RFC 7519 §4.1.1"), Refused(|issuer| issuer.token().claim("iss", json!([issuer.url()])).sign())),
    (must("no `aud`", "RFC 8725 §3.9"), Refused(|issuer| issuer.token().without("aud").sign())),
    (must("`aud` is an object that contains the right audience", "RFC 7519 §4.1.3"), Refused(|issuer| issuer.token().claim("aud", json!({issuer.audience(): issuer.audience()})).sign())),
    (must("`exp` is a string", "RFC 7519 §4.1.4"), Refused(|issuer| issuer.token().claim("exp", "4102444800").sign())),
    (must("`nbf` an hour from now", "RFC 7519 §4.1.5"), Refused(|issuer| issuer.token().not_before(3600).sign())),
    (must("`nbf` is a string", "RFC 7519 §4.1.5"), Refused(|issuer| issuer.token().claim("nbf", "1").sign())),
    (must("`crit` with an unknown name", "RFC 7515 §4.1.11"), Refused(|issuer| issuer.token().header("crit", ["example"]).header("example", true).sign())),
    (must("`b64: false`, named in `crit`", "RFC 7797 §7"), Refused(|issuer| issuer.token().header("crit", ["b64"]).header("b64", false).sign())),
    (must("`alg: none`, unsigned", "RFC 8725 §3.1"), Refused(unsigned)),
    (must("`HS256` with the public key as the secret", "RFC 8725 §3.1"), Refused(confused)),
    (must("`=` after the signature", "RFC 7515 §2"), Refused(|issuer| issuer.token().sign() + "==")),

    (may("no `iss`", "RFC 9068 §4"), Refused(|issuer| issuer.token().without("iss").sign())),
    (may("no `exp`", "RFC 9068 §4"), Refused(|issuer| issuer.token().without("exp").sign())),
    (may("`typ: logout+jwt`", "RFC 8725 §3.11"), Refused(|issuer| issuer.token().typ("logout+jwt").sign())),
    (may("`typ: dpop+jwt`", "RFC 8725 §3.11"), Refused(|issuer| issuer.token().typ("dpop+jwt").sign())),
    (may("`cnf`: bound to a key that the client does not prove", "RFC 9449 §7.2"), Refused(|issuer| issuer.token().claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})).sign())),
    (may("a claim twice", "RFC 7519 §4"), Refused(|issuer| twice(issuer, false))),
    (may("a header parameter twice", "RFC 7515 §4"), Refused(|issuer| twice(issuer, true))),
    (may("bits after the last byte of the signature", "RFC 4648 §3.5"), Refused(trailing_bits)),
    (may("a token of 17 KB", ""), Refused(|issuer| issuer.token().claim("filling", "x".repeat(12_500)).sign())),
    (may("two `Authorization` fields, the good token first", "RFC 6750 §3.1"), Seen(|stage| two_fields(stage, false))),
    (may("two `Authorization` fields, the good token last", "RFC 6750 §3.1"), Seen(|stage| two_fields(stage, true))),
    (may("the token in the query of the URL", "RFC 6750 §2.3"), Seen(in_the_query)),

    (good("`aud` is an array that contains ours", "RFC 7519 §4.1.3"), Taken(|issuer| issuer.token().audiences([OTHER, issuer.audience()]).sign())),
    (good("`typ: at+jwt`", "RFC 9068 §2.1"), Taken(|issuer| issuer.token().typ("at+jwt").sign())),
    (good("no `typ`", "RFC 7519 §5.1"), Taken(|issuer| issuer.token().without_header("typ").sign())),
    (good("no `kid`, and one key that fits", "RFC 7515 §4.1.4"), Taken(|issuer| issuer.token().without_header("kid").sign())),
    (good("`kid` with a character escaped", "RFC 8259 §7"), Taken(escaped)),
    (good("an unknown claim", "RFC 7519 §4"), Taken(|issuer| issuer.token().claim("https://example.com/plan", json!({"name": "free"})).sign())),
    (good("an unknown header parameter", "RFC 7515 §4"), Taken(|issuer| issuer.token().header("example", json!([1, null])).sign())),
    (good("`exp` with a fraction", "RFC 7519 §2"), Taken(|issuer| issuer.token().claim("exp", 4_102_444_800.5).sign())),
    (good("`bearer` in lower case", "RFC 9110 §11.1"), Seen(|stage| taken_from(stage, &format!("authorization: bearer {}", stage.issuer.token().sign())))),
    (good("two blanks after `Bearer`", "RFC 9110 §11.4"), Seen(|stage| taken_from(stage, &format!("authorization: Bearer  {}", stage.issuer.token().sign())))),
    (good("a token of 8 KB", ""), Taken(|issuer| issuer.token().claim("filling", "x".repeat(5_700)).sign())),
];

const OTHER: &str = "https://other.example.com/";

fn no_token(stage: &Stage<'_>) -> Cell {
    let Some(answer) = stage.with_fields(&[]) else {
        return Cell::seen("no answer");
    };
    match answer.challenge() {
        None => Cell::seen("none"),
        Some(challenge) if challenge.is_empty() => Cell::seen("bare"),
        Some(challenge) if challenge.contains("error=") => Cell::seen("`error`"),
        Some(_) => Cell::Yes,
    }
}

fn error(answer: Option<Answer>, error: &str) -> Cell {
    let challenge = answer.and_then(|answer| answer.challenge());
    let said = challenge.is_some_and(|said| said.contains(&format!("error=\"{error}\"")));
    Cell::yes_or_no(said)
}

fn body(answer: Option<Answer>) -> Cell {
    let Some(answer) = answer else {
        return Cell::seen("no answer");
    };
    let media_type = answer.field("content-type");
    let media_type = media_type.split(';').next().unwrap_or_default();
    match (answer.has_body(), media_type) {
        (false, _) => Cell::seen("empty"),
        (true, "application/problem+json") => Cell::seen("problem"),
        (true, "application/json") => Cell::seen("JSON"),
        (true, _) => Cell::seen("text"),
    }
}

/// Tests whether the response repeats a text that it can only have from the token.
fn echo(stage: &Stage<'_>) -> Cell {
    let token = || stage.issuer.token();
    let bad = [
        token().kid("echoed").sign(),
        token().claim("iss", "https://echoed.example.com/").sign(),
        token().audience("https://echoed.example.com/").sign(),
        token().header("alg", "echoed").sign(),
        token().header("crit", ["echoed"]).sign(),
        token().claim("exp", "echoed").sign(),
        token().kid("echoed").sign().replace('.', "!echoed"),
    ];
    let says = |token: &String| {
        let answer = stage.answer(token);
        answer.is_some_and(|answer| answer.status != 200 && answer.says("echoed"))
    };
    Cell::yes_or_no(bad.iter().any(says).not())
}

fn forged(issuer: &Issuer) -> String {
    let stranger = SigningKey::generate(issuer.key().algorithm());
    issuer.token().key(&stranger).kid(issuer.key().kid()).sign()
}

fn two_fields(stage: &Stage<'_>, last: bool) -> Cell {
    let good = format!("authorization: Bearer {}", stage.issuer.token().sign());
    let mut fields = [&*good, "authorization: Bearer e30.e30.AA"];
    if last {
        fields.reverse();
    }
    Cell::refused(stage.with_fields(&fields).map(|answer| answer.status))
}

fn in_the_query(stage: &Stage<'_>) -> Cell {
    let token = stage.issuer.token().sign();
    let target = format!("/api/private?access_token={token}");
    let answer = answer::ask(stage.address(), &answer::request(&target, &[]));
    Cell::refused(answer.map(|answer| answer.status))
}

fn taken_from(stage: &Stage<'_>, field: &str) -> Cell {
    Cell::taken(stage.with_fields(&[field]).map(|answer| answer.status))
}

fn parts(issuer: &Issuer) -> (Value, Value) {
    let token = issuer.token().sign();
    let part = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let mut all = token.split('.').map(str::to_owned);
    (part(&all.next().unwrap()), part(&all.next().unwrap()))
}

fn unsigned(issuer: &Issuer) -> String {
    let (mut header, payload) = parts(issuer);
    header["alg"] = json!("none");
    let part = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}.", part(header), part(payload))
}

fn confused(issuer: &Issuer) -> String {
    let secret = SigningKey::from_secret(peers::public_pem(issuer));
    let token = issuer.token().key(&secret);
    token.kid(issuer.key().kid()).sign()
}

/// Repeats a member. The first copy is the false one, so a parser that uses the last copy notices
/// nothing.
fn twice(issuer: &Issuer, in_header: bool) -> String {
    let (header, payload) = parts(issuer);
    let (mut header, mut payload) = (header.to_string(), payload.to_string());
    if in_header {
        header.insert_str(1, r#""kid":"another","#);
    } else {
        payload.insert_str(1, r#""sub":"auth0|mallory","#);
    }
    issuer.sign_raw(header.as_bytes(), payload.as_bytes())
}

/// 256 bytes are 341⅓ base64url characters, so the last of 342 characters has four unused bits.
fn trailing_bits(issuer: &Issuer) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut token = issuer.token().sign();
    let last = token.pop().unwrap();
    let at = ALPHABET.find(last).unwrap();
    token + &ALPHABET[at + 1..at + 2]
}

fn escaped(issuer: &Issuer) -> String {
    let (header, payload) = parts(issuer);
    let kid = issuer.key().kid().to_owned();
    let first = kid.chars().next().unwrap();
    let escaped = format!("\\u{:04x}{}", u32::from(first), &kid[1..]);
    let header = header.to_string().replace(&kid, &escaped);
    issuer.sign_raw(header.as_bytes(), payload.to_string().as_bytes())
}
