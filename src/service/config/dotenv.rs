//! Parses the bytes of a `.env` into variables, or into the fault of the first line that is
//! invalid.
//!
//! dotenvy parses quotes, `export`, comments and `${NAME}`. Never changes the environment of the
//! process. A fault never shows the contents of a line.

use std::{
    cell::Cell,
    io::{self, Read},
};

use crate::service::config::{fault::Fault, variables};

/// A variable, and the number of its first line.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// Parses the variables of a `.env`, in their order.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.split(|&byte| byte == b'\n').count();
        fault(line, "is not UTF-8; save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<String> = text.lines().map(readable).collect();

    let at = Cell::new(0);
    let mut vars: Vec<Entry> = Vec::new();
    let mut done = 0;
    for item in dotenvy::from_read_iter(LineByLine::new(&lines, &at)) {
        let (name, value) = item.map_err(|error| unreadable(&error, at.get(), &lines))?;
        let line = done + 1 + skipped(&lines[done..at.get()]);
        check(&name, &value, &vars, line, &lines[line - 1..at.get()])?;
        done = at.get();
        vars.push(Entry { name, value, line });
    }
    Ok(vars)
}

/// Counts the blank lines and comments before an entry.
fn skipped(lines: &[String]) -> usize {
    let is_empty = |line: &&String| matches!(line.trim_start().as_bytes(), [] | [b'#', ..]);
    lines.iter().take_while(is_empty).count()
}

/// Rejects an entry whose value in dotenvy differs from the value that was most likely meant.
/// `source` is the lines of the entry.
fn check(
    name: &str,
    value: &str,
    before: &[Entry],
    line: usize,
    source: &[String],
) -> Result<(), Fault> {
    if variables::find(name).is_none() {
        return Ok(());
    }
    // Of two values dotenvy uses the first and a shell the last, so neither is safe to choose.
    let differs = |entry: &Entry| entry.name == name && entry.value != value;
    if before.iter().any(differs) {
        return Err(Fault::new(
            name,
            format_args!("found twice in .env, the second time on line {line}; keep one"),
        ));
    }
    match reference_in_secret(&source.concat(), line) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// Returns the fault of a secret with a `$` that dotenvy would expand as a reference: `a$b` becomes
/// `a`, and every signature is rejected. `source` is the entry that begins on `line`.
fn reference_in_secret(source: &str, line: usize) -> Option<Fault> {
    let (name, value) = source.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let is_secret = variables::find(name).is_some_and(|variable| variable.is_secret);
    if !is_secret || !has_reference(value.trim()) {
        return None;
    }
    Some(Fault::new(
        name,
        format_args!(
            "found a \"$\" on line {line} of .env, which starts a reference; put the secret in single quotes"
        ),
    ))
}

/// Returns whether a value has a `$` that is neither escaped nor in single quotes, before its
/// comment.
fn has_reference(value: &str) -> bool {
    let (mut single, mut double, mut escaped) = (false, false, false);
    for (at, c) in value.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\'' if !double => single = !single,
            _ if single => {}
            '"' => double = !double,
            '\\' => escaped = true,
            '$' => return true,
            ' ' | '\t' if !double && value[at..].trim_start().starts_with('#') => return false,
            _ => {}
        }
    }
    false
}

/// Returns a line in a form that dotenvy can parse.
///
/// dotenvy rejects an unquoted value that contains a blank, such as `RS256, ES256`. If the variable
/// is known and the value has no special character, quotes are added.
fn readable(line: &str) -> String {
    quoted(line).unwrap_or_else(|| line.to_owned()) + "\n"
}

fn quoted(line: &str) -> Option<String> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let comment = value.find(" #").or_else(|| value.find("\t#"));
    let value = value[..comment.unwrap_or(value.len())].trim();

    let bare = !value.contains(['\'', '"', '\\', '$']);
    (variables::find(name).is_some() && bare && value.contains([' ', '\t']))
        .then(|| format!("{name}='{value}'"))
}

/// Returns the fault of an entry that dotenvy cannot parse. `at` is the last line that dotenvy
/// read.
fn unreadable(error: &dotenvy::Error, at: usize, lines: &[String]) -> Fault {
    // If a value spans several lines, a quote may be missing on the first of them.
    let count = match error {
        dotenvy::Error::LineParse(text, _) => text.lines().count().max(1),
        _ => 1,
    };
    let first = at + 1 - count;
    // dotenvy also rejects `"a$"`, because it misses the closing quote after a reference.
    if let Some(fault) = reference_in_secret(&lines[first - 1], first) {
        return fault;
    }
    fault(
        first,
        "cannot be read; write NAME=value, and quote a value that has blanks, quotes, \"$\" or \"\\\"",
    )
}

fn fault(line: usize, message: &str) -> Fault {
    Fault::new(".env", format_args!("line {line} {message}"))
}

/// Returns one line for each `read`, so that the count of lines returned is the current line
/// number.
struct LineByLine<'a> {
    lines: std::slice::Iter<'a, String>,
    rest: &'a [u8],
    at: &'a Cell<usize>,
}

