//! Builds the verifier from a configuration.

use crate::{
    auth::{
        Algorithm, Auth, Builder, TrustedIssuer,
        dpop::Dpop,
        revocation::RevocationOutage,
        store::{RedisOptions, Store},
    },
    service::config::{self, Config, StoreOutage, TokenProfile},
};

pub(in crate::service) fn store(config: &Config) -> Store {
    let memory = config.dpop.store;
    let Some(url) = &config.state_store.url else {
        return Store::memory(memory);
    };
    let options = store_options(config);
    Store::redis(url.as_str(), &options).expect("the configuration has checked the URL")
}

pub(in crate::service) fn store_options(config: &Config) -> RedisOptions {
    RedisOptions {
        timeout: config.state_store.timeout,
        memory: config.dpop.store,
        ..RedisOptions::default()
    }
}

/// Logs that replicas do not share used proofs, if tokens may have proofs and there is no state
/// store.
pub(in crate::service) fn log_local_proofs(config: &Config, auth: &Auth) {
    if auth.accepts_proofs() && config.state_store.url.is_none() {
        tracing::info!(
            "only this process knows which DPoP proofs were used; replicas need a STATE_STORE"
        );
    }
}

pub(in crate::service) fn builder(config: &Config) -> Builder {
    builder_with(config, |_, issuer| issuer)
}

/// Like [`builder`], but calls `change` with the name of each issuer, to change its options.
pub(in crate::service) fn builder_with(
    config: &Config,
    change: impl Fn(&str, TrustedIssuer) -> TrustedIssuer,
) -> Builder {
    let mut auth = Auth::builder()
        .algorithms(config.algorithms.iter().copied())
        .jwks_cooldown(config.jwks_cooldown)
        .jwks_stale(config.jwks_stale)
        .jwks_timeout(config.jwks_timeout)
        .leeway(config.leeway)
        .rfc9068(config.token_profile == TokenProfile::Rfc9068)
        .token_cache(config.token_cache)
        .realm(&config.realm)
        .roles_at(&config.roles_at)
        .groups_at(&config.groups_at)
        .max_token_bytes(config.max_token_bytes)
        .state_store(Store::memory(config.dpop.store))
        .revocation_stale(config.state_store.stale)
        .revocation_outage(match config.state_store.outage {
            StoreOutage::Refuse => RevocationOutage::Refuse,
            StoreOutage::Local => RevocationOutage::Local,
        });
    for issuer in &config.issuers {
        let trusted = TrustedIssuer::new(issuer).audience_claim(config.audience_claim);
        auth = auth.issuer(change(issuer, trusted));
    }
    for table in &config.tables {
        auth = auth.issuer(change(&table.url, table.into()));
    }
    for (scope, included) in &config.scope_includes {
        auth = auth.scope_includes(scope, included);
    }
    if let Some(name) = &config.token_field {
        auth = auth.token_field(name.clone());
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
    let hs256 = config.algorithms.contains(&Algorithm::HS256);
    if let Some(secret) = config.signing_secret.as_ref().filter(|_| hs256) {
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
    if let Some(introspection) = &config.introspection {
        auth = auth.introspection(introspection.into());
    }
    if let Some(file) = &config.revocation_file {
        auth = auth.revocation_file(file);
    }
    for client in &config.logout_clients {
        auth = auth.logout_client(client);
    }
    if let Some(source) = config.certificates {
        auth = auth.client_certificates(source);
    }
    if let Some(url) = &config.dpop.public_url {
        auth = auth.dpop(dpop(&config.dpop, url));
    }
    auth
}

fn dpop(config: &config::Dpop, public_url: &str) -> Dpop {
    let dpop = Dpop::new(config.mode, public_url)
        .algorithms(config.algorithms.iter().copied())
        .window(config.window);
    match &config.nonce_secret {
        _ if !config.nonce => dpop,
        Some(secret) => dpop.nonces_from(secret.as_bytes()),
        None => dpop.nonces(),
    }
}
