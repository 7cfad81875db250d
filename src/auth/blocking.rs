//! [`Blocking`]: runs a function on a blocking thread, for callers with a timeout.
//!
//! No timeout can end a function that hangs, such as one that reads certificate authorities from a
//! disk that is gone. If each attempt called the function again, each would occupy another thread,
//! and a function that takes longer than the timeout would never have a result.

use tokio::{
    sync::Mutex,
    task::{JoinError, JoinHandle, spawn_blocking},
};

/// A function that runs at most once at a time.
#[derive(Debug)]
pub(crate) struct Blocking<T>(Mutex<Option<JoinHandle<T>>>);

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// Returns the result of `work`. If an earlier caller was dropped while it waited, its `work`
    /// is still running. This call then waits for that result instead.
    pub(crate) async fn run(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let mut running = self.0.lock().await;
        let result = running.get_or_insert_with(|| spawn_blocking(work)).await;
        *running = None;
        result
    }
}
