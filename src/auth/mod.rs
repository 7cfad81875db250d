//! The library: verifies bearer tokens against the issuer's key set.
//!
//! [`Auth`] verifies requests and tokens. For warp, [`with_auth`] makes it a filter,
//! [`BearerFilterExt::require`] adds what a route requires beyond a valid token, and
//! [`handle_rejection`] turns every failure into a JSON response with the right status. For axum,
//! tonic and other frameworks built on tower, use the layers and the extractor in [`tower`]. With
//! any other framework, pass the head of a request to [`Auth::authenticate`], and turn an error
//! into a response with [`Refusal::response`].
//!
//! The library logs with [`tracing`](https://docs.rs/tracing) and installs no subscriber.
//!
#![cfg_attr(feature = "warp", doc = "```")]
#![cfg_attr(not(feature = "warp"), doc = "```ignore")]
//! use std::convert::Infallible;
//!
//! use warp::{Filter, reply::Response};
//! use warp_bearer::auth::{
//!     Auth, BearerFilterExt, Claims, handle_rejection,
//!     policy::{permission, scope},
//!     with_auth,
//! };
//!
//! fn routes(auth: &Auth) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + use<> {
//!     let messages = warp::path!("messages")
//!         .and(warp::get())
//!         .and(with_auth(auth).require(scope("read:messages") | permission("messages:read")))
//!         .map(|claims: Claims| format!("no messages for {}", claims.subject().unwrap_or("you")))
//!         .route();
//!     messages.recover(handle_rejection).unify()
//! }
//! ```
//!
//! This module exports the items that most services need. Everything else is in a submodule:
//! [`policy`], [`claims`], [`error`], [`problem`], [`keys`], [`context`], [`dpop`],
//! [`introspection`], [`revocation`], [`store`], [`resource`], [`tower`] and, for warp,
//! `websocket`.
//!
//! The [cookbook] in `docs/` has recipes: several issuers, your own claims, comparing a claim with
//! a path segment, keys from a file, tests without a tenant. `docs/` also has migration guides for
//! users of FastAPI, Express and axum.
//!
//! [cookbook]: https://docs.rs/crate/warp-bearer/latest/source/docs/cookbook.md

#[cfg(feature = "service")]
pub(crate) mod audience;
mod blocking;
mod builder;
mod cache;
mod challenge;
mod clock;
mod credential;
pub(crate) mod display;
pub mod dpop;
#[cfg(feature = "service")]
pub(crate) mod explain;
#[cfg(feature = "service")]
pub(crate) mod explain_proof;
pub(crate) mod files;
mod issuer;
mod issuers;
mod logout;
mod needs;
mod resolver;
pub(crate) mod token;
mod trusted;
#[cfg(test)]
mod vectors;
mod verifier;
#[cfg(feature = "warp")]
mod warp;
mod worker;

pub mod context;
pub mod error;
pub mod introspection;
pub mod keys;

pub mod policy;
pub mod problem;
pub mod resource;
pub mod revocation;
pub mod store;
#[cfg(feature = "tower")]
pub mod tower;

/// The claims of a verified token: registered, Auth0's, your own, and the identity for logs.
pub mod claims {
    pub use super::token::{
        auth0::Auth0,
        claims::{Claims, NoPrivate},
        confirmation::{Binding, Thumbprint},
        identity::Identity,
        pseudonym::Pseudonym,
    };
}

/// Filters for tokens in the handshake of a WebSocket.
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
    credential::{
        RequestHead,
        bearer::MAX_TOKEN,
        certificate::{CertificateSource, ClientCertificate},
    },
    error::{AuthError, SetupError},
    issuer::TrustedIssuer,
    problem::Problem,
    resolver::tenant_of,
    token::audience::AudienceClaim,
    verifier::Auth,
};
pub use crate::algorithm::Algorithm;

#[cfg(feature = "service")]
pub(crate) use self::{
    builder::TOKEN_SIZES,
    credential::{certificate_field::percent_decoded, target_uri::PublicUrl},
    keys::fetch::is_loopback,
    warp::filter::{closed, with_headers_only},
};
