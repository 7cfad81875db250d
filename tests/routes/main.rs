//! The answers of the service's routes, in success and in failure.

mod cors;
mod errors;
mod forward_auth;
mod logout;
#[cfg(feature = "docs")]
mod openapi;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
mod table;
