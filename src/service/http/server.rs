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
        body_limit::LimitedBody,
        cors::Cors,
        idle_timeout::IdleTimeout,
        limits::Limits,
        line_endings::Framing,
        lingering_close::LingeringClose,
        listener::Listener,
        middleware::Middleware,
        response_body::{ResponseBody, StreamExecutor},
        shutdown::Shutdown,
        stream::Stream,
    },
    observe::request_log::{RequestLog, in_context},
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
    request_log: RequestLog,
    shutdown: Shutdown,
) where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let server = Arc::new(Server {
        http: http(&limits),
        middleware: Arc::new(Middleware {
            routes: TowerToHyperService::new(warp::service(routes)),
            limits,
            cors,
            request_log,
            shutdown,
        }),
    });

    let mut connections = JoinSet::new();
    select! {
        () = server.run(listener, &mut connections) => {}
        () = server.middleware.shutdown.forced() => {}
    }
    // Those that are left end with their set.
    tracing::info!(cut = connections.len(), "stopped");
}

/// What all connections share.
struct Server<R> {
    http: auto::Builder<StreamExecutor>,
    middleware: Arc<Middleware<R>>,
}

/// Bytes of request bodies that an HTTP/2 connection may send before a handler reads them: HTTP/2's own
/// default. hyper's is 1 MiB, and a handler that waits for keys reads nothing.
const MAX_UNREAD: u32 = 64 * 1024;

/// Bytes that an HTTP/2 stream may hold for a socket that takes none. hyper's default is 400 KiB.
const MAX_UNSENT: usize = 32 * 1024;

fn http(limits: &Limits) -> auto::Builder<StreamExecutor> {
    let mut http = auto::Builder::new(StreamExecutor);
    http.http1()
        // Head and body in one buffer: answers are short, and a vector of two costs the kernel more than
        // copying them.
        .writev(false)
        // The idle_timeout is the clock, of this and of what hyper has none for.
        .header_read_timeout(None)
        .max_buf_size(limits.head.max(8 * 1024) as usize)
        .max_headers(limits.fields);
    http.http2()
        .initial_connection_window_size(MAX_UNREAD)
        .initial_stream_window_size(MAX_UNREAD)
        .max_send_buf_size(MAX_UNSENT)
        .max_header_list_size(limits.head)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(limits.resets)
        .max_local_error_reset_streams(limits.resets);
    http
}

impl<R> Server<R>
where
    R: Service<Request<LimitedBody>, Response = Response, Error = Infallible, Future: Send>,
    R: Send + Sync + 'static,
{
    async fn run(self: &Arc<Self>, listener: Listener, connections: &mut JoinSet<()>) {
        self.accept(listener, connections).await;
        tracing::info!(connections = connections.len(), "draining");
        let drained = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(self.middleware.limits.drain, drained).await;
    }

    async fn accept(self: &Arc<Self>, listener: Listener, connections: &mut JoinSet<()>) {
        let (mut leave, mut was_full) = (pin!(self.leave()), false);
        loop {
            let has_room = connections.len() < self.middleware.limits.connections;
            was_full |= !has_room;
            select! {
                () = &mut leave => break,
                stream = listener.accept(), if has_room => {
                    if take(&mut was_full) {
                        self.middleware.request_log.waited();
                    }
                    connections.spawn(Arc::clone(self).connection(stream));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        let room = self
            .middleware
            .limits
            .connections
            .saturating_sub(connections.len());
        for stream in listener.close(room).await {
            connections.spawn(Arc::clone(self).connection(stream));
        }
    }

    /// Asked, and the grace over. A connection that is younger than that has its own.
    async fn leave(&self) {
        self.middleware.shutdown.requested().await;
        sleep(self.middleware.limits.grace).await;
    }

    /// Waits until a connection has to end, and says how long its last requests may take.
    async fn enough(&self, idle_timeout: &IdleTimeout) -> Duration {
        let limits = &self.middleware.limits;
        select! {
            () = self.leave() => limits.drain,
            () = idle_timeout.expired(limits.idle) => limits.grace,
        }
    }

    async fn connection(self: Arc<Self>, stream: Stream) {
        let (idle_timeout, framing) = (stream.idle_timeout(), Framing::default());
        let _seen = self.middleware.request_log.connection();
        let service = service_fn(|request: Request<Incoming>| {
            framing.set(request.body().size_hint().exact());
            let mut active = idle_timeout.begin_request();
            let record = self.middleware.request_log.begin(active.since(), &request);
            let is_recorded = record.is_recorded();
            let answer = self.middleware.answer(request, active.since());
            let answer = answer.map(move |answer| {
                // One look at the clock for the record and for the connection.
                let answer = record.end(answer, || active.answered());
                Ok::<_, Infallible>(answer.map(|body| ResponseBody::new(body, active)))
            });
            at_once(in_context(is_recorded, answer))
        });
        let stream = TokioIo::new(LingeringClose::new(stream, framing.clone()));
        let mut connection = pin!(self.http.serve_connection(stream, service));

        // Looked at when it is time, and not whenever the peer says something. Boxed, because the set
        // has room for one more that is never there.
        let clock = Box::pin(self.enough(&idle_timeout));
        let mut clock: FuturesUnordered<_> = [clock].into_iter().collect();
        let patience = select! {
            // What has arrived is read before anything else is decided about the connection.
            biased;
            end = connection.as_mut() => return self.middleware.request_log.end(end),
            Some(patience) = clock.next() => patience,
        };
        connection.as_mut().graceful_shutdown();
        idle_timeout.restart();
        select! {
            end = connection => self.middleware.request_log.end(end),
            () = idle_timeout.expired(patience) => {}
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
