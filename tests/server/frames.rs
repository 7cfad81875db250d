//! HTTP/2 frame by frame, for peers that no client library would be.

use crate::support::{Peer, Server};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A frame that was heard.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A peer that grants each answer so many bytes at first.
pub(crate) struct Http2Peer {
    peer: Peer,
    next_stream: u32,
}

impl Http2Peer {
    pub(crate) async fn with_window(server: &Server, window: u32) -> Self {
        let mut peer = server.peer().await;
        let setting = [&[0, INITIAL_WINDOW_SIZE][..], &window.to_be_bytes()].concat();
        let settings = frame(SETTINGS, 0, 0, &setting);
        peer.say([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat())
            .await;
        Self {
            peer,
            next_stream: 1,
        }
    }

    /// Sends a request without a body; `None` when the server has closed.
    pub(crate) async fn ask(&mut self, method: &str, path: &str) -> Option<u32> {
        // Literal fields under the static table's names: `:method`, `:path`, `:authority`.
        let literal = |name: u8, value: &str| {
            [
                &[name, u8::try_from(value.len()).unwrap()],
                value.as_bytes(),
            ]
            .concat()
        };
        let http = 0x86;
        let fields = [
            literal(2, method),
            literal(4, path),
            vec![http],
            literal(1, "a"),
        ];
        let stream = self.next_stream;
        let request = frame(HEADERS, END_STREAM | END_HEADERS, stream, &fields.concat());
        self.next_stream += 2;
        self.peer.say(request).await.then_some(stream)
    }

    /// Grants the stream more bytes, and the connection as many.
    pub(crate) async fn grant(&mut self, stream: u32, bytes: u32) -> bool {
        let update = |stream| frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
        self.peer.say([update(0), update(stream)].concat()).await
    }

    /// The next frame, or `None` when the connection ends.
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

    /// The next frame that fits, or `None` when the connection ends first.
    pub(crate) async fn hear_until(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.hear().await?;
            if fits(&frame) {
                return Some(frame);
            }
        }
    }
}
