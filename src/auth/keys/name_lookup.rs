//! [`System`]: the system's name resolver, with a limit.
//!
//! A lookup occupies a blocking thread. If no name server answers it takes tens of seconds, while
//! our requests give up after a second or two, and the next one starts another lookup. Without a
//! limit, one issuer with such a name could keep every blocking thread of the process busy.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, spawn_blocking},
};

/// The maximum number of unfinished lookups of one client.
const MAX_LOOKUPS: usize = 8;

/// The maximum number of unfinished lookups of all clients. It's a quarter of tokio's default of 512
/// blocking threads. (Reading files may take a half.)
static ALL_LOOKUPS: Semaphore = Semaphore::const_new(128);

#[derive(Debug, Clone)]
pub(in crate::auth) struct System {
    permits: Arc<Semaphore>,
}

impl Default for System {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }
}

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        let system = self.clone();
        Box::pin(async move {
            let lookup = move || {
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok(found.collect::<Vec<SocketAddr>>())
            };
            let found = system.run(lookup).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl System {
    /// Runs a lookup. If too many earlier lookups are unfinished we wait for one of them to end, so
    /// the caller needs a timeout.
    async fn run<T: Send + 'static>(
        &self,
        lookup: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(io::Error::other)?;
        let shared = ALL_LOOKUPS.acquire().await.map_err(io::Error::other)?;
        let running = spawn_blocking(move || {
            // held until the lookup ends, even if the caller times out
            let _permits = (permit, shared);
            lookup()
        });
        let _abort = AbortOnDrop(running.abort_handle());
        running.await.map_err(io::Error::other)?
    }
}

/// Aborts a lookup that has not begun when its caller is dropped. One that has begun can't be
/// aborted.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering::Relaxed},
            mpsc,
        },
        task::{Context, Poll, Waker},
    };

    use tokio::{runtime::Builder, sync::oneshot};

    use super::*;

    /// Polls a lookup once, and drops it.
    fn give_up(lookup: impl Future<Output = io::Result<()>>) {
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(pin!(lookup).poll(&mut context), Poll::Pending));
    }

    #[tokio::test]
    async fn limits_lookups_that_hang() {
        let system = System::default();
        let (go_on, end) = mpsc::channel::<()>();
        let end = Arc::new(Mutex::new(end));
        for _ in 0..MAX_LOOKUPS {
            let (begins, begun) = oneshot::channel();
            let end = Arc::clone(&end);
            let hangs = system.run(move || {
                let _ = begins.send(());
                let _ = end.lock().unwrap().recv();
                Ok(())
            });
            // give up once the lookup has begun
            tokio::select! {
                _ = hangs => panic!("it hangs"),
                _ = begun => {}
            }
        }
        give_up(system.run(|| panic!("one too many")));
        assert_eq!(system.permits.available_permits(), 0);
        let other = System::default();
        assert_eq!(other.run(|| Ok("found")).await.unwrap(), "found");
        drop(go_on);
        assert_eq!(system.run(|| Ok("found")).await.unwrap(), "found");
    }

    #[test]
    fn does_not_begin_a_lookup_whose_caller_is_dropped() {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(1)
            .build();
        let runtime = runtime.unwrap();
        let (go_on, end) = mpsc::channel::<()>();
        let busy = runtime.spawn_blocking(move || end.recv());
        let begun = Arc::new(AtomicUsize::new(0));
        let system = System::default();
        runtime.block_on(async {
            for _ in 0..10 * MAX_LOOKUPS {
                let begun = Arc::clone(&begun);
                give_up(system.run(move || {
                    begun.fetch_add(1, Relaxed);
                    Ok(())
                }));
            }
            drop(go_on);
            busy.await.unwrap().unwrap_err();
            assert_eq!(system.run(|| Ok("found")).await.unwrap(), "found");
        });
        assert_eq!(begun.load(Relaxed), 0);
        assert_eq!(system.permits.available_permits(), MAX_LOOKUPS);
    }
}
