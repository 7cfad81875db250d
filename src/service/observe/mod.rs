//! Observability: the request log, the metrics, traces and the process's log.

pub mod logging;
pub mod metrics;
pub(in crate::service) mod openmetrics;
#[cfg(feature = "otel")]
pub mod otel;
mod process;
pub(super) mod request_id;
pub(super) mod request_log;
