//! The error types: [`AuthError`] for requests and [`SetupError`] for the configuration.
//!
//! An [`AuthError`] never contains a token, a claim or an error message of another library. Callers
//! only see the fixed messages in this file.

use std::{fmt, time::Duration};

use http::StatusCode;

pub use crate::algorithm::UnknownAlgorithm;

use crate::auth::display::ShownUrl;

macro_rules! auth_errors {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $({ $field:ident: $type:ty = $example:expr })?
            => $status:ident, $error:expr, $code:literal, $detail:literal;
    )+) => {
        /// The reason why a request was rejected.
        ///
        /// The `Display` output is [`detail`](Self::detail), starting in lower case and without the
        /// full stop at the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum AuthError {
            $( $(#[doc = $doc])+ $name $({
                /// How long to wait before trying again.
                $field: $type,
            })?, )+
        }

impl AuthError {
            /// Every error, roughly in the order of the checks that return them.
            pub const ALL: &'static [Self] = &[$( Self::$name $({ $field: $example })? ),+];

            const fn entry(self) -> Entry {
                match self {
                    $( Self::$name $({ $field: _ })? => Entry {
                        status: StatusCode::$status,
                        error: $error,
                        code: $code,
                        detail: $detail,
                    }, )+
                }
            }
        }
    };
}

impl AuthError {
    /// [`detail`](Self::detail) for services that read tokens from a header other than
    /// `Authorization`.
    pub(crate) const fn detail_for_own_field(self) -> &'static str {
        match self {
            Self::MissingToken => {
                "This resource needs an access token, in the header field that the service reads instead of Authorization."
            }
            Self::MalformedAuthorization => {
                "The header field that the service reads instead of Authorization must contain one token, without a scheme."
            }
            _ => self.detail(),
        }
    }
}

struct Entry {
    status: StatusCode,
    error: Option<BearerError>,
    code: &'static str,
    detail: &'static str,
}

