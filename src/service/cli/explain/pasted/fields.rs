//! [`Field`]: an `Authorization` header in a text, and where its value ends.
//!
//! The text may be a list of header lines, a command, source code, or what a program prints of its
//! headers. In all but the first, quotes and brackets around the value are not part of it. This
//! module does not read whole requests, which `request.rs` reads as the server does.

use std::{borrow::Cow, ops::Range};

use crate::service::cli::explain::pasted::{
    command::{self, Command},
    found::{Lines, RequestFault},
    jwt,
    line::{AUTHORIZATION, value_of},
    placeholder::is_template,
    request::BLANKS,
    scheme::{after_accepted, is_credential},
    strings::after,
};

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: usize,
    pub(super) value: Range<usize>,
    pub(super) fault: Option<RequestFault>,
    quote: Option<char>,
    /// A shell or a language sends a `$` in these quotes unchanged
    is_literal: bool,
    /// The value, if it differs from the text at its place
    decoded: Option<String>,
    form: Form,
    /// `curl -v` writes each header of HTTP/2 twice, once in brackets
    is_bracketed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The value goes up to its quote, or to the end of its line
    Whole,
    /// The value ends before other text of the same line
    Dump,
    /// A block of YAML (`>-`, `|`), on the lines below the name
    Block,
    /// On the line below its name, as browsers show it
    Below,
}

impl Field {
    fn of_line(name: usize, value: Range<usize>) -> Self {
        Self {
            name,
            value,
            fault: None,
            quote: None,
            is_literal: false,
            decoded: None,
            form: Form::Whole,
            is_bracketed: false,
        }
    }

    /// The value as it's sent, without the backslashes of a string in double quotes.
    pub(super) fn sent<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if let Some(decoded) = &self.decoded {
            return decoded.clone().into();
        }
        let value = &text[self.value.clone()];
        if self.quote != Some('"') || !value.contains('\\') {
            return value.into();
        }
        let value = value.replace("\\\r\n", "").replace("\\\n", "");
        value.replace("\\\"", "\"").into()
    }

    pub(super) fn at(&self, text: &str, lines: &Lines) -> String {
        let (first, last) = (lines.line(self.value.start), lines.line(self.value.end));
        match self.form {
            Form::Below => {
                let name = lines.line(self.name);
                format!("on {name} and its value on {last}, as browsers show it")
            }
            Form::Block => format!("in a block of YAML that begins on {first}"),
            Form::Dump => {
                format!("on {first}, and what follows its value there is not part of it")
            }
            Form::Whole if first == last || !text[self.value.clone()].contains('\\') => {
                format!("on {first}")
            }
            Form::Whole => format!("on {first}, and a backslash continues it on {last}"),
        }
    }

    /// Returns `true` if there's a variable or nothing where the token should be.
    pub(super) fn is_variable(&self, text: &str) -> bool {
        let value = self.sent(text);
        let token = without_scheme(&value);
        let is_interpolated = || self.quote.is_some() && is_interpolation(token);
        let is_name = || self.is_identifier(text);
        token.is_empty() && self.quote.is_some()
            || !self.is_literal && (is_template(token) || is_interpolated() || is_name())
    }

    /// Returns the variable in place of the token, if a shell or a program replaces it before it
    /// sends the value. A tool's placeholder such as `{{token}}` or `<token>` may well be sent.
    pub(super) fn replaced(&self, text: &str) -> Option<String> {
        let value = self.sent(text);
        let token = without_scheme(&value);
        let has_prefix = text[..self.value.start]
            .strip_suffix(['"', '\'', '`'])
            .is_some_and(|before| before.ends_with(['f', 'F', '$', '@']));
        let is_escape = |token: &str| token.starts_with("\\(");
        let is_added = || {
            let rest = text[self.value.end..].get(1..).unwrap_or_default();
            rest.trim_start_matches(BLANKS).starts_with(['+', '.'])
        };
        let is_replaced = match self.quote {
            None => self.form == Form::Whole && self.decoded.is_some() && token.starts_with('$'),
            Some(_) if token.is_empty() => is_added(),
            Some(_) => {
                let is_of_cmd =
                    token.starts_with('%') && token.ends_with('%') && is_template(token);
                !self.is_literal
                    && (token.starts_with(['$', '`'])
                        || is_of_cmd
                        || token.starts_with("#{")
                        || is_escape(token)
                        || has_prefix && token.starts_with('{'))
            }
        };
        let is_name = |token: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "$%{}_:.#".contains(c);
            token.len() <= 64 && token.chars().all(fits)
        };
        is_replaced.then(|| {
            if is_name(token) {
                token.to_owned()
            } else {
                String::new()
            }
        })
    }

    /// The value is the name of a variable, as in `{"Authorization": header}`.
    fn is_identifier(&self, text: &str) -> bool {
        let value = &text[self.value.clone()];
        let name = value.trim_end_matches(|c: char| c.is_whitespace() || ",;)}]".contains(c));
        let is_quoted_name = text[self.name + AUTHORIZATION.len()..].starts_with(['"', '\'']);
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
        self.quote.is_none()
            && is_quoted_name
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(fits)
            && !jwt::is_jwt(name)
    }

    /// Another name in the value is part of the value.
    fn is_closed(&self, text: &str, lines: &Lines) -> bool {
        self.quote.is_some() || self.form == Form::Block || begins_line(text, self.name, lines)
    }

    /// The line goes on after the value.
    pub(super) fn is_cut(&self) -> bool {
        self.form == Form::Dump
    }

    fn cut(self, end: usize) -> Self {
        Self {
            value: self.value.start..end,
            decoded: None,
            form: Form::Dump,
            ..self
        }
    }

    /// The value up to the name of another field, if that is a credential.
    fn before(&self, text: &str, name: usize) -> Option<usize> {
        let value = &text[self.value.start..name];
        let bare = value.trim_end_matches(|c: char| c.is_whitespace() || ",;\"'([{".contains(c));
        let has_token = without_scheme(bare).len() < bare.len() && !without_scheme(bare).is_empty();
        (is_credential(bare) && has_token).then(|| self.value.start + bare.len())
    }
}

