//! Parses a `.env`, and returns its variables and warnings about invalid lines.
//!
//! Other programs may keep variables in the same file, so an invalid line is only a fault if it
//! contains a variable of this service. We parse each line separately, since an unclosed quote
//! somewhere in another program's variables might otherwise hide ours after it.
//!
//! dotenvy does the parsing of quotes, `export`, comments and `${NAME}`. We don't change the
//! environment of the process, and never show the contents of a line in a fault or a warning.

use std::{
    cell::Cell,
    env,
    io::{self, Read},
};

use crate::service::config::{
    fault::{Fault, LineFault, Warning},
    variable::is_of_name,
    variables::{self, AUTH0_CLIENT_ID, AUTH0_CLIENT_SECRET},
};

#[derive(Default)]
pub(super) struct DotEnv {
    /// In file order
    pub(super) entries: Vec<Entry>,
    /// About lines with a variable that this service reads
    pub(super) faults: Vec<LineFault>,
    /// About the other lines that were skipped
    pub(super) warnings: Vec<Warning>,
}

pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
    /// False if dotenvy has replaced a reference in the value with nothing.
    is_complete: bool,
}

/// Parses a `.env`. `file` is its name in faults. `is_overridden` returns `true` for a variable
/// that the environment sets, so that its value in the file is not used.
///
/// # Errors
/// Returns a fault if the file is UTF-16, so that none of its lines can be parsed.
pub(super) fn parse(
    bytes: &[u8],
    file: &str,
    is_overridden: impl Fn(&str) -> bool,
) -> Result<DotEnv, Fault> {
    // in UTF-16, every line would be skipped
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(fault(file, 1, NOT_UTF8));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (lines, mut faults, mut warnings) = readable_lines(bytes, file, &is_overridden);

    let at = Cell::new(0);
    let mut entries: Vec<Entry> = Vec::new();
    let mut done = 0;
    for item in dotenvy::from_read_iter(LineByLine::new(&lines, &at)) {
        // can't fail, we've already parsed each line on its own
        let (name, value) = item.map_err(|_| fault(file, at.get(), CANNOT_BE_READ))?;
        let line = done + 1 + skipped(&lines[done..at.get()]);
        let source = lines[line - 1].split_once('=');
        let references = references(source.map_or("", |(_, value)| value.trim()));
        let is_defined = |reference: &Reference<'_>| reference.value(&entries).is_some();
        let entry = Entry {
            is_complete: references.iter().all(is_defined),
            name,
            value,
            line,
        };
        if let Err(fault) = check(&entry, &references, &entries, file, &is_overridden) {
            match variables::find(&entry.name).filter(|variable| is_read(variable.name)) {
                Some(variable) => faults.push(LineFault::of_variable(variable.name, fault)),
                None => warnings.push(fault.into()),
            }
        }
        done = at.get();
        entries.push(entry);
    }
    Ok(DotEnv {
        entries,
        faults,
        warnings,
    })
}

const NOT_UTF8: &str = "is not UTF-8; save the file as UTF-8";
const CANNOT_BE_READ: &str = "cannot be parsed; write NAME=value, and quote a value that has spaces, quotes, \"$\" or \"\\\"";

