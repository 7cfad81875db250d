//! The test issuer: its HTTP endpoints, its signatures, and the faults that a test can request.

mod faults;
mod fixtures;
mod grant;
mod keys;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