/// Returns the text after a scheme that the service may accept, or the whole text.
pub(in crate::service) fn without_scheme(value: &str) -> &str {
    let value = value.trim();
    let bare =
        after_accepted(value).filter(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
    bare.unwrap_or(value).trim()
}

/// Code that a language or a shell replaces with its value: `${f(x)}`, `{os.environ['A']}`,
/// `$(cat token)`.
fn is_interpolation(token: &str) -> bool {
    let begins = ["${", "#{", "{", "$(", "\\(", "`", "%{", "<%"];
    begins.iter().any(|begin| token.starts_with(begin)) && !token.contains("eyJ")
}

/// Returns whether a value in a request is a variable. Requests in files of REST clients have them.
pub(super) fn is_variable_of_request(value: &str) -> bool {
    after(value.trim(), "bearer").is_some_and(|token| is_template(token.trim()))
}

/// Finds `Authorization` headers in a request, in quotes within a command, or in source code.
/// No two of them overlap.
pub(super) fn fields(text: &str, lines: &Lines, commands: &[Command]) -> Vec<Field> {
    let lower = text.to_ascii_lowercase();
    let search = Search {
        text,
        lines,
        commands,
        first_bracket: text.find(['{', '[', '(']).unwrap_or(text.len()),
    };
    let mut fields: Vec<Field> = Vec::new();
    let places = lower.match_indices(AUTHORIZATION).map(|(at, _)| at);
    let mut places = places.peekable();
    while let Some(at) = places.next() {
        let outer = fields.last().filter(|outer| at < outer.value.end);
        // The word is a part of a value that has quotes, or is a whole line.
        if outer.is_some_and(|outer| outer.is_closed(text, lines)) {
            continue;
        }
        // `Proxy-Authorization` is a different header
        if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            continue;
        }
        let next = places.peek().copied().unwrap_or(text.len());
        if let Some(field) = search.read(at, next) {
            if let Some(outer) = fields.pop_if(|outer| at < outer.value.end) {
                // Otherwise, it is a name in a list of names.
                let end = outer.before(text, at);
                fields.extend(end.map(|end| outer.cut(end)));
            }
            fields.push(field);
        }
    }
    fields
}

