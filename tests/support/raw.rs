//! The service on a socket of its own, and a client that sends exactly the bytes of a test.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use warp::{
    Filter, Reply,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
};
use warp_bearer::{
    auth::Auth,
    service::{Access, Cors, Limits, Listener, RequestLog, Shutdown, routes, serve},
};

use super::Answer;
#[cfg(feature = "axum")]
use super::adapters::Adapters;

/// Far longer than any answer takes, so only a hang gets here.
const FOREVER: Duration = Duration::from_secs(20);

/// The service's own routes behind its own server. Dropping it stops the server.
pub struct Service {
    pub address: SocketAddr,
    served: JoinHandle<()>,
    /// The same `Auth` behind the other adapters. `None` for routes that a test defines itself.
    #[cfg(feature = "axum")]
    adapters: Option<Adapters>,
}

impl Service {
    pub async fn start(auth: &Auth) -> Self {
        let routes = routes(&Access::from(auth), &Shutdown::new());
        #[cfg_attr(not(feature = "axum"), allow(unused_mut))]
        let mut service = Self::with(routes, Limits::default(), None, RequestLog::enabled()).await;
        #[cfg(feature = "axum")]
        {
            service.adapters = Some(Adapters::new(auth));
        }
        service
    }

    pub async fn with<F>(
        routes: F,
        limits: Limits,
        cors: Option<Cors>,
        request_log: RequestLog,
    ) -> Self
    where
        F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address().unwrap();
        let shutdown = Shutdown::new();
        let served = tokio::spawn(serve(listener, routes, limits, cors, request_log, shutdown));
        Self {
            address,
            served,
            #[cfg(feature = "axum")]
            adapters: None,
        }
    }

    pub async fn client(&self) -> Client {
        Client {
            #[cfg(feature = "axum")]
            adapters: self.adapters.clone(),
            ..Client::to(self.address).await
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// A client with one connection at a time. It reuses the connection until the server closes it.
pub struct Client {
    address: SocketAddr,
    stream: TcpStream,
    heard: Vec<u8>,
    #[cfg(feature = "axum")]
    adapters: Option<Adapters>,
}

impl Client {
    pub async fn to(address: SocketAddr) -> Self {
        Self {
            address,
            stream: TcpStream::connect(address).await.unwrap(),
            heard: Vec::new(),
            #[cfg(feature = "axum")]
            adapters: None,
        }
    }

    /// Sends `GET /api/private` with `Host` and these header lines, each ended by CRLF.
    ///
    /// warp's filters answer. We then send the same request to axum and tonic (with the same
    /// `Auth`), which should give the same result.
    pub async fn with_lines(&mut self, lines: &[u8]) -> Answer {
        let start = b"GET /api/private HTTP/1.1\r\nHost: localhost\r\n";
        let answer = self.ask(&[start, lines, b"\r\n"].concat()).await;
        // A response without a body comes from hyper, which rejected the request before any adapter
        // saw it.
        #[cfg(feature = "axum")]
        if let Some(adapters) = self.adapters.as_ref().filter(|_| !answer.body.is_empty()) {
            adapters.agree(&fields(lines), &answer).await;
        }
        answer
    }

    pub async fn with_token(&mut self, token: &str) -> Answer {
        let line = format!("Authorization: Bearer {token}\r\n");
        self.with_lines(line.as_bytes()).await
    }

    /// Sends the bytes of one request.
    pub async fn ask(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.unwrap();
        let answer = timeout(FOREVER, self.answer()).await.expect("no answer");
        if answer.header("connection") == "close" {
            self.stream = TcpStream::connect(self.address).await.unwrap();
        }
        answer
    }

    /// Like [`ask`](Self::ask), for a HEAD request, whose response has a length but no body.
    pub async fn head(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.unwrap();
        timeout(FOREVER, self.head_of_answer()).await.unwrap().0
    }

    async fn answer(&mut self) -> Answer {
        let (mut answer, length) = self.head_of_answer().await;
        while self.heard.len() < length {
            self.more().await;
        }
        answer.body = String::from_utf8(self.heard.drain(..length).collect()).unwrap();
        answer
    }

    async fn head_of_answer(&mut self) -> (Answer, usize) {
        let end = loop {
            if let Some(at) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            self.more().await;
        };
        let head: Vec<u8> = self.heard.drain(..end + 4).collect();
        let head = str::from_utf8(&head).unwrap();
        let (first, lines) = head.trim_end().split_once("\r\n").unwrap();
        let headers: HeaderMap = lines.split("\r\n").map(field).collect();
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        let answer = Answer {
            status: StatusCode::from_bytes(&first.as_bytes()[9..12]).unwrap(),
            headers,
            body: String::new(),
        };
        (answer, length)
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.heard).await.unwrap();
        assert!(read > 0, "the server closes without an answer");
    }
}

/// Parses header lines. The server has accepted them, so they are valid.
#[cfg(feature = "axum")]
fn fields(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let name = HeaderName::from_bytes(name).unwrap();
        fields.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    fields
}

fn field(line: &str) -> (HeaderName, HeaderValue) {
    let (name, value) = line.split_once(": ").unwrap();
    (name.parse().unwrap(), value.parse().unwrap())
}
