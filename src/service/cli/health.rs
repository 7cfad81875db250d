//! `warp-bearer health`: checks whether the service is alive or ready, for container health checks.
//!
//! We read only the addresses of the service from the configuration, and send no requests to issuers.
//! The command works in an image without any other program.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Args;

use crate::service::{
    cli::{env_file::EnvFile, failure::Failure},
    config::ServiceAddress,
};

const EXAMPLES: &str = "\
Examples:
  warp-bearer health
  warp-bearer health --env-file /etc/warp-bearer/env
  until warp-bearer health --ready; do sleep 1; done";

/// After this time, the service counts as unhealthy
const TIMEOUT: Duration = Duration::from_secs(2);

/// The options of the command.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::service) struct Options {
    /// Check whether it is ready instead: it has keys and is not shutting down
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    env_file: EnvFile,
}

pub(in crate::service) async fn run(options: Options) -> Result<(), Failure> {
    let environment = options.env_file.read()?;
    let service = ServiceAddress::from_environment(&environment).map_err(Failure::Config)?;
    // The metrics listener answers even while clients use up all of `MAX_CONNECTIONS`. A restart would
    // then only make room for the same clients.
    let (listen, has_tls) = match service.metrics_listen {
        // with port 0, only the log has the port
        Some(metrics) if !options.ready && metrics.port() != 0 => (metrics, false),
        _ => (service.listen, service.tls.is_some()),
    };
    let scheme = if has_tls { "https" } else { "http" };
    let path = if options.ready { "readyz" } else { "livez" };
    request(&format!("{scheme}://{}/{path}", reachable(listen))).await
}

/// An address to connect to on this machine. `listen` may stand for all of its addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn request(url: &str) -> Result<(), Failure> {
    let unhealthy = |why: String| Failure::Health(format!("{url} {why}"));
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        // The certificate is for the service's public name, but we connect to a local address
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|_| unhealthy("cannot be requested".to_owned()))?;
    let response = client.get(url).send().await.map_err(|error| {
        unhealthy(if error.is_timeout() {
            format!("does not answer within {TIMEOUT:?}")
        } else {
            "cannot be reached".to_owned()
        })
    })?;
    if response.status().is_success() {
        return Ok(());
    }
    Err(unhealthy(format!("answers {}", response.status())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_an_unspecified_address_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8000", "127.0.0.1:8000"),
            ("[::]:8000", "[::1]:8000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            let address = reachable(listen.parse().unwrap());
            assert_eq!(address, expected.parse().unwrap());
        }
    }
}
