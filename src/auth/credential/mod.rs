//! How a request presents a token.

pub(super) mod bearer;
