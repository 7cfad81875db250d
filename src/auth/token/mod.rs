//! Tokens: their three parts, their claims, and the checks that need no key.

pub(super) mod audience;
pub(super) mod auth0;
pub(super) mod checks;
pub(super) mod claims;
pub(super) mod confirmation;
mod ended;
pub(super) mod identity;
#[cfg(feature = "service")]
mod identity_fields;
pub(super) mod implied;
pub(crate) mod json;
pub(super) mod jws;
pub(super) mod payload;
pub(super) mod pseudonym;
pub(super) mod registered;
pub(crate) mod subject;
