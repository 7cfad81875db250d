//! A connection's bytes, plain or through TLS. Nobody above knows which.
//!
//! The handshake is made when something is first read, so that whatever bounds a connection bounds
//! its handshake as well: a peer that stops in the middle of one has gone silent like any other.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::Accept;
use tokio_rustls::server::TlsStream;

/// A connection that was taken.
pub(super) struct Stream(State);

enum State {
    Plain(TcpStream),
    Handshake(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake came to nothing, and took the connection with it.
    Broken,
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self(State::Plain(tcp))
    }

    pub(super) fn tls(handshake: Accept<TcpStream>) -> Self {
        Self(State::Handshake(Box::new(handshake)))
    }

    /// What carries bytes, after the handshake.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        if let State::Handshake(handshake) = &mut self.0 {
            let shaken = ready!(Pin::new(handshake).poll(cx));
            self.0 = match shaken {
                Ok(tls) => State::Tls(Box::new(tls)),
                Err(error) => {
                    tracing::debug!(%error, "no TLS");
                    self.0 = State::Broken;
                    return Poll::Ready(Err(error));
                }
            };
        }
        Poll::Ready(match &mut self.0 {
            State::Plain(tcp) => Ok(Pin::new(tcp)),
            State::Tls(tls) => Ok(Pin::new(tls)),
            State::Handshake(_) | State::Broken => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

/// Bytes both ways.
trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            State::Tls(tls) => Pin::new(tls).poll_flush(cx),
            // Nothing has been written.
            State::Handshake(_) | State::Broken => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            State::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            // There is nobody to say farewell to; dropping it closes.
            State::Handshake(_) | State::Broken => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        // Both are.
        true
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
