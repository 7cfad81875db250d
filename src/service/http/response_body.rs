//! Passes the body of a response to hyper in small pieces.
//!
//! hyper copies the data of a body into its write buffer (HTTP/1.1), or keeps it until the peer's
//! window has room (HTTP/2). To bound that memory, we never yield more than [`MAX_PIECE`] bytes at
//! a time. Slicing doesn't copy: the rest stays in the original buffer, which all requests for a
//! constant document share.
//!
//! Each piece is counted until hyper has written it. The
//! [`IdleTimeout`](crate::service::http::idle_timeout::IdleTimeout) uses this to end responses that
//! the peer does not read.

use std::{
    mem::take,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::future::{AbortHandle, Abortable};
use hyper::{
    Version,
    body::{Body, Buf, Bytes, Frame, SizeHint},
    rt::Executor,
};

use crate::service::http::idle_timeout::{ActiveRequest, StreamedAnswer, UnsentPiece};

/// The maximum number of bytes to pass to hyper at once. A peer is not cut off if it reads this
/// number of bytes within `Limits::idle`.
const MAX_PIECE: usize = 8 * 1024;

tokio::task_local! {
    /// Resets the HTTP/2 stream of the current task
    static STREAM: AbortHandle;
}

/// Runs each HTTP/2 stream in a task that can be aborted.
///
/// Dropping the task resets the stream with CANCEL, and makes h2 discard its data for the stream.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct StreamExecutor;

impl<F> Executor<F> for StreamExecutor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let (handle, registration) = AbortHandle::new_pair();
        tokio::spawn(STREAM.scope(handle, Abortable::new(stream, registration)));
    }
}

/// The body of a response. The request counts as active until hyper has received all of it.
#[derive(Debug)]
pub(in crate::service) struct ResponseBody<B> {
    body: B,
    /// What hyper hasn't received yet of the last frame. Boxed: hyper moves a response several
    /// times, and few responses need this.
    rest: Option<Box<Bytes>>,
    request: ActiveRequest,
    stream: Stream,
    has_begun: bool,
    /// We keep track of the end ourselves, since some bodies must not be polled after it
    is_over: bool,
    /// HTTP/1.1 only: hyper has a piece that it hasn't tried to write yet
    is_unwritten: bool,
}

#[derive(Debug)]
enum Stream {
    /// HTTP/1.1, without streams. [`Socket`](crate::service::http::socket::Socket) records whether
    /// the connection is blocked.
    None,
    /// HTTP/2, before the stream's task has polled the body (only that task knows its stream)
    Unknown,
    /// Boxed for the same reason as `ResponseBody::rest`: few responses have a stream.
    Known(Box<StreamedAnswer>),
}

impl Stream {
    fn known(&self) -> Option<&StreamedAnswer> {
        match self {
            Self::Known(stream) => Some(stream),
            Self::None | Self::Unknown => None,
        }
    }
}

impl<B> ResponseBody<B> {
    pub(in crate::service) fn new(body: B, request: ActiveRequest, version: Version) -> Self {
        Self {
            body,
            rest: None,
            request,
            stream: if version == Version::HTTP_2 {
                Stream::Unknown
            } else {
                Stream::None
            },
            has_begun: false,
            is_over: false,
            is_unwritten: false,
        }
    }

    /// Whether hyper may get another piece.
    ///
    /// In HTTP/1.1, hyper must first have written the previous piece. It would otherwise copy one
    /// piece after another into a buffer that may grow as large as the limit of a request's head.
    /// In HTTP/2 there's nothing to do: hyper never asks for more than it can send.
    fn may_yield(&mut self, cx: &mut Context<'_>) -> bool {
        if take(&mut self.is_unwritten) {
            // hyper writes after this poll. The wake-up makes it poll again
            cx.waker().wake_by_ref();
            return false;
        }
        // the socket wakes this task when it accepts bytes again
        !self.has_begun || self.stream.known().is_some() || !self.request.is_blocked()
    }

    /// Splits off the first piece of `data`, and keeps the rest for later.
    fn piece(&mut self, mut data: Bytes) -> Piece {
        if let Stream::Unknown = self.stream {
            let stream = STREAM.try_with(AbortHandle::clone);
            self.stream = stream.map_or(Stream::None, |stream| {
                Stream::Known(Box::new(self.request.begin_stream(stream)))
            });
        }
        if data.len() > MAX_PIECE {
            self.rest = Some(Box::new(data.split_off(MAX_PIECE)));
        }
        let is_whole = self.rest.is_none();
        let unsent = if let Stream::Known(stream) = &mut self.stream {
            stream.keeps_end = self.has_begun || !is_whole || !stream.is_wide();
            Some(stream.piece())
        } else {
            None
        };
        if unsent.is_none() && !is_whole {
            self.request.hands_over(true);
        }
        (self.has_begun, self.is_unwritten) = (true, unsent.is_none());
        Piece {
            bytes: data,
            unsent: unsent.map(Box::new),
        }
    }

    fn keeps_end(&self) -> bool {
        self.stream.known().is_some_and(|stream| stream.keeps_end)
    }

    fn poll_end<F>(&mut self, cx: &Context<'_>) -> Poll<Option<F>> {
        self.is_over = true;
        match self.stream.known() {
            Some(offer) if offer.keeps_end && !offer.is_taken(cx) => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ResponseBody<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = &mut *self;
        if !this.may_yield(cx) {
            return Poll::Pending;
        }
        let data = if let Some(rest) = this.rest.take() {
            *rest
        } else {
            if this.is_over || this.has_begun && this.body.is_end_stream() {
                return this.poll_end(cx);
            }
            let polled = Pin::new(&mut this.body).poll_frame(cx)?;
            if polled.is_pending() {
                this.request.continues();
                if this.has_begun && this.stream.known().is_none() {
                    this.request.hands_over(false);
                }
            }
            let Some(frame) = ready!(polled) else {
                return this.poll_end(cx);
            };
            match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => {
                    let frame = trailers.map_data(|bytes| Piece {
                        bytes,
                        unsent: None,
                    });
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        };
        let piece = this.piece(data);
        if !this.is_end_stream() {
            this.request.continues();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream() && !self.keeps_end()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (
            self.body.size_hint(),
            self.rest.as_ref().map_or(0, |rest| rest.len() as u64),
        );
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// A piece of a response. hyper drops it after writing it to the socket
#[derive(Debug)]
pub(in crate::service) struct Piece {
    bytes: Bytes,
    /// `None` in HTTP/1.1. Boxed, as hyper moves a piece several times.
    unsent: Option<Box<UnsentPiece>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, taken: usize) {
        self.bytes.advance(taken);
        match &mut self.unsent {
            Some(unsent) if self.bytes.is_empty() => unsent.take(),
            Some(unsent) => unsent.progress(),
            None => {}
        }
    }
}
