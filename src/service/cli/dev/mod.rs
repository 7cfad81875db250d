//! `warp-bearer dev`: runs the service together with a local issuer, without an account.
//!
//! The issuer works like a real one, but its keys only exist in this process. Both listen on
//! loopback only, and the command fails if a real issuer is configured. The secret of the issuer's
//! client is public, so that scripts can get tokens, but then these tokens are only valid for this
//! service on this machine, and only until the process ends.

mod page;
mod proof;
mod token;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use clap::{Args, ValueEnum};

use crate::{
    auth::{Algorithm, Auth, dpop::Dpop},
    issuer::{Fault, Issuer, Profile},
    service::{
        api::{
            docs::{Docs, TokenEndpoint},
            route::Access,
        },
        cli::{
            app::App,
            failure::Failure,
            terminal::{self, Terminal},
        },
        config::{Config, Environment, Origin, ServiceAddress, duration},
        http::{cors::Cors, shutdown::Shutdown},
        observe::logging,
    },
};

const SERVICE_PORT: u16 = 8000;

/// The client's ID and its secret
const CLIENT: (&str, &str) = ("dev", "dev");

/// Variables of the service that have no effect on `dev`, and are no faults
const IGNORED: [&str; 4] = [
    "CLIENT_CERT_FIELD",
    "DEMO_ROUTES",
    "PUBLIC_URL",
    "STATE_STORE",
];

const EXAMPLES: &str = "\
Examples:
  warp-bearer dev
  TOKEN=$(warp-bearer dev --token --scope read:messages)
  warp-bearer dev --rotate-every 30s --profile rfc9068
  TOKEN=$(warp-bearer dev --token --dpop --scope read:messages)
  warp-bearer dev --proof GET http://127.0.0.1:8000/api/private --for-token $TOKEN
  warp-bearer dev --fail hang";

/// The options of the command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// Print an access token from the dev that runs at LISTEN, and nothing else
    #[arg(long)]
    token: bool,
    /// The scopes to request, separated by spaces
    #[arg(long, requires = "token", value_name = "SCOPES")]
    scope: Option<String>,
    /// Accept tokens that are bound to a key (DPoP); with --token, print such a token
    #[arg(long)]
    dpop: bool,
    /// Print a DPoP proof for a request, made with the key of `--token --dpop`
    #[arg(
        long,
        num_args = 2,
        value_names = ["METHOD", "URL"],
        requires = "for_token",
        conflicts_with_all = ["token", "dpop"]
    )]
    proof: Option<Vec<String>>,
    /// The token for which the proof is made
    #[arg(long, requires = "proof", value_name = "TOKEN")]
    for_token: Option<String>,
    /// The nonce for the proof, from the header DPoP-Nonce of a response
    #[arg(long, requires = "proof", value_name = "NONCE")]
    nonce: Option<String>,
    /// The token profile: Auth0's own, or that of RFC 9068
    #[arg(
        long,
        value_name = "PROFILE",
        default_value = "auth0",
        conflicts_with_all = ["token", "proof"]
    )]
    profile: Shape,
    /// Replace the signing key at this interval, such as 30s or 5m
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with_all = ["token", "proof"])]
    rotate_every: Option<Duration>,
    /// Make the issuer fail once the service has its keys: hang, drip, html, not-json,
    /// empty-set, empty-body, not-modified, half-body, too-large, redirect, wrong-issuer, or a
    /// status such as 500
    #[arg(long, value_name = "FAULT", conflicts_with_all = ["token", "proof"])]
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
    if let (Some(target), Some(token)) = (&options.proof, &options.for_token) {
        return proof::run(target, token, options.nonce.as_deref());
    }
    let environment = Environment::read().map_err(Failure::Config)?;
    if options.token {
        let key = options.dpop.then(proof::key);
        return token::run(&environment, CLIENT, options.scope.as_deref(), key.as_ref()).await;
    }
    if let Some((name, origin)) = environment.first_of_issuers() {
        let elsewhere = match origin {
            Origin::Environment => String::new(),
            _ => format!(
                "; to run it in an empty directory: cd \"$(mktemp -d)\" && {} dev",
                page::executable()
            ),
        };
        return Err(Failure::NotForDevelopment(format!(
            "{name} is set in {origin}: dev has its own issuer and uses neither ISSUERS_FILE nor \
             AUTH0_ variables; run it in a directory without a .env and without these variables, or run \
             `warp-bearer serve`{elsewhere}"
        )));
    }
    // We don't handle SIGHUP, so closing the terminal ends the process
    let shutdown = Shutdown::on_signals().map_err(Failure::Process)?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (issuer, issuer_port_taken) = issuer(&environment).await?;
    issuer.profile(options.profile.into());
    let config = config(&environment, &issuer)?;
    let metrics_listen = config.metrics_listen.unwrap_or(any_port);
    on_loopback("LISTEN", config.listen)?;
    on_loopback("METRICS_LISTEN", metrics_listen)?;
    let ignored = IGNORED
        .iter()
        .filter(|name| environment.get(name).is_some());
    let ignored: Vec<_> = ignored.copied().collect();
    if !ignored.is_empty() {
        terminal::note(format_args!("dev ignores {}", ignored.join(", ")));
    }
    let _log = logging::init(&config.log);
    let app = App::bind(config.listen, None, Some(metrics_listen)).await?;
    let app = app.only_for_loopback()?;
    let service = app.service_address()?;
    let auth = auth(&issuer, &options, service)?;
    issuer.allow_origins(origins(service, config.cors.as_ref()));
    // Wait for the keys first, so that the printed commands work immediately
    tokio::select! {
        () = auth.ready() => {}
        () = shutdown.requested() => return Ok(()),
    }
    let page = page::Page {
        issuer: &issuer,
        service,
        metrics: app.metrics_address()?.unwrap_or(metrics_listen),
        issuer_port_taken,
        docs: config.docs && cfg!(feature = "docs"),
        rotate_every: options.rotate_every,
        fails: options.fail.is_some(),
        dpop: options.dpop,
        terminal: Terminal::stdout(config.log.color),
    };
    terminal::print(page.text())?;
    if let Some(fault) = options.fail {
        issuer.fail(fault);
    }
    let access = Access {
        docs: config.docs.then(|| docs(&issuer)),
        resource_scopes: config.resource_scopes,
        forward_auth_paths: config.forward_auth_paths,
        ..Access::from(&auth)
    };
    tokio::select! {
        () = app.serve(&access, config.limits, config.cors, None, shutdown) => {}
        () = rotate(&issuer, options.rotate_every) => {}
    }
    Ok(())
}

