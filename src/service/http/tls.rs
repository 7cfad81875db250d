//! TLS with a certificate and a key from files, which can be replaced while the service runs.
//!
//! An unusable pair at the start is a configuration error. If the files become unusable later, we
//! log a warning and keep using the previous pair.

use std::{
    borrow::Cow,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use crate::{
    auth::files,
    service::http::client_certificates::{AnyCertificate, Clients},
};

/// How often we check the files
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How long a check may take before we log a warning
const TIMEOUT: Duration = Duration::from_secs(30);

/// The PEM files of a certificate with its chain, and of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate, followed by its intermediate certificates.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The setting for client certificates.
    pub clients: ClientAuth,
}

/// Controls whether a listener requests client certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Does not request client certificates.
    #[default]
    Off,
    /// Requests a certificate, which a client may omit.
    Request {
        /// A PEM file with the authorities whose certificates are accepted. With `None`, every
        /// certificate is accepted.
        authorities: Option<PathBuf>,
    },
}

/// The TLS configuration of a listener. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    /// The last contents of the files, even if unusable. Without it, an unusable pair would be
    /// logged at every check.
    seen: Mutex<Documents>,
    current: ArcSwap<Current>,
}

#[derive(Debug)]
struct Current {
    server: Arc<ServerConfig>,
    /// `None` if we don't request a client certificate
    clients: Option<Clients>,
}

/// The contents of the files. Modification times wouldn't do to detect changes: a file can be
/// written twice within one tick of the clock.
#[derive(PartialEq, Eq)]
struct Documents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

/// A file that cannot be used, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate cannot be used.
    #[error("the certificate {0:?} {1}")]
    Certificate(PathBuf, Cow<'static, str>),
    /// The key cannot be used.
    #[error("the key {0:?} {1}")]
    Key(PathBuf, Cow<'static, str>),
    /// The certificate authorities of clients cannot be used.
    #[error("the client certificate authorities {0:?} {1}")]
    Authorities(PathBuf, Cow<'static, str>),
}

impl Tls {
    /// Loads the files.
    ///
    /// # Errors
    /// Fails if a file cannot be read or parsed, or if the key does not belong to the certificate.
    pub fn load(files: Files) -> Result<Self, TlsError> {
        let documents = Documents::read(&files)?;
        let current = ArcSwap::from_pointee(documents.parse(&files)?);
        Ok(Self(Arc::new(Inner {
            files,
            seen: Mutex::new(documents),
            current,
        })))
    }

    /// Reloads the files. If they are usable, new connections use them.
    pub fn reload(&self) {
        match self.replace() {
            Ok(true) => tracing::info!("certificate replaced"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "certificate reload failed; the old one stays in use");
            }
        }
    }

    /// Reloads the files every two seconds, until the future is dropped.
    pub async fn watch(self) {
        let mut looks = interval(CHECK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let tls = self.clone();
            // Disks can be slow, so we read on a blocking thread
            let mut reload = tokio::task::spawn_blocking(move || tls.reload());
            while timeout(TIMEOUT, &mut reload).await.is_err() {
                tracing::warn!("reading the certificate takes too long; the old one stays in use");
            }
        }
    }

    fn replace(&self) -> Result<bool, TlsError> {
        // We read without the lock, as a read can hang. If another thread reads newer files and
        // stores them first, we overwrite them here, and the next check puts that right.
        let documents = Documents::read(&self.0.files)?;
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == documents {
            return Ok(false);
        }
        let parsed = documents.parse(&self.0.files);
        *seen = documents;
        self.0.current.store(Arc::new(parsed?));
        Ok(true)
    }

    pub(in crate::service) fn acceptor(&self) -> (TlsAcceptor, Option<Clients>) {
        let current = self.0.current.load();
        (
            TlsAcceptor::from(Arc::clone(&current.server)),
            current.clients.clone(),
        )
    }
}

impl Documents {
    fn read(paths: &Files) -> Result<Self, TlsError> {
        let (certificate, key) = (&paths.certificate, &paths.key);
        Ok(Self {
            certificate: files::read(certificate).map_err(|error| {
                TlsError::Certificate(certificate.clone(), files::describe(error.kind()))
            })?,
            key: files::read(key)
                .map_err(|error| TlsError::Key(key.clone(), files::describe(error.kind())))?,
            authorities: match &paths.clients {
                ClientAuth::Request {
                    authorities: Some(path),
                } => Some(files::read(path).map_err(|error| {
                    TlsError::Authorities(path.clone(), files::describe(error.kind()))
                })?),
                _ => None,
            },
        })
    }

    fn parse(&self, files: &Files) -> Result<Current, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| certificate(files, "is not PEM"))?;
        if chain.is_empty() {
            return Err(certificate(files, "has no certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| key(files, "has no private key in it that can be read"))?;
        let provider = provider();
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| {
                certificate(
                    files,
                    "cannot be used: the TLS library supports neither TLS 1.2 nor TLS 1.3",
                )
            })?;
        let clients = self.clients(files, &provider)?;
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(_) => config.with_client_cert_verifier(Arc::new(AnyCertificate::new(provider))),
        };
        let mut server = config
            .with_single_cert(chain, key)
            .map_err(|_| self::key(files, "does not belong to the certificate"))?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Current {
            server: Arc::new(server),
            clients,
        })
    }

    fn clients(
        &self,
        files: &Files,
        provider: &Arc<crypto::CryptoProvider>,
    ) -> Result<Option<Clients>, TlsError> {
        let ClientAuth::Request { authorities } = &files.clients else {
            return Ok(None);
        };
        let clients = match (authorities, &self.authorities) {
            (Some(path), Some(pem)) => Clients::of_authorities(pem, provider)
                .map_err(|why| TlsError::Authorities(path.clone(), why.into()))?,
            _ => Clients::any(),
        };
        Ok(Some(clients))
    }
}

fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

fn certificate(files: &Files, why: &'static str) -> TlsError {
    TlsError::Certificate(files.certificate.clone(), why.into())
}

fn key(files: &Files, why: &'static str) -> TlsError {
    TlsError::Key(files.key.clone(), why.into())
}

impl std::fmt::Debug for Documents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}
