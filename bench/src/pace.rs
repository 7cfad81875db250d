//! So many requests a second, whatever the server does: how long does each take?
//!
//! A request's time runs from when it was due, not from when it was sent, so that a server that
//! stalls is charged for everyone who would have asked meanwhile (no coordinated omission).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{connection::Connection, spread::Spread};

const CONNECTIONS: usize = 64;

/// In how many parts the time of a measurement is looked at.
const PARTS: usize = 10;

/// Asks each of `requests` once, and returns how long they took, in the order of their answers.
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
            // To the other end, so that connections take turns.
            free.insert(0, connection);
        }
    }
    took
}

/// In microseconds, as it was in the median part of the time: one pause of the machine, which takes
/// the processor away for milliseconds, would be all that a 99th percentile of the whole tells.
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
