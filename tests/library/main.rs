//! The library in other people's services. Built with no feature, only `authenticate` is left.

mod authenticate;
#[cfg(feature = "testing")]
mod cache;
#[cfg(feature = "testing")]
mod filters;
#[cfg(feature = "testing")]
mod issuers;
#[cfg(feature = "testing")]
mod policies;
#[cfg(feature = "testing")]
mod resolver;
#[cfg(feature = "testing")]
#[path = "../support/mod.rs"]
mod support;
