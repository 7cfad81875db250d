//! Signatures that are cut, extended, swapped, out of range, or made by another algorithm.

use warp_bearer::{
    auth::Algorithm,
    issuer::{Issuer, SigningKey},
};

use crate::{
    attacks::Target,
    support::{
        ASYMMETRIC,
        text::{base64url, bytes_of, quoted, signature_of, with_signature},
    },
};

/// The order of P-256's group (FIPS 186-4 §D.1.2.3).
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order of Ed25519's group, little endian (RFC 8032 §5.1).
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[tokio::test]
async fn rejects_incomplete_signatures() {
    for algorithm in ASYMMETRIC {
        let mut target = Target::of(algorithm).await;
        let good = target.good();
        let signature = signature_of(&good);
        let (length, half) = (signature.len(), signature.len() / 2);
        let another = signature_of(&target.issuer.token().subject("other").sign());
        let stranger = SigningKey::generate(algorithm);
        let kid = target.issuer.key().kid().to_owned();
        #[rustfmt::skip]
        let rows = [
            ("empty",                  Vec::new()),
            ("a NUL",                  vec![0]),
            ("all NUL",                vec![0; length]),
            ("all ones",               vec![0xff; length]),
            ("one",                    [&vec![0; length - 1][..], &[1]].concat()),
            ("cut at the end",         signature[..length - 1].to_vec()),
            ("cut at the start",       signature[1..].to_vec()),
            ("its first half",         signature[..half].to_vec()),
            ("its second half",        signature[half..].to_vec()),
            ("halves swapped",         [&signature[half..], &signature[..half]].concat()),
            ("backwards",              signature.iter().rev().copied().collect()),
            ("a NUL before the signature", [&[0], &signature[..]].concat()),
            ("a NUL after the signature", [&signature[..], &[0]].concat()),
            ("twice",                  signature.repeat(2)),
            ("every bit flipped",      signature.iter().map(|byte| !byte).collect()),
            ("as base64url, again",    base64url(&signature).into_bytes()),
            ("in hexadecimal",         signature.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()),
            ("of another token",       another),
            ("very long",              vec![0x5a; 9 * 1024]),
        ];
        for (case, signature) in rows {
            let token = with_signature(&good, signature);
            let case = format!("{algorithm:?}: {case}");
            target.refuses(&case, &token, "bad_signature").await;
        }
        let case = format!("{algorithm:?}: by another key");
        let token = target.issuer.token().key(&stranger).kid(&kid).sign();
        target.refuses(&case, &token, "bad_signature").await;
        target
            .accepts(&format!("{algorithm:?}: unchanged"), &good)
            .await;
    }
}

/// The algorithm in the header decides, even if the key supports others.
#[tokio::test]
async fn rejects_signatures_by_another_algorithm_of_the_key() {
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    let rsa = [RS256, RS384, RS512, PS256, PS384, PS512];
    let issuer = Issuer::start().await;
    let mut jwk = issuer.key().public_jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    issuer.publish(serde_json::json!({"keys": [jwk]}));
    let mut target = Target::with(issuer, |auth| auth.algorithms(rsa)).await;
    for said in rsa {
        for done in rsa {
            let token = target.issuer.token().algorithm(done);
            let token = token.header("alg", said).sign();
            let case = format!("{said:?} said, {done:?} done");
            if said == done {
                target.accepts(&case, &token).await;
            } else {
                target.refuses(&case, &token, "bad_signature").await;
            }
        }
    }
}

