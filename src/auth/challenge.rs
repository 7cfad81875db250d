//! [`Refusal`]: an [`AuthError`] with the [`Challenge`] of its response (RFC 6750 §3).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use crate::auth::error::{AuthError, BearerError};

/// The parameters of a challenge other than the error (RFC 6750 §3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// The protection space, printable ASCII without `"` and `\`.
    pub realm: Arc<str>,
    /// The scopes that would suffice, separated by spaces. `None` if scopes would not help.
    pub scope: Option<Arc<str>>,
    /// The URL of the metadata of the protected resource (RFC 9728 §5.1).
    pub resource_metadata: Option<Arc<str>>,
    /// The authentication context classes that would suffice, separated by spaces (RFC 9470 §3).
    pub acr_values: Option<Arc<str>>,
    /// The longest time since the user authenticated, in seconds (RFC 9470 §3).
    pub max_age: Option<u64>,
}

/// A rejected request: the error, and the challenge to answer with.
///
/// In warp, a refusal is a rejection, and `rejection.find::<Refusal>()` finds it. Turn it into a
/// response with [`response`](Self::response) or [`www_authenticate`](Self::www_authenticate). A
/// filter's refusal that is dropped before that logs an error: another route has answered the
/// rejected request, because the route was not closed by
/// [`route()`](crate::auth::BearerFilterExt::route).
///
#[cfg_attr(feature = "warp", doc = "```")]
#[cfg_attr(not(feature = "warp"), doc = "```ignore")]
/// use std::convert::Infallible;
/// use warp::{Filter, Rejection, Reply, http::{HeaderValue, StatusCode}, reply::Response};
/// use warp_bearer::auth::{Auth, AuthError, Claims, Refusal, with_auth};
///
/// /// Answers in plain text, with the challenge.
/// async fn as_text(rejection: Rejection) -> Result<Response, Infallible> {
///     let Some(refusal) = rejection.find::<Refusal>() else {
///         return Ok(StatusCode::NOT_FOUND.into_response());
///     };
///     let text = warp::reply::with_status(refusal.error.detail(), refusal.error.status());
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
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// The reason.
    pub error: AuthError,
    /// The realm, and the scope if the route knows one.
    pub challenge: Challenge,
    pending: Pending,
}

impl Refusal {
    pub(crate) fn new(error: AuthError, challenge: Challenge) -> Self {
        Self {
            error,
            challenge,
            pending: Pending::default(),
        }
    }

    /// Returns the same refusal with the scopes that would suffice.
    #[must_use]
    pub(crate) fn with_scope(mut self, scope: Option<Arc<str>>) -> Self {
        self.challenge.scope = scope;
        self
    }

    /// Returns the same refusal with the authentication that would suffice.
    #[must_use]
    pub(crate) fn with_step_up(mut self, acr_values: Option<String>, max_age: Option<u64>) -> Self {
        self.challenge.acr_values = acr_values.map(Into::into);
        self.challenge.max_age = max_age;
        self
    }

    /// Logs an error if the refusal is dropped before it is turned into a response.
    #[cfg(feature = "warp")]
    pub(crate) fn expect_answer(&mut self) {
        self.pending.0.store(true, Relaxed);
    }

    /// Marks the refusal as answered, so that dropping it logs nothing.
    pub(crate) fn answered(&self) {
        self.pending.0.store(false, Relaxed);
    }

    /// Returns the value of `WWW-Authenticate`. `None` if no other token would help (503).
    pub fn www_authenticate(&self) -> Option<String> {
        self.answered();
        if self.error.retry_after().is_some() {
            return None;
        }
        let Challenge {
            realm,
            resource_metadata,
            ..
        } = &self.challenge;
        let error = self.error.error();
        let max_age = self.challenge.max_age.map(|seconds| seconds.to_string());
        let parameters = [
            parameter("Bearer realm=\"", Some(realm)),
            parameter(", error=\"", error.map(BearerError::as_str)),
            parameter(", error_description=\"", error.map(|_| self.error.detail())),
            parameter(", acr_values=\"", self.challenge.acr_values.as_deref()),
            parameter(", max_age=\"", max_age.as_deref()),
            parameter(", scope=\"", self.scope()),
            parameter(", resource_metadata=\"", resource_metadata.as_deref()),
        ];
        Some(parameters.as_flattened().concat())
    }

    /// Returns the scope to name in the challenge. A scope helps a client without a token, or one
    /// whose token grants too few scopes. It would mislead a client that lacks a permission or a
    /// role.
    fn scope(&self) -> Option<&str> {
        match self.error {
            AuthError::MissingToken
            | AuthError::InsufficientScope
            | AuthError::InsufficientAuthentication => self.challenge.scope.as_deref(),
            _ => None,
        }
    }
}

/// Returns the pieces of one parameter, which are empty if there is no value.
fn parameter<'v>(opening: &'static str, value: Option<&'v str>) -> [&'v str; 3] {
    value.map_or([""; 3], |value| [opening, value, "\""])
}

/// A flag that is set while a refusal waits for its response. Logs an error if it is dropped while
/// set.
///
/// A clone takes the flag over, so that only the last clone logs.
#[derive(Debug, Default)]
struct Pending(AtomicBool);

impl Clone for Pending {
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.0.swap(false, Relaxed)))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if !*self.0.get_mut() {
            return;
        }
        // Logged once per process, because strangers could fill the log otherwise.
        if !REPORTED.swap(true, Relaxed) {
            tracing::error!(
                "a refused request was answered by another route; close the route that refused it \
                 with .route()"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_scope_only_if_it_helps() {
        for error in AuthError::ALL {
            let challenge = Challenge {
                realm: "api".into(),
                scope: Some("a b".into()),
                ..Challenge::default()
            };
            let refusal = Refusal::new(*error, challenge);
            let header = refusal.www_authenticate().unwrap_or_default();
            let helps = matches!(
                error,
                AuthError::MissingToken
                    | AuthError::InsufficientScope
                    | AuthError::InsufficientAuthentication
            );
            assert_eq!(header.contains(r#"scope="a b""#), helps, "{error:?}");
        }
    }
}
