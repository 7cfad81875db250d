//! Searches text that isn't JSON, e.g. a command, a request, a URL, `NAME=value`, YAML or source
//! code.

use std::{borrow::Cow, ops::Range};

use crate::{
    auth::display::ShownText,
    service::cli::explain::pasted::{
        command::{self, Command, CommandPart},
        found::{Found, FoundRequest, FoundText, Lines, RequestFault},
        jwt,
        placeholder::is_template,
        request::{self, BLANKS},
        scheme::{after_accepted, is_credential, is_field_value},
        strings::{after, unquoted},
    },
};

/// The header that usually has the token
pub(super) const AUTHORIZATION: &str = "authorization";

/// Finds the headers and tokens in a text. `None` if there are none, or if the text itself is a
/// header value: a scheme and a token. `own` is the header that the service reads.
pub(super) fn search(text: &str, own: &str) -> Option<Found> {
    let mut found = Found::default();
    let lines = Lines::of(text);
    let heads = request::heads(text);
    let commands = command::commands(text);
    let mut fields = fields(text, &lines);
    // we read a whole request as the server reads it
    fields.retain(|field| request::part_at(&heads, field.name).is_none());
    let mut of_other_parts = FoundRequest::default();
    let (mut has_token_outside, mut has_token_in_head) = (false, false);
    let mut earlier = fields.iter().peekable();
    let mut end_of_field = 0;
    for token in jwt::find_all(text) {
        let part = request::part_at(&heads, token.start);
        let is_of_head = part.is_some_and(|part| part.is_named(AUTHORIZATION));
        while let Some(field) = earlier.next_if(|field| field.value.start <= token.start) {
            end_of_field = field.value.end;
        }
        if is_of_head || token.start < end_of_field {
            continue;
        }
        has_token_in_head |= part.is_some();
        let part = part.map(|part| part.to_string());
        let part = part.or_else(|| unread_part(text, &lines, token.start, &commands, own));
        let (name, value) = (name_before(&text[..token.start]), &text[token.clone()]);
        let at = if let Some(part) = part {
            let at = format!("in {part}, on {}", lines.line(token.start));
            of_other_parts.add(value, at.clone(), None);
            at
        } else {
            has_token_outside = true;
            described(text, &lines, token.start)
        };
        let text = value.to_owned();
        found.add(name, FoundText { text, at });
    }
    // If a header has a variable and there's a token elsewhere in the text, we explain that token:
    // a shell replaces the variable before sending, probably with the token.
    let has_variable = |request: &FoundRequest| {
        let mut fields = request.fields.iter();
        fields.any(|field| is_variable(&field.text, None))
    };
    found.requests = request::with_field(text, &heads, AUTHORIZATION);
    found
        .requests
        .retain(|request| !(has_token_outside && has_variable(request)));
    let has_token = has_token_outside || has_token_in_head;
    let is_sent =
        |field: &&Field| !(has_token && is_variable(&text[field.value.clone()], field.quote));
    for request in requests(text, fields.iter().filter(is_sent)) {
        let mut one = FoundRequest::default();
        for field in request {
            one.add(field.sent(text).trim(), field.at(text, &lines), field.fault);
        }
        found.requests.push(one);
    }
    let has_field = !found.requests.is_empty() || has_token_outside;
    let has_part = !of_other_parts.fields.is_empty();
    let is_request = has_part || !heads.is_empty() && request::is_only(text, &heads);
    if is_request && !has_field {
        of_other_parts.fault = heads.iter().find_map(|head| head.fault);
        found.unsent = Some(of_other_parts);
        return Some(found);
    }
    if found.is_empty() {
        return assignment(text).or_else(|| encoded(text));
    }
    let is_value = fields.is_empty() && !text.contains('\n') && is_field_value(text);
    (!is_value).then_some(found)
}

/// Describes the part of a request that has the token at `place`, if the service does not read that
/// part: a part of a curl command, or a header with a name like `Authorization`. `None` if the
/// token is elsewhere.
fn unread_part(
    text: &str,
    lines: &Lines,
    place: usize,
    commands: &[Command],
    own: &str,
) -> Option<String> {
    match command::part_at(commands, place) {
        Some(CommandPart::Bearer) if own.eq_ignore_ascii_case(AUTHORIZATION) => None,
        Some(CommandPart::Field(name)) if name.eq_ignore_ascii_case(own) => None,
        Some(part) => Some(part.to_string()),
        None => {
            let line = &text[lines.start(place)..];
            let name = similar_field(line).filter(|name| !name.eq_ignore_ascii_case(own))?;
            Some(format!("the field {}", ShownText::new(name)))
        }
    }
}

