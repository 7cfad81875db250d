//! Introspection (RFC 7662): asks the issuer whether a token is active.
//!
//! - `options.rs` has the options, [`Introspection`].
//! - `introspector.rs` is the requests' side: cache, single flight and limits.
//! - `client.rs` asks the endpoint, `credentials.rs` authenticates to it, `answer.rs` reads and
//!   checks what it says.
//! - `budget.rs` limits what unknown tokens may cost, `cache.rs` keeps answers, `status.rs` is for
//!   operators.

mod answer;
mod budget;
mod cache;
pub(crate) mod client;
pub(crate) mod credentials;
pub(super) mod introspector;
pub(super) mod options;
mod status;

pub use self::{options::Introspection, status::IntrospectionStatus};
