//! `warp-bearer health`: asks the service of this configuration how it is, for whoever watches over
//! containers.
//!
//! It reads where the service listens and nothing else, so that it works in an image that has no
//! other program, and costs no issuer anything.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crate::service::{
    cli::Failure,
    config::{Door, Vars},
};

pub(in crate::service) const EXAMPLES: &str = "\
Examples:
  warp-bearer health
  until warp-bearer health --ready; do sleep 1; done";

/// A service that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether it lives, or whether it is ready.
pub(in crate::service) async fn run(ready: bool) -> Result<(), Failure> {
    let vars = Vars::read().map_err(Failure::Config)?;
    let door = Door::from_vars(&vars).map_err(Failure::Config)?;
    let scheme = if door.tls.is_some() { "https" } else { "http" };
    let path = if ready { "readyz" } else { "livez" };
    ask(&format!("{scheme}://{}/{path}", nearby(door.listen))).await
}

/// Where this machine reaches what listens there.
fn nearby(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(url: &str) -> Result<(), Failure> {
    let sick = |why: String| Failure::Health(format!("{url} {why}"));
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        // The certificate is for the name that others call the service by, and the question is
        // asked on this machine.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|_| sick("cannot be asked".to_owned()))?;
    let answer = client.get(url).send().await.map_err(|error| {
        sick(if error.is_timeout() {
            format!("does not answer within {PATIENCE:?}")
        } else {
            "cannot be reached".to_owned()
        })
    })?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(sick(format!("answers {}", answer.status())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_asked_for_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:8000", "127.0.0.1:8000"),
            ("[::]:8000", "[::1]:8000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("10.0.0.7:80", "10.0.0.7:80"),
        ] {
            let address = nearby(listen.parse().unwrap());
            assert_eq!(address, expected.parse().unwrap());
        }
    }
}