/// The lines for dotenvy, with a blank line and a fault or a warning in place of each invalid one.
fn readable_lines(
    bytes: &[u8],
    file: &str,
    is_overridden: impl Fn(&str) -> bool,
) -> (Vec<String>, Vec<LineFault>, Vec<Warning>) {
    let texts: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    let texts = texts.into_iter().map(String::from_utf8_lossy);
    let texts: Vec<_> = texts
        .map(|text| text.trim_end_matches('\r').to_owned())
        .collect();
    let (mut lines, mut faults, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(text) = texts.get(lines.len()) {
        let line = readable(text);
        // Other programs' lines may contain bytes that aren't UTF-8
        let is_text = !text.contains(char::REPLACEMENT_CHARACTER);
        if is_text && is_readable(&line) {
            lines.push(line);
            continue;
        }
        let number = lines.len() + 1;
        let of_ours = our_name(text).map(|name| {
            let fault = wrong_line(text, (file, number), is_text);
            (name, fault)
        });
        let in_another_format = || {
            let name = in_another_format(text)?;
            let right = format!("is not in the format of this file; write {name}=value");
            Some((name, fault(file, number, &right)))
        };
        match of_ours.or_else(in_another_format) {
            Some((name, fault)) if is_read(name) && !is_overridden(name) => {
                faults.push(LineFault::of_variable(name, fault));
            }
            Some((_, fault)) => warnings.push(fault.into()),
            None => {
                let what = if is_text {
                    "cannot be parsed"
                } else {
                    "is not UTF-8"
                };
                let text = format!(
                    "line {number} {what} and is skipped, because it does not name a variable of this service"
                );
                warnings.push(Warning::new(file, text));
            }
        }
        let more = continuation(&texts[lines.len()..]);
        lines.extend((0..=more).map(|_| "\n".to_owned()));
    }
    (lines, faults, warnings)
}

fn is_readable(line: &str) -> bool {
    dotenvy::from_read_iter(line.as_bytes()).all(|item| item.is_ok())
}

/// Returns the name of our variable with which a line begins.
fn our_name(line: &str) -> Option<&'static str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let end = line.find(|c| !is_of_name(c));
    let variable = variables::find(&line[..end.unwrap_or(line.len())])?;
    Some(variable.name)
}

/// Our variable, if a line sets one in another program's format: a Windows shell's, a Dockerfile's,
/// a YAML list, JSON, or with hyphens in the name.
fn in_another_format(line: &str) -> Option<&'static str> {
    const STARTS: [&str; 9] = [
        "set ", "setx ", "$env:", "$", "env ", "arg ", "export ", "- ", "let ",
    ];
    let mut rest = line.trim_start();
    while let Some(start) = STARTS.iter().find(|start| {
        let head = rest.get(..start.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(start))
    }) {
        rest = rest[start.len()..].trim_start();
    }
    let rest = rest.trim_start_matches(['"', '\'', '`', '{', ' ']);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c))?;
    let after = rest[end..].trim_start_matches(['"', '\'', '`', ' ', '\t']);
    // Prose may mention a variable too, so there must be an equals sign or a colon (except in a
    // Dockerfile).
    let is_set = after.starts_with(['=', ':']) || line.trim_start().starts_with("ENV ");
    let name = rest[..end].replace('-', "_");
    let known = variables::find(&name).filter(|_| is_set)?;
    Some(known.name)
}

fn wrong_line(line: &str, (file, number): (&str, usize), is_text: bool) -> Fault {
    if !is_text {
        return fault(file, number, NOT_UTF8);
    }
    let value = line.split_once('=').map_or("", |(_, value)| value.trim());
    match value
        .chars()
        .next()
        .filter(|quote| ['\'', '"'].contains(quote))
    {
        // dotenvy rejects `"a$"` too, since it doesn't find the closing quote after the `$`
        _ if has_reference(value) => reference(line, (file, number)),
        _ if value.starts_with('[') => fault(
            file,
            number,
            "has a list in brackets; separate the items by commas, without brackets or quotes",
        ),
        Some(quote) if !value[1..].contains(quote) => {
            fault(file, number, "has an unclosed quote; close it")
        }
        _ => fault(file, number, CANNOT_BE_READ),
    }
}

/// `false` for the variables of the tutorial's client, which we list but never read.
pub(super) fn is_read(name: &str) -> bool {
    ![
        AUTH0_CLIENT_ID.variable.name,
        AUTH0_CLIENT_SECRET.variable.name,
    ]
    .contains(&name)
}

