//! Sends one request on a new connection and reads the whole response.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(10);

pub struct Answer {
    pub status: u16,
    head: String,
    body: String,
}

/// A request for `target`, after which the connection closes.
pub fn request(target: &str, fields: &[&str]) -> Vec<u8> {
    let mut request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for field in fields {
        request.push_str(field);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Sends a request and reads the response. `None` if no whole head arrives within ten seconds.
pub fn ask(server: SocketAddr, request: &[u8]) -> Option<Answer> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(server).ok()?;
    // A server may reject a request before it has read all of it, and then we can't write the rest.
    let _ = stream.write_all(request);
    let mut heard = Vec::new();
    let mut bytes = [0; 4096];
    // Some servers keep the connection open for a while although we ask them to close it
    while !is_whole(&heard)
        && let Some(left) = PATIENCE
            .checked_sub(began.elapsed())
            .filter(|left| !left.is_zero())
    {
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut bytes) {
            Ok(read @ 1..) => heard.extend_from_slice(&bytes[..read]),
            Ok(0) | Err(_) => break,
        }
    }
    Answer::read(&String::from_utf8_lossy(&heard))
}

fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let Some(answer) = Answer::read(&text) else {
        return false;
    };
    match answer.field("content-length").parse::<usize>() {
        Ok(length) => answer.body.len() >= length,
        Err(_) => answer.body.ends_with("0\r\n\r\n"),
    }
}

impl Answer {
    fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// Returns all values of a header field, joined by commas.
    pub fn field(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let values: Vec<_> = lines
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect();
        values.join(", ")
    }

    /// The text after `Bearer` in the challenge, if there is one.
    pub fn challenge(&self) -> Option<String> {
        let field = self.field("www-authenticate");
        let (scheme, rest) = field.split_once(' ').unwrap_or((&field, ""));
        let bearer = scheme.eq_ignore_ascii_case("Bearer");
        bearer.then(|| rest.trim().to_owned())
    }

    pub fn says(&self, words: &str) -> bool {
        self.head.contains(words) || self.body.contains(words)
    }

    pub fn has_body(&self) -> bool {
        !self.body.trim().is_empty()
    }
}
