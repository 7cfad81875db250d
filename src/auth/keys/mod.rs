//! An issuer's keys: which ones are usable, how a token's key is found, and how keys are refreshed.

pub(super) mod content_coding;
pub(crate) mod der;
pub(super) mod discovery;
pub(super) mod document;
pub(crate) mod fetch;
pub(super) mod jwk;
pub(super) mod jwks;
pub(super) mod key_file;
pub(crate) mod key_set;
pub(crate) mod left_out;
pub(super) mod locality;
mod name_lookup;
#[cfg(feature = "service")]
pub(crate) mod probe;
pub(super) mod refresher;
pub(super) mod schedule;
pub(super) mod shared;
pub(super) mod status;
mod thumbprint;
pub(super) mod tls_error;

pub use self::{
    key_set::NoKeys,
    left_out::LeftOut,
    status::{Fetches, KeyStatus},
};
