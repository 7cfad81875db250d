//! `warp-bearer serve`: runs the service for the configured issuers.

use crate::service::{
    api::{docs::Docs, route::Access},
    cli::{
        app::{App, HangupSignal},
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

/// Runs the service. It starts immediately, and fetches the keys in the background.
pub(in crate::service) async fn run() -> Result<(), Failure> {
    let (config, warnings) = Config::load().map_err(Failure::Config)?;
    let _log = logging::init(&config.log);
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
    let hangup = HangupSignal::new()?.with_issuers_of(&config);
    let shutdown = Shutdown::on_signals().map_err(Failure::Process)?;
    let app = App::bind(config.listen, config.tls, config.metrics_listen).await?;
    tracing::info!(address = %app.service_address()?, "listening");
    if let Some(address) = app.metrics_address()? {
        tracing::info!(%address, "metrics");
    }
    if access.auth.accepts_proofs() && config.state_store.url.is_none() {
        tracing::info!(
            "only this process knows which DPoP proofs were used; replicas need a STATE_STORE"
        );
    }
    let hangup = Some(hangup);
    Box::pin(app.serve(&access, config.limits, config.cors, hangup, shutdown)).await;
    Ok(())
}
