//! Introspection (RFC 7662): asks the issuer whether a token is active.
//!
//! - `options.rs` has the public options, [`Introspection`].
//! - `introspector.rs` is what the verifier calls, with the cache, single flight and limits.
//! - `client.rs` sends the requests, `credentials.rs` authenticates them, and `answer.rs` parses
//!   and checks the responses.
//! - `budget.rs` limits requests about unknown tokens, `cache.rs` caches responses, and `status.rs`
//!   reports the state to operators.

mod answer;
mod budget;
mod cache;
pub(crate) mod client;
pub(crate) mod credentials;
pub(super) mod introspector;
pub(super) mod options;
mod status;

#[cfg(feature = "service")]
pub(crate) use self::introspector::MAX_OPEN;
pub use self::{options::Introspection, status::IntrospectionStatus};
