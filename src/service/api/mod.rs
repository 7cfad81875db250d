//! The API of the service: its routes, their handlers, their documentation and the error pages.

pub mod docs;
pub mod errors;
mod form;
pub(super) mod forward_auth;
mod forwarded_target;
pub mod handlers;
pub mod matcher;
pub(super) mod queries;
pub mod route;
pub mod routes;
mod shared_document;
