//! Tokens that are encoded, cut or nested in such a way that two parsers could read them
//! differently.

use crate::{
    attacks::Target,
    support::text::{base64url, quoted},
};

#[tokio::test]
async fn rejects_tokens_without_exactly_three_parts() {
    let mut target = Target::start().await;
    let good = target.good();
    let [header, payload, signature] = parts(&good);
    let json =
        format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#);
    #[rustfmt::skip]
    let rows = [
        ("opaque",                     "sDf4kLmZ0pQx".to_owned(),                        "token_not_jwt"),
        ("opaque, a UUID",             "0b2a4f1e-6a9e-4a53-9d0f-1f1a2b3c4d5e".to_owned(), "token_not_jwt"),
        ("one part",                   header.to_owned(),                                "token_not_jwt"),
        ("two parts",                  format!("{header}.{payload}"),                    "token_not_jwt"),
        ("four parts",                 format!("{good}.{signature}"),                    "token_not_jwt"),
        ("four, the last empty",       format!("{good}."),                               "token_not_jwt"),
        ("four, the first empty",      format!(".{good}"),                               "token_not_jwt"),
        ("a JWE's five",               format!("{header}.AA.AA.AA.AA"),                  "token_not_jwt"),
        ("five, all empty",            "....".to_owned(),                                "token_not_jwt"),
        ("a JWE around the token",     format!("{header}..{payload}.{signature}.AA"),    "token_not_jwt"),
        ("eight thousand parts",       ".".repeat(8000),                                 "token_not_jwt"),
        ("two tokens",                 format!("{good}.{good}"),                         "token_not_jwt"),
        ("a selective disclosure",     format!("{good}~WyJhIl0~"),                       "token_malformed"),
        ("JSON, encoded",              base64url(&json),                                 "token_not_jwt"),
        ("JSON for a header",          format!("{}.{payload}.{signature}", base64url(&json)), "algorithm_not_allowed"),
        ("all parts empty",            "..".to_owned(),                                  "token_malformed"),
        ("an empty header",            format!(".{payload}.{signature}"),                "token_malformed"),
        ("an empty payload",           format!("{header}..{signature}"),                 "token_malformed"),
        ("detached, signed",           target.sign_text(target.header().text(), ""),     "token_malformed"),
        ("an empty signature",         format!("{header}.{payload}."),                   "bad_signature"),
        ("header and payload changed", format!("{payload}.{header}.{signature}"),        "algorithm_not_allowed"),
    ];
    for (case, token, code) in rows {
        target.refuses(case, &token, code).await;
    }
}

fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// A text has exactly one valid encoding (RFC 7515 §2, RFC 4648 §3.5).
#[tokio::test]
async fn rejects_other_spellings_of_base64url() {
    let mut target = Target::start().await;
    // A signature of 256 bytes leaves four unused bits in its last character.
    let good = target.good();
    let [header, payload, signature] = parts(&good);
    let signed = |header: &str, payload: &str| {
        let input = format!("{header}.{payload}");
        format!("{input}.{}", base64url(target.issuer.sign_input(&input)))
    };
    // tries tokens until the header, or the payload, has unused bits in its last character
    let spare =
        |text: String| (0..3).map(move |blanks| base64url(text.clone() + &" ".repeat(blanks)));
    let header_to_spare = spare(target.header().text())
        .find(|h| h.len() % 4 == 2)
        .unwrap();
    let payload_to_spare = spare(target.claims().text())
        .find(|p| p.len() % 4 == 2)
        .unwrap();
    #[rustfmt::skip]
    let rows = [
        ("padding, signature",         format!("{good}=")),
        ("padding twice, signature",   format!("{good}==")),
        ("padding four times",         format!("{good}====")),
        ("trailing bits, signature",   format!("{header}.{payload}.{}", with_spare_bits(signature))),
        ("trailing bits, header",      signed(&with_spare_bits(&header_to_spare), payload)),
        ("trailing bits, payload",     signed(header, &with_spare_bits(&payload_to_spare))),
        ("one character fewer",        good[..good.len() - 1].to_owned()),
        ("one character, header",      format!("A.{payload}.{signature}")),
        ("one character, payload",     format!("{header}.A.{signature}")),
        ("one character, signature",   format!("{header}.{payload}.A")),
        ("base64, header",             format!("+/+/.{payload}.{signature}")),
        ("base64, payload",            format!("{header}.+/+/.{signature}")),
        ("a tilde",                    format!("{header}.{payload}.{}~", &signature[1..])),
        ("a slash in the signature",   format!("{header}.{payload}./{}", &signature[1..])),
        ("a plus in the header",       format!("+{}.{payload}.{signature}", &header[1..])),
    ];
    for (case, token) in rows {
        target.refuses(case, &token, "token_malformed").await;
    }
}

