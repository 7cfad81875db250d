//! Logs: for people as text, for machines as JSON, always on stderr.
//!
//! stdout belongs to what a command prints. What is logged and how was decided by the
//! configuration; nothing of the environment is read here.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt};

use crate::service::config::{LogConfig, LogFormat};

/// Starts logging for the whole process. Where a program logs already, that stays as it is.
pub fn init(log: &LogConfig) {
    let color = log.color && io::stderr().is_terminal();
    let _ = subscriber(log, color, io::stderr).try_init();
}

/// What [`init`] starts, with another place to write to.
pub fn subscriber<W>(log: &LogConfig, color: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(log.filter.clone())
        .with_writer(writer)
        // Told of a stderr that is gone, it would print that there, and panic.
        .log_internal_errors(false);
    match log.format {
        LogFormat::Text => Box::new(builder.with_ansi(color).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

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

    fn logged(filter: &str, format: LogFormat, color: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = LogConfig {
            filter: filter.parse().unwrap(),
            format,
            color,
        };
        let subscriber = subscriber(&log, color, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(keys = 2, "key set replaced");
            tracing::debug!("not by default");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_has_colours_only_where_they_are_wanted() {
        for (case, color) in [("plain", false), ("colours", true)] {
            let text = logged("info", LogFormat::Text, color);
            assert!(text.contains("key set replaced"), "{case}: {text}");
            assert_eq!(text.contains('\u{1b}'), color, "{case}: {text}");
            assert_eq!(text.lines().count(), 1, "{case}: {text}");
        }
    }

    #[test]
    fn json_is_one_object_a_line_with_fields_as_members() {
        let text = logged("debug", LogFormat::Json, false);
        let events: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["message"], "key set replaced");
        assert_eq!(events[0]["keys"], 2);
        assert_eq!(events[0]["level"], "INFO");
    }
}
