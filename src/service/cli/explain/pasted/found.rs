//! [`Found`]: the tokens found in a text, and which of them to explain.

use std::{collections::HashSet, fmt};

use crate::{
    auth::{
        display::ShownText,
        explain::{shortened, unverified_claims},
    },
    service::cli::time_format,
};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::service) enum NoToken {
    #[error("the input is empty")]
    Empty,
    #[error(
        "the input is an error of a token endpoint, {0}, and has no token in it; correct the token request first"
    )]
    Refusal(String),
    #[error(
        "the input is JSON without an access token; paste the answer of the token endpoint, or the token alone"
    )]
    OtherJson,
    #[error(
        "the input is an answer of a service that verifies tokens, {0}, and has no token in it; paste the request, or the token alone"
    )]
    OwnAnswer(String),
    #[error(
        "the input is a web page, often the login of the issuer, and has no token in it; correct the token request first"
    )]
    Page,
    #[error(
        "the input is the address to which the issuer sends a browser after a login, with a code and without a token; the application exchanges the code for an access token at the token endpoint"
    )]
    Code,
    #[error(
        "the input is the address to which the issuer sends a browser after a login that failed, {0}, and has no token in it; correct the login request first"
    )]
    FailedLogin(String),
    #[error("the input is a command or source code in which {0}; paste the token itself, {1}")]
    Replaced(String, String),
    #[error("there is no token in the input; paste the token, or a text that contains it")]
    Nothing,
    #[error("there are {} tokens in the input; paste the one to explain:{}", .0.len(), .0.concat())]
    Several(Vec<String>),
}

/// The headers and tokens in a text, in order and with their locations
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The requests with `Authorization` headers
    pub(super) requests: Vec<FoundRequest>,
    /// The tokens in whole requests. Only set if none of the requests has an `Authorization`
    /// header, and there is no token outside of them.
    pub(super) unsent: Option<FoundRequest>,
    /// The strings at places where we expect an access token
    pub(super) access_tokens: Vec<FoundText>,
    /// Other tokens, and strings at places where we expect a token
    pub(super) others: Vec<FoundText>,
    /// Only set if there is no token.
    pub(super) replaced: Option<Replaced>,
    /// Tokens whose name says that they're ID tokens or refresh tokens
    pub(super) companions: Vec<FoundText>,
}

/// The values of the header with the token, in one request
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FoundRequest {
    pub(super) fields: Vec<FoundText>,
    pub(super) fault: Option<RequestFault>,
    /// Other text of the same line is not part of a value.
    pub(super) is_cut: bool,
}

/// The reason why a service rejects a request without reading the token in it. Except for
/// [`NoField`](Self::NoField), its HTTP parser rejects the request, and the answer has no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::service) enum RequestFault {
    /// There's a space between the name of a header and its colon
    SpaceBeforeColon,
    /// There's a space, a quote or another character before the name of a header
    BeforeName,
    /// The name of a header has this invisible character in it or before it
    InvisibleInName(char),
    /// The value of the header has this control character.
    ControlCharacter(char),
    /// The target of the request has a fragment.
    Fragment,
    NoField,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundText {
    pub(super) text: String,
    pub(super) at: String,
}

/// The variable in place of the token, in a command or in source code. Empty if it is more than a
/// name. A password can look like a variable, e.g. one that begins with `$`, so we only name what
/// is surely a variable.
#[derive(Debug)]
pub(super) struct Replaced(pub(super) String);

impl Replaced {
    /// How to get the token depends on the syntax of the variable.
    fn no_token(&self) -> NoToken {
        let name = Some(&*self.0).filter(|name| is_variable(name));
        let name = name.unwrap_or_default();
        let has = |begin: &str| name.starts_with(begin);
        let is_of_shell = !name.contains('#');
        let way = if has("$env:") {
            format!("e.g. {name} | warp-bearer explain")
        } else if has("%") {
            format!("e.g. echo {name} | warp-bearer explain")
        } else if has("$") && is_of_shell {
            format!("e.g. echo \"{name}\" | warp-bearer explain")
        } else {
            "which the program or the command that makes it can print".to_owned()
        };
        let what = match name {
            "" => "a variable or another command stands for the token".to_owned(),
            name => format!("{name} stands for the token"),
        };
        NoToken::Replaced(what, way)
    }
}

/// Looks if the text is a name in upper case or in snake case, with the signs of a shell or a
/// language around it. A digit only ends a word of the name.
fn is_variable(text: &str) -> bool {
    let name = text.trim_start_matches(['$', '#', '%', '{']);
    let name = name.strip_prefix("env:").unwrap_or(name);
    let name = name.trim_end_matches(['%', '}']);
    let fits = |word: &str| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_all = |kind: fn(&u8) -> bool| letters.bytes().all(|byte| kind(&byte));
        is_all(u8::is_ascii_uppercase) || is_all(u8::is_ascii_lowercase)
    };
    name.contains(|c: char| c.is_ascii_alphabetic()) && name.split('_').all(fits)
}

impl FoundRequest {
    pub(super) fn add(&mut self, value: &str, at: String, fault: Option<RequestFault>) {
        let text = value.to_owned();
        self.fields.push(FoundText { text, at });
        self.fault = self.fault.or(fault);
    }

    fn as_sent(&self) -> (Vec<&str>, Option<RequestFault>) {
        let values = self.fields.iter().map(|field| &*field.text);
        (values.collect(), self.fault)
    }
}

