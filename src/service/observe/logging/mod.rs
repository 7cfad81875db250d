//! The log of the process: text for people or JSON for machines, always on stderr.
//!
//! stdout is for the output of commands. The settings come from the configuration, as a
//! [`LogConfig`].

mod buffered_writer;
mod format;
mod panics;
mod rate_limit;

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt};

use crate::service::observe::logging::{buffered_writer::LogBuffer, format::Line};

pub use self::buffered_writer::Log;
pub use self::format::LogFormat;

/// The configuration of the log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The events that are logged. Defaults to `info`.
    pub filter: EnvFilter,
    /// The format of a line. Defaults to text.
    pub format: LogFormat,
    /// Allows colours on a terminal. False if `NO_COLOR` is set, or if the terminal has none.
    pub color: bool,
}

/// Starts logging for the whole process, including panics, until the returned guard is dropped.
/// Does not replace a subscriber that is already set.
#[must_use = "dropping the guard ends the log"]
pub fn init(log: &LogConfig) -> Log {
    let color = log.color && io::stderr().is_terminal();
    let buffer = LogBuffer::default();
    if subscriber(log, color, buffer.clone()).try_init().is_ok() {
        panics::log_panics();
    }
    buffer.open(io::stderr(), |lost| {
        tracing::warn!(lost, "log lines lost: the output was blocked");
    })
}

/// What [`init`] sets, but with another writer.
pub fn subscriber<W>(log: &LogConfig, color: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        // With the default, a closed stderr causes an error that is printed to stderr, and that
        // panics
        .log_internal_errors(false)
        .with_env_filter(log.filter.clone())
        .with_ansi(color)
        .event_format(Line::new(log.format))
        .with_writer(writer);
    Box::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use tokio::time::advance;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn listener(format: LogFormat, color: bool) -> (Lines, Box<dyn Subscriber + Send + Sync>) {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = LogConfig {
            filter: "debug".parse().unwrap(),
            format,
            color,
        };
        (lines, subscriber(&config, color, move || writer.clone()))
    }

    fn logged(format: LogFormat, color: bool, log: impl FnOnce()) -> String {
        let (lines, subscriber) = listener(format, color);
        tracing::subscriber::with_default(subscriber, log);
        lines.text()
    }

    /// Every kind of value that an event can have
    fn events() {
        let error = io::Error::other("no\nsuch \"thing\"");
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::info!(
            keys = 2,
            less = -2,
            share = 0.5,
            nan = f64::NAN,
            on = true,
            "key set replaced"
        );
        tracing::warn!(
            kid = "a b",
            path = "/api",
            none = None::<&str>,
            "odd {}",
            "\u{1b}[31m\n"
        );
        tracing::error!(error, wait = ?std::time::Duration::from_millis(1500), address = %"[::1]:0");
        tracing::debug!(nothing = "", back = "\\", smile = "\u{263a}", "café");
    }

    /// The line without its timestamp, whose form is checked.
    fn rest(line: &str) -> &str {
        let (time, rest) = line.split_at(27);
        let form: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(form, "0000-00-00T00:00:00.000000Z");
        rest
    }

    #[test]
    fn text_has_one_line_per_event_and_quotes_unusual_values() {
        let text = logged(LogFormat::Text, false, events);
        let lines: Vec<_> = text.lines().map(rest).collect();
        let target = module_path!();
        let expected = [
            format!("  INFO {target}: key set replaced keys=2 less=-2 share=0.5 nan=NaN on=true"),
            format!(r#"  WARN {target}: odd \u{{1b}}[31m\n kid="a b" path=/api"#),
            format!(r#" ERROR {target}: error="no\nsuch \"thing\"" wait=1.5s address=[::1]:0"#),
            format!(r#" DEBUG {target}: café nothing="" back="\\" smile="☺""#),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn escapes_terminal_and_bidi_controls() {
        let odd = "a\u{9b}2J\u{7f}\u{202e}b\u{2066}\u{2028}\u{3164}é";
        let log = || tracing::warn!(odd, shown = %odd, "{odd}");
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, false, log);
            let harmless = |c: char| matches!(c, '\n' | 'é' | ' '..='~');
            assert!(text.chars().all(harmless), "{text:?}");
        }
        let text = logged(LogFormat::Json, false, log);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        for member in ["odd", "shown", "message"] {
            assert_eq!(event[member], odd, "{member}");
        }
    }

    #[test]
    fn text_has_colours_only_if_allowed() {
        for (case, color) in [("plain", false), ("colours", true)] {
            let text = logged(LogFormat::Text, color, || tracing::info!("hello"));
            assert!(text.contains("hello"), "{case}: {text}");
            assert_eq!(text.contains('\u{1b}'), color, "{case}: {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn limits_repeated_warnings_to_twenty_per_minute() {
        let (lines, subscriber) = listener(LogFormat::Text, false);
        let logging = tracing::subscriber::set_default(subscriber);
        let flood = || {
            for _ in 0..1000 {
                tracing::warn!(of = "a stranger", "again");
                tracing::info!("answered");
            }
        };
        flood();
        tracing::error!("from another place");
        advance(Duration::from_secs(59)).await;
        flood();
        advance(Duration::from_secs(1)).await;
        flood();
        drop(logging);

        let text = lines.text();
        let (bounded, others): (Vec<_>, Vec<_>) = text
            .lines()
            .map(rest)
            .partition(|line| line.contains("again"));
        let plain = format!("  WARN {}: again of=\"a stranger\"", module_path!());
        let minute = |after: &str| {
            let mut lines = vec![plain.clone(); 20];
            lines[0] += after;
            lines[19] += " silent_s=60";
            lines
        };
        assert_eq!(bounded, [minute(""), minute(" left_out=1980")].concat());
        assert_eq!(others.len(), 3001);
    }

    #[test]
    fn json_has_one_object_per_line_with_fields_as_members() {
        let text = logged(LogFormat::Json, false, events);
        let mut events: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for event in &mut events {
            let event = event.as_object_mut().unwrap();
            let time = event.remove("timestamp").unwrap();
            assert_eq!(rest(time.as_str().unwrap()), "");
            assert_eq!(event.remove("target").unwrap(), module_path!());
        }
        #[rustfmt::skip]
        let expected = [
            serde_json::json!({"level": "INFO", "message": "key set replaced", "keys": 2, "less": -2, "share": 0.5, "nan": null, "on": true}),
            serde_json::json!({"level": "WARN", "message": "odd \u{1b}[31m\n", "kid": "a b", "path": "/api"}),
            serde_json::json!({"level": "ERROR", "error": "no\nsuch \"thing\"", "wait": "1.5s", "address": "[::1]:0"}),
            serde_json::json!({"level": "DEBUG", "message": "café", "nothing": "", "back": "\\", "smile": "\u{263a}"}),
        ];
        assert_eq!(events, expected);
    }
}
