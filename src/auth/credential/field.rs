//! Extracts the token from a header that is configured instead of `Authorization`. Its value has no
//! scheme.
//!
//! Identity-aware proxies send such headers, e.g. `Cf-Access-Jwt-Assertion`,
//! `X-Goog-Iap-Jwt-Assertion` or `X-Forwarded-Access-Token`. The characters of the token are
//! checked as in `bearer.rs`.

use http::{HeaderMap, HeaderName};

use crate::auth::error::AuthError;

/// The token in the header `name`.
///
/// # Errors
/// [`AuthError::MissingToken`] if the header is absent, and an `invalid_request` error if it is
/// empty or repeated.
pub(crate) fn token<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h [u8], AuthError> {
    let mut fields = headers.get_all(name).iter();
    let Some(field) = fields.next() else {
        return Err(AuthError::MissingToken);
    };
    // As with `Authorization`: a proxy might have checked only the one we'd ignore.
    if fields.next().is_some() {
        return Err(AuthError::MultipleCredentials);
    }
    let token = field.as_bytes();
    if token.is_empty() {
        return Err(AuthError::MalformedAuthorization);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn accepts_exactly_one_field_without_a_scheme() {
        const NAME: HeaderName = HeaderName::from_static("x-forwarded-access-token");
        use AuthError::{MalformedAuthorization, MissingToken, MultipleCredentials};
        for (case, fields, expected) in [
            ("none", &[][..], Err(MissingToken)),
            ("one", &["a.b.c"], Ok(&b"a.b.c"[..])),
            ("empty", &[""], Err(MalformedAuthorization)),
            ("two", &["a.b.c", "a.b.c"], Err(MultipleCredentials)),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(NAME, HeaderValue::from_static(field));
            }
            // `Authorization` is never read
            let authorization = HeaderValue::from_static("Bearer x.y.z");
            headers.insert(http::header::AUTHORIZATION, authorization);
            assert_eq!(token(&headers, &NAME), expected, "{case}");
        }
    }
}
