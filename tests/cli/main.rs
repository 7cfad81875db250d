//! The binary as its users run it.

mod check;
mod commands;
mod dev;
mod explain;
mod explain_proof;
mod introspection;
mod issuers;
mod revoke;
#[path = "../support/mod.rs"]
mod support;
#[cfg(unix)]
mod terminal;
