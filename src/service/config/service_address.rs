//! [`ServiceAddress`]: the settings that a local client of the service needs.

use std::net::SocketAddr;

use crate::service::{
    config::{
        cross_checks,
        env::Environment,
        fault::Faults,
        reader::Reader,
        variables::{LISTEN, METRICS_LISTEN, TLS_CERT_FILE, TLS_KEY_FILE},
    },
    http::tls::{ClientAuth, Files},
};

/// The addresses of the service on this machine, and its TLS files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The address on which the service listens.
    pub listen: SocketAddr,
    /// The address of the metrics, if it is set. It also serves `/livez`, without TLS.
    pub metrics_listen: Option<SocketAddr>,
    /// The files for TLS. `None` if the service speaks plain HTTP.
    pub tls: Option<Files>,
}

impl ServiceAddress {
    /// Reads the addresses, even if the rest of the configuration is invalid or missing.
    ///
    /// # Errors
    /// Returns the faults of these variables.
    pub fn from_environment(environment: &Environment) -> Result<Self, Faults> {
        let mut reader = Reader::of(environment);
        let listen = reader.value(&LISTEN);
        let address = Self {
            listen,
            metrics_listen: metrics_listen(&mut reader, listen),
            tls: tls(&mut reader, ClientAuth::Off),
        };
        let read = reader.finish(address);
        let (address, _) = read.map_err(|faults| environment.locate(faults))?;
        Ok(address)
    }
}

/// The address of the metrics. Suggests none that `listen` already has.
pub(super) fn metrics_listen(reader: &mut Reader, listen: SocketAddr) -> Option<SocketAddr> {
    let free = cross_checks::other_port(listen);
    reader.optional_that(
        &METRICS_LISTEN,
        |metrics| !cross_checks::overlap(listen, *metrics),
        &format!("LISTEN has that port, so give another, such as {free}"),
    )
}

/// Both files must be set, or neither
pub(super) fn tls(reader: &mut Reader, clients: ClientAuth) -> Option<Files> {
    let certificate = reader.optional(&TLS_CERT_FILE);
    let key = reader.optional(&TLS_KEY_FILE);
    cross_checks::tls(reader);
    let (certificate, key) = certificate.zip(key)?;
    Some(Files {
        certificate,
        key,
        clients,
    })
}