// Each row has the meaning, the status, the `error` value (RFC 6750), the code, and a sentence for
// the caller in printable ASCII.
#[rustfmt::skip]
auth_errors! {
    /// The request has no credential, or one with an unsupported scheme. The challenge then has no
    /// error code (RFC 6750 §3.1).
    MissingToken => UNAUTHORIZED, None, "missing_token", "This resource needs an access token: send it as Authorization: Bearer.";
    /// `Bearer` without a token, or with characters outside `b64token` (RFC 6750 §2.1).
    MalformedAuthorization => BAD_REQUEST, Some(BearerError::InvalidRequest), "malformed_authorization", "The Authorization field must be the scheme (Bearer, or DPoP with a proof), a space and one token.";
    /// Two `Authorization` headers, or two credentials in one header (RFC 9110 §11.6.2).
    MultipleCredentials => BAD_REQUEST, Some(BearerError::InvalidRequest), "multiple_credentials", "The request has more than one credential.";
    /// The token is longer than [`max_token_bytes`](crate::auth::Builder::max_token_bytes).
    TokenTooLarge => BAD_REQUEST, Some(BearerError::InvalidRequest), "token_too_large", "The access token is too large.";
    /// The token does not have three dot-separated parts: it is an opaque token or a JWE.
    TokenNotJwt => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_not_jwt", "The access token is not a signed JWT; was it requested with an audience?";
    /// The token cannot be decoded: a part is not strict base64url, is not a JSON object, or has a
    /// duplicate member (RFC 7515 §4, RFC 7519 §4).
    TokenMalformed => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_malformed", "The access token is not a well-formed JWT.";
    /// `alg` is not allowed, or does not match the key with the token's `kid` (RFC 8725 §3.1).
    AlgorithmNotAllowed => UNAUTHORIZED, Some(BearerError::InvalidToken), "algorithm_not_allowed", "The access token is signed with an algorithm that is not allowed here.";
    /// The header has `crit` or `b64`. No header extension is supported (RFC 7515 §4.1.11).
    UnsupportedCriticalHeader => UNAUTHORIZED, Some(BearerError::InvalidToken), "unsupported_critical_header", "The access token needs a header extension that is not supported here.";
    /// `typ` is not the type of an access token (RFC 8725 §3.11).
    WrongTokenType => UNAUTHORIZED, Some(BearerError::InvalidToken), "wrong_token_type", "The token is not an access token.";
    /// `iss` is not a trusted issuer.
    UnknownIssuer => UNAUTHORIZED, Some(BearerError::InvalidToken), "unknown_issuer", "The access token is from an issuer that is not trusted here.";
    /// `aud` contains no configured audience (RFC 7519 §4.1.3).
    WrongAudience => UNAUTHORIZED, Some(BearerError::InvalidToken), "wrong_audience", "The access token is for another audience.";
    /// `exp` (RFC 7519 §4.1.4) or the [maximum age](crate::auth::Builder::max_age) has passed.
    TokenExpired => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_expired", "The access token has expired.";
    /// `nbf` or `iat` is in the future (RFC 7519 §4.1.5).
    TokenNotYetValid => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_not_yet_valid", "The access token is not valid yet.";
    /// `iss`, `aud` or `exp` is missing, or a claim that [`max_age`](crate::auth::Builder::max_age)
    /// or [`rfc9068`](crate::auth::Builder::rfc9068) requires.
    MissingClaim => UNAUTHORIZED, Some(BearerError::InvalidToken), "missing_claim", "The access token lacks a required claim, such as iss, aud or exp.";
    /// A registered claim has the wrong JSON type, or the payload cannot be deserialized as your
    /// own claims type.
    InvalidClaim => UNAUTHORIZED, Some(BearerError::InvalidToken), "invalid_claim", "A claim of the access token has the wrong type.";
    /// The token is bound to a key or a certificate (`cnf`, RFC 7800), and the request does not
    /// prove possession of it, or this kind of binding is not enabled.
    TokenBound => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_bound", "The access token is bound to a key, and the request does not prove possession of the key.";
    /// There are no usable keys, because the issuer is unreachable or does not return a key set.
    KeysUnavailable { retry_after: Duration = Duration::from_secs(1) } => SERVICE_UNAVAILABLE, None, "keys_unavailable", "The keys to verify access tokens are not available at the moment.";
    /// No key of the issuer matches the token.
    UnknownKey => UNAUTHORIZED, Some(BearerError::InvalidToken), "unknown_key", "The access token is signed with a key that its issuer does not publish.";
    /// The signature is wrong.
    BadSignature => UNAUTHORIZED, Some(BearerError::InvalidToken), "bad_signature", "The signature of the access token is not valid.";
    /// The token is not bound to a key, but the issuer's DPoP mode or the scheme `DPoP` requires a
    /// bound token.
    TokenNotBound => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_not_bound", "The access token is not bound to a key, which this resource or the scheme DPoP requires.";
    /// The DPoP proof is missing, invalid, or for another request (RFC 9449 §4.3).
    InvalidProof => UNAUTHORIZED, Some(BearerError::InvalidDpopProof), "invalid_proof", "The request needs exactly one valid and recent DPoP proof for its method, URL and token.";
    /// The proof has no nonce from this service, or an expired one (RFC 9449 §9).
    NonceRequired => UNAUTHORIZED, Some(BearerError::UseDpopNonce), "nonce_required", "The DPoP proof needs the nonce in the DPoP-Nonce field of this response.";
    /// The proof was used before (RFC 9449 §11.1).
    ProofReplayed => UNAUTHORIZED, Some(BearerError::InvalidDpopProof), "proof_replayed", "The DPoP proof was used before; each request needs a new proof.";
    /// The record of used proofs is full, the store does not respond, or the list of revoked tokens
    /// is too old.
    StateUnavailable { retry_after: Duration = Duration::from_secs(1) } => SERVICE_UNAVAILABLE, None, "state_unavailable", "The record of used proofs and revoked tokens is not available at the moment.";
    /// The issuer's introspection endpoint says that the token is not active (RFC 7662 §2.2).
    TokenInactive => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_inactive", "The issuer says that the access token is not active.";
    /// The introspection endpoint did not return a readable response, or there were too many
    /// requests for unknown tokens.
    IntrospectionUnavailable { retry_after: Duration = Duration::from_secs(1) } => SERVICE_UNAVAILABLE, None, "introspection_unavailable", "The access token cannot be introspected at the moment.";
    /// The token is on the list of revoked tokens.
    TokenRevoked => UNAUTHORIZED, Some(BearerError::InvalidToken), "token_revoked", "The access token was revoked.";
    /// The user authenticated too long ago or too weakly for the route (RFC 9470 §3).
    InsufficientAuthentication => UNAUTHORIZED, Some(BearerError::InsufficientUserAuthentication), "insufficient_authentication", "This resource requires a more recent or a stronger authentication of the user.";
    /// The token does not grant a scope that the route requires (RFC 6750 §3.1).
    InsufficientScope => FORBIDDEN, Some(BearerError::InsufficientScope), "insufficient_scope", "The access token does not grant the scope that this resource requires.";
    /// The token does not meet a permission, role or other rule of the route.
    InsufficientPermissions => FORBIDDEN, Some(BearerError::InsufficientScope), "insufficient_permissions", "The access token does not grant what this resource requires.";
}

