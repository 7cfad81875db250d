//! The library: bearer tokens for warp.
//!
//! [`Auth`] verifies tokens against the issuer's keys, [`with_auth`] makes it a filter,
//! [`Require::require`] adds what a route asks beyond a good token, and [`handle_rejection`] turns
//! every failure into JSON with the right status. It knows nothing of the service in this crate.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use warp::{Filter, reply::Response};
//! use warp_bearer::auth::{
//!     Auth, Claims, Require, Route, handle_rejection, permission, scope, with_auth,
//! };
//!
//! fn routes(auth: &Auth) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
//!     let messages = warp::path!("messages")
//!         .and(warp::get())
//!         .and(with_auth(auth).require(scope("read:messages") | permission("messages:read")))
//!         .map(|claims: Claims| format!("none for {}", claims.subject().unwrap_or("you")))
//!         .route();
//!     messages.recover(handle_rejection).unify()
//! }
//! ```
//!
//! The [cookbook] answers what people ask next: several issuers, claims of your own, a claim beside
//! a segment of the path, keys from a file, tests without a tenant. `docs/` has it, and a page each
//! for whoever comes from the FastAPI tutorial, from Express or from axum.
//!
//! [cookbook]: https://docs.rs/crate/warp-bearer/latest/source/docs/cookbook.md
//!
//! The modules in reading order: `filter`, `websocket`, `bearer`, `verifier` with its `checks`, `jws`
//! and `json`, `claims`, `auth0`, `policy`, `cache`; then the keys: `keys`, `jwk`, `jwks`, `keeper`,
//! `schedule`, `fetch`, `discovery`, `locality`, `display`; `builder`, which has every option; `resource`; last `error`,
//! `problem` and `witness`; and for the commands of the service `trace` and `probe`.

mod auth0;
mod bearer;
mod builder;
mod cache;
mod checks;
mod claims;
mod discovery;
pub(crate) mod display;
mod error;
mod fetch;
mod filter;
pub(crate) mod json;
mod jwk;
mod jwks;
mod jws;
mod keeper;
mod keys;
mod locality;
mod policy;
#[cfg(feature = "service")]
pub(crate) mod probe;
mod problem;
mod resource;
mod schedule;
pub(crate) mod subject;
#[cfg(feature = "service")]
mod trace;
mod trusted;
#[cfg(test)]
mod vectors;
mod verified;
mod verifier;
mod websocket;
mod witness;

pub use jsonwebtoken::Algorithm;

pub use auth0::Auth0;
pub use bearer::MAX_TOKEN;
pub use builder::Builder;
pub use claims::{Claims, NoPrivate};
pub use error::{AuthError, BearerError, Challenge, Refusal, SetupError, UrlFault};
pub use filter::{Require, Route, with_auth, with_optional_auth};
pub use jwks::{Fetches, KeyStatus};
pub use keys::NoKeys;
pub use policy::{
    Policy, Requirement, Wanted, check, claim, contains, equals, machine, organization, permission,
    permissions, role, scope, scopes, user,
};
pub use problem::{Code, Problem, handle_refusal, handle_rejection, readiness, status};
pub use resource::ResourceMetadata;
pub use trusted::TrustedIssuer;
pub use verifier::Auth;
pub use websocket::{Subprotocol, subprotocol, with_websocket_auth};
pub use witness::{Identity, Pseudonym, Testimony, testimony, witnessed};

#[cfg(feature = "docs")]
pub(crate) use problem::body;
#[cfg(feature = "service")]
pub(crate) use {
    fetch::is_loopback,
    filter::{authorize, closed},
    policy::is_scope_token,
    problem::refused,
    trace::{Step, Told, Trace, Trouble},
};
