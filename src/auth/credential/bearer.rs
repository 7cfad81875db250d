//! The `Authorization` header field → the token, as RFC 6750 §2.1 has it.
//!
//! It judges the field, never the token: what the token says is `verifier.rs`'s business. It looks
//! at no query parameter and no body (RFC 9700 §4.3.2).
//!
//! The characters of a token are looked at last, and only where it could not be read: three parts in
//! base64url have none but a token's, and a token that was verified before is the same to the byte.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use crate::auth::error::AuthError;

/// The most bytes that a token may have: 16 KiB.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Takes what should be a bearer token out of a request's header fields.
///
/// # Errors
/// [`AuthError::MissingToken`] where there is no credential or one of another scheme; one of the
/// `invalid_request` errors where there is no single one.
pub(crate) fn token(headers: &HeaderMap) -> Result<&[u8], AuthError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Err(AuthError::MissingToken);
    };
    // Two fields are an attack or a bug; choosing one would let a proxy and us disagree.
    if fields.next().is_some() {
        return Err(AuthError::MultipleCredentials);
    }
    credential(field)
}

/// What would be said of a field that has this token in it.
#[cfg(feature = "service")]
pub(crate) fn judged(token: &str) -> Result<(), AuthError> {
    // What no field can carry, no field has.
    let field = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes())
        .map_err(|_| AuthError::MalformedAuthorization)?;
    let token = credential(&field)?;
    within_limit(token)?;
    ill_formed(token).map_or(Ok(()), Err)
}

fn credential(field: &HeaderValue) -> Result<&[u8], AuthError> {
    const SCHEME: &[u8] = b"bearer";
    let parts = field.as_bytes().split_at_checked(SCHEME.len());
    let bearer = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case(SCHEME));
    // A longer word is the name of another scheme.
    let bearer = bearer.filter(|(_, rest)| !rest.first().copied().is_some_and(is_tchar));
    let (_, rest) = bearer.ok_or(AuthError::MissingToken)?;
    let spaces = rest.iter().take_while(|c| **c == b' ').count();
    let token = &rest[spaces..];
    if spaces == 0 || token.is_empty() {
        return Err(AuthError::MalformedAuthorization);
    }
    Ok(token)
}

pub(crate) fn within_limit(token: &[u8]) -> Result<(), AuthError> {
    if token.len() > MAX_TOKEN {
        return Err(AuthError::TokenTooLarge);
    }
    Ok(())
}

/// Why a token was refused: one that could not be read may be none at all.
pub(crate) fn blame(token: &[u8], error: AuthError) -> AuthError {
    match error {
        AuthError::TokenNotJwt | AuthError::TokenMalformed => ill_formed(token).unwrap_or(error),
        _ => error,
    }
}

/// What is wrong with the characters of a token, if anything is. A comma is how a proxy joins two
/// fields into one (RFC 9110 §5.3).
fn ill_formed(token: &[u8]) -> Option<AuthError> {
    if is_b64token(token) {
        None
    } else if token.contains(&b',') {
        Some(AuthError::MultipleCredentials)
    } else {
        Some(AuthError::MalformedAuthorization)
    }
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|c| **c == b'=').count();
    let body = &token[..token.len() - padding];
    #[allow(clippy::needless_bitwise_bool)]
    // Without a branch and in few ranges, so that the compiler takes sixteen bytes at once: a token
    // has a thousand. `-`, `.` and `/` stand before the digits; bit 5 is all that letters differ in.
    let fits = |c: u8| {
        (c.wrapping_sub(b'-') <= b'9' - b'-')
            | ((c | 0x20).wrapping_sub(b'a') < 26)
            | (c == b'_')
            | (c == b'~')
            | (c == b'+')
    };
    !body.is_empty() && body.iter().fold(true, |all, c| all & fits(*c))
}