/// A text, and what is known about all of it
struct Search<'t> {
    text: &'t str,
    lines: &'t Lines,
    commands: &'t [Command],
    /// The place of the first bracket, with which a dump begins
    first_bracket: usize,
}

impl Search<'_> {
    /// Reads the field with its name at this place. `next` is the place of the next name.
    fn read(&self, at: usize, next: usize) -> Option<Field> {
        let text = self.text;
        let first = self.lines.begin(at);
        if first < at && is_of_answer(&text[first..at]) {
            return None;
        }
        let line_start = self.lines.start(at);
        let line_end = self.lines.end(at).unwrap_or(text.len());
        let line = text[at..line_end].trim_end_matches('\r');
        if let Some((value, decoded)) = block(text, line_start, at, line) {
            let field = Field::of_line(at, value);
            let decoded = Some(decoded);
            return Some(Field {
                decoded,
                form: Form::Block,
                ..field
            });
        }
        let is_indented = first == at;
        if is_indented && has_members(text, line_start, at, line) {
            return None;
        }
        let of_line = begins_line(text, at, self.lines).then(|| line_field(text, at, line));
        if let Some(field) = of_line.flatten() {
            return Some(field);
        }
        let separated = Separated::read(text, at, self.lines)?;
        self.field_of_command(at, &separated)
            .or_else(|| self.field_within(at, next, is_indented, &separated))
    }

    /// Reads a value without quotes in a command. A shell removes backslashes and quotes in it.
    fn field_of_command(&self, at: usize, separated: &Separated) -> Option<Field> {
        let sent = command::field_at(self.commands, at)?;
        let value = separated.begin..sent.range.end;
        (separated.quote.is_none() && !value.is_empty()).then(|| Field {
            decoded: Some(sent.value.clone()),
            ..Field::of_line(at, value)
        })
    }

    /// Reads a value within other text.
    fn field_within(
        &self,
        at: usize,
        next: usize,
        is_indented: bool,
        separated: &Separated,
    ) -> Option<Field> {
        let Separated { begin, quote, open } = *separated;
        let text = self.text;
        let is_of_command = command::field_at(self.commands, at).is_some();
        let end = self.lines.end(begin).filter(|_| quote.is_none());
        let value = &text[begin..end.unwrap_or(text.len())];
        let is_escaped = text[..begin].ends_with("\\\"");
        let mut value = match quote {
            None => value.trim_end_matches('\r'),
            Some(_) => &value[..end_of_value(value, is_escaped, quote)],
        };
        let mut form = Form::Whole;
        if quote == Some('"') && !is_of_command {
            let end = before_escaped_break(value, open == quote);
            if end < value.len() {
                form = Form::Dump;
                value = &value[..end];
            }
        }
        // also in a dump in brackets: `[authorization=Bearer …,host=a]`
        if quote.is_none() || quote == Some(']') && open == quote {
            let limit = next.saturating_sub(begin).min(value.len());
            let has_bracket = self.first_bracket < at;
            let end = end_in_dump(value, limit, is_indented.then_some(has_bracket));
            if end < value.trim_end().len() {
                form = Form::Dump;
                value = &value[..end];
            }
        }
        let is_empty = quote.is_some() && value.trim().is_empty();
        if is_empty || is_code(value) {
            return None;
        }
        // Windows' shell may have a caret before a quote
        let value = value.strip_suffix('^').unwrap_or(value);
        let separator = &text[at + AUTHORIZATION.len()..begin];
        let is_assigned = separator.contains('=');
        Some(Field {
            value: begin..begin + value.len(),
            quote,
            is_literal: quote == Some('\'') && (open.is_some() || is_of_command || is_assigned),
            decoded: with_space(value).filter(|_| is_assigned),
            form,
            is_bracketed: quote == Some(']') && open == quote && form == Form::Whole,
            ..Field::of_line(at, 0..0)
        })
    }
}

