//! TLS with a certificate and a key from files, which can be replaced while the service runs.
//!
//! An unusable file at the start is a configuration error. If a file becomes unusable later, we log
//! a warning and keep using the previous one.

use std::{
    borrow::Cow,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error, ServerConfig, crypto,
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
    server: Watched<Pair, ServerConfig>,
    /// The value is `None` if we don't request a client certificate.
    clients: Watched<Option<Vec<u8>>, Option<Clients>>,
    is_outdated: AtomicBool,
}

/// A value made from files, each of which is kept until the next one is usable.
struct Watched<D, V> {
    /// The last contents of the files, even if unusable. Without them, unusable files would be
    /// logged at every check. (Modification times wouldn't do to detect changes: a file can be
    /// written twice within one tick of the clock.)
    seen: Mutex<D>,
    current: ArcSwap<V>,
    /// Set while `seen` cannot be used
    is_unusable: AtomicBool,
}

/// The contents of the certificate's file and of the key's.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
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
        let (pair, authorities) = (Pair::read(&files)?, read_authorities(&files)?);
        let server = pair.parse(&files)?;
        let clients = clients(&files, authorities.as_deref())?;
        Ok(Self(Arc::new(Inner {
            files,
            server: Watched::new(pair, server),
            clients: Watched::new(authorities, clients),
            is_outdated: AtomicBool::new(false),
        })))
    }

    /// Reloads the files. If they are usable, new connections use them. An unusable list of
    /// authorities doesn't keep a new certificate from being used, or the other way round.
    pub fn reload(&self) {
        let Inner {
            files,
            server,
            clients,
            is_outdated,
        } = &*self.0;
        // We read without a lock, as a read can hang
        let pair =
            Pair::read(files).and_then(|pair| server.replace(pair, |pair| pair.parse(files)));
        let failed = pair.is_err() || server.is_unusable.load(Relaxed);
        match pair {
            Ok(true) => tracing::info!("certificate replaced"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "certificate reload failed; the old one stays in use");
            }
        }
        let authorities = read_authorities(files)
            .and_then(|pem| clients.replace(pem, |pem| self::clients(files, pem.as_deref())));
        let failed = failed || authorities.is_err() || clients.is_unusable.load(Relaxed);
        is_outdated.store(failed, Relaxed);
        match authorities {
            Ok(true) => tracing::info!("client certificate authorities replaced"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "reload of client certificate authorities failed; the old ones stay in use");
            }
        }
    }

    /// Returns `true` if the files could not be read or used at the last check, so that older
    /// contents stay in use.
    pub(in crate::service) fn is_outdated(&self) -> bool {
        self.0.is_outdated.load(Relaxed)
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
                self.0.is_outdated.store(true, Relaxed);
                tracing::warn!("reading the certificate takes too long; the old one stays in use");
            }
        }
    }

    pub(in crate::service) fn acceptor(&self) -> (TlsAcceptor, Option<Clients>) {
        let Inner {
            server, clients, ..
        } = &*self.0;
        (
            TlsAcceptor::from(server.current.load_full()),
            Option::clone(&clients.current.load()),
        )
    }
}

impl<D: PartialEq, V> Watched<D, V> {
    fn new(documents: D, value: V) -> Self {
        Self {
            seen: Mutex::new(documents),
            current: ArcSwap::from_pointee(value),
            is_unusable: AtomicBool::new(false),
        }
    }

    /// Returns `false` if nothing has changed. If another thread reads newer files and stores them
    /// first, we overwrite them here, and the next check puts that right.
    fn replace(
        &self,
        documents: D,
        parse: impl FnOnce(&D) -> Result<V, TlsError>,
    ) -> Result<bool, TlsError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == documents {
            return Ok(false);
        }
        let parsed = parse(&documents);
        *seen = documents;
        self.is_unusable.store(parsed.is_err(), Relaxed);
        self.current.store(Arc::new(parsed?));
        Ok(true)
    }
}

impl Pair {
    fn read(
        Files {
            certificate, key, ..
        }: &Files,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: files::read(certificate).map_err(|error| {
                TlsError::Certificate(certificate.clone(), files::describe(error.kind()))
            })?,
            key: files::read(key)
                .map_err(|error| TlsError::Key(key.clone(), files::describe(error.kind())))?,
        })
    }

    fn parse(&self, files: &Files) -> Result<ServerConfig, TlsError> {
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
        let config = match files.clients {
            ClientAuth::Off => config.with_no_client_auth(),
            ClientAuth::Request { .. } => {
                config.with_client_cert_verifier(Arc::new(AnyCertificate::new(provider)))
            }
        };
        let mut server = config
            .with_single_cert(chain, key)
            .map_err(|error| unusable_pair(files, &error))?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(server)
    }
}

/// rustls first parses the key, then the certificate, and then compares their public keys.
fn unusable_pair(files: &Files, error: &Error) -> TlsError {
    match error {
        Error::InconsistentKeys(_) => key(files, "does not belong to the certificate"),
        Error::InvalidCertificate(_) => certificate(
            files,
            "cannot be used: it is not a valid X.509 v3 certificate",
        ),
        _ => key(
            files,
            "cannot be used: only RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519 keys are supported",
        ),
    }
}

fn read_authorities(files: &Files) -> Result<Option<Vec<u8>>, TlsError> {
    let ClientAuth::Request {
        authorities: Some(path),
    } = &files.clients
    else {
        return Ok(None);
    };
    let pem = files::read(path)
        .map_err(|error| TlsError::Authorities(path.clone(), files::describe(error.kind())))?;
    Ok(Some(pem))
}

/// `pem` is the content of the authorities' file, if there is one.
fn clients(files: &Files, pem: Option<&[u8]>) -> Result<Option<Clients>, TlsError> {
    let ClientAuth::Request { authorities } = &files.clients else {
        return Ok(None);
    };
    let clients = match (authorities, pem) {
        (Some(path), Some(pem)) => Clients::of_authorities(pem, &provider())
            .map_err(|why| TlsError::Authorities(path.clone(), why.into()))?,
        _ => Clients::any(),
    };
    Ok(Some(clients))
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

impl<D, V: fmt::Debug> fmt::Debug for Watched<D, V> {
    /// Doesn't show the contents of the files, as one of them is a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current.fmt(f)
    }
}
