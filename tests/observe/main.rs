//! What the person on call sees: request log and metrics.

mod sight;
#[path = "../support/mod.rs"]
mod support;
