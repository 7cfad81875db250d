//! Measures single verifications.
//!
//! A rejected token costs all steps up to its rejection, and `refused` lists the errors in the
//! order of verification, so the difference between two of its lines should be the time of the
//! steps between them.

mod support;

use divan::Bencher;

use warp_bearer::{auth::Algorithm, issuer::SigningKey};

use self::support::{ALGORITHMS, Beside, Subject, raw, sized};

fn main() {
    divan::main();
}

/// The subject has no cache, so each verification is that of a fresh token.
#[divan::bench(args = ALGORITHMS)]
fn miss(bencher: Bencher, algorithm: Algorithm) {
    let subject = Subject::without_cache(algorithm);
    let token = subject.token().sign();
    bencher.bench(|| subject.accept(&token));
}

/// The same tokens with `jsonwebtoken::decode`, which you'd call without this library.
#[divan::bench(args = ALGORITHMS)]
fn jsonwebtoken_decode(bencher: Bencher, algorithm: Algorithm) {
    let subject = Subject::without_cache(algorithm);
    let beside = Beside::new(&subject);
    let token = subject.token().sign();
    bencher.bench(|| beside.accept(&token));
}

/// Cached tokens. The algorithm makes no difference to them.
#[divan::bench(args = [512, 2_048, 8_192])]
fn hit_by_size(bencher: Bencher, bytes: usize) {
    let subject = Subject::new(Algorithm::RS256);
    let token = sized(&subject, bytes);
    subject.accept(&token);
    bencher.bench(|| subject.accept(&token));
}

#[divan::bench]
fn hit_among_many(bencher: Bencher) {
    let subject = Subject::new(Algorithm::ES256);
    let token = |i| subject.token().subject(format!("auth0|{i:024}")).sign();
    let tokens: Vec<_> = (0..10_000).map(token).collect();
    for token in &tokens {
        subject.accept(token);
    }
    let mut next = tokens.iter().cycle();
    bencher.bench_local(|| subject.accept(next.next().unwrap()));
}

#[divan::bench(args = [512, 2_048, 8_192])]
fn miss_by_size(bencher: Bencher, bytes: usize) {
    let subject = Subject::without_cache(Algorithm::RS256);
    let token = sized(&subject, bytes);
    bencher.bench(|| subject.accept(&token));
}

#[divan::bench(args = [512, 2_048, 8_192])]
fn jsonwebtoken_decode_by_size(bencher: Bencher, bytes: usize) {
    let subject = Subject::without_cache(Algorithm::RS256);
    let beside = Beside::new(&subject);
    let token = sized(&subject, bytes);
    bencher.bench(|| beside.accept(&token));
}

/// Errors in tokens, in the order in which verification finds them.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    TooLarge,
    OnePart,
    NoBase64,
    NoJson,
    Algorithm,
    Critical,
    Type,
    Payload,
    Issuer,
    Audience,
    Expired,
    Bound,
    Kid,
    Signature,
}

#[rustfmt::skip]
const WRONG: [Wrong; 14] = [
    Wrong::TooLarge, Wrong::OnePart, Wrong::NoBase64, Wrong::NoJson, Wrong::Algorithm,
    Wrong::Critical, Wrong::Type, Wrong::Payload, Wrong::Issuer, Wrong::Audience, Wrong::Expired,
    Wrong::Bound, Wrong::Kid, Wrong::Signature,
];

#[divan::bench(args = WRONG)]
fn refused(bencher: Bencher, wrong: Wrong) {
    let subject = Subject::new(Algorithm::RS256);
    // A running service has accepted a token before
    subject.accept(&subject.token().sign());
    let (token, code) = bad(&subject, wrong);
    assert_eq!(subject.refusal(&token), code);
    bencher.bench(|| subject.refusal(&token));
}

fn bad(subject: &Subject, wrong: Wrong) -> (String, &'static str) {
    let token = subject.token();
    let good = token.clone().sign();
    match wrong {
        Wrong::TooLarge => ("x".repeat(16 * 1024 + 1), "token_too_large"),
        Wrong::OnePart => ("x".repeat(788), "token_not_jwt"),
        Wrong::NoBase64 => (good + "!", "token_malformed"),
        Wrong::NoJson => (raw(b"{", b"{}"), "token_malformed"),
        Wrong::Algorithm => (token.header("alg", "none").sign(), "algorithm_not_allowed"),
        Wrong::Critical => {
            let critical = token.header("crit", ["exp"]).sign();
            (critical, "unsupported_critical_header")
        }
        Wrong::Type => (token.typ("logout+jwt").sign(), "wrong_token_type"),
        Wrong::Payload => {
            let twice = br#"{"iss":"one","iss":"two"}"#;
            (raw(br#"{"alg":"RS256"}"#, twice), "token_malformed")
        }
        Wrong::Issuer => {
            let other = token.claim("iss", "https://other.example.com/");
            (other.sign(), "unknown_issuer")
        }
        Wrong::Audience => {
            let other = token.audience("https://other.example.com");
            (other.sign(), "wrong_audience")
        }
        Wrong::Expired => (token.expired().sign(), "token_expired"),
        Wrong::Bound => (token.claim("cnf", ["a key"]).sign(), "token_bound"),
        Wrong::Kid => (token.kid("made-up").sign(), "unknown_key"),
        Wrong::Signature => {
            let stranger = SigningKey::generate(Algorithm::RS256).with_kid(subject.kid());
            (token.key(&stranger).sign(), "bad_signature")
        }
    }
}
