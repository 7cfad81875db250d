//! What is seen of a request: a line in the log, a name in the answer, and numbers.
//!
//! It sees the method, the route, the outcome and whom a token was verified for. It never sees the
//! path, a token or a claim's value, so that none of them can end up in a log or a label.

use std::error::Error;
use std::time::Duration;
use std::{io, mem};

use hyper::header::HeaderValue;
use hyper::{Method, Request};
use tokio::time::Instant;
use warp::http::StatusCode;
use warp::reply::Response;

use super::metrics::{Metrics, Outcome};
use super::pulse::AtWork;
use super::request_id::{Trace, X_REQUEST_ID, request_id};
use super::table::{arrived, tracked};
use crate::auth::{Code, Identity, Pseudonym, testimony, witnessed};

/// The target of the log's line for each request: `RUST_LOG=info,warp_bearer::request=off` has none.
const TARGET: &str = "warp_bearer::request";

/// What a server tells of its requests.
#[derive(Debug, Clone)]
pub struct Sight {
    log: bool,
    metrics: Option<Metrics>,
}

impl Sight {
    /// A line of the log for each request, and no numbers.
    pub fn logged() -> Self {
        Self {
            log: true,
            metrics: None,
        }
    }

    /// A line of the log for each request, and its numbers.
    pub fn measured(metrics: Metrics) -> Self {
        Self {
            log: true,
            metrics: Some(metrics),
        }
    }

    /// Nothing: for a listener that is asked every few seconds by a machine.
    pub fn none() -> Self {
        Self {
            log: false,
            metrics: None,
        }
    }

    /// Sees a connection, until the answer drops.
    pub(super) fn connection(&self) -> Option<Connected> {
        self.metrics.clone().map(Connected::new)
    }

    /// The next connection had to wait for another one to end.
    pub(super) fn waited(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.connection_waited();
        }
    }

    /// Sees how a connection ends. What was no request has been answered below, if at all.
    pub(super) fn end(&self, end: Result<(), Box<dyn Error + Send + Sync>>) {
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
    pub(super) fn panicked(&self) {
        tracing::error!("a handler panicked");
        if let Some(metrics) = &self.metrics {
            metrics.panicked();
        }
    }

    /// Has a request answered, and sees what comes of it. The answer is named in any case.
    pub(super) async fn see<B, F>(
        &self,
        at_work: AtWork,
        request: Request<B>,
        answer: impl FnOnce(Request<B>) -> F,
    ) -> Response
    where
        F: Future<Output = Response>,
    {
        let log = self.log && tracing::enabled!(target: TARGET, tracing::Level::INFO);
        if log || self.metrics.is_some() {
            let sighting = Sighting::new(self, log, at_work, &request);
            let answer = answer(request);
            tracked(witnessed(async { sighting.end(answer.await) })).await
        } else {
            let request_id = request_id(request.headers());
            named(answer(request).await, request_id)
        }
    }
}

fn named(mut answer: Response, request_id: HeaderValue) -> Response {
    answer.headers_mut().insert(X_REQUEST_ID, request_id);
    answer
}

/// A method by its name; those that people make up have one together.
fn method(method: &Method) -> &'static str {
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

const NAMELESS: HeaderValue = HeaderValue::from_static("");

/// A request under way, within the scopes of `witnessed` and `tracked`.
#[derive(Debug)]
struct Sighting<'s> {
    metrics: Option<&'s Metrics>,
    log: bool,
    start: Instant,
    at_work: Option<AtWork>,
    method: &'static str,
    request_id: HeaderValue,
    trace: Option<Trace>,
}

impl<'s> Sighting<'s> {
    fn new<B>(sight: &'s Sight, log: bool, at_work: AtWork, request: &Request<B>) -> Self {
        let metrics = sight.metrics.as_ref();
        if let Some(metrics) = metrics {
            metrics.request_begins();
        }
        Self {
            metrics,
            log,
            start: at_work.since(),
            at_work: Some(at_work),
            method: method(request.method()),
            request_id: request_id(request.headers()),
            trace: log.then(|| Trace::of(request.headers())).flatten(),
        }
    }

    fn end(mut self, answer: Response) -> Response {
        let code = answer.extensions().get().copied();
        self.tell(Some(answer.status()), code.map(Code::as_str));
        named(answer, mem::replace(&mut self.request_id, NAMELESS))
    }

    fn tell(&mut self, status: Option<StatusCode>, code: Option<&'static str>) {
        let outcome = Outcome {
            method: self.method,
            route: arrived().unwrap_or("unrouted"),
            status,
            code,
            // One look at the clock, for the connection as well.
            took: self
                .at_work
                .take()
                .map_or(Duration::ZERO, |at_work| at_work.end() - self.start),
            testimony: testimony(),
        };
        if self.log {
            self.log(&outcome);
        }
        if let Some(metrics) = self.metrics {
            metrics.request_ends(&outcome);
        }
    }

    fn log(&self, outcome: &Outcome) {
        let testimony = outcome.testimony.as_ref();
        let identity = testimony.and_then(|testimony| testimony.identity.as_ref());
        let subject = identity.and_then(Identity::subject);
        tracing::info!(
            target: TARGET,
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
        );
    }
}

/// The peer left, or the server had to, before there was an answer.
impl Drop for Sighting<'_> {
    fn drop(&mut self) {
        if self.at_work.is_some() {
            self.tell(None, Some("abandoned"));
        }
    }
}

/// A connection being served.
#[derive(Debug)]
pub(super) struct Connected(Metrics);

impl Connected {
    fn new(metrics: Metrics) -> Self {
        metrics.connection_begins();
        Self(metrics)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connection_ends();
    }
}
