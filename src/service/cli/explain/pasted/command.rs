//! [`Command`]: a command of curl, wget or httpie in a text, read as a shell reads it.
//!
//! Tells which part of the command has a token. We only know the options that people put tokens
//! into.

use std::{fmt, ops::Range};

use crate::auth::display::ShownText;

/// The programs whose commands are read. xh has the options of httpie.
const PROGRAMS: [(&str, Program); 6] = [
    ("curl", Program::Curl),
    ("wget", Program::Wget),
    ("http", Program::Httpie),
    ("https", Program::Httpie),
    ("xh", Program::Httpie),
    ("xhs", Program::Httpie),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Curl,
    Wget,
    Httpie,
}

/// The parts of one command.
#[derive(Debug, Default)]
pub(super) struct Command {
    range: Range<usize>,
    parts: Vec<(Range<usize>, CommandPart)>,
    fields: Vec<CommandField>,
    method: Option<String>,
    has_data: bool,
    url: Option<String>,
}

/// A header as the command sends it, without the quotes and backslashes of the shell
#[derive(Debug)]
pub(super) struct CommandField {
    name: String,
    pub(super) value: String,
    /// The word with the header
    pub(super) range: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandPart {
    Field(String),
    Url,
    /// The option `--oauth2-bearer` of curl, or `-A bearer -a` of httpie, which is sent as
    /// `Authorization: Bearer`.
    Bearer,
    Option(String),
    Body,
}

impl fmt::Display for CommandPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "the field {}", ShownText::new(name)),
            Self::Url => f.write_str("the URL"),
            Self::Bearer => f.write_str("the option for a bearer token"),
            Self::Option(name) => write!(f, "the option {}", ShownText::new(name)),
            Self::Body => f.write_str("the body"),
        }
    }
}

/// Without its quotes
#[derive(Debug)]
struct Word {
    /// Includes the quotes
    range: Range<usize>,
    text: String,
}

/// Options with a value, in their short and long forms
const OPTIONS: [(&str, &[&str]); 8] = [
    ("-H", &["--header", "--proxy-header"]),
    ("-u", &["--user"]),
    ("-U", &["--proxy-user"]),
    ("-b", &["--cookie"]),
    ("-A", &["--user-agent"]),
    ("-e", &["--referer"]),
    ("-X", &["--request"]),
    ("-o", &["--output"]),
];

/// Options whose value is the body of the request
const DATA: [&str; 11] = [
    "-d",
    "-F",
    "--data",
    "--data-raw",
    "--data-binary",
    "--data-urlencode",
    "--data-ascii",
    "--json",
    "--form",
    "--post-data",
    "--body-data",
];

/// Further long options with a value
const LONG: [&str; 5] = [
    "--oauth2-bearer",
    "--url",
    "--url-query",
    "--form-string",
    "--connect-to",
];

/// All long options of httpie with a value
const OF_HTTPIE: [&str; 3] = ["--auth", "--auth-type", "--print"];

impl Program {
    /// Returns the short options with a value.
    const fn short(self) -> &'static str {
        match self {
            Self::Curl => "AbcCdDeEFhHKmoPQrtTuUwxXyYz",
            Self::Wget => "aAeioOPQtTUw",
            Self::Httpie => "aAop",
        }
    }

    fn takes_value(self, option: &str) -> bool {
        let is_short = option.len() == 2 && option[1..].chars().all(|c| self.short().contains(c));
        is_short
            || DATA.contains(&option)
            || LONG.contains(&option)
            || OF_HTTPIE.contains(&option)
            || OPTIONS.iter().any(|(_, long)| long.contains(&option))
    }

    /// Returns the option that a word begins with, and the value in the same word.
    fn option(self, word: &str) -> Option<(String, Option<String>)> {
        if word.starts_with("--") {
            return Some(match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.to_owned(), None),
            });
        }
        let letters = word
            .strip_prefix('-')
            .filter(|letters| !letters.is_empty())?;
        let short = self.short();
        let Some((at, letter)) = letters.char_indices().find(|(_, c)| short.contains(*c)) else {
            return Some((word.to_owned(), None));
        };
        let value = &letters[at + letter.len_utf8()..];
        let value = (!value.is_empty()).then(|| value.to_owned());
        Some((format!("-{letter}"), value))
    }
}

