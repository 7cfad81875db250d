//! The metrics of the service, in Prometheus' text format. `openmetrics.rs` converts it for
//! scrapers that accept the other format.
//!
//! Every label has a bounded set of values: routes are templates, codes are fixed, unknown methods
//! share one name, and issuers are configured. Nothing that a caller sends ends up in a label. Note
//! that a `kid`, which the issuer chooses, is only a label for keys that were left out, at most 16
//! per issuer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write as _,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use tokio::time::{MissedTickBehavior, interval};
use warp::http::StatusCode;

use crate::{
    auth::{
        Auth,
        context::{Authentication, Original},
        display::ShownText,
    },
    service::observe::{
        openmetrics::{self, Exemplars},
        process::{ProcessFigures, figures, to_f64},
    },
};

const REQUEST_DURATION: &str = "warp_bearer_request_duration_seconds";
const OUTDATED: &str = "warp_bearer_reload_failed";
const REQUEST_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];
/// From a malformed token to a wait for keys
const VERIFICATION_BUCKETS: [f64; 13] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.005, 0.025, 0.1, 0.5,
    1.0, 3.0,
];
/// From a store on the same machine to the longest timeout
const CLAIM_BUCKETS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics of one service. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    auth: Auth,
    recorder: PrometheusRecorder,
    series: ArcSwap<SeriesHandles>,
    unlabelled: Unlabelled,
    exemplars: Exemplars,
    certificates_outdated: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
}

struct Unlabelled {
    in_flight: Gauge,
    verified: Histogram,
    refused: Histogram,
    connections: Gauge,
    connections_limit: Gauge,
    accepted: Counter,
    waited: Counter,
    unreadable: Counter,
    panics: Counter,
    issuers_outdated: Gauge,
}

#[derive(Debug)]
pub(in crate::service) struct Outcome {
    pub(in crate::service) method: &'static str,
    pub(in crate::service) route: &'static str,
    /// `None` if the request ended without a response
    pub(in crate::service) status: Option<StatusCode>,
    pub(in crate::service) code: Option<&'static str>,
    pub(in crate::service) took: Duration,
    pub(in crate::service) is_probe: bool,
    /// `None` if the request has no token, or if its route does not require one
    pub(in crate::service) authentication: Option<Authentication>,
    /// The client's original request, if a proxy reported it
    pub(in crate::service) original: Option<Box<Original>>,
    pub(in crate::service) proof_fault: Option<&'static str>,
}

/// Identifies a time series by the addresses of its static strings, and the status. If the binary
/// happens to have two copies of a string, two keys lead to the same series, which is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Series([usize; 4]);

/// A fast hasher is safe here, as callers can't choose the keys. The default one would take as long
/// as updating the metrics.
type SeriesHandles = HashMap<Series, Handles, FixedState>;

#[derive(Clone)]
struct Handles {
    requests: Counter,
    refusals: Option<Counter>,
    latency: Histogram,
}

