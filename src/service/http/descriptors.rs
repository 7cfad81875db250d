//! Fits the maximum number of connections to the available file descriptors.
//!
//! Each connection needs a descriptor. The process also needs some for listeners, logs, connections
//! to `METRICS_LISTEN`, and key fetches. If idle peers could take all descriptors, key fetches
//! would fail, so [`RESERVE`] descriptors are never used for connections, and neither are those
//! that introspection needs.

use crate::{auth::introspection::MAX_OPEN, service::http::limits::Limits};

const RESERVE: usize = 64;

/// Raises the soft limit of descriptors to the hard limit. If that still is not enough, we serve
/// fewer connections and log a warning. `introspecting` is the number of issuers whose tokens are
/// introspected.
pub(in crate::service) fn fit(mut limits: Limits, introspecting: usize) -> Limits {
    let Some(descriptors) = raised() else {
        return limits;
    };
    let connections = connections(limits.connections, descriptors, introspecting);
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
pub(in crate::service) fn shortfall(wanted: usize, introspecting: usize) -> Option<(usize, u64)> {
    let descriptors = hard_limit()?;
    let fitting = connections(wanted, descriptors, introspecting);
    (fitting < wanted).then_some((fitting, descriptors))
}

/// Logs a warning if a reload leaves too few descriptors in reserve. The number of connections was
/// [fitted](fit) at the start and stays the same. `before` and `after` are the numbers of issuers
/// whose tokens are introspected, at the start and now.
pub(in crate::service) fn check_reload(wanted: usize, before: usize, after: usize) {
    let Some(descriptors) = hard_limit() else {
        return;
    };
    if let Some(connections) = lowered(wanted, descriptors, before, after) {
        tracing::warn!(
            connections,
            descriptors,
            "too few open files are left for introspection; restart the service to accept fewer connections, or raise that limit (ulimit -n, LimitNOFILE)"
        );
    }
}

/// The number of connections that would fit after a reload, if that is less than before.
fn lowered(wanted: usize, descriptors: u64, before: usize, after: usize) -> Option<usize> {
    let [before, after] = [before, after].map(|count| connections(wanted, descriptors, count));
    (after < before).then_some(after)
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

/// Introspection reserves at most a quarter of the descriptors. Otherwise, a long issuers file
/// would leave none for connections, although few issuers have many requests in flight at the same
/// time.
fn connections(wanted: usize, descriptors: u64, introspecting: usize) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let for_introspection = introspecting.saturating_mul(MAX_OPEN).min(descriptors / 4);
    let reserve = RESERVE + for_introspection;
    wanted.min(descriptors.saturating_sub(reserve)).max(1)
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
        for (case, descriptors, introspecting, expected) in [
            ("plenty", 65_536, 0, 10_000),
            ("just enough", 10_064, 0, 10_000),
            ("one too few", 10_063, 0, 9_999),
            ("few", 128, 0, 64),
            ("hardly any", 65, 0, 1),
            ("less than the reserve", 20, 0, 1),
            ("just enough for introspection", 10_128, 1, 10_000),
            ("one too few for introspection", 10_127, 1, 9_999),
            ("two issuers", 1_024, 2, 1_024 - 64 - 128),
            ("many issuers", 1_024, 2_000, 1_024 - 64 - 256),
        ] {
            let found = connections(10_000, descriptors, introspecting);
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn reports_a_reload_that_needs_more_descriptors() {
        for (case, descriptors, before, after, expected) in [
            ("plenty", 65_536, 0, 10, None),
            ("one more issuer", 10_100, 0, 1, Some(10_100 - 64 - 64)),
            ("one less issuer", 10_100, 1, 0, None),
            ("already too few", 1_024, 1, 2, Some(1_024 - 64 - 128)),
            ("as before", 1_024, 2, 2, None),
        ] {
            let found = lowered(10_000, descriptors, before, after);
            assert_eq!(found, expected, "{case}");
        }
    }
}
