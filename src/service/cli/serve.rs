//! `warp-bearer serve`: the service for a real issuer.

use crate::{
    auth::{Algorithm, Auth, Builder},
    service::{
        api::{docs::Docs, route::Access},
        cli::{
            Failure,
            app::{Doors, Hangups},
        },
        config::{Config, TokenProfile},
        http::shutdown::Shutdown,
        observe::logging,
    },
};

pub(in crate::service) const EXAMPLES: &str = "\
Examples:
  warp-bearer serve
  LISTEN=0.0.0.0:8000 LOG_FORMAT=json warp-bearer";

/// Serves at once; the keys come when the issuer gives them.
pub(in crate::service) async fn run() -> Result<(), Failure> {
    let (config, warnings) = Config::load().map_err(Failure::Config)?;
    let _log = logging::init(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let access = Access {
        auth: builder(&config).build().map_err(Failure::Setup)?,
        required: config.required_scope.clone(),
        docs: config.docs.then(Docs::default),
    };
    let shutdown = Shutdown::on_signals().map_err(Failure::Process)?;
    let doors = Doors::open(config.listen, config.tls, config.metrics_listen).await?;
    tracing::info!(address = %doors.service()?, "listening");
    if let Some(address) = doors.metrics()? {
        tracing::info!(%address, "metrics");
    }
    let hangups = Some(Hangups::new()?);
    doors
        .serve(&access, config.limits, config.cors, hangups, shutdown)
        .await;
    Ok(())
}

/// The options of the library that this configuration stands for.
pub(in crate::service) fn builder(config: &Config) -> Builder {
    let mut auth = Auth::builder()
        .algorithms(config.algorithms.iter().copied())
        .jwks_cooldown(config.jwks_cooldown)
        .jwks_stale(config.jwks_stale)
        .jwks_timeout(config.jwks_timeout)
        .leeway(config.leeway)
        .rfc9068(config.token_profile == TokenProfile::Rfc9068)
        .token_cache(config.token_cache)
        .realm(&config.realm);
    for issuer in &config.issuers {
        auth = auth.issuer(issuer);
    }
    for audience in &config.audiences {
        auth = auth.audience(audience);
    }
    if let Some(uri) = &config.jwks_uri {
        auth = auth.jwks_uri(uri);
    }
    if let Some(file) = &config.jwks_file {
        auth = auth.jwks_file(file);
    }
    let unused = !config.algorithms.contains(&Algorithm::HS256);
    if let Some(secret) = config.signing_secret.as_ref().filter(|_| !unused) {
        auth = auth.signing_secret(secret.as_bytes());
    }
    if let Some(ttl) = config.jwks_ttl {
        auth = auth.jwks_ttl(ttl);
    }
    if let Some(age) = config.token_max_age {
        auth = auth.max_age(age);
    }
    if let Some(url) = &config.resource {
        auth = auth.resource(url);
    }
    auth
}
