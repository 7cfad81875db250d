//! Searches text that is not JSON, such as a command, a request, a URL, `NAME=value`, YAML or
//! source code.

use std::ops::Range;

use crate::{
    auth::display::ShownText,
    service::cli::explain::pasted::{
        found::{Found, FoundRequest, FoundText, RequestFault, line},
        jwt,
        placeholder::is_template,
        request::{self, BLANKS},
    },
};

/// The name of the header that usually has the token.
pub(super) const AUTHORIZATION: &str = "authorization";

/// Finds the headers and tokens in a text. `None` if there are none, or if the text itself is a
/// header value: a scheme and a token.
pub(super) fn search(text: &str) -> Option<Found> {
    let mut found = Found::default();
    let heads = request::heads(text);
    let mut fields = fields(text);
    // A whole request is read as the server reads it.
    fields.retain(|field| request::part_at(&heads, field.name).is_none());
    let mut of_other_parts = FoundRequest::default();
    let mut has_token_outside = false;
    for token in jwt::find_all(text) {
        let part = request::part_at(&heads, token.start);
        let is_of_head = part.is_some_and(|part| part.is_named(AUTHORIZATION));
        let is_in = |field: &Field| field.value.contains(&token.start);
        if is_of_head || fields.iter().any(is_in) {
            continue;
        }
        let (name, value) = (name_before(&text[..token.start]), &text[token.clone()]);
        let at = if let Some(part) = part {
            let at = format!("in {part}, on {}", line(text, token.start));
            of_other_parts.add(value, at.clone(), None);
            at
        } else {
            has_token_outside = true;
            described(text, token.start)
        };
        let text = value.to_owned();
        found.add(name, FoundText { text, at });
    }
    // A variable in a field, with its value beside it, is replaced before it is sent.
    let has_variable = |request: &FoundRequest| {
        let mut fields = request.fields.iter();
        fields.any(|field| is_variable(&field.text, None))
    };
    found.requests = request::with_field(text, &heads, AUTHORIZATION);
    found
        .requests
        .retain(|request| !(has_token_outside && has_variable(request)));
    let has_token = has_token_outside || !of_other_parts.fields.is_empty();
    let is_sent =
        |field: &&Field| !(has_token && is_variable(&text[field.value.clone()], field.quote));
    for request in requests(text, fields.iter().filter(is_sent)) {
        let mut one = FoundRequest::default();
        for field in request {
            let value = text[field.value.clone()].trim();
            let at = format!("on {}", line(text, field.value.start));
            one.add(value, at, field.fault);
        }
        found.requests.push(one);
    }
    let has_field = !found.requests.is_empty() || has_token_outside;
    let has_part = !of_other_parts.fields.is_empty() || request::is_only(text, &heads);
    if !heads.is_empty() && !has_field && has_part {
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

/// Returns the value in a line that begins with the header `name`, without surrounding whitespace.
pub(super) fn value_of<'t>(line: &'t str, name: &str) -> Option<(&'t str, Option<RequestFault>)> {
    let rest = after(line, name)?;
    let value = rest.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    let fault = (!rest.starts_with(':')).then_some(RequestFault::SpaceBeforeColon);
    Some((value.trim_matches(BLANKS), fault))
}

/// An `Authorization` header in a text.
#[derive(Debug)]
struct Field {
    /// The place of the name.
    name: usize,
    /// The place of the value.
    value: Range<usize>,
    /// The quote or bracket around the value.
    quote: Option<char>,
    fault: Option<RequestFault>,
    /// `true` in the brackets of `curl -v`, which writes each field of HTTP/2 twice.
    is_bracketed: bool,
}

/// Returns the `Authorization` headers in a request, in quotes within a command, or in source code.
fn fields(text: &str) -> Vec<Field> {
    let lower = text.to_ascii_lowercase();
    let mut fields = Vec::new();
    for (at, _) in lower.match_indices(AUTHORIZATION) {
        let before = &text[..at];
        // `Proxy-Authorization` is a different header.
        if before.ends_with(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            continue;
        }
        // A line of a request has no quotes that are not sent.
        if begins_line(before) {
            let line = text[at..].lines().next().unwrap_or_default();
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
        // Finds a quote before the name that is still open, or one before the value.
        let open = before.chars().last().and_then(closing);
        let open = open.filter(|quote| !separator[..colon].contains(*quote));
        if let Some(end) = open.and_then(|quote| separator.find(quote)) {
            separator = &separator[..end];
        }
        let quote = open.or_else(|| separator.chars().last().and_then(closing));
        let begin = at + AUTHORIZATION.len() + separator.len();
        let value = &text[begin..];
        let end = value.find(|c: char| Some(c) == quote || c == '\n' || c == '\r');
        let value = &value[..end.unwrap_or(value.len())];
        let is_empty = quote.is_some() && value.trim().is_empty();
        if is_empty || is_call(value) {
            continue;
        }
        // In Windows' shell, a quote may have a caret before it.
        let value = value.strip_suffix('^').unwrap_or(value);
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

/// Returns `true` if a place is at the start of a line, or after the `> ` of `curl -v` there.
fn begins_line(before: &str) -> bool {
    let is_start = |before: &str| before.is_empty() || before.ends_with('\n');
    let unmarked = before.strip_suffix(' ').unwrap_or(before).strip_suffix('>');
    is_start(before) || unmarked.is_some_and(is_start)
}

/// Groups the fields by the request that has them. `curl` and a proxy send every line of a name.
fn requests<'f>(text: &str, fields: impl Iterator<Item = &'f Field>) -> Vec<Vec<&'f Field>> {
    let mut requests: Vec<Vec<&Field>> = Vec::new();
    for field in fields {
        let is_of = |request: &&mut Vec<&Field>| {
            request.last().is_some_and(|last| {
                last.is_bracketed == field.is_bracketed
                    && !begins_request(&text[last.value.end..field.name])
            })
        };
        match requests.iter_mut().rev().find(is_of) {
            Some(request) => request.push(field),
            None => requests.push(vec![field]),
        }
    }
    requests
}

/// Returns `true` if another request begins within a text: after a blank line, with a method, or
/// with a command.
fn begins_request(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "curl", "wget",
        "fetch", "next",
    ];
    let mut lines = text.split('\n').skip(1);
    // The text after the last line break is the beginning of the line of the next field.
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

/// Returns `true` if a value in source code is a call: `new AuthenticationHeaderValue("Bearer", …`.
fn is_call(value: &str) -> bool {
    let Some((name, _)) = value.split_once('(') else {
        return false;
    };
    let name = after(name, "new ").unwrap_or(name);
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._:".contains(c))
}

/// Returns `true` if a field has a variable or nothing instead of the token. A shell does not replace
/// variables in single quotes.
fn is_variable(value: &str, quote: Option<char>) -> bool {
    let Some(token) = after(value.trim(), "bearer") else {
        return false;
    };
    let token = token.trim();
    let is_literal = quote == Some('\'') && token.starts_with('$');
    (token.is_empty() && quote.is_some()) || is_template(token) && !is_literal
}

/// Returns `true` if a line may be a header value: a token, or a scheme and a token, with or
/// without quotes. `token: …` is a name and a value, but `Token …` is a scheme.
fn is_field_value(text: &str) -> bool {
    const SCHEMES: [&str; 9] = [
        "bearer",
        "token",
        "jwt",
        "dpop",
        "basic",
        "digest",
        "oauth",
        "mac",
        "negotiate",
    ];
    let text = unquoted(text).unwrap_or(text);
    let token = jwt::find_all(text).into_iter().next().unwrap_or_default();
    let before = &text[..token.start];
    let is_last = text[token.end..].trim().is_empty();
    let words = before.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c));
    let words: Vec<_> = words
        .filter(|word| !word.trim_matches('-').is_empty())
        .collect();
    // A marker of a list, a quotation or a link.
    if words.is_empty()
        && before
            .trim_end()
            .ends_with(['>', '-', '*', '(', '<', '|', '+'])
    {
        return false;
    }
    let is_scheme = |word: &&str| {
        let mut schemes = SCHEMES.iter();
        schemes.any(|scheme| word.eq_ignore_ascii_case(scheme))
    };
    // Any one word before a token may be meant as a scheme, in any script.
    let is_word = before
        .trim()
        .chars()
        .all(|c| c.is_alphanumeric() || "-_".contains(c));
    match words[..] {
        [word] if before.contains([':', '=']) => word.eq_ignore_ascii_case("bearer"),
        [word] => is_word && (is_last || is_scheme(&word)),
        // Two credentials: `Basic YTpi, Bearer …`.
        [first, .., last] => is_scheme(&first) && last.eq_ignore_ascii_case("bearer"),
        [] => true,
    }
}

