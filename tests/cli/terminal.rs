//! Behaviour that differs on a terminal: colours, progress, and a typed token.
//!
//! The tests run the binary on a pseudo-terminal, and interpret its output as a terminal would.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::support::process::Directory;
use crate::support::world::World;

/// Opens a pseudo-terminal: the user's end, and the program's end.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let mut theirs = File::options();
    let theirs = theirs.read(true).write(true).open(name.to_str().unwrap());
    (ours.into(), theirs.unwrap())
}

/// The streams of a program that go to the terminal.
#[derive(Clone, Copy, PartialEq)]
enum Streams {
    Both,
    Errors,
}

/// Starts a program on a terminal (except that with [`Streams::Errors`], its stdout is a pipe).
fn start(mut command: Command, streams: Streams) -> (Child, File) {
    let (ours, theirs) = terminal();
    command
        .stdin(theirs.try_clone().unwrap())
        .stderr(theirs.try_clone().unwrap())
        .stdout(match streams {
            Streams::Both => Stdio::from(theirs),
            Streams::Errors => Stdio::piped(),
        });
    // This drops the command, and with it our copy of the program's end, without which the terminal
    // would stay open after the program has ended.
    (command.spawn().unwrap(), ours)
}

/// Reads what the terminal receives, up to `last` or to the end.
fn sent(terminal: &mut File, last: &str) -> String {
    let (mut bytes, mut some) = (Vec::new(), [0; 4096]);
    loop {
        // Reading fails once no program has the terminal open
        let count = terminal.read(&mut some).unwrap_or_default();
        bytes.extend(&some[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if count == 0 || !last.is_empty() && text.contains(last) {
            return text.into_owned();
        }
    }
}

fn on_terminal(command: Command, streams: Streams) -> (String, String) {
    let (mut child, mut terminal) = start(command, streams);
    let text = sent(&mut terminal, "");
    let mut elsewhere = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut elsewhere).unwrap();
    }
    child.wait().unwrap();
    (text, elsewhere)
}

/// Interprets `text` on a terminal of this width, and returns what it shows in the end (ECMA-48,
/// and DEC's mode 7).
fn shown(text: &str, columns: usize) -> String {
    let mut rows = vec![Vec::new()];
    let (mut column, mut wraps) = (0, true);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' => column = 0,
            '\n' => rows.push(Vec::new()),
            '\x1b' => {
                let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                match &rest[..=end] {
                    "[2K" => rows.last_mut().unwrap().clear(),
                    "[?7l" => wraps = false,
                    "[?7h" => wraps = true,
                    color if color.ends_with('m') => {}
                    other => panic!("{other:?}"),
                }
                rest = &rest[end + 1..];
            }
            c => {
                if column == columns && wraps {
                    rows.push(Vec::new());
                    column = 0;
                }
                column = column.min(columns - 1);
                let row = rows.last_mut().unwrap();
                row.resize(row.len().max(column + 1), ' ');
                row[column] = c;
                column += 1;
            }
        }
    }
    let rows = rows.into_iter().map(String::from_iter);
    rows.collect::<Vec<_>>().join("\n")
}

/// Removes durations, which differ from run to run.
fn timeless(text: &str) -> String {
    let parts = text
        .split(" ms")
        .map(|part| part.trim_end_matches(char::is_numeric));
    parts.collect::<Vec<_>>().join("some ms")
}

fn has_colors(text: &str) -> bool {
    text.contains("\x1b[1;32m")
}

