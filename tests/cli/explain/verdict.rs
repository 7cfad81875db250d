//! The verdict of `explain` is the service's answer to the pasted text.

use serde_json::json;
use warp_bearer::service::api::errors::causes;

use super::{explained, refuses};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn explains_a_field_as_sent() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let late = world.issuer.token().expired().sign();
    #[rustfmt::skip]
    let rows = [
        ("the scheme twice", format!("Bearer Bearer {good}"), "malformed_authorization", causes::SCHEME_TWICE, None),
        ("a colon", format!("Bearer: {good}"), "malformed_authorization", causes::COLON, None),
        ("a tab", format!("Bearer\t{good}"), "malformed_authorization", causes::TAB, None),
        ("quotes", format!("Bearer \"{good}\""), "malformed_authorization", causes::QUOTED, None),
        ("quotes around the value", format!("\"Bearer {good}\""), "missing_token", causes::QUOTED_FIELD, None),
        ("no scheme", format!("Authorization: {good}"), "missing_token", causes::NO_SCHEME, None),
        ("no space", format!("Bearer{good}"), "missing_token", causes::NO_SPACE, None),
        ("another scheme", format!("Authorization: Token {good}"), "missing_token", causes::OTHER_SCHEME, None),
        ("two", format!("Bearer {good}, Bearer {good}"), "multiple_credentials", causes::TWO_CREDENTIALS, None),
        ("two fields", format!("Authorization: Bearer {good}\nAuthorization: Bearer {good}"), "multiple_credentials", causes::TWO_CREDENTIALS, None),
        ("two fields in a request", format!("GET / HTTP/1.1\r\nauthorization: Bearer {good}\r\nHost: a\r\nAuthorization: Bearer {good}\r\n\r\n"), "multiple_credentials", causes::TWO_CREDENTIALS, None),
        ("two fields in a command", format!("curl -H 'Authorization: Bearer {good}' -H 'Authorization: Bearer {good}' https://a.example"), "multiple_credentials", causes::TWO_CREDENTIALS, None),
        ("another scheme, without the name", format!("Negotiate {good}"), "missing_token", causes::OTHER_SCHEME, None),
        ("two credentials of two schemes", format!("Basic YTpi, Bearer {good}"), "missing_token", causes::OTHER_SCHEME, None),
        ("an encoded space", format!("Bearer%20{good}"), "missing_token", causes::NO_SPACE, None),
        ("an optional value", format!("Bearer Optional(\"{good}\")"), "malformed_authorization", causes::WRAPPED, None),
        ("a whole answer", format!("Bearer {{\"access_token\":\"{good}\"}}"), "malformed_authorization", causes::WRAPPED, None),
        ("the scheme twice, expired", format!("Bearer Bearer {late}"), "malformed_authorization", causes::SCHEME_TWICE, Some("token_expired")),
    ];
    for (case, text, code, cause, of_token) in rows {
        let json = refuses(&world, case, &text, code, cause);
        // `explain` also says whether the token in the text is valid by itself
        assert_eq!(
            json["repair"]["accepted"],
            of_token.is_none(),
            "{case}: {json:#}"
        );
        assert_eq!(json["repair"]["code"], json!(of_token), "{case}: {json:#}");
        let output = world.run(&["explain", "-"], &text);
        let says = if of_token.is_none() {
            "The token in it is valid"
        } else {
            "would be rejected as well"
        };
        assert!(output.stdout.contains(says), "{case}: {}", output.stdout);
        for token in [&good, &late] {
            assert!(
                !output.stdout.contains(token.as_str()),
                "{case}: {}",
                output.stdout
            );
        }
    }
    for (case, text, code, cause) in [
        ("empty", "Authorization:", "missing_token", causes::NO_FIELD),
        (
            "another scheme",
            "Authorization: Basic YTpi",
            "missing_token",
            causes::OTHER_SCHEME,
        ),
        (
            "a scheme alone",
            "Bearer",
            "malformed_authorization",
            causes::NOTHING_SENT,
        ),
    ] {
        let json = refuses(&world, case, text, code, cause);
        assert_eq!(json["repair"], json!(null), "{case}");
    }
    for (case, text) in [
        ("the field", format!("Authorization: Bearer {good}")),
        (
            "a request over HTTP/2",
            format!(
                "* [HTTP/2] [1] [authorization: Bearer {good}]\n> GET / HTTP/2\n> authorization: Bearer {good}\n>\n"
            ),
        ),
        (
            "two requests",
            format!(
                "> GET /a HTTP/1.1\n> Authorization: Bearer {good}\n>\n> GET /b HTTP/1.1\n> Authorization: Bearer {good}\n>\n"
            ),
        ),
        ("in lower case", format!("authorization:bearer  {good}\r\n")),
        ("the value", format!("Bearer {good}")),
        ("the token", good.clone()),
    ] {
        let (output, _) = explained(&world, case, &["-"], &text);
        assert_eq!(output.code, Some(0), "{case}");
    }
    // what the shell makes of a text without quotes
    let output = world.run(&["explain", "Bearer", "Bearer", &good], "");
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let output = world.run(&["explain", "Bearer", &good], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn explains_a_whole_request_as_sent() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let late = world.issuer.token().expired().sign();
    #[rustfmt::skip]
    let rows = [
        ("quotes", format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: \"Bearer {good}\"\r\n\r\n"), "missing_token", causes::QUOTED_FIELD, None),
        ("a cookie", format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: session={good}\r\n\r\n"), "missing_token", causes::NO_FIELD, None),
        ("another field", format!("GET / HTTP/1.1\nHost: a\nX-Authorization: Bearer {late}\n"), "missing_token", causes::NO_FIELD, Some("token_expired")),
    ];
    for (case, text, code, cause, of_token) in rows {
        let json = refuses(&world, case, &text, code, cause);
        assert_eq!(json["repair"]["code"], json!(of_token), "{case}: {json:#}");
        let is_valid = of_token.is_none();
        assert_eq!(json["repair"]["accepted"], is_valid, "{case}: {json:#}");
    }
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Token: {good}\r\n\r\n");
    let (_, json) = explained(&world, "a token elsewhere", &["-"], &request);
    assert_eq!(json["status"], 401, "{json:#}");
    let notes = json["notes"].to_string();
    assert!(notes.contains("in the field X-Token, on line 3"), "{notes}");
    // now the service reads this field
    let reads_it = World::of(world.issuer.clone()).set("AUTH0_TOKEN_FIELD", "X-Token");
    let (output, _) = explained(&reads_it, "the configured field", &["-"], &request);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    let cookie = request.replace("X-Token: ", "Cookie: s=");
    refuses(
        &reads_it,
        "not the configured field",
        &cookie,
        "missing_token",
        causes::NO_TOKEN_FIELD,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verdict_includes_the_scope_required_everywhere() {
    let world = World::start().await.set("AUTH0_REQUIRED_SCOPE", "use:it");
    let token = || world.issuer.token();
    for (scope, expected) in [("use:it", None), ("other", Some("insufficient_scope"))] {
        let (output, json) = explained(&world, scope, &[], &token().scope(scope).sign());
        assert_eq!(json["code"], json!(expected), "{scope}: {json:#}");
        assert_eq!(output.code, Some(i32::from(expected.is_some())), "{scope}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_the_answer_to_a_proxy() {
    let world = World::start().await;
    let token = world.issuer.token().scope("a b").permissions(["p"]).sign();
    #[rustfmt::skip]
    let rows = [
        ("granted", "scope=a&permission=p", None),
        ("with the path", "/auth?scope=a", None),
        ("no requirement", "", None),
        ("a missing scope", "scope=c", Some("insufficient_scope")),
        ("a missing permission", "scope=a&permission=q", Some("insufficient_permissions")),
        ("a malformed query", "scopes=a", Some("bad_request")),
    ];
    for (case, query, code) in rows {
        let (_, json) = explained(&world, case, &["--auth", query], &token);
        assert_eq!(json["code"], json!(code), "{case}: {json:#}");
        let fields = &json["proxy"]["fields"];
        let scope = if code.is_none() {
            json!("a b")
        } else {
            json!(null)
        };
        assert_eq!(fields["x-auth-scope"], scope, "{case}: {json:#}");
        let output = world.run(&["explain", "--auth", query], &token);
        let line = format!(
            "/auth?{} answers a proxy with",
            query.trim_start_matches("/auth?")
        );
        assert!(output.stdout.contains(&line), "{case}: {}", output.stdout);
        assert_eq!(
            output.stdout.contains("x-auth-subject: auth0|alice"),
            code.is_none(),
            "{case}"
        );
    }
}

/// A case, the variables that are set, the size of the token in KiB, the status, words of the fix,
/// and the recommended lines.
type Large<'a> = (
    &'a str,
    &'a [(&'a str, &'a str)],
    usize,
    u16,
    &'a str,
    &'a [&'a str],
);

/// The server's limit for heads comes first. The recommended lines have to be enough.
#[tokio::test(flavor = "multi_thread")]
async fn explains_a_token_that_is_too_large() {
    let issuer = World::start().await.issuer;
    let of_size = |kib: usize| {
        issuer
            .token()
            .claim("a", "a".repeat(kib * 768 - 512))
            .sign()
    };
    let (small_head, head) = (("MAX_HEADER_BYTES", "8KiB"), ("MAX_HEADER_BYTES", "32KiB"));
    let maximum = ("AUTH0_MAX_TOKEN_BYTES", "64KiB");
    #[rustfmt::skip]
    let rows: [Large; 9] = [
        ("as large as it gets", &[], 15, 200, "", &[]),
        ("too large", &[], 20, 400, "raise AUTH0_MAX_TOKEN_BYTES", &["AUTH0_MAX_TOKEN_BYTES=64KiB"]),
        ("too large, and a limit for heads", &[head], 20, 400, "larger MAX_HEADER_BYTES", &["AUTH0_MAX_TOKEN_BYTES=64KiB", "MAX_HEADER_BYTES=72KiB"]),
        ("too large for the head, too", &[], 40, 431, "raise AUTH0_MAX_TOKEN_BYTES", &["AUTH0_MAX_TOKEN_BYTES=64KiB"]),
        ("too large for that limit, too", &[head], 40, 431, "raise AUTH0_MAX_TOKEN_BYTES", &["AUTH0_MAX_TOKEN_BYTES=64KiB", "MAX_HEADER_BYTES=72KiB"]),
        ("too large for a small head", &[small_head], 12, 431, "raise MAX_HEADER_BYTES", &["MAX_HEADER_BYTES=24KiB"]),
        ("fits a small head", &[small_head], 7, 200, "", &[]),
        ("larger than any limit", &[maximum], 68, 400, "No setting accepts", &[]),
        ("larger than any head", &[], 80, 431, "No setting accepts", &[]),
    ];
    for (case, variables, size, status, words, settings) in rows {
        let mut world = World::of(issuer.clone());
        for (name, value) in variables {
            world = world.set(name, *value);
        }
        let (_, json) = explained(&world, case, &["-"], &of_size(size));
        assert_eq!(json["status"], status, "{case}: {json:#}");
        assert_eq!(json["settings"], json!(settings), "{case}: {json:#}");
        if status != 200 {
            let fix = json["fix"].as_str().unwrap();
            assert!(fix.contains(words), "{case}: {json:#}");
        }
        if status == 431 {
            assert_eq!(json["code"], json!(null), "{case}: {json:#}");
            assert_eq!(json["repair"], json!(null), "{case}: {json:#}");
            let cause = json["cause"].as_str().unwrap();
            assert!(cause.contains("answers 431"), "{case}: {json:#}");
        }
    }
    // A query that the service would reject is never read
    let world = World::of(issuer.clone()).set("MAX_HEADER_BYTES", "8KiB");
    for (case, arguments, status) in [
        ("a query", ["--auth", "scopes=a"], 431),
        ("a target that is not HTTP", ["--auth", "scope=a#"], 400),
    ] {
        let (_, json) = explained(
            &world,
            case,
            &[&arguments[..], &["-"]].concat(),
            &of_size(12),
        );
        assert_eq!(json["status"], status, "{case}: {json:#}");
        assert_eq!(json["code"], json!(null), "{case}: {json:#}");
    }
}
