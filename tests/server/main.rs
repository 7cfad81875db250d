//! The server's limits on real sockets: how much time and memory a caller can use, the response
//! beyond that, and the shutdown.
//!
//! The limits are reduced to milliseconds, and the counts to what a laptop does quickly. The full
//! sizes are part of `just ci-full`: `cargo test --release --test server -- --ignored
//! --test-threads=1`.

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
