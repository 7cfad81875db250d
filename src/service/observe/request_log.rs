//! The request log: the log line, the `X-Request-Id` and the metrics of each request.
//!
//! A record contains the method, the route, the result, the issuer, the `kid` and a pseudonym of
//! the token's subject. It never contains a token or any other claim, so none can get into the log
//! or a label. The only path it contains is for `/auth`: the method, the host and the path of the
//! client's request, as reported by the proxy. We escape and truncate that path, and it has no
//! query.

use std::{error::Error, io};

use futures_util::future::Either;
use hyper::{Method, Request, header::HeaderValue};
use tokio::time::Instant;
use tracing::Level;
use warp::{http::StatusCode, reply::Response};

#[cfg(feature = "otel")]
use crate::service::observe::{
    otel::{RequestSpan, Traces},
    request_id::{TRACESTATE, only},
};
use crate::{
    auth::{
        claims::{Identity, Pseudonym},
        context,
        display::shown,
        problem::Code,
    },
    service::observe::{
        metrics::{Metrics, Outcome},
        request_id::{TraceContext, X_REQUEST_ID, request_id},
    },
};

/// The log target of requests. `RUST_LOG=info,warp_bearer::request=off` turns them off.
const TARGET: &str = "warp_bearer::request";

/// The record of a server's requests and connections.
#[derive(Debug, Clone)]
pub struct RequestLog {
    log: bool,
    metrics: Option<Metrics>,
    #[cfg(feature = "otel")]
    traces: Option<Traces>,
}

impl RequestLog {
    /// Logs a line for each request.
    pub fn enabled() -> Self {
        Self {
            log: true,
            ..Self::disabled()
        }
    }

    /// Logs a line for each request, and measures requests and connections.
    pub fn with_metrics(metrics: Metrics) -> Self {
        let mut log = Self::enabled();
        log.metrics = Some(metrics);
        log
    }

    /// Also creates a span for each request.
    #[cfg(feature = "otel")]
    #[must_use]
    pub fn with_traces(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// Records nothing. Used for the metrics listener, which is scraped every few seconds.
    pub fn disabled() -> Self {
        Self {
            log: false,
            metrics: None,
            #[cfg(feature = "otel")]
            traces: None,
        }
    }

    /// The connection counts as open until the guard is dropped.
    pub(in crate::service) fn connection(&self) -> Option<ConnectionRecord> {
        self.metrics.clone().map(ConnectionRecord::new)
    }

    /// Records the maximum number of open connections.
    pub(in crate::service) fn limit_connections(&self, limit: usize) {
        if let Some(metrics) = &self.metrics {
            metrics.limit_connections(limit);
        }
    }

    /// Logs and counts that there are as many connections as allowed. The kernel does not tell us
    /// whether a new connection has to wait.
    pub(in crate::service) fn limit_reached(&self, limit: usize) {
        if self.log {
            tracing::warn!(limit, "connection limit reached; new connections wait");
        }
        if let Some(metrics) = &self.metrics {
            metrics.connection_limit_reached();
        }
    }

    /// Counts a connection that ended because its bytes weren't valid TLS or HTTP, or because a
    /// head was too large. hyper or rustls has already sent the response, if any.
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

    /// Logs and counts a handler's panic, without its message (which may contain a token).
    pub(in crate::service) fn panicked(&self) {
        tracing::error!("handler panicked");
        if let Some(metrics) = &self.metrics {
            metrics.panicked();
        }
    }

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
        let method = method_name(request.method());
        #[cfg(feature = "otel")]
        let is_traced = self.traces.is_some();
        #[cfg(not(feature = "otel"))]
        let is_traced = false;
        let trace = (log || is_traced).then(|| TraceContext::of(request.headers()));
        let trace = trace.flatten();
        #[cfg(feature = "otel")]
        let span = self.traces.as_ref().and_then(|traces| {
            let state = only(request.headers(), &TRACESTATE);
            let parent = trace.as_ref().map(|trace| (trace, state));
            traces.begin(since.into_std(), method, parent)
        });
        RequestRecord {
            metrics,
            log,
            since,
            method,
            request_id: Some(request_id(request.headers())),
            trace,
            #[cfg(feature = "otel")]
            span,
            is_over: false,
        }
    }
}

