//! warp-bearer
pub mod auth;
#[cfg(feature = "testing")]
pub mod issuer;
#[cfg(feature = "service")]
pub mod service;