/// Reads a line of a request, in which all quotes are sent, or a line below a name.
fn line_field(text: &str, at: usize, line: &str) -> Option<Field> {
    if let Some(value) = value_below(text, at, line) {
        let form = Form::Below;
        return Some(Field {
            form,
            ..Field::of_line(at, value)
        });
    }
    let (value, fault) = value_of(line, AUTHORIZATION)?;
    let begin = at + line.trim_end_matches(BLANKS).len() - value.len();
    let field = Field::of_line(at, begin..begin + value.len());
    Some(Field { fault, ..field })
}

/// Decodes the space after a scheme, as `OTEL_EXPORTER_OTLP_HEADERS` has it. `None` if it is a
/// space already.
fn with_space(value: &str) -> Option<String> {
    let rest = after_accepted(value)?.strip_prefix("%20")?;
    let scheme = &value[..value.len() - rest.len() - "%20".len()];
    Some(format!("{scheme} {rest}"))
}

/// Where a value begins after its name and a separator, e.g. `Authorization: "`
struct Separated {
    begin: usize,
    /// The character that ends the value
    quote: Option<char>,
    /// The same, if it belongs to a quote or a bracket before the name
    open: Option<char>,
}

impl Separated {
    fn read(text: &str, at: usize, lines: &Lines) -> Option<Self> {
        let is_separator = |c: char| "\"'` \t:=,>[^".contains(c);
        let name_end = at + AUTHORIZATION.len();
        let rest = &text[name_end..];
        let length = rest.find(|c: char| !is_separator(c)).unwrap_or(rest.len());
        let mut separator = &rest[..length];
        let colon = separator.find([':', '=', ','])?;
        let closing = |c: char| match c {
            '[' => Some(']'),
            '"' | '\'' | '`' => Some(c),
            _ => None,
        };
        // A quote is still open before the name, or begins right before the value
        let open = text[..at].chars().last().and_then(closing);
        let open = open.filter(|quote| !separator[..colon].contains(*quote));
        if let Some(end) = open.and_then(|quote| separator.find(quote)) {
            separator = &separator[..end];
        }
        if open.is_none_or(|open| open == ']') {
            let begin = name_end + separator.len();
            let length = length_before_quote(text, begin, separator, lines);
            separator = &rest[..separator.len() + length];
        }
        let own = separator.chars().last().and_then(closing);
        // `"Authorization", "…"`, but no list of names such as `Vary: Authorization, Cookie`
        let is_quote = |c: char| "\"'`".contains(c);
        if rest[colon..].starts_with(',')
            && !rest[..colon].trim_end_matches(' ').ends_with(is_quote)
            && !own.is_some_and(is_quote)
        {
            return None;
        }
        // Spring: `[Authorization:"…", Accept:"…"]`
        let quote = match open {
            Some(']') => own.or(open),
            _ => open.or(own),
        };
        Some(Self {
            begin: name_end + separator.len(),
            quote,
            open,
        })
    }
}