/// Finds a token that was base64-encoded again, on one line with its name.
fn encoded(text: &str) -> Option<Found> {
    let word = text
        .split_whitespace()
        .find(|word| jwt::is_encoded_twice(word))?;
    let at = described(text, text.find(word)?);
    let text = word.to_owned();
    Some(Found {
        others: vec![FoundText { text, at }],
        ..Found::default()
    })
}

/// Parses `NAME=value` or `export NAME=value`. The value need not look like a token.
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
    // A token can look like a name, and can end in `=`.
    if !is_name(name) || value.trim_matches('=').is_empty() && !value.is_empty() {
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

/// Joins a token wrapped over several lines. `None` if the text is not such a token.
pub(super) fn unwrapped(text: &str) -> Option<String> {
    // The characters that quote a line, and those that continue one.
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
    let scheme = ["authorization: bearer", "authorization:", "bearer"]
        .into_iter()
        .find_map(|start| after(lines[0], start));
    let words = scheme.map_or(lines[0], str::trim_start);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c);
    let all_fit = words.chars().all(fits) && lines[1..].iter().all(|line| line.chars().all(fits));
    if scheme.is_some_and(|rest| rest.trim().is_empty()) {
        // The scheme is alone on its line.
        joined = format!("Bearer {}", lines[1..].concat());
    }
    let token = joined.split_whitespace().last().unwrap_or_default();
    let is_token = jwt::is_jwt(token) || !token.contains(['.', '=']);
    (all_fit && is_token).then_some(joined)
}