/// The error codes of RFC 6750 §3.1, RFC 9449 §7.1 and §9, and RFC 9470 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BearerError {
    /// The request is malformed.
    InvalidRequest,
    /// The token is invalid, expired or revoked.
    InvalidToken,
    /// The token is valid but does not grant what the route requires.
    InsufficientScope,
    /// The user must authenticate again, or by a stronger method.
    InsufficientUserAuthentication,
    /// The DPoP proof is missing or invalid.
    InvalidDpopProof,
    /// The DPoP proof needs a nonce from this service.
    UseDpopNonce,
}

impl BearerError {
    /// Returns the code as in a challenge.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
        }
    }
}

impl AuthError {
    /// Returns the status of the response: 400, 401 or 403 (RFC 6750 §3.1), or 503 if the token
    /// could not be verified now.
    ///
    /// ```
    /// use warp_bearer::auth::AuthError;
    ///
    /// assert_eq!(AuthError::TokenExpired.status(), 401);
    /// assert_eq!(AuthError::InsufficientScope.status(), 403);
    /// assert_eq!(AuthError::TokenTooLarge.status(), 400);
    /// ```
    pub const fn status(self) -> StatusCode {
        self.entry().status
    }

    /// Returns the `error` value of the challenge. `None` if the request has no credential, or if
    /// the status is 503.
    pub const fn error(self) -> Option<BearerError> {
        self.entry().error
    }

