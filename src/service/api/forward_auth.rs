//! Forward authentication: `/auth` answers a proxy whether a token meets a policy, and sends the identity
//! in the token to the application behind the proxy.
//!
//! The policy is in the query, together with the audience where one service guards several resources,
//! which the proxy writes next to the path that it protects. For the policy, `/auth` ignores fields that
//! repeat the client's own target (`X-Forwarded-Uri`, `X-Original-URI`): a client can send them too, and
//! a gate and an application must read a path the same way. A path that the two read differently is a way
//! around the policy, so only the proxy, which forwards the path, looks at it. A DPoP proof is for one
//! target, which `forwarded_target.rs` reads.
//!
//! `sub` is unique only within its issuer (RFC 7519 §4.1.2), so the application always gets both.

use std::time::Duration;

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
        policy::{Policy, acr_values, is_scope_token, max_auth_age, permissions, scopes},
    },
    service::api::queries::Asked,
};

/// `iss`, one of the configured issuers. Empty if a header field cannot carry it unchanged.
const ISSUER: HeaderName = HeaderName::from_static("x-auth-issuer");
/// `sub`. Empty if the token has no subject, or if a header field cannot carry it unchanged.
const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
/// The scopes that the token grants, separated by single spaces. Empty if there are none.
const SCOPE: HeaderName = HeaderName::from_static("x-auth-scope");
/// The payload as the issuer signed it, base64url without padding.
const CLAIMS: HeaderName = HeaderName::from_static("x-auth-claims");

/// The largest number of scopes, of permissions and of other rules in one query. A caller needs no token to
/// ask, and the cost of a policy grows with the square of its names.
const MOST: usize = 64;

/// Returns what a query asks for: the token must have everything that it lists. `scope` and `permission`
/// separate names by spaces. `role` and `group` take one name each, since those may have spaces in them, and
/// `claim=path:value` one claim, whose value follows the last colon. Each may be repeated. `acr` lists
/// context classes, one of which suffices, and `max_age` has seconds (RFC 9470); each comes once at most, as does `audience`.
/// An empty query asks for a valid token.
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
            "the query of /auth is not one of scope, permission, role, group, claim, acr, max_age and audience; the proxy is refused"
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
    let (mut of_scopes, mut of_permissions) = (Vec::new(), Vec::new());
    let mut others = Vec::new();
    let (mut acr, mut max_age, mut audience) = (None, None, None);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        match name {
            "scope" => of_scopes.push(decoded(value)?),
            "permission" => of_permissions.push(decoded(value)?),
            "role" => others.push(Policy::of_role(decoded(value)?)?),
            "group" => others.push(Policy::of_group(decoded(value)?)?),
            "claim" => {
                // Divided before it is decoded, so that %3A is a colon of the value.
                let (path, value) = value.rsplit_once(':')?;
                others.push(Policy::of_claim(decoded(path)?, decoded(value)?)?);
            }
            // Given twice, the two could only contradict each other.
            "acr" if acr.is_none() => acr = Some(all(&[decoded(value)?], acr_values)?),
            "max_age" if max_age.is_none() => max_age = Some(max_auth_age(seconds(value)?)),
            // Two audiences could mean either or both, so there is one.
            "audience" if audience.is_none() => {
                audience = Some(decoded(value)?).filter(|audience| !audience.is_empty());
                audience.as_ref()?;
            }
            _ => return None,
        }
    }
    others.extend(acr);
    others.extend(max_age);
    let kinds: [(_, ReadList); 2] = [(of_scopes, scopes), (of_permissions, permissions)];
    let named = kinds.into_iter().filter(|(lists, _)| !lists.is_empty());
    let policies: Option<Vec<_>> = named.map(|(lists, read)| all(&lists, read)).collect();
    if others.len() > MOST {
        return None;
    }
    let policies = policies?.into_iter().chain(others);
    Some(Asked {
        policy: policies.reduce(|one, other| one & other),
        audience,
    })
}

/// Parses whole seconds.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then_some(Duration::from_secs(u64::from(text.parse::<u32>().ok()?)))
}

/// Joins the lists into one policy. An empty list leaves two spaces in a row, which `read` refuses.
fn all(lists: &[String], read: ReadList) -> Option<Policy> {
    let list = lists.join(" ");
    let fits = list.split(' ').count() <= MOST;
    fits.then(|| read(&list)).flatten()
}

