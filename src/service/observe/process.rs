//! Metrics of the process, with the usual names of Prometheus client libraries (`process_*`).
//!
//! Read from Linux's `/proc` on each scrape, and not available on other systems.

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::service) struct ProcessFigures {
    /// User and system
    pub(in crate::service) cpu_seconds: f64,
    pub(in crate::service) resident_bytes: u64,
    pub(in crate::service) threads: u64,
    pub(in crate::service) open_files: u64,
    /// `None` if unlimited
    pub(in crate::service) max_files: Option<u64>,
    /// In seconds since 1970
    pub(in crate::service) started: f64,
}

/// `None` if the system does not provide these figures.
#[cfg(target_os = "linux")]
pub(in crate::service) fn figures() -> Option<ProcessFigures> {
    use std::{
        fs,
        sync::OnceLock,
        time::{Duration, SystemTime, UNIX_EPOCH},
    };

    use rustix::{
        param::{clock_ticks_per_second, page_size},
        process::{Resource, getrlimit},
        time::{ClockId, clock_gettime},
    };

    // A start time that changes with each reading would look like a restart
    static STARTED: OnceLock<Option<f64>> = OnceLock::new();

    let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
    let seconds = |ticks: u64| to_f64(ticks) / to_f64(clock_ticks_per_second());
    let started = *STARTED.get_or_init(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        // systemd's `ProcSubset=pid` hides `/proc/stat`
        let since_boot = clock_gettime(ClockId::Boottime);
        let since_boot = Duration::new(
            u64::try_from(since_boot.tv_sec).ok()?,
            u32::try_from(since_boot.tv_nsec).ok()?,
        );
        Some(now.as_secs_f64() - since_boot.as_secs_f64() + seconds(stat.started_ticks))
    });
    Some(ProcessFigures {
        cpu_seconds: seconds(stat.ticks),
        resident_bytes: stat.resident_pages * u64::try_from(page_size()).ok()?,
        threads: stat.threads,
        // This counts the directory that's being read
        open_files: u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
        max_files: getrlimit(Resource::Nofile).current,
        started: started?,
    })
}

#[cfg(not(target_os = "linux"))]
pub(in crate::service) fn figures() -> Option<ProcessFigures> {
    None
}

/// The fields of `/proc/self/stat` that we use, see the manual page `proc_pid_stat`
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ticks: u64,
    threads: u64,
    started_ticks: u64,
    resident_pages: u64,
}

#[cfg(target_os = "linux")]
impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may contain any character
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // the first field of `rest` is the third one in the manual
        let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
        Some(Self {
            ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            resident_pages: field(24)?,
        })
    }
}

/// Exact up to 2^53, which is more than any real number of ticks, seconds or bytes can be
#[allow(clippy::cast_precision_loss)]
pub(in crate::service) fn to_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn parses_names_with_spaces_and_parentheses() {
        let line = "42 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 7 0 1000 4096 25 184";
        let expected = Stat {
            ticks: 200,
            threads: 7,
            started_ticks: 1000,
            resident_pages: 25,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_plausible_figures() {
        let figures = figures().unwrap();
        assert!(figures.resident_bytes > 1_000_000, "{figures:?}");
        assert!(
            figures.threads >= 1 && figures.open_files >= 3,
            "{figures:?}"
        );
        assert!(
            figures
                .max_files
                .is_none_or(|most| most >= figures.open_files)
        );
        // a test process is younger than ten minutes
        let now = std::time::SystemTime::now();
        let now = now
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        assert!(
            figures.started > now - 600.0 && figures.started < now + 2.0,
            "{figures:?}"
        );
        // the clocks are read once, so the time of the start never changes
        let again = super::figures().unwrap().started;
        assert_eq!(again.to_bits(), figures.started.to_bits());
    }
}
