//! Reads a file as systemd reads the `EnvironmentFile` of a unit, and compares that with `.env`.
//!
//! systemd knows no references to variables, no comments after a value and no `export`, and reads
//! some quotes and backslashes differently. A file that passes `check` must have the same values in
//! the service. The rules are those of `EnvironmentFile=` in systemd.exec(5), and of `env-file.c`.

use crate::service::config::{
    dotenv::{Entry, has_reference},
    fault::{Fault, LineFault},
    origin::{ENV_FILE, Origin},
    variables,
};

/// Returns a fault for each entry whose value systemd reads differently. `entries` are those of the
/// same file, read as `.env`. `is_used` returns `true` for a variable whose value in the file counts.
pub(super) fn differences(
    bytes: &[u8],
    entries: &[Entry],
    is_used: impl Fn(&str) -> bool,
) -> Vec<LineFault> {
    let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    let [assigned, before_254] =
        [Comments::EndWithLine, Comments::MayContinue].map(|comments| parse(bytes, comments));
    let used = entries.iter().filter(|entry| is_used(&entry.name));
    let different = used.filter_map(|entry| {
        let value = value_of(entry, &assigned);
        let is_same = |value: Option<&[u8]>| value == Some(entry.value.as_bytes());
        let reason = if !is_same(value) {
            let line = lines.get(entry.line - 1).copied().unwrap_or_default();
            reason(&String::from_utf8_lossy(line), entry, value)
        } else if !is_same(value_of(entry, &before_254)) {
            "is not set by systemd before version 254, because a comment above ends in a backslash and so continues here; remove that backslash"
        } else {
            return None;
        };
        let fault = Fault::new(&entry.name, reason);
        let fault = fault.with_origin(|_| Some(Origin::EnvFile(entry.line)));
        let variable = variables::find(&entry.name)?;
        Some(LineFault::of_variable(variable.name, fault))
    });
    different.collect()
}

/// Returns a fault for each line with which systemd loads nothing of the file. `has_fault` returns
/// `true` for a variable whose lines that aren't UTF-8 already have a fault.
pub(super) fn prevents_load(bytes: &[u8], has_fault: impl Fn(&str) -> bool) -> Vec<LineFault> {
    let fault = |line: usize, what: &str, remedy: &str| {
        LineFault::of_file(Fault::new(
            ENV_FILE,
            format_args!("line {line} {what}, so systemd loads no line of the file; {remedy}"),
        ))
    };
    // systemd ignores the bytes in comments
    let is_text = |assignment: &Assignment| {
        let [name, value] = [&assignment.name, &assignment.value].map(|part| str::from_utf8(part));
        name.is_ok() && value.is_ok() || name.is_ok_and(&has_fault)
    };
    let assigned = parse(bytes, Comments::EndWithLine);
    let not_text = assigned.iter().filter(|assignment| !is_text(assignment));
    let not_text =
        not_text.map(|assignment| fault(assignment.line, "is not UTF-8", "save the file as UTF-8"));
    let zero = bytes.split(|byte| *byte == b'\n').zip(1..);
    let zero = zero.filter(|(line, _)| line.contains(&0));
    let zero = zero.map(|(_, line)| fault(line, "has a zero byte", "remove it"));
    not_text.chain(zero).collect()
}

/// The value that systemd reads on the line of an entry.
fn value_of<'a>(entry: &Entry, assigned: &'a [Assignment]) -> Option<&'a [u8]> {
    let own = assigned.iter().find(|assignment| {
        assignment.line == entry.line && assignment.name == entry.name.as_bytes()
    })?;
    Some(&own.value)
}

