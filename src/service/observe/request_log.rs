//! What is seen of a request: a line in the log, a name in the answer, and numbers.
//!
//! It sees the method, the route, the outcome and whom a token was verified for. It never sees the
//! path, a token or a claim's value, so that none of them can end up in a log or a label.

use std::{error::Error, io, mem};

use futures_util::future::Either;
use hyper::{Method, Request, header::HeaderValue};
use tokio::time::Instant;
use tracing::Level;
use warp::{http::StatusCode, reply::Response};

use crate::{
    auth::{
        claims::{Identity, Pseudonym},
        context,
        problem::Code,
    },
    service::observe::{
        metrics::{Metrics, Outcome},
        request_id::{Trace, X_REQUEST_ID, request_id},
    },
};

/// The target of the log's line for each request: `RUST_LOG=info,warp_bearer::request=off` has none.
const TARGET: &str = "warp_bearer::request";

/// What a server tells of its requests.
#[derive(Debug, Clone)]
pub struct RequestLog {
    log: bool,
    metrics: Option<Metrics>,
}

impl RequestLog {
    /// A line of the log for each request, and no numbers.
    pub fn new() -> Self {
        Self {
            log: true,
            metrics: None,
        }
    }

    /// A line of the log for each request, and its numbers.
    pub fn with_metrics(metrics: Metrics) -> Self {
        Self {
            log: true,
            metrics: Some(metrics),
        }
    }

    /// Nothing: for a listener that is asked every few seconds by a machine.
    pub fn disabled() -> Self {
        Self {
            log: false,
            metrics: None,
        }
    }

    /// Sees a connection, until the answer drops.
    pub(in crate::service) fn connection(&self) -> Option<ConnectionRecord> {
        self.metrics.clone().map(ConnectionRecord::new)
    }

    /// The next connection had to wait for another one to end.
    pub(in crate::service) fn waited(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.connection_waited();
        }
    }

    /// Sees how a connection ends. What was no request has been answered below, if at all.
    pub(in crate::service) fn end(&self, end: Result<(), Box<dyn Error + Send + Sync>>) {
        let no_http = |error: &hyper::Error| error.is_parse();
        let no_tls = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        let unreadable = end.is_err_and(|error| {
            error.downcast_ref().is_some_and(no_http) || error.downcast_ref().is_some_and(no_tls)
        });
        if let Some(metrics) = self.metrics.as_ref().filter(|_| unreadable) {
            metrics.unreadable();
        }
    }

    /// A handler panicked. What it says stays with the panic hook: it may quote anything.
    pub(in crate::service) fn panicked(&self) {
        tracing::error!("a handler panicked");
        if let Some(metrics) = &self.metrics {
            metrics.panicked();
        }
    }

    /// Sees a request, which came at `since`, from here on.
    pub(in crate::service) fn begin<B>(
        &self,
        since: Instant,
        request: &Request<B>,
    ) -> RequestRecord {
        let log = self.log && tracing::enabled!(target: TARGET, Level::INFO);
        let metrics = self.metrics.clone();
        if let Some(metrics) = &metrics {
            metrics.request_begins();
        }
        RequestRecord {
            metrics,
            log,
            since,
            method: method_name(request.method()),
            request_id: request_id(request.headers()),
            trace: log.then(|| Trace::of(request.headers())).flatten(),
            is_over: false,
        }
    }
}

/// Runs the future that answers a request and ends its [`RequestRecord`] in a request context, if the
/// record needs one. Not an `async` block, which would hold `answer` twice.
pub(in crate::service) fn in_context<F: Future>(
    is_recorded: bool,
    answer: F,
) -> impl Future<Output = F::Output> {
    if is_recorded {
        Either::Left(context::scope(answer))
    } else {
        Either::Right(answer)
    }
}

/// A method by its name; those that people make up have one together.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

const EMPTY: HeaderValue = HeaderValue::from_static("");

/// A request under way.
#[derive(Debug)]
pub(in crate::service) struct RequestRecord {
    metrics: Option<Metrics>,
    log: bool,
    since: Instant,
    method: &'static str,
    request_id: HeaderValue,
    trace: Option<Trace>,
    is_over: bool,
}

impl RequestRecord {
    pub(in crate::service) fn is_recorded(&self) -> bool {
        self.log || self.metrics.is_some()
    }

    /// Ends the record with the answer: logs and measures it, and sets its `X-Request-Id`.
    ///
    /// `now` reads the clock. It is not called if nothing is recorded.
    pub(in crate::service) fn end(
        mut self,
        mut answer: Response,
        now: impl FnOnce() -> Instant,
    ) -> Response {
        self.is_over = true;
        if self.is_recorded() {
            let code = answer.extensions().get().copied();
            self.record(now(), Some(answer.status()), code.map(Code::as_str));
        }
        let request_id = mem::replace(&mut self.request_id, EMPTY);
        answer.headers_mut().insert(X_REQUEST_ID, request_id);
        answer
    }

    fn record(&self, until: Instant, status: Option<StatusCode>, code: Option<&'static str>) {
        let context = context::take();
        let outcome = Outcome {
            method: self.method,
            route: context.route.unwrap_or("unrouted"),
            is_probe: context.is_probe,
            status,
            code,
            took: until - self.since,
            authentication: context.authentication,
        };
        if self.log {
            self.log(&outcome);
        }
        if let Some(metrics) = &self.metrics {
            metrics.request_ends(&outcome);
        }
    }

    fn log(&self, outcome: &Outcome) {
        let authentication = outcome.authentication.as_ref();
        let identity = authentication.and_then(|it| it.identity.as_ref());
        let subject = identity.and_then(Identity::subject);
        // A macro, because where an event is has one level for all of its life.
        macro_rules! answered {
            ($level:expr) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    method = outcome.method,
                    route = outcome.route,
                    status = outcome.status.map(|status| status.as_u16()),
                    code = outcome.code,
                    latency_us = u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX),
                    request_id = self.request_id.to_str().unwrap_or_default(),
                    trace_id = self.trace.as_ref().map(Trace::id),
                    issuer = identity.map(Identity::issuer),
                    kid = identity.and_then(Identity::kid),
                    subject = subject.as_ref().map(Pseudonym::as_str),
                    "answered"
                )
            };
        }
        if outcome.is_probe {
            answered!(Level::DEBUG);
        } else {
            answered!(Level::INFO);
        }
    }
}

/// The peer left, or the server had to, before there was an answer.
impl Drop for RequestRecord {
    fn drop(&mut self) {
        if !self.is_over && self.is_recorded() {
            self.record(Instant::now(), None, Some("abandoned"));
        }
    }
}

/// A connection being served.
#[derive(Debug)]
pub(in crate::service) struct ConnectionRecord(Metrics);

impl ConnectionRecord {
    fn new(metrics: Metrics) -> Self {
        metrics.connection_begins();
        Self(metrics)
    }
}

impl Drop for ConnectionRecord {
    fn drop(&mut self) {
        self.0.connection_ends();
    }
}
