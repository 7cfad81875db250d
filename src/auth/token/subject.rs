//! Decides from the payload of a token whether it was issued to a machine or to a user.
//!
//! [`machine()`](crate::auth::policy::machine), [`user()`](crate::auth::policy::user) and `explain`
//! share this definition. A wrong guess in either direction would open a route to a caller that
//! must not use it, so if the payload shows neither or both, we say
//! [`Unknown`](SubjectKind::Unknown), which meets neither policy. The signs and their sources are
//! listed in `docs/decisions.md`.
//!
//! Invariant: **a claim is only a sign of a user if the standard that defines it says so, or if the
//! token has the marks of the one vendor that uses the claim in this way.** Other issuers write the
//! same claims (e.g. `preferred_username`, or `x|y` as `sub`) for machines and anonymous visitors.

use crate::auth::token::json::{self, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubjectKind {
    /// A client that acts on its own behalf.
    Machine,
    /// A person who uses a client.
    User,
    /// The payload shows neither, or both.
    Unknown,
}

/// The claims that we look at to find out the kind of subject.
#[derive(Default)]
struct Signs<'a> {
    iss: Option<Value<'a>>,
    typ: Option<Value<'a>>,
    ver: Option<Value<'a>>,
    oid: Option<Value<'a>>,
    provider_id: Option<Value<'a>>,
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
    /// `Unknown` if the payload isn't strict JSON
    pub(crate) fn of(payload: &str) -> Self {
        let mut signs = Signs::default();
        let read = json::members(payload, |name, value| match name {
            "iss" => signs.iss = Some(value),
            "typ" => signs.typ = Some(value),
            "ver" => signs.ver = Some(value),
            "oid" => signs.oid = Some(value),
            "provider_id" => signs.provider_id = Some(value),
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
        if read.is_err() || signs.is_anonymous() || is_anonymous_session(payload) {
            return Self::Unknown;
        }
        match (signs.is_machine(), signs.has_user_claim()) {
            (true, false) if !signs.has_personal_claim() => Self::Machine,
            (false, _) if signs.sub_is_azp() => Self::Unknown,
            (false, true) => Self::User,
            (false, false) if signs.has_login_claim() => Self::User,
            // no sign, or two contradictory ones
            _ => Self::Unknown,
        }
    }
}

/// The values of `amr` for visitors without an account. Supabase and others write `anonymous`, and
/// Cognito's identity pools write `unauthenticated`.
const ANONYMOUS: [&str; 2] = ["anonymous", "unauthenticated"];

impl Signs<'_> {
    /// The token is for a visitor who hasn't logged in. Auth0 writes `anon@…`, and Firebase writes
    /// `provider_id`.
    fn is_anonymous(&self) -> bool {
        text(self.sub.as_ref()).is_some_and(|sub| sub.starts_with("anon@"))
            || text(self.provider_id.as_ref()) == Some("anonymous")
            || ANONYMOUS
                .iter()
                .any(|method| contains(self.amr.as_ref(), method))
    }

    /// The token is for a client that acts on its own behalf. The suffix `@clients` isn't enough --
    /// some issuers let users choose their names, and a user could choose `eve@clients`.
    fn is_machine(&self) -> bool {
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

    /// No standard says that `sub` = `azp` is a machine, but it isn't a user either
    fn sub_is_azp(&self) -> bool {
        let azp = text(self.azp.as_ref());
        azp.is_some() && azp == text(self.sub.as_ref())
    }

    /// A claim explicitly says that the subject is a user: Entra's `idtyp`, or Okta's `uid`, which
    /// tokens for clients don't have.
    fn has_user_claim(&self) -> bool {
        text(self.idtyp.as_ref()) == Some("user")
            || text(self.cid.as_ref())
                .and(text(self.uid.as_ref()))
                .is_some()
    }

    /// There are claims that only a login adds. `sid` and `acr` don't count. Keycloak writes both
    /// for service accounts too.
    fn has_login_claim(&self) -> bool {
        let name = text(self.preferred_username.as_ref());
        if name.is_some_and(|name| name.starts_with("service-account-")) {
            return false;
        }
        // RFC 9068 §2.2.1 defines `auth_time` and `amr` only for grants that involve a resource
        // owner. Keycloak used to write 0 if there was no login.
        self.has_personal_claim()
            || matches!(self.auth_time, Some(Value::Number(time)) if time > 0.0)
    }

    /// There are claims that contradict the signs of a machine. `auth_time` does not, since Cognito
    /// writes it into the tokens of clients too.
    fn has_personal_claim(&self) -> bool {
        self.has_login_at_auth0()
            || self.has_login_at_entra()
            || self.has_login_at_keycloak()
            || PERSONAL_METHODS
                .iter()
                .any(|method| contains(self.amr.as_ref(), method))
    }

    /// Auth0 issued the token to a user. That's the case for a password grant, or if `sub` has the
    /// form `strategy|name` and there is a client in `azp` or `client_id`.
    fn has_login_at_auth0(&self) -> bool {
        let password = [
            "password",
            "http://auth0.com/oauth/grant-type/password-realm",
        ];
        let has_client = text(self.azp.as_ref()).or(text(self.client_id.as_ref()));
        let sub = text(self.sub.as_ref()).and_then(|sub| sub.split_once('|'));
        let of_connection =
            sub.is_some_and(|(strategy, name)| STRATEGIES.contains(&strategy) && !name.is_empty());
        (has_client.is_some() && of_connection)
            || password
                .iter()
                .any(|grant| contains(self.gty.as_ref(), grant))
    }

    /// Entra ID issued the token on behalf of a user, which is the only case in which it writes
    /// `scp`. We recognize its tokens by `oid`, `ver` and `tid`, and by the tenant in the path of
    /// `iss`.
    fn has_login_at_entra(&self) -> bool {
        let (Some(issuer), Some(tenant)) = (text(self.iss.as_ref()), text(self.tid.as_ref()))
        else {
            return false;
        };
        !tenant.is_empty()
            && issuer.split('/').skip(3).any(|segment| segment == tenant)
            && text(self.oid.as_ref()).is_some()
            && matches!(text(self.ver.as_ref()), Some("1.0" | "2.0"))
            && text(self.scp.as_ref()).is_some_and(|scopes| !scopes.is_empty())
    }

    /// Keycloak issued the token to a user. Other issuers write `preferred_username` for machines
    /// too, so we also require what is typical of Keycloak's access tokens: `typ`, `azp`, and the
    /// realm in the path of `iss`.
    fn has_login_at_keycloak(&self) -> bool {
        let name = text(self.preferred_username.as_ref());
        let issuer = text(self.iss.as_ref());
        name.is_some_and(|name| !name.is_empty() && !name.starts_with("service-account-"))
            && issuer.is_some_and(|issuer| issuer.contains("/realms/"))
            && matches!(text(self.typ.as_ref()), Some("Bearer" | "DPoP"))
            && text(self.azp.as_ref()).is_some()
    }
}

/// An anonymous session of Firebase (`firebase.sign_in_provider`) or Supabase (`is_anonymous`).
/// `payload` must be strict JSON.
fn is_anonymous_session(payload: &str) -> bool {
    let firebase = json::member(payload, "firebase");
    let provider = firebase.and_then(|firebase| json::member(firebase, "sign_in_provider"));
    let provider: Option<String> = provider.and_then(|provider| json::accepted(provider).ok());
    provider.as_deref() == Some("anonymous")
        || json::member(payload, "is_anonymous").is_some_and(|flag| flag.trim() == "true")
}

/// The authentication methods of RFC 8176 §2 that involve a person. The others also apply to
/// machines: a key (`hwk`, `swk`), a location (`geo`) or a risk score (`rba`).
const PERSONAL_METHODS: [&str; 14] = [
    "face", "fpt", "iris", "kba", "mfa", "otp", "pin", "pwd", "retina", "sms", "tel", "user",
    "vbm", "wia",
];

/// The strategies of Auth0's user connections, which come before the bar in `sub`
const STRATEGIES: [&str; 59] = [
    "ad",
    "adfs",
    "amazon",
    "aol",
    "apple",
    "auth0",
    "auth0-oidc",
    "baidu",
    "bitbucket",
    "bitly",
    "box",
    "daccount",
    "dropbox",
    "dwolla",
    "email",
    "evernote",
    "evernote-sandbox",
    "exact",
    "facebook",
    "fitbit",
    "flickr",
    "github",
    "google-apps",
    "google-oauth2",
    "instagram",
    "line",
    "linkedin",
    "miicard",
    "oauth1",
    "oauth2",
    "office365",
    "oidc",
    "okta",
    "paypal",
    "paypal-sandbox",
    "pingfederate",
    "planningcenter",
    "renren",
    "salesforce",
    "salesforce-community",
    "salesforce-sandbox",
    "samlp",
    "sharepoint",
    "shopify",
    "sms",
    "soundcloud",
    "thecity",
    "thecity-sandbox",
    "thirtysevensignals",
    "twitter",
    "untappd",
    "vkontakte",
    "waad",
    "weibo",
    "windowslive",
    "wordpress",
    "yahoo",
    "yammer",
    "yandex",
];

fn text<'v>(claim: Option<&'v Value<'_>>) -> Option<&'v str> {
    match claim {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// The claim is this string, or an array that contains it
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
    fn recognizes_machines_and_users() {
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
            ("an unknown connection", r#"{"sub":"svc|billing","azp":"abc"}"#, Unknown),
            ("a connection, no client", r#"{"sub":"auth0|1"}"#, Unknown),
            ("a connection with more bars", r#"{"sub":"samlp|acme|eve","client_id":"abc"}"#, User),
            ("a connection in capitals", r#"{"sub":"AUTH0|1","azp":"abc"}"#, Unknown),
            ("no name before the suffix", r#"{"sub":"@clients","azp":1}"#, Unknown),
            ("Auth0, a user", r#"{"sub":"auth0|1","azp":"abc"}"#, User),
            ("Auth0, of a connection", r#"{"sub":"google-oauth2|1","azp":"abc"}"#, User),
            ("no connection", r#"{"sub":"|1"}"#, Unknown),
            ("a connection, no user", r#"{"sub":"auth0|","azp":"abc"}"#, Unknown),
            ("a client in both", r#"{"sub":"auth0|1","azp":"auth0|1"}"#, Unknown),
            ("a malformed connection", r#"{"sub":"a b|1"}"#, Unknown),
            ("Auth0, by password", r#"{"sub":"1","gty":"password"}"#, User),
            ("Auth0, refreshed", r#"{"sub":"1","gty":["refresh_token","password"]}"#, User),
            ("Auth0, anonymous", r#"{"sub":"anon@4a1b","azp":"abc","sid":"s"}"#, Unknown),
            ("Auth0, anonymous, and more", r#"{"sub":"anon@4a1b","auth_time":1}"#, Unknown),
            ("Firebase, a user", r#"{"sub":"u","auth_time":1,"firebase":{"sign_in_provider":"password"}}"#, User),
            ("Firebase, anonymous", r#"{"sub":"u","auth_time":1,"provider_id":"anonymous"}"#, Unknown),
            ("Firebase, anonymous by its provider", r#"{"sub":"u","auth_time":1,"firebase":{"identities":{},"sign_in_provider":"anonymous"}}"#, Unknown),
            ("Supabase, anonymous", r#"{"sub":"u","is_anonymous":true,"amr":[{"method":"anonymous","timestamp":1}],"auth_time":1}"#, Unknown),
            ("Supabase, a user", r#"{"sub":"u","is_anonymous":false,"auth_time":1}"#, User),
            ("an anonymous method", r#"{"sub":"u","amr":["anonymous"]}"#, Unknown),
            ("an anonymous method of several", r#"{"sub":"u","amr":["pwd","anonymous"]}"#, Unknown),
            ("an anonymous method, not in a list", r#"{"sub":"u","amr":"anonymous","auth_time":1}"#, Unknown),
            ("Cognito identity pools, a guest", r#"{"sub":"u","amr":["unauthenticated"],"auth_time":1}"#, Unknown),
            ("RFC 9068, a client", r#"{"sub":"abc","client_id":"abc"}"#, Machine),
            ("Cognito, a client", r#"{"sub":"abc","client_id":"abc","auth_time":1}"#, Machine),
            ("a client that logged in", r#"{"sub":"abc","client_id":"abc","auth_time":1,"amr":["pwd"]}"#, Unknown),
            ("a client with a method of machines", r#"{"sub":"abc","client_id":"abc","auth_time":1,"amr":["swk"]}"#, Machine),
            ("Auth0, a client and a user", r#"{"sub":"auth0|1","azp":"abc","gty":"client-credentials"}"#, Unknown),
            ("Auth0, both grants", r#"{"sub":"abc@clients","azp":"abc","gty":["client-credentials","password"]}"#, Unknown),
            ("Entra, a client with a delegated scope", r#"{"iss":"https://sts.windows.net/t/","sub":"o","oid":"o","tid":"t","ver":"1.0","scp":"s","idtyp":"app"}"#, Unknown),
            ("Cognito, a user", r#"{"sub":"u","client_id":"abc","auth_time":1,"username":"u"}"#, User),
            ("RFC 9068, no more", r#"{"sub":"u","client_id":"abc"}"#, Unknown),
            ("Okta, a client", r#"{"sub":"0oa1","cid":"0oa1","scp":["a"]}"#, Machine),
            ("Okta, a user", r#"{"sub":"a@example.com","cid":"0oa1","uid":"00u1"}"#, User),
            ("Okta, a user named as a client", r#"{"sub":"0oa1","cid":"0oa1","uid":"00u1"}"#, Unknown),
            ("Entra, a client", r#"{"sub":"o","oid":"o","tid":"t","idtyp":"app"}"#, Machine),
            ("Entra, a client without idtyp", r#"{"sub":"o","oid":"o","tid":"t","roles":["r"]}"#, Unknown),
            ("Entra, a user", r#"{"sub":"u","tid":"t","idtyp":"user"}"#, User),
            ("Entra, delegated", r#"{"iss":"https://login.microsoftonline.com/t/v2.0","sub":"u","oid":"o","tid":"t","ver":"2.0","scp":"access_as_user"}"#, User),
            ("Entra, delegated, v1", r#"{"iss":"https://sts.windows.net/t/","sub":"u","oid":"o","tid":"t","ver":"1.0","scp":"access_as_user"}"#, User),
            ("Entra, of another tenant", r#"{"iss":"https://sts.windows.net/x/","sub":"u","oid":"o","tid":"t","ver":"1.0","scp":"access_as_user"}"#, Unknown),
            ("Entra, an empty scope", r#"{"iss":"https://sts.windows.net/t/","sub":"u","oid":"o","tid":"t","ver":"1.0","scp":""}"#, Unknown),
            ("a tenant and a scope", r#"{"sub":"u","tid":"t","scp":"access_as_user"}"#, Unknown),
            ("a client with both", r#"{"iss":"https://sts.windows.net/t/","sub":"a","azp":"a","oid":"o","tid":"t","ver":"1.0","scp":"s"}"#, Unknown),
            ("a scope, no tenant", r#"{"sub":"u","scp":"access_as_user"}"#, Unknown),
            ("Entra, contradictory claims", r#"{"sub":"a","client_id":"a","idtyp":"user"}"#, Unknown),
            ("Keycloak, a user", r#"{"iss":"https://id/realms/r","typ":"Bearer","sub":"u","azp":"web","sid":"s","preferred_username":"alice"}"#, User),
            ("Keycloak, its service account", r#"{"iss":"https://id/realms/r","typ":"Bearer","sub":"u","azp":"job","preferred_username":"service-account-job"}"#, Unknown),
            ("Keycloak, an empty name", r#"{"iss":"https://id/realms/r","typ":"Bearer","sub":"u","azp":"web","preferred_username":""}"#, Unknown),
            ("authentik, a service account", r#"{"iss":"https://id/application/o/a/","sub":"u","azp":"job","preferred_username":"ak-job"}"#, Unknown),
            ("a name and no issuer's mark", r#"{"sub":"u","azp":"web","preferred_username":"alice"}"#, Unknown),
            ("Keycloak, a client", r#"{"sub":"u","azp":"job","preferred_username":"service-account-job"}"#, Unknown),
            ("Keycloak, with its session", r#"{"sub":"u","azp":"job","sid":"s","acr":"1"}"#, Unknown),
            ("Keycloak, a client with auth_time", r#"{"preferred_username":"service-account-job","auth_time":1}"#, Unknown),
            ("a login", r#"{"sub":"u","auth_time":1}"#, User),
            ("auth_time of 0", r#"{"sub":"u","auth_time":0}"#, Unknown),
            ("a negative auth_time", r#"{"sub":"u","auth_time":-1}"#, Unknown),
            ("the methods of a login", r#"{"sub":"u","amr":["mfa","x"]}"#, User),
            ("a login of a client", r#"{"sub":"a","azp":"a","auth_time":1}"#, Unknown),
            ("a method that no person needs", r#"{"sub":"u","amr":["swk"]}"#, Unknown),
            ("an unknown method", r#"{"sub":"u","amr":["client_secret"]}"#, Unknown),
            ("no methods", r#"{"sub":"u","amr":[]}"#, Unknown),
            ("of other types", r#"{"sub":1,"client_id":1,"uid":1,"cid":1,"amr":"x","auth_time":"1","idtyp":["app"]}"#, Unknown),
            ("empty", "{}", Unknown),
            ("not an object", "null", Unknown),
            ("a member twice", r#"{"sub":"a","client_id":"a","sub":"a"}"#, Unknown),
        ];
        for (case, payload, expected) in rows {
            assert_eq!(SubjectKind::of(payload), expected, "{case}");
        }
    }
}