/// Why systemd reads another value than `.env`, as the end of a sentence about the line.
fn reason(line: &str, entry: &Entry, value: Option<&[u8]>) -> &'static str {
    let Some(value) = value else {
        return if line.trim_start().starts_with("export ") {
            "begins with export, so systemd ignores the line; remove export"
        } else {
            "is not set by systemd: an earlier line has an open quote, or ends in a backslash, or begins with a byte order mark; correct that line"
        };
    };
    let source = line.split_once('=').map_or("", |(_, source)| source.trim());
    let after = value.strip_prefix(entry.value.as_bytes());
    if has_reference(source) {
        "has a \"$\", which systemd does not replace with the value of a variable; write the value itself, in single quotes"
    } else if after.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"#")) {
        "has a comment after its value, which systemd reads as part of the value; put the comment on its own line"
    } else if source.contains('\\') {
        "has a backslash, which systemd reads differently; put the value in single quotes"
    } else {
        "has a quote that systemd reads differently; put quotes around the whole value only"
    }
}

/// Where the parser is, as in systemd's `env-file.c`
#[derive(Clone, Copy)]
enum State {
    BeforeName,
    Name,
    BeforeValue,
    Value,
    ValueEscape,
    SingleQuotes,
    DoubleQuotes,
    DoubleQuotesEscape,
    Comment,
    CommentEscape,
}

/// The end of a comment, which depends on the version of systemd
#[derive(Clone, Copy, PartialEq)]
enum Comments {
    /// Since version 254
    EndWithLine,
    /// Before that, a backslash at the end of a comment makes the next line a part of it
    MayContinue,
}

/// A variable in the file. The name and the value may not be UTF-8.
struct Assignment {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The line with the name
    line: usize,
}