impl Command {
    fn read(text: &str, start: usize, program: Program) -> Self {
        let (words, end) = words(text, start);
        let mut command = Self {
            range: start..end,
            ..Self::default()
        };
        let mut words = words.into_iter().skip(1);
        let mut is_bearer = false;
        while let Some(word) = words.next() {
            let Some((option, attached)) = program.option(&word.text) else {
                if program == Program::Httpie {
                    command.add_item(word);
                } else {
                    command.add_url(word);
                }
                continue;
            };
            let value = match attached {
                Some(text) => Some(Word { text, ..word }),
                None if program.takes_value(&option) => words.next(),
                None => None,
            };
            let Some(Word { text, range }) = value else {
                continue;
            };
            match (program, &*option) {
                (Program::Httpie, "-A" | "--auth-type") => is_bearer = text == "bearer",
                (Program::Httpie, _) => {
                    let part = CommandPart::Option(option);
                    command.parts.push((range, part));
                }
                // The short options of wget have other meanings than those of curl.
                (Program::Wget, short) if short.len() == 2 => {}
                _ => command.add(&option, &text, range),
            }
        }
        let of_token = ["-a", "--auth"].map(|name| CommandPart::Option(name.to_owned()));
        for (_, part) in &mut command.parts {
            if is_bearer && of_token.contains(part) {
                *part = CommandPart::Bearer;
            }
        }
        command
    }

    /// Adds the method, the URL or an item of httpie: `Name:value`, `name==value` for the query, or
    /// `name=value` for the body.
    fn add_item(&mut self, word: Word) {
        if self.url.is_none() {
            if word.text.chars().all(|c| c.is_ascii_uppercase()) {
                self.method = Some(word.text);
            } else {
                self.parts.push((word.range, CommandPart::Url));
                self.url = Some(word.text);
            }
            return;
        }
        let Some(at) = word.text.find([':', '=', '@']) else {
            return;
        };
        let (name, value) = word.text.split_at(at);
        let part = if value.starts_with("==") {
            CommandPart::Url
        } else if let Some(value) = value.strip_prefix(':').filter(|it| !it.starts_with('=')) {
            let (name, value) = (name.to_owned(), value.trim().to_owned());
            let range = word.range.clone();
            self.fields.push(CommandField {
                name: name.clone(),
                value,
                range,
            });
            CommandPart::Field(name)
        } else {
            self.has_data = true;
            CommandPart::Body
        };
        self.parts.push((word.range, part));
    }

    fn add_url(&mut self, word: Word) {
        if word.text.contains(['/', '?', ':']) {
            self.url.get_or_insert(word.text);
            self.parts.push((word.range, CommandPart::Url));
        }
    }

    fn add(&mut self, option: &str, value: &str, range: Range<usize>) {
        let short = OPTIONS.iter().find(|(_, long)| long.contains(&option));
        let part = match short.map_or(option, |(short, _)| *short) {
            "-H" => {
                let (name, value) = value.split_once([':', ';']).unwrap_or((value, ""));
                let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
                let field = CommandField {
                    name: name.clone(),
                    value,
                    range: range.clone(),
                };
                self.fields.push(field);
                CommandPart::Field(name)
            }
            "-X" => {
                self.method = Some(value.to_owned());
                return;
            }
            "--url" => {
                return self.add_url(Word {
                    range,
                    text: value.to_owned(),
                });
            }
            "--url-query" => CommandPart::Url,
            "--oauth2-bearer" => CommandPart::Bearer,
            _ => {
                self.has_data |= DATA.contains(&option);
                CommandPart::Option(option.to_owned())
            }
        };
        self.parts.push((range, part));
    }

