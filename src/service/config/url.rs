//! Parsers of hosts, URLs and origins.
//!
//! The `url` crate repairs its input (whitespace, backslashes, missing slashes). We compare issuers
//! exactly, so we can't use that: these parsers reject whatever would need a repair.

use reqwest::Url;
use warp::http::HeaderValue;

use crate::{
    auth::{PublicUrl, is_loopback},
    service::config::invalid::{InvalidValue, Parsed},
};

/// Parses the host of a tenant, with or without a port. The result is in lower case.
pub(super) fn domain(text: &str) -> Parsed<String> {
    if text.contains(',') {
        return Err(InvalidValue::new("is more than one host")
            .hint("for several issuers, set AUTH0_ISSUER"));
    }
    if let Ok(issuer) = web_address(text)
        && text.starts_with("http://")
    {
        let end = if issuer.ends_with('/') { "" } else { "/" };
        return Err(InvalidValue::new("is a URL with http")
            .hint(format!("set AUTH0_ISSUER={issuer}{end} instead")));
    }
    if text.contains('/') {
        let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = after_scheme
            .split(['/', '?', '#'])
            .next()
            .and_then(|host| domain(host).ok());
        return Err(InvalidValue::new("is more than a host").suggest(host));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if !text.chars().all(allowed) || web_address(&format!("https://{text}/")).is_err() {
        return Err(InvalidValue::new("is not a host"));
    }
    Ok(text.to_ascii_lowercase())
}

/// The name of an issuer can be any string (RFC 7519 §4.1.1), so it's returned unchanged.
pub(super) fn issuer_name(text: &str) -> Parsed<String> {
    if text.contains("/.well-known/") {
        return Err(InvalidValue::new("is the address of a document")
            .hint("set the issuer that this document names"));
    }
    let is_several = text.matches("://").count() > 1;
    if is_several && text.contains([' ', ';', '|']) {
        return Err(
            InvalidValue::new("is more than one URL").hint("separate several issuers by commas")
        );
    }
    // a name that's no URI may have spaces (RFC 7519 §2)
    let is_odd_space = |c: char| c.is_whitespace() && (c != ' ' || text.contains(':'));
    if text.chars().any(|c| c.is_control() || is_odd_space(c)) {
        return Err(InvalidValue::new("contains a space or a control character"));
    }
    let authority = text
        .split_once("://")
        .map(|(_, rest)| rest.split('/').next());
    if authority
        .flatten()
        .is_some_and(|authority| authority.contains('@'))
    {
        return Err(InvalidValue::new("contains a user or a password"));
    }
    Ok(text.to_owned())
}

/// If the keys of an issuer are discovered, its name must be a URL without a query or fragment (RFC
/// 8414 §2).
pub(super) fn discoverable_issuer(text: &str) -> Parsed<()> {
    const KEYS: &str = "if iss is exactly this, set AUTH0_JWKS_URI to the https address of its keys, or AUTH0_JWKS_FILE to a file with them";
    discoverable(text, KEYS)
}

/// Like [`discoverable_issuer`], for one of several issuers, whose keys cannot be set with
/// variables.
pub(super) fn discoverable_among_several(text: &str) -> Parsed<()> {
    const KEYS: &str = "if iss is exactly this, list the issuers in a file, ISSUERS_FILE, with the source of its keys";
    discoverable(text, KEYS)
}

/// `keys` describes the other source of keys
fn discoverable(text: &str, keys: &str) -> Parsed<()> {
    web_address(text).map_err(|invalid| with_name_hint(text, invalid, keys))?;
    if text.contains('?') {
        return Err(InvalidValue::new(
            "has a query, which an issuer must not have (RFC 8414 §2)",
        ));
    }
    Ok(())
}

/// Adds a hint that the name may be correct, but that its keys must then come from elsewhere. Some
/// issuers do have names that aren't https URLs, e.g. `stytch.com/project-1` and
/// `http://keycloak:8080/realms/r`.
fn with_name_hint(text: &str, invalid: InvalidValue, keys: &str) -> InvalidValue {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let domain = host.split(':').next().unwrap_or_default();
    let is_domain = (domain.contains('.') || domain == "localhost") && !text.contains('@');
    let user = rest.split_once('@').map_or("", |(user, _)| user);
    let has_password = user.contains(':');
    // Auth0's issuers are https URLs
    let is_auth0 = domain.ends_with(".auth0.com") && path.is_empty();
    let is_name = match scheme {
        "" | "http" => !host.is_empty() && !is_auth0 && !has_password,
        "https" => false,
        _ => true,
    };
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !is_name || !is_plain {
        return invalid;
    }
    let guess = invalid
        .hint
        .as_ref()
        .filter(|_| is_domain && ["", "http"].contains(&scheme));
    let hint = guess.map_or(keys.to_owned(), |guess| format!("{guess} Or {keys}"));
    invalid.hint(hint)
}

/// `None` is `*`, which means every origin.
pub(super) fn origin_or_any(text: &str) -> Parsed<Option<HeaderValue>> {
    if text == "*" {
        return Ok(None);
    }
    origin(text).map(Some)
}

/// Parses an origin as browsers send it (RFC 6454 §6.2): scheme, host, and the port if it isn't the
/// scheme's default.
fn origin(text: &str) -> Parsed<HeaderValue> {
    if text == "null" {
        return Err(InvalidValue::new("is the origin of every sandboxed page")
            .hint("serve the page from its own origin"));
    }
    if text.contains('*') {
        return Err(InvalidValue::new("is a pattern")
            .hint("origins are compared exactly; list each, or set * alone to allow all"));
    }
    if text.contains(char::is_whitespace) {
        return Err(
            InvalidValue::new("has a space in it").hint("separate several origins by commas")
        );
    }
    if text.contains([';', '|']) {
        return Err(
            InvalidValue::new("is more than one origin").hint("separate several origins by commas")
        );
    }
    if !text.contains("://") {
        let guess = with_scheme(text);
        let is_right = text.contains(['.', ':']) && origin(&guess).is_ok();
        return Err(InvalidValue::new("has no scheme").suggest(is_right.then_some(guess)));
    }
    web_address(text).map_err(|invalid| {
        let https = text.replacen("http://", "https://", 1);
        let guess = Url::parse(&https).map(|url| url.origin().ascii_serialization());
        match guess {
            Ok(guess) if guess != text && origin(&guess).is_ok() => invalid.suggest(Some(guess)),
            _ => invalid,
        }
    })?;
    let normalized = Url::parse(text).map(|url| url.origin().ascii_serialization());
    match (normalized, HeaderValue::from_str(text)) {
        (Ok(normalized), Ok(value)) if normalized == text => Ok(value),
        (normalized, _) => {
            Err(InvalidValue::new("is not in the form that browsers send").suggest(normalized.ok()))
        }
    }
}

/// The URL of a key set may contain a comma, but not one followed by another URL.
pub(super) fn key_set(text: &str) -> Parsed<String> {
    let mut after_commas = text.split(',').skip(1);
    if after_commas.any(|rest| rest.trim_start().starts_with("http")) {
        return Err(InvalidValue::new("is more than one URL").hint("keep one"));
    }
    let is_path = text.starts_with(['/', '.'])
        || text.starts_with("file:")
        || !text.contains('/')
            && [".json", ".jwks", ".pem"]
                .iter()
                .any(|end| text.ends_with(end));
    if is_path {
        return Err(InvalidValue::new("is a path").hint("set AUTH0_JWKS_FILE to it instead"));
    }
    web_address(text).map_err(|invalid| match &invalid.hint {
        // A server without TLS, such as a container, would not answer the suggested URL
        Some(guess) if text.starts_with("http://") => {
            let hint = format!("{guess} Or, if it has no TLS, remove AUTH0_JWKS_URI, and set AUTH0_JWKS_FILE to a file with its keys, fetched over a network that you trust");
            invalid.hint(hint)
        }
        _ => invalid,
    })
}

/// Parses the URL of the resource, which has no query or fragment (RFC 9728 §1.2).
///
/// We reject commas. URLs can contain them, but here someone probably meant to separate two URLs,
/// and only one is allowed.
pub(super) fn resource(text: &str) -> Parsed<String> {
    if text.contains("/.well-known/") {
        return Err(InvalidValue::new("is the address of a document")
            .hint("set the resource that this document describes"));
    }
    if text.contains(',') {
        return Err(
            InvalidValue::new("has a comma in it").hint("set one URL, the one that clients use")
        );
    }
    web_address(text)?;
    if text.contains('?') {
        return Err(InvalidValue::new("has a query").hint("set the URL without it (RFC 9728 §1.2)"));
    }
    // We compare DPoP proofs with this origin, and don't decode hosts in proofs
    if authority(text).contains('%') {
        return Err(InvalidValue::new("has a % in its host"));
    }
    Ok(text.to_owned())
}

/// The URL that clients use for the service. We compare the URLs in DPoP proofs with it.
pub(super) fn public(text: &str) -> Parsed<String> {
    let url = resource(text)?;
    if PublicUrl::parse(&url).is_none() {
        return Err(InvalidValue::new(
            "has a % without two hexadecimal digits after it",
        ));
    }
    Ok(url)
}

/// Whether a URL has the scheme https, in upper or lower case.
pub(super) fn is_https(url: &str) -> bool {
    let scheme = url.get(..6);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

/// The host and port of a URL, as written. Empty if there is no `://`.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Guesses the scheme: http for this machine, https otherwise.
fn with_scheme(text: &str) -> String {
    let http = format!("http://{text}");
    let is_local = Url::parse(&http).is_ok_and(|url| is_loopback(&url));
    if is_local {
        http
    } else {
        format!("https://{text}")
    }
}

/// Parses a URL to fetch from: https, or plain http on loopback, without a password.
pub(super) fn web_address(text: &str) -> Parsed<String> {
    let forbidden = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&byte);
    if text.bytes().any(forbidden) {
        return Err(InvalidValue::new(
            "contains a character that is not allowed in URLs",
        ));
    }
    let Some((_, rest)) = text.split_once("://") else {
        let end = if text.contains('/') { "" } else { "/" };
        let guess = with_scheme(&format!("{text}{end}"));
        return Err(InvalidValue::new("is not a URL").suggest(web_address(&guess).ok()));
    };
    let authority = authority(text);
    if authority.contains('@') {
        return Err(InvalidValue::new("contains a user or a password"));
    }
    if text.contains('#') {
        return Err(InvalidValue::new("has a fragment"));
    }
    let Ok(url) = Url::parse(text) else {
        return Err(InvalidValue::new("is not a URL"));
    };
    let host = url.host_str().unwrap_or_default();
    if authority.is_empty() || host.split('.').any(str::is_empty) {
        return Err(InvalidValue::new("has no host"));
    }
    match url.scheme() {
        "https" => Ok(text.to_owned()),
        "http" if is_loopback(&url) => Ok(text.to_owned()),
        "http" => {
            Err(InvalidValue::new("is not https")
                .suggest(web_address(&format!("https://{rest}")).ok()))
        }
        _ => Err(InvalidValue::new("is not https")),
    }
}