/// How many of the following lines belong to the first one's value: those up to the closing quote,
/// or up to a line with one of our variables.
fn continuation(lines: &[String]) -> usize {
    let Some((first, after)) = lines.split_first() else {
        return 0;
    };
    let value = first
        .split_once('=')
        .map_or("", |(_, value)| value.trim_start());
    let Some(quote) = value
        .chars()
        .next()
        .filter(|quote| ['\'', '"'].contains(quote))
    else {
        return 0;
    };
    let own = after.iter().position(|line| our_name(line).is_some());
    let before_own = &after[..own.unwrap_or(after.len())];
    let closing = before_own
        .iter()
        .position(|line| line.trim_end().ends_with(quote));
    closing.map_or(0, |closing| closing + 1)
}

/// Counts the blank lines and comments before an entry.
fn skipped(lines: &[String]) -> usize {
    let is_empty = |line: &&String| matches!(line.trim_start().as_bytes(), [] | [b'#', ..]);
    lines.iter().take_while(is_empty).count()
}

/// Rejects an entry whose value in dotenvy is probably not what its author meant.
fn check(
    entry: &Entry,
    references: &[Reference<'_>],
    before: &[Entry],
    file: &str,
    is_overridden: impl Fn(&str) -> bool,
) -> Result<(), Fault> {
    let (name, line) = (&*entry.name, entry.line);
    let Some(variable) = variables::find(name) else {
        return Ok(());
    };
    if is_overridden(name) {
        return Ok(());
    }
    // A variable with two different values is ambiguous: dotenvy would use the first, and a shell
    // the last.
    let differs = |other: &Entry| other.name == name && other.value != entry.value;
    if before.iter().any(differs) {
        return Err(Fault::new(
            name,
            format_args!("found twice in {file}, the second time on line {line}; keep one"),
        ));
    }
    // dotenvy would turn `a$b` into `a`, and the secret would be wrong
    let is_alone = |reference: &Reference<'_>| reference.name.is_empty();
    if variable.is_secret && !references.is_empty() || references.iter().any(is_alone) {
        return Err(reference(name, (file, line)));
    }
    let problem = |reference: &Reference<'_>| reference.problem(before, (file, line));
    match references.iter().find_map(problem) {
        Some(problem) => Err(Fault::new(name, problem)),
        None => Ok(()),
    }
}

/// The fault for a `$` that dotenvy would expand. `source` begins with the name of the variable.
fn reference(source: &str, (file, line): (&str, usize)) -> Fault {
    let name = source.split('=').next().unwrap_or_default().trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    let what = match variables::find(name) {
        Some(variable) if variable.is_secret => "secret",
        _ => "value",
    };
    Fault::new(
        name,
        format_args!(
            "found a \"$\" on line {line} of {file}, which begins a reference to a variable; put the {what} in single quotes"
        ),
    )
}

pub(super) fn has_reference(value: &str) -> bool {
    !references(value).is_empty()
}

/// A `$` that is not escaped, not in single quotes, and not in a comment.
struct Reference<'a> {
    /// The name or the text in braces that follows. Empty if neither follows.
    name: &'a str,
    is_in_braces: bool,
}

impl Reference<'_> {
    /// Returns the value of the variable. `None` if it is not set, or if its value is not complete.
    fn value(&self, before: &[Entry]) -> Option<String> {
        if self.is_cut() {
            return None;
        }
        // Like dotenvy, we look into the environment first.
        env::var(self.name).ok().or_else(|| {
            let entry = self.entry(before).filter(|entry| entry.is_complete)?;
            Some(entry.value.clone())
        })
    }

    fn entry<'e>(&self, before: &'e [Entry]) -> Option<&'e Entry> {
        before.iter().rev().find(|entry| entry.name == self.name)
    }

    /// Without braces, dotenvy ends a name at its first `_`.
    fn is_cut(&self) -> bool {
        !self.is_in_braces && self.name.contains('_')
    }

    /// Describes a reference that dotenvy would replace with nothing, or with another variable.
    fn problem(&self, before: &[Entry], (file, line): (&str, usize)) -> Option<String> {
        let name = self.name;
        // The default after an operator may be a secret.
        if let Some(end) = name.find(|c| !is_of_name(c)) {
            let operand = &name[..end];
            return Some(format!(
                "found ${{{operand}…}} with a default or another operator on line {line} of {file}, which is not supported; write ${{NAME}}, or the value itself"
            ));
        }
        if self.is_cut() {
            return Some(format!(
                "found ${name} on line {line} of {file}, but a name with \"_\" must be in braces; write ${{{name}}}"
            ));
        }
        if self.value(before).is_some_and(|value| !value.is_empty()) {
            return None;
        }
        let found = format!("found a reference to {name} on line {line} of {file}");
        Some(match self.entry(before) {
            Some(entry) if !entry.is_complete => format!(
                "{found}, but {name} refers to a variable without a value on line {}; write the value itself",
                entry.line
            ),
            _ => format!(
                "{found}, and {name} has no value there; set {name} above that line or in the environment, or write the value itself"
            ),
        })
    }
}

