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

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn result_of_a_dropped_caller_is_used_only_if_it_is_no_error() {
        for (case, first, expected) in [
            ("a value", Ok("first"), "first"),
            ("an error", Err("first"), "second"),
        ] {
            let blocking = Blocking::default();
            let (go_on, wait) = mpsc::channel::<()>();
            let work = move || {
                let _ = wait.recv();
                first
            };
            let caller = timeout(Duration::from_millis(10), blocking.run(work)).await;
            assert!(caller.is_err(), "{case}: the caller is dropped");
            drop(go_on);
            while !blocking.0.lock().await.as_ref().unwrap().is_finished() {
                tokio::task::yield_now().await;
            }
            let result = blocking.run(|| Ok("second")).await.unwrap();
            assert_eq!(result, Ok(expected), "{case}");
        }
    }
}
