//! `warp-bearer serve`: runs the service for the configured issuers.

use crate::service::{
    api::{docs::Docs, route::Access},
    cli::{
        app::{App, HangupSignal, without_blocking},
        auth,
        failure::Failure,
    },
    config::Config,
    http::shutdown::Shutdown,
    observe::logging,
};

pub(in crate::service) const EXAMPLES: &str = "\
Examples:
  warp-bearer serve
  LISTEN=0.0.0.0:8000 LOG_FORMAT=json warp-bearer";

/// Starts immediately, and fetches the keys in the background.
pub(in crate::service) async fn run() -> Result<(), Failure> {
    // These come first. Without the handlers, SIGHUP would end the process, and the init process of
    // a container would ignore SIGTERM. If a SIGHUP arrives during the start, it's handled after
    // it.
    let hangup = HangupSignal::new()?;
    let shutdown = Shutdown::on_signals().map_err(Failure::Process)?;
    let (service, app) = tokio::select! {
        () = shutdown.requested() => return Ok(()),
        started = start() => started?,
    };
    let hangup = Some(hangup.with_issuers_of(&service.config));
    let Config { limits, cors, .. } = service.config;
    Box::pin(app.serve(&service.access, limits, cors, hangup, shutdown)).await;
    Ok(())
}

struct Service {
    config: Config,
    access: Access,
    /// Writes the log until it is dropped.
    _log: logging::Log,
}

impl Service {
    /// Reads the configuration, and starts the log and the fetches of keys.
    fn configure() -> Result<Self, Failure> {
        let (config, warnings) = Config::load().map_err(Failure::Config)?;
        let log = logging::init(&config.log);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let access = Access {
            auth: auth::builder(&config)
                .state_store(auth::store(&config))
                .build()
                .map_err(Failure::Setup)?,
            required: config.required_scope.clone(),
            resource_scopes: config.resource_scopes.clone(),
            docs: config.docs.then(Docs::default),
            forward_auth_paths: config.forward_auth_paths,
            demo_routes: config.demo_routes,
            max_token_bytes: config.max_token_bytes,
        };
        Ok(Self {
            config,
            access,
            _log: log,
        })
    }
}

async fn start() -> Result<(Service, App), Failure> {
    let service = without_blocking(Service::configure).await?;
    let config = &service.config;
    let app = App::bind(config.listen, config.tls.clone(), config.metrics_listen).await?;
    tracing::info!(address = %app.service_address()?, "listening");
    if let Some(address) = app.metrics_address()? {
        tracing::info!(%address, "metrics");
    }
    auth::log_local_proofs(config, &service.access.auth);
    Ok((service, app))
}
