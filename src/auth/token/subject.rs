//! What a payload shows of its subject: a machine, a user, or neither for sure.
//!
//! [`machine()`](crate::auth::policy::machine), [`user()`](crate::auth::policy::user) and `explain` share this one definition. A
//! guess in either direction opens a route to whom it was closed, so a payload that shows nothing, or
//! both, is [`Unknown`](SubjectKind::Unknown), and neither policy is met. `docs/decisions.md` has the
//! signs with their sources.

use crate::auth::token::json::{self, Value};

/// Who a token was issued to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubjectKind {
    /// A client, for itself.
    Machine,
    /// A person, through a client.
    User,
    /// The payload does not show it.
    Unknown,
}

/// The claims that show the kind of a subject.
#[derive(Default)]
struct Signs<'a> {
    sub: Option<Value<'a>>,
    azp: Option<Value<'a>>,
    client_id: Option<Value<'a>>,
    gty: Option<Value<'a>>,
    cid: Option<Value<'a>>,
    uid: Option<Value<'a>>,
    idtyp: Option<Value<'a>>,
    tid: Option<Value<'a>>,
    scp: Option<Value<'a>>,
    auth_time: Option<Value<'a>>,
    amr: Option<Value<'a>>,
    preferred_username: Option<Value<'a>>,
}

impl SubjectKind {
    /// Reads the kind from a payload. One that is not strict JSON is `Unknown`.
    pub(crate) fn of(payload: &str) -> Self {
        let mut signs = Signs::default();
        let read = json::members(payload, |name, value| match name {
            "sub" => signs.sub = Some(value),
            "azp" => signs.azp = Some(value),
            "client_id" => signs.client_id = Some(value),
            "gty" => signs.gty = Some(value),
            "cid" => signs.cid = Some(value),
            "uid" => signs.uid = Some(value),
            "idtyp" => signs.idtyp = Some(value),
            "tid" => signs.tid = Some(value),
            "scp" => signs.scp = Some(value),
            "auth_time" => signs.auth_time = Some(value),
            "amr" => signs.amr = Some(value),
            "preferred_username" => signs.preferred_username = Some(value),
            _ => {}
        });
        if read.is_err() || signs.is_anonymous() {
            return Self::Unknown;
        }
        match (signs.show_machine(), signs.name_user()) {
            (true, false) => Self::Machine,
            (false, true) => Self::User,
            (false, false) if signs.show_login() => Self::User,
            // No sign, or two that contradict each other.
            _ => Self::Unknown,
        }
    }
}

impl Signs<'_> {
    /// Auth0 issues tokens to visitors who have not logged in, as `anon@…`.
    fn is_anonymous(&self) -> bool {
        text(self.sub.as_ref()).is_some_and(|sub| sub.starts_with("anon@"))
    }

    /// The issuer says that the client asked for itself. The suffix `@clients` alone says nothing: where
    /// people choose their names, `eve@clients` is one.
    fn show_machine(&self) -> bool {
        let sub = text(self.sub.as_ref());
        let auth0 = [self.azp.as_ref(), self.client_id.as_ref()]
            .into_iter()
            .any(|client| {
                let of_client = sub.and_then(|sub| sub.strip_suffix("@clients"));
                of_client.is_some() && of_client == text(client)
            });
        let client = [self.client_id.as_ref(), self.cid.as_ref()].into_iter();
        let is_client = client.filter_map(text).any(|client| sub == Some(client));
        auth0
            || is_client
            || contains(self.gty.as_ref(), "client-credentials")
            || text(self.idtyp.as_ref()) == Some("app")
    }

    /// The issuer says that it is a user, in so many words: Entra's `idtyp`, and Okta's `uid`, which no
    /// token of a client has.
    fn name_user(&self) -> bool {
        text(self.idtyp.as_ref()) == Some("user")
            || text(self.cid.as_ref())
                .and(text(self.uid.as_ref()))
                .is_some()
    }

    /// Claims that only a login brings about. `sid` and `acr` are none of them: Keycloak gives both to
    /// service accounts.
    fn show_login(&self) -> bool {
        let name = text(self.preferred_username.as_ref());
        if name.is_some_and(|name| name.starts_with("service-account-")) {
            return false;
        }
        let password = [
            "password",
            "http://auth0.com/oauth/grant-type/password-realm",
        ];
        let delegated = text(self.tid.as_ref())
            .and(text(self.scp.as_ref()))
            .is_some();
        name.is_some()
            || delegated
            || password
                .iter()
                .any(|grant| contains(self.gty.as_ref(), grant))
            || text(self.sub.as_ref()).is_some_and(is_of_connection)
            || matches!(self.auth_time, Some(Value::Number(_)))
            || matches!(&self.amr, Some(Value::Texts(methods)) if !methods.is_empty())
    }
}

/// Auth0's form of a user's name: a connection, a bar, the user's name there.
fn is_of_connection(sub: &str) -> bool {
    sub.split_once('|').is_some_and(|(connection, name)| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !connection.is_empty() && connection.bytes().all(fits) && !name.is_empty()
    })
}

