//! Hosts and URLs: who is trusted to say which keys count.
//!
//! `Url` repairs what it reads (blanks, backslashes, missing slashes); an issuer is compared to the
//! letter, so whatever would need repair is refused here.

use reqwest::Url;
use warp::http::HeaderValue;

use crate::{
    auth::is_loopback,
    service::config::{fault::Wrong, value::Parsed},
};

/// The host of a tenant, a port allowed, in lower case.
pub(super) fn domain(text: &str) -> Parsed<String> {
    if text.contains(',') {
        return Err(
            Wrong::new("is more than one host").hint("set AUTH0_ISSUER where there are several")
        );
    }
    if text.contains('/') {
        let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = after_scheme
            .split(['/', '?', '#'])
            .next()
            .and_then(|host| domain(host).ok());
        return Err(Wrong::new("is more than a host").meant(host));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if !text.chars().all(plain) || web_address(&format!("https://{text}/")).is_err() {
        return Err(Wrong::new("is no host"));
    }
    Ok(text.to_ascii_lowercase())
}

/// An issuer, to the letter: a URL without query and fragment (RFC 8414 §2).
pub(super) fn issuer(text: &str) -> Parsed<String> {
    if text.contains("/.well-known/") {
        return Err(Wrong::new("is the address of a document")
            .hint("give the issuer that this document names"));
    }
    web_address(text)?;
    if text.contains('?') {
        return Err(Wrong::new("has a query, as no issuer does (RFC 8414 §2)"));
    }
    Ok(text.to_owned())
}

/// The origin of a page, or `None` for the star that stands for all of them.
pub(super) fn origin_or_any(text: &str) -> Parsed<Option<HeaderValue>> {
    if text == "*" {
        return Ok(None);
    }
    origin(text).map(Some)
}

/// As browsers send it (RFC 6454 §6.2): scheme and host, a port where it is not the scheme's own.
fn origin(text: &str) -> Parsed<HeaderValue> {
    if text == "null" {
        return Err(Wrong::new("is what every sandboxed page is called")
            .hint("give the page an origin of its own"));
    }
    if text.contains('*') {
        return Err(Wrong::new("is a pattern")
            .hint("origins are compared to the letter; list each, or give * alone for all"));
    }
    if !text.contains("://") {
        let guess = format!("https://{text}");
        let is_right = origin(&guess).is_ok();
        return Err(Wrong::new("has no scheme").meant(is_right.then_some(guess)));
    }
    web_address(text)?;
    let written = Url::parse(text).map(|url| url.origin().ascii_serialization());
    match (written, HeaderValue::from_str(text)) {
        (Ok(written), Ok(value)) if written == text => Ok(value),
        (written, _) => Err(Wrong::new("is not as browsers write it").meant(written.ok())),
    }
}

/// The one address of a key set. A comma may be part of a URL; before another URL it is not.
pub(super) fn key_set(text: &str) -> Parsed<String> {
    let mut after_commas = text.split(',').skip(1);
    if after_commas.any(|rest| rest.trim_start().starts_with("http")) {
        return Err(Wrong::new("is more than one URL").hint("keep one"));
    }
    web_address(text)
}

/// The URL that clients know the service by, without query and fragment (RFC 9728 §1.2).
///
/// A comma is a fault, though a URL may have one: whoever writes one means a list, and there is
/// none here.
pub(super) fn resource(text: &str) -> Parsed<String> {
    if text.contains("/.well-known/") {
        return Err(Wrong::new("is the address of a document")
            .hint("give the resource that this document describes"));
    }
    if text.contains(',') {
        return Err(Wrong::new("has a comma in it").hint("give one URL, the one that clients use"));
    }
    web_address(text)?;
    if text.contains('?') {
        return Err(Wrong::new("has a query").hint("give the URL without it (RFC 9728 §1.2)"));
    }
    Ok(text.to_owned())
}

/// Where something is fetched: https, or plain http on loopback, and no password in it.
pub(super) fn web_address(text: &str) -> Parsed<String> {
    let strange = |byte: u8| !byte.is_ascii_graphic() || b"\"<>\\^`{|}".contains(&byte);
    if text.bytes().any(strange) {
        return Err(Wrong::new("holds a character that no URL has"));
    }
    let Some((_, rest)) = text.split_once("://") else {
        let guess = format!("https://{}/", text.trim_end_matches('/'));
        return Err(Wrong::new("is no URL").meant(web_address(&guess).ok()));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(Wrong::new("has a user or a password in it"));
    }
    if text.contains('#') {
        return Err(Wrong::new("has a fragment"));
    }
    let Ok(url) = Url::parse(text) else {
        return Err(Wrong::new("is no URL"));
    };
    let host = url.host_str().unwrap_or_default();
    if authority.is_empty() || host.split('.').any(str::is_empty) {
        return Err(Wrong::new("names no host"));
    }
    match url.scheme() {
        "https" => Ok(text.to_owned()),
        "http" if is_loopback(&url) => Ok(text.to_owned()),
        "http" => {
            Err(Wrong::new("is not https").meant(web_address(&format!("https://{rest}")).ok()))
        }
        _ => Err(Wrong::new("is not https")),
    }
}
