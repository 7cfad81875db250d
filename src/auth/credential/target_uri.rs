//! [`PublicUrl`]: compares the `htu` of a proof with the URL of the request (RFC 9449 §4.3).
//!
//! The origin comes from the configuration. We do not use the `Host` header, which an attacker
//! could set to replay a proof made for another server.
//!
//! URLs are compared after normalization: the case of scheme and host, a default port,
//! percent-encoding (RFC 3986 §6.2.2.1 and §6.2.2.2), and an empty path make no difference. Query
//! and fragment are ignored. Dot segments are kept, so `/a/../b` is not `/b`. warp's routes do the
//! same.

/// The URL that clients use for this service, normalized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    origin: String,
    /// The path without a trailing slash. Usually empty.
    path: String,
}

impl PublicUrl {
    /// Parses an absolute http or https URL without user information (anything else is `None`), and
    /// drops a trailing slash.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (origin, path) = split(url)?;
        Some(Self {
            origin,
            path: normalized(path.strip_suffix('/').unwrap_or(path))?,
        })
    }

    /// Compares `htu` with the URL of a request for `path`. With `is_at_origin`, `path` is relative
    /// to the origin instead of to this URL.
    pub(crate) fn is_at(&self, htu: &str, path: &str, is_at_origin: bool) -> bool {
        let Some((origin, named)) = split(htu) else {
            return false;
        };
        let prefix = if is_at_origin { "" } else { &*self.path };
        let wanted = normalized(path).map(|path| format!("{prefix}{path}"));
        let wanted = wanted.map(at_least_a_slash);
        origin == self.origin
            && wanted.is_some()
            && normalized(named).map(at_least_a_slash) == wanted
    }

    /// The path of `url` below this URL, or `None` if `url` is not below it. With `is_at_origin`,
    /// only the origin of this URL counts.
    #[cfg(feature = "service")]
    pub(crate) fn path_below(&self, url: &str, is_at_origin: bool) -> Option<String> {
        let (_, path) = split(url).filter(|(origin, _)| *origin == self.origin)?;
        let path = normalized(path)?;
        let prefix = if is_at_origin { "" } else { &*self.path };
        let below = path.strip_prefix(prefix)?;
        let is_below = below.is_empty() || below.starts_with('/');
        is_below.then(|| at_least_a_slash(below.to_owned()))
    }

    #[cfg(feature = "service")]
    pub(crate) fn of(&self, path: &str, is_at_origin: bool) -> String {
        let prefix = if is_at_origin { "" } else { &*self.path };
        format!("{}{prefix}{path}", self.origin)
    }
}

/// Replaces an empty path with the root (RFC 9110 §4.2.3).
fn at_least_a_slash(path: String) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    path
}

