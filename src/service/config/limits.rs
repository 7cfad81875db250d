//! Reads the limits of the server: one variable for each field of [`Limits`].

use crate::service::{
    config::{reader::Reader, variables},
    http::limits::Limits,
};

pub(super) fn limits(reader: &mut Reader) -> Limits {
    Limits {
        idle: reader.value(&variables::IDLE_TIMEOUT),
        request: reader.value(&variables::REQUEST_TIMEOUT),
        connections: reader.value(&variables::MAX_CONNECTIONS),
        head: reader.value(&variables::MAX_HEADER_BYTES),
        fields: reader.value(&variables::MAX_HEADER_FIELDS),
        uri: reader.value(&variables::MAX_URI_BYTES),
        body: reader.value(&variables::MAX_BODY_BYTES),
        streams: reader.value(&variables::MAX_STREAMS),
        resets: reader.value(&variables::MAX_RESETS),
        grace: reader.value(&variables::SHUTDOWN_GRACE),
        drain: reader.value(&variables::SHUTDOWN_TIMEOUT),
    }
}

/// Room for everything in a head except the token
const REST: u64 = 4 * 1024;

/// The limit for heads that a token of this size needs at least, in bytes.
pub(in crate::service) fn least_limit(token: usize) -> u64 {
    token as u64 + REST
}

/// The limit for heads if it is not set, and the largest token has this size.
pub(in crate::service) fn roomy_limit(token: usize) -> u64 {
    token as u64 + 2 * REST
}
