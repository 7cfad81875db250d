//! `--env-file`: which faults of a unit's file matter to which command.

use std::fs;

use super::{assert_finds, findings};
use crate::support::{
    process::{Directory, run},
    world::World,
};

/// The service doesn't parse these variables, so their values can't be wrong for systemd.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_values_with_a_dollar_for_libraries() {
    let world = World::start().await;
    let file = world.directory.path().join("env");
    fs::write(&file, "AUTH0_REVOCATION_FILE=revoked.jsonl\nHTTPS_PROXY=http://svc:Pa$word1@proxy.corp:3128\nNO_PROXY=localhost # and others\nOTEL_SERVICE_NAME=${A}\n").unwrap();
    fs::write(world.directory.path().join("revoked.jsonl"), "").unwrap();
    for command in [&["check"][..], &["revoke", "--jti", "a"], &["revocations"]] {
        let arguments = [command, &["--env-file", "env"]].concat();
        let output = world.run(&arguments, "");
        assert_eq!(output.code, Some(0), "{command:?}: {}", output.stderr);
        assert!(!output.stdout.contains("Pa$word1"), "{}", output.stdout);
    }
}

/// The advice must work in both readers of the file.
#[tokio::test(flavor = "multi_thread")]
async fn advises_single_quotes_for_a_dollar() {
    let world = World::start().await;
    let file = world.directory.path().join("env");
    fs::write(&file, "A=b\nAUTH0_REALM=x${A}\n").unwrap();
    let output = world.run(&["check", "--env-file", "env"], "");
    assert_eq!(output.code, Some(78), "{}", output.stdout);
    let advice = "write the value itself, in single quotes\n";
    assert!(output.stderr.ends_with(advice), "{}", output.stderr);
    fs::write(&file, "A=b\nAUTH0_REALM='x$A'\n").unwrap();
    let output = world.run(&["check", "--json", "--env-file", "env"], "");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let variables = findings(&output, "Variables");
    assert_finds("the realm", &variables, &["AUTH0_REALM: \"x$A\""]);
}

/// systemd loads nothing of such a file.
#[tokio::test(flavor = "multi_thread")]
async fn check_rejects_files_that_systemd_does_not_load() {
    let world = World::start().await;
    let file = world.directory.path().join("env");
    #[rustfmt::skip]
    let rows = [
        ("another program's value", &b"A=b\nNAME=Andr\xe9\n"[..], Some("--env-file: line 2 is not UTF-8, so systemd loads no line of the file; save the file as UTF-8\n")),
        ("another program's name", b"NAM\xc9=a\n", Some("--env-file: line 1 is not UTF-8, so systemd loads no line of the file; save the file as UTF-8\n")),
        ("ours", b"AUTH0_REALM=a\xe9\n", Some("--env-file: line 1 is not UTF-8; save the file as UTF-8\n")),
        ("a zero byte", b"# a\0\n", Some("--env-file: line 1 has a zero byte, so systemd loads no line of the file; remove it\n")),
        ("a comment", b"# Andr\xe9\n; Andr\xe9\nA=b\n", None),
    ];
    for (case, text, fault) in rows {
        fs::write(&file, text).unwrap();
        let output = world.run(&["check", "--env-file", "env"], "");
        assert_eq!(output.stderr, fault.unwrap_or_default(), "{case}");
        let code = if fault.is_some() { 78 } else { 0 };
        assert_eq!(output.code, Some(code), "{case}: {}", output.stdout);
    }
}