/// The normalized origin of a URL, and its path without query and fragment
fn split(url: &str) -> Option<(String, &str)> {
    let is_fine = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if !url.bytes().all(is_fine) {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default = match &*scheme {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let authority = authority.to_ascii_lowercase();
    let (host, port) = host_and_port(&authority)?;
    let port = Some(port).filter(|port| !port.is_empty() && *port != default);
    let colon = if port.is_some() { ":" } else { "" };
    let port = port.unwrap_or_default();
    Some((format!("{scheme}://{host}{colon}{port}"), path))
}

/// Splits an authority at its port, which may be empty. `None` for user information, an escape, or
/// a missing host.
fn host_and_port(authority: &str) -> Option<(&str, &str)> {
    let port_at = match authority.rfind(']') {
        Some(end) => end + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(port_at);
    let port = if port.is_empty() {
        port
    } else {
        port.strip_prefix(':')?
    };
    let is_host = !host.is_empty() && !host.contains(['@', '%']);
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    (is_host && is_port).then_some((host, port))
}

/// Decodes escapes of unreserved characters, and converts all other escapes to upper case. `None`
/// if an escape is incomplete or a character is not allowed in URLs.
fn normalized(path: &str) -> Option<String> {
    let mut normal = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if !byte.is_ascii_graphic() || byte == b'\\' {
                return None;
            }
            normal.push(char::from(byte));
            continue;
        }
        let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
        let escaped = high << 4 | low;
        if escaped.is_ascii_alphanumeric() || b"-._~".contains(&escaped) {
            normal.push(char::from(escaped));
        } else {
            normal.push('%');
            normal.extend([high, low].map(digit));
        }
    }
    Some(normal)
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

fn digit(value: u8) -> char {
    let digit = char::from_digit(value.into(), 16).unwrap_or_default();
    digit.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn compares_urls_after_normalization() {
        const API: &str = "https://api.example.com";
        const BELOW: &str = "https://api.example.com/v1";
        let rows = [
            ("equal", API, "/a", "https://api.example.com/a", true),
            ("the root", API, "/", "https://api.example.com/", true),
            ("the root without a slash", API, "/", "https://api.example.com", true),
            ("the root, only a query", API, "/", "https://api.example.com?a=/b", true),
            ("a scheme in capitals", API, "/a", "HTTPS://api.example.com/a", true),
            ("a host in capitals", API, "/a", "https://API.Example.COM/a", true),
            ("the default port", API, "/a", "https://api.example.com:443/a", true),
            ("an empty port", API, "/a", "https://api.example.com:/a", true),
            ("a configured default port", "https://api.example.com:443", "/a", "https://api.example.com/a", true),
            ("a configured host in capitals", "https://API.example.com/", "/a", "https://api.example.com/a", true),
            ("a query", API, "/a", "https://api.example.com/a?b=c", true),
            ("a fragment", API, "/a", "https://api.example.com/a#b", true),
            ("both", API, "/a", "https://api.example.com/a?b#c", true),
            ("a query with a URL", API, "/a", "https://api.example.com/a?u=https://x/y", true),
            ("an escaped letter", API, "/a", "https://api.example.com/%61", true),
            ("an escaped letter in the request", API, "/%61", "https://api.example.com/a", true),
            ("an escaped tilde", API, "/~a", "https://api.example.com/%7ea", true),
            ("escapes in lower case", API, "/%C3%A9", "https://api.example.com/%c3%a9", true),
            ("escapes in lower case in the request", API, "/%2f", "https://api.example.com/%2F", true),
            ("dots", API, "/a/../b", "https://api.example.com/a/../b", true),
            ("escaped dots", API, "/a/../b", "https://api.example.com/a/%2e%2E/b", true),
            ("two slashes", API, "//a", "https://api.example.com//a", true),
            ("semicolons", API, "/a;b=c", "https://api.example.com/a;b=c", true),
            ("an at sign in the path", API, "/@a:b", "https://api.example.com/@a:b", true),
            ("below a path", BELOW, "/a", "https://api.example.com/v1/a", true),
            ("below a path with a slash", "https://api.example.com/v1/", "/a", "https://api.example.com/v1/a", true),
            ("below a path, the root", BELOW, "/", "https://api.example.com/v1/", true),
            ("below an escaped path", "https://api.example.com/%76%31", "/a", "https://api.example.com/v1/a", true),
            ("an unusual port", "http://127.0.0.1:8000", "/a", "http://127.0.0.1:8000/a", true),
            ("IPv6", "http://[::1]:8000", "/a", "http://[::1]:8000/a", true),
            ("IPv6 in capitals", "https://[2001:DB8::1]", "/a", "https://[2001:db8::1]:443/a", true),

            ("another path", API, "/a", "https://api.example.com/b", false),
            ("another case of the path", API, "/a", "https://api.example.com/A", false),
            ("a longer path", API, "/a", "https://api.example.com/a/b", false),
            ("a trailing slash", API, "/a", "https://api.example.com/a/", false),
            ("no slash at the end", API, "/a/", "https://api.example.com/a", false),
            ("an escaped slash", API, "/a/b", "https://api.example.com/a%2Fb", false),
            ("an escaped percent sign", API, "/%61", "https://api.example.com/%2561", false),
            ("dots removed", API, "/a/../b", "https://api.example.com/b", false),
            ("dots added", API, "/b", "https://api.example.com/a/../b", false),
            ("a dot", API, "/a", "https://api.example.com/./a", false),
            ("one slash of two", API, "//a", "https://api.example.com/a", false),
            ("an escaped question mark", API, "/a", "https://api.example.com/a%3Fb", false),
            ("another host", API, "/a", "https://api.example.org/a", false),
            ("a subdomain", API, "/a", "https://x.api.example.com/a", false),
            ("a longer host", API, "/a", "https://api.example.com.evil.example/a", false),
            ("a dot after the host", API, "/a", "https://api.example.com./a", false),
            ("an escaped host", API, "/a", "https://%61pi.example.com/a", false),
            ("another port", API, "/a", "https://api.example.com:8443/a", false),
            ("the other default port", API, "/a", "https://api.example.com:80/a", false),
            ("a port with a zero", API, "/a", "https://api.example.com:0443/a", false),
            ("a signed port", API, "/a", "https://api.example.com:+443/a", false),
            ("a port that is not a number", API, "/a", "https://api.example.com:x/a", false),
            ("http", API, "/a", "http://api.example.com/a", false),
            ("https", "http://127.0.0.1", "/a", "https://127.0.0.1/a", false),
            ("http on port 443", API, "/a", "http://api.example.com:443/a", false),
            ("another scheme", API, "/a", "ftp://api.example.com/a", false),
            ("no scheme", API, "/a", "//api.example.com/a", false),
            ("a path only", API, "/a", "/a", false),
            ("one slash", API, "/a", "https:/api.example.com/a", false),
            ("three slashes", API, "/a", "https:///api.example.com/a", false),
            ("no host", API, "/a", "https:///a", false),
            ("a user", API, "/a", "https://user@api.example.com/a", false),
            ("a user that is the host", API, "/a", "https://api.example.com@evil.example/a", false),
            ("a password", API, "/a", "https://u:p@api.example.com/a", false),
            ("a backslash", API, "/a", "https://api.example.com\\a", false),
            ("a backslash in the path", API, "/a", "https://api.example.com/a\\", false),
            ("a leading space", API, "/a", " https://api.example.com/a", false),
            ("a trailing space", API, "/a", "https://api.example.com/a ", false),
            ("a tab", API, "/a", "https://api.example.com/a\t", false),
            ("a line break", API, "/a", "https://api.example.com/a\n", false),
            ("a line break in the query", API, "/a", "https://api.example.com/a?b\nc", false),
            ("a null character", API, "/a", "https://api.example.com/a\0", false),
            ("not ASCII", API, "/a", "https://api.example.com/\u{e4}", false),
            ("not ASCII, escaped in the request", API, "/%C3%A4", "https://api.example.com/\u{e4}", false),
            ("not ASCII in the host", API, "/a", "https://\u{e4}pi.example.com/a", false),
            ("half an escape", API, "/a", "https://api.example.com/a%", false),
            ("half an escape in both", API, "/a%2", "https://api.example.com/a%2", false),
            ("an invalid escape", API, "/a%zz", "https://api.example.com/a%zz", false),
            ("the path missing", BELOW, "/a", "https://api.example.com/a", false),
            ("the path twice", BELOW, "/a", "https://api.example.com/v1/v1/a", false),
            ("the path only", BELOW, "/", "https://api.example.com/v1", false),
            ("empty", API, "/a", "", false),
            ("an IPv6 host without its end", "http://[::1]:8000", "/a", "http://[::1:8000/a", false),
            ("text after an IPv6 host", "http://[::1]", "/a", "http://[::1]x/a", false),
        ];
        for (case, public, path, htu, expected) in rows {
            let public = PublicUrl::parse(public).unwrap();
            assert_eq!(public.is_at(htu, path, false), expected, "{case}: {path} {htu}");
        }
    }

    #[test]
    fn appends_a_forwarded_path_to_the_origin() {
        let public = PublicUrl::parse("https://api.example.com/v1").unwrap();
        assert!(public.is_at("https://api.example.com/v1/a", "/v1/a", true));
        assert!(public.is_at("https://api.example.com/a", "/a", true));
        assert!(!public.is_at("https://api.example.com/v1/a", "/a", true));
    }

    #[test]
    #[cfg(feature = "service")]
    fn returns_the_path_below_the_public_url() {
        let public = PublicUrl::parse("https://api.example.com/v1").unwrap();
        for (url, below, at_origin) in [
            (
                "https://api.example.com/v1/a?b#c",
                Some("/a"),
                Some("/v1/a"),
            ),
            (
                "HTTPS://API.example.com:443/v1/%61",
                Some("/a"),
                Some("/v1/a"),
            ),
            ("https://api.example.com/v1", Some("/"), Some("/v1")),
            ("https://api.example.com/v1a", None, Some("/v1a")),
            ("https://api.example.com/", None, Some("/")),
            ("https://api.example.com", None, Some("/")),
            ("https://other.example/v1/a", None, None),
            ("/a", None, None),
        ] {
            let path = |is_at_origin| public.path_below(url, is_at_origin);
            assert_eq!(path(false).as_deref(), below, "{url}");
            assert_eq!(path(true).as_deref(), at_origin, "{url}");
        }
        assert_eq!(public.of("/a", false), "https://api.example.com/v1/a");
        assert_eq!(public.of("/v1/a", true), "https://api.example.com/v1/a");
    }

    #[test]
    fn rejects_invalid_public_urls() {
        for text in [
            "api.example.com",
            "https://",
            "https://u@a",
            "mailto:a@b",
            "https://a/%",
        ] {
            assert_eq!(PublicUrl::parse(text), None, "{text}");
        }
    }
}