impl Metrics {
    /// Creates the metrics of a service with this `Auth`, all starting at zero.
    pub fn new(auth: &Auth) -> Self {
        let recorder = recorder();
        let unlabelled = with_local_recorder(&recorder, || {
            describe();
            gauge!("warp_bearer_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
            Unlabelled::new()
        });
        let claims = with_local_recorder(&recorder, || {
            histogram!("warp_bearer_state_store_claim_duration_seconds")
        });
        let observer = move |duration| claims.record(duration);
        auth.store().stats().set_observer(Box::new(observer));
        Self(Arc::new(Inner {
            auth: auth.clone(),
            recorder,
            series: ArcSwap::default(),
            unlabelled,
            exemplars: Exemplars::new(REQUEST_DURATION, &REQUEST_BUCKETS),
            certificates_outdated: OnceLock::new(),
        }))
    }

    /// Returns the metrics in version 0.0.4 of Prometheus' text format.
    pub fn render(&self) -> String {
        self.update_from_auth();
        let text = self.0.recorder.handle().render() + &of_issuers(&self.0.auth);
        // registered as a gauge, because the recorder's counters have no fractions
        let name = "# TYPE process_cpu_seconds_total ";
        text.replace(&format!("{name}gauge"), &format!("{name}counter"))
    }

    /// Returns the metrics in version 1.0.0 of `OpenMetrics`' text format, with exemplars.
    pub(in crate::service) fn render_openmetrics(&self) -> String {
        openmetrics::rewrite(&self.render(), &self.0.exemplars)
    }

    /// Aggregates the histograms every 5 s, until the future is dropped. Their samples would
    /// otherwise pile up in memory while nobody scrapes them.
    pub(in crate::service) async fn upkeep(&self) {
        let mut ticks = interval(UPKEEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.0.recorder.handle().run_upkeep();
        }
    }

    pub(in crate::service) fn request_begins(&self) {
        self.0.unlabelled.in_flight.increment(1);
    }

    /// `trace_id` is set if the trace is sampled.
    pub(in crate::service) fn request_ends(&self, outcome: &Outcome, trace_id: Option<&str>) {
        self.0.unlabelled.in_flight.decrement(1);
        if let Some(trace_id) = trace_id {
            let exemplars = &self.0.exemplars;
            exemplars.keep(outcome.route, outcome.took, trace_id);
        }
        match self.0.series.load().get(&Series::of(outcome)) {
            Some(handles) => handles.count(outcome.took),
            None => self.0.register(outcome).count(outcome.took),
        }
        if let Some(authentication) = &outcome.authentication {
            let histogram = match authentication.identity {
                Some(_) => &self.0.unlabelled.verified,
                None => &self.0.unlabelled.refused,
            };
            histogram.record(authentication.duration);
        }
    }

    pub(in crate::service) fn connection_begins(&self) {
        self.0.unlabelled.connections.increment(1);
        self.0.unlabelled.accepted.increment(1);
    }

    pub(in crate::service) fn limit_connections(&self, limit: usize) {
        self.0.unlabelled.connections_limit.set(number(limit));
    }

    pub(in crate::service) fn connection_limit_reached(&self) {
        self.0.unlabelled.waited.increment(1);
    }

    pub(in crate::service) fn connection_ends(&self) {
        self.0.unlabelled.connections.decrement(1);
    }

    pub(in crate::service) fn unreadable(&self) {
        self.0.unlabelled.unreadable.increment(1);
    }

    /// Shows from now on whether the certificates of the service are outdated.
    pub(in crate::service) fn watch_certificates(
        &self,
        are_outdated: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        let _ = self.0.certificates_outdated.set(Box::new(are_outdated));
    }

    pub(in crate::service) fn issuers_file_read(&self, is_usable: bool) {
        let outdated = u8::from(!is_usable);
        self.0.unlabelled.issuers_outdated.set(outdated);
    }

    pub(in crate::service) fn panicked(&self) {
        self.0.unlabelled.panics.increment(1);
    }

    /// Copies the library's counters, which only happens when the metrics are rendered.
    fn update_from_auth(&self) {
        with_local_recorder(&self.0.recorder, || {
            let revocations = self.0.auth.revocation_status();
            gauge!("warp_bearer_revocations").set(number(revocations.entries));
            // If several sources share a name, their series shows the worst
            let mut worst = BTreeMap::new();
            for source in revocations.sources {
                let age = source.age.map_or(f64::NAN, |age| age.as_secs_f64());
                let of_name: &mut (f64, bool) = worst.entry(source.name).or_default();
                of_name.0 = worse_age(age, of_name.0);
                of_name.1 |= source.is_failing;
            }
            for (name, (age, is_failing)) in worst {
                gauge!("warp_bearer_revocations_age_seconds", "source" => name).set(age);
                let failing = u8::from(is_failing);
                gauge!("warp_bearer_revocations_failing", "source" => name).set(failing);
            }
            self.update_from_store();
            if let Some(are_outdated) = self.0.certificates_outdated.get() {
                let outdated = u8::from(are_outdated());
                gauge!(OUTDATED, "file" => "certificate").set(outdated);
            }
            counter!("warp_bearer_token_cache_hits_total").absolute(self.0.auth.cache_hits());
            let cached = number(self.0.auth.cached_tokens());
            gauge!("warp_bearer_token_cache_entries").set(cached);
            if let Some(process) = figures() {
                set_process(&process);
            }
        });
    }
}

fn set_process(process: &ProcessFigures) {
    gauge!("process_cpu_seconds_total").set(process.cpu_seconds);
    gauge!("process_resident_memory_bytes").set(to_f64(process.resident_bytes));
    gauge!("process_threads").set(to_f64(process.threads));
    gauge!("process_open_fds").set(to_f64(process.open_files));
    let max_files = process.max_files.map_or(f64::INFINITY, to_f64);
    gauge!("process_max_fds").set(max_files);
    gauge!("process_start_time_seconds").set(process.started);
}

impl Metrics {
    fn update_from_store(&self) {
        let store = self.0.auth.store();
        let health = store.health();
        gauge!("warp_bearer_state_store_up").set(u8::from(health.ok));
        gauge!("warp_bearer_state_store_keys").set(number(health.keys));
        counter!("warp_bearer_state_store_connects_total").absolute(health.connects);
        let age = store.list_age().map_or(f64::NAN, |age| age.as_secs_f64());
        gauge!("warp_bearer_state_store_list_age_seconds").set(age);
        for (outcome, claims) in store.stats().claims() {
            counter!("warp_bearer_state_store_claims_total", "outcome" => outcome).absolute(claims);
        }
    }
}

/// The maximum number of series of `warp_bearer_key_left_out` per issuer.
const MAX_LEFT_OUT: usize = 16;

/// Formats the metrics of the issuers.
///
/// We do not leave these to the recorder. It never forgets a series, but a reload may remove an
/// issuer, and an issuer may rotate its keys for years, so an alert about a removed issuer would
/// never end. If we write the metrics ourselves, a series disappears together with its issuer or
/// its key.
#[rustfmt::skip]
fn of_issuers(auth: &Auth) -> String {
    let mut text = String::new();
    let mut status = auth.status();
    // An issuer that needs no keys must not cause alerts about missing keys and failed fetches
    status.retain(|keys| keys.required);
    let keys = status.iter().map(|keys| (of_issuer(&keys.issuer), number(keys.keys)));
    add_family(&mut text, "gauge", "warp_bearer_keys", "Usable keys of an issuer. 0: not ready.", keys);
    let ages = status.iter().map(|keys| {
        let age = keys.age.map_or(f64::NAN, |age| age.as_secs_f64());
        (of_issuer(&keys.issuer), age)
    });
    add_family(&mut text, "gauge", "warp_bearer_keys_age_seconds", "Time since the start of the last successful fetch of the issuer's keys. NaN if no keys are held, or if they are fixed.", ages);
    let fetches = status.iter().flat_map(|keys| {
        let fetches = &keys.fetches;
        let outcomes = [("replaced", fetches.replaced), ("confirmed", fetches.confirmed), ("failed", fetches.failed)];
        with_outcomes(&keys.issuer, outcomes)
    });
    add_family(&mut text, "counter", "warp_bearer_key_fetches_total", "Key set fetches by outcome. replaced: the set has changed.", fetches);
    let refused = status.iter().map(|keys| (of_issuer(&keys.issuer), to_f64(keys.fetches.refused)));
    add_family(&mut text, "counter", "warp_bearer_key_fetches_refused_total", "Unknown keys, keys that do not fit and wrong signatures that caused no fetch, because the fetch budget was spent.", refused);
    let left_out = status.iter().flat_map(|keys| {
        let left_out = keys.left_out.iter().take(MAX_LEFT_OUT);
        // several keys can have the same `kid` or none
        let series: BTreeSet<_> = left_out.map(|key| {
            let kid = ShownText::new(key.kid.as_deref().unwrap_or_default()).to_string();
            labels_of(&[("issuer", &*keys.issuer), ("kid", &*kid), ("reason", &*key.reason)])
        }).collect();
        series.into_iter().map(|labels| (labels, 1.0))
    });
    add_family(&mut text, "gauge", "warp_bearer_key_left_out", "A key of the current set that cannot be used; always 1.", left_out);

    let asked = auth.introspection_status();
    let outcomes = asked.iter().flat_map(|asked| {
        let outcomes = [("active", asked.active), ("inactive", asked.inactive), ("failed", asked.failed)];
        with_outcomes(&asked.issuer, outcomes)
    });
    add_family(&mut text, "counter", "warp_bearer_introspections_total", "Requests to an issuer's introspection endpoint by outcome. failed: no valid response.", outcomes);
    let denied = asked.iter().map(|asked| (of_issuer(&asked.issuer), to_f64(asked.denied)));
    add_family(&mut text, "counter", "warp_bearer_introspections_denied_total", "Introspection requests that were answered with 401 or 403: the endpoint rejects the service's credentials.", denied);
    let refused = asked.iter().map(|asked| (of_issuer(&asked.issuer), to_f64(asked.refused)));
    add_family(&mut text, "counter", "warp_bearer_introspections_refused_total", "Unknown tokens for which no introspection request was made, because the budget was spent or too many requests were in flight.", refused);
    let cached = asked.iter().map(|asked| (of_issuer(&asked.issuer), number(asked.cached)));
    add_family(&mut text, "gauge", "warp_bearer_introspection_cache_entries", "Cached responses of an issuer's introspection endpoint.", cached);
    text
}

fn add_family(
    text: &mut String,
    kind: &str,
    name: &str,
    help: &str,
    series: impl Iterator<Item = (String, f64)>,
) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in series {
        let _ = writeln!(text, "{name}{{{labels}}} {value}");
    }
}