/// Commands for an incident must not fail because of a variable that they do not read.
#[tokio::test(flavor = "multi_thread")]
async fn commands_judge_only_the_variables_that_they_read() {
    let world = World::start().await;
    let write = |name: &str, text: &[u8]| {
        fs::write(world.directory.path().join(name), text).unwrap();
    };
    write("revoked.jsonl", b"");
    let own = "AUTH0_ISSUER=https://issuer.example/\nAUTH0_REVOCATION_FILE=revoked.jsonl\nLISTEN=127.0.0.1:1\n";
    let code = |arguments: &[&str]| {
        let arguments = [arguments, &["--env-file", "env"]].concat();
        let output = run(&world.directory, &arguments, &[]);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    #[rustfmt::skip]
    let unrelated = [
        ("a comment", &b"AUTH0_REALM=api # c\n"[..]),
        ("an open quote", b"AUTH0_REALM='api\n"),
        ("two values", b"AUTH0_REALM=a\nAUTH0_REALM=b\n"),
        ("bytes", b"AUTH0_REALM=\xe9\nA=\xe9\n"),
        ("a short secret", b"AUTH0_DPOP_NONCE_SECRET=a\n"),
        ("an algorithm", b"AUTH0_ALGORITHMS=RS265\n"),
        ("a missing combination", b"AUTH0_DPOP=required\n"),
    ];
    for (case, text) in unrelated {
        write("env", &[own.as_bytes(), text].concat());
        for command in [&["revoke", "--jti", case][..], &["revocations"]] {
            let (code, stderr) = code(command);
            assert_eq!(code, Some(0), "{case}, {command:?}: {stderr}");
        }
        // it judges its own variables only, and then finds no service
        let (health, stderr) = code(&["health"]);
        assert_eq!(health, Some(1), "{case}: {stderr}");
        let (check, stderr) = code(&["check"]);
        assert_eq!(check, Some(78), "{case}: {stderr}");
    }

    #[rustfmt::skip]
    let related = [
        ("AUTH0_ISSUER=https://issuer.example/ # c\nAUTH0_REVOCATION_FILE=revoked.jsonl\n", [78, 0, 1], "AUTH0_ISSUER: "),
        ("AUTH0_REVOCATION_FILE=revoked.jsonl\n", [78, 0, 1], "AUTH0_DOMAIN: not set"),
        ("AUTH0_ISSUER=https://issuer.example/\nAUTH0_REVOCATION_FILE=revoked.jsonl # c\n", [78, 78, 1], "AUTH0_REVOCATION_FILE: "),
        ("AUTH0_ISSUER=https://issuer.example/\nSTATE_STORE=http://a\n", [78, 78, 1], "STATE_STORE: "),
        ("AUTH0_ISSUER=https://issuer.example/\nAUTH0_REVOCATION_FILE=revoked.jsonl\nSTATE_STORE_TIMEOUT=1\n", [78, 78, 1], "STATE_STORE_TIMEOUT: "),
        ("AUTH0_ISSUER=https://issuer.example/\nISSUERS_FILE=a.toml\nAUTH0_REVOCATION_FILE=revoked.jsonl\n", [78, 0, 1], "AUTH0_ISSUER: "),
        ("AUTH0_ISSUER=https://issuer.example/\nAUTH0_REVOCATION_FILE=revoked.jsonl\nLISTEN=127.0.0.1:1 # c\n", [0, 0, 78], "LISTEN: "),
        ("AUTH0_ISSUER=https://issuer.example/\nAUTH0_REVOCATION_FILE=revoked.jsonl\nMETRICS_LISTEN=9\n", [0, 0, 78], "METRICS_LISTEN: "),
        ("AUTH0_ISSUER=https://issuer.example/\nAUTH0_REVOCATION_FILE=revoked.jsonl\nTLS_KEY_FILE='a\n", [0, 0, 78], "--env-file: line 3 has an unclosed quote"),
    ];
    for (text, codes, begins) in related {
        write("env", text.as_bytes());
        let commands = [&["revoke", "--jti", "a"][..], &["revocations"], &["health"]];
        for (command, expected) in commands.into_iter().zip(codes) {
            let (code, stderr) = code(command);
            assert_eq!(code, Some(expected), "{command:?} of {text}: {stderr}");
            let is_named = stderr.starts_with(begins);
            assert_eq!(is_named, expected == 78, "{command:?} of {text}: {stderr}");
        }
    }
}

/// Only the names in the file matter to `revoke`.
#[test]
fn revoke_reads_names_from_an_issuers_file_with_faults() {
    let directory = Directory::new();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("revoked.jsonl", "");
    write(
        ".env",
        "ISSUERS_FILE=issuers.toml\nAUTH0_REVOCATION_FILE=revoked.jsonl\n",
    );
    write(
        "issuers.toml",
        "other = 1\n[[issuer]]\nurl = \"https://a.example/\"\nleeway = 1\n[[issuer]]\nurl = \"https://{tenantid}.example/\"\ntenants = [\"b\"]\nalgoritms = [\"RS256\"]\n",
    );
    for (issuer, code) in [
        ("https://a.example/", 0),
        ("https://b.example/", 0),
        ("https://c.example/", 64),
    ] {
        let output = run(
            &directory,
            &["revoke", "--jti", "a", "--issuer", issuer],
            &[],
        );
        assert_eq!(output.status.code(), Some(code), "{issuer}: {output:?}");
    }
    write("issuers.toml", "[[issuer]]\nurl = 1\n");
    let output = run(&directory, &["revoke", "--jti", "a"], &[]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

/// A line that cannot be read must not hide the other mistakes.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_cannot_be_read_hide_no_other_fault() {
    let world = World::start().await.unset("AUTH0_API_AUDIENCE");
    let text = "AUTH0_API_AUDIENCE: https://api.example.com\nAUTH0_REALM='api\nAUTH0_LEEWAY=9\nAUTH0_GROUPS_AT=${UNDEFINED_B}\nAUTH0_ROLES_AT=a\nAUTH0_ROLES_AT=b\n";
    fs::write(world.directory.path().join(".env"), text).unwrap();
    let expected = "\
        .env: line 1 cannot be parsed; write NAME=value, and quote a value that has spaces, quotes, \"$\" or \"\\\"
.env: line 2 has an unclosed quote; close it
AUTH0_GROUPS_AT: found a reference to UNDEFINED_B on line 4 of .env, and UNDEFINED_B has no value there; set UNDEFINED_B above that line or in the environment, or write the value itself
AUTH0_ROLES_AT: found twice in .env, the second time on line 6; keep one
AUTH0_LEEWAY: in .env, line 3, found \"9\", which has no unit; did you mean 9s?
";
    for command in ["check", "serve", "explain"] {
        let output = world.run(&[command], "");
        assert_eq!(output.code, Some(78), "{command}: {}", output.stdout);
        assert_eq!(output.stderr, expected, "{command}");
    }
}
