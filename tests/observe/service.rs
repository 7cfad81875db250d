//! The service on a socket, with its log and its metrics.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, Response};
use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use warp::{Filter, Reply};
use warp_bearer::{
    auth::{Auth, introspection::Introspection},
    issuer::{Fault, Issuer},
    service::{
        Access, Cors, Limits, Listener, Metrics, RequestLog, Shutdown,
        observe::logging::{self, LogConfig, LogFormat},
        routes, serve,
    },
};

use crate::support::Tenant;

pub(crate) struct Service {
    pub(crate) tenant: Tenant,
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) client: Client,
    pub(crate) log: Log,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::logging("info", LogFormat::Json).await
    }

    pub(crate) async fn logging(filter: &str, format: LogFormat) -> Self {
        let log = Log::start(filter, format);
        let tenant = Tenant::start().await;
        let routes = routes(&Access::from(&tenant.auth), &Shutdown::new());
        Self::with(tenant, log, routes, Limits::default()).await
    }

    /// Starts a service that introspects opaque tokens and reads a revocation file.
    pub(crate) async fn with_every_source() -> Self {
        let log = Log::start("info", LogFormat::Json);
        let issuer = Issuer::start().await;
        let asked = Introspection::opaque(issuer.client_id()).client_secret(issuer.client_secret());
        let revoked = tempfile::NamedTempFile::new().unwrap();
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience())
            .introspection(asked)
            .revocation_file(revoked.path())
            .build()
            .unwrap();
        auth.ready().await;
        let routes = routes(&Access::from(&auth), &Shutdown::new());
        Self::with(Tenant { issuer, auth }, log, routes, Limits::default()).await
    }

    /// Starts a service whose issuer never answers, so that a request with a token waits.
    pub(crate) async fn waiting(limits: Limits) -> Self {
        let log = Log::start("info", LogFormat::Json);
        let issuer = Issuer::start().await;
        issuer.fail(Fault::Hang);
        let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
        let routes = routes(&Access::from(&auth), &Shutdown::new());
        Self::with(Tenant { issuer, auth }, log, routes, limits).await
    }

    pub(crate) async fn with<F>(tenant: Tenant, log: Log, routes: F, limits: Limits) -> Self
    where
        F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        Self::with_cors(tenant, log, routes, limits, None).await
    }

    pub(crate) async fn with_cors<F>(
        tenant: Tenant,
        log: Log,
        routes: F,
        limits: Limits,
        cors: Option<Cors>,
    ) -> Self
    where
        F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let metrics = Metrics::new(&tenant.auth);
        let (listener, address) = listener().await;
        let request_log = RequestLog::with_metrics(metrics.clone());
        tokio::spawn(serve(
            listener,
            routes,
            limits,
            cors,
            request_log,
            Shutdown::new(),
        ));
        Self {
            tenant,
            address,
            metrics,
            client: Client::builder().no_proxy().build().unwrap(),
            log,
        }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("http://{}{path}", self.address);
        let mut request = self.client.request(method, url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Response {
        let field = format!("Bearer {token}");
        self.send("GET", path, &[("authorization", &field)]).await
    }

    /// The value of a series, if the metrics have it.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(series))?;
        Some(line.trim().parse().unwrap())
    }
}

/// Use this for conditions that depend on sockets, not on time.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(
            Instant::now() < patience,
            "the condition did not hold in time"
        );
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn listener() -> (Listener, SocketAddr) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address().unwrap();
    (listener, address)
}

pub(crate) struct Log {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start(filter: &str, format: LogFormat) -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = LogConfig {
            filter: filter.parse().unwrap(),
            format,
            color: false,
        };
        let subscriber = logging::subscriber(&log, false, move || writer.clone());
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap()
    }

    /// Takes the lines of requests since the last call.
    pub(crate) fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.lines.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &Value| line["target"] == "warp_bearer::request")
            .collect()
    }
}