/// Starts the issuer. It gets its default port if that is free and the service uses its own default
/// port, and otherwise any free port. Returns whether the issuer's default port was taken.
async fn issuer(environment: &Environment) -> Result<(Issuer, bool), Failure> {
    let start = |port| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Issuer::with_known_client(address, Algorithm::RS256, CLIENT)
    };
    // An invalid LISTEN is reported later, with all other faults
    let service = ServiceAddress::from_environment(environment);
    let is_usual = service.is_ok_and(|service| service.listen.port() == SERVICE_PORT);
    if is_usual && let Ok(issuer) = start(page::ISSUER_PORT).await {
        return Ok((issuer, false));
    }
    match start(0).await {
        Ok(issuer) => Ok((issuer, is_usual)),
        Err(error) => {
            let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            Err(Failure::Listen("the issuer", any_port, error))
        }
    }
}

fn config(environment: &Environment, issuer: &Issuer) -> Result<Config, Failure> {
    let own = [
        ("AUTH0_ISSUER".to_owned(), issuer.url().to_owned()),
        (
            "AUTH0_API_AUDIENCE".to_owned(),
            issuer.audience().to_owned(),
        ),
    ];
    let config = Config::from_variables(environment.clone().into_iter().chain(own));
    let (config, _) = config.map_err(|faults| Failure::Config(environment.locate(faults)))?;
    if config.tls.is_some() {
        return Err(Failure::NotForDevelopment(
            "TLS_CERT_FILE: set, but dev speaks plain HTTP, on loopback only; unset it and \
             TLS_KEY_FILE"
                .to_owned(),
        ));
    }
    Ok(config)
}

/// The origins whose pages may fetch tokens: the documentation page, and pages that may read the
/// service's responses. With `CORS_ORIGINS=*`, every page on the web could fetch a token, so `*` adds
/// none.
fn origins(service: SocketAddr, cors: Option<&Cors>) -> Vec<String> {
    let mut origins = vec![
        format!("http://{service}"),
        format!("http://localhost:{}", service.port()),
    ];
    if let Some(Cors::Only(listed)) = cors {
        let listed = listed.iter().filter_map(|origin| origin.to_str().ok());
        origins.extend(listed.map(str::to_owned));
    }
    origins
}

/// Lets the documentation page fetch its own tokens.
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

fn auth(issuer: &Issuer, options: &Options, service: SocketAddr) -> Result<Auth, Failure> {
    /// Short, so that `--fail` soon has an effect
    const SHORT_TTL: Duration = Duration::from_secs(5);
    let mut auth = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience());
    if options.fail.is_some() {
        auth = auth.jwks_ttl(SHORT_TTL);
    }
    if options.dpop {
        auth = auth.dpop(Dpop::allowed(format!("http://{service}")));
    }
    auth.build().map_err(Failure::Setup)
}

fn on_loopback(name: &str, address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::NotForDevelopment(format!(
        "{name}: {address} is not a loopback address, and dev listens on loopback only; set {name} to \
         127.0.0.1:{}",
        address.port()
    )))
}

/// Runs until it is dropped.
async fn rotate(issuer: &Issuer, every: Option<Duration>) {
    let Some(every) = every else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(every).await;
        let issuer = issuer.clone();
        let rotated = tokio::task::spawn_blocking(move || {
            // like Auth0, we only publish the current and the previous key
            issuer.retire();
            issuer.rotate();
            issuer.key().kid().to_owned()
        });
        match rotated.await {
            Ok(kid) => tracing::info!(kid, "signing key rotated"),
            Err(error) => tracing::error!(%error, "signing key rotation failed"),
        }
    }
}
