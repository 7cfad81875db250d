//! The service: the routes of this project behind a server that keeps its promises under load.

pub mod handlers;
pub mod routes;
pub mod shutdown;
pub mod table;

pub use self::routes::routes;
pub use self::shutdown::Shutdown;
