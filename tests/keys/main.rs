//! Key sets over a real issuer: fetching, refreshing, and what happens while the issuer fails.

mod access;
mod key_set;
#[path = "../support/mod.rs"]
mod support;
