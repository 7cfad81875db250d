//! The service: the routes of this project behind a server that keeps its promises under load.
//!
//! It is the library's first user: everything about tokens is [`auth`](crate::auth)'s.

pub mod api;
pub mod cli;
pub mod config;
pub mod http;
pub mod observe;

pub use self::api::docs::Docs;
pub use self::api::routes::routes;
pub use self::api::table::Access;
pub use self::http::cors::Cors;
pub use self::http::limits::Limits;
pub use self::http::listener::Listener;
pub use self::http::server::serve;
pub use self::http::shutdown::Shutdown;
pub use self::http::tls::Tls;
pub use self::observe::metrics::Metrics;
pub use self::observe::request_log::Sight;
