//! The server on real sockets: the time and memory that a caller can use, what happens at each
//! limit, and the shutdown.
//!
//! The limits here are milliseconds, and the numbers are small enough for a laptop. `just ci-full`
//! tests the full sizes with `cargo test --release --test server -- --ignored --test-threads=1`.

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
