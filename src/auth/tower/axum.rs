//! [`Claims`] as an extractor of axum 0.8, and [`Refusal`] and [`Problem`] as responses.
//!
//! The extractor gets its [`Auth`] from the router's state. If the state has none, a route that
//! needs claims does not compile.

use axum::{
    extract::{FromRef, FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::auth::{
    challenge::Refusal,
    error::AuthError,
    problem::Problem,
    token::claims::Claims,
    tower::layer::{typed, verified},
    verifier::Auth,
};

/// Verifies the request's token. If an [`AuthLayer`](crate::auth::tower::AuthLayer) of the same
/// [`Auth`] has already verified it, its claims are reused.
///
/// `Option<Claims<X>>` also accepts requests without a credential. It still rejects invalid
/// credentials.
///
/// ```
/// use axum::{Router, routing::get};
/// use warp_bearer::auth::{Auth, Claims};
///
/// async fn me(claims: Claims) -> String {
///     claims.subject().unwrap_or("you").to_owned()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let app: Router = Router::new().route("/me", get(me)).with_state(auth);
/// # Ok(())
/// # }
/// ```
impl<S, X> FromRequestParts<S> for Claims<X>
where
    Auth: FromRef<S>,
    S: Send + Sync,
    X: DeserializeOwned,
{
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let auth = Auth::from_ref(state);
        typed(&verified(&auth, head).await?)
    }
}

impl<S, X> OptionalFromRequestParts<S> for Claims<X>
where
    Auth: FromRef<S>,
    S: Send + Sync,
    X: DeserializeOwned,
{
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Parts, state: &S) -> Result<Option<Self>, Refusal> {
        match <Self as FromRequestParts<S>>::from_request_parts(head, state).await {
            Err(refusal) if refusal.error == AuthError::MissingToken => Ok(None),
            verdict => verdict.map(Some),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.response()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response()
    }
}
