//! Searches text that is not JSON, such as a command, a request, a URL, `NAME=value`, YAML or
//! source code.

use std::ops::Range;

use crate::{
    auth::display::ShownText,
    service::cli::explain::pasted::{
        found::{Found, FoundText},
        jwt,
    },
};

/// Finds the headers and tokens in a text. `None` if there are none, or if the text itself is a
/// header value: a scheme and a token.
pub(super) fn search(text: &str) -> Option<Found> {
    let mut found = Found::default();
    let fields = fields(text);
    for field in &fields {
        let (value, at) = (
            text[field.clone()].trim().to_owned(),
            line(text, field.start),
        );
        found.fields.push(FoundText {
            text: value,
            at: format!("on {at}"),
        });
    }
    for token in jwt::find_all(text) {
        if fields.iter().any(|field| field.contains(&token.start)) {
            continue;
        }
        let item = FoundText {
            at: described(text, token.start),
            text: text[token.clone()].to_owned(),
        };
        match name_before(&text[..token.start]) {
            Some("access_token" | "accessToken") => found.access_tokens.push(item),
            _ => found.others.push(item),
        }
    }
    if found.is_empty() {
        return assignment(text).or_else(|| encoded(text));
    }
    let is_value = fields.is_empty() && !text.contains('\n') && is_field_value(text);
    (!is_value).then_some(found)
}

/// Returns the ranges of `Authorization` values in a request, in quotes within a command, or in
/// source code.
fn fields(text: &str) -> Vec<Range<usize>> {
    const NAME: &str = "authorization";
    let lower = text.to_ascii_lowercase();
    let mut fields = Vec::new();
    for (at, _) in lower.match_indices(NAME) {
        let before = &text[..at];
        // `Proxy-Authorization` is a different header.
        if before.ends_with(|c: char| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            continue;
        }
        let rest = &text[at + NAME.len()..];
        let separators = rest.find(|c: char| !"\"'` \t:=,>[".contains(c));
        let separator = &rest[..separators.unwrap_or(rest.len())];
        if !separator.contains([':', '=', ',']) {
            continue;
        }
        let begin = at + NAME.len() + separator.len();
        let is_quote = |c: &char| "\"'`".contains(*c);
        // Finds a quote directly before the value, or an open quote before the name.
        let quote = separator.chars().last().filter(is_quote).or_else(|| {
            let open = before.chars().last().filter(is_quote);
            open.filter(|quote| !separator.contains(*quote))
        });
        let value = &text[begin..];
        let end = value.find(|c: char| Some(c) == quote || c == '\n' || c == '\r');
        fields.push(begin..begin + end.unwrap_or(value.len()));
    }
    fields
}

/// Returns `true` if a line may be a header value: a token, or a scheme and a token, with or
/// without quotes. `token: …` is a name and a value, but `Token …` is a scheme.
fn is_field_value(text: &str) -> bool {
    const SCHEMES: [&str; 8] = [
        "bearer", "token", "jwt", "dpop", "basic", "digest", "oauth", "mac",
    ];
    let text = unquoted(text).unwrap_or(text);
    let token = jwt::find_all(text).into_iter().next();
    let before = &text[..token.map_or(0, |token| token.start)];
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
    let is = |scheme: &str, word: &str| word.eq_ignore_ascii_case(scheme);
    match words[..] {
        [word] if before.contains([':', '=']) => is("bearer", word),
        [word] => SCHEMES.iter().any(|scheme| is(scheme, word)),
        _ => words.iter().all(|word| is("bearer", word)),
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
    let others = vec![FoundText { text: value, at }];
    Some(Found {
        others,
        ..Found::default()
    })
}

/// Joins a token wrapped over several lines. `None` if the text is not such a token.
pub(super) fn unwrapped(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.collect();
    let is_whole = |line: &&str| jwt::is_jwt(line);
    if lines.len() < 2 || lines.iter().filter(|line| is_whole(line)).count() > 1 {
        return None;
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

fn described(text: &str, at: usize) -> String {
    let line = line(text, at);
    match name_before(&text[..at]) {
        Some(name) => format!("in `{}` on {line}", ShownText::new(name)),
        None => format!("on {line}"),
    }
}

fn line(text: &str, at: usize) -> String {
    format!("line {}", text[..at].matches('\n').count() + 1)
}

/// Returns the name that ends before a value: `name=`, `name: `, `"name": "`.
fn name_before(before: &str) -> Option<&str> {
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
pub(super) fn after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}
