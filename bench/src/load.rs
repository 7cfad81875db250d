//! The generator: keep-alive connections served in turn by one thread that never sleeps.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// One of the connections, with what it has heard of the answer so far.
struct Connection {
    stream: TcpStream,
    heard: Vec<u8>,
    asked: Instant,
}

/// What a run saw.
pub struct Outcome {
    /// Sorted.
    pub latencies: Vec<Duration>,
    pub elapsed: Duration,
}

/// Sends `requests` (their bytes, in turn) until each of `count` is answered with `status`.
pub fn run(
    server: SocketAddr,
    requests: &[Vec<u8>],
    count: usize,
    connections: usize,
    status: &str,
) -> Outcome {
    let mut requests = requests.iter().cycle();
    let mut open: Vec<Connection> = (0..connections.min(count))
        .map(|_| Connection::open(server))
        .collect();
    let began = Instant::now();
    let mut latencies = Vec::with_capacity(count);
    let mut sent = 0;
    for connection in &mut open {
        connection.ask(requests.next().unwrap());
        sent += 1;
    }
    while latencies.len() < count {
        for connection in &mut open {
            if !connection.hears(status) {
                continue;
            }
            latencies.push(connection.asked.elapsed());
            if sent < count {
                connection.ask(requests.next().unwrap());
                sent += 1;
            }
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "the server does not answer"
        );
    }
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    Outcome { latencies, elapsed }
}

impl Connection {
    fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            heard: Vec::with_capacity(4096),
            asked: Instant::now(),
        }
    }

    fn ask(&mut self, request: &[u8]) {
        self.heard.clear();
        self.asked = Instant::now();
        self.stream.write_all(request).unwrap();
    }

    /// Whether the answer is whole; it must have the status.
    fn hears(&mut self, status: &str) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(read) => self.heard.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        }
        let Some(head) = find(&self.heard, b"\r\n\r\n") else {
            return false;
        };
        let text = std::str::from_utf8(&self.heard[..head]).unwrap();
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        if self.heard.len() < head + 4 + length {
            return false;
        }
        assert_eq!(text.split(' ').nth(1), Some(status), "{text}");
        true
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