/// The length of what may stand between a separator and the quote before a value: the prefix of a
/// string in Python or C#, the name `value`, or a line break in a list.
fn length_before_quote(text: &str, begin: usize, separator: &str, lines: &Lines) -> usize {
    const PREFIXES: &str = "fFrRbBuUs$@";
    let is_quote = |text: &str| text.starts_with(['"', '\'', '`']);
    let rest = &text[begin..lines.end(begin).unwrap_or(text.len())];
    let bare = rest.trim_start_matches(|c| PREFIXES.contains(c));
    let prefix = rest.len() - bare.len();
    if (1..=3).contains(&prefix) && is_quote(bare) {
        return prefix + 1;
    }
    let named = after(rest, "value").map(|rest| rest.trim_start_matches(['"', '\'', ' ']));
    if let Some(value) = named.and_then(|rest| rest.strip_prefix([':', '='])) {
        let value = value.trim_start_matches(' ');
        let bare = value.trim_start_matches(|c| PREFIXES.contains(c));
        if value.len() - bare.len() <= 3 && is_quote(bare) {
            return rest.len() - bare.len() + 1;
        }
    }
    let is_list = separator.contains(',') && rest.trim_start().is_empty();
    let next = text[begin..].trim_start_matches(BLANKS);
    if is_list && is_quote(next) {
        return text.len() - begin - next.len() + 1;
    }
    0
}

/// The place and the text of a block of YAML: `Authorization: >-`, and indented lines below it.
fn block(text: &str, line_start: usize, at: usize, line: &str) -> Option<(Range<usize>, String)> {
    let rest = line[AUTHORIZATION.len()..].trim_start_matches(['"', '\'']);
    let sign = rest.strip_prefix(':')?.trim_start_matches(BLANKS);
    let options = sign.strip_prefix(['>', '|'])?;
    let after = options.trim_start_matches(|c: char| "+-".contains(c) || c.is_ascii_digit());
    // Only looks at blanks from their start, because a line may have many names
    if options.len() - after.len() > 2 || !after.trim_start_matches(BLANKS).is_empty() {
        return None;
    }
    let separator = if sign.starts_with('|') { "\n" } else { " " };
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let own = indent(&text[line_start..=at]);
    let begin = text[at..].find('\n').map(|end| at + end + 1)?;
    let first = text[begin..].lines().next()?;
    let own_of_block = indent(first);
    let mut words = Vec::new();
    let mut end = begin;
    for line in text[begin..].split_inclusive('\n') {
        let is_part = own_of_block > own && indent(line) >= own_of_block && !line.trim().is_empty();
        if !is_part {
            break;
        }
        words.push(line.trim());
        end += line.len();
    }
    let value = text[begin..end].trim_end_matches(BLANKS);
    (!words.is_empty()).then(|| {
        (
            begin + own_of_block..begin + value.len(),
            words.join(separator),
        )
    })
}

/// Whether a name has no value on its own line, but indented lines below it, as in YAML. Browsers
/// show a value below its name too.
fn has_members(text: &str, line_start: usize, at: usize, line: &str) -> bool {
    let rest = line[AUTHORIZATION.len()..].trim_matches(BLANKS);
    if rest != ":" || value_below(text, at, line).is_some() {
        return false;
    }
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut below = text[at..].lines().skip(1);
    let below = below.next().unwrap_or_default();
    !below.trim().is_empty() && indent(below) > at - line_start
}

/// The place of a value on the line below its name, which is how a browser's developer tools show
/// it. `line` is the line of the name, and begins at `at`.
fn value_below(text: &str, at: usize, line: &str) -> Option<Range<usize>> {
    let rest = after(line.trim_end_matches(BLANKS), AUTHORIZATION)?;
    if !rest.is_empty() && rest != ":" {
        return None;
    }
    let begin = at + line.len();
    let next = text[begin..].trim_start_matches(['\r', '\n', ' ', '\t']);
    let begin = text.len() - next.len();
    let value = next.lines().next()?.trim_end_matches(BLANKS);
    is_credential(value).then(|| begin..begin + value.len())
}

