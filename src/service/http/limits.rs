//! The limits of the server: time, bytes and connections. Each has a default that suits an API
//! behind a load balancer. No limit can be turned off.

use std::time::Duration;

/// The limits of [`serve`](crate::service::serve).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may stay open without an active request: before its first byte, while
    /// a head arrives, and between two requests. Also how long a response is kept while the peer
    /// reads none of it, even if the connection has other active requests. A connection whose
    /// socket accepts no bytes at all is kept eight times as long, because a slow reader's kernel
    /// accepts bytes in large steps. Defaults to 30 s.
    pub idle: Duration,
    /// The maximum time from the head of a request to its response, including the request's body. A
    /// slower request is answered with 503. Defaults to 30 s.
    pub request: Duration,
    /// The maximum number of open connections. Further connections wait in the kernel's backlog.
    /// Each needs a file descriptor. Defaults to 10,000.
    pub connections: usize,
    /// The maximum size of a request's head in bytes, including its first line; at least 8 KiB. A
    /// larger head gets 431. Defaults to 32 KiB.
    pub head: u32,
    /// The maximum number of fields in a request's head. More fields get 431. Defaults to 100.
    pub fields: usize,
    /// The maximum length of a request's target in bytes. A longer target gets 414. Defaults to 8
    /// KiB.
    pub uri: usize,
    /// The maximum size of a request's body in bytes, with `Content-Length` or in chunks. A route
    /// that reads a larger body gets an error, and the caller gets 413. A route that does not read
    /// the body answers as usual. Defaults to 1 MiB.
    pub body: u64,
    /// The maximum number of concurrent HTTP/2 requests on one connection. Defaults to 128.
    pub streams: u32,
    /// The maximum number of HTTP/2 requests on one connection that the peer may reset before they
    /// are accepted, or that may fail because of its protocol errors. The connection is then closed
    /// (rapid reset, CVE-2023-44487). Defaults to 128.
    pub resets: usize,
    /// How long new connections are still accepted after a shutdown is requested. Meanwhile every
    /// response carries `Connection: close`. Defaults to 500 ms.
    pub grace: Duration,
    /// The maximum time for requests in flight after [`grace`](Self::grace). Defaults to 25 s.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30),
            request: Duration::from_secs(30),
            connections: 10_000,
            head: 32 * 1024,
            fields: 100,
            uri: 8 * 1024,
            body: 1024 * 1024,
            streams: 128,
            resets: 128,
            grace: Duration::from_millis(500),
            drain: Duration::from_secs(25),
        }
    }
}
