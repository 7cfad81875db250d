//! [`App`]: the running service, shared by `serve` and `dev`.
//!
//! Binds the sockets, serves the routes and the metrics, and reloads the keys, the certificate and
//! the issuers file on SIGHUP.

use std::{
    convert::Infallible,
    future::{Future, pending, ready},
    net::SocketAddr,
    panic::resume_unwind,
    time::Duration,
};
#[cfg(unix)]
use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
};

use tokio::task::spawn_blocking;
#[cfg(unix)]
use tokio::{sync::Semaphore, time::timeout};
use warp::{
    Filter,
    http::{
        HeaderMap,
        header::{ACCEPT, CONNECTION, CONTENT_TYPE},
    },
    reply::Response,
};

#[cfg(feature = "otel")]
use crate::service::observe::otel::Traces;
use crate::{
    auth::{Auth, Problem},
    issuer::hosts,
    service::{
        api::{
            handlers,
            route::{Access, route, table},
        },
        cli::{failure::Failure, issuers},
        config::Config,
        http::{
            cors::Cors,
            descriptors,
            limits::Limits,
            listener::Listener,
            server::serve,
            shutdown::Shutdown,
            tls::{Files, Tls},
        },
        observe::{metrics::Metrics, openmetrics, request_log::RequestLog},
        routes,
    },
};

/// The sentence for a request that `dev` rejects because of its host
const FOREIGN_HOST: &str =
    "dev answers only requests whose Host is localhost or a loopback address.";

/// The metrics listener takes its connections from the reserve of descriptors, which key fetches
/// also need.
const MAX_SCRAPERS: usize = 16;

/// Probes use the metrics listener too. Unfinished requests mustn't hold its few connections for
/// long. For the same reason, each of its responses closes the connection.
const SCRAPER_IDLE: Duration = Duration::from_secs(3);

/// The maximum number of unfinished reloads of each kind
#[cfg(unix)]
const MAX_RELOADS: usize = 4;

/// How long a reload may take before we log an error
#[cfg(unix)]
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// The maximum number of concurrent HTTP/2 requests of a scraper. Each response is rendered anew,
/// and grows with the number of issuers.
const MAX_SCRAPES: u32 = 4;

/// The service with its bound sockets, before it starts serving
pub(in crate::service) struct App {
    service: Listener,
    metrics: Option<Listener>,
    tls: Option<Tls>,
    /// Set by `dev`, which only accepts requests to this address or a loopback name
    only_for: Option<SocketAddr>,
}

impl App {
    /// Loads the certificate, if one is configured, and binds the sockets.
    pub(in crate::service) async fn bind(
        listen: SocketAddr,
        tls: Option<Files>,
        metrics_listen: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let tls = match tls {
            Some(files) => Some(
                without_blocking(move || Tls::load(files))
                    .await
                    .map_err(Failure::Tls)?,
            ),
            None => None,
        };
        let metrics = match metrics_listen {
            Some(address) => Some(bind("METRICS_LISTEN", address).await?),
            None => None,
        };
        let mut service = bind("LISTEN", listen).await?;
        if let Some(tls) = &tls {
            service = service.with_tls(tls.clone());
        }
        Ok(Self {
            service,
            metrics,
            tls,
            only_for: None,
        })
    }

    /// Accepts only requests whose `Host` is the service's address or a loopback name. Without this
    /// check, web pages could read responses by DNS rebinding.
    pub(in crate::service) fn only_for_loopback(self) -> Result<Self, Failure> {
        let only_for = Some(self.service_address()?);
        Ok(Self { only_for, ..self })
    }

    pub(in crate::service) fn service_address(&self) -> Result<SocketAddr, Failure> {
        self.service.address().map_err(Failure::Process)
    }

    pub(in crate::service) fn metrics_address(&self) -> Result<Option<SocketAddr>, Failure> {
        let address = self.metrics.as_ref().map(Listener::address);
        address.transpose().map_err(Failure::Process)
    }