    pub(super) fn values<'c>(&'c self, name: &'c str) -> impl Iterator<Item = &'c str> {
        let of_name = self
            .fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name));
        // in Windows' shell, a caret comes before the closing quote
        of_name.map(|field| field.value.trim_end_matches('^'))
    }

    /// The variable of a shell in the option for a bearer token. A shell does not replace it in
    /// single quotes.
    pub(super) fn bearer_variable(&self, text: &str) -> Option<String> {
        let mut parts = self.parts.iter();
        let (range, _) = parts.find(|(_, part)| *part == CommandPart::Bearer)?;
        let word = text[range.clone()].trim_matches('"');
        let fits = |c: char| c.is_ascii_alphanumeric() || "$%{}_:".contains(c);
        (word.starts_with(['$', '%']) && word.chars().all(fits)).then(|| word.to_owned())
    }

    pub(super) fn request(&self) -> Option<(String, String)> {
        let default = if self.has_data { "POST" } else { "GET" };
        let method = self.method.as_deref().unwrap_or(default).to_owned();
        let url = self.url.clone()?;
        // The programs add the scheme, and httpie also adds the host.
        let url = if url.contains("://") || url.starts_with('/') {
            url
        } else if url.starts_with(':') {
            format!("http://localhost{url}")
        } else {
            format!("http://{url}")
        };
        Some((method, url))
    }
}

/// Finds the commands in a text.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let places = PROGRAMS.iter().flat_map(|(name, program)| {
        let places = text.match_indices(name).filter(|(at, name)| {
            let rest = &text[at + name.len()..];
            let rest = rest.strip_prefix(".exe").unwrap_or(rest);
            rest.starts_with([' ', '\t']) && begins_command(&text[..*at])
        });
        places.map(|(at, _)| (at, *program))
    });
    let mut places: Vec<_> = places.collect();
    places.sort_by_key(|(at, _)| *at);
    let mut commands: Vec<Command> = Vec::new();
    for (at, program) in places {
        let is_inside = commands.last().is_some_and(|last| at < last.range.end);
        if !is_inside {
            commands.push(Command::read(text, at, program));
        }
    }
    commands
}

/// The header of a command at this place. `None` if there is none.
pub(super) fn field_at(commands: &[Command], place: usize) -> Option<&CommandField> {
    let before = commands.partition_point(|command| command.range.start <= place);
    let command = commands.get(before.checked_sub(1)?)?;
    let fields = &command.fields;
    let before = fields.partition_point(|field| field.range.start <= place);
    let field = fields.get(before.checked_sub(1)?)?;
    field.range.contains(&place).then_some(field)
}

/// The part of a command at this place. `None` if the place isn't in a command.
pub(super) fn part_at(commands: &[Command], place: usize) -> Option<&CommandPart> {
    let before = commands.partition_point(|command| command.range.start <= place);
    let command = commands.get(before.checked_sub(1)?)?;
    let parts = &command.parts;
    let before = parts.partition_point(|(range, _)| range.start <= place);
    let (range, part) = parts.get(before.checked_sub(1)?)?;
    range.contains(&place).then_some(part)
}

/// Whether a command may follow: at the start of a line, after a prompt, or after another command.
fn begins_command(before: &str) -> bool {
    // Reads only the end of the line, because a line may have many commands.
    let before = before.trim_end_matches([' ', '\t']);
    let begins_line = |text: &str| text.is_empty() || text.ends_with('\n');
    let is_prefix = |word: &&str| {
        let rest = before.strip_suffix(word);
        rest.is_some_and(|rest| begins_line(rest.trim_end_matches([' ', '\t'])))
    };
    begins_line(before)
        || before.ends_with(['$', '%', '#', '>', ';', '&', '|', '(', '`'])
        || ["sudo", "time"].iter().any(is_prefix)
}