/// Returns the name at the start of a text such as `Authentication: Bearer …`, `Authorisation:
/// Bearer …`, `X-Auth: Bearer …` or `Cookie: …`. Reads only the start, because a line may have many
/// tokens.
fn similar_field(text: &str) -> Option<&str> {
    /// Longer than any name of a field.
    const MAX_LEN: usize = 64;
    let line = text.strip_prefix("> ").unwrap_or(text);
    let colon = line
        .bytes()
        .take(MAX_LEN + 1)
        .position(|byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let lower = name.to_ascii_lowercase();
    let is_similar = lower.contains("auth") || lower.starts_with("aut") || lower.starts_with("x-");
    let is_own = lower == AUTHORIZATION;
    let is_cookie = lower == "cookie";
    (is_cookie
        || is_similar
            && !is_own
            && request::is_field_name(name)
            && is_credential(value.trim_start_matches(BLANKS)))
    .then_some(name)
}

/// The trimmed value of a line that begins with the header `name`.
pub(super) fn value_of<'t>(line: &'t str, name: &str) -> Option<(&'t str, Option<RequestFault>)> {
    let rest = after(line, name)?;
    let value = rest.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    let fault = (!rest.starts_with(':')).then_some(RequestFault::SpaceBeforeColon);
    Some((value.trim_matches(BLANKS), fault))
}

#[derive(Debug)]
struct Field {
    name: usize,
    value: Range<usize>,
    quote: Option<char>,
    fault: Option<RequestFault>,
    /// `curl -v` writes each header of HTTP/2 twice, once in brackets
    is_bracketed: bool,
}

impl Field {
    /// The value as it's sent, without the backslashes of a string in double quotes.
    fn sent<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let value = &text[self.value.clone()];
        if self.quote != Some('"') || !value.contains('\\') {
            return value.into();
        }
        let value = value.replace("\\\r\n", "").replace("\\\n", "");
        value.replace("\\\"", "\"").into()
    }

    fn at(&self, text: &str, lines: &Lines) -> String {
        let (first, last) = (lines.line(self.value.start), lines.line(self.value.end));
        if self.is_below_its_name(text) {
            let name = lines.line(self.name);
            return format!("on {name} and its value on {last}, as browsers show it");
        }
        if first == last {
            format!("on {first}")
        } else {
            format!("on {first}, and a backslash continues it on {last}")
        }
    }

    fn is_below_its_name(&self, text: &str) -> bool {
        self.quote.is_none() && text[self.name..self.value.start].contains('\n')
    }
}