    /// Returns how long the caller should wait before a retry. `None` if a retry would fail too.
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::KeysUnavailable { retry_after }
            | Self::IntrospectionUnavailable { retry_after }
            | Self::StateUnavailable { retry_after } => Some(retry_after),
            _ => None,
        }
    }

    /// Returns the stable code of this error, which is the `code` member of the response body.
    pub const fn code(self) -> &'static str {
        self.entry().code
    }

    /// Returns one sentence of printable ASCII for the caller.
    pub const fn detail(self) -> &'static str {
        self.entry().detail
    }

    /// Logs that a request is rejected with this error. A request without a credential isn't logged,
    /// because its route may not need one.
    pub(crate) fn logged(self) -> Self {
        if self != Self::MissingToken {
            tracing::debug!(code = self.code(), "request rejected");
        }
        self
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

/// The reason why an [`Auth`](crate::auth::Auth) could not be built, which is nearly always a
/// mistake in the configuration. Network failures are retried in the background and are not
/// reported here.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No issuer was given.
    #[error("no issuer is configured")]
    NoIssuer,
    /// Two issuers have this name, so it is not clear whose options apply.
    #[error("the issuer {0:?} is configured twice; keep one")]
    DuplicateIssuer(String),
    /// DPoP proofs cannot be compared with the [`public URL`](crate::auth::dpop::Dpop), because it
    /// is not valid.
    #[error("the public URL for DPoP proofs must be a URL with a host and a path only")]
    PublicUrl,
    /// An issuer has a [`DpopMode`](crate::auth::dpop::DpopMode), but the builder has no
    /// [`Dpop`](crate::auth::dpop::Dpop) with the public URL.
    #[error("an issuer uses DPoP, but no public URL is configured")]
    NoPublicUrl,
    /// `HS256` cannot sign DPoP proofs (RFC 9449 §4.2).
    #[error("HS256 cannot sign DPoP proofs, because they contain the public key")]
    SymmetricProofs,
    /// The secret for DPoP nonces has fewer than 32 bytes.
    #[error("a secret for DPoP nonces must have at least 32 bytes")]
    ShortNonceSecret,
    /// The operating system did not provide random numbers for a secret.
    #[error("the operating system provides no random numbers")]
    NoRandomness,
    /// No audience was given, or an empty one. Without an audience, tokens for any API would be
    /// accepted.
    #[error("no audience is configured")]
    NoAudience,
    /// The allow-list of algorithms is empty.
    #[error("no algorithm is allowed")]
    NoAlgorithm,
    /// The URL of an issuer, key set or resource cannot be used.
    #[error("{:?} {fault}", ShownUrl::new(url))]
    Url {
        /// The configured URL without user information, query and fragment, which may be secret.
        url: String,
        /// The problem with the URL.
        fault: UrlFault,
    },
    /// `HS256` is allowed, but no secret is configured to verify it with.
    #[error("HS256 is allowed, but no signing secret is configured")]
    NoSecret,
    /// A signing secret is configured, but `HS256` is not allowed.
    #[error("a signing secret is configured, but HS256 is not allowed")]
    UnusedSecret,
    /// The signing secret has fewer than 32 bytes (RFC 7518 §3.2).
    #[error("a signing secret must have at least 32 bytes")]
    ShortSecret,
    /// A duration is out of range.
    #[error("{0}")]
    OutOfRange(DurationOption),
    /// The realm or a resource URL is empty, or has characters that are not allowed in a challenge.
    #[error(
        "a realm or resource URL must be non-empty printable ASCII without quotes and backslashes"
    )]
    Realm,
    /// One key set or secret is configured for several issuers. Each could then sign for the
    /// others.
    #[error(
        "a key set or secret cannot be used for several issuers; configure one for each issuer"
    )]
    AmbiguousKeySet,
    /// The fixed key set contains no key for an allowed algorithm.
    #[error("the key set: {0}")]
    KeySet(#[from] crate::auth::keys::key_set::NoKeys),
    /// Introspection has no client ID, or no secret or key to authenticate with.
    #[error("introspection needs a client ID, and a client secret or a client key")]
    NoIntrospectionCredentials,
    /// The client key is not a supported private key: PEM of RSA, P-256, P-384 or Ed25519.
    #[error("the client key is not a private key in PEM: RSA, P-256, P-384 or Ed25519")]
    ClientKey,
    /// The revocation file cannot be read, or has a line that is not an entry.
    #[error("revocation file: {0}")]
    RevocationFile(String),
    /// Opaque tokens are enabled for several issuers, so one issuer would see another's tokens.
    #[error("introspection of opaque tokens can be enabled for only one issuer")]
    AmbiguousIntrospection,
    /// A scope that an issuer requires, or one passed to
    /// [`scope_includes`](crate::auth::Builder::scope_includes), is not a scope token (RFC 6749
    /// §3.3).
    #[error("a scope may contain only printable ASCII without spaces, quotes and backslashes")]
    Scope,
    /// [`max_token_bytes`](crate::auth::Builder::max_token_bytes) is out of range.
    #[error("max_token_bytes must be from 1024 to 65536")]
    TokenSize,
    /// [`token_field`](crate::auth::Builder::token_field) is `Authorization`. With this option, the
    /// field has no scheme, so every `Bearer` token would be malformed.
    #[error(
        "token_field cannot be Authorization, which is the default and in which tokens have a scheme"
    )]
    TokenField,
    /// [`replace_issuers`](crate::auth::Auth::replace_issuers) got an option that it cannot replace.
    #[error("{0} cannot be replaced; build a new Auth")]
    Fixed(FixedOption),
    /// There is no tokio runtime. An `Auth` needs one for the tasks that refresh its keys and read
    /// its revocations.
    #[error("an Auth that fetches keys or reads revocations must be built within a tokio runtime")]
    NoRuntime,
}

/// The same sentence as `Display`, because `main` prints the `Debug` output of the error it returns.
impl fmt::Debug for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An option of the [`Builder`](crate::auth::Builder) that takes a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationOption {
    /// [`leeway`](crate::auth::Builder::leeway).
    #[error("leeway must be at most 5 minutes")]
    Leeway,
    /// [`max_age`](crate::auth::Builder::max_age).
    #[error("max_age must be more than zero and at most 100 years")]
    MaxAge,
    /// [`window`](crate::auth::dpop::Dpop::window) of DPoP proofs.
    #[error("the window of DPoP proofs must be more than zero and at most 1 hour")]
    DpopWindow,
    /// [`jwks_ttl`](crate::auth::Builder::jwks_ttl).
    #[error("jwks_ttl must be more than zero and at most 100 years")]
    JwksTtl,
    /// [`jwks_cooldown`](crate::auth::Builder::jwks_cooldown).
    #[error("jwks_cooldown must be more than zero and at most 100 years")]
    JwksCooldown,
    /// [`jwks_stale`](crate::auth::Builder::jwks_stale).
    #[error("jwks_stale must be at most 100 years")]
    JwksStale,
    /// [`jwks_timeout`](crate::auth::Builder::jwks_timeout).
    #[error("jwks_timeout must be more than zero and at most 100 years")]
    JwksTimeout,
    /// [`Introspection::ttl`](crate::auth::introspection::Introspection::ttl).
    #[error("the introspection ttl must be at most 100 years")]
    IntrospectionTtl,
}

