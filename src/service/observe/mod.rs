//! What operators see: the log and the metrics.

pub mod logging;
pub mod metrics;
pub(super) mod request_log;
