//! The bounds of the server: one variable for each field of [`Limits`].

use std::time::Duration;

use crate::service::{
    config::{
        reader::Reader,
        value::{self, number, size},
    },
    http::limits::Limits,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// None where one of them is wrong.
#[rustfmt::skip]
pub(super) fn limits(reader: &mut Reader) -> Option<Limits> {
    let text = reader.limits();
    let somewhat = || value::duration(value::INSTANT..=value::YEAR);
    let any = || value::duration(Duration::ZERO..=value::YEAR);

    let idle = reader.one("IDLE_TIMEOUT", text.idle_timeout, somewhat());
    let request = reader.one("REQUEST_TIMEOUT", text.request_timeout, somewhat());
    let connections = reader.one("MAX_CONNECTIONS", text.max_connections, number(1..=1_000_000));
    let head = reader.one("MAX_HEADER_BYTES", text.max_header_bytes, size(8 * KIB..=MIB));
    let fields = reader.one("MAX_HEADER_FIELDS", text.max_header_fields, number(1..=10_000));
    let uri = reader.one("MAX_URI_BYTES", text.max_uri_bytes, size(1..=MIB));
    let body = reader.one("MAX_BODY_BYTES", text.max_body_bytes, size(0..=1024 * MIB));
    let streams = reader.one("MAX_STREAMS", text.max_streams, number(1..=10_000));
    let resets = reader.one("MAX_RESETS", text.max_resets, number(1..=10_000));
    let grace = reader.one("SHUTDOWN_GRACE", text.shutdown_grace, any());
    let drain = reader.one("SHUTDOWN_TIMEOUT", text.shutdown_timeout, any());

    Some(Limits {
        idle: idle?,
        request: request?,
        connections: connections?,
        head: head?,
        fields: fields?,
        uri: uri?,
        body: body?,
        streams: streams?,
        resets: resets?,
        grace: grace?,
        drain: drain?,
    })
}
