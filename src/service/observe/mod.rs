//! Observability: the request log, the metrics and the process's log.

pub mod logging;
pub mod metrics;
pub(super) mod request_id;
pub(super) mod request_log;
