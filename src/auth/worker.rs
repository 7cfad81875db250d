//! [`Worker`]: a thread for work that must not wait for one of the runtime's blocking threads.
//!
//! The whole process shares tokio's blocking threads, and other work may keep all of them busy, such
//! as name lookups that hang. If new revocations waited for that, revoked tokens would be accepted
//! for as long.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    thread,
};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that starts with its first job, and ends after its last job once the worker is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    name: &'static str,
    /// `None` until the first job.
    jobs: Mutex<Option<Sender<Job>>>,
}

impl Worker {
    /// `name` is the name of the thread. Linux shows 15 bytes of it.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            jobs: Mutex::new(None),
        }
    }

    /// Runs `work` after that of earlier calls, and returns its result. Once this was called, `work`
    /// runs even if the returned future is dropped.
    ///
    /// # Errors
    /// Fails if `work` panics, or if the thread can't be started. The next call tries again to start
    /// it.
    pub(crate) fn run<T, F>(&self, work: F) -> impl Future<Output = io::Result<T>> + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let job = move || {
            // fails if the caller is no longer interested
            let _ = done.send(work());
        };
        let sent = self.send(Box::new(job));
        async move {
            sent?;
            let result = result.await;
            result.map_err(|_| io::Error::other("panicked"))
        }
    }

    fn send(&self, job: Job) -> io::Result<()> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = match &mut *jobs {
            Some(jobs) => jobs,
            jobs => jobs.insert(start(self.name)?),
        };
        jobs.send(job)
            .map_err(|_| io::Error::other("the thread has ended"))
    }
}

fn start(name: &'static str) -> io::Result<Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    thread::Builder::new().name(name.into()).spawn(move || {
        for job in queue {
            // the panic hook has logged it, and the caller gets an error
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    })?;
    Ok(jobs)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn runs_every_job_on_one_thread_in_order_even_after_a_panic() {
        let worker = Worker::new("worker-test");
        let id = || thread::current().id();
        let first = worker.run(id).await.unwrap();
        assert_ne!(first, id());
        let panicked = worker.run(|| panic!("expected by this test")).await;
        assert!(panicked.is_err());
        let (order, ran) = mpsc::channel();
        for number in 0..10 {
            let order = order.clone();
            drop(worker.run(move || order.send((number, thread::current().id())).unwrap()));
        }
        drop(order);
        worker.run(|| ()).await.unwrap();
        let ran: Vec<_> = ran.into_iter().collect();
        let expected: Vec<_> = (0..10).map(|number| (number, first)).collect();
        assert_eq!(ran, expected);
    }

    #[tokio::test]
    async fn thread_ends_when_the_worker_is_dropped() {
        thread_local! {
            static HELD: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
        }
        let (ends, ended) = mpsc::channel();
        let worker = Worker::new("worker-test");
        let set = worker.run(move || HELD.set(Some(ends)));
        set.await.unwrap();
        drop(worker);
        // the thread drops its sender when it ends
        assert!(ended.recv().is_err());
    }
}