#[tokio::test]
async fn rejects_signatures_over_other_parts() {
    let mut target = Target::start().await;
    let (one, other) = (
        target.good(),
        target.issuer.token().subject("x").typ("at+jwt").sign(),
    );
    let [header, payload, signature] = parts(&one);
    let [other_header, other_payload, other_signature] = parts(&other);
    let admin = base64url(target.claims().with("sub", quoted("admin")).text());
    let no_kid = base64url(target.header().without("kid").text());
    let spaced = base64url(target.header().text().replace(',', ", "));
    #[rustfmt::skip]
    let rows = [
        ("another's payload",          format!("{header}.{other_payload}.{signature}")),
        ("another's header",           format!("{other_header}.{payload}.{signature}")),
        ("another's signature",        format!("{header}.{payload}.{other_signature}")),
        ("a chosen subject",           format!("{header}.{admin}.{signature}")),
        ("a header without kid",       format!("{no_kid}.{payload}.{signature}")),
        ("a header with a space",      format!("{spaced}.{payload}.{signature}")),
    ];
    for (case, token) in rows {
        target.refuses(case, &token, "bad_signature").await;
    }
    // what was signed isn't quite the text of the token
    let (text, claims) = (target.header().text(), target.claims().text());
    #[rustfmt::skip]
    let inputs = [
        ("only the payload",           payload.to_owned()),
        ("only the header",            header.to_owned()),
        ("without the dot",            format!("{header}{payload}")),
        ("with an extra dot",          format!("{header}.{payload}.")),
        ("the parts swapped",          format!("{payload}.{header}")),
        ("the texts decoded",          format!("{text}.{claims}")),
        ("the payload decoded",        format!("{header}.{claims}")),
        ("padded",                     format!("{header}=.{payload}=")),
        ("with a line feed",           format!("{header}.{payload}\n")),
        ("empty",                      String::new()),
    ];
    for (case, input) in inputs {
        let token = with_signature(&one, target.issuer.sign_input(&input));
        target.refuses(case, &token, "bad_signature").await;
    }
}

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// Numbers that a careless verifier would reduce or pad (RFC 8017 §8.2.2).
#[tokio::test]
async fn rejects_invalid_rsa_signatures() {
    let mut target = Target::start().await;
    let good = target.good();
    let signature = signature_of(&good);
    let jwk = target.issuer.key().public_jwk();
    let n = bytes_of(jwk["n"].as_str().unwrap());
    let number = |last: u8| [&[0; 255][..], &[last]].concat();
    let mut n_less_one = n.clone();
    n_less_one[255] -= 1;
    #[rustfmt::skip]
    let rows = [
        ("0",                          number(0)),
        ("1",                          number(1)),
        ("2",                          number(2)),
        ("n - 1",                      n_less_one),
        ("n",                          n.clone()),
        ("s + n",                      sum(&[&[0], &signature[..]].concat(), &[&[0], &n[..]].concat())),
        ("n - s",                      difference(&n, &signature)),
    ];
    for (case, signature) in rows {
        let token = with_signature(&good, signature);
        target.refuses(case, &token, "bad_signature").await;
    }
}

/// r and s must be from 1 to n - 1, and each have the length of the field (RFC 7518 §3.4).
#[tokio::test]
async fn rejects_invalid_ecdsa_signatures() {
    let mut target = Target::of(Algorithm::ES256).await;
    let good = target.good();
    let signature = signature_of(&good);
    let (r, s) = signature.split_at(32);
    let (zero, n) = ([0; 32], P256_ORDER);
    let one = difference(&n, &difference(&n, &[&[0; 31][..], &[1]].concat()));
    let n_less_one = difference(&n, &one);
    let rs = |r: &[u8], s: &[u8]| [r, s].concat();
    #[rustfmt::skip]
    let rows = [
        ("r and s of 0",               rs(&zero, &zero)),
        ("r of 0",                     rs(&zero, s)),
        ("s of 0",                     rs(r, &zero)),
        ("r and s of 1",               rs(&one, &one)),
        ("r of 1",                     rs(&one, s)),
        ("s of 1",                     rs(r, &one)),
        ("r and s of n",               rs(&n, &n)),
        ("r of n",                     rs(&n, s)),
        ("s of n",                     rs(r, &n)),
        ("r and s of n - 1",           rs(&n_less_one, &n_less_one)),
        ("r of 0, s of n",             rs(&zero, &n)),
        ("r and s of 2^256 - 1",       rs(&[0xff; 32], &[0xff; 32])),
        ("-r",                         rs(&difference(&n, r), s)),
        ("-r and -s",                  rs(&difference(&n, r), &difference(&n, s))),
        ("swapped",                    rs(s, r)),
        ("r twice",                    rs(r, r)),
        ("s twice",                    rs(s, s)),
        ("only r",                     r.to_vec()),
        ("only s",                     s.to_vec()),
        ("little endian",              rs(&reversed(r), &reversed(s))),
        ("DER",                        der(r, s)),
        ("DER of zeros",               b"\x30\x06\x02\x01\x00\x02\x01\x00".to_vec()),
        ("an empty DER sequence",      b"\x30\x00".to_vec()),
        ("DER, filled up",             [der(r, s), vec![0; 64]].concat()[..64].to_vec()),
        ("each a byte longer",         [&[0], r, &[0], s].concat()),
        ("each of P-384's length",     [&[0; 16], r, &[0; 16], s].concat()),
        ("each of P-521's length",     [&[0; 34], r, &[0; 34], s].concat()),
        ("with a recovery id",         [r, s, &[27]].concat()),
    ];
    for (case, signature) in rows {
        let token = with_signature(&good, signature);
        target.refuses(case, &token, "bad_signature").await;
    }
    // n - s is as valid as s (SEC 1 §4.1.4), and no JWS specification forbids it. So nothing in
    // this project may identify a token by its signature.
    let high = with_signature(&good, rs(r, &difference(&n, s)));
    target.accepts("-s is the same signature", &high).await;
}

