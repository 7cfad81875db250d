//! The last words on a connection. TCP throws an answer away when its sender closes with bytes still
//! unread; so the end waits, a moment only, for the peer to have heard.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a peer may go on sending after the last answer.
const LINGER: Duration = Duration::from_secs(1);

/// A stream that, once shut down, reads on until its peer has closed too, or has had its time.
#[derive(Debug)]
pub(super) struct Wire<T> {
    stream: T,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<T> Wire<T> {
    pub(super) fn new(stream: T) -> Self {
        Self {
            stream,
            lingering: None,
        }
    }
}

impl<T: AsyncRead + Unpin> Wire<T> {
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

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
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

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}