/// The assignments in a file, in their order.
fn parse(bytes: &[u8], comments: Comments) -> Vec<Assignment> {
    let mut assigned = Vec::new();
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let mut state = State::BeforeName;
    let (mut line, mut line_of_name) = (1, 1);
    // the length of the value without the blanks at its end, which don't count outside of quotes
    let mut kept = 0;
    let is_line_break = |c| c == b'\n' || c == b'\r';
    let is_blank = |c| c == b' ' || c == b'\t' || is_line_break(c);
    let assignment = |name: &[u8], value: &mut Vec<u8>, line| Assignment {
        name: name.trim_ascii_end().to_owned(),
        value: std::mem::take(value),
        line,
    };
    for c in bytes.iter().copied() {
        state = match (state, c) {
            (State::BeforeName, b'#' | b';') => State::Comment,
            (State::BeforeName, c) if is_blank(c) => State::BeforeName,
            (State::BeforeName, c) => {
                name = vec![c];
                line_of_name = line;
                State::Name
            }
            // without `=`, the line is ignored
            (State::Name, c) if is_line_break(c) => State::BeforeName,
            (State::Name, b'=') => {
                value.clear();
                kept = 0;
                State::BeforeValue
            }
            (State::Name, c) => {
                name.push(c);
                State::Name
            }
            (State::BeforeValue | State::Value, c) if is_line_break(c) => {
                value.truncate(kept);
                assigned.push(assignment(&name, &mut value, line_of_name));
                State::BeforeName
            }
            (State::BeforeValue, b'\'') => State::SingleQuotes,
            (State::BeforeValue, b'"') => State::DoubleQuotes,
            // blanks before a backslash count, whatever follows it
            (State::BeforeValue | State::Value, b'\\') => {
                kept = value.len();
                State::ValueEscape
            }
            (State::BeforeValue, c) if is_blank(c) => State::BeforeValue,
            (State::BeforeValue | State::Value, c) => {
                value.push(c);
                if !is_blank(c) {
                    kept = value.len();
                }
                State::Value
            }
            // a backslash at the end continues the line
            (State::ValueEscape, c) => {
                if !is_line_break(c) {
                    value.push(c);
                    kept = value.len();
                }
                State::Value
            }
            (State::SingleQuotes, b'\'') | (State::DoubleQuotes, b'"') => {
                kept = value.len();
                State::BeforeValue
            }
            (State::SingleQuotes, c) => {
                value.push(c);
                State::SingleQuotes
            }
            (State::DoubleQuotes, b'\\') => State::DoubleQuotesEscape,
            (State::DoubleQuotes, c) => {
                value.push(c);
                State::DoubleQuotes
            }
            (State::DoubleQuotesEscape, c) => {
                if !b"\"\\`$\n".contains(&c) {
                    value.push(b'\\');
                }
                if c != b'\n' {
                    value.push(c);
                }
                State::DoubleQuotes
            }
            (State::Comment, b'\\') if comments == Comments::MayContinue => State::CommentEscape,
            (State::Comment, c) if is_line_break(c) => State::BeforeName,
            (State::Comment | State::CommentEscape, _) => State::Comment,
        };
        line += usize::from(c == b'\n');
    }
    // an open quote at the end is no error
    match state {
        State::BeforeName | State::Name | State::Comment | State::CommentEscape => return assigned,
        State::Value => value.truncate(kept),
        _ => {}
    }
    assigned.push(assignment(&name, &mut value, line_of_name));
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::config::{
        dotenv::{self, is_read},
        variables,
    };

    fn found(file: &str) -> Vec<String> {
        let read = dotenv::parse(file.as_bytes(), "--env-file", |_| false).unwrap();
        let is_used = |name: &str| variables::find(name).is_some() && is_read(name);
        let faults = differences(file.as_bytes(), &read.entries, is_used);
        faults.iter().map(|line| line.fault.to_string()).collect()
    }

    /// The expected values are those of systemd 252.
    #[test]
    fn parses_like_systemd() {
        let rows: [(&str, &[(&str, &str)]); 16] = [
            ("X=a # b\n", &[("X", "a # b")]),
            ("X='a' # b\n", &[("X", "a# b")]),
            ("X='a'\"b\"c 'd'\n", &[("X", "abc 'd'")]),
            ("X=\"a\\nb\\$\"\n", &[("X", "a\\nb$")]),
            ("X=a\\nb\n", &[("X", "anb")]),
            ("X=a\\\nb\nY=c\n", &[("X", "ab"), ("Y", "c")]),
            ("# c\\\nX=a\nY=b", &[("Y", "b")]),
            (" X = a b \r\n", &[("X", "a b")]),
            ("X=a\\ \n", &[("X", "a ")]),
            ("X='a\nb' \nY=d", &[("X", "a\nb"), ("Y", "d")]),
            ("X=\"a\nY=b \n", &[("X", "a\nY=b \n")]),
            ("X=a \\", &[("X", "a ")]),
            ("X=a \\\n\nY=b", &[("X", "a "), ("Y", "b")]),
            ("X=a \\\nb \n", &[("X", "a b")]),
            ("X\nY=\n", &[("Y", "")]),
            ("export X=a\n", &[("export X", "a")]),
        ];
        for (text, expected) in rows {
            let found = parse(text.as_bytes(), Comments::MayContinue);
            let found = found.iter().map(|one| {
                let [name, value] = [&one.name, &one.value].map(|part| str::from_utf8(part));
                (name.unwrap(), value.unwrap())
            });
            assert_eq!(found.collect::<Vec<_>>(), expected, "{text:?}");
        }
        let since_254 = parse(b"# c\\\nX=a", Comments::EndWithLine);
        assert_eq!(since_254[0].value, b"a");
    }

    #[test]
    fn names_the_line_that_differs() {
        let comment = "has a comment after its value, which systemd reads as part of the value; put the comment on its own line";
        for (file, line) in [
            ("AUTH0_REALM=a\nAUTH0_REALM=a # local\n", 2),
            ("AUTH0_REALM=a # local\nAUTH0_REALM=a\n", 1),
            ("A='b\nc'\nAUTH0_REALM=a # local\nAUTH0_REALM='a'\n", 3),
        ] {
            let fault = format!("AUTH0_REALM: in --env-file, line {line}, {comment}");
            assert_eq!(found(file), [fault], "{file}");
        }
    }

    #[test]
    fn accepts_what_both_read_alike() {
        for line in [
            "LISTEN=127.0.0.1:8000",
            "LISTEN = 127.0.0.1:8000 ",
            "AUTH0_ALGORITHMS=RS256, ES256",
            "AUTH0_SIGNING_SECRET='a $ecret # with \\ and \"'",
            "AUTH0_REALM=\"it's\"",
            "AUTH0_REALM=\"a \\\"b\\\"\"",
            "AUTH0_REALM=a#b",
            "# a comment\n; another\n\nLISTEN=127.0.0.1:8000\r\nAUTH0_REALM=a",
            "OTHER=${LISTEN} # of another program\nexport ANOTHER=a\\nb\nLISTEN=127.0.0.1:8000",
            "AUTH0_CLIENT_ID=a # not read",
        ] {
            assert_eq!(found(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn reports_what_systemd_reads_differently() {
        const REFERENCE: &str = "has a \"$\", which systemd does not replace with the value of a variable; write the value itself, in single quotes";
        const COMMENT: &str = "has a comment after its value";
        const QUOTE: &str = "has a quote that systemd reads differently";
        const BACKSLASH: &str = "has a backslash, which systemd reads differently";
        const NOT_SET: &str = "is not set by systemd: an earlier line has an open quote";
        const CONTINUED: &str =
            "is not set by systemd before version 254, because a comment above ends in a backslash";
        #[rustfmt::skip]
        let rows = [
            ("a reference", "A=b\nAUTH0_REALM=${A}", "AUTH0_REALM", REFERENCE),
            ("without braces", "A=b\nAUTH0_REALM=x-$A", "AUTH0_REALM", REFERENCE),
            ("in double quotes", "A=b\nAUTH0_REALM=\"${A}\"", "AUTH0_REALM", REFERENCE),
            ("a comment", "LISTEN=127.0.0.1:8000 # local", "LISTEN", COMMENT),
            ("a comment after a tab", "LISTEN=127.0.0.1:8000\t# local", "LISTEN", COMMENT),
            ("a comment after quotes", "AUTH0_REALM='a b' # c", "AUTH0_REALM", COMMENT),
            ("a comment after a secret", "AUTH0_SIGNING_SECRET=abc123 # c", "AUTH0_SIGNING_SECRET", COMMENT),
            ("a comment after a list", "AUTH0_ALGORITHMS=RS256, ES256 # c", "AUTH0_ALGORITHMS", COMMENT),
            ("export", "export LISTEN=127.0.0.1:8000", "LISTEN", "begins with export"),
            ("export of a list", "export AUTH0_ALGORITHMS=RS256, ES256", "AUTH0_ALGORITHMS", "begins with export"),
            ("a line break", "AUTH0_REALM=\"a\\nb\"", "AUTH0_REALM", BACKSLASH),
            ("quotes in the middle", "AUTH0_REALM=a'b'", "AUTH0_REALM", QUOTE),
            ("an open quote before it", "OTHER='a\nLISTEN=127.0.0.1:8000", "LISTEN", NOT_SET),
            ("a continued comment", "# C:\\\nLISTEN=127.0.0.1:8000", "LISTEN", CONTINUED),
            ("a comment after a continued one", "# C:\\\n# d\\\nLISTEN=127.0.0.1:8000", "LISTEN", CONTINUED),
            ("a byte order mark", "\u{feff}LISTEN=127.0.0.1:8000", "LISTEN", NOT_SET),
        ];
        for (case, file, name, words) in rows {
            let found = found(file);
            assert_eq!(found.len(), 1, "{case}: {found:?}");
            let begins = format!("{name}: in --env-file, line ");
            assert!(found[0].starts_with(&begins), "{case}: {found:?}");
            assert!(
                found[0].contains(&format!(", {words}")),
                "{case}: {found:?}"
            );
            assert!(!found[0].contains("abc123"), "{case}: {found:?}");
        }
    }

    /// The Debian package installs `.env.example` as the unit's file.
    #[test]
    fn reads_every_example_alike() {
        let example = include_str!("../../../.env.example");
        assert_eq!(found(example), [""; 0]);
        let mut count = 0;
        for line in example.lines().map(|line| line.trim_start_matches("# ")) {
            let name = line.split('=').next().unwrap_or_default().trim();
            if variables::find(name).is_some() {
                assert_eq!(found(line), [""; 0], "{line}");
                count += 1;
            }
        }
        assert!(count > 60, "{count}");
    }
}
