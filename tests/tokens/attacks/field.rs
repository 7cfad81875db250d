//! The `Authorization` field and the request around it (RFC 6750 §2, RFC 9110 §11.4).

use http_body_util::BodyExt;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use warp::http::{HeaderValue, Request, header::AUTHORIZATION};
use warp_bearer::{
    auth::{Algorithm, AuthError, MAX_TOKEN},
    issuer::SigningKey,
};

use crate::{
    attacks::{Target, keys},
    support::{Answer, text::quoted},
};

/// Stands for hyper's own answer, a bare status without a body, which we get before there's even a
/// request.
const BARE: &str = "";

async fn expect(target: &mut Target, case: &str, lines: &[u8], status: u16, code: &str) {
    let answer = target.client.with_lines(lines).await;
    if code == BARE {
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        assert_eq!(answer.body, "", "{case}");
    } else {
        answer.assert_is_problem(case, status, code);
    }
}

#[tokio::test]
async fn rejects_malformed_credentials() {
    let mut target = Target::start().await;
    let good = target.good();
    #[rustfmt::skip]
    let rows = [
        ("no field",                   String::new(),                                401, "missing_token"),
        ("an empty field",             "Authorization:".to_owned(),                  401, "missing_token"),
        ("only whitespace",            "Authorization:   ".to_owned(),               401, "missing_token"),
        ("only the token",            format!("Authorization: {good}"),             401, "missing_token"),
        ("Basic",                      "Authorization: Basic YWxpY2U6cGFzcw==".to_owned(), 401, "missing_token"),
        ("Basic with our token",       format!("Authorization: Basic {good}"),       401, "missing_token"),
        ("Digest",                     "Authorization: Digest username=\"a\"".to_owned(), 401, "missing_token"),
        ("DPoP",                       format!("Authorization: DPoP {good}"),        401, "missing_token"),
        ("Token",                      format!("Authorization: Token {good}"),       401, "missing_token"),
        ("JWT",                        format!("Authorization: JWT {good}"),         401, "missing_token"),
        ("a longer scheme",            format!("Authorization: Bearers {good}"),     401, "missing_token"),
        ("a shorter scheme",           format!("Authorization: Beare {good}"),       401, "missing_token"),
        ("no space",                   format!("Authorization: Bearer{good}"),       401, "missing_token"),
        ("an underscore",              format!("Authorization: Bearer_{good}"),      401, "missing_token"),
        ("a quote before the scheme",  format!("Authorization: \"Bearer {good}\""),  401, "missing_token"),
        ("a comma before the scheme",  format!("Authorization: ,Bearer {good}"),     401, "missing_token"),
        ("an umlaut in the scheme",    format!("Authorization: B\u{e4}rer {good}"),  401, "missing_token"),
        ("only the scheme",            "Authorization: Bearer".to_owned(),           400, "malformed_authorization"),
        ("the scheme and a space",     "Authorization: Bearer ".to_owned(),          400, "malformed_authorization"),
        ("the scheme and a tab",       "Authorization: Bearer\t".to_owned(),         400, "malformed_authorization"),
        ("a tab",                      format!("Authorization: Bearer\t{good}"),     400, "malformed_authorization"),
        ("a tab and a space",          format!("Authorization: Bearer\t {good}"),    400, "malformed_authorization"),
        ("a space and a tab",          format!("Authorization: Bearer \t{good}"),    400, "malformed_authorization"),
        ("a colon",                    format!("Authorization: Bearer: {good}"),     400, "malformed_authorization"),
        ("an equals sign",             format!("Authorization: Bearer={good}"),      400, "malformed_authorization"),
        ("an equals sign before the token", format!("Authorization: Bearer ={good}"),     400, "malformed_authorization"),
        ("a parameter",                format!("Authorization: Bearer token={good}"), 400, "malformed_authorization"),
        ("a quoted parameter",         format!("Authorization: Bearer token=\"{good}\""), 400, "malformed_authorization"),
        ("in quotes",                  format!("Authorization: Bearer \"{good}\""),  400, "malformed_authorization"),
        ("in single quotes",           format!("Authorization: Bearer '{good}'"),    400, "malformed_authorization"),
        ("in angle brackets",          format!("Authorization: Bearer <{good}>"),    400, "malformed_authorization"),
        ("the scheme twice",           format!("Authorization: Bearer Bearer {good}"), 400, "malformed_authorization"),
        ("two tokens",                 format!("Authorization: Bearer {good} {good}"), 400, "malformed_authorization"),
        ("a semicolon after the token", format!("Authorization: Bearer {good};"),     400, "malformed_authorization"),
        ("a space inside",             format!("Authorization: Bearer {}", good.replacen('.', ". ", 1)), 400, "malformed_authorization"),
        ("a tab inside",               format!("Authorization: Bearer {}", good.replacen('.', ".\t", 1)), 400, "malformed_authorization"),
        ("percent-encoded",            format!("Authorization: Bearer {}", good.replace('.', "%2E")), 400, "malformed_authorization"),
        ("padding inside",             format!("Authorization: Bearer {}", good.replacen('.', "=.", 1)), 400, "malformed_authorization"),
        ("padding only",               "Authorization: Bearer ===".to_owned(),       400, "malformed_authorization"),
        ("JSON",                       r#"Authorization: Bearer {"payload":"e30"}"#.to_owned(), 400, "malformed_authorization"),
        ("JSON, general",              r#"Authorization: Bearer {"signatures":[{}]}"#.to_owned(), 400, "malformed_authorization"),
        ("a no-break space",           format!("Authorization: Bearer \u{a0}{good}"), 400, "malformed_authorization"),
        ("a byte order mark",          format!("Authorization: Bearer \u{feff}{good}"), 400, "malformed_authorization"),
        ("a zero width space",         format!("Authorization: Bearer {good}\u{200b}"), 400, "malformed_authorization"),
        ("a full stop, full width",    format!("Authorization: Bearer {}", good.replacen('.', "\u{ff0e}", 1)), 400, "malformed_authorization"),
        ("a comma after the token",    format!("Authorization: Bearer {good},"),     400, "multiple_credentials"),
        ("joined by a proxy, same",    format!("Authorization: Bearer {good}, Bearer {good}"), 400, "multiple_credentials"),
        ("joined by a proxy, other",   format!("Authorization: Bearer {good}, Basic YTpi"), 400, "multiple_credentials"),
        ("joined without a space",     format!("Authorization: Bearer {good},Bearer x"), 400, "multiple_credentials"),
        ("two tokens, with a comma",   format!("Authorization: Bearer {good},{good}"), 400, "multiple_credentials"),
        ("joined, another first",      format!("Authorization: Basic YTpi, Bearer {good}"), 401, "missing_token"),
    ];
    for (case, line, status, code) in rows {
        let lines = if line.is_empty() { line } else { line + "\r\n" };
        expect(&mut target, case, lines.as_bytes(), status, code).await;
    }
    target.accepts("and the token is good", &good).await;
}

#[tokio::test]
async fn rejects_two_fields_with_any_content() {
    let mut target = Target::start().await;
    let good = format!("Bearer {}", target.good());
    let another = format!("Bearer {}", target.issuer.token().subject("other").sign());
    #[rustfmt::skip]
    let rows = [
        ("the same twice",             vec![&*good, &good]),
        ("two different",              vec![&good, &another]),
        ("good and garbage",           vec![&good, "Bearer x"]),
        ("garbage and good",           vec!["Bearer x", &good]),
        ("good and empty",             vec![&good, ""]),
        ("empty and good",             vec!["", &good]),
        ("good and Basic",             vec![&good, "Basic YTpi"]),
        ("Basic and good",             vec!["Basic YTpi", &good]),
        ("two empty",                  vec!["", ""]),
        ("two of Basic",               vec!["Basic YTpi", "Basic YTpi"]),
        ("three",                      vec![&good, &good, &good]),
        ("fifty",                      vec!["Bearer x"; 50]),
    ];
    for (case, values) in rows {
        let names = ["Authorization", "authorization", "AUTHORIZATION"];
        let lines = values.iter().zip(names.iter().cycle());
        let lines: Vec<_> = lines.map(|(v, n)| format!("{n}: {v}\r\n")).collect();
        let lines = lines.concat();
        expect(
            &mut target,
            case,
            lines.as_bytes(),
            400,
            "multiple_credentials",
        )
        .await;
    }
    let apart = format!("Authorization: {good}\r\nX: y\r\nAuthorization: {good}\r\n");
    expect(
        &mut target,
        "with a field between",
        apart.as_bytes(),
        400,
        "multiple_credentials",
    )
    .await;
}

/// Tokens in URLs end up in logs (RFC 9700 §4.3.2).
#[tokio::test]
async fn ignores_tokens_outside_the_field() {
    let mut target = Target::start().await;
    let good = target.good();
    let get = |target: &str, rest: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{rest}\r\n")
    };
    let form = format!("access_token={good}");
    let posted = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        form.len()
    );
    #[rustfmt::skip]
    let rows = [
        ("a query",                    get(&format!("/api/private?access_token={good}"), "")),
        ("a query, another name",      get(&format!("/api/private?token={good}"), "")),
        ("a query as a field",         get(&format!("/api/private?Authorization=Bearer%20{good}"), "")),
        ("a form",                     get("/api/private", &posted) + &form),
        ("a cookie",                   get("/api/private", &format!("Cookie: access_token={good}\r\n"))),
        ("a cookie of that name",      get("/api/private", &format!("Cookie: Authorization=Bearer {good}\r\n"))),
        ("for the proxy",              get("/api/private", &format!("Proxy-Authorization: Bearer {good}\r\n"))),
        ("forwarded",                  get("/api/private", &format!("X-Forwarded-Authorization: Bearer {good}\r\n"))),
        ("original",                   get("/api/private", &format!("X-Original-Authorization: Bearer {good}\r\n"))),
        ("a custom field",             get("/api/private", &format!("X-Access-Token: {good}\r\n"))),
        ("a name with an underscore",  get("/api/private", &format!("Authorization_: Bearer {good}\r\n"))),
        ("a WebSocket's protocol",     get("/api/private", &format!("Sec-WebSocket-Protocol: bearer, {good}\r\n"))),
        ("a user of the target",       get("http://localhost/api/private", &format!("X: Bearer {good}\r\n"))),
        ("a method overridden",        get("/api/private", "X-HTTP-Method-Override: OPTIONS\r\n")),
        ("an address rewritten",       get("/api/private", "X-Original-URL: /api/public\r\nX-Rewrite-URL: /api/public\r\n")),
        ("a caller from within",       get("/api/private", "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n")),
        ("a preflight's fields",       get("/api/private", "Origin: http://a\r\nAccess-Control-Request-Method: GET\r\n")),
        ("named as hop by hop",        get("/api/private", "Connection: authorization\r\n")),
    ];
    for (case, request) in rows {
        let answer = target.client.ask(request.as_bytes()).await;
        answer.assert_is_problem(case, 401, "missing_token");
    }
}

