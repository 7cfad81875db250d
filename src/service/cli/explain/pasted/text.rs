//! Searches text that isn't JSON, e.g. a command, a request, a URL, `NAME=value`, YAML or source
//! code.

use crate::{
    auth::display::ShownText,
    service::cli::explain::pasted::{
        command::{self, Command, CommandPart},
        document, encoded,
        fields::{Field, fields, is_variable_of_request, requests},
        found::{Found, FoundRequest, FoundText, Lines, Replaced},
        jwt,
        line::{AUTHORIZATION, name_before},
        request::{self, BLANKS},
        scheme::{after_accepted, is_credential, is_field_value},
        strings::{after, unquoted},
    },
};

/// Finds the headers and tokens in a text. `None` if there are none, or if the text itself is a
/// header value: a scheme and a token. `own` is the header that the service reads.
pub(super) fn search(text: &str, own: &str) -> Option<Found> {
    let mut found = Found::default();
    let lines = Lines::of(text);
    let heads = request::heads(text);
    let commands = command::commands(text);
    let mut fields = fields(text, &lines, &commands);
    // we read a whole request as the server reads it
    fields.retain(|field| request::part_at(&heads, field.name).is_none());
    let mut of_other_parts = FoundRequest::default();
    let (mut has_token_outside, mut has_token_in_head) = (false, false);
    let mut earlier = fields.iter().peekable();
    let mut end_of_field = 0;
    let plain = jwt::find_all(text);
    let encoded = if plain.is_empty() {
        encoded::find_all(text, document::token_in)
    } else {
        Vec::new()
    };
    let is_encoded = !encoded.is_empty();
    let first_encoded = encoded.first().map(|one| one.range.clone());
    let plain = plain
        .into_iter()
        .map(|place| (text[place.clone()].to_owned(), place));
    let encoded = encoded.into_iter().map(|one| (one.token, one.range));
    for (value, token) in plain.chain(encoded) {
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
        let name = name_before(&text[..token.start]);
        let at = if let Some(part) = part {
            let at = format!("in {part}, on {}", lines.line(token.start));
            of_other_parts.add(&value, at.clone(), None);
            at
        } else {
            has_token_outside = true;
            let end = if is_encoded { encoded::DECODED } else { "" };
            described(text, &lines, token.start) + end
        };
        found.add(name, FoundText { text: value, at });
    }
    // If a header has a variable and there's a token elsewhere in the text, we explain that token:
    // a shell replaces the variable before sending, probably with the token.
    let has_variable = |request: &FoundRequest| {
        let mut fields = request.fields.iter();
        fields.any(|field| is_variable_of_request(&field.text))
    };
    found.requests = request::with_field(text, &heads, AUTHORIZATION);
    found
        .requests
        .retain(|request| !(has_token_outside && has_variable(request)));
    let has_token = has_token_outside || has_token_in_head;
    // Without a token, the text is a command or code, and not what was sent
    let mut replaced = fields.iter().filter_map(|field| field.replaced(text));
    let of_option = || {
        commands
            .iter()
            .find_map(|command| command.bearer_variable(text))
    };
    let replaced = replaced
        .next()
        .or_else(of_option)
        .filter(|_| !has_token_outside);
    let is_replaced = |field: &Field| replaced.is_some() && field.replaced(text).is_some();
    let is_sent = |field: &&Field| !(has_token && field.is_variable(text) || is_replaced(field));
    for request in requests(text, fields.iter().filter(is_sent)) {
        let mut one = FoundRequest::default();
        for field in request {
            one.add(field.sent(text).trim(), field.at(text, &lines), field.fault);
            one.is_cut |= field.is_cut();
        }
        found.requests.push(one);
    }
    if replaced.is_some() && found.requests.is_empty() {
        let replaced = replaced.map(Replaced);
        return Some(Found {
            replaced,
            ..Found::default()
        });
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
        return assignment(text);
    }
    let is_value = fields.is_empty() && !text.contains('\n') && is_field_value(text, first_encoded);
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
            // Counting again would be quadratic, because the token grows with each line
            let mut dots = line[start..].matches('.').count();
            while let Some(next) = lines.next_if(|next| is_full && goes_on(dots, next)) {
                dots += next.matches('.').count();
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

/// Returns whether a token with so many dots continues on the next line: with the whole line, or up
/// to a quote or a tag.
fn goes_on(dots: usize, next: &str) -> bool {
    let run = next.find(|c: char| !jwt::is_token_character(c));
    let begins_another = jwt::has_the_dots_of_a_jwt(dots) && jwt::has_header(next);
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
