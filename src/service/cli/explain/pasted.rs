//! [`Pasted`]: finds the token in pasted text.
//!
//! People paste a whole header field, the whole response of a token endpoint, quotes and line
//! breaks. Each part that is removed leaves a note, because the service itself would reject such a
//! text.

use crate::auth::{display::ShownText, token::json};

/// A token, and notes about the text that was around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Pasted {
    pub(in crate::service) token: String,
    pub(in crate::service) notes: Vec<&'static str>,
}

/// Why a text contains no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::service) enum NoToken {
    #[error("there is nothing in it")]
    Empty,
    #[error(
        "it is the token endpoint's refusal, {0}, and there is no token in it; mend the token request first"
    )]
    Refusal(String),
    #[error(
        "the Authorization field that was pasted has another scheme than Bearer; what it is answered is missing_token"
    )]
    OtherScheme,
    #[error(
        "it is JSON without an access_token; paste the token endpoint's answer, or the token alone"
    )]
    OtherJson,
}

const ANSWER: &str = "The token endpoint's whole answer was pasted; it is its access_token that is explained, and that is sent.";
const ID_TOKEN_ALONE: &str =
    "The token endpoint's answer has no access_token; it is its id_token that is explained.";
const FIELD: &str =
    "The whole Authorization field was pasted; what follows is about the token in it.";
const QUOTES: &str =
    "The quotes around it are no part of the token; sent with them, it is malformed_authorization.";
const LINES: &str = "The line breaks in it are no part of the token; sent with them, it is malformed_authorization.";

impl Pasted {
    /// Finds the token in a text.
    pub(in crate::service) fn read(text: &str) -> Result<Self, NoToken> {
        let mut notes = Vec::new();
        let mut rest = text.trim_matches(is_blank);
        loop {
            let before = rest;
            if let Some(inner) = unquoted(rest) {
                notes.push(QUOTES);
                rest = inner;
            }
            if let Some(value) = after(rest, "authorization:") {
                let bearer = after(value.trim_start(), "bearer ");
                rest = bearer.ok_or(NoToken::OtherScheme)?;
                notes.push(FIELD);
            } else if let Some(credential) = after(rest, "bearer ") {
                notes.push(FIELD);
                rest = credential;
            }
            rest = rest.trim_matches(is_blank);
            if rest == before {
                break;
            }
        }
        notes.dedup();
        if rest.is_empty() {
            return Err(NoToken::Empty);
        }
        if rest.starts_with('{') {
            return of_json(rest);
        }
        let mut token = rest.to_owned();
        if token.contains(['\n', '\r']) {
            notes.push(LINES);
            token = token
                .lines()
                .map(|line| line.trim_matches(is_blank))
                .collect();
        }
        Ok(Self { token, notes })
    }
}

fn of_json(text: &str) -> Result<Pasted, NoToken> {
    let answer = json::value(text).map_err(|_| NoToken::OtherJson)?;
    for (member, note) in [("access_token", ANSWER), ("id_token", ID_TOKEN_ALONE)] {
        if let Some(token) = answer[member].as_str() {
            return Ok(Pasted {
                token: token.to_owned(),
                notes: vec![note],
            });
        }
    }
    let Some(error) = answer["error"].as_str() else {
        return Err(NoToken::OtherJson);
    };
    let error = ShownText::new(error);
    let description = answer["error_description"].as_str();
    Err(NoToken::Refusal(match description {
        Some(description) => format!("{error} ({})", ShownText::new(description)),
        None => error.to_string(),
    }))
}

/// Returns whether editors and shells may add the character at the ends of a text.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

fn unquoted(text: &str) -> Option<&str> {
    ["\"", "'", "`"]
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

fn after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_token_in_pasted_text() {
        #[rustfmt::skip]
        let rows: [(&str, &str, &[&str]); 12] = [
            ("alone", "a.b.c", &[]),
            ("a line", "a.b.c\r\n", &[]),
            ("a byte order mark", "\u{feff}a.b.c", &[]),
            ("the credential", "Bearer a.b.c", &[FIELD]),
            ("in lower case", "bearer  a.b.c\n", &[FIELD]),
            ("the field", "Authorization: Bearer a.b.c", &[FIELD]),
            ("quotes", "\"a.b.c\"", &[QUOTES]),
            ("quotes around the field", "'authorization: bearer a.b.c'", &[QUOTES, FIELD]),
            ("quotes within it", "Bearer \"a.b.c\"", &[FIELD, QUOTES]),
            ("lines", "a.\n  b.\n  c", &[LINES]),
            ("the answer", r#"{"access_token":"a.b.c","id_token":"d.e.f","expires_in":1}"#, &[ANSWER]),
            ("an answer without", r#" {"id_token":"a.b.c"} "#, &[ID_TOKEN_ALONE]),
        ];
        for (case, text, notes) in rows {
            let pasted = Pasted::read(text).unwrap();
            assert_eq!((&*pasted.token, &*pasted.notes), ("a.b.c", notes), "{case}");
        }
    }

    #[test]
    fn reports_text_without_a_token() {
        for (case, text, expected) in [
            ("nothing", "", NoToken::Empty),
            ("blanks", " \n", NoToken::Empty),
            ("quotes alone", "\"\"", NoToken::Empty),
            (
                "another scheme",
                "Authorization: Basic ZGV2OmRldg==",
                NoToken::OtherScheme,
            ),
            ("half an object", "{\"access_token\":", NoToken::OtherJson),
            ("another object", "{}", NoToken::OtherJson),
            (
                "a refusal",
                r#"{"error":"access_denied","error_description":"Client is not authorized"}"#,
                NoToken::Refusal("access_denied (Client is not authorized)".to_owned()),
            ),
        ] {
            assert_eq!(Pasted::read(text), Err(expected), "{case}");
        }
    }

    #[test]
    fn keeps_blanks_inside_the_token() {
        assert_eq!(Pasted::read("a.b.c d").unwrap().token, "a.b.c d");
    }
}
