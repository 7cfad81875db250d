//! Claims with a wrong value, type or number, under a valid signature.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use warp_bearer::issuer::Issuer;

use crate::{attacks::Target, support::text::quoted};

const PAST: &str = "1000000000";
const FUTURE: &str = "4102444799";

/// A `NumericDate` is a JSON number (RFC 7519 §2) within the range of a double.
#[tokio::test]
async fn rejects_invalid_and_wrong_dates() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let exp = [
        ("past",                       PAST,                            "token_expired"),
        ("a second of 1970",           "1",                             "token_expired"),
        ("zero",                       "0",                             "token_expired"),
        ("minus nought",               "-0",                            "token_expired"),
        ("minus nought, as a double",  "-0.0",                          "token_expired"),
        ("minus nought, with e",       "-0e0",                          "token_expired"),
        ("negative",                   "-1",                            "token_expired"),
        ("the future, negative",       "-4102444800",                   "token_expired"),
        ("as low as a double goes",    "-1.7976931348623157e308",       "token_expired"),
        ("as low as an i64 goes",      "-9223372036854775808",          "token_expired"),
        ("lower",                      "-9223372036854775809",          "token_expired"),
        ("almost zero",                "1e-400",                        "token_expired"),
        ("too large for an f64",       "1e400",                         "invalid_claim"),
        ("far too large for an f64",   "1e999999999999999999999",       "invalid_claim"),
        ("below a double",             "-1e400",                        "invalid_claim"),
        ("a string",                   r#""4102444800""#,               "invalid_claim"),
        ("a string of a date",         r#""2099-12-31T23:59:59Z""#,     "invalid_claim"),
        ("a word",                     r#""never""#,                    "invalid_claim"),
        ("an empty string",            r#""""#,                         "invalid_claim"),
        ("null",                       "null",                          "invalid_claim"),
        ("true",                       "true",                          "invalid_claim"),
        ("false",                      "false",                         "invalid_claim"),
        ("an array",                   "[4102444800]",                  "invalid_claim"),
        ("an empty array",             "[]",                            "invalid_claim"),
        ("an object",                  r#"{"$gt":0}"#,                  "invalid_claim"),
        ("a long number, as MongoDB",  r#"{"$numberLong":"4102444800"}"#, "invalid_claim"),
        ("not a number",               "NaN",                           "token_malformed"),
        ("infinity",                   "Infinity",                      "token_malformed"),
        ("minus infinity",             "-Infinity",                     "token_malformed"),
        ("hexadecimal",                "0xf4865700",                    "token_malformed"),
        ("octal",                      "0o36445543400",                 "token_malformed"),
        ("a leading nought",           "04102444800",                   "token_malformed"),
        ("a plus",                     "+4102444800",                   "token_malformed"),
        ("two signs",                  "--1",                           "token_malformed"),
        ("no digit before the point",  ".5e10",                         "token_malformed"),
        ("no digit after the point",   "4102444800.",                   "token_malformed"),
        ("no digit after e",           "4102444800e",                   "token_malformed"),
        ("grouped",                    "4_102_444_800",                 "token_malformed"),
        ("with a suffix",              "4102444800n",                   "token_malformed"),
        ("full width",                 "\u{ff14}102444800",             "token_malformed"),
        ("a sum",                      "4102444800+1",                  "token_malformed"),
        ("an empty value",             "",                              "token_malformed"),
    ];
    for (case, value, code) in exp {
        let claims = target.claims().with("exp", value);
        let token = target.sign(&target.header(), &claims);
        target.refuses(&format!("exp: {case}"), &token, code).await;
    }
    #[rustfmt::skip]
    let not_before_and_issued_at = [
        ("the future",                 FUTURE,                          "token_not_yet_valid"),
        ("f64::MAX",                   "1.7976931348623157e308",        "token_not_yet_valid"),
        ("u64::MAX",                   "18446744073709551615",          "token_not_yet_valid"),
        ("higher",                     "18446744073709551616",          "token_not_yet_valid"),
        ("in milliseconds",            "1700000000000",                 "token_not_yet_valid"),
        ("too large for an f64",       "1e400",                         "invalid_claim"),
        ("below a double",             "-1e400",                        "invalid_claim"),
        ("a string",                   r#""1""#,                        "invalid_claim"),
        ("null",                       "null",                          "invalid_claim"),
        ("true",                       "true",                          "invalid_claim"),
        ("false",                      "false",                         "invalid_claim"),
        ("an array",                   "[1]",                           "invalid_claim"),
        ("an object",                  "{}",                            "invalid_claim"),
        ("not a number",               "NaN",                           "token_malformed"),
    ];
    for (case, value, code) in not_before_and_issued_at {
        for name in ["nbf", "iat"] {
            let claims = target.claims().with(name, value);
            let token = target.sign(&target.header(), &claims);
            target
                .refuses(&format!("{name}: {case}"), &token, code)
                .await;
        }
    }
}

/// The limits of RFC 7519 §4.1.4 to §4.1.6 and the leeway, to the millisecond, with a stopped
/// clock.
#[tokio::test]
async fn leeway_ends_exactly() {
    let issuer = Issuer::start().await;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let mut target = Target::with(issuer, |auth| auth.clock(move || now)).await;
    #[rustfmt::skip]
    let rows = [
        ("exp at the end of the leeway", "exp", "1999999970",          "token_expired"),
        ("exp past the leeway",   "exp", "1999999969.999",      "token_expired"),
        ("exp long past the leeway", "exp", "1999999900",          "token_expired"),
        ("nbf past the leeway",   "nbf", "2000000030.001",      "token_not_yet_valid"),
        ("nbf a second past the leeway", "nbf", "2000000031",          "token_not_yet_valid"),
        ("iat past the leeway",   "iat", "2000000030.001",      "token_not_yet_valid"),
        ("iat a second past the leeway", "iat", "2000000031",          "token_not_yet_valid"),
    ];
    for (case, name, value, code) in rows {
        let claims = target.claims().with(name, value);
        let token = target.sign(&target.header(), &claims);
        target.refuses(case, &token, code).await;
    }
}

#[tokio::test]
async fn compares_issuers_exactly() {
    let mut target = Target::start().await;
    let ours = target.issuer.url().to_owned();
    let (bare, port) = (ours.trim_end_matches('/'), target.issuer.addr().port());
    #[rustfmt::skip]
    let rows = [
        ("another",                    quoted("https://evil.example/"),                  "unknown_issuer"),
        ("without its trailing slash", quoted(bare),                                     "unknown_issuer"),
        ("with two slashes",           quoted(format!("{ours}/")),                       "unknown_issuer"),
        ("in upper case",              quoted(ours.to_uppercase()),                      "unknown_issuer"),
        ("with another scheme",        quoted(ours.replace("http:", "https:")),          "unknown_issuer"),
        ("with another port",          quoted("http://127.0.0.1:1/"),                    "unknown_issuer"),
        ("with another name of the host", quoted(format!("http://localhost:{port}/")),      "unknown_issuer"),
        ("with another spelling of the address", quoted(format!("http://127.1:{port}/")),          "unknown_issuer"),
        ("with a path",                quoted(format!("{ours}x/")),                      "unknown_issuer"),
        ("with a path and ..",         quoted(format!("{ours}x/../")),                   "unknown_issuer"),
        ("with a query",               quoted(format!("{ours}?")),                       "unknown_issuer"),
        ("with a fragment",            quoted(format!("{ours}#")),                       "unknown_issuer"),
        ("with a user",                quoted(ours.replace("http://", "http://a@")),     "unknown_issuer"),
        ("as the user of another host", quoted(format!("{bare}@evil.example/")),          "unknown_issuer"),
        ("as a label of another host", quoted(format!("{bare}.evil.example/")),          "unknown_issuer"),
        ("with a space",               quoted(format!("{ours} ")),                       "unknown_issuer"),
        ("with a line feed",           quoted(format!("{ours}\\n")),                     "unknown_issuer"),
        ("with a NUL",                 quoted(format!("{ours}\\u0000")),                 "unknown_issuer"),
        ("percent-encoded",            quoted(ours.replace('.', "%2e")),                 "unknown_issuer"),
        ("with full width stops",      quoted(ours.replace('.', "\\uff0e")),             "unknown_issuer"),
        ("two in one",                 quoted(format!("{ours},https://evil.example/")),  "unknown_issuer"),
        ("an empty value",             quoted(""),                                       "unknown_issuer"),
        ("a wildcard",                 quoted("*"),                                      "unknown_issuer"),
        ("the audience",               quoted(target.issuer.audience()),                 "unknown_issuer"),
        ("null",                       "null".to_owned(),                                "invalid_claim"),
        ("true",                       "true".to_owned(),                                "invalid_claim"),
        ("a number",                   "1".to_owned(),                                   "invalid_claim"),
        ("an array of ours",           format!("[\"{ours}\"]"),                          "invalid_claim"),
        ("an array of two",            format!("[\"https://evil.example/\",\"{ours}\"]"), "invalid_claim"),
        ("an empty array",             "[]".to_owned(),                                  "invalid_claim"),
        ("an object",                  format!("{{\"iss\":\"{ours}\"}}"),                "invalid_claim"),
    ];
    for (case, value, code) in rows {
        let claims = target.claims().with("iss", value);
        let token = target.sign(&target.header(), &claims);
        target.refuses(case, &token, code).await;
    }
}

#[tokio::test]
async fn compares_audiences_exactly() {
    let mut target = Target::start().await;
    let ours = target.issuer.audience().to_owned();
    let userinfo = format!("{}userinfo", target.issuer.url());
    #[rustfmt::skip]
    let rows = [
        ("another",                    quoted("https://other.example"),                  "wrong_audience"),
        ("only /userinfo",             quoted(&userinfo),                                "wrong_audience"),
        ("only /userinfo, in an array", format!("[\"{userinfo}\"]"),                      "wrong_audience"),
        ("a client",                   quoted("kJ3nT0aP8rQ2sD5fG7hJ9kL1zX3cV5bN"),       "wrong_audience"),
        ("the issuer",                 quoted(target.issuer.url()),                      "wrong_audience"),
        ("with a slash",               quoted(format!("{ours}/")),                       "wrong_audience"),
        ("in upper case",              quoted(ours.to_uppercase()),                      "wrong_audience"),
        ("with another scheme",        quoted(ours.replace("https", "http")),            "wrong_audience"),
        ("shortened",                  quoted(&ours[..ours.len() - 1]),                  "wrong_audience"),
        ("as a label of another host", quoted(format!("{ours}.evil.example")),           "wrong_audience"),
        ("with a space",               quoted(format!("{ours} ")),                       "wrong_audience"),
        ("with a NUL",                 quoted(format!("{ours}\\u0000")),                 "wrong_audience"),
        ("two, separated by a space",  quoted(format!("{ours} https://other.example")),  "wrong_audience"),
        ("two, separated by a comma",  quoted(format!("https://other.example,{ours}")),  "wrong_audience"),
        ("an array in a string",       quoted(format!("[\\\"{ours}\\\"]")),              "wrong_audience"),
        ("a wildcard",                 quoted("*"),                                      "wrong_audience"),
        ("an array of a wildcard",     r#"["*"]"#.to_owned(),                            "wrong_audience"),
        ("an empty value",             quoted(""),                                       "wrong_audience"),
        ("an empty array",             "[]".to_owned(),                                  "wrong_audience"),
        ("an array of \"\"",           r#"[""]"#.to_owned(),                             "wrong_audience"),
        ("an array of others",         r#"["a","b","c"]"#.to_owned(),                    "wrong_audience"),
        ("null",                       "null".to_owned(),                                "invalid_claim"),
        ("true",                       "true".to_owned(),                                "invalid_claim"),
        ("a number",                   "1".to_owned(),                                   "invalid_claim"),
        ("an object",                  "{}".to_owned(),                                  "invalid_claim"),
        ("an object of ours",          format!("{{\"{ours}\":true}}"),                   "invalid_claim"),
        ("an array of null",           "[null]".to_owned(),                              "invalid_claim"),
        ("ours and null",              format!("[\"{ours}\",null]"),                     "invalid_claim"),
        ("ours and a number",          format!("[\"{ours}\",1]"),                        "invalid_claim"),
        ("a number and ours",          format!("[1,\"{ours}\"]"),                        "invalid_claim"),
        ("ours, in a nested array",    format!("[[\"{ours}\"]]"),                        "invalid_claim"),
        ("ours and an object",         format!("[\"{ours}\",{{}}]"),                     "invalid_claim"),
    ];
    for (case, value, code) in rows {
        let claims = target.claims().with("aud", value);
        let token = target.sign(&target.header(), &claims);
        target.refuses(case, &token, code).await;
    }
}

#[tokio::test]
async fn rejects_registered_claims_of_the_wrong_type() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let values = [
        ("null",       "null"),
        ("true",       "true"),
        ("a number",   "1"),
        ("too large for an f64", "1e400"),
        ("an array",   r#"["auth0|alice"]"#),
        ("an object",  r#"{"id":"auth0|alice"}"#),
    ];
    for name in ["sub", "jti"] {
        for (case, value) in values {
            let claims = target.claims().with(name, value);
            let token = target.sign(&target.header(), &claims);
            let case = format!("{name}: {case}");
            target.refuses(&case, &token, "invalid_claim").await;
        }
    }
}

#[tokio::test]
async fn rejects_missing_required_claims() {
    let mut target = Target::start().await;
    for name in ["iss", "aud", "exp"] {
        let upper = name.to_uppercase();
        let first = format!("{}{}", &upper[..1], &name[1..]);
        let blank = format!("{name} ");
        let nul = format!(r"{name}\u0000");
        let (iss, aud) = (
            quoted(target.issuer.url()),
            quoted(target.issuer.audience()),
        );
        let value = match name {
            "iss" => &iss,
            "aud" => &aud,
            _ => "4102444800",
        };
        let absent = target.claims().without(name);
        let nested = format!("{{\"{name}\":{value}}}");
        #[rustfmt::skip]
        let rows = [
            ("absent",                 absent.clone()),
            ("in upper case",          absent.clone().with(&upper, value)),
            ("capitalized",            absent.clone().with(&first, value)),
            ("with a space",           absent.clone().with(&blank, value)),
            ("with a NUL",             absent.clone().with(&nul, value)),
            ("in a nested object",     absent.clone().with("claims", &nested)),
            ("in a namespace",         absent.with(&format!("https://a.example/{name}"), value)),
        ];
        for (case, claims) in rows {
            let token = target.sign(&target.header(), &claims);
            let case = format!("{name}: {case}");
            target.refuses(&case, &token, "missing_claim").await;
        }
    }
    let token = target.sign_text(target.header().text(), "{}");
    target.refuses("no claims", &token, "missing_claim").await;
    // RFC 7519 §5.3 allows copies of claims in the header, but only those in the payload count.
    let header = target.header().with("exp", FUTURE).with("aud", "\"x\"");
    let token = target.sign(&header, &target.claims().without("exp"));
    target
        .refuses("exp in the header", &token, "missing_claim")
        .await;
}

/// Whoever sends a bound token without a proof may have stolen it (RFC 7800 §3).
#[tokio::test]
async fn rejects_bound_tokens_as_bearer_tokens() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let rows = [
        ("to a DPoP key",              r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#),
        ("to a certificate",           r#"{"x5t#S256":"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}"#),
        ("to a key",                   r#"{"jwk":{"kty":"EC"}}"#),
        ("to a kid",                   r#"{"kid":"a"}"#),
        ("to {}",                      "{}"),
        ("to null",                    "null"),
        ("to false",                   "false"),
        ("to an empty string",         r#""""#),
        ("to an array",                "[]"),
    ];
    for (case, value) in rows {
        let claims = target.claims().with("cnf", value);
        let token = target.sign(&target.header(), &claims);
        target.refuses(case, &token, "token_bound").await;
    }
    let claims = target.claims().with(r"c\u006ef", "{}");
    let token = target.sign(&target.header(), &claims);
    target.refuses("escaped", &token, "token_bound").await;
}

#[tokio::test]
async fn rejects_duplicate_claims() {
    let mut target = Target::start().await;
    let (iss, aud) = (
        quoted(target.issuer.url()),
        quoted(target.issuer.audience()),
    );
    #[rustfmt::skip]
    let rows = [
        ("exp, the same",              "exp",          "4102444800"),
        ("exp, of the past",           "exp",          PAST),
        ("exp, null",                  "exp",          "null"),
        ("exp, escaped",               r"\u0065xp",    PAST),
        ("iss, the same",              "iss",          &iss),
        ("iss, another",               "iss",          r#""https://evil.example/""#),
        ("aud, the same",              "aud",          &aud),
        ("aud, another",               "aud",          r#""https://other.example""#),
        ("sub, another",               "sub",          r#""auth0|mallory""#),
        ("sub, escaped",               r"s\u0075b",    r#""auth0|mallory""#),
        ("iat, the same",              "iat",          "1700000000"),
    ];
    for (case, name, value) in rows {
        for position in 0..=target.claims().members() {
            let claims = target.claims().at(position, name, value);
            let token = target.sign(&target.header(), &claims);
            let case = format!("{case}, at {position}");
            target.refuses(&case, &token, "token_malformed").await;
        }
    }

    let mut many = String::new();
    for number in 0..200 {
        write!(many, "\"c{number}\":{number},").unwrap();
    }
    let deep = format!(
        r#"{}{{"a":1,"a":1}}{}"#,
        r#"{"x":"#.repeat(100),
        "}".repeat(100)
    );
    #[rustfmt::skip]
    let deeper = [
        ("scope twice",                r#""scope":"a","scope":"read:messages""#.to_owned()),
        ("permissions twice",          r#""permissions":[],"permissions":["a"]"#.to_owned()),
        ("cnf twice",                  r#""cnf":{},"cnf":{}"#.to_owned()),
        ("a private claim",            r#""x":1,"x":1"#.to_owned()),
        ("an empty name",              r#""":1,"":1"#.to_owned()),
        ("within an object",           r#""x":{"a":1,"a":2}"#.to_owned()),
        ("within an array",            r#""x":[[{"a":1,"a":2}]]"#.to_owned()),
        ("a hundred levels deep",      format!(r#""x":{deep}"#)),
        ("after two hundred others",   format!(r#"{many}"c0":0"#)),
        ("the last of two hundred",    format!(r#"{many}"c199":0"#)),
        ("escaped with a slash",       r#""a/b":1,"a\/b":1"#.to_owned()),
        ("escaped in hexadecimal",     r#""\u00e9":1,"\u00E9":1"#.to_owned()),
        ("a letter and its escape",    r#""é":1,"\u00e9":1"#.to_owned()),
    ];
    for (case, members) in deeper {
        let claims = target.claims().text();
        let claims = format!("{},{members}}}", claims.strip_suffix('}').unwrap());
        let token = target.sign_text(target.header().text(), claims);
        target.refuses(case, &token, "token_malformed").await;
    }
}

/// The right issuer signed these, but for another audience or another purpose.
#[tokio::test]
async fn rejects_tokens_for_another_purpose() {
    let mut target = Target::start().await;
    let client = quoted("kJ3nT0aP8rQ2sD5fG7hJ9kL1zX3cV5bN");
    let id_token = target
        .claims()
        .with("aud", &client)
        .with("nonce", quoted("n-0S6_WzA2Mj"))
        .with("at_hash", quoted("MTIzNDU2Nzg5MDEyMzQ1Ng"))
        .with("auth_time", "1700000000");
    let logout = target
        .claims()
        .with("aud", &client)
        .with("sid", quoted("08a5019c"))
        .with(
            "events",
            r#"{"http://schemas.openid.net/event/backchannel-logout":{}}"#,
        );
    let assertion = target
        .claims()
        .with("iss", &client)
        .with("sub", &client)
        .with("aud", quoted(target.issuer.token_endpoint()));
    #[rustfmt::skip]
    let rows = [
        ("an ID token",                id_token.clone(),                                     "wrong_audience"),
        ("an ID token, an array",      id_token.with("aud", format!("[{client}]")).with("azp", &client), "wrong_audience"),
        ("a logout token as JWT",      logout.clone(),                                       "wrong_audience"),
        ("a logout token without exp", logout.with("aud", quoted(target.issuer.audience())).without("exp"), "missing_claim"),
        ("a client's assertion",       assertion,                                            "unknown_issuer"),
    ];
    for (case, claims, code) in rows {
        let token = target.sign(&target.header(), &claims);
        target.refuses(case, &token, code).await;
    }
}

/// Keycloak (in `typ`), Cognito and Ory Hydra (in `token_use`) write the kind of a token into its
/// claims. We can't rely on the audience to tell ID tokens apart: a client ID may also be an API's
/// audience.
#[tokio::test]
async fn rejects_tokens_of_another_kind() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let rows = [
        ("an ID token of Keycloak",    "typ",       r#""ID""#),
        ("a refresh token",            "typ",       r#""Refresh""#),
        ("an offline token",           "typ",       r#""Offline""#),
        ("a logout token",             "typ",       r#""Logout""#),
        ("typ: lower case",            "typ",       r#""id""#),
        ("typ: escaped",               "typ",       r#""\u0049D""#),
        ("typ: its name escaped",      r"\u0074yp", r#""ID""#),
        ("an ID token of Cognito",     "token_use", r#""id""#),
        ("a refresh token of Hydra",   "token_use", r#""refresh_token""#),
        ("token_use: id_token",        "token_use", r#""id_token""#),
        ("token_use: capitals",        "token_use", r#""ID_TOKEN""#),
    ];
    for (case, name, kind) in rows {
        let claims = target.claims().with(name, kind);
        let token = target.sign(&target.header(), &claims);
        target.refuses(case, &token, "wrong_token_type").await;
    }
    let both = target
        .claims()
        .with("typ", quoted("Bearer"))
        .with("token_use", quoted("id"));
    let token = target.sign(&target.header(), &both);
    target
        .refuses("typ of an access token", &token, "wrong_token_type")
        .await;
}

#[tokio::test]
async fn rejects_tokens_of_another_tenant() {
    let (ours, theirs) = (Issuer::start().await, Issuer::start().await);
    let (our_url, their_url) = (ours.url().to_owned(), theirs.url().to_owned());
    let our_kid = ours.key().kid().to_owned();
    let mut one = Target::with(ours.clone(), |auth| auth).await;
    #[rustfmt::skip]
    let rows = [
        ("theirs, unchanged",          theirs.token().sign(),                                "unknown_issuer"),
        ("under our name",             theirs.token().claim("iss", &our_url).sign(),         "unknown_key"),
        ("under our name and kid",     theirs.token().claim("iss", &our_url).kid(&our_kid).sign(), "bad_signature"),
        ("under our name, no kid",     theirs.token().claim("iss", &our_url).without_header("kid").sign(), "bad_signature"),
    ];
    for (case, token, code) in rows {
        one.refuses(case, &token, code).await;
    }
    // Even if we trust both issuers, each issuer's keys must verify only its own tokens.
    let mut both = Target::with(ours, |auth| auth.issuer(&their_url)).await;
    #[rustfmt::skip]
    let rows = [
        ("ours in their name",         both.issuer.token().claim("iss", &their_url).sign(),  "unknown_key"),
        ("theirs in our name",         theirs.token().claim("iss", &our_url).sign(),         "unknown_key"),
        ("theirs under our kid",       theirs.token().claim("iss", &our_url).kid(&our_kid).sign(), "bad_signature"),
        ("ours in their name, no kid", both.issuer.token().claim("iss", &their_url).without_header("kid").sign(), "bad_signature"),
    ];
    for (case, token, code) in rows {
        both.refuses(case, &token, code).await;
    }
    let answer = both.client.with_token(&theirs.token().sign()).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
}

/// The names in `scope` are case-sensitive and separated by spaces (RFC 6749 §3.3).
#[tokio::test]
async fn compares_scopes_exactly() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let rows = [
        ("another",                    "scope",       quoted("write:messages")),
        ("a longer one",               "scope",       quoted("read:messages:all")),
        ("a shorter one",              "scope",       quoted("read:message")),
        ("a part of a word",           "scope",       quoted("xread:messages")),
        ("in upper case",              "scope",       quoted("READ:MESSAGES")),
        ("a wildcard",                 "scope",       quoted("*")),
        ("a wildcard within",          "scope",       quoted("read:*")),
        ("by a comma",                 "scope",       quoted("a,read:messages")),
        ("by a tab",                   "scope",       quoted("a\\tread:messages")),
        ("by a line feed",             "scope",       quoted("a\\nread:messages")),
        ("by a no-break space",        "scope",       quoted("a\\u00a0read:messages")),
        ("by a plus",                  "scope",       quoted("a+read:messages")),
        ("percent-encoded",            "scope",       quoted("read%3Amessages")),
        ("with a NUL",                 "scope",       quoted("read:messages\\u0000")),
        ("with a zero width space",    "scope",       quoted("read:\\u200bmessages")),
        ("a full width colon",         "scope",       quoted("read\\uff1amessages")),
        ("null",                       "scope",       "null".to_owned()),
        ("two in one",                 "scope",       r#"["a read:messages"]"#.to_owned()),
        ("no items",                   "scope",       "[]".to_owned()),
        ("scp, null",                  "scp",         "null".to_owned()),
        ("scp, two in one",            "scp",         r#"["a read:messages"]"#.to_owned()),
        ("by a plural",                "scopes",      quoted("read:messages")),
        ("in upper case, the claim",   "SCOPE",       quoted("read:messages")),
        ("as a permission",            "permissions", r#"["read:messages"]"#.to_owned()),
        ("in a nested object",         "x",           r#"{"scope":"read:messages"}"#.to_owned()),
    ];
    let mut ask = async |name: &str, value: &str| {
        let claims = target.claims().with(name, value);
        let token = target.sign(&target.header(), &claims);
        let request = format!(
            "GET /api/private-scoped HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        target.client.ask(request.as_bytes()).await
    };
    for (case, name, value) in rows {
        let answer = ask(name, &value).await;
        answer.assert_is_problem(case, 403, "insufficient_scope");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains(r#"scope="read:messages""#), "{case}");
    }
    for (case, value) in [
        ("alone", r#""read:messages""#),
        ("among others", r#""openid  read:messages x""#),
        ("escaped", r#""read\u003amess\u0061ges""#),
        ("in an array", r#"["read:messages"]"#),
        (
            "in an array among others",
            r#"["openid","read\u003amessages",""]"#,
        ),
    ] {
        for name in ["scope", "scp"] {
            let answer = ask(name, value).await;
            assert_eq!(answer.status.as_u16(), 200, "{name}, {case}: {answer:?}");
        }
    }
    for (case, value) in [
        ("a number", "1"),
        ("a boolean", "true"),
        ("an object", r#"{"read:messages":true}"#),
        ("an array of more types", r#"["read:messages",1]"#),
        ("an array with null", r#"["read:messages",null]"#),
        ("an array in an array", r#"[["read:messages"]]"#),
    ] {
        for name in ["scope", "scp"] {
            let answer = ask(name, value).await;
            answer.assert_is_problem(&format!("{name}, {case}"), 401, "invalid_claim");
        }
    }
}
