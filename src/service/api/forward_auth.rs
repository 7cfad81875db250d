//! Forward authentication: `/auth` answers a proxy whether a token meets a policy, and sends the identity
//! in the token to the application behind the proxy.
//!
//! The policy is in the query, together with the audience where one service guards several resources, which the proxy writes next to the path that it protects. `/auth` ignores
//! fields that repeat the client's own target (`X-Forwarded-Uri`, `X-Original-URI`): a client can send
//! them too, and a gate and an application must read a path the same way. A path that the two read
//! differently is a way around the policy, so only the proxy, which forwards the path, looks at it.
//!
//! `sub` is unique only within its issuer (RFC 7519 §4.1.2), so the application always gets both.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use warp::{
    Reply,
    http::{
        HeaderName,
        header::{CACHE_CONTROL, HeaderValue},
    },
    reply::Response,
};

use crate::{
    auth::{
        Claims, Problem,
        policy::{Policy, is_scope_token, permissions, scopes},
    },
    service::api::route::Asked,
};

/// `iss`, one of the configured issuers. Empty if a header field cannot carry it unchanged.
const ISSUER: HeaderName = HeaderName::from_static("x-auth-issuer");
/// `sub`. Empty if the token has no subject, or if a header field cannot carry it unchanged.
const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
/// The scopes that the token grants, separated by single spaces. Empty if there are none.
const SCOPE: HeaderName = HeaderName::from_static("x-auth-scope");
/// The payload as the issuer signed it, base64url without padding.
const CLAIMS: HeaderName = HeaderName::from_static("x-auth-claims");

/// The largest number of scopes, and of permissions, in one query. A caller needs no token to ask, and the
/// cost of a policy grows with the square of its names.
const MOST: usize = 64;

/// Returns what a query asks for: the token must have everything that `scope` and `permission` list, and the
/// `audience`, if there is one. The lists may be repeated, and separate names by spaces. An empty query asks
/// for a valid token.
///
/// # Errors
/// [`Problem::BadRequest`] if any part of the query cannot be read: a misspelt policy must not become one
/// that asks for less.
pub(in crate::service) fn asked(query: &str) -> Result<Asked, Problem> {
    if query.is_empty() {
        return Ok(Asked::default());
    }
    let asked = parse(query);
    if asked.is_none() {
        tracing::warn!(
            "the query of /auth is not one of scope, permission and audience; the proxy is refused"
        );
    }
    asked.ok_or(Problem::BadRequest)
}

/// Returns the audience in a query that has nothing else.
pub(in crate::service) fn audience(query: &str) -> Option<String> {
    let asked = parse(query)?;
    asked.audience.filter(|_| asked.policy.is_none())
}

type ReadList = fn(&str) -> Option<Policy>;

fn parse(query: &str) -> Option<Asked> {
    let (mut of_scopes, mut of_permissions, mut audience) = (Vec::new(), Vec::new(), None);
    for pair in query.split('&') {
        let (name, list) = pair.split_once('=')?;
        let lists = match name {
            "scope" => &mut of_scopes,
            "permission" => &mut of_permissions,
            // Two audiences could mean either or both, so there is one.
            "audience" if audience.is_none() => {
                audience = Some(decoded(list)?).filter(|audience| !audience.is_empty());
                audience.as_ref()?;
                continue;
            }
            _ => return None,
        };
        lists.push(decoded(list)?);
    }
    let kinds: [(_, ReadList); 2] = [(of_scopes, scopes), (of_permissions, permissions)];
    let named = kinds.into_iter().filter(|(lists, _)| !lists.is_empty());
    let policies: Option<Vec<_>> = named.map(|(lists, read)| all(&lists, read)).collect();
    Some(Asked {
        policy: policies?.into_iter().reduce(|one, other| one & other),
        audience,
    })
}

/// Joins the lists into one policy. An empty list leaves two spaces in a row, which `read` refuses.
fn all(lists: &[String], read: ReadList) -> Option<Policy> {
    let list = lists.join(" ");
    let fits = list.split(' ').count() <= MOST;
    fits.then(|| read(&list)).flatten()
}

/// Decodes a value of `application/x-www-form-urlencoded`. A byte beyond ASCII becomes a character beyond
/// ASCII, which no scope has.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = String::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => ' ',
            b'%' => char::from(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?),
            plain => char::from(plain),
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

/// Answers 200 with the identity in four header fields. 200, because Envoy accepts no other 2xx.
///
/// Every field is present, and empty if it has no value. If a field is absent, a proxy may forward the
/// client's field of that name, or write a placeholder (Caddy 2.6 does).
pub(in crate::service) fn identity_answer(claims: &Claims) -> Response {
    // A name that is not a scope token cannot be asked for, and one with a space would arrive as two.
    let scopes: Vec<_> = claims
        .scopes()
        .filter(|name| is_scope_token(name))
        .collect();
    let fields = [
        (ISSUER, unchanged(claims.issuer()).to_owned()),
        (
            SUBJECT,
            unchanged(claims.subject().unwrap_or_default()).to_owned(),
        ),
        (SCOPE, scopes.join(" ")),
        (CLAIMS, BASE64_URL_SAFE_NO_PAD.encode(claims.json())),
    ];

    let mut answer = warp::reply().into_response();
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in fields {
        match HeaderValue::try_from(value) {
            Ok(value) => headers.insert(name, value),
            // Cannot happen: all values are printable ASCII here. If one is not, answer 500 rather than
            // forward an incomplete identity.
            Err(_) => return Problem::Internal.response(),
        };
    }
    answer
}

