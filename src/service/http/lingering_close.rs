//! The stream between hyper and the socket.
//!
//! Checks the heads of requests, and closes a connection such that the peer can still receive the
//! last response.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::service::http::{idle_timeout::IdleTimeout, strict_heads::StrictHeads};

/// How long a peer may keep sending after the last response.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::service) struct LingeringClose<T> {
    stream: T,
    idle_timeout: Arc<IdleTimeout>,
    heads: StrictHeads,
    /// Already read, but we cannot pass it to hyper yet
    held: Vec<u8>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<T> LingeringClose<T> {
    /// The server must report each head that hyper has parsed to the framing of `heads`.
    pub(in crate::service) fn new(
        stream: T,
        heads: StrictHeads,
        idle_timeout: Arc<IdleTimeout>,
    ) -> Self {
        Self {
            stream,
            idle_timeout,
            heads,
            held: Vec::new(),
            lingering: None,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LingeringClose<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let start = buf.filled().len();
        if this.held.is_empty() {
            let most = this.heads.most();
            if most < buf.remaining() as u64 {
                let mut few = (&mut this.stream).take(most);
                ready!(Pin::new(&mut few).poll_read(cx, buf))?;
            } else {
                ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            }
            let is_end = buf.filled().len() == start && buf.remaining() > 0;
            if is_end && this.idle_timeout.keeps_back_end(cx) {
                return Poll::Pending;
            }
        } else {
            let room = this.held.len().min(buf.remaining());
            buf.put_slice(&this.held[..room]);
            this.held.drain(..room);
        }
        let fresh = &mut buf.filled_mut()[start..];
        let admitted = this.heads.admit(fresh);
        this.held.splice(..0, fresh[admitted..].iter().copied());
        buf.set_filled(start + admitted);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<T> {
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_linger(cx)
    }

    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<T: AsyncRead + Unpin> LingeringClose<T> {
    /// Reads and discards bytes until the peer closes the connection, or for [`LINGER`]. If we
    /// closed a socket with unread bytes, TCP would reset the connection and the peer might lose
    /// the response.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let patience = self
            .lingering
            .get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if patience.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut bin = [0; 4096];
        loop {
            let mut bin = ReadBuf::new(&mut bin);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut bin));
            if read.is_err() || bin.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
