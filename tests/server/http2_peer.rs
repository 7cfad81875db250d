//! An HTTP/2 peer that misbehaves in ways that client libraries prevent.

use crate::harness::{Peer, Server};
use crate::support::frames::{WINDOW_UPDATE, frame, preface, request, window};

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A peer that chooses the initial window of its streams.
pub(crate) struct Http2Peer {
    peer: Peer,
    next_stream: u32,
}

impl Http2Peer {
    pub(crate) async fn with_window(server: &Server, window: u32) -> Self {
        let mut peer = server.peer().await;
        peer.say(preface(window)).await;
        Self {
            peer,
            next_stream: 1,
        }
    }

    /// Sends a request without a body, or returns `None` if the server has closed the connection.
    pub(crate) async fn ask(&mut self, method: &str, path: &str) -> Option<u32> {
        let stream = self.next_stream;
        let request = request(method, path, stream);
        self.next_stream += 2;
        self.peer.say(request).await.then_some(stream)
    }

    /// Enlarges the windows of both the stream and the connection.
    pub(crate) async fn grant(&mut self, stream: u32, bytes: u32) -> bool {
        let update = |stream| frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        self.peer.say([update(0), update(stream)].concat()).await
    }

    pub(crate) async fn set_window(&mut self, bytes: u32) -> bool {
        self.peer.say(window(bytes)).await
    }

    pub(crate) async fn hear(&mut self) -> Option<Frame> {
        let head = self.peer.hear_exactly(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload: self.peer.hear_exactly(length as usize).await?,
        })
    }

    /// Skips frames until one satisfies `fits`. `None` if the connection ends first.
    pub(crate) async fn hear_until(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.hear().await?;
            if fits(&frame) {
                return Some(frame);
            }
        }
    }
}
