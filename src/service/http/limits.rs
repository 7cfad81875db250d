//! The limits of the server for time, bytes and connections. The defaults are meant for an API
//! behind a load balancer. Limits cannot be turned off.

use std::time::Duration;

/// The limits of [`serve`](crate::service::serve).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may be open without an active request: before its first byte, while a
    /// head arrives, and between two requests. Also how long a response is kept if the peer reads
    /// none of it, even if the connection has other active requests. If the socket accepts no bytes
    /// at all, the connection is kept eight times as long, because the kernel of a slow reader
    /// accepts bytes in large steps. Defaults to 30 s.
    pub idle: Duration,
    /// The maximum time from the head of a request to its response, including the request's body.
    /// After this time, the response is a 503. Defaults to 30 s.
    pub request: Duration,
    /// The maximum number of open connections, each of which needs a file descriptor. Further
    /// connections wait in the kernel's backlog. Defaults to 10,000.
    pub connections: usize,
    /// The maximum size of a request's head in bytes, including its first line. At least 8 KiB. A
    /// larger head gets a 431. Defaults to 32 KiB.
    pub head: u32,
    /// The maximum number of headers of a request. More headers get a 431. Defaults to 100.
    pub fields: usize,
    /// The maximum length of a request's target in bytes. A longer target gets a 414. Defaults to 8
    /// KiB.
    pub uri: usize,
    /// The maximum size of a request's body in bytes, with `Content-Length` or in chunks. If a
    /// route reads a larger body, it gets an error and the caller gets a 413. If a route does not
    /// read the body, nothing changes. Defaults to 1 MiB.
    pub body: u64,
    /// The maximum number of concurrent HTTP/2 requests on one connection. Defaults to 128.
    pub streams: u32,
    /// The maximum number of HTTP/2 requests on one connection that the peer resets before they are
    /// accepted, or that fail because of its protocol errors. After that, the connection is closed
    /// (rapid reset, CVE-2023-44487). Defaults to 128.
    pub resets: usize,
    /// How long new connections are still accepted after a shutdown is requested. During this time,
    /// responses have `Connection: close`. Defaults to 500 ms.
    pub grace: Duration,
    /// The maximum time for requests in flight after [`grace`](Self::grace). Connections without
    /// an active request are closed within a second. Defaults to 25 s.
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