impl From<Vec<FoundText>> for FoundRequest {
    fn from(fields: Vec<FoundText>) -> Self {
        Self {
            fields,
            ..Self::default()
        }
    }
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        let lists = [&self.access_tokens, &self.others, &self.companions];
        let has_request =
            !self.requests.is_empty() || self.unsent.is_some() || self.replaced.is_some();
        !has_request && lists.into_iter().all(Vec::is_empty)
    }

    /// Adds a token to the list that its name belongs to.
    pub(super) fn add(&mut self, name: Option<&str>, token: FoundText) {
        let name = name.unwrap_or_default();
        let bare = name.chars().filter(char::is_ascii_alphanumeric);
        let bare = bare.collect::<String>().to_ascii_lowercase();
        let list = if bare.ends_with("accesstoken") {
            &mut self.access_tokens
        } else if bare.ends_with("idtoken") || bare.ends_with("refreshtoken") {
            &mut self.companions
        } else {
            &mut self.others
        };
        list.push(token);
    }

    /// What a client would send: the headers of a request if there is one, otherwise the access
    /// token, otherwise the only token.
    pub(super) fn choose(mut self) -> Result<Chosen, NoToken> {
        if let Some(replaced) = &self.replaced {
            return Err(replaced.no_token());
        }
        if let Some(request) = self.unsent {
            let mut tokens = distinct(request.fields);
            let token = tokens.pop().filter(|_| tokens.is_empty());
            let fault = request.fault.unwrap_or(RequestFault::NoField);
            return Ok(Chosen::Unsent { token, fault });
        }
        let mut seen = HashSet::new();
        let requests = self.requests.iter();
        let requests: Vec<_> = requests.filter(|it| seen.insert(it.as_sent())).collect();
        for items in [
            &mut self.access_tokens,
            &mut self.others,
            &mut self.companions,
        ] {
            *items = distinct(std::mem::take(items));
        }
        match &requests[..] {
            [] => {}
            [request] => return Ok(Chosen::Request((*request).clone())),
            several => {
                let firsts = several.iter().filter_map(|request| request.fields.first());
                return Err(NoToken::Several(firsts.map(listed).collect()));
            }
        }
        let lists = [&self.access_tokens, &self.others, &self.companions];
        let list = lists.into_iter().find(|list| !list.is_empty());
        match only(list.map_or(&[], Vec::as_slice))? {
            None => Err(NoToken::Nothing),
            Some(token) if token.text.is_empty() => Err(NoToken::Empty),
            Some(token) => Ok(Chosen::Token(token.clone())),
        }
    }
}

#[derive(Debug)]
pub(super) enum Chosen {
    Request(FoundRequest),
    /// The request has no `Authorization` header. `None` if it has no token elsewhere, or several.
    Unsent {
        token: Option<FoundText>,
        fault: RequestFault,
    },
    /// To be sent after `Bearer`
    Token(FoundText),
}

fn only(items: &[FoundText]) -> Result<Option<&FoundText>, NoToken> {
    match items {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        several => Err(NoToken::Several(several.iter().map(listed).collect())),
    }
}

fn distinct(mut items: Vec<FoundText>) -> Vec<FoundText> {
    let mut seen = HashSet::new();
    items.retain(|item| seen.insert(item.text.clone()));
    items
}

/// The places of the line breaks in a text, and of the first character of each line that is no
/// blank. Reading them once keeps the search linear, however many lines are named.
#[derive(Debug)]
pub(super) struct Lines {
    breaks: Vec<usize>,
    begins: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at).collect();
        let mut start = 0;
        let begin = |line: &str| {
            let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
            let begin = start + blanks;
            start += line.len() + 1;
            begin
        };
        let begins = text.split('\n').map(begin).collect();
        Self { breaks, begins }
    }

    /// Returns the number of the line with this place.
    pub(super) fn line(&self, place: usize) -> String {
        format!("line {}", self.before(place) + 1)
    }

    /// Returns the place at which the line with this place begins.
    pub(super) fn start(&self, place: usize) -> usize {
        let before = self.before(place).checked_sub(1);
        before.map_or(0, |last| self.breaks[last] + 1)
    }

    /// Returns the place of the first character of the line with this place that is no blank, or
    /// the end of the line.
    pub(super) fn begin(&self, place: usize) -> usize {
        self.begins[self.before(place)]
    }

    /// Returns the place at which the line with this place ends. `None` if it is the last line.
    pub(super) fn end(&self, place: usize) -> Option<usize> {
        self.breaks.get(self.before(place)).copied()
    }

    fn before(&self, place: usize) -> usize {
        self.breaks
            .partition_point(|line_break| *line_break < place)
    }
}

/// Describes one of several tokens by its claims, on one line.
fn listed(item: &FoundText) -> String {
    struct Claim<'a>(&'a str, Option<&'a serde_json::Value>);
    impl fmt::Display for Claim<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.1 {
                None => write!(f, "no {}", self.0),
                Some(value) => write!(f, "{} {}", self.0, ShownText::new(&value.to_string())),
            }
        }
    }
    let claims = unverified_claims(&item.text);
    let Some(claims) = claims else {
        return format!("\n  {}: {}", item.at, shortened(&item.text));
    };
    let expires = claims["exp"].as_f64().map_or("no exp".to_owned(), |exp| {
        format!("exp {}", time_format::local(exp))
    });
    let [iss, aud] = ["iss", "aud"].map(|name| Claim(name, claims.get(name)));
    format!("\n  {}: {iss}, {aud}, {expires}", item.at)
}