/// Finds `Authorization` headers in a request, in quotes within a command, or in source code.
/// No two of them overlap.
fn fields(text: &str, lines: &Lines) -> Vec<Field> {
    let lower = text.to_ascii_lowercase();
    let mut fields: Vec<Field> = Vec::new();
    for (at, _) in lower.match_indices(AUTHORIZATION) {
        let before = &text[..at];
        let outer = fields.last().filter(|outer| at < outer.value.end);
        // The word is a part of a value that has quotes, or is a whole line.
        if outer.is_some_and(|outer| outer.quote.is_some() || begins_line(&text[..outer.name])) {
            continue;
        }
        // `Proxy-Authorization` is a different header
        if before.ends_with(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            continue;
        }
        // in a line of a request, all quotes are sent
        if begins_line(before) {
            let line = text[at..].lines().next().unwrap_or_default();
            if let Some(value) = value_below(text, at, line) {
                fields.push(Field {
                    name: at,
                    value,
                    quote: None,
                    fault: None,
                    is_bracketed: false,
                });
                continue;
            }
            if let Some((value, fault)) = value_of(line, AUTHORIZATION) {
                let begin = at + line.trim_end_matches(BLANKS).len() - value.len();
                fields.push(Field {
                    name: at,
                    value: begin..begin + value.len(),
                    quote: None,
                    fault,
                    is_bracketed: false,
                });
                continue;
            }
        }
        let rest = &text[at + AUTHORIZATION.len()..];
        let separators = rest.find(|c: char| !"\"'` \t:=,>[^".contains(c));
        let mut separator = &rest[..separators.unwrap_or(rest.len())];
        let Some(colon) = separator.find([':', '=', ',']) else {
            continue;
        };
        let closing = |c: char| match c {
            '[' => Some(']'),
            '"' | '\'' | '`' => Some(c),
            _ => None,
        };
        // A quote is still open before the name, or begins right before the value
        let open = before.chars().last().and_then(closing);
        let open = open.filter(|quote| !separator[..colon].contains(*quote));
        if let Some(end) = open.and_then(|quote| separator.find(quote)) {
            separator = &separator[..end];
        }
        let quote = open.or_else(|| separator.chars().last().and_then(closing));
        let begin = at + AUTHORIZATION.len() + separator.len();
        let end = lines.end(begin).filter(|_| quote.is_none());
        let value = &text[begin..end.unwrap_or(text.len())];
        let is_escaped = text[..begin].ends_with("\\\"");
        let value = match quote {
            None => value.trim_end_matches('\r'),
            Some(_) => &value[..end_of_value(value, is_escaped, quote)],
        };
        let is_empty = quote.is_some() && value.trim().is_empty();
        if is_empty || is_call(value) {
            continue;
        }
        // Windows' shell may have a caret before a quote
        let value = value.strip_suffix('^').unwrap_or(value);
        // Another name in a list of names, such as `Vary: Authorization, Cookie, …`.
        fields.pop_if(|outer| at < outer.value.end);
        fields.push(Field {
            name: at,
            value: begin..begin + value.len(),
            quote,
            fault: None,
            is_bracketed: open == Some(']'),
        });
    }
    fields
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

/// Also after the `> ` of `curl -v`
fn begins_line(before: &str) -> bool {
    let is_start = |before: &str| before.is_empty() || before.ends_with('\n');
    let unmarked = before.strip_suffix(' ').unwrap_or(before).strip_suffix('>');
    is_start(before) || unmarked.is_some_and(is_start)
}

/// Groups the headers by request. If a request has a header several times, `curl` and proxies send
/// it as often.
fn requests<'f>(text: &str, fields: impl Iterator<Item = &'f Field>) -> Vec<Vec<&'f Field>> {
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

/// A call in source code: `new AuthenticationHeaderValue("Bearer", …`
fn is_call(value: &str) -> bool {
    let value = after(value, "new ").unwrap_or(value);
    let name = value.find(|c: char| !c.is_ascii_alphanumeric() && !"._:".contains(c));
    name.is_some_and(|end| end > 0 && value[end..].starts_with('('))
}

/// There's a variable or nothing where the token should be. A shell doesn't replace variables in
/// single quotes.
fn is_variable(value: &str, quote: Option<char>) -> bool {
    let Some(token) = after(value.trim(), "bearer") else {
        return false;
    };
    let token = token.trim();
    let is_literal = quote == Some('\'') && token.starts_with('$');
    (token.is_empty() && quote.is_some()) || is_template(token) && !is_literal
}

/// Finds a token that was base64-encoded again, on one line with its name.
fn encoded(text: &str) -> Option<Found> {
    let word = text
        .split_whitespace()
        .find(|word| jwt::is_encoded_twice(word))?;
    let at = described(text, &Lines::of(text), text.find(word)?);
    let text = word.to_owned();
    Some(Found {
        others: vec![FoundText { text, at }],
        ..Found::default()
    })
}

/// Parses `NAME=value`, also with `export` and the like. The value need not look like a token.
fn assignment(text: &str) -> Option<Found> {
    let text = ["export ", "set ", "setx ", "$env:", "let ", "const "]
        .iter()
        .find_map(|start| after(text, start))
        .unwrap_or(text);
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let is_name = |name: &str| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    };
    // a token can look like a name, and can end in `=`
    if !is_name(name) || value.trim_matches('=').is_empty() && looks_random(text) {
        return None;
    }
    if after(name, "bearer").is_some() {
        return None;
    }
    let value = value.trim().trim_end_matches(';');
    let value = unquoted(value).unwrap_or(value).to_owned();
    let at = format!("in `{}` on line 1", ShownText::new(name));
    let mut found = Found::default();
    found.add(Some(name), FoundText { text: value, at });
    Some(found)
}

/// A text that ends in `=`: probably a token, or just the name of a variable?
fn looks_random(text: &str) -> bool {
    /// No variable has a longer name
    const LONG: usize = 40;
    /// Opaque tokens are longer
    const SHORT: usize = 16;
    let has = |kind: fn(&char) -> bool| text.chars().any(|c| kind(&c));
    let is_mixed =
        has(char::is_ascii_digit) && has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase);
    text.ends_with("==")
        || text.len() >= LONG
        || text.len() >= SHORT && text.len().is_multiple_of(4) && is_mixed
}

