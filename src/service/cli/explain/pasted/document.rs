//! Searches JSON, such as a token endpoint's response, a HAR file, an `ExecCredential` or a log
//! line.

use serde_json::Value;

use crate::{
    auth::display::ShownText,
    service::cli::explain::pasted::{
        found::{Found, FoundText, NoToken},
        jwt,
    },
};

/// Members with these names contain an access token, even if the value does not look like one.
const ACCESS_TOKEN: [&str; 2] = ["access_token", "accessToken"];

/// Finds the headers and tokens in JSON.
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
    let Some(error) = json["error"].as_str() else {
        add(&json["token"], "token", &mut found.others);
        add(&json["id_token"], "id_token", &mut found.others);
        return if found.is_empty() {
            Err(NoToken::OtherJson)
        } else {
            Ok(found)
        };
    };
    let error = ShownText::new(error);
    let description = json["error_description"].as_str();
    Err(NoToken::Refusal(match description {
        Some(description) => format!("{error} ({})", ShownText::new(description)),
        None => error.to_string(),
    }))
}

/// Adds the headers and tokens in a value. `path` is the path from the root to the value, and is
/// restored at the end.
fn walk(value: &Value, path: &mut String, found: &mut Found) {
    let length = path.len();
    match value {
        Value::Object(members) => {
            // A header in a HAR file.
            let name = members.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| name.eq_ignore_ascii_case("authorization")) {
                let field = members.get("value").unwrap_or(&Value::Null);
                add(field, path, &mut found.fields);
                return;
            }
            for (name, member) in members {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                if name.eq_ignore_ascii_case("authorization") && member.is_string() {
                    add(member, path, &mut found.fields);
                } else if ACCESS_TOKEN.contains(&&**name) && member.is_string() {
                    add(member, path, &mut found.access_tokens);
                } else {
                    walk(member, path, found);
                }
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                path.extend(["[", &at.to_string(), "]"]);
                walk(item, path, found);
                path.truncate(length);
            }
        }
        Value::String(text) => {
            for place in jwt::find_all(text) {
                let text = text[place].to_owned();
                let at = described(path);
                found.others.push(FoundText { text, at });
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

fn described(path: &str) -> String {
    format!("in `{}` of the JSON answer", ShownText::new(path))
}
