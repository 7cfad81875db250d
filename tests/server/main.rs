//! The server's promises on real sockets: what a caller may take of its time and its room, what it is
//! answered beyond, and how the service leaves.
//!
//! Limits are cut down to milliseconds, numbers to what a laptop does in passing. The full sizes
//! are part of `just ci-full`: `cargo test --release --test server -- --ignored --test-threads=1`.

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
