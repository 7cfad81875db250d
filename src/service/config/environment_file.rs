//! Reads a file as systemd reads the `EnvironmentFile` of a unit, and compares that with `.env`.
//!
//! systemd knows no references to variables, no comments after a value and no `export`, and reads
//! some quotes and backslashes differently. A file that passes `check` must have the same values in
//! the service. The rules are those of `EnvironmentFile=` in systemd.exec(5).

use crate::service::config::{
    dotenv::{Entry, has_reference},
    fault::Fault,
    origin::Origin,
};

/// Returns a fault for each entry whose value systemd reads differently. `entries` are those of the
/// same file, read as `.env`. `is_used` returns `true` for a variable whose value in the file counts.
pub(super) fn differences(
    bytes: &[u8],
    entries: &[Entry],
    origin: impl Fn(usize) -> Origin,
    is_used: impl Fn(&str) -> bool,
) -> Vec<Fault> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.split('\n').collect();
    let assigned = parse(&text);
    let used = entries.iter().filter(|entry| is_used(&entry.name));
    let different = used.filter_map(|entry| {
        let mut same_name = assigned
            .iter()
            .rev()
            .filter(|(name, _)| *name == entry.name);
        let value = same_name.next().map(|(_, value)| &**value);
        if value == Some(&*entry.value) {
            return None;
        }
        let line = lines.get(entry.line - 1).copied().unwrap_or_default();
        let fault = Fault::new(&entry.name, reason(line, entry, value));
        Some(fault.with_origin(|_| Some(origin(entry.line))))
    });
    different.collect()
}

/// Why systemd reads another value than `.env`, as the end of a sentence about the line.
fn reason(line: &str, entry: &Entry, value: Option<&str>) -> &'static str {
    let Some(value) = value else {
        return if line.trim_start().starts_with("export ") {
            "begins with export, so systemd ignores the line; remove export"
        } else {
            "is not set by systemd: an earlier line has an open quote, or ends in a backslash, or begins with a byte order mark; correct that line"
        };
    };
    let source = line.split_once('=').map_or("", |(_, source)| source.trim());
    let after = value.strip_prefix(&*entry.value);
    if has_reference(source) {
        "has a \"$\", which systemd does not replace with the value of a variable; write the value itself, in single quotes"
    } else if after.is_some_and(|rest| rest.trim_start().starts_with('#')) {
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

/// The assignments in a file, in their order.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut assigned = Vec::new();
    let (mut name, mut value) = (String::new(), String::new());
    let mut state = State::BeforeName;
    // the length of the value without the blanks at its end, which don't count outside of quotes
    let mut kept = 0;
    let is_line_break = |c| c == '\n' || c == '\r';
    let is_blank = |c| c == ' ' || c == '\t' || is_line_break(c);
    for c in text.chars() {
        state = match (state, c) {
            (State::BeforeName, '#' | ';') => State::Comment,
            (State::BeforeName, c) if is_blank(c) => State::BeforeName,
            (State::BeforeName, c) => {
                name = c.to_string();
                State::Name
            }
            // without `=`, the line is ignored
            (State::Name, c) if is_line_break(c) => State::BeforeName,
            (State::Name, '=') => {
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
                assigned.push((name.trim_end().to_owned(), std::mem::take(&mut value)));
                State::BeforeName
            }
            (State::BeforeValue, '\'') => State::SingleQuotes,
            (State::BeforeValue, '"') => State::DoubleQuotes,
            (State::BeforeValue | State::Value, '\\') => State::ValueEscape,
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
            (State::SingleQuotes, '\'') | (State::DoubleQuotes, '"') => {
                kept = value.len();
                State::BeforeValue
            }
            (State::SingleQuotes, c) => {
                value.push(c);
                State::SingleQuotes
            }
            (State::DoubleQuotes, '\\') => State::DoubleQuotesEscape,
            (State::DoubleQuotes, c) => {
                value.push(c);
                State::DoubleQuotes
            }
            (State::DoubleQuotesEscape, c) => {
                if !['"', '\\', '`', '$', '\n'].contains(&c) {
                    value.push('\\');
                }
                if c != '\n' {
                    value.push(c);
                }
                State::DoubleQuotes
            }
            (State::Comment, '\\') => State::CommentEscape,
            (State::Comment, c) if is_line_break(c) => State::BeforeName,
            // before version 254, a backslash at the end continues a comment too
            (State::Comment | State::CommentEscape, _) => State::Comment,
        };
    }
    // an open quote at the end is no error
    match state {
        State::BeforeName | State::Name | State::Comment | State::CommentEscape => return assigned,
        State::Value => value.truncate(kept),
        _ => {}
    }
    assigned.push((name.trim_end().to_owned(), value));
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
        let faults = differences(file.as_bytes(), &read.entries, Origin::EnvFile, is_used);
        faults.iter().map(ToString::to_string).collect()
    }

    /// The expected values are those of systemd 252.
    #[test]
    fn parses_like_systemd() {
        let rows: [(&str, &[(&str, &str)]); 14] = [
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
            ("X\nY=\n", &[("Y", "")]),
            ("export X=a\n", &[("export X", "a")]),
        ];
        for (text, expected) in rows {
            let found = parse(text);
            let found = found.iter().map(|(name, value)| (&**name, &**value));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{text:?}");
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
            ("a continued comment", "# C:\\\nLISTEN=127.0.0.1:8000", "LISTEN", NOT_SET),
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
