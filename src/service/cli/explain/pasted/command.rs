//! [`Command`]: a `curl` command in a text, read as a shell reads it.
//!
//! Tells which part of the command has a token. We only know the options that people put tokens
//! into.

use std::{fmt, ops::Range};

use crate::auth::display::ShownText;

#[derive(Debug, Default)]
pub(super) struct Command {
    range: Range<usize>,
    parts: Vec<(Range<usize>, CommandPart)>,
    /// Names and values
    fields: Vec<(String, String)>,
    method: Option<String>,
    has_data: bool,
    url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandPart {
    Field(String),
    Url,
    /// curl sends this option as `Authorization: Bearer`
    Bearer,
    Option(String),
}

impl fmt::Display for CommandPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "the field {}", ShownText::new(name)),
            Self::Url => f.write_str("the URL"),
            Self::Bearer => f.write_str("the option --oauth2-bearer"),
            Self::Option(name) => write!(f, "the option {}", ShownText::new(name)),
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
const DATA: [&str; 9] = [
    "-d",
    "-F",
    "--data",
    "--data-raw",
    "--data-binary",
    "--data-urlencode",
    "--data-ascii",
    "--json",
    "--form",
];

/// Further long options with a value
const LONG: [&str; 5] = [
    "--oauth2-bearer",
    "--url",
    "--url-query",
    "--form-string",
    "--connect-to",
];

/// All short options with a value
const SHORT: &str = "AbcCdDeEFhHKmoPQrtTuUwxXyYz";

impl Command {
    fn read(text: &str, start: usize) -> Self {
        let (words, end) = words(text, start);
        let mut command = Self {
            range: start..end,
            ..Self::default()
        };
        let mut words = words.into_iter().skip(1);
        while let Some(word) = words.next() {
            let Some((option, attached)) = option(&word.text) else {
                command.add_url(word);
                continue;
            };
            match attached {
                Some(value) => command.add(&option, &value, word.range),
                None if takes_value(&option) => {
                    if let Some(value) = words.next() {
                        command.add(&option, &value.text, value.range);
                    }
                }
                None => {}
            }
        }
        command
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
                self.fields.push((name.clone(), value));
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
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        // in Windows' shell, a caret comes before the closing quote
        of_name.map(|(_, value)| value.trim_end_matches('^'))
    }

    pub(super) fn request(&self) -> Option<(String, String)> {
        let default = if self.has_data { "POST" } else { "GET" };
        let method = self.method.as_deref().unwrap_or(default).to_owned();
        let url = self.url.clone()?;
        // curl adds the scheme, too
        let url = if url.contains("://") || url.starts_with('/') {
            url
        } else {
            format!("http://{url}")
        };
        Some((method, url))
    }
}

pub(super) fn commands(text: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for (at, name) in text.match_indices("curl") {
        let rest = &text[at + name.len()..];
        let rest = rest.strip_prefix(".exe").unwrap_or(rest);
        let is_inside = commands.last().is_some_and(|last| at < last.range.end);
        if !is_inside && rest.starts_with([' ', '\t']) && begins_command(&text[..at]) {
            commands.push(Command::read(text, at));
        }
    }
    commands
}

/// The part of a command at this place. `None` if the place isn't in a command.
pub(super) fn part_at(commands: &[Command], place: usize) -> Option<&CommandPart> {
    let before = commands.partition_point(|command| command.range.start <= place);
    let command = commands.get(before.checked_sub(1)?)?;
    let mut parts = command.parts.iter();
    let (_, part) = parts.find(|(range, _)| range.contains(&place))?;
    Some(part)
}

/// Whether a command may follow: at the start of a line, after a prompt, or after another command.
fn begins_command(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let bare = line.trim_end_matches([' ', '\t']);
    bare.is_empty()
        || bare.ends_with(['$', '%', '#', '>', ';', '&', '|', '(', '`'])
        || ["sudo", "time"].contains(&bare.trim_start())
}

/// Splits a word into an option and the value attached to it, if any.
fn option(word: &str) -> Option<(String, Option<String>)> {
    if word.starts_with("--") {
        return Some((word.to_owned(), None));
    }
    let letters = word
        .strip_prefix('-')
        .filter(|letters| !letters.is_empty())?;
    let Some((at, letter)) = letters.char_indices().find(|(_, c)| SHORT.contains(*c)) else {
        return Some((word.to_owned(), None));
    };
    let value = &letters[at + letter.len_utf8()..];
    let value = (!value.is_empty()).then(|| value.to_owned());
    Some((format!("-{letter}"), value))
}

fn takes_value(option: &str) -> bool {
    let is_short = option.len() == 2 && option[1..].chars().all(|c| SHORT.contains(c));
    is_short
        || DATA.contains(&option)
        || LONG.contains(&option)
        || OPTIONS.iter().any(|(_, long)| long.contains(&option))
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
            ("Bearer", "curl --oauth2-bearer <T> https://a.example", "the option --oauth2-bearer"),
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
