//! Introspection (RFC 7662): asks the issuer whether a token is active.
//!
//! - `options.rs` has the public options, [`Introspection`].
//! - `introspector.rs` serves requests: cache, single flight and limits.
//! - `client.rs` asks the endpoint, `credentials.rs` authenticates to it, and `answer.rs` parses
//!   and checks the answer.
//! - `budget.rs` limits the cost of unknown tokens, `cache.rs` holds answers, and `status.rs`
//!   reports to operators.

mod answer;
mod budget;
mod cache;
pub(crate) mod client;
pub(crate) mod credentials;
pub(super) mod introspector;
pub(super) mod options;
mod status;

pub use self::{options::Introspection, status::IntrospectionStatus};
