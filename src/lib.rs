//! Bearer tokens for [warp]: a `with_auth()` filter that verifies JWTs against the issuer's cached
//! key set, and the service built on it.

pub mod auth;
#[cfg(feature = "testing")]
pub mod issuer;
#[cfg(feature = "service")]
pub mod service;