fn references(value: &str) -> Vec<Reference<'_>> {
    let mut references = Vec::new();
    let (mut single, mut double, mut escaped) = (false, false, false);
    // dotenvy takes the character that ends a name without braces literally, unless it is a `$`
    let mut literal = None;
    for (at, c) in value.char_indices() {
        if escaped || literal.take_if(|literal| *literal == at).is_some() && c != '$' {
            escaped = false;
            continue;
        }
        match c {
            '\'' if !double => single = !single,
            _ if single => {}
            '"' => double = !double,
            '\\' => escaped = true,
            '$' => {
                let rest = &value[at + 1..];
                let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                let in_braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
                literal = in_braces.is_none().then_some(at + 1 + end);
                references.push(Reference {
                    name: in_braces.map_or(&rest[..end], |(name, _)| name),
                    is_in_braces: in_braces.is_some(),
                });
            }
            ' ' | '\t' if !double && value[at..].trim_start().starts_with('#') => break,
            _ => {}
        }
    }
    references
}

/// Rewrites a line so that dotenvy can parse it.
///
/// dotenvy rejects a value with a space that isn't in quotes, e.g. `RS256, ES256`. We add the
/// quotes if the variable is ours and the value has no special characters.
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

fn fault(file: &str, line: usize, message: &str) -> Fault {
    Fault::new(file, format_args!("line {line} {message}"))
}

