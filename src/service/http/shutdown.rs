//! When to stop: asked once, the server leaves politely; asked again, at once.
//!
//! One handle is shared by whoever asks, the server that obeys and the readiness route that says so.
//! It ends nothing by itself.

use std::io;

use tokio::sync::watch;

/// A wish to stop, shared by its clones.
///
/// ```
/// use warp_bearer::service::Shutdown;
///
/// let shutdown = Shutdown::new();
/// assert!(!shutdown.is_requested());
/// shutdown.request();
/// assert!(shutdown.is_requested(), "not ready from here on");
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<u8>);

impl Shutdown {
    /// One that nobody has asked for yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// One that SIGTERM and SIGINT (elsewhere than on Unix, Ctrl-C) ask for.
    ///
    /// # Errors
    ///
    /// When the process cannot listen for signals.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut signals = Signals::new()?;
        tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                while let Some(signal) = signals.next().await {
                    if shutdown.is_requested() {
                        tracing::warn!(signal, "told to stop at once");
                    } else {
                        tracing::info!(signal, "asked to stop");
                    }
                    shutdown.request();
                }
            }
        });
        Ok(shutdown)
    }

    /// Asks to stop. The second time it is an order.
    pub fn request(&self) {
        self.0
            .send_modify(|requests| *requests = requests.saturating_add(1));
    }

    /// Whether somebody has asked; from then on the service is not ready.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() > 0
    }

    /// Waits to be asked.
    pub async fn requested(&self) {
        self.times(1).await;
    }

    /// Waits to be asked again.
    pub async fn forced(&self) {
        self.times(2).await;
    }

    async fn times(&self, times: u8) {
        // It cannot close: this is a sender of it.
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
