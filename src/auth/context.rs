//! The context of one request: what its log line and its metrics say about it.
//!
//! The outermost step of a service runs the future that answers a request in [`scope`]. Inside it, the
//! filters record how authentication ended, and the routes may record which of them answered.
//! [`take`] returns all of it before the scope ends. No token and no claim's value is in it, except
//! the issuer, which equals one that is configured.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::auth::{
    error::AuthError,
    token::{claims::Claims, identity::Identity},
};

tokio::task_local! {
    static CURRENT: Context;
}

#[derive(Default)]
struct Context {
    route: Cell<Option<&'static str>>,
    is_probe: Cell<bool>,
    authentication: Cell<Option<Authentication>>,
}

/// What is known about the request that is being answered.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RequestContext {
    /// The name of the route that answered, from [`set_route`].
    pub route: Option<&'static str>,
    /// Whether it was a probe, from [`set_probe`].
    pub is_probe: bool,
    /// How authentication ended. `None` if the request carried no token, or if its route asks for
    /// none.
    pub authentication: Option<Authentication>,
}

/// How the authentication of one request ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Authentication {
    /// Time spent on verification, including the wait for keys.
    pub duration: Duration,
    /// The identity in the token. `None` if the token was refused. Present if the token is valid and
    /// the route then refused what it grants.
    pub identity: Option<Identity>,
}

/// Runs the future that answers a request, so that [`take`] can be called inside it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use warp_bearer::auth::context;
///
/// # let answer = async {};
/// let authentication = context::scope(async {
///     answer.await; // of the routes, to one request
///     context::take().authentication
/// })
/// .await;
/// # assert!(authentication.is_none(), "no token was verified");
/// # }
/// ```
pub fn scope<F: Future>(answer: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(Context::default(), answer)
}

/// Returns and clears the context of the request that is being answered. Empty outside of [`scope`].
pub fn take() -> RequestContext {
    let taken = CURRENT.try_with(|context| RequestContext {
        route: context.route.take(),
        is_probe: context.is_probe.take(),
        authentication: context.authentication.take(),
    });
    taken.unwrap_or_default()
}

/// Records which route answers the request. Does nothing outside of [`scope`].
pub fn set_route(name: &'static str) {
    // Outside of a scope nobody reads it.
    let _ = CURRENT.try_with(|context| context.route.set(Some(name)));
}

/// Records that the request is a probe, which is not worth a line of the log. Does nothing outside of
/// [`scope`].
pub fn set_probe() {
    let _ = CURRENT.try_with(|context| context.is_probe.set(true));
}

/// Times one authentication, if it runs within [`scope`].
pub(crate) struct Timer(Option<Instant>);

impl Timer {
    pub(crate) fn start() -> Self {
        let is_wanted = CURRENT.try_with(|_| ()).is_ok();
        Self(is_wanted.then(Instant::now))
    }

    /// Records the verdict in the context.
    pub(crate) fn stop<X>(self, verdict: &Result<Claims<X>, AuthError>) {
        let Some(start) = self.0 else {
            return;
        };
        let authentication = Authentication {
            duration: start.elapsed(),
            identity: verdict.as_ref().ok().map(Claims::identity),
        };
        let _ = CURRENT.try_with(|context| context.authentication.set(Some(authentication)));
    }
}
