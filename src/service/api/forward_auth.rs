//! Forward authentication: `/auth` tells a proxy whether a token meets a policy, and returns
//! headers with the identity in the token, for the application behind the proxy.
//!
//! The policy is in the query of `/auth`. The operator configures it in the proxy, next to the path
//! that it protects. If a service protects several resources, the query also contains the audience.
//! We never derive the policy from headers with the client's own path (`X-Forwarded-Uri`,
//! `X-Original-URI`), for two reasons: a client can send these headers too, and the application
//! might interpret the path in another way, which would bypass the policy. Only DPoP proofs need
//! the client's path, which `forwarded_target.rs` reads.
//!
//! Note that a `sub` is only unique within its issuer (RFC 7519 §4.1.2), so the application always
//! gets both.

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
        display::ShownText,
        policy::{Policy, acr_values, is_scope_token, max_auth_age, permissions, scopes},
    },
    service::api::queries::QueryRequirements,
};

/// `iss`, which is a trusted issuer. Empty if a header cannot represent it exactly.
const ISSUER: HeaderName = HeaderName::from_static("x-auth-issuer");
/// `sub`. Empty if the token has none, or if a header cannot represent it exactly.
const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
/// The scopes that the token grants, separated by single spaces. Empty if there are none.
const SCOPE: HeaderName = HeaderName::from_static("x-auth-scope");
/// The payload in base64url without padding, as [`Claims::json`] returns it.
const CLAIMS: HeaderName = HeaderName::from_static("x-auth-claims");

/// The maximum number of scopes, of permissions, and of other rules in a query. You don't need a
/// token to send a query, and the time to create a policy grows with the square of its rules.
const MAX_RULES: usize = 64;

/// In bytes. Every token is longer, so the log never shows one.
const MAX_SHOWN_NAME: usize = 15;

/// Parses a query. The token must have everything that the query lists. An empty query only
/// requires a valid token.
///
/// These parameters may be repeated: `scope` and `permission` with names separated by spaces,
/// `role` and `group` with a single name that may include spaces, and `claim=path:value`, whose
/// value follows the last colon. These must not be repeated: `acr` with a list of accepted context
/// classes, `max_age` in seconds (RFC 9470), and `audience`.
///
/// # Errors
/// Returns [`Problem::BadRequest`] if any part of the query is invalid. Otherwise, a misspelt
/// policy would require less than intended.
pub(in crate::service) fn parse_query(query: &str) -> Result<QueryRequirements, Problem> {
    if query.is_empty() {
        return Ok(QueryRequirements::default());
    }
    let parsed = parse(query);
    if parsed.is_none() {
        // A value may be a token, so we don't log values. A name may be a token too, so we log
        // names longer than [`MAX_SHOWN_NAME`] as `?`.
        let names = query.split('&').map(|one| match one.split_once('=') {
            Some((name, _)) if name.len() <= MAX_SHOWN_NAME => name,
            _ => "?",
        });
        let names = names.collect::<Vec<_>>().join(" ");
        tracing::warn!(
            parameters = %ShownText::new(&names),
            "/auth query has an unknown parameter or an invalid value: only scope, permission, role, group, claim, acr, max_age and audience are allowed; request rejected"
        );
    }
    let parsed = parsed.ok_or(Problem::BadRequest)?;
    if has_comma(query) {
        // A scope may have a comma (RFC 6749 §3.3)
        tracing::warn!(
            "/auth query has a comma in a scope, a permission or an acr, which counts as a part of the name; separate names by + or %20"
        );
    }
    Ok(parsed)
}

/// Whether a list of names has a comma, which was probably meant to separate two of them.
pub(in crate::service) fn has_comma(query: &str) -> bool {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut lists = pairs.filter(|(name, _)| matches!(*name, "scope" | "permission" | "acr"));
    lists.any(|(_, value)| decoded(value).is_some_and(|value| value.contains(',')))
}

/// The audience, if the query contains nothing else.
pub(in crate::service) fn audience(query: &str) -> Option<String> {
    let parsed = parse(query)?;
    parsed.audience.filter(|_| parsed.policy.is_none())
}

type ReadList = fn(&str) -> Option<Policy>;

fn parse(query: &str) -> Option<QueryRequirements> {
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
                // We split before decoding, so that `%3A` is a colon within the value. Some
                // programs encode every colon, though. Without a literal one, we decode first and
                // split at the last colon.
                let (path, value) = if let Some((path, value)) = value.rsplit_once(':') {
                    (decoded(path)?, decoded(value)?)
                } else {
                    let decoded = decoded(value)?;
                    let (path, value) = decoded.rsplit_once(':')?;
                    (path.to_owned(), value.to_owned())
                };
                others.push(Policy::of_claim(path, value)?);
            }
            // Two values could only contradict each other
            "acr" if acr.is_none() => acr = Some(all(&[decoded(value)?], acr_values)?),
            "max_age" if max_age.is_none() => max_age = Some(max_auth_age(seconds(value)?)),
            // Two audiences could mean either of them or both
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
    if others.len() > MAX_RULES {
        return None;
    }
    let policies = policies?.into_iter().chain(others);
    Some(QueryRequirements {
        policy: policies.reduce(|one, other| one & other),
        audience,
    })
}