/// The length of a value up to its quote, or to the end of its line. In double quotes, a backslash
/// escapes a quote, and continues a line. `is_escaped` is `true` if the quote before the value is
/// escaped.
fn end_of_value(value: &str, is_escaped: bool, quote: Option<char>) -> usize {
    let mut is_after_backslash = false;
    for (at, c) in value.char_indices() {
        if quote == Some('"') && is_after_backslash {
            if is_escaped && c == '"' {
                return at - 1;
            }
            is_after_backslash = c == '\r';
            continue;
        }
        if Some(c) == quote || c == '\n' || c == '\r' {
            return at;
        }
        is_after_backslash = c == '\\';
    }
    value.len()
}

/// The characters `\r` or `\n`, which stand for the end of a line in a string and in a dump
const ESCAPED_BREAKS: [&str; 2] = ["\\r", "\\n"];

/// The length of a value up to an escaped line break. Apache's HTTP client logs `[\r][\n]`. Other
/// text after it is part of the value, except for another field in a string with `has_name`.
fn before_escaped_break(value: &str, has_name: bool) -> usize {
    let places = ESCAPED_BREAKS.iter().filter_map(|sign| value.find(sign));
    let Some(end) = places.min() else {
        return value.len();
    };
    let mut rest = &value[end..];
    while let Some(next) = ESCAPED_BREAKS
        .iter()
        .find_map(|sign| rest.strip_prefix(sign))
    {
        rest = next.trim_start_matches([']', '[']);
    }
    let is_field = has_name && !rest.starts_with(BLANKS) && begins_pair(rest, &[':']);
    if !rest.is_empty() && !is_field {
        return value.len();
    }
    value[..end]
        .strip_suffix('[')
        .unwrap_or(&value[..end])
        .len()
}

/// The length of a credential at the start of a value: a JWT, with or without a scheme and a space.
/// `None` if it is something else.
fn credential_length(value: &str) -> Option<usize> {
    let rest = after_accepted(value).filter(|rest| rest.starts_with(' '));
    let rest = rest.unwrap_or(value).trim_start_matches(' ');
    let end = rest
        .find(|c| !jwt::is_token_character(c))
        .unwrap_or(rest.len());
    let word = &rest[..end];
    jwt::is_jwt(word).then(|| value.len() - rest.len() + word.len())
}

/// A list of fields on one line goes on after a semicolon, and a dump may end in an escaped line
/// break. A name with an equals sign is a parameter, which is part of the value.
fn is_followed_by_field(rest: &str) -> bool {
    let next = rest.strip_prefix("; ");
    ["\\r\\n", "\\n"].contains(&rest) || next.is_some_and(|next| begins_pair(next, &[':']))
}

/// Whether a text begins with a name and one of these signs
fn begins_pair(text: &str, signs: &[char]) -> bool {
    let text = text.trim_start_matches([' ', '"', '\'']);
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
    let Some(end) = end.filter(|end| (1..=64).contains(end)) else {
        return false;
    };
    text[end..]
        .trim_start_matches(['"', '\''])
        .starts_with(signs)
}

