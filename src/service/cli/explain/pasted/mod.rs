//! [`Pasted`]: finds the value of `Authorization` in pasted text.
//!
//! If the text could be the value of the header, it is explained unchanged, including its mistakes,
//! so that the verdict is the same as in the service. A token alone is explained as if it followed
//! `Bearer `. Any other text, such as a curl command or a token endpoint's JSON, is searched. A
//! note then says where the token was found.

mod document;
mod found;
mod jwt;
mod placeholder;
mod text;

use crate::auth::{explain::check_default_form, token::json};

use self::{
    found::{Chosen, Found},
    text::{after, unquoted},
};

pub(in crate::service) use self::{
    found::NoToken,
    jwt::{is_encoded_twice, shorten_all},
    placeholder::is_placeholder,
};

/// The header to explain, and notes about the surrounding text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service) struct Pasted {
    /// The value of `Authorization`.
    pub(in crate::service) field: String,
    /// The value of the other header with the token. `None` if the text is about `Authorization`.
    pub(in crate::service) bare: Option<String>,
    pub(in crate::service) notes: Vec<String>,
}

const FIELD: &str = "The input is an Authorization field, and is explained exactly as it is.";
const ASSUMED: &str = "The input is explained as if it followed the word Bearer.";
const QUOTES: &str = "The quotes around the token are not part of it. If they are sent, the answer is 400 malformed_authorization.";
const LINES: &str =
    "The line breaks in the token are not part of it. A header field cannot carry them.";
const REST: &str =
    "A header field carries only the token: Authorization, Bearer, a space and the token.";

impl Pasted {
    /// Finds the value of `Authorization` in a text.
    pub(in crate::service) fn read(text: &str) -> Result<Self, NoToken> {
        let text = text.trim_start_matches('\u{feff}').trim_matches(BLANKS);
        if text.is_empty() {
            return Err(NoToken::Empty);
        }
        let is_one_line = !text.contains(['\n', '\r']);
        if let Some(value) = after(text, "authorization:").filter(|_| is_one_line) {
            let field = value.trim_matches(BLANKS).to_owned();
            return Ok(Self::field(field, FIELD.to_owned()));
        }
        if is_credential(text) && is_one_line {
            return Ok(Self::field(text.to_owned(), FIELD.to_owned()));
        }
        let is_empty_json = text == "{}" || text == "[]";
        let is_word = !text.contains(' ');
        let is_bracketed = text.starts_with(['[', '<', '{', '$', '%', '#', '@']);
        if (is_word || is_bracketed)
            && is_placeholder(text)
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
            return Self::of_lines(text);
        }
        if let Some(found) = text::search(text) {
            return Self::chosen(found, text);
        }
        Self::of_value(text)
    }

    /// Like [`read`](Self::read), for a service that reads the token from the header `name`. If the
    /// text contains this header, its value is explained unchanged.
    pub(in crate::service) fn read_field(text: &str, name: &str) -> Result<Self, NoToken> {
        let line = text.trim_start_matches('\u{feff}').trim_matches(BLANKS);
        let value = after(line, name).and_then(|rest| rest.strip_prefix(':'));
        if let Some(value) = value.filter(|_| !line.contains(['\n', '\r'])) {
            let value = value.trim_matches(BLANKS);
            let note = format!("The input is a field {name}, and is explained as it is.");
            return Ok(Self::bare(value, vec![note]));
        }
        Self::read(text)
    }

    fn field(field: String, note: String) -> Self {
        Self {
            field,
            bare: None,
            notes: vec![note],
        }
    }

    /// Creates a header with the token after `Bearer `.
    fn bare(token: &str, notes: Vec<String>) -> Self {
        Self {
            field: format!("Bearer {token}"),
            bare: Some(token.to_owned()),
            notes,
        }
    }

    /// Creates a header from what was found in the text `whole`.
    fn chosen(found: Found, whole: &str) -> Result<Self, NoToken> {
        let token = match found.choose()? {
            Chosen::Field(field) => {
                let note = format!("The Authorization field is {}.", field.at);
                return Ok(Self::field(field.text, note));
            }
            Chosen::Token(token) => token,
        };
        let mut notes = vec![format!("The token is {}.", token.at)];
        if token.at.contains("id_token") || token.at.contains("idToken") {
            let note = "The answer has no access_token, so its id_token is explained.";
            notes.push(note.to_owned());
        }
        notes.push(as_sent(whole));
        Ok(Self::bare(&token.text, notes))
    }

    fn of_lines(text: &str) -> Result<Self, NoToken> {
        if let Some(joined) = text::unwrapped(text) {
            let mut pasted = Self::read(&joined)?;
            pasted.notes.push(LINES.to_owned());
            return Ok(pasted);
        }
        match text::search(text) {
            Some(found) => Self::chosen(found, text),
            None if text.starts_with(['{', '[']) => Err(NoToken::OtherJson),
            None => Err(NoToken::Nothing),
        }
    }

    /// Parses a line that only contains a token or the value of the header.
    fn of_value(text: &str) -> Result<Self, NoToken> {
        if let Some(inner) = unquoted(text) {
            if inner.trim_matches(BLANKS).is_empty() {
                return Err(NoToken::Empty);
            }
            if inner.split_whitespace().count() == 1 && after(inner, "bearer").is_none() {
                return Ok(Self::bare(inner, vec![QUOTES.to_owned()]));
            }
        }
        if text.starts_with('{') {
            return Err(NoToken::OtherJson);
        }
        let is_one_word = !text.contains(char::is_whitespace);
        // A broken token still counts as a token. No scheme begins like a JWT.
        let is_token = is_one_word || jwt::has_header(text);
        if is_token && after(text, "bearer").is_none() {
            return Ok(Self::bare(text, Vec::new()));
        }
        Ok(Self::field(text.to_owned(), FIELD.to_owned()))
    }
}

