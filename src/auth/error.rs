//! What can go wrong: [`AuthError`] with a request, [`SetupError`] with the start.
//!
//! Neither has a place to put a token, a claim or a library's message: what a caller sees comes
//! from the fixed catalogue in this file, and status codes are `problem.rs`'s alone.

use std::{fmt, sync::Arc, time::Duration};

use warp::reject::Reject;

use crate::auth::display::ShownUrl;

/// Why a request was refused.
///
/// `Display` states the fact in lower case; [`detail`](Self::detail) is the same as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthError {
    /// No credential, or one of another scheme: *unauthenticated*, not malformed (RFC 6750 §3.1).
    MissingToken,
    /// `Bearer` with nothing, or with characters outside `b64token` (RFC 6750 §2.1).
    MalformedAuthorization,
    /// Two `Authorization` fields, or two credentials in one (RFC 9110 §11.6.2).
    MultipleCredentials,
    /// Over [`MAX_TOKEN`](crate::auth::MAX_TOKEN) bytes of token.
    TokenTooLarge,
    /// Not three dot-separated parts: an opaque token or a JWE.
    TokenNotJwt,
    /// Not strict base64url, not a JSON object, or a member twice (RFC 7515 §4, RFC 7519 §4).
    TokenMalformed,
    /// `crit` or `b64` in the header: extensions that we do not implement (RFC 7515 §4.1.11).
    UnsupportedCriticalHeader,
    /// A `typ` that no access token has (RFC 8725 §3.11).
    WrongTokenType,
    /// `alg` is not allowed here, or not for the key that the token names (RFC 8725 §3.1).
    AlgorithmNotAllowed,
    /// `iss` is none of ours.
    UnknownIssuer,
    /// No key of the issuer's fits.
    UnknownKey,
    /// The signature does not verify.
    BadSignature,
    /// `exp` has passed (RFC 7519 §4.1.4).
    TokenExpired,
    /// `nbf` or `iat` lies ahead (RFC 7519 §4.1.5).
    TokenNotYetValid,
    /// `aud` names none of our audiences (RFC 7519 §4.1.3).
    WrongAudience,
    /// `iss`, `aud` or `exp` is absent.
    MissingClaim,
    /// A registered claim is not of its JSON type, or your own claims do not fit their type.
    InvalidClaim,
    /// The token is bound to a key by `cnf`, which a bearer request cannot show (RFC 7800).
    TokenBound,
    /// A scope that the route requires is not granted (RFC 6750 §3.1).
    InsufficientScope,
    /// A permission, role or other rule of the route is not met.
    InsufficientPermissions,
    /// No usable keys are held: the issuer cannot be reached, or answers no key set.
    KeysUnavailable {
        /// When asking again makes sense.
        retry_after: Duration,
    },
}

/// The error codes of RFC 6750 §3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BearerError {
    /// The request is malformed.
    InvalidRequest,
    /// The token is not acceptable.
    InvalidToken,
    /// The token is good but not for this.
    InsufficientScope,
}

impl BearerError {
    /// The code as it stands in a challenge.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
        }
    }
}

impl AuthError {
    /// One of each, in the order in which verification meets them.
    pub const ALL: [Self; 21] = [
        Self::MissingToken,
        Self::MalformedAuthorization,
        Self::MultipleCredentials,
        Self::TokenTooLarge,
        Self::TokenNotJwt,
        Self::TokenMalformed,
        Self::AlgorithmNotAllowed,
        Self::UnsupportedCriticalHeader,
        Self::WrongTokenType,
        Self::UnknownIssuer,
        Self::WrongAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::MissingClaim,
        Self::InvalidClaim,
        Self::TokenBound,
        Self::KeysUnavailable {
            retry_after: Duration::from_secs(1),
        },
        Self::UnknownKey,
        Self::BadSignature,
        Self::InsufficientScope,
        Self::InsufficientPermissions,
    ];

    /// RFC 6750's error code; none where the request is merely unauthenticated, and none where
    /// the caller's token is not at fault.
    pub const fn error(self) -> Option<BearerError> {
        self.entry().0
    }

