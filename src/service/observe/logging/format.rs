//! Formats each event as one line, as text or JSON.
//!
//! tracing-subscriber's own formats take longer than the rest of a request. Spans aren't shown: the
//! service has none.

use std::{
    cell::RefCell,
    fmt::{self, Write},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::{
    auth::display::{escaped, is_visible, push_json_escape},
    service::observe::logging::rate_limit::{Decision, RateLimits},
};

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// A JSON object on each line, for machines.
    Json,
}

#[derive(Debug)]
pub(in crate::service) struct Line {
    format: LogFormat,
    rate_limits: RateLimits,
}

impl Line {
    pub(in crate::service) fn new(format: LogFormat) -> Self {
        Self {
            format,
            rate_limits: RateLimits::default(),
        }
    }
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let decision = self.rate_limits.decide(event.metadata());
        if decision == Decision::Skip {
            return Ok(());
        }
        LINE.with(|line| {
            // The buffer is in use if formatting a value logs something, or panics: the panic hook
            // logs too, and a second panic in the hook would abort the process.
            let (mut shared, mut own) = (line.try_borrow_mut(), String::new());
            let line = shared.as_deref_mut().unwrap_or(&mut own);
            line.clear();
            match self.format {
                LogFormat::Text => text(line, event, decision, writer.has_ansi_escapes()),
                LogFormat::Json => json(line, event, decision),
            }
            line.push('\n');
            writer.write_str(line)
        })
    }
}

fn text(line: &mut String, event: &Event<'_>, decision: Decision, color: bool) {
    let (level, target) = (*event.metadata().level(), event.metadata().target());
    let (dim, end) = if color {
        ("\u{1b}[2m", "\u{1b}[0m")
    } else {
        ("", "")
    };

    line.push_str(dim);
    now(line);
    line.push_str(end);
    line.push_str(if color { colored(level) } else { padded(level) });
    line.push_str(dim);
    line.push_str(target);
    line.push(':');
    line.push_str(end);
    event.record(&mut Text(line));
    if let Some((name, count)) = decision.field() {
        let _ = write!(line, " {name}={count}");
    }
}

const fn padded(level: Level) -> &'static str {
    match level {
        Level::ERROR => " ERROR ",
        Level::WARN => "  WARN ",
        Level::INFO => "  INFO ",
        Level::DEBUG => " DEBUG ",
        Level::TRACE => " TRACE ",
    }
}

const fn colored(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m ERROR \u{1b}[0m",
        Level::WARN => "\u{1b}[33m  WARN \u{1b}[0m",
        Level::INFO => "\u{1b}[32m  INFO \u{1b}[0m",
        Level::DEBUG => "\u{1b}[34m DEBUG \u{1b}[0m",
        Level::TRACE => "\u{1b}[35m TRACE \u{1b}[0m",
    }
}

/// Writes a message. Escapes line breaks, terminal sequences and bidi controls.
fn message(line: &mut String, message: &dyn fmt::Debug) {
    line.push(' ');
    let start = line.len();
    let _ = write!(line, "{message:?}");
    if !all(&line[start..], |byte| matches!(byte, b' '..=b'~')) {
        let message = line.split_off(start);
        line.push_str(&escaped(&message));
    }
}

/// An event as text: its message, then its fields as `name=value`, with quotes around a value whose
/// end would be ambiguous.
struct Text<'l>(&'l mut String);

impl Text<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push(' ');
        self.0.push_str(field.name());
        self.0.push('=');
    }
}

fn is_plain(value: &str) -> bool {
    let plain = |byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\' | b'=');
    !value.is_empty() && all(value, plain)
}

/// Like `Iterator::all`, but without the early return, so that the compiler can check many bytes at
/// a time.
fn all(value: &str, is: impl Fn(u8) -> bool) -> bool {
    value.bytes().fold(true, |all, byte| all & is(byte))
}