#[tokio::test]
async fn rejects_invalid_eddsa_signatures() {
    let mut target = Target::of(Algorithm::EdDSA).await;
    let good = target.good();
    let signature = signature_of(&good);
    let (r, s) = signature.split_at(32);
    let order = reversed(&ED25519_ORDER);
    let identity = [&[1][..], &[0; 31]].concat();
    let plus_order = |s: &[u8]| reversed(&sum(&reversed(s), &order));
    let mut sign_of_r = r.to_vec();
    sign_of_r[31] ^= 0x80;
    #[rustfmt::skip]
    let rows = [
        ("S + L",                      [r, &plus_order(s)].concat()),
        ("S + 2 L",                    [r, &plus_order(&plus_order(s))].concat()),
        ("S of 0",                     [r, &[0; 32]].concat()),
        ("S of L",                     [r, &ED25519_ORDER].concat()),
        ("L - S",                      [r, &reversed(&difference(&order, &reversed(s)))].concat()),
        ("R of another sign",          [&sign_of_r, s].concat()),
        ("R the identity, S of 0",     [&identity[..], &[0; 32]].concat()),
        ("R the identity",             [&identity[..], s].concat()),
        ("R of 0",                     [&[0; 32], s].concat()),
        ("swapped",                    [s, r].concat()),
        ("big endian",                 [reversed(r), reversed(s)].concat()),
    ];
    for (case, signature) in rows {
        let token = with_signature(&good, signature);
        target.refuses(case, &token, "bad_signature").await;
    }
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

/// Adds two big-endian numbers of the same length, without the last carry.
fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let bytes = a.iter().zip(b).rev().map(|(a, b)| {
        let total = u16::from(*a) + u16::from(*b) + carry;
        carry = total >> 8;
        total.to_be_bytes()[1]
    });
    let bytes: Vec<_> = bytes.collect();
    reversed(&bytes)
}

fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let complement: Vec<_> = b.iter().map(|byte| !byte).collect();
    let one = [&vec![0; a.len() - 1][..], &[1]].concat();
    sum(&sum(a, &complement), &one)
}

/// Encodes an `ECDSA-Sig-Value` (SEC 1 §C.5), which JWS does not use.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let mut number = number[zeros..].to_vec();
        if number[0] & 0x80 != 0 {
            number.insert(0, 0);
        }
        [&[0x02, u8::try_from(number.len()).unwrap()], &number[..]].concat()
    };
    let content = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(content.len()).unwrap()], &content[..]].concat()
}

#[test]
fn test_arithmetic_is_correct() {
    assert_eq!(sum(&[0, 255], &[0, 1]), [1, 0]);
    assert_eq!(difference(&[1, 0], &[0, 1]), [0, 255]);
    assert_eq!(
        der(&[0x80], &[0, 1]),
        b"\x30\x07\x02\x02\x00\x80\x02\x01\x01"
    );
}