fn of_issuer(issuer: &str) -> String {
    labels_of(&[("issuer", issuer)])
}

fn with_outcomes(issuer: &str, outcomes: [(&str, u64); 3]) -> [(String, f64); 3] {
    outcomes.map(|(outcome, count)| {
        let labels = labels_of(&[("issuer", issuer), ("outcome", outcome)]);
        (labels, to_f64(count))
    })
}

fn labels_of(labels: &[(&str, &str)]) -> String {
    let labels = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", label_value(value)));
    labels.collect::<Vec<_>>().join(",")
}

fn label_value(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', r#"\""#);
    text.replace('\n', r"\n")
}

impl Unlabelled {
    fn new() -> Self {
        let verification = |outcome: &'static str| histogram!("warp_bearer_verification_duration_seconds", "outcome" => outcome);
        Self {
            in_flight: gauge!("warp_bearer_requests_in_flight"),
            verified: verification("verified"),
            refused: verification("refused"),
            connections: gauge!("warp_bearer_connections"),
            connections_limit: gauge!("warp_bearer_connections_limit"),
            accepted: counter!("warp_bearer_connections_accepted_total"),
            waited: counter!("warp_bearer_connections_waited_total"),
            unreadable: counter!("warp_bearer_connections_unreadable_total"),
            panics: counter!("warp_bearer_handler_panics_total"),
            issuers_outdated: gauge!(OUTDATED, "file" => "issuers"),
        }
    }
}

