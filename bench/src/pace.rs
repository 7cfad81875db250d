//! Sends requests at a fixed rate, whatever the server does, and measures how long each takes.
//!
//! The time starts when a request was due, not when it was actually sent, so if the server stalls,
//! every request that it delays counts as slow (no coordinated omission).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{connection::Connection, spread::Spread};

const CONNECTIONS: usize = 64;

/// The number of parts into which a measurement is divided.
const PARTS: usize = 10;

/// Sends each of `requests` once. Returns the durations in the order of the responses.
pub fn run(server: SocketAddr, requests: &[Vec<u8>], per_second: f64) -> Vec<Duration> {
    let mut free: Vec<_> = (0..CONNECTIONS).map(|_| Connection::open(server)).collect();
    let mut busy: Vec<(Connection, Instant)> = Vec::with_capacity(CONNECTIONS);
    let mut took = Vec::with_capacity(requests.len());
    let mut due = (0_u32..).map(|i| Duration::from_secs_f64(f64::from(i) / per_second));
    let mut next = requests.iter().zip(&mut due).peekable();
    let began = Instant::now();
    while took.len() < requests.len() {
        while let Some(connection) = free.pop() {
            let Some((request, due)) = next.next_if(|(_, due)| *due <= began.elapsed()) else {
                free.push(connection);
                break;
            };
            let mut connection = connection;
            connection.ask(request);
            busy.push((connection, began + due));
        }
        let mut i = 0;
        while i < busy.len() {
            let Some(status) = busy[i].0.hears() else {
                i += 1;
                continue;
            };
            assert_eq!(status, 200, "the server's answer");
            let (connection, due) = busy.swap_remove(i);
            took.push(due.elapsed());
            // to the end of the queue, so that connections take turns
            free.insert(0, connection);
        }
    }
    took
}

/// Returns the median of the parts' percentiles, in microseconds. Over the whole measurement, a
/// single pause of the machine (which takes the processor away for milliseconds) would decide the
/// 99th percentile.
pub fn percentile(took: &[Duration], percent: usize) -> f64 {
    let parts = took.chunks(took.len().div_ceil(PARTS));
    let of_part = |part: &[Duration]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len() - 1);
        sorted[at].as_secs_f64() * 1e6
    };
    let parts = Spread::of(parts.map(of_part).collect());
    parts.expect("a request or more").median
}