/// Describes the response of the service if a client sends the whole text unchanged.
fn as_sent(whole: &str) -> String {
    if whole.contains(['\n', '\r']) {
        return REST.to_owned();
    }
    match check_default_form(whole) {
        Err(error) => format!(
            "{REST} The service answers {} {} to the whole text in that field.",
            error.status().as_u16(),
            error.code()
        ),
        Ok(()) => REST.to_owned(),
    }
}

/// Returns `true` if the text begins with the scheme `Bearer`, in any case.
fn is_credential(text: &str) -> bool {
    let is_tchar = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    after(text, "bearer").is_some_and(|rest| !rest.starts_with(is_tchar))
}

/// The whitespace that a shell adds around a text, and that hyper removes from a header value.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Returns the only token in a header value that is not `Bearer`, a space and a token. `None` if
/// there is not exactly one.
pub(in crate::service) fn repaired(field: &str) -> Option<&str> {
    // There may be no space after the scheme, or an encoded one.
    let rest = after(field, "bearer").unwrap_or(field);
    let rest = rest.strip_prefix("%20").unwrap_or(rest);
    let rest = rest.trim_start_matches(['-', '_', '.']);
    let mut found = jwt::find_all(rest).into_iter().map(|place| &rest[place]);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: &str = "eyJhbGciOiJSUzI1NiJ9.e30.AA";
    const OTHER: &str = "eyJhbGciOiJSUzI1NiJ9.e30.BB";

    /// Replaces the words `T` and `U` with tokens.
    fn filled(text: &str) -> String {
        text.replace("<T>", T).replace("<U>", OTHER)
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
            "Bearer",
            "Bearer <T>, Bearer <U>",
            "Bearer <T> <U>",
            "Bearer undefined",
            "Bearer [object Object]",
            "Bearer {{token}}",
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
            ("a byte order mark", "\u{feff}<T>", ""),
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
            ("a cookie", "Cookie: session=<T>; theme=dark", "`session` on line 1"),
            ("a sentence", "my token is <T>.", "on line 1"),
            ("twice the same", "TOKEN=<T>\ncurl -H \"X-Token: <T>\" a", "on line 1"),
        ];
        for (case, text, note) in rows {
            let pasted = Pasted::read(&filled(text)).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!(pasted.field, format!("Bearer {T}"), "{case}");
            let notes = pasted.notes.join(" ");
            assert!(notes.contains(note), "{case}: {notes}");
            assert_eq!(notes.is_empty(), note.is_empty(), "{case}: {notes}");
        }
    }

    #[test]
    fn keeps_mistakes_of_a_field_found_in_a_text() {
        #[rustfmt::skip]
        let rows = [
            ("an unfilled variable", "curl -H 'Authorization: Bearer $TOKEN' https://a.example", "Bearer $TOKEN"),
            ("a colon", "curl -H \"Authorization: Bearer: <T>\" https://a.example", "Bearer: <T>"),
            ("no scheme", "curl -H \"Authorization: <T>\" https://a.example", "<T>"),
            ("opaque, as a variable", "TOKEN=kZ1abcdefghijklmnopqrstuvwxyz012", "Bearer kZ1abcdefghijklmnopqrstuvwxyz012"),
            ("opaque, in an answer", r#"{"access_token":"kZ1abcdefghijklmnopqrstuvwxyz012"}"#, "Bearer kZ1abcdefghijklmnopqrstuvwxyz012"),
            ("undefined, as a variable", "TOKEN=undefined", "Bearer undefined"),
            ("a blank in the token", "<T> d", "Bearer <T> d"),
            ("a quoted line of an email", "> <T>", "Bearer <T>"),
            ("an item of a list", "- <T>", "Bearer <T>"),
            ("in parentheses", "(<T>)", "Bearer <T>"),
            ("a link of a chat", "<<T>|token>", "Bearer <T>"),
            ("two, with a comma", "<T>, <U>", "Bearer <T>, <U>"),
        ];
        for (case, text, field) in rows {
            let pasted = Pasted::read(&filled(text)).unwrap_or_else(|why| panic!("{case}: {why}"));
            assert_eq!(pasted.field, filled(field), "{case}");
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
            ("half an object", "{\"access_token\":", "JSON without an access token"),
            ("another object", "{}", "JSON without an access token"),
            ("a refusal", r#"{"error":"access_denied","error_description":"Client is not authorized"}"#, "access_denied (Client is not authorized)"),
            ("prose", "I have\nno token here", "there is no token in the input"),
        ];
        for (case, text, expected) in rows {
            let why = Pasted::read(text).unwrap_err().to_string();
            assert!(why.contains(expected), "{case}: {why}");
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