    /// The stable code of this refusal, the `code` member of the body.
    pub const fn code(self) -> &'static str {
        self.entry().1
    }

    /// One sentence of printable ASCII for the caller.
    pub const fn detail(self) -> &'static str {
        self.entry().2
    }

    #[rustfmt::skip]
    const fn entry(self) -> (Option<BearerError>, &'static str, &'static str) {
        use BearerError::{InsufficientScope, InvalidRequest, InvalidToken};
        match self {
            Self::MissingToken => (None, "missing_token", "This resource needs an access token: send it as Authorization: Bearer."),
            Self::MalformedAuthorization => (Some(InvalidRequest), "malformed_authorization", "The Authorization field is not the word Bearer, a space and one token."),
            Self::MultipleCredentials => (Some(InvalidRequest), "multiple_credentials", "The request carries more than one credential."),
            Self::TokenTooLarge => (Some(InvalidRequest), "token_too_large", "The access token is larger than 16 KiB."),
            Self::TokenNotJwt => (Some(InvalidToken), "token_not_jwt", "The access token is not a signed JWT; was it requested with an audience?"),
            Self::TokenMalformed => (Some(InvalidToken), "token_malformed", "The access token is not a well-formed JWT."),
            Self::UnsupportedCriticalHeader => (Some(InvalidToken), "unsupported_critical_header", "The access token needs a header extension that is not supported here."),
            Self::WrongTokenType => (Some(InvalidToken), "wrong_token_type", "The token is of a type that is no access token."),
            Self::AlgorithmNotAllowed => (Some(InvalidToken), "algorithm_not_allowed", "The access token is signed with an algorithm that is not allowed here."),
            Self::UnknownIssuer => (Some(InvalidToken), "unknown_issuer", "The access token is from an issuer that is not trusted here."),
            Self::UnknownKey => (Some(InvalidToken), "unknown_key", "The access token is signed with a key that its issuer does not publish."),
            Self::BadSignature => (Some(InvalidToken), "bad_signature", "The signature of the access token is wrong."),
            Self::TokenExpired => (Some(InvalidToken), "token_expired", "The access token has expired."),
            Self::TokenNotYetValid => (Some(InvalidToken), "token_not_yet_valid", "The access token is not valid yet."),
            Self::WrongAudience => (Some(InvalidToken), "wrong_audience", "The access token is for another audience."),
            Self::MissingClaim => (Some(InvalidToken), "missing_claim", "The access token lacks one of the claims iss, aud and exp."),
            Self::InvalidClaim => (Some(InvalidToken), "invalid_claim", "The claims of the access token do not have the types that are expected here."),
            Self::TokenBound => (Some(InvalidToken), "token_bound", "The access token is bound to a key and cannot be used as a plain bearer token."),
            Self::InsufficientScope => (Some(InsufficientScope), "insufficient_scope", "The access token does not grant the scope that this resource requires."),
            Self::InsufficientPermissions => (Some(InsufficientScope), "insufficient_permissions", "The access token does not grant what this resource requires."),
            Self::KeysUnavailable { .. } => (None, "keys_unavailable", "The keys to verify access tokens with are not available at the moment."),
        }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = self.detail().trim_end_matches('.');
        let (first, rest) = sentence.split_at(1);
        write!(f, "{}{rest}", first.to_ascii_lowercase())
    }
}

impl std::error::Error for AuthError {}

/// What a challenge says beside the error: the part that the route knows (RFC 6750 §3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// The protection space, printable ASCII without `"` and `\`.
    pub realm: Arc<str>,
    /// The scopes that would suffice, separated by spaces; none where scopes are not the point.
    pub scope: Option<Arc<str>>,
    /// Where the metadata of the protected resource is (RFC 9728 §5.1).
    pub resource_metadata: Option<Arc<str>>,
}

/// A refusal as warp carries it: the error, and the challenge to answer with.
///
/// Look for it with `rejection.find::<Refusal>()`.
///
/// ```
/// use std::convert::Infallible;
/// use warp::{Filter, Rejection, Reply, http::{HeaderValue, StatusCode}, reply::Response};
/// use warp_bearer::auth::{Auth, AuthError, Claims, Refusal, status, with_auth};
///
/// /// Answers of one's own: text, and never without the challenge.
/// async fn as_text(rejection: Rejection) -> Result<Response, Infallible> {
///     let Some(refusal) = rejection.find::<Refusal>() else {
///         return Ok(StatusCode::NOT_FOUND.into_response());
///     };
///     let text = warp::reply::with_status(refusal.error.detail(), status(refusal.error));
///     let mut answer = text.into_response();
///     if let Some(Ok(challenge)) = refusal.www_authenticate().map(HeaderValue::try_from) {
///         answer.headers_mut().insert("www-authenticate", challenge);
///     }
///     Ok(answer)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let me = warp::path!("me").and(with_auth(&auth)).map(|_: Claims| "you").recover(as_text);
/// let answer = warp::test::request().path("/me").reply(&me).await;
/// assert_eq!(answer.status(), 401);
/// assert_eq!(answer.body(), AuthError::MissingToken.detail());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub error: AuthError,
    /// The realm, and the scope where the route knows one.
    pub challenge: Challenge,
}

impl Reject for Refusal {}

