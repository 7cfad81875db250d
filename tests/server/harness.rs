//! A server to test, and a peer that sends exactly the bytes of a test.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use warp::http::{Response, StatusCode};
use warp::{Filter, Rejection, Reply};
use warp_bearer::service::{Limits, Listener, RequestLog, Shutdown, serve};

/// Far longer than any limit under test, so only a hang gets here.
pub(crate) const FOREVER: Duration = Duration::from_secs(20);

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The length of `/large`'s response: more than a kernel buffers for a peer that doesn't read.
pub(crate) const LARGE: usize = 8 * 1024 * 1024;

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    gate: Arc<Semaphore>,
    at_gate: watch::Sender<usize>,
    served: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(limits: Limits) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address().unwrap();
        let shutdown = Shutdown::new();
        let (gate, at_gate) = (Arc::new(Semaphore::new(0)), watch::Sender::new(0));
        let routes = routes(Arc::clone(&gate), at_gate.clone());
        let served = tokio::spawn(serve(
            listener,
            routes,
            limits,
            None,
            RequestLog::enabled(),
            shutdown.clone(),
        ));
        Self {
            address,
            shutdown,
            gate,
            at_gate,
            served,
        }
    }

    /// Lets this many requests of `/gate` pass.
    pub(crate) fn open_gate(&self, requests: usize) {
        self.gate.add_permits(requests);
    }

    /// Waits until this many requests have arrived at `/gate`.
    pub(crate) async fn at_gate(&self, requests: usize) {
        let mut at_gate = self.at_gate.subscribe();
        let arrived = at_gate.wait_for(|arrived| *arrived >= requests);
        timeout(FOREVER, arrived)
            .await
            .expect("the request did not arrive")
            .unwrap();
    }

    pub(crate) async fn peer(&self) -> Peer {
        Peer::connect(self.address)
            .await
            .expect("the server does not accept connections")
    }

    /// Connects a peer with a receive buffer of 64 KiB, so that its kernel reads only a little
    /// ahead of it.
    pub(crate) async fn narrow_peer(&self) -> Peer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        Peer::of(stream)
    }

    /// Fills the server: connects peers until an attempt takes more than 20 ms or fails. Returns
    /// the last one that connected.
    pub(crate) async fn last_peer(&self) -> Peer {
        let mut last = self.peer().await;
        while let Ok(Some(peer)) = timeout(millis(20), Peer::connect(self.address)).await {
            last = peer;
        }
        last
    }

    /// Sends `words` on a new connection and reads until it closes.
    pub(crate) async fn tell(&self, words: impl AsRef<[u8]>) -> String {
        let mut peer = self.peer().await;
        peer.say(words).await;
        peer.hear_to_the_end().await
    }

    pub(crate) async fn http2(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (client, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) async fn stopped(&mut self) {
        timeout(FOREVER, &mut self.served)
            .await
            .expect("the server did not stop")
            .unwrap();
    }
}

fn routes(
    gate: Arc<Semaphore>,
    at_gate: watch::Sender<usize>,
) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone + Send + Sync + 'static {
    let hello = warp::path::end()
        .and(warp::get().or(warp::head()).unify())
        .map(|| "hello");
    let (gate_of_events, at_gate_too) = (Arc::clone(&gate), at_gate.clone());
    let events = warp::path!("events").map(move || {
        let (gate, at_gate) = (Arc::clone(&gate_of_events), at_gate_too.clone());
        let second = async move {
            at_gate.send_modify(|arrived| *arrived += 1);
            gate.acquire().await.unwrap().forget();
            "two"
        };
        let events = stream::once(async { "one" }).chain(stream::once(second));
        warp::reply::stream(events.map(Ok::<_, Infallible>))
    });
    let gate = warp::path!("gate").then(move || {
        let gate = Arc::clone(&gate);
        at_gate.send_modify(|arrived| *arrived += 1);
        async move {
            gate.acquire().await.unwrap().forget();
            "through"
        }
    });
    let body = warp::path!("body")
        .and(warp::post())
        .and(warp::body::bytes())
        .map(|body: Bytes| body.len().to_string());
    let unread = warp::path!("unread").and(warp::post()).map(|| "unread");
    let constant = Bytes::from(vec![b'x'; LARGE]);
    let large = warp::path!("large").map(move || Response::new(constant.clone()));
    let panic = warp::path!("panic").map(|| -> &'static str { panic!("a secret") });

    hello
        .or(gate)
        .or(body)
        .or(unread)
        .or(large)
        .or(events)
        .or(panic)
        .recover(|rejection: Rejection| async move {
            let (words, status) = if rejection.is_not_found() {
                ("nothing here", StatusCode::NOT_FOUND)
            } else {
                ("unreadable", StatusCode::BAD_REQUEST)
            };
            Ok::<_, Infallible>(warp::reply::with_status(words, status))
        })
}

pub(crate) struct Peer {
    stream: TcpStream,
    heard: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Option<Self> {
        TcpStream::connect(address).await.ok().map(Self::of)
    }

    fn of(stream: TcpStream) -> Self {
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    /// Sends `words`. Returns `false` if the server has closed the connection.
    pub(crate) async fn say(&mut self, words: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(words.as_ref()).await.is_ok()
    }

    /// Closes the sending side. The peer can still receive.
    pub(crate) async fn end_own_side(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Returns the next answer, or `None` if the connection ends first.
    pub(crate) async fn hear(&mut self) -> Option<Answer> {
        let head = loop {
            if let Some(end) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.heard.drain(..end + 4).collect();
            }
            self.more().await?;
        };
        let head = String::from_utf8(head).unwrap();
        let mut answer = Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::new(),
        };
        let length = answer
            .field("content-length")
            .map_or(0, |length| length.parse().unwrap());
        while self.heard.len() < length {
            self.more().await?;
        }
        answer.body = String::from_utf8(self.heard.drain(..length).collect()).unwrap();
        Some(answer)
    }

    pub(crate) async fn ask(&mut self, request: &str) -> Option<Answer> {
        self.say(request).await;
        self.hear().await
    }

    pub(crate) async fn hear_to_the_end(&mut self) -> String {
        while self.more().await.is_some() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.heard)).into_owned()
    }

    pub(crate) async fn hear_bytes_to_the_end(&mut self) -> Vec<u8> {
        while self.more().await.is_some() {}
        std::mem::take(&mut self.heard)
    }

    /// At most `most` bytes. Empty if the connection ends.
    pub(crate) async fn hear_some(&mut self, most: usize) -> Vec<u8> {
        while self.heard.is_empty() {
            let mut bytes = vec![0; most];
            let read = timeout(FOREVER, self.stream.read(&mut bytes)).await;
            match read.expect("the server neither answers nor closes") {
                Ok(read) if read > 0 => self.heard.extend(&bytes[..read]),
                _ => return Vec::new(),
            }
        }
        let most = most.min(self.heard.len());
        self.heard.drain(..most).collect()
    }

    /// `None` if the connection ends before `count` bytes.
    pub(crate) async fn hear_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.heard.len() < count {
            self.more().await?;
        }
        Some(self.heard.drain(..count).collect())
    }

    async fn more(&mut self) -> Option<()> {
        let read = timeout(FOREVER, self.stream.read_buf(&mut self.heard)).await;
        let bytes = read.expect("the server neither answers nor closes").ok()?;
        (bytes > 0).then_some(())
    }
}
