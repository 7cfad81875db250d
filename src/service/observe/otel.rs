//! Traces, which are sent to a collector by OTLP over HTTP. Each request has a span, with child
//! spans for the verification of its token and for each wait for another server.
//!
//! OpenTelemetry's own variables configure the exporter and the sampler. A separate thread sends
//! the spans in batches. If the collector does not respond, the queue fills up and we drop further
//! spans, but requests never wait.
//!
//! Like the request log, a span contains no token, no claim values and no query.

use std::{
    collections::HashMap,
    env, fmt,
    time::{Duration, Instant, SystemTime},
};

use hyper::header::HeaderValue;
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};

use crate::{
    auth::context::{Wait, WaitReason},
    service::observe::{metrics::Outcome, request_id::TraceContext},
};

/// The maximum time for sending the last spans at shutdown.
const FLUSH: Duration = Duration::from_secs(2);

/// In bytes. W3C Trace Context §3.3.1.5 asks services to pass on at least this much of a
/// `tracestate`. We drop longer ones: the queue keeps one for each span, and a caller may send 30
/// KB.
const MAX_STATE: usize = 512;

/// The exporter of the service's spans. Cheap to clone.
#[derive(Clone)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Starts exporting if the environment configures a collector: with
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, its counterpart for traces, or `OTEL_TRACES_EXPORTER=otlp`
    /// for a collector on this machine.
    ///
    /// # Errors
    /// Fails if the exporter cannot be built, for example because of a malformed URL.
    pub fn from_environment() -> Result<Option<Self>, ExporterBuildError> {
        if !is_wanted(|name| env::var(name).ok()) {
            return Ok(None);
        }
        Ok(Some(Self::with(
            SpanExporter::builder().with_http().build()?,
        )))
    }

    fn with(exporter: SpanExporter) -> Self {
        let mut resource = Resource::builder();
        // `with_service_name` would override `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, so
        // we only call it if neither sets a name
        let attributes = env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        if env::var_os("OTEL_SERVICE_NAME").is_none() && !attributes.contains("service.name=") {
            resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.with_attribute(version).build())
            .build();
        let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
        Self { provider, tracer }
    }

    /// The request arrived at `since`. `None` if the sampler drops the span.
    pub(in crate::service) fn begin(
        &self,
        since: Instant,
        method: &'static str,
        parent: Option<(&TraceContext, Option<&HeaderValue>)>,
    ) -> Option<RequestSpan> {
        let since_epoch = SystemTime::now() - since.elapsed();
        let parent = parent.map_or_else(Context::new, |(trace, state)| {
            let state = state.filter(|state| state.len() <= MAX_STATE);
            let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
            let fields = HashMap::from([
                ("traceparent".to_owned(), text(trace.field())),
                ("tracestate".to_owned(), state.map(text).unwrap_or_default()),
            ]);
            TraceContextPropagator::new().extract_with_context(&Context::new(), &fields)
        });
        let span = self
            .tracer
            .span_builder(method)
            .with_kind(SpanKind::Server)
            .with_start_time(since_epoch)
            .start_with_context(&self.tracer, &parent);
        span.is_recording().then(|| RequestSpan {
            context: Context::new().with_span(span),
            tracer: self.tracer.clone(),
            since,
            since_epoch,
        })
    }

    /// Sends the remaining spans, in at most 2 s.
    pub async fn flush(self) {
        let flushed =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH));
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "sending the last spans failed"),
            Err(error) => tracing::error!(%error, "span exporter panicked"),
        }
    }
}

/// Whether the environment enables traces (OpenTelemetry's "General SDK Configuration").
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    // an empty variable counts as unset
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let is =
        |name: &str, word: &str| set(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return false;
    }
    is("OTEL_TRACES_EXPORTER", "otlp")
        || set("OTEL_EXPORTER_OTLP_ENDPOINT").is_some()
        || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").is_some()
}

pub(in crate::service) struct RequestSpan {
    context: Context,
    tracer: SdkTracer,
    since: Instant,
    since_epoch: SystemTime,
}

