//! A handle to shut down the server: gracefully the first time, and immediately the second time. It
//! is shared by the signal handler, the server and the readiness route.

use std::io;

use tokio::sync::watch;

/// A shutdown handle. Clones share their state.
///
/// ```
/// use warp_bearer::service::Shutdown;
///
/// let shutdown = Shutdown::new();
/// assert!(!shutdown.is_requested());
/// shutdown.request();
/// assert!(shutdown.is_requested(), "not ready from now on");
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<u8>);

impl Shutdown {
    /// Creates a handle on which no shutdown is requested.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Creates a handle that requests a shutdown on SIGTERM and SIGINT, or on Ctrl-C if the system
    /// is not Unix.
    ///
    /// # Errors
    ///
    /// Fails if the signal handlers cannot be installed.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals::new()?;
        tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                while let Some(signal) = signals.next().await {
                    if shutdown.is_requested() {
                        tracing::warn!(signal, "immediate shutdown requested");
                    } else {
                        tracing::info!(signal, "shutdown requested");
                    }
                    shutdown.request();
                }
            }
        });
        Ok(shutdown)
    }

    /// Requests a graceful shutdown. The second call forces an immediate one.
    pub fn request(&self) {
        self.0
            .send_modify(|requests| *requests = requests.saturating_add(1));
    }

    /// Whether a shutdown was requested. If so, the service is not ready any more.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits until a shutdown is requested.
    pub async fn requested(&self) {
        self.times(1).await;
    }

    /// Waits until an immediate shutdown is requested.
    pub async fn forced(&self) {
        self.times(2).await;
    }

    async fn times(&self, times: u8) {
        // can't fail: `self` owns the sender
        let _ = self
            .0
            .subscribe()
            .wait_for(|requests| *requests >= times)
            .await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            Some(()) = self.terminate.recv() => Some("SIGTERM"),
            Some(()) = self.interrupt.recv() => Some("SIGINT"),
            else => None,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Option<&'static str> {
        tokio::signal::ctrl_c().await.ok().map(|()| "Ctrl-C")
    }
}
