//! The server: accept, limit, serve, drain.
//!
//! `warp::serve` has no clock, no limit and no end to its drain, so the routes run on hyper's own
//! connections here. What is done to a single request is `middleware.rs`; this file knows connections, and
//! trusts none of them to end by itself.

use std::{
    convert::Infallible,
    mem::take,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{Either, Ready, ready},
    stream::FuturesUnordered,
};
use hyper::{
    Request,
    body::{Body, Incoming},
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, server::conn::auto, service::TowerToHyperService};
use tokio::{
    select,
    task::JoinSet,
    time::{sleep, timeout},
};
use warp::{Filter, Reply, reply::Response};

use crate::service::{
    http::{
        body_limit::Bounded,
        cors::Cors,
        idle_timeout::Pulse,
        limits::Limits,
        line_endings::Framing,
        lingering_close::Wire,
        listener::Listener,
        middleware::Guard,
        response_body::{Answer, Streams},
        shutdown::Shutdown,
        stream::Stream,
    },
    observe::request_log::Sight,
};

/// Serves the routes, HTTP/1.1 and HTTP/2 on one port, until asked to stop.
///
/// Asked once, it goes on for [`Limits::grace`] while each answer tells its client to come back on
/// another connection; then it takes no more connections, and returns when the requests at work have
/// ended, [`Limits::drain`] later at most. Asked again, it returns at once. Dropping it is the same as
/// asking twice.
///
/// Where there is a [`Cors`], every answer says what it has to say of it. The routes have answered every
/// rejection themselves, or this does not compile.
pub async fn serve<F>(
    listener: Listener,
    routes: F,
    limits: Limits,
    cors: Option<Cors>,
    sight: Sight,
    shutdown: Shutdown,
) where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let server = Arc::new(Server {
        http: http(&limits),
        guard: Arc::new(Guard {
            routes: TowerToHyperService::new(warp::service(routes)),
            limits,
            cors,
            sight,
            shutdown,
        }),
    });

    let mut connections = JoinSet::new();
    select! {
        () = server.run(listener, &mut connections) => {}
        () = server.guard.shutdown.ordered() => {}
    }
    // Those that are left end with their set.
    tracing::info!(cut = connections.len(), "stopped");
}

/// What all connections share.
struct Server<R> {
    http: auto::Builder<Streams>,
    guard: Arc<Guard<R>>,
}

/// Bytes of request bodies that an HTTP/2 connection may send before a handler reads them: HTTP/2's own
/// default. hyper's is 1 MiB, and a handler that waits for keys reads nothing.
const UNREAD: u32 = 64 * 1024;

/// Bytes that an HTTP/2 stream may hold for a socket that takes none. hyper's default is 400 KiB.
const UNSENT: usize = 32 * 1024;

fn http(limits: &Limits) -> auto::Builder<Streams> {
    let mut http = auto::Builder::new(Streams);
    http.http1()
        // Head and body in one buffer: answers are short, and a vector of two costs the kernel more than
        // copying them.
        .writev(false)
        // The pulse is the clock, of this and of what hyper has none for.
        .header_read_timeout(None)
        .max_buf_size(limits.head.max(8 * 1024) as usize)
        .max_headers(limits.fields);
    http.http2()
        .initial_connection_window_size(UNREAD)
        .initial_stream_window_size(UNREAD)
        .max_send_buf_size(UNSENT)
        .max_header_list_size(limits.head)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.resets)
        .max_local_error_reset_streams(limits.resets);
    http
}

impl<R> Server<R>
where
    R: Service<Request<Bounded>, Response = Response, Error = Infallible, Future: Send>,
    R: Send + Sync + 'static,
{
    async fn run(self: &Arc<Self>, listener: Listener, connections: &mut JoinSet<()>) {
        self.accept(listener, connections).await;
        tracing::info!(connections = connections.len(), "draining");
        let drained = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(self.guard.limits.drain, drained).await;
    }

    async fn accept(self: &Arc<Self>, listener: Listener, connections: &mut JoinSet<()>) {
        let (mut leave, mut was_full) = (pin!(self.leave()), false);
        loop {
            let has_room = connections.len() < self.guard.limits.connections;
            was_full |= !has_room;
            select! {
                () = &mut leave => break,
                stream = listener.accept(), if has_room => {
                    if take(&mut was_full) {
                        self.guard.sight.waited();
                    }
                    connections.spawn(Arc::clone(self).connection(stream));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        let room = self
            .guard
            .limits
            .connections
            .saturating_sub(connections.len());
        for stream in listener.close(room).await {
            connections.spawn(Arc::clone(self).connection(stream));
        }
    }

    /// Asked, and the grace over. A connection that is younger than that has its own.
    async fn leave(&self) {
        self.guard.shutdown.asked().await;
        sleep(self.guard.limits.grace).await;
    }

    /// Waits until a connection has to end, and says how long its last requests may take.
    async fn enough(&self, pulse: &Pulse) -> Duration {
        let limits = &self.guard.limits;
        select! {
            () = self.leave() => limits.drain,
            () = pulse.still_for(limits.idle) => limits.grace,
        }
    }

    async fn connection(self: Arc<Self>, stream: Stream) {
        let (pulse, framing) = (stream.pulse(), Framing::default());
        let _seen = self.guard.sight.connection();
        let service = service_fn(|request: Request<Incoming>| {
            framing.set(request.body().size_hint().exact());
            let at_work = pulse.at_work();
            let sighting = self.guard.sight.sighting(at_work.since(), &request);
            let answer = self.guard.answer(request, at_work.since());
            at_once(sighting.of(answer, at_work)).map(|(answer, at_work)| {
                Ok::<_, Infallible>(answer.map(|body| Answer::new(body, at_work)))
            })
        });
        let wire = Wire::new(stream, framing.clone(), Arc::clone(&pulse));
        let stream = TokioIo::new(wire);
        let mut connection = pin!(self.http.serve_connection(stream, service));

        // Looked at when it is time, and not whenever the peer says something. Boxed, because the set
        // has room for one more that is never there.
        let clock = Box::pin(self.enough(&pulse));
        let mut clock: FuturesUnordered<_> = [clock].into_iter().collect();
        let patience = select! {
            // What has arrived is read before anything else is decided about the connection.
            biased;
            end = connection.as_mut() => return self.guard.sight.end(end),
            Some(patience) = clock.next() => patience,
        };
        connection.as_mut().graceful_shutdown();
        pulse.restart();
        select! {
            end = connection => self.guard.sight.end(end),
            () = pulse.at_last_still_for(patience) => {}
        }
    }
}

/// Takes the first step before hyper does, which polls no sooner than it has looked whether the peer is
/// still there: for that look it needs another buffer of eight kilobytes while a request holds the one
/// that its head came in. Most answers are there at once, and hold nothing any more.
///
/// Whom to wake is nobody's question yet: hyper polls what is left right after its look.
fn at_once<F: Future>(answer: F) -> Either<Ready<F::Output>, Pin<Box<F>>> {
    let mut answer = Box::pin(answer);
    match answer
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(answer) => Either::Left(ready(answer)),
        Poll::Pending => Either::Right(answer),
    }
}