/// Joins a token that was wrapped over several lines. `None` if the text is not such a token.
pub(super) fn unwrapped(text: &str) -> Option<String> {
    // some characters quote a line, and others continue one
    let bare = |line| {
        let line = str::trim(line).trim_start_matches(['>', '|']).trim_start();
        let line = line.strip_suffix(" \\").unwrap_or(line);
        line.strip_suffix(" ^").unwrap_or(line).trim_end()
    };
    let lines = text.lines().map(bare).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.collect();
    let is_whole = |line: &&str| jwt::is_jwt(line);
    if lines.len() < 2 || lines.iter().filter(|line| is_whole(line)).count() > 1 {
        return None;
    }
    if let Some(joined) = joined_token(&lines) {
        return Some(joined);
    }
    let mut joined = lines.concat();
    let begins = [
        "authorization: bearer",
        "authorization: dpop",
        "authorization:",
    ];
    let begin = begins.into_iter().find_map(|start| after(lines[0], start));
    let begin = begin.or_else(|| after_accepted(lines[0]));
    let words = begin.map_or(lines[0], str::trim_start);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c);
    let all_fit = words.chars().all(fits) && lines[1..].iter().all(|line| line.chars().all(fits));
    if begin.is_some_and(|rest| rest.trim().is_empty()) {
        // the name or the scheme has a line to itself
        joined = format!("{} {}", lines[0], lines[1..].concat());
    }
    let token = joined.split_whitespace().last().unwrap_or_default();
    let is_token = jwt::is_jwt(token) || !token.contains(['.', '=']);
    (all_fit && is_token).then_some(joined)
}

/// Joins the lines of the only JWT that continues on the next line. `None` if there is not exactly
/// one.
fn joined_token(lines: &[&str]) -> Option<String> {
    // quoted-printable marks the end of a line with `=`
    let is_marked = lines.iter().filter(|line| line.ends_with('=')).count() > 1;
    let unmarked = |line: &&str| match line.strip_suffix('=') {
        Some(rest) if is_marked => rest.to_owned(),
        _ => (*line).to_owned(),
    };
    let mut lines = lines.iter().map(unmarked).peekable();
    let (mut joined, mut count) = (Vec::new(), 0);
    while let Some(mut line) = lines.next() {
        let token_characters = line
            .chars()
            .rev()
            .take_while(|c| jwt::is_token_character(*c));
        let start = line.len() - token_characters.map(char::len_utf8).sum::<usize>();
        let is_whole = jwt::is_jwt(&line[start..]);
        if line.len() >= MIN_LINE && jwt::has_header(&line[start..]) && !is_whole {
            let mut is_full = true;
            let mut pieces = 1;
            while let Some(next) = lines.next_if(|next| is_full && goes_on(&line[start..], next)) {
                is_full = next.len() >= MIN_LINE && next.chars().all(jwt::is_token_character);
                line += &next;
                pieces += 1;
            }
            let token = jwt::find_all(&line[start..]);
            if pieces > 1 && token.first().is_none_or(|place| place.start > 0) {
                return None;
            }
            count += usize::from(pieces > 1);
        }
        joined.push(line);
    }
    (count == 1).then(|| joined.join("\n"))
}

/// Nobody wraps shorter lines
const MIN_LINE: usize = 40;

/// Returns whether a token continues on the next line: with the whole line, or up to a quote or a
/// tag.
fn goes_on(token: &str, next: &str) -> bool {
    let run = next.find(|c: char| !jwt::is_token_character(c));
    // In this order, because the token grows with each line.
    let begins_another = jwt::has_header(next) && jwt::is_jwt(token);
    match run {
        None => !begins_another,
        Some(run) => run > 0 && next[run..].starts_with(['"', '\'', '`', '<']),
    }
}

fn described(text: &str, lines: &Lines, at: usize) -> String {
    let line = lines.line(at);
    match name_before(&text[..at]) {
        Some(name) => format!("in `{}` on {line}", ShownText::new(name)),
        None => format!("on {line}"),
    }
}

/// The name before a value: `name=`, `name: `, `"name": "`
pub(super) fn name_before(before: &str) -> Option<&str> {
    let before = before.trim_end_matches(['"', '\'', '`', ' ', '\t']);
    let before = before.strip_suffix(['=', ':'])?;
    let before = before.trim_end_matches(['"', '\'', '`', ' ', '\t']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name = before.rsplit(|c| !is_name(c)).next()?;
    (!name.is_empty()).then_some(name)
}
