//! The service's routes and what they answer, in success and failure.

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
