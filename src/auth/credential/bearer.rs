//! Extracts the token from the `Authorization` header field (RFC 6750 §2.1).
//!
//! This module only checks the syntax of the header. `verifier.rs` verifies the token. Tokens in
//! query parameters, which RFC 9700 §4.3.2 forbids, and in form bodies, which RFC 6750 §2.2 makes
//! optional, are never read.
//!
//! The characters of a token are checked only if it couldn't be parsed. Otherwise there's no need
//! to -- the parts of a parsed token are valid base64url, and a cached token equals a verified one
//! byte for byte.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use crate::auth::{challenge::Scheme, credential::Credential, error::AuthError};

/// The default maximum length of a token in bytes: 16 KiB. See
/// [`Builder::max_token_bytes`](crate::auth::Builder::max_token_bytes).
pub const MAX_TOKEN: usize = 16 * 1024;

/// The credential in `Authorization`. The scheme is `Bearer`, or `DPoP` if it is enabled.
///
/// # Errors
/// [`AuthError::MissingToken`] if there is no credential, or if it has another scheme. An
/// `invalid_request` error if there are several credentials, or a malformed one.
pub(crate) fn credential(
    headers: &HeaderMap,
    is_dpop_enabled: bool,
) -> Result<Credential<'_>, AuthError> {
    let field = the_field(headers)?;
    let (token, scheme) = match after_scheme(field, BEARER) {
        Err(AuthError::MissingToken) if is_dpop_enabled => {
            (after_scheme(field, DPOP)?, Scheme::Dpop)
        }
        token => (token?, Scheme::Bearer),
    };
    let scheme = Some(scheme);
    Ok(Credential { token, scheme })
}

/// The scheme in `Authorization` if we support it, even if the credential is malformed.
pub(crate) fn scheme(headers: &HeaderMap) -> Option<Scheme> {
    let field = headers.get(AUTHORIZATION)?;
    let is_of = |scheme| after_scheme(field, scheme) != Err(AuthError::MissingToken);
    if is_of(BEARER) {
        return Some(Scheme::Bearer);
    }
    is_of(DPOP).then_some(Scheme::Dpop)
}

/// False if there is no `Authorization`, or only one with the name of another scheme. A header in
/// which we can't find a scheme counts, because another program might find a token in it.
#[cfg(feature = "warp")]
pub(crate) fn may_have_credential(headers: &HeaderMap) -> bool {
    match the_field(headers) {
        Err(AuthError::MissingToken) => false,
        Err(_) => true,
        Ok(field) => {
            let field = field.as_bytes();
            let length = field.iter().take_while(|c| is_tchar(**c)).count();
            let has_name = length > 0 && matches!(field.get(length), None | Some(b' '));
            // a proxy may have joined two headers with a comma
            let mut others = field.split(|c| *c == b',').skip(1).map(<[u8]>::trim_ascii);
            let is_ours =
                |other| [BEARER, DPOP].map(|scheme| after_name(other, scheme)) != [None; 2];
            let has_other = others.any(is_ours);
            !has_name || has_other || scheme(headers).is_some()
        }
    }
}

const BEARER: &[u8] = b"bearer";

const DPOP: &[u8] = b"dpop";

fn the_field(headers: &HeaderMap) -> Result<&HeaderValue, AuthError> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Err(AuthError::MissingToken);
    };
    // Two headers are an attack or a bug. If we picked one of them, a proxy in front of us might
    // have checked only the other.
    if fields.next().is_some() {
        return Err(AuthError::MultipleCredentials);
    }
    Ok(field)
}

/// Checks a token as if it had been sent in `Authorization`.
#[cfg(feature = "service")]
pub(crate) fn check_credential(token: &str, limit: usize) -> Result<(), AuthError> {
    // fails for bytes that a header can't contain
    let field = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes())
        .map_err(|_| AuthError::MalformedAuthorization)?;
    let token = after_scheme(&field, BEARER)?;
    within_limit(token, limit)?;
    ill_formed(token).map_or(Ok(()), Err)
}

/// Checks the syntax of a header value. The token may still be too large.
#[cfg(feature = "service")]
pub(crate) fn check_field(
    field: &HeaderValue,
    limit: usize,
    is_dpop_enabled: bool,
) -> Result<&[u8], AuthError> {
    let token = match after_scheme(field, BEARER) {
        Err(AuthError::MissingToken) if is_dpop_enabled => after_scheme(field, DPOP)?,
        token => token?,
    };
    // Verification rejects a token that's too large before it looks at the characters, so leave it
    // alone
    if within_limit(token, limit).is_ok()
        && let Some(error) = ill_formed(token)
    {
        return Err(error);
    }
    Ok(token)
}

fn after_scheme<'a>(field: &'a HeaderValue, scheme: &[u8]) -> Result<&'a [u8], AuthError> {
    // Fast path for what clients usually send. `after_any_scheme` takes 200 more instructions.
    match field.as_bytes().strip_prefix(b"Bearer ") {
        Some(token @ [first, ..]) if *first != b' ' && scheme == BEARER => Ok(token),
        _ => after_any_scheme(field, scheme),
    }
}

fn after_any_scheme<'a>(field: &'a HeaderValue, scheme: &[u8]) -> Result<&'a [u8], AuthError> {
    let rest = after_name(field.as_bytes(), scheme);
    // a word that only begins with the name is another scheme
    let rest = rest.filter(|rest| !rest.first().copied().is_some_and(is_tchar));
    let rest = rest.ok_or(AuthError::MissingToken)?;
    let spaces = rest.iter().take_while(|c| **c == b' ').count();
    let token = &rest[spaces..];
    if spaces == 0 || token.is_empty() {
        return Err(AuthError::MalformedAuthorization);
    }
    Ok(token)
}

