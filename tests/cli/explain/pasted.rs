//! Pasted text, including variables that were not filled in.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;
use warp_bearer::service::api::errors::causes;

use super::{explained, refuses};
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines)] // a row for each way
async fn explains_each_way_of_pasting() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let (start, signature) = good.rsplit_once('.').unwrap();
    let middle = start.len() / 2;
    #[rustfmt::skip]
    let rows = [
        ("opaque", "kZ1abcdefghijklmnopqrstuvwxyz012".to_owned(), "token_not_jwt", causes::OPAQUE),
        ("opaque, with a dot", "v1.kZ1abcdefghijklmnopqrstuvwxyz012".to_owned(), "token_not_jwt", causes::OPAQUE),
        ("encrypted", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c".to_owned(), "token_not_jwt", causes::ENCRYPTED),
        ("without its signature", start.to_owned(), "token_not_jwt", causes::NOT_WHOLE),
        ("cut off at the end", good[..good.len() - 42].to_owned(), "bad_signature", causes::CUT_SIGNATURE),
        ("an unfilled variable", "undefined".to_owned(), "token_not_jwt", causes::UNFILLED),
        ("the name of a type", "System.Object".to_owned(), "token_not_jwt", causes::NO_TOKEN_TEXT),
        ("a placeholder with dots", "header.payload.signature".to_owned(), "token_malformed", causes::NO_TOKEN_TEXT),
        ("a call", "Bearer os.getenv(\"TOKEN\")".to_owned(), "malformed_authorization", causes::NO_TOKEN_TEXT),
        ("a template with commas", "Bearer {% response 'body', 'req_1' %}".to_owned(), "multiple_credentials", causes::NO_TOKEN_TEXT),
        ("shortened with an ellipsis", format!("{}…{}", &good[..20], &good[40..]), "malformed_authorization", causes::FOREIGN_CHARACTER),
        ("a space in it", format!("{} {}", &good[..20], &good[20..]), "malformed_authorization", causes::FOREIGN_CHARACTER),
        ("two of them", format!("{good}, {good}"), "multiple_credentials", causes::TWO_CREDENTIALS),
        ("too large", "a".repeat(17_000), "token_too_large", causes::TOO_LARGE),
        ("padded", format!("{start}.{signature}=="), "token_malformed", causes::RE_ENCODED),
        ("a character is missing", format!("{}{}", &good[..middle], &good[middle + 1..]), "token_malformed", causes::RE_ENCODED),
        ("a member twice", world.issuer.sign_raw(br#"{"alg":"RS256","alg":"RS256"}"#, b"{}"), "token_malformed", causes::NOT_STRICT),
    ];
    for (case, input, code, cause) in rows {
        refuses(&world, case, &input, code, cause);
    }

    for (case, input, note) in [
        ("alone", format!("{good}\n"), ""),
        (
            "the whole header field",
            format!("Authorization: Bearer {good}"),
            "field",
        ),
        ("quotes", format!("\"{good}\""), "quotes"),
        ("the credential", format!("Bearer {good}"), "field"),
        (
            "lines",
            format!("{}\n  {}\n", &good[..middle], &good[middle..]),
            "line breaks",
        ),
        (
            "the whole token response",
            json!({"access_token": good, "token_type": "Bearer"}).to_string(),
            "answer",
        ),
        (
            "in camel case",
            json!({"accessToken": good}).to_string(),
            "`accessToken`",
        ),
        (
            "curl",
            format!("curl -sS -H 'Authorization: Bearer {good}' https://api.example.com/"),
            "on line 1",
        ),
        (
            "curl -v",
            format!("> GET / HTTP/1.1\n> Authorization: Bearer {good}\n>\n< HTTP/1.1 401\n"),
            "on line 2",
        ),
        (
            "a fragment",
            format!("https://app.example.com/#access_token={good}&token_type=Bearer"),
            "`access_token`",
        ),
        ("a variable", format!("TOKEN={good}"), "`TOKEN`"),
        ("export", format!("export TOKEN='{good}'"), "`TOKEN`"),
        (
            "ExecCredential",
            json!({"kind": "ExecCredential", "status": {"token": good}}).to_string(),
            "`status.token`",
        ),
        ("YAML", format!("user:\n  token: {good}\n"), "on line 2"),
        (
            "a variable with its value",
            format!("TOKEN={good}\ncurl -H \"Authorization: Bearer $TOKEN\" https://a.example"),
            "`TOKEN` on line 1",
        ),
        (
            "Cognito",
            json!({"AuthenticationResult": {"AccessToken": good, "IdToken": "a"}}).to_string(),
            "AccessToken",
        ),
        (
            "source code",
            format!("token = \"{good}\"\nheaders = {{\"Authorization\": f\"Bearer {{token}}\"}}"),
            "`token` on line 1",
        ),
        (
            "a map",
            format!("{{Authorization=Bearer {good}, Accept=*/*}}"),
            "what follows its value there is not part of it",
        ),
        (
            "a block of YAML",
            format!("headers:\n  Authorization: >-\n    Bearer {good}\n"),
            "in a block of YAML",
        ),
        (
            "a Kubernetes Secret",
            format!("kind: Secret\ndata:\n  token: {}\n", STANDARD.encode(&good)),
            "`token` on line 3, encoded in base64",
        ),
        (
            "a cookie of Supabase",
            format!(
                "sb-a-auth-token=base64-{}",
                URL_SAFE_NO_PAD.encode(json!({"access_token": good}).to_string())
            ),
            "encoded in base64",
        ),
        (
            "lines in an email",
            format!("> {}\n> {}\n", &good[..middle], &good[middle..]),
            "line breaks",
        ),
    ] {
        let (output, json) = explained(&world, case, &["-"], &input);
        assert_eq!(output.code, Some(0), "{case}: {}", output.stdout);
        assert_eq!(json["claims"]["sub"], "auth0|alice", "{case}");
        let notes = json["notes"].to_string();
        assert!(notes.contains(note), "{case}: {notes}");
        assert_eq!(notes == "[]", note.is_empty(), "{case}: {notes}");
    }

    let refusal =
        r#"{"error":"access_denied","error_description":"Client is not \u001b[31mauthorized"}"#;
    for (case, input, line) in [
        ("empty", "", "no token: the input is empty\n"),
        (
            "a variable that a shell replaces",
            "curl -H \"Authorization: Bearer $TOKEN\" https://a.example",
            "no token: the input is a command or source code in which $TOKEN stands for the token; paste the token itself, e.g. echo \"$TOKEN\" | warp-bearer explain\n",
        ),
        (
            "a token response with an error",
            refusal,
            "no token: the input is an error of a token endpoint, access_denied (Client is not \\u{1b}[31mauthorized), and has no token in it; correct the token request first\n",
        ),
    ] {
        let output = world.run(&["explain"], input);
        assert_eq!((output.code, &*output.stderr), (Some(66), line), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_how_to_read_a_file() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let file = world.directory.path().join("token.txt");
    for (case, text) in [
        ("UTF-8", good.clone().into_bytes()),
        ("UTF-16 of PowerShell", {
            let units = good.encode_utf16().flat_map(u16::to_le_bytes);
            [0xff, 0xfe].into_iter().chain(units).collect()
        }),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut command = world.command(&["explain"]);
        let read = command.stdin(std::fs::File::open(&file).unwrap()).output();
        assert_eq!(read.unwrap().status.code(), Some(0), "{case}");
    }
    let told = world.run(&["explain"], &format!("{}{good}", " ".repeat(1024 * 1024)));
    assert_eq!(told.code, Some(66), "{}", told.stdout);
    assert!(told.stderr.contains("larger than 1 MiB"), "{}", told.stderr);
    for name in ["token.txt", "@token.txt"] {
        let output = world.run(&["explain", name], "");
        assert_eq!(output.code, Some(66), "{name}: {}", output.stdout);
        let line = "no token: token.txt is a file; read it with warp-bearer explain < token.txt\n";
        assert_eq!(output.stderr, line, "{name}");
    }
    let output = world.run(&["explain", "--jwks", "https://a.example/keys"], &good);
    assert_eq!(output.code, Some(66), "{}", output.stdout);
    assert!(
        output.stderr.contains("save the key set to a file first"),
        "{}",
        output.stderr
    );
    let output = world.run(&["explain", "--env-file", "missing.env"], &good);
    assert_eq!(output.code, Some(78), "{}", output.stdout);
    assert!(
        output
            .stderr
            .starts_with("missing.env: does not exist; give"),
        "{}",
        output.stderr
    );
}

/// Each text has a valid token, but the service wouldn't read it, or would read it with the
/// mistake.
#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_is_that_of_the_text_as_it_is_sent() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    #[rustfmt::skip]
    let rows = [
        ("parameters", "Token token=\"<T>\"", 401, "missing_token", "a scheme other than Bearer"),
        ("Digest", "Digest username=\"<T>\", realm=\"x\"", 401, "missing_token", "a scheme other than Bearer"),
        ("a shared access signature", "SharedAccessSignature sr=x&sig=<T>", 401, "missing_token", "a scheme other than Bearer"),
        ("an invisible character", "Bear\u{200b}er <T>", 401, "missing_token", "U+200B, at position 5"),
        ("a mark of direction", "\u{200e}Bearer <T>", 401, "missing_token", "U+200E, at position 1"),
        ("a byte order mark", "\u{feff}Bearer <T>", 401, "missing_token", "U+FEFF, at position 1"),
        ("a no-break space", "Bearer <T>\u{a0}", 400, "malformed_authorization", "U+00A0, a no-break space"),
        ("a no-break space after the token", "<T>\u{a0}", 400, "malformed_authorization", "U+00A0, a no-break space"),
        ("escaped quotes", "curl -H \"Authorization: Bearer \\\"<T>\\\"\" https://a.example", 400, "malformed_authorization", "Quotes around the token"),
        ("another name", "GET /a HTTP/1.1\nAuthentication: Bearer <T>\n", 401, "missing_token", "no Authorization field"),
        ("a user of curl", "curl -u user:<T> https://a.example", 401, "missing_token", "no Authorization field"),
        ("data of curl", "curl -d access_token=<T> https://a.example", 401, "missing_token", "no Authorization field"),
        ("a query of curl", "curl 'https://a.example/?access_token=<T>'", 401, "missing_token", "no Authorization field"),
        ("DPoP and a colon, which is off", "DPoP: <T>", 401, "missing_token", "a scheme other than Bearer"),
        ("DPoP and quotes", "DPoP \"<T>\"", 401, "missing_token", "a scheme other than Bearer"),
        ("an equals sign", "DPoP=<T>", 401, "missing_token", "a scheme other than Bearer"),
        ("two credentials", "Basic YTpi <T>", 401, "missing_token", "a scheme other than Bearer"),
        ("quotes after another scheme", "Token '<T>'", 401, "missing_token", "a scheme other than Bearer"),
        ("brackets after another scheme", "Token <<T>>", 401, "missing_token", "a scheme other than Bearer"),
        ("a word between", "JWT token <T>", 401, "missing_token", "a scheme other than Bearer"),
        ("another scheme twice", "MAC MAC <T>", 401, "missing_token", "a scheme other than Bearer"),
        ("a sign between", "Digest $ <T>", 401, "missing_token", "a scheme other than Bearer"),
        ("parameters of an unknown scheme", "Custom tok=<T> x=y", 401, "missing_token", "a scheme other than Bearer"),
        ("a name and its value on two lines", "authorization:\n<T>", 401, "missing_token", "without the word Bearer"),
        ("DPoP, which is off", "GET /a HTTP/1.1\nAuthorization: DPoP <T>\nDPoP: a.b.c\n", 401, "missing_token", "a scheme other than Bearer"),
    ];
    for (case, text, status, code, cause) in rows {
        let (output, json) = explained(&world, case, &["-"], &text.replace("<T>", &good));
        assert_eq!(output.code, Some(1), "{case}: {json:#}");
        assert_eq!(
            (&json["status"], &json["code"]),
            (&status.into(), &code.into()),
            "{case}: {json:#}"
        );
        assert!(
            json["cause"].as_str().unwrap().contains(cause),
            "{case}: {json:#}"
        );
        assert_eq!(json["repair"]["accepted"], true, "{case}: {json:#}");
    }
    let dpop = world.set("PUBLIC_URL", "https://api.example.com");
    for text in [
        "DPoP: <T>",
        "DPoP=<T>",
        "DPoP \"<T>\"",
        "DPoP token <T>",
        "DPoP <<T>>",
    ] {
        let (told, json) = explained(&dpop, text, &["-"], &text.replace("<T>", &good));
        assert_eq!(told.code, Some(1), "{text}: {json:#}");
        assert_eq!(json["code"], "malformed_authorization", "{text}: {json:#}");
    }
    let world = dpop.unset("PUBLIC_URL");
    let text = "Authorization: DPoP <T>\nDPoP: a.b.c".replace("<T>", &good);
    let (_, json) = explained(&world, "DPoP is off", &["-"], &text);
    assert!(
        json["notes"].to_string().contains("DPoP is off"),
        "{json:#}"
    );
}

/// The HTTP parser rejects these requests before the service reads a token, so the answer has no
/// code.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_the_parser_has_no_code() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    #[rustfmt::skip]
    let rows = [
        ("a space before the colon", "Authorization : Bearer <T>", "a space between the name"),
        ("a tab before the colon", "GET / HTTP/1.1\r\nHost: a\r\nAuthorization\t: Bearer <T>\r\n\r\n", "a space between the name"),
        ("a space before the name", "> GET / HTTP/1.1\n> Host: a\n>  Authorization: Bearer <T>\n>\n", "before the name of a field"),
        ("an invisible character in the name", "Author\u{200b}ization: Bearer <T>", "invisible character"),
        ("a fragment", "GET /a#b HTTP/1.1\r\nAuthorization: Bearer <T>\r\n\r\n", "has a `#`"),
        ("a control character", "Bearer <T>\u{1}", "a control character"),
        ("the color of a terminal", "Authorization: Bearer \u{1b}[32m<T>", "a control character"),
        ("another scheme", "Authorization: Token <T>\u{7f}", "a control character"),
    ];
    for (case, text, cause) in rows {
        let (told, json) = explained(&world, case, &["-"], &text.replace("<T>", &good));
        assert_eq!(told.code, Some(1), "{case}: {json:#}");
        assert_eq!(
            (&json["status"], &json["code"]),
            (&400.into(), &json!(null)),
            "{case}: {json:#}"
        );
        assert_eq!(json["steps"][0]["code"], json!(null), "{case}: {json:#}");
        assert!(
            json["cause"].as_str().unwrap().contains(cause),
            "{case}: {json:#}"
        );
        let told = world.run(&["explain", "-"], &text.replace("<T>", &good));
        assert!(
            told.stdout.contains("Rejected: 400. "),
            "{case}: {}",
            told.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_the_part_of_a_token_that_is_padded() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let parts: Vec<_> = good.split('.').collect();
    let padded = |part: &str| format!("{part}{}", "=".repeat((4 - part.len() % 4) % 4));
    let payload = world.issuer.token().claim("more", "a").sign();
    let payloads = [parts[1], payload.split('.').nth(1).unwrap()];
    let payload = payloads
        .into_iter()
        .find(|part| part.len() % 4 != 0)
        .unwrap();
    let of_payload = format!("{}.{}.{}", parts[0], padded(payload), parts[2]);
    let json = refuses(
        &world,
        "the payload",
        &of_payload,
        "malformed_authorization",
        causes::PADDED,
    );
    assert!(
        json["cause"].as_str().unwrap().ends_with("of the payload."),
        "{json:#}"
    );
    // The length of this payload isn't a multiple of four. If it were, `explain` could take the
    // payload for a padded one.
    let of_signature = format!("{}.{payload}.{}", parts[0], padded(parts[2]));
    let json = refuses(
        &world,
        "the signature",
        &of_signature,
        "token_malformed",
        causes::RE_ENCODED,
    );
    assert!(
        json["cause"]
            .as_str()
            .unwrap()
            .ends_with("of the signature."),
        "{json:#}"
    );
    let signer = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/a/b";
    let of_balancer = world
        .issuer
        .token()
        .header("signer", signer)
        .kid("of-the-balancer");
    refuses(
        &world,
        "a load balancer",
        &of_balancer.sign(),
        "unknown_key",
        causes::LOAD_BALANCER,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recognizes_unfilled_variables() {
    let world = World::start().await;
    #[rustfmt::skip]
    let rows = [
        ("undefined", "token_not_jwt"), ("null", "token_not_jwt"), ("None", "token_not_jwt"),
        ("[object Object]", "malformed_authorization"), ("{{token}}", "malformed_authorization"),
        ("${TOKEN}", "malformed_authorization"), ("$TOKEN", "malformed_authorization"),
        ("<token>", "malformed_authorization"), ("%TOKEN%", "malformed_authorization"),
        ("YOUR_ACCESS_TOKEN", "token_not_jwt"),
    ];
    for (text, code) in rows {
        refuses(&world, text, text, code, causes::UNFILLED);
        let field = format!("Bearer {text}");
        refuses(&world, text, &field, code, causes::UNFILLED);
        let curl = format!("curl -H 'Authorization: Bearer {text}' https://api.example.com");
        refuses(&world, text, &curl, code, causes::UNFILLED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explains_a_pasted_command_without_repeating_the_token() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let field = format!("Authorization: Bearer {good}");
    for arguments in [
        &["explain", "curl", "-H", &field, "https://api.example.com/"][..],
        &[
            "explain",
            "--json",
            "curl",
            "-sS",
            "https://api.example.com/",
            "-H",
            &field,
            "-o",
            "/dev/null",
        ],
    ] {
        let output = world.run(arguments, "");
        assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    }
    let option = format!("--header={field}");
    for arguments in [
        &["explain", "--header", &field][..],
        &["explain", &option],
        &["health", &field],
    ] {
        let output = world.run(arguments, "");
        assert_eq!(output.code, Some(64), "{}{}", output.stdout, output.stderr);
        assert!(!output.stderr.contains(&good), "{}", output.stderr);
    }
    let other = world.issuer.token().subject("auth0|bob").sign();
    let output = world.run(&["explain"], &format!("A={good}\nB={other}"));
    assert_eq!(output.code, Some(66), "{}", output.stdout);
    assert!(
        output.stderr.contains("2 tokens") && output.stderr.contains("`B` on line 2"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("https://api.example.com"),
        "{}",
        output.stderr
    );
    assert!(
        !output.stderr.contains(&good) && !output.stderr.contains(&other),
        "{}",
        output.stderr
    );
}

/// A mistake is only around the token, so the explanation names it instead of the token.
#[tokio::test(flavor = "multi_thread")]
async fn names_what_is_around_a_whole_token() {
    let world = World::start().await;
    let good = world.issuer.token().sign();
    let encoded = good.replace('.', "%2E");
    #[rustfmt::skip]
    let rows = [
        ("a full stop", format!("Bearer {good}."), "token_not_jwt", "ends in a dot", "Remove the dot"),
        ("a full stop, alone", format!("{good}."), "token_not_jwt", "ends in a dot", "Remove the dot"),
        ("a comma", format!("Bearer {good},"), "multiple_credentials", "ends in a comma", "Remove the comma"),
        ("a semicolon", format!("Authorization: Bearer {good};"), "malformed_authorization", "ends in a semicolon", "Remove the semicolon"),
        ("a name", format!("Bearer token={good}"), "malformed_authorization", "`token=`", "Remove `token=`"),
        ("URL-encoded dots", format!("Bearer {encoded}"), "malformed_authorization", "%2E instead of a dot", "as the issuer wrote it"),
        ("a short opaque token", json!({"access_token": "SlAV32hkKG", "token_type": "Bearer"}).to_string(), "token_not_jwt", causes::OPAQUE.what, causes::OPAQUE.fix),
        ("two tokens", format!("Bearer {good}, {good}"), "multiple_credentials", causes::TWO_CREDENTIALS.what, causes::TWO_CREDENTIALS.fix),
    ];
    for (case, text, code, cause, fix) in rows {
        let (_, json) = explained(&world, case, &["-"], &text);
        assert_eq!(json["code"], code, "{case}: {json:#}");
        assert!(
            json["cause"].as_str().unwrap().contains(cause),
            "{case}: {json:#}"
        );
        assert!(
            json["fix"].as_str().unwrap().contains(fix),
            "{case}: {json:#}"
        );
    }
    for secret in [
        "ApiKey abcd-1234-efgh-5678",
        "Basic dXNlcjpwdw==",
        "Bearer sk_live_51Habc!def",
    ] {
        let output = world.run(&["explain", "-"], secret);
        let hidden = secret.split_once(' ').unwrap().1;
        assert!(
            !output.stdout.contains(hidden),
            "{secret}: {}",
            output.stdout
        );
    }
}