/// RFC 9110 §5.6.2.
fn is_tchar(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_field_is_one_scheme_and_one_token() {
        use AuthError::{MalformedAuthorization, MissingToken, MultipleCredentials};
        for (case, field, expected) in [
            ("plain", "Bearer a.b.c", Ok("a.b.c")),
            ("lower case", "bearer a.b.c", Ok("a.b.c")),
            ("upper case", "BEARER a.b.c", Ok("a.b.c")),
            ("two spaces", "Bearer  a.b.c", Ok("a.b.c")),
            ("every character", "Bearer aZ09-._~+/==", Ok("aZ09-._~+/==")),
            ("empty", "", Err(MissingToken)),
            ("another scheme", "Basic YTpi", Err(MissingToken)),
            ("a longer scheme", "Bearers a.b.c", Err(MissingToken)),
            ("no space", "Bearera.b.c", Err(MissingToken)),
            ("nothing", "Bearer", Err(MalformedAuthorization)),
            ("only spaces", "Bearer  ", Err(MalformedAuthorization)),
            ("a tab", "Bearer\ta.b.c", Err(MalformedAuthorization)),
            (
                "a tab after the space",
                "Bearer \ta.b.c",
                Err(MalformedAuthorization),
            ),
            ("a colon", "Bearer: a.b.c", Err(MalformedAuthorization)),
            ("quotes", "Bearer \"a.b.c\"", Err(MalformedAuthorization)),
            ("two tokens", "Bearer a.b.c d", Err(MalformedAuthorization)),
            ("only padding", "Bearer ==", Err(MalformedAuthorization)),
            ("padding within", "Bearer a=b", Err(MalformedAuthorization)),
            ("a comma", "Bearer a, Bearer b", Err(MultipleCredentials)),
            ("a bare comma", "Bearer a,b", Err(MultipleCredentials)),
        ] {
            let field = HeaderValue::from_str(field).unwrap();
            assert_eq!(read(&field), expected.map(str::as_bytes), "{case}");
        }
    }

    /// A token that turns out not to be one.
    fn read(field: &HeaderValue) -> Result<&[u8], AuthError> {
        let token = credential(field)?;
        match blame(token, AuthError::TokenNotJwt) {
            AuthError::TokenNotJwt => Ok(token),
            error => Err(error),
        }
    }

    #[test]
    fn bytes_beyond_ascii_are_malformed() {
        let field = HeaderValue::from_bytes(b"Bearer a\xff").unwrap();
        assert_eq!(read(&field), Err(AuthError::MalformedAuthorization));
    }

    #[test]
    fn the_limit_is_inclusive() {
        for (length, expected) in [
            (MAX_TOKEN - 1, true),
            (MAX_TOKEN, true),
            (MAX_TOKEN + 1, false),
        ] {
            let token = vec![b'a'; length];
            assert_eq!(within_limit(&token).is_ok(), expected, "{length}");
        }
    }

    #[test]
    fn two_fields_are_refused_whatever_they_hold() {
        for second in ["Bearer a.b.c", "Basic YTpi", ""] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
            headers.append(AUTHORIZATION, HeaderValue::from_str(second).unwrap());
            assert_eq!(token(&headers), Err(AuthError::MultipleCredentials));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// RFC 6750 §2.1, read from right to left.
        #[test]
        fn a_token_is_what_stands_after_the_last_space(field in "[Bb]earer[ \t=,a]{0,3}[ -~]{0,12}") {
            let field = HeaderValue::from_str(&field).unwrap();
            let text = field.to_str().unwrap();
            if let Ok(token) = read(&field) {
                let (scheme, last) = text.rsplit_once(' ').unwrap();
                let token = str::from_utf8(token).unwrap();
                prop_assert_eq!(last, token);
                prop_assert!(scheme.trim_end_matches(' ').eq_ignore_ascii_case("bearer"));
                let body = token.trim_end_matches('=');
                let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
                prop_assert!(!body.is_empty() && body.chars().all(fits));
            }
        }
    }
}
