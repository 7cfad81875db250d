//! The commands `revoke` and `revocations`.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde_json::json;
use warp_bearer::{auth::Algorithm, issuer::Issuer};

use crate::support::{
    process::{Process, run},
    redis::RedisServer,
    world::World,
};

async fn with_file(text: &str) -> (World, PathBuf) {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let world = World::of(issuer).set("AUTH0_ALGORITHMS", "ES256");
    let path = world.directory.path().join("revoked.jsonl");
    fs::write(&path, text).unwrap();
    let world = world.set("AUTH0_REVOCATION_FILE", path.to_str().unwrap());
    (world, path)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The time in this many seconds since 1970, as RFC 3339.
fn rfc3339(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    jiff::Timestamp::try_from(time).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_appends_a_line_that_revocations_lists() {
    let (world, path) = with_file("").await;
    let output = world.run(&["revoke", "--sub", "auth0|alice"], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains("revoked: sub auth0|alice"),
        "{}",
        output.stdout
    );
    let output = world.run(&["revoke", "--jti", "t1", "--for", "8h"], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let (yesterday, earlier) = (now() - 86400, (now() - 100_000).to_string());
    let before = rfc3339(yesterday);
    // Rounded up, as a token has only whole seconds
    let fraction = rfc3339(yesterday - 1).replace('Z', ".5Z");
    let output = world.run(&["revoke", "--client-id", "app", "--before", &fraction], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let issuer = world.issuer.url().to_owned();
    let output = world.run(
        &["revoke", "--issuer", &issuer, "--all", "--before", &earlier],
        "",
    );
    assert_eq!(output.code, Some(0), "{}", output.stderr);

    let lines = fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|line| line["iss"] == *issuer && line["until"].is_u64())
    );
    assert_eq!(lines[0]["sub"], "auth0|alice");
    assert_eq!(lines[1].get("before"), None, "a token needs no time");
    assert_eq!(lines[2]["before"], yesterday);
    assert_eq!(lines[3]["before"].to_string(), earlier);

    let output = world.run(&["revocations"], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for part in [
        "sub auth0|alice",
        "jti t1",
        "client_id app",
        "every token of",
        &before,
    ] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }
    let output = world.run(&["revocations", "--json"], "");
    assert_eq!(output.stdout, fs::read_to_string(&path).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn unterminated_line_is_not_joined_to_the_next() {
    let (world, path) = with_file(r#"{"iss":"https://a/","jti":"t0"}"#).await;
    let output = world.run(&["revoke", "--jti", "t1"], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 2);
}

/// An entry with an issuer that isn't configured revokes nothing. Its name is probably misspelt.
#[tokio::test(flavor = "multi_thread")]
async fn entries_without_effect_are_warned_about() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let misspelt = issuer.url().trim_end_matches('/').to_owned();
    let world = World::of(issuer).set("AUTH0_ALGORITHMS", "ES256");
    let path = world.directory.path().join("revoked.jsonl");
    let line = |iss: &str, jti: &str| format!("{{\"iss\":\"{iss}\",\"jti\":\"{jti}\"}}\n");
    let good = line(world.issuer.url(), "t0");
    fs::write(
        &path,
        good + &line(&misspelt, "t1") + &line(&misspelt, "t2"),
    )
    .unwrap();
    let world = world
        .set("AUTH0_REVOCATION_FILE", path.to_str().unwrap())
        .set("LISTEN", "127.0.0.1:0");
    let output = world.run(&["check"], "");
    let text = format!("2 revocations of {misspelt} have no effect");
    assert!(output.stdout.contains(&text), "{}", output.stdout);
    assert!(output.stdout.contains("3 entries"), "{}", output.stdout);

    let mut service = Process::spawn(&mut world.command(&[]));
    let words = "revocations of an issuer that is not configured have no effect";
    let lines = service.logged(|line| line.contains(words));
    let warning = lines.last().unwrap();
    assert!(warning.contains("WARN"), "{warning}");
    assert!(warning.contains(&misspelt), "{warning}");
    // one warning for each issuer, not for each entry
    let lines = service.logged(|line| line.contains("listening"));
    assert!(!lines.iter().any(|line| line.contains(words)), "{lines:?}");
}

/// Such an entry rejects tokens that are issued later, which was probably not meant.
#[tokio::test(flavor = "multi_thread")]
async fn check_notes_entries_for_the_future() {
    let (world, path) = with_file("").await;
    let line = |before: u64| {
        let entry = json!({"iss": world.issuer.url(), "sub": "a", "before": before});
        format!("{entry}\n")
    };
    let words = "1 revocations also reject tokens that are issued from now on";
    for (case, before, expected) in [
        ("seconds", now(), false),
        ("milliseconds", now() * 1000, true),
    ] {
        fs::write(&path, line(now() - 60) + &line(before)).unwrap();
        let output = world.run(&["check"], "");
        assert_eq!(output.code, Some(0), "{case}: {}", output.stdout);
        let found = output.stdout.contains(words);
        assert_eq!(found, expected, "{case}: {}", output.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_distinguish_failures() {
    let (world, path) = with_file("").await;
    let issuer = world.issuer.url().to_owned();
    let token = world.issuer.token().sign();
    #[rustfmt::skip]
    let field = format!("Bearer {token}");
    #[rustfmt::skip]
    let rows: [(&str, &[&str], i32); 12] = [
        ("no target", &["revoke"], 64),
        ("two targets", &["revoke", "--jti", "a", "--sub", "b"], 64),
        ("an empty target", &["revoke", "--jti", ""], 64),
        ("--all without an issuer", &["revoke", "--all"], 64),
        ("an unknown issuer", &["revoke", "--issuer", "https://a.example/", "--jti", "a"], 64),
        ("another spelling", &["revoke", "--issuer", issuer.trim_end_matches('/'), "--jti", "a"], 64),
        ("a whole token", &["revoke", "--jti", &token], 64),
        ("a whole field", &["revoke", "--jti", &field], 64),
        ("a whole token as subject", &["revoke", "--sub", &token], 64),
        ("not a time", &["revoke", "--sub", "a", "--before", "yesterday"], 64),
        ("not a duration", &["revoke", "--sub", "a", "--for", "long"], 64),
        ("one that works", &["revoke", "--issuer", &issuer, "--sub", "a"], 0),
    ];
    for (case, arguments, expected) in rows {
        let output = world.run(arguments, "");
        assert_eq!(output.code, Some(expected), "{case}: {}", output.stderr);
        assert!(!output.stderr.contains(&token), "{case}");
    }
    let bare = World::start().await;
    assert_eq!(
        bare.run(&["revoke", "--jti", "a"], "").code,
        Some(78),
        "no source"
    );
    assert_eq!(bare.run(&["revocations"], "").code, Some(78), "no source");
    let not_writable = |case: &str| {
        for command in [&["revoke", "--jti", "a"][..], &["revocations"]] {
            let output = world.run(command, "");
            assert_eq!(output.code, Some(69), "{case}: {}", output.stderr);
            let variable = "AUTH0_REVOCATION_FILE: ";
            assert!(
                output.stderr.starts_with(variable),
                "{case}: {}",
                output.stderr
            );
        }
    };
    fs::write(&path, "no entry\n").unwrap();
    not_writable("a bad line");
    fs::remove_file(&path).unwrap();
    not_writable("no file");
    fs::create_dir(&path).unwrap();
    not_writable("a directory");
}

/// A wrong unit or a typing mistake must not revoke nothing, or tokens that are issued later.
#[tokio::test(flavor = "multi_thread")]
async fn rejects_implausible_times_and_durations() {
    let (world, path) = with_file("").await;
    let now = now();
    let run = |option: &str, value: &str| {
        let value = format!("{option}={value}");
        world.run(&["revoke", "--sub", "a", &value], "")
    };
    let past = "the time is more than a year ago; give seconds since 1970, such as ";
    let future = "the time is in the future; give seconds since 1970, such as ";
    let milliseconds = format!("the time is in the future; did you mean {now}, in seconds?");
    let range = "the value is out of range; give 1ms to 8760h";
    #[rustfmt::skip]
    let rows = [
        ("zero", "--before", "0".to_owned(), past),
        ("five", "--before", "5".to_owned(), past),
        ("another year", "--before", rfc3339(now - 367 * 86400), past),
        ("milliseconds", "--before", format!("{now}000"), &milliseconds),
        ("milliseconds of tomorrow", "--before", format!("{}000", now + 86400), future),
        ("tomorrow", "--before", (now + 86400).to_string(), future),
        ("next year", "--before", rfc3339(now + 366 * 86400), future),
        ("out of range", "--before", u64::MAX.to_string(), future),
        ("too long", "--for", "9000h".to_owned(), range),
        ("zero", "--for", "0s".to_owned(), range),
        ("no unit", "--for", "30".to_owned(), "the value has no unit; did you mean 30s?"),
        ("words", "--for", "long".to_owned(), "the value is not a duration; give one such as 500ms, 10s, 5m or 1h"),
    ];
    for (case, option, value, words) in rows {
        let output = run(option, &value);
        assert_eq!(output.code, Some(64), "{case}: {}", output.stdout);
        assert!(output.stderr.contains(words), "{case}: {}", output.stderr);
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    for (case, value) in [
        ("now", now.to_string()),
        ("our clock is a bit behind", (now + 30).to_string()),
        ("last month", rfc3339(now - 30 * 86400)),
    ] {
        let output = run("--before", &value);
        assert_eq!(output.code, Some(0), "{case}: {}", output.stderr);
    }
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
}

/// During an incident, nothing else must keep the commands from working: they need the names of the
/// issuers and the list, and the configuration may be in the file of a systemd unit.
#[tokio::test(flavor = "multi_thread")]
async fn revoke_and_revocations_need_only_the_list() {
    let world = World::start().await;
    let write = |name: &str, text: &str| {
        fs::write(world.directory.path().join(name), text).unwrap();
    };
    write("revoked.jsonl", "");
    let issuer = "https://issuer.example/";
    let list = "AUTH0_REVOCATION_FILE=revoked.jsonl\nAUTH0_API_AUDIENCE=a\n";
    let own = format!("{list}AUTH0_ISSUER={issuer}\n");
    write("jwks.env", &format!("{own}AUTH0_JWKS_FILE=/nope\n"));
    write("plain.env", &own);
    let introspection = "INTROSPECTION=opaque\nAUTH0_INTROSPECTION_CLIENT_ID=a\nAUTH0_INTROSPECTION_KEY_FILE=/nope\n";
    write("introspection.env", &format!("{own}AUTH0_{introspection}"));
    write("table.env", &format!("{list}ISSUERS_FILE=issuers.toml\n"));
    let options = ["jwks_file", "ca_file", "fetch_token_file"];
    let options = options.map(|name| format!("{name} = \"/nope\"\n")).concat();
    write(
        "issuers.toml",
        &format!("[[issuer]]\nurl = \"{issuer}\"\n{options}"),
    );
    for (case, file, variable) in [
        ("a key file", "jwks.env", ("TZ", "UTC")),
        ("authorities", "plain.env", ("SSL_CERT_FILE", "/nope")),
        ("a proxy", "plain.env", ("HTTPS_PROXY", "my proxy:3128")),
        ("a client key", "introspection.env", ("TZ", "UTC")),
        ("files of a table", "table.env", ("TZ", "UTC")),
    ] {
        let run = |arguments: &[&str]| {
            let arguments = [arguments, &["--env-file", file]].concat();
            run(&world.directory, &arguments, &[variable])
        };
        let output = run(&["revoke", "--jti", case]);
        assert_eq!(output.status.code(), Some(0), "{case}: {output:?}");
        let output = run(&["revocations"]);
        assert_eq!(output.status.code(), Some(0), "{case}: {output:?}");
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(
            listed.contains(&format!("jti {case} of {issuer}")),
            "{listed}"
        );
    }
    for command in [&["revoke", "--jti", "a"][..], &["revocations"]] {
        let arguments = [command, &["--env-file", "absent"]].concat();
        let output = run(&world.directory, &arguments, &[]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("absent: does not exist"), "{stderr}");
    }
}

/// `explain` and `check` should also use the list in the store, because the service would.
#[tokio::test(flavor = "multi_thread")]
async fn explain_and_check_ask_the_state_store() {
    let Some(mut redis) = RedisServer::start() else {
        return;
    };
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let world = World::of(issuer)
        .set("AUTH0_ALGORITHMS", "ES256")
        .set("STATE_STORE", redis.url());
    let output = world.run(&["revoke", "--jti", "t1"], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let explained = |jti: &str| {
        let token = world.issuer.token().claim("jti", jti).sign();
        let output = world.run(&["explain", "--json"], &token);
        (output.code, output.json()["code"].clone())
    };
    assert_eq!(explained("t1"), (Some(1), json!("token_revoked")));
    assert_eq!(explained("t2").0, Some(0));
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert!(output.stdout.contains("State store"), "{}", output.stdout);

    redis.kill();
    assert_eq!(explained("t2"), (Some(1), json!("state_unavailable")));
    let output = world.run(&["check"], "");
    assert_eq!(output.code, Some(1));
    assert!(
        output.stdout.contains("cannot be reached"),
        "{}",
        output.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn running_service_rejects_a_revoked_token_soon() {
    let (world, _path) = with_file("").await;
    let world = world.set("LISTEN", "127.0.0.1:0");
    let mut service = Process::spawn(&mut world.command(&[]));
    let lines = service.logged(|line| line.contains("listening"));
    let address = lines.last().unwrap().split("address=").nth(1).unwrap();
    let address = address.trim().to_owned();
    let token = world.issuer.token().sign();
    let ask = async || {
        let request = reqwest::Client::new().get(format!("http://{address}/api/private"));
        let answer = request.bearer_auth(&token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ask().await.0, 200);
    let output = world.run(&["revoke", "--sub", "auth0|alice"], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let revoked = async {
        loop {
            let (status, body) = ask().await;
            if status == 401 {
                return body;
            }
        }
    };
    let patience = std::time::Duration::from_secs(20);
    let body = tokio::time::timeout(patience, revoked).await.unwrap();
    assert!(body.contains("token_revoked"), "{body}");
}

/// `revoke` should know the issuers of the issuers file as well as those of the variables.
#[tokio::test(flavor = "multi_thread")]
async fn revoke_accepts_issuers_from_the_issuers_file() {
    let world = World::of(Issuer::with_algorithm(Algorithm::ES256).await).unset("AUTH0_ISSUER");
    let (one, other) = (world.issuer.url().to_owned(), "https://other.example/");
    let table = |url: &str| format!("[[issuer]]\nurl = \"{url}\"\naudiences = [\"a\"]\n");
    let list = world.directory.path().join("revoked.jsonl");
    let file = world.directory.path().join("issuers.toml");
    fs::write(&list, "").unwrap();
    let world = world
        .set("ISSUERS_FILE", file.to_str().unwrap())
        .set("AUTH0_REVOCATION_FILE", list.to_str().unwrap());
    for (case, tables, arguments, code) in [
        (
            "the only one",
            table(&one),
            &["revoke", "--jti", "a"][..],
            0,
        ),
        (
            "one of two, not named",
            table(&one) + &table(other),
            &["revoke", "--jti", "b"],
            64,
        ),
        (
            "one of two",
            table(&one) + &table(other),
            &["revoke", "--jti", "c", "--issuer", other],
            0,
        ),
        (
            "an issuer that is not configured",
            table(&one),
            &["revoke", "--jti", "d", "--issuer", other],
            64,
        ),
        (
            "not a time",
            table(&one),
            &[
                "revoke",
                "--all",
                "--issuer",
                &one,
                "--before",
                "18446744073709551615",
            ],
            64,
        ),
    ] {
        fs::write(&file, tables).unwrap();
        let output = world.run(arguments, "");
        assert_eq!(output.code, Some(code), "{case}: {}", output.stderr);
    }
    let list = fs::read_to_string(&list).unwrap();
    assert_eq!(list.lines().count(), 2, "{list}");
}

/// The commands read the file, but a running service also has the entries that were removed.
#[tokio::test(flavor = "multi_thread")]
async fn notes_that_a_service_keeps_removed_entries() {
    let (world, _) = with_file("").await;
    let words = "keeps entries that were removed from the file until it restarts";
    let output = world.run(&["revocations"], "");
    assert_eq!(output.stdout, "none\n");
    assert!(output.stderr.contains(words), "{}", output.stderr);
    let token = world.issuer.token().sign();
    let output = world.run(&["explain"], &token);
    assert_eq!(output.code, Some(0), "{}", output.stdout);
    assert!(output.stdout.contains(words), "{}", output.stdout);
    let output = world.run(&["explain"], &world.issuer.token().expired().sign());
    assert!(!output.stdout.contains(words), "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_file_is_to_be_created() {
    let (world, path) = with_file("").await;
    fs::remove_file(&path).unwrap();
    let hint = "create an empty file first, or correct the path";
    for (command, code) in [
        (&["revoke", "--jti", "a"][..], 69),
        (&["revocations"], 69),
        (&["serve"], 78),
        (&["check"], 1),
    ] {
        let output = world.run(command, "");
        let text = format!("{}{}", output.stdout, output.stderr);
        assert_eq!(output.code, Some(code), "{command:?}: {text}");
        assert!(text.contains(hint), "{command:?}: {text}");
        if code == 69 {
            let path = path.to_str().unwrap();
            assert_eq!(text.matches(path).count(), 1, "{command:?}: {text}");
        }
    }
}