/// Runs the future that handles a request and ends its [`RequestRecord`], in a request context if
/// something is recorded. Not an `async fn`: an `async` block would store `answer` twice.
pub(in crate::service) fn in_context<F: Future>(
    recorded: Recorded,
    answer: F,
) -> impl Future<Output = F::Output> {
    if recorded.is_recorded {
        // boxed, so that an unrecorded request doesn't carry room for a context
        Either::Left(Box::pin(context::scope_in_trace(
            recorded.traceparent,
            answer,
        )))
    } else {
        Either::Right(answer)
    }
}

/// The label of a method. All unknown methods share one.
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

/// If this is dropped before [`end`](Self::end) is called, the request counts as abandoned.
#[derive(Debug)]
pub(in crate::service) struct RequestRecord {
    metrics: Option<Metrics>,
    log: bool,
    since: Instant,
    method: &'static str,
    /// `None` once it's in the response
    request_id: Option<HeaderValue>,
    trace: Option<TraceContext>,
    #[cfg(feature = "otel")]
    span: Option<RequestSpan>,
    is_over: bool,
}

#[derive(Debug)]
pub(in crate::service) struct Recorded {
    is_recorded: bool,
    traceparent: Option<HeaderValue>,
}

impl RequestRecord {
    pub(in crate::service) fn recorded(&self) -> Recorded {
        #[cfg(feature = "otel")]
        let traceparent = self.span.as_ref().and_then(RequestSpan::traceparent);
        #[cfg(not(feature = "otel"))]
        let traceparent = None;
        Recorded {
            is_recorded: self.is_recorded(),
            traceparent,
        }
    }

    fn is_recorded(&self) -> bool {
        #[cfg(feature = "otel")]
        let is_traced = self.span.is_some();
        #[cfg(not(feature = "otel"))]
        let is_traced = false;
        self.log || self.metrics.is_some() || is_traced
    }

    /// Ends the record with the response: logs it, updates the metrics, and sets `X-Request-Id`.
    ///
    /// `now` reads the clock, so we only call it if something is recorded.
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
        if let Some(request_id) = self.request_id.take() {
            answer.headers_mut().insert(X_REQUEST_ID, request_id);
        }
        answer
    }

    fn record(&mut self, until: Instant, status: Option<StatusCode>, code: Option<&'static str>) {
        let context = context::take();
        let outcome = Outcome {
            method: self.method,
            route: context.route.unwrap_or("unrouted"),
            is_probe: context.is_probe,
            status,
            code,
            took: until - self.since,
            authentication: context.authentication,
            original: context.original,
            proof_fault: context.proof_fault,
        };
        #[cfg(feature = "otel")]
        let own_trace = self.span.take().map(|span| {
            let trace_id = span.trace_id();
            span.end(&outcome, &context.waits);
            trace_id
        });
        #[cfg(not(feature = "otel"))]
        let own_trace: Option<String> = None;
        if self.log {
            self.log(&outcome);
        }
        if let Some(metrics) = &self.metrics {
            let sampled = self.trace.as_ref().filter(|trace| trace.is_sampled());
            let trace_id = own_trace.as_deref().or(sampled.map(TraceContext::id));
            metrics.request_ends(&outcome, trace_id);
        }
    }

    fn log(&self, outcome: &Outcome) {
        let authentication = outcome.authentication.as_ref();
        let identity = authentication.and_then(|it| it.identity.as_ref());
        let subject = identity.and_then(Identity::subject);
        // the issuer chooses the `kid`, so it's untrusted text
        let kid = identity.and_then(Identity::kid).map(shown);
        let original = outcome.original.as_deref();
        let request_id = self.request_id.as_ref().and_then(|id| id.to_str().ok());
        // A macro, because the level of a callsite must be constant. Abandoned requests have the
        // same message, without a status and with the code `abandoned`.
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
                    request_id = request_id.unwrap_or_default(),
                    trace_id = self.trace.as_ref().map(TraceContext::id),
                    original_method = original.and_then(|it| it.method.as_deref()),
                    original_host = original.and_then(|it| it.host.as_deref()),
                    original_path = original.and_then(|it| it.path.as_deref()),
                    issuer = identity.map(Identity::issuer),
                    kid = kid.as_deref(),
                    subject = subject.as_ref().map(Pseudonym::as_str),
                    proof = outcome.proof_fault,
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

/// The request ended without a response: the peer has gone, or the server has stopped.
impl Drop for RequestRecord {
    fn drop(&mut self) {
        if !self.is_over && self.is_recorded() {
            self.record(Instant::now(), None, Some("abandoned"));
        }
    }
}

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