/// Returns the value if a recipient reads it from a header field exactly as it was written, else an empty
/// string. A recipient strips blanks from the ends (RFC 9110 §5.5), and `" admin"` is not `"admin"`.
fn unchanged(value: &str) -> &str {
    let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_printable && value.trim() == value {
        value
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::policy::{permission, scope};

    #[test]
    fn a_query_is_a_policy_or_a_problem() {
        const A: &str = "a";
        let most = format!("scope={}", [A; MOST].join("+"));
        #[rustfmt::skip]
        let rows = [
            ("nothing", "", Ok(None)),
            ("a scope", "scope=read:messages", Ok(Some(scope("read:messages")))),
            ("two in one", "scope=a+b", Ok(Some(scope("a") & scope("b")))),
            ("with %20", "scope=a%20b", Ok(Some(scope("a") & scope("b")))),
            ("repeated", "scope=a&scope=b", Ok(Some(scope("a") & scope("b")))),
            ("a permission", "permission=p", Ok(Some(permission("p")))),
            ("of each", "scope=a&permission=p", Ok(Some(scope("a") & permission("p")))),
            ("escaped", "scope=%72ead%2Ball%3d%26", Ok(Some(scope("read+all=&")))),
            ("an equals sign", "scope=a=b", Ok(Some(scope("a=b")))),
            ("the most", &most, Ok(scopes(&[A; MOST].join(" ")))),
            ("one more", &format!("{most}+a"), Err(Problem::BadRequest)),
            ("one more, repeated", &format!("{most}&scope=a"), Err(Problem::BadRequest)),
            ("no value", "scope", Err(Problem::BadRequest)),
            ("an empty one first", "scope=&scope=a", Err(Problem::BadRequest)),
            ("an empty one of the other", "scope=a&permission=", Err(Problem::BadRequest)),
            ("an empty value", "scope=", Err(Problem::BadRequest)),
            ("an empty one besides", "scope=a&scope=", Err(Problem::BadRequest)),
            ("two spaces", "scope=a++b", Err(Problem::BadRequest)),
            ("a space at the end", "scope=a+", Err(Problem::BadRequest)),
            ("an unknown name", "scopes=a", Err(Problem::BadRequest)),
            ("an unknown name besides", "scope=a&role=r", Err(Problem::BadRequest)),
            ("another case", "Scope=a", Err(Problem::BadRequest)),
            ("an escaped name", "%73cope=a", Err(Problem::BadRequest)),
            ("an ampersand at the end", "scope=a&", Err(Problem::BadRequest)),
            ("an ampersand alone", "&", Err(Problem::BadRequest)),
            ("half an escape", "scope=a%2", Err(Problem::BadRequest)),
            ("no escape", "scope=a%zz", Err(Problem::BadRequest)),
            ("a signed escape", "scope=a%+2", Err(Problem::BadRequest)),
            ("a quote", "scope=%22", Err(Problem::BadRequest)),
            ("a line break", "scope=a%0d%0ab", Err(Problem::BadRequest)),
            ("not ASCII", "scope=%c3%a9", Err(Problem::BadRequest)),
        ];
        for (case, query, policy) in rows {
            let audience = None;
            let expected = policy.map(|policy| Asked { policy, audience });
            assert_eq!(asked(query), expected, "{case}");
        }
    }

    #[test]
    fn a_query_has_one_audience_at_most() {
        const URL: &str = "https://a.example/mcp";
        #[rustfmt::skip]
        let rows = [
            ("alone", "audience=https://a.example/mcp", Some((URL, None))),
            ("escaped", "audience=https%3A%2F%2Fa.example%2fmcp", Some((URL, None))),
            ("before a scope", "audience=https://a.example/mcp&scope=a", Some((URL, Some(scope("a"))))),
            ("after a scope", "scope=a&audience=https://a.example/mcp", Some((URL, Some(scope("a"))))),
            ("twice", "audience=a&audience=b", None),
            ("the same twice", "audience=a&audience=a", None),
            ("empty", "audience=", None),
            ("empty, then one", "audience=&audience=a", None),
            ("no value", "audience", None),
        ];
        for (case, query, expected) in rows {
            let expected = expected.map(|(audience, policy)| Asked {
                audience: Some(audience.to_owned()),
                policy,
            });
            assert_eq!(asked(query), expected.ok_or(Problem::BadRequest), "{case}");
        }
    }
}