/// Whole seconds only
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then_some(Duration::from_secs(u64::from(text.parse::<u32>().ok()?)))
}

/// Joins the lists into one policy. An empty list leaves two consecutive spaces, and `read` rejects
/// those.
fn all(lists: &[String], read: ReadList) -> Option<Policy> {
    let list = lists.join(" ");
    let fits = list.split(' ').count() <= MAX_RULES;
    fits.then(|| read(&list)).flatten()
}

/// Decodes a value of `application/x-www-form-urlencoded`, which must be UTF-8 without control
/// characters.
pub(super) fn decoded(text: &str) -> Option<String> {
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

/// A 200 with the identity in four headers. It cannot be another 2xx, which Envoy does not accept.
///
/// Every header is present, and empty if it has no value. If a header were absent, a proxy might
/// forward the client's own header with this name, or a placeholder (as Caddy 2.6 does).
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

/// The values of [`ISSUER`], [`SUBJECT`], [`SCOPE`] and [`CLAIMS`].
///
/// All values should be printable ASCII by now. If one is not, this is `None`, and we answer 500
/// rather than forward an incomplete identity.
fn identity(claims: &Claims) -> Option<[HeaderValue; 4]> {
    // Names that aren't scope tokens are skipped: no policy can require them, and a name with a
    // space would look like two.
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

/// The value, if the recipient of the header will see exactly this value, and otherwise an empty
/// string. Recipients strip surrounding whitespace (RFC 9110 §5.5), but `" admin"` isn't `"admin"`.
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
    fn parses_a_query_as_a_policy() {
        const A: &str = "a";
        let most = format!("scope={}", [A; MAX_RULES].join("+"));
        #[rustfmt::skip]
        let rows = [
            ("empty", "", Ok(None)),
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
            ("a scope and a permission", "scope=a&permission=p", Ok(Some(scope("a") & permission("p")))),
            ("escaped", "scope=%72ead%2Ball%3d%26", Ok(Some(scope("read+all=&")))),
            ("an equals sign", "scope=a=b", Ok(Some(scope("a=b")))),
            ("as many as allowed", &most, Ok(scopes(&[A; MAX_RULES].join(" ")))),
            ("one more", &format!("{most}+a"), Err(Problem::BadRequest)),
            ("one more, repeated", &format!("{most}&scope=a"), Err(Problem::BadRequest)),
            ("no value", "scope", Err(Problem::BadRequest)),
            ("an empty one first", "scope=&scope=a", Err(Problem::BadRequest)),
            ("a scope and an empty permission", "scope=a&permission=", Err(Problem::BadRequest)),
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
            ("a claim in the encoding of a form", "claim=https%3A%2F%2Fa.example%2Ftier%3Agold", Ok(Policy::of_claim("https://a.example/tier".to_owned(), "gold".to_owned()))),
            ("a claim without a value", "claim=org_id", Err(Problem::BadRequest)),
            ("a claim with an empty value", "claim=org_id:", Err(Problem::BadRequest)),
            ("a claim without a path", "claim=:o", Err(Problem::BadRequest)),
            ("an empty role", "scope=a&role=", Err(Problem::BadRequest)),
            ("an empty group", "group=", Err(Problem::BadRequest)),
            ("a role that is not UTF-8", "role=%ff", Err(Problem::BadRequest)),
            ("a role with a line break", "role=a%0ab", Err(Problem::BadRequest)),
            ("too many roles", &["role=r"; MAX_RULES + 1].join("&"), Err(Problem::BadRequest)),
            ("another case", "Scope=a", Err(Problem::BadRequest)),
            ("an escaped name", "%73cope=a", Err(Problem::BadRequest)),
            ("an ampersand at the end", "scope=a&", Err(Problem::BadRequest)),
            ("an ampersand alone", "&", Err(Problem::BadRequest)),
            ("half an escape", "scope=a%2", Err(Problem::BadRequest)),
            ("an invalid escape", "scope=a%zz", Err(Problem::BadRequest)),
            ("a signed escape", "scope=a%+2", Err(Problem::BadRequest)),
            ("a quote", "scope=%22", Err(Problem::BadRequest)),
            ("a line break", "scope=a%0d%0ab", Err(Problem::BadRequest)),
            ("not ASCII", "scope=%c3%a9", Err(Problem::BadRequest)),
        ];
        for (case, query, policy) in rows {
            let audience = None;
            let expected = policy.map(|policy| QueryRequirements { policy, audience });
            assert_eq!(parse_query(query), expected, "{case}");
        }
    }

    #[test]
    fn accepts_at_most_one_audience() {
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
            let expected = expected.map(|(audience, policy)| QueryRequirements {
                audience: Some(audience.to_owned()),
                policy,
            });
            assert_eq!(
                parse_query(query),
                expected.ok_or(Problem::BadRequest),
                "{case}"
            );
        }
    }
}