/// The length of a value without quotes, within other text. Only looks at the first `limit` bytes
/// for the next name, so that the search stays linear. `of_line` is set if only blanks precede the
/// name: then the value is a line, and its punctuation belongs to a dump only after a bracket.
fn end_in_dump(value: &str, limit: usize, of_line: Option<bool>) -> usize {
    let whole = value.trim_end().len();
    if let Some(end) = credential_length(value) {
        let rest = value[end..].trim_end();
        let next = rest.trim_start_matches([' ', ',', ';']);
        // no shell reads typographic quotes
        let goes_on = is_credential(next)
            || credential_length(next).is_some()
            || rest.starts_with(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']);
        let is_punctuation = |text: &str| text.chars().all(|c| !c.is_alphanumeric() && c != '\\');
        let ends = match of_line {
            None => {
                let parameter = rest.strip_prefix("; ");
                !parameter.is_some_and(|next| begins_pair(next, &['=']))
            }
            Some(has_bracket) => {
                is_followed_by_field(rest)
                    || has_bracket && is_punctuation(rest)
                    || rest.trim_start().chars().all(|c| "║│|\"".contains(c))
                    // a comment in YAML
                    || rest.starts_with(" # ")
            }
        };
        if ends && !goes_on {
            return end;
        }
    }
    if of_line.is_some_and(|has_bracket| !has_bracket) {
        return whole;
    }
    let limited = value.get(..limit).unwrap_or(value);
    let mut marks = limited.match_indices([',', ';']);
    let end = marks.find(|(at, mark)| {
        let signs: &[char] = if *mark == "," { &[':', '='] } else { &[':'] };
        begins_pair(&limited[at + 1..], signs)
    });
    let end = end.map_or(whole, |(at, _)| at);
    let bare = value[..end].trim_end();
    let before_next = &limited[..limited.len().min(bare.len())];
    let closes = [('{', '}'), ('[', ']'), ('(', ')')]
        .iter()
        .any(|(open, close)| bare.ends_with(*close) && !before_next.contains(*open));
    if closes { bare.len() - 1 } else { bare.len() }
}

/// Also after the `> ` of `curl -v`, which may be indented
fn begins_line(text: &str, at: usize, lines: &Lines) -> bool {
    let begin = lines.begin(at);
    at == lines.start(at) || begin < at && [">", "> "].contains(&&text[begin..at])
}

/// Looks if this is the beginning of a line that `curl -v` received, or of a list of names.
fn is_of_answer(line: &str) -> bool {
    let bare = line.strip_prefix("> ").unwrap_or(line);
    line.starts_with("< ")
        || after(bare, "vary:").is_some()
        || after(bare, "access-control-").is_some()
}

/// Longer than the name of any function
const MAX_NAME: usize = 128;

/// Code instead of a value: `new AuthenticationHeaderValue("Bearer", …`, `format!("Bearer {}", …`,
/// or the beginning of a list or a map.
fn is_code(value: &str) -> bool {
    let bare = value.trim_start_matches(['{', '[', '(']);
    let bare = after(bare, "new ").unwrap_or(bare);
    // Reads only the start, because a line may have many names
    let mut start = bare.bytes().take(MAX_NAME);
    let name = start.position(|byte| !byte.is_ascii_alphanumeric() && !b"._:".contains(&byte));
    let is_call = name.is_some_and(|end| {
        end > 0 && (bare[end..].starts_with('(') || bare[end..].starts_with("!("))
    });
    is_call || value.trim_end().ends_with(['{', '[', '('])
}

/// Groups the headers by request. If a request has a header several times, `curl` and proxies send
/// it as often.
pub(super) fn requests<'f>(
    text: &str,
    fields: impl Iterator<Item = &'f Field>,
) -> Vec<Vec<&'f Field>> {
    let mut requests: Vec<Vec<&Field>> = Vec::new();
    let mut open: [Option<usize>; 2] = [None; 2];
    for field in fields {
        // Only the last request can go on. Looking at every request would be quadratic.
        let last = &mut open[usize::from(field.is_bracketed)];
        let is_of = |last: &&Field| !begins_request(&text[last.value.end..field.name]);
        if let Some(at) = last.filter(|at| requests[*at].last().is_some_and(is_of)) {
            requests[at].push(field);
        } else {
            *last = Some(requests.len());
            requests.push(vec![field]);
        }
    }
    requests
}

/// Returns `true` if another request begins within the text: after a blank line, with a method, or
/// with a command.
fn begins_request(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "curl", "wget",
        "fetch", "next",
    ];
    let mut lines = text.split('\n').skip(1);
    // The last line isn't whole: it's the beginning of the next header's line
    let whole_lines = text.matches('\n').count().saturating_sub(1);
    let is_blank = |line: &str| {
        line.trim_matches(|c: char| c.is_whitespace() || "><*|".contains(c))
            .is_empty()
    };
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    lines.by_ref().take(whole_lines).any(is_blank)
        || text.contains("&&")
        || words.any(|word| WORDS.contains(&word.trim_start_matches('-')))
}
