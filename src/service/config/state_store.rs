//! [`StateStore`]: the variables for the store that replicas share.

use std::time::Duration;

use crate::service::config::{
    reader::Reader,
    types::{Secret, StoreOutage},
    variables::{
        AUTH0_LOGOUT_CLIENT_ID, STATE_STORE, STATE_STORE_OUTAGE, STATE_STORE_STALE,
        STATE_STORE_TIMEOUT,
    },
};

/// The store that replicas share.
#[derive(Debug, Clone)]
pub struct StateStore {
    /// The URL of Redis, which may contain a password. Defaults to none: the state is in this
    /// process.
    pub url: Option<Secret>,
    /// The timeout of a command. Defaults to 100 ms.
    pub timeout: Duration,
    /// How long the last revocation list stays in use while the store is unreachable. Defaults to 5
    /// min.
    pub stale: Duration,
    /// The behaviour after that. Defaults to rejecting requests.
    pub outage: StoreOutage,
}

impl StateStore {
    pub(super) fn uses_tls(&self) -> bool {
        let scheme = self.url.as_ref().and_then(|url| url.as_str().get(..7));
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("rediss:"))
    }
}

pub(super) fn read(reader: &mut Reader) -> StateStore {
    StateStore {
        url: reader.optional(&STATE_STORE),
        timeout: reader.value(&STATE_STORE_TIMEOUT),
        stale: reader.value(&STATE_STORE_STALE),
        outage: reader.value(&STATE_STORE_OUTAGE),
    }
}

/// Warns about settings for a store that is not configured, and about state that is lost without
/// one.
pub(super) fn check(reader: &mut Reader) {
    if reader.is_set(STATE_STORE.name()) {
        return;
    }
    for name in reader.names("STATE_STORE_") {
        reader.warn(&name, "not used, because STATE_STORE is not set");
    }
    if reader.is_set(AUTH0_LOGOUT_CLIENT_ID.name()) {
        reader.warn(
            AUTH0_LOGOUT_CLIENT_ID.name(),
            "set, but STATE_STORE is not: a session that was logged out is valid again after a restart, and at other replicas",
        );
    }
}
