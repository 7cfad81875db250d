//! What `serve` and `dev` share: the sockets of the process, what is served on them, and what a
//! signal refreshes.

use std::{convert::Infallible, net::SocketAddr};

use warp::{Filter, http::header::CONTENT_TYPE, reply::Response};

use crate::{
    auth::{Auth, Problem, handle_rejection},
    issuer::hosts,
    service::{
        api::route::Access,
        cli::Failure,
        http::{
            cors::Cors,
            descriptors,
            limits::Limits,
            listener::Listener,
            server::serve,
            shutdown::Shutdown,
            tls::{Files, Tls},
        },
        observe::{metrics::Metrics, request_log::RequestLog},
        routes,
    },
};

/// The most connections to the metrics' listener at once. Their descriptors come from the reserve that
/// key fetches need too.
const MAX_SCRAPERS: usize = 16;

/// The sockets, bound before anything is promised.
pub(in crate::service) struct Doors {
    service: Listener,
    metrics: Option<Listener>,
    tls: Option<Tls>,
    /// Set for `dev`: the service answers only for this address and the names of loopback.
    only_for: Option<SocketAddr>,
}

impl Doors {
    /// Binds them, and reads the certificate where there is one.
    pub(in crate::service) async fn open(
        listen: SocketAddr,
        tls: Option<Files>,
        metrics_listen: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let tls = tls.map(Tls::load).transpose().map_err(Failure::Tls)?;
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

    /// Answers only requests whose `Host` is the service's address or a name of loopback, so that
    /// no web page can read the service under the page's own name (DNS rebinding).
    pub(in crate::service) fn only_for_loopback(self) -> Result<Self, Failure> {
        let only_for = Some(self.service()?);
        Ok(Self { only_for, ..self })
    }

    /// Where the service listens.
    pub(in crate::service) fn service(&self) -> Result<SocketAddr, Failure> {
        self.service.address().map_err(Failure::Process)
    }

    /// Where the metrics are, if they are anywhere.
    pub(in crate::service) fn metrics(&self) -> Result<Option<SocketAddr>, Failure> {
        let address = self.metrics.as_ref().map(Listener::address);
        address.transpose().map_err(Failure::Process)
    }

    /// Serves until asked to stop, the metrics to the very end.
    pub(in crate::service) async fn serve(
        self,
        access: &Access,
        limits: Limits,
        cors: Option<Cors>,
        hangups: Option<Hangups>,
        shutdown: Shutdown,
    ) {
        let limits = descriptors::fit(limits);
        let metrics = self.metrics.map(|door| (Metrics::new(&access.auth), door));
        let request_log = match &metrics {
            Some((metrics, _)) => RequestLog::with_metrics(metrics.clone()),
            None => RequestLog::enabled(),
        };
        let routes = routes(access, &shutdown);
        tokio::select! {
            () = answer(self.service, routes, self.only_for, limits, cors, request_log, shutdown) => {}
            () = show(metrics) => {}
            () = watch(self.tls.clone()) => {}
            () = refresh(hangups, &access.auth, self.tls.as_ref()) => {}
        }
    }
}

/// Serves the routes; where `only_for` is given, a request for another host gets 400 `bad_host`.
async fn answer<F>(
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
            let foreign = hosts::foreign(address).map(|| Problem::BadHost.response());
            let routes = foreign.or(routes).unify();
            serve(listener, routes, limits, cors, request_log, shutdown).await;
        }
    }
}

async fn bind(variable: &'static str, address: SocketAddr) -> Result<Listener, Failure> {
    Listener::bind(address)
        .await
        .map_err(|error| Failure::Listen(variable, address, error))
}

/// Runs until it is dropped, which [`Doors::serve`] does.
async fn show(metrics: Option<(Metrics, Listener)>) {
    match metrics {
        Some((metrics, listener)) => serve_metrics(metrics, listener).await,
        None => std::future::pending().await,
    }
}

/// Answers `GET /metrics` on a listener of its own, until it is dropped.
pub async fn serve_metrics(metrics: Metrics, listener: Listener) {
    let shown = metrics.clone();
    let page = warp::path!("metrics").and(warp::get()).map(move || {
        let text = "text/plain; version=0.0.4; charset=utf-8";
        warp::reply::with_header(shown.render(), CONTENT_TYPE, text)
    });
    let limits = Limits {
        connections: MAX_SCRAPERS,
        ..Limits::default()
    };
    let routes = page.recover(handle_rejection);
    tokio::select! {
        () = serve(listener, routes, limits, None, RequestLog::disabled(), Shutdown::new()) => {}
        () = metrics.upkeep() => {}
    }
}

/// Does not end.
async fn watch(tls: Option<Tls>) {
    match tls {
        Some(tls) => tls.watch().await,
        None => std::future::pending().await,
    }
}

/// Does not end.
async fn refresh(hangups: Option<Hangups>, auth: &Auth, tls: Option<&Tls>) {
    match hangups {
        Some(hangups) => hangups.refresh(auth, tls).await,
        None => std::future::pending().await,
    }
}

/// SIGHUP, for what is on disk or at the issuer and may have changed.
#[cfg(unix)]
pub(in crate::service) struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// From here on a terminal that is closed ends nothing.
    pub(in crate::service) fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};

        let hangups = signal(SignalKind::hangup());
        hangups.map(Self).map_err(Failure::Process)
    }

    /// Does not end.
    async fn refresh(mut self, auth: &Auth, tls: Option<&Tls>) {
        while self.0.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "asked to refresh keys and certificate");
            auth.refresh();
            if let Some(tls) = tls {
                tls.reload();
            }
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(not(unix))]
pub(in crate::service) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(in crate::service) fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn refresh(self, _: &Auth, _: Option<&Tls>) {
        std::future::pending().await
    }
}