/// A path that only almost matches a route mustn't get past the token check.
#[tokio::test]
async fn no_spelling_of_a_path_bypasses_the_token() {
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let rows = [
        ("in upper case",              "/API/PRIVATE",                   404, "not_found"),
        ("two slashes",                "//api/private",                  404, "not_found"),
        ("two slashes within",         "/api//private",                  404, "not_found"),
        ("a dot",                      "/api/./private",                 404, "not_found"),
        ("up and down",                "/api/public/../private",         404, "not_found"),
        ("up and down, encoded",       "/api/public/%2e%2e/private",     404, "not_found"),
        ("a letter encoded",           "/api/privat%65",                 404, "not_found"),
        ("a slash encoded",            "/api%2fprivate",                 404, "not_found"),
        ("a backslash",                "/api/public/..\\private",        404, "not_found"),
        ("a parameter",                "/api/private;x=public",          404, "not_found"),
        ("a NUL encoded",              "/api/private%00",                404, "not_found"),
        ("an extension",               "/api/private.json",              404, "not_found"),
        ("below it",                   "/api/private/x",                 404, "not_found"),
        ("a slash at the end",         "/api/private/",                  401, "missing_token"),
        ("an empty query",             "/api/private?",                  401, "missing_token"),
        ("a query of the public one",  "/api/private?/api/public",       401, "missing_token"),
        ("an absolute target",         "http://localhost/api/private",   401, "missing_token"),
    ];
    for (case, path, status, code) in rows {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = target.client.ask(request.as_bytes()).await;
        answer.assert_is_problem(case, status, code);
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"] {
        let request = format!("{method} /api/private HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = target.client.ask(request.as_bytes()).await;
        answer.assert_is_problem(method, 405, "method_not_allowed");
    }
    let head = b"HEAD /api/private HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = target.client.head(head).await;
    assert_eq!(answer.status.as_u16(), 401, "HEAD: {answer:?}");
    assert_eq!(answer.header("www-authenticate"), r#"Bearer realm="api""#);
}

/// hyper refuses these itself (with a bare status).
#[tokio::test]
async fn rejects_bytes_not_allowed_in_fields() {
    let mut target = Target::start().await;
    let good = target.good();
    let (good, head) = (good.as_bytes(), b"Authorization: Bearer ".as_slice());
    #[rustfmt::skip]
    let rows: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("a NUL before the token",     [head, b"\0", good].concat(),                            400, BARE),
        ("a NUL after the token",      [head, good, b"\0"].concat(),                            400, BARE),
        ("a NUL in the name",          [b"Author\0ization: Bearer ", good].concat(),            400, BARE),
        ("a bare CR",                  [head, good, b"\rX: y"].concat(),                        400, BARE),
        ("a bare LF",                  [head, good, b"\nX: y"].concat(),                        400, BARE),
        ("a bare LF before another field", [head, good, b"\nAuthorization: Bearer ", good].concat(), 400, BARE),
        ("a vertical tab",             [head, b"\x0b", good].concat(),                          400, BARE),
        ("a backspace",                [head, good, b"\x08"].concat(),                          400, BARE),
        ("an escape",                  [head, b"\x1b[0m", good].concat(),                       400, BARE),
        ("a delete",                   [head, good, b"\x7f"].concat(),                          400, BARE),
        ("a folded line",              [head, b"\r\n ", good].concat(),                         400, BARE),
        ("a folded line, tab",         [head, good, b"\r\n\tx"].concat(),                       400, BARE),
        ("a space before the colon",   [b"Authorization : Bearer ", good].concat(),             400, BARE),
        ("a tab before the colon",     [b"Authorization\t: Bearer ", good].concat(),            400, BARE),
        ("no colon",                   [b"Authorization Bearer ", good].concat(),               400, BARE),
        ("an empty name",              [b": Bearer ", good].concat(),                           400, BARE),
        ("a name not in ASCII",        [b"Authorizati\xc3\xb6n: Bearer ", good].concat(),       400, BARE),
        ("a byte not in ASCII",        [head, good, b"\xff"].concat(),                          400, "malformed_authorization"),
        ("a first byte not in ASCII",  [head, b"\x80", good].concat(),                          400, "malformed_authorization"),
        ("UTF-8",                      [head, "\u{fc}".as_bytes(), good].concat(),              400, "malformed_authorization"),
        ("UTF-8, overlong",            [head, good, b"\xc0\xae"].concat(),                      400, "malformed_authorization"),
        ("UTF-16",                     [head, b"\xfe\xff", good].concat(),                      400, "malformed_authorization"),
    ];
    for (case, line, status, code) in rows {
        let lines = [&line[..], b"\r\n"].concat();
        expect(&mut target, case, &lines, status, code).await;
    }
}

#[tokio::test]
async fn limits_are_exact_to_the_byte() {
    const TOKEN: usize = 16 * 1024;
    const HEAD: usize = 32 * 1024;
    let mut target = Target::start().await;
    #[rustfmt::skip]
    let lengths = [
        ("opaque, one under",          TOKEN - 1,  401, "token_not_jwt"),
        ("opaque, at the limit",       TOKEN,      401, "token_not_jwt"),
        ("opaque, one over",           TOKEN + 1,  400, "token_too_large"),
        ("opaque, far over",           TOKEN * 3 / 2, 400, "token_too_large"),
    ];
    for (case, length, status, code) in lengths {
        let lines = format!("Authorization: Bearer {}\r\n", "a".repeat(length));
        expect(&mut target, case, lines.as_bytes(), status, code).await;
    }
    // Apart from their length, these tokens are valid
    for (case, length, status) in [
        ("good, one under", TOKEN - 1, 200),
        ("good, at the limit", TOKEN, 200),
        ("good, one over", TOKEN + 1, 400),
        ("good, two over", TOKEN + 2, 400),
    ] {
        let token = of_length(&target, length);
        let answer = target.client.with_token(&token).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        if status == 400 {
            answer.assert_is_problem(case, 400, "token_too_large");
        }
    }
    // The limit is for the whole head, with its first line, `Host` and the empty line.
    let around = "GET /api/private HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n".len();
    for (case, length, status, code) in [
        ("a head, one under", HEAD - 1, 401, "missing_token"),
        ("a head, at the limit", HEAD, 401, "missing_token"),
        ("a head, one over", HEAD + 1, 431, BARE),
        ("a head, far over", 2 * HEAD, 431, BARE),
    ] {
        let lines = format!("X: {}\r\n", "x".repeat(length - around));
        expect(&mut target, case, lines.as_bytes(), status, code).await;
    }
}

/// HTTP/2 has no lines of text, but a request can still have two `Authorization` fields.
#[tokio::test]
async fn applies_the_same_rules_over_http_2() {
    let target = Target::start().await;
    let good = format!("Bearer {}", target.good());
    let stream = TcpStream::connect(target.service.address).await.unwrap();
    let (mut client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);

    let large = format!("Bearer {}", "a".repeat(MAX_TOKEN + 1));
    let joined = format!("{good}, {good}");
    #[rustfmt::skip]
    let rows: Vec<(&str, Vec<&[u8]>, u16, &str)> = vec![
        ("no field",                   vec![],                                        401, "missing_token"),
        ("an empty field",             vec![b""],                                     401, "missing_token"),
        ("Basic",                      vec![b"Basic YTpi"],                           401, "missing_token"),
        ("only the scheme",            vec![b"Bearer"],                               400, "malformed_authorization"),
        ("a tab",                      vec![b"Bearer\ta.b.c"],                        400, "malformed_authorization"),
        ("a byte not in ASCII",        vec![b"Bearer a\xff"],                         400, "malformed_authorization"),
        ("the same twice",             vec![good.as_bytes(), good.as_bytes()],        400, "multiple_credentials"),
        ("good and garbage",           vec![good.as_bytes(), b"x"],                   400, "multiple_credentials"),
        ("empty and good",             vec![b"", good.as_bytes()],                    400, "multiple_credentials"),
        ("joined by a proxy",          vec![joined.as_bytes()],                       400, "multiple_credentials"),
        ("too large a token",          vec![large.as_bytes()],                        400, "token_too_large"),
        ("opaque",                     vec![b"Bearer a"],                             401, "token_not_jwt"),
    ];
    for (case, fields, status, code) in rows {
        let answer = ask(&mut client, &fields).await;
        answer.assert_is_problem(case, status, code);
    }
    let answer = ask(&mut client, &[good.as_bytes()]).await;
    assert_eq!(answer.status.as_u16(), 200, "good: {answer:?}");
}

async fn ask(client: &mut SendRequest<String>, fields: &[&[u8]]) -> Answer {
    let mut request = Request::get("http://localhost/api/private")
        .body(String::new())
        .unwrap();
    for field in fields {
        let value = HeaderValue::from_bytes(field).unwrap();
        request.headers_mut().append(AUTHORIZATION, value);
    }
    client.ready().await.unwrap();
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// `verify` takes a token without a field, and must apply the limit too.
#[tokio::test]
async fn token_limit_applies_without_a_field() {
    let key = SigningKey::generate(Algorithm::EdDSA).public_jwk();
    let auth = keys::auth(&[key]).unwrap();
    for (case, length, expected) in [
        ("at it", MAX_TOKEN, AuthError::TokenNotJwt),
        ("one over", MAX_TOKEN + 1, AuthError::TokenTooLarge),
        ("far over", MAX_TOKEN * 1000, AuthError::TokenTooLarge),
    ] {
        let verdict = auth.verify::<Value>(&"a".repeat(length)).await;
        assert_eq!(verdict.map(|_| ()), Err(expected), "{case}");
    }
}

fn of_length(target: &Target, length: usize) -> String {
    // Base64 never has a length of 4n + 1. A longer header makes up for that.
    let padded = (0..4).find_map(|blanks| {
        let header = target.header().with("x", quoted("h".repeat(blanks)));
        let with = |pad| target.claims().with("x", quoted("c".repeat(pad)));
        let shortest = target.sign(&header, &with(0)).len();
        let pad = (length - shortest) / 4 * 3;
        let tokens = (pad..pad + 4).map(|pad| target.sign(&header, &with(pad)));
        tokens.into_iter().find(|token| token.len() == length)
    });
    padded.expect("some combination fits")
}