impl RequestSpan {
    /// For requests made on behalf of this one.
    pub(in crate::service) fn traceparent(&self) -> Option<HeaderValue> {
        let mut fields = HashMap::<String, String>::new();
        TraceContextPropagator::new().inject_context(&self.context, &mut fields);
        HeaderValue::try_from(fields.remove("traceparent")?).ok()
    }

    /// 32 hexadecimal digits
    pub(in crate::service) fn trace_id(&self) -> String {
        self.context.span().span_context().trace_id().to_string()
    }

    /// Ends the span, and adds child spans for the completed steps.
    pub(in crate::service) fn end(self, outcome: &Outcome, waits: &[Wait]) {
        if let Some(authentication) = &outcome.authentication {
            let is_verified = authentication.identity.is_some();
            let verified = KeyValue::new("warp_bearer.verified", is_verified);
            let (began, took) = (authentication.began, authentication.duration);
            self.step("verify token", began, took, vec![verified]);
        }
        for wait in waits {
            let name = match wait.reason {
                WaitReason::Keys => "wait for keys",
                WaitReason::Introspection => "introspect token",
                WaitReason::Store => "claim proof in store",
            };
            self.step(name, wait.began, wait.duration, Vec::new());
        }
        let span = self.context.span();
        span.update_name(format!("{} {}", outcome.method, outcome.route));
        span.set_attribute(KeyValue::new("http.request.method", outcome.method));
        span.set_attribute(KeyValue::new("http.route", outcome.route));
        if let Some(status) = outcome.status {
            let status = i64::from(status.as_u16());
            span.set_attribute(KeyValue::new("http.response.status_code", status));
        }
        if let Some(code) = outcome.code {
            span.set_attribute(KeyValue::new("error.type", code));
        }
        // rejecting a request is not a server error (OpenTelemetry's conventions for HTTP spans)
        if outcome.status.is_none_or(|status| status.is_server_error()) {
            span.set_status(Status::error(""));
        }
        if let Some(original) = &outcome.original {
            let rows = [
                ("warp_bearer.original.method", &original.method),
                ("warp_bearer.original.host", &original.host),
                ("warp_bearer.original.path", &original.path),
            ];
            for (name, value) in rows {
                if let Some(value) = value {
                    span.set_attribute(KeyValue::new(name, value.clone()));
                }
            }
        }
        span.end_with_timestamp(self.at(self.since + outcome.took));
    }

    fn step(&self, name: &'static str, began: Instant, took: Duration, attributes: Vec<KeyValue>) {
        let mut span = self
            .tracer
            .span_builder(name)
            .with_start_time(self.at(began))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &self.context);
        span.end_with_timestamp(self.at(began + took));
    }

    /// Converts an instant of this request to wall-clock time, relative to the start of the
    /// request. We do not ask the system clock again: someone may have changed it since then.
    fn at(&self, instant: Instant) -> SystemTime {
        self.since_epoch + instant.saturating_duration_since(self.since)
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl fmt::Debug for RequestSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSpan").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_enabled_if_a_collector_is_configured() {
        const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        #[rustfmt::skip]
        let rows = [
            ("empty", &[][..], false),
            ("an address", &[(ALL, "http://c:4318")], true),
            ("an empty one", &[(ALL, "")], false),
            ("one for traces", &[(TRACES, "http://c:4318/v1/traces")], true),
            ("the exporter only", &[("OTEL_TRACES_EXPORTER", "otlp")], true),
            ("no exporter", &[(ALL, "http://c:4318"), ("OTEL_TRACES_EXPORTER", "none")], false),
            ("disabled", &[(ALL, "http://c:4318"), ("OTEL_SDK_DISABLED", "true")], false),
            ("not disabled", &[(ALL, "http://c:4318"), ("OTEL_SDK_DISABLED", "false")], true),
        ];
        for (case, variables, expected) in rows {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(is_wanted(variable), expected, "{case}");
        }
    }
}
