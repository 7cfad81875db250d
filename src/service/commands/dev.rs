//! `warp-bearer dev`: the service with an issuer of its own, for a newcomer without a tenant.
//!
//! The issuer is a real one, with keys made at this start and no other. Both listen on loopback
//! alone, and beside the configuration of a real issuer the command refuses to start.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Failure, doors::Doors};
use crate::{
    auth::{Algorithm, Auth},
    issuer::Issuer,
    service::{
        Access, Shutdown,
        config::{Config, Vars},
        telemetry,
    },
};

pub(super) async fn run() -> Result<(), Failure> {
    let vars = Vars::read().map_err(Failure::Config)?;
    if let Some((name, origin)) = vars.auth0() {
        return Err(Failure::NotForDevelopment(format!(
            "{name} is set in {origin}: dev has an issuer of its own and uses no AUTH0_ \
             configuration; unset it, or run `warp-bearer serve`"
        )));
    }
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let issuer = Issuer::bind(anywhere, Algorithm::RS256)
        .await
        .map_err(|error| Failure::Listen("the issuer", anywhere, error))?;
    let own = [
        ("AUTH0_ISSUER".to_owned(), issuer.url().to_owned()),
        (
            "AUTH0_API_AUDIENCE".to_owned(),
            issuer.audience().to_owned(),
        ),
    ];
    let config = Config::from_vars(vars.into_iter().chain(own));
    let (config, _) = config.map_err(Failure::Config)?;
    let metrics_listen = config.metrics_listen.unwrap_or(anywhere);
    if config.tls.is_some() {
        return Err(Failure::NotForDevelopment(
            "TLS_CERT_FILE: set, but dev speaks plain HTTP, on loopback alone; unset it and \
             TLS_KEY_FILE"
                .to_owned(),
        ));
    }
    on_loopback("LISTEN", config.listen)?;
    on_loopback("METRICS_LISTEN", metrics_listen)?;
    let _log = telemetry::init(&config.log);
    let auth = Auth::discover(issuer.url(), issuer.audience()).map_err(Failure::Setup)?;
    let shutdown = Shutdown::on_signals().map_err(Failure::Process)?;
    let doors = Doors::open(config.listen, None, Some(metrics_listen)).await?;
    // What is printed works when it is read.
    tokio::select! {
        () = auth.ready() => {}
        () = shutdown.asked() => return Ok(()),
    }
    let metrics = doors.metrics()?.unwrap_or(metrics_listen);
    print!("{}", page(&issuer, doors.service()?, metrics));
    doors
        .serve(&Access::from(&auth), config.limits, config.cors, shutdown)
        .await
}

fn on_loopback(name: &str, address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::NotForDevelopment(format!(
        "{name}: {address} is no loopback address, and dev listens on no other; set {name} to \
         127.0.0.1:{}",
        address.port()
    )))
}

/// What to paste. Each command is one line and begins with `curl`.
fn page(issuer: &Issuer, service: SocketAddr, metrics: SocketAddr) -> String {
    let reader = issuer.token().scope("read:messages").sign();
    let other = issuer.token().scope("write:messages").sign();
    let (url, id, secret) = (issuer.url(), issuer.client_id(), issuer.client_secret());
    let (endpoint, audience) = (issuer.token_endpoint(), issuer.audience());
    format!(
        "\
warp-bearer dev, for development: a service and an issuer of its own, both on loopback alone.
The issuer's keys were made at this start and end with it. Stop with Ctrl-C.

  service  http://{service}
  issuer   {url}
  metrics  http://{metrics}/metrics

Fetch a token, as from Auth0:

curl -s {endpoint} -d grant_type=client_credentials -d client_id={id} -d client_secret={secret} -d audience={audience} -d scope=read:messages

Call the routes; the tokens below are from that issuer and good for an hour.

Open to all, 200:
curl -i http://{service}/api/public

Without a token, 401:
curl -i http://{service}/api/private

With one, 200 and its claims:
curl -i http://{service}/api/private -H 'Authorization: Bearer {reader}'

With the scope read:messages, 200:
curl -i http://{service}/api/private-scoped -H 'Authorization: Bearer {reader}'

With another scope, 403:
curl -i http://{service}/api/private-scoped -H 'Authorization: Bearer {other}'

How it is:
curl -i http://{service}/livez
curl -i http://{service}/readyz
curl -s http://{metrics}/metrics

"
    )
}
