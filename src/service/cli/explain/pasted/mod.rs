//! [`Pasted`]: finds the value of `Authorization` in pasted text.
//!
//! A text that could be the value of the header is explained unchanged, mistakes and all, so that
//! the verdict is the same as in the service. A token alone is explained as if it followed
//! `Bearer `. We search any other text, e.g. a curl command or a token endpoint's JSON, and a note
//! says where we found the token.

mod command;
mod document;
mod encoded;
mod fields;
mod found;
pub(in crate::service) mod jwt;
mod line;
mod placeholder;
mod proof;
mod request;
mod scheme;
mod strings;
mod text;

use reqwest::Url;

use crate::auth::{display::ShownText, explain::unverified_claims, token::json};

use self::{
    found::{Chosen, Found, FoundRequest},
    line::{AUTHORIZATION, value_of},
    request::BLANKS,
    scheme::{after_accepted, begins_with_scheme, without_quote},
    strings::unquoted,
};

pub(in crate::service) use self::{
    fields::without_scheme,
    found::{NoToken, RequestFault},
    jwt::{is_encoded_twice, is_jwt, shorten_all},
    placeholder::{has_no_token, is_placeholder},
    proof::PastedProof,
    strings::{after, is_invisible},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Pasted {
    /// The first value of `Authorization`
    pub(in crate::service) field: String,
    /// Its further values in the same request
    pub(in crate::service) further: Vec<String>,
    /// The reason why the service rejects the request without reading this value, in the text
    /// around the value. `None` if there is none.
    pub(in crate::service) fault: Option<RequestFault>,
    /// `None` if the text is about `Authorization`. Otherwise, the value of the other header with
    /// the token.
    pub(in crate::service) bare: Option<String>,
    /// Only set if the token is sent with the scheme `DPoP`, or without a scheme.
    pub(in crate::service) proof: Option<PastedProof>,
    /// The text is the answer of a token endpoint, so that any value of `access_token` is a token.
    pub(in crate::service) is_issued: bool,
    /// The whole text, if the token was found in other text, or its value ends before other text.
    pub(in crate::service) whole: Option<String>,
    pub(in crate::service) notes: Vec<String>,
}

const BYTE_ORDER_MARK: char = '\u{feff}';

const FIELD: &str = "The input is an Authorization field, and is explained exactly as it is.";
const JOINED: &str =
    "The input is an Authorization field on several lines, and is explained as if it were on one.";
const CONTINUED: &str = "The sign at the end of a line, with which a shell continues a command, is not part of the field.";
const ASSUMED: &str = "The input is explained as if it followed the word Bearer.";
const QUOTES: &str = "The quotes around the token are not part of it. If they are sent, the answer is 400 malformed_authorization.";
const LINES: &str =
    "The line breaks in the token are not part of it. A header field cannot carry them.";
const MARK: &str = "The byte order mark at the beginning of the input is not part of the token. Some editors and shells write it into files.";
const REFRESH: &str = "The input has no access token, so its refresh token is explained. A client sends a refresh token only to the issuer's token endpoint, to get an access token.";

impl Pasted {
    /// All values as one list, as HTTP would combine them.
    pub(in crate::service) fn fields(&self) -> String {
        [std::slice::from_ref(&self.field), &self.further]
            .concat()
            .join(", ")
    }

    /// The reason why the service rejects the request without reading the token, if there is
    /// one in the values or around them.
    pub(in crate::service) fn unread(&self) -> Option<RequestFault> {
        let is_control = |c: &char| c.is_ascii_control() && *c != '\t';
        let of_values = || self.fields().chars().find(is_control);
        self.fault
            .or_else(|| of_values().map(RequestFault::ControlCharacter))
    }

    /// Returns the issuer that the token names, even if the token is invalid. Empty if it names none.
    pub(in crate::service) fn issuer(&self) -> String {
        let fields = self.fields();
        let tokens = [fields.rsplit(' ').next(), repaired(&fields)];
        let claims = tokens.into_iter().flatten().find_map(unverified_claims);
        let claims = claims.unwrap_or_default();
        claims["iss"].as_str().unwrap_or_default().to_owned()
    }

    pub(in crate::service) fn read(text: &str) -> Result<Self, NoToken> {
        Self::read_for(text, AUTHORIZATION)
    }

    /// Like [`read`](Self::read). `own` is the header that the service reads.
    fn read_for(text: &str, own: &str) -> Result<Self, NoToken> {
        let mut pasted = match Self::with_invisible(text, AUTHORIZATION) {
            Some(pasted) => pasted,
            None => Self::find(text, own)?,
        };
        if after(&pasted.field, "dpop ").is_some() || own != AUTHORIZATION {
            pasted.proof = PastedProof::find(text);
        }
        Ok(pasted)
    }

    /// Reads a line that would be a value of `Authorization`, or the line of the header `name`, if
    /// only it had no invisible characters. `None` if it's something else.
    fn with_invisible(text: &str, name: &str) -> Option<Self> {
        let text = text.trim_matches(BLANKS);
        let invisible = text.chars().find(|c| is_invisible(*c))?;
        if text.contains(['\n', '\r']) {
            return None;
        }
        let visible = text.chars().filter(|c| !is_invisible(*c));
        let visible: String = visible.collect();
        if value_of(&visible, name).is_some() && value_of(text, name).is_none() {
            let (_, value) = text.split_once(':')?;
            return Some(Self {
                fault: Some(RequestFault::InvisibleInName(invisible)),
                ..Self::field(value.trim_matches(BLANKS).to_owned(), FIELD.to_owned())
            });
        }
        let pasted = Self::find(&visible, name).ok()?;
        (pasted.field == visible && pasted.notes == [FIELD])
            .then(|| Self::field(text.to_owned(), FIELD.to_owned()))
    }

    fn find(text: &str, own: &str) -> Result<Self, NoToken> {
        if text.starts_with(BYTE_ORDER_MARK) {
            let text = text.trim_start_matches(BYTE_ORDER_MARK);
            return Self::find(text, own).map(|pasted| pasted.with_note(MARK));
        }
        let text = request::cleaned(text);
        let text = text.trim_matches(BLANKS);
        if text.is_empty() {
            return Err(NoToken::Empty);
        }
        let is_one_line = !text.contains(['\n', '\r']);
        let value = value_of(text, AUTHORIZATION);
        if let Some((value, fault)) = value.filter(|_| is_one_line) {
            return Ok(Self {
                fault,
                ..Self::field(value.to_owned(), FIELD.to_owned())
            });
        }
        if ["<!doctype", "<html"]
            .iter()
            .any(|start| after(text, start).is_some())
            && jwt::find_all(text).is_empty()
        {
            return Err(NoToken::Page);
        }
        if is_one_line && (begins_with_scheme(text) || is_glued(text)) {
            return Ok(Self::field(text.to_owned(), FIELD.to_owned()));
        }
        let is_empty_json = text == "{}" || text == "[]";
        let is_word = !text.contains(' ');
        let is_bracketed = text.starts_with(['[', '<', '{', '$', '%', '#', '@']);
        if (is_word || is_bracketed)
            && is_placeholder(text)
            && jwt::find_all(text).is_empty()
            && !is_empty_json
            && unquoted(text) != Some("")
        {
            let notes = if is_word {
                Vec::new()
            } else {
                vec![ASSUMED.to_owned()]
            };
            return Ok(Self::bare(text, notes));
        }
        if text.starts_with(['{', '['])
            && let Ok(json) = json::value(text)
        {
            return Self::chosen(document::read(&json)?, text);
        }
        if !is_one_line {
            return Self::of_lines(text, own);
        }
        if let Some(why) = callback(text) {
            return Err(why);
        }
        if let Some(found) = text::search(text, own) {
            return Self::chosen(found, text);
        }
        Self::of_value(text)
    }

    /// Like [`read`](Self::read), for a service that reads the token from the header `name`. If the
    /// text contains this header, its value is explained unchanged.
    pub(in crate::service) fn read_field(text: &str, name: &str) -> Result<Self, NoToken> {
        let text_with_mark = text;
        if text.starts_with(BYTE_ORDER_MARK) {
            let text = text.trim_start_matches(BYTE_ORDER_MARK);
            if let Some(pasted) = Self::with_invisible(text_with_mark, name) {
                return Ok(pasted);
            }
            return Self::read_field(text, name).map(|pasted| pasted.with_note(MARK));
        }
        let whole = request::cleaned(text);
        let whole = whole.trim_matches(BLANKS);
        let note = if whole.contains(['\n', '\r']) {
            format!("The field {name} is in the input.")
        } else {
            format!("The input is a field {name}, and is explained as it is.")
        };
        let mut found = Found {
            requests: request::with_field(whole, &request::heads(whole), name),
            ..Found::default()
        };
        if found.requests.is_empty() {
            // There may be lines of a request without its request line, e.g. some of those of
            // `curl -v`
            let lines = whole
                .lines()
                .map(|line| line.trim_start_matches(['>', '<', '*', ' ']));
            let mut request = FoundRequest::default();
            for line in lines {
                if let Some((value, fault)) = value_of(line, name) {
                    request.add(value, format!("in {name}"), fault);
                }
            }
            if request.fields.is_empty() {
                return Self::read_for(text, name);
            }
            found.requests.push(request);
        }
        let Chosen::Request(FoundRequest { fields, fault, .. }) = found.choose()? else {
            return Self::read_for(text, name);
        };
        let mut values = fields.into_iter().map(|field| field.text);
        let first = values.next().unwrap_or_default();
        Ok(Self {
            further: values.collect(),
            fault,
            proof: PastedProof::find(text),
            ..Self::bare(&first, vec![note])
        })
    }

    fn with_note(mut self, note: &str) -> Self {
        self.notes.push(note.to_owned());
        self
    }

    fn field(field: String, note: String) -> Self {
        Self {
            field,
            further: Vec::new(),
            fault: None,
            bare: None,
            proof: None,
            is_issued: false,
            whole: None,
            notes: vec![note],
        }
    }

    fn bare(token: &str, notes: Vec<String>) -> Self {
        Self {
            field: format!("Bearer {token}"),
            further: Vec::new(),
            fault: None,
            bare: Some(token.to_owned()),
            proof: None,
            is_issued: false,
            whole: None,
            notes,
        }
    }

    /// Explains what we found in the text `whole`.
    fn chosen(found: Found, whole: &str) -> Result<Self, NoToken> {
        let token = match found.choose()? {
            Chosen::Request(FoundRequest {
                fields,
                fault,
                is_cut,
            }) => {
                let places: Vec<_> = fields.iter().map(|field| &*field.at).collect();
                let note = match &places[..] {
                    [place] => format!("The Authorization field is {place}."),
                    places => format!(
                        "The request has several Authorization fields: {}.",
                        places.join(", ")
                    ),
                };
                let mut values = fields.into_iter().map(|field| field.text);
                let first = values.next().unwrap_or_default();
                return Ok(Self {
                    further: values.collect(),
                    fault,
                    whole: is_cut.then(|| whole.to_owned()),
                    ..Self::field(first, note)
                });
            }
            Chosen::Unsent { token, fault } => {
                let note = "The input is a request without an Authorization field.".to_owned();
                let pasted = match token {
                    Some(token) => {
                        let place =
                            format!("A token is {}, which the service does not read.", token.at);
                        Self::bare(&token.text, vec![note, place])
                    }
                    None => Self::field(String::new(), note),
                };
                let fault = Some(fault);
                return Ok(Self { fault, ..pasted });
            }
            Chosen::Token(token) => token,
        };
        let mut notes = vec![format!("The token is {}.", token.at)];
        if token.at.contains("id_token") || token.at.contains("idToken") {
            let note = "The answer has no access_token, so its id_token is explained.";
            notes.push(note.to_owned());
        }
        if is_refresh_token(&token.at) {
            notes.push(REFRESH.to_owned());
        }
        let at = token.at.to_ascii_lowercase().replace('_', "");
        Ok(Self {
            is_issued: at.contains("accesstoken` of the json answer"),
            whole: Some(whole.to_owned()),
            ..Self::bare(&token.text, notes)
        })
    }

    fn of_lines(text: &str, own: &str) -> Result<Self, NoToken> {
        if let Some(joined) = text::unwrapped(text) {
            let mut pasted = Self::find(&joined, own)?;
            for note in &mut pasted.notes {
                if note == FIELD {
                    JOINED.clone_into(note);
                }
            }
            pasted.notes.push(LINES.to_owned());
            let mut lines = text.lines().map(str::trim_end);
            if lines.any(|line| line.ends_with(['\\', '^'])) {
                pasted.notes.push(CONTINUED.to_owned());
            }
            return Ok(pasted);
        }
        match text::search(text, own) {
            Some(found) => Self::chosen(found, text),
            None if text.starts_with(['{', '[']) => Err(NoToken::OtherJson),
            None => Err(NoToken::Nothing),
        }
    }

    /// Reads a line that's only a token or the value of the header.
    fn of_value(text: &str) -> Result<Self, NoToken> {
        if is_other_field(text) {
            return Err(NoToken::Nothing);
        }
        if let Some(inner) = unquoted(text) {
            if inner.trim_matches(BLANKS).is_empty() {
                return Err(NoToken::Empty);
            }
            if inner.split_whitespace().count() == 1 && after_accepted(inner).is_none() {
                return Ok(Self::bare(inner, vec![QUOTES.to_owned()]));
            }
        }
        if text.starts_with('{') {
            return Err(NoToken::OtherJson);
        }
        let is_one_word = !text.contains(char::is_whitespace);
        // We treat a broken token as a token: no scheme begins like a JWT
        let is_token = is_one_word || jwt::has_header(text);
        if is_token && after_accepted(without_quote(text)).is_none() {
            let bare = text.trim_end_matches(['.', ',', ';']);
            let mark = text[bare.len()..]
                .chars()
                .next()
                .filter(|_| jwt::is_jwt(bare));
            let note = mark.map(|mark| {
                format!("The input ends in `{mark}`, which is explained as a part of the token.")
            });
            return Ok(Self::bare(text, note.into_iter().collect()));
        }
        Ok(Self::field(text.to_owned(), FIELD.to_owned()))
    }
}

/// Returns `true` if a place has the name of a refresh token.
fn is_refresh_token(place: &str) -> bool {
    let place = place.to_ascii_lowercase().replace('_', "");
    place.contains("refreshtoken")
}

/// After a login, an issuer sends a browser to a URL with a code or an error. Recognizes that URL.
fn callback(text: &str) -> Option<NoToken> {
    let is_url = text.contains("://") && !text.contains(char::is_whitespace);
    let (_, query) = text.split_once(['?', '#']).filter(|_| is_url)?;
    if !jwt::find_all(query).is_empty() {
        return None;
    }
    let query = query.replace(['?', '#'], "&");
    let url = Url::parse(&format!("https://callback.invalid/?{query}")).ok()?;
    let value = |name: &str| {
        let mut pairs = url.query_pairs();
        let (_, value) = pairs.find(|(known, value)| known == name && !value.is_empty())?;
        Some(ShownText::new(&value).to_string())
    };
    if value("access_token").is_some() {
        return None;
    }
    if let Some(error) = value("error") {
        let description = value("error_description");
        let description = description.map_or_else(String::new, |text| format!(" ({text})"));
        return Some(NoToken::FailedLogin(error + &description));
    }
    value("code").map(|_| NoToken::Code)
}

/// A header other than `Authorization`: a name, a colon and a space
fn is_other_field(text: &str) -> bool {
    let Some((name, value)) = text.split_once(':') else {
        return false;
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    value.starts_with(' ')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_name)
        && after_accepted(name).is_none()
}

/// A token follows the word `Bearer` or `DPoP` without a space: `Bearer%20…`,
/// `Bearer+…`
fn is_glued(text: &str) -> bool {
    let Some(rest) = after_accepted(without_quote(text)) else {
        return false;
    };
    let start = jwt::find_all(rest).first().map(|place| place.start);
    start.is_some_and(|start| start <= "%20".len() && !rest[..start].contains([':', '=', ' ']))
}

/// Returns the only token in a header value that is not `Bearer`, a space and a token. `None`
/// unless there is exactly one.
pub(in crate::service) fn repaired(field: &str) -> Option<&str> {
    // after the scheme, the space may be missing or encoded
    let rest = after_accepted(field).unwrap_or(field);
    let rest = rest.strip_prefix("%20").unwrap_or(rest);
    let rest = rest.trim_start_matches(['-', '_', '.']);
    let mut found = jwt::find_all(rest).into_iter().map(|place| &rest[place]);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    const T: &str = "eyJhbGciOiJSUzI1NiJ9.e30.AA";
    const OTHER: &str = "eyJhbGciOiJSUzI1NiJ9.e30.BB";

    /// Replaces the words `T` and `U` with tokens, and the words `B` and `C` with base64 of a token
    /// and of JSON.
    fn filled(text: &str) -> String {
        text.replace("<T>", T)
            .replace("<U>", OTHER)
            .replace("<B>", &STANDARD.encode(T))
            .replace(
                "<C>",
                &STANDARD.encode(format!(r#"{{"access_token":"{T}"}}"#)),
            )
    }

    #[test]
    fn explains_a_field_value_unchanged() {
        for value in [
            "Bearer <T>",
            "bearer  <T>",
            "Bearer Bearer <T>",
            "Bearer: <T>",
            "Bearer\t<T>",
            "Bearer=<T>",
            "Bearer \"<T>\"",
            "\"Bearer <T>\"",
            "'Bearer <T>'",
            "Bearer<T>",
            "Bearer-<T>",
            "Token <T>",
            "JWT <T>",
            "Basic YTpi",
            "DPoP <T>",
            "DPoP: <T>",
            "DPoP=<T>",
            "DPoP \"<T>\"",
            "\"DPoP=<T>\"",
            "\"Bearer:<T>\"",
            "\"Bearer%20<T>\"",
            "\"Bearer <T>",
            "'DPoP=<T>;",
            "'DPoP-<T>",
            "Basic: <T>",
            "Negotiate=<T>",
            "DPoP<T>",
            "DPoP-<T>",
            "DPoP%20<T>",
            "DPoP token <T>",
            "DPoP <<T>>",
            "DPoP",
            "Basic YTpi <T>",
            "Token '<T>'",
            "Token <<T>>",
            "JWT token <T>",
            "MAC MAC <T>",
            "Digest $ <T>",
            "Custom tok=<T> x=y",
            "Custom <T> x=y",
            "Custom '<T>'",
            "Custom <<T>>",
            "Bearer",
            "Bearer <T>, Bearer <U>",
            "Bearer <T> <U>",
            "Bearer undefined",
            "Bearer [object Object]",
            "Bearer {{token}}",
            "Negotiate <T>",
            "ApiKey <T>",
            "Bearers <T>",
            "Basic, Bearer <T>",
            "Token token=\"<T>\"",
            "Token token=<T>",
            "GoogleLogin auth=<T>",
            "OAuth oauth_token=\"<T>\"",
            "Digest username=\"<T>\", realm=\"x\"",
            "ApiKey key=<T>",
            "MAC id=\"<T>\"",
            "Hawk id=\"<T>\"",
            "Signature keyId=\"x\",signature=\"<T>\"",
            "SharedAccessSignature sr=x&sig=<T>",
            "Bear\u{200b}er <T>",
            "\u{200e}Bearer <T>",
            "\u{feff}Bearer <T>",
            "\u{a0}Bearer <T>",
            "Bearer \u{2060}<T>",
            "\u{ad}DPoP <T>",
        ] {
            let value = filled(value);
            let alone = Pasted::read(&value).unwrap();
            assert_eq!(alone.field, value);
            let field = Pasted::read(&format!("Authorization: {value}\r\n")).unwrap();
            assert_eq!(field.field, value);
        }
        assert_eq!(
            Pasted::read(&format!("authorization:{T}")).unwrap().field,
            T,
            "no scheme"
        );
        assert_eq!(
            Pasted::read("Authorization:").unwrap().field,
            "",
            "an empty field"
        );
    }

    #[test]
    fn finds_the_token_in_a_text() {
        #[rustfmt::skip]
        let rows = [
            ("alone", "<T>", ""),
            ("a line", "<T>\r\n", ""),
            ("a byte order mark", "\u{feff}<T>", "The byte order mark"),
            ("quotes", "\"<T>\"", "quotes"),
            ("lines", "eyJhbGciOiJSUzI1NiJ9.\n  e30.\n  AA", "line breaks"),
            ("curl", "curl -H 'Authorization: Bearer <T>' https://api.example.com/a", "field is on line 1"),
            ("curl in double quotes", "curl -sS --header \"authorization: Bearer <T>\" https://api.example.com", "field is on line 1"),
            ("curl on several lines", "curl 'https://a.example/' \\\n  -H 'accept: */*' \\\n  -H 'authorization: Bearer <T>' \\\n  --compressed", "field is on line 3"),
            ("curl with its option", "curl --oauth2-bearer <T> https://api.example.com", "on line 1"),
            ("wget", "wget --header=\"Authorization: Bearer <T>\" https://api.example.com", "field"),
            ("httpie", "http https://api.example.com Authorization:\"Bearer <T>\"", "field"),
            ("curl -v", "* Connected\n> GET /a HTTP/1.1\n> Host: a\n> Authorization: Bearer <T>\n>\n< HTTP/1.1 401 Unauthorized\n< www-authenticate: Bearer realm=\"api\"", "field is on line 4"),
            ("a request", "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer <T>\r\nCookie: s=<U>\r\n\r\n", "field is on line 3"),
            ("fetch", "fetch(url, { headers: { Authorization: `Bearer <T>` } })", "field"),
            ("fetch, quoted", "fetch(url, {\"headers\": {\"Authorization\": \"Bearer <T>\"}})", "field"),
            ("a method", "xhr.setRequestHeader(\"Authorization\", \"Bearer <T>\")", "field"),
            ("python", "requests.get(url, headers={'Authorization': 'Bearer <T>'})", "field"),
            ("an answer", r#"{"access_token":"<T>","id_token":"<U>","expires_in":1}"#, "`access_token` of the JSON answer"),
            ("an answer in camel case", r#"{"accessToken":"<T>","idToken":"<U>"}"#, "`accessToken`"),
            ("an answer within another", r#"{"data":{"token":{"access_token":"<T>"}}}"#, "`data.token.access_token`"),
            ("an answer without", r#" {"id_token":"<T>"} "#, "id_token"),
            ("another member", r#"{"jwt":"<T>"}"#, "`jwt`"),
            ("ExecCredential", r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{},"status":{"token":"<T>"}}"#, "`status.token`"),
            ("HAR", r#"{"log":{"entries":[{"request":{"headers":[{"name":"Host","value":"a"},{"name":"Authorization","value":"Bearer <T>"}]}}]}}"#, "`log.entries[0].request.headers[1]"),
            ("headers as JSON", r#"{"headers":{"authorization":"Bearer <T>"}}"#, "`headers.authorization`"),
            ("a log line", r#"{"level":"info","msg":"sent Bearer <T> to a"}"#, "`msg`"),
            ("half an answer", "{\"access_token\": \"<T>\",", "`access_token` on line 1"),
            ("a fragment", "https://app.example.com/#access_token=<T>&token_type=Bearer&expires_in=3600", "`access_token` on line 1"),
            ("a fragment with an ID token", "#id_token=<U>&access_token=<T>", "`access_token` on line 1"),
            ("a query", "https://app.example.com/?token=<T>", "`token` on line 1"),
            ("a variable", "TOKEN=<T>", "`TOKEN` on line 1"),
            ("a quoted variable", "export ACCESS_TOKEN=\"<T>\"", "`ACCESS_TOKEN` on line 1"),
            ("PowerShell", "$env:TOKEN = '<T>'", "`TOKEN` on line 1"),
            ("YAML", "users:\n- name: me\n  user:\n    token: <T>\n", "`token` on line 4"),
            ("a cookie without its field", "session=<T>; theme=dark", "`session` on line 1"),
            ("a sentence", "my token is <T>.", "on line 1"),
            ("twice the same", "TOKEN=<T>\ncurl -H \"X-Token: <T>\" a", "on line 1"),
            ("curl -v over HTTP/2", "* [HTTP/2] [1] [:method: GET]\n* [HTTP/2] [1] [authorization: Bearer <T>]\n* [HTTP/2] [1] [accept: */*]\n> GET / HTTP/2\n> Host: a\n> authorization: Bearer <T>\n>\n", "field is on line 6"),
            ("two requests", "> GET /a HTTP/1.1\n> Authorization: Bearer <T>\n>\n< HTTP/1.1 302 Found\n<\n> GET /b HTTP/1.1\n> Authorization: Bearer <T>\n>\n", "field is on line 2"),
            ("curl in Windows' shell", "curl ^\"https://a.example/^\" ^\n  -H ^\"authorization: Bearer <T>^\" ^\n  --compressed", "field is on line 2"),
            ("curl without the field", "curl -H 'Authorization:' -H 'Authorization: Bearer <T>' https://a.example", "field is on line 1"),
            ("Go's map", "map[Accept:[*/*] Authorization:[Bearer <T>] Host:[a]]", "field is on line 1"),
            ("a call", "client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue(\"Bearer\", \"<T>\");", "on line 1"),
            ("a variable with its value", "export TOKEN=<T>\ncurl -H \"Authorization: Bearer $TOKEN\" https://a.example", "`TOKEN` on line 1"),
            ("a variable of a .http file", "@token = <T>\n\nGET https://a.example/\nAuthorization: Bearer {{token}}\n", "`token` on line 1"),
            ("source code", "const token = '<T>';\nfetch(url, { headers: { Authorization: 'Bearer ' + token } })", "`token` on line 1"),
            ("Cognito", r#"{"AuthenticationResult":{"AccessToken":"<T>","IdToken":"<U>","RefreshToken":"x"}}"#, "`AuthenticationResult.AccessToken`"),
            ("keycloak-js", r#"{"token":"<T>","idToken":"<U>"}"#, "`token`"),
            ("MSAL", r#"{"a-accesstoken-b":{"secret":"<T>"},"a-idtoken-b":{"secret":"<U>"}}"#, "`a-accesstoken-b.secret`"),
            ("variables", "ACCESS_TOKEN=<T>\nID_TOKEN=<U>", "`ACCESS_TOKEN` on line 1"),
            ("JSON in JSON", r#"{"body":"{\"access_token\":\"<T>\",\"id_token\":\"<U>\"}"}"#, "`body`"),
            ("a cookie with escapes", "session=%7B%22access_token%22%3A%22<T>%22%7D", "on line 1"),
            ("an arrow", "token -> <T>", "on line 1"),
            ("a table", "| token | <T> |", "on line 1"),
            ("a quoted line of curl -v", "> Bearer <T>", "on line 1"),
            ("an indented request", "  GET / HTTP/1.1\n  Host: a\n  Authorization: Bearer <T>\n", "field is on line 3"),
            ("a preflight and its request", "> OPTIONS / HTTP/1.1\n> Access-Control-Request-Headers: authorization, x\n>\n< HTTP/1.1 204\n<\n> GET / HTTP/1.1\n> Authorization: Bearer <T>\n>\n", "field is on line 7"),
            ("a request and its answer", "> POST /token HTTP/1.1\n> Cookie: s=<U>\n>\n< HTTP/1.1 200 OK\n<\n{\"access_token\":\"<T>\"}", "`access_token` on line 6"),
            ("a command after its route", "GET /api/private\ncurl -H 'Authorization: Bearer <T>' https://a.example", "field is on line 2"),
            ("a browser's list of fields", ":path:\n/a\nauthorization:\nBearer <T>\naccept:\n*/*", "on line 3 and its value on line 4"),
            ("a browser's list without colons", "authorization\nBearer <T>", "on line 1 and its value on line 2"),
            ("a backslash in a quoted field", "curl -H \"Authorization: Bearer \\\n<T>\" https://a.example", "a backslash continues it on line 2"),
            ("a backslash", "Bearer \\\n<T>", "with which a shell continues a command"),
            ("two lines", "Bearer\n<T>", "as if it were on one"),
            ("a name and a value", "token: <T>", "`token` on line 1"),
            ("an assignment", "jwt = <T>", "`jwt` on line 1"),
            ("a command that prints it", "echo \"<T>\"", "on line 1"),
            ("JSON in a string", r#""{\"Authorization\": \"Bearer <T>\"}""#, "on line 1"),
            ("a refresh token", r#"{"refresh_token":"<T>"}"#, "so its refresh token is explained"),
            ("a refresh token as a variable", "refresh_token=<T>", "so its refresh token is explained"),
            ("a form", "access_token=<T>&token_type=Bearer", "`access_token` on line 1"),
            ("an answer after the request", "POST /token HTTP/1.1\nHost: a\n\ngrant_type=a\n\nHTTP/1.1 200 OK\n\n{\"access_token\":\"<T>\"}", "`access_token` on line 8"),
            ("an answer after the command", "curl -d grant_type=a https://a.example\n{\"access_token\":\"<T>\"}", "`access_token` on line 2"),
            ("a list with the field", "Host: a\nX-Auth: Bearer <U>\nAuthorization: Bearer <T>", "field is on line 3"),
            ("a page", "<!doctype html><pre><T></pre>", "on line 1"),
            ("a page with an answer", "<html>\n<pre>{\"access_token\":\"<T>\"}</pre>", "`access_token` on line 2"),
            ("httpie with its option", "https -A bearer -a <T> a.example/b", "on line 1"),
            ("httpie with a port", "http :8000/api Authorization:\"Bearer <T>\"", "field is on line 1"),
            ("YAML with the field", "headers:\n  Authorization: \"Bearer <T>\"\n", "field is on line 2"),
            ("Python's f-string", "token = \"<T>\"\nheaders = {\"Authorization\": f\"Bearer {token}\"}\n", "`token` on line 1"),
            ("Python's f-string in single quotes", "token = '<T>'; get(url, headers={'Authorization': f'Bearer {token}', 'a': 'b'})", "`token` on line 1"),
            ("Python's f-string on its own line", "token = '<T>'\nheaders = {\n  'Authorization': f'Bearer {os.environ[\"A\"]}',\n}", "`token` on line 1"),
            ("a variable with the whole value", "auth = \"Bearer <T>\"\nheaders = {\"Authorization\": auth, \"a\": \"b\"}", "on line 1"),
            ("C#", "var token = \"<T>\";\nrequest.Headers.Add(\"Authorization\", $\"Bearer {token}\");", "`token` on line 1"),
            ("Rust", "let token = \"<T>\";\nget(url).header(\"Authorization\", format!(\"Bearer {token}\"))", "`token` on line 1"),
            ("Dart", "final token = '<T>';\nget(url, headers: {'Authorization': 'Bearer $token'});", "`token` on line 1"),
            ("a call in a template", "const a = '<T>'\nfetch(url, {headers: {Authorization: `Bearer ${get(a)}`}})", "`a` on line 1"),
            ("Python's bytes", "[(b'host', b'a'), (b'authorization', b'Bearer <T>')]", "field is on line 1"),
            ("a key and a value", "(_Metadatum(key='authorization', value='Bearer <T>'), _Metadatum(key='a', value='b'))", "field is on line 1"),
            ("a list on several lines", "[\n  'Host',\n  'a',\n  'Authorization',\n  'Bearer <T>'\n]", "field is on line 5"),
            ("Spring", "[Authorization:\"Bearer <T>\", Accept:\"*/*\"]", "field is on line 1"),
            ("Spring, at the end", "GET \"/a\", headers=[accept:\"*/*\", authorization:\"Bearer <T>\"]", "field is on line 1"),
            ("JAX-RS", "[authorization=Bearer <T>,host=a]", "what follows its value"),
            ("a comment in YAML", "headers:\n  Authorization: Bearer <T> # of staging", "what follows its value"),
            ("a list of PHP", "array:2 [\n  \"authorization\" => array:1 [\n    0 => \"Bearer <T>\"\n  ]\n]", "on line 3"),
            ("a call in a list", "a := \"<T>\"\nmap[string][]string{\"Authorization\": {fmt.Sprintf(\"Bearer %s\", a)}}", "on line 1"),
            ("Java's map", "{Authorization=Bearer <T>, Accept=*/*}", "what follows its value there is not part of it"),
            ("Dart's map", "{accept: */*, authorization: Bearer <T>}", "what follows its value"),
            ("Dart's map, alone", "{authorization: Bearer <T>}", "what follows its value"),
            ("a map on several lines", "{\n  authorization: Bearer <T>,\n  accept: */*\n}", "line 2, and what follows its value"),
            (".NET", "Headers: { Authorization: Bearer <T>, Accept: */* }", "what follows its value"),
            ("Scala's list", "List(Authorization: Bearer <T>, Accept: */*),HttpProtocol(HTTP/1.1))", "what follows its value"),
            ("gRPC", "Metadata(content-type=application/grpc,authorization=Bearer <T>,user-agent=a)", "what follows its value"),
            ("logfmt", "level=info authorization=Bearer <T> status=401", "what follows its value"),
            ("a list on one line", "Headers: Authorization: Bearer <T>; Host: a", "what follows its value"),
            ("an indented list on one line", "headers:\n  Authorization: Bearer <T>; Host: a\n", "what follows its value"),
            ("Dio", "║ authorization: Bearer <T> ║", "what follows its value"),
            ("Wireshark", "    Host: a\\r\\n\n    Authorization: Bearer <T>\\r\\n", "what follows its value"),
            ("Wireshark, a request", "GET / HTTP/1.1\\r\\n\nHost: a\\r\\n\nAuthorization: Bearer <T>\\r\\n\n\\r\\n", "field is on line 3"),
            ("PHP", "$a = [\"header\" => \"Authorization: Bearer <T>\\r\\nAccept: */*\"];", "what follows its value"),
            ("an escaped break before a quote", "headers = {\"Authorization\": \"Bearer <T>\\n\"}", "what follows its value"),
            ("Apache's client", ">> \"Authorization: Bearer <T>[\\r][\\n]\"", "what follows its value"),
            ("a list of names in an answer", "* Connected\ncurl -v -H 'Authorization: Bearer <T>' https://a.example\n< HTTP/1.1 200 OK\n< vary: Authorization, Origin\n", "field is on line 2"),
            ("HTTP/2 with lists of names", "* [HTTP/2] [1] [authorization: Bearer <T>]\n> GET / HTTP/2\n> Host: a\n> authorization: Bearer <T>\n>\n< HTTP/2 200\n< vary: authorization, origin\n< access-control-allow-headers: authorization, dpop\n<\n", "field is on line 4"),
            ("a list of names", "Vary: Authorization, Origin\nAccess-Control-Allow-Headers: authorization: a\nAuthorization: Bearer <T>\n", "field is on line 3"),
            ("a constant's name", "get(url).header(AUTHORIZATION, \"Bearer <T>\")", "field is on line 1"),
            ("a label of Traefik", "- \"traefik.http.middlewares.a.headers.customrequestheaders.Authorization=Bearer <T>\"", "what follows its value"),
            ("an encoded space", "OTEL_EXPORTER_OTLP_HEADERS=\"Authorization=Bearer%20<T>\"", "field is on line 1"),
            ("a sentence with the field", "I send Authorization: Bearer <T>, why 401?", "what follows its value"),
            ("a shell's backslashes", "curl -H Authorization:\\ Bearer\\ <T> https://a.example", "field is on line 1"),
            ("a folded block of YAML", "headers:\n  Authorization: >-\n    Bearer <T>\n  Accept: a", "in a block of YAML that begins on line 3"),
            ("a block of YAML", "- headers:\n    Authorization: |\n      Bearer <T>\n", "in a block of YAML"),
            ("a block of YAML on two lines", "Authorization: >\n  Bearer\n  <T>\nAccept: a", "in a block of YAML"),
            ("a block of YAML, literal", "\"Authorization\": |-\n  Bearer <T>", "in a block of YAML"),
            ("members in YAML", "authorization:\n  type: Bearer\n  credentials: <T>", "`credentials` on line 3"),
            ("a table", "<T>\t2026-11-29 05:00:00\ttenant\tBearer", "on line 1"),
            ("a Secret", "kind: Secret\ndata:\n  token: <B>\n", "`token` on line 3, encoded in base64"),
            ("a Secret in JSON", r#"{"kind":"Secret","data":{"token":"<B>"}}"#, "`data.token` of the JSON answer, encoded in base64"),
            ("a command that decodes it", "echo <B> | base64 -d", "encoded in base64"),
            ("a cookie of Supabase", "sb-a-auth-token=base64-<C>", "encoded in base64"),
        ];
        for (case, text, note) in rows {
            let pasted = Pasted::read(&filled(text)).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!(pasted.field, format!("Bearer {T}"), "{case}");
            let notes = pasted.notes.join(" ");
            assert!(notes.contains(note), "{case}: {notes}");
            assert_eq!(notes.is_empty(), note.is_empty(), "{case}: {notes}");
            let is_cut = notes.contains("what follows its value");
            assert!(!is_cut || pasted.whole.is_some(), "{case}");
        }
    }

    #[test]
    fn keeps_mistakes_of_a_field_found_in_a_text() {
        #[rustfmt::skip]
        let rows = [
            ("an unfilled variable", "curl -H 'Authorization: Bearer $TOKEN' https://a.example", "Bearer $TOKEN"),
            ("a colon", "curl -H \"Authorization: Bearer: <T>\" https://a.example", "Bearer: <T>"),
            ("no scheme", "curl -H \"Authorization: <T>\" https://a.example", "<T>"),
            ("escaped quotes", r#"curl -H "Authorization: Bearer \"<T>\"" https://a.example"#, "Bearer \"<T>\""),
            ("an invisible character", "curl -H 'Authorization: Bear\u{200b}er <T>' https://a.example", "Bear\u{200b}er <T>"),
            ("a variable in single quotes beside data", "curl -H 'Authorization: Bearer $A' -d access_token=<T> https://a.example", "Bearer $A"),
            ("an escaped line break that a shell sends", "curl -H \"Authorization: Bearer <T>\\n\" https://a.example", "Bearer <T>\\n"),
            ("an indented line", "headers:\n  Authorization: Bearer <T> d\n", "Bearer <T> d"),
            ("an indented line with a comma", "headers:\n  Authorization: Bearer <T>,\n", "Bearer <T>,"),
            ("an escaped line break after a value", "Bearer <T>\\r\\n", "Bearer <T>\\r\\n"),
            ("an escaped line break after a field", "Authorization: Bearer <T>\\r\\n", "Bearer <T>\\r\\n"),
            ("an escaped line break after an indented field", "    Authorization: Bearer <T>\\r\\n", "Bearer <T>\\r\\n"),
            ("an escaped line break after the first field", "    Authorization: Bearer <T>\\r\\n\n    Host: a\\r\\n", "Bearer <T>\\r\\n"),
            ("an escaped line break after a marked field", "> Authorization: Bearer <T>\\n", "Bearer <T>\\n"),
            ("an escaped line break after a marked field, indented", "  > Authorization: Bearer <T>\\n", "Bearer <T>\\n"),
            ("a parameter after a field", "Authorization: Bearer <T>; charset=utf-8", "Bearer <T>; charset=utf-8"),
            ("a parameter after an indented field", "  Authorization: Bearer <T>; charset=utf-8", "Bearer <T>; charset=utf-8"),
            ("a parameter after a field in a list", "Host: a\nAuthorization: Bearer <T>; a=b", "Bearer <T>; a=b"),
            ("a parameter after an indented field in a list", "headers:\n  Authorization: Bearer <T>; a=b\n", "Bearer <T>; a=b"),
            ("a parameter after a marked field", "> Authorization: Bearer <T>; charset=utf-8", "Bearer <T>; charset=utf-8"),
            ("a parameter after marked fields, indented", "  > Host: a\n  > Authorization: Bearer <T>; a=b\n", "Bearer <T>; a=b"),
            ("a parameter after a field in other text", "- Authorization: Bearer <T>; charset=utf-8", "Bearer <T>; charset=utf-8"),
            ("a token after a field", "Authorization: Bearer <T>; refresh_token=<U>", "Bearer <T>; refresh_token=<U>"),
            ("a field after a field", "Authorization: Bearer <T>; Host: a", "Bearer <T>; Host: a"),
            ("an escaped line break in a string", "headers = {\"Authorization\": \"Bearer <T>\\nfoo\"}", "Bearer <T>\\nfoo"),
            ("an escaped line break in a string with the name", "a(\"Authorization: Bearer <T>\\nfoo\")", "Bearer <T>\\nfoo"),
            ("an unknown scheme and base64", "Custom <B>", "Custom <B>"),
            ("an unknown scheme and base64 in quotes", "\"Custom <B>\"", "\"Custom <B>\""),
            ("an unknown scheme and a cookie", "Custom base64-<C>", "Custom base64-<C>"),
            ("a literal block of YAML on two lines", "Authorization: |\n  Bearer\n  <T>\nAccept: a", "Bearer\n<T>"),
            ("typographic quotes", "curl -H “Authorization: Bearer <T>” https://a.example", "Bearer <T>” https://a.example"),
            ("a field after a value", "Bearer <T>; Host: a", "Bearer <T>; Host: a"),
            ("two credentials in a map", "{Authorization: Bearer <T>, Bearer <U>}", "Bearer <T>, Bearer <U>"),
            ("another scheme in a map", "{Authorization=Token <T>, Accept=*/*}", "Token <T>"),
            ("no scheme in a map", "{Authorization=<T>, Accept=*/*}", "<T>"),
            ("undefined in a map", "{Authorization=Bearer undefined, Accept=*/*}", "Bearer undefined"),
            ("a template in a block of YAML", "Authorization: >-\n  Bearer {{token}}\n", "Bearer {{token}}"),
            ("opaque, padded", "kZ1abcdefghijklmnopqrstuvwxyz01=", "Bearer kZ1abcdefghijklmnopqrstuvwxyz01="),
            ("in base64", "ZXlKaGJHY2lPaUpTVXpJMU5pSjkuZTMwLkFBQUE=", "Bearer ZXlKaGJHY2lPaUpTVXpJMU5pSjkuZTMwLkFBQUE="),
            ("a full stop", "<T>.", "Bearer <T>."),
            ("a comma", "<T>,", "Bearer <T>,"),
            ("opaque, as a variable", "TOKEN=kZ1abcdefghijklmnopqrstuvwxyz012", "Bearer kZ1abcdefghijklmnopqrstuvwxyz012"),
            ("opaque, in an answer", r#"{"access_token":"kZ1abcdefghijklmnopqrstuvwxyz012"}"#, "Bearer kZ1abcdefghijklmnopqrstuvwxyz012"),
            ("undefined, as a variable", "TOKEN=undefined", "Bearer undefined"),
            ("a blank in the token", "<T> d", "Bearer <T> d"),
            ("a quoted line of an email", "> <T>", "Bearer <T>"),
            ("an item of a list", "- <T>", "Bearer <T>"),
            ("in parentheses", "(<T>)", "Bearer <T>"),
            ("a link of a chat", "<<T>|token>", "Bearer <T>"),
            ("two, with a comma", "<T>, <U>", "Bearer <T>, <U>"),
            ("two lines without a scheme", "authorization:\n<T>", "<T>"),
            ("two lines with DPoP", "DPoP\n<T>", "DPoP <T>"),
            ("two lines with both", "Authorization: DPoP\n<T>", "DPoP <T>"),
        ];
        for (case, text, field) in rows {
            let pasted = Pasted::read(&filled(text)).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!(pasted.field, filled(field), "{case}");
        }
    }

    /// With a search that was quadratic, each of the first rows took more than a minute.
    #[test]
    fn reads_a_long_text_in_linear_time() {
        const LENGTH: usize = 300_000;
        let mut texts = Vec::new();
        for part in [
            "Authorization: Bearer <T>\n",
            "curl -H 'Authorization: Bearer <T>' a/b\n",
            "x authorization=Bearer <T> ",
            "Authorization: Bearer <T>\n\n",
            "<T>\n",
            "<T> ",
            "> GET / HTTP/1.1\n> Authorization: Bearer <T>\n>\n",
            "X-Token: <T>\n",
            "'Authorization: Bearer <T>', ",
            "authorization:[",
            "authorization: ",
            "x curl ",
            "{Authorization=Bearer <T>, a=b} ",
            "{Authorization=a ",
            "authorization:\"",
            "authorization: f\"",
            "authorization,\n",
            "authorization: >-\n",
            "authorization: >-\n  a\n",
            "authorization:\n ",
            "Authorization: Bearer <T>; a: b ",
            "curl -H Authorization:$A ",
            "a=base64-a ",
            "=Authorization",
            ":authorization",
            "base64-<T>",
            "sb-auth-token.0=base64-a; sb-auth-token.1=a; ",
            "ZXlK",
            "ZXlK ",
            "Authorization, ",
            "authorization: > ",
        ] {
            let part = filled(part);
            texts.push((part.repeat(LENGTH / part.len()), part));
        }
        for (before, part, after) in [
            ("", "authorization:x ", "}"),
            ("", "authorization:x ", &*" ".repeat(LENGTH)),
            ("", "authorization, ", &*" ".repeat(LENGTH)),
            ("Vary: ", "Authorization, ", ""),
            (
                &*format!("x\n{}", " ".repeat(LENGTH)),
                "authorization:x ",
                "",
            ),
            ("", &*format!("eyJh{}\n", "a".repeat(40)), ""),
        ] {
            let text = part.repeat(3 * LENGTH / part.len());
            let name = format!("{} {part}", before.trim());
            texts.push((format!("{before}{text}{after}"), name));
        }
        for (text, part) in texts {
            let begin = Instant::now();
            // Many tokens are an error, which is not the point here.
            let _ = Pasted::read(&text);
            let took = begin.elapsed();
            assert!(took < Duration::from_secs(5), "{part:?}: {took:?}");
        }
    }

    /// A name in the value of another field once made the ranges of fields overlap.
    #[test]
    fn reads_a_field_in_the_value_of_another() {
        for (text, field) in [
            (
                "Authorization: Bearer Authorization: Bearer <T>\nHost: a",
                "Bearer Authorization: Bearer <T>",
            ),
            (
                "x authorization, b, Authorization: Bearer <T>\n",
                "Bearer <T>",
            ),
            (
                "curl -H 'Authorization: Bearer authorization: <T>' a/b",
                "Bearer authorization: <T>",
            ),
        ] {
            let pasted = Pasted::read(&filled(text)).unwrap();
            assert_eq!(pasted.field, filled(field), "{text}");
            assert_eq!(pasted.further, [""; 0], "{text}");
        }
    }

    #[test]
    fn reports_text_without_a_token() {
        #[rustfmt::skip]
        let rows = [
            ("empty", "", "the input is empty"),
            ("whitespace", " \n", "the input is empty"),
            ("quotes alone", "\"\"", "the input is empty"),
            ("an empty variable", "TOKEN=", "the input is empty"),
            ("an empty variable with a long name", "MY_ACCESS_TOKEN_V2=", "the input is empty"),
            ("a callback with a code", "https://a.example/callback?code=abc&state=x", "with a code and without a token"),
            ("a callback with an error", "https://a.example/callback?error=access_denied&error_description=no%20login", "access_denied (no login)"),
            ("half an object", "{\"access_token\":", "JSON without an access token"),
            ("another object", "{}", "JSON without an access token"),
            ("a refusal", r#"{"error":"access_denied","error_description":"Client is not authorized"}"#, "access_denied (Client is not authorized)"),
            ("a variable of a shell", "curl -H \"Authorization: Bearer $TOKEN\" https://a.example", "e.g. echo \"$TOKEN\" | warp-bearer explain"),
            ("a variable in braces", "curl https://a.example \\\n  -H \"Authorization: Bearer ${TOKEN}\"", "in which ${TOKEN} stands for the token"),
            ("a variable beside data", "curl -H \"Authorization: Bearer $A\" -d access_token=<T> https://a.example", "in which $A stands"),
            ("a variable of PowerShell", "irm https://a.example -Headers @{Authorization=\"Bearer $env:TOKEN\"}", "e.g. $env:TOKEN | warp-bearer explain"),
            ("a variable of Windows' shell", "curl -H \"Authorization: Bearer %TOKEN%\" https://a.example", "e.g. echo %TOKEN% | warp-bearer explain"),
            ("a variable of httpie", "http :8000/a Authorization:\"Bearer $TOKEN\"", "e.g. echo \"$TOKEN\""),
            ("a variable in an option", "curl --oauth2-bearer \"$TOKEN\" https://a.example", "e.g. echo \"$TOKEN\""),
            ("a command in a command", "curl -H \"Authorization: Bearer $(cat token)\" https://a.example", "another command stands for the token"),
            ("a variable that may be a password", "curl -H \"Authorization: Bearer $ecretPassw0rd\" https://a.example", "in which a variable or another command stands"),
            ("a lower-case variable that may be a password", "curl --oauth2-bearer \"$ecretpassw0rd\" https://a.example", "in which a variable or another command stands"),
            ("a variable in snake case", "curl -H \"Authorization: Bearer $access_token2\" https://a.example", "$access_token2"),
            ("Python without a token", "headers = {\"Authorization\": f\"Bearer {token}\"}", "{token} stands for the token"),
            ("JavaScript without a token", "fetch(url, {headers: {Authorization: 'Bearer ' + token}})", "source code"),
            ("prose", "I have\nno token here", "there is no token in the input"),
            ("another field", "WWW-Authenticate: Bearer realm=\"api\", error=\"invalid_token\"", "there is no token in the input"),
            ("a page", "<!DOCTYPE html><html><title>Log in</title></html>", "a web page"),
            ("an answer of a service", r#"{"status":401,"detail":"The token has expired.","code":"token_expired","error":"invalid_token"}"#, "an answer of a service that verifies tokens, token_expired"),
            ("Firebase's refusal", r#"{"error":{"code":400,"message":"INVALID_PASSWORD"}}"#, "INVALID_PASSWORD"),
            ("Cognito's refusal", r#"{"__type":"NotAuthorizedException","message":"Incorrect password."}"#, "NotAuthorizedException (Incorrect password.)"),
        ];
        for (case, text, expected) in rows {
            let why = Pasted::read(&filled(text)).unwrap_err().to_string();
            assert!(why.contains(expected), "{case}: {why}");
        }
    }

    #[test]
    fn reads_every_authorization_field_of_a_request() {
        let fields = ["Authorization: Bearer <T>", "authorization: bearer <T>"];
        #[rustfmt::skip]
        let rows = [
            ("a request", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\nAccept: */*\r\n{}\r\n\r\n", fields[0], fields[1])),
            ("Spring", "[Authorization:\"Bearer <T>\", authorization:\"bearer <T>\"]".to_owned()),
            ("logfmt", "x Authorization=Bearer <T> authorization=bearer <T>".to_owned()),
            ("a map", "{Authorization=Bearer <T>, authorization=bearer <T>}".to_owned()),
            ("lines", fields.join("\n")),
            ("curl", format!("curl -H '{}' -H '{}' https://a.example", fields[0], fields[1])),
            ("curl on several lines", format!("curl https://a.example \\\n  -H '{}' \\\n  -H '{}'", fields[0], fields[1])),
            ("curl -v", format!("> GET / HTTP/1.1\n> {}\n> {}\n>\n", fields[0], fields[1])),
            ("HAR", r#"{"headers":[{"name":"Authorization","value":"Bearer <T>"},{"name":"Host","value":"a"},{"name":"authorization","value":"bearer <T>"}]}"#.to_owned()),
            ("JSON", r#"{"headers":{"Authorization":"Bearer <T>","authorization":"bearer <T>"}}"#.to_owned()),
        ];
        for (case, text) in rows {
            let pasted = Pasted::read(&filled(&text)).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!(pasted.field, filled("Bearer <T>"), "{case}");
            assert_eq!(pasted.further, [filled("bearer <T>")], "{case}");
        }
        let opaque = filled("log: Authorization=Bearer abcdef123 authorization=Bearer <T>");
        let opaque = Pasted::read(&opaque).unwrap();
        assert_eq!(opaque.field, "Bearer abcdef123");
        assert_eq!(opaque.further, [filled("Bearer <T>")]);
        let one = Pasted::read(&filled("Authorization : Bearer <T>")).unwrap();
        assert_eq!(one.fault, Some(RequestFault::SpaceBeforeColon));
        let field = "x-token: a\r\nX-Token: b\r\n";
        let of_field = Pasted::read_field(field, "X-Token").unwrap();
        assert_eq!(
            (of_field.bare.as_deref(), &*of_field.further),
            (Some("a"), &["b".to_owned()][..])
        );
    }

    #[test]
    fn reads_a_whole_request_as_the_server_does() {
        use RequestFault::{BeforeName, Fragment, NoField, SpaceBeforeColon};
        #[rustfmt::skip]
        let rows = [
            ("valid", "Authorization: Bearer <T>", "Bearer <T>", None),
            ("in quotes", "Authorization: \"Bearer <T>\"", "\"Bearer <T>\"", None),
            ("in single quotes", "Authorization: 'Bearer <T>'", "'Bearer <T>'", None),
            ("in brackets", "Authorization: [Bearer <T>]", "[Bearer <T>]", None),
            ("a space before the colon", "Authorization : Bearer <T>", "Bearer <T>", Some(SpaceBeforeColon)),
            ("a tab before the colon", "Authorization\t: Bearer <T>", "Bearer <T>", Some(SpaceBeforeColon)),
            ("a space before the name", " Authorization: Bearer <T>", "Bearer <T>", Some(BeforeName)),
            ("a quote before the name", "\"Authorization: Bearer <T>\"", "Bearer <T>\"", Some(BeforeName)),
            ("a space in another field", "Authorization: Bearer <T>\nAccept : */*", "Bearer <T>", Some(SpaceBeforeColon)),
            ("a cookie", "Cookie: session=<T>", "Bearer <T>", Some(NoField)),
            ("another field", "X-Authorization: Bearer <T>", "Bearer <T>", Some(NoField)),
            ("a query", "Referer: https://a.example/?access_token=<T>", "Bearer <T>", Some(NoField)),
            ("a backtick before the name", "`Authorization: Bearer <T>`", "Bearer <T>", Some(NoField)),
            ("two other fields", "Cookie: a=<T>\nX-Token: <U>", "", Some(NoField)),
            ("no token", "Accept: */*", "", Some(NoField)),
        ];
        for (case, fields, value, fault) in rows {
            for prefix in ["", "> ", "\t"] {
                let lines = format!("GET / HTTP/1.1\nHost: a\n{fields}\n\n");
                let text = lines.lines().map(|line| format!("{prefix}{line}\r\n"));
                let pasted = Pasted::read(&filled(&text.collect::<String>())).unwrap();
                assert_eq!(pasted.field, filled(value), "{case}, {prefix:?}");
                assert_eq!(pasted.fault, fault, "{case}, {prefix:?}");
            }
            // the same headers without a request line
            let of_field = fields.to_lowercase().starts_with("authorization");
            if of_field && !fields.contains('\n') {
                let text = filled(&format!("{fields}\nAccept: */*"));
                let pasted = Pasted::read(&text).unwrap();
                assert_eq!(
                    (&*pasted.field, pasted.fault),
                    (&*filled(value), fault),
                    "{case}"
                );
            }
        }
        #[rustfmt::skip]
        let rows = [
            ("a list of arguments", "command:\n- /bin/curl\n- -H\n- \"Authorization: Bearer <T>\"", None),
            ("a comment in a file of requests", "GET https://a.example/api\n# see: notes\n// old: x\nAuthorization: Bearer <T>", None),
            ("a commented field", "GET https://a.example/api\n  # Authorization: Bearer <U>\n# X-Token: <U>\nAuthorization: Bearer <T>", None),
            ("a text after an indented request", "    GET / HTTP/1.1\n    Authorization: Bearer <T>\n\nWhy is this refused?\nX : y", None),
            ("a fragment", "GET /#a HTTP/1.1\nAuthorization: Bearer <T>", Some(Fragment)),
            ("a fragment of a URL with a version", "GET https://a.example/#a HTTP/1.1\nAuthorization: Bearer <T>", None),
            ("a comment below a URL with a version", "GET https://a.example/ HTTP/1.1\n# Authorization: Bearer <U>\nAuthorization: Bearer <T>", None),
            ("a fragment of a client's URL", "GET https://a.example/#a\nAuthorization: Bearer <T>", None),
            ("a comment is no field of a request", "GET / HTTP/1.1\n# see: notes\nAuthorization: Bearer <T>", Some(BeforeName)),
            ("a line that is indented less", "  GET / HTTP/1.1\nHost: a\n  Authorization: Bearer <T>", Some(BeforeName)),
        ];
        for (case, text, fault) in rows {
            let pasted = Pasted::read(&filled(text)).unwrap();
            assert_eq!(pasted.fault, fault, "{case}");
            assert_eq!(pasted.field, filled("Bearer <T>"), "{case}");
        }
        for fields in [
            "# Authorization: Bearer <T>",
            "// Authorization: Bearer <T>",
            "#Cookie: s=<T>",
        ] {
            let text = format!("GET https://a.example/api\n{fields}\nAccept: */*");
            let pasted = Pasted::read(&filled(&text)).unwrap();
            assert_eq!(pasted.fault, Some(NoField), "{fields}");
            assert_eq!(pasted.field, "", "{fields}");
        }
        let no_request = Pasted::read_field(&filled("X-Token : <T>"), "X-Token").unwrap();
        assert_eq!(no_request.fault, Some(SpaceBeforeColon));
        let cookie = filled("GET / HTTP/1.1\nCookie: s=<T>\n");
        let cookie = Pasted::read_field(&cookie, "X-Token").unwrap();
        assert_eq!(cookie.fault, Some(NoField));
    }

    /// The token is in the wrong place, so the service responds as if there were none
    #[test]
    fn finds_a_token_that_is_not_read() {
        #[rustfmt::skip]
        let rows = [
            ("Authentication", "Authentication: Bearer <T>", "the field Authentication, on line 1"),
            ("Authorisation in a list", "Host: a\nAuthorisation: Bearer <T>\nAccept: */*", "the field Authorisation, on line 2"),
            ("Proxy-Authorization", "Proxy-Authorization: Bearer <T>", "the field Proxy-Authorization"),
            ("a request", "GET / HTTP/1.1\nAuthentication: Bearer <T>\n", "the field Authentication, on line 2"),
            ("a query", "GET /?access_token=<T> HTTP/1.1\nHost: a\n", "the request line"),
            ("a body", "POST / HTTP/1.1\nHost: a\n\naccess_token=<T>\n", "the body, on line 4"),
            ("a body in JSON", "POST https://a.example/\n\n{\n\"access_token\": \"<T>\"\n}", "the body, on line 4"),
            ("cookies of Supabase", "Cookie: a=b; sb-a-auth-token=base64-<C>", "the field Cookie, on line 1"),
            ("a cookie of Supabase in a request", "GET / HTTP/1.1\nHost: a\nCookie: sb-a-auth-token=base64-<C>\n", "the field Cookie, on line 3"),
            ("a line of cookies", "Cookie: a=b; CF_Authorization=<T>", "the field Cookie, on line 1"),
            ("curl with a user", "curl -u user:<T> https://a.example", "the option -u"),
            ("curl with data", "curl -d access_token=<T> https://a.example", "the option -d"),
            ("wget", "wget --header='X-Auth-Token: <T>' https://a.example", "the field X-Auth-Token"),
            ("wget with a body", "wget --post-data access_token=<T> https://a.example", "the option --post-data"),
            ("httpie with a user", "http -a user:<T> :8000/api", "the option -a"),
            ("httpie with a field", "http :8000/api X-Token:<T>", "the field X-Token"),
            ("httpie with a query", "https a.example/b access_token==<T>", "the URL"),
            ("httpie with a body", "xh POST :8000/api access_token=<T>", "the body"),
            ("curl with a query", "curl 'https://a.example/?access_token=<T>'", "the URL"),
            ("curl with cookies", "curl -b s=<T> https://a.example", "the option -b"),
            ("curl with a cookie field", "curl https://a.example \\\n  -H 'Cookie: s=<T>'", "the field Cookie, on line 2"),
            ("curl with another field", "$ curl -H 'X-Auth-Token: <T>' https://a.example", "the field X-Auth-Token"),
            ("curl with a name in British English", "curl -H \"Authorisation: Bearer <T>\" https://a.example", "the field Authorisation"),
            ("curl with a proxy", "curl --proxy-header 'Proxy-Authorization: Bearer <T>' https://a.example", "the field Proxy-Authorization"),
        ];
        for (case, text, place) in rows {
            let pasted = Pasted::read(&filled(text)).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!(pasted.field, filled("Bearer <T>"), "{case}");
            assert_eq!(pasted.fault, Some(RequestFault::NoField), "{case}");
            let notes = pasted.notes.join(" ");
            assert!(notes.contains(place), "{case}: {notes}");
            assert!(
                notes.contains("which the service does not read"),
                "{case}: {notes}"
            );
        }
        let cookie = filled("Cookie: CF_Authorization=<T>");
        let cookie = Pasted::read_field(&cookie, "Cf-Access-Jwt-Assertion").unwrap();
        assert_eq!(cookie.fault, Some(RequestFault::NoField));
        // a service that reads this header gets the token
        for text in [
            "curl -H 'X-Auth-Token: <T>' https://a.example",
            "X-Auth-Token: <T>",
        ] {
            let own = Pasted::read_field(&filled(text), "X-Auth-Token").unwrap();
            assert_eq!((own.bare.as_deref(), own.fault), (Some(T), None), "{text}");
        }
        // curl sends this option as Authorization, which the service then does not read.
        let text = filled("curl --oauth2-bearer <T> https://a.example");
        let own = Pasted::read_field(&text, "X-Auth-Token").unwrap();
        assert_eq!(own.fault, Some(RequestFault::NoField));
        for name in [
            "Author\u{200b}ization",
            "\u{feff}Authorization",
            "\u{200e}authorization",
        ] {
            let text = filled(&format!("{name}: Bearer <T>"));
            let whole = format!("GET / HTTP/1.1\nHost: a\n{text}\n");
            for text in [text, whole] {
                let pasted = Pasted::read(&text).unwrap();
                let is_invisible = matches!(pasted.fault, Some(RequestFault::InvisibleInName(_)));
                assert!(is_invisible, "{text:?}: {pasted:?}");
                assert_eq!(pasted.field, filled("Bearer <T>"), "{text:?}");
            }
        }
    }

    #[test]
    fn joins_a_token_that_was_wrapped() {
        let long = format!(
            "eyJhbGciOiJSUzI1NiJ9.eyJ{}.{}",
            "A".repeat(200),
            "B".repeat(342)
        );
        let pieces = |end: &str, start: &str| {
            let bytes: Vec<_> = long.as_bytes().chunks(70).collect();
            let lines: Vec<_> = bytes
                .iter()
                .map(|line| str::from_utf8(line).unwrap())
                .collect();
            lines.join(&format!("{end}\n{start}"))
        };
        #[rustfmt::skip]
        let rows = [
            ("alone", pieces("", "")),
            ("CRLF", pieces("\r", "")),
            ("quoted-printable", pieces("=", "")),
            ("in a shell", pieces(" \\", "")),
            ("in an email", format!("> {}", pieces("", "> "))),
            ("a variable", format!("TOKEN={}\nOTHER=1", pieces("", ""))),
            ("in a page", format!("<pre>{}</pre>", pieces("", ""))),
            ("in quotes", format!("curl -H 'Authorization: Bearer {}' https://a.example", pieces("", ""))),
        ];
        for (case, text) in rows {
            let pasted = Pasted::read(&text).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!(pasted.field, format!("Bearer {long}"), "{case}");
            assert!(
                pasted.notes.contains(&LINES.to_owned()),
                "{case}: {:?}",
                pasted.notes
            );
        }
    }

    #[test]
    fn lists_several_tokens() {
        for text in [
            "<T>\n<U>",
            "A=<T>\nB=<U>",
            r#"{"a":"<T>","b":"<U>"}"#,
            "> Authorization: Bearer <T>\n>\n> Authorization: Bearer <U>",
        ] {
            let why = Pasted::read(&filled(text)).unwrap_err().to_string();
            assert!(why.contains("2 tokens"), "{text}: {why}");
            assert_eq!(why.lines().count(), 3, "{text}: {why}");
            assert!(!why.contains(T), "{text}: {why}");
        }
    }
}
