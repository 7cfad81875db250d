//! Logs panics in the configured format.
//!
//! A line has the location of the panic. It should have the message too, but a formatted message
//! may contain a token, so we only include the message if it's a literal in the source.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    thread,
};

/// Replaces the panic hook: panics are logged, and no longer printed.
pub(in crate::service) fn log_panics() {
    panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let said = panic.payload().downcast_ref::<&'static str>();
    // does nothing unless `RUST_BACKTRACE` turns it on
    let backtrace = Backtrace::capture();
    let has_backtrace = backtrace.status() == BacktraceStatus::Captured;
    tracing::error!(
        location,
        thread = thread::current().name(),
        said = said.copied().unwrap_or("not shown: it may contain a token"),
        backtrace = has_backtrace.then(|| backtrace.to_string()),
        "panicked"
    );
}

#[cfg(test)]
mod tests {
    use std::{
        env, fmt,
        process::{Command, Stdio},
    };

    use serde_json::Value;

    use crate::service::observe::logging::{self, LogConfig, LogFormat};

    struct Unprintable;

    impl fmt::Debug for Unprintable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("while a line is formatted")
        }
    }

    /// The hook is global to the process, so this test runs itself in another one
    #[test]
    fn panic_is_logged_as_one_line_without_secrets() {
        const CHILD: &str = "PANICS_TEST_CHILD";
        let secret = "hunter2".to_owned();
        if env::var_os(CHILD).is_some() {
            let _log = logging::init(&LogConfig {
                filter: "info".parse().unwrap(),
                format: LogFormat::Json,
                color: false,
            });
            let panics: [fn(&str); 3] = [
                |_| panic!("a fixed text"),
                |text| panic!("about {text}"),
                |_| tracing::info!(value = ?Unprintable, "the hook logs during this"),
            ];
            for panic in panics {
                assert!(std::panic::catch_unwind(|| panic(&secret)).is_err());
            }
            return;
        }
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg(
                concat!(
                    module_path!(),
                    "::panic_is_logged_as_one_line_without_secrets"
                )
                .split_once("::")
                .unwrap()
                .1,
            )
            .env(CHILD, "1")
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::null())
            .output()
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let said: Vec<_> = lines
            .iter()
            .map(|line| line["said"].as_str().unwrap())
            .collect();
        let expected = [
            "a fixed text",
            "not shown: it may contain a token",
            "while a line is formatted",
        ];
        assert_eq!(said, expected);
        for line in lines {
            assert_eq!(line["level"], "ERROR");
            assert_eq!(line["message"], "panicked");
            let location = line["location"].as_str().unwrap();
            assert!(location.starts_with(file!()), "{location}");
        }
        assert!(output.status.success() && !log.contains(&secret), "{log}");
    }
}