impl Inner {
    /// Registers a new series. Later requests find its handles without a lock.
    fn register(&self, outcome: &Outcome) -> Handles {
        let handles = with_local_recorder(&self.recorder, || Handles::of(outcome));
        self.series.rcu(|series| {
            let mut series = SeriesHandles::clone(series);
            series.insert(Series::of(outcome), handles.clone());
            series
        });
        handles
    }
}

impl Series {
    fn of(outcome: &Outcome) -> Self {
        let place = |word: &'static str| word.as_ptr().addr();
        let status = outcome.status.map_or(0, |status| status.as_u16().into());
        let code = outcome.code.map_or(0, place);
        Self([place(outcome.method), place(outcome.route), status, code])
    }
}

impl Handles {
    fn of(outcome: &Outcome) -> Self {
        let (route, code) = (outcome.route, outcome.code);
        let status = outcome
            .status
            .map_or("none".to_owned(), |status| status.as_str().to_owned());
        Self {
            requests: counter!(
                "warp_bearer_requests_total",
                "route" => route, "method" => outcome.method, "status" => status
            ),
            refusals: code.map(|code| counter!("warp_bearer_refusals_total", "code" => code)),
            latency: histogram!(REQUEST_DURATION, "route" => route),
        }
    }

    fn count(&self, took: Duration) {
        self.requests.increment(1);
        if let Some(refusals) = &self.refusals {
            refusals.increment(1);
        }
        self.latency.record(took);
    }
}

fn recorder() -> PrometheusRecorder {
    let buckets = [
        (REQUEST_DURATION, &REQUEST_BUCKETS[..]),
        (
            "warp_bearer_verification_duration_seconds",
            &VERIFICATION_BUCKETS,
        ),
        (
            "warp_bearer_state_store_claim_duration_seconds",
            &CLAIM_BUCKETS,
        ),
    ];
    let builder =
        buckets
            .into_iter()
            .try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
            });
    builder
        .expect("the lists of buckets are not empty")
        .build_recorder()
}

