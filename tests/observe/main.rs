//! What the person on call sees: request log and metrics.

mod metrics;
mod request_log;
mod service;
#[path = "../support/mod.rs"]
mod support;
