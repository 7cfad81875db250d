//! [`System`]: the system's name resolver, with a limit.
//!
//! A lookup occupies a blocking thread. If no name server answers it takes tens of seconds, while
//! our requests give up after a second or two, and the next one starts another lookup. Without a
//! limit, one issuer with such a name could keep every blocking thread of the process busy. The
//! limit is for each name, so that the lookups of other issuers don't wait.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, spawn_blocking},
};

/// The maximum number of unfinished lookups of one name.
const MAX_LOOKUPS: usize = 2;

/// The maximum number of unfinished lookups of all names. It's a quarter of tokio's default of 512
/// blocking threads. (Reading files may take a half.)
static ALL_LOOKUPS: Semaphore = Semaphore::const_new(128);

/// The permits of names that have unfinished lookups.
static NAMES: Mutex<BTreeMap<String, Weak<Semaphore>>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Clone, Copy, Default)]
pub(in crate::auth) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let lookup = move || {
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok(found.collect::<Vec<SocketAddr>>())
            };
            let found = run(&host, lookup).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Runs a lookup. If too many earlier lookups of the name are unfinished we wait for one of them to
/// end, so the caller needs a timeout.
async fn run<T: Send + 'static>(
    name: &str,
    lookup: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = permits(name).acquire_owned().await;
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

fn permits(name: &str) -> Arc<Semaphore> {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(permits) = names.get(name).and_then(Weak::upgrade) {
        return permits;
    }
    names.retain(|_, permits| permits.strong_count() > 0);
    let permits = Arc::new(Semaphore::new(MAX_LOOKUPS));
    names.insert(name.to_owned(), Arc::downgrade(&permits));
    permits
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
        const NAME: &str = "hangs.example";
        let (go_on, end) = mpsc::channel::<()>();
        let end = Arc::new(Mutex::new(end));
        for _ in 0..MAX_LOOKUPS {
            let (begins, begun) = oneshot::channel();
            let end = Arc::clone(&end);
            let hangs = run(NAME, move || {
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
        give_up(run(NAME, || panic!("one too many")));
        assert_eq!(permits(NAME).available_permits(), 0);
        // another issuer's name is not affected
        assert_eq!(
            run("answers.example", || Ok("found")).await.unwrap(),
            "found"
        );
        drop(go_on);
        assert_eq!(run(NAME, || Ok("found")).await.unwrap(), "found");
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
        let name = "dropped.example";
        runtime.block_on(async {
            for _ in 0..10 * MAX_LOOKUPS {
                let begun = Arc::clone(&begun);
                give_up(run(name, move || {
                    begun.fetch_add(1, Relaxed);
                    Ok(())
                }));
            }
            drop(go_on);
            busy.await.unwrap().unwrap_err();
            assert_eq!(run(name, || Ok("found")).await.unwrap(), "found");
        });
        assert_eq!(begun.load(Relaxed), 0);
        assert_eq!(permits(name).available_permits(), MAX_LOOKUPS);
    }
}