impl Visit for Text<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        if is_plain(value) {
            self.0.push_str(value);
        } else {
            // `Debug` doesn't escape some invisible characters
            self.0.push_str(&escaped(&format!("{value:?}")));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        digits(self.0, value, 1);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            return message(self.0, value);
        }
        self.name(field);
        let start = self.0.len();
        let _ = write!(self.0, "{value:?}");
        if !is_plain(&self.0[start..]) {
            let value = self.0.split_off(start);
            self.0.push_str(&escaped(&format!("{value:?}")));
        }
    }
}

fn json(line: &mut String, event: &Event<'_>, decision: Decision) {
    line.push_str("{\"timestamp\":\"");
    now(line);
    line.push_str("\",\"level\":\"");
    line.push_str(event.metadata().level().as_str());
    line.push('"');
    event.record(&mut Json(line));
    if let Some((name, count)) = decision.field() {
        let _ = write!(line, ",\"{name}\":{count}");
    }
    line.push_str(",\"target\":");
    quote(line, event.metadata().target());
    line.push('}');
}

struct Json<'l>(&'l mut String);

impl Json<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        // a Rust identifier needs no escaping
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }
}

/// Writes a JSON string (RFC 8259 §7). JSON allows some invisible characters, but people read logs
/// on terminals, so we escape those too.
fn quote(line: &mut String, value: &str) {
    let plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if all(value, plain) {
        line.push('"');
        line.push_str(value);
        line.push('"');
        return;
    }
    for c in serde_json::Value::from(value).to_string().chars() {
        if is_visible(c) {
            line.push(c);
        } else {
            push_json_escape(line, c);
        }
    }
}

impl Visit for Json<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        quote(self.0, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        digits(self.0, value, 1);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.0.push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        // NaN and infinities become null
        let _ = write!(self.0, "{}", serde_json::Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        let start = self.0.len();
        let _ = write!(self.0, "{value:?}");
        let value = self.0.split_off(start);
        quote(self.0, &value);
    }
}

/// The current time, e.g. `2026-11-23T02:11:34.169084Z` (RFC 3339).
fn now(line: &mut String) {
    thread_local! {
        /// The last formatted second. Consecutive lines usually share it.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    SECOND.with_borrow_mut(|(second, written)| {
        if *second != since.as_secs() {
            *second = since.as_secs();
            written.clear();
            date_and_time(written, *second);
        }
        line.push_str(written);
    });
    digits(line, since.subsec_micros().into(), 6);
    line.push('Z');
}

fn date_and_time(line: &mut String, seconds: u64) {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    for (value, width, after) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (second / 3600, 2, ':'),
        (second / 60 % 60, 2, ':'),
        (second % 60, 2, '.'),
    ] {
        digits(line, value, width);
        line.push(after);
    }
}

/// Days since 1970 to year, month and day: Howard Hinnant's `civil_from_days`.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// A decimal number, padded with zeros to `width`.
#[allow(clippy::cast_possible_truncation)] // a digit
fn digits(line: &mut String, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while value > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] += (value % 10) as u8;
        value /= 10;
    }
    line.push_str(str::from_utf8(&digits[at..]).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_times_in_utc() {
        #[rustfmt::skip]
        let rows = [
            (0, "1970-01-01T00:00:00."),
            (951_782_400, "2000-02-29T00:00:00."),
            (1_709_251_199, "2024-02-29T23:59:59."),
            (1_709_251_200, "2024-03-01T00:00:00."),
            (4_102_444_800, "2100-01-01T00:00:00."),
            (4_107_542_400, "2100-03-01T00:00:00."),
        ];
        for (seconds, expected) in rows {
            let mut line = String::new();
            date_and_time(&mut line, seconds);
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn writes_numbers_in_full() {
        for (value, width, expected) in [
            (0, 1, "0"),
            (7, 2, "07"),
            (1234, 2, "1234"),
            (u64::MAX, 1, "18446744073709551615"),
        ] {
            let mut line = String::new();
            digits(&mut line, value, width);
            assert_eq!(line, expected);
        }
    }
}
