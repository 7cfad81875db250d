//! What one caller may cost: time, bytes, connections. Each bound has a default that suits an API
//! behind a balancer; none can be turned off.

use std::time::Duration;

/// The bounds within which [`serve`](crate::service::serve) works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may stay open with nothing being answered on it: before its first byte,
    /// while a head arrives, and between two requests. Also how long an answer is held of which the
    /// peer takes nothing, whatever else happens on its connection. A connection whose socket takes
    /// nothing at all is held eight times as long, because a slow reader's kernel takes bytes in large
    /// steps. Defaults to 30 s.
    pub idle: Duration,
    /// How long a request may take from its head to its answer, its body included; then it is
    /// answered with 503. Defaults to 30 s.
    pub request: Duration,
    /// Connections served at once; the next ones wait in the kernel's backlog. Each needs a file
    /// descriptor. Defaults to 10,000.
    pub connections: usize,
    /// Bytes of a request's head, its first line included; no less than 8 KiB. Beyond: 431.
    /// Defaults to 32 KiB.
    pub head: u32,
    /// Fields of a request's head. Beyond: 431. Defaults to 100.
    pub fields: usize,
    /// Bytes of a request's target. Beyond: 414. Defaults to 8 KiB.
    pub uri: usize,
    /// Bytes of a request's body, whether announced or sent in chunks. A route that reads beyond
    /// sees its body fail, and the caller gets 413; a route that reads none does not mind.
    /// Defaults to 1 MiB.
    pub body: u64,
    /// HTTP/2 requests at once on one connection. Defaults to 128.
    pub streams: u32,
    /// HTTP/2 requests that one connection may abandon before they are looked at, or lose by its own
    /// faults, before it is closed (rapid reset, CVE-2023-44487). Defaults to 128.
    pub resets: usize,
    /// How long, once asked to stop, new connections are still taken while every answer says that it
    /// is its connection's last. Defaults to 500 ms.
    pub grace: Duration,
    /// How long after that the requests at work may take to end. Defaults to 25 s.
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
