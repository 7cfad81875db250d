//! `.env`: bytes → variables, or the one line that cannot be read.
//!
//! dotenvy does the reading, quotes, `export`, comments and `${NAME}` included. It never touches
//! the environment of the process, and a fault never shows what a line holds.

use std::{
    cell::Cell,
    io::{self, Read},
};

use crate::service::config::{
    fault::Fault,
    variables::{self, Variable},
};

/// A variable, and the line on which it begins.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// The variables of a `.env`, in their order.
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
        judge(&name, &value, &vars, line, &lines[line - 1..at.get()])?;
        done = at.get();
        vars.push(Entry { name, value, line });
    }
    Ok(vars)
}

/// How many blank lines and comments stand before an entry.
fn skipped(lines: &[String]) -> usize {
    let is_empty = |line: &&String| matches!(line.trim_start().as_bytes(), [] | [b'#', ..]);
    lines.iter().take_while(is_empty).count()
}

/// Refuses an entry that dotenvy reads, but not as it was meant. `source` is the lines of the entry.
fn judge(
    name: &str,
    value: &str,
    before: &[Entry],
    line: usize,
    source: &[String],
) -> Result<(), Fault> {
    if !variables::is_known(name) {
        return Ok(());
    }
    // dotenvy takes the first of two, a shell the last: choosing one would let them disagree.
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

/// The fault of a secret with a `$` that dotenvy takes for a reference: `a$b` becomes `a`, and no
/// signature ever verifies. `source` is the entry that begins on `line`.
fn reference_in_secret(source: &str, line: usize) -> Option<Fault> {
    let (name, value) = source.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    if !variables::is_known(name)
        || !Variable::named(name).is_secret()
        || !has_reference(value.trim())
    {
        return None;
    }
    Some(Fault::new(
        name,
        format_args!(
            "found a \"$\" on line {line} of .env, which starts a reference; put the secret in single quotes"
        ),
    ))
}

/// Returns whether a value has a `$` that is neither escaped nor in single quotes, before its comment.
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

/// A line as dotenvy can read it.
///
/// It refuses a bare value with a blank inside, `RS256, ES256`. Where the variable is ours and the
/// value has no sign of its own, quotes say what was meant.
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
    (variables::is_known(name) && bare && value.contains([' ', '\t']))
        .then(|| format!("{name}='{value}'"))
}

/// The fault of an entry that dotenvy cannot read; `at` is the last line that it was handed.
fn unreadable(error: &dotenvy::Error, at: usize, lines: &[String]) -> Fault {
    // Of a value over several lines, the first is the one where a quote may be missing.
    let count = match error {
        dotenvy::Error::LineParse(text, _) => text.lines().count().max(1),
        _ => 1,
    };
    let first = at + 1 - count;
    // dotenvy also stumbles over `"a$"`: after a reference it overlooks the closing quote.
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

/// Hands out a line at a time, so that the number of lines handed out is the line being read.
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
    fn a_file_reads_as_people_write_it() {
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
    fn a_secret_has_no_dollar_that_starts_a_reference() {
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
    fn a_variable_has_the_line_on_which_it_begins() {
        let vars = parse(b"# a comment\nA=b\n\nB='c\nd'\nexport C=e\n").unwrap();
        let lines: Vec<_> = vars
            .iter()
            .map(|entry| (&*entry.name, entry.line))
            .collect();
        assert_eq!(lines, [("A", 2), ("B", 4), ("C", 6)]);
    }

    #[test]
    fn what_cannot_be_read_is_a_line_number_and_no_value() {
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
