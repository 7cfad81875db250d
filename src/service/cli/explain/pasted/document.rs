//! Searches JSON, e.g. a token endpoint's response, a HAR file, an `ExecCredential` or a log line.

use serde_json::Value;

use crate::{
    auth::{display::ShownText, token::json},
    service::cli::explain::pasted::{
        encoded,
        found::{Chosen, Found, FoundText, NoToken},
        jwt,
        line::name_before,
    },
};

/// Members with these names contain an access token, even if the value does not look like one
const ACCESS_TOKEN: [&str; 3] = ["access_token", "accessToken", "AccessToken"];

pub(super) fn read(json: &Value) -> Result<Found, NoToken> {
    let mut found = Found::default();
    walk(json, &mut String::new(), &mut found);
    if json["kind"] == "ExecCredential" {
        add(
            &json["status"]["token"],
            "status.token",
            &mut found.access_tokens,
        );
    }
    if !found.is_empty() {
        return Ok(found);
    }
    if let Some(refusal) = refusal(json) {
        return Err(refusal);
    }
    add(&json["token"], "token", &mut found.others);
    for name in ["id_token", "refresh_token", "refreshToken"] {
        add(&json[name], name, &mut found.companions);
    }
    if found.is_empty() {
        return Err(NoToken::OtherJson);
    }
    Ok(found)
}

/// The error in a document: of a token endpoint, in the form of RFC 6749 §5.2 or that of a vendor,
/// or of a service that verifies tokens (RFC 9457).
fn refusal(json: &Value) -> Option<NoToken> {
    let text = |value: &Value| value.as_str().map(|text| ShownText::new(text).to_string());
    let is_problem = json["status"].is_u64() && json["detail"].is_string();
    if let Some(code) = text(&json["code"]).filter(|_| is_problem) {
        return Some(NoToken::OwnAnswer(code));
    }
    // Firebase: {"error":{"message":…}}. Cognito: {"__type":…,"message":…}.
    let error = [&json["error"], &json["error"]["message"], &json["__type"]];
    let error = error.into_iter().find_map(text)?;
    let descriptions = [&json["error_description"], &json["message"]];
    Some(NoToken::Refusal(
        match descriptions.into_iter().find_map(text) {
            Some(description) => format!("{error} ({description})"),
            None => error,
        },
    ))
}

/// Collects the headers and tokens in a value. `path` leads from the root to the value, and is
/// restored at the end.
fn walk(value: &Value, path: &mut String, found: &mut Found) {
    let length = path.len();
    match value {
        Value::Object(members) => {
            // a header in a HAR file
            let name = members.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| name.eq_ignore_ascii_case("authorization")) {
                let field = members.get("value").unwrap_or(&Value::Null);
                let mut fields = Vec::new();
                add(field, path, &mut fields);
                found.requests.push(fields.into());
                return;
            }
            let mut fields = Vec::new();
            for (name, member) in members {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                if name.eq_ignore_ascii_case("authorization") && member.is_string() {
                    add(member, path, &mut fields);
                } else if ACCESS_TOKEN.contains(&&**name) && member.is_string() {
                    add(member, path, &mut found.access_tokens);
                } else {
                    walk(member, path, found);
                }
                path.truncate(length);
            }
            found.requests.extend(
                Some(fields)
                    .filter(|fields| !fields.is_empty())
                    .map(Into::into),
            );
        }
        Value::Array(items) => {
            let before = found.requests.len();
            let mut own = Vec::new();
            for (at, item) in items.iter().enumerate() {
                path.extend(["[", &at.to_string(), "]"]);
                walk(item, path, found);
                path.truncate(length);
                // the headers of a list belong to one request
                if item.get("value").is_some() {
                    own.extend(found.requests.drain(before..).flat_map(|it| it.fields));
                }
            }
            found
                .requests
                .extend(Some(own).filter(|own| !own.is_empty()).map(Into::into));
        }
        Value::String(text) => {
            for place in jwt::find_all(text) {
                // as in a log, the text may itself be JSON
                let name = name_before(&text[..place.start]).or_else(|| named(path));
                let token = FoundText {
                    text: text[place].to_owned(),
                    at: described(path),
                };
                found.add(name, token);
            }
            if jwt::find_all(text).is_empty() {
                for one in encoded::find_all(&format!("\"{text}\""), token_in) {
                    let at = described(path) + encoded::DECODED;
                    found.add(
                        named(path),
                        FoundText {
                            text: one.token,
                            at,
                        },
                    );
                }
            }
        }
        _ => {}
    }
}

fn add(value: &Value, path: &str, items: &mut Vec<FoundText>) {
    if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
        let (text, at) = (text.trim().to_owned(), described(path));
        items.push(FoundText { text, at });
    }
}

/// The name that says what kind of token a member is. If its own name doesn't, a name on its path
/// may, e.g. that of an entry in a cache.
fn named(path: &str) -> Option<&str> {
    const KINDS: [&str; 3] = ["accesstoken", "idtoken", "refreshtoken"];
    let (parents, own) = path.rsplit_once('.').unwrap_or(("", path));
    let parents = parents.to_ascii_lowercase();
    let is_plain = !KINDS
        .iter()
        .any(|kind| own.to_ascii_lowercase().replace('_', "").ends_with(kind));
    let of_parent = KINDS
        .into_iter()
        .find(|kind| is_plain && parents.contains(kind));
    of_parent.or(Some(own))
}

fn described(path: &str) -> String {
    format!("in `{}` of the JSON answer", ShownText::new(path))
}

/// The only token to explain in JSON
pub(super) fn token_in(text: &str) -> Option<String> {
    let json = json::value(text).ok()?;
    match read(&json).ok()?.choose().ok()? {
        Chosen::Token(token) => Some(token.text).filter(|token| jwt::is_jwt(token)),
        _ => None,
    }
}