    /// Serves the routes and the metrics until the shutdown is complete.
    pub(in crate::service) async fn serve(
        self,
        access: &Access,
        limits: Limits,
        cors: Option<Cors>,
        hangup: Option<HangupSignal>,
        shutdown: Shutdown,
    ) {
        let introspecting = access.auth.introspection_status().len();
        let limits = descriptors::fit(limits, introspecting);
        let metrics = self
            .metrics
            .map(|listener| (Metrics::new(&access.auth), listener));
        let counters = metrics.as_ref().map(|(metrics, _)| metrics.clone());
        if let (Some(metrics), Some(tls)) = (&counters, &self.tls) {
            let tls = tls.clone();
            metrics.watch_certificates(move || tls.is_outdated());
        }
        let request_log = match &metrics {
            Some((metrics, _)) => RequestLog::with_metrics(metrics.clone()),
            None => RequestLog::enabled(),
        };
        #[cfg(feature = "otel")]
        let traces = traces();
        #[cfg(feature = "otel")]
        let request_log = request_log.with_traces(traces.clone());
        let routes = routes(access, &shutdown);
        tokio::select! {
            () = serve_routes(self.service, routes, self.only_for, limits, cors, request_log, shutdown) => {}
            () = run_or_pend(metrics.map(|(metrics, listener)| serve_metrics(metrics, listener))) => {}
            () = run_or_pend(self.tls.clone().map(Tls::watch)) => {}
            () = run_or_pend(hangup.map(|hangup| hangup.reload(&access.auth, self.tls.as_ref(), counters))) => {}
        }
        #[cfg(feature = "otel")]
        if let Some(traces) = traces {
            traces.flush().await;
        }
    }
}

/// Starts tracing if the environment configures it. If that fails, we run without it.
#[cfg(feature = "otel")]
fn traces() -> Option<Traces> {
    match Traces::from_environment() {
        Ok(traces) => traces,
        Err(error) => {
            tracing::error!(%error, "traces are off: exporter setup failed");
            None
        }
    }
}

/// Serves the routes. If `only_for` is set, a request to another host gets 400 `bad_host`.
async fn serve_routes<F>(
    listener: Listener,
    routes: F,
    only_for: Option<SocketAddr>,
    limits: Limits,
    cors: Option<Cors>,
    request_log: RequestLog,
    shutdown: Shutdown,
) where
    F: Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static,
{
    match only_for {
        None => serve(listener, routes, limits, cors, request_log, shutdown).await,
        Some(address) => {
            let foreign =
                hosts::foreign(address).map(|| Problem::BadHost.response_with(FOREIGN_HOST));
            let routes = foreign.or(routes).unify();
            serve(listener, routes, limits, cors, request_log, shutdown).await;
        }
    }
}

/// Answers `GET /metrics` on its own listener, and `GET /livez`, so that a health check still
/// passes when the service has no connections left. Runs until it is dropped.
pub async fn serve_metrics(metrics: Metrics, listener: Listener) {
    let shown = metrics.clone();
    let page = move |headers: HeaderMap| {
        // if `Accept` isn't text, ignore it rather than turn the scraper away
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let (body, kind) = if accept.is_some_and(openmetrics::is_accepted) {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (shown.render_openmetrics(), kind)
        } else {
            (shown.render(), "text/plain; version=0.0.4; charset=utf-8")
        };
        ready(warp::reply::with_header(body, CONTENT_TYPE, kind))
    };
    let routes = table(vec![
        route!(GET, "metrics").headers().then(page),
        route!(GET, "livez").then(handlers::livez),
    ]);
    // HTTP/2 has no such header. hyper drops it there.
    let routes = routes.map(|answer| warp::reply::with_header(answer, CONNECTION, "close"));
    let limits = Limits {
        idle: SCRAPER_IDLE,
        connections: MAX_SCRAPERS,
        streams: MAX_SCRAPES,
        ..Limits::default()
    };
    tokio::select! {
        () = serve(listener, routes, limits, None, RequestLog::disabled(), Shutdown::new()) => {}
        () = metrics.upkeep() => {}
    }
}

/// Runs a function that reads files on a blocking thread. If a disk is gone, a read can wait
/// forever, and a signal must still be able to end the process.
pub(in crate::service) async fn without_blocking<T: Send + 'static>(
    read: impl FnOnce() -> T + Send + 'static,
) -> T {
    match spawn_blocking(read).await {
        Ok(read) => read,
        Err(panicked) => resume_unwind(panicked.into_panic()),
    }
}

async fn bind(variable: &'static str, address: SocketAddr) -> Result<Listener, Failure> {
    Listener::bind(address)
        .await
        .map_err(|error| Failure::Listen(variable, address, error))
}

/// For use in `select!`: `None` is pending forever.
async fn run_or_pend(task: Option<impl Future<Output = ()>>) {
    match task {
        Some(task) => task.await,
        None => pending().await,
    }
}

/// SIGHUP, which reloads the keys, the certificate and the issuers file.
#[cfg(unix)]
pub(in crate::service) struct HangupSignal {
    signal: tokio::signal::unix::Signal,
    /// `None` if there is no issuers file to reload
    config: Option<Config>,
}

