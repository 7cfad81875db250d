//! Client certificates (mutual TLS), for tokens bound to one.
//!
//! The handshake accepts any certificate, of any version and from any signer. TLS proves that the
//! client holds its private key, and that is all we need: the certificate's hash identifies the
//! client. If authorities are configured, we ignore certificates from other authorities but still
//! complete the handshake, because for all we know the client's token isn't bound to a certificate
//! at all.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use crate::auth::{
    ClientCertificate,
    keys::der::{BIT_STRING, SEQUENCE, expect, public_key_info},
};

/// The client certificate of a connection. Filled in once the handshake is complete.
pub(in crate::service) type CertificateSlot = Arc<OnceLock<ClientCertificate>>;

#[derive(Clone)]
pub(in crate::service) struct Clients {
    /// `None` if certificates from any signer are accepted.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
}

impl Clients {
    pub(super) fn any() -> Self {
        Self { authorities: None }
    }

    /// The `Err` is the problem with `pem`.
    pub(super) fn of_authorities(
        pem: &[u8],
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, &'static str> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| "is not PEM")?;
            let added = roots.add(certificate);
            added.map_err(|_| "has a certificate that cannot be read")?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let verifier = verifier.build().map_err(|_| "has no certificate in it")?;
        Ok(Self {
            authorities: Some(verifier),
        })
    }

    /// The certificate from a handshake, if we accept it.
    pub(super) fn accept(&self, chain: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
        let (certificate, intermediates) = chain.split_first()?;
        if let Some(authorities) = &self.authorities {
            let now = SystemTime::UNIX_EPOCH.elapsed().ok()?;
            let now = UnixTime::since_unix_epoch(now);
            let verified = authorities.verify_client_cert(certificate, intermediates, now);
            if let Err(error) = verified {
                tracing::debug!(%error, "client certificate ignored");
                return None;
            }
        }
        Some(ClientCertificate::new(certificate.as_ref()))
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

/// Requests a certificate but doesn't require one, and accepts whichever certificate the client has
/// the private key of.
///
/// We verify the signature of the handshake with the bare key. rustls' functions for certificates
/// refuse X.509 v1, which `openssl x509 -req` makes by default, and such a client could not even
/// use the public routes.
#[derive(Debug)]
pub(super) struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

/// The algorithm and the key of a `SubjectPublicKeyInfo`, as the verifiers of rustls compare and
/// use them
fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, _) = expect(SEQUENCE, key)?;
    let (algorithm, rest) = expect(SEQUENCE, info)?;
    let (bits, rest) = expect(BIT_STRING, rest)?;
    // the first byte is the number of unused bits in the last byte
    let key = bits.strip_prefix(&[0])?;
    rest.is_empty().then_some((algorithm, key))
}

/// In bytes. rustls keeps the chain in memory until the connection ends.
const MAX_CHAIN: usize = 16 * 1024;

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No list of authorities: clients filter their certificates by it, and we take any
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let length = certificate.len() + others.iter().map(|other| other.len()).sum::<usize>();
        if certificate.is_empty() || length > MAX_CHAIN {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key_info(certificate).ok_or(CertificateError::BadEncoding)?;
        let (algorithm, key) = split(key).ok_or(CertificateError::BadEncoding)?;
        let supported = self.0.signature_verification_algorithms.mapping.iter();
        let of_scheme = supported.filter(|(scheme, _)| *scheme == signature.scheme);
        // In TLS 1.2, a scheme doesn't say which curve is used, so the key has to
        let verifier = of_scheme
            .flat_map(|(_, verifiers)| *verifiers)
            .find(|verifier| verifier.public_key_alg_id().as_ref() == algorithm)
            .ok_or(PeerIncompatible::NoSignatureSchemesInCommon)?;
        verifier
            .verify_signature(key, message, signature.signature())
            .map_err(|_| CertificateError::BadSignature)?;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key_info(certificate).ok_or(CertificateError::BadEncoding)?;
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key.into(), signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