/// Decodes a value of `application/x-www-form-urlencoded`, which must be UTF-8 without control characters.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            plain => plain,
        });
    }
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.contains(char::is_control)).then_some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

/// Answers 200 with the identity in four header fields. 200, because Envoy accepts no other 2xx.
///
/// Every field is present, and empty if it has no value. If a field is absent, a proxy may forward the
/// client's field of that name, or write a placeholder (Caddy 2.6 does).
pub(in crate::service) fn identity_answer(claims: &Claims) -> Response {
    let Some(values) = claims.identity_fields(|| identity(claims)) else {
        return Problem::Internal.response();
    };
    let mut answer = warp::reply().into_response();
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [ISSUER, SUBJECT, SCOPE, CLAIMS].into_iter().zip(values) {
        headers.insert(name, value);
    }
    answer
}

/// Returns the values of [`ISSUER`], [`SUBJECT`], [`SCOPE`] and [`CLAIMS`].
///
/// `None` cannot happen: all values are printable ASCII here. If one is not, answer 500 rather than
/// forward an incomplete identity.
fn identity(claims: &Claims) -> Option<[HeaderValue; 4]> {
    // A name that is not a scope token cannot be asked for, and one with a space would arrive as two.
    let scopes: Vec<_> = claims
        .scopes()
        .filter(|name| is_scope_token(name))
        .collect();
    let field = |value: &str| HeaderValue::from_str(value).ok();
    Some([
        field(unchanged(claims.issuer()))?,
        field(unchanged(claims.subject().unwrap_or_default()))?,
        field(&scopes.join(" "))?,
        HeaderValue::try_from(BASE64_URL_SAFE_NO_PAD.encode(claims.json())).ok()?,
    ])
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
    use crate::auth::policy::{acr, group, permission, role, scope};

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
            ("a class", "acr=gold", Ok(Some(acr("gold")))),
            ("one of two classes", "acr=gold+silver", Ok(Some(acr("gold") | acr("silver")))),
            ("an age", "max_age=300", Ok(Some(max_auth_age(Duration::from_secs(300))))),
            ("a class and a scope", "scope=a&acr=gold", Ok(Some(scope("a") & acr("gold")))),
            ("two classes apart", "acr=gold&acr=silver", Err(Problem::BadRequest)),
            ("two ages", "max_age=1&max_age=2", Err(Problem::BadRequest)),
            ("no class", "acr=", Err(Problem::BadRequest)),
            ("no age", "max_age=", Err(Problem::BadRequest)),
            ("an age below zero", "max_age=-1", Err(Problem::BadRequest)),
            ("an age in minutes", "max_age=5m", Err(Problem::BadRequest)),
            ("too large an age", "max_age=99999999999", Err(Problem::BadRequest)),
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
            ("an unknown name besides", "scope=a&roles=r", Err(Problem::BadRequest)),
            ("a role", "role=r", Ok(Some(role("r")))),
            ("a role with a space", "role=r+s", Ok(Some(role("r s")))),
            ("a role in other letters", "role=%c3%a9", Ok(Some(role("é")))),
            ("two roles and a scope", "role=r&scope=a&role=s", Ok(Some(scope("a") & role("r") & role("s")))),
            ("a group", "group=/staff", Ok(Some(group("/staff")))),
            ("a claim", "claim=org_id:o", Ok(Policy::of_claim("org_id".to_owned(), "o".to_owned()))),
            ("a claim with a URL's name", "claim=https://a.example/tier:gold", Ok(Policy::of_claim("https://a.example/tier".to_owned(), "gold".to_owned()))),
            ("a claim with a colon", "claim=a:b%3Ac", Ok(Policy::of_claim("a".to_owned(), "b:c".to_owned()))),
            ("a claim without a value", "claim=org_id", Err(Problem::BadRequest)),
            ("a claim without a path", "claim=:o", Err(Problem::BadRequest)),
            ("an empty role", "scope=a&role=", Err(Problem::BadRequest)),
            ("an empty group", "group=", Err(Problem::BadRequest)),
            ("a role that is not UTF-8", "role=%ff", Err(Problem::BadRequest)),
            ("a role with a line break", "role=a%0ab", Err(Problem::BadRequest)),
            ("too many roles", &["role=r"; MOST + 1].join("&"), Err(Problem::BadRequest)),
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