#[cfg(unix)]
impl HangupSignal {
    /// Registers the handler. From then on, closing the terminal does not end the process.
    pub(in crate::service) fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let hangup = signal(SignalKind::hangup());
        let signal = hangup.map_err(Failure::Process)?;
        Ok(Self {
            signal,
            config: None,
        })
    }

    pub(in crate::service) fn with_issuers_of(self, config: &Config) -> Self {
        let config = config.issuers_file.is_some().then(|| config.clone());
        Self { config, ..self }
    }

    /// Reloads on every signal, until it is dropped.
    ///
    /// Reading a file can take long, or forever if its disk is gone. The task that runs this also
    /// accepts connections, so we should never block it: we read files on blocking threads, and
    /// nothing waits for them, neither the keys nor the next signal.
    async fn reload(mut self, auth: &Auth, tls: Option<&Tls>, metrics: Option<Metrics>) {
        let (certificates, issuers) = (Reloads::default(), Reloads::default());
        // the last signal that we've handled
        let applied = Arc::new(Mutex::new(0));
        for signal in 1_u64.. {
            if self.signal.recv().await.is_none() {
                break;
            }
            tracing::info!(signal = "SIGHUP", "reload requested");
            auth.refresh();
            if let Some(tls) = tls.cloned() {
                certificates.start(move || tls.reload());
            }
            if let Some(config) = self.config.clone() {
                let (auth, applied) = (auth.clone(), Arc::clone(&applied));
                let metrics = metrics.clone();
                issuers.start(move || {
                    issuers::reload(&config, &auth, signal, &applied, metrics.as_ref());
                });
            }
        }
        pending::<()>().await;
    }
}

/// Runs reloads on blocking threads, at most [`MAX_RELOADS`] at a time. If a disk hangs, repeated
/// signals cannot use up all threads.
#[cfg(unix)]
#[derive(Clone)]
struct Reloads {
    permits: Arc<Semaphore>,
    is_waiting: Arc<AtomicBool>,
}

#[cfg(unix)]
impl Default for Reloads {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_RELOADS)),
            is_waiting: Arc::default(),
        }
    }
}

#[cfg(unix)]
impl Reloads {
    /// Starts a reload once a permit is free. Logs an error if it panics, or if it takes longer
    /// than [`RELOAD_PATIENCE`], in which case it may still succeed.
    fn start(&self, reload: impl FnOnce() + Send + 'static) {
        // The reload that's already waiting has yet to read the files, so a second one would add
        // nothing.
        if self.is_waiting.swap(true, AcqRel) {
            return;
        }
        let Self {
            permits,
            is_waiting,
        } = self.clone();
        tokio::spawn(async move {
            let mut acquiring = pin!(permits.acquire_owned());
            let permit = match timeout(RELOAD_PATIENCE, &mut acquiring).await {
                Ok(permit) => permit,
                Err(_elapsed) => {
                    tracing::error!(
                        "reload waits for earlier reloads, which are still reading a file; restart the service if that file stays unreadable"
                    );
                    acquiring.await
                }
            };
            is_waiting.swap(false, AcqRel);
            let mut reload = spawn_blocking(move || {
                let _permit = permit;
                reload();
            });
            match timeout(RELOAD_PATIENCE, &mut reload).await {
                Ok(Ok(())) => {}
                // the panic hook has logged why
                Ok(Err(_panic)) => tracing::error!("reload failed"),
                Err(_elapsed) => tracing::error!(
                    "reload still waits for a file; the old certificate or issuers stay in use; send SIGHUP again once the file can be read"
                ),
            }
        });
    }
}

#[cfg(not(unix))]
pub(in crate::service) struct HangupSignal;

#[cfg(not(unix))]
impl HangupSignal {
    pub(in crate::service) fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(in crate::service) fn with_issuers_of(self, _: &Config) -> Self {
        self
    }

    async fn reload(self, _: &Auth, _: Option<&Tls>, _: Option<Metrics>) {
        pending().await
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::sync::{atomic::Ordering::Acquire, mpsc};

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[tokio::test]
    async fn the_last_signal_is_handled_when_a_reload_ends() {
        let reloads = Reloads::default();
        let (begun, mut begins) = unbounded_channel();
        let start = |number: usize| {
            let (end, ended) = mpsc::channel::<()>();
            let begun = begun.clone();
            reloads.start(move || {
                begun.send(number).unwrap();
                let _ = ended.recv();
            });
            end
        };
        let mut ends = Vec::new();
        for number in 0..MAX_RELOADS {
            ends.push(start(number));
            assert_eq!(begins.recv().await, Some(number));
        }
        ends.extend((10..20).map(start));
        tokio::task::yield_now().await;
        assert!(reloads.is_waiting.load(Acquire), "no permit is free");
        // ends the first reload, which frees its permit
        ends.remove(0);
        assert_eq!(
            begins.recv().await,
            Some(10),
            "it begins after the last signal"
        );
        ends.push(start(30));
        ends.remove(0);
        assert_eq!(begins.recv().await, Some(30));
        ends.clear();
    }
}
