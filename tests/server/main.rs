//! The server's limits on real sockets: the time and memory that a caller can use, the response if
//! they are exceeded, and the shutdown.
//!
//! The tests use limits of milliseconds, and numbers that a laptop can handle quickly. The full
//! sizes are tested by `just ci-full`, which runs
//! `cargo test --release --test server -- --ignored --test-threads=1`.

mod bodies;
mod harness;
mod heads;
mod http2;
mod http2_peer;
mod leaving;
mod patience;
mod room;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod untaken;
