//! The service: the routes of this project, and a server with limits on time, memory and
//! connections.
//!
//! Everything about tokens is in the library, [`auth`](crate::auth).

pub mod api;
pub mod cli;
pub mod config;
pub mod http;
pub mod observe;

use std::convert::Infallible;

use warp::{Filter, reply::Response};

pub use self::api::docs::Docs;
pub use self::api::route::Access;
pub use self::cli::app::serve_metrics;
pub use self::http::cors::Cors;
pub use self::http::limits::Limits;
pub use self::http::listener::Listener;
pub use self::http::server::serve;
pub use self::http::shutdown::Shutdown;
pub use self::http::tls::Tls;
pub use self::observe::metrics::Metrics;
pub use self::observe::request_log::RequestLog;

/// Returns the service's routes, which respond to every request. `/readyz` returns 503 once a
/// shutdown is requested.
pub fn routes(
    access: &Access,
    shutdown: &Shutdown,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<>
{
    let shutdown = shutdown.clone();
    api::routes::routes(access, move || shutdown.is_requested())
}
