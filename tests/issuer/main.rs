//! The issuer for tests behaves as its callers expect: its HTTP endpoints, its signatures, and the
//! faults that a test asks for.

mod faults;
mod fixtures;
mod grant;
mod keys;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
