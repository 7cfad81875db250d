//! Formats dates and durations for people. Dates are in seconds since the epoch.

use jiff::{Timestamp, tz::TimeZone};

/// Formats a date in local time, and relative to `now`.
pub(crate) fn both(date: f64, now: f64) -> String {
    format!("{}, {}", local(date), relative(date - now))
}

/// Formats a date in local time, to the second.
pub(crate) fn local(date: f64) -> String {
    in_zone(date, TimeZone::system())
}

fn in_zone(date: f64, zone: TimeZone) -> String {
    // `floor` has dropped the fraction. The cast saturates, and a saturated date is outside the
    // calendar.
    #[allow(clippy::cast_possible_truncation)]
    let seconds = date.floor() as i64;
    match Timestamp::from_second(seconds) {
        Ok(date) => date
            .to_zoned(zone)
            .strftime("%Y-%m-%d %H:%M:%S %:z")
            .to_string(),
        Err(_) => format!("{date} s, beyond the calendar"),
    }
}

/// Formats a time relative to now: `in 5 min 3 s`, `2 h 1 min ago`.
pub(crate) fn relative(seconds: f64) -> String {
    let long = length(seconds.abs());
    if seconds > 0.0 {
        format!("in {long}")
    } else {
        format!("{long} ago")
    }
}

/// Formats the difference between two clocks: `2 s ahead of`, `2 s behind`.
pub(crate) fn ahead(seconds: f64) -> String {
    let long = length(seconds.abs());
    if seconds > 0.0 {
        format!("{long} ahead of")
    } else {
        format!("{long} behind")
    }
}

/// Only the two largest units
pub(crate) fn length(seconds: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")];
    let mut rest = seconds.round();
    let mut parts = Vec::new();
    for (unit, name) in UNITS {
        let count = (rest / unit).floor();
        if parts.len() < 2 && (count > 0.0 || !parts.is_empty()) {
            if count > 0.0 {
                parts.push(format!("{count} {name}"));
            } else {
                parts.push(String::new());
            }
            rest -= count * unit;
        }
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        return "0 s".to_owned();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_dates_in_local_time() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (date, expected) in [
            (1_700_000_000.0, "2023-11-14 23:13:20 +01:00"),
            (1_690_000_000.9, "2023-07-22 06:26:40 +02:00"),
            (1e18, "1000000000000000000 s, beyond the calendar"),
        ] {
            assert_eq!(in_zone(date, berlin.clone()), expected);
        }
    }

    #[test]
    fn formats_durations_in_two_units_at_most() {
        for (seconds, expected) in [
            (0.0, "0 s ago"),
            (-0.4, "0 s ago"),
            (-59.0, "59 s ago"),
            (60.0, "in 1 min"),
            (-3601.0, "1 h ago"),
            (3725.0, "in 1 h 2 min"),
            (-200_000.0, "2 d 7 h ago"),
        ] {
            assert_eq!(relative(seconds), expected);
        }
        assert_eq!(ahead(90.0), "1 min 30 s ahead of");
        assert_eq!(ahead(-2.0), "2 s behind");
    }
}
