//! The service: what the binary runs. The library knows nothing of it.

pub mod config;
pub mod telemetry;