fn text<'v>(claim: Option<&'v Value<'_>>) -> Option<&'v str> {
    match claim {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// One string, or an array with it.
fn contains(claim: Option<&Value<'_>>, wanted: &str) -> bool {
    match claim {
        Some(Value::Text(text)) => text == wanted,
        Some(Value::Texts(texts)) => texts.iter().any(|text| text == wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{SubjectKind::*, *};

    #[test]
    fn a_kind_is_what_the_payload_shows() {
        #[rustfmt::skip]
        let rows = [
            ("Auth0, a client", r#"{"sub":"abc@clients","azp":"abc","gty":"client-credentials"}"#, Machine),
            ("Auth0, without gty", r#"{"sub":"abc@clients","azp":"abc"}"#, Machine),
            ("Auth0, RFC 9068 profile", r#"{"sub":"abc@clients","client_id":"abc"}"#, Machine),
            ("Auth0, by gty", r#"{"sub":"auth0|1","gty":"client-credentials"}"#, Machine),
            ("Auth0, by one gty of two", r#"{"gty":["client-credentials","x"]}"#, Machine),
            ("a chosen name", r#"{"sub":"eve@clients","azp":"abc"}"#, Unknown),
            ("a chosen name, no client", r#"{"sub":"eve@clients"}"#, Unknown),
            ("a chosen name of a database", r#"{"sub":"auth0|abc@clients","azp":"abc"}"#, User),
            ("no name before the suffix", r#"{"sub":"@clients","azp":1}"#, Unknown),
            ("Auth0, a user", r#"{"sub":"auth0|1","azp":"abc"}"#, User),
            ("Auth0, of a connection", r#"{"sub":"google-oauth2|1"}"#, User),
            ("no connection", r#"{"sub":"|1"}"#, Unknown),
            ("no user of it", r#"{"sub":"auth0|"}"#, Unknown),
            ("an odd connection", r#"{"sub":"a b|1"}"#, Unknown),
            ("Auth0, by password", r#"{"sub":"1","gty":"password"}"#, User),
            ("Auth0, refreshed", r#"{"sub":"1","gty":["refresh_token","password"]}"#, User),
            ("Auth0, anonymous", r#"{"sub":"anon@4a1b","azp":"abc","sid":"s"}"#, Unknown),
            ("Auth0, anonymous, and more", r#"{"sub":"anon@4a1b","auth_time":1}"#, Unknown),
            ("RFC 9068, a client", r#"{"sub":"abc","client_id":"abc"}"#, Machine),
            ("Cognito, a client", r#"{"sub":"abc","client_id":"abc","auth_time":1}"#, Machine),
            ("Cognito, a user", r#"{"sub":"u","client_id":"abc","auth_time":1,"username":"u"}"#, User),
            ("RFC 9068, no more", r#"{"sub":"u","client_id":"abc"}"#, Unknown),
            ("Okta, a client", r#"{"sub":"0oa1","cid":"0oa1","scp":["a"]}"#, Machine),
            ("Okta, a user", r#"{"sub":"a@example.com","cid":"0oa1","uid":"00u1"}"#, User),
            ("Okta, a user named as a client", r#"{"sub":"0oa1","cid":"0oa1","uid":"00u1"}"#, Unknown),
            ("Entra, a client", r#"{"sub":"o","oid":"o","tid":"t","idtyp":"app"}"#, Machine),
            ("Entra, a client without idtyp", r#"{"sub":"o","oid":"o","tid":"t","roles":["r"]}"#, Unknown),
            ("Entra, a user", r#"{"sub":"u","tid":"t","idtyp":"user"}"#, User),
            ("Entra, delegated", r#"{"sub":"u","tid":"t","scp":"access_as_user"}"#, User),
            ("a scope of no tenant", r#"{"sub":"u","scp":"access_as_user"}"#, Unknown),
            ("Entra, two answers", r#"{"sub":"a","client_id":"a","idtyp":"user"}"#, Unknown),
            ("Keycloak, a user", r#"{"sub":"u","azp":"web","sid":"s","preferred_username":"alice"}"#, User),
            ("Keycloak, a client", r#"{"sub":"u","azp":"job","preferred_username":"service-account-job"}"#, Unknown),
            ("Keycloak, with its session", r#"{"sub":"u","azp":"job","sid":"s","acr":"1"}"#, Unknown),
            ("Keycloak, that and a time", r#"{"preferred_username":"service-account-job","auth_time":1}"#, Unknown),
            ("a login", r#"{"sub":"u","auth_time":1}"#, User),
            ("its methods", r#"{"sub":"u","amr":["pwd"]}"#, User),
            ("no methods", r#"{"sub":"u","amr":[]}"#, Unknown),
            ("of other types", r#"{"sub":1,"client_id":1,"uid":1,"cid":1,"amr":"x","auth_time":"1","idtyp":["app"]}"#, Unknown),
            ("nothing", "{}", Unknown),
            ("no object", "null", Unknown),
            ("two answers in one", r#"{"sub":"a","client_id":"a","sub":"a"}"#, Unknown),
        ];
        for (case, payload, expected) in rows {
            assert_eq!(SubjectKind::of(payload), expected, "{case}");
        }
    }
}
