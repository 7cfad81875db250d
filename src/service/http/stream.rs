//! The stream of a connection, with or without TLS.
//!
//! The TLS handshake is part of the first read, so the limits of the connection apply to it. A peer
//! that stops in the middle of a handshake is just another idle peer.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

use crate::service::http::{
    client_certificates::{CertificateSlot, Clients},
    idle_timeout::IdleTimeout,
    socket::Socket,
};

/// How many bytes TLS may buffer while the socket is blocked. rustls' default is 64 KiB
const MAX_UNSENT: usize = 16 * 1024;

pub(in crate::service) struct Stream {
    state: State,
    idle_timeout: Arc<IdleTimeout>,
    /// The check of the client's certificate, and the slot to store it in. `None` if we don't
    /// request one.
    clients: Option<(Clients, CertificateSlot)>,
}

enum State {
    Plain(Socket),
    Handshake(Box<Accept<Socket>>),
    Tls(Box<TlsStream<Socket>>),
    Broken,
}

impl Stream {
    pub(in crate::service) fn new(
        tcp: TcpStream,
        tls: Option<(TlsAcceptor, Option<Clients>)>,
    ) -> Self {
        let socket = Socket::new(tcp);
        let idle_timeout = socket.idle_timeout();
        let (state, clients) = match tls {
            Some((tls, clients)) => (State::Handshake(Box::new(tls.accept(socket))), clients),
            None => (State::Plain(socket), None),
        };
        Self {
            state,
            idle_timeout,
            clients: clients.map(|clients| (clients, CertificateSlot::default())),
        }
    }

    /// Empty until the handshake is done. `None` if we do not request a client certificate.
    pub(in crate::service) fn client_certificate(&self) -> Option<CertificateSlot> {
        let (_, presented) = self.clients.as_ref()?;
        Some(Arc::clone(presented))
    }

    /// Running since the connection was accepted.
    pub(in crate::service) fn idle_timeout(&self) -> Arc<IdleTimeout> {
        Arc::clone(&self.idle_timeout)
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Duplex>>> {
        if let State::Handshake(handshake) = &mut self.state {
            let shaken = ready!(Pin::new(handshake).poll(cx));
            self.state = match shaken {
                Ok(mut tls) => {
                    let (_, session) = tls.get_mut();
                    session.set_buffer_limit(Some(MAX_UNSENT));
                    if let Some((clients, presented)) = &self.clients
                        && let Some(chain) = session.peer_certificates()
                        && let Some(certificate) = clients.accept(chain)
                    {
                        let _ = presented.set(certificate);
                    }
                    State::Tls(Box::new(tls))
                }
                Err(error) => {
                    tracing::debug!(%error, "TLS handshake failed");
                    self.state = State::Broken;
                    return Poll::Ready(Err(error));
                }
            };
        }
        Poll::Ready(match &mut self.state {
            State::Plain(tcp) => Ok(Pin::new(tcp)),
            State::Tls(tls) => Ok(Pin::new(tls)),
            State::Handshake(_) | State::Broken => Err(io::ErrorKind::NotConnected.into()),
        })
    }
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // fast path: most connections are plain
        if let State::Plain(tcp) = &mut self.state {
            return Pin::new(tcp).poll_read(cx, buf);
        }
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let State::Plain(tcp) = &mut self.state {
            return Pin::new(tcp).poll_write(cx, buf);
        }
        ready!(self.poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            State::Tls(tls) => Pin::new(tls).poll_flush(cx),
            // nothing has been written
            State::Handshake(_) | State::Broken => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            State::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            // Without a session there's no `close_notify` to send. Dropping the socket closes it.
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
        // both kinds of stream support vectored writes
        true
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