impl Refusal {
    /// The value of `WWW-Authenticate`, or none where no other token would help (503).
    pub fn www_authenticate(&self) -> Option<String> {
        if matches!(self.error, AuthError::KeysUnavailable { .. }) {
            return None;
        }
        let Challenge {
            realm,
            resource_metadata,
            ..
        } = &self.challenge;
        let error = self.error.error();
        let parameters = [
            parameter("Bearer realm=\"", Some(realm)),
            parameter(", error=\"", error.map(BearerError::as_str)),
            parameter(", error_description=\"", error.map(|_| self.error.detail())),
            parameter(", scope=\"", self.scope()),
            parameter(", resource_metadata=\"", resource_metadata.as_deref()),
        ];
        Some(parameters.as_flattened().concat())
    }

    /// A scope helps whoever has no token yet, and whoever's token grants too little; it would
    /// mislead where a permission or a role is what is missing.
    fn scope(&self) -> Option<&str> {
        match self.error {
            AuthError::MissingToken | AuthError::InsufficientScope => {
                self.challenge.scope.as_deref()
            }
            _ => None,
        }
    }
}

/// Nothing where there is no value.
fn parameter<'v>(opening: &'static str, value: Option<&'v str>) -> [&'v str; 3] {
    value.map_or([""; 3], |value| [opening, value, "\""])
}

/// Why an [`Auth`](crate::auth::Auth) could not be built: a fault of the configuration, never of the
/// network, which is tried later and again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No issuer was given.
    #[error("no issuer is configured")]
    NoIssuer,
    /// No audience was given, or an empty one: tokens for everybody would pass.
    #[error("no audience is configured")]
    NoAudience,
    /// The allow-list of algorithms is empty.
    #[error("no algorithm is allowed")]
    NoAlgorithm,
    /// An issuer or key set address that cannot be used.
    #[error("{:?} {fault}", ShownUrl::new(url))]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// `HS256` is allowed and there is no secret to verify it with.
    #[error("HS256 needs a signing secret")]
    NoSecret,
    /// A signing secret of fewer than 32 bytes (RFC 7518 §3.2), or one that nothing uses.
    #[error("{0}")]
    Secret(&'static str),
    /// A number out of its range.
    #[error("{0}")]
    Range(&'static str),
    /// A realm that a quoted string cannot carry.
    #[error("a realm is printable ASCII without quotes and backslashes")]
    Realm,
    /// One key set or secret, and several issuers: whoever signs for one could sign for all.
    #[error("one key set or secret cannot serve several issuers")]
    AmbiguousKeySet,
    /// The fixed key set holds no key that one of the allowed algorithms can use.
    #[error("the key set: {0}")]
    KeySet(#[from] crate::auth::keys::key_set::NoKeys),
    /// Key sets are kept fresh by a task, so that an `Auth` is built within a tokio runtime.
    #[error("an Auth that fetches keys is built within a tokio runtime")]
    NoRuntime,
}

/// What is wrong with the address of an issuer or of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// It does not parse as an absolute URL.
    #[error("is not a URL")]
    NotAUrl,
    /// Neither https nor http on loopback.
    #[error("is not https, which only a loopback address may go without")]
    NotHttps,
    /// With user information, a query or a fragment (RFC 8414 §2, RFC 9728 §1.2).
    #[error(
        "carries user information, a query or a fragment, which neither an issuer nor a resource has"
    )]
    Decorated,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_reads_fits_a_quoted_string() {
        for error in AuthError::ALL {
            let fits = |c: u8| matches!(c, b' '..=b'~') && c != b'"' && c != b'\\';
            assert!(error.detail().bytes().all(fits), "{error:?}");
            assert!(error.detail().ends_with(['.', '?']), "{error:?}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let url = "https://me:hunter2@a.example/?code=hunter2".to_owned();
        let fault = UrlFault::Decorated;
        let told = SetupError::Url { url, fault }.to_string();
        assert!(
            told.starts_with(r#""https://…@a.example/?…" carries"#),
            "{told}"
        );
    }

    #[test]
    fn display_states_the_fact() {
        let told = AuthError::TokenExpired.to_string();
        assert_eq!(told, "the access token has expired");
    }

    #[test]
    fn a_scope_stands_in_the_challenge_only_where_it_helps() {
        for error in AuthError::ALL {
            let refusal = Refusal {
                error,
                challenge: Challenge {
                    realm: "api".into(),
                    scope: Some("a b".into()),
                    resource_metadata: None,
                },
            };
            let told = refusal.www_authenticate().unwrap_or_default();
            let helps = matches!(
                error,
                AuthError::MissingToken | AuthError::InsufficientScope
            );
            assert_eq!(told.contains(r#"scope="a b""#), helps, "{error:?}");
        }
    }
}
