//! The service: the routes of this project behind a server that keeps its promises under load.
//!
//! It is the library's first user: everything about tokens is [`auth`](crate::auth)'s.

mod answer;
mod body;
mod check;
pub mod commands;
pub mod config;
mod cors;
mod descriptors;
pub mod docs;
pub mod errors;
mod explain;
mod forward;
mod guard;
pub mod handlers;
mod heads;
mod limits;
mod listen;
pub mod metrics;
mod pulse;
mod request_id;
pub mod routes;
mod screen;
mod server;
mod shutdown;
mod sight;
mod socket;
mod stream;
pub mod table;
pub mod telemetry;
pub mod tls;
mod when;
mod wire;

pub use self::cors::Cors;
pub use self::docs::Docs;
pub use self::limits::Limits;
pub use self::listen::Listener;
pub use self::metrics::Metrics;
pub use self::routes::routes;
pub use self::server::serve;
pub use self::shutdown::Shutdown;
pub use self::sight::Sight;
pub use self::table::Access;
pub use self::tls::Tls;
