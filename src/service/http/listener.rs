//! Accepts connections.
//!
//! An error from `accept` never ends the service and never makes it spin. If the error concerns a
//! single connection, we accept the next one right away. After a local error (e.g. running out
//! of file descriptors) we pause first.

use std::{
    future::Future,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::service::http::{stream::Stream, tls::Tls};

/// The pause if there are no free descriptors or buffers. Ends early when a connection is closed.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long to wait for TCP handshakes that are in flight when the listener closes
const HANDSHAKE_GRACE: Duration = Duration::from_millis(50);

/// A bound address that accepts connections.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// Listens on an address. Port 0 means any free port.
    ///
    /// # Errors
    ///
    /// Fails if the address is in use or not local, or if this user must not bind it.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self { tcp, tls: None })
    }

    /// Accepts only TLS connections.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// Returns the local address, with the actual port.
    ///
    /// # Errors
    ///
    /// Fails if the operating system does not report the address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// No connection is lost if the future is dropped.
    pub(in crate::service) async fn accept(&self) -> Stream {
        let (tcp, _peer) = accept_until_ok(|| self.tcp.accept()).await;
        stream(tcp, self.tls.as_ref())
    }

    /// Closes the listener, and hands over up to `room` connections that the kernel has already
    /// established and would otherwise reset.
    pub(in crate::service) async fn close(self, room: usize) -> Vec<Stream> {
        if refuse_new(&self.tcp).is_ok() {
            sleep(HANDSHAKE_GRACE).await;
        }
        let Ok(door) = self.tcp.into_std() else {
            return Vec::new();
        };
        let inside = door.incoming().map_while(Result::ok).take(room);
        inside
            .filter_map(into_tokio)
            .map(|tcp| stream(tcp, self.tls.as_ref()))
            .collect()
    }
}

/// Makes the kernel drop new SYNs, so that no connection is established between the last `accept`
/// and the close. A client whose SYN is dropped usually retries after a second, and finds the port
/// closed.
#[cfg(target_os = "linux")]
fn refuse_new(tcp: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    SockRef::from(tcp).attach_filter(&[
        SockFilter::new(0x30, 0, 0, 13), // load the byte of flags in the TCP header
        SockFilter::new(0x45, 0, 1, 0x02), // is SYN among them?
        SockFilter::new(0x06, 0, 0, 0),  // keep none of the packet
        SockFilter::new(0x06, 0, 0, u32::MAX), // keep all of it
    ])
}

#[cfg(not(target_os = "linux"))]
fn refuse_new(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn into_tokio(stream: std::net::TcpStream) -> Option<TcpStream> {
    stream.set_nonblocking(true).ok()?;
    TcpStream::from_std(stream).ok()
}

fn stream(tcp: TcpStream, tls: Option<&Tls>) -> Stream {
    Stream::new(tcp, tls.map(Tls::acceptor))
}

async fn accept_until_ok<T, F>(mut accept: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "peer disconnected early");
            }
            Err(error) => {
                tracing::error!(%error, "accepting a connection failed; retrying");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Whether the error concerns a single connection, which `accept` has already removed from the
/// queue.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn accept_errors_neither_end_nor_spin_the_loop() {
        const ECONNABORTED: i32 = 103;
        const ECONNRESET: i32 = 104;
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ENOBUFS: i32 = 105;

        for (errno, pause) in [
            (ECONNABORTED, Duration::ZERO),
            (ECONNRESET, Duration::ZERO),
            (EMFILE, RETRY_DELAY),
            (ENFILE, RETRY_DELAY),
            (ENOBUFS, RETRY_DELAY),
        ] {
            let start = Instant::now();
            let mut outcomes = [Err(io::Error::from_raw_os_error(errno)), Ok("taken")].into_iter();
            let taken = accept_until_ok(|| ready(outcomes.next().expect("no third try"))).await;

            assert_eq!(taken, "taken", "errno {errno}");
            assert_eq!(start.elapsed(), pause, "errno {errno}");
        }
    }
}
