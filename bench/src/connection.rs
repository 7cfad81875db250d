//! A non-blocking HTTP/1.1 keep-alive connection. After sending a request, poll until the response
//! is complete.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

pub struct Connection {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Connection {
    pub fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            heard: Vec::with_capacity(4096),
        }
    }

    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    pub fn ask(&mut self, request: &[u8]) {
        self.heard.clear();
        self.stream.write_all(request).unwrap();
    }

    /// The status, once the response is complete.
    pub fn hears(&mut self) -> Option<u16> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(read) => self.heard.extend_from_slice(&bytes[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("{error}"),
        }
        whole(&self.heard)
    }
}

/// Sends one request on a new connection, outside of measurements. `None` if no complete response
/// arrives within a second.
pub fn status_of(server: SocketAddr, request: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(request).ok()?;
    let mut heard = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let read = stream.read(&mut bytes).ok().filter(|read| *read > 0)?;
        heard.extend_from_slice(&bytes[..read]);
        if let Some(status) = whole(&heard) {
            return Some(status);
        }
    }
}

/// Returns the status once the response is complete. Chunked bodies aren't supported (no server
/// here sends them).
fn whole(answer: &[u8]) -> Option<u16> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.parse::<usize>().unwrap());
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (answer.len() >= end + 4 + length).then_some(status)
}
