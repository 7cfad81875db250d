//! What the service answers: its routes, their handlers and their documentation.

pub mod docs;
pub mod errors;
pub(super) mod forward_auth;
pub mod handlers;
pub mod matcher;
pub mod route;
pub mod routes;
