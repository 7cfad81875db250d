//! `warp-bearer dev`: the service with an issuer of its own, for a newcomer without a tenant.
//!
//! The issuer is a real one, with keys made at this start and no other. Both listen on loopback
//! alone, and beside the configuration of a real issuer the command refuses to start. Its one client
//! has a secret that everybody knows, so that scripts can have tokens: what they open is on this
//! machine and gone with the process.

mod page;
mod token;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::{Args, ValueEnum};

use crate::{
    auth::{Algorithm, Auth},
    issuer::{Fault, Issuer, Profile},
    service::{
        api::{
            docs::{Docs, TokenEndpoint},
            route::Access,
        },
        cli::{Failure, app::Doors, terminal::Screen},
        config::{Config, Vars, duration},
        http::shutdown::Shutdown,
        observe::logging,
    },
};

/// The client, and its secret.
const CLIENT: (&str, &str) = ("dev", "dev");

const EXAMPLES: &str = "\
Examples:
  warp-bearer dev
  TOKEN=$(warp-bearer dev --token --scope read:messages)
  warp-bearer dev --rotate-every 30s --profile rfc9068
  warp-bearer dev --fail hang";

/// What can be said on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// Print an access token of the dev that runs at LISTEN, and nothing else
    #[arg(long)]
    token: bool,
    /// The scopes to ask for, separated by blanks
    #[arg(long, requires = "token", value_name = "SCOPES")]
    scope: Option<String>,
    /// The shape of the tokens, as Auth0 has them: its own, or RFC 9068's
    #[arg(
        long,
        value_name = "PROFILE",
        default_value = "auth0",
        conflicts_with = "token"
    )]
    profile: Shape,
    /// Put a new signing key in the place of the one before, again and again: 30s, 5m
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "token")]
    rotate_every: Option<Duration>,
    /// Have the issuer fail from the moment that its keys are held: hang, drip, html, not-json,
    /// empty-set, empty-body, not-modified, half-body, too-large, redirect, wrong-issuer, or a status
    /// such as 500
    #[arg(long, value_name = "FAULT", conflicts_with = "token")]
    fail: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    Auth0,
    Rfc9068,
}

impl From<Shape> for Profile {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Auth0 => Self::Auth0,
            Shape::Rfc9068 => Self::Rfc9068,
        }
    }
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let vars = Vars::read().map_err(Failure::Config)?;
    if options.token {
        return token::run(&vars, options.scope.as_deref()).await;
    }
    if let Some((name, origin)) = vars.auth0() {
        return Err(Failure::NotForDevelopment(format!(
            "{name} is set in {origin}: dev has an issuer of its own and uses no AUTH0_ \
             configuration; unset it, or run `warp-bearer serve`"
        )));
    }
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let issuer = Issuer::with_known_client(anywhere, Algorithm::RS256, CLIENT)
        .await
        .map_err(|error| Failure::Listen("the issuer", anywhere, error))?;
    issuer.profile(options.profile.into());
    let config = config(&vars, &issuer)?;
    let metrics_listen = config.metrics_listen.unwrap_or(anywhere);
    on_loopback("LISTEN", config.listen)?;
    on_loopback("METRICS_LISTEN", metrics_listen)?;
    let _log = logging::init(&config.log);
    let auth = auth(&issuer, &options)?;
    let shutdown = Shutdown::on_signals().map_err(Failure::Process)?;
    let doors = Doors::open(config.listen, None, Some(metrics_listen)).await?;
    let doors = doors.only_for_loopback()?;
    let port = doors.service()?.port();
    issuer.allow_origins([
        format!("http://{}", doors.service()?),
        format!("http://localhost:{port}"),
    ]);
    // What is printed works when it is read.
    tokio::select! {
        () = auth.ready() => {}
        () = shutdown.requested() => return Ok(()),
    }
    let page = page::Page {
        issuer: &issuer,
        service: doors.service()?,
        metrics: doors.metrics()?.unwrap_or(metrics_listen),
        docs: config.docs && cfg!(feature = "docs"),
        screen: Screen::stdout(config.log.color),
    };
    print!("{}", page.text(&options));
    if let Some(fault) = options.fail {
        issuer.fail(fault);
    }
    let access = Access {
        docs: config.docs.then(|| docs(&issuer)),
        ..Access::from(&auth)
    };
    // No hangups: with the terminal that it was tried in, it ends.
    tokio::select! {
        () = doors.serve(&access, config.limits, config.cors, None, shutdown) => {}
        () = rotate(&issuer, options.rotate_every) => {}
    }
    Ok(())
}

fn config(vars: &Vars, issuer: &Issuer) -> Result<Config, Failure> {
    let own = [
        ("AUTH0_ISSUER".to_owned(), issuer.url().to_owned()),
        (
            "AUTH0_API_AUDIENCE".to_owned(),
            issuer.audience().to_owned(),
        ),
    ];
    let config = Config::from_vars(vars.clone().into_iter().chain(own));
    let (config, _) = config.map_err(|faults| Failure::Config(faults.located(vars)))?;
    if config.tls.is_some() {
        return Err(Failure::NotForDevelopment(
            "TLS_CERT_FILE: set, but dev speaks plain HTTP, on loopback alone; unset it and \
             TLS_KEY_FILE"
                .to_owned(),
        ));
    }
    Ok(config)
}

/// The page with a token one click away.
fn docs(issuer: &Issuer) -> Docs {
    let (client_id, client_secret) = CLIENT;
    Docs {
        tokens: Some(TokenEndpoint {
            url: issuer.token_endpoint().to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
        }),
    }
}

fn auth(issuer: &Issuer, options: &Options) -> Result<Auth, Failure> {
    /// Soon enough for whoever waits to see a fetch fail.
    const BRIEF: Duration = Duration::from_secs(5);
    let mut auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience());
    if options.fail.is_some() {
        auth = auth.jwks_ttl(BRIEF);
    }
    auth.build().map_err(Failure::Setup)
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

/// Does not end.
async fn rotate(issuer: &Issuer, every: Option<Duration>) {
    let Some(every) = every else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(every).await;
        let issuer = issuer.clone();
        let rotated = tokio::task::spawn_blocking(move || {
            // The key before this one stays published, as at Auth0; the one before that is gone.
            issuer.retire();
            issuer.rotate();
            issuer.key().kid().to_owned()
        });
        match rotated.await {
            Ok(kid) => tracing::info!(kid, "the issuer signs with a new key"),
            Err(error) => tracing::error!(%error, "the issuer's key is not rotated"),
        }
    }
}
