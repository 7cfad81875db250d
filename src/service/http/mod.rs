//! The HTTP server: connections, limits and middleware. It does not depend on the routes.

pub(super) mod body_limit;
mod client_certificates;
pub(super) mod cors;
pub(super) mod descriptors;
pub(super) mod idle_timeout;
pub(super) mod limits;
pub(super) mod lingering_close;
pub(super) mod listener;
pub(super) mod middleware;
pub(super) mod response_body;
pub(super) mod server;
pub(super) mod shutdown;
pub(super) mod socket;
pub(super) mod stream;
pub(super) mod strict_heads;
pub mod tls;
