//! Bearer tokens for [warp]: a [`with_auth()`](auth::with_auth) filter that verifies JWTs against
//! the issuer's cached key set, and the service built on it.
//!
//! A route lists its requirements in the order in which they are checked: path, method, token,
//! policy. Only verification creates [`Claims`](auth::Claims), so a handler that takes them never
//! runs for an unverified token. Failures become JSON responses with the challenge of RFC 6750.
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use warp::Filter;
//! use warp_bearer::auth::{
//!     Auth, Claims, BearerFilterExt, handle_rejection, policy::scope, with_auth,
//! };
//! use warp_bearer::issuer::Issuer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
//! // A real issuer on loopback. In production, this is your tenant.
//! let issuer = Issuer::start().await;
//! let auth = Auth::discover(issuer.url(), issuer.audience())?;
//! auth.ready().await;
//!
//! let messages = warp::path!("messages")
//!     .and(warp::get())
//!     .and(with_auth(&auth).require(scope("read:messages")))
//!     .map(|claims: Claims| format!("no messages for {}", claims.subject().unwrap_or("you")))
//!     .route();
//! let routes = messages.recover(handle_rejection);
//!
//! let token = issuer.token().scope("read:messages").sign();
//! let request = warp::test::request().path("/messages");
//! let answer = request.header("authorization", format!("Bearer {token}")).reply(&routes).await;
//! assert_eq!(answer.body(), "no messages for auth0|alice");
//!
//! let answer = warp::test::request().path("/messages").reply(&routes).await;
//! assert_eq!(answer.status(), 401);
//! assert_eq!(
//!     answer.headers()["www-authenticate"],
//!     r#"Bearer realm="api", scope="read:messages""#,
//! );
//! # Ok(())
//! # }
//! ```
//!
//! The modules:
//! - [`auth`], the library. It does not depend on the other modules.
#![cfg_attr(
    feature = "testing",
    doc = "- [`issuer`], a small real OpenID issuer on loopback, for tests and for `warp-bearer dev`."
)]
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `warp` | yes | the filters. Without it, [`auth`] depends on no framework |
//! | `tower` | yes | layers for tower, which tonic and hyper servers can use too |
//! | `axum` | yes | claims as an extractor of axum 0.8; includes `tower` |
//! | `redis` | yes | a store of used proofs and revocations that replicas share, in Redis or Valkey |
//! | `testing` | yes | the local issuer, for your own tests; includes `warp` |
//! | `service` | yes | everything that the binary needs; includes `redis` and `testing` |
//! | `docs` | yes | `/openapi.json` and `/docs` of the service; includes `service` |
//! | `otel` | no | OTLP traces of the service; includes `service` |
//! | `pq` | no | signatures by ML-DSA (RFC 9964) |
//! | `fips` | no | signatures and TLS by AWS-LC's FIPS module; building it requires `cmake` and `go` |
//!
//! The default features include everything that the binary needs, so `cargo run` works in a clone.
//! To use only the library, set `default-features = false, features = ["warp"]`.
//!
//! The minimum supported Rust version is 1.88. It is only raised in a new minor version.

// Shows on docs.rs which feature an item needs. Nightly only; docs.rs sets the flag.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Without the feature `warp`, links to its items are broken (docs.rs enables it)
#![cfg_attr(
    not(all(feature = "warp", feature = "tower")),
    allow(rustdoc::broken_intra_doc_links)
)]
// Only `auth::token::json` may parse untrusted JSON (see `clippy.toml`). Tests may parse their own.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod algorithm;
pub mod auth;
#[cfg(feature = "testing")]
pub mod issuer;
// Public only for the binary and the tests: not part of the API, may change at any time
#[cfg(feature = "service")]
#[doc(hidden)]
pub mod service;

/// Compiles and runs the Rust code of the documentation pages.
#[cfg(all(doctest, feature = "testing"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/cookbook.md")]
    struct Cookbook;
    #[doc = include_str!("../docs/introspection.md")]
    struct Introspection;
    #[doc = include_str!("../docs/from-fastapi.md")]
    struct FromFastApi;
    #[doc = include_str!("../docs/from-express.md")]
    struct FromExpress;
    #[cfg(feature = "axum")]
    #[doc = include_str!("../docs/from-jwt-authorizer.md")]
    struct FromJwtAuthorizer;
}