impl<'a> LineByLine<'a> {
    fn new(lines: &'a [String], at: &'a Cell<usize>) -> Self {
        Self {
            lines: lines.iter(),
            rest: &[],
            at,
        }
    }
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty()
            && let Some(line) = self.lines.next()
        {
            self.rest = line.as_bytes();
            self.at.set(self.at.get() + 1);
        }
        self.rest.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_usual_syntax() {
        #[rustfmt::skip]
        let rows = [
            ("blanks around =", "LISTEN  =  x\n", "LISTEN", "x"),
            ("no line break at the end", "LISTEN=x", "LISTEN", "x"),
            ("a blank at the end", "LISTEN=x ", "LISTEN", "x"),
            ("CRLF", "A=b\r\nLISTEN = x\r\n", "LISTEN", "x"),
            ("a byte order mark", "\u{feff}LISTEN=x", "LISTEN", "x"),
            ("export", "export LISTEN=x", "LISTEN", "x"),
            ("a comment", "# it's\nLISTEN=x # it's", "LISTEN", "x"),
            ("a list", "AUTH0_ALGORITHMS = RS256, ES256  # it's", "AUTH0_ALGORITHMS", "RS256, ES256"),
            ("a list after export", "export RUST_LOG=info, a=warn", "RUST_LOG", "info, a=warn"),
            ("quotes", "LISTEN='a b' # c", "LISTEN", "a b"),
            ("several lines", "A='b\nc'\nLISTEN=x", "A", "b\nc"),
            ("a reference", "B=tenant\nAUTH0_ISSUER=https://${B}/", "AUTH0_ISSUER", "https://tenant/"),
            ("a secret in quotes", "AUTH0_SIGNING_SECRET='a$b'", "AUTH0_SIGNING_SECRET", "a$b"),
            ("nothing", "LISTEN =", "LISTEN", ""),
            ("twice the same", "LISTEN=x\nLISTEN=x", "LISTEN", "x"),
        ];
        for (case, text, name, value) in rows {
            let vars = parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{case}: {fault}"));
            let found = vars.iter().find(|entry| entry.name == name);
            assert_eq!(found.map(|entry| &*entry.value), Some(value), "{case}");
        }
    }

    #[test]
    fn rejects_references_in_secrets() {
        let secret = |value: &str| format!("B=x$y\nAUTH0_SIGNING_SECRET={value}\nLISTEN=$B\n");
        #[rustfmt::skip]
        let altered = [
            ("bare", "hunter$2"),
            ("at the end", "hunter2$"),
            ("in double quotes", "\"hunter$2\""),
            ("last in double quotes", "\"hunter2$x\""),
            ("beside an escaped one", r"hun\$ter$2"),
            ("beside one in single quotes", "'hun$ter'$2"),
            ("an open brace", "hunter${2"),
            ("that expands to one", "hunter$B"),
            ("after a blank", "hunter 2$x"),
            ("on the first of two lines", "\"hun$ter\n2\""),
        ];
        for (case, value) in altered {
            let fault = "AUTH0_SIGNING_SECRET: found a \"$\" on line 2 of .env, which starts a reference; put the secret in single quotes";
            match parse(secret(value).as_bytes()) {
                Ok(_) => panic!("{case}"),
                Err(found) => assert_eq!(found.to_string(), fault, "{case}"),
            }
        }
        #[rustfmt::skip]
        let kept = [
            ("in single quotes", "'hunter$2'", "hunter$2"),
            ("escaped", r"hunter\$2", "hunter$2"),
            ("escaped in double quotes", r#""hunter\$2""#, "hunter$2"),
            ("in a comment", "hunter2 # costs $2", "hunter2"),
            ("an escaped backslash", r#""hunter\\2""#, r"hunter\2"),
        ];
        for (case, text, value) in kept {
            let vars =
                parse(secret(text).as_bytes()).unwrap_or_else(|fault| panic!("{case}: {fault}"));
            assert_eq!(vars[1].value, value, "{case}");
        }
    }

    #[test]
    fn records_the_first_line_of_each_variable() {
        let vars = parse(b"# a comment\nA=b\n\nB='c\nd'\nexport C=e\n").unwrap();
        let lines: Vec<_> = vars
            .iter()
            .map(|entry| (&*entry.name, entry.line))
            .collect();
        assert_eq!(lines, [("A", 2), ("B", 4), ("C", 6)]);
    }

    #[test]
    fn reports_the_line_without_its_contents() {
        let cannot = "cannot be read; write NAME=value, and quote a value that has blanks, quotes, \"$\" or \"\\\"";
        #[rustfmt::skip]
        let rows = [
            ("no =", &b"A=b\n\n# c\nhunter2\n"[..], format!(".env: line 4 {cannot}")),
            ("two words", b"A=b\nB=hunter2 hunter2\n", format!(".env: line 2 {cannot}")),
            ("an open quote", b"A=b\nB='hunter2\n\nC=d\n", format!(".env: line 2 {cannot}")),
            ("a backslash", b"\xef\xbb\xbfA=b\r\nB=hunter\\2\r\n", format!(".env: line 2 {cannot}")),
            ("after several lines", b"A='b\nc'\nhunter2\n", format!(".env: line 3 {cannot}")),
            ("no name", b"=hunter2", format!(".env: line 1 {cannot}")),
            ("not UTF-8", b"A=b\nB=hunter2\xff\n", ".env: line 2 is not UTF-8; save the file as UTF-8".into()),
            ("UTF-16", b"\xff\xfeA\0=\0", ".env: line 1 is not UTF-8; save the file as UTF-8".into()),
            ("two values", b"LISTEN=hunter2\nA=b\nLISTEN=c", "LISTEN: found twice in .env, the second time on line 3; keep one".into()),
            ("a secret with a $", b"A=b\nAUTH0_SIGNING_SECRET=hunter$2", "AUTH0_SIGNING_SECRET: found a \"$\" on line 2 of .env, which starts a reference; put the secret in single quotes".into()),
        ];
        for (case, text, fault) in rows {
            match parse(text) {
                Ok(_) => panic!("{case}"),
                Err(found) => assert_eq!(found.to_string(), fault, "{case}"),
            }
        }
    }
}