/// Sets an unused bit of the last character. The decoded bytes stay the same.
fn with_spare_bits(part: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = part.split_at(part.len() - 1);
    let value = ALPHABET.find(last).unwrap();
    assert_eq!(value & 1, 0, "no bits to spare");
    format!("{rest}{}", &ALPHABET[value + 1..value + 2])
}

#[tokio::test]
async fn rejects_parts_that_are_not_utf_8_json_objects() {
    let mut target = Target::start().await;
    let deep =
        |open: &str, close: &str| format!(r#""x":{}{}"#, open.repeat(1000), close.repeat(1000));
    #[rustfmt::skip]
    let members = [
        ("a thousand arrays",          deep("[", "]")),
        ("a thousand objects",         deep(r#"{"x":"#, "}").replace(":}", ":1}")),
        ("129 levels",                 format!(r#""x":{}{}"#, "[".repeat(128), "]".repeat(128))),
        ("129 levels and a number",    format!(r#""x":{}1e400{}"#, "[".repeat(128), "]".repeat(128))),
        ("arrays that do not end",     format!(r#""x":{}"#, "[".repeat(4000))),
        ("objects that do not end",    format!(r#""x":{}"#, r#"{"":"#.repeat(1500))),
        ("a NUL in a string",          "\"x\":\"a\0b\"".to_owned()),
        ("a line feed in a string",    "\"x\":\"a\nb\"".to_owned()),
        ("a tab in a string",          "\"x\":\"a\tb\"".to_owned()),
        ("a NUL instead of a space",   "\0\"x\":1".to_owned()),
        ("a no-break space",           "\u{a0}\"x\":1".to_owned()),
        ("a form feed",                "\u{c}\"x\":1".to_owned()),
        ("a lone high surrogate",      r#""x":"\ud800""#.to_owned()),
        ("a lone low surrogate",       r#""x":"\udc00""#.to_owned()),
        ("surrogates, reversed",       r#""x":"\udc00\ud800""#.to_owned()),
        ("a surrogate and a letter",   r#""x":"\ud800a""#.to_owned()),
        ("a lone surrogate, a name",   r#""\ud800":1"#.to_owned()),
        ("a truncated escape",         r#""x":"\u00""#.to_owned()),
        ("an escape of hexadecimal",   r#""x":"\x41""#.to_owned()),
        ("an unknown escape",          r#""x":"\q""#.to_owned()),
        ("a name without quotes",      "x:1".to_owned()),
        ("a name in single quotes",    "'x':1".to_owned()),
        ("a value in single quotes",   "\"x\":'a'".to_owned()),
        ("a name that is a number",    "1:1".to_owned()),
        ("a name that is null",        "null:1".to_owned()),
        ("a name without a value",     r#""x""#.to_owned()),
        ("an equals sign",             r#""x"=1"#.to_owned()),
        ("a trailing comma",           r#""x":1,"#.to_owned()),
        ("two commas",                 r#""x":1,,"y":1"#.to_owned()),
        ("a comma missing",            r#""x":1 "y":1"#.to_owned()),
        ("a comment",                  r#""x":1/* a */"#.to_owned()),
        ("a comment to the end",       "\"x\":1// a".to_owned()),
        ("undefined",                  r#""x":undefined"#.to_owned()),
        ("True",                       r#""x":True"#.to_owned()),
        ("not a number",               r#""x":NaN"#.to_owned()),
        ("a leading zero",             r#""x":01"#.to_owned()),
        ("a trailing comma, array",    r#""x":[1,]"#.to_owned()),
        ("an extra brace",             r#""x":1}"#.to_owned()),
    ];
    let (header, claims) = (target.header().text(), target.claims().text());
    let with =
        |text: &str, members: &str| format!("{},{members}}}", text.strip_suffix('}').unwrap());
    for (case, members) in &members {
        let in_header = target.sign_text(with(&header, members), &claims);
        let in_claims = target.sign_text(&header, with(&claims, members));
        target.refuses(case, &in_header, "token_malformed").await;
        target.refuses(case, &in_claims, "token_malformed").await;
    }
}

#[tokio::test]
async fn rejects_text_around_the_object() {
    let mut target = Target::start().await;
    let (header, claims) = (target.header().text(), target.claims().text());
    let around =
        |before: &str, text: &str, after: &str| format!("{before}{text}{after}").into_bytes();
    let utf16: Vec<_> = header.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let in_a_string = |bytes: &[u8]| [br#"{"x":""#, bytes, br#""}"#].concat();
    #[rustfmt::skip]
    let wholes: Vec<(&str, Vec<u8>)> = vec![
        ("empty",                       Vec::new()),
        ("a space",                     b" ".to_vec()),
        ("null",                        b"null".to_vec()),
        ("true",                        b"true".to_vec()),
        ("a number",                    b"1".to_vec()),
        ("a string",                    br#""RS256""#.to_vec()),
        ("an array",                    b"[]".to_vec()),
        ("an array of the object",      around("[", &header, "]")),
        ("the object as a string",      serde_json::to_vec(&header).unwrap()),
        ("a byte order mark",           around("\u{feff}", &header, "")),
        ("a byte order mark after",     around("", &header, "\u{feff}")),
        ("a NUL after the object",      around("", &header, "\0")),
        ("a NUL before the object",     around("\0", &header, "")),
        ("two objects",                 around(&header, &header, "")),
        ("two objects, one a line",     around(&header, "\n", &header)),
        ("two objects with a comma",    around(&header, ",", &header)),
        ("a second, empty object",      around("", &header, "{}")),
        ("garbage after the object",    around("", &header, "x")),
        ("garbage before the object",   around("x", &header, "")),
        ("a comment before the object", around("/**/", &header, "")),
        ("a JSON hijacking prefix",     around(")]}',\n", &header, "")),
        ("truncated",                   header.as_bytes()[..header.len() - 1].to_vec()),
        ("UTF-16",                      utf16),
        ("Latin-1",                     in_a_string(b"\xe9")),
        ("an overlong NUL",             in_a_string(b"\xc0\x80")),
        ("an overlong quote",           in_a_string(b"\xc0\xa2")),
        ("a surrogate as bytes",        in_a_string(b"\xed\xa0\x80")),
        ("surrogates as bytes",         in_a_string(b"\xed\xa0\xbd\xed\xb8\x80")),
        ("above U+10FFFF",              in_a_string(b"\xf4\x90\x80\x80")),
        ("an invalid byte",             in_a_string(b"\xff")),
        ("a truncated sequence",        in_a_string(b"\xe2\x82")),
        ("a lone continuation byte",    in_a_string(b"\x80")),
        ("compressed",                  b"\x78\x9c\xab\x56\x4a\xcc\x49\x57\xb2".to_vec()),
        ("CBOR",                        b"\xa1\x63alg\x65RS256".to_vec()),
    ];
    for (case, bytes) in &wholes {
        let in_header = target.sign_text(bytes, &claims);
        let in_claims = target.sign_text(&header, bytes);
        target.refuses(case, &in_header, "token_malformed").await;
        target.refuses(case, &in_claims, "token_malformed").await;
    }
}

/// The payload of a nested JWT (RFC 7519 §5.2) is a token, and not a JSON object.
#[tokio::test]
async fn rejects_nested_tokens() {
    let mut target = Target::start().await;
    let good = target.good();
    let header = target.header().with("cty", quoted("JWT"));
    #[rustfmt::skip]
    let rows = [
        ("nested",                     target.sign_text(header.text(), &good)),
        ("nested, no cty",             target.sign_text(target.header().text(), &good)),
        ("nested, as a string",        target.sign_text(header.text(), quoted(&good))),
        ("nested, as JSON",            target.sign_text(header.text(), format!("[\"{good}\"]"))),
    ];
    for (case, token) in rows {
        target.refuses(case, &token, "token_malformed").await;
    }
    let inner = target.sign_text(header.text(), format!("{{\"jwt\":\"{good}\"}}"));
    target
        .refuses("nested, a member", &inner, "missing_claim")
        .await;
}
