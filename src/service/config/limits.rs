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
