//! The context of a request: what its log line and its metrics report.
//!
//! The outermost layer of a service handles each request in a [`scope`]. Inside the scope, the
//! filters record the result of authentication, and routes may record their names. Call [`take`] at
//! the end of the scope to get the context. The context contains neither the token nor its claims,
//! except for the issuer and a pseudonym of the subject.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use http::HeaderValue;

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
    waits: Cell<Vec<Wait>>,
    original: Cell<Option<Box<Original>>>,
    /// The `traceparent` for requests that we make on behalf of this one.
    traceparent: Option<HeaderValue>,
    proof_fault: Cell<Option<&'static str>>,
}

/// The recorded facts about the current request.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RequestContext {
    /// The name of the route that answered, from [`set_route`].
    pub route: Option<&'static str>,
    /// True if the request was a probe, from [`set_probe`].
    pub is_probe: bool,
    /// The result of authentication. `None` if the request has no token, or if its route does not
    /// authenticate.
    pub authentication: Option<Authentication>,
    /// How long the request waited for other servers. At most one wait for each reason.
    pub waits: Vec<Wait>,
    /// The client's original request, from [`set_original`].
    pub original: Option<Box<Original>>,
    /// Why the DPoP proof of the request was rejected, from a fixed list of messages.
    pub proof_fault: Option<&'static str>,
}

/// A time that a request spent waiting for another server.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Wait {
    /// The reason for the wait.
    pub reason: WaitReason,
    /// The start of the wait.
    pub began: Instant,
    /// The length of the wait.
    pub duration: Duration,
}

/// The reason that a request waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// A key fetch.
    Keys,
    /// The response of an introspection endpoint.
    Introspection,
    /// The response of the store that the replicas share.
    Store,
}

/// The client's original request, as reported by a proxy. The client controls these strings, so you
/// must only ever display them, and never use them for a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Original {
    /// The method.
    pub method: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The path, without the query.
    pub path: Option<String>,
}

/// The result of authenticating a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Authentication {
    /// The start of the authentication.
    pub began: Instant,
    /// Time spent on verification, including the wait for keys.
    pub duration: Duration,
    /// The identity in the token, even if the token does not meet the route's policy. `None` if the
    /// token was rejected.
    pub identity: Option<Identity>,
}

/// Runs `answer`, the future that handles a request, with an empty context.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use warp_bearer::auth::context;
///
/// # let answer = async {};
/// let authentication = context::scope(async {
///     answer.await; // the routes answer one request
///     context::take().authentication
/// })
/// .await;
/// # assert!(authentication.is_none(), "no token was verified");
/// # }
/// ```
pub fn scope<F: Future>(answer: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(Context::default(), answer)
}

/// Like [`scope`], for a request that is part of a trace. Key fetches and introspections that the
/// request starts carry this `traceparent` (W3C Trace Context).
pub fn scope_in_trace<F: Future>(
    traceparent: Option<HeaderValue>,
    answer: F,
) -> impl Future<Output = F::Output> {
    let context = Context {
        traceparent,
        ..Context::default()
    };
    CURRENT.scope(context, answer)
}

pub(crate) fn traceparent() -> Option<HeaderValue> {
    let found = CURRENT.try_with(|context| context.traceparent.clone());
    found.unwrap_or_default()
}

/// Returns and clears the context of the current request. Empty outside of [`scope`].
pub fn take() -> RequestContext {
    let taken = CURRENT.try_with(|context| RequestContext {
        route: context.route.take(),
        is_probe: context.is_probe.take(),
        authentication: context.authentication.take(),
        waits: context.waits.take(),
        original: context.original.take(),
        proof_fault: context.proof_fault.take(),
    });
    taken.unwrap_or_default()
}

/// Records the name of the request's route. Does nothing outside of [`scope`].
pub fn set_route(name: &'static str) {
    let _ = CURRENT.try_with(|context| context.route.set(Some(name)));
}

/// Records that the request is a probe, which a service may not want to log. Does nothing outside
/// of [`scope`].
pub fn set_probe() {
    let _ = CURRENT.try_with(|context| context.is_probe.set(true));
}

/// Records the client's original request. Does nothing outside of [`scope`].
pub fn set_original(original: Original) {
    set_original_with(|| original);
}

/// Records the client's original request. Calls `read` only within [`scope`].
pub(crate) fn set_original_with(read: impl FnOnce() -> Original) {
    let _ = CURRENT.try_with(|context| context.original.set(Some(Box::new(read()))));
}

/// Records a wait from `began` until now. Only the first wait of each kind counts.
pub(crate) fn waited(reason: WaitReason, began: Instant) {
    let _ = CURRENT.try_with(|context| {
        let mut waits = context.waits.take();
        if waits.iter().all(|wait| wait.reason != reason) {
            waits.push(Wait {
                reason,
                began,
                duration: began.elapsed(),
            });
        }
        context.waits.set(waits);
    });
}

/// Does nothing outside of [`scope`].
pub(crate) fn set_proof_fault(reason: &'static str) {
    let _ = CURRENT.try_with(|context| context.proof_fault.set(Some(reason)));
}

/// Measures the time of one authentication, if it runs within [`scope`].
pub(crate) struct Timer(Option<Instant>);

impl Timer {
    pub(crate) fn start() -> Self {
        let is_wanted = CURRENT.try_with(|_| ()).is_ok();
        Self(is_wanted.then(Instant::now))
    }

    pub(crate) fn stop<X>(self, verdict: &Result<Claims<X>, AuthError>) {
        let Some(start) = self.0 else {
            return;
        };
        let authentication = Authentication {
            began: start,
            duration: start.elapsed(),
            identity: verdict.as_ref().ok().map(Claims::identity),
        };
        let _ = CURRENT.try_with(|context| context.authentication.set(Some(authentication)));
    }
}