/// Yields one line per `read`, so we know which line dotenvy is at.
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

    fn faults(bytes: &[u8]) -> Vec<String> {
        match parse(bytes, ".env") {
            Ok(read) => read
                .faults
                .iter()
                .map(|one| one.fault.to_string())
                .collect(),
            Err(fault) => vec![fault.to_string()],
        }
    }

    fn parse(bytes: &[u8], file: &str) -> Result<DotEnv, Fault> {
        super::parse(bytes, file, |_| false)
    }

    #[test]
    fn parses_the_usual_syntax() {
        #[rustfmt::skip]
        let rows = [
            ("spaces around =", "LISTEN  =  x\n", "LISTEN", "x"),
            ("no line break at the end", "LISTEN=x", "LISTEN", "x"),
            ("a trailing space", "LISTEN=x ", "LISTEN", "x"),
            ("CRLF", "A=b\r\nLISTEN = x\r\n", "LISTEN", "x"),
            ("a byte order mark", "\u{feff}LISTEN=x", "LISTEN", "x"),
            ("export", "export LISTEN=x", "LISTEN", "x"),
            ("a comment", "# it's\nLISTEN=x # it's", "LISTEN", "x"),
            ("a list", "AUTH0_ALGORITHMS = RS256, ES256  # it's", "AUTH0_ALGORITHMS", "RS256, ES256"),
            ("a list after export", "export RUST_LOG=info, a=warn", "RUST_LOG", "info, a=warn"),
            ("quotes", "LISTEN='a b' # c", "LISTEN", "a b"),
            ("a reference", "B=tenant\nAUTH0_ISSUER=https://${B}/", "AUTH0_ISSUER", "https://tenant/"),
            ("a secret in quotes", "AUTH0_SIGNING_SECRET='a$b'", "AUTH0_SIGNING_SECRET", "a$b"),
            ("a reference with braces", "B_C=tenant\nAUTH0_ISSUER=https://${B_C}/", "AUTH0_ISSUER", "https://tenant/"),
            ("a reference without braces", "B=tenant\nAUTH0_ISSUER=https://$B/", "AUTH0_ISSUER", "https://tenant/"),
            ("a reference to a reference", "B=\nC=${B}tenant\nAUTH0_ISSUER=https://${C}/", "AUTH0_ISSUER", "https://tenant/"),
            ("an undefined variable in another program's", "B=${UNDEFINED_B}/x\nLISTEN=x", "B", "/x"),
            ("empty", "LISTEN =", "LISTEN", ""),
            ("twice the same", "LISTEN=x\nLISTEN=x", "LISTEN", "x"),
        ];
        for (case, text, name, value) in rows {
            let vars =
                parse(text.as_bytes(), ".env").unwrap_or_else(|fault| panic!("{case}: {fault}"));
            assert!(vars.warnings.is_empty(), "{case}");
            let found = vars.entries.iter().find(|entry| entry.name == name);
            assert_eq!(found.map(|entry| &*entry.value), Some(value), "{case}");
        }
    }

    #[test]
    fn rejects_references_in_secrets() {
        let secret = |value: &str| format!("B='x$y'\nAUTH0_SIGNING_SECRET={value}\nLISTEN=$B\n");
        #[rustfmt::skip]
        let altered = [
            ("bare", "hunter$2"),
            ("at the end", "hunter2$"),
            ("in double quotes", "\"hunter$2\""),
            ("last in double quotes", "\"hunter2$x\""),
            ("with an escaped one", r"hun\$ter$2"),
            ("with one in single quotes", "'hun$ter'$2"),
            ("an open brace", "hunter${2"),
            ("that expands to one", "hunter$B"),
            ("after a space", "hunter 2$x"),
        ];
        for (case, value) in altered {
            let fault = "AUTH0_SIGNING_SECRET: found a \"$\" on line 2 of .env, which begins a reference to a variable; put the secret in single quotes";
            assert_eq!(faults(secret(value).as_bytes()), [fault], "{case}");
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
            let vars = parse(secret(text).as_bytes(), ".env")
                .unwrap_or_else(|fault| panic!("{case}: {fault}"));
            assert_eq!(vars.entries[1].value, value, "{case}");
        }
    }

    #[test]
    fn records_the_line_of_each_variable() {
        let vars = parse(b"# a comment\nA=b\n\nB=c d\nexport C=e\n", ".env").unwrap();
        let lines = vars.entries.iter();
        let lines: Vec<_> = lines.map(|entry| (&*entry.name, entry.line)).collect();
        assert_eq!(lines, [("A", 2), ("C", 5)]);
    }

    /// Each row is an ordinary line in the `.env` of another program, or similar to one
    #[test]
    fn skips_unreadable_lines_of_other_programs() {
        #[rustfmt::skip]
        let rows = [
            ("a space", &b"APP_NAME=My App"[..], 1),
            ("an apostrophe", b"GREETING=it's fine", 1),
            ("a quote that is not closed", b"A='b", 1),
            ("a double quote that is not closed", b"A=\"b", 1),
            ("a quote after text", b"A=b\"c d", 1),
            ("no =", b"hunter2", 1),
            ("no name", b"=hunter2", 1),
            ("YAML", b"key: value", 1),
            ("a section", b"[section]", 1),
            ("a shell option", b"set -a", 1),
            ("a condition", b"if [ -f x ]; then", 1),
            ("a backslash", b"HOME_DIR=C:\\Users", 1),
            ("a dash in the name", b"A-B=hunter2 x", 1),
            ("a command", b"A=$(date +%s)", 1),
            ("not UTF-8", b"NAME=Andr\xe9", 1),
            ("JSON", b"A={\"b\": [1, 2]}", 1),
            ("a key on several lines", b"KEY=\"-----BEGIN KEY-----\nAAAA==\n-----END KEY-----\"", 1),
            ("two of them", b"KEY='a\nb'\nOTHER='c\nd'", 2),
            ("ours among them", b"AUTH0=b c", 1),
            ("prose about ours", b"see AUTH0_ISSUER", 1),
            ("another list", b"- HOST=a b", 1),
        ];
        for (case, text, warned) in rows {
            let file = [b"LISTEN=a\r\n", text, b"\nRUST_LOG=b\n"].concat();
            let vars = parse(&file, ".env").unwrap_or_else(|fault| panic!("{case}: {fault}"));
            let value = |name: &str| {
                let entry = vars.entries.iter().find(|entry| entry.name == name);
                entry.map(|entry| (&*entry.value, entry.line))
            };
            let last = 2 + text.split(|byte| *byte == b'\n').count();
            assert_eq!(value("LISTEN"), Some(("a", 1)), "{case}");
            assert_eq!(value("RUST_LOG"), Some(("b", last)), "{case}");
            assert_eq!(vars.warnings.len(), warned, "{case}");
            let warning = vars.warnings[0].to_string();
            assert!(warning.starts_with(".env: line 2 "), "{case}: {warning}");
            assert!(!warning.contains("hunter2"), "{case}: {warning}");
        }
    }

    /// We list the variables of the tutorial's client, but the service does not read them.
    #[test]
    fn warns_about_variables_that_are_not_read() {
        let cannot = "cannot be parsed; write NAME=value, and quote a value that has spaces, quotes, \"$\" or \"\\\"";
        let secret = "AUTH0_CLIENT_SECRET: found a \"$\" on line 2 of .env, which begins a reference to a variable; put the secret in single quotes";
        #[rustfmt::skip]
        let rows = [
            ("a quote", &b"AUTH0_CLIENT_ID=a b\"c"[..], format!(".env: line 2 {cannot}")),
            ("an open quote", b"AUTH0_CLIENT_ID=\"hunter2", ".env: line 2 has an unclosed quote; close it".into()),
            ("an open quote on several lines", b"AUTH0_CLIENT_ID=\"hunter2\nx\"", ".env: line 2 has an unclosed quote; close it".into()),
            ("cmd.exe", b"set AUTH0_CLIENT_ID=hunter2", ".env: line 2 is not in the format of this file; write AUTH0_CLIENT_ID=value".into()),
            ("not UTF-8", b"AUTH0_CLIENT_ID=hunter2\xff", ".env: line 2 is not UTF-8; save the file as UTF-8".into()),
            ("a $", b"AUTH0_CLIENT_SECRET=hunter$2", secret.to_owned()),
            ("a $ in double quotes", b"AUTH0_CLIENT_SECRET=\"hunter$2\"", secret.to_owned()),
            ("an undefined variable", b"AUTH0_CLIENT_SECRET=${UNDEFINED_B}", secret.to_owned()),
            ("two values", b"AUTH0_CLIENT_ID=a\nAUTH0_CLIENT_ID=b", "AUTH0_CLIENT_ID: found twice in .env, the second time on line 3; keep one".into()),
        ];
        for (case, text, warning) in rows {
            let file = [b"A=b\n", text, b"\nLISTEN=x\n"].concat();
            let vars = parse(&file, ".env").unwrap_or_else(|fault| panic!("{case}: {fault}"));
            let found: Vec<_> = vars.warnings.iter().map(ToString::to_string).collect();
            assert_eq!(found, [warning], "{case}");
            let listen = vars.entries.iter().find(|entry| entry.name == "LISTEN");
            assert!(listen.is_some(), "{case}");
        }
    }

    #[test]
    fn unclosed_quotes_do_not_hide_our_variables() {
        for (case, text) in [
            ("closed by one of ours", "A='b\nLISTEN='x'\n"),
            ("closed after one of ours", "A=\"b\nLISTEN=x\nc\"\n"),
            ("never closed", "A='b\nc\nLISTEN=x\n"),
            ("in the middle of a value", "A=it's\nLISTEN=x\nB=it's\n"),
        ] {
            let vars =
                parse(text.as_bytes(), ".env").unwrap_or_else(|fault| panic!("{case}: {fault}"));
            let found = vars.entries.iter().find(|entry| entry.name == "LISTEN");
            assert_eq!(found.map(|entry| &*entry.value), Some("x"), "{case}");
        }
    }

    #[test]
    fn reports_unreadable_lines_without_their_contents() {
        let cannot = "cannot be parsed; write NAME=value, and quote a value that has spaces, quotes, \"$\" or \"\\\"";
        let other = |name| format!("is not in the format of this file; write {name}=value");
        let reference = "which begins a reference to a variable; put the";
        #[rustfmt::skip]
        let rows = [
            ("no =", &b"A=b\n\n# c\nLISTEN\n"[..], format!(".env: line 4 {cannot}")),
            ("a colon", b"AUTH0_DOMAIN: hunter2\n", format!(".env: line 1 {cannot}")),
            ("a space and a quote", b"A=b\nLISTEN=hunter2 it's\n", format!(".env: line 2 {cannot}")),
            ("an open quote", b"A=b\nLISTEN='hunter2\n\nC=d\n", ".env: line 2 has an unclosed quote; close it".into()),
            ("on several lines", b"LISTEN='hunter2\nb'\n", ".env: line 1 has an unclosed quote; close it".into()),
            ("a backslash", b"\xef\xbb\xbfA=b\r\nLISTEN=hunter\\2\r\n", format!(".env: line 2 {cannot}")),
            ("not UTF-8", b"A=b\nLISTEN=hunter2\xff\n", ".env: line 2 is not UTF-8; save the file as UTF-8".into()),
            ("UTF-16", b"\xff\xfeA\0=\0", ".env: line 1 is not UTF-8; save the file as UTF-8".into()),
            ("two values", b"LISTEN=hunter2\nA=b\nLISTEN=c", "LISTEN: found twice in .env, the second time on line 3; keep one".into()),
            ("a secret with a $", b"A=b\nAUTH0_SIGNING_SECRET=hunter$2", format!("AUTH0_SIGNING_SECRET: found a \"$\" on line 2 of .env, {reference} secret in single quotes")),
            ("an undefined variable", b"AUTH0_ISSUER=https://login.example/${UNDEFINED_TENANT}/v2.0", "AUTH0_ISSUER: found a reference to UNDEFINED_TENANT on line 1 of .env, and UNDEFINED_TENANT has no value there; set UNDEFINED_TENANT above that line or in the environment, or write the value itself".into()),
            ("an undefined variable after a backslash that escapes nothing", b"A=b\nAUTH0_API_AUDIENCE=api://$A\\$UNDEFINED", "AUTH0_API_AUDIENCE: found a reference to UNDEFINED on line 2 of .env, and UNDEFINED has no value there; set UNDEFINED above that line or in the environment, or write the value itself".into()),
            ("an undefined variable without braces", b"A=b\nAUTH0_API_AUDIENCE=api://$UNDEFINED", "AUTH0_API_AUDIENCE: found a reference to UNDEFINED on line 2 of .env, and UNDEFINED has no value there; set UNDEFINED above that line or in the environment, or write the value itself".into()),
            // dotenvy would look up `HERE`.
            ("an underscore without braces", b"HERE_ID=a\nHERE=b\nAUTH0_API_AUDIENCE=api://$HERE_ID", "AUTH0_API_AUDIENCE: found $HERE_ID on line 3 of .env, but a name with \"_\" must be in braces; write ${HERE_ID}".into()),
            ("an undefined variable of another program", b"OTHER=${UNDEFINED_B}/x\nAUTH0_ISSUER=https://a${OTHER}/", "AUTH0_ISSUER: found a reference to OTHER on line 2 of .env, but OTHER refers to a variable without a value on line 1; write the value itself".into()),
            ("a default of another program", b"HERE=b\nOTHER=${HERE:-x}\nNEXT=a/${OTHER}\nAUTH0_ISSUER=https://a${NEXT}/", "AUTH0_ISSUER: found a reference to NEXT on line 4 of .env, but NEXT refers to a variable without a value on line 3; write the value itself".into()),
            ("an underscore in another program", b"HERE_ID=b\nOTHER=$HERE_ID\nAUTH0_ISSUER=https://a${OTHER}/", "AUTH0_ISSUER: found a reference to OTHER on line 3 of .env, but OTHER refers to a variable without a value on line 2; write the value itself".into()),
            ("a variable that is set later", b"AUTH0_ISSUER=https://${LATER_TENANT}/\nLATER_TENANT=a", "AUTH0_ISSUER: found a reference to LATER_TENANT on line 1 of .env, and LATER_TENANT has no value there; set LATER_TENANT above that line or in the environment, or write the value itself".into()),
            ("an empty variable", b"EMPTY_TENANT=\nAUTH0_ISSUER=https://${EMPTY_TENANT}/", "AUTH0_ISSUER: found a reference to EMPTY_TENANT on line 2 of .env, and EMPTY_TENANT has no value there; set EMPTY_TENANT above that line or in the environment, or write the value itself".into()),
            ("a default of a shell", b"LISTEN=${UNDEFINED_ADDRESS:-hunter2}", "LISTEN: found ${UNDEFINED_ADDRESS…} with a default or another operator on line 1 of .env, which is not supported; write ${NAME}, or the value itself".into()),
            ("a default for a variable that is set", b"HERE=a\nLISTEN=${HERE:-hunter2}", "LISTEN: found ${HERE…} with a default or another operator on line 2 of .env, which is not supported; write ${NAME}, or the value itself".into()),
            ("a $ alone", b"AUTH0_REALM=hunter2$", format!("AUTH0_REALM: found a \"$\" on line 1 of .env, {reference} value in single quotes")),
            ("a list in JSON", b"AUTH0_API_AUDIENCE=[\"https://a\", \"https://b\"]", ".env: line 1 has a list in brackets; separate the items by commas, without brackets or quotes".into()),
            ("cmd.exe", b"set AUTH0_ISSUER=hunter2", format!(".env: line 1 {}", other("AUTH0_ISSUER"))),
            ("PowerShell", b"A=b\n$env:AUTH0_ISSUER = \"hunter2\"", format!(".env: line 2 {}", other("AUTH0_ISSUER"))),
            ("a Dockerfile", b"ENV AUTH0_DOMAIN=hunter2", format!(".env: line 1 {}", other("AUTH0_DOMAIN"))),
            ("a Dockerfile without =", b"ENV AUTH0_DOMAIN hunter2", format!(".env: line 1 {}", other("AUTH0_DOMAIN"))),
            ("a list in YAML", b"  - AUTH0_DOMAIN=hunter2", format!(".env: line 1 {}", other("AUTH0_DOMAIN"))),
            ("JSON", b"{\n  \"AUTH0_ISSUER\": \"hunter2\"\n}", format!(".env: line 2 {}", other("AUTH0_ISSUER"))),
            ("hyphens", b"AUTH0-ISSUER=hunter2", format!(".env: line 1 {}", other("AUTH0_ISSUER"))),
            ("a value with a $", b"AUTH0_API_AUDIENCE=\"hunter2$x\"", format!("AUTH0_API_AUDIENCE: found a \"$\" on line 1 of .env, {reference} value in single quotes")),
        ];
        for (case, text, fault) in rows {
            assert_eq!(faults(text), [fault], "{case}");
        }
    }
}
