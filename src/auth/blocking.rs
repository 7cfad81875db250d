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
pub(crate) struct Blocking<T, E>(Mutex<Option<JoinHandle<Result<T, E>>>>);

impl<T, E> Default for Blocking<T, E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static, E: Send + 'static> Blocking<T, E> {
    /// Returns the result of `work`. If an earlier caller was dropped while it waited, this call
    /// waits for that caller's `work` instead, or takes its result. An old error is not taken: what
    /// caused it may be over.
    pub(crate) async fn run(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, JoinError> {
        let mut running = self.0.lock().await;
        if let Some(ended) = running.take_if(|running| running.is_finished())
            && let Ok(Ok(value)) = ended.await
        {
            return Ok(Ok(value));
        }
        let result = running.get_or_insert_with(|| spawn_blocking(work)).await;
        *running = None;
        result
    }
}