/// Splits the command at `start` into words. Also returns its end.
fn words(text: &str, start: usize) -> (Vec<Word>, usize) {
    let mut words: Vec<Word> = Vec::new();
    let mut is_open = false;
    let mut quote = None;
    let mut end = text.len();
    let mut chars = text[start..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let at = start + at;
        let next = chars.peek().map(|(_, next)| *next);
        let is_line_break = matches!(next, Some('\r' | '\n'));
        let kept = match (quote, c) {
            (Some(open), _) if c == open => {
                quote = None;
                None
            }
            (Some('"'), '\\') if next.is_some_and(|c| "\"\\$`".contains(c)) => {
                chars.next();
                next
            }
            (Some('"') | None, '\\') | (None, '^' | '`') if is_line_break => {
                // the command continues on the next line
                chars.next();
                chars.next_if(|(_, c)| next == Some('\r') && *c == '\n');
                if quote.is_none() {
                    is_open = false;
                }
                continue;
            }
            (None, '\\') => {
                chars.next();
                next
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                None
            }
            // Windows' shell has a caret before a quote, and `$'…'` is a quotation too
            (None, '^') => continue,
            (None, '$') if next == Some('\'') => continue,
            (None, ' ' | '\t') => {
                is_open = false;
                continue;
            }
            (None, ';' | '&') if next.is_none_or(|c| c.is_whitespace() || c == '&') => {
                end = at;
                break;
            }
            (None, '\r' | '\n' | '|' | '<' | '>' | ')' | '`') => {
                end = at;
                break;
            }
            _ => Some(c),
        };
        if !is_open {
            is_open = true;
            words.push(Word {
                range: at..at,
                text: String::new(),
            });
        }
        if let Some(word) = words.last_mut() {
            word.range.end = chars.peek().map_or(text.len(), |(next, _)| start + next);
            word.text.extend(kept);
        }
    }
    (words, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_part_with_a_token() {
        #[rustfmt::skip]
        let rows = [
            ("a field", "curl -H 'X-Auth-Token: <T>' https://a.example", "the field X-Auth-Token"),
            ("a field without a space", "curl -sSH'X-Auth-Token: <T>' https://a.example", "the field X-Auth-Token"),
            ("a user", "$ curl -u user:<T> https://a.example", "the option -u"),
            ("a user, long", "curl https://a.example --user \"user:<T>\"", "the option --user"),
            ("data", "curl -sS -d access_token=<T> https://a.example", "the option -d"),
            ("data in JSON", "curl https://a.example --data-raw '{\"access_token\":\"<T>\"}'", "the option --data-raw"),
            ("a query", "curl 'https://a.example/?a=b&access_token=<T>'", "the URL"),
            ("a query without quotes", "curl https://a.example/?a=b&access_token=<T>", "the URL"),
            ("cookies", "curl \\\n  -b s=<T> \\\n  https://a.example", "the option -b"),
            ("Windows", "curl ^\"https://a.example/^\" ^\n  -H ^\"x-token: <T>^\"", "the field x-token"),
            ("Bearer", "curl --oauth2-bearer <T> https://a.example", "the option for a bearer token"),
            ("the answer", "curl https://a.example\n{\"access_token\":\"<T>\"}", ""),
            ("a variable", "TOKEN=<T>; curl https://a.example", ""),
            ("another command", "curl https://a.example | grep <T>", ""),
            ("prose", "I use curl with <T>", ""),
        ];
        for (case, text, expected) in rows {
            let text = text.replace("<T>", "eyJhbGciOiJSUzI1NiJ9.e30.AA");
            let place = text.find("eyJ").unwrap();
            let part = part_at(&commands(&text), place).map(ToString::to_string);
            assert_eq!(part.unwrap_or_default(), expected, "{case}");
        }
    }

    #[test]
    fn reads_the_request() {
        let text = "curl -X DELETE \"https://a.example/b?c\" -H \"DPoP: \\\"p\\\"\"";
        let all = commands(text);
        assert_eq!(all[0].values("dpop").collect::<Vec<_>>(), ["\"p\""]);
        let request = ("DELETE".to_owned(), "https://a.example/b?c".to_owned());
        assert_eq!(all[0].request(), Some(request));
        let all = commands("curl a.example/b -d c=d");
        let request = ("POST".to_owned(), "http://a.example/b".to_owned());
        assert_eq!(all[0].request(), Some(request));
    }
}
