//! The library in other people's services. Built with no feature, only `authenticate` is left.

mod authenticate;
#[cfg(feature = "testing")]
mod cache;
#[cfg(feature = "testing")]
mod filters;
#[cfg(all(feature = "testing", feature = "axum"))]
mod layers;
#[cfg(feature = "testing")]
mod policies;
#[cfg(feature = "testing")]
#[path = "../support/mod.rs"]
mod support;
