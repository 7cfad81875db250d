//! [`ForwardedTarget`]: the method and path of the client's request, which a proxy sends to
//! `/auth`.
//!
//! We only compare them with a DPoP proof. The proxy must overwrite both headers, as in the
//! examples, or else a client could use a proof that was made for another request.

use warp::http::{HeaderMap, HeaderName, Method, header::HeaderValue};

use crate::auth::{AuthError, RequestHead};

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
/// The path and the query, as the client sent them
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The client's method and path. Without them, no proof matches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::service) struct ForwardedTarget {
    method: Option<Method>,
    path: Option<String>,
    /// A header is repeated, the method is invalid, or the URI isn't a path. The method and the
    /// path are then `None`.
    is_unreadable: bool,
}

struct Unreadable;

impl ForwardedTarget {
    /// Invalid headers are only an error if the request needs a proof, see
    /// [`explains`](Self::explains).
    pub(in crate::service) fn read(headers: &HeaderMap) -> Self {
        Self::try_read(headers).unwrap_or(Self {
            is_unreadable: true,
            ..Self::default()
        })
    }

    fn try_read(headers: &HeaderMap) -> Result<Self, Unreadable> {
        let method = only(headers, &METHOD)?;
        let path = only(headers, &URI)?;
        Ok(Self {
            method: method.map(read_method).transpose()?,
            path: path.map(read_path).transpose()?,
            is_unreadable: false,
        })
    }

    /// The method and path are from the proxy's report, the headers from the proxy's own request.
    pub(in crate::service) fn head<'a>(&'a self, headers: &'a HeaderMap) -> RequestHead<'a> {
        match (&self.method, &self.path) {
            (Some(method), Some(path)) => RequestHead::forwarded(method, path, headers),
            _ => RequestHead::without_target(headers),
        }
    }

    /// Whether `error` is the proxy's fault: it sent invalid headers, which no proof can match.
    pub(in crate::service) fn explains(&self, error: AuthError) -> bool {
        self.is_unreadable && error == AuthError::InvalidProof
    }
}

fn only<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Unreadable> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (_, Some(_)) => Err(Unreadable),
        (field, None) => Ok(field),
    }
}

fn read_method(field: &HeaderValue) -> Result<Method, Unreadable> {
    Method::from_bytes(field.as_bytes()).map_err(|_| Unreadable)
}

fn read_path(field: &HeaderValue) -> Result<String, Unreadable> {
    let uri = field.to_str().map_err(|_| Unreadable)?;
    let is_fine = |byte: u8| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#';
    if !uri.starts_with('/') || !uri.bytes().all(is_fine) {
        return Err(Unreadable);
    }
    let path = uri.split('?').next().unwrap_or_default();
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = &'static [(&'static str, &'static str)];
    type Target = (Option<&'static str>, Option<&'static str>);

    #[test]
    fn requires_one_valid_method_and_path() {
        const GET: (&str, &str) = ("x-forwarded-method", "GET");
        const A: (&str, &str) = ("x-forwarded-uri", "/a");
        let bad = Err(());
        #[rustfmt::skip]
        let rows: [(&str, Fields, Result<Target, ()>); 20] = [
            ("both", &[GET, A], Ok((Some("GET"), Some("/a")))),
            ("neither", &[], Ok((None, None))),
            ("no method", &[A], Ok((None, Some("/a")))),
            ("no path", &[GET], Ok((Some("GET"), None))),
            ("a query", &[GET, ("x-forwarded-uri", "/a?b=/c?d")], Ok((Some("GET"), Some("/a")))),
            ("an escape", &[GET, ("x-forwarded-uri", "/%61%zz")], Ok((Some("GET"), Some("/%61%zz")))),
            ("two slashes", &[GET, ("x-forwarded-uri", "//a")], Ok((Some("GET"), Some("//a")))),
            ("another method", &[("x-forwarded-method", "PURGE"), A], Ok((Some("PURGE"), Some("/a")))),
            ("a method in lower case", &[("x-forwarded-method", "get"), A], Ok((Some("get"), Some("/a")))),
            ("two methods", &[GET, GET, A], bad),
            ("two paths", &[GET, A, A], bad),
            ("two paths in one", &[GET, ("x-forwarded-uri", "/a, /b")], bad),
            ("two methods in one", &[("x-forwarded-method", "GET, PUT"), A], bad),
            ("an empty method", &[("x-forwarded-method", ""), A], bad),
            ("an empty path", &[GET, ("x-forwarded-uri", "")], bad),
            ("a URL", &[GET, ("x-forwarded-uri", "https://api.example.com/a")], bad),
            ("no slash", &[GET, ("x-forwarded-uri", "a")], bad),
            ("a space", &[GET, ("x-forwarded-uri", "/a b")], bad),
            ("a backslash", &[GET, ("x-forwarded-uri", "/a\\b")], bad),
            ("a fragment", &[GET, ("x-forwarded-uri", "/a#b")], bad),
        ];
        for (case, fields, expected) in rows {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let target = ForwardedTarget::read(&headers);
            let method = target.method.as_ref().map(Method::as_str);
            let read = (method, target.path.as_deref());
            assert_eq!(read, expected.unwrap_or_default(), "{case}");
            assert_eq!(target.is_unreadable, expected.is_err(), "{case}");
        }
    }

    #[test]
    fn rejects_non_ascii_uris() {
        let mut headers = HeaderMap::new();
        headers.append(URI, HeaderValue::from_bytes(b"/\xff").unwrap());
        assert!(ForwardedTarget::read(&headers).is_unreadable);
    }
}