/// The text after a name, in any case.
fn after_name<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = text.split_at_checked(name.len())?;
    begin.eq_ignore_ascii_case(name).then_some(rest)
}

pub(crate) fn within_limit(token: &[u8], limit: usize) -> Result<(), AuthError> {
    if token.len() > limit {
        return Err(AuthError::TokenTooLarge);
    }
    Ok(())
}

/// Picks the error for a rejected token: an error about the header if the token couldn't be parsed
/// and has invalid characters, and otherwise `error`.
pub(crate) fn error_to_report(token: &[u8], error: AuthError) -> AuthError {
    match error {
        AuthError::TokenNotJwt | AuthError::TokenMalformed => ill_formed(token).unwrap_or(error),
        _ => error,
    }
}

/// An error if the token has characters that a bearer token can't have. A comma means that a proxy
/// has joined two headers (RFC 9110 §5.3).
fn ill_formed(token: &[u8]) -> Option<AuthError> {
    if is_b64token(token) {
        None
    } else if token.contains(&b',') {
        Some(AuthError::MultipleCredentials)
    } else {
        Some(AuthError::MalformedAuthorization)
    }
}

/// `b64token` (RFC 6750 §2.1):
/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
pub(crate) fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|c| **c == b'=').count();
    let body = &token[..token.len() - padding];
    #[allow(clippy::needless_bitwise_bool)]
    // No branches and few ranges. This lets the compiler check 16 bytes at once (a token has about
    // 1,000). `-`, `.` and `/` come right before the digits, and upper and lower case letters
    // differ only in bit 5.
    let fits = |c: u8| {
        (c.wrapping_sub(b'-') <= b'9' - b'-')
            | ((c | 0x20).wrapping_sub(b'a') < 26)
            | (c == b'_')
            | (c == b'~')
            | (c == b'+')
    };
    !body.is_empty() && body.iter().fold(true, |all, c| all & fits(*c))
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_tchar(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_one_scheme_and_one_token() {
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
            ("no token", "Bearer", Err(MalformedAuthorization)),
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
            ("padding inside", "Bearer a=b", Err(MalformedAuthorization)),
            ("a comma", "Bearer a, Bearer b", Err(MultipleCredentials)),
            ("a bare comma", "Bearer a,b", Err(MultipleCredentials)),
        ] {
            let field = HeaderValue::from_str(field).unwrap();
            assert_eq!(read(&field), expected.map(str::as_bytes), "{case}");
        }
    }

    /// Reads a header as if its token couldn't be parsed, so that the characters are checked.
    fn read(field: &HeaderValue) -> Result<&[u8], AuthError> {
        let token = after_scheme(field, BEARER)?;
        match error_to_report(token, AuthError::TokenNotJwt) {
            AuthError::TokenNotJwt => Ok(token),
            error => Err(error),
        }
    }

    #[test]
    fn rejects_bytes_outside_ascii() {
        let field = HeaderValue::from_bytes(b"Bearer a\xff").unwrap();
        assert_eq!(read(&field), Err(AuthError::MalformedAuthorization));
    }

    #[test]
    fn accepts_a_token_of_the_maximum_length() {
        for (length, expected) in [
            (MAX_TOKEN - 1, true),
            (MAX_TOKEN, true),
            (MAX_TOKEN + 1, false),
        ] {
            let token = vec![b'a'; length];
            assert_eq!(
                within_limit(&token, MAX_TOKEN).is_ok(),
                expected,
                "{length}"
            );
        }
    }

    #[test]
    fn rejects_two_fields_whatever_their_values() {
        for second in ["Bearer a.b.c", "Basic YTpi", ""] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a.b.c"));
            headers.append(AUTHORIZATION, HeaderValue::from_str(second).unwrap());
            let read = credential(&headers, false).map(|read| read.token);
            assert_eq!(read, Err(AuthError::MultipleCredentials));
        }
    }

    #[test]
    fn accepts_the_dpop_scheme_only_if_enabled() {
        use AuthError::{MalformedAuthorization, MissingToken};
        for (case, field, expected) in [
            ("plain", "DPoP a.b.c", Ok("a.b.c")),
            ("lower case", "dpop a.b.c", Ok("a.b.c")),
            ("two spaces", "DPoP  a.b.c", Ok("a.b.c")),
            ("a longer scheme", "DPoPs a.b.c", Err(MissingToken)),
            ("a shorter scheme", "DPo a.b.c", Err(MissingToken)),
            ("no token", "DPoP", Err(MalformedAuthorization)),
            ("a tab", "DPoP\ta.b.c", Err(MalformedAuthorization)),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
            let read = credential(&headers, true);
            let read = read.map(|read| {
                assert_eq!(read.scheme, Some(Scheme::Dpop), "{case}");
                read.token
            });
            assert_eq!(read, expected.map(str::as_bytes), "{case}");
            let off = credential(&headers, false).map(|read| read.token);
            assert_eq!(off, Err(MissingToken), "{case}");
            let named = (expected != Err(MissingToken)).then_some(Scheme::Dpop);
            assert_eq!(scheme(&headers), named, "{case}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Compares with a second implementation of RFC 6750 §2.1, which parses from right to left.
        #[test]
        fn reads_the_token_after_the_last_space(field in "[Bb]earer[ \t=,a]{0,3}[ -~]{0,12}") {
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
