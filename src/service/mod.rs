//! The service: the routes of this project behind a server that keeps its promises under load.
//!
//! It is the library's first user: everything about tokens is [`auth`](crate::auth)'s.

pub mod config;
pub mod handlers;
pub mod routes;
pub mod shutdown;
pub mod table;
pub mod telemetry;

pub use self::routes::routes;
pub use self::shutdown::Shutdown;
