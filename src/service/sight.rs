//! What is seen of a request: a line in the log, a name in the answer, and numbers.
//!
//! It sees the method, the route, the outcome and whom a token was verified for. It never sees the
//! path, a token or a claim's value, so that none of them can end up in a log or a label.

use std::error::Error;
use std::time::Instant;

use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request};
use warp::http::StatusCode;
use warp::reply::Response;

use super::metrics::{Metrics, Outcome};
use super::request_id::{Trace, X_REQUEST_ID, request_id};
use super::table::Arrival;
use crate::auth::{Code, Identity, Witness};

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

    /// Sees how a connection ends. What was no request has been answered by hyper, if at all.
    pub(super) fn end(&self, end: Result<(), Box<dyn Error + Send + Sync>>) {
        let unreadable = end
            .err()
            .and_then(|error| error.downcast::<hyper::Error>().ok())
            .is_some_and(|error| error.is_parse());
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

    /// Sees a request come.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) -> Sighting<'_> {
        if let Some(metrics) = &self.metrics {
            metrics.request_begins();
        }
        let headers = request.headers();
        let sighting = Sighting {
            sight: self,
            start: Instant::now(),
            method: method(request.method()),
            request_id: request_id(headers),
            trace: Trace::of(headers),
            arrival: Arrival::default(),
            witness: headers.contains_key(AUTHORIZATION).then(Witness::default),
            ended: false,
        };
        let extensions = request.extensions_mut();
        extensions.insert(sighting.arrival.clone());
        if let Some(witness) = &sighting.witness {
            extensions.insert(witness.clone());
        }
        sighting
    }
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

/// A request under way.
#[derive(Debug)]
pub(super) struct Sighting<'s> {
    sight: &'s Sight,
    start: Instant,
    method: &'static str,
    request_id: HeaderValue,
    trace: Option<Trace>,
    arrival: Arrival,
    /// Where there is something to verify.
    witness: Option<Witness>,
    ended: bool,
}

impl Sighting<'_> {
    /// Sees the answer go, and names it.
    pub(super) fn end(mut self, answer: &mut Response) {
        self.ended = true;
        let code = answer.extensions().get().copied();
        self.tell(Some(answer.status()), code.map(Code::as_str));
        let name = std::mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        answer.headers_mut().insert(X_REQUEST_ID, name);
    }

    fn tell(&self, status: Option<StatusCode>, code: Option<&'static str>) {
        let outcome = &Outcome {
            method: self.method,
            route: self.arrival.template().unwrap_or("unrouted"),
            status,
            code,
            took: self.start.elapsed(),
        };
        if self.sight.log {
            self.log(outcome);
        }
        if let Some(metrics) = &self.sight.metrics {
            metrics.request_ends(outcome);
            if let Some(witness) = &self.witness {
                metrics.verified(witness);
            }
        }
    }

    fn log(&self, outcome: &Outcome) {
        let identity = self.witness.as_ref().and_then(Witness::identity);
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
            subject = subject.map(tracing::field::display),
            "answered"
        );
    }
}

/// The peer left, or the server had to, before there was an answer.
impl Drop for Sighting<'_> {
    fn drop(&mut self) {
        if !self.ended {
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