#[tokio::test(flavor = "multi_thread")]
async fn terminal_shows_colours_and_temporary_progress() {
    let world = World::start().await;
    let piped = world.run(&["check"], "");
    assert!(!piped.stdout.contains('\x1b'), "{:?}", piped.stdout);
    assert_eq!(piped.stderr, "");

    let progress = format!(
        "asking {}.well-known/openid-configuration …",
        world.issuer.url()
    );
    for (case, name, value, colors, moves) in [
        ("as it is", "TERM", "xterm", true, true),
        ("no colours", "NO_COLOR", "1", false, true),
        ("an empty NO_COLOR", "NO_COLOR", "", true, true),
        ("a dumb terminal", "TERM", "dumb", false, false),
    ] {
        let mut command = world.command(&["check"]);
        command.env(name, value);
        let (text, _) = on_terminal(command, Streams::Both);
        assert_eq!(has_colors(&text), colors, "{case}: {text:?}");
        assert_eq!(text.contains(&progress), moves, "{case}: {text:?}");
        assert_eq!(text.contains('\x1b'), moves, "{case}: {text:?}");
        assert_eq!(
            timeless(&shown(&text, 1000)),
            timeless(&piped.stdout),
            "{case}"
        );
        // A progress line that's wider than the terminal should be erased completely too
        let narrow = shown(&text, 20);
        assert!(!narrow.contains("asking"), "{case}: {narrow}");
        assert!(narrow.starts_with("Variables\n"), "{case}: {narrow}");
    }

    let (text, json) = on_terminal(world.command(&["check", "--json"]), Streams::Errors);
    assert!(text.contains(&progress), "{text:?}");
    assert_eq!(shown(&text, 20), "");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["good"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_and_help_have_colours_only_on_a_terminal() {
    let world = World::start().await;
    let token = world.issuer.token().sign();
    for arguments in [&["explain", &token][..], &["--help"]] {
        let piped = world.run(arguments, "");
        assert_eq!(piped.code, Some(0), "{}", piped.stderr);
        assert!(!piped.stdout.contains('\x1b'), "{:?}", piped.stdout);
        for (name, value, colors) in [("TERM", "xterm", true), ("NO_COLOR", "1", false)] {
            let mut command = world.command(arguments);
            command.env(name, value);
            let (text, _) = on_terminal(command, Streams::Both);
            assert_eq!(text.contains("\x1b[1"), colors, "{name}: {text:?}");
            // we can only compare `--help`: the output of `explain` contains times
            if arguments == ["--help"] {
                assert_eq!(shown(&text, 1000), piped.stdout, "{name}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accepts_a_typed_token_up_to_the_terminals_line_length() {
    let world = World::start().await;
    let token = || world.issuer.token();
    let long = token().claim("groups", "a".repeat(4000)).sign();
    for (typed, code, expected) in [
        (token().sign(), 0, "Accepted: the token is valid."),
        (
            long,
            66,
            "no token: a terminal passes on at most 4095 characters",
        ),
    ] {
        let (mut child, mut terminal) = start(world.command(&["explain"]), Streams::Both);
        sent(&mut terminal, "an empty line:");
        terminal
            .write_all(format!("{typed}\n\n").as_bytes())
            .unwrap();
        let text = sent(&mut terminal, "");
        assert!(text.contains(expected), "{text}");
        assert_eq!(child.wait().unwrap().code(), Some(code), "{text}");
    }
}

#[test]
fn dev_has_colours_unless_disabled() {
    for (name, value, colors) in [("TERM", "xterm", true), ("NO_COLOR", "1", false)] {
        let directory = Directory::new();
        let mut command = directory.command(&["dev"], &[("LISTEN", "127.0.0.1:0")]);
        command.env(name, value);
        let (mut child, mut terminal) = start(command, Streams::Both);
        let mut text = sent(&mut terminal, "Stop with Ctrl-C.");
        if !text.contains("key set fetched") {
            text += &sent(&mut terminal, "key set fetched");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let of_page = text.contains("\x1b[1mwarp-bearer dev");
        let of_log = text.contains("\x1b[32m  INFO ");
        assert_eq!((of_page, of_log), (colors, colors), "{name}: {text:?}");
        assert_eq!(text.contains('\x1b'), colors, "{name}: {text:?}");
    }
}

/// With `| head -1`, the reader ends before the program does.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_output_is_no_error() {
    let world = World::start().await;
    let revoked = world.directory.path().join("revoked.jsonl");
    std::fs::write(&revoked, "").unwrap();
    let world = world.set("AUTH0_REVOCATION_FILE", revoked.to_str().unwrap());
    let env = world.directory.path().join("import.env");
    let issuer = world.issuer.url();
    let text = format!("AUTH0_ISSUER={issuer}\nAUTH0_API_AUDIENCE=urn:api\n");
    std::fs::write(&env, text).unwrap();
    let token = world.issuer.token().sign();
    for arguments in [
        &["revoke", "--jti", "t1"][..],
        &["revocations"],
        &["revocations", "--json"],
        &["issuers", "import", "import.env"],
        &["check"],
        &["check", "--json"],
        &["explain", &token],
        &["explain", "--json", &token],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = world.command(arguments);
        command.stdout(writer).stderr(Stdio::piped());
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.unwrap().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
    }
    let lines = std::fs::read_to_string(&revoked).unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
}

/// Notes and failures are written to standard error.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_error_changes_no_exit_code() {
    let world = World::start().await;
    let env = world.directory.path().join("import.env");
    let issuer = world.issuer.url();
    let text = format!("AUTH0_ISSUER={issuer}\nAUTH0_API_AUDIENCE=urn:api\n");
    std::fs::write(&env, text).unwrap();
    for (arguments, code) in [
        (&["issuers", "import", "import.env"][..], 0),
        (&["health", "--made-up"], 64),
        (&["issuers", "import", "missing.env"], 78),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = world.command(arguments);
        command.stdout(Stdio::null()).stderr(writer);
        let status = tokio::task::spawn_blocking(move || command.status()).await;
        let status = status.unwrap().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
