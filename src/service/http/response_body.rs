//! The body of an answer on its way to the peer: in pieces of bounded size, counted until the peer has
//! taken them.
//!
//! hyper copies the data of a body into its write buffer (HTTP/1.1) or keeps it until the peer's window
//! has room (HTTP/2). So a body hands over at most [`PIECE`] bytes at a time, and the rest stays
//! where it is: shared, where the document is the same for everybody. Slicing copies nothing.
//!
//! This module measures no time. [`Pulse`](crate::service::http::idle_timeout::Pulse) does, and ends untaken answers.

use std::{
    mem::take,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::future::{AbortHandle, Abortable};
use hyper::{
    body::{Body, Buf, Bytes, Frame, SizeHint},
    rt::Executor,
};

use crate::service::http::idle_timeout::{AtWork, Offer, Untaken};

/// The most bytes that are handed to hyper at once.
const PIECE: usize = 8 * 1024;

tokio::task_local! {
    /// Ends the HTTP/2 stream whose task this is.
    static STREAM: AbortHandle;
}

/// Runs each HTTP/2 stream as a task that its body can register to be ended.
///
/// Dropping the task resets the stream with CANCEL and has h2 discard what it holds for it.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let (handle, registration) = AbortHandle::new_pair();
        tokio::spawn(STREAM.scope(handle, Abortable::new(stream, registration)));
    }
}

/// The body of an answer. Its request is at work until hyper has all of it.
#[derive(Debug)]
pub(in crate::service) struct Answer<B> {
    body: B,
    /// The rest of the body's last frame, which hyper does not have yet.
    rest: Bytes,
    at_work: AtWork,
    /// Set with the first piece on an HTTP/2 stream. In HTTP/1.1 the connection is the stream, and
    /// [`Socket`](crate::service::http::socket::Socket) sees whether it takes bytes.
    offer: Option<Offer>,
    has_begun: bool,
    /// Whether the body is over. Some bodies must not be polled again.
    is_over: bool,
    /// In HTTP/1.1, whether hyper has a piece that it has not tried to write.
    is_unwritten: bool,
}

impl<B> Answer<B> {
    pub(in crate::service) fn new(body: B, at_work: AtWork) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            at_work,
            offer: None,
            has_begun: false,
            is_over: false,
            is_unwritten: false,
        }
    }

    /// Returns whether hyper may have another piece. In HTTP/1.1 it may only once it has written the one
    /// before, since it would copy piece after piece into a buffer as large as a request's head may be.
    /// In HTTP/2 it asks for no more than it can send.
    fn is_welcome(&mut self, cx: &mut Context<'_>) -> bool {
        if take(&mut self.is_unwritten) {
            // hyper writes after this poll and then polls again because of the wake.
            cx.waker().wake_by_ref();
            return false;
        }
        // The socket wakes this task when it takes bytes again.
        !self.has_begun || self.offer.is_some() || !self.at_work.is_blocked()
    }

    fn piece(&mut self) -> Piece {
        if self.offer.is_none() {
            let stream = STREAM.try_with(AbortHandle::clone);
            self.offer = stream.ok().map(|stream| self.at_work.offer(stream));
        }
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        if let Some(offer) = &mut self.offer {
            offer.keeps_end = self.has_begun || !self.rest.is_empty() || !offer.is_wide();
        }
        if self.offer.is_none() && !self.rest.is_empty() {
            self.at_work.hands_over(true);
        }
        (self.has_begun, self.is_unwritten) = (true, self.offer.is_none());
        Piece {
            bytes,
            untaken: self.offer.as_ref().map(Offer::piece),
        }
    }

    fn keeps_end(&self) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.keeps_end)
    }

    /// Ends the answer once the peer has taken its pieces, where that is waited for.
    fn poll_end<F>(&mut self, cx: &Context<'_>) -> Poll<Option<F>> {
        self.is_over = true;
        match &self.offer {
            Some(offer) if offer.keeps_end && !offer.is_taken(cx) => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Piece;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, B::Error>>> {
        let this = &mut *self;
        if !this.is_welcome(cx) {
            return Poll::Pending;
        }
        if this.rest.is_empty() {
            if this.is_over || this.has_begun && this.body.is_end_stream() {
                return this.poll_end(cx);
            }
            let polled = Pin::new(&mut this.body).poll_frame(cx)?;
            if polled.is_pending() {
                this.at_work.go_on();
                if this.has_begun && this.offer.is_none() {
                    this.at_work.hands_over(false);
                }
            }
            let Some(frame) = ready!(polled) else {
                return this.poll_end(cx);
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => {
                    let frame = trailers.map_data(|bytes| Piece {
                        bytes,
                        untaken: None,
                    });
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        }
        let piece = this.piece();
        if !this.is_end_stream() {
            this.at_work.go_on();
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream() && !self.keeps_end()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// A part of an answer, which hyper drops once it has written it to the socket.
#[derive(Debug)]
pub(in crate::service) struct Piece {
    bytes: Bytes,
    untaken: Option<Untaken>,
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
        match &mut self.untaken {
            Some(untaken) if self.bytes.is_empty() => untaken.take(),
            Some(untaken) => untaken.progress(),
            None => {}
        }
    }
}
