//! The library: bearer tokens for warp.
//!
//! [`Auth`] verifies tokens against the issuer's keys, [`with_auth`] makes it a filter,
//! [`BearerFilterExt::require`] adds what a route asks beyond a good token, and [`handle_rejection`] turns
//! every failure into JSON with the right status. It knows nothing of the service in this crate.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use warp::{Filter, reply::Response};
//! use warp_bearer::auth::{
//!     Auth, Claims, BearerFilterExt, handle_rejection, policy::{permission, scope}, with_auth,
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
//! and `json`, `claims`, `auth0`, `policy`, `cache`; then the keys: `keys`, `jwk`, `jwks`, `refresher`,
//! `schedule`, `fetch`, `discovery`, `locality`, `display`; `builder`, which has every option; `resource`; last `error`,
//! `problem` and `witness`; and for the commands of the service `trace` and `probe`.

mod builder;
mod cache;
mod challenge;
mod credential;
pub(crate) mod display;
#[cfg(feature = "service")]
pub(crate) mod explain;
mod issuer;
pub(crate) mod token;
#[cfg(test)]
mod vectors;
mod verifier;
#[cfg(feature = "warp")]
mod warp;

pub mod context;
pub mod error;
pub mod keys;

pub mod policy;
pub mod problem;
pub mod resource;

/// The claims of a verified token: registered, Auth0's, your own, and the identity for logs.
pub mod claims {
    pub use super::token::{
        auth0::Auth0,
        claims::{Claims, NoPrivate},
        identity::Identity,
        pseudonym::Pseudonym,
    };
}

/// Tokens in the handshake of a WebSocket.
#[cfg(feature = "warp")]
pub mod websocket {
    pub use super::warp::websocket::{Subprotocol, subprotocol, with_websocket_auth};
}

#[cfg(feature = "warp")]
pub use self::warp::{
    filter::{BearerFilterExt, with_auth, with_auth_from, with_optional_auth},
    rejection::{handle_refusal, handle_rejection},
};
pub use self::{
    builder::Builder,
    challenge::Refusal,
    claims::Claims,
    credential::{RequestHead, bearer::MAX_TOKEN},
    error::{AuthError, SetupError},
    issuer::TrustedIssuer,
    problem::Problem,
    verifier::Auth,
};
pub use crate::algorithm::Algorithm;

#[cfg(feature = "service")]
pub(crate) use self::{keys::fetch::is_loopback, warp::filter::closed};