/// The higher age. NaN means "never", so it is the highest.
fn worse_age(one: f64, other: f64) -> f64 {
    if one.is_nan() || other.is_nan() {
        f64::NAN
    } else {
        one.max(other)
    }
}

#[allow(clippy::cast_precision_loss)] // no count here exceeds 2^52
fn number(count: usize) -> f64 {
    count as f64
}

#[rustfmt::skip]
fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};

    describe_gauge!("warp_bearer_build_info", "The running version; always 1.");
    describe_counter!("warp_bearer_requests_total", "Requests by route template, method and status. Status none: the peer disconnected, or the service shut down, before there was a response.");
    describe_counter!("warp_bearer_refusals_total", "Error responses by code.");
    describe_histogram!("warp_bearer_request_duration_seconds", "Time from a request's head to its response.");
    describe_gauge!("warp_bearer_requests_in_flight", "Requests in flight.");
    describe_histogram!("warp_bearer_verification_duration_seconds", "Time to verify one token, including the wait for keys.");
    describe_gauge!("warp_bearer_connections", "Connections being served.");
    describe_gauge!("warp_bearer_connections_limit", "The maximum number of connections being served: MAX_CONNECTIONS, or less if there are too few file descriptors.");
    describe_counter!("warp_bearer_connections_accepted_total", "Accepted connections.");
    describe_counter!("warp_bearer_connections_waited_total", "Times that the limit of connections was reached. New connections may have waited.");
    describe_counter!("warp_bearer_connections_unreadable_total", "Connections that ended because of a failed TLS handshake, invalid HTTP, or a request head over its limits.");
    describe_counter!("warp_bearer_handler_panics_total", "Handlers that panicked.");
    describe_gauge!(OUTDATED, "1 if the last reload of a file failed, so that its older contents stay in use.");
    describe_gauge!("warp_bearer_revocations", "Entries in the list of revoked tokens.");
    describe_gauge!("warp_bearer_revocations_age_seconds", "Time since a source of revocations was last read; for the state store, since the connection to it was lost, or new entries were missed or could not be applied. NaN if it never was.");
    describe_gauge!("warp_bearer_revocations_failing", "1 if the last attempt to read a source of revocations failed.");
    describe_counter!("warp_bearer_token_cache_hits_total", "Requests whose token was in the token cache.");
    describe_gauge!("warp_bearer_state_store_up", "1 if the state store can be reached. Always 1 without STATE_STORE.");
    describe_gauge!("warp_bearer_state_store_keys", "Used DPoP proofs in the memory of this process.");
    describe_counter!("warp_bearer_state_store_connects_total", "Connections to the state store.");
    describe_gauge!("warp_bearer_state_store_list_age_seconds", "Time since the shared list was last read completely. NaN if it never was.");
    describe_counter!("warp_bearer_state_store_claims_total", "Checks of whether a DPoP proof was used, by outcome. Outcomes other than first and used cause a 503.");
    describe_histogram!("warp_bearer_state_store_claim_duration_seconds", "Time of one check at the shared state store.");
    describe_gauge!("warp_bearer_token_cache_entries", "Tokens in the token cache.");
    describe_gauge!("process_cpu_seconds_total", "Processor time of the process, user and system.");
    describe_gauge!("process_resident_memory_bytes", "Memory of the process.");
    describe_gauge!("process_threads", "Threads of the process.");
    describe_gauge!("process_open_fds", "Open file descriptors of the process.");
    describe_gauge!("process_max_fds", "The limit on open file descriptors.");
    describe_gauge!("process_start_time_seconds", "Start time of the process, in seconds since 1970.");
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::worse_age;

    #[test]
    fn the_worse_age_does_not_depend_on_the_order() {
        for (one, other, worse) in [(1.0, 2.0, "2"), (0.0, 0.0, "0"), (3.0, f64::NAN, "NaN")] {
            assert_eq!(worse_age(one, other).to_string(), worse);
            assert_eq!(worse_age(other, one).to_string(), worse);
        }
    }
}
