//! The variables for tokens bound to the client's certificate (RFC 8705).

use crate::{
    auth::CertificateSource,
    service::{
        config::{
            reader::Reader,
            variables::{CLIENT_CERT_FIELD, TLS_CERT_FILE, TLS_CLIENT_CA_FILE, TLS_CLIENT_CERT},
        },
        http::tls::ClientAuth,
    },
};

pub(super) fn client_auth(reader: &mut Reader) -> ClientAuth {
    let authorities = reader.optional(&TLS_CLIENT_CA_FILE);
    if reader.value(&TLS_CLIENT_CERT) {
        ClientAuth::Request { authorities }
    } else {
        ClientAuth::Off
    }
}

/// `None` if certificate-bound tokens are not accepted.
pub(super) fn source(reader: &mut Reader, clients: &ClientAuth) -> Option<CertificateSource> {
    let (requested, certificate) = (TLS_CLIENT_CERT.name(), TLS_CERT_FILE.name());
    let is_requested = *clients != ClientAuth::Off;
    // an invalid value may have been meant to request certificates
    let may_be_requested = is_requested || reader.has_fault(requested);
    if may_be_requested && !reader.is_set(certificate) {
        reader.fault(
            certificate,
            format_args!("not set, but {requested} is; a client shows its certificate in a TLS handshake with this service"),
        );
    }
    if reader.is_set(TLS_CLIENT_CA_FILE.name()) && !is_requested && !reader.has_fault(requested) {
        reader.fault(
            TLS_CLIENT_CA_FILE.name(),
            format_args!("set, but {requested} is off; set {requested}=request, or remove it"),
        );
    }
    let field = reader.optional(&CLIENT_CERT_FIELD);
    if is_requested && reader.is_set(CLIENT_CERT_FIELD.name()) {
        reader.fault(
            CLIENT_CERT_FIELD.name(),
            format_args!(
                "set together with {requested}; keep {requested} if clients connect to this service over TLS, or CLIENT_CERT_FIELD if a proxy passes their certificate on"
            ),
        );
    }
    field.or_else(|| is_requested.then_some(CertificateSource::Connection))
}