/// Joins the lines of the only JWT that continues on the next line. `None` unless there is exactly one.
fn joined_token(lines: &[&str]) -> Option<String> {
    // Quoted-printable marks the end of a line with `=`.
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

/// Shorter lines are not wrapped.
const MIN_LINE: usize = 40;

/// Returns whether a token continues on the next line: with the whole line, or up to a quote.
fn goes_on(token: &str, next: &str) -> bool {
    let run = next.find(|c: char| !jwt::is_token_character(c));
    let begins_another = jwt::is_jwt(token) && jwt::has_header(next);
    match run {
        None => !begins_another,
        Some(run) => run > 0 && next[run..].starts_with(['"', '\'', '`']),
    }
}

fn described(text: &str, at: usize) -> String {
    let line = line(text, at);
    match name_before(&text[..at]) {
        Some(name) => format!("in `{}` on {line}", ShownText::new(name)),
        None => format!("on {line}"),
    }
}

/// Returns the name that ends before a value: `name=`, `name: `, `"name": "`.
pub(super) fn name_before(before: &str) -> Option<&str> {
    let before = before.trim_end_matches(['"', '\'', '`', ' ', '\t']);
    let before = before.strip_suffix(['=', ':'])?;
    let before = before.trim_end_matches(['"', '\'', '`', ' ', '\t']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let name = before.rsplit(|c| !is_name(c)).next()?;
    (!name.is_empty()).then_some(name)
}

/// Returns the text without the quotes around it. `None` if it is not quoted.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    ["\"", "'", "`"]
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// Returns the text after `start`, ignoring case. `None` if the text does not begin with `start`.
pub(in crate::service) fn after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}
