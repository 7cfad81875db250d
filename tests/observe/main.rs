//! The request log and the metrics, as an operator sees them.

mod metrics;
mod request_log;
mod service;
#[path = "../support/mod.rs"]
mod support;
