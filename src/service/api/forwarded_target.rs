//! [`ForwardedTarget`]: the method and path of the request that a proxy asks `/auth` about.
//!
//! They are compared only with a DPoP proof. The proxy must overwrite both fields, as the examples
//! do: a caller who could choose them could use a proof that was made for another request.

use warp::http::{
    HeaderMap, HeaderName, Method,
    header::{AUTHORIZATION, HeaderValue},
};

use crate::auth::{Problem, RequestHead};

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
/// Path and query, as the client sent them.
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The method and path named by the proxy. If they are absent, no proof matches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::service) struct ForwardedTarget {
    method: Option<Method>,
    path: Option<String>,
}

impl ForwardedTarget {
    /// Reads the fields, unless the request uses the scheme `Bearer`, which needs no proof.
    ///
    /// # Errors
    /// [`Problem::BadRequest`] if a field is repeated, the method is invalid, or the URI is not a
    /// path.
    pub(in crate::service) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        if is_bearer(headers) {
            return Ok(Self::default());
        }
        let method = only(headers, &METHOD)?;
        let path = only(headers, &URI)?;
        Ok(Self {
            method: method.map(read_method).transpose()?,
            path: path.map(read_path).transpose()?,
        })
    }

    /// Returns the head of the client's request, with the fields of the proxy's request.
    pub(in crate::service) fn head<'a>(&'a self, headers: &'a HeaderMap) -> RequestHead<'a> {
        match (&self.method, &self.path) {
            (Some(method), Some(path)) => RequestHead::forwarded(method, path, headers),
            _ => RequestHead::without_target(headers),
        }
    }
}

fn is_bearer(headers: &HeaderMap) -> bool {
    const SCHEME: &[u8] = b"bearer";
    let field = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let scheme = field.and_then(|field| field.get(..SCHEME.len()));
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Problem> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next(), fields.next()) {
        (_, Some(_)) => Err(Problem::BadRequest),
        (field, None) => Ok(field),
    }
}

fn read_method(field: &HeaderValue) -> Result<Method, Problem> {
    Method::from_bytes(field.as_bytes()).map_err(|_| Problem::BadRequest)
}

fn read_path(field: &HeaderValue) -> Result<String, Problem> {
    let uri = field.to_str().map_err(|_| Problem::BadRequest)?;
    let is_fine = |byte: u8| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#';
    if !uri.starts_with('/') || !uri.bytes().all(is_fine) {
        return Err(Problem::BadRequest);
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
    fn reads_one_method_and_one_path() {
        const GET: (&str, &str) = ("x-forwarded-method", "GET");
        const A: (&str, &str) = ("x-forwarded-uri", "/a");
        let bad = Err(Problem::BadRequest);
        #[rustfmt::skip]
        let rows: [(&str, Fields, Result<Target, Problem>); 21] = [
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
            ("a blank", &[GET, ("x-forwarded-uri", "/a b")], bad),
            ("a backslash", &[GET, ("x-forwarded-uri", "/a\\b")], bad),
            ("a fragment", &[GET, ("x-forwarded-uri", "/a#b")], bad),
            ("a bearer token", &[("authorization", "bearer a"), GET, GET], Ok((None, None))),
        ];
        for (case, fields, expected) in rows {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let read = ForwardedTarget::read(&headers);
            let read = read.as_ref().map(|target| {
                (
                    target.method.as_ref().map(Method::as_str),
                    target.path.as_deref(),
                )
            });
            assert_eq!(read.map_err(|problem| *problem), expected, "{case}");
        }
    }

    #[test]
    fn an_odd_uri_beyond_ascii_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append(URI, HeaderValue::from_bytes(b"/\xff").unwrap());
        assert_eq!(ForwardedTarget::read(&headers), Err(Problem::BadRequest));
    }
}