/// An option that an [`Auth`](crate::auth::Auth) keeps when its issuers are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FixedOption {
    /// The public URL of [`Dpop`](crate::auth::dpop::Dpop).
    #[error("the public URL for DPoP proofs")]
    PublicUrl,
    /// [`algorithms`](crate::auth::dpop::Dpop::algorithms) of DPoP proofs.
    #[error("the algorithms of DPoP proofs")]
    DpopAlgorithms,
    /// [`window`](crate::auth::dpop::Dpop::window) of DPoP proofs.
    #[error("the window of DPoP proofs")]
    DpopWindow,
    /// [`nonces`](crate::auth::dpop::Dpop::nonces) of DPoP proofs, or their secret.
    #[error("the nonces of DPoP proofs")]
    DpopNonces,
    /// The mode of [`Dpop`](crate::auth::dpop::Dpop), if there is a
    /// [resolver](crate::auth::Builder::resolve_issuers). Resolved issuers keep the mode.
    #[error("the DPoP mode of resolved issuers")]
    DpopModeOfResolved,
    /// [`client_certificates`](crate::auth::Builder::client_certificates).
    #[error("the source of client certificates")]
    ClientCertificates,
}

/// The problem with the URL of an issuer, a key set or a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// The string is not an absolute URL.
    #[error("is not a URL")]
    NotAUrl,
    /// The scheme is neither https, nor http on a loopback address.
    #[error("is not https, which is required except on loopback")]
    NotHttps,
    /// The URL has user information, a query or a fragment (RFC 8414 §2, RFC 9728 §1.2).
    #[error(
        "has user information, a query or a fragment, which an issuer or resource must not have"
    )]
    Decorated,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Auth, Builder, dpop::Dpop};

    #[test]
    fn details_fit_a_quoted_string() {
        for error in AuthError::ALL {
            let fits = |c: u8| matches!(c, b' '..=b'~') && c != b'"' && c != b'\\';
            assert!(error.detail().bytes().all(fits), "{error:?}");
            assert!(error.detail().ends_with(['.', '?']), "{error:?}");
        }
    }

    #[test]
    fn shows_a_url_without_its_secrets() {
        let url = "https://me:hunter2@a.example/?code=hunter2".to_owned();
        let fault = UrlFault::Decorated;
        let text = SetupError::Url { url, fault }.to_string();
        assert!(
            text.starts_with(r#""https://…@a.example/?…" has"#),
            "{text}"
        );
    }

    #[test]
    fn main_prints_a_setup_error_as_a_sentence() {
        let auth = Auth::discover("", "https://api.example.com");
        let error: Box<dyn std::error::Error> = Box::new(auth.unwrap_err());
        assert_eq!(format!("{error:?}"), r#""" is not a URL"#);
    }

    /// `unwrap` and `expect` print `Debug`
    #[test]
    fn debug_shows_a_url_without_its_secrets() {
        type Change = fn(Builder, &str) -> Builder;
        let with = |change: Change, url: &str| {
            let builder = Auth::builder().issuer("https://a.example/").audience("a");
            change(builder, url).build().unwrap_err()
        };
        #[rustfmt::skip]
        let rows: [(&str, Change); 5] = [
            ("an issuer", |b, url| b.issuer(url)),
            ("a key set", |b, url| b.jwks_uri(url)),
            ("a resource", |b, url| b.resource(url)),
            ("metadata", |b, url| b.resource_metadata(url)),
            ("a public URL", |b, url| b.dpop(Dpop::allowed(url))),
        ];
        for (case, change) in rows {
            let fault = with(change, "ftp://me:hunter2@a.example/?code=hunter3");
            let text = format!("{fault:?} {fault:#?} {fault}");
            assert!(!text.contains("hunter"), "{case}: {text}");
            assert!(text.contains("ftp://…@a.example/?…"), "{case}: {text}");
        }
    }

    #[test]
    fn displays_the_detail_without_full_stop() {
        let text = AuthError::TokenExpired.to_string();
        assert_eq!(text, "the access token has expired");
    }
}
