//! The metrics in `OpenMetrics`' text format (version 1.0.0), with exemplars of request durations.
//!
//! An exemplar links a bucket of the histogram to the trace of a request. Per route and bucket, we
//! keep the newest request whose trace was sampled (other traces are not stored anywhere, so a link
//! to them would lead nowhere).
//!
//! The text is converted from Prometheus' format, and has the same series.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The newest request of each route and bucket. Routes are templates, so there are only a few.
#[derive(Debug)]
pub(super) struct Exemplars {
    histogram: &'static str,
    bounds: &'static [f64],
    newest: Mutex<HashMap<(&'static str, usize), Exemplar>>,
}

#[derive(Debug)]
struct Exemplar {
    trace_id: String,
    took: Duration,
    at: SystemTime,
}

impl Exemplars {
    pub(super) fn new(histogram: &'static str, bounds: &'static [f64]) -> Self {
        Self {
            histogram,
            bounds,
            newest: Mutex::default(),
        }
    }

    pub(super) fn keep(&self, route: &'static str, took: Duration, trace_id: &str) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        let exemplar = Exemplar {
            trace_id: trace_id.to_owned(),
            took,
            at: SystemTime::now(),
        };
        self.newest().insert((route, bucket), exemplar);
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<(&'static str, usize), Exemplar>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exemplars by series, in the notation of Prometheus' format
    fn by_series(&self) -> HashMap<String, String> {
        let newest = self.newest();
        let all = newest.iter().map(|((route, bucket), exemplar)| {
            let bound = self.bounds.get(*bucket);
            let bound = bound.map_or("+Inf".to_owned(), ToString::to_string);
            let series = format!(
                r#"{}_bucket{{route="{route}",le="{bound}"}}"#,
                self.histogram
            );
            let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
            let shown = format!(
                r#" # {{trace_id="{}"}} {} {:.3}"#,
                exemplar.trace_id,
                exemplar.took.as_secs_f64(),
                at.as_secs_f64()
            );
            (series, shown)
        });
        all.collect()
    }
}

/// Converts text from Prometheus' format (version 0.0.4).
pub(super) fn rewrite(text: &str, exemplars: &Exemplars) -> String {
    let exemplars = exemplars.by_series();
    let counters: Vec<&str> = text.lines().filter_map(counter).collect();
    let mut rewritten = String::with_capacity(text.len() + 128 * exemplars.len());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let _ = if let Some(mut words) = line.strip_prefix("# ").map(|rest| rest.splitn(3, ' ')) {
            let (kind, name) = (words.next(), words.next().unwrap_or_default());
            // `OpenMetrics` names a counter without the `_total` of its series
            let family = match name.strip_suffix("_total") {
                Some(family) if counters.contains(&name) => family,
                _ => name,
            };
            let rest = words.next().unwrap_or_default();
            writeln!(rewritten, "# {} {family} {rest}", kind.unwrap_or_default())
        } else {
            let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
            let exemplar = exemplars.get(series).map_or("", String::as_str);
            writeln!(rewritten, "{}{exemplar}", with_float_bound(line))
        };
    }
    rewritten.push_str("# EOF\n");
    rewritten
}

/// The counter that a line describes, if any.
fn counter(line: &str) -> Option<&str> {
    line.strip_prefix("# TYPE ")?.strip_suffix(" counter")
}

/// Formats the upper bound of a bucket as a float: `le="1.0"`, never `le="1"`. The format insists.
fn with_float_bound(line: &str) -> String {
    let Some((before, after)) = line.split_once(r#"le=""#) else {
        return line.to_owned();
    };
    match after.split_once('"') {
        Some((bound, after)) if bound.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!(r#"{before}le="{bound}.0"{after}"#)
        }
        _ => line.to_owned(),
    }
}

/// Whether a scraper accepts this format (RFC 9110 §12.5.1).
pub(in crate::service) fn is_accepted(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_ours = parts
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        let is_refused = |part: &str| {
            let quality = part.strip_prefix("q=").or(part.strip_prefix("Q="));
            quality.is_some_and(|value| value.parse() == Ok(0.0))
        };
        is_ours && !parts.any(is_refused)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_series_and_gets_exemplars() {
        let exemplars = Exemplars::new("took", &[0.5, 1.0]);
        exemplars.keep("/a", Duration::from_millis(500), "first");
        exemplars.keep("/a", Duration::from_millis(250), "newest");
        exemplars.keep("/a", Duration::from_secs(2), "long");
        let text = "# HELP asked_total Requests_total by route.\n# TYPE asked_total counter\n\
                    asked_total{route=\"/a\"} 3\n\n# TYPE cpu_total gauge\ncpu_total 1.5\n\n\
                    # TYPE took histogram\ntook_bucket{route=\"/a\",le=\"0.5\"} 2\n\
                    took_bucket{route=\"/a\",le=\"1\"} 2\ntook_bucket{route=\"/b\",le=\"0.5\"} 1\n\
                    took_bucket{route=\"/a\",le=\"+Inf\"} 3\n";
        let rewritten = rewrite(text, &exemplars);
        let without_times: Vec<_> = rewritten
            .lines()
            .map(|line| match line.split_once("} 0.25 ") {
                Some((before, _)) => format!("{before}}} 0.25"),
                None => line
                    .split_once("} 2 ")
                    .filter(|_| line.contains("long"))
                    .map_or(line.to_owned(), |(before, _)| format!("{before}}} 2")),
            })
            .collect();
        let expected = [
            "# HELP asked Requests_total by route.",
            "# TYPE asked counter",
            r#"asked_total{route="/a"} 3"#,
            "# TYPE cpu_total gauge",
            "cpu_total 1.5",
            "# TYPE took histogram",
            r#"took_bucket{route="/a",le="0.5"} 2 # {trace_id="newest"} 0.25"#,
            r#"took_bucket{route="/a",le="1.0"} 2"#,
            r#"took_bucket{route="/b",le="0.5"} 1"#,
            r#"took_bucket{route="/a",le="+Inf"} 3 # {trace_id="long"} 2"#,
            "# EOF",
        ];
        assert_eq!(without_times, expected);
    }

    #[test]
    fn selects_the_format_by_the_accept_field() {
        for (accept, expected) in [
            ("application/openmetrics-text", true),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                true,
            ),
            ("text/plain, Application/OpenMetrics-Text; q=0.5", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text; q=0.0, text/plain", false),
            ("text/plain;version=0.0.4", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(is_accepted(accept), expected, "{accept}");
        }
    }
}
