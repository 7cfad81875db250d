//! What `serve` and `dev` share: the sockets of the process, and what is served on them.

use std::net::SocketAddr;

use super::Failure;
use crate::{
    auth::Auth,
    service::{Limits, Listener, Metrics, Shutdown, Sight, routes, serve},
};

/// The sockets, bound before anything is promised.
pub(super) struct Doors {
    service: Listener,
    metrics: Option<Listener>,
}

impl Doors {
    /// Binds them.
    pub(super) async fn open(
        listen: SocketAddr,
        metrics_listen: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let metrics = match metrics_listen {
            Some(address) => Some(bind("METRICS_LISTEN", address).await?),
            None => None,
        };
        Ok(Self {
            service: bind("LISTEN", listen).await?,
            metrics,
        })
    }

    /// Where the service listens.
    pub(super) fn service(&self) -> Result<SocketAddr, Failure> {
        self.service.address().map_err(Failure::Process)
    }

    /// Where the metrics are, if they are anywhere.
    pub(super) fn metrics(&self) -> Result<Option<SocketAddr>, Failure> {
        let address = self.metrics.as_ref().map(Listener::address);
        address.transpose().map_err(Failure::Process)
    }

    /// Serves until asked to stop, the metrics to the very end.
    pub(super) async fn serve(self, auth: &Auth, limits: Limits, shutdown: Shutdown) {
        let routes = routes(auth, &shutdown);
        let Some(door) = self.metrics else {
            return serve(self.service, routes, limits, Sight::logged(), shutdown).await;
        };
        let metrics = Metrics::new(auth);
        let sight = Sight::measured(metrics.clone());
        tokio::select! {
            () = serve(self.service, routes, limits, sight, shutdown) => {}
            () = metrics.serve(door) => {}
        }
    }
}

async fn bind(variable: &'static str, address: SocketAddr) -> Result<Listener, Failure> {
    Listener::bind(address)
        .await
        .map_err(|error| Failure::Listen(variable, address, error))
}
