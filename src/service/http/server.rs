//! The server: accepts, limits, serves and drains connections.
//!
//! We use hyper directly, as `warp::serve` has no timeouts, no limits, and a drain that may never
//! end. Here, every connection ends in bounded time. This file handles connections; for requests
//! see `middleware.rs`.

use std::{
    convert::Infallible,
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
        lingering_close::LingeringClose,
        listener::Listener,
        middleware::Middleware,
        response_body::{ResponseBody, StreamExecutor},
        shutdown::Shutdown,
        stream::Stream,
        strict_heads::{Framing, StrictHeads},
    },
    observe::request_log::{RequestLog, in_context},
};

/// Serves the routes over HTTP/1.1 and HTTP/2 on one port, until a shutdown is requested.
///
/// After a shutdown is requested, the server still accepts connections for [`Limits::grace`], and
/// responses have `Connection: close`. Then it stops accepting connections, and returns when all
/// requests in flight have ended, or after [`Limits::drain`]. If a shutdown is requested a second
/// time, the server returns immediately. Dropping the future has the same effect.
///
/// If `cors` is set, every response gets CORS headers. The routes must handle all rejections
/// themselves, which the `Infallible` bound enforces.
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
    // dropping the set closes the remaining connections
    tracing::info!(cut = connections.len(), "stopped");
}

struct Server<R> {
    http: auto::Builder<StreamExecutor>,
    middleware: Arc<Middleware<R>>,
}

/// How many bytes of request bodies an HTTP/2 connection may send before a handler reads them.
///
/// This is one byte more than the protocol's default. hyper's default is 1 MiB, and with that,
/// bodies would pile up while handlers wait for keys.
const MAX_UNREAD: u32 = 64 * 1024;

/// How many bytes an HTTP/2 stream may buffer while the socket is blocked (hyper's default: 400
/// KiB)
const MAX_UNSENT: usize = 32 * 1024;

/// How long a connection without an active request may stay open once hyper was told to close it.
///
/// This leaves an HTTP/2 peer time to see the GOAWAY, and us time to receive the requests that it
/// sent before. Without the limit, a peer that never reacts would hold its connection for as long
/// as requests in flight may take.
const LAST_CALL: Duration = Duration::from_secs(1);

/// The maximum length of a head in HTTP/1.1, in bytes. hyper has no smaller buffer.
pub(in crate::service) fn largest_head(limits: &Limits) -> usize {
    limits.head.max(8 * 1024) as usize
}

fn http(limits: &Limits) -> auto::Builder<StreamExecutor> {
    let mut http = auto::Builder::new(StreamExecutor);
    http.http1()
        // Responses are short: copying head and body into one buffer is cheaper than writing two
        .writev(false)
        // `IdleTimeout` covers this one, and cases for which hyper has none
        .header_read_timeout(None)
        .max_buf_size(largest_head(limits))
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
        let Middleware {
            limits,
            request_log,
            ..
        } = &*self.middleware;
        request_log.limit_connections(limits.connections);
        let mut leave = pin!(self.leave());
        loop {
            let has_room = connections.len() < limits.connections;
            select! {
                () = &mut leave => break,
                stream = listener.accept(), if has_room => {
                    connections.spawn(Arc::clone(self).connection(stream));
                    if connections.len() == limits.connections {
                        request_log.limit_reached(limits.connections);
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
        let room = limits.connections.saturating_sub(connections.len());
        for stream in listener.close(room).await {
            connections.spawn(Arc::clone(self).connection(stream));
        }
    }

    /// Waits until a shutdown is requested, and then for the grace period. Each connection waits on
    /// its own, so even one that is accepted late gets the whole period.
    async fn leave(&self) {
        self.middleware.shutdown.requested().await;
        sleep(self.middleware.limits.grace).await;
    }

    /// Waits until the connection must be closed. The result is how long its last requests may
    /// take.
    async fn must_end(&self, idle_timeout: &IdleTimeout) -> Duration {
        let limits = &self.middleware.limits;
        select! {
            () = self.leave() => limits.drain,
            () = idle_timeout.expired(limits.idle) => limits.grace,
        }
    }

    async fn connection(self: Arc<Self>, stream: Stream) {
        let (idle_timeout, framing) = (stream.idle_timeout(), Framing::default());
        let _record = self.middleware.request_log.connection();
        let certificate = stream.client_certificate();
        let service = service_fn(|mut request: Request<Incoming>| {
            if let Some(certificate) = certificate.as_ref().and_then(|presented| presented.get()) {
                request.extensions_mut().insert(certificate.clone());
            }
            framing.set(request.body().size_hint().exact());
            let mut active = idle_timeout.begin_request();
            let record = self.middleware.request_log.begin(active.since(), &request);
            let (recorded, version) = (record.recorded(), request.version());
            // a single expression saves another copy of the future
            at_once(in_context(
                recorded,
                self.middleware
                    .answer(request, active.since())
                    .map(move |answer| {
                        // one reading of the clock serves both the record and the connection
                        let answer = record.end(answer, || active.answered());
                        let body = |body| ResponseBody::new(body, active, version);
                        Ok::<_, Infallible>(answer.map(body))
                    }),
            ))
        });
        let heads = StrictHeads::new(framing.clone(), largest_head(&self.middleware.limits));
        let wire = LingeringClose::new(stream, heads, Arc::clone(&idle_timeout));
        let stream = TokioIo::new(wire);
        let mut connection = pin!(self.http.serve_connection(stream, service));

        // Inside the set, the timer is only polled when it's due, not each time the peer sends
        // something. Boxed because the set allocates an unused slot of the future's size.
        let clock = Box::pin(self.must_end(&idle_timeout));
        let mut clock: FuturesUnordered<_> = [clock].into_iter().collect();
        let patience = select! {
            // `biased`: read the available bytes before we decide that the connection is idle
            biased;
            end = connection.as_mut() => return self.middleware.request_log.end(end),
            Some(patience) = clock.next() => patience,
        };
        connection.as_mut().graceful_shutdown();
        idle_timeout.restart();
        let idle = self.middleware.limits.idle.min(patience).min(LAST_CALL);
        select! {
            end = connection => self.middleware.request_log.end(end),
            () = idle_timeout.expired_at_last(idle, patience) => {}
        }
    }
}

/// Polls the response once before hyper does.
///
/// If a response is pending, hyper checks whether the peer is still there, and allocates a second
/// buffer of 8 KB for that while the request still holds the first one. Most responses are ready
/// immediately, so they avoid this.
///
/// A no-op waker is safe here: hyper polls a pending future again right after its check.
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
