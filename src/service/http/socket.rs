//! The TCP socket of a connection.
//!
//! [`Socket`] records when it is blocked, and limits how much the kernel buffers for a peer that
//! does not read.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::service::http::idle_timeout::IdleTimeout;

/// The maximum number of unsent bytes in the kernel, which would otherwise buffer megabytes. Bytes
/// in flight don't count, so this shouldn't slow down a fast but distant peer.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 16 * 1024;

#[derive(Debug)]
pub(in crate::service) struct Socket {
    tcp: TcpStream,
    idle_timeout: Arc<IdleTimeout>,
    is_blocked: bool,
}

impl Socket {
    pub(in crate::service) fn new(tcp: TcpStream) -> Self {
        // We write responses whole, so Nagle's algorithm would only delay them
        let _ = tcp.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(MAX_UNSENT);
        Self {
            tcp,
            idle_timeout: IdleTimeout::new(),
            is_blocked: false,
        }
    }

    pub(in crate::service) fn idle_timeout(&self) -> Arc<IdleTimeout> {
        Arc::clone(&self.idle_timeout)
    }

    fn note(&mut self, cx: &Context<'_>, is_blocked: bool) {
        if is_blocked != self.is_blocked {
            self.is_blocked = is_blocked;
            if is_blocked {
                self.idle_timeout.block();
            } else {
                self.idle_timeout.unblock();
                // The response body waits for this before it yields its next piece
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.note(cx, written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.note(cx, written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
