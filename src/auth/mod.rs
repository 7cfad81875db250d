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
//!     Auth, Claims, BearerFilterExt, handle_rejection, permission, scope, with_auth,
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

mod builder;
mod cache;
mod challenge;
pub(crate) mod credential;
pub(crate) mod display;
mod error;
#[cfg(feature = "service")]
mod explain;
mod issuer;
pub(crate) mod keys;
mod outcome;
mod policy;
mod problem;
mod resource;
pub(crate) mod token;
#[cfg(test)]
mod vectors;
mod verifier;
#[cfg(feature = "warp")]
pub(crate) mod warp;

pub use self::builder::Builder;
pub use self::challenge::{Challenge, Refusal};
pub use self::credential::RequestHead;
pub use self::credential::bearer::MAX_TOKEN;
pub use self::error::{AuthError, BearerError, SetupError, UrlFault};
pub use self::issuer::TrustedIssuer;
pub use self::keys::jwks::{Fetches, KeyStatus};
pub use self::keys::key_set::NoKeys;
pub use self::outcome::{Identity, Pseudonym, Testimony, testimony, witnessed};
pub use self::policy::{
    Policy, Requirement, Wanted, check, claim, contains, equals, machine, organization, permission,
    permissions, role, scope, scopes, user,
};
pub use self::problem::{Code, Problem};
pub use self::resource::ResourceMetadata;
pub use self::token::auth0::Auth0;
pub use self::token::claims::{Claims, NoPrivate};
pub use self::verifier::Auth;
#[cfg(feature = "warp")]
pub use self::warp::filter::{BearerFilterExt, with_auth, with_auth_from, with_optional_auth};
#[cfg(feature = "warp")]
pub use self::warp::rejection::{handle_refusal, handle_rejection};
#[cfg(feature = "warp")]
pub use self::warp::websocket::{Subprotocol, subprotocol, with_websocket_auth};
pub use crate::algorithm::{Algorithm, UnknownAlgorithm};

#[cfg(feature = "docs")]
pub(crate) use self::problem::body;
#[cfg(feature = "service")]
pub(crate) use self::{
    explain::{Step, Told, Trace, Trouble},
    keys::fetch::is_loopback,
    policy::is_scope_token,
    warp::filter::closed,
};
