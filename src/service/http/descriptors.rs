//! Fits the maximum number of connections to the available file descriptors.
//!
//! Each connection needs a descriptor. The process also needs some for listeners, logs, connections
//! to `METRICS_LISTEN`, and key fetches. If idle peers could take all descriptors, key fetches
//! would fail, so [`RESERVE`] descriptors are never used for connections.

use crate::service::http::limits::Limits;

const RESERVE: usize = 64;

/// Raises the soft limit of descriptors to the hard limit. If that still is not enough, we serve
/// fewer connections and log a warning.
pub(in crate::service) fn fit(mut limits: Limits) -> Limits {
    let Some(descriptors) = raised() else {
        return limits;
    };
    let connections = connections(limits.connections, descriptors);
    if connections < limits.connections {
        tracing::warn!(
            wanted = limits.connections,
            connections,
            descriptors,
            "MAX_CONNECTIONS lowered to fit the limit of open files; raise that limit (ulimit -n, LimitNOFILE), or lower MAX_CONNECTIONS"
        );
        limits.connections = connections;
    }
    limits
}

/// The number of connections to which [`fit`] would lower `wanted`, and the number of available
/// descriptors, or `None` if there are enough.
pub(in crate::service) fn shortfall(wanted: usize) -> Option<(usize, u64)> {
    let descriptors = hard_limit()?;
    let fitting = connections(wanted, descriptors);
    (fitting < wanted).then_some((fitting, descriptors))
}

#[cfg(unix)]
fn hard_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};

    getrlimit(Resource::Nofile).maximum
}

#[cfg(not(unix))]
fn hard_limit() -> Option<u64> {
    None
}

fn connections(wanted: usize, descriptors: u64) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    wanted.min(descriptors.saturating_sub(RESERVE)).max(1)
}

/// `None` if the limit is unlimited
#[cfg(unix)]
fn raised() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        // some systems report a hard limit that they don't grant
        Err(error) => {
            tracing::debug!(%error, "raising the soft limit of open files failed");
            current
        }
    }
}

#[cfg(not(unix))]
fn raised() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_descriptors_in_reserve() {
        for (case, wanted, descriptors, expected) in [
            ("plenty", 10_000, 65_536, 10_000),
            ("just enough", 10_000, 10_064, 10_000),
            ("one too few", 10_000, 10_063, 9_999),
            ("few", 10_000, 128, 64),
            ("hardly any", 10_000, 65, 1),
            ("less than the reserve", 10_000, 20, 1),
        ] {
            assert_eq!(connections(wanted, descriptors), expected, "{case}");
        }
    }
}
