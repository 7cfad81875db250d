//! Key sets of a real issuer: fetching, refreshing, and failures of the issuer.

mod access;
mod key_set;
#[path = "../support/mod.rs"]
mod support;
