//! The library, as other services use it. Without features, only the tests of `authenticate` are
//! built.

mod authenticate;
#[cfg(feature = "testing")]
mod cache;
#[cfg(feature = "testing")]
mod filters;
#[cfg(feature = "fips")]
mod fips;
#[cfg(feature = "testing")]
mod introspection;
#[cfg(feature = "testing")]
mod issuers;
#[cfg(all(feature = "testing", feature = "axum"))]
mod layers;
#[cfg(feature = "testing")]
mod logout;
#[cfg(feature = "testing")]
mod policies;
#[cfg(all(feature = "service", feature = "axum"))]
mod rejections;
#[cfg(feature = "testing")]
mod resolver;
#[cfg(feature = "testing")]
mod revocation;
#[cfg(all(feature = "testing", feature = "redis"))]
mod shared_revocation;
#[cfg(feature = "testing")]
mod step_up;
#[cfg(feature = "testing")]
#[path = "../support/mod.rs"]
mod support;
